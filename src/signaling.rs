//! The device's WebSocket to the chat server: one task that owns it.
//!
//! It carries frames and notices when the server is gone. What the frames mean
//! is the [agent](crate::agent)'s affair, and when to connect again too.

mod link;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use link::Link;
use link::carry;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use trust::tls_config;

use crate::wire::{Incoming, SUBPROTOCOL};

/// Time for TCP, TLS and the WebSocket handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames that wait for the socket.
const QUEUE: usize = 256;
/// Frames taken at the most; the original server relays up to 1 MiB. What is
/// too long for the agent is refused there, with a reason.
const MAX_INCOMING: usize = 2 << 20;

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
