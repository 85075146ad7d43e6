//! A caller's ICE candidate, in an offer or trickled (RFC 8839 §5.1): read into
//! a value, judged, and written anew for the crate.
//!
//! Only what is used of a line is read: UDP, the first component, an address
//! that can be one machine's. An odd line costs nothing but itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;

/// Candidates of a caller that one ICE generation uses. Each is checked against
/// each address of ours many times, so they are packets to whoever is named.
pub const MAX_CANDIDATES: usize = 32;

/// Longest first label of a `.local` name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// Why a candidate is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Words are missing or out of place.
    #[error("it is not a candidate line")]
    NotACandidate,
    /// The RTCP half of a transport that is not multiplexed.
    #[error("it is of another component than the first")]
    Component,
    /// TCP, or something newer.
    #[error("it is not UDP")]
    NotUdp,
    /// A host name, a zone id, a number in another notation.
    #[error("its address is neither an IP address nor a .local name")]
    Address,
    /// 0, or no port.
    #[error("its port is none")]
    Port,
    /// Not host, srflx, prflx or relay.
    #[error("its type is unknown")]
    Kind,
    /// A multicast, broadcast or unspecified address.
    #[error("its address is nobody's own")]
    NotOneMachine,
    /// The device itself, where it serves nobody on its own machine.
    #[error("it is a loopback address (ice.loopback is off)")]
    Loopback,
}

/// Where a candidate was found (RFC 8445 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relay,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// The label before `.local`, which multicast DNS resolves.
    Local(String),
}

/// A candidate that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCandidate {
    kind: Kind,
    host: Host,
    port: NonZeroU16,
    priority: u32,
    /// Of the line that was read, in bytes.
    length: usize,
}

impl RemoteCandidate {
    /// Reads a line, with or without its `a=` and `candidate:`.
    pub fn read(line: &str) -> Result<Self, Unfit> {
        let length = line.len();
        let line = line.trim();
        let line = line.strip_prefix("a=").unwrap_or(line);
        let line = line.strip_prefix("candidate:").unwrap_or(line);
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().ok_or(Unfit::NotACandidate);
        let (_foundation, component, transport) = (word()?, word()?, word()?);
        let (priority, address, port) = (word()?, word()?, word()?);
        let (typ, kind) = (word()?, word()?);
        if typ != "typ" {
            return Err(Unfit::NotACandidate);
        }
        if component != "1" {
            return Err(Unfit::Component);
        }
        if !transport.eq_ignore_ascii_case("udp") {
            return Err(Unfit::NotUdp);
        }
        let kind = match kind {
            "host" => Kind::Host,
            "srflx" => Kind::ServerReflexive,
            "prflx" => Kind::PeerReflexive,
            "relay" => Kind::Relay,
            _ => return Err(Unfit::Kind),
        };
        Ok(Self {
            kind,
            host: Host::read(address, kind)?,
            port: port.parse().map_err(|_| Unfit::Port)?,
            priority: priority.parse().map_err(|_| Unfit::NotACandidate)?,
            length,
        })
    }

    /// Checks that packets may go there; to this machine itself only where
    /// `loopback` says so.
    pub fn check(&self, loopback: bool) -> Result<(), Unfit> {
        match self.host {
            Host::Ip(ip) if ip.is_loopback() && !loopback => Err(Unfit::Loopback),
            Host::Ip(_) | Host::Local(_) => Ok(()),
        }
    }

    /// How long the line was that it was read of, in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Where it is; nothing is known of a name.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Ip(ip) => Some((*ip, self.port.get()).into()),
            Host::Local(_) => None,
        }
    }

    /// An address of their own.
    pub(crate) fn is_host(&self) -> bool {
        self.kind == Kind::Host
    }

    /// The address at a TURN server of theirs, where it is one.
    pub(crate) fn relay(&self) -> Option<SocketAddr> {
        self.address().filter(|_| self.kind == Kind::Relay)
    }

    /// The same place; what else is said of it does not matter.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl Host {
    fn read(text: &str, kind: Kind) -> Result<Self, Unfit> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            return match is_one_machine(ip) {
                true => Ok(Self::Ip(ip)),
                false => Err(Unfit::NotOneMachine),
            };
        }
        // Only a browser's own address is hidden behind a name.
        let label = match kind {
            Kind::Host => text.len().checked_sub(".local".len()),
            Kind::ServerReflexive | Kind::PeerReflexive | Kind::Relay => None,
        };
        let (label, end) = label
            .and_then(|at| text.split_at_checked(at))
            .ok_or(Unfit::Address)?;
        let is_label = (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_label && end.eq_ignore_ascii_case(".local") {
            Ok(Self::Local(label.to_owned()))
        } else {
            Err(Unfit::Address)
        }
    }
}

