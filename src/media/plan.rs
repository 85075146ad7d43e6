//! From configuration and what was found to GStreamer descriptions, as text.
//! Pure: a test can hold every description against the one it expects.
//!
//! A picture's description ends in a tee; each encoder is a [`branch`] on it.
//! Which mode of a camera is taken is decided in `modes`.

mod copies;
mod modes;
mod sizes;
mod sound;
mod speaker;
mod watching;

use std::borrow::Cow;

use super::encoder::Encoder;
use super::error::MediaError;
use crate::config::{VideoConfig, VideoSource};
use crate::device::discovery::libcamera;
use crate::device::formats::Coding;
use crate::device::learned::Memory;
use crate::device::{Camera, CameraKind, Mode};
use crate::sdp::VideoCodec;
use modes::{Choice, Work};

pub(crate) use copies::copies;
pub use sizes::direction;
pub(crate) use sizes::{shrunk_size, tier_size};
pub(crate) use sound::SOUND_CAPTURE;
pub use sound::{SOUND_ENCODER, SoundPlan, sound};
pub(crate) use speaker::{
    SPEAKER_DECODER, SPEAKER_DECODER_PACKAGE, SPEAKER_INPUT, speaker, speaker_sink,
};
pub(crate) use watching::{WATCHING, watching};

/// A queue that keeps the newest buffer: an encoder that is too slow costs
/// frames, not latency.
const NEWEST: &str = "queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream";

/// A queue that keeps every buffer: a coded picture that is dropped damages
/// all up to the next key frame.
const EVERY: &str = "queue max-size-buffers=30 max-size-bytes=0 max-size-time=0";

/// Keeps what fails behind it from the tee, which would stop the camera; the
/// failure itself is on the bus.
const FIREWALL: &str =
    "errorignore ignore-error=true ignore-notlinked=true ignore-eos=true convert-to=ok";

const TEE: &str = "tee name=tee allow-not-linked=true";

const SINK: &str = "appsink name=out sync=false async=false drop=false max-buffers=8";

/// Whole access units with SPS and PPS before every key frame.
const H264_UNITS: &str =
    "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au";

/// The element that decodes the H.264 of a camera.
pub(crate) const H264_DECODER: &str = "openh264dec";
/// The Debian package that ships [`H264_DECODER`].
pub(crate) const H264_DECODER_PACKAGE: &str = "gstreamer1.0-plugins-bad";

/// The slate's frames a second: enough for a clock that runs.
const SLATE_FPS: u32 = 10;

/// What is said of a camera whose modes were all refused.
pub(crate) const NO_MODE_LEFT: &str = "was refused in every mode";

/// What the tee of a picture pipeline carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carries {
    /// Raw pictures in this GStreamer format: `I420`, `NV12`.
    Raw(String),
    /// The camera's own H.264, in access units with SPS and PPS in band.
    H264,
}

/// What is known beside configuration and devices.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// GStreamer's names of the raw formats that the H.264 encoder takes, best
    /// first.
    pub formats: &'a [Cow<'static, str>],
    /// How buffers may pass.
    pub memory: Memory,
    /// This camera's own H.264 was proven to have key frames often enough, or
    /// on demand.
    pub pass_through: bool,
    /// So many of the best modes were tried and refused: by the USB bus, which
    /// has no room (`ENOSPC`), or by the driver.
    pub skip_modes: usize,
}

/// A picture pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PicturePlan {
    /// The source, for messages: "camera /dev/…".
    pub what: String,
    /// The V4L2 node that it opens.
    pub node: Option<String>,
    /// The mode that the camera is set to.
    pub mode: Option<Mode>,
    /// The pipeline; it ends in a tee of the name `tee`.
    pub description: String,
    /// What the tee carries.
    pub carries: Carries,
    /// Frames a second that come through the tee, rounded up.
    pub fps: u32,
    /// Width and height of what the tee carries.
    pub size: (u32, u32),
    /// Why this mode, in words.
    pub reason: String,
}

