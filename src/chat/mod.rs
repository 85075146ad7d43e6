//! The chat server: WebSockets around a [`Room`](crate::room::Room), and the
//! page, on one port.
//!
//! Shells only; every decision about names, routing and rates is the room's.
//! One task owns the room (`hub`); each connection is a task with a bounded
//! mailbox (`connection`), so that a slow or hostile peer costs itself alone, and
//! is charged for every frame (`meter`). `http` answers requests, to those who
//! may ask (`origin`) and are signed in where that is asked for (`login`), whoever
//! they come by (`proxy`), and `listener` owns the sockets, with or without TLS
//! (`tls`), in places that are few (`lobby`).
//!
//! ```no_run
//! # use camera_agent::chat;
//! # use tokio_util::sync::CancellationToken;
//! # async fn example() -> Result<(), chat::Error> {
//! let shutdown = CancellationToken::new();
//! let server = chat::Server::bind(chat::Options::new(([127, 0, 0, 1], 6503).into())).await?;
//! println!("open http://{}/", server.local_addr());
//! server.run(shutdown).await;
//! # Ok(())
//! # }
//! ```

mod connection;
mod export;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod headers;
mod http;
mod hub;
mod language;
mod listener;
mod lobby;
mod login;
mod meter;
mod origin;
mod page;
mod proxy;
mod tls;
mod users;
mod websocket;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::room::{IPV6_BITS, Limits};
pub use export::Export;
pub(crate) use headers::frame_ancestor;
use login::Gate;
pub use origin::told as allowed_origin;
pub use proxy::Network;
use tls::Certificates;
pub use users::{UsersError, UsersFile};

/// Gives the body of `/ice-servers.json`: an array of `RTCIceServer` objects.
/// Called for every request, so that it can hand out time-limited credentials.
pub type IceServers = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// How the server is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Certificate and key for `https` and `wss`; without them the server
    /// speaks plain `http` and `ws`, and browsers allow cameras on localhost only.
    pub tls: Option<Tls>,
    /// STUN and TURN servers for the page.
    pub ice_servers: IceServers,
    /// Web origins as [`allowed_origin`] gives them (`https://example.org`)
    /// whose pages may connect besides this server's own; `*` for any. A page is
    /// the server's own over https under the very host and port that it asks
    /// for; over http only where that host is an address, `localhost` or this
    /// machine's own name. Programs that are no web page send no origin and are
    /// not held to this.
    pub allowed_origins: Vec<String>,
    /// Who may show the page inside another one, as [`frame_ancestor`] gives
    /// them; nobody without.
    pub frame_ancestors: Vec<String>,
    /// Proxies that are believed for whom they ask (`X-Forwarded-For`); limits
    /// are then of that address.
    pub trusted_proxies: Vec<Network>,
    /// How many bits of an IPv6 address are one network, which counts as one address:
    /// 64, or what is known of who comes.
    pub ipv6_prefix: u8,
    /// Who may sign in; without it everybody may come in.
    pub users: Option<UsersFile>,
    /// How often the certificate's files are looked at for a change.
    pub certificate_check: Duration,
    /// How often each peer is pinged.
    pub ping_every: Duration,
    /// How long after a ping a peer may be silent before it is dropped.
    pub silence: Duration,
    /// How long a request's headers, or a TLS handshake, may take.
    pub header_timeout: Duration,
    /// What the room takes.
    pub limits: Limits,
}

impl Options {
    /// The defaults: no TLS, no ICE servers, a ping every 20 s and 10 s to
    /// answer it, as the original server has it.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            ice_servers: Arc::new(|| serde_json::json!([])),
            allowed_origins: Vec::new(),
            frame_ancestors: Vec::new(),
            trusted_proxies: Vec::new(),
            ipv6_prefix: IPV6_BITS,
            users: None,
            certificate_check: Duration::from_secs(5),
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("tls", &self.tls)
            .field("allowed_origins", &self.allowed_origins)
            .field("frame_ancestors", &self.frame_ancestors)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .field("users", &self.users)
            .field("certificate_check", &self.certificate_check)
            .field("ping_every", &self.ping_every)
            .field("silence", &self.silence)
            .field("header_timeout", &self.header_timeout)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file: the certificate, then its chain.
    pub cert: PathBuf,
    /// PEM file: the private key.
    pub key: PathBuf,
}

/// Why the server cannot start. Each names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program has the port.
    #[error(
        "port {port} of {ip} is in use; stop the program that has it or choose another port",
        port = .0.port(), ip = .0.ip()
    )]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {addr}: {source}; choose an address of this machine and a port it may open"
    )]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The users file is of no use.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The certificate file is of no use.
    #[error("TLS certificate {}: {why}; give a PEM file that this user may read", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The key file is of no use.
    #[error("TLS key {}: {why}; give a PEM file that this user may read", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key do not go together.
    #[error("TLS certificate {} and key {}: {why}; give the key that belongs to the certificate", cert.display(), key.display())]
    Pair {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A server that listens; connections wait until [`Server::run`].
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    tls: Option<Certificates>,
    gate: Option<Gate>,
    renewal: Renewal,
    options: Options,
}

/// Has a server read its certificate and key, and its users, again.
#[derive(Debug, Clone, Default)]
pub struct Renewal {
    certificate: Arc<Notify>,
    users: Arc<Notify>,
}

impl Renewal {
    /// Reads them now. What cannot be used is said in the log, and the one read
    /// before stays in use.
    pub fn now(&self) {
        self.certificate.notify_one();
        self.users.notify_one();
    }
}

impl Server {
    /// Loads the certificate and the users, and opens the port.
    ///
    /// # Errors
    /// [`Error`], which names the file or the port at fault.
    pub async fn bind(options: Options) -> Result<Self, Error> {
        let tls = options.tls.clone().map(Certificates::load).transpose()?;
        let gate = options.users.clone().map(Gate::open).transpose()?;
        let addr = options.listen;
        let listen = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::PortInUse(addr),
            _ => Error::Listen { addr, source },
        };
        let listener = listener::bind(addr).map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            local_addr,
            tls,
            gate,
            renewal: Renewal::default(),
            options,
        })
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A handle to have the certificate and the users read again while it runs.
    /// Both are also read when their files change.
    pub(crate) fn renewal(&self) -> Renewal {
        self.renewal.clone()
    }

    /// Serves until `shutdown` is cancelled, then tells every peer goodbye and
    /// returns when they are gone, within two seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            listener,
            tls,
            gate,
            renewal,
            options,
            ..
        } = self;
        listener::run(listener, tls, gate, renewal, options, shutdown).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
