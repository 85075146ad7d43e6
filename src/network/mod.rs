//! This machine's way to others: which addresses it has, and when that changes.
//!
//! A board changes its network while calls are live: Wi-Fi roams, a cable is
//! pulled, a DHCP lease brings another address. The kernel tells of it by
//! netlink; what it tells is taken as a hint to look again, so that nothing is
//! lost when messages are.
//!
//! `settling` decides when a change is one, and is pure; `listener` listens
//! and looks.

mod listener;
mod settling;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

pub(crate) use listener::listen;

/// Addresses that need not exist: documentation ranges (RFC 5737, RFC 3849),
/// which are reached by the default route or not at all.
const ELSEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// What others can reach this machine by, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// Of interfaces that are up and have a carrier; no loopback, and of IPv6
    /// no link-local ones, which mean nothing without their interface.
    pub addresses: BTreeSet<IpAddr>,
    /// From where packets to the world leave, IPv4 and IPv6 each; it changes
    /// with the default route.
    pub outward: [Option<IpAddr>; 2],
}

impl Network {
    /// Looks. A machine that cannot be looked at has no addresses.
    pub(crate) fn now() -> Self {
        Self {
            addresses: addresses(),
            outward: ELSEWHERE.map(source_toward),
        }
    }

    /// Whether a socket that is bound to `ip` still has a network. This
    /// machine's talk with itself needs none.
    pub(crate) fn carries(&self, ip: IpAddr) -> bool {
        let of_a_link = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let always = ip.is_loopback() || ip.is_unspecified() || of_a_link;
        always || self.addresses.contains(&ip.to_canonical())
    }
}

fn addresses() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return BTreeSet::new();
    };
    let carrying = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    interfaces
        .filter(|i| i.flags.contains(carrying))
        .filter_map(|i| address(&i))
        .filter(|ip| !ip.is_loopback() && !needs_zone(ip))
        .collect()
}

/// Every address that this machine has now, of interfaces that are up.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|i| i.flags.contains(InterfaceFlags::IFF_UP));
    up.filter_map(|i| address(&i)).collect()
}

fn address(interface: &InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address?;
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
        (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
        _ => None,
    }
}

/// Nobody can be told of these without saying on which interface
/// (RFC 4291 §2.5.6). IPv4 has one route to its like (RFC 3927), and they are
/// all that there is where a cable joins two machines.
fn needs_zone(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The kernel's choice of a source; nothing is sent.
fn source_toward(elsewhere: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match elsewhere {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(elsewhere, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_carries_its_own_addresses_and_no_others() {
        let network = Network {
            addresses: ["192.0.2.7", "169.254.7.1"]
                .map(|a| a.parse().expect("an address"))
                .into(),
            outward: [None, None],
        };
        for (ip, carried) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("169.254.7.1", true),
            ("169.254.7.2", false),
            ("fe80::7", true),
            ("0.0.0.0", true),
            ("192.0.2.8", false),
            ("2001:db8::7", false),
        ] {
            assert_eq!(network.carries(ip.parse().expect("one")), carried, "{ip}");
        }
    }

    #[test]
    fn what_is_found_can_be_bound_to() {
        for ip in Network::now().addresses {
            assert!(!ip.is_loopback() && !needs_zone(&ip), "{ip}");
            UdpSocket::bind(SocketAddr::new(ip, 0)).expect("it is this machine's own");
        }
    }
}
