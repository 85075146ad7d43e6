//! Picture and sound, made once for all viewers.
//!
//! * [`Source`] makes access units: GStreamer ([`gst`]) or a recording
//!   ([`replay`]).
//! * [`Hub`] starts a source with its first viewer, stops it
//!   [some seconds](hub::GRACE) after the last, payloads every access unit
//!   once and gives the [`Frame`] to every viewer.
//! * [`discovery`] looks for cameras and microphones, [`hotplug`] hears of new
//!   ones, [`controls`] sets theirs.
//! * [`encoder`] and [`plan`] are pure: which encoder, and the GStreamer
//!   description around it. [`probe`] tries an encoder out before it is used.
//! * [`recovery`] and [`learned`] are pure: what to do when a device or an
//!   encoder fails, and what that teaches. [`status`] is what viewers are told.
//! * [`drift`] is how far a sound card's pace is from the clock's.
//! * [`latency`] is where a frame's time goes.
//!
//! Nothing here knows WebRTC; the viewers' side is [`crate::peer`].

pub mod controls;
pub mod discovery;
pub mod drift;
pub mod encoder;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gst;
pub mod hotplug;
pub mod hub;
mod huffman;
pub mod jpeg;
mod keyframes;
pub mod latency;
pub mod learned;
pub mod led;
mod loopback;
mod picture;
pub mod plan;
pub mod probe;
pub mod progress;
mod pulse;
pub mod recovery;
pub mod replay;
mod sps;
pub mod status;
mod v4l2;

use std::fmt;
use std::time::{Duration, Instant};

pub use frame::{AccessUnit, Frame};
pub use hub::{Decoder, Hub, Watch};

use crate::sdp::{ProfileLevelId, VideoCodec};

/// One encode of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Encoding {
    /// The codec.
    pub codec: VideoCodec,
    /// Which quality: 0 is the whole picture, each next one is smaller. Below
    /// [`Encoding::TIERS`].
    pub tier: usize,
}

impl Encoding {
    /// There are no more tiers than these.
    pub const TIERS: usize = 3;
    /// The whole picture in H.264.
    pub const H264: Self = Self::full(VideoCodec::H264);
    /// The whole picture in VP8.
    pub const VP8: Self = Self::full(VideoCodec::Vp8);

    /// The whole picture in this codec.
    pub const fn full(codec: VideoCodec) -> Self {
        Self { codec, tier: 0 }
    }

    const fn index(self) -> usize {
        let codec = match self.codec {
            VideoCodec::H264 => 0,
            VideoCodec::Vp8 => 1,
        };
        let tier = if self.tier < Self::TIERS {
            self.tier
        } else {
            Self::TIERS - 1
        };
        codec * Self::TIERS + tier
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tier {
            0 => write!(f, "{}", self.codec),
            tier => write!(f, "{}/{tier}", self.codec),
        }
    }
}

/// What an encoder is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoRate {
    /// In bit/s.
    pub bits_per_second: u32,
    /// Of every so manieth frame: 1 is all of them.
    pub every: u32,
    /// Of this share of the width and height, in percent, 1 to 100.
    pub percent: u32,
}

/// One encoded stream, shared by all who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// The picture, encoded so.
    Video(Encoding),
    /// The sound, in Opus.
    Audio,
}

impl Stream {
    /// All there are.
    pub const ALL: [Stream; Self::COUNT] = {
        let mut all = [Stream::Audio; Self::COUNT];
        let mut tier = 0;
        while tier < Encoding::TIERS {
            let mut codecs = [VideoCodec::H264, VideoCodec::Vp8].as_slice();
            while let [codec, rest @ ..] = codecs {
                let encoding = Encoding {
                    codec: *codec,
                    tier,
                };
                all[encoding.index()] = Stream::Video(encoding);
                codecs = rest;
            }
            tier += 1;
        }
        all
    };

    /// How many there are.
    pub const COUNT: usize = 2 * Encoding::TIERS + 1;

    /// RTP clock rate in Hz (RFC 6184 §5.1, RFC 7741 §4.1, RFC 7587 §4.1).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Video(_) => 90_000,
            Self::Audio => 48_000,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Video(encoding) => encoding.index(),
            Self::Audio => Self::COUNT - 1,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(encoding) => write!(f, "{encoding}"),
            Self::Audio => f.write_str("Opus"),
        }
    }
}

