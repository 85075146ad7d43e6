//! Leaves out the JPEGs of a camera that are not whole, counts them, and says
//! so: decoders would show them half grey.
//!
//! Going through all blocks of each costs a good part of what decoding does
//! (docs/figures.md). So one that ends with its end marker and is about as long
//! as those before it is taken as it is. What that lets through is a picture
//! that lost little, and was finished all the same.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::warn;

use super::pipeline::OnProblem;
use crate::lock::lock;
use crate::media::bitstream::Damage;
use crate::media::bitstream::jpeg;
use crate::media::error::MediaError;

/// So many in a row, and the camera has failed: a second of them.
const ROW: u32 = 30;
/// The log has a line about them at most this often.
const SAY: Duration = Duration::from_secs(60);

/// One that is shorter by more than this part of the usual length is looked
/// into; pictures that follow on one another differ less.
const SHORTER: usize = 16;
/// The usual length follows the newest by this part.
const FOLLOW: usize = 4;

/// How long whole ones are.
#[derive(Debug, Default)]
struct Lengths {
    /// Bytes; 0 before the first.
    usual: usize,
}

impl Lengths {
    fn is_suspicious(&self, length: usize, is_ended: bool) -> bool {
        !is_ended || self.usual == 0 || length < self.usual - self.usual / SHORTER
    }

    fn take(&mut self, length: usize) {
        self.usual = match self.usual {
            0 => length,
            usual => usual - usual / FOLLOW + length / FOLLOW,
        };
    }
}

/// How many there were.
#[derive(Debug, Default)]
struct Count {
    lengths: Lengths,
    whole: u64,
    damaged: u64,
    row: u32,
    said_at: Option<Instant>,
}

/// What is to be said about the newest one.
#[derive(Debug, PartialEq, Eq)]
enum Say {
    Nothing,
    Count,
    Failed,
}

impl Count {
    /// Looks into those that may be damaged: the driver says so, or they look
    /// it.
    fn check(&mut self, data: &[u8], is_flagged: bool) -> Result<(), Damage> {
        let end = jpeg::end(data);
        let length = end.unwrap_or(data.len());
        if is_flagged || self.lengths.is_suspicious(length, end.is_some()) {
            jpeg::check(data)?;
        }
        self.lengths.take(length);
        Ok(())
    }

    fn take(&mut self, is_whole: bool, now: Instant) -> Say {
        if is_whole {
            self.whole += 1;
            self.row = 0;
            return Say::Nothing;
        }
        self.damaged += 1;
        self.row += 1;
        if self.row == ROW {
            return Say::Failed;
        }
        let is_due = |at| now.saturating_duration_since(at) >= SAY;
        if !self.said_at.is_none_or(is_due) {
            return Say::Nothing;
        }
        self.said_at = Some(now);
        Say::Count
    }
}

/// Lets only whole ones into `decoder`. `device` is the camera.
pub(super) fn keep_whole(decoder: &gst::Element, device: &str, on_problem: OnProblem) {
    let Some(pad) = decoder.static_pad("sink") else {
        return;
    };
    let device = device.to_owned();
    let count = Mutex::<Count>::default();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let mut count = lock(&count);
        let checked = match buffer.map_readable() {
            Ok(map) => {
                let is_flagged = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
                count.check(&map, is_flagged)
            }
            Err(_) => Ok(()),
        };
        let say = count.take(checked.is_ok(), Instant::now());
        let Err(damage) = checked else {
            return gst::PadProbeReturn::Ok;
        };
        match say {
            Say::Nothing => {}
            Say::Count => warn!(
                camera = %device, why = damage.words(), damaged = count.damaged, whole = count.whole,
                "damaged pictures come from the camera and are left out; another cable or USB \
                 port may help"
            ),
            Say::Failed => on_problem(None, failed(&device, damage)),
        }
        // Not `Drop`, for which GStreamer frees what its bindings have freed.
        gst::PadProbeReturn::Handled
    });
}

fn failed(device: &str, damage: Damage) -> MediaError {
    MediaError::Camera {
        device: device.to_owned(),
        problem: format!(
            "sends only damaged pictures ({}); try another cable or USB port, a smaller picture \
             (video.width, video.height) or another video.format",
            damage.words()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_damaged_is_looked_into() {
        let mut lengths = Lengths::default();
        assert!(lengths.is_suspicious(50_000, true), "the first");
        lengths.take(50_000);
        assert!(!lengths.is_suspicious(49_000, true));
        assert!(!lengths.is_suspicious(90_000, true), "a longer one");
        assert!(lengths.is_suspicious(50_000, false), "no end marker");
        assert!(lengths.is_suspicious(46_000, true), "a sixteenth is gone");
        // A simpler picture is looked into until it is usual.
        let looked_into = (0..100).filter(|_| {
            let is_suspicious = lengths.is_suspicious(30_000, true);
            lengths.take(30_000);
            is_suspicious
        });
        assert!((1..12).contains(&looked_into.count()));
    }

    #[test]
    fn a_damaged_one_does_not_become_usual() {
        // It ends, and is no JPEG.
        let bad = [&[0xff, 0xd8][..], &[0; 400], &[0xff, 0xd9]].concat();
        let mut count = Count::default();
        for _ in 0..3 {
            assert!(count.check(&bad, false).is_err());
        }
        count.lengths.take(bad.len());
        assert_eq!(count.check(&bad, false), Ok(()), "it looks as usual");
        assert!(count.check(&bad, true).is_err(), "its driver knows");
    }

    #[test]
    fn the_first_one_is_said_and_then_one_a_minute_and_a_row_of_them_is_a_fault() {
        let mut count = Count::default();
        let now = Instant::now();
        assert_eq!(count.take(true, now), Say::Nothing);
        assert_eq!(count.take(false, now), Say::Count);
        assert_eq!(count.take(false, now), Say::Nothing);
        assert_eq!(count.take(true, now), Say::Nothing);
        assert_eq!(count.take(false, now + SAY), Say::Count);
        for _ in 2..ROW {
            assert_eq!(count.take(false, now + SAY), Say::Nothing);
        }
        assert_eq!(count.take(false, now + SAY), Say::Failed);
        assert_eq!(count.take(false, now + SAY), Say::Nothing, "said once");
        assert_eq!((count.whole, count.damaged), (2, 33));
    }
}
