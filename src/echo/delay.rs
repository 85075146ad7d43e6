//! How long a sound takes from the speaker to the microphone. Pure.
//!
//! A filter at a twelfth of the rate learns half a second of the way, which costs
//! little; the delay is where its response begins.

use super::filter::Filter;
use super::{FRAME, RATE, Samples, power};

/// It works at a rate that is so much lower: 4 kHz, where speech is.
const LOWER: usize = 12;
const BLOCK: usize = FRAME / LOWER;
/// Half a second.
const PARTS: usize = 50;
/// So often it is looked at, in frames.
const LOOK: u32 = 25;
/// Samples of the low-pass filter.
const TAPS: usize = 8 * LOWER;
/// What the response is averaged over, in samples of the lower rate: 2 ms.
const WIDTH: usize = 8;
/// Its peak has so many times the mean energy, or it is noise.
const PEAK: f32 = 10.0;
/// It begins where it has this part of the peak's energy, and no earlier than 150 ms
/// before that.
const BEGINS: f32 = 0.3;
const EARLIER: usize = 600;
/// Looks that agree to 4 ms, in samples of the lower rate, before it is believed.
const LOOKS: u32 = 3;
const AGREE: usize = 16;
/// A filter that has learned a way leaves no more than this of the power, over half a
/// second.
const LEFT: f32 = 0.5;
const SLOW: f32 = 0.02;

/// A signal at the lower rate.
struct Lowered {
    shape: Vec<f32>,
    past: Vec<f32>,
}

impl Lowered {
    fn new() -> Self {
        // A sinc of 1.8 kHz under a Hann window.
        let middle = (TAPS - 1) as f32 / 2.0;
        let shape = (0..TAPS).map(|i| {
            let at = i as f32 - middle;
            let angle = std::f32::consts::PI * at * 0.9 / LOWER as f32;
            let window = (std::f32::consts::PI * at / TAPS as f32).cos().powi(2);
            angle.sin() / angle * window * 0.9 / LOWER as f32
        });
        Self {
            shape: shape.collect(),
            past: vec![0.0; TAPS + FRAME],
        }
    }

    fn of(&mut self, samples: &Samples) -> [f32; BLOCK] {
        self.past.copy_within(FRAME.., 0);
        self.past[TAPS..].copy_from_slice(samples);
        std::array::from_fn(|i| {
            let past = &self.past[LOWER * i..];
            past.iter().zip(&self.shape).map(|(s, t)| s * t).sum()
        })
    }
}

pub(super) struct Delay {
    played: Lowered,
    heard: Lowered,
    filter: Filter,
    frames: u32,
    /// Mean squares of what is heard, and of what the filter leaves.
    powers: (f32, f32),
    /// Where the response began in the last looks, and how many agree.
    candidate: (usize, u32),
    found: Option<usize>,
}

impl Delay {
    pub(super) fn new() -> Self {
        Self {
            played: Lowered::new(),
            heard: Lowered::new(),
            filter: Filter::new(BLOCK, PARTS),
            frames: 0,
            powers: (0.0, 0.0),
            candidate: (0, 0),
            found: None,
        }
    }

    /// A frame in which the speaker is not silent, or was not shortly before.
    pub(super) fn learn(&mut self, played: &Samples, heard: &Samples) {
        let (played, heard) = (self.played.of(played), self.heard.of(heard));
        self.filter.learn(&played, &heard);
        self.powers.0 += SLOW * (power(&heard) - self.powers.0);
        self.powers.1 += SLOW * (power(self.filter.error()) - self.powers.1);
        self.frames += 1;
        if self.frames.is_multiple_of(LOOK) {
            self.look();
        }
    }

    fn look(&mut self) {
        let begins = begin(&self.filter.response());
        let Some(begins) = begins.filter(|_| self.powers.1 < LEFT * self.powers.0) else {
            return;
        };
        let (before, looks) = self.candidate;
        let looks = if begins.abs_diff(before) <= AGREE {
            looks + 1
        } else {
            1
        };
        self.candidate = (begins, looks);
        if looks >= LOOKS {
            self.found = Some(begins);
        }
    }

    pub(super) fn still(&mut self) {
        self.filter.still();
    }

    /// In samples, once it is found.
    pub(super) fn found(&self) -> Option<usize> {
        Some(self.found? * LOWER)
    }
}

/// Where a response begins, if it is one.
fn begin(response: &[f32]) -> Option<usize> {
    let of = |window: &[f32]| window.iter().map(|s| s * s).sum::<f32>();
    let windows: Vec<f32> = response.windows(WIDTH).map(of).collect();
    let mean = windows.iter().sum::<f32>() / windows.len() as f32;
    let (at, peak) = windows
        .iter()
        .copied()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    if peak < PEAK * mean || peak <= 0.0 {
        return None;
    }
    let from = at.saturating_sub(EARLIER);
    let first = windows[from..].iter().position(|w| *w >= BEGINS * peak)?;
    // The window's middle is there.
    Some(from + first + WIDTH / 2)
}

const _: () = assert!(RATE as usize / LOWER == 4_000 && FRAME.is_multiple_of(LOWER));