/// The picture's pipeline up to the tee that encoders hang on.
///
/// # Errors
///
/// No camera, one in trouble, or one without a mode that can be used.
pub fn picture(
    config: &VideoConfig,
    cameras: &[Camera],
    circumstances: &Circumstances,
) -> Result<PicturePlan, MediaError> {
    let size = format!("width={},height={}", config.width, config.height);
    let turn = turn(config);
    match config.source {
        VideoSource::V4l2 => {
            let (camera, choices) = choose_camera(config, cameras, circumstances)?;
            let choice =
                modes::after_refusals(choices, circumstances.skip_modes).ok_or_else(|| {
                    let remedy = "plug it into another socket, or unplug what shares the bus";
                    failed(camera, format!("{NO_MODE_LEFT}; {remedy}"))
                })?;
            Ok(of_camera(camera, config, &choice, circumstances))
        }
        VideoSource::Test => Ok(PicturePlan {
            what: "test picture".into(),
            node: None,
            mode: None,
            // The painter of the clock knows this format.
            description: format!(
                "videotestsrc name=picture is-live=true pattern=smpte75 ! \
                 video/x-raw,format=I420,{size},framerate={}/1 ! {turn}{TEE}",
                config.fps
            ),
            carries: Carries::Raw("I420".into()),
            fps: config.fps,
            size: config.shown_size(),
            reason: "video.source is \"test\"".into(),
        }),
        VideoSource::Custom => {
            let format = planar(circumstances.formats);
            Ok(PicturePlan {
                what: "video.pipeline".into(),
                node: None,
                mode: None,
                description: format!(
                    "{} ! {NEWEST} ! videoconvert ! videoscale ! \
                     video/x-raw,format={format},{size} ! {turn}{TEE}",
                    config.pipeline.as_deref().unwrap_or_default()
                ),
                carries: Carries::Raw(format),
                fps: config.fps,
                size: config.shown_size(),
                reason: "video.source is \"custom\"".into(),
            })
        }
    }
}

/// What turns the picture, in front of the tee.
fn turn(config: &VideoConfig) -> String {
    match sizes::direction(config) {
        Some(direction) => format!("videoflip video-direction={direction} ! "),
        None => String::new(),
    }
}

/// What viewers see while the camera is gone: black, of the configured size,
/// for a painter to write on. It is never turned: people read it.
pub fn slate(config: &VideoConfig, format: &str) -> PicturePlan {
    let fps = config.fps.min(SLATE_FPS);
    let (width, height) = config.shown_size();
    PicturePlan {
        what: "slate".into(),
        node: None,
        mode: None,
        description: format!(
            "videotestsrc name=picture is-live=true pattern=black ! \
             video/x-raw,format={format},width={width},height={height},\
             framerate={fps}/1 ! {TEE}"
        ),
        carries: Carries::Raw(format.to_owned()),
        fps,
        size: (width, height),
        reason: "there is no picture".into(),
    }
}

/// The camera to take, with its modes, best first.
fn choose_camera<'a>(
    config: &VideoConfig,
    cameras: &'a [Camera],
    circumstances: &Circumstances,
) -> Result<(&'a Camera, Vec<Choice>), MediaError> {
    let usable = |camera: &'a Camera| {
        if let Some(trouble) = &camera.trouble {
            return Err(failed(camera, trouble.clone()));
        }
        let choices = modes::ranked(camera, config, circumstances);
        if choices.is_empty() {
            return Err(failed(camera, modes::no_mode(camera, config)));
        }
        Ok((camera, choices))
    };
    if config.device != "auto" {
        let named = cameras.iter().find(|c| c.is(&config.device));
        return named.map_or_else(
            || {
                Err(MediaError::Camera {
                    device: config.device.clone(),
                    problem: "is not there; is it plugged in?".into(),
                })
            },
            usable,
        );
    }
    let mut refusal = MediaError::NoCamera;
    let mut found: Vec<_> = Vec::new();
    for camera in cameras.iter().rev() {
        match usable(camera) {
            Ok(one) => found.insert(0, one),
            // The first one's refusal is reported.
            Err(error) => refusal = error,
        }
    }
    // A laptop's infrared camera is not what people want to be seen by.
    found
        .into_iter()
        .min_by_key(|(_, choices)| choices.first().is_none_or(|c| c.is_grey))
        .ok_or(refusal)
}

