//! Where connections come from, as far as that tells one household from another.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits of an IPv6 address that a subscriber has at the least to themselves
/// (RFC 6177).
pub(crate) const IPV6_BITS: u8 = 64;
/// What providers give to one subscriber, too (RFC 6177 §2), the widest first.
const WIDER: [u8; 2] = [48, 56];

/// What shares a place and a budget: one IPv4 address, or one IPv6 network.
///
/// Nobody can tell from outside whether a network is one subscriber's or many's:
/// some have a /48, which is 65,536 networks of the usual size. So where places are
/// short, it is counted what the [wider networks](Self::networks) have first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    network: IpAddr,
    bits: u8,
}

impl Source {
    /// How many [networks](Self::networks) it is a part of.
    pub(crate) const LEVELS: usize = WIDER.len() + 1;

    /// Where `address` belongs to; of IPv6 the /64.
    pub fn of(address: IpAddr) -> Self {
        Self::within(address, IPV6_BITS)
    }

    /// The same; of IPv6 the network of so many bits, 128 at the most.
    pub fn within(address: IpAddr, ipv6_bits: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self {
                network: address.into(),
                bits: Ipv4Addr::BITS as u8,
            },
            IpAddr::V6(address) => {
                let bits = ipv6_bits.min(Ipv6Addr::BITS as u8);
                let host = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
                Self {
                    network: Ipv6Addr::from(u128::from(address) & !host).into(),
                    bits,
                }
            }
        }
    }

    /// What it may be a part of in one hand, the widest first, and itself last. An
    /// IPv4 address is a part of nothing.
    pub(crate) fn networks(self) -> [Self; Self::LEVELS] {
        let wider = WIDER.map(|bits| Self::within(self.network, bits.min(self.bits)));
        [wider[0], wider[1], self]
    }

    /// The same, each once.
    pub(crate) fn distinct(self) -> impl Iterator<Item = Self> {
        let networks = self.networks();
        let is_first = move |at: &usize| !networks[..*at].contains(&networks[*at]);
        (0..Self::LEVELS)
            .filter(is_first)
            .map(move |at| networks[at])
    }

    /// The widest of them.
    pub(crate) fn widest(self) -> Self {
        self.networks()[0]
    }

    /// This machine itself, or a proxy on it that nobody told of: whoever comes
    /// that way cannot be told apart, so there is no limit for one of them.
    pub(crate) fn is_this_machine(self) -> bool {
        // The network of ::1 is that of "::".
        self.network.is_loopback() || self.network == Ipv6Addr::UNSPECIFIED
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        Source::of(text.parse().expect("an address")).to_string()
    }

    #[test]
    fn one_ipv4_address_and_one_ipv6_network_are_a_source() {
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        for local in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            for bits in [32, 64, 128] {
                let source = Source::within(local.parse().unwrap(), bits);
                assert!(source.is_this_machine(), "{local}");
            }
        }
        assert!(!Source::of("10.0.0.1".parse().unwrap()).is_this_machine());
    }

    #[test]
    fn a_source_is_as_wide_as_was_said_and_a_part_of_what_is_wider() {
        for (bits, networks) in [
            (64, ["1:2:3::/48", "1:2:3:400::/56", "1:2:3:455::/64"]),
            (56, ["1:2:3::/48", "1:2:3:400::/56", "1:2:3:400::/56"]),
            (32, ["1:2::/32"; 3]),
            (128, ["1:2:3::/48", "1:2:3:400::/56", "1:2:3:455::9/128"]),
        ] {
            let source = Source::within("1:2:3:455::9".parse().unwrap(), bits);
            assert_eq!(source.networks().map(|n| n.to_string()), networks);
            assert_eq!(source.widest().to_string(), networks[0]);
        }
        let source = Source::of([192, 0, 2, 7].into());
        assert_eq!(source.networks(), [source; 3]);
    }
}
