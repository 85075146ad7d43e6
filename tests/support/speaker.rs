//! A loudspeaker without hardware: an ALSA plug-in (tests/shims/speaker.c) that
//! plays at a card's pace, can be unplugged, and keeps what it played.
//!
//! ```ignore
//! let microphone = FakeMicrophone::tone(440);
//! let speaker = FakeSpeaker::beside(&microphone);
//! let toml = format!("{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
//! let device = Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
//! ```

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::shims::{FakeMicrophone, shared_object};

/// Samples a second.
pub const RATE: usize = 48_000;

/// How many seconds of this, each packet by itself, are nearly nothing but a tone.
pub fn seconds_of(hertz: f64, samples: &[i16]) -> f64 {
    const BLOCK: usize = RATE / 50;
    /// The mean square of what is heard, at least: 30 dB under full scale.
    const LOUD: f64 = 1e6;
    let is_tone = |block: &&[i16]| {
        let parts = block.iter().enumerate().map(|(i, sample)| {
            let turn = TAU * hertz * i as f64 / RATE as f64;
            let sample = f64::from(*sample);
            (sample * turn.cos(), sample * turn.sin(), sample * sample)
        });
        let (x, y, all) = parts.fold((0.0, 0.0, 0.0), |sum, part| {
            (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2)
        });
        let tone = 2.0 * (x * x + y * y) / BLOCK as f64;
        all > BLOCK as f64 * LOUD && tone > 0.8 * all
    };
    let blocks = samples.chunks_exact(BLOCK).filter(is_tone);
    blocks.count() as f64 / 50.0
}

/// Something like speech: a voice of changing pitch through two moving
/// formants, in syllables. Concealment cannot guess it.
pub fn speech(seconds: usize) -> Vec<i16> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut phase = 0.0;
    let (mut pitch, mut first, mut second, mut loudness) = (120.0, 500.0, 1_500.0, 0.0);
    let mut goal = (pitch, first, second, loudness);
    (0..seconds * RATE)
        .map(|i| {
            if i % (RATE / 8) == 0 {
                let mut between = |low: f64, high: f64| low + random.f64() * (high - low);
                goal = (
                    between(95.0, 220.0),
                    between(300.0, 800.0),
                    between(900.0, 2_400.0),
                    between(0.15, 1.0),
                );
            }
            let near = |value: &mut f64, goal: f64| *value += (goal - *value) * 0.000_6;
            near(&mut pitch, goal.0);
            near(&mut first, goal.1);
            near(&mut second, goal.2);
            near(&mut loudness, goal.3);
            phase = (phase + pitch / RATE as f64) % 1.0;
            let voice: f64 = (1..20)
                .map(|n| {
                    let hertz = f64::from(n) * pitch;
                    let formant = |at: f64, width: f64| (-((hertz - at) / width).powi(2)).exp();
                    let gain = formant(first, 180.0) + 0.6 * formant(second, 300.0) + 0.02;
                    gain * (TAU * phase * f64::from(n)).sin()
                })
                .sum();
            (voice * loudness * 6_000.0).clamp(-32_000.0, 32_000.0) as i16
        })
        .collect()
}

/// A file that browsers take for a microphone.
pub fn wave(samples: &[i16], file: &Path) {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let rate = RATE as u32;
    let length = bytes.len() as u32;
    let mut text = b"RIFF".to_vec();
    text.extend((36 + length).to_le_bytes());
    text.extend(b"WAVEfmt ");
    text.extend(16_u32.to_le_bytes());
    // PCM of one channel.
    text.extend([1, 0, 1, 0]);
    text.extend(rate.to_le_bytes());
    text.extend((2 * rate).to_le_bytes());
    text.extend([2, 0, 16, 0]);
    text.extend(b"data");
    text.extend(length.to_le_bytes());
    text.extend(bytes);
    fs::write(file, text).expect("written");
}

/// A speaker, plugged in. It is gone when dropped.
pub struct FakeSpeaker {
    folder: TempDir,
}

impl FakeSpeaker {
    /// The ALSA name that its device is configured with.
    pub const NAME: &str = "testspeaker";

    /// One that this microphone does not hear.
    pub fn beside(microphone: &FakeMicrophone) -> Self {
        let this = Self::plugged_in();
        this.configure(microphone, "");
        this
    }

    /// One in a room with a microphone, which hears it and nothing else.
    pub fn in_a_room() -> (Self, FakeMicrophone) {
        let this = Self::plugged_in();
        let room = format!("room {:?}", this.folder.path().join("room"));
        let microphone = FakeMicrophone::with(&format!("frequency 440 ppm 0 {room}"));
        this.configure(&microphone, &room);
        (this, microphone)
    }

    fn plugged_in() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let this = Self { folder };
        this.replug();
        this
    }

    /// In the microphone's configuration, for ALSA has one.
    fn configure(&self, microphone: &FakeMicrophone, settings: &str) {
        let (name, node) = (Self::NAME, self.node());
        let sources = ["speaker.c"];
        let library = shared_object("cc", "testspeaker.so", &sources, &["room.h"], &["-lasound"]);
        let before = fs::read_to_string(microphone.configuration()).expect("it is there");
        let own = format!(
            "pcm_type.testspeaker {{ lib {library:?} }}\n\
             pcm.{name} {{ type testspeaker node {node:?} {settings} }}\n"
        );
        fs::write(microphone.configuration(), before + &own).expect("written");
    }

    fn node(&self) -> PathBuf {
        self.folder.path().join("speaker")
    }

    /// The table of the configuration that plays on it, in an open camera where
    /// everybody may talk.
    pub fn toml() -> String {
        format!("[speaker]\ndevice = \"{}\"\nstrangers = true\n", Self::NAME)
    }

    pub fn unplug(&self) {
        fs::remove_file(self.node()).expect("it is plugged in");
    }

    pub fn replug(&self) {
        fs::write(self.node(), "").expect("written");
    }

    /// All that it was given so far, whenever it was open.
    pub fn played(&self) -> Vec<i16> {
        let bytes = fs::read(self.node().with_extension("sound")).unwrap_or_default();
        let samples = bytes.chunks_exact(2);
        samples.map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
    }

    /// When each time that it started: samples before, and the monotonic clock.
    pub fn starts(&self) -> Vec<(usize, Duration)> {
        let text = fs::read_to_string(self.node().with_extension("starts")).unwrap_or_default();
        let read = |line: &str| {
            let (samples, at) = line.split_once(' ')?;
            Some((
                samples.parse().ok()?,
                Duration::from_nanos(at.parse().ok()?),
            ))
        };
        text.lines().filter_map(read).collect()
    }
}
