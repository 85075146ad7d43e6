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
use super::{IceServers, Options, page};
use crate::wire::{MAX_FRAME_BYTES, SUBPROTOCOL};

/// Sent with every answer. The page loads nothing from elsewhere, runs no
/// inline script and may not be framed.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             media-src 'self' blob: mediastream:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(self), microphone=(self), geolocation=(), payment=()"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// What requests need.
pub(super) struct App {
    hub: Hub,
    pulse: Pulse,
    ice_servers: IceServers,
    allowed_origins: Vec<String>,
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
            allowed_origins: options.allowed_origins.clone(),
            origin_refused: AtomicBool::new(false),
            tasks,
            shutdown,
        }
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        let mut response = if wants_websocket(request.headers()) {
            self.upgrade(request).await
        } else {
            self.file(&request)
        };
        response.headers_mut().extend(HEADERS);
        response
    }

    fn file(&self, request: &Request) -> Response {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return (
                StatusCode::METHOD_NOT_ALLOWED,
                [(header::ALLOW, "GET, HEAD")],
                "only GET and HEAD\n",
            )
                .into_response();
        }
        let path = request.uri().path();
        if path == "/ice-servers.json" {
            return (
                [
                    (header::CONTENT_TYPE, "application/json"),
                    (header::CACHE_CONTROL, "no-store"),
                ],
                (self.ice_servers)().to_string(),
            )
                .into_response();
        }
        let Some(asset) = page::asset(path) else {
            return (StatusCode::NOT_FOUND, "no such page\n").into_response();
        };
        let etag = asset.etag();
        let known = request
            .headers()
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

    async fn upgrade(&self, request: Request) -> Response {
        let (mut parts, _): (_, Body) = request.into_parts();
        if !self.allows_origin(&parts.headers) {
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
            return (
                StatusCode::FORBIDDEN,
                "pages of this origin may not connect; add it to the server's allowed origins\n",
            )
                .into_response();
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

    /// Keeps other web sites from calling a camera through a visitor's
    /// browser. Ports do not count: the original page comes from another one.
    ///
    /// That a page's own host is this one proves nothing where its owner can
    /// let the name point here after the page was loaded (DNS rebinding). Over
    /// https he lacks the certificate; over http only names count that nobody
    /// outside this network can own.
    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
        if !headers.contains_key(header::ORIGIN) {
            return true;
        }
        let origin = text(header::ORIGIN).unwrap_or("");
        let own = origin
            .split_once("://")
            .zip(text(header::HOST))
            .is_some_and(|((_, origin), host)| {
                without_port(origin).eq_ignore_ascii_case(without_port(host))
            })
            && (origin.starts_with("https://") || is_of_this_network(origin));
        own || self
            .allowed_origins
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// An address, or a name that the public DNS does not give away.
fn is_of_this_network(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let host = without_port(host)
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok()
        || !host.contains('.')
        || [".local", ".localhost", ".lan", ".internal", ".home.arpa"]
            .iter()
            .any(|end| host.ends_with(end))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_off_and_ipv6_addresses_are_not() {
        for (authority, host) in [
            ("cam.example:6503", "cam.example"),
            ("cam.example", "cam.example"),
            ("[::1]:6503", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(authority), host);
        }
    }
}
