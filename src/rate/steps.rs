//! Fewer frames where an encoder makes more than it was asked for.
//!
//! At the end of its quantizer's scale an encoder makes what it makes, whatever
//! its target; what is too much for the paths then has to go by frames. A tier
//! goes from all of them to every second and every third one, and back step by
//! step: at once too much again, and the next attempt waits twice as long.

use std::time::{Duration, Instant};

/// No fewer frames than every third one.
const MOST: u32 = 3;
/// So much of its target, for so long, is too much.
const OVER: (f64, Duration) = (1.3, Duration::from_secs(3));
/// A target that fell is given so long to show.
const SETTLE: Duration = Duration::from_secs(1);
/// The first and the longest time until more frames are tried again.
const HOLD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(160));
/// Too much again so soon, and the attempt was in vain.
const VAIN: Duration = Duration::from_secs(6);
/// A target that rose by this since frames were left out is worth an attempt.
const RISEN: f64 = 1.5;

/// How many frames of a tier are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    every: u32,
    target: u32,
    /// Since when the target is this or more.
    settled: Option<Instant>,
    over: Option<Instant>,
    /// The last step, and the target at the last one to fewer.
    stepped: Option<Instant>,
    climbed: bool,
    stepped_at: u32,
    hold: Duration,
}

impl Steps {
    pub const ALL: Self = Self {
        every: 1,
        target: 0,
        settled: None,
        over: None,
        stepped: None,
        climbed: false,
        stepped_at: 0,
        hold: HOLD.0,
    };

    /// Every so manieth frame is encoded.
    pub fn every(&self) -> u32 {
        self.every
    }

    /// Takes what the encoder makes, in bit/s, of what it was asked for.
    pub fn look(&mut self, target: u32, made: u32, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        if target < self.target || self.settled.is_none() {
            self.settled = Some(now);
        }
        self.target = target;
        let settled = self.settled.is_some_and(|at| since(at) >= SETTLE);
        let too_much = settled && f64::from(made) > f64::from(target) * OVER.0;
        self.over = too_much.then(|| self.over.unwrap_or(now));
        if self.over.is_some_and(|at| since(at) >= OVER.1) && self.every < MOST {
            if self.climbed && self.stepped.is_some_and(|at| since(at) < VAIN) {
                self.hold = (self.hold * 2).min(HOLD.1);
            }
            self.step(self.every + 1, now);
            self.stepped_at = target;
            return;
        }
        let waited = self.stepped.is_some_and(|at| since(at) >= self.hold);
        let risen = f64::from(target) >= f64::from(self.stepped_at) * RISEN
            && self.stepped.is_some_and(|at| since(at) >= OVER.1);
        if self.every > 1 && !too_much && (waited || risen) {
            self.step(self.every - 1, now);
        } else if self.every == 1 && waited {
            self.hold = HOLD.0;
            self.stepped = None;
        }
    }

    fn step(&mut self, every: u32, now: Instant) {
        self.climbed = every < self.every;
        self.every = every;
        self.stepped = Some(now);
        self.over = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder that makes no frame smaller than so many bits, at 30 a second.
    fn run(steps: &mut Steps, now: &mut Instant, secs: u64, target: u32, least: u32) -> Vec<u32> {
        let mut changes = Vec::new();
        for _ in 0..secs {
            *now += Duration::from_secs(1);
            let made = (least * 30 / steps.every()).max(target);
            let before = steps.every();
            steps.look(target, made, *now);
            if steps.every() != before {
                changes.push(steps.every());
            }
        }
        changes
    }

    #[test]
    fn an_encoder_at_its_floor_gets_fewer_frames_and_one_that_obeys_all() {
        for (least, every) in [
            (1_000, 1),
            (12_000, 1),
            (16_000, 2),
            (30_000, 3),
            (90_000, 3),
        ] {
            let (mut steps, mut now) = (Steps::ALL, Instant::now());
            run(&mut steps, &mut now, 9, 300_000, least);
            assert_eq!(steps.every(), every, "{least}");
        }
    }

    #[test]
    fn what_does_not_hold_is_tried_ever_more_seldom() {
        let (mut steps, mut now) = (Steps::ALL, Instant::now());
        let changes = run(&mut steps, &mut now, 600, 300_000, 20_000);
        // Down, then pairs of an attempt and its end.
        assert_eq!(changes.first(), Some(&2));
        assert!((7..=13).contains(&changes.len()), "{changes:?}");
    }

    #[test]
    fn a_picture_that_became_easy_or_a_path_that_became_wide_has_all_frames_again() {
        for (target, least) in [(300_000, 1_000), (2_000_000, 30_000)] {
            let (mut steps, mut now) = (Steps::ALL, Instant::now());
            run(&mut steps, &mut now, 10, 300_000, 30_000);
            assert_eq!(steps.every(), 3);
            let changes = run(&mut steps, &mut now, 25, target, least);
            assert_eq!(changes, [2, 1]);
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
            assert_eq!(steps.every(), 1, "{i}");
        }
    }
}
