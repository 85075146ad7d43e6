//! The chat room: who is here under which name, and who gets which frame.
//!
//! A drop-in for the original *webrtc-from-chat* server's logic: the same
//! messages, relaying and renaming. Unlike the original it survives anything a
//! client sends, and it vouches for the sender: every relayed frame carries
//! the `name` the room knows its sender by, whatever the sender wrote.
//!
//! Pure: frames and times in, [`Output`]s out. No IO, no clock, no runtime;
//! [`crate::chat`] is the shell around it.
//!
//! ```
//! # use camera_agent::room::{Limits, Output, Room};
//! # let now = std::time::Instant::now();
//! let mut room = Room::new(1, Limits::default());
//! let alice = room.join(now)?;
//! room.receive(alice, r#"{"type":"username","name":"alice","id":1}"#, now);
//! while let Some(output) = room.next_output() {
//!     if let Output::Send { to, text } = output {
//!         assert_eq!(to, alice); // the id, the user list as it was, the new one
//!         # let _ = text;
//!     }
//! }
//! # Ok::<(), camera_agent::room::RoomFull>(())
//! ```

mod limiter;
mod names;
mod tags;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tracing::{debug, info};

use crate::wire::{MAX_FRAME_BYTES, UserName};
use limiter::{Limiter, Verdict};
use tags::without_tags;

/// Close code for a peer that breaks the rules (RFC 6455 §7.4.1).
pub const CLOSE_POLICY: u16 = 1008;

/// Price of a frame that is sent on to everyone, or that is junk, beyond the
/// price of its bytes.
const COSTLY: u32 = 4;

/// Longest frame that goes to everyone: a chat line or a hang-up. Larger ones,
/// times all clients, would fill the queues of those who read slowly.
const MAX_BROADCAST_BYTES: usize = 8 * 1024;

/// Frames of this type come from the server alone; one that a client sends is
/// not relayed, or it could rename or blind another client.
const SERVER_ONLY: [&str; 3] = ["id", "rejectusername", "userlist"];

