//! What callers are told.

use std::time::Instant;

use tracing::debug;

use super::Agent;
use super::audit::Outcome;
use super::outbox::Words;
use super::session::SessionId;
use crate::access::Side;
use crate::reason::Reason;
use crate::sdp::first_ufrag;
use crate::wire::UserName;

impl Agent {
    /// Tells the caller the answer, and where the device is.
    pub(super) fn answered(&mut self, id: SessionId, sdp: String, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let target = session.caller.clone();
        let (asked, candidates) = session.answered();
        if asked.guest.is_none() && session.guest.is_some() {
            debug!(session = %id, "an answer that nobody asked for proves nothing; dropped");
            return;
        }
        let viewer = Side {
            fingerprint: session.offer.fingerprint(),
            ufrag: &asked.ufrag,
        };
        let proof = asked
            .guest
            .as_ref()
            .map(|guest| self.gate.answer(guest, viewer, first_ufrag(&sdp)));
        let is_first = !std::mem::replace(&mut session.is_answered, true);
        let guest = asked.guest.filter(|_| is_first);
        let ufrag = asked.ufrag;
        let answer = Words::Answer { sdp, ufrag, proof };
        if is_first {
            self.note(Outcome::Answered, &target, guest.as_deref(), None, "", now);
        }
        let candidates = candidates.into_iter().map(Words::Candidate);
        for words in std::iter::once(answer).chain(candidates) {
            self.say(id, words);
        }
    }

    /// Says something to the caller of a call, where what is said to their name reaches
    /// them.
    pub(super) fn say(&mut self, id: SessionId, words: Words) {
        if !self.sessions.has_its_name(id) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(id) {
            let (target, called) = (session.caller.clone(), session.called.clone());
            self.outbox.say(id, target, called, words);
        }
    }

    /// Asks a viewer to look for another path.
    pub(super) fn ask_for_restart(&mut self, id: SessionId) {
        self.say(id, Words::RestartIce);
    }

    /// Tells a caller that there is no call; while there is no chat server
    /// there is nobody to tell.
    pub(super) fn refuse(&mut self, target: &UserName, reason: Reason) {
        if self.login.name().is_some() {
            self.outbox.refuse(target.clone(), reason);
        }
    }

    /// Ends a call and tells the caller why, as soon as there is a chat server; not where
    /// that would end the call of who has their name now.
    pub(super) fn end(&mut self, id: SessionId, reason: Reason, now: Instant) {
        let reaches_them = self.sessions.has_its_name(id);
        if let Some(caller) = self.close(id, &reason.words, now).filter(|_| reaches_them) {
            self.outbox.goodbye(caller, reason, now);
        }
    }
}
