//! The chat room: who is here under which name, and who gets which frame.
//!
//! A drop-in for the original *webrtc-from-chat* server's logic: the same
//! messages, relaying and renaming. Unlike the original it survives anything a
//! client sends, and it vouches for the sender: every relayed frame carries
//! the `name` the room knows its sender by, whatever the sender wrote, and to
//! those who want it (devices do) the number of the connection it came from, as
//! `conn`.
//!
//! # What it promises
//!
//! * Whoever makes others read pays for it: what goes out because of a connection
//!   is bounded by what came in from it and by its rate. An answer is paid by who
//!   called. Nobody is closed for what others do.
//! * Places are fair by [`Source`]: one address with many connections keeps no
//!   other out.
//! * A name is one that people can tell from the others, and the name of a device
//!   stays a device's.
//!
//! Pure: frames and times in, [`Output`]s out. No IO, no clock, no runtime;
//! [`crate::chat`] is the shell around it. Come back with [`Room::timeout`] at
//! [`Room::poll_timeout`].
//!
//! ```
//! # use camera_agent::room::{Limits, Output, Room, Source};
//! # let now = std::time::Instant::now();
//! # let source = Source::of([192, 0, 2, 1].into());
//! let mut room = Room::new(1, Limits::default(), [7; 32]);
//! let alice = room.join(source, now)?;
//! room.receive(alice, r#"{"type":"username","name":"alice","id":1}"#, now);
//! while let Some(output) = room.next_output() {
//!     if let Output::Send { to, text } | Output::List { to, text } = output {
//!         assert_eq!(to, alice); // the id, and the user list
//!         # let _ = text;
//!     }
//! }
//! # Ok::<(), camera_agent::room::RoomFull>(())
//! ```

mod admission;
mod claim;
mod fare;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod limiter;
mod limits;
mod list;
mod mailbox;
mod names;
mod relay;
mod reserved;
mod source;
mod tags;
mod visits;
mod waiting;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use tracing::{debug, info};

use crate::bucket::Bucket;
use crate::wire::MAX_FRAME_BYTES;
pub(crate) use admission::CLOSE_TRY_AGAIN;
use fare::{Fare, Read, Refused, frame_cost};
use limiter::{Limiter, Refusal};
pub use limits::Limits;
use list::ListPace;
pub use mailbox::Mailbox;
pub(crate) use mailbox::Store;
use names::Look;
pub use names::Name;
use reserved::Reserved;
pub(crate) use source::IPV6_BITS;
pub use source::Source;
pub(crate) use visits::{Visit, Visits};
pub use waiting::{Ticket, Waiting};

/// Close code for a peer that breaks the rules (RFC 6455 §7.4.1).
pub(crate) const CLOSE_POLICY: u16 = 1008;

/// Price of a frame that is sent on to everyone, or that is junk, beyond the
/// price of its bytes.
const COSTLY: u32 = 4;

/// One connection, by the number that the protocol calls `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The number as it stands on the wire.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The room takes no more connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chat is full: {0} connections are open")]
pub struct RoomFull(pub usize);

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send one text frame of the room itself.
    Send {
        /// To whom.
        to: ConnectionId,
        /// The frame.
        text: Arc<str>,
    },
    /// Send the user list; one that still waits to be sent is void.
    List {
        /// To whom.
        to: ConnectionId,
        /// The frame; one text is shared by all who get it.
        text: Arc<str>,
    },
    /// Send a frame of another connection.
    Relay {
        /// Whose.
        from: ConnectionId,
        /// To whom.
        to: ConnectionId,
        /// The frame; one text is shared by all who get it.
        text: Arc<str>,
    },
    /// Find out whether the connection is still there: another one asks for its
    /// name, and may be the same client over another network.
    Check {
        /// Which.
        conn: ConnectionId,
    },
    /// Close the connection. The room has forgotten it already.
    Close {
        /// Which.
        conn: ConnectionId,
        /// The WebSocket close code.
        code: u16,
        /// Why, in words.
        reason: &'static str,
    },
}

#[derive(Debug)]
struct Named {
    name: Name,
    look: Look,
}

/// Devices that have answered somebody, and of one that has gone until when that counts.
type Calls = BTreeMap<ConnectionId, Option<Instant>>;

#[derive(Debug)]
struct Client {
    named: Option<Named>,
    /// It said once that it is a device; that cannot be taken back.
    device: bool,
    /// It wants to know from which connection a frame came.
    stamped: bool,
    source: Source,
    joined_at: Instant,
    /// When it last said something to somebody, or somebody wrote to it.
    active_at: Instant,
    /// Until either hangs up; and since when there was none.
    calls: Calls,
    free_since: Instant,
    /// A device has answered it.
    is_viewer: bool,
    limiter: Limiter,
    renames: Bucket,
    /// Calls to each other connection.
    offers: HashMap<ConnectionId, Bucket>,
    /// What those who called it have paid for its answers.
    replies: HashMap<ConnectionId, u32>,
    /// It was sent the user list as it stands, and when it was sent one.
    listed: bool,
    listed_at: Option<Instant>,
    /// It has just come, or has its first name: the next list does not wait for those
    /// of others.
    is_new: bool,
    /// Frames ignored so far: the first is logged, the sum at the end.
    ignored: u64,
}

