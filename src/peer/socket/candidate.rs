//! Candidates of ours that the crate does not make: of sockets that roam, and of
//! ports that are forwarded to this device.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The type preference of a host candidate (RFC 8445 §5.1.2.1).
const HOST: u32 = 126;
/// And of one that is seen from outside only.
const REFLEXIVE: u32 = 100;
/// Under what the candidates of the answer have, which are of interfaces that
/// were there first.
const LOCAL: u32 = 0x7fff;

/// The host candidates of sockets that take packets on any address of their
/// family, as their lines stand in SDP (RFC 8839 §5.1).
pub(in crate::peer) fn host_candidates(
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

/// Whether a viewer can do anything with a candidate: one of a socket that takes
/// packets on any address says nothing.
pub(in crate::peer) fn says_something(candidate: &str) -> bool {
    host(candidate).is_none_or(|(ip, _)| !ip.is_unspecified())
}

/// The candidates of `public` addresses, whose ports are forwarded to the same
/// ones of this device (`ice.public_addresses`), for a host candidate of ours:
/// for each of its family one as a STUN server would tell of it.
pub(in crate::peer) fn public_candidates(candidate: &str, public: &[IpAddr]) -> Vec<String> {
    let Some((own, port)) = host(candidate) else {
        return Vec::new();
    };
    let of_a_link = matches!(own, IpAddr::V4(v4) if v4.is_link_local());
    if own.is_loopback() || own.is_unspecified() || of_a_link {
        return Vec::new();
    }
    let priority = (REFLEXIVE << 24) | (LOCAL << 8) | 255;
    let ufrag = candidate
        .split_once(" ufrag ")
        .and_then(|(_, after)| after.split(' ').next())
        .map_or(String::new(), |ufrag| format!(" ufrag {ufrag}"));
    let same = public.iter().enumerate();
    same.filter(|(_, ip)| ip.is_ipv4() == own.is_ipv4() && **ip != own)
        .map(|(i, ip)| {
            format!(
                "candidate:public{i} 1 udp {priority} {ip} {port} typ srflx \
                 raddr {own} rport {port}{ufrag}"
            )
        })
        .collect()
}

/// Address and port of a host candidate over UDP (RFC 8839 §5.1).
fn host(candidate: &str) -> Option<(IpAddr, u16)> {
    let mut words = candidate.split_ascii_whitespace().skip(2);
    let udp = words.next()?.eq_ignore_ascii_case("udp");
    let (ip, port) = (words.nth(1)?.parse().ok()?, words.next()?.parse().ok()?);
    let host = words.next()? == "typ" && words.next()? == "host";
    (udp && host).then_some((ip, port))
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
    fn a_forwarded_port_is_told_of_beside_the_device_s_own() {
        let public = ["203.0.113.7", "2001:db8::7"].map(|a| a.parse().expect("an address"));
        let own = "candidate:1 1 udp 2130706431 192.168.1.5 50001 typ host ufrag abcd";
        let lines = public_candidates(own, &public);
        let text = lines[0].strip_prefix("candidate:").expect("the prefix");
        let candidate = unmarshal_candidate(text).expect("a candidate");
        assert_eq!(candidate.addr().to_string(), "203.0.113.7:50001");
        assert_eq!(candidate.candidate_type().to_string(), "srflx");
        assert!(lines[0].contains("raddr 192.168.1.5 rport 50001 ufrag abcd"));
        assert_eq!(lines.len(), 1, "of its family");
        let six = "candidate:1 1 udp 2130706431 fd00::5 50001 typ host";
        assert!(public_candidates(six, &public)[0].contains(" 2001:db8::7 50001 typ srflx"));
        for none in [
            "",
            "candidate:1 1 udp 1 127.0.0.1 5 typ host",
            "candidate:1 1 udp 1 169.254.1.1 5 typ host",
            "candidate:1 1 udp 1 203.0.113.7 5 typ host",
            "candidate:1 1 tcp 1 192.168.1.5 5 typ host",
            "candidate:1 1 udp 1 192.168.1.5 5 typ relay raddr 10.0.0.1 rport 9",
        ] {
            assert_eq!(public_candidates(none, &public), [] as [&str; 0], "{none}");
        }
    }

    #[test]
    fn any_address_is_no_address() {
        assert!(!says_something("candidate:1 1 udp 1 0.0.0.0 5 typ host"));
        assert!(!says_something("candidate:1 1 udp 1 :: 5 typ host"));
        assert!(says_something("candidate:1 1 udp 1 192.0.2.1 5 typ host"));
        assert!(says_something(
            "candidate:1 1 udp 1 192.0.2.1 5 typ relay raddr 0.0.0.0 rport 5"
        ));
        assert!(says_something(""), "the end");
    }

    #[test]
    fn there_is_nothing_to_offer_without_addresses() {
        let sockets = ["0.0.0.0:4000".parse().expect("a socket")];
        assert!(host_candidates(&sockets, &BTreeSet::new(), "abcd").is_empty());
    }
}
