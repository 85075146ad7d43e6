//! What the configuration allows: the range of each tier.

use super::{LEAST, SOUND_HEADERS};
use crate::config::{AudioSource, Config};

/// What one tier can be asked for, in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TierRange {
    /// The encoder makes no less.
    pub floor: u32,
    /// Below this the picture is better a tier further down, or with half the
    /// frames.
    pub steady: u32,
    /// More is not wanted.
    pub ceiling: u32,
}

impl TierRange {
    /// For a picture of so many pixels a second, from what encoders make of
    /// ordinary pictures.
    pub(crate) fn for_picture(pixels_per_second: u64, floor: u32, ceiling: u32) -> Self {
        let ceiling = ceiling.max(floor);
        // A fiftieth of a bit for each pixel: 0.55 Mbit/s for 720p30.
        let decent = u32::try_from(pixels_per_second / 50).unwrap_or(u32::MAX);
        Self {
            floor,
            steady: decent.clamp(floor, ceiling / 2 + floor / 2),
            ceiling,
        }
    }
}

/// What every [`Tiers`](super::Tiers) of a device is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// From the best tier to the last one, at least one.
    pub tiers: Vec<TierRange>,
    /// What sound takes of each path, in bit/s.
    pub audio: u32,
}

impl Settings {
    /// For a configuration. `whole` is the picture's size in pixels, which a
    /// camera may have smaller than it is configured; `floor` the least that
    /// the encoder makes, in bit/s; `smaller` is false where only the whole
    /// picture can be encoded.
    pub(crate) fn of(config: &Config, whole: (u32, u32), floor: u32, smaller: bool) -> Self {
        let video = &config.video;
        let (long, short) = (whole.0.max(whole.1), whole.0.min(whole.1));
        let range = |height: u32, ceiling| {
            let width = u64::from(long) * u64::from(height) / u64::from(short.max(1));
            let pixels = width * u64::from(height) * u64::from(video.fps);
            TierRange::for_picture(pixels, floor.max(LEAST), ceiling)
        };
        let most = video.bitrate_kbps.saturating_mul(1000);
        let smaller = video.smaller_tiers(short).filter(|_| smaller).map(|tier| {
            // As much as for the whole picture would be no relief.
            let ceiling = tier.bitrate_kbps.saturating_mul(1000).min(most / 10 * 7);
            range(tier.height, ceiling)
        });
        let tiers = std::iter::once(range(short, most)).chain(smaller);
        Self {
            tiers: tiers.collect(),
            audio: match config.audio.source {
                AudioSource::None => 0,
                _ => config.audio.bitrate_kbps.saturating_mul(1000) + SOUND_HEADERS,
            },
        }
    }

    /// The most that a viewer can be sent, in bit/s.
    pub(crate) fn most(&self) -> u32 {
        let ceilings = self.tiers.iter().map(|tier| tier.ceiling);
        ceilings
            .max()
            .unwrap_or_default()
            .saturating_add(self.audio)
    }
}
