//! A chat server that means harm, for tests that decide frame by frame: an honest
//! one, and somebody between it and everybody else who keeps frames back and makes
//! some up. The page comes by it, too.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::SOON;

/// Longest head of a request that is looked at, in bytes.
const HEAD: usize = 8192;

/// What is spoken over a WebSocket.
const PROTOCOL: &str = "json";

/// A client: its name, once it has one, and what is sent to it.
type Client = (Option<String>, mpsc::UnboundedSender<String>);

#[derive(Default)]
struct State {
    clients: Vec<Client>,
    /// Types of frames that are kept back.
    kept: Vec<&'static str>,
    /// What clients sent, in order.
    sent: Vec<Value>,
}

/// Such a server; whoever connects gets the honest one's page.
pub struct Keeper {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    held: mpsc::UnboundedReceiver<Value>,
    _tasks: JoinSet<()>,
}

impl Keeper {
    /// In front of the server at `chat`.
    pub async fn before(chat: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        let (keep, held) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, chat, shared.clone(), keep.clone()));
            }
        });
        Self {
            addr,
            state,
            held,
            _tasks: tasks,
        }
    }

    /// The page's address, for somebody of this name.
    pub fn page(&self, name: &str) -> String {
        format!("http://localhost:{}/?name={name}", self.addr.port())
    }

    /// From now on frames of these types are kept, and not passed on.
    pub fn keeps(&self, kinds: &[&'static str]) {
        self.state.lock().unwrap().kept = kinds.to_vec();
    }

    /// The next frame of this type that was kept; others are thrown away.
    pub async fn kept(&mut self, kind: &str) -> Value {
        let wanted = async {
            loop {
                let frame = self.held.recv().await.expect("it serves");
                if frame["type"] == kind {
                    return frame;
                }
            }
        };
        timeout(SOON, wanted)
            .await
            .unwrap_or_else(|_| panic!("no {kind} came"))
    }

    /// Gives a frame to everybody of this name.
    pub fn give(&self, name: &str, frame: &Value) {
        let state = self.state.lock().unwrap();
        let mut given = 0;
        for (of, out) in &state.clients {
            if of.as_deref() == Some(name) && out.send(frame.to_string()).is_ok() {
                given += 1;
            }
        }
        assert!(given > 0, "nobody is called {name}");
    }

    /// Forgets what clients sent so far.
    pub fn forget(&self) {
        self.state.lock().unwrap().sent.clear();
    }

    /// The types of what `from` sent to others since then.
    pub fn sent(&self, from: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let theirs = state.sent.iter().filter(|f| f["name"] == from);
        let kinds = theirs.filter_map(|f| f["type"].as_str());
        kinds
            .filter(|k| !["username", "echo"].contains(k))
            .map(str::to_owned)
            .collect()
    }
}

/// The head of a request, as far as it is looked at, in small letters.
async fn head_of(stream: &TcpStream) -> Option<String> {
    let mut head = vec![0; HEAD];
    loop {
        let read = stream.peek(&mut head).await.ok()?;
        let text = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
        if read == 0 || read == HEAD || text.contains("\r\n\r\n") {
            return Some(text);
        }
        tokio::task::yield_now().await;
    }
}

/// Makes a WebSocket of a client's connection.
async fn accept(stream: TcpStream) -> Option<WebSocketStream<TcpStream>> {
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is the crate's"
    )]
    let handshake = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let headers = response.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
        Ok(response)
    };
    let accepted = tokio_tungstenite::accept_hdr_async(stream, handshake).await;
    accepted.ok()
}

/// A WebSocket of the honest server at `chat`.
async fn connect(chat: SocketAddr) -> Option<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let mut request = format!("ws://{chat}/").into_client_request().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
    let connected = tokio_tungstenite::connect_async(request).await;
    connected.ok().map(|(server, _)| server)
}

