//! What is to be said to callers, until it can be said.
//!
//! A chat server that is away for a moment must not cost a call its answer, and
//! a flood of calls must not make this device so talkative that its own server
//! throws it out. So every frame to a caller waits here for two things: that
//! the name under which they called is in force again, and that the rate
//! allows it. What concerns a call goes before refusals, and of these only a
//! few are kept: a stranger who hears nothing loses nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::session::SessionId;
use crate::bucket::{Bucket, Rate};
use crate::reason::Reason;
use crate::wire::{Candidate, Outgoing, UserName};

/// Price units that may be sent at once, and a second after that. Our chat
/// server takes 400 and 60; the claims of our name go beside these.
const RATE: Rate = Rate {
    burst: 300.0,
    per_second: 40.0,
};
/// What refusals leave of the burst for calls.
const RESERVE: f64 = 150.0;
/// Bytes for which a frame costs one unit more, as our chat server counts.
const UNIT: usize = 2048;
/// A frame's bytes beside its longest field.
const FRAME: usize = 256;
/// Frames of calls that wait: 24 calls' answers and candidates.
const CALLS: usize = 512;
/// Refusals that wait.
const REFUSALS: usize = 32;
/// A goodbye that waited longer finds a caller who has given up already.
const GOODBYE: Duration = Duration::from_secs(30);

/// What to say.
#[derive(Debug)]
pub(super) enum Words {
    /// The answer to the offer that begins with this ufrag.
    Answer {
        sdp: String,
        ufrag: String,
        proof: Option<String>,
    },
    /// A candidate of ours.
    Candidate(Candidate),
    /// Look for another path.
    RestartIce,
}

#[derive(Debug)]
enum Item {
    /// Of a call that lives, under the name that its caller called.
    Call {
        session: SessionId,
        target: UserName,
        called: UserName,
        words: Words,
    },
    /// Of a call that has ended.
    Goodbye {
        target: UserName,
        reason: Reason,
        until: Instant,
    },
}

impl Item {
    fn cost(&self) -> f64 {
        let bytes = match self {
            Self::Call {
                words: Words::Answer { sdp, .. },
                ..
            } => sdp.len(),
            Self::Call {
                words: Words::Candidate(candidate),
                ..
            } => candidate.candidate.len(),
            Self::Call {
                words: Words::RestartIce,
                ..
            } => 0,
            Self::Goodbye { reason, .. } => reason.words.len(),
        };
        1.0 + ((bytes + FRAME) / UNIT) as f64
    }

    fn frame(self, name: UserName) -> Outgoing {
        match self {
            Self::Call { target, words, .. } => match words {
                Words::Answer { sdp, ufrag, proof } => Outgoing::VideoAnswer {
                    name,
                    target,
                    sdp,
                    ufrag,
                    proof,
                },
                Words::Candidate(candidate) => Outgoing::NewIceCandidate {
                    name,
                    target,
                    candidate,
                },
                Words::RestartIce => Outgoing::RestartIce { name, target },
            },
            Self::Goodbye { target, reason, .. } => Outgoing::HangUp {
                name,
                target,
                reason,
            },
        }
    }
}

