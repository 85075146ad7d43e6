//! Addresses that stand for servers, in ranges where nobody is (RFC 1112 §4 for
//! IPv4, RFC 6666 for IPv6). They are drawn anew for each connection: a viewer
//! who knew one could name it as a candidate of theirs and have us send there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustls::crypto::ring::default_provider;

/// One of each family, for the sockets of that family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StandIns(pub [SocketAddr; 2]);

impl StandIns {
    /// New ones. Without randomness there are none.
    pub(super) fn draw() -> Option<Self> {
        let mut random = [0; 16];
        default_provider().secure_random.fill(&mut random).ok()?;
        Some(Self::from(random))
    }

    pub(super) fn is(&self, address: SocketAddr) -> bool {
        self.0.contains(&address)
    }
}

impl From<[u8; 16]> for StandIns {
    fn from(r: [u8; 16]) -> Self {
        // The last bit is kept from making it the broadcast address.
        let v4 = Ipv4Addr::new(0xf0 | r[0], r[1], r[2], r[3] & 0xfe);
        let rest = [2, 3, 4, 5].map(|i| u16::from_be_bytes([r[2 * i], r[2 * i + 1]]));
        let v6 = Ipv6Addr::new(0x100, 0, 0, 0, rest[0], rest[1], rest[2], rest[3]);
        // Any port but that of multicast DNS, which the crate sends elsewhere.
        let port = u16::from_be_bytes([r[12], r[13]]) | 0x8000;
        Self([(v4, port).into(), (v6, port).into()])
    }
}

/// Whether an address may be one of these: what is asked of each packet.
pub(super) fn may_be(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[0] >= 0xf0,
        IpAddr::V6(ip) => ip.segments()[..4] == [0x100, 0, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_where_nobody_is_and_differ() {
        for bits in [[0; 16], [0xff; 16]] {
            let StandIns([v4, v6]) = StandIns::from(bits);
            assert!(may_be(v4) && may_be(v6));
            assert!(v4.is_ipv4() && v6.is_ipv6() && v4.port() >= 0x8000);
            assert_ne!(v4.ip(), Ipv4Addr::BROADCAST);
        }
        let drawn = [StandIns::draw(), StandIns::draw()].map(|s| s.expect("randomness"));
        assert_ne!(drawn[0], drawn[1]);
        assert!(drawn[0].is(drawn[0].0[1]) && !drawn[0].is(drawn[1].0[1]));
        for elsewhere in ["192.0.2.1:1", "224.0.0.251:5353", "[2001:db8::1]:1"] {
            assert!(!may_be(elsewhere.parse().expect("an address")));
        }
    }
}
