//! The device's WebSocket to the chat server: one task that owns it.
//!
//! It carries frames and notices when the server is gone. What the frames mean
//! is the [agent](crate::agent)'s affair, and when to connect again too.
//!
//! The way there is in parts, one a file: which of its addresses is tried when
//! (`eyeballs`, pure), the addresses (`resolve`), an HTTP proxy (`proxy`), the
//! certificates (`trust`), a login (`credentials`), all of it together
//! (`open`), and what went wrong in words (`failure`, pure). `link` carries
//! frames from then on.

mod credentials;
#[cfg(test)]
pub(crate) mod deaf;
mod eyeballs;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod link;
mod open;
mod proxy;
mod resolve;
mod trouble;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::config::{ConfigError, ServerConfig, ServerUrl};
use crate::wire::{Incoming, SUBPROTOCOL};
use credentials::Credentials;
pub(crate) use link::Link;
use proxy::Proxy;
use resolve::Resolver;
pub(crate) use trouble::Trouble;
use trust::Trust;

/// What the device calls itself. Some firewalls refuse who does not.
pub(crate) const USER_AGENT: &str = concat!("camera-agent/", env!("CARGO_PKG_VERSION"));

/// Time for the way to the server, whatever number of addresses it has, and
/// again for its answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames that wait for the socket.
const QUEUE: usize = 256;
/// Frames taken at the most; the original server relays up to 1 MiB. What is
/// too long for the agent is refused there, with a reason.
const MAX_INCOMING: usize = 2 << 20;
/// Bytes that may wait to be written, of frames and answers to pings.
const WRITE_BUFFER: usize = 256 * 1024;

/// Why the chat server cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    /// A key, or a file that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
pub(crate) enum SignalingEvent {
    /// The handshake is done.
    Open,
    /// A frame, parsed.
    Frame(Incoming),
    /// It could not be made, or is over; why, in words.
    Closed(String),
}

/// Where the chat server is, how it is trusted, and what it is told.
#[derive(Clone)]
pub(crate) struct Server {
    config: ServerConfig,
    url: ServerUrl,
    credentials: Credentials,
    /// Where there is TLS on the way.
    trust: Option<Trust>,
    resolver: Resolver,
}

impl Server {
    /// Checks the address, the proxy, and the files that the configuration
    /// names. Files are read again for each connection.
    pub(crate) fn new(config: &ServerConfig) -> Result<Self, SignalingError> {
        config.validate()?;
        let mut this = Self {
            config: config.clone(),
            url: config.address()?,
            credentials: Credentials::of(config),
            trust: None,
            resolver: Resolver::system(),
        };
        this.request()?;
        let proxy = this.proxy()?;
        if let Some(proxy) = &proxy {
            proxy::authorization(proxy, config)?;
        }
        if this.url.is_encrypted() || proxy.is_some_and(|p| p.url.encrypted) {
            let trust = Trust::new(config.ca_file.clone());
            trust.tls()?;
            this.trust = Some(trust);
        }
        Ok(this)
    }

    /// The address, which can be shown.
    pub(crate) fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// A password or token is sent, and nothing hides it on the way.
    pub(crate) fn tells_a_secret_openly(&self) -> bool {
        self.credentials != Credentials::None && !self.url.is_encrypted() && !self.url.is_loopback()
    }

    /// Begins to connect. `generation` comes back with every event, so that
    /// those of an older connection can be told apart.
    pub(crate) fn connect(
        &self,
        generation: u64,
        events: mpsc::Sender<(u64, SignalingEvent)>,
    ) -> Link {
        let (frames, outbox) = mpsc::channel(QUEUE);
        let server = self.clone();
        let doubt = Arc::new(Notify::new());
        let doubted = doubt.clone();
        let task = tokio::spawn(async move {
            let opened = loop {
                tokio::select! {
                    opened = server.open(CONNECT_TIMEOUT) => break opened,
                    // What was sent on another network is not answered.
                    () = doubted.notified() => {}
                }
            };
            let reason = match opened {
                Ok(opened) => {
                    if events
                        .send((generation, SignalingEvent::Open))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    link::carry(opened, outbox, &doubted, generation, &events).await
                }
                Err(trouble) => trouble.line(),
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

    /// The handshake's request, with the login as its file has it now.
    fn request(&self) -> Result<Request, ConfigError> {
        let bad = |problem: String| ConfigError::Value {
            key: "server.url",
            problem,
        };
        let mut request = self
            .url
            .whole()
            .into_client_request()
            .map_err(|e| bad(e.to_string()))?;
        let headers = request.headers_mut();
        // The original server refuses, and dies of, a client without it.
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(login) = self.credentials.header()? {
            headers.insert(header::AUTHORIZATION, login);
        }
        Ok(request)
    }

    /// The proxy, as the environment is now.
    fn proxy(&self) -> Result<Option<Proxy>, ConfigError> {
        proxy::choose(&self.config.proxy, &self.url, |name| {
            std::env::var(name).ok()
        })
    }

    /// What is taken from a server.
    fn limits() -> WebSocketConfig {
        WebSocketConfig::default()
            .max_message_size(Some(MAX_INCOMING))
            .max_frame_size(Some(MAX_INCOMING))
            .max_write_buffer_size(WRITE_BUFFER)
    }
}

/// How servers of other kinds prove who they are: by the system's authorities,
/// or by what is in this file.
pub(crate) fn trust(ca_file: Option<PathBuf>) -> Result<Arc<rustls::ClientConfig>, SignalingError> {
    Trust::new(ca_file).tls()
}
