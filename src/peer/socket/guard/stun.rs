//! A look at a datagram, as much as the guard has to know of it: STUN (RFC 8489
//! §5), TURN's wrapping of it (RFC 8656 §§11, 12), DTLS and RTP told apart by the
//! first byte (RFC 7983 §7). It allocates nothing and reads each byte once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Attributes read in one message; the crates write fewer than ten.
const MOST_ATTRIBUTES: usize = 32;

const USERNAME: u16 = 0x0006;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;

/// A transaction's number, by which an answer finds its request.
pub(super) type Transaction = [u8; 12];

/// What a datagram is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Stun(Stun<'a>),
    /// TURN's short framing of a peer's datagram.
    Channel {
        number: u16,
        data: &'a [u8],
    },
    Dtls,
    /// Encrypted or not, as its header is in the clear.
    Rtp,
    Rtcp,
    Other,
}

/// The class of a STUN message (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// The methods that the guard tells apart (RFC 8489 §18.2, RFC 8656 §17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Binding,
    Send,
    Data,
    ChannelBind,
    Other,
}

/// A STUN message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stun<'a> {
    pub class: Class,
    pub method: Method,
    pub transaction: Transaction,
    attributes: &'a [u8],
}

/// Looks at a datagram.
pub(super) fn look(datagram: &[u8]) -> Kind<'_> {
    match datagram.first() {
        Some(0..=3) => stun(datagram).map_or(Kind::Other, Kind::Stun),
        Some(20..=63) => Kind::Dtls,
        Some(64..=79) => channel(datagram).unwrap_or(Kind::Other),
        // RFC 5761 §4: told apart by the packet type.
        Some(128..=191) => match datagram.get(1) {
            Some(192..=223) => Kind::Rtcp,
            _ => Kind::Rtp,
        },
        _ => Kind::Other,
    }
}

fn stun(datagram: &[u8]) -> Option<Stun<'_>> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[4..8] != COOKIE || length != attributes.len() || length % 4 != 0 {
        return None;
    }
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let class = match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    let method = match kind & !0x0110 {
        0x001 => Method::Binding,
        0x006 => Method::Send,
        0x007 => Method::Data,
        0x009 => Method::ChannelBind,
        _ => Method::Other,
    };
    Some(Stun {
        class,
        method,
        transaction: header[8..].try_into().ok()?,
        attributes,
    })
}

fn channel(datagram: &[u8]) -> Option<Kind<'_>> {
    let (header, rest) = datagram.split_at_checked(4)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    Some(Kind::Channel {
        number: u16::from_be_bytes([header[0], header[1]]),
        data: rest.get(..length)?,
    })
}

