//! Who pays for a call, and who owes for it.

use crate::access::{Guest, KeyId, Stage};
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

/// Whose call it is, as far as they can be told from others: to share something fairly
/// over people, not over calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    key: Option<KeyId>,
    /// Of strangers, and of who shares an invitation.
    place: Option<Place>,
}

/// What tells people apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    /// Nothing else is known.
    Name(UserName),
    /// One network may be one subscriber's.
    Network(u64),
}

impl Person {
    /// Of whom only the name is known.
    pub(crate) fn named(name: &UserName) -> Self {
        Self {
            key: None,
            place: Some(Place::Name(name.clone())),
        }
    }

    /// Who calls by this name, with `guest`'s key, if with one.
    pub(super) fn of(name: &UserName, payer: &Payer, guest: Option<&Guest>) -> Self {
        let is_one = guest.is_some_and(|guest| guest.stage != Stage::Shared);
        let place = match payer {
            Payer::At(origin, _) | Payer::Sharer(_, Some(origin), _) => {
                Place::Network(origin.network)
            }
            Payer::Name(_) | Payer::Guest(_) | Payer::Sharer(_, None, _) => {
                Place::Name(name.clone())
            }
        };
        Self {
            key: guest.map(|guest| guest.id),
            place: (!is_one).then_some(place),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, source: Option<(u64, u64)>) -> Person {
        let name = UserName::parse(name).expect("a name");
        let origin = source.map(|(network, source)| Origin { network, source });
        Person::of(&name, &Payer::of(&name, origin), None)
    }

    /// A subscriber of IPv6 has as many addresses as they like, and anybody as many names.
    #[test]
    fn a_stranger_is_a_network_and_a_name_where_that_is_all_that_is_known() {
        assert_eq!(of("alice", Some((1, 2))), of("bob", Some((1, 3))));
        assert_ne!(of("alice", Some((1, 2))), of("alice", Some((4, 2))));
        assert_eq!(of("alice", None), of("alice", None));
        assert_ne!(of("alice", None), of("bob", None));
        assert_ne!(of("alice", None), of("alice", Some((1, 2))));
    }
}
