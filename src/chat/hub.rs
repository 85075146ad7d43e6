//! The one task that owns the [`Room`]. Connections send it events and get
//! frames back through a bounded queue each.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::debug;

use crate::room::{ConnectionId, Limits, Output, Room, RoomFull};

/// Events that wait for the room. A connection whose event finds it full waits.
const EVENTS: usize = 256;
/// Frames that wait for one connection; with more it is closed.
const QUEUED_FRAMES: usize = 512;
/// Bytes that wait for one connection; with more it is closed.
const QUEUED_BYTES: usize = 1024 * 1024;
/// Try again later (RFC 6455, IANA registry).
pub(super) const CLOSE_AGAIN_LATER: u16 = 1013;

/// Why a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

/// A connection's side of its queue.
pub(super) struct Outbox {
    frames: mpsc::Receiver<Arc<str>>,
    queued: Arc<AtomicUsize>,
    check: Arc<Notify>,
    close: oneshot::Receiver<Close>,
}

/// What the room has for a connection.
pub(super) enum Outgoing {
    Frame(Arc<str>),
    /// The peer is to show that it lives.
    Check,
    Close(Close),
}

impl Outbox {
    /// The next frame, or that it is over. Safe to cancel.
    pub(super) async fn next(&mut self) -> Outgoing {
        tokio::select! {
            biased;
            close = &mut self.close => Outgoing::Close(close.unwrap_or(GONE)),
            () = self.check.notified() => Outgoing::Check,
            frame = self.frames.recv() => match frame {
                Some(frame) => {
                    self.queued.fetch_sub(frame.len(), Ordering::Relaxed);
                    Outgoing::Frame(frame)
                }
                None => Outgoing::Close(GONE),
            },
        }
    }
}

/// The room's task is gone: the server stops.
const GONE: Close = Close {
    code: 1001,
    reason: "the server stops",
};

/// The room's side of a queue.
struct Mailbox {
    frames: mpsc::Sender<Arc<str>>,
    queued: Arc<AtomicUsize>,
    check: Arc<Notify>,
    close: oneshot::Sender<Close>,
}

impl Mailbox {
    /// False when the queue is full or its reader is gone.
    fn post(&self, text: Arc<str>) -> bool {
        let length = text.len();
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > QUEUED_BYTES {
            return false;
        }
        self.frames.try_send(text).is_ok()
    }
}

fn queue() -> (Mailbox, Outbox) {
    let (sender, receiver) = mpsc::channel(QUEUED_FRAMES);
    let (close, closed) = oneshot::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let check = Arc::new(Notify::new());
    let mailbox = Mailbox {
        frames: sender,
        queued: queued.clone(),
        check: check.clone(),
        close,
    };
    let outbox = Outbox {
        frames: receiver,
        queued,
        check,
        close: closed,
    };
    (mailbox, outbox)
}

type Joined = Result<(ConnectionId, Outbox), RoomFull>;

enum Event {
    Join(oneshot::Sender<Joined>),
    Frame(ConnectionId, Utf8Bytes),
    Leave(ConnectionId),
}

/// A handle on the room's task.
#[derive(Clone)]
pub(super) struct Hub(mpsc::Sender<Event>);

impl Hub {
    /// Joins the room; the outer `None` means that the server stops.
    pub(super) async fn join(&self) -> Option<Joined> {
        let (reply, joined) = oneshot::channel();
        self.0.send(Event::Join(reply)).await.ok()?;
        joined.await.ok()
    }

    pub(super) async fn frame(&self, conn: ConnectionId, text: Utf8Bytes) {
        // Fails only while the server stops.
        let _ = self.0.send(Event::Frame(conn, text)).await;
    }

    pub(super) async fn leave(&self, conn: ConnectionId) {
        let _ = self.0.send(Event::Leave(conn)).await;
    }
}

/// A room, and the future that runs it until every [`Hub`] is dropped.
pub(super) fn new(limits: Limits) -> (Hub, impl Future<Output = ()> + Send) {
    let (sender, mut events) = mpsc::channel(EVENTS);
    let first_id = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(1));
    let mut room = Room::new(first_id, limits);
    let mut mailboxes = HashMap::new();
    let task = async move {
        while let Some(event) = events.recv().await {
            match event {
                Event::Join(reply) => {
                    let joined = room.join(Instant::now()).map(|conn| {
                        let (mailbox, outbox) = queue();
                        mailboxes.insert(conn, mailbox);
                        (conn, outbox)
                    });
                    if let Err(Ok((conn, _))) = reply.send(joined) {
                        room.leave(conn);
                    }
                }
                Event::Frame(conn, text) => room.receive(conn, &text, Instant::now()),
                Event::Leave(conn) => {
                    mailboxes.remove(&conn);
                    room.leave(conn);
                }
            }
            deliver(&mut room, &mut mailboxes);
        }
    };
    (Hub(sender), task)
}

fn deliver(room: &mut Room, mailboxes: &mut HashMap<ConnectionId, Mailbox>) {
    while let Some(output) = room.next_output() {
        match output {
            Output::Send { to, text } => {
                let Some(mailbox) = mailboxes.get(&to) else {
                    continue;
                };
                if !mailbox.post(text) {
                    debug!(conn = %to, "does not read what it is sent, closing it");
                    let close = Close {
                        code: CLOSE_AGAIN_LATER,
                        reason: "too slow to read",
                    };
                    shut(mailboxes.remove(&to), close);
                    // Tells the others; their frames come out of this loop.
                    room.leave(to);
                }
            }
            Output::Check { conn } => {
                if let Some(mailbox) = mailboxes.get(&conn) {
                    mailbox.check.notify_one();
                }
            }
            Output::Close { conn, code, reason } => {
                shut(mailboxes.remove(&conn), Close { code, reason });
            }
        }
    }
}

fn shut(mailbox: Option<Mailbox>, close: Close) {
    if let Some(mailbox) = mailbox {
        // Fails when the connection ended at the same time.
        let _ = mailbox.close.send(close);
    }
}
