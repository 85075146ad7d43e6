//! Who pays for a call, and who owes for it.

use crate::access::KeyId;
use crate::wire::UserName;

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    /// A name on the chat, which proves nothing.
    Name(UserName),
    /// The same, of an address that the chat server vouches for.
    At(u64, UserName),
    /// All names of an address.
    Source(u64),
    /// Who holds a key, whatever their name. An invitation that is shared is one
    /// for each name.
    Guest(KeyId, Option<UserName>),
}

impl Payer {
    /// A name, and what stands for the address where the chat server says so.
    pub(super) fn of(name: &UserName, source: Option<u64>) -> Self {
        match source {
            Some(source) => Self::At(source, name.clone()),
            None => Self::Name(name.clone()),
        }
    }

    /// In whose debt a call is. Names are to be had for nothing, addresses are
    /// not.
    pub(super) fn debtor(&self) -> Self {
        match self {
            Self::At(source, _) => Self::Source(*source),
            Self::Name(_) | Self::Source(_) | Self::Guest(..) => self.clone(),
        }
    }
}
