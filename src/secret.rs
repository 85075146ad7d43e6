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

/// The text with "…" for what stands between the scheme and the "@" of each
/// address in it (RFC 3986 §3.2.1, userinfo), whatever the scheme.
///
/// It is for text that others wrote: errors of libraries, descriptions of
/// pipelines, and addresses that are none. An unescaped "/" in a password does
/// not end it; of two "@" in one word the last counts.
pub fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        clean.push_str(head);
        let end = tail.find(ends_an_address).unwrap_or(tail.len());
        let (mut address, after) = tail.split_at(end);
        // Two addresses may stand in one word, as in "a://b,c://d".
        if let Some(next) = address.find("://") {
            address = &address[..next];
        }
        rest = &tail[address.len()..];
        match address.rfind('@') {
            Some(userinfo) => {
                clean.push('…');
                clean.push_str(&address[userinfo..]);
            }
            None => clean.push_str(address),
        }
        if rest.len() == after.len() {
            rest = after;
        }
    }
    clean.push_str(rest);
    clean
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
            ("http://h/ mail@example.org", "http://h/ mail@example.org"),
            ("no address, a@b", "no address, a@b"),
            ("ws://", "ws://"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), clean);
        }
    }
}
