//! Whose fault lost packets are: ours, who send too much, or the path's, which
//! loses so many of anybody's.
//!
//! A bottleneck with a short queue drops what is too much for it: send a fifth
//! less, and most of the loss is gone. A bad radio link loses the same share of
//! less, and to go on sending less only makes the picture worse. So a first
//! step down for loss is an experiment: the rate is held there until it is known
//! what became of the loss.

use std::time::{Duration, Instant};

/// Less loss than this is nothing to find a reason for.
const LEAST: f64 = 0.02;
/// More than this is taken for our own: no picture comes through it anyway.
const MOST: f64 = 0.22;
/// A step down to this share of the rate tells the two apart.
const STEP: f64 = 0.8;
/// The loss is the path's where at least this share of it is left after the step.
/// Of what a bottleneck dropped, up to [`MOST`] of all, a quarter is left and less.
const LEFT: f64 = 0.65;
/// Packets reported after a step for so long were sent before it.
const SETTLE: Duration = Duration::from_millis(400);
/// Packets to count the loss of before the step, and after it: in fewer there
/// are hardly any bursts.
const COUNTED: usize = 300;
/// The path's own loss is looked at again with each so many.
const AGAIN: usize = 500;
/// It has grown when it is above this multiple of what it was and this share of
/// all packets on top.
const GROWN: (f64, f64) = (1.5, 0.03);
/// It has shrunk when it is less than this share of what it was.
const SHRUNK: f64 = 0.3;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    lost: usize,
    total: usize,
}

impl Count {
    fn add(&mut self, lost: usize, total: usize) {
        self.lost += lost;
        self.total += total;
    }

    fn share(self) -> f64 {
        self.lost as f64 / self.total.max(1) as f64
    }
}

#[derive(Debug)]
enum State {
    /// Loss is ours; it is counted at this rate.
    Ours { rate: f64, count: Count },
    /// It is being found out; at this rate so much was lost.
    Trying {
        rate: f64,
        loss: f64,
        since: Instant,
        count: Count,
    },
    /// The path loses this share whatever we do.
    Inherent { loss: f64, count: Count },
}

/// What to do about the losses of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ruling {
    /// They are a reason to send less.
    Count,
    /// They are none yet, nor is there one to send more.
    Hold,
    /// They are none.
    Ignore,
    /// They are none, and were none when this rate was left, in bit/s.
    Restore(f64),
}

#[derive(Debug)]
pub(super) struct Blame(State);

impl Blame {
    /// `rate` is the estimate at the beginning, in bit/s.
    pub(super) fn new(rate: f64) -> Self {
        Self(State::ours(rate))
    }

    /// So many of `total` reported packets were lost, while the estimate was
    /// `rate`.
    pub(super) fn judge(&mut self, lost: usize, total: usize, rate: f64, now: Instant) -> Ruling {
        match &mut self.0 {
            State::Ours { rate: high, count } => {
                count.add(lost, total);
                let (before, high) = (*count, *high);
                if rate > high {
                    self.0 = State::Ours {
                        rate,
                        count: before,
                    };
                } else if rate <= high * STEP {
                    let loss = before.share();
                    let known = before.total >= COUNTED && (LEAST..=MOST).contains(&loss);
                    self.0 = match known {
                        true => State::Trying {
                            rate: high,
                            loss,
                            since: now,
                            count: Count::default(),
                        },
                        false => State::ours(rate),
                    };
                } else if count.total >= AGAIN * 2 {
                    // What was long ago says little.
                    (count.lost, count.total) = (count.lost / 2, count.total / 2);
                }
                match &self.0 {
                    State::Trying { .. } => Ruling::Hold,
                    // A step before there is something to hold it against
                    // would change nothing.
                    _ if before.total < COUNTED && (LEAST..=MOST).contains(&before.share()) => {
                        Ruling::Hold
                    }
                    _ => Ruling::Count,
                }
            }
            State::Trying {
                rate: high,
                loss,
                since,
                count,
            } => {
                if now.saturating_duration_since(*since) < SETTLE {
                    return Ruling::Hold;
                }
                count.add(lost, total);
                if count.total < COUNTED {
                    return Ruling::Hold;
                }
                let (high, before, after) = (*high, *loss, count.share());
                if after <= MOST && after >= before * LEFT {
                    self.0 = State::Inherent {
                        loss: before.max(after),
                        count: Count::default(),
                    };
                    return Ruling::Restore(high);
                }
                self.0 = State::ours(rate);
                Ruling::Count
            }
            State::Inherent { loss, count } => {
                count.add(lost, total);
                if count.total < AGAIN {
                    return Ruling::Ignore;
                }
                let seen = count.share();
                if seen > *loss * GROWN.0 + GROWN.1 || seen < *loss * SHRUNK {
                    self.0 = State::ours(rate);
                    return Ruling::Count;
                }
                *count = Count::default();
                Ruling::Ignore
            }
        }
    }
}

