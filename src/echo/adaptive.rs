//! The canceller that learns the room. Pure.

use std::time::Duration;

use super::delay::Delay;
use super::filter::Filter;
use super::pace::Pace;
use super::suppressor::Suppressor;
use super::{Canceller, FRAME, Measured, RATE, Samples, power};

/// Frames of the room's response: 300 ms.
const PARTS: usize = 30;
/// The response begins in the filter so many samples from its start, 5 to 60 ms, and
/// there where it is moved: what comes earlier is lost, and what comes later costs the
/// room's end.
const HEAD: std::ops::RangeInclusive<isize> = 240..=2_880;
const MIDDLE: isize = 720;
/// What is read is behind by so much, or the card that hears has overtaken it.
const LEAST_LAG: usize = 48;
/// The mean square from which on what is played is a sound: 50 dB under full scale.
const SOUND: f32 = 10_000.0;
/// A filter that has learned a way leaves no more than this of the power.
const FOLLOWED: f32 = 0.5;

pub(super) struct Adaptive {
    pace: Pace,
    delay: Delay,
    filter: Filter,
    suppressor: Suppressor,
    trust: Trust,
}

impl Adaptive {
    pub(super) fn new() -> Self {
        Self {
            pace: Pace::new(FRAME),
            delay: Delay::new(),
            filter: Filter::new(FRAME, PARTS),
            suppressor: Suppressor::new(),
            trust: Trust::default(),
        }
    }

    /// Keeps the response where the filter has room for it.
    fn place(&mut self) {
        let Some(delay) = self.delay.found() else {
            return;
        };
        let head = delay as isize - self.pace.lag() as isize;
        let later = if !HEAD.contains(&head) {
            (head - MIDDLE).div_euclid(FRAME as isize)
        } else if self.pace.lag() < LEAST_LAG && head >= MIDDLE {
            1
        } else {
            0
        };
        if later != 0 && self.pace.later(later) {
            self.filter.shorten(later);
        }
    }
}

impl Canceller for Adaptive {
    fn cancel(&mut self, played: &Samples, heard: &mut Samples) -> bool {
        self.delay.learn(played, heard);
        self.place();
        let played = self.pace.read(played);
        self.filter.learn(&played, &*heard);
        let (estimate, error) = (self.filter.estimate(), self.filter.error());
        let powers = Powers {
            heard: power(heard),
            estimate: power(estimate),
            error: power(error),
        };
        if power(&played) >= SOUND {
            self.trust.judge(&powers);
            if powers.error < FOLLOWED * powers.heard {
                self.pace.follow(estimate, error);
            }
        }
        // One that has learned nothing yet makes it worse.
        let heard_before = *heard;
        let sound = if powers.error < powers.heard {
            error
        } else {
            &heard_before
        };
        self.suppressor
            .suppress(sound, estimate, self.filter.residual(), heard);
        self.trust.is_sure && self.delay.found().is_some()
    }

    fn rest(&mut self) {
        self.pace.still();
        self.delay.still();
        self.filter.still();
    }

    fn doubt(&mut self) {
        self.trust = Trust::default();
    }

    fn reset(&mut self) {
        *self = Self::new();
    }

    fn latency(&self) -> usize {
        Suppressor::LATENCY
    }

    fn measured(&self) -> Measured {
        let time = |samples| Duration::from_secs_f64(samples as f64 / f64::from(RATE));
        Measured {
            delay: self.delay.found().map(time),
            return_loss: self.trust.return_loss(),
            ppm: self.pace.rate() * 1e6,
        }
    }
}

/// Mean squares of a frame.
struct Powers {
    heard: f32,
    estimate: f32,
    error: f32,
}

/// Over how many frames, as a part of one, it is judged: a third of a second.
const SLOW: f32 = 0.03;
/// So much of the echo's ups and downs is in what is heard, where the filter knows it.
const EXPLAINED: std::ops::Range<f32> = 0.6..1.6;
/// And no more of them is in what it leaves: 11 dB of power are gone. The suppressor does
/// the rest.
const LEFT: f32 = 0.08;
/// With so much more power than before it has lost the way.
const WORSE: f32 = 1.1;
/// Frames in a row that it takes for the one and for the other.
const FRAMES: (u32, u32) = (30, 50);

/// Whether the filter knows the way. Near speech does not count, as it does not follow
/// the echo.
#[derive(Debug, Default)]
struct Trust {
    is_sure: bool,
    /// Frames in a row that speak for a change.
    frames: u32,
    heard: f32,
    estimate: f32,
    error: f32,
    /// How estimate and heard go together, estimate and error, and the first alone.
    explains: f32,
    leaves: f32,
    square: f32,
}

impl Trust {
    fn judge(&mut self, powers: &Powers) {
        let heard = powers.heard - self.heard;
        let estimate = powers.estimate - self.estimate;
        let error = powers.error - self.error;
        self.heard += SLOW * heard;
        self.estimate += SLOW * estimate;
        self.error += SLOW * error;
        self.explains += SLOW * (estimate * heard - self.explains);
        self.leaves += SLOW * (estimate * error - self.leaves);
        self.square += SLOW * (estimate * estimate - self.square);
        let explained = EXPLAINED.contains(&(self.explains / self.square));
        let left = self.leaves / self.square;
        let (changes, needed) = if self.is_sure {
            (self.error > WORSE * self.heard, FRAMES.1)
        } else {
            (
                explained && left < LEFT && self.error < self.heard,
                FRAMES.0,
            )
        };
        self.frames = if changes { self.frames + 1 } else { 0 };
        if self.frames >= needed {
            self.is_sure = !self.is_sure;
            self.frames = 0;
        }
    }

    /// In dB.
    fn return_loss(&self) -> f32 {
        10.0 * (self.heard.max(1.0) / self.error.max(1.0)).log10()
    }
}
