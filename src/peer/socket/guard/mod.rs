//! What may pass between one connection and the network: decided here for each
//! datagram, before the crate or the wire sees it. Pure: [`socket`] is its shell.
//!
//! A caller says where to look for them, and can say anything. So:
//!
//! * Before an address has answered, it is sent no more than twice what came
//!   for it: from it, or in the caller's own words (RFC 9000 §8.1 has three
//!   times for QUIC). Checks of one pair are spaced ever wider.
//! * Only who was asked may answer, and only who knows our ICE username may ask
//!   (RFC 8445 §7.3). A stranger who found the port is not heard.
//! * DTLS and RTCP come only from those; DTLS as far as [`handshake`] says, and
//!   ours leaves [`again`] where it is not answered, and with the first one a
//!   [`train`] that tells how much the path takes. RTP is sent to viewers, and
//!   taken of who may talk ([`speech`]). A check that the crate leaves
//!   [`unanswered`] comes to it again.
//!
//! An address behind a TURN server is an address like others: what goes through
//! the relay is unwrapped first. What goes to STUN and TURN servers themselves
//! was configured by the owner and is not judged.

mod again;
mod checklist;
#[cfg(any(test, fuzzing))]
pub(in crate::peer) mod fuzzing;
mod handshake;
mod names;
mod pace;
mod pairs;
mod socket;
mod speech;
mod stun;
mod together;
mod train;
mod unanswered;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::backoff::doubled;
use crate::bucket::{Bucket, Rate};
use crate::sdp::is_one_machine;
use again::{Again, Sent};
use checklist::Checklist;
use handshake::Handshake;
pub(in crate::peer) use names::Multicast;
use names::Names;
use pace::Pace;
use pairs::{Endpoint, Pair};
pub(in crate::peer) use socket::Guarded;
use speech::Speech;
use stun::{Class, Kind, Method, Stun, Transaction, look};
pub(in crate::peer) use together::Together;
pub(in crate::peer) use train::Credentials;
use train::Train;
use unanswered::Unanswered;

/// Times of what was received that may be sent to who has not answered. One
/// time less than QUIC has, for the headers below are not counted.
const TIMES: u64 = 2;
/// What one description or candidate counts for at most, in bytes; a browser's
/// offer has some 6 kB.
const MOST_WORDS: usize = 8 * 1024;
/// What a caller's words are good for altogether.
const MOST_CREDIT: u64 = 64 * 1024;
/// Between the first checks of a pair; the crate's own pace.
const FIRST_GAP: Duration = Duration::from_millis(35);
/// Checks of a pair before the gaps grow.
const QUICK_CHECKS: u32 = 4;
/// The widest gap.
const LAST_GAP: Duration = Duration::from_secs(1);
/// Addresses that a caller may come from without having named them.
const UNNAMED: usize = 32;
/// Requests under way that are remembered.
const PENDING: usize = 512;
/// Requests of those whose address is not proven, a second: each costs an
/// HMAC. A browser sends 20 to 50.
const REQUESTS: Rate = Rate {
    burst: 200.0,
    per_second: 200.0,
};
/// Datagrams of RTCP, a second. A browser sends 10 to 20, and on a path that
/// loses much 50 more. Each is decrypted and read before it can be judged by what
/// it [says](crate::peer::interceptor::screen).
const REPORTS: Rate = Rate {
    burst: 250.0,
    per_second: 250.0,
};
/// Requests of those whose address is proven, and what keeps paths open, a second:
/// each costs two HMACs and an answer. A browser sends fewer than 20.
const CHECKS: Rate = Rate {
    burst: 200.0,
    per_second: 100.0,
};
/// Datagrams of DTLS, a second: what a page says, and what acknowledges ours. Each is
/// decrypted before it can be judged by what it [says](crate::peer::sctp).
const RECORDS: Rate = Rate {
    burst: 500.0,
    per_second: 250.0,
};
/// STUN and TURN servers of the configuration, at all their addresses.
const SERVERS: usize = 64;
/// Channels at TURN servers.
const CHANNELS: usize = 128;
/// Generations of our ICE username that are known: one, and the one before
/// while a restart is under way.
const USERNAMES: usize = 2;

