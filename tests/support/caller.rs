//! Callers that are no browser: a WebRTC stack in a process of its own, which
//! says in numbers what it sees and hears (tests/support/callers).

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{SOON, User, until};

/// Debian's, where GStreamer's modules are.
const PYTHON: &str = "/usr/bin/python3";
/// As the Makefile makes it: `make test-packages`.
const AIORTC_PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/tools/aiortc-1.16.0/bin/python"
);

/// What came of a call so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub offers: Vec<String>,
    pub answers: Vec<String>,
    /// Whole pictures that were decoded.
    pub frames: u64,
    /// The middle row of the latest.
    pub row: Vec<[f64; 3]>,
    /// The latest tone, in Hz, and its level (RMS, 1 is full scale).
    pub sound: Option<(f64, f64)>,
    /// The device hung up, for this reason.
    pub hung_up: Option<String>,
    ended: bool,
}

/// Somebody in the chat who calls "camera"; dropping it ends it.
pub struct Caller {
    name: String,
    seen: Arc<Mutex<Seen>>,
    frames: mpsc::UnboundedSender<Value>,
    commands: mpsc::UnboundedSender<Value>,
    _process: Child,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Caller {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Caller {
    /// GStreamer's, with this bundle policy and codec of the picture.
    pub async fn webrtcbin(chat: SocketAddr, name: &str, policy: &str, codec: &str) -> Self {
        Self::start(chat, name, PYTHON, &["webrtcbin.py", policy, codec]).await
    }

    /// Python's aiortc, with this bundle policy.
    pub async fn aiortc(chat: SocketAddr, name: &str, policy: &str) -> Self {
        Self::start(chat, name, AIORTC_PYTHON, &["aiortc_caller.py", policy]).await
    }

    async fn start(chat: SocketAddr, name: &str, python: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(python)
            .args(arguments)
            .current_dir(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/support/callers"
            ))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{python}: {e}; install it: make test-packages"));
        let mut input = process.stdin.take().expect("it is piped");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let (mut to_chat, mut from_chat) = User::join(chat, name).await.socket.split();
        let seen = Arc::<Mutex<Seen>>::default();
        let (frames, mut to_send) = mpsc::unbounded_channel::<Value>();
        let (commands, mut to_do) = mpsc::unbounded_channel::<Value>();

        let (own, noted, outgoing) = (name.to_owned(), seen.clone(), frames.clone());
        let talking = tokio::spawn(async move {
            loop {
                tokio::select! {
                    line = said.next_line() => {
                        let Ok(Some(line)) = line else { return };
                        let said = serde_json::from_str(&line).expect("JSON");
                        if let Some(frame) = lock(&noted).said(said, &own) {
                            let _ = outgoing.send(frame);
                        }
                    }
                    Some(command) = to_do.recv() => {
                        let line = format!("{command}\n");
                        if input.write_all(line.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let (own, noted, outgoing) = (name.to_owned(), seen.clone(), commands.clone());
        let signaling = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(frame) = to_send.recv() => {
                        let text = Utf8Bytes::from(frame.to_string());
                        if to_chat.send(Message::Text(text)).await.is_err() {
                            return;
                        }
                    }
                    message = from_chat.next() => {
                        let Some(Ok(message)) = message else { return };
                        let Message::Text(text) = message else { continue };
                        let frame = serde_json::from_str(&text).expect("JSON");
                        if let Some(command) = lock(&noted).heard(&frame, &own) {
                            let _ = outgoing.send(command);
                        }
                    }
                }
            }
        });
        Self {
            name: name.to_owned(),
            seen,
            frames,
            commands,
            _process: process,
            tasks: [talking, signaling],
        }
    }

    /// What came of the present call so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Calls; everything is counted anew.
    pub fn call(&self) {
        *lock(&self.seen) = Seen::default();
        self.command(json!({"do": "call"}));
    }

    /// Offers again on the same connection.
    pub fn offer_again(&self) {
        self.command(json!({"do": "offer"}));
    }

    /// Ends the call, as a page does it: a word, then the connection.
    pub async fn hang_up(&self) {
        let word = json!({"type": "hang-up", "name": self.name, "target": "camera"});
        self.frames.send(word).expect("it runs");
        self.command(json!({"do": "end"}));
        self.until("its end", |seen| seen.ended).await;
    }

    fn command(&self, command: Value) {
        self.commands.send(command).expect("it runs");
    }

    /// Waits until this is so.
    pub async fn until(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        until(what, SOON, async || {
            let seen = lock(&self.seen);
            assert_eq!(seen.hung_up, None, "while waiting for {what}");
            is(&seen).then_some(())
        })
        .await;
    }

    /// Waits until this many more pictures are decoded.
    pub async fn frames_rise(&self, frames: u64) {
        let goal = lock(&self.seen).frames + frames;
        self.until("pictures", |seen| seen.frames >= goal).await;
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().expect("no panic while held")
}

impl Seen {
    /// What the stack says; a frame for the device.
    fn said(&mut self, mut said: Value, name: &str) -> Option<Value> {
        let frame = json!({"name": name, "target": "camera"});
        let with = |mut frame: Value, kind: &str, key: &str, value: Value| {
            frame["type"] = kind.into();
            frame[key] = value;
            Some(frame)
        };
        if let Some(offer) = said["offer"].as_str() {
            self.offers.push(offer.to_owned());
            let sdp = json!({"type": "offer", "sdp": offer});
            return with(frame, "video-offer", "sdp", sdp);
        }
        if said["candidate"].is_string() {
            let candidate = json!({"candidate": said["candidate"], "sdpMLineIndex": said["line"]});
            return with(frame, "new-ice-candidate", "candidate", candidate);
        }
        if let Some(frames) = said["frames"].as_u64() {
            self.frames = frames;
            self.row = serde_json::from_value(said["row"].take()).expect("pixels");
        }
        if let (Some(pitch), Some(level)) = (said["pitch"].as_f64(), said["level"].as_f64()) {
            self.sound = Some((pitch, level));
        }
        self.ended |= said["ended"] == true;
        None
    }

    /// What comes over the chat; a command for the stack.
    fn heard(&mut self, frame: &Value, name: &str) -> Option<Value> {
        if frame["target"] != name {
            return None;
        }
        match frame["type"].as_str()? {
            "video-answer" => {
                let sdp = frame["sdp"]["sdp"].as_str().expect("an answer");
                self.answers.push(sdp.to_owned());
                Some(json!({"answer": sdp}))
            }
            "new-ice-candidate" => {
                let candidate = &frame["candidate"];
                let text = candidate["candidate"]
                    .as_str()
                    .filter(|text| !text.is_empty())?;
                Some(json!({"candidate": text, "line": candidate["sdpMLineIndex"]}))
            }
            "hang-up" => {
                let reason = frame["reason"].as_str().unwrap_or_default();
                self.hung_up = Some(reason.to_owned());
                None
            }
            _ => None,
        }
    }
}
