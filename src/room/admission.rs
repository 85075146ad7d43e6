//! Who gets in, and who gives way for it: fair by source.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::debug;

use super::{Client, ConnectionId, Output, Room, RoomFull, Source};

/// Close code for a place that others are to have (RFC 6455, IANA registry).
pub(crate) const CLOSE_TRY_AGAIN: u16 = 1013;

/// A person who has said and heard nothing for so long gives way to somebody of
/// the same source.
const IDLE: Duration = Duration::from_secs(60);
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
        let returns = self.reserved.knows(source) && self.clients.len() < reserve;
        let gives_way = self
            .of_greedier(source, own)
            .filter(|_| full && !crowd)
            .or_else(|| self.of_source(source, now))
            .or_else(|| self.nameless(now).filter(|_| !crowd));
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

    /// The least of the source that has most, where that is more than the
    /// newcomer's own will have.
    fn of_greedier(&self, source: Source, own: usize) -> Option<ConnectionId> {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for client in self.clients.values() {
            *counts.entry(client.source).or_default() += 1;
        }
        let most = counts
            .into_iter()
            .max_by_key(|(source, count)| (*count, *source));
        let (greedy, _) = most.filter(|(greedy, count)| *greedy != source && *count > own + 1)?;
        let of_them = self.clients.iter().filter(|(_, c)| c.source == greedy);
        of_them
            .min_by_key(|(conn, c)| worth(**conn, c))
            .map(|(conn, _)| *conn)
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
