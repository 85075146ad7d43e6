//! Answers requests: the page, the ICE servers, and upgrades to WebSocket.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connection::{self, Pulse};
use super::hub::Hub;
use super::listener::Place;
use super::origin::Origins;
use super::page::{self, Found};
use super::{IceServers, Options, headers};
use crate::wire::{MAX_FRAME_BYTES, SUBPROTOCOL};

/// What requests need.
pub(super) struct App {
    hub: Hub,
    pulse: Pulse,
    ice_servers: IceServers,
    origins: Origins,
    frame_ancestors: Vec<String>,
    is_tls: bool,
    origin_refused: AtomicBool,
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
            origin_refused: AtomicBool::new(false),
            tasks,
            shutdown,
        }
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        let host = only(request.headers(), &header::HOST)
            .flatten()
            .map(str::to_owned);
        let mut response = if wants_websocket(request.headers()) {
            self.upgrade(request).await
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
                json(&serde_json::json!({ "allowed": allowed }))
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
            json(&(self.ice_servers)())
        } else {
            (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response()
        }
    }

    async fn upgrade(&self, request: Request) -> Response {
        let (mut parts, _): (_, Body) = request.into_parts();
        if !self.allows(&parts.headers) {
            let origin = parts.headers.get(header::ORIGIN);
            // Once: a page tries again and again.
            if self.origin_refused.swap(true, Ordering::Relaxed) {
                debug!(?origin, "refused a page of another origin");
            } else {
                warn!(
                    ?origin,
                    "refused a page of another origin; --allow-origin lets it connect"
                );
            }
            return (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response();
        }
        let place = parts.extensions.get::<Place>().cloned();
        let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.protocols([SUBPROTOCOL]),
            Err(rejection) => return rejection.into_response(),
        };
        if upgrade.selected_protocol().is_none() {
            return (
                StatusCode::BAD_REQUEST,
                "this WebSocket speaks the subprotocol \"json\": offer it in \
                 Sec-WebSocket-Protocol\n",
            )
                .into_response();
        }
        let (hub, pulse, shutdown) = (self.hub.clone(), self.pulse, self.shutdown.clone());
        let token = self.tasks.token();
        upgrade
            .max_message_size(MAX_FRAME_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .read_buffer_size(8 * 1024)
            .write_buffer_size(0)
            .on_failed_upgrade(|error| debug!(%error, "upgrade failed"))
            .on_upgrade(move |socket| async move {
                connection::serve(socket, hub, pulse, shutdown).await;
                drop((place, token));
            })
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

fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
