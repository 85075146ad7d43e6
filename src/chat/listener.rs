//! The sockets: accepts them, with or without TLS, within limits of number and
//! time, and hands their requests to [`super::http`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::http::App;
use super::hub;
use super::tls::Certificates;
use super::{Options, Renewal};

/// Sockets beyond the chat's connections: page loads and handshakes.
const SPARE_SOCKETS: usize = 128;
/// A socket may ask for pages this long; browsers just open another.
const HTTP_LIFETIME: Duration = Duration::from_secs(60);
/// How long connections have to end at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after a failed accept: there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A socket's place among those allowed; lives as long as the socket, its
/// WebSocket time included.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

pub(super) async fn run(
    listener: TcpListener,
    tls: Option<(Certificates, Renewal)>,
    options: Options,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let (hub, room) = hub::new(options.limits);
    let room = tokio::spawn(room);
    let places = Arc::new(Semaphore::new(options.limits.connections + SPARE_SOCKETS));
    let tls = tls.map(|(certificates, renewal)| {
        let certificates = Arc::new(certificates);
        tasks.spawn(renew(
            certificates.clone(),
            renewal,
            options.certificate_check,
            shutdown.clone(),
        ));
        certificates
    });
    let shared = Arc::new(Shared {
        app: App::new(&options, hub, tasks.clone(), shutdown.clone()),
        tls,
        header_timeout: options.header_timeout,
        shutdown: shutdown.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                tasks.spawn(serve(stream, place, shared.clone()));
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
            () = renewal.0.notified() => true,
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

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Place)> {
    let place = places.clone().acquire_owned().await;
    let place = place.expect("nobody closes this semaphore");
    let (stream, peer) = listener.accept().await?;
    debug!(%peer, "accepted");
    Ok((stream, Arc::new(place)))
}

async fn serve(stream: TcpStream, place: Place, shared: Arc<Shared>) {
    // Signaling frames are small and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    match &shared.tls {
        None => requests(stream, place, &shared).await,
        Some(certificates) => {
            let handshake = certificates.acceptor().accept(stream);
            match timeout(shared.header_timeout, handshake).await {
                Ok(Ok(stream)) => requests(stream, place, &shared).await,
                Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                Err(_) => debug!("TLS handshake took too long"),
            }
        }
    }
}

async fn requests<S>(stream: S, place: Place, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
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