fn failed(camera: &Camera, problem: String) -> MediaError {
    MediaError::Camera {
        device: camera.device.clone(),
        problem,
    }
}

/// The element that opens the camera, and what it is set to.
fn source(camera: &Camera, config: &VideoConfig, choice: &Choice, memory: Memory) -> String {
    let caps = caps(camera, config, choice);
    match camera.kind {
        CameraKind::V4l2 | CameraKind::Hdmi => {
            // A handle is worth it only where nothing reads the picture on
            // its way.
            let io = match (memory, choice.work) {
                (Memory::Dmabuf, Work::None) => "dmabuf",
                _ => "mmap",
            };
            format!(
                "v4l2src name=device device={} io-mode={io} ! {caps}",
                quoted(&camera.device)
            )
        }
        CameraKind::Libcamera => format!(
            // Unpinned, it may change with the light, and the encoder's
            // headers with it.
            "{} name=device camera-name={} ! {caps},colorimetry=bt709",
            libcamera::SOURCE,
            quoted(&camera.device)
        ),
    }
}

fn of_camera(
    camera: &Camera,
    config: &VideoConfig,
    choice: &Choice,
    circumstances: &Circumstances,
) -> PicturePlan {
    let mode = &choice.mode;
    let source = source(camera, config, choice, circumstances.memory);
    let limit = match choice.drop_to {
        Some(fps) => format!("videorate drop-only=true max-rate={fps} ! "),
        None => String::new(),
    };
    let (width, height) = choice.size;
    let format = match (choice.work, choice.coding) {
        (Work::None, Coding::Raw(format)) => format.to_owned(),
        // jpegdec and openh264dec make I420; any other format costs a pass.
        (_, Coding::Jpeg | Coding::H264) if takes(circumstances.formats, "I420") => "I420".into(),
        _ => planar(circumstances.formats),
    };
    let (odd_width, odd_height) = (mode.width % 2, mode.height % 2);
    let (scale, pin) = if choice.size == (mode.width, mode.height) {
        (String::new(), "")
    } else if choice.size == (mode.width - odd_width, mode.height - odd_height) {
        // 4:2:0 is of even sizes; a line less costs less than scaling.
        let crop = format!("videocrop right={odd_width} bottom={odd_height} ! ");
        (crop, "")
    } else {
        let scale = "videoscale add-borders=false ! ".to_owned();
        (scale, ",pixel-aspect-ratio=1/1")
    };
    // H.264 of fields is none that browsers play.
    let weave = if mode.interlaced {
        "deinterlace fields=top ! "
    } else {
        ""
    };
    let to_raw = format!(
        "{scale}videoconvert ! video/x-raw,format={format},width={width},height={height}{pin}"
    );
    let (steps, carries) = match (choice.work, choice.coding) {
        (Work::PassThrough, _) => (H264_UNITS.to_owned(), Carries::H264),
        (Work::None, _) => (limit, Carries::Raw(format)),
        (_, Coding::Raw(_)) => (
            format!("{NEWEST} ! {limit}{weave}{to_raw}"),
            Carries::Raw(format),
        ),
        (_, Coding::Jpeg) => (
            format!("{NEWEST} ! {limit}jpegdec ! {weave}{to_raw}"),
            Carries::Raw(format),
        ),
        (_, Coding::H264) => (
            format!("h264parse ! {EVERY} ! {H264_DECODER} ! {NEWEST} ! {limit}{to_raw}"),
            Carries::Raw(format),
        ),
    };
    let steps = match steps.trim_end_matches(" ! ") {
        "" => String::new(),
        steps => format!("{steps} ! "),
    };
    PicturePlan {
        what: format!("camera {}", camera.device),
        node: (camera.kind != CameraKind::Libcamera).then(|| camera.device.clone()),
        mode: Some(mode.clone()),
        description: format!("{source} ! {steps}{}{TEE}", turn(config)),
        carries,
        fps: choice
            .drop_to
            .unwrap_or_else(|| mode.rate.0.div_ceil(mode.rate.1.max(1)).max(1)),
        size: config.turned(choice.size),
        reason: choice.reason.clone(),
    }
}

