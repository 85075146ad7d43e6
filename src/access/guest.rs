//! Who was invited, and to what: what the owner has decided, and what of it
//! holds now.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::invite::{Key, KeyId};
use super::proof::ProofKey;
use crate::wire::UserName;

/// What an invitation may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To see the picture: a call is for that.
    Watch,
    /// To hear the sound.
    Listen,
    /// To be heard at the camera, where it has a speaker.
    Talk,
    /// To set the camera's controls, as far as `video.viewer_controls` lets
    /// anybody.
    Control,
    /// To see what was recorded, and to make a recording where the camera lets
    /// viewers; with [`Control`](Self::Control) to delete what was.
    Recordings,
}

impl Right {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 5] = [
        Self::Watch,
        Self::Listen,
        Self::Talk,
        Self::Control,
        Self::Recordings,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Listen => "listen",
            Self::Talk => "talk",
            Self::Control => "control",
            Self::Recordings => "recordings",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of [`Right`]s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct May(u8);

impl May {
    /// Every word that there is.
    pub fn everything() -> Self {
        Self(Right::ALL.iter().fold(0, |all, right| all | right.bit()))
    }

    /// Picture and sound.
    pub fn watch_and_listen() -> Self {
        Self(Right::Watch.bit() | Right::Listen.bit())
    }

    /// These and those.
    pub(super) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Reads words with commas between them.
    ///
    /// # Errors
    ///
    /// Words for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut may = Self(0);
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let right = Right::ALL.into_iter().find(|r| r.word() == word);
            let Some(right) = right else {
                let known: Vec<_> = Right::ALL.into_iter().map(Right::word).collect();
                let word: String = word.chars().take(40).collect();
                return Err(format!(
                    "\"{}\" is none of {}",
                    word.escape_debug(),
                    known.join(", ")
                ));
            };
            may.0 |= right.bit();
        }
        match may.0 {
            0 => Err("an invitation has to allow something: watch,listen".to_owned()),
            _ => Ok(may),
        }
    }

    /// It is among them.
    pub fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Their words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let has = move |right: &Right| self.has(*right);
        Right::ALL.into_iter().filter(has).map(Right::word)
    }
}

impl fmt::Display for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "May({self})")
    }
}

/// How far an invitation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For one browser, which has not kept a key of its own yet.
    Link,
    /// For one browser, which has.
    Kept,
    /// For everybody who has the link.
    Shared,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Link, Self::Kept, Self::Shared];

    /// As it stands in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Kept => "kept",
            Self::Shared => "shared",
        }
    }
}

/// What the owner has decided: one person, or several who share a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What the owner calls them; no two have the same.
    pub label: UserName,
    /// What they may.
    pub may: May,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// When it ends, in the same.
    pub until: Option<u64>,
    /// How far it has come.
    pub stage: Stage,
    /// The key that opens.
    pub key: (KeyId, Key),
    /// Keys that were handed to browsers in calls with the link, and of which
    /// none was acknowledged yet. They open, too. Oldest first.
    pub given: Vec<(KeyId, Key)>,
}

/// Keys that wait for an acknowledgement: calls with one link at once.
pub(super) const MOST_GIVEN: usize = 4;
/// People and links that an owner keeps.
pub(crate) const MOST_INVITATIONS: usize = 256;

/// Why an invitation is no longer, or not now, good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Its time is over.
    Ended,
    /// It has an end, and the clock is before its beginning: it was not set
    /// yet since the board was switched on.
    NoClock,
}

impl Invitation {
    /// Whether it is good at this time, in seconds since 1970.
    pub fn at(&self, now: u64) -> Option<Pause> {
        let until = self.until?;
        if now >= until {
            Some(Pause::Ended)
        } else if now < self.made.saturating_sub(CLOCK) {
            Some(Pause::NoClock)
        } else {
            None
        }
    }

    /// A new key for a browser; the oldest that waits makes room.
    pub fn give(&mut self, id: KeyId, key: Key) {
        if self.given.len() >= MOST_GIVEN {
            self.given.remove(0);
        }
        self.given.push((id, key));
    }

    /// A browser has kept the key of this id: it is the only one from now on.
    /// False where it was not given.
    pub fn keep(&mut self, id: KeyId) -> bool {
        let Some(at) = self.given.iter().position(|(given, _)| *given == id) else {
            return false;
        };
        self.key = self.given.swap_remove(at);
        self.given.clear();
        self.stage = Stage::Kept;
        true
    }
}

/// Clocks of one board may differ by so much, in seconds.
const CLOCK: u64 = 3_600;

/// Who holds a key.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The name of the key.
    pub id: KeyId,
    /// What the owner calls them.
    pub label: UserName,
    /// What they may.
    pub may: May,
    /// How far the invitation has come; the key of a [`Stage::Link`] that is not
    /// `given` is to be replaced in the first call.
    pub stage: Stage,
    /// The key was handed over, and nobody has said that they kept it: whoever
    /// calls with it has.
    pub given: bool,
    /// The key is good no longer, or not now.
    pub pause: Option<Pause>,
    /// The camera is open: beside what they were invited to they may what everybody
    /// may.
    pub open: bool,
    pub(super) key: ProofKey,
}

impl Guest {
    /// They may this: they were invited to it, or it is for `everybody` and they are
    /// let in as everybody is.
    pub(crate) fn may(&self, right: Right, everybody: bool) -> bool {
        self.may.has(right) || self.open && everybody
    }

    /// They came by a link that is good once, and are to have a key of their own.
    pub(crate) fn needs_key(&self) -> bool {
        self.stage == Stage::Link && !self.given
    }
}

/// The key itself is its name's.
impl PartialEq for Guest {
    fn eq(&self, other: &Self) -> bool {
        let of = |g: &Self| (g.id, g.may, g.stage, g.given, g.pause);
        of(self) == of(other) && self.label == other.label
    }
}

/// Everybody who was invited, by the names of their keys.
#[derive(Debug, Clone, Default)]
pub struct Guests(HashMap<KeyId, Arc<Guest>>);

impl Guests {
    /// Those of these invitations at this time, in seconds since 1970.
    pub fn of(invitations: &[Invitation], now: u64) -> Self {
        let mut guests = HashMap::new();
        for invitation in invitations {
            let keys = std::iter::once(&invitation.key).chain(&invitation.given);
            for (at, (id, key)) in keys.enumerate() {
                let guest = Guest {
                    id: *id,
                    label: invitation.label.clone(),
                    may: invitation.may,
                    given: at > 0,
                    stage: invitation.stage,
                    pause: invitation.at(now),
                    open: false,
                    key: ProofKey::of(key),
                };
                guests.insert(*id, Arc::new(guest));
            }
        }
        Self(guests)
    }

    /// The one of this key.
    pub fn get(&self, id: KeyId) -> Option<&Arc<Guest>> {
        self.0.get(&id)
    }

    /// The one of this label whose browser has kept a key.
    pub(super) fn kept_by(&self, label: &UserName) -> Option<&Arc<Guest>> {
        let mut all = self.0.values();
        all.find(|guest| guest.stage == Stage::Kept && guest.label == *label)
    }

    /// Nobody was invited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