impl State {
    fn ours(rate: f64) -> Self {
        Self::Ours {
            rate,
            count: Count::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// So many reports of 20 packets in 100 ms each; the last verdict that was no
    /// [`Ruling::Ignore`].
    fn report(blame: &mut Blame, lost: usize, rate: f64, now: &mut Instant, n: u32) -> Ruling {
        let mut last = Ruling::Ignore;
        for _ in 0..n {
            *now += MS * 100;
            match blame.judge(lost, 20, rate, *now) {
                Ruling::Ignore => {}
                verdict => last = verdict,
            }
        }
        last
    }

    #[test]
    fn loss_that_stays_when_less_is_sent_is_the_paths() {
        let mut now = Instant::now();
        let mut blame = Blame::new(2e6);
        assert_eq!(report(&mut blame, 3, 2e6, &mut now, 20), Ruling::Count);
        // While it is found out the rate is held.
        assert_eq!(report(&mut blame, 3, 1.5e6, &mut now, 10), Ruling::Hold);
        let mut verdict = Ruling::Hold;
        while verdict == Ruling::Hold {
            verdict = report(&mut blame, 3, 1.5e6, &mut now, 1);
        }
        assert_eq!(verdict, Ruling::Restore(2e6));
        assert_eq!(report(&mut blame, 3, 2e6, &mut now, 200), Ruling::Ignore);
        // Until there is much more of it, or hardly any.
        assert_eq!(report(&mut blame, 7, 2e6, &mut now, 60), Ruling::Count);
    }

    #[test]
    fn loss_that_goes_when_less_is_sent_is_ours() {
        let mut now = Instant::now();
        let mut blame = Blame::new(2e6);
        report(&mut blame, 4, 2e6, &mut now, 20);
        for _ in 0..25 {
            let verdict = report(&mut blame, 1, 1.6e6, &mut now, 1);
            assert!(matches!(verdict, Ruling::Hold | Ruling::Count));
        }
        assert_eq!(report(&mut blame, 4, 1.6e6, &mut now, 20), Ruling::Count);
    }

    #[test]
    fn what_loses_nearly_half_is_not_tried() {
        let mut now = Instant::now();
        let mut blame = Blame::new(2e6);
        report(&mut blame, 9, 2e6, &mut now, 10);
        assert_eq!(report(&mut blame, 9, 1.5e6, &mut now, 1), Ruling::Count);
    }

    #[test]
    fn a_few_packets_prove_nothing_unless_they_are_half_of_all() {
        let mut now = Instant::now();
        let mut blame = Blame::new(2e6);
        assert_eq!(report(&mut blame, 3, 2e6, &mut now, 14), Ruling::Hold);
        assert_eq!(report(&mut blame, 3, 2e6, &mut now, 4), Ruling::Count);
        // So large a loss does.
        assert_eq!(
            report(&mut Blame::new(2e6), 9, 2e6, &mut now, 1),
            Ruling::Count
        );
    }
}
