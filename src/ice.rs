//! Addresses of STUN and TURN servers, as a configuration, a command line and a
//! browser write them: `stun:host:port` (RFC 7064) and
//! `turn:host:port?transport=udp` (RFC 7065). Pure.
//!
//! One parser for all who read them. It takes what every browser takes: some of
//! what the grammar allows throws in one or the other (`transport=UDP`), and a
//! page with one such address makes no calls at all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::secret::shown_address;

/// The longest name in DNS (RFC 1035 §2.3.4), and of one part of it.
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Of a text that is refused, what is said again.
const QUOTED: usize = 80;
/// Where servers listen unless it is said (RFC 8489 §18.6, RFC 8656 §5).
const PORT: u16 = 3478;
const SECURE_PORT: u16 = 5349;

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream that is encrypted, to a server that proves its name.
    Tls,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name, to be resolved.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The address of one server. Its text is shown as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct IceUrl {
    text: String,
    /// TURN; otherwise STUN.
    pub turn: bool,
    /// Where it is.
    pub host: Host,
    /// 1 to 65535; the scheme's own where the text has none.
    pub port: u16,
    /// UDP for `stun:`.
    pub transport: Transport,
}

/// Why a text is no such address, and how it is written right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IceUrlError(String);

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<IceUrl> for String {
    fn from(url: IceUrl) -> Self {
        url.text
    }
}

/// For the configuration, whose parser adds the line.
impl TryFrom<String> for IceUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map_err(|error| format!("ice.servers.urls: {error}"))
    }
}

impl FromStr for IceUrl {
    type Err = IceUrlError;

    fn from_str(text: &str) -> Result<Self, IceUrlError> {
        strict(text).map_err(|problem| {
            let shown = without_login(text);
            let quoted = match shown.char_indices().nth(QUOTED) {
                Some((end, _)) => format!("{:?}…", &shown[..end]),
                None => format!("{shown:?}"),
            };
            let better = mended(text).map_or_else(
                || "write stun:host:port or turn:host:port?transport=udp".to_owned(),
                |better| format!("write \"{better}\""),
            );
            IceUrlError(format!("{quoted}: {problem}; {better}"))
        })
    }
}

fn strict(text: &str) -> Result<IceUrl, &'static str> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there are no blanks in an address");
    }
    let (scheme, rest) = text.split_once(':').ok_or(SCHEMES)?;
    let (turn, secure) = match scheme {
        "stun" => (false, false),
        "turn" => (true, false),
        "turns" => (true, true),
        "stuns" => return Err("neither browsers nor this device ask STUN over TLS"),
        _ => return Err(SCHEMES),
    };
    if rest.starts_with('/') {
        return Err("no slashes follow the colon");
    }
    if rest.contains('@') {
        return Err(
            "user and password are no part of the address, but have keys of their own: \
                    username and credential_file",
        );
    }
    let (authority, query) = match rest.split_once('?') {
        Some((authority, query)) => (authority, Some(query)),
        None => (rest, None),
    };
    let transport = match (query, turn, secure) {
        (None, _, true) => Transport::Tls,
        (None, _, false) => Transport::Udp,
        (Some(_), false, _) => return Err("nothing follows the port of a STUN server"),
        (Some("transport=udp"), true, false) => Transport::Udp,
        (Some("transport=tcp"), true, false) => Transport::Tcp,
        (Some("transport=tcp"), true, true) => Transport::Tls,
        (Some("transport=udp"), true, true) => {
            return Err("turns: is TLS, which is spoken over TCP");
        }
        (Some(_), true, _) => {
            return Err("only transport=udp or transport=tcp may follow the question mark");
        }
    };
    let (host, port) = host_and_port(authority)?;
    Ok(IceUrl {
        text: text.to_owned(),
        turn,
        host,
        port: port.unwrap_or(if secure { SECURE_PORT } else { PORT }),
        transport,
    })
}

const SCHEMES: &str = "it does not begin with stun:, turn: or turns:";

fn host_and_port(authority: &str) -> Result<(Host, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed
                .split_once(']')
                .ok_or("a bracket is opened and not closed")?;
            let ip: Ipv6Addr = host
                .parse()
                .map_err(|_| "what is in brackets is no IPv6 address")?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err("only a colon and a port may follow the bracket"),
            };
            (Host::Ip(ip.into()), port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            if port.is_some_and(|port| port.contains(':')) {
                return Err("an IPv6 address stands in brackets");
            }
            (name_or_ipv4(host)?, port)
        }
    };
    let port = match port {
        None => None,
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|p| *p > 0 && port.bytes().all(|b| b.is_ascii_digit()))
                .ok_or("its port is no number from 1 to 65535")?,
        ),
    };
    Ok((host, port))
}

fn name_or_ipv4(host: &str) -> Result<Host, &'static str> {
    if host.is_empty() {
        return Err("it has no host");
    }
    if !host.is_ascii() {
        return Err("a name with other letters is written as DNS has it (xn--…)");
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let labels_fit = name.split('.').all(|label| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    });
    if name.len() > LONGEST_HOST || !labels_fit {
        return Err("its host is no name and no IPv4 address");
    }
    // As browsers have it: what ends in a number is an IPv4 address or nothing.
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        let ip: Ipv4Addr = name
            .parse()
            .map_err(|_| "its host is no name and no IPv4 address")?;
        return Ok(Host::Ip(ip.into()));
    }
    Ok(Host::Name(host.to_owned()))
}

