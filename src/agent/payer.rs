//! Who pays for a call, and who owes for it.

use crate::access::KeyId;
use crate::wire::{Stamp, UserName};

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    /// A name on the chat, which proves nothing.
    Name(UserName),
    /// The same, of an address that the chat server vouches for.
    At(Origin, UserName),
    /// Who holds a key, whatever their name.
    Guest(KeyId),
    /// One of those who share a key. The key does not tell them apart; where the chat
    /// server vouches for addresses, these do.
    Sharer(KeyId, Option<Origin>, UserName),
}

/// Where a call comes from, by our own chat server's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    network: u64,
    source: u64,
}

impl Origin {
    /// `None` where the server cannot tell.
    pub(super) fn of(stamp: &Stamp) -> Option<Self> {
        let source = stamp.source?;
        Some(Self {
            network: stamp.network.unwrap_or(source),
            source,
        })
    }
}

/// Who owes for calls, and has their places. Names are to be had for nothing, addresses
/// are not, but for those of one's own network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Debtor {
    /// Nothing else is known.
    Name(UserName),
    /// All names of an address, or of a network.
    At(u64),
    /// All who hold a key.
    Guest(KeyId),
    /// Those of them who share it at an address, or in a network.
    Sharers(KeyId, u64),
}

impl Payer {
    /// A name, and what stands for the address where the chat server says so.
    pub(super) fn of(name: &UserName, origin: Option<Origin>) -> Self {
        match origin {
            Some(origin) => Self::At(origin, name.clone()),
            None => Self::Name(name.clone()),
        }
    }

    /// In whose debt a call is: the widest first, the last is them alone, as far as they
    /// can be told apart.
    pub(super) fn debtors(&self) -> Vec<Debtor> {
        let mut debtors = match self {
            Self::Name(name) => vec![Debtor::Name(name.clone())],
            Self::At(Origin { network, source }, _) => {
                vec![Debtor::At(*network), Debtor::At(*source)]
            }
            Self::Guest(key) | Self::Sharer(key, None, _) => vec![Debtor::Guest(*key)],
            Self::Sharer(key, Some(Origin { network, source }), _) => vec![
                Debtor::Guest(*key),
                Debtor::Sharers(*key, *network),
                Debtor::Sharers(*key, *source),
            ],
        };
        // An IPv4 address is its own network.
        debtors.dedup();
        debtors
    }
}
