//! GStreamer's elements, and the Debian package that has each.

use std::sync::Arc;

use gstreamer as gst;

use super::finding::{Check, Finding, Severity};
use super::remedies;
use crate::config::{AudioSource, Config, VideoSource};
use crate::device::discovery::libcamera;
use crate::media;
use crate::media::encoder::Encoder;
use crate::media::plan;
use crate::sdp::VideoCodec;

const CHECK: Check = Check::Elements;

/// What a configuration needs an element for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Every picture.
    Picture,
    /// A camera through Video4Linux.
    Camera,
    /// The test picture, which the encoder is tried with as well.
    TestPicture,
    /// Every sound.
    Sound,
    /// A microphone through ALSA.
    Microphone,
    /// The test tone.
    Tone,
    /// A camera that sends H.264 which has to be decoded.
    CodedCamera,
    /// A camera that only libcamera can run.
    Libcamera,
    /// A microphone through PulseAudio, or what stands in for it.
    Pulse,
    /// A microphone through PipeWire.
    Pipewire,
}

impl For {
    /// Who misses it where this configuration does not name it. What a plan
    /// cannot do without is found by the checks of camera and microphone.
    fn who(self) -> Option<&'static str> {
        match self {
            Self::CodedCamera => Some("a camera that sends nothing but H.264"),
            Self::Libcamera => Some("a camera that only libcamera can run"),
            Self::Pulse => Some("a microphone that PulseAudio has"),
            Self::Pipewire => Some("a microphone that PipeWire has"),
            _ => None,
        }
    }

    fn is_needed_by(self, config: &Config) -> bool {
        let (video, audio) = (&config.video, &config.audio);
        let camera = |is_such: bool| video.source == VideoSource::V4l2 && is_such;
        let microphone = |is_such: bool| audio.source == AudioSource::Alsa && is_such;
        match self {
            Self::Picture | Self::TestPicture => true,
            Self::Camera => camera(true),
            Self::CodedCamera => camera(video.format == "H264"),
            // Its ids are paths in the device tree or in ACPI's tables.
            Self::Libcamera => {
                let is_id = |start| video.device.starts_with(start);
                camera(is_id("/base/") || is_id("\\_SB"))
            }
            Self::Sound => audio.source != AudioSource::None,
            Self::Microphone => microphone(true),
            Self::Pulse => microphone(audio.device.starts_with("pulse:")),
            Self::Pipewire => microphone(audio.device.starts_with("pipewire:")),
            Self::Tone => audio.source == AudioSource::Test,
        }
    }

    fn is_of_sound(self) -> bool {
        match self {
            Self::Sound | Self::Microphone | Self::Tone | Self::Pulse | Self::Pipewire => true,
            Self::Picture
            | Self::TestPicture
            | Self::Camera
            | Self::CodedCamera
            | Self::Libcamera => false,
        }
    }
}

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";

/// Everything in the [plan] but encoders, whose packages
/// are in their table.
const ELEMENTS: &[(&str, &str, For)] = &[
    ("capsfilter", "libgstreamer1.0-0", For::Picture),
    ("identity", "libgstreamer1.0-0", For::Picture),
    ("queue", "libgstreamer1.0-0", For::Picture),
    ("tee", "libgstreamer1.0-0", For::Picture),
    ("appsink", BASE, For::Picture),
    ("videoconvert", BASE, For::Picture),
    ("videoscale", BASE, For::Picture),
    ("h264parse", BAD, For::Picture),
    ("v4l2src", GOOD, For::Camera),
    ("jpegdec", GOOD, For::Camera),
    ("videorate", BASE, For::Camera),
    (
        plan::H264_DECODER,
        plan::H264_DECODER_PACKAGE,
        For::CodedCamera,
    ),
    (libcamera::SOURCE, "gstreamer1.0-libcamera", For::Libcamera),
    ("errorignore", BAD, For::Picture),
    ("videotestsrc", BASE, For::TestPicture),
    ("audioconvert", BASE, For::Sound),
    ("audioresample", BASE, For::Sound),
    ("opusenc", BASE, For::Sound),
    ("alsasrc", "gstreamer1.0-alsa", For::Microphone),
    ("pulsesrc", GOOD, For::Pulse),
    ("pipewiresrc", "gstreamer1.0-pipewire", For::Pipewire),
    ("audiotestsrc", BASE, For::Tone),
];

