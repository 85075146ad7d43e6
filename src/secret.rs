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
