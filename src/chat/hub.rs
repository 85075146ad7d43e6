//! The one task that owns the [`Room`]. Connections send it events and get
//! frames back through a [`Mailbox`] each.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::lock::lock;
use crate::room::{ConnectionId, Limits, Mailbox, Output, Room, RoomFull, Source, Store};

/// Events that wait for the room. A connection whose event finds it full waits.
const EVENTS: usize = 256;

/// Why a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

/// A connection's mailbox, and what else the room has for it.
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

struct State {
    mailbox: Mailbox,
    check: bool,
    close: Option<Close>,
}

impl Shared {
    fn new(store: Store) -> Self {
        Self {
            state: Mutex::new(State {
                mailbox: Mailbox::of(store),
                check: false,
                close: None,
            }),
            news: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.news.notify_one();
        result
    }
}

/// A connection's side of its mailbox.
pub(super) struct Outbox(Arc<Shared>);

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
        loop {
            if let Some(outgoing) = self.take() {
                return outgoing;
            }
            self.0.news.notified().await;
        }
    }

    fn take(&self) -> Option<Outgoing> {
        let mut state = self.0.state();
        if let Some(close) = state.close {
            return Some(Outgoing::Close(close));
        }
        if std::mem::take(&mut state.check) {
            return Some(Outgoing::Check);
        }
        state.mailbox.next_frame().map(Outgoing::Frame)
    }

    /// When the room has closed it, whatever waits to be sent.
    pub(super) async fn closed(&mut self) -> Close {
        loop {
            if let Some(close) = self.0.state().close {
                return close;
            }
            self.0.news.notified().await;
        }
    }
}

/// The room's task is gone: the server stops.
const GONE: Close = Close {
    code: 1001,
    reason: "the server stops",
};

/// The room's side of a connection.
struct Door(Arc<Shared>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.tell(|state| {
            state.close.get_or_insert(GONE);
        });
    }
}

type Joined = Result<(ConnectionId, Outbox), RoomFull>;

enum Event {
    Join(Source, oneshot::Sender<Joined>),
    Frame(ConnectionId, Utf8Bytes),
    Leave(ConnectionId),
}

/// A handle on the room's task.
#[derive(Clone)]
pub(super) struct Hub(mpsc::Sender<Event>);

impl Hub {
    /// Joins the room; the outer `None` means that the server stops.
    pub(super) async fn join(&self, source: Source) -> Option<Joined> {
        let (reply, joined) = oneshot::channel();
        self.0.send(Event::Join(source, reply)).await.ok()?;
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
    let (sender, events) = mpsc::channel(EVENTS);
    let first_id = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(1));
    let room = Exchange {
        room: Room::new(first_id, limits, secret()),
        doors: HashMap::new(),
        store: Store::default(),
    };
    (Hub(sender), room.run(events))
}

/// What keys of connections are made from.
fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    let provider = rustls::crypto::ring::default_provider();
    provider
        .secure_random
        .fill(&mut secret)
        .expect("the system has random numbers");
    secret
}

/// The room and the ways out of it.
struct Exchange {
    room: Room,
    doors: HashMap<ConnectionId, Door>,
    /// What waits in all mailboxes.
    store: Store,
}

impl Exchange {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        loop {
            let due = self.room.poll_timeout(Instant::now());
            let event = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => Some(event),
                    None => return,
                },
                () = async { sleep_until(due.unwrap_or_else(Instant::now).into()).await },
                    if due.is_some() => None,
            };
            self.handle(event, Instant::now());
        }
    }

    /// One event, or that time has passed.
    fn handle(&mut self, event: Option<Event>, now: Instant) {
        match event {
            None => self.room.timeout(now),
            Some(Event::Join(source, reply)) => self.join(source, reply, now),
            Some(Event::Frame(conn, text)) => self.room.receive(conn, &text, now),
            Some(Event::Leave(conn)) => self.leave(conn, now),
        }
        self.deliver(now);
    }

    fn join(&mut self, source: Source, reply: oneshot::Sender<Joined>, now: Instant) {
        let joined = self.room.join(source, now).map(|conn| {
            let shared = Arc::new(Shared::new(self.store.clone()));
            self.doors.insert(conn, Door(shared.clone()));
            (conn, Outbox(shared))
        });
        // Nobody waits for it any more.
        if let Err(Ok((conn, _))) = reply.send(joined) {
            self.leave(conn, now);
        }
    }

    fn leave(&mut self, conn: ConnectionId, now: Instant) {
        self.doors.remove(&conn);
        self.room.leave(conn, now);
    }

    fn deliver(&mut self, now: Instant) {
        while let Some(output) = self.room.next_output() {
            match output {
                Output::Send { to, text } => {
                    self.tell(to, |state| state.mailbox.post_own(text));
                }
                Output::List { to, text } => {
                    self.tell(to, |state| state.mailbox.post_list(text));
                }
                Output::Relay { from, to, text } => {
                    let posted = self.tell(to, |state| state.mailbox.post(from, text));
                    if posted == Some(false) {
                        self.room.undelivered(from, to, now);
                    }
                }
                Output::Check { conn } => {
                    self.tell(conn, |state| state.check = true);
                }
                Output::Close { conn, code, reason } => {
                    if let Some(door) = self.doors.remove(&conn) {
                        door.0.state().close = Some(Close { code, reason });
                    }
                }
            }
        }
    }

    fn tell<T>(&self, conn: ConnectionId, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.doors.get(&conn).map(|door| door.0.tell(change))
    }
}

#[cfg(test)]
mod tests;
