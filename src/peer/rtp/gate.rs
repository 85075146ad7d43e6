//! What of a viewer's picture is sent to them and what is left out, and when a
//! key frame is asked for.
//!
//! Pure: frames and what is known of the viewer's connection go in, a
//! [`Decision`] comes out. It is the one place where pictures are dropped. Two
//! things hold whatever happens:
//!
//! * Where a picture is left out, all that follow are, up to the next key frame,
//!   and a key frame is asked for: at once, or as soon as one can be taken, and
//!   again while it does not come.
//! * What was left out has no sequence number: packets are numbered when they
//!   leave ([`Waiting`](crate::peer::interceptor::burst::Waiting)). So a receiver never asks for
//!   what was never sent.
//!
//! Sound has no key frames; of it only [what is too old](SOUND_KEEPS) is dropped.

use std::time::{Duration, Instant};

use crate::peer::interceptor::pacer::KeyFrame;

/// A key frame that was asked for and did not come is asked for again.
const PATIENCE: Duration = Duration::from_millis(700);
/// A key frame of another tier is not sent while packets stand in the path's
/// queue for so long: some of it would be dropped there.
const FLOODED: Duration = Duration::from_millis(120);
/// But no later than this after the change: a path that is sent nothing tells
/// nothing.
const DRAINED: Duration = Duration::from_millis(600);
/// Where a connection takes nothing for so long, its pictures are too old to be
/// sent. Shorter waits are normal: a socket's buffer is full for a moment.
pub(in crate::peer) const STALLED: Duration = Duration::from_millis(250);
/// Of the time between two pictures so much counts: where this process itself
/// was held up, the connection was, too, and takes what waits a moment later.
const LOOK: Duration = Duration::from_millis(100);
/// The same for sound: what is older than a receiver's jitter buffer is worth
/// nothing.
pub(in crate::peer) const SOUND_KEEPS: Duration = Duration::from_millis(200);

/// What is known of a viewer and their connection when a picture comes.
#[derive(Debug, Clone, Copy)]
pub(in crate::peer) struct Sight {
    pub now: Instant,
    /// Packets can get to them at all.
    pub reachable: bool,
    /// How long their connection has not taken what it was given.
    pub stalled: Duration,
    /// How long packets stand in the path's queue.
    pub queueing: Duration,
    /// More waits to be paced than may.
    pub behind: bool,
    /// A key frame that is asked for now finds room when it comes.
    pub has_room: bool,
    /// When the newest packet was sent that is missing for good.
    pub given_up: Option<Instant>,
}

/// A picture, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(in crate::peer) struct Picture {
    /// It can be decoded without those before it.
    pub key: bool,
    /// Its size.
    pub bytes: usize,
}

/// Why a picture is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Why {
    /// It is of a tier that the viewer is to change to, and no key frame.
    NotYet,
    /// A key frame has to come first.
    NeedsKeyFrame,
    /// The viewer is not reachable.
    Away,
    /// The connection takes nothing.
    Stalled,
    /// The path has to drain before the change to another tier.
    Flooded,
    /// More than the path takes.
    Behind,
    /// The frames came faster than they were taken.
    Lagged,
}

/// What is done with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Verdict {
    Send,
    Skip(Why),
}

/// Of which stream a key frame is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Ask {
    /// What the viewer is sent, after the switch if there is one.
    Present,
    /// What they are to change to.
    Next,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) struct Decision {
    /// The viewer changes to the next stream: the picture is its first.
    pub switch: bool,
    /// The pictures that wait for the connection are dropped.
    pub drop_waiting: bool,
    /// The connection has stood still and goes on.
    pub resumed: bool,
    pub verdict: Verdict,
    /// A key frame is asked for.
    pub ask: Option<Ask>,
}

impl Decision {
    fn new(verdict: Verdict) -> Self {
        Self {
            switch: false,
            drop_waiting: false,
            resumed: false,
            verdict,
            ask: None,
        }
    }

    fn skip(why: Why) -> Self {
        Self::new(Verdict::Skip(why))
    }
}

/// A key frame that is waited for: when it was asked for, if it was.
#[derive(Debug, Clone, Copy)]
struct Wanted(Option<Instant>);

impl Wanted {
    fn is_due(self, now: Instant) -> bool {
        self.0
            .is_none_or(|at| now.saturating_duration_since(at) > PATIENCE)
    }
}

/// A stream that the viewer is to change to.
#[derive(Debug, Clone, Copy)]
struct Next {
    since: Instant,
    wanted: Wanted,
}

/// What one viewer's picture has come to.
#[derive(Debug)]
pub(in crate::peer) struct Gate {
    /// The key frame that has to come before anything is sent.
    wanted: Option<Wanted>,
    next: Option<Next>,
    last_key: Option<KeyFrame>,
    /// When a key frame was last asked for since packets are missing.
    rescued: Option<Instant>,
    was_away: bool,
    was_stalled: bool,
    /// When a picture last came, and how long the connection was seen to take
    /// nothing.
    looked: Instant,
    stalled: Duration,
}

