//! One WebSocket from its upgrade to its end.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::hub::{CLOSE_AGAIN_LATER, Close, Hub, Outbox, Outgoing};
use crate::room::ConnectionId;

/// How long a peer may be silent whose name another one asks for.
const CHECK: Duration = Duration::from_secs(3);
/// How long a closed peer may take to read the close frame. Dropping the
/// socket at once, with frames of the peer unread, would reset it instead.
const LINGER: Duration = Duration::from_secs(1);

/// How the server tells a dead peer from a silent one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    pub(super) ping_every: Duration,
    pub(super) silence: Duration,
}

/// How a connection ended.
enum End {
    /// By the peer, or its network.
    Gone,
    /// By us; the peer is told.
    Close(Close),
    /// By a frame that cannot be read past; the peer is told.
    Unreadable(Close),
}

pub(super) async fn serve(socket: WebSocket, hub: Hub, pulse: Pulse, shutdown: CancellationToken) {
    let (mut sink, mut stream) = socket.split();
    let end = match hub.join().await {
        None => End::Gone,
        Some(Err(full)) => {
            debug!(%full, "turned a connection away");
            End::Close(Close {
                code: CLOSE_AGAIN_LATER,
                reason: "the chat is full",
            })
        }
        Some(Ok((conn, mut outbox))) => {
            let peer = Peer {
                conn,
                hub: &hub,
                pulse,
                sink: &mut sink,
                stream: &mut stream,
            };
            let end = tokio::select! {
                end = peer.converse(&mut outbox) => end,
                () = shutdown.cancelled() => End::Close(Close {
                    code: 1001,
                    reason: "the server stops",
                }),
            };
            hub.leave(conn).await;
            end
        }
    };
    let goodbye = async {
        match end {
            End::Gone => {}
            End::Close(close) => {
                say(&mut sink, close).await;
                while let Some(Ok(_)) = stream.next().await {}
            }
            End::Unreadable(close) => {
                say(&mut sink, close).await;
                sleep(LINGER).await;
            }
        }
    };
    let _ = timeout(LINGER, goodbye).await;
}

async fn say(sink: &mut SplitSink<WebSocket, Message>, close: Close) {
    let frame = CloseFrame {
        code: close.code,
        reason: close.reason.into(),
    };
    // A peer that is gone already needs no goodbye.
    let _ = sink.send(Message::Close(Some(frame))).await;
}

struct Peer<'a> {
    conn: ConnectionId,
    hub: &'a Hub,
    pulse: Pulse,
    sink: &'a mut SplitSink<WebSocket, Message>,
    stream: &'a mut SplitStream<WebSocket>,
}

impl Peer<'_> {
    async fn converse(self, outbox: &mut Outbox) -> End {
        let mut ping_at = Instant::now() + self.pulse.ping_every;
        let mut silent_until = None;
        loop {
            tokio::select! {
                message = self.stream.next() => {
                    // Whatever it is, the peer lives.
                    silent_until = None;
                    match message {
                        Some(Ok(Message::Text(text))) => self.hub.frame(self.conn, text).await,
                        Some(Ok(Message::Close(_))) | None => return End::Gone,
                        // Answered by the library, or of no use; but they
                        // cost, and the room counts junk.
                        Some(Ok(Message::Ping(_) | Message::Binary(_))) => {
                            self.hub.frame(self.conn, Utf8Bytes::from_static("")).await;
                        }
                        Some(Ok(Message::Pong(_))) => {}
                        Some(Err(error)) => return unreadable(self.conn, error),
                    }
                }
                outgoing = outbox.next() => match outgoing {
                    Outgoing::Close(close) => return End::Close(close),
                    Outgoing::Check => {
                        let until = Instant::now() + CHECK.min(self.pulse.silence);
                        silent_until = Some(silent_until.map_or(until, |s: Instant| s.min(until)));
                        let ping = Message::Ping(Vec::new().into());
                        if let Some(end) = within(CHECK, self.sink.send(ping)).await {
                            return end;
                        }
                    }
                    Outgoing::Frame(text) => {
                        let message = Message::text(text.as_ref());
                        if let Some(end) = within(self.pulse.silence, self.sink.send(message)).await {
                            return end;
                        }
                    }
                },
                () = sleep_until(silent_until.unwrap_or(ping_at)) => {
                    if silent_until.is_some() {
                        debug!(conn = %self.conn, "silent after a ping, dropped");
                        return End::Gone;
                    }
                    let now = Instant::now();
                    silent_until = Some(now + self.pulse.silence);
                    ping_at = now + self.pulse.ping_every;
                    let ping = Message::Ping(Vec::new().into());
                    if let Some(end) = within(self.pulse.silence, self.sink.send(ping)).await {
                        return end;
                    }
                }
            }
        }
    }
}

/// Ends the connection when a frame cannot be written in time.
async fn within(
    limit: Duration,
    sent: impl Future<Output = Result<(), axum::Error>>,
) -> Option<End> {
    match timeout(limit, sent).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) | Err(_) => Some(End::Gone),
    }
}

/// The close code that belongs to a failed read (RFC 6455 §7.4.1).
fn unreadable(conn: ConnectionId, error: axum::Error) -> End {
    use tungstenite::Error::{AlreadyClosed, Capacity, ConnectionClosed, Io, Protocol, Utf8};
    debug!(%conn, %error, "unreadable frame");
    let (code, reason) = match error.source().and_then(|e| e.downcast_ref()) {
        Some(Capacity(_)) => (1009, "message over 64 KiB"),
        Some(Utf8(_)) => (1007, "text that is not UTF-8"),
        Some(Io(_) | ConnectionClosed | AlreadyClosed) => return End::Gone,
        Some(Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
            return End::Gone;
        }
        Some(_) | None => (1002, "not a WebSocket frame"),
    };
    End::Unreadable(Close { code, reason })
}
