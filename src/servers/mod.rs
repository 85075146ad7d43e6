//! STUN and TURN servers as the network has them: their names are resolved
//! ahead of calls, and they are reached over TCP and TLS too.
//!
//! The WebRTC crate resolves a server's name on the task that drives the
//! connection, and speaks to it in datagrams alone. So it is told of none: each
//! server has a stand-in address that nobody else knows (`standins`), to which
//! the crate sends at once. What carries the datagrams from there on is a socket
//! of ours (`sockets`): to the real address as soon as that is known, or through
//! a stream (`stream`). A server that cannot be reached is, for the crate, one
//! that does not answer; its own repeats are what finds a server whose name is
//! known late.
//!
//! `names` says when to look a name up, `framing` where a message in a stream
//! ends.

pub(crate) mod configured;
mod framing;
mod names;
mod resolver;
mod sockets;
mod standins;
mod stream;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::config::{ConfigError, IceConfig};
use crate::ice::{IceUrl, Transport};
use crate::lock::lock;
use crate::network::Network;
use crate::signaling::{SignalingError, trust};
use configured::IceServers;
pub(crate) use framing::Framing;
use resolver::Resolver;
pub(crate) use sockets::Sockets;
pub(crate) use stream::{Dial, DialError, Io};

/// The servers of a configuration, for all calls.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    config: IceConfig,
    ice: IceServers,
    /// Where one of them is reached over TLS.
    tls: Option<Arc<ClientConfig>>,
    resolver: OnceLock<Resolver>,
    /// What was said last about each: once is enough.
    complaints: Mutex<BTreeMap<String, String>>,
}

impl Servers {
    /// Reads the secrets and certificates that the configuration names.
    pub(crate) fn load(config: &IceConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            config: config.clone(),
            ice: IceServers::load(config)?,
            tls: tls(config)?,
            resolver: OnceLock::new(),
            complaints: Mutex::default(),
        })
    }

    /// What they were made of.
    pub(crate) fn config(&self) -> &IceConfig {
        &self.config
    }

    /// Their credentials.
    pub(crate) fn ice(&self) -> &IceServers {
        &self.ice
    }

    /// Begins to resolve their names, where tokio runs already.
    pub(crate) fn resolve_ahead(&self) {
        if Handle::try_current().is_ok() {
            self.resolve();
        }
    }

    /// All is asked for anew whenever the network is another one.
    pub(crate) fn on(&self, network: watch::Receiver<Network>) {
        if let Some(resolver) = self.resolver() {
            resolver.on(network);
        }
    }

    pub(crate) fn resolve(&self) -> &Resolver {
        let resolver = || Resolver::new(self.ice.urls().map(|url| &url.host));
        self.resolver.get_or_init(resolver)
    }

    fn resolver(&self) -> Option<&Resolver> {
        self.resolver.get()
    }

    /// For one connection; `user` is who calls.
    pub(crate) fn for_call(self: &Arc<Self>, user: &str) -> Arc<Sockets> {
        self.resolve().call();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let servers = self.ice.at(now.unwrap_or_default(), user);
        Arc::new(Sockets::new(self.clone(), servers))
    }

    fn complain(&self, url: &IceUrl, error: &str) {
        let last = lock(&self.complaints).insert(url.to_string(), error.to_owned());
        if last.as_deref() == Some(error) {
            debug!(server = %url, %error, "a TURN server is not reached");
        } else {
            warn!(
                server = %url, %error,
                "a TURN server is not reached; calls go on without it; \"camera-agent doctor\" asks it"
            );
        }
    }

    fn works(&self, url: &IceUrl) {
        lock(&self.complaints).remove(&url.to_string());
    }
}

/// How servers prove who they are; nothing, where none is reached over TLS.
pub(crate) fn tls(config: &IceConfig) -> Result<Option<Arc<ClientConfig>>, ConfigError> {
    let mut urls = config.servers.iter().flat_map(|server| &server.urls);
    if !urls.any(|url| url.transport == Transport::Tls) {
        return Ok(None);
    }
    let trusted = trust(config.ca_file.clone()).map_err(|error| ConfigError::Value {
        key: "ice.ca_file",
        problem: match error {
            SignalingError::Authority { path, problem } => format!(
                "cannot use {}: {problem}; it must hold certificates in PEM",
                path.display()
            ),
            other => other.to_string(),
        },
    })?;
    Ok(Some(trusted))
}
