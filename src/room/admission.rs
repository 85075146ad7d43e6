//! Who gets in, and who gives way for it: fair by source, and where all have the same, for
//! whom the place is of use: devices, and people who call them or were called by others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::debug;

use super::limits::TURNS;
use super::{Client, ConnectionId, Output, Room, RoomFull, Source};
use crate::bucket::Bucket;

/// Close code for a place that others are to have (RFC 6455, IANA registry).
pub(crate) const CLOSE_TRY_AGAIN: u16 = 1013;

/// A person who has said and heard nothing for so long, and has no call, gives way.
const IDLE: Duration = Duration::from_secs(60);
/// So does one who has had no call for so long, whatever they say.
const CALLS_NOBODY: Duration = Duration::from_secs(600);
/// A connection is about to name itself; it is let finish.
const NAMING: Duration = Duration::from_secs(2);

impl Room {
    /// Makes a place for a newcomer, or says that there is none.
    pub(super) fn make_place(&mut self, source: Source, now: Instant) -> Result<(), RoomFull> {
        let own = self.clients.values().filter(|c| c.source == source).count();
        let full = self.clients.len() >= self.limits.connections;
        let crowd = own >= self.limits.per_source && !source.is_this_machine();
        if !full && !crowd {
            return Ok(());
        }
        let reserve = self.limits.connections + self.limits.reserve;
        let half = self.limits.connections + self.limits.reserve / 2;
        let viewer = self.reserved.knows_viewer(source) && self.clients.len() < half && !crowd;
        let returns = viewer || self.reserved.knows(source) && self.clients.len() < reserve;
        let gives_way = self
            .of_greedier(source)
            .filter(|_| full && !crowd)
            .or_else(|| self.of_source(source, now))
            .or_else(|| self.nameless(now).filter(|_| !crowd));
        let gives_way = match gives_way {
            None if !crowd && !returns => self.of_no_use(now),
            found => found,
        };
        match gives_way {
            Some(conn) => {
                debug!(%conn, "gives way to a newcomer");
                self.close(conn, CLOSE_TRY_AGAIN, "others wait for a place", now);
                Ok(())
            }
            None if returns => Ok(()),
            None => Err(RoomFull(self.clients.len())),
        }
    }

    /// The least of the network that has most, where that is more than the newcomer's
    /// own will have. The widest networks are looked at first, then those within the
    /// newcomer's.
    fn of_greedier(&self, newcomer: Source) -> Option<ConnectionId> {
        let mut near: Vec<_> = self.clients.iter().collect();
        for (level, here) in newcomer.networks().into_iter().enumerate() {
            let counts = counts(&near, level);
            let own = counts.get(&here).copied().unwrap_or(0);
            let most = counts.into_iter().max_by_key(|(of, count)| (*count, *of));
            let greedy = most.filter(|(of, count)| *of != here && *count > own + 1);
            if let Some((greedy, _)) = greedy {
                near.retain(|(_, client)| client.source.networks()[level] == greedy);
                return least(near, level + 1);
            }
            near.retain(|(_, client)| client.source.networks()[level] == here);
        }
        None
    }

    /// Somebody of the same source who has no name, or has not stirred for long.
    fn of_source(&self, source: Source, now: Instant) -> Option<ConnectionId> {
        let idle = |c: &Client| {
            let quiet = now.saturating_duration_since(c.active_at);
            c.named.is_none() && quiet >= NAMING || !c.device && quiet >= IDLE
        };
        let own = self
            .clients
            .iter()
            .filter(|(_, c)| c.source == source && idle(c));
        own.min_by_key(|(conn, c)| worth(**conn, c))
            .map(|(conn, _)| *conn)
    }

    /// The oldest that has no name, of whatever source.
    fn nameless(&self, now: Instant) -> Option<ConnectionId> {
        let old = |c: &Client| now.saturating_duration_since(c.joined_at) >= NAMING;
        let mut all = self.clients.iter();
        all.find(|(_, c)| c.named.is_none() && old(c))
            .map(|(conn, _)| *conn)
    }

    /// Of all sources, who has the place for nothing; not more often than [`TURNS`] says.
    fn of_no_use(&mut self, now: Instant) -> Option<ConnectionId> {
        let conn = self.idle(now).or_else(|| self.of_many_devices())?;
        let turns = self.turns.get_or_insert_with(|| Bucket::full(TURNS, now));
        turns.take(1.0, now).then_some(conn)
    }

    /// The person, of whatever source, who was quiet for the longest, and has no call.
    fn idle(&self, now: Instant) -> Option<ConnectionId> {
        let idle = |c: &Client| {
            let quiet = now.saturating_duration_since(c.active_at);
            let free = now.saturating_duration_since(c.free_since());
            let is_of_use = c.device || c.named.is_none() || c.has_call(now);
            !is_of_use && (quiet >= IDLE || free >= CALLS_NOBODY)
        };
        let idle = self.clients.iter().filter(|(_, c)| idle(c));
        idle.min_by_key(|(_, c)| c.active_at).map(|(conn, _)| *conn)
    }

    /// Where devices have more than three quarters of the places, the newest that nobody
    /// here has called: anybody can say that they are one.
    fn of_many_devices(&self) -> Option<ConnectionId> {
        let devices = self.clients.values().filter(|c| c.device).count();
        let is_many = 4 * devices > 3 * self.limits.connections;
        let uncalled = |c: &Client| c.device && c.replies.is_empty();
        let newest = self.clients.iter().rev().find(|(_, c)| uncalled(c));
        newest.filter(|_| is_many).map(|(conn, _)| *conn)
    }

    /// Ends a connection; its shell is told, and the room has forgotten it.
    pub(super) fn close(
        &mut self,
        conn: ConnectionId,
        code: u16,
        reason: &'static str,
        now: Instant,
    ) {
        self.outputs.push_back(Output::Close { conn, code, reason });
        self.leave(conn, now);
    }
}

/// How many of these each network has, of those that are so wide.
fn counts(clients: &[(&ConnectionId, &Client)], level: usize) -> HashMap<Source, usize> {
    let mut counts = HashMap::new();
    for (_, client) in clients {
        *counts.entry(client.source.networks()[level]).or_default() += 1;
    }
    counts
}

/// The first of these to give way, of the narrower networks that have most: who has one
/// more than others is not who takes all.
fn least(mut clients: Vec<(&ConnectionId, &Client)>, level: usize) -> Option<ConnectionId> {
    for level in level..Source::LEVELS {
        let counts = counts(&clients, level);
        let most = counts.values().max().copied().unwrap_or(0);
        clients.retain(|(_, c)| counts[&c.source.networks()[level]] + 1 >= most);
    }
    let least = clients.into_iter().min_by_key(|(conn, c)| worth(**conn, c));
    least.map(|(conn, _)| *conn)
}

/// Who gives way first: without a name, then people, then devices; of the first
/// two who has been quiet longest, of devices the newest.
fn worth(conn: ConnectionId, client: &Client) -> (u8, Option<Instant>, std::cmp::Reverse<u64>) {
    let quiet = Some(client.active_at);
    match (&client.named, client.device) {
        (None, _) => (0, quiet, std::cmp::Reverse(0)),
        (Some(_), false) => (1, quiet, std::cmp::Reverse(0)),
        (Some(_), true) => (2, None, std::cmp::Reverse(conn.0)),
    }
}
