//! One WebSocket from its upgrade to its end.
//!
//! Reading and writing go on side by side: a peer that is slow to read is heard
//! all the same, and what shows that it lives does not wait behind what it is
//! sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::hub::{Close, Hub, Outbox, Outgoing};
use super::lobby::Seat;
use super::meter::Gauge;
use super::websocket::Socket;
use crate::bucket::{Bucket, Rate};
use crate::room::{CLOSE_POLICY, CLOSE_TRY_AGAIN, ConnectionId, Source};

/// How long a peer may be silent whose name another one asks for.
const CHECK: Duration = Duration::from_secs(3);
/// How long a closed peer may take to read the close frame. Dropping the
/// socket at once, with frames of the peer unread, would reset it instead.
const LINGER: Duration = Duration::from_secs(1);

/// Pings of a peer's; browsers send none. Each is answered, whether the peer reads
/// that or not.
const PINGS: Rate = Rate {
    burst: 60.0,
    per_second: 2.0,
};

/// How the server tells a dead peer from a silent one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    pub(super) ping_every: Duration,
    pub(super) silence: Duration,
}

/// What ends a connection from outside.
#[derive(Debug, Clone)]
pub(super) struct Until {
    /// The server stops.
    pub(super) shutdown: CancellationToken,
    /// Who it is of was signed out.
    pub(super) ends: CancellationToken,
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

/// `seat` is its place among the sockets that are no chat connection: it has that
/// until it is in the chat, and another one while it says goodbye.
pub(super) async fn serve(
    socket: Socket,
    gauge: Arc<Gauge>,
    (source, seat): (Source, Arc<Seat>),
    hub: Hub,
    pulse: Pulse,
    until: Until,
) {
    let (mut sink, mut stream) = socket.split();
    let joined = tokio::select! {
        biased;
        joined = hub.join(source) => joined,
        () = seat.given_away() => return,
    };
    let (conn, outbox) = match joined {
        None => return,
        Some(Err(full)) => {
            debug!(%full, %source, "turned a connection away");
            let close = Close {
                code: CLOSE_TRY_AGAIN,
                reason: "the chat is full",
            };
            // It was never in, and has said nothing: nobody waits for it.
            tokio::select! {
                _ = timeout(LINGER, say(&mut sink, close)) => {}
                () = seat.given_away() => {}
            }
            return;
        }
        Some(Ok(joined)) => joined,
    };
    let (lobby, peer) = seat.door();
    drop(seat);
    let writer = Writer {
        conn,
        pulse,
        outbox,
        sink: &mut sink,
        gauge: &gauge,
    };
    let end = tokio::select! {
        end = listen(conn, &hub, &mut stream, &gauge) => end,
        end = writer.run() => end,
        () = until.shutdown.cancelled() => End::Close(Close {
            code: 1001,
            reason: "the server stops",
        }),
        () = until.ends.cancelled() => End::Close(Close {
            code: CLOSE_POLICY,
            reason: "signed out",
        }),
    };
    hub.leave(conn).await;
    if matches!(end, End::Gone) {
        return;
    }
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
    let seat = lobby.enter(peer);
    tokio::select! {
        _ = timeout(LINGER, goodbye) => {}
        () = seat.given_away() => debug!(%conn, "no time for a goodbye"),
    }
}

async fn say(sink: &mut SplitSink<Socket, Message>, close: Close) {
    let frame = CloseFrame {
        code: close.code.into(),
        reason: close.reason.into(),
    };
    // A peer that is gone already needs no goodbye.
    let _ = sink.send(Message::Close(Some(frame))).await;
}

/// Hands everything that comes to the room.
async fn listen(
    conn: ConnectionId,
    hub: &Hub,
    stream: &mut SplitStream<Socket>,
    gauge: &Gauge,
) -> End {
    let mut pings = Bucket::full(PINGS, Instant::now().into_std());
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => hub.frame(conn, text).await,
            Some(Ok(Message::Close(_))) | None => return End::Gone,
            // Of no use; the room counts junk.
            Some(Ok(Message::Binary(_))) => hub.frame(conn, Utf8Bytes::default()).await,
            Some(Ok(Message::Ping(_))) if !pings.take(1.0, Instant::now().into_std()) => {
                return End::Unreadable(Close {
                    code: CLOSE_POLICY,
                    reason: "too many pings",
                });
            }
            // Answered by the library, and charged where they came in.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return unreadable(conn, &error, gauge),
        }
    }
}

