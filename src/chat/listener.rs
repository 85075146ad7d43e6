//! The sockets: accepts them, with or without TLS, within limits of number and
//! time, and hands their requests to [`super::http`].
//!
//! A newcomer never waits: when there are too many sockets that are no chat
//! connection, the oldest of the address that has most is closed for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
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
use super::login::Gate;
use super::proxy::{self, Network};
use super::tls::Certificates;
use super::{Options, Renewal};
use crate::lock::lock;
use crate::room::{Source, Ticket, Waiting};

/// Sockets that are no chat connection: page loads and handshakes, in all and of
/// one address. A browser opens six.
const WAITING: usize = 128;
const WAITING_OF_ONE: usize = 32;
/// A socket may ask for pages this long; browsers just open another.
const HTTP_LIFETIME: Duration = Duration::from_secs(60);
/// How long connections have to end at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
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
    let lobby = Lobby::new(options.trusted_proxies.clone());
    let shared = Arc::new(Shared {
        app: App::new(&options, hub, gate, tasks.clone(), shutdown.clone()),
        tls,
        header_timeout: options.header_timeout,
        shutdown: shutdown.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                debug!(%peer, "accepted");
                let seat = lobby.enter(peer);
                tasks.spawn(serve(stream, peer, seat, shared.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection, trying again");
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

/// The sockets that are no chat connection.
#[derive(Clone)]
struct Lobby {
    state: Arc<Mutex<LobbyState>>,
    trusted_proxies: Arc<[Network]>,
}

struct LobbyState {
    waiting: Waiting,
    gives_way: HashMap<Ticket, CancellationToken>,
}

impl Lobby {
    fn new(trusted_proxies: Vec<Network>) -> Self {
        let state = LobbyState {
            waiting: Waiting::new(WAITING, WAITING_OF_ONE),
            gives_way: HashMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            trusted_proxies: trusted_proxies.into(),
        }
    }

    fn enter(&self, peer: SocketAddr) -> Seat {
        let gives_way = CancellationToken::new();
        let is_shared = peer.ip().to_canonical().is_loopback()
            || proxy::is_trusted(peer, &self.trusted_proxies);
        let mut state = self.state();
        let (ticket, gone) = state.waiting.enter(Source::of(peer.ip()), is_shared);
        if let Some(gone) = gone.and_then(|gone| state.gives_way.remove(&gone)) {
            gone.cancel();
        }
        state.gives_way.insert(ticket, gives_way.clone());
        drop(state);
        Seat {
            ticket,
            gives_way,
            lobby: self.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, LobbyState> {
        lock(&self.state)
    }
}

/// A socket's place in the lobby, until it ends or is a chat connection.
struct Seat {
    ticket: Ticket,
    gives_way: CancellationToken,
    lobby: Lobby,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.lobby.state();
        state.waiting.leave(self.ticket);
        state.gives_way.remove(&self.ticket);
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
    tokio::select! {
        () = secured(stream, peer, &shared) => {}
        () = seat.gives_way.cancelled() => debug!(%peer, "gives way to a newcomer"),
    }
}

async fn secured(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    match &shared.tls {
        None => requests(stream, peer, shared).await,
        Some(certificates) => {
            let handshake = certificates.acceptor().accept(stream);
            match timeout(shared.header_timeout, handshake).await {
                Ok(Ok(stream)) => requests(stream, peer, shared).await,
                Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                Err(_) => debug!("TLS handshake took too long"),
            }
        }
    }
}

async fn requests<S>(stream: S, peer: SocketAddr, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let request: Request = request.map(Body::new);
        async { Ok::<_, std::convert::Infallible>(shared.app.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.header_timeout)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
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
