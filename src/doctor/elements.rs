//! GStreamer's elements, and the Debian package that has each.

use std::sync::Arc;

use gstreamer as gst;

use super::{Check, Finding, remedies};
use crate::config::{AudioSource, Config, VideoSource};
use crate::media;
use crate::media::encoder::Encoder;
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
}

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";

/// Everything in the [plan](crate::media::plan) but encoders, whose packages
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
    ("errorignore", BAD, For::Picture),
    ("videotestsrc", BASE, For::TestPicture),
    ("audioconvert", BASE, For::Sound),
    ("audioresample", BASE, For::Sound),
    ("opusenc", BASE, For::Sound),
    ("alsasrc", "gstreamer1.0-alsa", For::Microphone),
    ("audiotestsrc", BASE, For::Tone),
];

pub(super) fn check(config: Option<&Config>) -> Vec<Finding> {
    if let Err(error) = media::gst::init() {
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
        findings.push(match (purpose, config.audio.source) {
            (For::Picture | For::TestPicture, _) => Finding::error(CHECK, what, remedy),
            (For::Camera, _) if config.video.source == VideoSource::V4l2 => {
                Finding::error(CHECK, what, remedy)
            }
            (For::Sound, source) if source != AudioSource::None => {
                Finding::warning(CHECK, what + ": no sound", remedy)
            }
            (For::Microphone, AudioSource::Alsa) | (For::Tone, AudioSource::Test) => {
                Finding::warning(CHECK, what + ": no sound", remedy)
            }
            (For::Camera | For::Sound | For::Microphone | For::Tone, _) => {
                Finding::hint(CHECK, what + "; this configuration needs it not", remedy)
            }
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
    if findings.is_empty() {
        let ids: Vec<_> = there.iter().map(|e| &*e.id).collect();
        let encoders = ids.join(", ");
        findings.push(Finding::ok(
            CHECK,
            format!("{version}, every element is there; encoders: {encoders}"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AudioConfig, VideoConfig};
    use crate::doctor::Severity;
    use crate::media::learned::Learned;
    use crate::media::plan::{self, Carries, Memory};

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
        assert!(findings.iter().all(|f| f.severity == Severity::Hint));
        assert_eq!(findings.len(), 3);
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
