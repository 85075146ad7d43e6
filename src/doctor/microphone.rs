//! Whether sound comes, and how loud it is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::finding::{Check, Finding};
use super::remedies;
use super::trial::Trial;
use crate::config::Config;
use crate::lock::lock;
use crate::media;
use crate::media::error::MediaError;
use crate::media::plan::SoundPlan;

const CHECK: Check = Check::Microphone;
pub(super) const LIMIT: Duration = Duration::from_secs(6);
/// Opening a card clicks; that is not listened to.
const SETTLE: Duration = Duration::from_millis(300);
const LISTEN: Duration = Duration::from_millis(1500);
/// Quieter than the noise of any live input, in dB under full scale.
const SILENT: f64 = -70.0;
/// One in so many samples at the limit is clipping.
const CLIPPED: f64 = 1e-3;

/// How loud some samples are.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    samples: u64,
    clipped: u64,
    squares: f64,
    peak: u16,
}

impl Level {
    /// Adds little-endian 16-bit samples.
    fn take(&mut self, data: &[u8]) {
        for sample in data.chunks_exact(2) {
            let sample = i16::from_le_bytes([sample[0], sample[1]]);
            self.samples += 1;
            self.squares += f64::from(sample) * f64::from(sample);
            self.peak = self.peak.max(sample.unsigned_abs());
            if sample == i16::MAX || sample == i16::MIN {
                self.clipped += 1;
            }
        }
    }

    /// dB under full scale; minus infinity for digital silence.
    fn rms(&self) -> f64 {
        let mean = self.squares / self.samples.max(1) as f64;
        20.0 * (mean.sqrt() / 32768.0).log10()
    }

    fn peak(&self) -> f64 {
        20.0 * (f64::from(self.peak) / 32768.0).log10()
    }
}

/// Listens where the encoder does, so that what is heard is what callers hear.
fn listen(sound: &SoundPlan) -> Result<Level, MediaError> {
    let trial = Trial::parse(&sound.description, &sound.what)?;
    trial.sink.set_drop(true);
    let level = Arc::<Mutex<Level>>::default();
    let input = trial.pipeline.iterate_recurse().into_iter().flatten();
    let input = input
        .filter(|e| e.factory().is_some_and(|f| f.name() == "opusenc"))
        .find_map(|e| e.static_pad("sink"));
    if let Some(pad) = input {
        let level = level.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(Ok(map)) = info.buffer().map(|buffer| buffer.map_readable()) {
                lock(&level).take(&map);
            }
            gst::PadProbeReturn::Ok
        });
    }
    trial.play()?;
    let first = gst::ClockTime::from_seconds(2);
    let came = trial.sink.try_pull_sample(first).is_some();
    if came {
        #[expect(
            clippy::disallowed_methods,
            reason = "the microphone is listened to meanwhile, and nothing else runs here"
        )]
        std::thread::sleep(SETTLE);
        *lock(&level) = Level::default();
        #[expect(clippy::disallowed_methods, reason = "likewise")]
        std::thread::sleep(LISTEN);
    }
    if let Some(error) = trial.error() {
        return Err(error);
    }
    let level = *lock(&level);
    Ok(level)
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let failed = |error: MediaError| {
        Finding::warning(CHECK, format!("no sound: {error}"), remedies::of(&error))
    };
    let sound = match media::gst::plan_sound(&config.audio) {
        Ok(Some(sound)) => sound,
        Ok(None) => return vec![Finding::ok(CHECK, "none by configuration")],
        Err(error) => return vec![failed(error)],
    };
    let what = match sound.reason.as_str() {
        "" => sound.what.clone(),
        reason => format!("{} ({reason})", sound.what),
    };
    vec![match listen(&sound) {
        Ok(level) => judge(&what, &level),
        Err(error) => failed(error),
    }]
}

fn judge(what: &str, level: &Level) -> Finding {
    let unmute = "unmute the microphone and raise its level with `alsamixer` (F4 shows capture), \
                  see that its switch is on, or name another one in audio.device";
    if level.samples == 0 {
        return Finding::warning(
            CHECK,
            format!("{what}: it opens, and no sound comes"),
            "unplug it and plug it in again, or name another one in audio.device",
        );
    }
    if level.peak == 0 {
        return Finding::warning(CHECK, format!("{what}: digital silence"), unmute);
    }
    let (rms, peak) = (level.rms(), level.peak());
    let loud = format!("{what}: {rms:.0} dBFS, peak {peak:.0}");
    if rms < SILENT {
        return Finding::warning(CHECK, format!("{loud}: as good as silent"), unmute);
    }
    if level.clipped as f64 > level.samples as f64 * CLIPPED {
        return Finding::warning(
            CHECK,
            format!("{loud}: it is overdriven"),
            "lower the capture level or the boost with `alsamixer` (F4)",
        );
    }
    Finding::ok(CHECK, loud)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn level(samples: impl IntoIterator<Item = i16>) -> Level {
        let mut level = Level::default();
        let data: Vec<u8> = samples.into_iter().flat_map(i16::to_le_bytes).collect();
        level.take(&data);
        level
    }

    fn sine(amplitude: f64) -> Level {
        level(
            (0..4800)
                .map(|i| (f64::from(i) * 0.1).sin() * amplitude)
                .map(|s| s as i16),
        )
    }

    #[test]
    fn a_full_sine_is_3_db_under_full_scale() {
        let level = sine(32767.0);
        assert!((level.rms() + 3.01).abs() < 0.05, "{}", level.rms());
        assert!(level.peak().abs() < 0.01, "{}", level.peak());
    }

    #[test]
    fn silence_is_reported_whether_digital_or_nearly() {
        let digital = judge("mic", &level([0; 480]));
        assert_eq!(digital.severity, Severity::Warning);
        assert!(digital.what.contains("digital silence"));
        let nearly = judge("mic", &level((0..4800).map(|i| i16::from(i % 2 == 0))));
        assert!(nearly.what.contains("as good as silent"), "{nearly:?}");
        assert_eq!(judge("mic", &Level::default()).severity, Severity::Warning);
    }

    #[test]
    fn speech_is_fine_and_clipping_is_not() {
        assert_eq!(judge("mic", &sine(3000.0)).severity, Severity::Ok);
        let clipped = judge("mic", &sine(60_000.0));
        assert!(clipped.what.contains("overdriven"), "{clipped:?}");
        // A single click is no clipping.
        let mut click = sine(3000.0);
        click.take(&i16::MAX.to_le_bytes());
        assert_eq!(judge("mic", &click).severity, Severity::Ok);
    }
}
