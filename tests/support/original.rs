//! A chat server as touchy as the original: what would have killed that one
//! is noted here as a violation.
//!
//! Written from the protocol, not from the original's code: it relays by name
//! without a check, gives another name where one is taken, and looks ids up
//! unguarded.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

#[derive(Default)]
struct State {
    next_id: u64,
    clients: BTreeMap<u64, Client>,
    violations: Vec<String>,
    /// Everything that clients sent.
    frames: Vec<Value>,
}

struct Client {
    name: Option<String>,
    out: mpsc::UnboundedSender<String>,
}

/// The server; dropping it drops every connection, like a crash.
pub struct Original {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Original {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Original {
    /// On a free port.
    pub async fn start() -> Self {
        Self::on(([127, 0, 0, 1], 0).into()).await
    }

    /// On this address, e.g. after a crash.
    pub async fn on(addr: SocketAddr) -> Self {
        Self::with(addr, BTreeMap::new()).await
    }

    /// The same with a dead socket from the beginning that still has this name, until
    /// [`Original::leave`].
    pub async fn haunted(addr: SocketAddr, name: &str) -> Self {
        let (out, _) = mpsc::unbounded_channel();
        let ghost = Client {
            name: Some(name.to_owned()),
            out,
        };
        Self::with(addr, BTreeMap::from([(0, ghost)])).await
    }

    async fn with(addr: SocketAddr, clients: BTreeMap<u64, Client>) -> Self {
        let listener = TcpListener::bind(addr).await.expect("the port is free");
        let addr = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State {
            next_id: 1_700_000_000_000,
            clients,
            ..Default::default()
        }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            // Dropped with this task, and with them the connections.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self { addr, state, task }
    }

    pub fn violations(&self) -> Vec<String> {
        self.state.lock().unwrap().violations.clone()
    }

    pub fn frames(&self, kind: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let of_kind = state.frames.iter().filter(|f| f["type"] == kind);
        of_kind.cloned().collect()
    }

    /// The names in force, with duplicates and gaps as the original has them.
    pub fn names(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state
            .clients
            .values()
            .flat_map(|c| c.name.clone())
            .collect()
    }

    /// Sends a frame to everyone of this name, as if relayed.
    pub fn relay(&self, target: &str, frame: &Value) {
        let state = self.state.lock().unwrap();
        for client in state.clients.values() {
            if client.name.as_deref() == Some(target) {
                let _ = client.out.send(frame.to_string());
            }
        }
    }

    /// The ghost times out.
    pub fn leave(&self) {
        let mut state = self.state.lock().unwrap();
        state.clients.remove(&0);
        state.userlist();
    }
}

impl State {
    fn userlist(&self) {
        let users: Vec<_> = self.clients.values().map(|c| &c.name).collect();
        self.broadcast(&json!({"type": "userlist", "users": users}));
    }

    fn broadcast(&self, frame: &Value) {
        for client in self.clients.values() {
            let _ = client.out.send(frame.to_string());
        }
    }

    fn taken(&self, name: &str) -> bool {
        self.clients
            .values()
            .any(|c| c.name.as_deref() == Some(name))
    }

    fn frame(&mut self, text: &str) {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
            return self.violations.push(format!("not JSON: {text}"));
        };
        self.frames.push(frame.clone());
        let sender = frame["id"]
            .as_u64()
            .filter(|id| self.clients.contains_key(id));
        match (frame["type"].as_str(), sender) {
            (Some("username" | "message"), None) => {
                self.violations.push(format!("unknown id: {text}"));
            }
            (Some("username"), Some(id)) => {
                let wanted = frame["name"].as_str().unwrap_or_default().to_owned();
                let mut name = wanted.clone();
                let mut number = 1;
                // The client's own present name counts as taken too.
                while self.taken(&name) {
                    name = format!("{wanted}{number}");
                    number += 1;
                }
                let client = self.clients.get_mut(&id).expect("it was looked up");
                if name != wanted {
                    let reject = json!({"type": "rejectusername", "id": id, "name": name});
                    let _ = client.out.send(reject.to_string());
                }
                client.name = Some(name);
                self.userlist();
            }
            (Some("message"), Some(id)) => {
                frame["name"] = json!(self.clients[&id].name);
                self.broadcast(&frame);
            }
            _ => match frame["target"].as_str().filter(|t| !t.is_empty()) {
                Some(target) => {
                    for client in self.clients.values() {
                        if client.name.as_deref() == Some(target) {
                            let _ = client.out.send(text.to_owned());
                        }
                    }
                }
                None => self.broadcast(&frame),
            },
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut offered = false;
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is the crate's"
    )]
    let handshake = |request: &Request, mut response: Response| {
        let protocol = request.headers().get("sec-websocket-protocol");
        offered = protocol.is_some_and(|p| p.to_str().is_ok_and(|p| p.contains("json")));
        let json = "json".parse().expect("a header value");
        response
            .headers_mut()
            .insert("sec-websocket-protocol", json);
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, handshake).await else {
        return;
    };
    let (out, mut outbox) = mpsc::unbounded_channel();
    let id = {
        let mut state = state.lock().unwrap();
        if !offered {
            state.violations.push("no subprotocol json".into());
        }
        state.next_id += 1;
        let id = state.next_id;
        let _ = out.send(json!({"type": "id", "id": id}).to_string());
        state.clients.insert(id, Client { name: None, out });
        id
    };
    loop {
        tokio::select! {
            Some(text) = outbox.recv() => {
                if socket.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => state.lock().unwrap().frame(&text),
                Some(Ok(Message::Binary(_))) => {
                    state.lock().unwrap().violations.push("a binary frame".into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    let mut state = state.lock().unwrap();
    state.clients.remove(&id);
    state.userlist();
}
