//! Reads what was played at the pace of the card that hears it. Pure.
//!
//! Two crystals are some tens of parts in a million apart, and a filter that learns
//! the way to the microphone would have to learn it anew all the time. Where what it
//! expects comes too early or too late, that shows in the product of its error and
//! of the slope of what it expects: as with a radio that keeps to its station.

use std::collections::VecDeque;

use super::{FRAME, Samples};

/// Samples on both sides of one that is between two.
const SIDE: usize = 8;
/// Places between two samples for which the weights are kept.
const PLACES: usize = 256;
/// Half a second, the longest delay, and what is read ahead.
const MOST: usize = 64 * FRAME;
/// By so much the pace changes with each frame, for each sample that it is off.
const STEP: f64 = 20e-6;
/// So far apart are no two crystals.
const LIMIT: f64 = 500e-6;
/// A frame in which something is to be heard counts as that many others at most.
const HEAVIEST: f64 = 2.0;
/// Slopes of digital silence, for each frame.
const SILENCE: f64 = 4.8e6;

pub(super) struct Pace {
    past: VecDeque<f32>,
    /// How far what is read next is behind the last sample.
    lag: f64,
    rate: f64,
    /// The mean square of the slope.
    slopes: f64,
    weights: Vec<[f32; 2 * SIDE]>,
}

impl Pace {
    /// What is read is so many samples behind.
    pub(super) fn new(lag: usize) -> Self {
        let weights = |place: usize| {
            let between = place as f32 / PLACES as f32;
            std::array::from_fn(|i| {
                let at = i as f32 - (SIDE - 1) as f32 - between;
                let angle = std::f32::consts::PI * at;
                let window = 0.5 + 0.5 * (angle / (SIDE as f32 + 0.5)).cos();
                let sinc = if at == 0.0 { 1.0 } else { angle.sin() / angle };
                sinc * window
            })
        };
        Self {
            past: std::iter::repeat_n(0.0, MOST).collect(),
            lag: lag as f64,
            rate: 0.0,
            slopes: SILENCE,
            weights: (0..=PLACES).map(weights).collect(),
        }
    }

    /// How much faster the card that plays is, as a part of one.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// How far what is read is behind, in samples.
    pub(super) fn lag(&self) -> usize {
        self.lag as usize
    }

    /// Reads so many frames later than before, or earlier where that is negative; false
    /// where it cannot.
    pub(super) fn later(&mut self, frames: isize) -> bool {
        let lag = self.lag + (frames * FRAME as isize) as f64;
        let is_there = (FRAME as f64..(MOST - 3 * FRAME) as f64).contains(&lag);
        if is_there {
            self.lag = lag;
        }
        is_there
    }

    /// Takes a frame, and reads one.
    pub(super) fn read(&mut self, played: &Samples) -> Samples {
        self.past.drain(..FRAME);
        self.past.extend(played);
        let past = &*self.past.make_contiguous();
        let first = (MOST - FRAME) as f64 - self.lag;
        // The last one that is to be read has its neighbours still.
        let rate = self
            .rate
            .min((self.lag - (SIDE + 1) as f64).max(0.0) / FRAME as f64);
        let weights = &self.weights;
        let frame = std::array::from_fn(|i| {
            let at = first + i as f64 * (1.0 + rate);
            let (whole, part) = (at.floor(), at - at.floor());
            let weights = &weights[(part * PLACES as f64).round() as usize];
            let from = whole as usize - (SIDE - 1);
            let around = &past[from..from + 2 * SIDE];
            around.iter().zip(weights).map(|(s, w)| s * w).sum()
        });
        self.lag -= rate * FRAME as f64;
        frame
    }

    /// What was expected of the last frame, and what was heard beside it.
    pub(super) fn follow(&mut self, estimate: &[f32], error: &[f32]) {
        let (mut product, mut square) = (0.0, SILENCE);
        for (around, error) in estimate.windows(3).zip(&error[1..]) {
            let slope = f64::from(around[2] - around[0]) / 2.0;
            product += f64::from(*error) * slope;
            square += slope * slope;
        }
        self.slopes += 0.05 * (square - self.slopes);
        let off = (product / square).clamp(-0.5, 0.5);
        let weight = (square / self.slopes).min(HEAVIEST);
        self.rate = (self.rate + STEP * off * weight).clamp(-LIMIT, LIMIT);
    }

    /// Nothing was played for as long as it is remembered.
    pub(super) fn still(&mut self) {
        self.past.iter_mut().for_each(|sample| *sample = 0.0);
    }
}
