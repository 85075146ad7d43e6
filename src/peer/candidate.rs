//! Candidates of ours that the crate does not make: of sockets that roam.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The type preference of a host candidate (RFC 8445 §5.1.2.1).
const HOST: u32 = 126;
/// Under what the candidates of the answer have, which are of interfaces that
/// were there first.
const LOCAL: u32 = 0x7fff;

/// The host candidates of sockets that take packets on any address of their
/// family, as their lines stand in SDP (RFC 8839 §5.1).
pub(super) fn host_candidates(
    anywhere: &[SocketAddr],
    addresses: &BTreeSet<IpAddr>,
    ufrag: &str,
) -> Vec<String> {
    let priority = (HOST << 24) | (LOCAL << 8) | 255;
    let of = |socket: &SocketAddr| {
        let (ipv4, port) = (socket.is_ipv4(), socket.port());
        let same = addresses.iter().filter(move |ip| ip.is_ipv4() == ipv4);
        same.map(move |ip| (*ip, port))
    };
    anywhere
        .iter()
        .flat_map(of)
        .enumerate()
        .map(|(i, (ip, port))| {
            format!("candidate:roam{i} 1 udp {priority} {ip} {port} typ host ufrag {ufrag}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rtc::ice::candidate::unmarshal_candidate;

    use super::*;

    #[test]
    fn each_socket_is_offered_at_each_address_of_its_family() {
        let sockets = ["0.0.0.0:4000", "[::]:6000"].map(|s| s.parse().expect("a socket"));
        let addresses = ["192.0.2.1", "192.0.2.9", "2001:db8::1"];
        let addresses = addresses.map(|a| a.parse().expect("an address"));
        let lines = host_candidates(&sockets, &BTreeSet::from(addresses), "abcd");
        let found: Vec<_> = lines
            .iter()
            .map(|line| {
                let text = line.strip_prefix("candidate:").expect("the prefix");
                let candidate = unmarshal_candidate(text).expect("a candidate");
                candidate.addr().to_string()
            })
            .collect();
        assert_eq!(
            found,
            ["192.0.2.1:4000", "192.0.2.9:4000", "[2001:db8::1]:6000"]
        );
    }

    #[test]
    fn there_is_nothing_to_offer_without_addresses() {
        let sockets = ["0.0.0.0:4000".parse().expect("a socket")];
        assert!(host_candidates(&sockets, &BTreeSet::new(), "abcd").is_empty());
    }
}
