//! Answers requests: the page, the ICE servers, and upgrades to WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connection::{self, Pulse, Until};
use super::hub::Hub;
use super::lobby::Seat;
use super::login::{self, Entered, Gate, Verdict};
use super::meter::Metered;
use super::origin::Origins;
use super::page::{self, Found};
use super::proxy::Sources;
use super::{IceServers, Options, headers, language, websocket};
use crate::bucket::Rate;
use crate::room::Source;
use crate::wire::UserName;

/// Whose socket a request came by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Of what strangers write, so much goes into the log.
const LOGGED: usize = 200;
/// Bytes of what a form sends: a name and a password, with every byte escaped.
const FORM_BYTES: usize = 8 * 1024;

/// What requests need.
pub(super) struct App {
    hub: Hub,
    pulse: Pulse,
    ice_servers: IceServers,
    origins: Origins,
    frame_ancestors: Vec<String>,
    is_tls: bool,
    sources: Sources,
    raw_frames: Rate,
    form_timeout: Duration,
    gate: Option<Arc<Gate>>,
    origin_refused: AtomicBool,
    proxy_distrusted: AtomicBool,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl App {
    pub(super) fn new(
        options: &Options,
        hub: Hub,
        gate: Option<Arc<Gate>>,
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
            sources: Sources::new(options),
            raw_frames: options.limits.raw_frames(),
            form_timeout: options.header_timeout,
            gate,
            origin_refused: AtomicBool::new(false),
            proxy_distrusted: AtomicBool::new(false),
            tasks,
            shutdown,
        }
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        let host = only(request.headers(), &header::HOST)
            .flatten()
            .map(str::to_owned);
        let mut response = match (&self.gate, websocket::is_wanted(request.headers())) {
            (Some(gate), true) => self.upgrade_known(gate, request).await,
            (Some(gate), false) => self.file_known(gate, request).await,
            (None, true) => self.upgrade(request, None),
            (None, false) => self.file(&request, None),
        };
        headers::add(
            response.headers_mut(),
            host.as_deref(),
            self.origins.sockets(),
            &self.frame_ancestors,
        );
        if response.extensions().get::<login::IsForm>().is_some() {
            headers::of_form(response.headers_mut());
        }
        response
    }

    /// A WebSocket for who is signed in.
    async fn upgrade_known(&self, gate: &Arc<Gate>, request: Request) -> Response {
        let headers = request.headers();
        // A page from elsewhere does not get as far as to guess.
        if self.allows(headers) {
            let verdict = gate.who(headers, self.source(&request)).await;
            let Verdict::In(grant) = verdict else {
                return login::refusal(&verdict, !headers.contains_key(header::ORIGIN));
            };
            let Some(entered) = gate.enter(grant) else {
                return login::refusal(&Verdict::Out, false);
            };
            return self.upgrade(request, Some(entered));
        }
        self.upgrade(request, None)
    }

    /// Anything else, for who is signed in: without that there is the sign-in page
    /// and what it needs, and where the page is and whether it may connect.
    async fn file_known(&self, gate: &Gate, request: Request) -> Response {
        let found = page::find(request.uri().path(), request.uri().query());
        let is_post = request.method() == Method::POST;
        match found {
            Found::Asset(asset) if asset.is_page() && is_post => {
                return self.sign_in(gate, request).await;
            }
            Found::SignOut if is_post => return self.sign_out(gate, &request),
            Found::Asset(asset) if asset.is_public() => return self.file(&request, None),
            Found::Folder(_) | Found::Nothing | Found::SignOut => return self.file(&request, None),
            Found::Asset(_) | Found::IceServers | Found::Status => {}
        }
        let verdict = gate.who(request.headers(), self.source(&request)).await;
        match verdict {
            Verdict::In(grant) => self.file(&request, Some(&grant.user)),
            _ if found == Found::Status => self.file(&request, None),
            Verdict::Out if matches!(&found, Found::Asset(a) if a.is_page()) => {
                login::page(None, language::asked(request.headers(), request.uri()))
            }
            verdict => login::refusal(&verdict, false),
        }
    }

