//! What gives itself away by its shape: addresses, paths, numbers and keys. Pure.

use std::net::{IpAddr, Ipv4Addr};

use super::Kind;

/// A part of what a rule found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Stays.
    Keep(String),
    /// A placeholder stands for it.
    Hide(Kind, String),
    /// A system's path, in which only what is known to be private is replaced.
    Path(String),
}

/// What a rule found at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// In bytes.
    pub length: usize,
    pub pieces: Vec<Piece>,
}

/// Folders that are every system's, and files of every device like this one.
const SYSTEM_S: &[&str] = &[
    "/base",
    "/bin",
    "/dev",
    "/etc/asound.conf",
    "/etc/camera-agent/camera-agent.toml",
    "/etc/passwd",
    "/lib",
    "/proc",
    "/run/udev",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache/camera-agent",
    "/var/lib/camera-agent",
    "~/.cache/camera-agent",
];

/// Parts of a configuration, whose keys look like hosts.
const SECTIONS: &[&str] = &[
    "access", "audio", "encoders", "ice", "led", "log", "org", "server", "video", "viewers",
];

/// Ends of files, which look like hosts.
const FILES: &[&str] = &[
    "c", "conf", "cpp", "h", "json", "ko", "log", "pem", "py", "rs", "rules", "service", "so",
    "socket", "toml", "txt",
];

/// Fields whose value is a name.
const NAMES: &[&str] = &[
    "caller", "essid", "hostname", "label", "login", "psk", "ssid", "user", "user-id", "username",
];

/// Fields, such as elements' properties, whose value is a machine's name or address.
const HOSTS: &[&str] = &[
    "address",
    "bind-address",
    "host",
    "ip",
    "local-address",
    "peer",
    "proxy",
    "remote-host",
    "server",
    "udp-bind-address",
];

/// What begins `rest`, which stands behind the character `before`.
pub(super) fn find(before: Option<char>, rest: &str, is_prose: bool) -> Option<Found> {
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    address(rest)
        .or_else(|| path(rest))
        .or_else(|| field(before, rest))
        .or_else(|| hex_pairs(rest))
        .or_else(|| ip(rest))
        .or_else(|| number(rest))
        .or_else(|| key(rest))
        .or_else(|| host(rest).filter(|_| is_prose))
        .or_else(|| value(rest).filter(|_| matches!(before, Some('=' | '"'))))
}

fn hidden(kind: Kind, text: &str) -> Found {
    Found {
        length: text.len(),
        pieces: vec![Piece::Hide(kind, text.to_owned())],
    }
}

/// The length of what `belongs`, where no letter or digit follows.
fn run(rest: &str, belongs: impl Fn(char) -> bool) -> Option<&str> {
    let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    let goes_on = rest[end..]
        .chars()
        .next()
        .is_some_and(char::is_alphanumeric);
    (end > 0 && !goes_on).then(|| &rest[..end])
}

fn ends_an_address(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '<' | '>' | '(' | ')' | ',' | ';' | '|'
        )
}

