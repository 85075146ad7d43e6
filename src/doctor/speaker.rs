//! Whether the speaker can be heard: a tone on it, and the microphone listens.

use std::f64::consts::TAU;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::finding::{Check, Finding};
use super::remedies;
use super::trial::Trial;
use crate::config::Config;
use crate::lock::lock;
use crate::media;
use crate::media::error::MediaError;
use crate::media::plan;

const CHECK: Check = Check::Speaker;
pub(super) const LIMIT: Duration = Duration::from_secs(12);
/// Samples a second, where the encoder takes them.
pub(super) const RATE: u32 = 48_000;
/// A sound that takes longer to be played does not come to its end.
const LONGEST: Duration = Duration::from_secs(9);
/// A tone that speakers and microphones of all kinds have, in Hz.
const TONE: u32 = 1_000;
/// In 10 ms each: a second and a half.
const LENGTH: u32 = 150;
/// How long the room is listened to before.
const BEFORE: Duration = Duration::from_millis(700);
/// So long a microphone takes to begin, at most.
const BEGINS: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// The tone has so much more power in what is heard than it had before, in dB.
const LOUDER: f64 = 10.0;
/// And it is no weaker than this, in dB under full scale.
const WEAKEST: f64 = -75.0;

/// What a microphone hears, in pieces of a tenth of a second: the power of the tone.
#[derive(Debug, Default)]
struct Heard {
    samples: Vec<i16>,
    powers: Vec<f64>,
}

impl Heard {
    /// Adds little-endian 16-bit samples.
    fn take(&mut self, data: &[u8]) {
        for sample in data.chunks_exact(2) {
            self.samples
                .push(i16::from_le_bytes([sample[0], sample[1]]));
            if self.samples.len() == (RATE / 10) as usize {
                self.powers.push(power(&self.samples));
                self.samples.clear();
            }
        }
    }
}

/// The power of [`TONE`] in these samples, in dB under full scale (Goertzel's
/// algorithm).
fn power(samples: &[i16]) -> f64 {
    let step = 2.0 * (TAU * f64::from(TONE) / f64::from(RATE)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        let now = f64::from(*sample) / 32768.0 + step * last - before;
        before = std::mem::replace(&mut last, now);
    }
    let square = last * last + before * before - step * last * before;
    let amplitude = 2.0 * square.max(0.0).sqrt() / samples.len().max(1) as f64;
    20.0 * amplitude.max(1e-9).log10()
}

/// A tone for the speaker.
fn tone(device: &str) -> String {
    format!(
        "audiotestsrc num-buffers={LENGTH} samplesperbuffer={} freq={TONE} volume=0.4 ! \
         audio/x-raw,rate={RATE} ! tee name=t ! queue ! {} \
         t. ! queue ! appsink name=out sync=false drop=true max-buffers=1 wait-on-eos=false",
        RATE / 100,
        plan::speaker_sink(device)
    )
}

/// Plays what is described on the speaker `device` to its end; `begins` is called before.
pub(super) fn play(
    description: &str,
    device: &str,
    begins: impl FnOnce(&Trial),
) -> Result<(), MediaError> {
    let what = format!("speaker {device}");
    let trial = Trial::parse(description, &what)?;
    begins(&trial);
    trial.play()?;
    let until = Instant::now() + LONGEST;
    let bus = trial.pipeline.bus().expect("a pipeline has a bus");
    while Instant::now() < until {
        let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
        let wait = gst::ClockTime::from_mseconds(100);
        let Some(message) = bus.timed_pop_filtered(wait, &kinds) else {
            continue;
        };
        let gst::MessageView::Error(error) = message.view() else {
            return Ok(());
        };
        let problem = media::element::words(error);
        return Err(MediaError::Pipeline { what, problem });
    }
    let problem = "it does not play a sound to its end".to_owned();
    Err(MediaError::Pipeline { what, problem })
}

