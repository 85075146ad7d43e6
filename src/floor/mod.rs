//! The floor: who of those who watch is heard at the camera. One talks at a time.
//! Pure: what happened and the time go in, whose turn it is comes out.
//!
//! Most ask for it: with a button that they hold. Others cannot, for their page
//! knows no button: what they say is heard while nobody else talks, and they make
//! room for whoever asks as soon as they pause, or after a moment.
//!
//! Who was invited to talk comes before strangers, in the line and in a turn; and of
//! either in the line who has not talked lately. The more wait, the faster the line
//! moves. A person has one place in it, however many calls they have; who is a person is
//! said by whoever asks for them. They may be several: of one address one may wait for
//! another, behind who has not talked lately.
//!
//! A stranger's turn ends after a while, also where nobody waits: others may not be able to,
//! and who stands before the camera has not asked for it. Turns of theirs that follow on each
//! other are one. Who asks for it does not pay for an open microphone beside them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Who has it and says nothing for so long gives it back.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);
/// The same for one who did not ask: it is theirs again with their next word.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);
/// While another waits, a turn is over after so long. While more do, they share it.
pub(crate) const TURN: Duration = Duration::from_secs(60);
/// But it is never shorter.
pub(crate) const LEAST_TURN: Duration = Duration::from_secs(8);
/// The same of one who did not ask: who never pauses is heard for so long.
pub(crate) const UNASKED: Duration = Duration::from_secs(5);
/// A stranger talks for so long at a time, whoever waits.
pub(crate) const STRANGERS_TURN: Duration = Duration::from_secs(180);
/// And then leaves the floor to others for so long, also where it is free.
pub(crate) const REST: Duration = Duration::from_secs(10);
/// So many wait, of those who were invited and of strangers; who comes later is told to
/// ask again.
pub(crate) const MOST_WAITING: usize = 8;
/// So many who have talked are remembered.
const REMEMBERED: usize = 16;

/// Whoever talks or waits.
#[derive(Debug)]
pub(crate) struct Floor<W, P> {
    turn: Option<Turn<W, P>>,
    /// Those who were invited before strangers, of these who has not talked lately, each in
    /// their order.
    waiting: VecDeque<Waiting<W, P>>,
    /// Whose turns ended, the latest last.
    talked: VecDeque<P>,
    /// The last turn, where it was a stranger's.
    before: Option<Before<P>>,
    /// Who has talked for as long as a stranger may.
    resting: VecDeque<Rest<P>>,
}

/// A stranger's turn that has ended.
#[derive(Debug)]
struct Before<P> {
    person: P,
    /// They asked for it, or for one that it followed on.
    asked: bool,
    /// When it would have been over whoever waits.
    until: Instant,
    ended: Instant,
}

impl<P: PartialEq> Before<P> {
    /// One of theirs now follows on it, `asked` for or not.
    fn goes_on(&self, person: &P, asked: bool, now: Instant) -> bool {
        let is_theirs = self.person == *person && (self.asked || !asked);
        is_theirs && now < self.ended + REST
    }
}

#[derive(Debug)]
struct Rest<P> {
    person: P,
    /// Also from what they ask for.
    asked: bool,
    until: Instant,
}

/// One who may talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct By<W, P> {
    /// The call, which nobody else has.
    pub(crate) who: W,
    /// Whose it is; they may have others.
    pub(crate) person: P,
    pub(crate) rank: Rank,
}

#[derive(Debug)]
struct Waiting<W, P> {
    by: By<W, P>,
    /// They have not talked lately.
    is_fresh: bool,
}

impl<W, P> Waiting<W, P> {
    fn order(&self) -> (Rank, bool) {
        (self.by.rank, self.is_fresh)
    }
}

/// Who goes before whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Everybody may talk here.
    Stranger,
    /// They were invited to talk.
    Invited,
}

#[derive(Debug)]
struct Turn<W, P> {
    who: W,
    person: P,
    rank: Rank,
    /// They asked for it.
    asked: bool,
    /// It follows on one that they asked for.
    follows: bool,
    /// When it is over whoever waits; of a stranger.
    until: Option<Instant>,
    /// When they got it, or when the first began to wait for it, whichever is later.
    since: Instant,
    /// When something was last heard.
    voice: Instant,
}