/// This very machine.
pub(super) fn is_local(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// An address with a scheme (RFC 3986 §3, RFC 7064, RFC 7065): scheme and port
/// stay, and that there was a path or a query.
fn address(rest: &str) -> Option<Found> {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    let end = rest.find(|c| !is_scheme(c))?;
    let (scheme, after) = rest.split_at(end);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let is_ice = ["stun", "stuns", "turn", "turns"].contains(&&*scheme.to_ascii_lowercase());
    let head = match after {
        _ if after.starts_with("://") => "://",
        _ if is_ice && after.starts_with(':') => ":",
        _ => return None,
    };
    let body = &after[head.len()..];
    let whole = &body[..body.find(ends_an_address).unwrap_or(body.len())];
    let whole = whole.trim_end_matches(['.', ':', '!']);
    if whole.is_empty() {
        return None;
    }
    let (authority, tail) = whole.split_at(whole.find(['/', '?', '#']).unwrap_or(whole.len()));
    let (login, place) = match authority.rfind('@') {
        Some(at) => ("…@", &authority[at + 1..]),
        None => ("", authority),
    };
    let (host, port) = host_and_port(place);
    let tail = match tail {
        "" | "/" | "?transport=udp" | "?transport=tcp" => tail,
        _ => "/…",
    };
    let ip = host.trim_matches(['[', ']']);
    let place = match ip.parse::<IpAddr>() {
        _ if host.is_empty() || is_local(host) => Piece::Keep(host.to_owned()),
        Ok(ip) => Piece::Hide(Kind::Ip, ip.to_string()),
        Err(_) => Piece::Hide(Kind::Host, host.to_owned()),
    };
    Some(Found {
        length: scheme.len() + head.len() + whole.len(),
        pieces: vec![
            Piece::Keep(format!("{scheme}{head}{login}")),
            place,
            Piece::Keep(format!("{port}{tail}")),
        ],
    })
}

/// A host, and a port where there is one.
fn place(text: &str) -> [Piece; 2] {
    let (host, port) = host_and_port(text);
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let host = match ip {
        _ if is_local(host) => Piece::Keep(host.to_owned()),
        Ok(ip) => Piece::Hide(Kind::Ip, ip.to_string()),
        Err(_) => Piece::Hide(Kind::Host, host.to_owned()),
    };
    [host, Piece::Keep(port.to_owned())]
}

/// The value of a setting that is a host's name, whatever the setting is called. Files
/// look so, too: in doubt it goes.
fn value(rest: &str) -> Option<Found> {
    let end = rest.find(ends_an_address).unwrap_or(rest.len());
    let (name, _) = host_and_port(&rest[..end]);
    let found = host(name)?;
    let is_whole = found.length == name.len();
    let Some(Piece::Hide(Kind::Host, name)) = found.pieces.first() else {
        return None;
    };
    is_whole.then(|| hidden(Kind::Host, name))
}

/// The port with its colon.
fn host_and_port(place: &str) -> (&str, &str) {
    let from = place.rfind(']').unwrap_or(0);
    match place[from..].rfind(':') {
        Some(colon)
            if place[from + colon + 1..]
                .bytes()
                .all(|b| b.is_ascii_digit()) =>
        {
            place.split_at(from + colon)
        }
        Some(_) | None => (place, ""),
    }
}

/// A path that is the same on every system like this one.
pub(super) fn is_of_the_system(path: &str) -> bool {
    SYSTEM_S.iter().any(|folder| {
        let below = path.strip_prefix(folder);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

/// A path from the root or from home on. A system's stays.
fn path(rest: &str) -> Option<Found> {
    let begins = rest.strip_prefix("~/").or_else(|| rest.strip_prefix('/'))?;
    if !begins.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-')) {
        return None;
    }
    let mut end = rest.find(ends_an_address).unwrap_or(rest.len());
    if let Some(colon) = rest[..end].find(": ").or_else(|| rest[..end].find(":\"")) {
        end = colon;
    }
    let path = rest[..end].trim_end_matches(['.', ':', '!', '?', ']', '}']);
    // An element's path in its pipeline begins so.
    if !path.starts_with("/Gst") && !is_of_the_system(path) {
        return Some(hidden(Kind::Path, path));
    }
    let pieces = match serial_of_link(path, None) {
        Some((before, serial, after)) => vec![
            Piece::Path(before.to_owned()),
            Piece::Hide(Kind::Serial, serial.to_owned()),
            Piece::Path(after.to_owned()),
        ],
        None => vec![Piece::Path(path.to_owned())],
    };
    Some(Found {
        length: path.len(),
        pieces,
    })
}

/// The serial number in the name of a link under `by-id`, and what is before and
/// behind it: it is the last part, where that is no word of the device's own name.
/// Of a device whose name is not known, it has to look like a number.
pub(super) fn serial_of_link<'a>(
    path: &'a str,
    card: Option<&str>,
) -> Option<(&'a str, &'a str, &'a str)> {
    let begins = path.find("/by-id/")? + "/by-id/".len();
    let name = &path[begins..];
    let ends = begins + name.rfind("-video-index").or_else(|| name.rfind('-'))?;
    let from = begins + path[begins..ends].rfind('_')? + 1;
    let last = &path[from..ends];
    // The first part is the vendor, and all there is of some.
    let is_vendor = path[begins..from].trim_end_matches('_').is_empty();
    let is_word = |card: &str| {
        let mut words = card.split(|c: char| c.is_whitespace() || matches!(c, '_' | ':' | ','));
        words.any(|word| word.eq_ignore_ascii_case(last))
    };
    let is_serial = match card.filter(|card| !card.is_empty()) {
        Some(card) => !is_word(card),
        None => last.len() >= 4 && last.contains(|c: char| c.is_ascii_digit()),
    };
    (is_serial && !is_vendor && !last.is_empty()).then(|| (&path[..from], last, &path[ends..]))
}

/// `user=…` and the like.
fn field(before: Option<char>, rest: &str) -> Option<Found> {
    if before.is_some_and(|c| matches!(c, '_' | '-' | '.')) {
        return None;
    }
    let equals = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '-')?;
    let key = &rest[..equals];
    let is_one_of = |all: &[&str]| all.iter().any(|name| name.eq_ignore_ascii_case(key));
    let value = rest[equals..].strip_prefix('=')?;
    let kind = match (is_one_of(NAMES), is_one_of(HOSTS)) {
        (true, _) => Kind::Name,
        (_, true) => Kind::Host,
        _ => return None,
    };
    let (quote, value) = match value.strip_prefix('"') {
        Some(quoted) => ("\"", &quoted[..quoted.find('"').unwrap_or(quoted.len())]),
        None => (
            "",
            &value[..value.find(ends_an_address).unwrap_or(value.len())],
        ),
    };
    // An address with a scheme is found by that.
    if value.is_empty() || kind == Kind::Host && value.contains("://") {
        return None;
    }
    let head = format!("{key}={quote}");
    let mut found = Found {
        length: head.len() + value.len(),
        pieces: vec![Piece::Keep(head)],
    };
    match kind {
        Kind::Host => found.pieces.extend(place(value)),
        _ => found.pieces.push(Piece::Hide(kind, value.to_owned())),
    }
    Some(found)
}

/// Pairs of hexadecimal digits with one sign between them: a MAC (IEEE 802, 48 or
/// 64 bits), and a fingerprint where there are more (RFC 8122 §5).
fn hex_pairs(rest: &str) -> Option<Found> {
    let bytes = rest.as_bytes();
    let sign = *bytes.get(2).filter(|b| b":-_".contains(b))?;
    let is_pair = |at: usize| {
        let pair = bytes.get(at..at + 2);
        pair.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    let mut pairs = 0;
    while is_pair(pairs * 3) && (pairs == 0 || bytes[pairs * 3 - 1] == sign) {
        pairs += 1;
    }
    let length = (pairs * 3).checked_sub(1)?;
    let goes_on = bytes.get(length).is_some_and(u8::is_ascii_alphanumeric);
    let kind = match pairs {
        ..6 => return None,
        6..=8 => Kind::Mac,
        _ => Kind::Fingerprint,
    };
    (!goes_on).then(|| hidden(kind, &rest[..length]))
}

/// An IP address, of which the port stays.
fn ip(rest: &str) -> Option<Found> {
    let token = run(rest, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'))?;
    let found = |ip: IpAddr, text: &str, port: &str| {
        let place = match is_local(text) {
            true => Piece::Keep(text.to_owned()),
            false => Piece::Hide(Kind::Ip, ip.to_string()),
        };
        Found {
            length: text.len() + port.len(),
            pieces: vec![place, Piece::Keep(port.to_owned())],
        }
    };
    for text in [token, token.trim_end_matches(['.', ':'])] {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(found(ip, text, ""));
        }
        let (host, port) = host_and_port(text);
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Some(found(ip.into(), host, port));
        }
    }
    None
}

/// A long number in hexadecimal digits, with the hyphens of a UUID (RFC 9562) or
/// without.
fn number(rest: &str) -> Option<Found> {
    const SHORTEST: usize = 16;
    let token = run(rest, |c| c.is_ascii_hexdigit() || c == '-')?.trim_end_matches('-');
    let digits = token.bytes().filter(|b| *b != b'-');
    let has = |is: fn(&u8) -> bool| token.as_bytes().iter().any(is);
    let is_number = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    (is_number && digits.count() >= SHORTEST).then(|| hidden(Kind::Id, token))
}

/// An invitation's code in groups of four, or what looks like a key in base64url
/// (RFC 4648 §5): long, and of letters of both cases and digits in no order.
fn key(rest: &str) -> Option<Found> {
    const SHORTEST: usize = 20;
    const GROUPS: usize = 5;
    let token = run(rest, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
    })?;
    let token = token.trim_end_matches(['-', '_']);
    let is_group = |group: &str| group.len() == 4 && !group.contains('_');
    let groups = token.split('-').filter(|group| is_group(group)).count();
    if groups >= GROUPS && groups == token.split('-').count() {
        return Some(hidden(Kind::Key, token));
    }
    let class = |c: char| match c {
        'a'..='z' => Some(0),
        'A'..='Z' => Some(1),
        '0'..='9' => Some(2),
        _ => None,
    };
    let classes: Vec<usize> = token.chars().filter_map(class).collect();
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let is_mixed = (0..3).all(|class| classes.contains(&class));
    // Of random letters six in ten are of another class than the one before.
    let is_key = token.len() >= SHORTEST && is_mixed && changes * 9 >= classes.len() * 4;
    is_key.then(|| hidden(Kind::Key, token))
}

