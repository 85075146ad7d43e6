//! The agent's dealings with people who were invited, and with others.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::field::display;
use tracing::{info, warn};

use super::audit::{Note, Outcome};
use super::limits::Refusal;
use super::lines::{Lines, bounded};
use super::payer::{Origin, Payer};
use super::session::{Caller, SessionId};
use super::{Agent, Command, REASON};
use crate::access::{Gate, Guest, Guests, KeyId, MOST_INVITATIONS, Mode, Stage, Uninvited};
use crate::reason::{Code, Reason};
use crate::sdp::{self, Description, Glance, OfferError};
use crate::wire::{Access, UserName};

/// Notes that nobody has taken yet.
const NOTES: usize = 256;
/// Lines about one invited person's calls at once, and the time to one more.
const GUEST_LINES: u32 = 20;
/// See [`GUEST_LINES`].
const GUEST_LINE_EVERY: Duration = Duration::from_secs(5);
const TAKEN_BACK: Reason =
    Reason::fixed(Code::InvitationTakenBack, "your invitation was taken back");
const CHANGED: Reason = Reason::fixed(
    Code::InvitationChanged,
    "what your invitation allows has changed; call again",
);
const NOW_INVITED: Reason = Reason::fixed(
    Code::InvitedOnlyNow,
    "from now on only invited people see this camera; ask its owner for an invitation",
);

/// Who is refused for this has proven that the key is theirs. An id anybody can
/// write, and an offer that was made before anybody may have seen.
fn is_proven(why: Uninvited) -> bool {
    match why {
        Uninvited::Ended | Uninvited::NoClock | Uninvited::NotToWatch => true,
        Uninvited::Stranger | Uninvited::Unknown | Uninvited::Replayed => false,
    }
}

/// A guest of a call as they are invited now. One who called behind the gate keeps the
/// rights that they called with: the camera may open and close meanwhile.
///
/// # Errors
///
/// What they have in it is not theirs any more.
pub(super) fn still(gate: &Gate, guest: &Arc<Guest>) -> Result<Arc<Guest>, Reason> {
    let is_known = gate.guest(guest.id);
    let invited = is_known.or_else(|| gate.redeemed_elsewhere(guest));
    let invited = invited.ok_or(TAKEN_BACK)?;
    if let Some(pause) = invited.pause {
        return Err(Uninvited::from(pause).reason());
    }
    let now = match guest.open {
        true => gate.admits(invited),
        false => invited.clone(),
    };
    // A camera that was opened takes nothing from anybody; one that was closed does.
    match guest.may != now.may || guest.open && !now.open {
        true => Err(CHANGED),
        // The other browser's key is not theirs.
        false if is_known.is_none() => Ok(guest.clone()),
        false => Ok(now),
    }
}

/// A guest who goes on with a call that began as `began` has the rights that it has.
fn as_begun(gate: &Gate, began: Option<&Arc<Guest>>, guest: Arc<Guest>) -> Arc<Guest> {
    match began {
        Some(began) if !began.open => gate.guest(guest.id).cloned().unwrap_or(guest),
        Some(_) | None => guest,
    }
}

/// An offer whose sender may go on, and what was read of it on the way.
pub(super) struct Admitted {
    pub caller: Caller,
    pub read: Option<Result<Description, OfferError>>,
}