pub(super) fn check(config: Option<&Config>) -> Vec<Finding> {
    if let Err(error) = media::element::init() {
        return vec![Finding::error(
            CHECK,
            error.to_string(),
            remedies::of(&error),
        )];
    }
    let version = gst::version_string().to_string();
    judge(&version, config.unwrap_or(&Config::default()), |element| {
        gst::ElementFactory::find(element).is_some()
    })
}

fn judge(version: &str, config: &Config, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing = |element: &str| format!("the element \"{element}\" is missing");
    for (element, package, purpose) in ELEMENTS {
        if is_there(element) {
            continue;
        }
        let (what, remedy) = (missing(element), remedies::install(package));
        findings.push(match purpose.who() {
            _ if purpose.is_needed_by(config) && purpose.is_of_sound() => {
                Finding::warning(CHECK, what + ": no sound", remedy)
            }
            _ if purpose.is_needed_by(config) => Finding::error(CHECK, what, remedy),
            Some(who) => Finding::hint(CHECK, format!("{what}; only {who} needs it"), remedy),
            None => Finding::hint(CHECK, what + "; this configuration needs it not", remedy),
        });
    }
    let (there, absent): (Vec<Arc<Encoder>>, Vec<_>) = Encoder::all(&config.encoders)
        .into_iter()
        .partition(|e| is_there(&e.factory));
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        if there.iter().any(|e| e.codec == codec) {
            continue;
        }
        // The ones that run on any CPU; a board's own comes with its system.
        for row in absent.iter().filter(|e| e.codec == codec && !e.hardware) {
            let remedy = remedies::install(&row.package);
            let what = format!(
                "{}, and no other encoder for {codec}",
                missing(&row.factory)
            );
            findings.push(match codec {
                VideoCodec::H264 => Finding::error(CHECK, what, remedy),
                VideoCodec::Vp8 => Finding::warning(
                    CHECK,
                    what + ": browsers without H.264 get no picture",
                    remedy,
                ),
            });
        }
    }
    if findings.iter().all(|f| f.severity <= Severity::Hint) {
        let ids: Vec<_> = there.iter().map(|e| &*e.id).collect();
        let encoders = ids.join(", ");
        let all = format!("{version}, every element that is needed is there; encoders: {encoders}");
        findings.insert(0, Finding::ok(CHECK, all));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AudioConfig, VideoConfig};
    use crate::device::learned::Learned;
    use crate::device::learned::Memory;
    use crate::media::plan::Carries;

    fn without(absent: &[&str], config: &Config) -> Vec<Finding> {
        judge("GStreamer", config, |element| !absent.contains(&element))
    }

    /// The elements in a description: what begins a link and is no caps.
    fn elements(description: &str) -> Vec<String> {
        let links = description.split(" ! ");
        links
            .filter_map(|link| link.split([' ', ',']).next())
            .filter(|word| !word.contains('/'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_table_has_every_element_of_every_plan() {
        let mut video = VideoConfig::default();
        let mut plans = vec![plan::slate(&video, "I420").description];
        let rows = Encoder::all(&[]);
        // A board's own elements come with its system.
        for encoder in rows.iter().filter(|e| !e.hardware) {
            let raw = Carries::Raw("I420".into());
            for size in [None, Some((640, 360))] {
                let target = plan::Target {
                    bits_per_second: 500_000,
                    size,
                };
                plans.push(plan::branch(encoder, target, &raw, 30, Memory::Mmap));
            }
        }
        let x264 = Encoder::row("x264").expect("it is in the table");
        for source in [VideoSource::Test, VideoSource::Custom] {
            video.source = source;
            video.pipeline = Some("videotestsrc".into());
            let plan = media::gst::plan_picture(&video, &x264.formats, &Learned::default());
            plans.push(plan.expect("a plan").description);
        }
        let mut audio = AudioConfig {
            device: "plughw:CARD=x".into(),
            ..Default::default()
        };
        for source in [AudioSource::Alsa, AudioSource::Test] {
            audio.source = source;
            let plan = plan::sound(&audio, &[]).expect("a plan");
            plans.extend(plan.map(|p| p.description));
        }
        for plan in plans {
            for element in elements(&plan) {
                let known = ELEMENTS.iter().any(|(name, _, _)| *name == element)
                    || rows.iter().any(|e| e.factory == element);
                assert!(known, "{element} of {plan}");
            }
        }
    }

    #[test]
    fn a_missing_element_is_named_with_its_package() {
        let findings = without(&["v4l2src"], &Config::default());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(findings[0].what.contains("v4l2src"));
        let remedy = findings[0].remedy.as_deref();
        assert_eq!(
            remedy,
            Some("sudo apt-get install gstreamer1.0-plugins-good")
        );
    }

    #[test]
    fn what_this_configuration_does_not_need_is_a_hint() {
        let mut config = Config::default();
        config.video.source = VideoSource::Test;
        config.audio.source = AudioSource::None;
        let findings = without(&["v4l2src", "alsasrc", "opusenc"], &config);
        assert_eq!(findings[0].severity, Severity::Ok, "all that is needed");
        let hints = &findings[1..];
        assert!(hints.iter().all(|f| f.severity == Severity::Hint));
        assert_eq!(hints.len(), 3);
    }

    #[test]
    fn what_only_some_devices_need_is_a_hint_until_the_configuration_names_one() {
        let mut config = Config::default();
        let severity = |element: &str, config: &Config| {
            let findings = without(&[element], config);
            let of_it = |f: &&Finding| f.what.contains(element);
            findings.iter().find(of_it).expect("it is named").severity
        };
        let rare = ["openh264dec", "libcamerasrc", "pulsesrc", "pipewiresrc"];
        for element in rare {
            assert_eq!(severity(element, &config), Severity::Hint, "{element}");
        }
        config.video.format = "H264".into();
        assert_eq!(severity("openh264dec", &config), Severity::Error);
        config.video.device = "/base/soc/i2c0mux/i2c@1/imx219@10".into();
        assert_eq!(severity("libcamerasrc", &config), Severity::Error);
        config.audio.device = "pulse:".into();
        assert_eq!(severity("pulsesrc", &config), Severity::Warning);
        assert_eq!(severity("pipewiresrc", &config), Severity::Hint);
        config.audio.device = "pipewire:42".into();
        assert_eq!(severity("pipewiresrc", &config), Severity::Warning);
    }

    #[test]
    fn the_table_has_every_element_of_every_described_machine() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/devices");
        let rows = Encoder::all(&[]);
        // A board's encoder and what stands around it come with its system.
        let of_boards: Vec<String> = rows
            .iter()
            .filter(|e| e.hardware)
            .flat_map(|e| elements(&e.element_text(30, 2_000_000)))
            .collect();
        let mut looked_at = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the snapshots are there") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|e| e != "txt") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            // An element a line, indented.
            let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
            for element in lines.flat_map(|line| elements(line.trim_start_matches("! "))) {
                let known = ELEMENTS.iter().any(|(name, _, _)| *name == element)
                    || rows.iter().any(|e| e.factory == element)
                    || of_boards.contains(&element);
                assert!(known, "{element} of {}", path.display());
                looked_at.push(element);
            }
        }
        for element in ["openh264dec", "libcamerasrc", "pulsesrc", "videorate"] {
            assert!(looked_at.iter().any(|e| e == element), "{element}");
        }
    }

    #[test]
    fn no_sound_is_a_warning() {
        let findings = without(&["opusenc"], &Config::default());
        assert_eq!(findings[0].severity, Severity::Warning);
    }

    #[test]
    fn one_encoder_is_enough_and_none_is_an_error() {
        let config = Config::default();
        let one = without(&["x264enc"], &config);
        assert_eq!(one[0].severity, Severity::Ok, "{one:?}");
        let rows = Encoder::all(&[]);
        let h264 = rows.iter().filter(|e| e.codec == VideoCodec::H264);
        let h264: Vec<&str> = h264.map(|e| &*e.factory).collect();
        let none = without(&h264, &config);
        assert!(none.iter().all(|f| f.severity == Severity::Error));
        assert!(
            none[0]
                .remedy
                .as_deref()
                .is_some_and(|r| r.contains("ugly"))
        );
        let no_vp8 = without(&["vp8enc"], &config);
        assert_eq!(no_vp8[0].severity, Severity::Warning);
    }
}
