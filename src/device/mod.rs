//! Cameras, microphones and the light: what this machine has, described so that
//! a [plan](crate::media::plan) can be made, and tested, without them.
//!
//! * [`discovery`] looks for them, [`hotplug`] hears of new ones.
//! * `v4l2` is one Video4Linux node, [`controls`] sets a camera's.
//! * [`formats`] and [`learned`] are pure: what pixel formats are, and what
//!   opening a camera has taught.
//! * [`led`] tells people that the camera is open, [`mapped`] lets go of what a failed
//!   start left of it.

pub(crate) mod controls;
pub(crate) mod discovery;
pub(crate) mod formats;
pub(crate) mod hotplug;
pub mod learned;
pub(crate) mod led;
mod loopback;
pub(crate) mod mapped;
pub(crate) mod v4l2;

use serde::{Deserialize, Serialize};

use crate::config::VideoConfig;

/// A camera: something that captures pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// The path to open it by: the most stable there is. A libcamera camera's
    /// id.
    pub device: String,
    /// Every other path of the same node, `/dev/videoN` among them.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What kind of source it is.
    pub kind: CameraKind,
    /// The card's name, for people.
    pub name: String,
    /// The kernel driver.
    #[serde(default)]
    pub driver: String,
    /// Where it is plugged in, e.g. `usb-0000:00:14.0-1`.
    #[serde(default)]
    pub bus: String,
    /// USB link speed in Mbit/s, where it hangs on USB and that is known.
    #[serde(default)]
    pub usb_mbit: Option<u32>,
    /// Why it cannot be used now, and what to do: no permission, unplugged.
    /// It is listed all the same, for it may be what somebody is looking for.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What an HDMI bridge receives; `None` for every other camera.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// What it can deliver.
    #[serde(default)]
    pub modes: Vec<Mode>,
    /// Its controls.
    #[serde(default)]
    pub controls: Vec<Control>,
}

impl Camera {
    /// True where `device` is one of its paths.
    pub fn is(&self, device: &str) -> bool {
        self.device == device || self.aliases.iter().any(|alias| alias == device)
    }

    /// All its paths, the most stable first.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.device)
            .chain(&self.aliases)
            .map(String::as_str)
    }

    /// Its name under `by-id` is another camera's too, of the same serial
    /// number.
    pub(crate) fn shares_its_name(&self) -> bool {
        let is_id = |path: &str| path.contains("/by-id/");
        !is_id(&self.device) && self.device.contains("/by-path/") && self.paths().any(is_id)
    }
}

/// How a camera is captured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CameraKind {
    /// Video4Linux, single- or multi-planar.
    V4l2,
    /// An HDMI bridge: Video4Linux with DV timings, and a signal that can be
    /// missing.
    Hdmi,
    /// libcamera, through its GStreamer source.
    Libcamera,
}

/// What an HDMI bridge receives (kernel doc:
/// userspace-api/media/v4l/vidioc-query-dv-timings).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Nothing: no cable, or the other end sleeps.
    Missing,
    /// Something that the receiver cannot lock to.
    Unstable,
    /// Something that the receiver, or this program, cannot capture.
    Unsupported,
    /// A progressive picture.
    Present {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Frames a second, as numerator and denominator.
        rate: (u32, u32),
    },
}

/// One format, size and frame rate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// The V4L2 pixel format's four characters (kernel doc:
    /// userspace-api/media/v4l/pixfmt).
    pub fourcc: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames a second, as numerator and denominator.
    pub rate: (u32, u32),
    /// The driver lists no rates, or none that make sense: `rate` is what it
    /// runs at now, or a guess, and is not asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlisted_rate: bool,
    /// Two fields are woven into each picture, as analogue capture sticks do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interlaced: bool,
}

/// A control of a camera (kernel doc: userspace-api/media/v4l/control).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// V4L2 control id.
    pub id: u32,
    /// As in `v4l2-ctl -l`: `brightness`, `pan_absolute`.
    pub name: String,
    /// Lowest value.
    pub minimum: i64,
    /// Highest value.
    pub maximum: i64,
    /// Distance of values.
    pub step: u64,
    /// After a reset.
    pub default: i64,
    /// The names of a menu's values.
    #[serde(default)]
    pub menu: Vec<(i64, String)>,
    /// It can be set.
    #[serde(default)]
    pub writable: bool,
}

/// A node that is no camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherNode {
    /// `/dev/videoN`.
    pub device: String,
    /// The card's name, for people.
    pub name: String,
    /// The kernel driver.
    pub driver: String,
    /// What it is: "metadata", "M2M codec".
    pub what: String,
    /// Why that is no camera.
    pub reason: String,
}

/// A sound source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Microphone {
    /// The ALSA PCM to open (`plughw:CARD=…,DEV=…`), or a sound server's
    /// source (`pulse:`, `pipewire:`).
    pub device: String,
    /// What carries it.
    pub kind: MicrophoneKind,
    /// The card's name, for people.
    pub name: String,
    /// Why it hears nothing, and what to do: its capture is switched off. It
    /// is taken where there is no other.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// What carries a microphone's sound, best first: a sound server owns the
/// cards, a shared PCM leaves the card to others too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MicrophoneKind {
    /// PipeWire or PulseAudio, which own the card when they run.
    SoundServer,
    /// An ALSA PCM that several programs can share (`default`, `dsnoop`).
    Shared,
    /// An ALSA card.
    Card,
}

/// What is asked of a camera that can deliver any size in a range: a size to
/// list beside the usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
}

impl From<&VideoConfig> for Wish {
    fn from(config: &VideoConfig) -> Self {
        Self {
            width: config.width,
            height: config.height,
            fps: config.fps,
        }
    }
}

/// The nodes and cameras of this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cameras {
    /// Cameras, V4L2 nodes by number, then libcamera's.
    pub cameras: Vec<Camera>,
    /// Nodes that are none.
    pub others: Vec<OtherNode>,
}
