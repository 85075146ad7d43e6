//! Picture and sound of a configuration, made ready ahead of the first call.

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::StartError;
use crate::config::{Config, VideoSource};
use crate::device::learned::Learned;
use crate::device::led::Led;
use crate::media::error::MediaError;
use crate::media::gst::GstSource;
use crate::media::hub::source::Source;
use crate::media::probe::Encoders;
use crate::media::{gst, plan};
use crate::motion;
use crate::rate::Settings;
use crate::sdp::{ProfileLevelId, VideoCodec};

/// Picture and sound for a configuration.
pub(super) struct Media {
    pub(super) source: Box<dyn Source>,
    /// What is known of the H.264 stream before it runs.
    pub(super) profile: Option<ProfileLevelId>,
    pub(super) qualities: Settings,
}

/// Makes them ready: the encoders are tried. The camera is not looked at while it
/// `is_private`, which is asked right before.
pub(super) fn media(
    config: &Config,
    led: &Led,
    is_private: &dyn Fn() -> bool,
) -> Result<Media, StartError> {
    let encoders = Arc::new(Encoders::for_this_machine(config)?);
    let found = encoders.best(VideoCodec::H264)?;
    let profile = found.report.profile();
    info!(
        encoder = %found.encoder.id, hardware = found.encoder.hardware,
        profile = %profile.map(|p| p.to_string()).unwrap_or_default(),
        "encoder"
    );
    let mut whole = config.video.shown_size();
    if config.video.source == VideoSource::V4l2 && !is_private() {
        // To look at a camera is to open its node.
        let plan = led.light().map_err(MediaError::from).and_then(|_lit| {
            gst::plan_picture(&config.video, &found.encoder.formats, &Learned::default())
        });
        match plan {
            Ok(plan) => {
                info!("{}: {}", plan.what, plan.reason);
                whole = plan.size;
            }
            Err(error) => warn!(%error, "callers will see no picture until this is mended"),
        }
    }
    let size = plan::tier_size(&config.video, whole, 1);
    let beside = encoders.beside_best(VideoCodec::H264, size);
    if let Err(error) = &beside {
        info!(%error, "there are no smaller pictures");
    }
    let floor = found.encoder.rate_range.0;
    let qualities = Settings::of(config, whole, floor, beside.is_ok());
    try_others(encoders.clone(), found.encoder.id.to_string());
    let source = GstSource::new(
        config.video.clone(),
        config.audio.clone(),
        found.encoder,
        encoders,
    );
    Ok(Media {
        source: Box::new(
            source
                .with_led(led.clone())
                .with_motion(motion::Settings::of(&config.motion)),
        ),
        profile,
        qualities,
    })
}

/// Tries the encoders that will be needed when the first one fails, or for a
/// browser without H.264, before anybody waits for them.
pub(super) fn try_others(encoders: Arc<Encoders>, first: String) {
    let others = move || {
        let next = encoders.after(&first);
        let vp8 = encoders.best(VideoCodec::Vp8);
        debug!(
            next = next.map(|f| f.encoder.id.to_string()),
            vp8 = vp8.map(|f| f.encoder.id.to_string()).ok(),
            "other encoders"
        );
    };
    let thread = std::thread::Builder::new().name("encoder-trial".into());
    if let Err(error) = thread.spawn(others) {
        warn!(%error, "other encoders are tried when they are needed");
    }
}
