//! The streams that there are, and what an encoder is to make of one.

use std::fmt;

use crate::sdp::VideoCodec;

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
    pub(crate) const TIERS: usize = 3;
    /// The whole picture in H.264.
    pub const H264: Self = Self::full(VideoCodec::H264);

    /// The whole picture in this codec.
    pub const fn full(codec: VideoCodec) -> Self {
        Self { codec, tier: 0 }
    }

    pub(crate) const fn index(self) -> usize {
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
    /// One of so many frames is encoded: 1 is all of them.
    pub every: u32,
    /// At this share of the width and height, in percent, 1 to 100.
    pub percent: u32,
}

/// How the one encoder of the sound encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SoundCoding {
    /// The loss that it prepares for, in percent, 0 to 100.
    pub loss_percent: u8,
    /// Frames of 10 ms, not of 20: sound comes 10 ms earlier, and what waits for
    /// it, too; for 50 packets a second more.
    pub short_frames: bool,
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
    pub(crate) const COUNT: usize = 2 * Encoding::TIERS + 1;

    /// RTP clock rate in Hz (RFC 6184 §5.1, RFC 7741 §4.1, RFC 7587 §4.1).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Video(_) => 90_000,
            Self::Audio => 48_000,
        }
    }

    pub(crate) fn index(self) -> usize {
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
