//! From configuration and what was found to GStreamer descriptions, as text.
//! Pure: a test can hold every description against the one it expects.

use super::encoder::Encoder;
use crate::config::{AudioConfig, AudioSource, VideoConfig, VideoSource};

/// A queue that keeps the newest buffer: an encoder that is too slow costs
/// frames, not latency.
const NEWEST: &str = "queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream";

/// What a camera is told to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraMode {
    /// The node.
    pub device: String,
    /// What comes out of it.
    pub format: CameraFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames a second, as numerator and denominator.
    pub rate: (u32, u32),
}

/// What comes out of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraFormat {
    /// Raw, by GStreamer's name.
    Raw(&'static str),
    /// Motion JPEG.
    Jpeg,
}

/// The picture up to the tee that encoders hang on. `camera` is there where
/// the source is one.
pub fn video_source(config: &VideoConfig, camera: Option<&CameraMode>) -> String {
    let tee = "tee name=tee allow-not-linked=true";
    let size = format!("width={},height={}", config.width, config.height);
    match (config.source, camera) {
        (VideoSource::V4l2, Some(camera)) => {
            let CameraMode { width, height, .. } = camera;
            let size = format!(
                "width={width},height={height},framerate={}/{}",
                camera.rate.0, camera.rate.1
            );
            let (caps, decode) = match camera.format {
                CameraFormat::Raw(format) => (format!("video/x-raw,format={format}"), ""),
                CameraFormat::Jpeg => ("image/jpeg".to_owned(), "jpegdec ! "),
            };
            format!(
                "v4l2src name=device device={} ! {caps},{size} ! {NEWEST} ! {decode}\
                 videoconvert ! video/x-raw,format=I420,width={width},height={height} ! {tee}",
                quoted(&camera.device),
            )
        }
        (VideoSource::V4l2 | VideoSource::Test, _) => format!(
            "videotestsrc name=picture is-live=true pattern=smpte75 ! \
             video/x-raw,format=I420,{size},framerate={}/1 ! {tee}",
            config.fps
        ),
        (VideoSource::Custom, _) => format!(
            "{} ! {NEWEST} ! videoconvert ! videoscale ! video/x-raw,format=I420,{size} ! {tee}",
            config.pipeline.as_deref().unwrap_or_default()
        ),
    }
}

/// Width and height of a tier of a picture of this size; `None` for the whole
/// picture, tier 0. Even numbers, of the picture's shape.
pub fn tier_size(config: &VideoConfig, whole: (u32, u32), tier: usize) -> Option<(u32, u32)> {
    let height = config.smaller_tiers().nth(tier.checked_sub(1)?)?.height;
    let (w, h) = (u64::from(whole.0), u64::from(whole.1.max(1)));
    let width = (w * u64::from(height) + h / 2) / h;
    Some((u32::try_from(width & !1).ok()?.max(2), height))
}

/// One encoder and the sink behind it, to hang on the tee; scaled down first
/// where there is a `size`.
pub fn video_branch(
    encoder: &Encoder,
    fps: u32,
    bits_per_second: u32,
    size: Option<(u32, u32)>,
) -> String {
    let element = encoder.element_text(fps, bits_per_second);
    let scale = match size {
        Some((width, height)) => format!(
            "videoscale add-borders=false ! \
             video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 ! "
        ),
        None => String::new(),
    };
    let parser = match &*encoder.parser {
        "" => String::new(),
        parser => format!(" ! {parser}"),
    };
    format!(
        "{NEWEST} ! {scale}{element} ! {}{parser} ! {SINK}",
        encoder.caps
    )
}

