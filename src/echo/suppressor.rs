//! Takes away what a filter leaves of an echo: what it has not learned, a speaker that
//! rattles, and what a room keeps for longer. Pure.
//!
//! How much there is left, in each bin, is told by how it follows the echo: who speaks
//! in front of the microphone does not. While only the echo is there it is pushed down
//! with force; while somebody speaks, no more than can be heard beside them.

use super::FRAME;
use super::fourier::{Bin, Fourier};

const BINS: usize = FRAME + 1;
/// Neighbours on both sides over which powers are averaged: 100 Hz each.
const NEAR: usize = 2;
/// What a room keeps of an echo with each frame: a second and more for 60 dB.
const TAIL: f32 = 0.9;
/// How fast what is left is learned: over half a second.
const SLOW: f32 = 0.02;
/// At least this part is left, and at most all of it.
const LEFT: (f32, f32) = (0.000_5, 1.0);
/// By so much what is left is taken for more than it seems, and no bin is weaker than
/// the second, as a part of what it was: while there is an echo only, and while
/// somebody speaks.
const ECHO: (f32, f32) = (8.0, 0.01);
const SPEECH: (f32, f32) = (1.0, 0.1);
/// So much louder than what is left of the echo, in dB, the sound is nobody's speech,
/// and certainly somebody's.
const LOUDER: (f32, f32) = (3.0, 8.0);
/// Bins where speech is loud: 300 to 4000 Hz.
const VOICE: std::ops::Range<usize> = 6..80;
/// How much of a bin's past its gain follows: less of it sounds like water.
const SMOOTH: f32 = 0.8;

/// What is known of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Means of the sound's power and the echo's, their variance and that of the echo.
    sound: f32,
    echo: f32,
    both: f32,
    square: f32,
    /// The echo's power, with what the room keeps of it.
    tail: f32,
    /// What passed of the last frame.
    passed: f32,
}

impl Known {
    /// Of the next frame: the power of what is left of the echo.
    fn left(&mut self, sound: f32, echo: f32, doubt: f32) -> f32 {
        self.tail = echo.max(self.tail * TAIL);
        let (more, louder) = (sound - self.sound, echo - self.echo);
        self.sound += SLOW * more;
        self.echo += SLOW * louder;
        let weight = SLOW * echo / (echo + self.echo + 1.0);
        self.both += weight * (more * louder - self.both);
        self.square += weight * (louder * louder - self.square);
        let left = (self.both / (self.square + 1e3)).clamp(LEFT.0, LEFT.1);
        (left * self.tail).max(doubt) + 1e-3
    }

    /// What to multiply it with (Ephraim and Malah's decision-directed gain).
    fn gain(&mut self, sound: f32, left: f32, least: f32) -> f32 {
        let now = (sound / left - 1.0).max(0.0);
        let ratio = SMOOTH * self.passed / left + (1.0 - SMOOTH) * now;
        let gain = (ratio / (1.0 + ratio)).max(least);
        self.passed = gain * gain * sound;
        gain
    }
}

pub(super) struct Suppressor {
    fourier: Fourier,
    window: Vec<f32>,
    sound: Vec<f32>,
    echo: Vec<f32>,
    /// The second half of what was made of the last frame.
    rest: Vec<f32>,
    known: Vec<Known>,
    /// How certain it is that somebody speaks, from 0 to 1.
    speech: f32,
}

impl Suppressor {
    /// What comes out is so many samples behind.
    pub(super) const LATENCY: usize = FRAME;

    pub(super) fn new() -> Self {
        let turn = std::f32::consts::PI / (2 * FRAME) as f32;
        Self {
            fourier: Fourier::new(2 * FRAME),
            window: (0..2 * FRAME)
                .map(|i| (turn * (i as f32 + 0.5)).sin())
                .collect(),
            sound: vec![0.0; 2 * FRAME],
            echo: vec![0.0; 2 * FRAME],
            rest: vec![0.0; FRAME],
            known: vec![Known::default(); BINS],
            speech: 0.0,
        }
    }

    /// A frame of what the filter left, of what it took for the echo, and the power of
    /// each bin by which that may be wrong. What is to be heard goes to `out`.
    pub(super) fn suppress(&mut self, sound: &[f32], echo: &[f32], doubt: &[f32], out: &mut [f32]) {
        let mut bins = vec![Bin::default(); BINS];
        let echoes = self.powers(echo, false, &mut bins);
        let sounds = self.powers(sound, true, &mut bins);
        let mut left = vec![0.0; BINS];
        for (k, known) in self.known.iter_mut().enumerate() {
            left[k] = known.left(sounds[k], echoes[k], doubt[k]);
        }
        self.listen(sounds[VOICE].iter().sum::<f32>() / left[VOICE].iter().sum::<f32>());
        let mix = |echo: f32, speech: f32| {
            (echo.ln() * (1.0 - self.speech) + speech.ln() * self.speech).exp()
        };
        let (over, least) = (mix(ECHO.0, SPEECH.0), mix(ECHO.1, SPEECH.1));
        for (k, known) in self.known.iter_mut().enumerate() {
            bins[k] *= known.gain(sounds[k], over * left[k], least);
        }
        let samples = self.fourier.backward(&bins);
        for i in 0..FRAME {
            out[i] = self.rest[i] + samples[i] * self.window[i];
            self.rest[i] = samples[FRAME + i] * self.window[FRAME + i];
        }
    }

    /// How much louder the sound is than what is left of the echo.
    fn listen(&mut self, ratio: f32) {
        let louder = 10.0 * ratio.log10();
        let speech = ((louder - LOUDER.0) / (LOUDER.1 - LOUDER.0)).clamp(0.0, 1.0);
        // It begins at once, and ends between two words.
        let fast = if speech > self.speech { 0.6 } else { 0.15 };
        self.speech += fast * (speech - self.speech);
    }

    /// Powers of the next frame with the one before, averaged over some bins each, which
    /// are in `bins`.
    fn powers(&mut self, frame: &[f32], is_sound: bool, bins: &mut [Bin]) -> Vec<f32> {
        let both = if is_sound {
            &mut self.sound
        } else {
            &mut self.echo
        };
        both.copy_within(FRAME.., 0);
        both[FRAME..].copy_from_slice(frame);
        let windowed = both.iter().zip(&self.window).map(|(s, w)| s * w);
        self.fourier.forward(windowed, bins);
        let powers: Vec<f32> = bins.iter().map(|bin| bin.norm_sqr()).collect();
        let around = |k: usize| {
            let near = &powers[k.saturating_sub(NEAR)..(k + NEAR + 1).min(BINS)];
            near.iter().sum::<f32>() / near.len() as f32
        };
        (0..BINS).map(around).collect()
    }
}