/// One connection's guard.
#[derive(Debug)]
pub(in crate::peer) struct Guard {
    together: Together,
    /// Bytes that the caller's words still pay for.
    credit: u64,
    usernames: VecDeque<String>,
    pairs: Vec<Pair>,
    /// The pair that the last datagram came by: most come by one.
    last: usize,
    unnamed: usize,
    pending: VecDeque<(Transaction, usize, Endpoint, Instant)>,
    servers: Vec<SocketAddr>,
    channels: Vec<(SocketAddr, u16, SocketAddr)>,
    requests: Bucket,
    checks: Bucket,
    reports: Bucket,
    records: Bucket,
    speech: Option<Speech>,
    names: Names,
    /// This machine itself may be called from.
    loopback: bool,
    handshake: Handshake,
    again: Again,
    train: Train,
    unanswered: Unanswered,
    checklist: Checklist,
    pace: Pace,
    dropped: u64,
}

impl Guard {
    pub(crate) fn new(together: Together, now: Instant) -> Self {
        Self {
            checklist: Checklist::new(together.clone()),
            pace: Pace::new(now),
            together,
            credit: 0,
            usernames: VecDeque::new(),
            pairs: Vec::new(),
            last: 0,
            unnamed: 0,
            pending: VecDeque::new(),
            servers: Vec::new(),
            channels: Vec::new(),
            requests: Bucket::full(REQUESTS, now),
            checks: Bucket::full(CHECKS, now),
            reports: Bucket::full(REPORTS, now),
            records: Bucket::full(RECORDS, now),
            speech: None,
            names: Names::new(now),
            loopback: false,
            handshake: Handshake::default(),
            again: Again::default(),
            train: Train::default(),
            unanswered: Unanswered::default(),
            dropped: 0,
        }
    }

    /// The caller sent a description or a candidate of so many bytes.
    pub(crate) fn words(&mut self, bytes: usize) {
        let paid = TIMES * bytes.min(MOST_WORDS) as u64;
        self.credit = (self.credit + paid).min(MOST_CREDIT);
    }

    /// Whether viewers may be on this machine.
    pub(crate) fn may_be_here(self, loopback: bool) -> Self {
        Self { loopback, ..self }
    }

    /// Our ICE username fragment from now on.
    pub(crate) fn username(&mut self, ufrag: String) {
        if self.usernames.contains(&ufrag) {
            return;
        }
        self.usernames.push_front(ufrag);
        self.usernames.truncate(USERNAMES);
        self.unnamed = 0;
        self.checklist.begins_anew();
        self.pace.begins_anew();
    }

    /// DTLS is done.
    pub(crate) fn connected(&mut self) {
        self.handshake.is_done();
        self.again.is_done();
        self.pace.is_connected();
    }

    /// Where the handshake is not done, so that a socket may have to send something
    /// once more: when that is.
    fn due(&self, socket: usize) -> Option<Option<Instant>> {
        (!self.again.is_over()).then(|| self.again.due(socket))
    }

    /// Datagrams that are to leave by that socket once more, where it is time.
    fn once_more(&mut self, socket: usize, now: Instant) -> &[Sent] {
        self.again.take(socket, now)
    }

    /// Datagrams that did not pass.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// True where the crate's datagram may leave by its socket number `socket`.
    pub(crate) fn outgoing(
        &mut self,
        socket: usize,
        to: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        let passes = match look(datagram) {
            Kind::Stun(stun) => self.asks(socket, to, &stun, datagram.len(), now),
            Kind::Channel { number, data } => match self.behind(to, number) {
                Some(endpoint) => self.relays(socket, endpoint, data, now),
                None => true,
            },
            // To the pair that ICE has chosen.
            Kind::Dtls => {
                self.again.sent(socket, to, datagram, now);
                true
            }
            _ => true,
        };
        self.dropped += u64::from(!passes);
        passes
    }

