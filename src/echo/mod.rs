//! The acoustic echo canceller: of what the speaker played and what the microphone
//! heard it makes what viewers hear. Pure: samples and times go in, samples come out.
//!
//! * [`Played`] is the time line of what was given to the speaker.
//! * [`Microphone`] cuts what is heard into frames, puts beside each what sounded
//!   at that time, and lets nothing be heard while its canceller is not sure.
//! * [`record`] is what it did of late, for the log.
//! * [`adaptive`] is the canceller. [`filter`] learns the way from the speaker to the
//!   microphone, [`pace`] how far their two crystals are apart, [`delay`] how long
//!   that way is, [`suppressor`] takes away what the filter leaves.
//!
//! Not here: half-duplex, which is [`crate::media::duck`], and GStreamer.
//! `docs/talk.md` has the figures, and why no other canceller is used.

mod adaptive;
mod delay;
mod filter;
mod fourier;
mod microphone;
mod pace;
mod played;
mod record;
mod suppressor;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use microphone::{Microphone, News};
pub(crate) use played::Played;
pub(crate) use record::Report;

/// Samples a second, of everything here.
pub(crate) const RATE: u32 = 48_000;
/// Samples of a frame: 10 ms.
const FRAME: usize = 480;

/// 16 bits, as a number without their limits.
type Samples = [f32; FRAME];

/// Takes out of what a microphone hears what the speaker plays.
trait Canceller: Send {
    /// The next frame: what sounded at that time, and what was heard, which becomes
    /// what may be heard of it, [`latency`](Self::latency) later. False while that is
    /// not to be relied on.
    fn cancel(&mut self, played: &Samples, heard: &mut Samples) -> bool;

    /// The speaker was silent for longer than the room remembers, and nothing was given
    /// to [`cancel`](Self::cancel) meanwhile.
    fn rest(&mut self);

    /// The speaker was opened anew: what was learned holds, if its card is as late as it
    /// was before.
    fn doubt(&mut self);

    /// What was learned holds no more: it is another speaker or microphone.
    fn reset(&mut self);

    /// Samples by which what comes out is behind what goes in.
    fn latency(&self) -> usize;

    /// What is known so far.
    fn measured(&self) -> Measured;
}

/// What a canceller measures of the room and the cards.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Measured {
    /// From the time at which a sound leaves the speaker, as its card says, to that at
    /// which the microphone's card has it: the way through the air, and what both cards
    /// keep to themselves.
    pub(crate) delay: Option<Duration>,
    /// By how much the echo is weaker after the filter, in dB.
    pub(crate) return_loss: f32,
    /// How much faster the speaker's crystal is than the microphone's, in parts in a
    /// million.
    pub(crate) ppm: f64,
}

/// The mean square of these samples.
fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}
