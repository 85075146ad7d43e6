//! Leaves out the JPEGs of a camera that are not whole, counts them, and says
//! so: decoders would show them half grey.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::warn;

use super::pipeline::OnProblem;
use crate::lock::lock;
use crate::media::MediaError;
use crate::media::jpeg::{self, Damage};

/// So many in a row, and the camera has failed: a second of them.
const ROW: u32 = 30;
/// The log has a line about them at most this often.
const SAY: Duration = Duration::from_secs(60);

/// How many there were.
#[derive(Debug, Default)]
struct Count {
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
        let checked = match buffer.map_readable() {
            Ok(map) => jpeg::check(&map),
            Err(_) => Ok(()),
        };
        let mut count = lock(&count);
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
