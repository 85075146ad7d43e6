//! Candidates that came before the offer they belong to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::{Candidate, UserName};

/// All candidates held; the oldest make room.
const HELD: usize = 64;
/// Those of one ufrag.
const HELD_PER_UFRAG: usize = 24;
/// How long an offer may lag behind its candidates.
const HOLD: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Held {
    name: Option<UserName>,
    candidate: Candidate,
    until: Instant,
}

/// A few candidates, for a short time.
#[derive(Debug, Default)]
pub(super) struct HeldCandidates(VecDeque<Held>);

impl HeldCandidates {
    /// Keeps a candidate that has a ufrag.
    pub(super) fn hold(&mut self, name: Option<UserName>, candidate: Candidate, now: Instant) {
        self.expire(now);
        let same = |h: &&Held| h.candidate.ufrag() == candidate.ufrag();
        if self.0.iter().filter(same).count() >= HELD_PER_UFRAG {
            return;
        }
        if self.0.len() >= HELD {
            self.0.pop_front();
        }
        self.0.push_back(Held {
            name,
            candidate,
            until: now + HOLD,
        });
    }

    /// Gives up those of an offer from `caller` with these ufrags.
    pub(super) fn take(&mut self, caller: &UserName, ufrags: &[String]) -> Vec<Candidate> {
        let mut taken = Vec::new();
        self.0.retain(|held| {
            let fits = held.name.as_ref().is_none_or(|n| n == caller)
                && held
                    .candidate
                    .ufrag()
                    .is_some_and(|u| ufrags.iter().any(|o| o == u));
            if fits {
                taken.push(held.candidate.clone());
            }
            !fits
        });
        taken
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.0.front().is_some_and(|h| now >= h.until) {
            self.0.pop_front();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.front().map(|h| h.until)
    }
}
