//! Fewer and smaller frames where an encoder makes more than it was asked for.
//!
//! At the end of its quantizer's scale an encoder makes what it makes, whatever
//! its target; what is too much for the paths then has to go by frames and by
//! pixels. A tier goes down [`LADDER`], faster the more is too much, and back as
//! soon as what it made says that it fits, or to see whether it does: too much
//! again, and it is back at once, and the next attempt waits twice as long.

use std::time::{Duration, Instant};

use crate::backoff::doubled;

/// What is encoded of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rung {
    /// One of so many frames.
    pub every: u32,
    /// Of this share of its width and height, in percent.
    pub percent: u32,
}

impl Rung {
    /// The share of the tier's pixels that are encoded.
    fn share(self) -> f64 {
        let side = f64::from(self.percent) / 100.0;
        side * side / f64::from(self.every)
    }
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
/// So much for so long is, too: one second may have a key frame. It is so long
/// as well after an attempt at more.
const FAR_OVER: (f64, Duration) = (2.0, Duration::from_secs(1));
/// So many rungs at once, where it takes as many.
const AT_ONCE: usize = 2;
/// By what the encoder made elsewhere on the ladder, more fits where it would
/// make no more than this of its target.
const FITS: f64 = 1.1;
/// A target that fell is given so long to show, and so is a step.
const SETTLE: Duration = Duration::from_secs(1);
/// The first and the longest time until more is tried again.
const HOLD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(160));
/// An attempt failed when there is too much again so soon.
const VAIN: Duration = Duration::from_secs(6);
/// What an encoder makes at the least is of the scene, and for so long it is
/// taken to be that of the next viewer, too.
const REMEMBERED: Duration = Duration::from_secs(120);

/// An encoder that makes too much: since when, and the least of it in bit/s.
#[derive(Debug, Clone, Copy)]
struct Excess {
    since: Instant,
    least: u32,
}

/// How much of a tier is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    down: usize,
    /// The highest target of late, and when it was that.
    high: Option<(u32, Instant)>,
    over: Option<Excess>,
    /// The last step.
    stepped: Option<Instant>,
    climbed: bool,
    hold: Duration,
    /// What the encoder would make at the least of all frames, whole, in bit/s:
    /// by what it made of fewer. Known where that was once too much.
    least: Option<f64>,
    looked: Option<Instant>,
}

impl Steps {
    pub(super) const ALL: Self = Self {
        down: 0,
        high: None,
        over: None,
        stepped: None,
        climbed: false,
        hold: HOLD.0,
        least: None,
        looked: None,
    };

    /// What is encoded.
    pub(super) fn rung(&self) -> Rung {
        LADDER[self.down]
    }

    /// Nobody watches any more.
    pub(super) fn rest(&mut self) {
        *self = Self {
            least: self.least,
            looked: self.looked,
            ..Self::ALL
        };
    }

    /// Somebody comes; the encoder will be asked for `target` bit/s.
    pub(super) fn begin(&mut self, target: u32, now: Instant) {
        let is_old = |at| now.saturating_duration_since(at) > REMEMBERED;
        if self.looked.is_none_or(is_old) {
            self.least = None;
        }
        let most = f64::from(target) * OVER.0;
        let fits = |i: &usize| self.would_make(*i).is_none_or(|bits| bits <= most);
        let down = (0..LADDER.len()).find(fits);
        let down = down.unwrap_or(LADDER.len() - 1);
        if down > self.down {
            self.step(down, now);
        }
    }

    /// Takes what the encoder makes, in bit/s, of what it was asked for.
    pub(super) fn look(&mut self, target: u32, made: u32, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        self.looked = Some(now);
        // Held against what was asked for of late: a path's estimate goes down a
        // little all the time.
        let high = self
            .high
            .filter(|(high, at)| *high > target && since(*at) <= SETTLE);
        let (high, _) = *self.high.insert(high.unwrap_or((target, now)));
        let settled = self.stepped.is_none_or(|at| since(at) > SETTLE);
        if f64::from(made) <= f64::from(high) * OVER.0 {
            self.over = None;
            if settled {
                let least = f64::from(made) / self.rung().share();
                self.least = self.least.map(|known| known.min(least));
            }
            self.climb(target, now);
            return;
        }
        let excess = self.over.get_or_insert(Excess {
            since: now,
            least: made,
        });
        excess.least = excess.least.min(made);
        let Excess { since: at, least } = *excess;
        let in_vain = self.climbed && self.stepped.is_some_and(|at| since(at) < VAIN);
        let patience = match in_vain || f64::from(least) > f64::from(high) * FAR_OVER.0 {
            true => FAR_OVER.1,
            false => OVER.1,
        };
        if since(at) < patience || self.down + 1 >= LADDER.len() {
            return;
        }
        if in_vain {
            self.hold = doubled(self.hold, 1, HOLD.1);
        }
        self.least = Some(f64::from(least) / self.rung().share());
        let most = f64::from(high) * OVER.0;
        let fits = |i: &usize| self.would_make(*i).is_some_and(|bits| bits <= most);
        let furthest = (self.down + AT_ONCE).min(LADDER.len() - 1);
        let down = (self.down + 1..furthest).find(fits).unwrap_or(furthest);
        self.step(down, now);
    }

