//! A bare `webrtcbin` as a device in the chat: what the agent is compared with.
//! It runs in a process of its own, as the agent does; see `webrtcbin.py`.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::process::Stdio;

use camera_agent::media::encoder::Encoder;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::User;

/// It answers one call; dropping it ends it.
pub struct Bare {
    _process: Child,
    task: JoinHandle<()>,
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bare {
    /// Starts one called `name` that encodes the pictures of `source` as the
    /// agent does, at so many bit/s.
    pub async fn start(chat: SocketAddr, name: &str, source: &str, bits_per_second: u32) -> Self {
        let encoder = Encoder::row("x264").expect("a row");
        let picture = format!(
            "{source} ! queue max-size-buffers=1 leaky=downstream ! {} ! {} ! \
             h264parse config-interval=-1",
            encoder.element_text(30, bits_per_second),
            encoder.caps
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/webrtcbin.py");
        let mut process = Command::new("/usr/bin/python3")
            .args([script, &picture])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python is installed");
        let mut input = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        let mut output = BufReader::new(output).lines();

        let mut user = User::connect(chat).await;
        let claim = json!({"type": "username", "name": name, "id": user.id, "date": 0,
            "device": true});
        user.send(claim).await;
        user.list_with(name).await;
        let name = name.to_owned();
        let task = tokio::spawn(async move {
            let mut caller = Value::Null;
            loop {
                tokio::select! {
                    line = output.next_line() => {
                        let Ok(Some(line)) = line else { return };
                        let said: Value = serde_json::from_str(&line).expect("JSON");
                        let mut frame = json!({"name": name, "target": caller});
                        if said["answer"].is_string() {
                            frame["type"] = "video-answer".into();
                            frame["sdp"] = json!({"type": "answer", "sdp": said["answer"]});
                        } else {
                            frame["type"] = "new-ice-candidate".into();
                            frame["candidate"] = json!({"candidate": said["candidate"],
                                "sdpMLineIndex": said["line"]});
                        }
                        user.send(frame).await;
                    }
                    message = user.socket.next() => {
                        let Some(Ok(message)) = message else { return };
                        let Message::Text(text) = message else { continue };
                        let heard: Value = serde_json::from_str(&text).expect("JSON");
                        let told = match heard["type"].as_str() {
                            Some("video-offer") => {
                                caller = heard["name"].clone();
                                json!({"offer": heard["sdp"]["sdp"]})
                            }
                            Some("new-ice-candidate") => json!({
                                "candidate": heard["candidate"]["candidate"],
                                "line": heard["candidate"]["sdpMLineIndex"],
                            }),
                            _ => continue,
                        };
                        if input.write_all(format!("{told}\n").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self {
            _process: process,
            task,
        }
    }
}