impl Gate {
    /// For a viewer who comes at `now`. A key frame has been asked for.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            wanted: Some(Wanted(Some(now))),
            next: None,
            last_key: None,
            rescued: None,
            was_away: false,
            was_stalled: false,
            looked: now,
            stalled: Duration::ZERO,
        }
    }

    /// The last key frame that was sent.
    pub(crate) fn last_key(&self) -> Option<KeyFrame> {
        self.last_key
    }

    /// The viewer is to change to another stream, of which a key frame has been
    /// asked for; or no longer.
    pub(crate) fn change(&mut self, begins: bool, now: Instant) {
        self.next = begins.then_some(Next {
            since: now,
            wanted: Wanted(Some(now)),
        });
    }

    /// A picture of the stream that the viewer is to change to.
    pub(crate) fn next(&mut self, picture: Picture, sight: &Sight) -> Decision {
        let flooded = self.is_flooded(sight);
        let can_take = self.can_take(sight);
        let Some(next) = &mut self.next else {
            return Decision::skip(Why::NotYet);
        };
        if picture.key && !flooded && can_take {
            self.wanted = Some(next.wanted);
            self.next = None;
            return Decision {
                switch: true,
                ..self.present(picture, sight)
            };
        }
        if picture.key {
            next.wanted = Wanted(None);
        }
        self.ask_for_next(sight, if flooded { Why::Flooded } else { Why::NotYet })
    }

    /// Pictures of the stream that the viewer is to change to were missed.
    pub(crate) fn next_lagged(&mut self, sight: &Sight) -> Decision {
        self.ask_for_next(sight, Why::Lagged)
    }

    fn ask_for_next(&mut self, sight: &Sight, why: Why) -> Decision {
        let waits = self.is_flooded(sight) || !self.can_take(sight);
        let mut decision = Decision::skip(why);
        if let Some(next) = &mut self.next
            && !waits
            && next.wanted.is_due(sight.now)
        {
            next.wanted = Wanted(Some(sight.now));
            decision.ask = Some(Ask::Next);
        }
        decision
    }

    /// Pictures of the stream that the viewer is sent were missed.
    pub(crate) fn lagged(&mut self, sight: &Sight) -> Decision {
        self.skip_anew(Why::Lagged, sight)
    }

    /// A picture of the stream that the viewer is sent.
    pub(crate) fn present(&mut self, picture: Picture, sight: &Sight) -> Decision {
        if !sight.reachable {
            self.was_away = true;
            return self.skip_anew(Why::Away, sight);
        }
        if self.is_stalled(sight) {
            self.was_stalled = true;
            return Decision {
                drop_waiting: true,
                ..self.skip_anew(Why::Stalled, sight)
            };
        }
        let resumed = std::mem::take(&mut self.was_stalled);
        if std::mem::take(&mut self.was_away) || resumed {
            // What was asked for before is old, or came and was left out.
            self.wanted = Some(Wanted(None));
        }
        Decision {
            resumed,
            ..self.judge(picture, sight)
        }
    }

    fn judge(&mut self, picture: Picture, sight: &Sight) -> Decision {
        if self.is_flooded(sight) {
            self.wanted = Some(Wanted(None));
            return Decision::skip(Why::Flooded);
        }
        if self.wanted.is_some() && !picture.key {
            return self.ask(Why::NeedsKeyFrame, sight);
        }
        if sight.behind {
            return self.skip_anew(Why::Behind, sight);
        }
        self.wanted = None;
        let mut decision = Decision::new(Verdict::Send);
        if picture.key {
            self.last_key = Some(KeyFrame {
                bytes: picture.bytes,
                at: sight.now,
            });
        } else if self.misses_for_good(sight) {
            // They wait for what does not come; yet they may have got it another
            // way, so they are sent the frames between as well.
            self.rescued = Some(sight.now);
            decision.ask = Some(Ask::Present);
        }
        decision
    }

    /// Leaves a picture out that the viewer needs.
    fn skip_anew(&mut self, why: Why, sight: &Sight) -> Decision {
        self.wanted = Some(Wanted(None));
        self.ask(why, sight)
    }

    /// Leaves a picture out, and asks for a key frame where it is time to.
    fn ask(&mut self, why: Why, sight: &Sight) -> Decision {
        let mut decision = Decision::skip(why);
        let can_take = self.can_take(sight);
        if let Some(wanted) = &mut self.wanted
            && wanted.is_due(sight.now)
            && can_take
            && sight.has_room
        {
            *wanted = Wanted(Some(sight.now));
            decision.ask = Some(Ask::Present);
        }
        decision
    }

    fn can_take(&mut self, sight: &Sight) -> bool {
        sight.reachable && !self.is_stalled(sight)
    }

    /// The connection takes nothing, and not because nothing ran here.
    fn is_stalled(&mut self, sight: &Sight) -> bool {
        let since = sight.now.saturating_duration_since(self.looked).min(LOOK);
        self.looked = sight.now;
        self.stalled = (self.stalled + since).min(sight.stalled);
        self.stalled > STALLED
    }

    /// What fills the path is to drain before the change.
    fn is_flooded(&self, sight: &Sight) -> bool {
        self.next
            .is_some_and(|next| sight.now.saturating_duration_since(next.since) < DRAINED)
            && sight.queueing > FLOODED
    }

    /// A packet of what was sent since the last key frame is given up, and no
    /// key frame was asked for lately for that.
    fn misses_for_good(&self, sight: &Sight) -> bool {
        let missed = match (sight.given_up, self.last_key) {
            (Some(sent), Some(key)) => sent >= key.at,
            _ => false,
        };
        missed
            && self
                .rescued
                .is_none_or(|at| sight.now.saturating_duration_since(at) > PATIENCE)
    }
}

#[cfg(test)]
mod tests;
