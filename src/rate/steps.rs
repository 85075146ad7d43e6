//! Fewer and smaller frames where an encoder makes more than it was asked for.
//!
//! At the end of its quantizer's scale an encoder makes what it makes, whatever
//! its target; what is too much for the paths then has to go by frames and by
//! pixels. A tier goes down [`LADDER`] a rung at a time, and back: at once too
//! much again, and the next attempt waits twice as long.

use std::time::{Duration, Instant};

/// What is encoded of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rung {
    /// Every so manieth frame.
    pub every: u32,
    /// Of this share of its width and height, in percent.
    pub percent: u32,
}

const fn rung(every: u32, percent: u32) -> Rung {
    Rung { every, percent }
}

/// Half of the frames are missed less than half of the sharpness; ten frames a
/// second are as few as still move.
const LADDER: [Rung; 5] = [
    rung(1, 100),
    rung(2, 100),
    rung(2, 67),
    rung(2, 50),
    rung(3, 50),
];
/// So much of its target, for so long, is too much.
const OVER: (f64, Duration) = (1.3, Duration::from_secs(3));
/// A target that fell is given so long to show.
const SETTLE: Duration = Duration::from_secs(1);
/// The first and the longest time until more is tried again.
const HOLD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(160));
/// Too much again so soon, and the attempt was in vain.
const VAIN: Duration = Duration::from_secs(6);
/// A target that rose by this since something was left out is worth an attempt.
const RISEN: f64 = 1.5;

/// How much of a tier is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    down: usize,
    /// The highest target of late, and when it was that.
    high: Option<(u32, Instant)>,
    over: Option<Instant>,
    /// The last step, and the target at the last one down.
    stepped: Option<Instant>,
    climbed: bool,
    stepped_at: u32,
    hold: Duration,
}

impl Steps {
    pub const ALL: Self = Self {
        down: 0,
        high: None,
        over: None,
        stepped: None,
        climbed: false,
        stepped_at: 0,
        hold: HOLD.0,
    };

    /// What is encoded.
    pub fn rung(&self) -> Rung {
        LADDER[self.down]
    }

    /// Takes what the encoder makes, in bit/s, of what it was asked for.
    pub fn look(&mut self, target: u32, made: u32, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        // Held against what was asked for of late: a path's estimate goes down a
        // little all the time.
        let high = self
            .high
            .filter(|(high, at)| *high > target && since(*at) <= SETTLE);
        let (high, _) = *self.high.insert(high.unwrap_or((target, now)));
        let too_much = f64::from(made) > f64::from(high) * OVER.0;
        self.over = too_much.then(|| self.over.unwrap_or(now));
        if self.over.is_some_and(|at| since(at) >= OVER.1) && self.down + 1 < LADDER.len() {
            if self.climbed && self.stepped.is_some_and(|at| since(at) < VAIN) {
                self.hold = (self.hold * 2).min(HOLD.1);
            }
            self.step(self.down + 1, now);
            self.stepped_at = target;
            return;
        }
        let waited = self.stepped.is_some_and(|at| since(at) >= self.hold);
        let risen = f64::from(target) >= f64::from(self.stepped_at) * RISEN
            && self.stepped.is_some_and(|at| since(at) >= OVER.1);
        if self.down > 0 && !too_much && (waited || risen) {
            self.step(self.down - 1, now);
        } else if self.down == 0 && waited {
            self.hold = HOLD.0;
            self.stepped = None;
        }
    }

    fn step(&mut self, down: usize, now: Instant) {
        self.climbed = down < self.down;
        self.down = down;
        self.stepped = Some(now);
        self.over = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder that makes no whole frame smaller than so many bits, at 30 a
    /// second.
    fn run(steps: &mut Steps, now: &mut Instant, secs: u64, target: u32, least: u32) -> Vec<Rung> {
        let mut changes = Vec::new();
        for _ in 0..secs {
            *now += Duration::from_secs(1);
            let Rung { every, percent } = steps.rung();
            let made = (least * 30 / every * percent / 100 * percent / 100).max(target);
            steps.look(target, made, *now);
            if steps.rung() != rung(every, percent) {
                changes.push(steps.rung());
            }
        }
        changes
    }

    #[test]
    fn an_encoder_at_its_floor_gets_less_to_do_and_one_that_obeys_all() {
        for (least, down) in [
            (1_000, 0),
            (12_000, 0),
            (16_000, 1),
            (30_000, 2),
            (50_000, 2),
            (90_000, 3),
            (140_000, 4),
            (500_000, 4),
        ] {
            let (mut steps, mut now) = (Steps::ALL, Instant::now());
            let changes = run(&mut steps, &mut now, 17, 300_000, least);
            // One rung after the other, and no further.
            assert_eq!(changes[..down], LADDER[1..=down], "{least}");
            let below = |rung: &Rung| LADDER[down + 1..].contains(rung);
            assert!(!changes.iter().any(below), "{least}: {changes:?}");
        }
    }

    #[test]
    fn what_does_not_hold_is_tried_ever_more_seldom() {
        let (mut steps, mut now) = (Steps::ALL, Instant::now());
        let changes = run(&mut steps, &mut now, 600, 300_000, 20_000);
        // Down, then pairs of an attempt and its end.
        assert_eq!(changes.first(), Some(&rung(2, 100)));
        assert!((7..=13).contains(&changes.len()), "{changes:?}");
    }

    #[test]
    fn a_picture_that_became_easy_or_a_path_that_became_wide_has_all_frames_again() {
        for (target, least) in [(300_000, 1_000), (2_000_000, 30_000)] {
            let (mut steps, mut now) = (Steps::ALL, Instant::now());
            run(&mut steps, &mut now, 10, 300_000, 30_000);
            assert_eq!(steps.rung(), rung(2, 67));
            let changes = run(&mut steps, &mut now, 25, target, least);
            assert_eq!(changes, [rung(2, 100), rung(1, 100)]);
        }
    }

    #[test]
    fn one_key_frame_or_a_target_that_just_fell_is_no_reason() {
        let (mut steps, mut now) = (Steps::ALL, Instant::now());
        for i in 0..200_u32 {
            now += Duration::from_millis(500);
            // A key frame every two seconds; a target that is halved.
            let target = if i < 100 { 1_000_000 } else { 400_000 };
            let made = match i {
                100 | 101 => 1_000_000,
                _ if i.is_multiple_of(4) => target * 2,
                _ => target,
            };
            steps.look(target, made, now);
            assert_eq!(steps.rung(), rung(1, 100), "{i}");
        }
    }
    /// It was not seen at all, and more was tried again.
    #[test]
    fn a_target_that_trembles_does_not_hide_that_it_is_too_much() {
        let (mut steps, mut now) = (Steps::ALL, Instant::now());
        for i in 0..16_u32 {
            now += Duration::from_secs(1);
            steps.look(
                if i.is_multiple_of(2) {
                    510_000
                } else {
                    490_000
                },
                1_000_000,
                now,
            );
        }
        assert_eq!(steps.rung(), LADDER[4]);
    }
}
