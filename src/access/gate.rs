//! Whether an offer comes from somebody who was invited.
//!
//! It comes before everything that an offer can cost, and costs least where
//! there is least in an offer: nothing is read of one without a known key's
//! name. It keeps no count of who is refused, so that any number of strangers
//! takes nothing from those who are not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::guest::{Guest, Guests, MOST_GIVEN, MOST_INVITATIONS, May, Pause, Right, Stage};
use super::invite::KeyId;
use super::proof::{Call, Side};
use crate::reason::{Code, Reason};
use crate::wire::Access;

/// Offers of one key that are remembered: more than anybody makes in a day.
const REMEMBERED: usize = 512;
/// Keys whose offers are: all that there can be, and some that were taken back.
const MOST_KEYS: usize = 2 * MOST_INVITATIONS * (1 + MOST_GIVEN);

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everybody who reaches the chat server.
    #[default]
    Open,
    /// Invited people.
    Invited,
}

/// Why somebody is not let in, in words for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uninvited {
    /// They show nothing.
    #[error(
        "only invited people see this camera; ask its owner for an invitation, and open its link"
    )]
    Stranger,
    /// No such key, or no right proof of it.
    #[error("this camera does not know your invitation (any more); ask its owner for a new link")]
    Unknown,
    /// The invitation had an end.
    #[error("your invitation has ended; ask the camera's owner for a new link")]
    Ended,
    /// Whether it has ended cannot be known.
    #[error("the camera does not know yet what time it is; try again in a moment")]
    NoClock,
    /// It allows other things.
    #[error("your invitation is not for watching; ask the camera's owner for one that is")]
    NotToWatch,
    /// The offer was made before.
    #[error("this call was made before; call again")]
    Replayed,
}

impl Uninvited {
    /// As the caller is told.
    pub fn reason(self) -> Reason {
        let code = match self {
            Self::Stranger => Code::NotInvited,
            Self::Unknown => Code::InvitationUnknown,
            Self::Ended => Code::InvitationEnded,
            Self::NoClock => Code::InvitationNoClock,
            Self::NotToWatch => Code::InvitationNotToWatch,
            Self::Replayed => Code::OfferAgain,
        };
        Reason::new(code, self.to_string())
    }
}

impl From<Pause> for Uninvited {
    fn from(pause: Pause) -> Self {
        match pause {
            Pause::Ended => Self::Ended,
            Pause::NoClock => Self::NoClock,
        }
    }
}

/// Who is let in; see the top of this file.
#[derive(Debug)]
pub struct Gate {
    mode: Mode,
    camera: String,
    fingerprint: [u8; 32],
    guests: Guests,
    taken: Taken,
}

impl Gate {
    /// For the camera of this configured name, with the SHA-256 of its
    /// certificate. Nobody was invited yet.
    pub fn new(mode: Mode, camera: &str, fingerprint: [u8; 32]) -> Self {
        Self {
            mode,
            camera: camera.to_owned(),
            fingerprint,
            guests: Guests::default(),
            taken: Taken::default(),
        }
    }

    /// Who is let in.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Some are invited, and so others are not. Where everybody is let in and there are no
    /// invitations, nobody is told from others.
    pub(crate) fn has_strangers(&self) -> bool {
        self.mode == Mode::Invited || !self.guests.is_empty()
    }

    /// From now on these are let in.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// The camera has another name.
    pub fn rename(&mut self, camera: &str) {
        camera.clone_into(&mut self.camera);
    }

    /// These were invited, and nobody else.
    pub fn invite(&mut self, guests: Guests) {
        if self.taken.0.len() > MOST_KEYS {
            self.taken.0.retain(|id, _| guests.get(*id).is_some());
        }
        self.guests = guests;
    }

    /// Who holds this key.
    pub fn guest(&self, id: KeyId) -> Option<&Arc<Guest>> {
        self.guests.get(id)
    }

    /// A guest with what they may here: at an open camera picture and sound, which
    /// everybody has, beside what they were invited to, and nothing else.
    pub(crate) fn admits(&self, guest: &Arc<Guest>) -> Arc<Guest> {
        match self.mode {
            Mode::Invited => guest.clone(),
            Mode::Open => Arc::new(Guest {
                may: guest.may.and(May::watch_and_listen()),
                open: true,
                ..Guest::clone(guest)
            }),
        }
    }