/// How much the room takes before it drops something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Frames a connection may send at once. A small frame costs one, a big or
    /// a costly one more. A call is some twenty frames of trickle ICE, and a
    /// camera may answer many callers in the same second.
    pub burst: u32,
    /// Frames a second a connection earns back.
    pub per_second: u32,
    /// Frames dropped for going over the rate, without a calm pause between,
    /// after which the connection is closed.
    pub abuse: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            burst: 400,
            per_second: 60,
            abuse: 200,
        }
    }
}

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
    /// Send one text frame.
    Send {
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
struct Client {
    name: Option<UserName>,
    device: bool,
    limiter: Limiter,
    /// Frames ignored so far: the first is logged, the sum at the end.
    ignored: u64,
}

/// The room. Drain [`Room::next_output`] after every other call: that is what
/// bounds the queue.
#[derive(Debug)]
pub struct Room {
    limits: Limits,
    next_id: u64,
    clients: BTreeMap<ConnectionId, Client>,
    outputs: VecDeque<Output>,
}

impl Room {
    /// An empty room. `first_id` numbers the first connection, the following
    /// ones count up; the original server starts at the wall clock in ms since
    /// 1970, so that ids do not repeat over restarts.
    pub fn new(first_id: u64, limits: Limits) -> Self {
        Self {
            limits,
            next_id: first_id,
            clients: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A connection opened: it gets its `id` and the user list as it stands.
    ///
    /// # Errors
    /// [`RoomFull`] at the limit of connections; nothing changed then.
    pub fn join(&mut self, now: Instant) -> Result<ConnectionId, RoomFull> {
        if self.clients.len() >= self.limits.connections {
            return Err(RoomFull(self.clients.len()));
        }
        let conn = ConnectionId(self.next_id);
        self.next_id += 1;
        self.clients.insert(
            conn,
            Client {
                name: None,
                device: false,
                limiter: Limiter::new(&self.limits, now),
                ignored: 0,
            },
        );
        self.send(conn, json!({"type": "id", "id": conn.0}));
        let list = self.user_list();
        self.send_text(conn, list);
        debug!(%conn, "connected");
        Ok(conn)
    }

    /// A text frame came. Whatever it holds, the worst that happens is that
    /// `conn` itself is closed. An unknown `conn` is ignored.
    pub fn receive(&mut self, conn: ConnectionId, text: &str, now: Instant) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        if let Err(verdict) = client.limiter.spend(frame_cost(text), now) {
            return self.over_the_rate(conn, verdict);
        }
        if let Err(verdict) = self.take(conn, text, now) {
            match verdict {
                Refused::Rate(verdict) => self.over_the_rate(conn, verdict),
                Refused::Ignored(why) => {
                    if let Some(client) = self.clients.get_mut(&conn) {
                        client.ignore(conn, why);
                        // Junk is dear, so that a stream of it ends in a close.
                        if let Err(verdict) = client.limiter.spend(COSTLY, now) {
                            self.over_the_rate(conn, verdict);
                        }
                    }
                }
            }
        }
    }

    /// A connection ended. An unknown `conn` is ignored.
    pub fn leave(&mut self, conn: ConnectionId) {
        let Some(client) = self.clients.remove(&conn) else {
            return;
        };
        let ignored = client.ignored;
        match client.name {
            Some(name) => {
                info!(%conn, %name, ignored, "left the chat");
                self.list_to_all();
            }
            None => debug!(%conn, ignored, "disconnected without a name"),
        }
    }

    /// The next thing to do, until `None`.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The names in force, in the order in which their owners connected.
    pub fn names(&self) -> impl Iterator<Item = (ConnectionId, &UserName)> {
        self.clients
            .iter()
            .filter_map(|(conn, client)| Some((*conn, client.name.as_ref()?)))
    }

    fn take(&mut self, conn: ConnectionId, text: &str, now: Instant) -> Result<(), Refused> {
        if text.len() > MAX_FRAME_BYTES {
            return Err(Refused::Ignored("frame over the size limit"));
        }
        let Ok(Value::Object(frame)) = serde_json::from_str(text) else {
            return Err(Refused::Ignored("not a JSON object"));
        };
        match frame.get("type").and_then(Value::as_str) {
            Some("username") => self.claim_name(conn, &frame, now),
            Some(kind) if SERVER_ONLY.contains(&kind) => {
                Err(Refused::Ignored("a message type of the server's own"))
            }
            Some(kind) => {
                let is_chat = kind == "message";
                self.relay(conn, frame, is_chat, now)
            }
            None => Err(Refused::Ignored("no \"type\"")),
        }
    }

    fn claim_name(
        &mut self,
        conn: ConnectionId,
        frame: &Map<String, Value>,
        now: Instant,
    ) -> Result<(), Refused> {
        if frame.get("id").and_then(Value::as_u64) != Some(conn.0) {
            return Err(Refused::Ignored("\"username\" with an id not its own"));
        }
        let wanted = frame.get("name").and_then(Value::as_str).unwrap_or("");
        let device = frame.get("device") == Some(&Value::Bool(true));
        let client = self.clients.get_mut(&conn).expect("receive() looked it up");
        client.limiter.spend(COSTLY, now).map_err(Refused::Rate)?;
        let before = (client.name.clone(), client.device);

        let holder = |name: &UserName| {
            let mut others = self.names().filter(|(c, _)| *c != conn);
            others.find_map(|(c, n)| (n == name).then_some(c))
        };
        let taken = |name: &UserName| holder(name).is_some();
        let in_the_way = UserName::parse(wanted).ok().and_then(|name| holder(&name));
        let name = match UserName::parse(wanted) {
            Ok(name) if !taken(&name) => name,
            Ok(name) => names::numbered(&name, taken),
            Err(_) => match &before.0 {
                Some(name) => name.clone(),
                None => names::numbered(&names::guest(), taken),
            },
        };
        if let Some(conn) = in_the_way {
            self.outputs.push_back(Output::Check { conn });
        }
        if name.as_str() != wanted {
            self.send(
                conn,
                json!({"type": "rejectusername", "id": conn.0, "name": name}),
            );
        }
        let after = (Some(name), device);
        if after == before {
            let list = self.user_list();
            self.send_text(conn, list);
            return Ok(());
        }
        if let Some(name) = &after.0 {
            match &before.0 {
                None => info!(%conn, %name, device, "joined the chat"),
                Some(old) if old != name => info!(%conn, %old, %name, "changed the name"),
                Some(_) => debug!(%conn, %name, device, "changed its kind"),
            }
        }
        let client = self.clients.get_mut(&conn).expect("receive() looked it up");
        (client.name, client.device) = after;
        self.list_to_all();
        Ok(())
    }

    fn relay(
        &mut self,
        conn: ConnectionId,
        mut frame: Map<String, Value>,
        is_chat: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        let client = self.clients.get_mut(&conn).expect("receive() looked it up");
        let Some(name) = client.name.clone() else {
            return Err(Refused::Ignored("a message before a username"));
        };
        if is_chat {
            let id = frame.get("id");
            if id.is_some() && id.and_then(Value::as_u64) != Some(conn.0) {
                return Err(Refused::Ignored("\"message\" with an id not its own"));
            }
            match frame.get_mut("text") {
                Some(Value::String(text)) => *text = without_tags(text),
                _ => return Err(Refused::Ignored("\"message\" without text")),
            }
        }
        frame.insert("name".into(), name.as_str().into());
        let target = match frame.get("target") {
            None | Some(Value::Null) => None,
            Some(Value::String(target)) => Some(target.clone()).filter(|t| !t.is_empty()),
            Some(_) => return Err(Refused::Ignored("a target that is no name")),
        };
        match target {
            Some(target) => {
                let owner = self.names().find(|(_, name)| name.as_str() == target);
                // A target that is not there: dropped in silence, as the
                // original does. Clients tell from the user list.
                if let Some((to, _)) = owner {
                    self.send(to, Value::Object(frame));
                }
            }
            None => {
                client.limiter.spend(COSTLY, now).map_err(Refused::Rate)?;
                let text = Value::Object(frame).to_string();
                if text.len() > MAX_BROADCAST_BYTES {
                    return Err(Refused::Ignored("too long a message for everyone"));
                }
                self.send_to_all(text.into());
            }
        }
        Ok(())
    }

    fn over_the_rate(&mut self, conn: ConnectionId, verdict: Verdict) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        client.ignore(conn, "over the rate limit");
        if verdict == Verdict::Close {
            self.outputs.push_back(Output::Close {
                conn,
                code: CLOSE_POLICY,
                reason: "too many messages",
            });
            self.leave(conn);
        }
    }

    fn user_list(&self) -> Arc<str> {
        let names: Vec<_> = self.names().map(|(_, name)| name).collect();
        let devices: Vec<_> = self
            .clients
            .values()
            .filter(|client| client.device)
            .filter_map(|client| client.name.as_ref())
            .collect();
        json!({"type": "userlist", "users": names, "devices": devices})
            .to_string()
            .into()
    }

    fn list_to_all(&mut self) {
        let list = self.user_list();
        self.send_to_all(list);
    }

    fn send_to_all(&mut self, text: Arc<str>) {
        self.outputs
            .extend(self.clients.keys().map(|to| Output::Send {
                to: *to,
                text: text.clone(),
            }));
    }

    fn send(&mut self, to: ConnectionId, frame: Value) {
        self.send_text(to, frame.to_string().into());
    }

    fn send_text(&mut self, to: ConnectionId, text: Arc<str>) {
        self.outputs.push_back(Output::Send { to, text });
    }
}

impl Client {
    /// Counts an ignored frame; only the first of a connection is logged, or a
    /// stranger could fill the log.
    fn ignore(&mut self, conn: ConnectionId, why: &str) {
        if self.ignored == 0 {
            let name = self.name.as_ref().map_or("", UserName::as_str);
            debug!(%conn, name, why, "ignored a frame; further ones are only counted");
        }
        self.ignored = self.ignored.saturating_add(1);
    }
}

/// Why a frame went nowhere.
enum Refused {
    Ignored(&'static str),
    Rate(Verdict),
}

/// A frame's price: one, and one more for every 2 KiB. An SDP costs about five.
fn frame_cost(text: &str) -> u32 {
    1 + u32::try_from(text.len() / 2048).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests;
