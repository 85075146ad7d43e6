//! The ways that a connection may take: each a socket of ours and an address of
//! theirs.

use std::net::SocketAddr;
use std::time::Instant;

use super::Guard;

/// Pairs of a socket of ours and an address of theirs. 32 candidates at four
/// sockets, and as many addresses that were seen and not named.
pub(super) const PAIRS: usize = 256;

/// The other end of a path: an address, or one behind a TURN server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub server: Option<SocketAddr>,
    pub address: SocketAddr,
}

/// A socket of ours and an endpoint.
#[derive(Debug)]
pub(super) struct Pair {
    pub socket: usize,
    pub endpoint: Endpoint,
    /// It answered a check of ours, which came from nowhere else.
    pub proven: bool,
    /// It knows our username.
    pub heard: bool,
    pub received: u64,
    pub sent: u64,
    pub checks: u32,
    pub next_check: Instant,
}

impl Pair {
    pub(super) fn may_speak(&self) -> bool {
        self.proven || self.heard
    }
}

impl Guard {
    pub(super) fn may_speak(&mut self, socket: usize, from: Endpoint) -> bool {
        self.find(socket, from)
            .is_some_and(|index| self.pairs[index].may_speak())
    }

    pub(super) fn behind(&self, server: SocketAddr, number: u16) -> Option<Endpoint> {
        let bound = self.channels.iter().rev();
        let mut bound = bound.filter(|(at, n, _)| *at == server && *n == number);
        bound.next().map(|(_, _, address)| Endpoint {
            server: Some(server),
            address: *address,
        })
    }

    pub(super) fn find(&mut self, socket: usize, endpoint: Endpoint) -> Option<usize> {
        let is_it = |pair: &Pair| pair.socket == socket && pair.endpoint == endpoint;
        if self.pairs.get(self.last).is_some_and(is_it) {
            return Some(self.last);
        }
        self.last = self.pairs.iter().position(is_it)?;
        Some(self.last)
    }

    /// The pair, made where there is room: one that never came to anything
    /// gives way.
    pub(super) fn pair(
        &mut self,
        socket: usize,
        endpoint: Endpoint,
        now: Instant,
    ) -> Option<usize> {
        if let Some(index) = self.find(socket, endpoint) {
            return Some(index);
        }
        let pair = Pair {
            socket,
            endpoint,
            proven: false,
            heard: false,
            received: 0,
            sent: 0,
            checks: 0,
            next_check: now,
        };
        if self.pairs.len() < PAIRS {
            self.pairs.push(pair);
            return Some(self.pairs.len() - 1);
        }
        let index = self.pairs.iter().position(|p| !p.may_speak())?;
        self.pairs[index] = pair;
        Some(index)
    }
}
