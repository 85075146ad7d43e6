//! The device's WebSocket to the chat server: one task that owns it.
//!
//! It carries frames and notices when the server is gone. What the frames mean
//! is the [agent](crate::agent)'s affair, and when to connect again too.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use tracing::{debug, trace, warn};

use crate::network::Network;
use crate::wire::{Incoming, MAX_FRAME_BYTES, Outgoing, SUBPROTOCOL};

/// Time for TCP, TLS and the WebSocket handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent server is pinged then, and given up at twice that. The original
/// server pings every 20 s, so this seldom happens.
const SILENCE: Duration = Duration::from_secs(25);
/// The same where there is reason to doubt that the server is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Frames that wait for the socket.
const QUEUE: usize = 256;
/// Frames taken at the most; the original server relays up to 1 MiB. What is
/// too long for the agent is refused there, with a reason.
const MAX_INCOMING: usize = 2 << 20;
/// Time to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Why the chat server cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    /// The address is none.
    #[error("server.url: \"{url}\" is not an address: {problem}")]
    Address {
        /// As configured.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The certificate authority's file cannot be used.
    #[error("server.ca_file: cannot use {path}: {problem}; it must hold certificates in PEM")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// What a connection reports. After `Closed` nothing more comes of it.
#[derive(Debug)]
pub enum SignalingEvent {
    /// The handshake is done.
    Open,
    /// A frame, parsed.
    Frame(Incoming),
    /// It could not be made, or is over; why, in words.
    Closed(String),
}

/// Where the chat server is and how it is trusted.
#[derive(Clone)]
pub struct Server {
    url: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Server {
    /// Checks the address and, for `wss://`, reads the certificates to trust.
    pub fn new(url: &str, ca_file: Option<&PathBuf>) -> Result<Self, SignalingError> {
        url.into_client_request()
            .map_err(|e| SignalingError::Address {
                url: url.to_owned(),
                problem: e.to_string(),
            })?;
        let tls = url
            .starts_with("wss://")
            .then(|| tls_config(ca_file))
            .transpose()?;
        Ok(Self {
            url: url.to_owned(),
            tls: tls.map(Arc::new),
        })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Begins to connect. `generation` comes back with every event, so that
    /// those of an older connection can be told apart.
    pub fn connect(&self, generation: u64, events: mpsc::Sender<(u64, SignalingEvent)>) -> Link {
        let (frames, outbox) = mpsc::channel(QUEUE);
        let server = self.clone();
        let doubt = Arc::new(Notify::new());
        let doubted = doubt.clone();
        let task = tokio::spawn(async move {
            let opened = loop {
                tokio::select! {
                    opened = server.open() => break opened,
                    // What was sent on another network is not answered.
                    () = doubted.notified() => {}
                }
            };
            let reason = match opened {
                Ok(socket) => {
                    if events
                        .send((generation, SignalingEvent::Open))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    carry(socket, outbox, &doubted, generation, &events).await
                }
                Err(reason) => reason,
            };
            let _ = events
                .send((generation, SignalingEvent::Closed(reason)))
                .await;
        });
        Link {
            frames,
            doubt,
            task,
        }
    }

    /// The handshake's request.
    pub(crate) fn request(&self) -> Result<Request, String> {
        let mut request = self
            .url
            .as_str()
            .into_client_request()
            .map_err(|e| e.to_string())?;
        // The original server refuses, and dies of, a client without it.
        request.headers_mut().insert(
            "Sec-WebSocket-Protocol",
            HeaderValue::from_static(SUBPROTOCOL),
        );
        Ok(request)
    }

    /// TLS or none.
    pub(crate) fn connector(&self) -> Connector {
        match &self.tls {
            Some(tls) => Connector::Rustls(tls.clone()),
            None => Connector::Plain,
        }
    }

    /// What is taken from a server.
    pub(crate) fn limits() -> WebSocketConfig {
        WebSocketConfig::default()
            .max_message_size(Some(MAX_INCOMING))
            .max_frame_size(Some(MAX_INCOMING))
    }

    async fn open(&self) -> Result<Socket, String> {
        let connect = connect_async_tls_with_config(
            self.request()?,
            Some(Self::limits()),
            true,
            Some(self.connector()),
        );
        match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn words(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => format!(
            "it answered {} instead of opening a WebSocket; is it a webrtc-from-chat server?",
            response.status()
        ),
        other => other.to_string(),
    }
}

fn tls_config(ca_file: Option<&PathBuf>) -> Result<rustls::ClientConfig, SignalingError> {
    let mut roots = rustls::RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in system.errors {
        debug!(%error, "a system certificate was not read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let failed = |problem: String| SignalingError::Authority {
            path: path.clone(),
            problem,
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|e| failed(e.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|e| failed(e.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| SignalingError::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connection, open or being opened.
pub struct Link {
    frames: mpsc::Sender<Outgoing>,
    doubt: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Link {
    /// Queues a frame. A server that does not take them for so long that the
    /// queue is full loses the rest; the connection is about to be given up.
    pub fn send(&self, frame: Outgoing) {
        if self.frames.try_send(frame).is_err() {
            debug!("the chat server does not take frames; one was dropped");
        }
    }

    /// Finds out soon whether the server is still there: the network may have
    /// been lost. One that is being connected to is tried anew.
    pub fn probe(&self) {
        self.doubt.notify_one();
    }

    /// Sends what is queued, says goodbye, and waits for a short time.
    pub async fn close(self) {
        drop(self.frames);
        let mut task = self.task;
        if timeout(CLOSE_TIMEOUT * 2, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// Drops the connection without a word.
    pub fn abort(self) {
        self.task.abort();
    }
}

async fn carry(
    mut socket: Socket,
    mut outbox: mpsc::Receiver<Outgoing>,
    doubted: &Notify,
    generation: u64,
    events: &mpsc::Sender<(u64, SignalingEvent)>,
) -> String {
    let mut heard = Instant::now();
    let mut pinged = false;
    // An answer to a probe is due by then.
    let mut probed: Option<Instant> = None;
    let mut bad_frames = 0_u32;
    loop {
        let silent_at = probed.unwrap_or(heard + if pinged { SILENCE * 2 } else { SILENCE });
        tokio::select! {
            frame = outbox.recv() => {
                let Some(frame) = frame else {
                    let _ = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
                    return "closed by us".into();
                };
                let text = frame.to_text(milliseconds());
                if text.len() > MAX_FRAME_BYTES {
                    warn!(bytes = text.len(), "a frame too long for the chat server was not sent");
                    continue;
                }
                trace!(%text, "sent");
                match timeout(SILENCE, socket.send(Message::text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return words(&error),
                    Err(_) => return "it takes no data".into(),
                }
            }
            message = socket.next() => {
                heard = Instant::now();
                pinged = false;
                probed = None;
                let text = match message {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Close(_))) | None => return "it closed the connection".into(),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return words(&error),
                };
                trace!(%text, "received");
                match Incoming::parse(&text) {
                    Ok(frame) => {
                        if events.send((generation, SignalingEvent::Frame(frame))).await.is_err() {
                            return "closed by us".into();
                        }
                    }
                    Err(error) => {
                        bad_frames += 1;
                        if bad_frames == 1 {
                            warn!(%error, "a frame was not understood and is ignored; more are logged at DEBUG");
                        } else {
                            debug!(%error, "a frame was not understood");
                        }
                    }
                }
            }
            () = doubted.notified() => {
                if local_address(&socket).is_some_and(|ip| !Network::now().carries(ip)) {
                    return "this machine has another address now".into();
                }
                if probed.is_none() {
                    let until = Instant::now() + PROBE_TIMEOUT;
                    probed = Some(until);
                    let ping = socket.send(Message::Ping(Default::default()));
                    if timeout_at(until, ping).await.is_err() {
                        return "it takes no data".into();
                    }
                }
            }
            _ = tokio::time::sleep_until(silent_at) => {
                if probed.is_some() {
                    return format!("it was silent for {} s", PROBE_TIMEOUT.as_secs());
                }
                if pinged {
                    return format!("it was silent for {} s", (SILENCE * 2).as_secs());
                }
                pinged = true;
                let ping = socket.send(Message::Ping(Default::default()));
                if timeout_at(silent_at + SILENCE, ping).await.is_err() {
                    return "it takes no data".into();
                }
            }
        }
    }
}

fn local_address(socket: &Socket) -> Option<IpAddr> {
    let tcp = match socket.get_ref() {
        MaybeTlsStream::Plain(tcp) => tcp,
        MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
        _ => return None,
    };
    Some(tcp.local_addr().ok()?.ip())
}

/// The wall clock in ms since 1970, as the protocol's `date`.
fn milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}
