//! The way to the server: its addresses, the proxy, TLS, and the WebSocket's
//! handshake.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tracing::debug;

use super::Server;
use super::eyeballs::{Eyeballs, Family};
use super::failure::Failure;
use super::proxy::{self, Proxy};
use super::resolve::Resolver;
use super::trouble::{Situation, Trouble, explain};

/// What bytes go through: TCP, and whatever is around it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A WebSocket that is open.
pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// A connection to the server, open.
pub(crate) struct Opened {
    pub socket: Socket,
    /// This machine's end.
    pub local: Option<IpAddr>,
}

/// What is on the way of each attempt.
struct Way {
    proxy: Option<Proxy>,
    authorization: Option<HeaderValue>,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Some address took the connection.
    connected: AtomicBool,
}

impl Server {
    /// Connects. There is as much patience for the way to the server, with all
    /// its addresses, as for its answer.
    pub(crate) async fn open(&self, patience: Duration) -> Result<Opened, Trouble> {
        let mut proxy = None;
        let opened = self.try_to_open(patience, &mut proxy).await;
        opened.map_err(|failure| {
            explain(
                &failure,
                &Situation {
                    url: &self.url,
                    credentials: &self.credentials,
                    proxy: proxy.as_ref(),
                    has_ca_file: self.config.ca_file.is_some(),
                },
            )
        })
    }

    async fn try_to_open(
        &self,
        patience: Duration,
        told: &mut Option<Proxy>,
    ) -> Result<Opened, Failure> {
        let unusable = |e: &dyn std::fmt::Display| Failure::Unusable(e.to_string());
        // Files are read anew, for each may hold something else now.
        let request = self.request().map_err(|e| unusable(&e))?;
        let proxy = self.proxy().map_err(|e| unusable(&e))?;
        told.clone_from(&proxy);
        let authorization = match &proxy {
            Some(proxy) => proxy::authorization(proxy, &self.config).map_err(|e| unusable(&e))?,
            None => None,
        };
        let tls = match &self.trust {
            Some(trust) => Some(trust.tls().map_err(|e| unusable(&e))?),
            None => None,
        };
        let (host, port) = match &proxy {
            Some(proxy) => (proxy.url.host.clone(), proxy.url.port),
            None => (self.url.host(), self.url.port()),
        };
        let way = Way {
            proxy,
            authorization,
            tls,
            connected: AtomicBool::new(false),
        };
        let attempt = |address| self.attempt(address, &way);
        let reached = race(&self.resolver, &host, port, patience, attempt).await;
        let (stream, local) = reached.map_err(|failure| match failure {
            Failure::Silent(seconds)
                if way.proxy.is_none() && way.connected.load(Ordering::Relaxed) =>
            {
                Failure::Mute(seconds)
            }
            other => other,
        })?;
        let handshake = client_async_with_config(request, stream, Some(Self::limits()));
        match timeout(patience, handshake).await {
            Ok(Ok((socket, _))) => Ok(Opened { socket, local }),
            Ok(Err(error)) => Err(Failure::of_handshake(error)),
            Err(_) => Err(Failure::Mute(patience.as_secs())),
        }
    }

    /// One address: up to where the WebSocket begins.
    async fn attempt(
        &self,
        address: SocketAddr,
        way: &Way,
    ) -> Result<(Box<dyn Stream>, Option<IpAddr>), Failure> {
        let tcp = match TcpStream::connect(address).await {
            Ok(tcp) => tcp,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(Failure::Refused);
            }
            Err(e) => return Err(Failure::Unreachable(e.to_string())),
        };
        way.connected.store(true, Ordering::Relaxed);
        // Frames are small and wait for nothing.
        let _ = tcp.set_nodelay(true);
        let local = tcp.local_addr().ok().map(|address| address.ip());
        let mut stream: Box<dyn Stream> = Box::new(tcp);
        if let Some(proxy) = &way.proxy {
            if let (true, Some(tls)) = (proxy.url.encrypted, &way.tls) {
                stream = encrypt(stream, &proxy.url.host, tls)
                    .await
                    .map_err(|failure| {
                        Failure::ProxyTls(match failure {
                            Failure::Certificate(why) => why.to_string(),
                            Failure::NoTls(why) | Failure::NothingInCommon(why) => why,
                            other => format!("{other:?}"),
                        })
                    })?;
            }
            let to = self.url.authority();
            proxy::tunnel(&mut stream, &to, way.authorization.as_ref()).await?;
        }
        if let (true, Some(tls)) = (self.url.is_encrypted(), &way.tls) {
            stream = encrypt(stream, &self.url.host(), tls).await?;
        }
        Ok((stream, local))
    }
}

async fn encrypt(
    stream: Box<dyn Stream>,
    host: &str,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Box<dyn Stream>, Failure> {
    // A name's dot at its end is not in certificates (RFC 6066 §3).
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|_| Failure::NoTls(format!("\"{host}\" is no name for a certificate")))?;
    let encrypted = TlsConnector::from(tls.clone()).connect(name, stream).await;
    match encrypted {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Failure::of_tls(&error)),
    }
}

/// Tries a host's addresses as [`Eyeballs`] says; the first that succeeds ends
/// it, and the others are dropped.
async fn race<T, F>(
    resolver: &Resolver,
    host: &str,
    port: u16,
    patience: Duration,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let start = Instant::now();
    let deadline = start + patience;
    let mut eyeballs = Eyeballs::new(start.into());
    let mut resolving: FuturesUnordered<_> = Family::BOTH
        .into_iter()
        .map(|family| {
            let found = resolver.clone().resolve(host.to_owned(), port, family);
            async move { (family, found.await) }
        })
        .collect();
    let mut attempts = FuturesUnordered::new();
    let mut furthest: Option<Failure> = None;
    loop {
        while let Some(address) = eyeballs.begin(Instant::now().into()) {
            debug!(%address, "trying an address of the chat server, or of its proxy");
            attempts.push(attempt(address));
        }
        if eyeballs.is_over() {
            let nothing = || Failure::NoSuchHost("it has no address".into());
            return Err(furthest.unwrap_or_else(nothing));
        }
        let due = eyeballs.due().map_or(deadline, Instant::from_std);
        tokio::select! {
            Some((family, found)) = resolving.next() => {
                let addresses = found.unwrap_or_else(|error| {
                    let failure = Failure::NoSuchHost(error.to_string());
                    furthest = Some(further(furthest.take(), failure));
                    Vec::new()
                });
                eyeballs.resolved(family, addresses, Instant::now().into());
            }
            Some(outcome) = attempts.next() => match outcome {
                Ok(reached) => return Ok(reached),
                Err(failure) => {
                    furthest = Some(further(furthest, failure));
                    eyeballs.failed(Instant::now().into());
                }
            },
            () = sleep_until(due.min(deadline)) => {
                if Instant::now() < deadline {
                    continue;
                }
                let seconds = patience.as_secs();
                let last = match attempts.is_empty() {
                    true => Failure::NoSuchHost(format!("no answer within {seconds} s")),
                    false => Failure::Silent(seconds),
                };
                return Err(further(furthest, last));
            }
        }
    }
}

/// The failure of the two that came nearer to success, the older one where
/// they are even.
fn further(old: Option<Failure>, new: Failure) -> Failure {
    match old {
        Some(old) if old.progress() >= new.progress() => old,
        _ => new,
    }
}

#[cfg(test)]
mod tests;