impl<'a> Stun<'a> {
    fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.attributes;
        for _ in 0..MOST_ATTRIBUTES {
            let (header, value) = rest.split_at_checked(4)?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let found = value.get(..length)?;
            if u16::from_be_bytes([header[0], header[1]]) == wanted {
                return Some(found);
            }
            rest = value.get(length.next_multiple_of(4)..)?;
        }
        None
    }

    /// `receiver's ufrag:sender's ufrag` of a connectivity check (RFC 8445
    /// §7.2.2); a request to a STUN server has none.
    pub(super) fn username(&self) -> Option<&'a [u8]> {
        self.attribute(USERNAME)
    }

    /// The datagram that a Send or Data indication carries.
    pub(super) fn data(&self) -> Option<&'a [u8]> {
        self.attribute(DATA)
    }

    pub(super) fn channel_number(&self) -> Option<u16> {
        let value = self.attribute(CHANNEL_NUMBER)?;
        Some(u16::from_be_bytes(value.get(..2)?.try_into().ok()?))
    }

    /// The other end of a relay (RFC 8489 §14.2).
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let value = self.attribute(XOR_PEER_ADDRESS)?;
        let port = u16::from_be_bytes(value.get(2..4)?.try_into().ok()?) ^ 0x2112;
        let address = value.get(4..)?;
        let mut key = [0; 16];
        key[..4].copy_from_slice(&COOKIE);
        key[4..].copy_from_slice(&self.transaction);
        let ip = match (value.get(1)?, address.len()) {
            (1, 4) => {
                let bytes: [u8; 4] = std::array::from_fn(|i| address[i] ^ key[i]);
                IpAddr::V4(Ipv4Addr::from(bytes))
            }
            (2, 16) => {
                let bytes: [u8; 16] = std::array::from_fn(|i| address[i] ^ key[i]);
                IpAddr::V6(Ipv6Addr::from(bytes))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

#[cfg(any(test, fuzzing))]
pub(super) mod write {
    //! Messages for tests.
    use super::*;

    pub(crate) fn message(
        kind: u16,
        transaction: Transaction,
        attributes: &[(u16, &[u8])],
    ) -> Vec<u8> {
        let mut body = Vec::new();
        for (number, value) in attributes {
            body.extend_from_slice(&number.to_be_bytes());
            body.extend_from_slice(&u16::try_from(value.len()).expect("short").to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut out = kind.to_be_bytes().to_vec();
        out.extend_from_slice(&u16::try_from(body.len()).expect("short").to_be_bytes());
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&transaction);
        out.extend_from_slice(&body);
        out
    }

    pub(crate) fn check(transaction: u8, username: &str) -> Vec<u8> {
        message(
            0x0001,
            [transaction; 12],
            &[(USERNAME, username.as_bytes())],
        )
    }

    pub(crate) fn success(transaction: u8) -> Vec<u8> {
        message(0x0101, [transaction; 12], &[])
    }

    /// An XOR-PEER-ADDRESS of an IPv4 address.
    pub(crate) fn peer(to: SocketAddr) -> Vec<u8> {
        let IpAddr::V4(ip) = to.ip() else {
            panic!("tests relay IPv4");
        };
        let mut value = vec![0, 1];
        value.extend_from_slice(&(to.port() ^ 0x2112).to_be_bytes());
        value.extend(ip.octets().iter().zip(COOKIE).map(|(a, b)| a ^ b));
        value
    }

    pub(crate) fn send(to: SocketAddr, data: &[u8]) -> Vec<u8> {
        let address = peer(to);
        message(
            0x0016,
            [7; 12],
            &[(XOR_PEER_ADDRESS, &address), (DATA, data)],
        )
    }

    pub(crate) fn data(from: SocketAddr, data: &[u8]) -> Vec<u8> {
        let address = peer(from);
        message(
            0x0017,
            [7; 12],
            &[(XOR_PEER_ADDRESS, &address), (DATA, data)],
        )
    }

    pub(crate) fn bind(number: u16, to: SocketAddr) -> Vec<u8> {
        let address = peer(to);
        let number = [number.to_be_bytes(), [0, 0]].concat();
        message(
            0x0009,
            [8; 12],
            &[(CHANNEL_NUMBER, &number), (XOR_PEER_ADDRESS, &address)],
        )
    }

    pub(crate) fn channel(number: u16, data: &[u8]) -> Vec<u8> {
        let mut out = number.to_be_bytes().to_vec();
        out.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
        out.extend_from_slice(data);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_crate_writes_is_read() {
        let check = write::check(3, "them:us");
        let Kind::Stun(stun) = look(&check) else {
            panic!("a check is STUN");
        };
        assert_eq!((stun.class, stun.method), (Class::Request, Method::Binding));
        assert_eq!(stun.username(), Some(b"them:us".as_slice()));
        assert_eq!(stun.transaction, [3; 12]);

        let peer: SocketAddr = "192.0.2.7:4000".parse().expect("an address");
        let sent = write::send(peer, &check);
        let Kind::Stun(stun) = look(&sent) else {
            panic!("an indication is STUN");
        };
        assert_eq!((stun.class, stun.method), (Class::Indication, Method::Send));
        assert_eq!((stun.peer(), stun.data()), (Some(peer), Some(&*check)));
        let channel = write::channel(0x4001, &check);
        let data = &*check;
        assert_eq!(
            look(&channel),
            Kind::Channel {
                number: 0x4001,
                data
            }
        );
    }

    #[test]
    fn each_first_byte_is_what_rfc_7983_says() {
        assert_eq!(look(&[22, 0, 0, 0]), Kind::Dtls);
        assert_eq!(look(&[128, 0, 0, 0]), Kind::Rtp);
        for (kind, is_rtcp) in [
            (191, false),
            (192, true),
            (201, true),
            (223, true),
            (224, false),
        ] {
            assert_eq!(look(&[144, kind]) == Kind::Rtcp, is_rtcp, "{kind}");
        }
        // The first is too short for STUN.
        for other in [0, 4, 19, 80, 127, 192, 255] {
            assert_eq!(look(&[other, 0, 0, 0]), Kind::Other, "{other}");
        }
        assert_eq!(look(&[]), Kind::Other);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Kind::Stun(stun) = look(&datagram) {
                let _ = (stun.username(), stun.data(), stun.peer(), stun.channel_number());
            }
        }

        #[test]
        fn broken_attributes_end_the_search(mut body in proptest::collection::vec(any::<u8>(), 0..120)) {
            body.truncate(body.len() / 4 * 4);
            let mut datagram = write::message(0x0016, [1; 12], &[]);
            let length = u16::try_from(body.len()).expect("short").to_be_bytes();
            datagram[2..4].copy_from_slice(&length);
            datagram.extend_from_slice(&body);
            let Kind::Stun(stun) = look(&datagram) else {
                panic!("its header is right");
            };
            let _ = (stun.username(), stun.data(), stun.peer(), stun.channel_number());
        }
    }
}
