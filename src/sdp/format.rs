//! The formats that a call is sent in: chosen of what an offer has, and written
//! in our own words.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use super::attribute::{Extension, Feedback};
use super::h264::ProfileLevelId;
use super::section::{Format, Section};

/// A video codec that viewers are served in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 7741), for browsers without H.264.
    Vp8,
}

impl VideoCodec {
    /// The codec's name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In Hz (RFC 6184 §8.1, RFC 7741 §6.1).
pub(super) const VIDEO_CLOCK: u32 = 90_000;
/// In Hz (RFC 7587 §4.1).
pub(super) const OPUS_CLOCK: u32 = 48_000;
/// What an offer may say of Opus and an answer repeats (RFC 7587 §6.1, RFC 8866
/// §6.4 and §6.5), all numbers.
const OPUS_PARAMETERS: [&str; 9] = [
    "cbr",
    "maxaveragebitrate",
    "maxplaybackrate",
    "maxptime",
    "minptime",
    "ptime",
    "stereo",
    "usedtx",
    "useinbandfec",
];
/// Most blocks that a format for several is taken to have.
const MAX_BLOCKS: usize = 8;

/// A format that the offer names and the device will send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFormat {
    /// The codec.
    pub codec: VideoCodec,
    /// The offerer's payload type for it.
    pub payload_type: u8,
    /// The offerer's payload type for its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// What the offer says of the format, in our words.
    pub fmtp: String,
    /// What the caller's decoder is, of H.264.
    pub profile: Option<ProfileLevelId>,
    /// The stream's level may be above the profile's (RFC 6184 §8.1).
    pub(super) asymmetry: bool,
    pub(super) feedback: Feedback,
    pub(super) extensions: Vec<(u8, Extension)>,
}

/// How the offer takes sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundFormat {
    /// The offerer's payload type for Opus (RFC 7587).
    pub opus: u8,
    /// What the offer says of Opus, in our words.
    pub fmtp: String,
    /// The caller can use Opus's in-band FEC (RFC 7587 §6.1, `useinbandfec`).
    pub inband_fec: bool,
    /// The offerer's payload type for packets that repeat earlier ones
    /// (`audio/red` of this Opus, RFC 2198 §5).
    pub red: Option<RedFormat>,
    pub(super) feedback: Feedback,
    pub(super) extensions: Vec<(u8, Extension)>,
}

/// A format for packets of several blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedFormat {
    /// The offerer's payload type for it.
    pub payload_type: u8,
    /// The payload types of the blocks.
    pub fmtp: String,
}

impl VideoFormat {
    /// The formats of a section that this device can send, best first: H.264 by
    /// its profile, VP8, and H.264 of which the offer does not say all.
    pub(super) fn choose(section: &Section) -> Vec<Self> {
        let formats = section.formats.iter();
        let mut h264: Vec<_> = formats
            .filter_map(|f| Some((says_all(f), h264(f)?.rank()?, f)))
            .collect();
        h264.sort_by_key(|(_, rank, _)| *rank);
        let vp8 = |f: &&Format| f.is("VP8", VIDEO_CLOCK);
        let vp8 = section.formats.iter().find(vp8);
        let (plain, sparse): (Vec<_>, Vec<_>) = h264.into_iter().partition(|(all, _, _)| *all);
        let of = |(_, _, f)| Self::of(section, VideoCodec::H264, f);
        let plain = plain.into_iter().map(of);
        plain
            .chain(vp8.map(|f| Self::of(section, VideoCodec::Vp8, f)))
            .chain(sparse.into_iter().map(of))
            .collect()
    }

