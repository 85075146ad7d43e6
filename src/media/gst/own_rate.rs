//! The bitrate of a camera whose own H.264 is passed through.
//!
//! Some of them have the control of encoders, `V4L2_CID_MPEG_VIDEO_BITRATE`
//! (kernel documentation, "Codec Control Reference"): bcm2835-v4l2 on a
//! Raspberry Pi is one. A driver takes its time, so it is set on a thread, and
//! of what is wanted meanwhile only the newest counts.

use std::sync::mpsc::{self, Receiver, Sender};

use tracing::debug;

use crate::config::ControlValue;
use crate::device::Control;
use crate::device::controls;
use crate::device::led::Lit;

/// What the kernel calls it, as names of controls are written here.
const NAME: &str = "video_bitrate";

/// Sets the bitrate of one camera for as long as it lives.
pub(super) struct OwnRate(Sender<u32>);

impl OwnRate {
    /// For the camera at `node`, which stays lit while the node may be open.
    /// `None` where there can be no thread.
    pub(super) fn new(node: String, lit: Option<Lit>) -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a number a second at most, and who sets it must not wait for a driver"
        )]
        let (wanted, rates) = mpsc::channel();
        let thread = std::thread::Builder::new().name("camera-rate".into());
        thread
            .spawn(move || {
                run(&node, &rates);
                drop(lit);
            })
            .ok()
            .map(|_| Self(wanted))
    }

    /// So many bit/s, or as near to them as the camera goes.
    pub(super) fn set(&self, bits_per_second: u32) {
        // An error says that the camera has no such control.
        let _ = self.0.send(bits_per_second);
    }
}

fn run(node: &str, rates: &Receiver<u32>) {
    let known = controls::list(node).unwrap_or_default();
    let mut known = known.into_iter().map(|known| known.control);
    let Some(control) = known.find(|c| c.name == NAME && c.writable) else {
        debug!(camera = node, "its own H.264 has the bitrate it has");
        return;
    };
    while let Ok(rate) = rates.recv() {
        let rate = rates.try_iter().last().unwrap_or(rate);
        let value = nearest(&control, rate);
        match controls::set(node, NAME, &ControlValue::Number(value)) {
            Ok(bits_per_second) => debug!(camera = node, bits_per_second, "its own bitrate"),
            Err(error) => debug!(camera = node, %error, "its own bitrate was not set"),
        }
    }
}

/// The largest value the control can have that is no more than `rate`; its
/// smallest where all are more.
fn nearest(control: &Control, rate: u32) -> i64 {
    let step = i64::try_from(control.step).unwrap_or(i64::MAX).max(1);
    let above = i64::from(rate).min(control.maximum) - control.minimum;
    control.minimum + above.max(0) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_one_that_the_camera_has() {
        let control = Control {
            id: 0x0099_09cf,
            name: NAME.into(),
            minimum: 25_000,
            maximum: 10_000_000,
            step: 25_000,
            default: 10_000_000,
            menu: Vec::new(),
            writable: true,
        };
        for (rate, value) in [
            (0, 25_000),
            (49_999, 25_000),
            (50_000, 50_000),
            (1_111_111, 1_100_000),
            (u32::MAX, 10_000_000),
        ] {
            assert_eq!(nearest(&control, rate), value, "{rate}");
        }
    }
}