/// What the microphone hears before and while the tone is played; nothing, where
/// there is no microphone that gives sound.
fn listen(config: &Config, device: &str) -> Result<Option<(f64, f64)>, MediaError> {
    let microphone = media::gst::plan_sound(&config.audio).ok().flatten();
    let microphone = microphone.and_then(|sound| {
        let trial = Trial::parse(&sound.description, &sound.what).ok()?;
        trial.sink.set_drop(true);
        let encoder = trial.pipeline.by_name(plan::SOUND_ENCODER)?;
        let pad = encoder.static_pad("sink")?;
        let heard = Arc::<Mutex<Heard>>::default();
        let taken = heard.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(Ok(map)) = info.buffer().map(|buffer| buffer.map_readable()) {
                lock(&taken).take(&map);
            }
            gst::PadProbeReturn::Ok
        });
        trial.play().ok()?;
        trial.sink.try_pull_sample(BEGINS)?;
        Some((trial, heard))
    });
    if microphone.is_some() {
        #[expect(
            clippy::disallowed_methods,
            reason = "the room is listened to meanwhile, and nothing else runs here"
        )]
        std::thread::sleep(BEFORE);
    }
    let before = microphone.as_ref().map(|(_, heard)| {
        let mut heard = lock(heard);
        let before = heard.powers.iter().copied().fold(f64::MIN, f64::max);
        *heard = Heard::default();
        before
    });
    play(&tone(device), device, |_| {})?;
    let during = microphone.map(|(_, heard)| {
        let mut powers = lock(&heard).powers.clone();
        powers.sort_by(f64::total_cmp);
        // Not the loudest piece, which may be a click.
        powers.get(powers.len() / 2).copied().unwrap_or(f64::MIN)
    });
    Ok(before.zip(during))
}

/// Nothing, where no speaker is configured.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let Some(device) = &config.speaker.device else {
        return Vec::new();
    };
    vec![match listen(config, device) {
        Ok(heard) => judge(device, heard),
        Err(error) => Finding::warning(
            CHECK,
            format!("nobody can be heard: {error}"),
            match error {
                MediaError::Pipeline { .. } => {
                    "name one that `aplay -L` lists in speaker.device, and see that it is plugged \
                     in and that no other program uses it"
                        .to_owned()
                }
                other => remedies::of(&other),
            },
        ),
    }]
}

fn judge(device: &str, heard: Option<(f64, f64)>) -> Finding {
    let turn_up = "turn it up with `alsamixer`, see that it is plugged in and not muted, or name \
                   another one in speaker.device; where the microphone is not to hear it, all is well";
    match heard {
        None => Finding::hint(
            CHECK,
            format!(
                "speaker {device}: it takes a tone; without a microphone nobody can tell whether it sounds"
            ),
            "go there and listen",
        ),
        Some((before, during)) if during >= WEAKEST && during >= before + LOUDER => Finding::ok(
            CHECK,
            format!("speaker {device}: the microphone hears its tone, {during:.0} dBFS"),
        ),
        Some(_) => Finding::warning(
            CHECK,
            format!("speaker {device}: it takes a tone, and the microphone does not hear it"),
            turn_up,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn samples(hertz: f64, amplitude: f64) -> Vec<i16> {
        (0..RATE / 10)
            .map(|i| (amplitude * (TAU * hertz * f64::from(i) / f64::from(RATE)).sin()) as i16)
            .collect()
    }

    #[test]
    fn the_power_is_that_of_the_tone_and_of_no_other() {
        assert!((power(&samples(1_000.0, 32_767.0))).abs() < 0.1);
        assert!((power(&samples(1_000.0, 3_276.7)) + 20.0).abs() < 0.1);
        assert!(power(&samples(440.0, 32_767.0)) < -40.0);
        assert!(power(&[0; 4_800]) < -150.0);
    }

    #[test]
    fn one_that_is_not_heard_is_told_of_with_what_to_do() {
        let severity = |heard| judge("s", heard).severity;
        assert_eq!(severity(Some((-90.0, -30.0))), Severity::Ok);
        assert_eq!(severity(Some((-35.0, -30.0))), Severity::Warning);
        assert_eq!(severity(Some((-150.0, -100.0))), Severity::Warning);
        assert_eq!(severity(None), Severity::Hint);
    }
}
