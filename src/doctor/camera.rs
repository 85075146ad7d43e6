//! Whether pictures come, and as many as promised.

use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::finding::{Check, Finding};
use super::remedies;
use super::trial::Trial;
use crate::config::{Config, VideoConfig, VideoSource};
use crate::device::learned::Learned;
use crate::device::led::Led;
use crate::media;
use crate::media::encoder::Encoder;
use crate::media::error::MediaError;
use crate::media::plan::PicturePlan;
use crate::media::probe::Encoders;
use crate::sdp::VideoCodec;

const CHECK: Check = Check::Camera;
pub(super) const LIMIT: Duration = Duration::from_secs(8);
/// A camera takes its time to start, with its exposure and its driver.
const FIRST: Duration = Duration::from_secs(4);
/// The rate is taken over so long.
const MEASURED: Duration = Duration::from_secs(3);

/// The picture that a call would show, before its encoder, and its frames a
/// second where the camera's mode has them.
fn picture(
    config: &VideoConfig,
    encoders: Option<&Encoders>,
) -> Result<(PicturePlan, Option<f64>), MediaError> {
    // Without an encoder that works, as for one that runs everywhere.
    let best = encoders.and_then(|e| e.best(VideoCodec::H264).ok());
    let encoder = best.map(|found| found.encoder);
    let Some(encoder) = encoder.or_else(|| Encoder::row("x264")) else {
        return Err(MediaError::NoCamera);
    };
    let plan = media::gst::plan_picture(config, &encoder.formats, &Learned::default())?;
    let promised = plan
        .mode
        .as_ref()
        .map(|mode| f64::from(mode.rate.0) / f64::from(mode.rate.1.max(1)));
    Ok((plan, promised))
}

/// What came.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// From opening to the first.
    first: Duration,
    /// Frames after the first.
    more: u32,
    /// From the first to the last of them.
    over: Duration,
    /// What the stream itself says of its rate.
    announced: Option<f64>,
}

impl Seen {
    fn rate(&self) -> f64 {
        if self.over.is_zero() {
            0.0
        } else {
            f64::from(self.more) / self.over.as_secs_f64()
        }
    }
}

fn watch(picture: &PicturePlan) -> Result<Option<Seen>, MediaError> {
    let description = format!("{} ! appsink name=out sync=false", picture.description);
    let trial = Trial::parse(&description, &picture.what)?;
    let opened = Instant::now();
    trial.play()?;
    let Some((first, announced)) = pull(&trial.sink, FIRST) else {
        return match trial.error() {
            Some(error) => Err(error),
            None => Ok(None),
        };
    };
    let mut seen = Seen {
        first: first - opened,
        more: 0,
        over: Duration::ZERO,
        announced,
    };
    loop {
        let left = MEASURED.saturating_sub(first.elapsed());
        if left.is_zero() {
            break;
        }
        let Some((at, _)) = pull(&trial.sink, left) else {
            if let Some(error) = trial.error() {
                return Err(error);
            }
            // Silence counts: the rate is what came in the whole time.
            seen.over = first.elapsed();
            break;
        };
        seen.more += 1;
        seen.over = at - first;
    }
    Ok(Some(seen))
}

fn pull(sink: &gst_app::AppSink, limit: Duration) -> Option<(Instant, Option<f64>)> {
    let limit = gst::ClockTime::from_nseconds(limit.as_nanos() as u64);
    let sample = sink.try_pull_sample(limit)?;
    let info = sample
        .caps()
        .and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
    let rate = info.map(|info| info.fps()).and_then(|fps| {
        let (numerator, denominator) = (fps.numer(), fps.denom());
        (numerator > 0 && denominator > 0).then(|| f64::from(numerator) / f64::from(denominator))
    });
    Some((Instant::now(), rate))
}

