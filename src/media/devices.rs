//! Which camera and which microphone there are.

use std::path::Path;

use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;

use super::MediaError;
use super::plan::{CameraFormat, CameraMode};
use crate::config::VideoConfig;

/// V4L2's pixel formats and GStreamer's names for them
/// (kernel doc: userspace-api/media/v4l/pixfmt), cheapest to convert first.
const FORMATS: &[(&[u8; 4], CameraFormat)] = &[
    (b"YU12", CameraFormat::Raw("I420")),
    (b"NV12", CameraFormat::Raw("NV12")),
    (b"YV12", CameraFormat::Raw("YV12")),
    (b"NV21", CameraFormat::Raw("NV21")),
    (b"YUYV", CameraFormat::Raw("YUY2")),
    (b"UYVY", CameraFormat::Raw("UYVY")),
    (b"YVYU", CameraFormat::Raw("YVYU")),
    (b"MJPG", CameraFormat::Jpeg),
    (b"JPEG", CameraFormat::Jpeg),
    (b"RGB3", CameraFormat::Raw("RGB")),
    (b"BGR3", CameraFormat::Raw("BGR")),
    (b"GREY", CameraFormat::Raw("GRAY8")),
];

/// The camera and its mode nearest to what the configuration asks for.
///
/// # Errors
///
/// No camera, one that cannot be opened, or one without a format known here.
pub fn camera(config: &VideoConfig) -> Result<CameraMode, MediaError> {
    if config.device != "auto" {
        return modes(&config.device).and_then(|modes| best(&modes, config, &config.device));
    }
    let mut nodes: Vec<_> = v4l::context::enum_devices();
    nodes.sort_by_key(v4l::context::Node::index);
    let mut refusal = MediaError::NoCamera;
    for node in nodes {
        let device = node.path().to_string_lossy().into_owned();
        match modes(&device).and_then(|modes| best(&modes, config, &device)) {
            Ok(mode) => return Ok(mode),
            // Metadata nodes and codecs are refused as well; a camera that
            // is there and cannot be opened is the better thing to report.
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn modes(device: &str) -> Result<Vec<CameraMode>, MediaError> {
    let failed = |problem: String| MediaError::Camera {
        device: device.to_owned(),
        problem,
    };
    let opened = v4l::Device::with_path(Path::new(device)).map_err(|e| {
        failed(match e.kind() {
            std::io::ErrorKind::NotFound => "is not there; is it plugged in?".into(),
            std::io::ErrorKind::PermissionDenied => {
                "permission denied; add this user to the group \"video\"".into()
            }
            _ if e.raw_os_error() == Some(libc::EBUSY) => busy(device),
            _ => e.to_string(),
        })
    })?;
    let capabilities = opened
        .query_caps()
        .map_err(|e| failed(format!("is no V4L2 device: {e}")))?;
    use v4l::capability::Flags;
    let flags = capabilities.capabilities;
    if !flags.contains(Flags::VIDEO_CAPTURE) || flags.contains(Flags::VIDEO_OUTPUT) {
        return Err(failed("does not capture; name another node".into()));
    }
    let mut modes = Vec::new();
    for description in opened.enum_formats().unwrap_or_default() {
        let fourcc = description.fourcc;
        let Some((_, format)) = FORMATS.iter().find(|(code, _)| **code == fourcc.repr) else {
            continue;
        };
        for size in opened.enum_framesizes(fourcc).unwrap_or_default() {
            for (width, height) in sizes(&size.size) {
                let intervals = opened
                    .enum_frameintervals(fourcc, width, height)
                    .unwrap_or_default();
                let mut rates: Vec<_> = intervals
                    .iter()
                    .flat_map(|i| match &i.interval {
                        FrameIntervalEnum::Discrete(f) => vec![(f.denominator, f.numerator)],
                        FrameIntervalEnum::Stepwise(s) => vec![
                            (s.min.denominator, s.min.numerator),
                            (s.max.denominator, s.max.numerator),
                            (30, 1),
                        ],
                    })
                    .filter(|(n, d)| *n > 0 && *d > 0)
                    .collect();
                if rates.is_empty() {
                    rates.push((30, 1));
                }
                modes.extend(rates.into_iter().map(|rate| CameraMode {
                    device: device.to_owned(),
                    format: *format,
                    width,
                    height,
                    rate,
                }));
            }
        }
    }
    Ok(modes)
}

fn busy(device: &str) -> String {
    format!("is in use by another program; \"fuser -v {device}\" names it")
}

fn sizes(size: &FrameSizeEnum) -> Vec<(u32, u32)> {
    match size {
        FrameSizeEnum::Discrete(d) => vec![(d.width, d.height)],
        FrameSizeEnum::Stepwise(s) => [
            (s.min_width, s.min_height),
            (640, 360),
            (640, 480),
            (1280, 720),
            (1920, 1080),
            (s.max_width, s.max_height),
        ]
        .into_iter()
        .filter(|(w, h)| {
            (s.min_width..=s.max_width).contains(w) && (s.min_height..=s.max_height).contains(h)
        })
        .collect(),
    }
}

/// The mode nearest to the configuration: fast enough, then the largest
/// picture that is not larger than asked for, then the format that costs
/// least.
fn best(
    modes: &[CameraMode],
    config: &VideoConfig,
    device: &str,
) -> Result<CameraMode, MediaError> {
    let wanted_area = u64::from(config.width) * u64::from(config.height);
    let cost = |mode: &CameraMode| {
        let area = u64::from(mode.width) * u64::from(mode.height);
        let fps = mode.rate.0 as f64 / mode.rate.1 as f64;
        let too_slow = ((f64::from(config.fps) * 0.9 - fps).max(0.0) * 1000.0) as u64;
        let too_fast = ((fps - f64::from(config.fps)).max(0.0) * 1000.0) as u64;
        let too_large = area.saturating_sub(wanted_area);
        let too_small = wanted_area.saturating_sub(area);
        let format = FORMATS.iter().position(|(_, f)| *f == mode.format);
        (too_large, too_slow, too_small, too_fast, format)
    };
    modes
        .iter()
        .filter(|m| m.width.is_multiple_of(2) && m.height.is_multiple_of(2))
        .min_by_key(|m| cost(m))
        .cloned()
        .ok_or_else(|| MediaError::Camera {
            device: device.to_owned(),
            problem: "offers no format that is known here; use video.source = \"custom\"".into(),
        })
}

/// The first PCM that can capture, as `plughw:CARD=…,DEV=…`, a name that stays
/// when card numbers change.
pub fn microphone() -> Result<String, MediaError> {
    for card in alsa::card::Iter::new().flatten() {
        let Ok(control) = alsa::Ctl::from_card(&card, false) else {
            continue;
        };
        let Ok(info) = control.card_info() else {
            continue;
        };
        let Ok(id) = info.get_id() else { continue };
        for device in alsa::ctl::DeviceIter::new(&control) {
            let Ok(device) = u32::try_from(device) else {
                continue;
            };
            if control
                .pcm_info(device, 0, alsa::Direction::Capture)
                .is_ok()
            {
                return Ok(format!("plughw:CARD={id},DEV={device}"));
            }
        }
    }
    Err(MediaError::NoMicrophone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(format: CameraFormat, width: u32, height: u32, rate: u32) -> CameraMode {
        CameraMode {
            device: "/dev/video0".into(),
            format,
            width,
            height,
            rate: (rate, 1),
        }
    }

    #[test]
    fn a_webcam_gives_720p30_as_jpeg_rather_than_10_frames_of_raw() {
        let modes = [
            mode(CameraFormat::Raw("YUY2"), 640, 480, 30),
            mode(CameraFormat::Raw("YUY2"), 1280, 720, 10),
            mode(CameraFormat::Jpeg, 1280, 720, 30),
            mode(CameraFormat::Jpeg, 1920, 1080, 30),
        ];
        let best = best(&modes, &VideoConfig::default(), "x").expect("a mode");
        assert_eq!(best, modes[2]);
    }

    #[test]
    fn raw_is_taken_where_both_are_fast_enough() {
        let modes = [
            mode(CameraFormat::Jpeg, 1280, 720, 30),
            mode(CameraFormat::Raw("NV12"), 1280, 720, 30),
        ];
        let best = best(&modes, &VideoConfig::default(), "x").expect("a mode");
        assert_eq!(best.format, CameraFormat::Raw("NV12"));
    }

    #[test]
    fn a_node_without_a_known_format_is_named() {
        let error = best(&[], &VideoConfig::default(), "/dev/video7").expect_err("nothing");
        assert!(error.to_string().contains("/dev/video7"));
    }

    #[test]
    fn a_missing_camera_says_so() {
        let config = VideoConfig {
            device: "/dev/no-such-camera".into(),
            ..Default::default()
        };
        let error = camera(&config).expect_err("nothing there").to_string();
        assert!(error.contains("/dev/no-such-camera"), "{error}");
        assert!(error.contains("plugged in"), "{error}");
    }
}