/// The room. Drain [`Room::next_output`] after every other call: that is what
/// bounds the queue.
#[derive(Debug)]
pub struct Room {
    limits: Limits,
    secret: [u8; 32],
    next_id: u64,
    clients: BTreeMap<ConnectionId, Client>,
    reserved: Reserved,
    list: ListPace,
    lines: Option<Bucket>,
    turns: Option<Bucket>,
    outputs: VecDeque<Output>,
}

impl Room {
    /// An empty room. `first_id` numbers the first connection, the following
    /// ones count up; the original server starts at the wall clock in ms since
    /// 1970, so that ids do not repeat over restarts. `secret` is random: the
    /// keys come from it, by which a client that comes back is known.
    pub fn new(first_id: u64, limits: Limits, secret: [u8; 32]) -> Self {
        Self {
            limits,
            secret,
            next_id: first_id,
            clients: BTreeMap::new(),
            reserved: Reserved::default(),
            list: ListPace::default(),
            lines: None,
            turns: None,
            outputs: VecDeque::new(),
        }
    }

    /// A connection opened: it gets its `id` and the user list as it stands.
    ///
    /// # Errors
    /// [`RoomFull`] where no place is left and nobody gives way.
    pub fn join(&mut self, source: Source, now: Instant) -> Result<ConnectionId, RoomFull> {
        self.make_place(source, now)?;
        let conn = ConnectionId(self.next_id);
        self.next_id += 1;
        self.clients.insert(
            conn,
            Client {
                named: None,
                device: false,
                stamped: false,
                source,
                joined_at: now,
                active_at: now,
                calls: Calls::new(),
                free_since: now,
                is_viewer: false,
                limiter: Limiter::new(&self.limits, now),
                renames: Bucket::full(limits::RENAMES, now),
                offers: HashMap::new(),
                replies: HashMap::new(),
                listed: false,
                listed_at: None,
                is_new: true,
                ignored: 0,
            },
        );
        let key = self.key(conn);
        self.send(conn, json!({"type": "id", "id": conn.0, "key": key}));
        self.list_for(conn, now);
        debug!(%conn, %source, "connected");
        Ok(conn)
    }

