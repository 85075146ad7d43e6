//! Frames from one connection to another, or to everyone: who may send them, and
//! who pays.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use super::limits::OFFERS;
use super::tags::without_tags;
use super::{COSTLY, Calls, Client, ConnectionId, Fare, Output, Read, Refused, Room};
use crate::bucket::Bucket;
use crate::wire::MAX_FRAME_BYTES;

/// Frames of this type come from the server alone; one that a client sends is
/// not relayed, or it could rename or blind another client.
pub(super) const SERVER_ONLY: [&str; 3] = ["id", "rejectusername", "userlist"];

/// What is for one and never for everyone.
const PERSONAL: [&str; 3] = ["video-offer", "video-answer", "new-ice-candidate"];

/// Longest frame that goes to everyone: a chat line or a hang-up. Larger ones,
/// times all clients, would fill the queues of those who read slowly.
const MAX_BROADCAST_BYTES: usize = 8 * 1024;

/// What the room writes into a frame: the sender's name, connection and address.
const STAMP_BYTES: usize = 1024;

/// Longest reason of a hang-up, in characters; pages show 200.
const MAX_REASON: usize = 250;

/// What some programs write before an SDP; who reads it passes that over.
const BEFORE_AN_SDP: [char; 5] = ['\u{FEFF}', ' ', '\t', '\r', '\n'];

/// What a call costs beside its bytes, and what it pays for answers: an SDP, and
/// some thirty frames of trickle ICE.
const OFFER: u32 = 4;
const ANSWERS: u32 = 40;
/// Connections of which one remembers who called and who has paid.
const PEERS: usize = 64;

impl Room {
    pub(super) fn relay(
        &mut self,
        conn: ConnectionId,
        mut frame: Map<String, Value>,
        fare: Fare,
        now: Instant,
    ) -> Result<Read, Refused> {
        let client = self.clients.get(&conn).expect("receive() looked it up");
        let Some(named) = &client.named else {
            return Err(Refused::Ignored("a message before a username"));
        };
        check(conn, &mut frame)?;
        frame.insert("name".into(), named.name.as_str().into());
        for ours in ["conn", "source", "network"] {
            frame.remove(ours);
        }
        let target = match frame.get("target") {
            None | Some(Value::Null) => None,
            Some(Value::String(target)) => Some(target.clone()).filter(|t| !t.is_empty()),
            Some(_) => return Err(Refused::Ignored("a target that is no name")),
        };
        match target {
            Some(target) => {
                let owner = self.names().find(|(_, name)| name.as_str() == target);
                match owner.map(|(to, _)| to) {
                    Some(to) => self.relay_to(conn, to, frame, fare, now),
                    // A target that is not there: dropped in silence, as the
                    // original does. Clients tell from the user list.
                    None => self.pay(conn, fare, now).map(|()| Read::ByNobody),
                }
            }
            None => {
                self.pay(conn, fare, now)?;
                self.relay_to_all(conn, frame, now).map(|()| Read::ByOthers)
            }
        }
    }