    /// Goes up where more fits, and where it is time to see whether it does.
    fn climb(&mut self, target: u32, now: Instant) {
        let waited = |time| {
            self.stepped
                .is_some_and(|at| now.saturating_duration_since(at) >= time)
        };
        let most = f64::from(target) * FITS;
        let fits = |i: &usize| self.would_make(*i).is_some_and(|bits| bits <= most);
        let up = (0..self.down).find(fits).filter(|_| waited(OVER.1));
        let attempt = self.down.checked_sub(1).filter(|_| waited(self.hold));
        if let Some(up) = up.or(attempt) {
            self.step(up, now);
        } else if self.down == 0 && waited(self.hold) {
            self.hold = HOLD.0;
            self.stepped = None;
        }
    }

    /// What the encoder would make at the least on this rung, in bit/s, as far
    /// as that is known.
    fn would_make(&self, rung: usize) -> Option<f64> {
        self.least.map(|least| least * LADDER[rung].share())
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
            // Sooner, the more is too much.
            let changes = run(&mut steps, &mut now, 5, 300_000, least);
            assert_eq!(steps.rung(), LADDER[down], "{least}: {changes:?}");
            assert!(changes.len() <= 2, "{least}: {changes:?}");
            // And no further.
            let changes = run(&mut steps, &mut now, 12, 300_000, least);
            let below = |rung: &Rung| LADDER[down + 1..].contains(rung);
            assert!(!changes.iter().any(below), "{least}: {changes:?}");
        }
    }

    #[test]
    fn an_attempt_in_vain_is_over_after_two_looks() {
        let (mut steps, mut now) = (Steps::ALL, Instant::now());
        run(&mut steps, &mut now, 5, 300_000, 32_000);
        assert_eq!(steps.rung(), rung(2, 67));
        let mut above = 0;
        for _ in 0..60 {
            run(&mut steps, &mut now, 1, 300_000, 32_000);
            above += u32::from(steps.rung() != rung(2, 67));
        }
        assert!((2..=6).contains(&above), "{above} s of 60");
    }

    /// What an encoder makes at the least is of the scene, not of who watches.
    #[test]
    fn the_next_viewer_begins_where_the_last_one_had_come_to() {
        let (mut steps, mut now) = (Steps::ALL, Instant::now());
        run(&mut steps, &mut now, 5, 300_000, 30_000);
        let at = |target, wait| {
            let mut next = steps;
            next.rest();
            next.begin(target, now + wait);
            next.rung()
        };
        assert_eq!(at(300_000, SETTLE), rung(2, 67));
        assert_eq!(at(400_000, SETTLE), rung(2, 100));
        assert_eq!(at(2_000_000, SETTLE), rung(1, 100));
        // Another scene, for all that is known.
        assert_eq!(at(300_000, REMEMBERED * 2), rung(1, 100));
        // Nothing is known of an encoder that obeyed.
        let mut obeys = Steps::ALL;
        run(&mut obeys, &mut now, 5, 300_000, 1_000);
        obeys.rest();
        obeys.begin(100_000, now);
        assert_eq!(obeys.rung(), rung(1, 100));
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
        let steps_up: [&[Rung]; 2] = [&[rung(2, 100), rung(1, 100)], &[rung(1, 100)]];
        for (target, least, up) in [
            (300_000, 1_000, steps_up[0]),
            (2_000_000, 30_000, steps_up[1]),
        ] {
            let (mut steps, mut now) = (Steps::ALL, Instant::now());
            run(&mut steps, &mut now, 10, 300_000, 30_000);
            assert_eq!(steps.rung(), rung(2, 67));
            let changes = run(&mut steps, &mut now, 25, target, least);
            assert_eq!(changes, up);
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
