//! Offers and candidates: who is taken, who gives way, who is turned away.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info};

use super::events::Command;
use super::guests::Admitted;
use super::limits::Refusal;
use super::lines::bounded;
use super::payer::{Origin, Payer, Person};
use super::session::{Caller, Session, SessionId};
use super::{Agent, BUSY, CROWDED, FULL, HALF_OPEN, REASON};
use crate::access::{Guest, Mode, Right};
use crate::reason::{Code, Reason};
use crate::sdp::{Description, MAX_CANDIDATES, Offer, OfferError, Place, RemoteCandidate};
use crate::wire::{Access, Candidate, ClientId, Stamp, UserName};

/// Why an offer is dropped.
const TOO_MANY: Reason = Reason::fixed(
    Code::TooManyCalls,
    "too many calls in a short time; try again in a moment",
);
/// Why nothing goes on.
const GONE: Reason = Reason::fixed(
    Code::CallGone,
    "the camera has started anew and does not know this call; call again",
);
/// Why a name is not to be had.
const TAKEN: Reason = Reason::fixed(
    Code::NameTaken,
    "somebody of this name is watching; take another name",
);

/// Of what they ask for, what an invited caller may have.
fn allowed(offer: Offer, guest: Option<&Guest>) -> Offer {
    match guest {
        Some(guest) if !guest.may.has(Right::Listen) => offer.without_sound(),
        Some(_) | None => offer,
    }
}

/// An offer of the same peer goes on with the call of these that they have.
fn goes_on_with<'a>(
    mut has: impl Iterator<Item = &'a Session>,
    read: Result<Description, OfferError>,
) -> (Option<SessionId>, Result<Offer, OfferError>) {
    let description = match read {
        Ok(description) => description,
        Err(error) => return (None, Err(error)),
    };
    match has.find(|session| description.is_of_same_peer(&session.offer)) {
        Some(session) => (Some(session.id), description.again(&session.offer)),
        None => (None, description.call()),
    }
}

impl Agent {
    pub(super) fn offer(
        &mut self,
        name: &UserName,
        stamp: Option<Stamp>,
        (sdp, again): (&str, bool),
        access: Option<&Access>,
        now: Instant,
    ) {
        if self.stopping {
            return;
        }
        self.login.reached();
        let origin = stamp.as_ref().and_then(Origin::of);
        let conn = stamp.map(|stamp| stamp.conn);
        let Some(Admitted { caller, read }) = self.admit(name, origin, sdp, access, now) else {
            return;
        };
        let guest = caller.guest.as_ref();
        let by_invitation = self.gate.mode() == Mode::Invited;
        // Somebody else may have the name of a viewer who has left the chat.
        let live = self.sessions.of_offer(name, conn.as_ref(), guest);
        let is_of_another = |s: &Session| by_invitation && s.is_of_another_guest(guest);
        let of_another = live.is_some_and(is_of_another);
        let has_name = live.is_some_and(|s| s.has_name(now));
        // Or a viewer may have come back to it, which is seen where the offer is read.
        let any = live.or_else(|| self.sessions.of_name(name).next_back());
        let is_up = any.is_some_and(|s| s.is_up() && !is_of_another(s));
        let any = any.map(|s| s.id);
        let is_theirs = live.is_some_and(|s| s.is_surely_of(conn.as_ref(), guest));
        let live = live.map(|s| s.id);
        if let Err(refusal) = self.limits.read(&caller.payer, sdp.len(), is_up, now) {
            return self.turn_away(&caller, refusal, any, false, now);
        }
        let read = read.unwrap_or_else(|| Description::read(sdp));
        let has = self.sessions.of_name(name).filter(|s| !is_of_another(s));
        let (same, read) = goes_on_with(has, read);
        if again && same.is_none() && live.is_none() {
            return self.turn_down(
                &caller,
                "call refused: there is none to go on with",
                GONE,
                now,
            );
        }
        let guest = self.goes_on(same, caller.guest.as_ref());
        let offer = match read {
            Ok(offer) => Box::new(allowed(offer, guest.as_deref())),
            // The hang-up ends on the caller's side what they had.
            Err(error) => return self.junk(&caller, &error, live.filter(|_| !of_another), now),
        };
        // With a path, too, another connection is paid for.
        if !(is_up && same.is_some())
            && let Err(refusal) = self.limits.call(&caller.payer, now)
        {
            let is_lost = is_theirs && same.is_none();
            return self.turn_away(&caller, refusal, any, is_lost, now);
        }
        if let Some(id) = same {
            self.sessions.is_now_at(id, conn);
            self.go_on(id, offer, guest, now);
            return;
        }
        if of_another && has_name {
            self.turn_down(&caller, "call refused: the name is in use", TAKEN, now);
            return;
        }
        if let Some(id) = live {
            self.replaced(id, name, now);
        }
        if let Some(id) = self.open(caller, offer, now) {
            self.sessions.is_now_at(id, conn);
        }
    }