    fn relay_to(
        &mut self,
        conn: ConnectionId,
        to: ConnectionId,
        mut frame: Map<String, Value>,
        fare: Fare,
        now: Instant,
    ) -> Result<Read, Refused> {
        let is_offer = is(&frame, "video-offer");
        let (answers, hangs_up) = (is(&frame, "video-answer"), is(&frame, "hang-up"));
        if self.clients.get(&to).is_some_and(|reader| reader.stamped) {
            self.stamp(conn, &mut frame);
        }
        // A number or a name may be written longer than it came.
        let text: Arc<str> = Value::Object(frame).to_string().into();
        if text.len() > MAX_FRAME_BYTES + STAMP_BYTES {
            return Err(Refused::Ignored("over the size limit as it is sent on"));
        }
        let cost = fare.cost.max(super::frame_cost(text.len()));
        let client = self.clients.get_mut(&conn).expect("relay() looked it up");
        match client.replies.get_mut(&to) {
            // Whoever called has paid for this.
            Some(left) if *left >= cost && !is_offer => {
                *left -= cost;
                if fare.paid {
                    client.limiter.refund(fare.cost);
                }
            }
            Some(_) | None => {
                let more = cost - if fare.paid { fare.cost } else { 0 };
                client.limiter.spend(more, now).map_err(Refused::Rate)?;
            }
        }
        if is_offer {
            self.pay_for_call(conn, to, now)?;
        }
        let is_answer = answers && self.clients.get(&conn).is_some_and(|c| c.device);
        if hangs_up && let Some(client) = self.clients.get_mut(&conn) {
            client.hangs_up(to, now);
        }
        let read = match to == conn {
            true => Read::ByNobody,
            false => Read::ByOthers,
        };
        let Some(reader) = self.clients.get_mut(&to) else {
            return Ok(read);
        };
        if read == Read::ByOthers {
            reader.active_at = now;
        }
        if is_answer && read == Read::ByOthers {
            reader.is_answered_by(conn, now);
        }
        if hangs_up {
            reader.hangs_up(conn, now);
        }
        self.outputs.push_back(Output::Relay {
            from: conn,
            to,
            text,
        });
        Ok(read)
    }

    /// Says where a frame comes from: its connection, and what stands for its
    /// address where there is one to tell, and for the network that this is a part of.
    fn stamp(&self, conn: ConnectionId, frame: &mut Map<String, Value>) {
        frame.insert("conn".into(), conn.0.into());
        let source = self.clients.get(&conn).map(|client| client.source);
        if let Some(source) = source.filter(|source| !source.is_this_machine()) {
            frame.insert("source".into(), self.alias(source).into());
            let network = source.widest();
            if network != source {
                frame.insert("network".into(), self.alias(network).into());
            }
        }
    }

    /// A call costs more than its frame, and pays for what answers it: nobody is
    /// to go over their rate for being called.
    fn pay_for_call(
        &mut self,
        conn: ConnectionId,
        to: ConnectionId,
        now: Instant,
    ) -> Result<(), Refused> {
        let client = self.clients.get_mut(&conn).expect("relay() looked it up");
        client.limiter.spend(OFFER, now).map_err(Refused::Rate)?;
        if client.offers.len() >= PEERS && !client.offers.contains_key(&to) {
            let oldest = client.offers.keys().min().copied();
            oldest.and_then(|oldest| client.offers.remove(&oldest));
        }
        let calls = client.offers.entry(to);
        if !calls
            .or_insert_with(|| Bucket::full(OFFERS, now))
            .take(1.0, now)
        {
            return Err(Refused::Ignored("too many calls to one"));
        }
        if let Some(called) = self.clients.get_mut(&to).filter(|_| to != conn) {
            called.is_paid_by(conn);
        }
        Ok(())
    }

    fn relay_to_all(
        &mut self,
        conn: ConnectionId,
        frame: Map<String, Value>,
        now: Instant,
    ) -> Result<(), Refused> {
        if frame
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|t| PERSONAL.contains(&t))
        {
            return Err(Refused::Ignored("a call to everyone"));
        }
        let plain: Arc<str> = Value::Object(frame.clone()).to_string().into();
        if plain.len() > MAX_BROADCAST_BYTES {
            return Err(Refused::Ignored("too long a message for everyone"));
        }
        let bytes = plain.len() * self.clients.len();
        let cost = COSTLY + u32::try_from(bytes / 2048).unwrap_or(u32::MAX - COSTLY);
        let client = self.clients.get_mut(&conn).expect("relay() looked it up");
        client.limiter.spend(cost, now).map_err(Refused::Rate)?;
        if is(&frame, "hang-up") {
            // The original page says so to everybody.
            client.calls.clear();
            client.free_since = now;
            for other in self.clients.values_mut() {
                other.hangs_up(conn, now);
            }
        }
        let mut frame = frame;
        self.stamp(conn, &mut frame);
        let stamped: Arc<str> = Value::Object(frame).to_string().into();
        let relayed = self.clients.iter().map(|(to, reader)| Output::Relay {
            from: conn,
            to: *to,
            text: if reader.stamped {
                stamped.clone()
            } else {
                plain.clone()
            },
        });
        self.outputs.extend(relayed);
        Ok(())
    }
}