    /// The invitation of a guest whose link is good no longer, because another browser
    /// has kept a key by it. At an open camera that takes nothing from them: nobody has
    /// taken the invitation back.
    pub(crate) fn redeemed_elsewhere(&self, guest: &Guest) -> Option<&Arc<Guest>> {
        let is_open = self.mode == Mode::Open && guest.stage == Stage::Link;
        is_open.then(|| self.guests.kept_by(&guest.label))?
    }

    /// The first look, before anything is read: who an offer says it is from.
    /// `None` for nobody in particular, where that is enough.
    ///
    /// # Errors
    ///
    /// They are not let in.
    pub(crate) fn knows(&self, access: Option<&Access>) -> Result<Option<Arc<Guest>>, Uninvited> {
        let known = match access {
            None => Err(Uninvited::Stranger),
            Some(access) => {
                let id = access.id.parse().ok();
                let guest = id.and_then(|id| self.guests.get(id));
                guest.ok_or(Uninvited::Unknown)
            }
        };
        match (known, self.mode) {
            (Ok(guest), _) => Ok(Some(guest.clone())),
            (Err(_), Mode::Open) => Ok(None),
            (Err(error), Mode::Invited) => Err(error),
        }
    }

    /// The second: whether `author` of the offer, as it was read, is that guest.
    /// An open camera has guests, too, and proves to them who it is.
    ///
    /// # Errors
    ///
    /// They are not let in.
    pub(crate) fn proves(
        &self,
        guest: Arc<Guest>,
        access: Option<&Access>,
        author: Option<Side<'_>>,
    ) -> Result<Option<Arc<Guest>>, Uninvited> {
        match (self.judge(&guest, access, author), self.mode) {
            (Ok(()), Mode::Invited) => Ok(Some(guest)),
            (Ok(()) | Err(Uninvited::NotToWatch), Mode::Open) => Ok(Some(self.admits(&guest))),
            (Err(_), Mode::Open) => Ok(None),
            (Err(error), Mode::Invited) => Err(error),
        }
    }

    fn judge(
        &self,
        guest: &Guest,
        access: Option<&Access>,
        author: Option<Side<'_>>,
    ) -> Result<(), Uninvited> {
        let (Some(access), Some(viewer)) = (access, author) else {
            return Err(Uninvited::Unknown);
        };
        if !guest
            .key
            .is_of_offer(&self.call(guest.id, viewer), &access.proof)
        {
            return Err(Uninvited::Unknown);
        }
        match guest.pause {
            Some(pause) => Err(pause.into()),
            None if !guest.may.has(Right::Watch) => Err(Uninvited::NotToWatch),
            None => Ok(()),
        }
    }

    /// Takes a guest's offer, once.
    ///
    /// # Errors
    ///
    /// It was taken before.
    pub fn take(&mut self, id: KeyId, ufrag: &str) -> Result<(), Uninvited> {
        match self.taken.take(id, ufrag) || self.mode == Mode::Open {
            true => Ok(()),
            false => Err(Uninvited::Replayed),
        }
    }

    /// What the answer to a guest's offer carries: `ufrag` is the first in the
    /// answer.
    pub fn answer(&self, guest: &Guest, viewer: Side<'_>, ufrag: &str) -> String {
        let device = Side {
            fingerprint: &self.fingerprint,
            ufrag,
        };
        guest.key.answer(&self.call(guest.id, viewer), device)
    }

    fn call<'a>(&'a self, id: KeyId, viewer: Side<'a>) -> Call<'a> {
        Call {
            camera: &self.camera,
            viewer,
            id,
        }
    }
}

/// The ICE users of each key's last offers. They are kept as hashes of this
/// process's own, so that each costs the same.
#[derive(Debug, Default)]
struct Taken(HashMap<KeyId, Offers>, RandomState);

#[derive(Debug, Default)]
struct Offers {
    order: VecDeque<u64>,
    all: HashSet<u64>,
}

impl Taken {
    /// True the first time.
    fn take(&mut self, id: KeyId, ufrag: &str) -> bool {
        let hash = self.1.hash_one(ufrag);
        let offers = self.0.entry(id).or_default();
        if !offers.all.insert(hash) {
            return false;
        }
        offers.order.push_back(hash);
        if offers.order.len() > REMEMBERED
            && let Some(oldest) = offers.order.pop_front()
        {
            offers.all.remove(&oldest);
        }
        true
    }
}
