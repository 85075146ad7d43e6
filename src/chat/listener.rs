//! The sockets: accepts them, with or without TLS, within limits of number and
//! time, and hands their requests to [`super::http`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::http::{App, Peer};
use super::hub;
use super::lobby::{Lobby, Seat};
use super::login::Gate;
use super::proxy::Sources;
use super::tls::Certificates;
use super::{Options, Renewal};
use crate::bucket::{Bucket, Rate};

/// A socket may ask for pages this long; browsers just open another.
const HTTP_LIFETIME: Duration = Duration::from_secs(60);
/// How long connections have to end at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// Lines in the log about that: there may be five failures a second.
const ACCEPT_LINES: Rate = Rate {
    burst: 1.0,
    per_second: 1.0 / 60.0,
};
/// Pause after a failed accept: there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes that the system holds for a peer that reads slowly. What shows that it
/// lives waits behind these.
const SEND_BUFFER: u32 = 64 * 1024;
/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// Opens the port.
pub(super) fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Those that are accepted have it from here.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

pub(super) async fn run(
    listener: TcpListener,
    tls: Option<Certificates>,
    gate: Option<Gate>,
    renewal: Renewal,
    options: Options,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let (hub, room) = hub::new(options.limits);
    let room = tokio::spawn(room);
    let tls = tls.map(|certificates| {
        let certificates = Arc::new(certificates);
        tasks.spawn(renew(
            certificates.clone(),
            renewal.clone(),
            options.certificate_check,
            shutdown.clone(),
        ));
        certificates
    });
    let gate = gate.map(|gate| {
        let gate = Arc::new(gate);
        let (watched, shutdown) = (gate.clone(), shutdown.clone());
        tasks.spawn(async move { watched.watch(&renewal.users, &shutdown).await });
        gate
    });
    let lobby = Lobby::new(Sources::new(&options));
    let shared = Arc::new(Shared {
        app: App::new(&options, hub, gate, tasks.clone(), shutdown.clone()),
        tls,
        header_timeout: options.header_timeout,
        shutdown: shutdown.clone(),
    });
    let mut failures = Failures::new(Instant::now());
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let is_tls = shared.tls.is_some();
                if !lobby.may_come(peer, is_tls, Instant::now()) {
                    debug!(%peer, "comes too often; closed");
                    continue;
                }
                debug!(%peer, "accepted");
                let seat = lobby.enter(peer);
                tasks.spawn(serve(stream, peer, seat, shared.clone()));
            }
            Err(error) => {
                if let Some(before) = failures.tells(Instant::now()) {
                    warn!(%error, before, "cannot accept connections, trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(shared);
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        debug!(left = tasks.len(), "connections did not end in time");
    }
    room.abort();
}

/// Failed accepts, of which one a minute is told.
struct Failures {
    lines: Bucket,
    passed_over: u64,
}

impl Failures {
    fn new(now: Instant) -> Self {
        Self {
            lines: Bucket::full(ACCEPT_LINES, now),
            passed_over: 0,
        }
    }

    /// One more. Where it is to be told, how many were not since the last that was.
    fn tells(&mut self, now: Instant) -> Option<u64> {
        if self.lines.take(1.0, now) {
            return Some(std::mem::take(&mut self.passed_over));
        }
        self.passed_over += 1;
        None
    }
}

/// Looks after the certificate's files.
async fn renew(
    certificates: Arc<Certificates>,
    renewal: Renewal,
    every: Duration,
    shutdown: CancellationToken,
) {
    loop {
        let asked = tokio::select! {
            () = shutdown.cancelled() => return,
            () = renewal.certificate.notified() => true,
            () = tokio::time::sleep(every) => false,
        };
        certificates.look(asked, std::time::Instant::now());
    }
}

struct Shared {
    app: App,
    tls: Option<Arc<Certificates>>,
    header_timeout: Duration,
    shutdown: CancellationToken,
}

async fn serve(stream: TcpStream, peer: SocketAddr, seat: Seat, shared: Arc<Shared>) {
    // Signaling frames are small and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let seat = Arc::new(seat);
    tokio::select! {
        () = secured(stream, peer, &seat, &shared) => {}
        () = seat.given_away() => debug!(%peer, "gives way to a newcomer"),
    }
}

async fn secured(stream: TcpStream, peer: SocketAddr, seat: &Arc<Seat>, shared: &Shared) {
    match &shared.tls {
        None => requests(stream, peer, seat, shared).await,
        Some(certificates) => {
            let handshake = certificates.acceptor().accept(stream);
            match timeout(shared.header_timeout, handshake).await {
                Ok(Ok(stream)) => requests(stream, peer, seat, shared).await,
                Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                Err(_) => debug!("TLS handshake took too long"),
            }
        }
    }
}

async fn requests<S>(stream: S, peer: SocketAddr, seat: &Arc<Seat>, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        seat.asked();
        request.extensions_mut().insert(Peer(peer));
        // A WebSocket keeps it until it is in the chat.
        request.extensions_mut().insert(seat.clone());
        let request: Request = request.map(Body::new);
        let is_served = seat.may_ask(shared.app.source(&request), Instant::now());
        async move {
            let answer = match is_served {
                true => shared.app.answer(request).await,
                false => too_often(),
            };
            Ok::<_, std::convert::Infallible>(answer.map(|body| seat.until_sent(body)))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.header_timeout)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(seat.flushes(stream)), service)
        .with_upgrades();
    // Ends when the request turned into a WebSocket, too.
    let served = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        served = timeout(HTTP_LIFETIME, connection) => served,
    };
    if let Ok(Err(error)) = served {
        debug!(%error, "connection ended");
    }
}

/// For who asks without end; the socket is closed behind it.
fn too_often() -> Response {
    let closed = [(header::CONNECTION, "close"), (header::RETRY_AFTER, "10")];
    let text = "too many requests of this address; try again in a moment\n";
    (StatusCode::TOO_MANY_REQUESTS, closed, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_to_accept_are_told_once_a_minute() {
        let begun = Instant::now();
        let mut failures = Failures::new(begun);
        let told: Vec<_> = (0..900)
            .filter_map(|i| failures.tells(begun + ACCEPT_PAUSE * i))
            .collect();
        assert_eq!(told.len(), 3, "in three minutes");
        assert_eq!(told[0], 0);
        assert!((298..=302).contains(&told[1]), "{}", told[1]);
    }
}
