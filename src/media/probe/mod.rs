//! Finds out what an encoder really does, before a viewer does.
//!
//! A factory that is registered is not an encoder that works: the driver may
//! be missing, the firmware may hang, a property may be there and do nothing.
//! So each candidate of the table really encodes some two seconds of pictures
//! ([`probe`]), in a process of its own with a time limit ([`child`]), and what
//! it did is judged and remembered ([`cache`]). [`Encoders`] goes
//! through the candidates, best first, and stops at the first that is usable.
//!
//! What makes an encoder **unusable**, and is never shown to a viewer:
//!
//! * its process crashes or does not come to its end in time, also when it is
//!   stopped: the agent would go with it;
//! * no frames, fewer than half of those that went in, empty frames, an end or
//!   an error by itself, a stall;
//! * frames in another order than they came: WebRTC has no way to say so, and
//!   each B slice costs a frame of latency;
//! * a profile that browsers do not decode: anything but (constrained)
//!   baseline, main and high;
//! * key frames without SPS and PPS before them: who joins later sees nothing.
//!
//! What is only a **warning**, since the picture is good otherwise:
//!
//! * key frame requests that are ignored: the distance of key frames is set to
//!   [two seconds](super::encoder::KEY_FRAME_INTERVAL_UNASKED) instead;
//! * a new bitrate that is ignored while it runs: on a bad path the picture
//!   breaks off where it should get coarser;
//! * several slices a frame: browsers show damage under loss that one slice
//!   would not have;
//! * frames held back, key frames unasked, frames left out, another size than
//!   the camera's, no second encoder at the same time;
//! * properties that the installed element does not have.

pub mod cache;
pub mod child;
mod choice;
pub(in crate::media) mod h264;
mod installed;
mod judge;
mod picture;
mod requirements;
mod trial;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use choice::{Checked, Encoders, Found, Prober};
pub use trial::probe;

use super::encoder::{Encoder, KEY_FRAME_INTERVAL_UNASKED};
use crate::config::VideoConfig;
use crate::sdp::ProfileLevelId;

/// What to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The row, as it is in the table.
    pub encoder: Encoder,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// The bitrate that viewers will get, in bit/s.
    pub bits_per_second: u32,
}

impl Job {
    /// To try `encoder` with what is configured.
    pub fn new(encoder: &Encoder, config: &VideoConfig) -> Self {
        let (width, height) = config.shown_size();
        Self {
            encoder: encoder.clone(),
            width,
            height,
            fps: config.fps,
            bits_per_second: config.bitrate_kbps.saturating_mul(1000),
        }
    }
}

/// How far a probe came. What is reported of one stage holds even if the next
/// one brings the process down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Not even one frame.
    Start,
    /// All that one encoder was asked for.
    Encoded,
    /// A second encoder beside the first.
    Second,
    /// Everything was stopped.
    Stopped,
}

/// What came of another bitrate while the encoder ran, in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateChange {
    /// Asked for at first.
    pub asked: u32,
    /// Made of it.
    pub made: u32,
    /// Asked for then.
    pub then_asked: u32,
    /// Made of that.
    pub then_made: u32,
}

/// What an encoder did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Frames that went in.
    pub frames_in: u32,
    /// Frames that came out.
    pub frames_out: u32,
    /// Buffers without content among what left the element.
    pub empty: u32,
    /// It said that the stream ends, unasked.
    pub ended: bool,
    /// Nothing came for some seconds though frames went in.
    pub stalled: bool,
    /// Frames that it holds back before it gives the first of them.
    pub held_back: u32,
    /// How fast it was, in frames a second; other work on the machine counts.
    pub frames_per_second: f32,
    /// Frames until a key frame, for each request; `None` where none came.
    pub key_frames: Vec<Option<u32>>,
    /// Key frames that nobody asked for and that were not due.
    pub unasked_key_frames: u32,
    /// The other bitrate, where one was asked for.
    pub rate: Option<RateChange>,
    /// Key frames without SPS and PPS before them.
    pub bare_key_frames: u32,
    /// Frames that came in another order, or have B slices.
    pub reordered: u32,
    /// Most slices in a frame.
    pub slices: u32,
    /// `profile-level-id` of the SPS.
    pub profile: Option<String>,
    /// Width and height that the stream says.
    pub size: Option<(u32, u32)>,
    /// A second encoder ran beside it; `None` where that was not tried.
    pub second: Option<bool>,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How far it came.
    pub stage: Stage,
    /// Why viewers never see this encoder; `None` where they may.
    pub unusable: Option<String>,
    /// What is odd about it, in words.
    pub warnings: Vec<String>,
    /// What the row has and the installed element does not, in words.
    pub left_out: Vec<String>,
    /// The row as it fits the installed element.
    pub fitted: Option<Encoder>,
    /// What it did.
    pub measured: Measured,
}

impl Report {
    /// That an encoder is unusable, where nothing was measured.
    pub(crate) fn unusable(why: impl Into<String>) -> Self {
        Self {
            stage: Stage::Start,
            unusable: Some(why.into()),
            warnings: vec![],
            left_out: vec![],
            fitted: None,
            measured: Measured::default(),
        }
    }

    /// Viewers may see it.
    pub fn is_usable(&self) -> bool {
        self.unusable.is_none()
    }

    /// What its SPS says.
    pub fn profile(&self) -> Option<ProfileLevelId> {
        self.measured
            .profile
            .as_deref()
            .and_then(ProfileLevelId::parse)
    }

    /// Key frames come when they are asked for.
    pub(crate) fn obeys_key_frame_requests(&self) -> bool {
        judge::obeys_key_frame_requests(&self.measured)
    }

    /// A new bitrate takes hold while it runs.
    pub fn obeys_bitrate(&self) -> bool {
        judge::obeys_bitrate(&self.measured)
    }

    /// The row to run, with what was learned.
    pub fn row(&self, encoder: &Arc<Encoder>) -> Arc<Encoder> {
        let Some(mut row) = self.fitted.clone() else {
            return encoder.clone();
        };
        if !self.obeys_key_frame_requests() {
            row.key_frame_seconds = KEY_FRAME_INTERVAL_UNASKED;
        }
        Arc::new(row)
    }

    /// The verdict in words, for people.
    pub fn words(&self) -> String {
        match &self.unusable {
            Some(why) => format!("unusable: {why}"),
            None if self.warnings.is_empty() => "usable".to_owned(),
            None => format!("usable; {}", self.warnings.join("; ")),
        }
    }
}
