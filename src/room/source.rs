//! Where connections come from, as far as that tells one household from another.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What shares a place and a budget: one IPv4 address, or the /64 that a
/// subscriber has at the least of IPv6 (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl Source {
    /// Where `address` belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                Ipv6Addr::from(network).into()
            }
        })
    }

    /// This machine itself, or a proxy on it that nobody told of: whoever comes
    /// that way cannot be told apart, so there is no limit for one of them.
    pub(crate) fn is_this_machine(self) -> bool {
        // The /64 of ::1 is that of "::".
        self.0.is_loopback() || self.0 == Ipv6Addr::UNSPECIFIED
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
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
            assert!(
                Source::of(local.parse().unwrap()).is_this_machine(),
                "{local}"
            );
        }
        assert!(!Source::of("10.0.0.1".parse().unwrap()).is_this_machine());
    }
}
