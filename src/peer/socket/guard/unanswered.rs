//! Checks that the crate leaves unanswered, shown to it once more. Pure.
//!
//! A controlling agent may nominate a pair with its first check on it, as Chromium does.
//! RFC 8445 §7.3.1 has that answered like any other. The crate checks the other way
//! first, and answers only a check that comes after that has succeeded: the next one,
//! 50 ms later. Who answers an offer at once meets this in every call, for the
//! browser's check is there before its candidates. So such a check is kept until the pair
//! is proven, and then the crate has it as if it came again, which it answers.
//!
//! Not so where it came by a TURN server of theirs: the crate stays with the first pair
//! that is nominated, and a direct way often takes a moment longer.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::stun::{Class, Method, Stun, Transaction};
use super::{Endpoint, Guard};

/// Pairs of which the last check is kept.
const MOST: usize = 8;
/// Addresses of theirs at TURN servers.
const RELAYS: usize = 16;
/// A check is shorter, in bytes: RFC 8489 §6.1 has 548 where nothing is known of the path.
const LONGEST: usize = 548;

/// A check that has not been answered yet.
#[derive(Debug)]
struct Ask {
    transaction: Transaction,
    socket: usize,
    from: Endpoint,
    datagram: Vec<u8>,
}

/// The last check on each of some pairs, as far as it was not answered.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    asks: VecDeque<Ask>,
    relays: VecDeque<SocketAddr>,
    /// To be shown to the crate next.
    due: Option<Vec<u8>>,
}

impl Unanswered {
    fn asked(&mut self, ask: Ask) {
        self.asks
            .retain(|a| (a.socket, a.from) != (ask.socket, ask.from));
        self.asks.truncate(MOST - 1);
        self.asks.push_front(ask);
    }

    /// The crate answers this one.
    pub(super) fn answered(&mut self, transaction: &Transaction) {
        self.asks.retain(|ask| ask.transaction != *transaction);
    }

    /// A check of ours on that pair was answered.
    fn proven(&mut self, socket: usize, from: Endpoint) {
        let is_it = |ask: &Ask| (ask.socket, ask.from) == (socket, from);
        let at = self.asks.iter().position(is_it);
        if let Some(ask) = at.and_then(|at| self.asks.remove(at))
            && !self.relays.contains(&from.address)
        {
            self.due = Some(ask.datagram);
        }
    }
}

impl Guard {
    /// An address of theirs is at a TURN server.
    pub(crate) fn is_relay(&mut self, address: SocketAddr) {
        let relays = &mut self.unanswered.relays;
        if !relays.contains(&address) {
            relays.truncate(RELAYS - 1);
            relays.push_front(address);
        }
    }

    /// A check, or an answer to one of ours, that may pass.
    pub(super) fn note(&mut self, socket: usize, from: Endpoint, stun: &Stun<'_>, raw: &[u8]) {
        // Behind a relay it would have to be wrapped again.
        if stun.method != Method::Binding || from.server.is_some() {
            return;
        }
        match stun.class {
            Class::Request if raw.len() <= LONGEST => {
                let known = self.find(socket, from);
                if known.is_some_and(|index| !self.pairs[index].proven) {
                    self.unanswered.asked(Ask {
                        transaction: stun.transaction,
                        socket,
                        from,
                        datagram: raw.to_vec(),
                    });
                }
            }
            Class::Success => self.unanswered.proven(socket, from),
            _ => {}
        }
    }

    /// What the crate is to be shown once more, behind the datagram that has just been
    /// let in and as if it came from the same sender.
    pub(super) fn shown_again(&mut self) -> Option<Vec<u8>> {
        self.unanswered.due.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::Together;
    use super::super::stun::write::{check, success};
    use super::*;

    const OURS: &str = "ours";

    fn guard(now: Instant) -> Guard {
        let mut guard = Guard::new(Together::new(now), now).may_be_here(true);
        guard.username(OURS.to_owned());
        guard.words(6_000);
        guard
    }

    fn them() -> SocketAddr {
        ([192, 0, 2, 9], 4_000).into()
    }

    /// Their check, then ours, and what is shown once more when ours is answered.
    fn meet(guard: &mut Guard, answers: bool, now: Instant) -> Option<Vec<u8>> {
        let theirs = check(1, "ours:theirs");
        assert!(guard.incoming(0, them(), &theirs, now));
        assert_eq!(guard.shown_again(), None);
        assert!(guard.outgoing(0, them(), &check(2, "theirs:ours"), now));
        if answers {
            assert!(guard.outgoing(0, them(), &success(1), now));
        }
        let later = now + Duration::from_millis(1);
        assert!(guard.incoming(0, them(), &success(2), later));
        guard.shown_again()
    }

    #[test]
    fn a_check_that_was_not_answered_is_shown_again_once_the_pair_is_proven() {
        let now = Instant::now();
        let mut unanswered = guard(now);
        let shown = meet(&mut unanswered, false, now);
        assert_eq!(shown, Some(check(1, "ours:theirs")));
        assert_eq!(unanswered.shown_again(), None, "once");
        assert_eq!(meet(&mut guard(now), true, now), None, "it was answered");
        let mut relayed = guard(now);
        relayed.is_relay(them());
        assert_eq!(
            meet(&mut relayed, false, now),
            None,
            "a direct way may come"
        );
    }

    #[test]
    fn nobody_else_s_answer_brings_it_back() {
        let now = Instant::now();
        let mut guard = guard(now);
        assert!(guard.incoming(0, them(), &check(1, "ours:theirs"), now));
        assert!(guard.outgoing(1, them(), &check(2, "theirs:ours"), now));
        assert!(
            !guard.incoming(0, them(), &success(2), now),
            "not asked here"
        );
        assert_eq!(guard.shown_again(), None);
        assert!(guard.incoming(1, them(), &success(2), now));
        assert_eq!(guard.shown_again(), None, "another pair");
    }

    #[test]
    fn of_a_pair_the_last_is_kept_and_of_pairs_some() {
        let now = Instant::now();
        let mut guard = guard(now);
        for n in 0..40 {
            let from = ([192, 0, 2, 9], 4_000 + n).into();
            for transaction in 0..3 {
                let check = check(transaction, "ours:theirs");
                let _ = guard.incoming(0, from, &check, now);
            }
        }
        assert_eq!(guard.unanswered.asks.len(), MOST);
        assert!(
            guard
                .unanswered
                .asks
                .iter()
                .all(|a| a.transaction == [2; 12])
        );
        // Strangers are not heard at all, and what is long is no check.
        let long = check(1, &format!("ours:{}", "x".repeat(LONGEST)));
        for stranger in [check(9, "other:theirs"), long] {
            let _ = guard.incoming(0, them(), &stranger, now);
        }
        assert!(
            guard
                .unanswered
                .asks
                .iter()
                .all(|a| a.from.address != them())
        );
    }
}