impl Client {
    /// A device has answered it.
    fn is_answered_by(&mut self, device: ConnectionId, now: Instant) {
        self.is_viewer = true;
        if self.calls.len() >= PEERS {
            self.free_since = self.free_since();
            self.calls.retain(|_, until| counts(*until, now));
        }
        if self.calls.len() < PEERS {
            self.calls.insert(device, None);
        }
    }

    /// A call with this device, if there is one, is over.
    pub(super) fn hangs_up(&mut self, device: ConnectionId, now: Instant) {
        if self.calls.remove(&device).is_some() {
            self.free_since = now;
        }
    }

    /// This device has gone from the chat. Media may flow, and it come back by then.
    pub(super) fn misses(&mut self, device: ConnectionId, until: Instant) {
        if let Some(call) = self.calls.get_mut(&device) {
            *call = Some(until);
        }
    }

    /// It had another connection, and what calls that had.
    pub(super) fn goes_on(&mut self, (calls, is_viewer, free_since): (Calls, bool, Instant)) {
        for (device, until) in calls {
            if self.calls.len() < PEERS {
                self.calls.entry(device).or_insert(until);
            }
        }
        self.is_viewer |= is_viewer;
        self.free_since = free_since;
    }

    /// The device that was `before` is back.
    pub(super) fn finds(&mut self, before: ConnectionId, device: ConnectionId) {
        if self.calls.remove(&before).is_some() {
            self.calls.insert(device, None);
        }
    }

    pub(super) fn has_call(&self, now: Instant) -> bool {
        self.calls.values().any(|until| counts(*until, now))
    }

    /// Since when it has had no call, where it has none.
    pub(super) fn free_since(&self) -> Instant {
        let last = self.calls.values().flatten().max();
        last.map_or(self.free_since, |last| self.free_since.max(*last))
    }

    fn is_paid_by(&mut self, caller: ConnectionId) {
        if self.replies.len() >= PEERS && !self.replies.contains_key(&caller) {
            let oldest = self.replies.keys().min().copied();
            oldest.and_then(|oldest| self.replies.remove(&oldest));
        }
        let paid = self.replies.entry(caller).or_default();
        *paid = (*paid + ANSWERS).min(2 * ANSWERS);
    }
}

/// A call counts, whose device has gone from the chat or not.
fn counts(until: Option<Instant>, now: Instant) -> bool {
    until.is_none_or(|until| now < until)
}

/// What can be told of a frame before it is known to whom it goes.
fn check(conn: ConnectionId, frame: &mut Map<String, Value>) -> Result<(), Refused> {
    match frame.get("type").and_then(Value::as_str) {
        Some("message") => {
            let id = frame.get("id");
            if id.is_some() && id.and_then(Value::as_u64) != Some(conn.0) {
                return Err(Refused::Ignored("\"message\" with an id not its own"));
            }
            match frame.get_mut("text") {
                Some(Value::String(text)) => *text = without_tags(text),
                _ => return Err(Refused::Ignored("\"message\" without text")),
            }
        }
        Some("video-offer" | "video-answer") => {
            // Cheap to see here, and dear for whoever is called.
            let sdp = frame
                .get("sdp")
                .and_then(|sdp| sdp.get("sdp"))
                .and_then(Value::as_str);
            let begins = |sdp: &str| sdp.trim_start_matches(BEFORE_AN_SDP).starts_with("v=0");
            if !sdp.is_some_and(begins) {
                return Err(Refused::Ignored("a call without an SDP"));
            }
        }
        Some("hang-up") => {
            if let Some(Value::String(reason)) = frame.get_mut("reason")
                && let Some((end, _)) = reason.char_indices().nth(MAX_REASON)
            {
                reason.truncate(end);
            }
        }
        Some(_) | None => {}
    }
    Ok(())
}

fn is(frame: &Map<String, Value>, kind: &str) -> bool {
    frame.get("type").and_then(Value::as_str) == Some(kind)
}
