//! Whose connection it is where a proxy stands before this server.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::HeaderMap;

use super::Options;
use crate::room::Source;

/// Addresses that begin with the same bits: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - self.bits;
                let part = |a: u32| a.checked_shr(shift).unwrap_or(0);
                part(network.into()) == part(address.into())
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - self.bits;
                let part = |a: u128| a.checked_shr(shift).unwrap_or(0);
                part(network.into()) == part(address.into())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "it is no address or network; it is written 127.0.0.1, 10.0.0.0/8 or fd00::/8"
                .to_owned()
        };
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().map_err(|_| wrong())?,
            None => all,
        };
        if bits > all {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

/// Tells where sockets and requests come from.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    trusted: Arc<[Network]>,
    ipv6_prefix: u8,
}

impl Sources {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            trusted: options.trusted_proxies.as_slice().into(),
            ipv6_prefix: options.ipv6_prefix,
        }
    }

    /// Where a socket comes from, whoever is behind it.
    pub(super) fn of_socket(&self, peer: SocketAddr) -> Source {
        Source::within(peer.ip(), self.ipv6_prefix)
    }

    /// Where a request comes from.
    pub(super) fn of_request(&self, peer: SocketAddr, headers: &HeaderMap) -> Source {
        let client = client(peer, headers, &self.trusted);
        Source::within(client, self.ipv6_prefix)
    }

    /// Whether the peer is a proxy that is believed for whom it asks.
    pub(super) fn is_proxy(&self, peer: SocketAddr) -> bool {
        is_trusted(peer.ip(), &self.trusted)
    }

    /// Whether many may come by this peer, as far as is known.
    pub(super) fn is_shared(&self, peer: SocketAddr) -> bool {
        peer.ip().to_canonical().is_loopback() || self.is_proxy(peer)
    }
}

fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// Who sent a request that came from `peer`: the last address of
/// `X-Forwarded-For` that no trusted proxy has. What stands before that, the
/// sender may have written.
fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut client = peer.ip();
    if !is_trusted(client, trusted) {
        return client;
    }
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        let Some(address) = std::str::from_utf8(hop).ok().and_then(address) else {
            break;
        };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    let bare = hop.strip_prefix('[').and_then(|hop| hop.split_once(']'));
    let bare = bare.map_or(hop, |(address, _)| address);
    let address = bare.parse().ok();
    address.or_else(|| Some(bare.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a value"));
        }
        let trusted: Vec<Network> = ["127.0.0.1", "::1", "10.0.0.0/8", "fd00::/8"]
            .map(|text| text.parse().expect("a network"))
            .to_vec();
        let peer = format!("{peer}:9").parse().expect("an address");
        client(peer, &headers, &trusted).to_string()
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_client() {
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("[::ffff:127.0.0.1]", &["203.0.113.9"], "203.0.113.9"),
            // What the client wrote itself comes first.
            ("127.0.0.1", &["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
            (
                "127.0.0.1",
                &["198.51.100.7, 203.0.113.9, 10.1.2.3"],
                "203.0.113.9",
            ),
            ("127.0.0.1", &["unknown, 10.1.2.3"], "10.1.2.3"),
            ("127.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("[::1]", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("127.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("127.0.0.1", &[",,"], "127.0.0.1"),
        ] {
            assert_eq!(of(peer, forwarded), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_network_is_read_or_the_right_spelling_told() {
        let any: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(any.contains([8, 8, 8, 8].into()));
        let half: Network = "10.0.0.0/9".parse().expect("a network");
        assert!(half.contains([10, 127, 0, 1].into()) && !half.contains([10, 128, 0, 1].into()));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "proxy",
            "::/129",
            "10.0.0.0/x",
        ] {
            assert!(
                bad.parse::<Network>()
                    .is_err_and(|e| e.contains("10.0.0.0/8")),
                "{bad}"
            );
        }
    }
}
