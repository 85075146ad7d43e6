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

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::shims::{FakeMicrophone, shared_object};

/// Samples a second.
pub const RATE: usize = 48_000;

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
