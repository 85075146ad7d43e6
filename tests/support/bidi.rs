//! WebDriver BiDi, for what WebDriver itself has no commands for: scripts that run
//! before a page's own, the console, the size of the page.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// Chromium writes these to its console by itself.
const TELL_OF_VIOLATIONS: &str = "() => addEventListener('securitypolicyviolation', (e) => \
    console.error(`refused by the policy: ${e.violatedDirective} ${e.blockedURI}`))";

type Command = (Value, oneshot::Sender<Value>);

/// A connection to a browser.
pub struct Bidi {
    commands: mpsc::UnboundedSender<Command>,
    /// What the console said at level warning or error.
    said: Arc<Mutex<Vec<String>>>,
    /// The number of the last command.
    last: AtomicU64,
    task: JoinHandle<()>,
}

impl Drop for Bidi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bidi {
    /// Connects to the session at `url`, and listens to its console.
    pub async fn connect(url: &str) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("the browser takes a second connection");
        let (commands, mut wanted) = mpsc::unbounded_channel::<Command>();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let heard = said.clone();
        let task = tokio::spawn(async move {
            let (mut to, mut from) = socket.split();
            let mut waiting = HashMap::new();
            loop {
                tokio::select! {
                    Some((mut command, done)) = wanted.recv() => {
                        let id = command["id"].as_u64().expect("it is numbered");
                        waiting.insert(id, done);
                        if to.send(Message::text(command.take().to_string())).await.is_err() {
                            return;
                        }
                    }
                    message = from.next() => {
                        let Some(Ok(message)) = message else { return };
                        let Message::Text(text) = message else { continue };
                        let mut message: Value = serde_json::from_str(&text).expect("JSON");
                        if let Some(line) = of_console(&message) {
                            heard.lock().expect("no panic while held").push(line);
                        }
                        let id = message["id"].as_u64();
                        if let Some(done) = id.and_then(|id| waiting.remove(&id)) {
                            let _ = done.send(message.take());
                        }
                    }
                }
            }
        });
        let bidi = Self {
            commands,
            said,
            last: AtomicU64::new(0),
            task,
        };
        bidi.run("session.subscribe", json!({"events": ["log.entryAdded"]}))
            .await;
        bidi.run(
            "script.addPreloadScript",
            json!({"functionDeclaration": TELL_OF_VIOLATIONS}),
        )
        .await;
        bidi
    }

    /// Runs a command; its result.
    pub async fn run(&self, method: &str, params: Value) -> Value {
        let (done, answer) = oneshot::channel();
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let command = json!({"id": id, "method": method, "params": params});
        self.commands
            .send((command, done))
            .expect("the browser runs");
        let mut answer = answer.await.expect("the browser runs");
        assert_eq!(answer["type"], "success", "{method}: {answer}");
        answer["result"].take()
    }

    /// What the console said at level warning or error since the last time.
    pub async fn console(&self) -> Vec<String> {
        // Whatever was said before this is answered has come.
        self.run("session.status", json!({})).await;
        std::mem::take(&mut *self.said.lock().expect("no panic while held"))
    }
}

fn of_console(message: &Value) -> Option<String> {
    let entry = &message["params"];
    let serious = entry["level"] == "error" || entry["level"] == "warn";
    (message["method"] == "log.entryAdded" && serious).then(|| {
        format!(
            "{} {}",
            entry["text"].as_str().unwrap_or_default(),
            entry["stackTrace"]
        )
    })
}