    /// A text frame came. Whatever it holds, the worst that happens is that
    /// `conn` itself is closed. An unknown `conn` is ignored.
    pub fn receive(&mut self, conn: ConnectionId, text: &str, now: Instant) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let cost = frame_cost(text.len());
        // One that has nothing left may still answer whoever has paid for it.
        let paid = client.limiter.has(cost, now) || client.replies.is_empty();
        if paid && let Err(verdict) = client.limiter.spend(cost, now) {
            return self.over_the_rate(conn, verdict, now);
        }
        match self.take(conn, text, Fare { cost, paid }, now) {
            Ok(Read::ByOthers) => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.active_at = now;
                }
            }
            Ok(Read::ByNobody) => {}
            Err(Refused::Rate(verdict)) => self.over_the_rate(conn, verdict, now),
            Err(Refused::Ignored(why)) => self.charge(conn, COSTLY, why, now),
        }
    }

    /// A frame of `conn` found no place where it was to go: `to` has too many of
    /// this sender already. Nobody pays for answers to a caller who does not read.
    pub(crate) fn undelivered(&mut self, conn: ConnectionId, to: ConnectionId, now: Instant) {
        let sender = self.clients.get(&conn);
        if sender.is_some_and(|sender| sender.replies.contains_key(&to)) {
            return;
        }
        self.charge(conn, COSTLY, "more than its reader takes", now);
    }

    /// A connection ended. An unknown `conn` is ignored.
    pub fn leave(&mut self, conn: ConnectionId, now: Instant) {
        let Some(client) = self.clients.remove(&conn) else {
            return;
        };
        for other in self.clients.values_mut() {
            other.offers.remove(&conn);
            other.replies.remove(&conn);
            if client.device {
                other.misses(conn, now + self.limits.device_grace);
            }
        }
        let ignored = client.ignored;
        let Some(Named { name, .. }) = client.named else {
            debug!(%conn, ignored, "disconnected without a name");
            return;
        };
        if self.is_worth_a_line(now) {
            info!(%conn, %name, ignored, "left the chat");
        }
        if client.device {
            let grace = self.limits.device_grace;
            let who = (&name, conn, client.source);
            self.reserved.keep(who, client.joined_at, now, grace);
        } else if client.is_viewer {
            let since = client.joined_at;
            self.reserved.keep_viewer(client.source, since, now);
        }
        self.list_changed(now);
    }

    /// When to come back with [`Room::timeout`], if nothing happens before.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let nameless = self.clients.values().find(|c| c.named.is_none());
        let nameless = nameless.map(|c| c.joined_at + self.limits.nameless);
        [nameless, self.list.due_at(now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        let late = |c: &Client| c.named.is_none() && now >= c.joined_at + self.limits.nameless;
        let late: Vec<_> = self.clients.iter().filter(|(_, c)| late(c)).collect();
        let late: Vec<_> = late.into_iter().map(|(conn, _)| *conn).collect();
        for conn in late {
            self.close(conn, CLOSE_POLICY, "no username in time", now);
        }
        self.send_lists(now);
    }

    /// The next thing to do, until `None`.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The names in force, in the order in which their owners connected.
    pub fn names(&self) -> impl Iterator<Item = (ConnectionId, &Name)> {
        self.clients
            .iter()
            .filter_map(|(conn, client)| Some((*conn, &client.named.as_ref()?.name)))
    }

    /// How many connections there are, with and without names.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Ends what a connection does not stop doing, or counts it.
    fn over_the_rate(&mut self, conn: ConnectionId, verdict: Refusal, now: Instant) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        client.ignore(conn, "over the rate limit");
        if verdict == Refusal::Close {
            self.close(conn, CLOSE_POLICY, "too many messages", now);
        }
    }

    /// Junk is dear, so that a stream of it ends in a close.
    fn charge(&mut self, conn: ConnectionId, cost: u32, why: &str, now: Instant) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        client.ignore(conn, why);
        if let Err(verdict) = client.limiter.spend(cost, now) {
            self.over_the_rate(conn, verdict, now);
        }
    }

    fn take(
        &mut self,
        conn: ConnectionId,
        text: &str,
        fare: Fare,
        now: Instant,
    ) -> Result<Read, Refused> {
        if text.len() > MAX_FRAME_BYTES {
            return Err(Refused::Ignored("frame over the size limit"));
        }
        let Ok(frame) = crate::wire::object(text) else {
            return Err(Refused::Ignored("not a JSON object"));
        };
        match frame.get("type").and_then(Value::as_str) {
            Some("username") => {
                self.pay(conn, fare, now)?;
                self.claim_name(conn, &frame, now).map(|()| Read::ByOthers)
            }
            Some(kind) if relay::SERVER_ONLY.contains(&kind) => {
                Err(Refused::Ignored("a message type of the server's own"))
            }
            Some(_) => self.relay(conn, frame, fare, now),
            None => Err(Refused::Ignored("no \"type\"")),
        }
    }

    /// Pays for a frame that was read on credit.
    fn pay(&mut self, conn: ConnectionId, fare: Fare, now: Instant) -> Result<(), Refused> {
        match self.clients.get_mut(&conn) {
            Some(client) if !fare.paid => {
                client.limiter.spend(fare.cost, now).map_err(Refused::Rate)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// By this a client shows that it is the one that had connection `conn`.
    fn key(&self, conn: ConnectionId) -> String {
        let made = self.signed(conn).finalize().into_bytes();
        made.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn is_key(&self, conn: ConnectionId, key: &str) -> bool {
        let byte = |at: usize| u8::from_str_radix(key.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..key.len().min(40)).step_by(2).map(byte).collect();
        // Compares in constant time.
        bytes.is_some_and(|bytes| self.signed(conn).verify_slice(&bytes).is_ok())
    }

    fn signed(&self, conn: ConnectionId) -> Hmac<Sha1> {
        let mut mac = self.mac();
        mac.update(&conn.0.to_be_bytes());
        mac
    }

    /// Stands for an address before those who need not know it: a number that
    /// JavaScript can hold, too.
    fn alias(&self, source: Source) -> u32 {
        let mut mac = self.mac();
        mac.update(b"source");
        mac.update(source.to_string().as_bytes());
        let made = mac.finalize().into_bytes();
        u32::from_be_bytes([made[0], made[1], made[2], made[3]])
    }

    fn mac(&self) -> Hmac<Sha1> {
        Hmac::<Sha1>::new_from_slice(&self.secret).expect("HMAC takes a key of any length")
    }

    /// Who comes and goes may have a line in the log, but not fill it.
    fn is_worth_a_line(&mut self, now: Instant) -> bool {
        let lines = self
            .lines
            .get_or_insert_with(|| Bucket::full(limits::LINES, now));
        lines.take(1.0, now)
    }

    fn send(&mut self, to: ConnectionId, frame: Value) {
        let text = frame.to_string().into();
        self.outputs.push_back(Output::Send { to, text });
    }
}

impl Client {
    /// Counts an ignored frame; only the first of a connection is logged, or a
    /// stranger could fill the log.
    fn ignore(&mut self, conn: ConnectionId, why: &str) {
        if self.ignored == 0 {
            let name = self.named.as_ref().map_or("", |named| named.name.as_str());
            debug!(%conn, name, why, "ignored a frame; further ones are only counted");
        }
        self.ignored = self.ignored.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