/// Why there is no picture or no sound. Each names the device or element and
/// what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MediaError {
    /// GStreamer itself does not work.
    #[error("GStreamer does not start: {0}")]
    Init(String),
    /// An element's plug-in is not installed.
    #[error("GStreamer has no element \"{element}\"; install the package {package}")]
    MissingElement {
        /// The element.
        element: String,
        /// Who ships it.
        package: String,
    },
    /// No row of the encoder table works here.
    #[error("no encoder for {codec} works here: {reasons}")]
    NoEncoder {
        /// The codec.
        codec: VideoCodec,
        /// What was tried, and why not.
        reasons: String,
    },
    /// The configuration asks for an encoder that is not in the table.
    #[error("video.encoder: there is no encoder \"{wanted}\"; known are {known}")]
    UnknownEncoder {
        /// What was asked for.
        wanted: String,
        /// The table's ids.
        known: String,
    },
    /// No camera.
    #[error(
        "no camera was found; plug one in, name its node in video.device, or set video.source = \"test\""
    )]
    NoCamera,
    /// A camera that cannot be used.
    #[error("camera {device}: {problem}")]
    Camera {
        /// Its node.
        device: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// No microphone.
    #[error(
        "no microphone was found; plug one in, name its PCM in audio.device, or set audio.source = \"none\""
    )]
    NoMicrophone,
    /// The description in the configuration does not parse.
    #[error("{key}: GStreamer does not take this description: {problem}")]
    Description {
        /// The configuration key.
        key: &'static str,
        /// GStreamer's words.
        problem: String,
    },
    /// The light that tells people that the camera is on cannot be switched on.
    /// Then the camera is not opened.
    #[error(
        "the camera stays closed, for its light cannot be switched on: led.path: {file}: {problem}"
    )]
    Led {
        /// The file that was to be written.
        file: String,
        /// Why not, and what to do.
        problem: String,
    },
    /// It runs, and nothing comes out.
    #[error("nothing came for {:.1} s, and no error either; unplug the device and plug it in again if this goes on", .0.as_secs_f64())]
    Stalled(Duration),
    /// A pipeline did not start, or failed while running.
    #[error("{what} stopped: {problem}")]
    Pipeline {
        /// Picture or sound, and from where.
        what: String,
        /// GStreamer's words, with a remedy where one is known.
        problem: String,
    },
}

impl MediaError {
    /// There is no device to open, so looking again costs nothing.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::NoCamera | Self::NoMicrophone => true,
            Self::Camera { problem, .. } => problem.contains("is not there"),
            _ => false,
        }
    }

    /// This machine has not got it: a new process would find the same.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::MissingElement { .. } | Self::NoEncoder { .. } | Self::UnknownEncoder { .. }
        )
    }
}

/// Makes access units while somebody watches. Called from one thread of its
/// own, so its methods may block.
pub trait Source: Send {
    /// Given once, before anything else: calls for [`poll`](Self::poll) from
    /// any thread.
    fn attach(&mut self, waker: Waker) {
        let _ = waker;
    }

    /// Begins `stream`; access units and failures go to `output`.
    ///
    /// A source that fails later either mends itself, or says so through
    /// [`Output::failure`] and is then asked to `stop` and, some time later,
    /// to `start` again.
    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError>;

    /// Ends `stream`. When no stream is left, every device is closed.
    fn stop(&mut self, stream: Stream);

    /// Makes the next access unit of a video stream a key frame.
    fn force_key_frame(&mut self, stream: Stream);

    /// Encodes a video stream so from now on, or when it is started. A source
    /// that does not encode has nothing to change.
    fn set_rate(&mut self, stream: Stream, rate: VideoRate) {
        let _ = (stream, rate);
    }

    /// Prepares the sound for so much loss from now on, in percent. A source
    /// that does not encode has nothing to change.
    fn set_sound_loss(&mut self, percent: u8) {
        let _ = percent;
    }

    /// Makes ready what can be made ready without opening a device.
    fn prepare(&mut self) {}

    /// Does what is due. Called after every other call, when the waker was
    /// used, and at the time that it returns.
    fn poll(&mut self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }

    /// The system announced a device.
    fn device_appeared(&mut self, now: Instant) {
        let _ = now;
    }

    /// How the picture is, for a source that knows better than whether access
    /// units come.
    fn picture(&self) -> Option<PictureStatus> {
        None
    }

    /// The profiles of those who watch H.264, from now on.
    fn set_decoders(&mut self, decoders: Vec<ProfileLevelId>) {
        let _ = decoders;
    }

    /// The H.264 that the camera makes itself, as far as it is known.
    fn own_h264(&self) -> Option<OwnH264> {
        None
    }

    /// A stream without an access unit for so long has failed.
    fn patience(&self, stream: Stream) -> Duration {
        let _ = stream;
        hub::SILENCE
    }
}

/// What is known of the H.264 that a camera makes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnH264 {
    /// Of its SPS.
    pub profile: ProfileLevelId,
    /// It is what viewers of the whole picture are sent, or would be, were the
    /// camera opened now.
    pub passes: bool,
    /// The camera is open: what it passes stays.
    pub is_open: bool,
}

/// How the picture is.
#[derive(Debug, Clone, Default)]
pub struct PictureStatus {
    /// What viewers are told.
    pub status: status::StreamStatus,
    /// The camera that viewers see.
    pub camera: Option<OpenCamera>,
    /// Width and height in pixels of what is shown, the slate too.
    pub size: Option<(u32, u32)>,
}

/// A camera that is open, for who wants to open its node once more.
#[derive(Debug, Clone)]
pub struct OpenCamera {
    /// Its node.
    pub node: String,
    /// Its light.
    pub led: led::Led,
}

/// Where a source puts what it makes. Never blocks.
pub use hub::Output;
/// Calls the source from another thread.
pub use hub::Waker;