impl<W, P> Turn<W, P> {
    fn patience(&self) -> Duration {
        if self.asked { SILENCE } else { PAUSE }
    }

    /// How long it lasts while so many others wait.
    fn longest(&self, waiting: usize) -> Duration {
        let others = u32::try_from(waiting).unwrap_or(u32::MAX).max(1);
        match self.asked {
            true => (TURN / others).max(LEAST_TURN),
            false => UNASKED,
        }
    }
}

/// What comes of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<W> {
    /// It is theirs.
    Given {
        /// From this stranger, whose turn it was.
        taken_from: Option<W>,
    },
    /// They get it after those before them.
    Waits,
    /// Somebody else has it; or they wait by another call.
    Taken,
    /// Nobody has it, and they have just had it for as long as they may.
    Rests,
}

/// Why a turn ended that nobody gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Nothing was heard.
    Silent,
    /// Others waited.
    PassedOn,
    /// A stranger talked for as long as they may.
    Long,
}

/// Where somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Talks,
    Waits,
    Listens,
}

impl<W: Copy + PartialEq, P: Clone + PartialEq> Floor<W, P> {
    pub(crate) fn new() -> Self {
        Self {
            turn: None,
            waiting: VecDeque::new(),
            talked: VecDeque::new(),
            before: None,
            resting: VecDeque::new(),
        }
    }

    /// Who talks.
    pub(crate) fn talks(&self) -> Option<W> {
        self.turn.as_ref().map(|turn| turn.who)
    }

    /// Where `who` stands.
    pub(crate) fn place(&self, who: W) -> Place {
        if self.talks() == Some(who) {
            Place::Talks
        } else if self.is_waiting(who) {
            Place::Waits
        } else {
            Place::Listens
        }
    }

    fn is_waiting(&self, who: W) -> bool {
        self.waiting.iter().any(|waits| waits.by.who == who)
    }

    /// Somebody wants to talk, and `waits` until they may where somebody else does. Who was
    /// invited takes it from a stranger.
    pub(crate) fn ask(&mut self, by: By<W, P>, waits: bool, now: Instant) -> Asked<W> {
        let is_waiting = self.is_waiting(by.who);
        let rests = self.rests(&by, true, now);
        match &mut self.turn {
            Some(turn) if turn.who == by.who => {
                (turn.asked, turn.rank) = (true, by.rank);
                Asked::Given { taken_from: None }
            }
            Some(turn) if turn.rank < by.rank => {
                let taken_from = Some(turn.who);
                self.give(by, true, now);
                Asked::Given { taken_from }
            }
            // Who did not ask has paused.
            Some(turn) if !turn.asked && now.saturating_duration_since(turn.voice) >= PAUSE => {
                self.give(by, true, now);
                Asked::Given { taken_from: None }
            }
            None if rests => Asked::Rests,
            None => {
                self.give(by, true, now);
                Asked::Given { taken_from: None }
            }
            Some(_) if is_waiting => Asked::Waits,
            Some(_) if waits => self.line_up(by, now),
            Some(_) => Asked::Taken,
        }
    }

    /// Puts them in the line, where they are not in it by another call; where it is full,
    /// for one who has talked lately. Who talks by another call has.
    fn line_up(&mut self, by: By<W, P>, now: Instant) -> Asked<W> {
        if self
            .waiting
            .iter()
            .any(|waits| waits.by.person == by.person)
        {
            return Asked::Taken;
        }
        let talks = self.turn.as_ref().map(|turn| &turn.person);
        let is_fresh = !self.talked.contains(&by.person) && talks != Some(&by.person);
        let of_rank = |waits: &&Waiting<W, P>| waits.by.rank == by.rank;
        if self.waiting.iter().filter(of_rank).count() == MOST_WAITING {
            let has_talked = |waits: &Waiting<W, P>| waits.by.rank == by.rank && !waits.is_fresh;
            let last = self.waiting.iter().rposition(has_talked);
            let Some(last) = last.filter(|_| is_fresh) else {
                return Asked::Taken;
            };
            self.waiting.remove(last);
        }
        if let Some(turn) = self.turn.as_mut().filter(|_| self.waiting.is_empty()) {
            turn.since = now;
        }
        let waits = Waiting { by, is_fresh };
        let order = waits.order();
        let place = self.waiting.partition_point(|w| w.order() >= order);
        self.waiting.insert(place, waits);
        Asked::Waits
    }