/// The sound; `None` where there is to be none. `device` is there where the
/// source is a microphone.
pub fn audio(config: &AudioConfig, device: Option<&str>) -> Option<String> {
    let source = match (config.source, device) {
        (AudioSource::None, _) => return None,
        // The default buffer of 200 ms is latency; the clock is the system's,
        // shared with the picture.
        (AudioSource::Alsa, Some(device)) => format!(
            "alsasrc name=device device={} buffer-time=60000 latency-time=10000 \
             provide-clock=false ! queue max-size-time=100000000 leaky=downstream",
            quoted(device)
        ),
        (AudioSource::Alsa | AudioSource::Test, _) => {
            "audiotestsrc is-live=true wave=sine freq=440 volume=0.1 samplesperbuffer=480"
                .to_owned()
        }
        (AudioSource::Custom, _) => config.pipeline.clone().unwrap_or_default(),
    };
    Some(format!(
        "{source} ! audioconvert ! audioresample ! \
         audio/x-raw,format=S16LE,rate=48000,channels=1 ! \
         opusenc audio-type=voice frame-size=20 inband-fec=true packet-loss-percentage=10 \
         perfect-timestamp=true bitrate={} ! {SINK}",
        config.bitrate_kbps.saturating_mul(1000)
    ))
}

const SINK: &str = "appsink name=out sync=false async=false drop=false max-buffers=8";

/// A value for a GStreamer description.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_camera_is_decoded_to_420_behind_a_leaky_queue() {
        let camera = CameraMode {
            device: "/dev/v4l/by-id/usb-x".into(),
            format: CameraFormat::Jpeg,
            width: 1280,
            height: 720,
            rate: (30, 1),
        };
        assert_eq!(
            video_source(&VideoConfig::default(), Some(&camera)),
            "v4l2src name=device device=\"/dev/v4l/by-id/usb-x\" ! \
             image/jpeg,width=1280,height=720,framerate=30/1 ! \
             queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream ! \
             jpegdec ! videoconvert ! video/x-raw,format=I420,width=1280,height=720 ! \
             tee name=tee allow-not-linked=true"
        );
    }

    #[test]
    fn a_raw_camera_is_not_decoded() {
        let camera = CameraMode {
            device: "/dev/video0".into(),
            format: CameraFormat::Raw("YUY2"),
            width: 640,
            height: 360,
            rate: (25, 2),
        };
        let text = video_source(&VideoConfig::default(), Some(&camera));
        assert!(text.contains("video/x-raw,format=YUY2,width=640,height=360,framerate=25/2"));
        assert!(!text.contains("jpegdec"));
    }

    #[test]
    fn x264_makes_one_slice_a_frame_at_the_configured_rate() {
        let text = video_branch(&Encoder::row("x264").expect("a row"), 30, 2_000_000, None);
        for part in [
            "x264enc name=encoder key-int-max=300 bitrate=2000 ",
            " threads=1 ",
            " sliced-threads=false ",
            "profile=constrained-baseline",
            "h264parse config-interval=-1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_tier_is_scaled_to_its_height_in_the_pictures_shape() {
        let config = VideoConfig::default();
        assert_eq!(tier_size(&config, (1280, 720), 0), None);
        assert_eq!(tier_size(&config, (1280, 720), 1), Some((640, 360)));
        assert_eq!(tier_size(&config, (1024, 600), 1), Some((614, 360)));
        assert_eq!(tier_size(&config, (1280, 720), 2), None);
        let x264 = Encoder::row("x264").expect("a row");
        let text = video_branch(&x264, 30, 500_000, Some((640, 360)));
        let (scale, encoder) = text.split_once("x264enc").expect("its element");
        assert!(scale.contains("videoscale add-borders=false ! video/x-raw,width=640,height=360,"));
        assert!(encoder.contains(" bitrate=500 "), "{text}");
    }

    #[test]
    fn no_sound_is_no_pipeline_and_a_device_is_quoted() {
        let mut config = AudioConfig {
            source: AudioSource::None,
            ..Default::default()
        };
        assert_eq!(audio(&config, None), None);
        config.source = AudioSource::Alsa;
        let text = audio(&config, Some("plughw:CARD=\"x")).expect("a pipeline");
        assert!(text.starts_with("alsasrc name=device device=\"plughw:CARD=\\\"x\" "));
    }
}