    fn of(section: &Section, codec: VideoCodec, format: &Format) -> Self {
        let apt = format.payload_type.to_string();
        let is_rtx =
            |f: &&Format| f.is("rtx", VIDEO_CLOCK) && f.parameter("apt") == Some(apt.as_str());
        let profile = h264(format);
        let asymmetry = format.parameter("level-asymmetry-allowed") == Some("1");
        let fmtp = match profile {
            Some(profile) => {
                let asymmetry = if asymmetry {
                    "level-asymmetry-allowed=1;"
                } else {
                    ""
                };
                format!("{asymmetry}packetization-mode=1;profile-level-id={profile}")
            }
            None => String::new(),
        };
        Self {
            codec,
            payload_type: format.payload_type,
            rtx: section.formats.iter().find(is_rtx).map(|f| f.payload_type),
            fmtp,
            profile,
            asymmetry,
            feedback: format.feedback,
            extensions: section.extensions.clone(),
        }
    }

    /// Whether a section still has this format.
    pub(super) fn is_in(&self, section: &Section) -> bool {
        let same = |f: &Format| {
            f.payload_type == self.payload_type && f.is(self.codec.name(), VIDEO_CLOCK)
        };
        section.formats.iter().any(same)
    }
}

/// The profile of a format that is H.264 as it can be sent here.
///
/// By RFC 6184 §8.1 what is not said is packetization mode 0 and baseline of level
/// 1, too little for any picture here. But who does not say it, as GStreamer's
/// `webrtcbin` with the plainest caps, takes what comes: they are taken for
/// [`UNSAID`] rather than sent away. A mode that is said counts.
fn h264(format: &Format) -> Option<ProfileLevelId> {
    let mode = format.parameter("packetization-mode").unwrap_or("1");
    if !format.is("H264", VIDEO_CLOCK) || mode != "1" {
        return None;
    }
    match format.parameter("profile-level-id") {
        Some(profile) => ProfileLevelId::parse(profile),
        None => Some(UNSAID),
    }
}

/// Constrained baseline of level 3.1, which every decoder has (RFC 7742 §6.2).
const UNSAID: ProfileLevelId = ProfileLevelId([0x42, 0xe0, 0x1f]);

/// Packetization mode and profile are in the offer.
fn says_all(format: &Format) -> bool {
    ["packetization-mode", "profile-level-id"]
        .iter()
        .all(|key| format.parameter(key).is_some())
}

impl SoundFormat {
    /// Opus, and what the offerer can do about loss.
    pub(super) fn choose(section: &Section) -> Option<Self> {
        let opus = section.formats.iter().find(|f| f.is("opus", OPUS_CLOCK))?;
        let red = section.formats.iter().find_map(|f| {
            let blocks = f.is("red", OPUS_CLOCK).then(|| blocks(f, opus))??;
            Some(RedFormat {
                payload_type: f.payload_type,
                fmtp: vec![opus.payload_type.to_string(); blocks].join("/"),
            })
        });
        Some(Self {
            opus: opus.payload_type,
            fmtp: opus_parameters(opus),
            inband_fec: opus.parameter("useinbandfec") == Some("1"),
            red,
            feedback: opus.feedback,
            extensions: section.extensions.clone(),
        })
    }

    /// Whether a section still has this format.
    pub(super) fn is_in(&self, section: &Section) -> bool {
        let same = |f: &Format| f.payload_type == self.opus && f.is("opus", OPUS_CLOCK);
        section.formats.iter().any(same)
    }
}

/// How many blocks a packet of `red` has, where each is to be this Opus.
fn blocks(red: &Format, opus: &Format) -> Option<usize> {
    let mut count = 0;
    for block in red.fmtp.split('/') {
        if block.trim().parse() != Ok(opus.payload_type) {
            return None;
        }
        count += 1;
    }
    (count > 1).then_some(count.min(MAX_BLOCKS))
}

fn opus_parameters(opus: &Format) -> String {
    let mut text = String::new();
    for key in OPUS_PARAMETERS {
        if let Some(value) = opus.parameter(key).and_then(|v| v.parse::<u32>().ok()) {
            let semicolon = if text.is_empty() { "" } else { ";" };
            let _ = write!(text, "{semicolon}{key}={value}");
        }
    }
    text
}
