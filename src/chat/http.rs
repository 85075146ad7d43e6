//! Answers requests: the page, the ICE servers, and upgrades to WebSocket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connection::{self, Pulse};
use super::hub::Hub;
use super::meter::Metered;
use super::origin::Origins;
use super::page::{self, Found};
use super::proxy::{self, Network};
use super::{IceServers, Options, headers, websocket};
use crate::bucket::Rate;
use crate::room::Source;

/// Whose socket a request came by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Of what strangers write, so much goes into the log.
const LOGGED: usize = 200;

/// What requests need.
pub(super) struct App {
    hub: Hub,
    pulse: Pulse,
    ice_servers: IceServers,
    origins: Origins,
    frame_ancestors: Vec<String>,
    is_tls: bool,
    trusted_proxies: Vec<Network>,
    raw_frames: Rate,
    origin_refused: AtomicBool,
    proxy_distrusted: AtomicBool,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl App {
    pub(super) fn new(
        options: &Options,
        hub: Hub,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            hub,
            pulse: Pulse {
                ping_every: options.ping_every,
                silence: options.silence,
            },
            ice_servers: options.ice_servers.clone(),
            origins: Origins::new(&options.allowed_origins),
            frame_ancestors: options.frame_ancestors.clone(),
            is_tls: options.tls.is_some(),
            trusted_proxies: options.trusted_proxies.clone(),
            raw_frames: options.limits.raw_frames(),
            origin_refused: AtomicBool::new(false),
            proxy_distrusted: AtomicBool::new(false),
            tasks,
            shutdown,
        }
    }

    pub(super) fn answer(&self, request: Request) -> Response {
        let host = only(request.headers(), &header::HOST)
            .flatten()
            .map(str::to_owned);
        let mut response = if websocket::is_wanted(request.headers()) {
            self.upgrade(request)
        } else {
            self.file(&request)
        };
        headers::add(
            response.headers_mut(),
            host.as_deref(),
            self.origins.sockets(),
            &self.frame_ancestors,
        );
        response
    }

    fn file(&self, request: &Request) -> Response {
        let found = page::find(request.uri().path(), request.uri().query());
        let asks = matches!(found, Found::IceServers | Found::Status);
        let method = request.method();
        if method != Method::GET && method != Method::HEAD && !(asks && method == Method::POST) {
            let (allow, text) = match asks {
                true => ("GET, HEAD, POST", "only GET, HEAD and POST\n"),
                false => ("GET, HEAD", "only GET and HEAD\n"),
            };
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return (status, [(header::ALLOW, allow)], text).into_response();
        }
        match found {
            Found::Asset(asset) => file(asset, request.headers()),
            Found::IceServers => self.ice_servers(request.headers()),
            Found::Status => {
                // Browsers send the origin with every POST; without it nothing
                // can be said.
                let headers = request.headers();
                let asked = headers.contains_key(header::ORIGIN);
                let allowed = asked.then(|| self.allows(headers));
                let answer = json(&serde_json::json!({ "allowed": allowed }));
                // Any page may read that it may not connect, to say so.
                readable(answer, HeaderValue::from_static("*"))
            }
            Found::Folder(to) => (
                StatusCode::MOVED_PERMANENTLY,
                [(header::LOCATION, to)],
                "the page's address ends in a slash\n",
            )
                .into_response(),
            Found::Nothing => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
        }
    }

    /// STUN and TURN servers, with credentials that are for this server's pages.
    fn ice_servers(&self, headers: &HeaderMap) -> Response {
        let host = only(headers, &header::HOST).flatten();
        let trusted = match headers.contains_key(header::ORIGIN) {
            true => self.allows(headers),
            false => self.origins.trusts_host(host, self.is_tls),
        };
        if trusted {
            let answer = json(&(self.ice_servers)());
            // A page from elsewhere that may connect.
            match only(headers, &header::ORIGIN).flatten() {
                Some(origin) => match HeaderValue::from_str(origin) {
                    Ok(origin) => readable(answer, origin),
                    Err(_) => answer,
                },
                None => answer,
            }
        } else {
            (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response()
        }
    }

    fn upgrade(&self, mut request: Request) -> Response {
        if !self.allows(request.headers()) {
            self.tell_refused(request.headers());
            return (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response();
        }
        let source = self.source(&request);
        let (answer, upgrade) = match websocket::accept(&mut request) {
            Ok(accepted) => accepted,
            Err(answer) => return *answer,
        };
        let (hub, pulse, shutdown) = (self.hub.clone(), self.pulse, self.shutdown.clone());
        let raw_frames = self.raw_frames;
        self.tasks.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let (stream, gauge) = Metered::new(TokioIo::new(upgraded), raw_frames);
                    let socket = websocket::over(stream).await;
                    connection::serve(socket, gauge, source, hub, pulse, shutdown).await;
                }
                Err(error) => debug!(%error, "upgrade failed"),
            }
        });
        answer
    }

    fn source(&self, request: &Request) -> Source {
        let peer = request.extensions().get::<Peer>();
        let Peer(peer) = *peer.expect("the listener says whose socket it is");
        let headers = request.headers();
        if headers.contains_key("x-forwarded-for")
            && !proxy::is_trusted(peer, &self.trusted_proxies)
            && !self.proxy_distrusted.swap(true, Ordering::Relaxed)
        {
            warn!(
                proxy = %peer.ip(),
                "a proxy that is not trusted says for whom it asks; all its visitors count as one \
                 until --trusted-proxy names it"
            );
        }
        Source::of(proxy::client(peer, headers, &self.trusted_proxies))
    }

    fn tell_refused(&self, headers: &HeaderMap) {
        let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok());
        let origin = origin.unwrap_or("");
        let origin = &origin[..origin.len().min(LOGGED)];
        // Once: a page tries again and again.
        if self.origin_refused.swap(true, Ordering::Relaxed) {
            debug!(origin, "refused a page of another origin");
        } else {
            warn!(
                origin,
                "refused a page of another origin; --allow-origin lets it connect"
            );
        }
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let origin = only(headers, &header::ORIGIN);
        let host = only(headers, &header::HOST);
        let (Some(origin), Some(host)) = (origin, host) else {
            return false;
        };
        self.origins.allows(origin, host)
    }
}

const NOT_ALLOWED: &str = "pages of this origin may not connect; start the chat server with \
    --allow-origin and this page's origin\n";

/// The one value of a header, or that there is none; `None` where there are
/// several, or one that is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => Some(Some(value.to_str().ok()?)),
        (Some(_), Some(_)) => None,
    }
}

fn json(value: &serde_json::Value) -> Response {
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        value.to_string(),
    )
        .into_response()
}

/// An answer that scripts of pages from this origin may read (Fetch §3.2).
fn readable(mut answer: Response, origin: HeaderValue) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    answer
}

fn file(asset: &page::Asset, headers: &HeaderMap) -> Response {
    let etag = asset.etag();
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let etag = HeaderValue::try_from(etag).expect("hex digits in quotes");
    headers.insert(header::ETAG, etag);
    response
}