    fn asks(
        &mut self,
        socket: usize,
        to: SocketAddr,
        stun: &Stun<'_>,
        length: usize,
        now: Instant,
    ) -> bool {
        let direct = Endpoint {
            server: None,
            address: to,
        };
        match (stun.class, stun.method) {
            (Class::Request, Method::Binding) if stun.username().is_some() => {
                self.checks(socket, direct, stun.transaction, length, now)
            }
            (Class::Request, method) => {
                if method == Method::ChannelBind
                    && let (Some(number), Some(peer)) = (stun.channel_number(), stun.peer())
                    && self.channels.len() < CHANNELS
                {
                    self.channels.push((to, number, peer));
                }
                if !self.servers.contains(&to) && self.servers.len() < SERVERS {
                    self.servers.push(to);
                }
                true
            }
            (Class::Indication, Method::Send) => match (stun.peer(), stun.data()) {
                (Some(address), Some(data)) => {
                    let server = Some(to);
                    self.relays(socket, Endpoint { server, address }, data, now)
                }
                _ => true,
            },
            // Answers to what was let in.
            _ => {
                self.unanswered.answered(&stun.transaction);
                true
            }
        }
    }

    /// What goes to an endpoint through a relay is a check, or media.
    fn relays(&mut self, socket: usize, endpoint: Endpoint, data: &[u8], now: Instant) -> bool {
        match look(data) {
            Kind::Stun(stun) if stun.class == Class::Request && stun.method == Method::Binding => {
                self.checks(socket, endpoint, stun.transaction, data.len(), now)
            }
            _ => true,
        }
    }

    fn checks(
        &mut self,
        socket: usize,
        endpoint: Endpoint,
        transaction: Transaction,
        length: usize,
        now: Instant,
    ) -> bool {
        // Candidates were read before, but for what their names stand for.
        let ip = endpoint.address.ip();
        if !is_one_machine(ip) || ip.is_loopback() && !self.loopback {
            return false;
        }
        let Some(index) = self.pair(socket, endpoint, now) else {
            return false;
        };
        let pair = &mut self.pairs[index];
        if !pair.proven {
            if now < pair.next_check {
                return false;
            }
            let length = length as u64;
            let of_its_own = pair.sent + length <= TIMES * pair.received;
            if !of_its_own && self.credit < length {
                return false;
            }
            if !self.together.take(length as usize, now) {
                return false;
            }
            match of_its_own {
                true => pair.sent += length,
                false => self.credit -= length,
            }
            let wider = pair.checks.saturating_sub(QUICK_CHECKS);
            pair.next_check = now + doubled(FIRST_GAP, wider, LAST_GAP);
            pair.checks = pair.checks.saturating_add(1);
        }
        if self.pending.len() == PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((transaction, socket, endpoint, now));
        true
    }

    /// True where what came by socket number `socket` may reach the crate.
    pub(crate) fn incoming(
        &mut self,
        socket: usize,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        let direct = Endpoint {
            server: None,
            address: from,
        };
        let passes = match look(datagram) {
            Kind::Stun(stun) if self.servers.contains(&from) && stun.username().is_none() => {
                self.server_says(socket, from, &stun, now)
            }
            Kind::Channel { number, data } => {
                self.servers.contains(&from)
                    && match self.behind(from, number) {
                        Some(endpoint) => self.comes(socket, endpoint, data, now),
                        None => false,
                    }
            }
            // It is not the crate's.
            Kind::Stun(stun) if self.train.came(socket, from, stun.transaction, now) => {
                return false;
            }
            _ => self.comes(socket, direct, datagram, now),
        };
        self.dropped += u64::from(!passes);
        passes
    }

