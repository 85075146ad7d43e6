//! Secrets that are held but never shown, and text without the secrets that
//! may be in it. Pure.

use std::fmt;

/// A password, a token, or a header made of one. Neither `Debug` nor `Display`
/// shows it; [`expose`](Self::expose) is the only way to the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that nobody is to see.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for who is to be told it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Beginnings of addresses; a library that reads and writes one may leave out the
/// colon before the slashes. Those of STUN and TURN have no slashes, and no
/// place for credentials either (RFC 7065), which does not keep people from
/// writing some.
const BEGINNINGS: [&str; 5] = ["//", "stun:", "stuns:", "turn:", "turns:"];

/// The text with "…" for what stands between the scheme and the "@" of each
/// address in it (RFC 3986 §3.2.1, userinfo), whatever the scheme.
///
/// It is for text that others wrote: errors of libraries, descriptions of
/// pipelines, and addresses that are none. An unescaped "/" in a password does
/// not end it; of two "@" in one word the last counts.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = beginning(rest) {
        let (head, tail) = rest.split_at(begin);
        clean.push_str(head);
        // Two addresses may stand in one word, as in "a://b,c://d".
        let word = tail.find(ends_an_address).unwrap_or(tail.len());
        let address = &tail[..tail.find("://").map_or(word, |next| word.min(next))];
        match address.rfind('@') {
            Some(userinfo) => {
                clean.push('…');
                clean.push_str(&address[userinfo..]);
            }
            None => clean.push_str(address),
        }
        rest = &tail[address.len()..];
    }
    clean.push_str(rest);
    clean
}

/// A text that is to be one address and may be none: with "…" for all that may be
/// credentials in it, between the scheme and the last "@", and behind a "?".
///
/// Unlike [`without_credentials`] it knows where the address ends: at its end. So
/// a blank in a password does not end it, and neither do too few slashes.
pub(crate) fn shown_address(text: &str) -> String {
    let text = text.trim();
    let (text, query) = match text.split_once('?') {
        Some((text, _)) => (text, "?…"),
        None => (text, ""),
    };
    let Some(at) = text.rfind('@') else {
        return format!("{text}{query}");
    };
    let scheme = text[..at].split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = SCHEMES.iter().any(|s| s.eq_ignore_ascii_case(scheme));
    let slashes = |c| matches!(c, '/' | '\\');
    let scheme = match text[..at].find("://") {
        Some(end) => &text[..end + 3],
        None if is_scheme => {
            let rest = &text[scheme.len() + 1..at];
            let slashes = rest.len() - rest.trim_start_matches(slashes).len();
            &text[..scheme.len() + 1 + slashes]
        }
        // What stands before the first colon may be a user.
        None => "",
    };
    format!("{scheme}…{}{query}", &text[at..])
}

/// What begins an address that people write with too few slashes, or none.
const SCHEMES: [&str; 13] = [
    "ws", "wss", "http", "https", "socks", "socks4", "socks5", "socks5h", "stun", "stuns", "turn",
    "turns", "rtsp",
];

/// A pipeline's description with "…" for the values of properties that hold
/// secrets, as `user-pw` of `rtspsrc`.
pub(crate) fn without_secret_properties(description: &str) -> String {
    const HOLD_SECRETS: [&str; 8] = [
        "pw",
        "passw",
        "passphrase",
        "secret",
        "token",
        "cookie",
        "credential",
        "headers",
    ];
    let mut clean = String::with_capacity(description.len());
    let mut rest = description;
    while let Some(equals) = rest.find('=') {
        let key = rest[..equals].trim_end();
        let key = key.rsplit(char::is_whitespace).next().unwrap_or_default();
        let key = key.to_ascii_lowercase();
        let is_secret = HOLD_SECRETS.iter().any(|word| key.contains(word));
        let (head, tail) = rest.split_at(equals + 1);
        clean.push_str(head);
        rest = tail;
        if is_secret {
            let value = tail.trim_start();
            let length = match value.strip_prefix('"') {
                Some(quoted) => closing_quote(quoted) + 1,
                None => value.find(char::is_whitespace).unwrap_or(value.len()),
            };
            clean.push('…');
            rest = &value[length..];
        }
    }
    clean.push_str(rest);
    clean
}

