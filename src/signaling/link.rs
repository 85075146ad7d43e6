//! A connection as its owner holds it, and the task that carries its frames.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{debug, trace, warn};

use super::SignalingEvent;
use super::open::{Opened, Socket};
use crate::bucket::{Bucket, Rate};
use crate::network::Network;
use crate::wire::{Incoming, MAX_FRAME_BYTES, Outgoing, WireError};

/// A silent server is pinged then, and given up at twice that. The original
/// server pings every 20 s, so this seldom happens.
const SILENCE: Duration = Duration::from_secs(25);
/// The same where there is reason to doubt that the server is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Frames of the server's that carry nothing: pings, pongs, binary ones. Servers ping
/// every few seconds.
const EMPTY: Rate = Rate {
    burst: 100.0,
    per_second: 5.0,
};
/// Time to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection, open or being opened.
pub(crate) struct Link {
    pub(super) frames: mpsc::Sender<Outgoing>,
    pub(super) doubt: Arc<Notify>,
    pub(super) task: JoinHandle<()>,
}

impl Link {
    /// Queues a frame. A server that does not take them for so long that the
    /// queue is full loses the rest; the connection is about to be given up.
    pub(crate) fn send(&self, frame: Outgoing) {
        if self.frames.try_send(frame).is_err() {
            debug!("the chat server does not take frames; one was dropped");
        }
    }

    /// Finds out soon whether the server is still there: the network may have
    /// been lost. One that is being connected to is tried anew.
    pub(crate) fn probe(&self) {
        self.doubt.notify_one();
    }

    /// Sends what is queued, says goodbye, and waits for a short time.
    pub(crate) async fn close(self) {
        drop(self.frames);
        let mut task = self.task;
        if timeout(CLOSE_TIMEOUT * 2, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// Drops the connection without a word.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

pub(super) async fn carry(
    opened: Opened,
    mut outbox: mpsc::Receiver<Outgoing>,
    doubted: &Notify,
    generation: u64,
    events: &mpsc::Sender<(u64, SignalingEvent)>,
) -> String {
    let Opened { mut socket, local } = opened;
    let mut heard = Instant::now();
    let mut pinged = false;
    // An answer to a probe is due by then.
    let mut probed: Option<Instant> = None;
    let mut bad_frames = 0_u32;
    let mut empty = Bucket::full(EMPTY, heard.into_std());
    loop {
        let silent_at = probed.unwrap_or(heard + if pinged { SILENCE * 2 } else { SILENCE });
        tokio::select! {
            frame = outbox.recv() => {
                let Some(frame) = frame else {
                    let _ = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
                    return "closed by us".into();
                };
                if let Err(end) = send(&mut socket, &frame).await {
                    return end;
                }
            }
            message = socket.next() => {
                heard = Instant::now();
                pinged = false;
                probed = None;
                let text = match message {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Close(_))) | None => return "it closed the connection".into(),
                    Some(Ok(message)) => match passed(&mut socket, &message, &mut empty).await {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                    Some(Err(error)) => return format!("it broke the connection: {error}"),
                };
                trace!(%text, "received");
                match Incoming::parse(&text) {
                    Ok(frame) => {
                        if events.send((generation, SignalingEvent::Frame(frame))).await.is_err() {
                            return "closed by us".into();
                        }
                    }
                    Err(error) => {
                        bad_frames += 1;
                        log_bad(&error, bad_frames);
                    }
                }
            }
            () = doubted.notified() => {
                if local.is_some_and(|ip| !Network::now().carries(ip)) {
                    return "this machine has another address now".into();
                }
                if probed.is_none() {
                    let until = Instant::now() + PROBE_TIMEOUT;
                    probed = Some(until);
                    if !takes_a_ping(&mut socket, until).await {
                        return "it takes no data".into();
                    }
                }
            }
            _ = tokio::time::sleep_until(silent_at) => {
                if probed.is_some() {
                    return format!("it was silent for {} s", PROBE_TIMEOUT.as_secs());
                }
                if pinged {
                    return format!("it was silent for {} s", (SILENCE * 2).as_secs());
                }
                pinged = true;
                if !takes_a_ping(&mut socket, silent_at + SILENCE).await {
                    return "it takes no data".into();
                }
            }
        }
    }
}

/// Sends a frame; why the connection is over, where it is.
async fn send(socket: &mut Socket, frame: &Outgoing) -> Result<(), String> {
    let text = frame.to_text(milliseconds());
    if text.len() > MAX_FRAME_BYTES {
        warn!(
            bytes = text.len(),
            "a frame too long for the chat server was not sent"
        );
        return Ok(());
    }
    trace!(%text, "sent");
    taken(timeout(SILENCE, socket.send(Message::text(text))).await)
}

/// Passes over a frame that carries nothing, and has a ping answered: the server is
/// not read on before it has taken that. Why the connection is over, where it is.
async fn passed(socket: &mut Socket, message: &Message, budget: &mut Bucket) -> Result<(), String> {
    if !budget.take(1.0, Instant::now().into_std()) {
        return Err("it floods this device with pings".into());
    }
    match message.is_ping() {
        true => taken(timeout(SILENCE, socket.flush()).await),
        false => Ok(()),
    }
}

/// Whether the server takes a ping by then.
async fn takes_a_ping(socket: &mut Socket, until: Instant) -> bool {
    let ping = socket.send(Message::Ping(Default::default()));
    timeout_at(until, ping).await.is_ok()
}

fn taken(sent: Result<Result<(), tungstenite::Error>, Elapsed>) -> Result<(), String> {
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("it broke the connection: {error}")),
        Err(_) => Err("it takes no data".into()),
    }
}

