//! Whether viewers who talk hear themselves come back from the room: a noise on the
//! speaker, and the echo canceller listens, whatever is configured.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::finding::{Check, Finding};
use super::speaker::{RATE, play};
use super::trial::Trial;
use crate::config::{Config, Echo};
use crate::echo::{Microphone, News, Played, Report};
use crate::lock::lock;
use crate::media;
use crate::media::plan;

const CHECK: Check = Check::Echo;
pub(super) const LIMIT: Duration = Duration::from_secs(16);
/// In 10 ms each: five seconds, in which a canceller is sure at a desk and in a room.
const LENGTH: u64 = 500;
/// The card is open by then.
const OPENS: Duration = Duration::from_millis(300);
/// The noise changes its loudness so often, in the same: as speech does.
const SYLLABLE: u64 = 12;
/// It is known to the canceller before it sounds, in the same.
const AHEAD: u32 = 20;
/// When it sounds for certain.
const MIDDLE: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(5);
/// So long a microphone takes to begin, at most.
const BEGINS: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// Less than that is taken away of what is no echo, or of one that is not understood, in
/// dB.
const ENOUGH: f32 = 11.0;

/// What was found of the way from the speaker to the microphone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    report: Report,
    /// How much of the noise passed until the canceller was sure.
    sure_after: Option<Duration>,
    /// The power of what was heard in the middle of it, in dB under full scale.
    level: f64,
}

/// What the canceller makes of what the microphone hears.
struct Listener {
    microphone: Microphone,
    /// When the noise began, and how long after that it was sure.
    sure_after: Option<Duration>,
    began: Option<Duration>,
    /// The sum of the powers of what was heard in the middle of it, and of how many.
    power: (f64, u32),
}

impl Listener {
    fn hear(&mut self, at: Duration, mut samples: Vec<i16>) {
        if let Some(began) = self.began
            && MIDDLE.contains(&at.saturating_sub(began))
        {
            self.power.0 += power(&samples);
            self.power.1 += 1;
        }
        let news = self.microphone.hear(at, &mut samples);
        if let Some(News::Sure { .. }) = news {
            let began = self.began.unwrap_or(at);
            self.sure_after.get_or_insert(at.saturating_sub(began));
        }
    }
}

/// The part of full scale.
fn power(samples: &[i16]) -> f64 {
    let square = |s: &i16| (f64::from(*s) / 32_768.0).powi(2);
    samples.iter().map(square).sum::<f64>() / samples.len().max(1) as f64
}

/// Noise in syllables: the canceller looks at what goes up and down.
fn give(input: &gst_app::AppSrc) {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut last, mut loudness) = (0.0, 0.0);
    for i in 0..LENGTH {
        if i % SYLLABLE == 0 {
            loudness = 2_000.0 + 14_000.0 * random.f64();
        }
        let samples = (0..RATE / 100).flat_map(|_| {
            last += 0.3 * (random.f64() * 2.0 - 1.0 - last);
            ((last * loudness) as i16).to_le_bytes()
        });
        let mut buffer = gst::Buffer::from_mut_slice(samples.collect::<Vec<u8>>());
        let at = OPENS + Duration::from_millis(10 * i);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::try_from(at).ok());
        }
        let _ = input.push_buffer(buffer);
    }
    let _ = input.end_of_stream();
}

/// What is found; nothing, without a microphone that gives sound or a speaker that plays,
/// of which others tell.
fn listen(config: &Config, device: &str) -> Option<Found> {
    let clock = gst::SystemClock::obtain();
    let sound = media::gst::plan_sound(&config.audio).ok().flatten()?;
    let ear = Trial::parse(&sound.description, &sound.what).ok()?;
    ear.sink.set_drop(true);
    ear.pipeline.use_clock(Some(&clock));
    let played = Played::default();
    played.want(true);
    let listener = Arc::new(Mutex::new(Listener {
        microphone: Microphone::new(played.clone()),
        sure_after: None,
        began: None,
        power: (0.0, 0),
    }));
    let ears = listener.clone();
    media::gst::overhear(&ear.pipeline, &sound.what, move |at, samples| {
        lock(&ears).hear(at, samples);
    })?;
    ear.play().ok()?;
    ear.sink.try_pull_sample(BEGINS)?;
    let noise = format!(
        "appsrc name=noise is-live=true format=time max-bytes=0 \
         caps=\"audio/x-raw,format=S16LE,layout=interleaved,channels=1,rate={RATE}\" ! \
         tee name=t ! queue name=voice ! \
         queue max-size-buffers={AHEAD} max-size-time=0 max-size-bytes=0 ! {} \
         t. ! queue ! appsink name=out sync=false drop=true max-buffers=1 wait-on-eos=false",
        plan::speaker_sink(device)
    );
    play(&noise, device, |trial| {
        trial.pipeline.use_clock(Some(&clock));
        let voice = trial.pipeline.by_name("voice");
        if let Some(pad) = voice.and_then(|queue| queue.static_pad("src")) {
            media::gst::tell_played(&pad, &trial.pipeline, played.clone());
        }
        let input = trial.pipeline.by_name("noise");
        if let Some(input) = input.and_then(|e| e.downcast::<gst_app::AppSrc>().ok()) {
            give(&input);
        }
        lock(&listener).began = Some(clock.time().into());
    })
    .ok()?;
    let listener = lock(&listener);
    let (sum, count) = listener.power;
    Some(Found {
        report: played.report()?,
        sure_after: listener.sure_after,
        level: 10.0 * (sum / f64::from(count.max(1))).max(1e-9).log10(),
    })
}

