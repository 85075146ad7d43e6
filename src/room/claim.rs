//! Names: who may have which.

use std::time::Instant;

use hmac::Mac;
use serde_json::{Map, Value, json};
use tracing::{debug, info};

use super::names::{LONG_LIST, LONG_OF_ALL, LONG_OF_ONE, Look, Looks, Name};
use super::reserved::Kept;
use super::{COSTLY, ConnectionId, Named, Output, Refused, Room, Source};

/// Close code for a connection that its own client has left behind.
const CLOSE_REPLACED: u16 = 1000;

impl Room {
    pub(super) fn claim_name(
        &mut self,
        conn: ConnectionId,
        frame: &Map<String, Value>,
        now: Instant,
    ) -> Result<(), Refused> {
        if frame.get("id").and_then(Value::as_u64) != Some(conn.0) {
            return Err(Refused::Ignored("\"username\" with an id not its own"));
        }
        let wanted = frame.get("name").and_then(Value::as_str).unwrap_or("");
        let says = |field: &str| frame.get(field) == Some(&Value::Bool(true));
        let key = frame.get("key").and_then(Value::as_str);
        let client = self.clients.get_mut(&conn).expect("receive() looked it up");
        client.limiter.spend(COSTLY, now).map_err(Refused::Rate)?;
        if !client.renames.take(1.0, now) {
            return Err(Refused::Ignored("too many names"));
        }
        let device = client.device || says("device");
        let before = client.named.as_ref().map(|named| named.name.clone());
        let kind_before = (before.clone(), client.device);
        client.stamped = client.stamped || device || says("stamped");

        let wish = Name::of(wanted).or_else(|| before.clone());
        let name = match &wish {
            Some(wish) if kind_before == (Some(wish.clone()), device) => wish.clone(),
            Some(wish) => self.free_name(conn, wish, device, key, now),
            None => self.numbered(conn, &Name::guest(), device, now),
        };
        if name.as_str() != wanted {
            self.send(
                conn,
                json!({"type": "rejectusername", "id": conn.0, "name": name}),
            );
        }
        if (Some(&name), device) == (kind_before.0.as_ref(), kind_before.1) {
            self.list_for(conn, now);
            return Ok(());
        }
        match &before {
            None if self.is_worth_a_line(now) => {
                info!(%conn, %name, device, "joined the chat");
            }
            Some(old) if *old != name && self.is_worth_a_line(now) => {
                info!(%conn, %old, %name, "changed the name");
            }
            Some(_) | None => debug!(%conn, %name, device, "has a name"),
        }
        let look = Look::of(&name);
        let client = self.clients.get_mut(&conn).expect("receive() looked it up");
        client.device = device;
        client.is_new |= before.is_none();
        client.named = Some(Named { name, look });
        self.list_changed(now);
        Ok(())
    }

    /// The name itself where it is free for this client, else one with a number.
    fn free_name(
        &mut self,
        conn: ConnectionId,
        wish: &Name,
        device: bool,
        key: Option<&str>,
        now: Instant,
    ) -> Name {
        let look = Look::of(wish);
        let keeps_off = self.keeps_off(conn, device);
        let is_taken = |other: &Look, other_is_device: bool, source: Source| match other_is_device
            && keeps_off(source)
        {
            true => look.is_near(other),
            false => look.is_like(other),
        };
        let in_the_way = self.clients.iter().filter(|(other, _)| **other != conn);
        let in_the_way: Vec<_> = in_the_way
            .filter_map(|(other, client)| {
                let named = client.named.as_ref()?;
                is_taken(&named.look, client.device, client.source)
                    .then_some((*other, named.name == *wish))
            })
            .collect();
        let own = self.had_before(&look, device, key, now);
        if let [(old, true)] = in_the_way[..]
            && self.clients.get(&old).is_some_and(|c| !c.device || device)
        {
            // The same client, before this room has missed its other connection; or
            // one that took the name for coming from where the device had been.
            let is_same = key.is_some_and(|key| self.is_key(old, key));
            if is_same || own.is_some_and(|(_, is_first)| is_first) {
                if is_same {
                    self.goes_on(old, conn);
                }
                self.close(old, CLOSE_REPLACED, "connected again elsewhere", now);
                if let Some((before, _)) = own {
                    self.is_back(before, conn);
                }
                self.reserved.release(old);
                return wish.clone();
            }
        }
        for (conn, _) in &in_the_way {
            self.outputs.push_back(Output::Check { conn: *conn });
        }
        let source = self.clients.get(&conn).map(|client| client.source);
        let is_of_here = |kept: &Kept| device && Some(kept.source) == source;
        let is_kept = self.reserved.names(now).any(|kept| {
            let is_own = is_of_here(kept) || own.is_some() && look.is_like(&kept.look);
            is_taken(&kept.look, true, kept.source) && !is_own
        });
        if !in_the_way.is_empty() || is_kept {
            return self.numbered(conn, wish, device, now);
        }
        let is_of_here = |kept: &Kept| is_of_here(kept) && look.is_like(&kept.look);
        let is_back = own.is_some() || self.reserved.names(now).any(is_of_here);
        if let Some((before, _)) = own {
            self.is_back(before, conn);
        }
        match is_back || self.has_room_for(conn, wish) {
            true => wish.clone(),
            false => self.free_name(conn, &wish.shortened(), device, key, now),
        }
    }