/// The first one says that there may be more.
fn log_bad(error: &WireError, number: u32) {
    if number == 1 {
        warn!(%error, "a frame was not understood and is ignored; more are logged at DEBUG");
    } else {
        debug!(%error, "a frame was not understood");
    }
}

/// The wall clock in ms since 1970, as the protocol's `date`.
fn milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    use tokio_tungstenite::tungstenite::http::HeaderValue;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::super::deaf::Deaf;
    use super::super::{Server, WRITE_BUFFER};
    use super::*;

    /// A ping of the longest kind, as a server sends it.
    fn ping() -> Vec<u8> {
        [&[0x89, 125][..], &[b'x'; 125]].concat()
    }

    #[test]
    fn answers_to_pings_do_not_pile_up_where_the_server_reads_nothing() {
        let limits = Some(Server::limits());
        let mut socket = WebSocket::from_raw_socket(Deaf::sending(ping()), Role::Client, limits);
        for _ in 0..10_000 {
            assert!(matches!(socket.read(), Ok(Message::Ping(_))));
        }
        let most = socket.get_ref().most;
        assert!((1..=WRITE_BUFFER).contains(&most), "{most} bytes wait");
    }

    /// Real sockets: the server pings as fast as it can and never reads.
    #[tokio::test]
    async fn a_server_that_pings_without_end_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/", listener.local_addr().expect("bound"));
        let server = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.expect("a device");
            #[allow(clippy::result_large_err, reason = "the library's")]
            let answer = |_: &Request, mut response: Response| {
                let json = HeaderValue::from_static("json");
                response
                    .headers_mut()
                    .insert("Sec-WebSocket-Protocol", json);
                Ok(response)
            };
            let socket = tokio_tungstenite::accept_hdr_async(tcp, answer).await;
            let mut tcp = socket.expect("a WebSocket").into_inner();
            let flood = ping().repeat(100);
            while tcp.write_all(&flood).await.is_ok() {}
        });
        let config = toml::from_str(&format!("url = {url:?}")).expect("a section");
        let (events, mut told) = mpsc::channel(8);
        let link = Server::new(&config).expect("usable").connect(1, events);
        let closed = async {
            loop {
                match told.recv().await.expect("an event").1 {
                    SignalingEvent::Closed(why) => return why,
                    _ => continue,
                }
            }
        };
        let why = timeout(Duration::from_secs(20), closed).await;
        assert!(why.expect("it is left").contains("pings"));
        link.abort();
        server.abort();
    }
}
