//! The user list: one for all people and one for all devices, made when it is sent, and
//! not too often. Devices are told the numbers of connections, too: what they know of
//! somebody is to end when that one goes, whoever has the name next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{ConnectionId, Output, Room, Source};
use crate::bucket::{Bucket, Rate};

/// Those who know of an earlier list get at most five a second.
const INTERVAL: Duration = Duration::from_millis(200);
/// And not more bytes than this in all, however long the list is and however many
/// read it: a list as long as they get ([`LONG_LIST`](super::names)) has gone to a
/// full room in two seconds.
const REPEATS: Rate = Rate {
    burst: 4_000_000.0,
    per_second: 4_000_000.0,
};
/// Likewise for those who know of none: they wait for no others.
const FIRSTS: Rate = Rate {
    burst: 1_000_000.0,
    per_second: 1_000_000.0,
};

/// The list as it stands.
#[derive(Debug, Clone)]
struct Texts {
    people: Arc<str>,
    /// The longer one.
    devices: Arc<str>,
}

/// When lists may go, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct ListPace {
    /// When the next may go to those who know one.
    next_at: Option<Instant>,
    buckets: Option<Buckets>,
    /// Made when they are sent.
    texts: Option<Texts>,
    firsts_wait: bool,
    repeats_wait: bool,
}

#[derive(Debug)]
struct Buckets {
    firsts: Bucket,
    repeats: Bucket,
}

impl ListPace {
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        let longest = self.texts.as_ref().map_or(0, |texts| texts.devices.len());
        let cost = longest as f64;
        let due = |of: fn(&Buckets) -> &Bucket| {
            let buckets = self.buckets.as_ref();
            buckets.map_or(now, |buckets| of(buckets).due(cost))
        };
        let firsts = self.firsts_wait.then(|| due(|buckets| &buckets.firsts));
        let repeats = self.repeats_wait.then(|| {
            let due = due(|buckets| &buckets.repeats);
            self.next_at.map_or(due, |at| at.max(due))
        });
        firsts.into_iter().chain(repeats).min()
    }
}

impl Room {
    /// Somebody came, went, or has another name: everyone is to know.
    pub(super) fn list_changed(&mut self, now: Instant) {
        for client in self.clients.values_mut() {
            client.listed = false;
        }
        self.list.texts = None;
        self.send_lists(now);
    }

    /// One is to get the list as it stands.
    pub(super) fn list_for(&mut self, conn: ConnectionId, now: Instant) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.listed = false;
            self.send_lists(now);
        }
    }

    /// Sends the list to those who have not this one, where it is time.
    pub(super) fn send_lists(&mut self, now: Instant) {
        let waiting = self.waiting_for_lists();
        self.list.firsts_wait = waiting.iter().any(|(_, is_first)| *is_first);
        self.list.repeats_wait = waiting.iter().any(|(_, is_first)| !*is_first);
        let is_time = self.list.next_at.is_none_or(|at| now >= at);
        let goes = self.list.firsts_wait || self.list.repeats_wait && is_time;
        if !goes {
            return;
        }
        let texts = match self.list.texts.clone() {
            Some(texts) => texts,
            None => self.user_list(),
        };
        self.list.texts = Some(texts.clone());
        let buckets = self.list.buckets.get_or_insert_with(|| Buckets {
            firsts: Bucket::full(FIRSTS, now),
            repeats: Bucket::full(REPEATS, now),
        });
        let (mut firsts_wait, mut repeats_wait) = (false, false);
        let mut has_repeated = false;
        for (to, is_first) in waiting {
            let device = self.clients.get(&to).is_some_and(|client| client.device);
            let text = if device {
                &texts.devices
            } else {
                &texts.people
            };
            let cost = text.len() as f64;
            let goes = match is_first {
                true => buckets.firsts.take(cost, now),
                false => is_time && buckets.repeats.take(cost, now),
            };
            if let Some(client) = self.clients.get_mut(&to).filter(|_| goes) {
                client.listed = true;
                client.listed_at = Some(now);
                client.is_new &= !is_first;
                has_repeated |= !is_first;
                let text = text.clone();
                self.outputs.push_back(Output::List { to, text });
            } else if is_first {
                firsts_wait = true;
            } else {
                repeats_wait = true;
            }
        }
        self.list.firsts_wait = firsts_wait;
        self.list.repeats_wait = repeats_wait;
        if has_repeated {
            self.list.next_at = Some(now + INTERVAL);
        }
    }

    /// Who is to get a list, and whether it is one of the first that they get: in turn
    /// by source, and of those who waited for longest.
    fn waiting_for_lists(&self) -> Vec<(ConnectionId, bool)> {
        let mut waiting: Vec<_> = self.clients.iter().filter(|(_, c)| !c.listed).collect();
        waiting.sort_by_key(|(conn, client)| (client.listed_at, **conn));
        let mut turns: HashMap<(Source, bool), usize> = HashMap::new();
        let mut waiting: Vec<_> = waiting
            .into_iter()
            .map(|(conn, client)| {
                let is_first = client.is_new;
                let turn = turns.entry((client.source, is_first)).or_default();
                *turn += 1;
                (*turn, *conn, is_first)
            })
            .collect();
        waiting.sort_by_key(|(turn, ..)| *turn);
        waiting
            .into_iter()
            .map(|(_, conn, is_first)| (conn, is_first))
            .collect()
    }

    fn user_list(&self) -> Texts {
        let (conns, names): (Vec<_>, Vec<_>) =
            self.names().map(|(conn, name)| (conn.0, name)).unzip();
        let devices: Vec<_> = self
            .clients
            .values()
            .filter(|client| client.device)
            .filter_map(|client| client.named.as_ref().map(|named| &named.name))
            .collect();
        let mut list = json!({"type": "userlist", "users": names, "devices": devices});
        let people = list.to_string().into();
        list["conns"] = conns.into();
        let devices = list.to_string().into();
        Texts { people, devices }
    }
}
