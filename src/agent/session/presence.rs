//! Who is still there, by the chat server's word: whose connection a call belongs to. A
//! name is anybody's as soon as its owner has left; the number of a connection is never
//! given again. Where the server gives no numbers, as the original, there are only names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ABSENT_RTCP_TIMEOUT, Path, Session, SessionId, Sessions};
use crate::access::Guest;
use crate::wire::{ClientId, UserName};

/// What came from the caller so soon after their connection went may have been under way.
const UNDER_WAY: Duration = Duration::from_secs(2);

impl Session {
    /// True where what came from `conn` is not the caller's, whatever the name.
    pub(in crate::agent) fn is_of_another(&self, conn: Option<&ClientId>) -> bool {
        matches!((&self.conn, conn), (Some(own), Some(conn)) if own != conn)
    }

    /// The caller is in this list, or may be.
    fn is_in(&mut self, users: &[UserName], conns: Option<&[ClientId]>) -> bool {
        let (Some(own), Some(conns)) = (&self.conn, conns) else {
            return users.contains(&self.caller);
        };
        let is_there = conns.contains(own);
        self.is_numbered |= is_there;
        // A number of another server's says nothing, but the name may be theirs.
        is_there || !self.is_numbered && users.contains(&self.caller)
    }

    /// Something came from the caller on the path. Who is heard of after their connection
    /// to the chat server went has another one, where somebody has their name: that may be
    /// they, and there are only names until they say something.
    pub(super) fn is_heard_of(&mut self, now: Instant) {
        let is_after = self.absent.is_some_and(|since| now > since + UNDER_WAY);
        if is_after && self.listed {
            self.absent = None;
            self.is_numbered = false;
        }
    }

    /// Since when the caller is gone, as far as that counts: who put the call on hold sends
    /// nothing by which to tell another connection of theirs from another's.
    pub(super) fn gone_since(&self) -> Option<Instant> {
        self.absent.filter(|_| !(self.is_on_hold() && self.listed))
    }

    /// The caller is not in the user list.
    fn is_absent(&mut self, now: Instant) {
        match self.path {
            // The network went first, and the name for that reason.
            Path::Up { last_rtcp } if now >= last_rtcp + ABSENT_RTCP_TIMEOUT => {}
            Path::Up { .. } | Path::Connecting { .. } => {
                self.absent.get_or_insert(now);
            }
        }
    }
}

impl Sessions {
    /// Calls of this name, whoever has it now, in the order in which they were opened.
    pub(in crate::agent) fn of_name(
        &self,
        name: &UserName,
    ) -> impl DoubleEndedIterator<Item = &Session> {
        self.live.values().filter(move |s| s.caller == *name)
    }

    /// The call of who has the name, and sent something from `conn`.
    pub(in crate::agent) fn of_caller(
        &self,
        name: &UserName,
        conn: Option<&ClientId>,
    ) -> Option<&Session> {
        let theirs = self.of_name(name).filter(|s| !s.is_of_another(conn));
        theirs.max_by_key(|s| s.heard)
    }

    /// The call of who offers from `conn`, and shows `guest`'s key: who alone has the key of
    /// a call of this name is its caller by whatever connection, for a page that was loaded
    /// again has another.
    pub(in crate::agent) fn of_offer(
        &self,
        name: &UserName,
        conn: Option<&ClientId>,
        guest: Option<&Arc<Guest>>,
    ) -> Option<&Session> {
        let by_key = || self.of_name(name).find(|s| s.is_by_own_key(guest));
        self.of_caller(name, conn).or_else(by_key)
    }

    /// The caller of this has the connection now, and the name.
    pub(in crate::agent) fn is_now_at(&mut self, id: SessionId, conn: Option<ClientId>) {
        self.heard += 1;
        if let Some(session) = self.live.get_mut(&id) {
            session.is_numbered = conn.is_some();
            session.conn = conn;
            session.heard = self.heard;
        }
    }

    /// What is said to the name of this call's caller reaches them: nobody has called by it
    /// after them.
    pub(in crate::agent) fn has_its_name(&self, id: SessionId) -> bool {
        let Some(session) = self.live.get(&id) else {
            return false;
        };
        let mut all = self.of_name(&session.caller);
        all.all(|other| other.heard <= session.heard)
    }

    /// The device has come to a chat server anew: it may number its connections anew, too.
    pub(in crate::agent) fn forget_numbers(&mut self) {
        for session in self.live.values_mut() {
            session.is_numbered = false;
        }
    }

    /// Notes who is not there any more. Entries that have not named themselves
    /// are missing from the list, so this is a hint and ends nothing. Returns
    /// whose name came back to it and who is not heard of.
    pub(in crate::agent) fn users(
        &mut self,
        users: &[UserName],
        conns: Option<&[ClientId]>,
        now: Instant,
    ) -> Vec<SessionId> {
        let mut back = Vec::new();
        for session in self.live.values_mut() {
            let was_listed = session.listed;
            session.listed = users.contains(&session.caller);
            if session.listed && !was_listed && session.is_interrupted() {
                back.push(session.id);
            }
            match session.is_in(users, conns) {
                true => session.absent = None,
                false => session.is_absent(now),
            }
        }
        back
    }
}