/// The caps that a camera is set to.
fn caps(camera: &Camera, config: &VideoConfig, choice: &Choice) -> String {
    let mode = &choice.mode;
    let (kind, format) = match choice.coding {
        Coding::Raw(format) => ("video/x-raw", format!(",format={format}")),
        Coding::Jpeg => ("image/jpeg", String::new()),
        Coding::H264 => ("video/x-h264", String::new()),
    };
    let (n, d) = mode.rate;
    let set = format!("{kind}{format},width={},height={}", mode.width, mode.height);
    if camera.kind == CameraKind::Hdmi {
        // v4l2src counts a bridge's rate from the timings itself, to the digit.
        set
    } else if mode.unlisted_rate {
        // Of all that its driver may take; encoders want a number.
        let most = config.fps.max(n.div_ceil(d.max(1)));
        format!("{set},framerate=[0/1,{most}/1] ! capssetter caps={kind},framerate={n}/{d}")
    } else {
        format!("{set},framerate={n}/{d}")
    }
}

/// The first of `formats` that is 4:2:0 of 8 bits, the only pictures that
/// every browser plays.
fn planar(formats: &[Cow<'static, str>]) -> String {
    formats
        .iter()
        .find(|f| modes::is_420(f))
        .map_or_else(|| "I420".to_owned(), |f| f.clone().into_owned())
}

fn takes(formats: &[Cow<'static, str>], format: &str) -> bool {
    formats.iter().any(|f| f == format)
}

/// What an encoder makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its bitrate at the start, in bit/s.
    pub bits_per_second: u32,
    /// Width and height; `None` for those of the picture.
    pub size: Option<(u32, u32)>,
}

/// One encoder and the sink behind it, to hang on a tee that carries `carries`
/// at `fps` frames a second.
pub fn branch(
    encoder: &Encoder,
    target: Target,
    carries: &Carries,
    fps: u32,
    memory: Memory,
) -> String {
    let parser = match &*encoder.parser {
        "" => String::new(),
        parser => format!(" ! {parser}"),
    };
    let takes = |format: &str| takes(&encoder.formats, format);
    let scale = match target.size {
        Some((width, height)) => format!(
            "videoscale add-borders=false ! \
             video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 ! "
        ),
        None => String::new(),
    };
    let best = encoder.formats.first().map_or("I420", |format| format);
    let convert = || format!("{scale}videoconvert ! video/x-raw,format={best} ! ");
    let (before, memory) = match carries {
        Carries::H264 if encoder.codec == VideoCodec::H264 && target.size.is_none() => {
            return format!("{FIREWALL} ! {EVERY} ! {H264_UNITS} ! {SINK}");
        }
        Carries::H264 => (
            format!("{EVERY} ! {H264_DECODER} ! {NEWEST} ! {}", convert()),
            Memory::Mmap,
        ),
        Carries::Raw(format) if takes(format) && target.size.is_none() => {
            (format!("{NEWEST} ! "), memory)
        }
        Carries::Raw(format) if takes(format) => (format!("{NEWEST} ! {scale}"), Memory::Mmap),
        Carries::Raw(_) => (format!("{NEWEST} ! {}", convert()), Memory::Mmap),
    };
    let element = element(encoder, target.bits_per_second, fps, memory);
    format!(
        "{FIREWALL} ! {before}{element} ! {}{parser} ! {SINK}",
        encoder.caps
    )
}

fn element(encoder: &Encoder, bits_per_second: u32, fps: u32, memory: Memory) -> String {
    let element = encoder.element_text(fps, bits_per_second);
    // GStreamer's V4L2 encoders copy what they are given unless told to take
    // the camera's own buffers.
    if memory == Memory::Dmabuf && encoder.factory.starts_with("v4l2") {
        element.replacen(
            "name=encoder",
            "name=encoder output-io-mode=dmabuf-import",
            1,
        )
    } else {
        element
    }
}

/// A value for a GStreamer description.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
