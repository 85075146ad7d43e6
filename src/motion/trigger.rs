//! When an event begins and ends, by the times of a camera's triggers in Matter
//! (Zone Management cluster, ZoneTriggerControlStruct).

use std::time::Duration;

/// The times of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// An event lasts so long at least.
    pub initial: Duration,
    /// What moves before it ends makes it so much longer, once for each length
    /// that it has.
    pub augmentation: Duration,
    /// It ends after this time at the latest.
    pub maximum: Duration,
    /// So long after its end nothing is seen.
    pub blind: Duration,
}

/// Why an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing moves any more.
    Still,
    /// It has lasted for [`Times::maximum`]; it may go on after a while.
    Maximum,
    /// There are no pictures any more.
    Unseen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Triggered {
        since: Duration,
        /// From `since`.
        length: Duration,
        /// Motion that came after the last length was over, or the first one.
        is_longer: bool,
    },
    Blind {
        until: Duration,
    },
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An event began.
    Began,
    /// It ended, having lasted so long.
    Ended(End, Duration),
}

/// One zone's trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    times: Times,
    state: State,
}

impl Trigger {
    /// One that nothing has set off yet.
    pub fn new(times: Times) -> Self {
        Self {
            times,
            state: State::Ready,
        }
    }

    /// At `now` something moves, or nothing does. Times do not run backwards.
    pub fn look(&mut self, moves: bool, now: Duration) -> Option<Change> {
        match &mut self.state {
            State::Blind { until } if now < *until => None,
            State::Ready | State::Blind { .. } => {
                self.state = State::Ready;
                moves.then(|| {
                    self.state = State::Triggered {
                        since: now,
                        length: self.times.initial.min(self.times.maximum),
                        is_longer: false,
                    };
                    Change::Began
                })
            }
            State::Triggered {
                since,
                length,
                is_longer,
            } => {
                let lasted = now.saturating_sub(*since);
                if lasted >= self.times.maximum {
                    return self.end(End::Maximum, now);
                }
                if lasted >= *length && std::mem::take(is_longer) {
                    *length += self.times.augmentation;
                }
                if lasted >= *length {
                    return self.end(End::Still, now);
                }
                *is_longer |= moves && lasted > Duration::ZERO;
                None
            }
        }
    }

    /// No picture comes any more.
    pub fn stop(&mut self, now: Duration) -> Option<Change> {
        self.end(End::Unseen, now)
    }

    fn end(&mut self, end: End, now: Duration) -> Option<Change> {
        let State::Triggered { since, .. } = self.state else {
            return None;
        };
        self.state = State::Blind {
            until: now + self.times.blind,
        };
        Some(Change::Ended(end, now.saturating_sub(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    const TIMES: Times = Times {
        initial: Duration::from_secs(5),
        augmentation: Duration::from_secs(3),
        maximum: Duration::from_secs(12),
        blind: Duration::from_secs(4),
    };

    /// What came of motion at these seconds, looked at in each second.
    fn run(moves: &[u64]) -> Vec<(u64, Change)> {
        let mut trigger = Trigger::new(TIMES);
        let look = |s| Some((s, trigger.look(moves.contains(&s), seconds(s))?));
        (0..40).filter_map(look).collect()
    }

    #[test]
    fn one_look_is_an_event_of_the_initial_time() {
        let ended = Change::Ended(End::Still, seconds(5));
        assert_eq!(run(&[2]), [(2, Change::Began), (7, ended)]);
    }

    #[test]
    fn motion_makes_it_longer_once_for_each_length() {
        let ended = |s| Change::Ended(End::Still, seconds(s));
        assert_eq!(run(&[0, 1, 2, 3, 4]), [(0, Change::Began), (8, ended(8))]);
        assert_eq!(run(&[0, 4, 6]), [(0, Change::Began), (11, ended(11))]);
    }

    #[test]
    fn it_ends_at_the_maximum_and_is_blind_for_a_while() {
        let all: Vec<u64> = (0..20).collect();
        let ended = Change::Ended(End::Maximum, seconds(12));
        let again = Change::Ended(End::Still, seconds(8));
        assert_eq!(
            run(&all),
            [
                (0, Change::Began),
                (12, ended),
                (16, Change::Began),
                (24, again)
            ]
        );
    }

    #[test]
    fn an_event_ends_with_the_pictures() {
        let mut trigger = Trigger::new(TIMES);
        assert_eq!(trigger.stop(seconds(0)), None);
        assert_eq!(trigger.look(true, seconds(1)), Some(Change::Began));
        let ended = Change::Ended(End::Unseen, seconds(2));
        assert_eq!(trigger.stop(seconds(3)), Some(ended));
        assert_eq!(trigger.stop(seconds(4)), None);
    }
}
