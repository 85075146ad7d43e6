//! `[video]` and `[audio]`: what is captured, and how it is encoded.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Tiers besides the whole picture.
pub(super) const MOST_TIERS: usize = 2;

/// Where the picture comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoSource {
    /// A camera through Video4Linux.
    V4l2,
    /// A generated picture with a running clock and a frame counter.
    Test,
    /// A GStreamer description of yours.
    Custom,
}

/// How a picture is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// It is not.
    #[default]
    None,
    /// Left is right, as in a mirror.
    Horizontal,
    /// Up is down.
    Vertical,
}

/// What a control of the camera is to be set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a whole number, true or false, or the label of a menu's item"
)]
pub enum ControlValue {
    /// Of a control that is on or off.
    Switch(bool),
    /// A number; of a menu, the number of its item.
    Number(i64),
    /// The label of a menu's item.
    Label(String),
}

impl fmt::Display for ControlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Label(label) => write!(f, "{label:?}"),
        }
    }
}

/// `[video]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VideoConfig {
    /// Which of the three.
    pub source: VideoSource,
    /// The camera's node or libcamera id; `auto` takes the best there is.
    pub device: String,
    /// The camera's pixel format, as V4L2 names it (`YUYV`, `MJPG`); `auto`
    /// takes what costs least.
    pub format: String,
    /// For `custom`: elements that end in raw video.
    pub pipeline: Option<String>,
    /// Picture width in pixels, even, 160 to 3840.
    pub width: u32,
    /// Picture height in pixels, even, 120 to 2160.
    pub height: u32,
    /// Frames a second, 1 to 60.
    pub fps: u32,
    /// Degrees that the picture is turned clockwise: 0, 90, 180 or 270. Width
    /// and height are those of before.
    pub rotate: u32,
    /// How it is mirrored, when it is turned.
    pub flip: Flip,
    /// Encoder target, 100 to 20000 kbit/s.
    pub bitrate_kbps: u32,
    /// Id of a row of the encoder table, or `auto`.
    pub encoder: String,
    /// What the camera's controls are set to when it is opened.
    pub controls: BTreeMap<String, ControlValue>,
    /// The controls that viewers may set; `*` stands for all.
    pub viewer_controls: Vec<String>,
    /// Smaller pictures for viewers whose path does not carry the whole one,
    /// the largest first, at most two. Empty for none.
    pub tiers: Vec<TierConfig>,
}

/// `[[video.tiers]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// Picture height in pixels, even, 90 to 2160; the width follows from the
    /// picture's shape. Of an upright picture it is the width. A tier that is
    /// not clearly smaller than the picture is left out.
    pub height: u32,
    /// The most that its encoder aims at, 100 to 20000 kbit/s.
    pub bitrate_kbps: u32,
}

impl Default for VideoConfig {
    fn default() -> Self {
        Self {
            source: VideoSource::V4l2,
            device: "auto".into(),
            format: "auto".into(),
            pipeline: None,
            width: 1280,
            height: 720,
            fps: 30,
            rotate: 0,
            flip: Flip::None,
            bitrate_kbps: 2000,
            encoder: "auto".into(),
            controls: BTreeMap::new(),
            viewer_controls: Vec::new(),
            tiers: vec![TierConfig {
                height: 360,
                bitrate_kbps: 700,
            }],
        }
    }
}

impl VideoConfig {
    /// The tiers that are clearly smaller than a picture of so many lines.
    pub(crate) fn smaller_tiers(&self, height: u32) -> impl Iterator<Item = &TierConfig> {
        self.tiers
            .iter()
            .filter(move |tier| tier.height * 5 <= height * 4)
    }

    /// Width and height of a picture of this size when it is turned.
    pub(crate) fn turned(&self, (width, height): (u32, u32)) -> (u32, u32) {
        match self.rotate {
            90 | 270 => (height, width),
            _ => (width, height),
        }
    }

    /// Width and height of what viewers see, where the source has the
    /// configured size.
    pub(crate) fn shown_size(&self) -> (u32, u32) {
        self.turned((self.width, self.height))
    }

    /// Takes another source than the file's; a description goes with its own.
    pub fn take(&mut self, source: VideoSource) {
        self.source = source;
        if source != VideoSource::Custom {
            self.pipeline = None;
        }
    }
}

/// Where the sound comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioSource {
    /// A microphone through ALSA.
    Alsa,
    /// A soft tone.
    Test,
    /// A GStreamer description of yours.
    Custom,
    /// No sound.
    None,
}

/// `[audio]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioConfig {
    /// Which of the four.
    pub source: AudioSource,
    /// The ALSA PCM, or `pulse:` or `pipewire:` and a source; `auto` takes the
    /// best there is.
    pub device: String,
    /// For `custom`: elements that end in raw audio.
    pub pipeline: Option<String>,
    /// Opus target, 6 to 256 kbit/s.
    pub bitrate_kbps: u32,
}

impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            source: AudioSource::Alsa,
            device: "auto".into(),
            pipeline: None,
            bitrate_kbps: 40,
        }
    }
}