    /// Ends a call whose caller calls anew.
    fn replaced(&mut self, id: SessionId, name: &UserName, now: Instant) {
        if self.is_worth_a_line(now) {
            info!(caller = %name, session = %id, "replaced by a new call from the same name");
        }
        // No hang-up: it would end the caller's new call.
        self.close(id, "replaced by a new call from the same name", now);
    }

    /// Refuses an offer that cannot be answered, and ends the call that its sender has.
    fn junk(&mut self, caller: &Caller, error: &OfferError, has: Option<SessionId>, now: Instant) {
        let words = bounded(&error.to_string(), REASON);
        let reason = Reason::new(error.code(), words);
        self.limits.junk(&caller.payer, now);
        self.turn_down(caller, "call refused", reason.clone(), now);
        if let Some(id) = has {
            self.close(id, &reason.words, now);
        }
    }

    /// Refuses an offer: tells its sender, and the logs.
    fn turn_down(&mut self, caller: &Caller, words: impl Display, why: Reason, now: Instant) {
        self.note_refusal(caller, words, &why.words, now);
        self.refuse(&caller.name, why);
    }

    pub(super) fn renegotiate(
        &mut self,
        id: SessionId,
        offer: Box<Offer>,
        guest: Option<Arc<Guest>>,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let caller = session.caller.clone();
        debug!(%caller, session = %id, "renegotiation");
        session.renegotiated(&offer, guest, now);
        self.outbox.forget(id);
        let held = self.held.take(&caller, &offer.ufrags);
        let candidates = offer.candidates.clone();
        self.commands
            .push_back(Command::Renegotiate { session: id, offer });
        self.add_offered(id, candidates);
        self.add_candidates(id, held);
    }

    pub(super) fn open(
        &mut self,
        caller: Caller,
        offer: Box<Offer>,
        now: Instant,
    ) -> Option<SessionId> {
        if !self.make_room(&caller, now) {
            return None;
        }
        let (name, guest) = (caller.name.clone(), caller.guest.clone());
        let person = Person::of(&name, &caller.payer, guest.as_deref());
        self.outbox.forget_goodbyes(&name);
        // Who had the name before is not reached by it any more.
        for before in self.sessions.of_name(&name) {
            self.outbox.forget(before.id);
        }
        let called = self.login.name().unwrap_or_else(|| self.login.wanted());
        let id = self.sessions.open(caller, called.clone(), &offer, now);
        if self.is_worth_a_line(now) {
            let codec = offer.video.codec;
            match &guest {
                Some(guest) => info!(
                    caller = %name, session = %id, %codec, label = %guest.label, key = %guest.id,
                    "call"
                ),
                None => info!(caller = %name, session = %id, %codec, "call"),
            }
        }
        let held = self.held.take(&name, &offer.ufrags);
        let candidates = offer.candidates.clone();
        self.commands.push_back(Command::Open {
            session: id,
            caller: name,
            guest,
            person,
            offer,
        });
        self.add_offered(id, candidates);
        self.add_candidates(id, held);
        Some(id)
    }

    /// Tells who sends too much that it is, once. Not where somebody of this name `has`
    /// a call, which a hang-up would end; unless it `is_lost`, since their own page calls
    /// by another peer.
    fn turn_away(
        &mut self,
        caller: &Caller,
        refusal: Refusal,
        has: Option<SessionId>,
        is_lost: bool,
        now: Instant,
    ) {
        if refusal == Refusal::Silent {
            return;
        }
        let words = "too many offers; more are dropped until they slow down";
        self.note_refusal(caller, words, &TOO_MANY.words, now);
        if has.is_none() || is_lost {
            self.refuse(&caller.name, TOO_MANY);
        }
        if let Some(id) = has.filter(|_| is_lost) {
            self.close(id, &TOO_MANY.words, now);
        }
    }