    /// A server's own words, or those of an endpoint behind it.
    fn server_says(
        &mut self,
        socket: usize,
        server: SocketAddr,
        stun: &Stun<'_>,
        now: Instant,
    ) -> bool {
        match (stun.method, stun.peer(), stun.data()) {
            (Method::Data, Some(address), Some(data)) => {
                let server = Some(server);
                self.comes(socket, Endpoint { server, address }, data, now)
            }
            _ => true,
        }
    }

    fn comes(&mut self, socket: usize, from: Endpoint, datagram: &[u8], now: Instant) -> bool {
        match look(datagram) {
            Kind::Stun(stun) => {
                let passes = self.is_ours(socket, from, &stun, datagram.len(), now);
                if passes {
                    self.note(socket, from, &stun, datagram);
                }
                passes
            }
            Kind::Rtp => {
                self.may_speak(socket, from)
                    && self.speech.as_mut().is_some_and(|s| s.takes(datagram, now))
            }
            Kind::Rtcp => self.may_speak(socket, from) && self.reports.take(1.0, now),
            Kind::Dtls => {
                let passes = self.may_speak(socket, from)
                    && self.records.take(1.0, now)
                    && self.handshake.takes(datagram);
                if passes {
                    self.again.came(datagram, now);
                }
                passes
            }
            Kind::Channel { .. } | Kind::Other => false,
        }
    }

    fn is_ours(
        &mut self,
        socket: usize,
        from: Endpoint,
        stun: &Stun<'_>,
        length: usize,
        now: Instant,
    ) -> bool {
        match (stun.class, stun.method) {
            (Class::Request, Method::Binding) => self.asked(socket, from, stun, length, now),
            (Class::Success | Class::Error, Method::Binding) => {
                let asked = (stun.transaction, socket, from);
                let is_it = |p: &(_, _, _, Instant)| (p.0, p.1, p.2) == asked;
                let at = self.pending.iter().rposition(is_it);
                let Some((.., sent)) = at.and_then(|at| self.pending.remove(at)) else {
                    return false;
                };
                let took = now.saturating_duration_since(sent);
                self.train.round_trip(took);
                self.again.round_trip(took);
                if stun.class == Class::Success
                    && let Some(index) = self.find(socket, from)
                {
                    self.pairs[index].proven = true;
                }
                true
            }
            // Keep-alives (RFC 8445 §11), which carry nothing.
            (Class::Indication, Method::Binding) => {
                self.may_speak(socket, from) && self.checks.take(1.0, now)
            }
            _ => false,
        }
    }

    /// A check of theirs, for `ours:theirs`.
    fn asked(
        &mut self,
        socket: usize,
        from: Endpoint,
        stun: &Stun<'_>,
        length: usize,
        now: Instant,
    ) -> bool {
        let for_us = stun.username().is_some_and(|name| {
            let ours = name.split(|b| *b == b':').next().unwrap_or_default();
            self.usernames.iter().any(|u| u.as_bytes() == ours)
        });
        if !for_us {
            return false;
        }
        let known = self.find(socket, from);
        let is_proven = known.is_some_and(|i| self.pairs[i].proven);
        let budget = match is_proven {
            true => &mut self.checks,
            false => &mut self.requests,
        };
        if !budget.take(1.0, now) {
            return false;
        }
        if known.is_none() {
            if self.unnamed >= UNNAMED || !self.sees(from.address) {
                return false;
            }
            self.unnamed += 1;
        }
        let Some(index) = self.pair(socket, from, now) else {
            return false;
        };
        let pair = &mut self.pairs[index];
        pair.received += length as u64;
        if !pair.heard {
            pair.heard = true;
            // Ask back at once (RFC 8445 §7.3.1.4).
            pair.checks = 0;
            pair.next_check = now;
        }
        true
    }
}

#[cfg(test)]
mod tests;
