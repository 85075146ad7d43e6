//! `camera-agent chat`: the chat server and its page.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::process::{block_on, shutdown};
use crate::config::{LogConfig, LogFormat};
use crate::servers::configured;
use crate::{announce, chat, cli, logging, service};

/// Serves until it is told to stop. Secrets and certificates are read again at
/// each SIGHUP.
pub(super) fn run(arguments: &cli::Chat) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    logging::start(&LogConfig {
        format: settings.log_format.unwrap_or(LogFormat::Human),
        ..Default::default()
    })?;
    let mut options = settings.options()?;
    let is_announced = settings.announce == Some(true);
    let ice = Arc::new(RwLock::new(settings.ice_servers()?));
    let handed_out = ice.clone();
    options.ice_servers = Arc::new(move || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ice = handed_out.read().unwrap_or_else(PoisonError::into_inner);
        configured::to_json(&ice.at(now.unwrap_or_default(), "page"))
    });
    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    block_on(async {
        let shutdown = shutdown()?;
        // Before it listens: from then on the signal ends nothing.
        let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let server = chat::Server::bind(options).await?;
        let renewal = server.renewal();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                renewal.now();
                match settings.ice_servers() {
                    Ok(read) => *ice.write().unwrap_or_else(PoisonError::into_inner) = read,
                    Err(problem) => error!("{problem}. The secret read before stays in use"),
                }
            }
        });
        let address = server.local_addr();
        let page = format!("{scheme}://{}/", page_address(address));
        info!("the page is at {page}");
        service::serving(&format!("the page is at {page}"));
        let page = announce::Page {
            address: address.ip(),
            port: address.port(),
            tls: scheme == "https",
        };
        if is_announced {
            announce::announce(page);
        }
        server.run(shutdown).await;
        Ok(())
    })
}

/// Browsers treat `localhost` as secure, and people can read it.
pub(super) fn page_address(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}
