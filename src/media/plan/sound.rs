//! The pipeline of the sound, from source to sink.

use super::{SINK, quoted};
use crate::config::{AudioConfig, AudioSource};
use crate::device::Microphone;
use crate::media::error::MediaError;

/// The name of the encoder in a sound pipeline.
pub const SOUND_ENCODER: &str = "opus";
/// And that of the element whose output are the samples as they were captured:
/// in 16 bits, one channel, at the microphone's own rate.
pub(crate) const SOUND_CAPTURE: &str = "capture";

/// A sound pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundPlan {
    /// The source, for messages: "microphone plughw:…".
    pub what: String,
    /// The PCM or the sound server's source.
    pub device: Option<String>,
    /// Why this microphone and not the usual one, or what is wrong with it;
    /// empty where there is nothing to say.
    pub reason: String,
    /// The pipeline, from source to sink.
    pub description: String,
}

/// The sound; `None` where there is to be none.
///
/// # Errors
///
/// No microphone, where the configuration names none.
pub fn sound(
    config: &AudioConfig,
    microphones: &[Microphone],
) -> Result<Option<SoundPlan>, MediaError> {
    let mut reason = String::new();
    let (what, device, source) = match config.source {
        AudioSource::None => return Ok(None),
        AudioSource::Alsa => {
            let device;
            (device, reason) = microphone(config, microphones)?;
            let source = format!(
                "{} ! queue max-size-time=100000000 leaky=downstream",
                microphone_source(&device)
            );
            (format!("microphone {device}"), Some(device), source)
        }
        AudioSource::Test => (
            "test tone".to_owned(),
            None,
            "audiotestsrc is-live=true wave=sine freq=440 volume=0.1 samplesperbuffer=480"
                .to_owned(),
        ),
        AudioSource::Custom => (
            "audio.pipeline".to_owned(),
            None,
            config.pipeline.clone().unwrap_or_default(),
        ),
    };
    let description = format!(
        "{source} ! audioconvert name={SOUND_CAPTURE} ! \
         audio/x-raw,format=S16LE,channels=1 ! audioresample ! audio/x-raw,rate=48000 ! \
         opusenc name={SOUND_ENCODER} audio-type=voice frame-size=20 inband-fec=true \
         perfect-timestamp=true bitrate={} ! {SINK}",
        config.bitrate_kbps.saturating_mul(1000)
    );
    Ok(Some(SoundPlan {
        what,
        device,
        reason,
        description,
    }))
}

/// What is configured, else a sound server, else a PCM that can be shared,
/// else a card; of these one that hears something. With the reason, where that
/// made a difference.
fn microphone(
    config: &AudioConfig,
    microphones: &[Microphone],
) -> Result<(String, String), MediaError> {
    if config.device != "auto" {
        return Ok((config.device.clone(), String::new()));
    }
    let hears = |m: &&Microphone| (m.trouble.is_some(), m.kind);
    let chosen = microphones.iter().min_by_key(hears);
    let chosen = chosen.ok_or(MediaError::NoMicrophone)?;
    let silent = |m: &&Microphone| m.trouble.is_some() && m.kind <= chosen.kind;
    let reason = match (&chosen.trouble, microphones.iter().find(silent)) {
        (Some(trouble), _) => trouble.clone(),
        (None, Some(passed)) => {
            let trouble = passed.trouble.as_deref().unwrap_or_default();
            format!("not {}: {trouble}", passed.device)
        }
        (None, None) => String::new(),
    };
    Ok((chosen.device.clone(), reason))
}

/// The default buffer of 200 ms is latency; the clock is the system's, shared
/// with the picture.
///
/// Of the ways to live with two clocks, the default ("skew") drops samples
/// whenever the card or the machine is some 60 ms behind. Here each buffer is
/// stamped with the time at which it was read, and [`crate::media::drift`] makes the
/// best of that. The driver's own stamps are not used: behind ALSA's plug-ins
/// they are of the wall clock, and GStreamer takes them for its own.
fn microphone_source(device: &str) -> String {
    const BUFFERS: &str =
        "buffer-time=60000 latency-time=10000 provide-clock=false slave-method=re-timestamp";
    let named = |key: &str, name: &str| match name {
        "" => String::new(),
        name => format!(" {key}={}", quoted(name)),
    };
    if let Some(name) = device.strip_prefix("pulse:") {
        format!("pulsesrc name=device{} {BUFFERS}", named("device", name))
    } else if let Some(name) = device.strip_prefix("pipewire:") {
        format!("pipewiresrc name=device{}", named("target-object", name))
    } else {
        format!(
            "alsasrc name=device device={} {BUFFERS} use-driver-timestamps=false",
            quoted(device)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MicrophoneKind;

    fn one(device: &str, kind: MicrophoneKind, trouble: Option<&str>) -> Microphone {
        Microphone {
            device: device.into(),
            kind,
            name: String::new(),
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn one_that_hears_is_taken_and_what_was_passed_over_is_said() {
        let off = Some("its capture is switched off");
        let usual = |trouble| one("default", MicrophoneKind::Shared, trouble);
        let card = |trouble| one("plughw:1", MicrophoneKind::Card, trouble);
        let chosen = |all: &[Microphone]| {
            let plan = sound(&AudioConfig::default(), all).expect("a plan");
            let plan = plan.expect("sound");
            (plan.device.expect("a microphone"), plan.reason)
        };
        let says = |device: &str, reason: &str| (device.to_owned(), reason.to_owned());
        assert_eq!(chosen(&[usual(None), card(None)]), says("default", ""));
        assert_eq!(chosen(&[usual(None), card(off)]), says("default", ""));
        assert_eq!(
            chosen(&[usual(off), card(None)]),
            says("plughw:1", "not default: its capture is switched off")
        );
        let none_hears = chosen(&[usual(off), card(off)]);
        assert_eq!(none_hears, says("default", "its capture is switched off"));
        // Whoever names one means it.
        let named = AudioConfig {
            device: "default".into(),
            ..AudioConfig::default()
        };
        let plan = sound(&named, &[usual(off), card(None)]).expect("a plan");
        assert_eq!(plan.expect("sound").device.as_deref(), Some("default"));
    }
}
