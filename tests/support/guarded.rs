//! A camera that lets in invited people alone: the device in its own process, and
//! its owner beside it.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::SOON;
use super::device::{Device, TEST_MEDIA};

const AGENT: &str = env!("CARGO_BIN_EXE_camera-agent");

/// Such a camera.
pub struct Guarded {
    pub device: Device,
    pub name: String,
    state: TempDir,
    /// Its programs' clocks are a day ahead.
    tomorrow: bool,
}

impl Guarded {
    /// On the server at `chat`; links lead to `page`.
    pub async fn start(chat: SocketAddr, name: &str, page: &str) -> Self {
        Self::with_mode(chat, name, page, "invited").await
    }

    /// The same in another `access.mode`.
    pub async fn with_mode(chat: SocketAddr, name: &str, page: &str, mode: &str) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let toml = format!(
            "[server]\nurl = \"ws://{chat}/\"\nname = \"{name}\"\n{TEST_MEDIA}\
             [access]\nmode = \"{mode}\"\npage = \"{page}\"\n"
        );
        let device = Device::with_env(&toml, &env(&state)).await;
        device.registered().await;
        Self {
            device,
            name: name.to_owned(),
            state,
            tomorrow: false,
        }
    }

    /// It is stopped, and starts again tomorrow.
    pub async fn sleeps_for_a_day(&mut self) {
        let today = self.day();
        self.device.signal("TERM").await;
        assert!(self.device.exits(Duration::from_secs(5)).await.success());
        self.tomorrow = true;
        let toml = std::fs::read_to_string(self.device.config()).expect("it is there");
        self.device = Device::run(self.program().into(), &toml).await;
        self.device.registered().await;
        assert_ne!(self.day(), today, "apt-get install faketime");
    }

    /// The date of its last line of log.
    fn day(&self) -> String {
        let log = self.device.log();
        let time = log.iter().rev().find_map(|line| line["timestamp"].as_str());
        time.expect("it said something")[..10].to_owned()
    }

    fn program(&self) -> Command {
        let mut program = Command::new(AGENT);
        program.envs(env(&self.state));
        if self.tomorrow {
            // Of the clocks only the one that says the date.
            program.envs([
                ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"),
                ("FAKETIME", "+1d"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ]);
        }
        program
    }

    /// What the owner types; what they are told.
    pub fn owner(&self, words: &[&str]) -> String {
        let done = self
            .program()
            .args(words)
            .arg("--config")
            .arg(self.device.config())
            .output()
            .expect("it runs");
        assert!(done.status.success(), "{words:?}: {done:?}");
        String::from_utf8(done.stdout).expect("text")
    }

    /// The link of a new invitation, once the camera knows it.
    pub async fn invites(&self, label: &str, flags: &[&str]) -> String {
        const READ: &str = "read who was invited";
        let before = self.device.said(READ);
        let said = self.owner(&[&["invite", label], flags].concat());
        self.device.logs(READ, before + 1, SOON).await;
        let mut lines = said.lines();
        let link = lines.find(|line| line.contains("#camera="));
        link.unwrap_or_else(|| panic!("no link: {said}")).to_owned()
    }

    /// How often the camera, or the microphone, was opened.
    pub fn opened(&self) -> usize {
        self.device.said("started")
    }

    /// Waits until neither is open after it was.
    pub async fn closes(&self) {
        let opened = self.opened();
        self.device
            .logs("stopped: nobody watches", opened, SOON)
            .await;
    }
}

fn env(state: &TempDir) -> Vec<(String, String)> {
    let path = state.path().to_str().expect("text").to_owned();
    vec![("STATE_DIRECTORY".into(), path)]
}