/// The frames that wait.
#[derive(Debug)]
pub(super) struct Outbox {
    bucket: Bucket,
    /// Nothing is held back for the rate any more: these are the last words.
    closing: bool,
    /// Something waits for the rate alone, at this price.
    short_of: Option<f64>,
    calls: VecDeque<Item>,
    refusals: VecDeque<(UserName, Reason)>,
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bucket: Bucket::full(RATE, now),
            closing: false,
            short_of: None,
            calls: VecDeque::new(),
            refusals: VecDeque::new(),
        }
    }

    /// Says something to the caller of a call who called us by `called`.
    pub(super) fn say(
        &mut self,
        session: SessionId,
        target: UserName,
        called: UserName,
        words: Words,
    ) {
        if matches!(words, Words::RestartIce) {
            self.take_back_restart(session);
        }
        self.push(Item::Call {
            session,
            target,
            called,
            words,
        });
    }

    /// Says that a call has ended, and why.
    pub(super) fn goodbye(&mut self, target: UserName, reason: Reason, now: Instant) {
        self.push(Item::Goodbye {
            target,
            reason,
            until: now + GOODBYE,
        });
    }

    /// Tells somebody why they were not served.
    pub(super) fn refuse(&mut self, target: UserName, reason: Reason) {
        let told = self.refusals.iter().any(|(name, _)| *name == target);
        if !told && self.refusals.len() < REFUSALS {
            self.refusals.push_back((target, reason));
        }
    }

    /// What was to be said in a call that is over, or that is negotiated anew.
    pub(super) fn forget(&mut self, call: SessionId) {
        self.calls
            .retain(|item| !matches!(item, Item::Call { session, .. } if *session == call));
    }

    /// They call again: what ended before must not end that.
    pub(super) fn forget_goodbyes(&mut self, caller: &UserName) {
        self.calls
            .retain(|item| !matches!(item, Item::Goodbye { target, .. } if target == caller));
        self.refusals.retain(|(target, _)| target != caller);
    }

    /// They have found a path.
    pub(super) fn take_back_restart(&mut self, call: SessionId) {
        self.calls.retain(|item| {
            !matches!(item, Item::Call { session, words: Words::RestartIce, .. } if *session == call)
        });
    }

    /// From now on everything goes out at once, and what cannot is lost.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// The next frame that can go out, while `name` is in force on the chat
    /// server. `wanted` is the name that it will be, sooner or later: words to
    /// who called us by that wait for it, words to who called us by any other
    /// go out under the present one.
    pub(super) fn next(
        &mut self,
        name: Option<&UserName>,
        wanted: &UserName,
        now: Instant,
    ) -> Option<Outgoing> {
        self.short_of = None;
        self.calls
            .retain(|item| !matches!(item, Item::Goodbye { until, .. } if now >= *until));
        let name = name?;
        let fits = |item: &Item| match item {
            Item::Call { called, .. } => called == name || called != wanted,
            Item::Goodbye { .. } => true,
        };
        if let Some(index) = self.calls.iter().position(fits) {
            let cost = self.calls[index].cost();
            if self.spend(cost, 0.0, now) {
                let item = self.calls.remove(index)?;
                return Some(item.frame(name.clone()));
            }
            return None;
        }
        let reserve = if self.closing { 0.0 } else { RESERVE };
        if !self.refusals.is_empty() && self.spend(1.0, reserve, now) {
            let (target, reason) = self.refusals.pop_front()?;
            return Some(Outgoing::HangUp {
                name: name.clone(),
                target,
                reason,
            });
        }
        None
    }

    /// When the rate allows what it did not the last time.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.bucket.due(self.short_of?))
    }

    fn push(&mut self, item: Item) {
        if self.calls.len() >= CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(item);
    }

    fn spend(&mut self, cost: f64, reserve: f64, now: Instant) -> bool {
        if !self.closing && !self.bucket.has(cost + reserve, now) {
            self.short_of = Some(cost + reserve);
            return false;
        }
        self.bucket.charge(cost, RATE.burst);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Code;

    fn no() -> Reason {
        Reason::fixed(Code::Full, "no")
    }

    fn name(text: &str) -> UserName {
        UserName::parse(text).expect("a good name")
    }

    fn drain(outbox: &mut Outbox, now: Instant) -> Vec<Outgoing> {
        let camera = name("camera");
        std::iter::from_fn(|| outbox.next(Some(&camera), &camera, now)).collect()
    }

    #[test]
    fn refusals_come_after_calls_are_few_and_leave_room() {
        let now = Instant::now();
        let mut outbox = Outbox::new(now);
        for i in 0..1_000 {
            outbox.refuse(name(&format!("m{i}")), no());
        }
        let call = SessionId::new(1);
        outbox.say(call, name("alice"), name("camera"), Words::RestartIce);
        let sent = drain(&mut outbox, now);
        assert!(matches!(&sent[0], Outgoing::RestartIce { .. }));
        assert_eq!(sent.len(), 1 + REFUSALS);
        // A flood that goes on gets the rate, and a call's words go before.
        let mut later = now;
        let mut refused = 0;
        for i in 0..10_000 {
            later += Duration::from_millis(1);
            outbox.refuse(name(&format!("n{i}")), no());
            refused += drain(&mut outbox, later).len();
        }
        assert!((400..=520).contains(&refused), "{refused}");
        let sdp = "x".repeat(5_000);
        for _ in 0..8 {
            let words = Words::Answer {
                sdp: sdp.clone(),
                ufrag: String::new(),
                proof: None,
            };
            outbox.say(call, name("alice"), name("camera"), words);
        }
        assert_eq!(drain(&mut outbox, later).len(), 8, "at once");
    }

    #[test]
    fn what_the_rate_holds_up_comes_when_it_is_due() {
        let mut now = Instant::now();
        let mut outbox = Outbox::new(now);
        let call = SessionId::new(1);
        for _ in 0..400 {
            let words = Words::Candidate(Candidate::default());
            outbox.say(call, name("alice"), name("camera"), words);
        }
        let mut sent = drain(&mut outbox, now).len();
        assert_eq!(sent, 300);
        let start = now;
        while let Some(at) = outbox.poll_timeout() {
            now = at;
            sent += drain(&mut outbox, now).len();
        }
        assert_eq!(sent, 400);
        let took = now - start;
        assert!(took >= Duration::from_millis(2_400) && took < Duration::from_secs(3));
    }

    #[test]
    fn what_waits_is_bounded() {
        let now = Instant::now();
        let mut outbox = Outbox::new(now);
        for i in 0..10_000 {
            outbox.goodbye(name("alice"), Reason::new(Code::Full, format!("{i}")), now);
        }
        assert_eq!(outbox.calls.len(), CALLS);
        assert_eq!(outbox.next(None, &name("camera"), now + GOODBYE), None);
        assert!(outbox.calls.is_empty(), "too late for a goodbye");
    }
}