/// One connection: a WebSocket is meddled with, anything else passes as it is.
async fn serve(
    mut stream: TcpStream,
    chat: SocketAddr,
    state: Arc<Mutex<State>>,
    keep: mpsc::UnboundedSender<Value>,
) {
    let Some(head) = head_of(&stream).await else {
        return;
    };
    if !head.contains("upgrade: websocket") {
        if let Ok(mut upstream) = TcpStream::connect(chat).await {
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
        return;
    }
    let Some(client) = accept(stream).await else {
        return;
    };
    let Some(server) = connect(chat).await else {
        return;
    };
    let (mut to_client, mut from_client) = client.split();
    let (mut to_server, mut from_server) = server.split();
    let (out, mut made_up) = mpsc::unbounded_channel();
    let number = {
        let mut state = state.lock().unwrap();
        state.clients.push((None, out));
        state.clients.len() - 1
    };
    loop {
        tokio::select! {
            Some(text) = made_up.recv() => {
                if to_client.send(Message::text(text)).await.is_err() { break; }
            }
            message = from_client.next() => {
                let Some(Ok(message)) = message else { break };
                if let Message::Text(text) = &message {
                    let frame: Value = serde_json::from_str(text).expect("JSON");
                    let mut state = state.lock().unwrap();
                    if frame["type"] == "username" {
                        state.clients[number].0 = frame["name"].as_str().map(str::to_owned);
                    }
                    state.sent.push(frame);
                }
                if to_server.send(message).await.is_err() { break; }
            }
            message = from_server.next() => {
                let Some(Ok(message)) = message else { break };
                if let Message::Text(text) = &message {
                    let frame: Value = serde_json::from_str(text).expect("JSON");
                    let kind = frame["type"].as_str().unwrap_or_default();
                    if state.lock().unwrap().kept.contains(&kind) {
                        let _ = keep.send(frame);
                        continue;
                    }
                }
                if to_client.send(message).await.is_err() { break; }
            }
        }
    }
    state.lock().unwrap().clients[number].0 = None;
}

/// Datagrams that came to a [`Trap`], by what they are (RFC 7983 §7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caught {
    pub stun: u64,
    pub dtls: u64,
    /// RTP and RTCP.
    pub media: u64,
}

/// A UDP port that plays the other end of ICE well, for whoever was told to look
/// for it there.
pub struct Trap {
    pub addr: SocketAddr,
    role: Arc<Mutex<Role>>,
    caught: Arc<Mutex<Caught>>,
    _task: JoinSet<()>,
}

/// Whom a [`Trap`] passes for.
#[derive(Default)]
struct Role {
    /// Of whom it passes for, by which its answers are signed.
    password: String,
    /// The user and the password of a controlling side's checks.
    checks: Option<(String, String)>,
}

/// What a [`Trap`] writes: the answer to a check from an address by a password, and
/// a check by a user and a password.
pub type Writes = (
    fn(&[u8], SocketAddr, &str) -> Option<Vec<u8>>,
    fn(&str, &str) -> Vec<u8>,
);

impl Trap {
    /// On a port of this machine.
    pub async fn start((answer, check): Writes) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let addr = socket.local_addr().expect("it is bound");
        let role = Arc::new(Mutex::new(Role::default()));
        let caught = Arc::new(Mutex::new(Caught::default()));
        let (known, seen) = (role.clone(), caught.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut datagram = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                let sent: Vec<Vec<u8>> = {
                    let mut seen = seen.lock().unwrap();
                    match datagram[0] {
                        0..=3 => seen.stun += 1,
                        20..=63 => seen.dtls += 1,
                        128..=191 => seen.media += 1,
                        _ => {}
                    }
                    let is_check = datagram[..2] == [0, 1];
                    let known = known.lock().unwrap();
                    let answered = answer(&datagram[..length], from, &known.password);
                    let own = known.checks.as_ref().map(|(user, pwd)| check(user, pwd));
                    let both = answered.into_iter().chain(own);
                    both.filter(|_| is_check).collect()
                };
                for datagram in sent {
                    let _ = socket.send_to(&datagram, from).await;
                }
            }
        });
        Self {
            addr,
            role,
            caught,
            _task: task,
        }
    }

    /// Passes for the one whose description this is.
    pub fn plays(&self, sdp: &str) {
        self.role.lock().unwrap().password = value(sdp, "a=ice-pwd:");
    }

    /// Passes for the caller, who chooses the path to `other`.
    pub fn leads(&self, caller: &str, other: &str) {
        let ufrag = |sdp| value(sdp, "a=ice-ufrag:");
        let user = format!("{}:{}", ufrag(other), ufrag(caller));
        self.role.lock().unwrap().checks = Some((user, value(other, "a=ice-pwd:")));
    }

    pub fn caught(&self) -> Caught {
        *self.caught.lock().unwrap()
    }

    /// A candidate that leads here.
    pub fn candidate(&self) -> String {
        let (ip, port) = (self.addr.ip(), self.addr.port());
        format!("candidate:1 1 udp 2122260223 {ip} {port} typ host")
    }
}

/// What the first line that begins like this says.
fn value(sdp: &str, name: &str) -> String {
    let (_, rest) = sdp.split_once(name).expect(name);
    rest.lines().next().expect("a line").trim().to_owned()
}