/// Nothing, where no speaker is configured.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let Some(device) = &config.speaker.device else {
        return Vec::new();
    };
    let found = listen(config, device);
    let finding = found.map(|found| judge(config.speaker.echo, found));
    finding.into_iter().collect()
}

fn judge(echo: Echo, found: Found) -> Finding {
    let softer = "turn the speaker down with `alsamixer` until nothing rattles or distorts, and move \
                  it away from the microphone";
    let measured = found.report.measured;
    let Some(delay) = measured.delay else {
        let what =
            "the microphone does not hear what the speaker plays: there is no echo to be found";
        return match echo {
            Echo::Off => Finding::ok(CHECK, what),
            Echo::HalfDuplex => Finding::hint(
                CHECK,
                what,
                "where that is always so, speaker.echo = \"off\" lets both be heard at once",
            ),
            Echo::Cancel => Finding::warning(
                CHECK,
                format!("{what}, and viewers hear nothing while it speaks"),
                "turn it up, if it is to be heard there; else set speaker.echo = \"off\"",
            ),
        };
    };
    let way = format!(
        "the microphone hears the speaker {} ms later, at {:.0} dBFS",
        delay.as_millis(),
        found.level
    );
    let takes = format!("takes {:.0} dB of that away", measured.return_loss);
    let sure = found.sure_after.filter(|_| measured.return_loss >= ENOUGH);
    let sure = sure.map(|after| format!("{takes}, sure after {:.1} s", after.as_secs_f64()));
    match (echo, sure) {
        (Echo::Cancel, Some(sure)) => {
            Finding::ok(CHECK, format!("{way}; the echo canceller {sure}"))
        }
        (Echo::Cancel, None) => Finding::warning(
            CHECK,
            format!(
                "{way}; the echo canceller {takes}, which is too little: viewers hear nothing \
                 while it speaks"
            ),
            softer,
        ),
        (Echo::HalfDuplex, Some(sure)) => Finding::hint(
            CHECK,
            format!("{way}; nobody hears it, for one of both is silent (half-duplex)"),
            format!("speaker.echo = \"cancel\" lets both be heard at once: it {sure}"),
        ),
        (Echo::HalfDuplex, None) => Finding::ok(
            CHECK,
            format!("{way}; nobody hears it, for one of both is silent (half-duplex)"),
        ),
        (Echo::Off, _) => Finding::warning(
            CHECK,
            format!("{way}, and nothing is done against it: who talks hears themselves"),
            "set speaker.echo = \"half-duplex\" or \"cancel\"",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;
    use crate::echo::Measured;

    fn found(delay: Option<u64>, return_loss: f32, sure_after: Option<u64>) -> Found {
        Found {
            report: Report {
                spoke: Duration::from_secs(4),
                sure: 0.7,
                measured: Measured {
                    delay: delay.map(Duration::from_millis),
                    return_loss,
                    ppm: 0.0,
                },
            },
            sure_after: sure_after.map(Duration::from_millis),
            level: -31.6,
        }
    }

    #[test]
    fn each_way_of_dealing_with_echo_is_held_against_what_is_there() {
        let (known, poor) = (found(Some(18), 34.4, Some(900)), found(Some(18), 6.0, None));
        let none = found(None, 0.0, None);
        for (echo, found, severity, words) in [
            (
                Echo::Cancel,
                known,
                Severity::Ok,
                "18 ms later, at -32 dBFS",
            ),
            (
                Echo::Cancel,
                known,
                Severity::Ok,
                "takes 34 dB of that away, sure after 0.9 s",
            ),
            (
                Echo::Cancel,
                poor,
                Severity::Warning,
                "takes 6 dB of that away, which is too little",
            ),
            (
                Echo::Cancel,
                none,
                Severity::Warning,
                "viewers hear nothing",
            ),
            (Echo::HalfDuplex, known, Severity::Hint, "half-duplex"),
            (Echo::HalfDuplex, poor, Severity::Ok, "half-duplex"),
            (Echo::HalfDuplex, none, Severity::Hint, "no echo"),
            (Echo::Off, known, Severity::Warning, "hears themselves"),
            (Echo::Off, none, Severity::Ok, "no echo"),
        ] {
            let finding = judge(echo, found);
            assert_eq!(finding.severity, severity, "{finding:?}");
            assert!(finding.what.contains(words), "{finding:?}");
        }
        let remedy = judge(Echo::HalfDuplex, known).remedy.expect("one");
        assert!(
            remedy.contains("34 dB") && remedy.contains("\"cancel\""),
            "{remedy}"
        );
    }
}
