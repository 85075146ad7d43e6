//! Which cameras and microphones this machine has, described so that the
//! [plan](super::plan) can be made, and tested, without them.

use serde::{Deserialize, Serialize};

/// A camera: something that captures pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// The path to open it by: the most stable there is.
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
    /// What it can deliver.
    #[serde(default)]
    pub modes: Vec<Mode>,
    /// Its controls.
    #[serde(default)]
    pub controls: Vec<Control>,
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

/// One format, size and frame rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A sound source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Microphone {
    /// The ALSA PCM to open (`plughw:CARD=…,DEV=…`), or a sound server's.
    pub device: String,
    /// What carries it.
    pub kind: MicrophoneKind,
    /// The card's name, for people.
    pub name: String,
}

/// What carries a microphone's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MicrophoneKind {
    /// PipeWire or PulseAudio, which own the card when they run.
    SoundServer,
    /// An ALSA PCM that several programs can share (`default`, `dsnoop`).
    Shared,
    /// An ALSA card.
    Card,
}