    /// A stranger who has just talked for as long as they may, and who now asks, or does not.
    fn rests(&self, by: &By<W, P>, asks: bool, now: Instant) -> bool {
        let is_over = |before: &Before<P>| before.goes_on(&by.person, asks, now);
        let is_over = |before: &Before<P>| before.until <= now && is_over(before);
        let is_theirs =
            |rest: &Rest<P>| rest.person == by.person && (rest.asked || !asks) && now < rest.until;
        by.rank == Rank::Stranger
            && (self.before.as_ref().is_some_and(is_over) || self.resting.iter().any(is_theirs))
    }

    /// `who` is done, or no longer waits, or has left.
    pub(crate) fn give_back(&mut self, who: W, now: Instant) {
        self.waiting.retain(|waits| waits.by.who != who);
        if self.talks() == Some(who) {
            self.next(now);
        }
    }

    /// Something came of somebody, `loud` where it is no silence. One who cannot ask
    /// `begins` a turn with it, which others take as if it were a stranger's. True where it
    /// is to be heard.
    pub(crate) fn speaks(&mut self, by: &By<W, P>, loud: bool, begins: bool, now: Instant) -> bool {
        let rests = self.rests(by, false, now);
        match &mut self.turn {
            Some(turn) => {
                let is_theirs = turn.who == by.who;
                if is_theirs && loud {
                    turn.voice = turn.voice.max(now);
                }
                is_theirs
            }
            None if begins && loud && !rests => {
                self.give(by.clone(), false, now);
                true
            }
            None => false,
        }
    }

    /// Ends a turn whose time is over: whose, and why.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(W, Over)> {
        let (at, over) = self.end()?;
        let turn = self.turn.as_ref().filter(|_| at <= now)?;
        let who = turn.who;
        if over == Over::Long {
            let rest = Rest {
                person: turn.person.clone(),
                asked: turn.asked || turn.follows,
                until: now + REST,
            };
            self.resting.retain(|rest| now < rest.until);
            self.resting.push_back(rest);
            if self.resting.len() > REMEMBERED {
                self.resting.pop_front();
            }
        }
        self.next(now);
        Some((who, over))
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.end().map(|(at, _)| at)
    }

    fn end(&self) -> Option<(Instant, Over)> {
        let turn = self.turn.as_ref()?;
        let silent = (turn.voice + turn.patience(), Over::Silent);
        let long = turn.until.map(|until| (until, Over::Long));
        let longest = turn.longest(self.waiting.len());
        let passed = (turn.since + longest, Over::PassedOn);
        let passed = Some(passed).filter(|_| !self.waiting.is_empty());
        let all = [Some(silent), passed, long].into_iter().flatten();
        all.min_by_key(|(at, _)| *at)
    }

    fn next(&mut self, now: Instant) {
        self.over(now);
        if let Some(Waiting { by, .. }) = self.waiting.pop_front() {
            self.give(by, true, now);
        }
    }

    fn over(&mut self, now: Instant) {
        let Some(turn) = self.turn.take() else {
            return;
        };
        self.before = turn.until.map(|until| Before {
            person: turn.person.clone(),
            asked: turn.asked || turn.follows,
            until,
            ended: now,
        });
        self.talked.retain(|talked| *talked != turn.person);
        self.talked.push_back(turn.person);
        if self.talked.len() > REMEMBERED {
            self.talked.pop_front();
        }
    }

    fn give(&mut self, by: By<W, P>, asked: bool, now: Instant) {
        self.over(now);
        let By { who, person, rank } = by;
        self.waiting.retain(|waits| waits.by.person != person);
        let before = self.before.take();
        let before = before.filter(|before| before.goes_on(&person, asked, now));
        let longest = before.as_ref().map_or(now + STRANGERS_TURN, |b| b.until);
        self.turn = Some(Turn {
            who,
            person,
            // Who did not ask makes room for whoever was invited to.
            rank: if asked { rank } else { Rank::Stranger },
            asked,
            follows: before.is_some_and(|before| before.asked),
            until: (rank == Rank::Stranger).then_some(longest),
            since: now,
            voice: now,
        });
    }
}

#[cfg(test)]
mod tests;
