//! The device as a process of its own, as systemd would start it.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{SOON, until};

/// A picture small enough for several browsers on a small machine.
pub const TEST_MEDIA: &str = "[video]\nsource = \"test\"\nwidth = 640\nheight = 360\n\
                              bitrate_kbps = 800\n[audio]\nsource = \"test\"\n[ice]\nloopback = true\n";

/// A running device; dropping it kills it.
pub struct Device {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    files: TempDir,
}

impl Drop for Device {
    /// A test that fails shows what the device said last.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut log = self.log();
            log.retain(|l| !l.to_string().contains("GStreamer-CRITICAL") && l != "");
            for line in &log[log.len().saturating_sub(80)..] {
                eprintln!("device: {line}");
            }
        }
    }
}

impl Device {
    /// Starts one called "camera" for the chat server at `chat`, with the rest
    /// of its configuration from `toml`.
    pub async fn start(chat: SocketAddr, toml: &str) -> Self {
        Self::start_with_env(chat, toml, &[]).await
    }

    /// The same with more in its environment.
    pub async fn start_with_env(chat: SocketAddr, toml: &str, env: &[(String, String)]) -> Self {
        let server = format!("[server]\nurl = \"ws://{chat}/\"\nname = \"camera\"\n");
        Self::with_env(&format!("{server}{toml}"), env).await
    }

    /// Starts one with exactly this configuration.
    pub async fn with(toml: &str) -> Self {
        Self::with_env(toml, &[]).await
    }

    /// The same with more in its environment.
    pub async fn with_env(toml: &str, env: &[(String, String)]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_camera-agent"));
        program.envs(env.iter().cloned());
        Self::run(program, toml).await
    }

    /// Starts the one that `program` starts, which sees this machine's files in
    /// /tmp.
    pub async fn run(mut program: Command, toml: &str) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let config = files.path().join("camera-agent.toml");
        std::fs::write(&config, toml).expect("written");
        let mut child = program
            .args(["run", "--log-format", "json", "--config"])
            .arg(&config)
            .env("RUST_LOG", "camera_agent=debug,rtc_ice=debug")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let written = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let entry = serde_json::from_str(&line).unwrap_or(Value::String(line));
                written.lock().expect("no panic while held").push(entry);
            }
        });
        Self { child, log, files }
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.files.path().join("camera-agent.toml")
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("no panic while held").clone()
    }

    /// How many log lines have this text somewhere.
    pub fn logged(&self, text: &str) -> usize {
        self.log()
            .iter()
            .filter(|l| l.to_string().contains(text))
            .count()
    }

    /// How many log lines have exactly this message.
    pub fn said(&self, message: &str) -> usize {
        self.log()
            .iter()
            .filter(|l| l["message"] == message)
            .count()
    }

    /// How many warnings of its own, not of the crates under it; that it is open
    /// to everybody, as most of the tests need it, is none of them.
    pub fn warnings(&self) -> usize {
        self.log()
            .iter()
            .filter(|l| l["level"] == "WARN" && !l.to_string().contains("this camera is open"))
            .filter(|l| {
                l["target"]
                    .as_str()
                    .is_some_and(|t| t.starts_with("camera_agent"))
            })
            .count()
    }

    /// Waits until `count` log lines have this text.
    pub async fn logs(&self, text: &str, count: usize, limit: Duration) {
        let what = format!("{count} × {text:?} in the device's log");
        until(&what, limit, async || {
            (self.logged(text) >= count).then_some(())
        })
        .await;
    }

    /// Waits until it is named on the chat server.
    pub async fn registered(&self) {
        self.logs("connected to the chat server", 1, SOON).await;
    }

    /// Sends a signal by name, e.g. `TERM`.
    pub async fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .await
            .expect("kill is there");
        assert!(status.success());
    }

    /// Waits for its end.
    pub async fn exits(&mut self, limit: Duration) -> ExitStatus {
        timeout(limit, self.child.wait())
            .await
            .expect("it ends in time")
            .expect("it can be waited for")
    }

    /// What it has in memory (RSS), in kB.
    pub fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_ascii_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        let folder = format!("/proc/{}/task", self.pid());
        std::fs::read_dir(folder).expect("it runs").count()
    }

    /// What each of its threads is called.
    pub fn thread_names(&self) -> Vec<String> {
        let folder = format!("/proc/{}/task", self.pid());
        let threads = std::fs::read_dir(folder).expect("it runs").flatten();
        threads
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect()
    }

    /// The paths of its open file descriptors.
    pub fn open_files(&self) -> Vec<String> {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder)
            .expect("it runs")
            .flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }
}