/// The length of a quoted text up to behind its closing quote.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' if !escaped => return i + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Where the first address goes on behind its scheme.
fn beginning(text: &str) -> Option<usize> {
    let ends = BEGINNINGS
        .iter()
        .filter_map(|b| Some(text.find(b)? + b.len()));
    ends.min()
}

fn ends_an_address(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '<' | '>' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_shows_no_credentials_either() {
        for (text, shown) in [
            ("wss://camera:nor th9x@h/", "wss://…@h/"),
            ("wss://camera:nor\"th9x@h/a", "wss://…@h/a"),
            ("http://u:nor th9x@p:99999", "http://…@p:99999"),
            ("wss:/camera:north9x@h/", "wss:/…@h/"),
            ("wss:camera:north9x@h", "wss:…@h"),
            (r"wss:\\camera:north9x@h", r"wss:\\…@h"),
            ("camera:north9x@h", "…@h"),
            ("socks5h:u:north9x@p", "socks5h:…@p"),
            ("wss://h:99999/?token=north9x", "wss://h:99999/?…"),
            ("turn:h?user=x&pass=north9x", "turn:h?…"),
            ("wss://u:a@b@h", "wss://…@h"),
            ("wss://h:6503/", "wss://h:6503/"),
            ("h:6503", "h:6503"),
            ("", ""),
        ] {
            assert_eq!(shown_address(text), shown, "{text}");
        }
    }

    #[test]
    fn properties_that_hold_secrets_are_not_shown() {
        for (text, shown) in [
            (
                "rtspsrc location=rtsp://h user-id=cam user-pw=north9x ! decodebin",
                "rtspsrc location=rtsp://h user-id=cam user-pw=… ! decodebin",
            ),
            ("a password = \"nor \\\" th9x\" b=c", "a password =… b=c"),
            ("a proxy-pw=\"north9x", "a proxy-pw=…"),
            // A blank of three bytes.
            ("a\u{2000}pw=north9x", "a\u{2000}pw=…"),
            (
                "x264enc bitrate=5 ! a token=",
                "x264enc bitrate=5 ! a token=…",
            ),
        ] {
            assert_eq!(without_secret_properties(text), shown);
        }
    }

    #[test]
    fn a_secret_is_not_shown_by_any_format() {
        let secret = Secret::new("north");
        for shown in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{:#?}", Some(&secret)),
        ] {
            assert!(!shown.contains("north"), "{shown}");
        }
        assert_eq!(secret.expose(), "north");
    }

    #[test]
    fn addresses_lose_their_credentials_and_nothing_else() {
        for (text, clean) in [
            ("wss://u:p@h/", "wss://…@h/"),
            ("ws://u:p/q@h:1/x", "ws://…@h:1/x"),
            ("ws://u:p@q@h/", "ws://…@h/"),
            (
                "rtspsrc location=rtsp://a:b@c/d ! e",
                "rtspsrc location=rtsp://…@c/d ! e",
            ),
            (
                "\"http://t@h\" and \"http://h\"",
                "\"http://…@h\" and \"http://h\"",
            ),
            ("http://a:b@c,http://d:e@f", "http://…@c,http://…@f"),
            ("turn:u:p@h:1, stun:h2 x@y", "turn:…@h:1, stun:h2 x@y"),
            ("http://h/ mail@example.org", "http://h/ mail@example.org"),
            ("no address, a@b", "no address, a@b"),
            ("h://`x//u:p@y", "h://`x//…@y"),
            ("ws://", "ws://"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), clean);
        }
    }
}