/// A host's name, or a person's address there.
fn host(rest: &str) -> Option<Found> {
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    let token = run(rest, belongs)?.trim_end_matches(['.', '-']);
    let (person, host) = match token.rsplit_once('@') {
        Some((person, host)) => (person, host),
        None => ("", token),
    };
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && !label.contains('_');
    let last = labels.last().filter(|last| {
        last.chars().count() >= 2 && last.chars().all(char::is_alphabetic)
            || last.starts_with("xn--")
    })?;
    let is_file = FILES.iter().any(|end| last.eq_ignore_ascii_case(end));
    let is_setting = person.is_empty() && SECTIONS.contains(&labels[0]);
    if labels.len() < 2 || !labels.iter().all(is_label) || is_file || is_setting {
        return None;
    }
    let kind = match person {
        "" => Kind::Host,
        _ => Kind::Name,
    };
    Some(hidden(kind, token))
}

/// Whose a device is by its own name ("Anna Berg's headset", "Headset von Anna Berg"), and
/// what is before and behind that. The owner's may be several words: all of them are theirs,
/// from where the name begins, or a part of it.
pub(super) fn owner(name: &str) -> Option<(&str, &str, &str)> {
    const APART: &[&str] = &[": ", " - ", "(", ", "];
    const OF: &[&str] = &[" of ", " von ", " de ", " van ", " di "];
    let marks = ["'s ", "’s ", "の", "的"];
    let ends = marks
        .iter()
        .filter_map(|mark| name.rfind(mark))
        .max()
        .or_else(|| {
            name.strip_suffix("'s")
                .or(name.strip_suffix("’s"))
                .map(str::len)
        });
    if let Some(end) = ends.filter(|end| *end > 0) {
        let parts = APART
            .iter()
            .filter_map(|sign| Some(name[..end].rfind(sign)? + sign.len()));
        let begin = parts.max().unwrap_or(0);
        let is_there = !name[begin..end].trim().is_empty();
        return is_there.then(|| (&name[..begin], &name[begin..end], &name[end..]));
    }
    let begin = OF
        .iter()
        .filter_map(|of| Some(name.find(of)? + of.len()))
        .min()?;
    let end = name[begin..]
        .find([':', '(', ','])
        .map_or(name.len(), |at| begin + at);
    let owner = name[begin..end].trim_end();
    (!owner.is_empty()).then(|| (&name[..begin], owner, &name[begin + owner.len()..]))
}