    /// Sees that there is room for one more call, or refuses it.
    pub(super) fn make_room(&mut self, caller: &Caller, now: Instant) -> bool {
        let limit = self.config.max_viewers;
        // Who makes room does so once the newcomer has a path: an offer is anybody's words.
        if self.sessions.connected() >= limit && self.sessions.makes_room(caller, None).is_none() {
            let words = format_args!("call refused: viewer limit of {limit}");
            self.turn_down(caller, words, FULL, now);
            return false;
        }
        if self.sessions.half_open() < HALF_OPEN {
            return true;
        }
        let limits = &self.limits;
        let debt = |payer: &Payer| limits.debt(payer, now);
        let Some(id) = self.sessions.gives_way(&caller.payer, debt) else {
            let words = "call refused: too many calls that come to nothing";
            self.turn_down(caller, words, BUSY, now);
            return false;
        };
        if self.is_worth_a_line(now) {
            info!(session = %id, "gives way: it has no media path yet, and others call");
        }
        self.end(id, BUSY, now);
        true
    }

    /// All places are taken and one more has a path: whether another makes room for it.
    pub(super) fn has_room_made(&mut self, newcomer: SessionId, now: Instant) -> bool {
        let Some(caller) = self.sessions.get_mut(newcomer).map(|s| s.by()) else {
            return false;
        };
        let Some(id) = self.sessions.makes_room(&caller, Some(newcomer)) else {
            return false;
        };
        if self.is_worth_a_line(now) {
            info!(session = %id, by = %newcomer, "makes room: all places are taken");
        }
        self.end(id, CROWDED, now);
        true
    }

    pub(super) fn candidate(
        &mut self,
        name: Option<UserName>,
        conn: Option<&ClientId>,
        candidate: Candidate,
        now: Instant,
    ) {
        let found = match (&name, candidate.ufrag()) {
            // Our own server says who sent it. The ufrag must fit all the
            // same, for it may belong to a session that was just replaced.
            (Some(name), Some(ufrag)) => {
                let mut all = self.sessions.of_name(name);
                all.find(|s| s.has_ufrag(ufrag) && !s.is_of_another(conn))
            }
            (Some(name), None) => self.sessions.of_caller(name, conn),
            (None, Some(ufrag)) => self.sessions.of_ufrag(ufrag),
            (None, None) => self.sessions.only(),
        };
        let found = found.filter(|s| !s.is_of_another(conn));
        if let Some(session) = found {
            let id = session.id;
            self.add_candidates(id, vec![candidate]);
        } else if candidate.ufrag().is_some() {
            self.held.hold(name, candidate, now);
        } else {
            debug!("a candidate that belongs to no call was dropped");
        }
    }

    /// Candidates that were trickled.
    pub(super) fn add_candidates(&mut self, id: SessionId, candidates: Vec<Candidate>) {
        for candidate in candidates.iter().filter(|c| !c.is_end()) {
            let Some(session) = self.sessions.get_mut(id) else {
                return;
            };
            let place = session.offer.place(candidate);
            match RemoteCandidate::read(&candidate.candidate) {
                Ok(candidate) => self.add_candidate(id, candidate, place),
                Err(why) => debug!(session = %id, %why, "a candidate was passed over"),
            }
        }
    }

    /// Candidates that came with the offer.
    pub(super) fn add_offered(&mut self, id: SessionId, candidates: Vec<RemoteCandidate>) {
        for candidate in candidates {
            self.add_candidate(id, candidate, Place::OnPath);
        }
    }

    pub(super) fn add_candidate(
        &mut self,
        id: SessionId,
        candidate: RemoteCandidate,
        place: Place,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.candidates.take(candidate.clone(), place) {
            self.commands.push_back(Command::AddCandidate {
                session: id,
                candidate,
            });
        } else if session.candidates.is_full() && !session.told_of_candidates {
            session.told_of_candidates = true;
            debug!(
                caller = %session.caller, session = %id, limit = MAX_CANDIDATES,
                "too many candidates; the rest are dropped"
            );
        }
    }
}