/// A text that may be shown: what stands before an `@` may be a password.
fn without_login(text: &str) -> String {
    match text.split_once('?') {
        Some((address, query)) if is_transport(query) => {
            format!("{}?{query}", shown_address(address))
        }
        _ => shown_address(text),
    }
}

/// What a query may say (RFC 7065 §3.1), and nothing else.
fn is_transport(query: &str) -> bool {
    let value = query.split_once('=').filter(|(key, _)| *key == "transport");
    value.is_some_and(|(_, value)| value.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// What was probably meant, where that can be told.
fn mended(text: &str) -> Option<String> {
    let text: String = text.split_whitespace().collect();
    let (scheme, rest) = text.split_once(':')?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "stuns" => "stun".to_owned(),
        other => other.to_owned(),
    };
    let rest = rest.trim_start_matches('/');
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.trim_end_matches('/');
    let authority = match authority.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => authority.to_owned(),
    };
    let query = query.to_ascii_lowercase();
    let transport = query
        .split('&')
        .find(|part| matches!(*part, "transport=udp" | "transport=tcp"))
        .filter(|part| scheme == "turn" || (scheme == "turns" && *part == "transport=tcp"))
        .map(|part| format!("?{part}"))
        .unwrap_or_default();
    let mended = format!("{scheme}:{authority}{transport}");
    strict(&mended).is_ok().then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (bool, String, u16, Transport) {
        let url: IceUrl = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(url.to_string(), text);
        (url.turn, url.host.to_string(), url.port, url.transport)
    }

    #[test]
    fn what_the_rfcs_have_is_read() {
        use Transport::{Tcp, Tls, Udp};
        for (text, turn, host, port, transport) in [
            ("stun:a.example", false, "a.example", 3478, Udp),
            ("stun:a.example:19302", false, "a.example", 19_302, Udp),
            ("stun:[::1]", false, "::1", 3478, Udp),
            ("turn:a.example", true, "a.example", 3478, Udp),
            ("turn:a:99?transport=udp", true, "a", 99, Udp),
            ("turn:192.0.2.1?transport=tcp", true, "192.0.2.1", 3478, Tcp),
            ("turns:a_b.example.", true, "a_b.example.", 5349, Tls),
            ("turns:a:443?transport=tcp", true, "a", 443, Tls),
            ("turn:[2001:db8::1]:99", true, "2001:db8::1", 99, Udp),
        ] {
            assert_eq!(read(text), (turn, host.to_owned(), port, transport));
        }
    }

    #[test]
    fn what_a_browser_would_throw_at_is_refused_with_the_right_spelling() {
        for (text, better) in [
            ("stun://a.example", "\"stun:a.example\""),
            ("stun:a.example?transport=udp", "\"stun:a.example\""),
            ("turn://a:99/?transport=TCP", "\"turn:a:99?transport=tcp\""),
            ("turn:a?transport=UDP", "\"turn:a?transport=udp\""),
            ("turns:a?transport=udp", "\"turns:a\""),
            ("turn:a?foo=1", "\"turn:a\""),
            ("turn:a?transport=udp&foo=1", "\"turn:a?transport=udp\""),
            ("STUN:a", "\"stun:a\""),
            ("stuns:a:5349", "\"stun:a:5349\""),
            (" stun:a", "\"stun:a\""),
            ("stun: a", "\"stun:a\""),
            ("turn:2001:db8::1", "\"turn:[2001:db8::1]\""),
            ("turn:ann:north@a:99", "\"turn:a:99\""),
            ("stun:a:99999", "stun:host:port"),
            ("stun:a:0", "stun:host:port"),
            ("stun:a:+1", "stun:host:port"),
            ("stun:a:", "stun:host:port"),
            ("stun:a:b:c", "stun:host:port"),
            ("stun:", "stun:host:port"),
            ("stun::3478", "stun:host:port"),
            ("stun", "stun:host:port"),
            ("http:x", "stun:host:port"),
            ("turn:[::1", "stun:host:port"),
            ("turn:[::1]x", "stun:host:port"),
            ("turn:[a]", "stun:host:port"),
            ("turn:[fe80::1%eth0]", "stun:host:port"),
            ("stun:1.2.3.999", "stun:host:port"),
            ("stun:a..b", "stun:host:port"),
            ("stun:bücher.example", "stun:host:port"),
            ("stun:a/b", "stun:host:port"),
            ("", "stun:host:port"),
        ] {
            let error = text.parse::<IceUrl>().expect_err(text).to_string();
            assert!(error.ends_with(better) || error.contains(better), "{error}");
            assert!(error.len() < 300, "{error}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_said_again() {
        for text in [
            "turn:ann:north@a",
            "ann:nor th@a",
            "turn:north@b@a:0",
            "north@",
        ] {
            let error = text.parse::<IceUrl>().expect_err(text).to_string();
            assert!(!error.contains("nor"), "{error}");
        }
    }

    proptest! {
        /// Whatever is refused, the spelling that is told is taken.
        #[test]
        fn the_spelling_that_is_told_is_right(text in "(stun|turns?|TURN):(//)?[a-z:@.\\[\\]0-9 ]{0,12}(\\?[a-zA-Z=&]{0,14})?") {
            if let Some(better) = mended(&text) {
                prop_assert!(better.parse::<IceUrl>().is_ok(), "{}", better);
            }
            let _ = text.parse::<IceUrl>();
        }

        #[test]
        fn no_text_is_a_panic_and_no_answer_is_long(text in "\\PC{0,2000}") {
            if let Err(error) = text.parse::<IceUrl>() {
                prop_assert!(error.to_string().chars().count() < 1_500);
            }
        }
    }
}
