//! ICE restarts of calls that are up. Each has the device's addresses gathered anew, servers
//! asked, an answer and its candidates sent, and pairs tried: so they have a pace, behind
//! which the last one waits.

use std::sync::Arc;
use std::time::Instant;

use super::Agent;
use super::guests::still;
use super::session::{Later, SessionId, first_ufrag};
use crate::access::Guest;
use crate::sdp::Offer;

impl Agent {
    /// Takes another offer in a call, or has it wait; one that waits is void with the next.
    pub(super) fn go_on(
        &mut self,
        id: SessionId,
        offer: Box<Offer>,
        guest: Option<Arc<Guest>>,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.later = None;
        let restarts = session.is_up() && !session.is_at(first_ufrag(&offer));
        if restarts && !session.restarts.take(1.0, now) {
            session.later = Some(Later { offer, guest });
            return;
        }
        self.renegotiate(id, offer, guest, now);
    }

    /// Takes offers whose turn it is.
    pub(super) fn restart(&mut self, now: Instant) {
        for id in self.sessions.all() {
            let Some(session) = self.sessions.get_mut(id) else {
                continue;
            };
            if session.later.is_none() || !session.restarts.take(1.0, now) {
                continue;
            }
            let Some(Later { offer, guest }) = session.later.take() else {
                continue;
            };
            // They may have lost what they were invited to.
            match guest.map(|guest| still(&self.gate, &guest)).transpose() {
                Ok(guest) => self.renegotiate(id, offer, guest, now),
                Err(reason) => self.end(id, reason, now),
            }
        }
    }
}
