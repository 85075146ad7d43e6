//! What the integration tests share: a chat server, a chat client, polling.

#![allow(dead_code, reason = "each test binary uses its part of it")]

pub mod bare;
pub mod bed;
pub mod bidi;
pub mod browser;
pub mod caller;
pub mod card;
pub mod codec;
pub mod coturn;
pub mod cpu;
pub mod cuttable;
pub mod desk;
pub mod device;
pub mod driver;
pub mod encoding;
pub mod faults;
pub mod film;
pub mod guarded;
pub mod inside;
pub mod invitee;
pub mod keeper;
pub mod lab;
pub mod machine;
pub mod meddler;
pub mod meter;
pub mod nginx;
pub mod original;
pub mod painter;
pub mod person;
pub mod picture;
pub mod ports;
pub mod qr;
pub mod relay;
pub mod screen;
pub mod shims;
pub mod speaker;
pub mod standin;
pub mod strain;
pub mod tinyproxy;
pub mod users;
pub mod vendors;
pub mod viewer;
pub mod webcam;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use camera_agent::chat::{Options, Server};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

/// How long anything that should happen may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Polls `probe` until it gives something; panics with `what` after `limit`.
pub async fn until<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A chat server on a free port of this machine.
pub struct Chat {
    pub addr: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Chat {
    pub async fn start() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: Options) -> Self {
        let server = Server::bind(options).await.expect("a port is free");
        let addr = server.local_addr();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.run(shutdown.clone()));
        Self {
            addr,
            shutdown,
            task,
        }
    }

    /// The page's address, for somebody of this name. Browsers take
    /// `localhost` for a secure origin.
    pub fn page(&self, name: &str) -> String {
        format!("http://localhost:{}/?name={name}", self.addr.port())
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(5), self.task)
            .await
            .expect("the server stops in time")
            .expect("the server does not panic");
    }
}

/// Any free port of 127.0.0.1, otherwise the defaults, but for the time that a peer
/// may be silent: a [`User`] reads, and answers pings, only while its test waits for a
/// frame, and a test waits for a browser's start in between.
pub fn options() -> Options {
    let mut options = Options::new(([127, 0, 0, 1], 0).into());
    options.silence = 4 * SOON;
    options
}

/// A file of this text, gone with the returned value.
pub fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

/// A certificate of our own making for localhost, and its key, in PEM.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A chat client that is no browser.
pub struct User {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub id: Value,
}

impl User {
    /// Connects and reads its id; has no name yet.
    pub async fn connect(addr: SocketAddr) -> Self {
        let mut request = format!("ws://{addr}/").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
        let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "json");
        Self::on(socket).await
    }

    /// Takes over an open socket.
    pub async fn on(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        let mut user = Self {
            socket,
            id: Value::Null,
        };
        user.id = user.frame("id").await["id"].clone();
        user
    }

    /// Connects under a name.
    pub async fn join(addr: SocketAddr, name: &str) -> Self {
        let mut user = Self::connect(addr).await;
        user.claim(name).await;
        user.list_with(name).await;
        user
    }

    pub async fn claim(&mut self, name: &str) {
        let id = self.id.clone();
        self.send(json!({"type": "username", "name": name, "id": id, "date": 0}))
            .await;
    }

    pub async fn send(&mut self, frame: Value) {
        let text = Utf8Bytes::from(frame.to_string());
        self.socket.send(Message::Text(text)).await.unwrap();
    }

    /// The next frame of this type; others are skipped.
    pub async fn frame(&mut self, kind: &str) -> Value {
        let wanted = async {
            loop {
                let message = self.socket.next().await.expect("still open").unwrap();
                if let Message::Text(text) = message {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] == kind {
                        return frame;
                    }
                }
            }
        };
        timeout(SOON, wanted)
            .await
            .unwrap_or_else(|_| panic!("no {kind} came"))
    }

    /// The next frame of any type.
    pub async fn any(&mut self) -> Value {
        let next = async {
            loop {
                let message = self.socket.next().await.expect("still open").unwrap();
                if let Message::Text(text) = message {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        };
        timeout(SOON, next).await.expect("a frame came")
    }

    /// Waits for a user list that has `name` in it.
    pub async fn list_with(&mut self, name: &str) -> Value {
        loop {
            let list = self.frame("userlist").await;
            if list["users"].as_array().unwrap().iter().any(|n| n == name) {
                return list;
            }
        }
    }

    /// The code with which the server closed, or `None` for a cut without one.
    pub async fn closed(&mut self) -> Option<u16> {
        let end = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(close))) => return close.map(|c| c.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        timeout(SOON, end).await.expect("the server closes")
    }
}
