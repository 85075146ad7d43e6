//! The user list: one for all, made when it is sent, and not too often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{ConnectionId, Output, Room};

/// At most five lists a second.
const INTERVAL: Duration = Duration::from_millis(200);
/// And not more bytes a second than this in all, however long the list is and
/// however many read it.
const BYTES_PER_SECOND: f64 = 1_000_000.0;

/// When the next list may go, and whether somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct ListPace {
    wanted: bool,
    next_at: Option<Instant>,
}

impl ListPace {
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| self.next_at.unwrap_or(now))
    }
}

impl Room {
    /// Somebody came, went, or has another name: everyone is to know.
    pub(super) fn list_changed(&mut self, now: Instant) {
        for client in self.clients.values_mut() {
            client.listed = false;
        }
        self.list.wanted = true;
        self.send_lists(now);
    }

    /// One is to get the list as it stands.
    pub(super) fn list_for(&mut self, conn: ConnectionId, now: Instant) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.listed = false;
            self.list.wanted = true;
            self.send_lists(now);
        }
    }

    /// Sends the list to those who have not this one, where it is time.
    pub(super) fn send_lists(&mut self, now: Instant) {
        if !self.list.wanted || self.list.next_at.is_some_and(|at| now < at) {
            return;
        }
        self.list.wanted = false;
        let text = self.user_list();
        let mut readers = 0u32;
        for (to, client) in &mut self.clients {
            if !std::mem::replace(&mut client.listed, true) {
                readers += 1;
                let (to, text) = (*to, text.clone());
                self.outputs.push_back(Output::List { to, text });
            }
        }
        let bytes = f64::from(readers) * f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
        let wait = Duration::from_secs_f64(bytes / BYTES_PER_SECOND).max(INTERVAL);
        self.list.next_at = Some(now + wait);
    }

    fn user_list(&self) -> Arc<str> {
        let names: Vec<_> = self.names().map(|(_, name)| name).collect();
        let devices: Vec<_> = self
            .clients
            .values()
            .filter(|client| client.device)
            .filter_map(|client| client.named.as_ref().map(|named| &named.name))
            .collect();
        json!({"type": "userlist", "users": names, "devices": devices})
            .to_string()
            .into()
    }
}