impl Agent {
    /// Lets in whom `gate` does; without one everybody.
    pub fn behind(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// The next line for the log of calls.
    pub fn next_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// The people who have a media path and were invited.
    pub fn watching(&self) -> impl Iterator<Item = &UserName> {
        self.sessions.watching().map(|guest| &guest.label)
    }

    /// Takes over who was invited; calls of those who are not any more end, also at
    /// an open camera.
    pub fn invited(&mut self, guests: Guests, now: Instant) {
        self.gate.invite(guests);
        self.look_who_may_stay(now);
        self.flush(now);
    }

    /// Takes over who is let in; calls of others end.
    pub fn lets_in(&mut self, mode: Mode, now: Instant) {
        self.gate.set_mode(mode);
        self.look_who_may_stay(now);
        self.flush(now);
    }

    fn look_who_may_stay(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for session in self.sessions.iter_mut() {
            if session.guest.is_none() && self.gate.mode() == Mode::Invited {
                gone.push((session.id, NOW_INVITED));
                continue;
            }
            // At an open camera, too: the call has more than everybody's rights.
            let of = |guest: &mut Option<Arc<Guest>>| match guest {
                Some(guest) => still(&self.gate, guest).map(|now| *guest = now),
                None => Ok(()),
            };
            if let Err(reason) = of(&mut session.guest).and_then(|()| of(&mut session.began_as)) {
                gone.push((session.id, reason));
            }
        }
        for (id, reason) in gone {
            self.end(id, reason, now);
        }
    }

    /// Whether the sender of an offer may go on. Of one who may not nothing is
    /// kept, and no budget but their own pays.
    pub(super) fn admit(
        &mut self,
        name: &UserName,
        origin: Option<Origin>,
        sdp: &str,
        access: Option<&Access>,
        now: Instant,
    ) -> Option<Admitted> {
        match self.judge(name, origin, sdp, access) {
            Ok(admitted) => Some(admitted),
            Err(why) => {
                self.keep_out(name, access, why, now);
                None
            }
        }
    }

    fn judge(
        &mut self,
        name: &UserName,
        origin: Option<Origin>,
        sdp: &str,
        access: Option<&Access>,
    ) -> Result<Admitted, Uninvited> {
        let nobody = Admitted {
            caller: Caller {
                name: name.clone(),
                guest: None,
                payer: Payer::of(name, origin),
            },
            read: None,
        };
        let Some(known) = self.gate.knows(access)? else {
            return Ok(nobody);
        };
        // Reading it whole costs most: that is for who has proven what it begins
        // with.
        let glance = sdp::glance(sdp);
        let author = glance.as_ref().map(Glance::author);
        let Some(guest) = self.gate.proves(known, access, author)? else {
            return Ok(nobody);
        };
        let read = Description::read(sdp);
        if read.as_ref().is_ok_and(|d| d.author() != author) {
            return Err(Uninvited::Unknown);
        }
        if let Some(author) = author {
            let goes_on = self.sessions.of_name(name).any(|session| {
                !session.is_of_another_guest(Some(&guest))
                    && session.is_at(author.ufrag)
                    && session.offer.fingerprint() == author.fingerprint
            });
            if !goes_on {
                self.gate.take(guest.id, author.ufrag)?;
            }
        }
        if guest.given {
            self.commands.push_back(Command::KeepKey { id: guest.id });
        }
        let payer = match (self.gate.mode(), guest.stage) {
            (Mode::Open, _) => Payer::of(name, origin),
            (Mode::Invited, Stage::Shared) => Payer::Sharer(guest.id, origin, name.clone()),
            (Mode::Invited, Stage::Link | Stage::Kept) => Payer::Guest(guest.id),
        };
        Ok(Admitted {
            caller: Caller {
                name: name.clone(),
                guest: Some(guest),
                payer,
            },
            read: Some(read),
        })
    }

    /// Tells who is not let in why, now and then.
    fn keep_out(&mut self, name: &UserName, access: Option<&Access>, why: Uninvited, now: Instant) {
        let payer = Payer::Name(name.clone());
        if self.strangers.read(&payer, 1, false, now) == Err(Refusal::Silent) {
            return;
        }
        if self.is_refusal_worth_a_line(is_proven(why), now) {
            // An id and nothing else: what is no id is a stranger's text.
            let id: Option<KeyId> = access.and_then(|access| access.id.parse().ok());
            let guest = id.and_then(|id| self.gate.guest(id));
            let label = guest.map(|guest| guest.label.clone());
            let words = match label {
                Some(_) => "call refused",
                None => "call refused: not invited",
            };
            let (as_whom, key) = (label.as_ref().map(display), id.map(display));
            warn!(caller = %name, label = as_whom, key, %why, "{words}");
            self.keep_note(Note {
                outcome: Outcome::Refused,
                caller: name.clone(),
                label,
                invitation: id,
                duration: None,
                why: bounded(&why.to_string(), REASON),
            });
        }
        // A hang-up would end the call that somebody of this name has.
        if self.sessions.of_name(name).next().is_none() {
            self.refuse(name, why.reason());
        }
    }

    /// The guest of an offer, which goes on with this call, if with one.
    pub(super) fn goes_on(
        &mut self,
        call: Option<SessionId>,
        guest: Option<&Arc<Guest>>,
    ) -> Option<Arc<Guest>> {
        let session = call.and_then(|id| self.sessions.get_mut(id));
        let began = session.and_then(|session| session.began_as.as_ref());
        guest.map(|guest| as_begun(&self.gate, began, guest.clone()))
    }

    /// The viewer's page has kept the key of this name: it is what they hold.
    pub(super) fn kept(&mut self, session: SessionId, id: KeyId, now: Instant) {
        // Nobody, where the invitation was taken back meanwhile.
        let Some(guest) = self.gate.guest(id).map(|guest| self.gate.admits(guest)) else {
            return;
        };
        let session = self.sessions.get_mut(session);
        let Some(session) = session.filter(|s| !s.is_of_another_guest(Some(&guest))) else {
            return;
        };
        let guest = as_begun(&self.gate, session.began_as.as_ref(), guest);
        let (caller, label) = (session.caller.clone(), guest.label.clone());
        session.began_as = Some(guest.clone());
        session.guest = Some(guest);
        if self.is_guest_worth_a_line(&label, now) {
            info!(%caller, %label, %id, "has a key of their own now");
        }
        self.commands.push_back(Command::KeepKey { id });
    }

    /// Writes down that a call is refused, in both logs, now and then.
    pub(super) fn note_refusal(
        &mut self,
        caller: &Caller,
        words: impl Display,
        why: &str,
        now: Instant,
    ) {
        let guest = caller.guest.as_deref();
        if !self.is_refusal_worth_a_line(guest.is_some(), now) {
            return;
        }
        let label = guest.map(|guest| display(&guest.label));
        let key = guest.map(|guest| display(guest.id));
        warn!(caller = %caller.name, label, key, why, "{words}");
        self.note(Outcome::Refused, &caller.name, guest, None, why, now);
    }

    /// A refusal may have a line. Invited people have a budget of their own: no
    /// number of strangers hides them.
    fn is_refusal_worth_a_line(&mut self, is_invited: bool, now: Instant) -> bool {
        match is_invited {
            true => self.is_worth_a_line(now),
            false => self.is_junk_worth_a_line(now),
        }
    }

    /// Writes a line down for the log of calls.
    pub(super) fn note(
        &mut self,
        outcome: Outcome,
        caller: &UserName,
        guest: Option<&Guest>,
        since: Option<Instant>,
        why: &str,
        now: Instant,
    ) {
        let note = Note {
            outcome,
            caller: caller.clone(),
            label: guest.map(|guest| guest.label.clone()),
            invitation: guest.map(|guest| guest.id),
            duration: since.map(|since| now.saturating_duration_since(since)),
            why: bounded(why, REASON),
        };
        // Of others, and of refusals, there are lines where it happens, as many as
        // they may have.
        if let Some(guest) = guest
            && outcome != Outcome::Refused
            && self.is_guest_worth_a_line(&guest.label, now)
        {
            let (label, key) = (&guest.label, guest.id);
            let seconds = note.duration.map(|duration| duration.as_secs());
            let why = &note.why;
            info!(%caller, %label, %key, seconds, why, "an invited person's call: {}", outcome.word());
        }
        self.keep_note(note);
    }

    /// A call of somebody who was invited may have a line; says so where some had none.
    /// Each has a budget of their own: nobody else hides their calls, and they hide
    /// nobody else's.
    fn is_guest_worth_a_line(&mut self, label: &UserName, now: Instant) -> bool {
        // The owner has renamed that many: who is left begins anew.
        if self.guest_lines.len() >= MOST_INVITATIONS && !self.guest_lines.contains_key(label) {
            self.guest_lines.clear();
        }
        let new = || Lines::new(GUEST_LINES, GUEST_LINE_EVERY, now);
        let lines = self.guest_lines.entry(label.clone()).or_insert_with(new);
        let left_out = lines.take(now);
        if let Some(count @ 1..) = left_out {
            info!(%label, count, "lines about calls of an invited person were left out");
        }
        left_out.is_some()
    }

    fn keep_note(&mut self, note: Note) {
        if self.notes.len() >= NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Invitation, Invite, May};
    use crate::agent::AgentConfig;

    /// There was no household whose recordings strangers could displace, and the new ones
    /// went before the old.
    #[test]
    fn where_nobody_was_invited_to_an_open_camera_nobody_is_a_stranger() {
        let now = Instant::now();
        let name = UserName::parse("camera").expect("a name");
        let config = AgentConfig {
            name: name.clone(),
            max_viewers: 1,
            seed: 1,
        };
        let mut agent = Agent::new(config, now);
        assert_eq!(agent.watchers(now), (0, true));
        let invite = Invite::of([7; 16]);
        let invitation = Invitation {
            label: name,
            may: May::watch_and_listen(),
            made: 1,
            // It has ended, and they are known.
            until: Some(2),
            stage: Stage::Kept,
            key: (invite.id(), invite.key()),
            given: Vec::new(),
        };
        agent.invited(Guests::of(&[invitation], 10), now);
        assert_eq!(agent.watchers(now), (0, false));
        agent.invited(Guests::default(), now);
        assert_eq!(agent.watchers(now), (0, true));
        agent.lets_in(Mode::Invited, now);
        assert_eq!(agent.watchers(now), (0, false));
    }
}