pub(super) fn check(config: &Config, encoders: Option<&Encoders>) -> Vec<Finding> {
    let failed = |error: MediaError| {
        vec![Finding::error(
            CHECK,
            error.to_string(),
            remedies::of(&error),
        )]
    };
    let lit = match config.video.source {
        VideoSource::Test => None,
        // To look at a camera is to open its node.
        VideoSource::V4l2 | VideoSource::Custom => {
            match Led::new(config.led.path.as_deref()).and_then(|led| led.light()) {
                Ok(lit) => Some(lit),
                Err(error) => return failed(error.into()),
            }
        }
    };
    let (picture, promised) = match picture(&config.video, encoders) {
        Ok(planned) => planned,
        Err(error) => return failed(error),
    };
    let seen = watch(&picture);
    drop(lit);
    match seen {
        Ok(seen) => vec![judge(
            &picture.what,
            promised,
            f64::from(config.video.fps),
            seen,
        )],
        Err(error) => failed(error),
    }
}

fn judge(what: &str, promised: Option<f64>, wanted: f64, seen: Option<Seen>) -> Finding {
    let Some(seen) = seen else {
        return Finding::error(
            CHECK,
            format!("{what}: no picture came within {} s", FIRST.as_secs()),
            "unplug the camera and plug it in again; try another cable or port, or a smaller \
             picture (video.width, video.height)",
        );
    };
    let rate = seen.rate();
    let promised = promised.or(seen.announced).unwrap_or(wanted);
    let came = format!("{what}: {rate:.1} frames/s of {promised:.1} promised");
    if rate < promised * 0.9 {
        return Finding::warning(
            CHECK,
            came,
            "in low light many cameras expose longer: more light, or `v4l2-ctl -c \
             exposure_dynamic_framerate=0`; else the USB port or the CPU is too slow: a smaller \
             picture (video.width, video.height) or another port",
        );
    }
    if promised < wanted * 0.9 {
        return Finding::hint(
            CHECK,
            format!("{came}, fewer than video.fps = {wanted:.0}"),
            "the camera has no faster mode of this size: take a smaller picture (video.width, \
             video.height), or set video.fps to what it gives",
        );
    }
    Finding::ok(
        CHECK,
        format!("{came}, the first after {} ms", seen.first.as_millis()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn seen(more: u32, announced: Option<f64>) -> Option<Seen> {
        Some(Seen {
            first: Duration::from_millis(300),
            more,
            over: MEASURED,
            announced,
        })
    }

    #[test]
    fn the_promised_rate_is_fine() {
        let finding = judge("cam", Some(30.0), 30.0, seen(88, None));
        assert_eq!(finding.severity, Severity::Ok);
        assert_eq!(
            finding.what,
            "cam: 29.3 frames/s of 30.0 promised, the first after 300 ms"
        );
    }

    #[test]
    fn half_the_frames_are_a_warning_that_names_light() {
        let finding = judge("cam", Some(30.0), 30.0, seen(45, None));
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.remedy.is_some_and(|r| r.contains("light")));
    }

    #[test]
    fn a_mode_slower_than_asked_for_is_a_hint() {
        let finding = judge("cam", Some(10.0), 30.0, seen(30, None));
        assert_eq!(finding.severity, Severity::Hint);
        assert!(finding.what.contains("video.fps = 30"));
    }

    #[test]
    fn without_a_mode_the_stream_s_own_word_counts_and_then_the_configuration() {
        assert_eq!(
            judge("x", None, 30.0, seen(45, Some(15.0))).severity,
            Severity::Hint
        );
        assert_eq!(
            judge("x", None, 30.0, seen(45, None)).severity,
            Severity::Warning
        );
    }

    #[test]
    fn no_picture_and_only_one_are_told() {
        assert_eq!(judge("cam", None, 30.0, None).severity, Severity::Error);
        let one = judge("cam", None, 30.0, seen(0, None));
        assert_eq!(one.severity, Severity::Warning);
        assert!(one.what.contains("0.0 frames/s"));
    }
}