    async fn sign_in(&self, gate: &Gate, request: Request) -> Response {
        if !self.allows(request.headers()) {
            self.tell_refused(request.headers());
            return (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response();
        }
        let (source, is_secure) = (self.source(&request), self.is_secure(&request));
        let (parts, body) = request.into_parts();
        let body = tokio::time::timeout(self.form_timeout, to_bytes(body, FORM_BYTES)).await;
        let form = body.ok().and_then(Result::ok);
        let form = form.and_then(|body| login::form(&parts.headers, &body));
        let Some(form) = form else {
            let text = "this is no form of a name (user) and a password (password)\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        };
        match gate.sign_in(form, &parts.headers, source).await {
            Ok(token) => login::signed_in(&token, parts.uri.query(), is_secure),
            Err(verdict) => {
                let words = language::asked(&parts.headers, &parts.uri);
                login::page(Some(&verdict), words)
            }
        }
    }

    fn sign_out(&self, gate: &Gate, request: &Request) -> Response {
        if !self.allows(request.headers()) {
            return (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response();
        }
        gate.sign_out(request.headers());
        login::signed_out(self.is_secure(request))
    }

    /// Whether the browser is on https: here, before a proxy that says so, or by
    /// the page's own word.
    fn is_secure(&self, request: &Request) -> bool {
        let headers = request.headers();
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let by_proxy = || {
            let last = of("x-forwarded-proto").and_then(|v| v.rsplit(',').next());
            last.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
                && self.sources.is_proxy(peer(request))
        };
        let by_page = || of("origin").is_some_and(|origin| origin.starts_with("https://"));
        self.is_tls || by_proxy() || by_page()
    }

    /// `user` is who is signed in.
    fn file(&self, request: &Request, user: Option<&UserName>) -> Response {
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
            Found::Asset(asset) => match user.filter(|_| asset.is_page()) {
                Some(user) => page_of(asset, user),
                None => file(asset, request.headers()),
            },
            Found::IceServers => self.ice_servers(request.headers()),
            Found::Status => {
                // Browsers send the origin with every POST; without it nothing
                // can be said.
                let headers = request.headers();
                let asked = headers.contains_key(header::ORIGIN);
                let allowed = asked.then(|| self.allows(headers));
                let mut answer = serde_json::json!({ "allowed": allowed });
                if self.gate.is_some() {
                    answer["signed_in"] = user.is_some().into();
                }
                let answer = json(&answer);
                // Any page may read that it may not connect, to say so.
                readable(answer, HeaderValue::from_static("*"))
            }
            Found::Folder(to) => (
                StatusCode::MOVED_PERMANENTLY,
                [(header::LOCATION, to)],
                "the page's address ends in a slash\n",
            )
                .into_response(),
            Found::Nothing | Found::SignOut => {
                (StatusCode::NOT_FOUND, "no such page\n").into_response()
            }
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
            // A page from elsewhere that may connect, with its cookies.
            let origin = only(headers, &header::ORIGIN).flatten();
            match origin.and_then(|origin| HeaderValue::from_str(origin).ok()) {
                Some(origin) => with_cookies(readable(answer, origin)),
                None => answer,
            }
        } else {
            (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response()
        }
    }

    /// `entered` is the place of who is signed in.
    fn upgrade(&self, mut request: Request, entered: Option<Entered>) -> Response {
        if !self.allows(request.headers()) {
            self.tell_refused(request.headers());
            return (StatusCode::FORBIDDEN, NOT_ALLOWED).into_response();
        }
        let source = self.source(&request);
        let (answer, upgrade) = match websocket::accept(&mut request) {
            Ok(accepted) => accepted,
            Err(answer) => return *answer,
        };
        let seat = request.extensions_mut().remove::<Arc<Seat>>();
        let seat = seat.expect("the listener gave it one");
        let (hub, pulse, shutdown) = (self.hub.clone(), self.pulse, self.shutdown.clone());
        let raw_frames = self.raw_frames;
        let ends = entered.as_ref().map(|entered| entered.ends.clone());
        let ends = ends.unwrap_or_default();
        self.tasks.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let (stream, gauge) = Metered::new(TokioIo::new(upgraded), raw_frames);
                    let socket = websocket::over(stream).await;
                    let until = Until { shutdown, ends };
                    connection::serve(socket, gauge, (source, seat), hub, pulse, until).await;
                }
                Err(error) => debug!(%error, "upgrade failed"),
            }
            drop(entered);
        });
        answer
    }

    /// Where it comes from.
    pub(super) fn source(&self, request: &Request) -> Source {
        let peer = peer(request);
        let headers = request.headers();
        if headers.contains_key("x-forwarded-for")
            && !self.sources.is_proxy(peer)
            && !self.proxy_distrusted.swap(true, Ordering::Relaxed)
        {
            warn!(
                proxy = %peer.ip(),
                "a proxy that is not trusted says for whom it asks; all its visitors count as one \
                 until --trusted-proxy names it"
            );
        }
        self.sources.of_request(peer, headers)
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

fn peer(request: &Request) -> SocketAddr {
    let peer = request.extensions().get::<Peer>();
    let Peer(peer) = *peer.expect("the listener says whose socket it is");
    peer
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

/// An answer that such scripts may ask for in somebody's name. Cookies of ours go
/// along from pages of the same site alone (SameSite).
fn with_cookies(mut answer: Response) -> Response {
    let yes = HeaderValue::from_static("true");
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    answer
}

/// The page for somebody who is signed in; it is nobody else's.
fn page_of(asset: &page::Asset, user: &UserName) -> Response {
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, asset.of(user.as_str())).into_response()
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
