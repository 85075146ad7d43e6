//! Strangers who attack a device and its chat server, each kind by itself.
//!
//! An attacker goes on until it is dropped, whatever is answered: who is thrown
//! out comes again.

pub mod caller;
pub mod chat;
pub mod cipher;
pub mod half_open;
pub mod offers;
pub mod path;
pub mod requests;
pub mod stun;
pub mod viewers;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

/// The name of the device.
pub const CAMERA: &str = "camera";

/// What attackers know of the place.
#[derive(Clone)]
pub struct Ground {
    /// The chat server.
    pub chat: SocketAddr,
    /// Where they are; the next ones follow on it.
    pub from: Ipv4Addr,
    /// Somebody who has nothing to do with it all.
    pub victim: Ipv4Addr,
    /// The device's UDP ports, as somebody who scans finds them.
    pub ports: Vec<SocketAddr>,
    /// Bytes that they sent, over the chat and to the device.
    pub sent: Arc<AtomicU64>,
    /// Messages that they sent over the chat.
    pub messages: Arc<AtomicU64>,
}

impl Ground {
    pub fn spent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// One of their addresses.
    pub fn address(&self, n: u8) -> Ipv4Addr {
        let [a, b, c, d] = self.from.octets();
        Ipv4Addr::new(a, b, c, d + n)
    }
}

/// A chat client that behaves as it likes.
pub struct Stranger {
    ground: Ground,
    pub socket: WebSocketStream<TcpStream>,
    pub name: String,
}

impl Stranger {
    /// Connects from address number `n`, without a name.
    pub async fn connect(ground: &Ground, n: u8) -> Option<Self> {
        let tcp = TcpSocket::new_v4().ok()?;
        tcp.set_reuseaddr(true).ok()?;
        tcp.bind((ground.address(n), 0).into()).ok()?;
        let stream = tcp.connect(ground.chat).await.ok()?;
        let mut request = format!("ws://{}/", ground.chat)
            .into_client_request()
            .ok()?;
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "json".parse().ok()?);
        let (socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .ok()?;
        Some(Self {
            ground: ground.clone(),
            socket,
            name: String::new(),
        })
    }

    /// The same, and takes a name.
    pub async fn join(ground: &Ground, n: u8, name: &str) -> Option<Self> {
        let mut stranger = Self::connect(ground, n).await?;
        let id = stranger.frame("id").await?["id"].clone();
        stranger.claim(name, &id).await?;
        stranger.name = name.to_owned();
        Some(stranger)
    }

    pub async fn claim(&mut self, name: &str, id: &Value) -> Option<()> {
        self.send(json!({"type": "username", "name": name, "id": id, "date": 0}))
            .await
    }

    pub async fn send(&mut self, frame: Value) -> Option<()> {
        self.say(Message::text(frame.to_string())).await
    }

    pub async fn say(&mut self, message: Message) -> Option<()> {
        self.ground.spent(message.len());
        self.ground.messages.fetch_add(1, Ordering::Relaxed);
        self.socket.send(message).await.ok()
    }

    /// The next frame of this type.
    pub async fn frame(&mut self, kind: &str) -> Option<Value> {
        loop {
            if let Message::Text(text) = self.socket.next().await?.ok()? {
                let frame: Value = serde_json::from_str(&text).ok()?;
                if frame["type"] == kind {
                    return Some(frame);
                }
            }
        }
    }

    pub async fn offer(&mut self, sdp: &str) -> Option<()> {
        let name = self.name.clone();
        self.send(
            json!({"type": "video-offer", "name": name, "target": CAMERA,
            "sdp": {"type": "offer", "sdp": sdp}}),
        )
        .await
    }

    pub async fn candidate(&mut self, line: &str, ufrag: &str) -> Option<()> {
        self.send(
            json!({"type": "new-ice-candidate", "name": self.name, "target": CAMERA,
            "candidate": {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0,
                "usernameFragment": ufrag}}),
        )
        .await
    }

    /// Reads what comes and forgets it, for so long.
    pub async fn listen(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.over()).await;
    }

    /// The same until the server has enough of them.
    pub async fn over(&mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

/// Does it again and again; who fails at once waits a moment.
pub async fn again(mut attack: impl AsyncFnMut()) {
    loop {
        attack().await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// All of them at the same time.
pub async fn crowd(attackers: Vec<impl Future<Output = ()> + 'static>) {
    let mut set = tokio::task::JoinSet::new();
    for attacker in attackers {
        set.spawn_local(attacker);
    }
    set.join_all().await;
}

/// A crowd has machines of its own. Here it takes what the device, the chat server
/// and their viewers leave of the processor.
const NICE: i32 = 10;

/// An attack on a thread of its own; it ends when this is dropped.
pub struct Attacking {
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Attacking {
    pub fn start<F: Future<Output = ()>>(attack: impl FnOnce() -> F + Send + 'static) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            rustix::process::setpriority_process(None, NICE).expect("less is always allowed");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let all = tokio::task::LocalSet::new();
            all.block_on(&runtime, async {
                tokio::select! {
                    () = attack() => {}
                    () = stopped.cancelled() => {}
                }
            });
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Attacking {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