/// Sends what waits for a peer, and sees whether that is still there.
struct Writer<'a> {
    conn: ConnectionId,
    pulse: Pulse,
    outbox: Outbox,
    sink: &'a mut SplitSink<Socket, Message>,
    gauge: &'a Gauge,
}

impl Writer<'_> {
    async fn run(mut self) -> End {
        let mut ping_at = Instant::now() + self.pulse.ping_every;
        // Until when something is to come, and what had come when that began.
        let mut awaited: Option<(Instant, u64)> = None;
        loop {
            awaited = awaited.filter(|(_, heard)| self.gauge.heard() == *heard);
            let wake = awaited.map_or(ping_at, |(until, _)| until);
            let outgoing = tokio::select! {
                biased;
                () = sleep_until(wake) => None,
                outgoing = self.outbox.next() => Some(outgoing),
            };
            let limit = match outgoing {
                Some(Outgoing::Close(close)) => return End::Close(close),
                Some(Outgoing::Frame(text)) => {
                    if let Some(end) = self.send(Message::text(text.as_ref())).await {
                        return end;
                    }
                    continue;
                }
                Some(Outgoing::Check) => CHECK.min(self.pulse.silence),
                None if awaited.is_some_and(|(_, heard)| self.gauge.heard() == heard) => {
                    debug!(conn = %self.conn, "silent after a ping, dropped");
                    return End::Gone;
                }
                None if Instant::now() < ping_at => continue,
                None => {
                    ping_at = Instant::now() + self.pulse.ping_every;
                    self.pulse.silence
                }
            };
            if let Some(end) = self.send(Message::Ping(Vec::new().into())).await {
                return end;
            }
            let until = Instant::now() + limit;
            awaited = Some(match awaited {
                Some((sooner, heard)) if sooner < until => (sooner, heard),
                Some(_) | None => (until, self.gauge.heard()),
            });
        }
    }

    /// Ends the connection when the peer takes nothing for as long as it may be
    /// silent, or when the room has closed it meanwhile.
    async fn send(&mut self, message: Message) -> Option<End> {
        let mut sending = self.sink.send(message);
        loop {
            let written = self.gauge.written();
            tokio::select! {
                sent = &mut sending => return sent.err().map(|_| End::Gone),
                close = self.outbox.closed() => return Some(End::Close(close)),
                () = sleep(self.pulse.silence) => {
                    if self.gauge.written() == written {
                        debug!(conn = %self.conn, "reads nothing, dropped");
                        return Some(End::Gone);
                    }
                }
            }
        }
    }
}

/// The close code that belongs to a failed read (RFC 6455 §7.4.1).
fn unreadable(conn: ConnectionId, error: &tungstenite::Error, gauge: &Gauge) -> End {
    use tungstenite::Error::{AlreadyClosed, Capacity, ConnectionClosed, Io, Protocol, Utf8};
    debug!(%conn, %error, "unreadable frame");
    let (code, reason) = match error {
        _ if gauge.is_flooded() => (CLOSE_POLICY, "too many frames"),
        Capacity(_) => (1009, "message over 64 KiB"),
        Utf8(_) => (1007, "text that is not UTF-8"),
        Io(_) | ConnectionClosed | AlreadyClosed => return End::Gone,
        Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            return End::Gone;
        }
        _ => (1002, "not a WebSocket frame"),
    };
    End::Unreadable(Close { code, reason })
}
