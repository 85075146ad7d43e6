//! What became of calls, for whoever wants to know later.

use std::time::Duration;

use crate::access::KeyId;
use crate::wire::UserName;

/// What happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// It was not.
    Refused,
    /// It was answered, and is over.
    Ended,
}

impl Outcome {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

/// One line of the log of calls; there is no key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What happened.
    pub outcome: Outcome,
    /// Under which name they called.
    pub caller: UserName,
    /// As whom they were invited, while they are.
    pub label: Option<UserName>,
    /// The name of the key that they showed, also of one that is not known (any
    /// more).
    pub invitation: Option<KeyId>,
    /// How long the call was.
    pub duration: Option<Duration>,
    /// Why, for a call that was refused or is over; one short line.
    pub why: String,
}
