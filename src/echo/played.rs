//! What was given to the speaker, by the time at which it sounds. Pure: times are those
//! of the media clock, and come in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::record::{Record, Report};
use super::{FRAME, Measured, RATE, Samples};
use crate::lock::lock;

/// Samples that are kept: more than a microphone and its driver are behind.
const KEPT: usize = 2 * RATE as usize;
/// Where what comes next is off by no more, GStreamer plays it without a gap
/// (`alignment-threshold` of its sinks).
const ALIGNED: i64 = RATE as i64 / 25;

/// Places on the time line, in samples.
fn place(at: Duration) -> i64 {
    let samples = at.as_nanos() * u128::from(RATE) / 1_000_000_000;
    i64::try_from(samples).unwrap_or(i64::MAX)
}

/// The speaker's time line. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Played(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Somebody wants to know.
    wanted: AtomicBool,
    line: Mutex<Line>,
    /// What the canceller did.
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Line {
    samples: VecDeque<i16>,
    /// The place behind the last of them.
    end: i64,
    at: Speaker,
}

/// Which speaker it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Speaker {
    /// How often it was opened.
    pub(super) run: u64,
    /// How often it was another one, or lost.
    pub(super) device: u64,
}

impl Played {
    /// Whether what is played is to be kept: there is a canceller.
    pub(crate) fn want(&self, wanted: bool) {
        self.0.wanted.store(wanted, Ordering::Release);
        self.lost();
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Acquire)
    }

    /// The speaker is opened anew.
    pub(crate) fn opened(&self) {
        lock(&self.0.line).at.run += 1;
    }

    /// It was unplugged or has failed, or it is another one now.
    pub(crate) fn lost(&self) {
        lock(&self.0.line).at.device += 1;
    }

    /// These samples sound from this time on.
    pub(crate) fn give(&self, at: Duration, samples: impl ExactSizeIterator<Item = i16>) {
        let line = &mut *lock(&self.0.line);
        let off = place(at) - line.end;
        if off.abs() > ALIGNED {
            line.end += off;
            let count = usize::try_from(off.unsigned_abs()).unwrap_or(KEPT);
            let kept = line.samples.len();
            if off < 0 {
                line.samples.truncate(kept.saturating_sub(count));
            } else if count >= KEPT {
                line.samples.clear();
            } else {
                line.samples.resize(kept + count, 0);
            }
        }
        line.end += samples.len() as i64;
        line.samples.extend(samples);
        let more = line.samples.len().saturating_sub(KEPT);
        line.samples.drain(..more);
    }

    /// The canceller had a frame in which the speaker gave a sound.
    pub(super) fn record(&self, is_sure: bool, measured: Measured) {
        lock(&self.0.record).add(is_sure, measured);
    }

    /// What the canceller did since this was asked last; nothing, where the speaker was
    /// silent, or there is no canceller.
    pub(crate) fn report(&self) -> Option<Report> {
        lock(&self.0.record).take()
    }

    /// What sounds at this time, or, where that is near enough to `next`, from that place
    /// on: with the place behind it, and which speaker it is.
    pub(super) fn frame(&self, at: Duration, next: Option<(i64, i64)>) -> (Samples, i64, Speaker) {
        let due = place(at);
        let from = match next {
            Some((next, near)) if (next - due).abs() <= near => next,
            _ => due,
        };
        let line = lock(&self.0.line);
        let first = line.end - line.samples.len() as i64;
        let frame = std::array::from_fn(|i| {
            let index = usize::try_from(from + i as i64 - first).ok();
            let sample = index.and_then(|index| line.samples.get(index));
            f32::from(sample.copied().unwrap_or(0))
        });
        (frame, from + FRAME as i64, line.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn give(played: &Played, at: Duration, value: i16) {
        played.give(at, vec![value; 960].into_iter());
    }

    #[test]
    fn buffers_follow_each_other_whatever_their_stamps_tremble() {
        let played = Played::default();
        for (i, tremble) in [0, 7, 30, 2].into_iter().enumerate() {
            give(
                &played,
                (1_000 + 20 * i as u32 + tremble) * MS,
                i as i16 + 1,
            );
        }
        for (frame, value) in [(0, 1.0), (1, 1.0), (2, 2.0), (7, 4.0)] {
            let (samples, ..) = played.frame((1_000 + 10 * frame) * MS, None);
            assert_eq!(samples, [value; FRAME], "frame {frame}");
        }
        assert_eq!(played.frame(1_080 * MS, None).0, [0.0; FRAME]);
    }

    #[test]
    fn a_pause_is_silent_and_who_reads_on_skips_nothing() {
        let played = Played::default();
        give(&played, 1_000 * MS, 1);
        give(&played, 1_500 * MS, 2);
        assert_eq!(played.frame(1_250 * MS, None).0, [0.0; FRAME]);
        assert_eq!(played.frame(1_500 * MS, None).0, [2.0; FRAME]);
        let near = 1_440;
        let (_, next, _) = played.frame(1_500 * MS, None);
        let (samples, ..) = played.frame(1_535 * MS, Some((next, near)));
        assert_eq!(samples, [2.0; FRAME], "25 ms are nothing");
        let (samples, ..) = played.frame(1_545 * MS, Some((next, near)));
        assert_eq!(samples, [0.0; FRAME], "35 ms are");
        // A turn that begins before the last one has sounded, and one much later.
        give(&played, 1_450 * MS, 3);
        assert_eq!(played.frame(1_460 * MS, None).0, [3.0; FRAME]);
        give(&played, 90_000 * MS, 4);
        assert_eq!(played.frame(90_010 * MS, None).0, [4.0; FRAME]);
        assert!(lock(&played.0.line).samples.len() <= KEPT);
    }
}
