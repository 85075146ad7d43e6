//! The floor: who of those who watch is heard at the camera. One talks at a time.
//! Pure: what happened and the time go in, whose turn it is comes out.
//!
//! Most ask for it: with a button that they hold. Others cannot, for their page
//! knows no button: what they say is heard while nobody else talks, and they make
//! room for whoever asks as soon as they pause, or after a moment.
//!
//! Who was invited to talk comes before strangers, in the line and in a turn; and of
//! either in the line who has not talked lately. The more wait, the faster the line
//! moves: one person may be some of them.

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
/// So many wait, of those who were invited and of strangers; who comes later is told to
/// ask again.
pub(crate) const MOST_WAITING: usize = 8;
/// So many who have talked are remembered.
const REMEMBERED: usize = 16;

/// Whoever talks or waits, by something that tells them apart.
#[derive(Debug)]
pub(crate) struct Floor<W> {
    turn: Option<Turn<W>>,
    /// Those who were invited before strangers, of these who has not talked lately, each in
    /// their order.
    waiting: VecDeque<Waiting<W>>,
    /// Whose turns ended, the latest last.
    talked: VecDeque<W>,
}

#[derive(Debug)]
struct Waiting<W> {
    who: W,
    rank: Rank,
    /// They have not talked lately.
    is_fresh: bool,
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
struct Turn<W> {
    who: W,
    rank: Rank,
    /// They asked for it.
    asked: bool,
    /// When they got it, or when the first began to wait for it, whichever is later.
    since: Instant,
    /// When something was last heard.
    voice: Instant,
}

impl<W> Turn<W> {
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
    /// Somebody else has it.
    Taken,
}

/// Why a turn ended that nobody gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Nothing was heard.
    Silent,
    /// Others waited.
    PassedOn,
}

/// Where somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Talks,
    Waits,
    Listens,
}

impl<W: Copy + PartialEq> Floor<W> {
    pub(crate) fn new() -> Self {
        Self {
            turn: None,
            waiting: VecDeque::new(),
            talked: VecDeque::new(),
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
        self.waiting.iter().any(|waits| waits.who == who)
    }

    /// `who` wants to talk, and `waits` until they may where somebody else does. Who was
    /// invited takes it from a stranger.
    pub(crate) fn ask(&mut self, who: W, rank: Rank, waits: bool, now: Instant) -> Asked<W> {
        let is_waiting = self.is_waiting(who);
        match &mut self.turn {
            Some(turn) if turn.who == who => {
                (turn.asked, turn.rank) = (true, rank);
                Asked::Given { taken_from: None }
            }
            Some(turn) if turn.rank < rank => {
                let taken_from = Some(turn.who);
                self.waiting.retain(|waits| waits.who != who);
                self.give(who, rank, true, now);
                Asked::Given { taken_from }
            }
            // Who did not ask has paused.
            Some(turn) if !turn.asked && now.saturating_duration_since(turn.voice) >= PAUSE => {
                self.give(who, rank, true, now);
                Asked::Given { taken_from: None }
            }
            None => {
                self.give(who, rank, true, now);
                Asked::Given { taken_from: None }
            }
            Some(_) if is_waiting => Asked::Waits,
            Some(turn) if waits => {
                if self.waiting.is_empty() {
                    turn.since = now;
                }
                self.line_up(who, rank)
            }
            Some(_) => Asked::Taken,
        }
    }

    /// Puts `who` in the line; where it is full, for one who has talked lately.
    fn line_up(&mut self, who: W, rank: Rank) -> Asked<W> {
        let is_fresh = !self.talked.contains(&who);
        let of_rank = |waits: &&Waiting<W>| waits.rank == rank;
        if self.waiting.iter().filter(of_rank).count() == MOST_WAITING {
            let has_talked = |waits: &Waiting<W>| waits.rank == rank && !waits.is_fresh;
            let last = self.waiting.iter().rposition(has_talked);
            let Some(last) = last.filter(|_| is_fresh) else {
                return Asked::Taken;
            };
            self.waiting.remove(last);
        }
        let order = (rank, is_fresh);
        let before = |waits: &Waiting<W>| (waits.rank, waits.is_fresh) >= order;
        let place = self.waiting.partition_point(before);
        self.waiting.insert(
            place,
            Waiting {
                who,
                rank,
                is_fresh,
            },
        );
        Asked::Waits
    }

    /// `who` is done, or no longer waits, or has left.
    pub(crate) fn give_back(&mut self, who: W, now: Instant) {
        self.waiting.retain(|waits| waits.who != who);
        if self.talks() == Some(who) {
            self.next(now);
        }
    }

    /// Something came of `who`, `loud` where it is no silence. One who cannot ask
    /// `begins` a turn with it, as of a stranger. True where it is to be heard.
    pub(crate) fn speaks(&mut self, who: W, loud: bool, begins: bool, now: Instant) -> bool {
        match &mut self.turn {
            Some(turn) => {
                let is_theirs = turn.who == who;
                if is_theirs && loud {
                    turn.voice = turn.voice.max(now);
                }
                is_theirs
            }
            None if begins && loud => {
                self.give(who, Rank::Stranger, false, now);
                true
            }
            None => false,
        }
    }

    /// Ends a turn whose time is over: whose, and why.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(W, Over)> {
        let (at, over) = self.end()?;
        let who = self.talks().filter(|_| at <= now)?;
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
        let longest = turn.longest(self.waiting.len());
        let passed = (turn.since + longest, Over::PassedOn);
        Some(match self.waiting.is_empty() {
            false if passed.0 < silent.0 => passed,
            _ => silent,
        })
    }

    fn next(&mut self, now: Instant) {
        self.over();
        if let Some(Waiting { who, rank, .. }) = self.waiting.pop_front() {
            self.give(who, rank, true, now);
        }
    }

    fn over(&mut self) {
        if let Some(Turn { who, .. }) = self.turn.take() {
            self.talked.retain(|talked| *talked != who);
            self.talked.push_back(who);
            if self.talked.len() > REMEMBERED {
                self.talked.pop_front();
            }
        }
    }

    fn give(&mut self, who: W, rank: Rank, asked: bool, now: Instant) {
        self.over();
        self.turn = Some(Turn {
            who,
            rank,
            asked,
            since: now,
            voice: now,
        });
    }
}

#[cfg(test)]
mod tests;