/// False for what stands for several machines, or none.
pub(crate) fn is_one_machine(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // All of 0.0.0.0/8 is "this network" (RFC 1122 §3.2.1.3).
        IpAddr::V4(ip) => ip.octets()[0] != 0 && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST,
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// The line as the crate is given it.
impl fmt::Display for RemoteCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Host => "host",
            Kind::ServerReflexive => "srflx",
            Kind::PeerReflexive => "prflx",
            Kind::Relay => "relay",
        };
        let (priority, port) = (self.priority, self.port);
        match &self.host {
            Host::Ip(ip) => write!(f, "candidate:1 1 udp {priority} {ip} {port} typ {kind}"),
            Host::Local(label) => write!(
                f,
                "candidate:1 1 udp {priority} {label}.local {port} typ {kind}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use rtc::ice::candidate::unmarshal_candidate;

    use super::*;

    fn written(line: &str) -> Result<String, Unfit> {
        RemoteCandidate::read(line).map(|c| c.to_string())
    }

    #[test]
    fn what_browsers_write_is_read_and_written_anew() {
        for (line, anew) in [
            (
                "candidate:842163049 1 udp 1677729535 192.0.2.7 54321 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag Kx3f network-cost 999",
                "candidate:1 1 udp 1677729535 192.0.2.7 54321 typ srflx",
            ),
            (
                "candidate:0 1 UDP 2122252543 3f2504e0-4f89-11d3-9a0c-0305e82c3301.local 50000 typ host",
                "candidate:1 1 udp 2122252543 3f2504e0-4f89-11d3-9a0c-0305e82c3301.local 50000 typ host",
            ),
            (
                "a=candidate:1 1 udp 1 2001:DB8::1 9 typ relay\r\n",
                "candidate:1 1 udp 1 2001:db8::1 9 typ relay",
            ),
            (
                "1 1 udp 4294967295 ::ffff:192.0.2.1 1 typ prflx",
                "candidate:1 1 udp 4294967295 192.0.2.1 1 typ prflx",
            ),
            (
                "candidate:1 1 udp 1 fe80::1 1 typ host",
                "candidate:1 1 udp 1 fe80::1 1 typ host",
            ),
        ] {
            assert_eq!(written(line).as_deref(), Ok(anew), "{line}");
            let text = anew.strip_prefix("candidate:").expect("the prefix");
            unmarshal_candidate(text).expect("the crate reads it");
        }
    }

    #[test]
    fn an_odd_one_is_passed_over_and_says_why() {
        use Unfit::*;
        for (line, why) in [
            ("", NotACandidate),
            ("candidate:", NotACandidate),
            ("candidate:1 1 udp 1 192.0.2.1 9", NotACandidate),
            ("candidate:1 1 udp 1 192.0.2.1 9 host typ", NotACandidate),
            ("candidate:1 1 udp x 192.0.2.1 9 typ host", NotACandidate),
            (
                "candidate:1 1 udp 4294967296 192.0.2.1 9 typ host",
                NotACandidate,
            ),
            ("candidate:1 2 udp 1 192.0.2.1 9 typ host", Component),
            (
                "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive",
                NotUdp,
            ),
            (
                "candidate:1 1 TCP 1 192.0.2.1 9 typ host tcptype so",
                NotUdp,
            ),
            ("candidate:1 1 ssltcp 1 192.0.2.1 443 typ host", NotUdp),
            ("candidate:1 1 udp 1 camera.example.org 9 typ host", Address),
            ("candidate:1 1 udp 1 localhost 9 typ host", Address),
            ("candidate:1 1 udp 1 .local 9 typ host", Address),
            ("candidate:1 1 udp 1 a.b.local 9 typ host", Address),
            ("candidate:1 1 udp 1 ä.local 9 typ host", Address),
            ("candidate:1 1 udp 1 fe80::1%eth0 9 typ host", Address),
            ("candidate:1 1 udp 1 [2001:db8::1] 9 typ host", Address),
            ("candidate:1 1 udp 1 0x7f.1 9 typ host", Address),
            ("candidate:1 1 udp 1 2130706433 9 typ host", Address),
            ("candidate:1 1 udp 1 a.local 9 typ srflx", Address),
            ("candidate:1 1 udp 1 192.0.2.1 0 typ host", Port),
            ("candidate:1 1 udp 1 192.0.2.1 65536 typ host", Port),
            ("candidate:1 1 udp 1 192.0.2.1 -1 typ host", Port),
            ("candidate:1 1 udp 1 192.0.2.1 9 typ future", Kind),
            ("candidate:1 1 udp 1 224.0.0.1 9 typ host", NotOneMachine),
            (
                "candidate:1 1 udp 1 239.255.255.250 9 typ srflx",
                NotOneMachine,
            ),
            (
                "candidate:1 1 udp 1 255.255.255.255 9 typ host",
                NotOneMachine,
            ),
            ("candidate:1 1 udp 1 0.0.0.0 9 typ host", NotOneMachine),
            ("candidate:1 1 udp 1 0.0.0.1 9 typ host", NotOneMachine),
            ("candidate:1 1 udp 1 :: 9 typ host", NotOneMachine),
            ("candidate:1 1 udp 1 ff02::fb 9 typ host", NotOneMachine),
            (
                "candidate:1 1 udp 1 ::ffff:224.0.0.1 9 typ host",
                NotOneMachine,
            ),
            (
                "candidate:1 1 udp 1 ::ffff:0.0.0.0 9 typ host",
                NotOneMachine,
            ),
        ] {
            assert_eq!(written(line), Err(why), "{line}");
        }
    }

    #[test]
    fn the_machine_itself_is_checked_only_where_it_is_configured() {
        for (address, loopback) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.168.0.1", false),
            ("fd00::1", false),
            ("a.local", false),
        ] {
            let line = format!("candidate:1 1 udp 1 {address} 9 typ host");
            let candidate = RemoteCandidate::read(&line).expect("well formed");
            let refused = loopback.then_some(Unfit::Loopback);
            assert_eq!(candidate.check(false).err(), refused, "{address}");
            assert_eq!(candidate.check(true), Ok(()), "{address}");
        }
    }
}