    /// The device of `conn` had connection `before`, which has gone.
    fn is_back(&mut self, before: ConnectionId, conn: ConnectionId) {
        self.goes_on(before, conn);
        self.reserved.release(before);
    }

    /// The client of `conn` had connection `before`: its calls are the same.
    fn goes_on(&mut self, before: ConnectionId, conn: ConnectionId) {
        for other in self.clients.values_mut() {
            other.finds(before, conn);
        }
        let was = self.clients.get(&before);
        let had = was.map(|was| (was.calls.clone(), was.is_viewer, was.free_since));
        if let Some((had, client)) = had.zip(self.clients.get_mut(&conn)) {
            client.goes_on(had);
        }
    }

    /// The connection under which a device had this name, by the key that it shows,
    /// and whether nobody had a claim on the name before it.
    fn had_before(
        &self,
        look: &Look,
        device: bool,
        key: Option<&str>,
        now: Instant,
    ) -> Option<(ConnectionId, bool)> {
        let key = key.filter(|_| device)?;
        let mut kept = self.reserved.names(now);
        kept.find(|kept| look.is_like(&kept.look) && self.is_key(kept.conn, key))
            .map(|kept| (kept.conn, kept.is_first))
    }

    /// A name with a number that is free for this client.
    fn numbered(&self, conn: ConnectionId, wish: &Name, device: bool, now: Instant) -> Name {
        let taken = self.taken(conn, device, now);
        let base = match self.has_room_for(conn, wish) {
            true => wish.clone(),
            false => wish.shortened(),
        };
        let drawn = |draw: u64| {
            let mut mac = self.signed(conn);
            mac.update(base.as_str().as_bytes());
            mac.update(&draw.to_be_bytes());
            let made = mac.finalize().into_bytes();
            u64::from(u32::from_be_bytes([made[0], made[1], made[2], made[3]]))
        };
        base.numbered(drawn, |name| taken.take(name))
    }

    /// Whether the list of all stays short with this name in it, or the name is. A
    /// source has room for one when others have filled theirs.
    fn has_room_for(&self, conn: ConnectionId, name: &Name) -> bool {
        if name.is_short() {
            return true;
        }
        let source = |conn| self.clients.get(&conn).map(|client| client.source);
        let here = source(conn);
        let (mut all, mut own) = (name.as_str().len(), name.as_str().len());
        for (other, name) in self.names().filter(|(other, _)| *other != conn) {
            all += name.as_str().len();
            if !name.is_short() && source(other) == here {
                own += name.as_str().len();
            }
        }
        all <= LONG_LIST || own <= LONG_OF_ONE && all <= LONG_LIST + LONG_OF_ALL
    }

    /// Whether a client may not come near to the name of a device at `source`.
    /// Only another device may, of the same household: anybody can say that they
    /// are one.
    fn keeps_off(&self, conn: ConnectionId, device: bool) -> impl Fn(Source) -> bool + use<> {
        let own = self.clients.get(&conn).map(|client| client.source);
        move |source| !device || own != Some(source)
    }

    /// What nobody else can be called.
    fn taken(&self, conn: ConnectionId, device: bool, now: Instant) -> Looks<'_> {
        let mut taken = Looks::default();
        let keeps_off = self.keeps_off(conn, device);
        let others = self.clients.iter().filter(|(other, _)| **other != conn);
        for (_, client) in others {
            if let Some(named) = &client.named {
                taken.add(&named.look, client.device && keeps_off(client.source));
            }
        }
        for kept in self.reserved.names(now) {
            taken.add(&kept.look, keeps_off(kept.source));
        }
        taken
    }
}
