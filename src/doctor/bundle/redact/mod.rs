//! Text without what is private. Pure.
//!
//! Names, logins, secrets, invitations, hosts, addresses, MACs, serial numbers and
//! paths of a person's own are replaced by placeholders, `name-1` or `serial-2`,
//! the same thing by the same one in the whole bundle. What is private is known
//! ahead ([`Redactor::new`]), or has a shape that gives it away ([`rules`]), or
//! stands where a log has names ([`lines`]). In doubt it is replaced.

mod lines;
mod rules;

use std::collections::BTreeMap;

use crate::secret::{without_credentials, without_secret_properties};
use rules::{Found, Piece};

/// Bytes of one text that are kept.
pub(crate) const LONGEST: usize = 4096;
/// A serial number of fewer characters is found in anything, and says little.
const SHORTEST_SERIAL: usize = 6;
/// A secret of fewer characters is only found as a word of its own.
const SHORTEST_SECRET: usize = 4;

/// Names and hosts that are everybody's.
const EVERYBODY_S: &[&str] = &[
    "admin",
    "auto",
    "camera",
    "camera-agent",
    "camera-agent-chat",
    "debian",
    "device",
    "localhost",
    "nobody",
    "none",
    "pi",
    "raspberrypi",
    "root",
    "test",
    "ubuntu",
    "user",
    "webcam",
];

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Of a person, a login, a camera or an invitation.
    Name,
    /// A password or a token.
    Secret,
    /// A machine's name.
    Host,
    /// An IP address.
    Ip,
    /// An address of a network card.
    Mac,
    /// Of a certificate.
    Fingerprint,
    /// Of a camera, a card or a board.
    Serial,
    /// A file or a folder of a person's own.
    Path,
    /// A number by which something is told from all others.
    Id,
    /// An invitation, or another text that looks like a key.
    Key,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Secret => "secret",
            Self::Host => "host",
            Self::Ip => "ip",
            Self::Mac => "mac",
            Self::Fingerprint => "fingerprint",
            Self::Serial => "serial",
            Self::Path => "path",
            Self::Id => "id",
            Self::Key => "key",
        }
    }
}

/// Whose words a text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// This program's and drivers', in which a person's name would be no more than
    /// the same word.
    Ours,
    /// A setting, or what a device says of itself.
    Setting,
    /// Sentences: findings, errors and logs.
    Prose,
}

/// What is known to be private.
struct Known {
    kind: Kind,
    /// How it is written.
    text: String,
    /// What it is, however it is written.
    what: String,
}

/// Replaces what is private, the same thing by the same placeholder.
pub(crate) struct Redactor {
    /// Longest first.
    known: Vec<Known>,
    /// Whole settings and what stands for them, longest first.
    settings: Vec<(String, String)>,
    numbers: BTreeMap<(Kind, String), usize>,
}

impl Redactor {
    /// For texts in which these are private.
    pub(crate) fn new(known: impl IntoIterator<Item = (Kind, String)>) -> Self {
        let mut this = Self {
            known: Vec::new(),
            settings: Vec::new(),
            numbers: BTreeMap::new(),
        };
        for (kind, text) in known {
            this.learn(kind, text.trim());
        }
        this
    }

    /// From here on this is private, too.
    fn learn(&mut self, kind: Kind, text: &str) {
        let is_everybody_s = match kind {
            Kind::Name => is_everybody_s(text),
            Kind::Host | Kind::Ip => is_everybody_s(text) || rules::is_local(text),
            Kind::Path => rules::is_of_the_system(text),
            Kind::Serial => text.chars().count() < SHORTEST_SERIAL,
            _ => false,
        };
        if text.is_empty() || is_everybody_s {
            return;
        }
        let is_ip = kind == Kind::Host && text.parse::<std::net::IpAddr>().is_ok();
        let kind = if is_ip { Kind::Ip } else { kind };
        // In quotes, and as udev writes it in a link's name.
        let quoted = text.escape_debug().to_string();
        let in_a_link = text.replace(char::is_whitespace, "_");
        for form in [text.to_owned(), quoted, in_a_link] {
            let is_known = |k: &Known| k.text.eq_ignore_ascii_case(&form);
            if !self.known.iter().any(is_known) {
                self.known.push(Known {
                    kind,
                    text: form,
                    what: text.to_owned(),
                });
            }
        }
        self.known.sort_by_key(|k| std::cmp::Reverse(k.text.len()));
    }

    /// What stands for `text`.
    fn placeholder(&mut self, kind: Kind, text: &str) -> String {
        let of_kind = self.numbers.keys().filter(|(k, _)| *k == kind).count();
        let number = self
            .numbers
            .entry((kind, text.to_lowercase()))
            .or_insert(of_kind + 1);
        format!("{}-{number}", kind.word())
    }

    /// A text that this program or a driver has written.
    pub(crate) fn ours(&mut self, text: &str) -> String {
        self.scan(&prepared(text), Words::Ours)
    }

    /// Sentences, as errors are.
    pub(crate) fn prose(&mut self, text: &str) -> String {
        self.scan(&prepared(text), Words::Prose)
    }

    /// A setting; where it stands in other texts, the same stands for it there.
    pub(crate) fn setting(&mut self, text: &str) -> String {
        let shown = self.scan(&prepared(text), Words::Setting);
        self.remember(text, &shown);
        shown
    }

    /// A device's path. Of a link that udev names after vendor, model and serial
    /// number, `card`, the device's own name, tells the model from the serial
    /// number (systemd: `60-persistent-v4l.rules`).
    pub(crate) fn device(&mut self, path: &str, card: &str) -> String {
        let path = &prepared(path);
        let shown = match rules::serial_of_link(path, Some(card)) {
            Some((before, serial, after)) => {
                let before = self.scan(before, Words::Setting);
                let after = self.scan(after, Words::Setting);
                format!("{before}{}{after}", self.placeholder(Kind::Serial, serial))
            }
            // Its model would look like a number.
            None if rules::is_of_the_system(path) => self.known_in(path, Words::Setting),
            None => self.scan(path, Words::Setting),
        };
        self.remember(path, &shown);
        shown
    }

    /// A device's own name, which may hold its owner's: "Anna's headset".
    pub(crate) fn card(&mut self, name: &str) -> String {
        let Some((before, owner, after)) = rules::owner(name) else {
            return self.setting(name);
        };
        let (before, owner, after) = (prepared(before), prepared(owner), prepared(after));
        self.learn(Kind::Name, &owner);
        let before = self.scan(&before, Words::Setting);
        let after = self.scan(&after, Words::Setting);
        let shown = format!("{before}{}{after}", self.placeholder(Kind::Name, &owner));
        self.remember(name, &shown);
        shown
    }

    fn remember(&mut self, text: &str, shown: &str) {
        let text = prepared(text);
        // A word that stands for itself needs no remembering; a path does, in which
        // more would be replaced elsewhere.
        let is_plain = text == shown && !text.contains('/');
        if text.is_empty() || is_plain || self.settings.iter().any(|(t, _)| *t == text) {
            return;
        }
        self.settings.push((text, shown.to_owned()));
        self.settings
            .sort_by_key(|(t, _)| std::cmp::Reverse(t.len()));
    }

    fn scan(&mut self, text: &str, words: Words) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let Some((length, shown)) = self.at(text, at, words) else {
                out.push(c);
                at += c.len_utf8();
                continue;
            };
            out.push_str(&shown);
            at += length;
        }
        out
    }

    /// What stands for what begins `at`, and how long that is.
    fn at(&mut self, text: &str, at: usize, words: Words) -> Option<(usize, String)> {
        let whole = self.settings.iter().find(|(t, _)| is_at(text, at, t, true));
        if let Some((setting, shown)) = whole {
            return Some((setting.len(), shown.clone()));
        }
        if let Some(found) = self.known_at(text, at, words) {
            return Some(found);
        }
        let before = text[..at].chars().next_back();
        let Found { length, pieces } = rules::find(before, &text[at..], words == Words::Prose)?;
        let shown = pieces.into_iter().map(|piece| match piece {
            Piece::Keep(text) => text,
            Piece::Hide(kind, text) => {
                // What the owner has set may stand in errors in other ways.
                if words == Words::Setting && kind == Kind::Host {
                    self.learn(kind, &text);
                }
                self.placeholder(kind, &text)
            }
            Piece::Path(text) => self.known_in(&text, words),
        });
        Some((length, shown.collect()))
    }

    fn known_at(&mut self, text: &str, at: usize, words: Words) -> Option<(usize, String)> {
        let found = self.known.iter().find(|known| {
            let as_a_word = known.kind != Kind::Secret || known.text.len() < SHORTEST_SECRET;
            let counts = words != Words::Ours || known.kind != Kind::Name;
            counts && is_at(text, at, &known.text, as_a_word)
        })?;
        let (kind, length, what) = (found.kind, found.text.len(), found.what.clone());
        Some((length, self.placeholder(kind, &what)))
    }

    /// The same text with nothing but what is known replaced.
    fn known_in(&mut self, text: &str, words: Words) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let (length, shown) = self
                .known_at(text, at, words)
                .unwrap_or((c.len_utf8(), c.into()));
            out.push_str(&shown);
            at += length;
        }
        out
    }
}

fn is_everybody_s(text: &str) -> bool {
    EVERYBODY_S
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
}

/// `word` stands at this place of `text`, in whatever case; as a word of its own,
/// where that is asked for.
fn is_at(text: &str, at: usize, word: &str, as_a_word: bool) -> bool {
    let end = at + word.len();
    let Some(here) = text.get(at..end) else {
        return false;
    };
    if !here.eq_ignore_ascii_case(word) {
        return false;
    }
    let joins = |inside: Option<char>, outside: Option<char>| {
        inside.is_some_and(char::is_alphanumeric) && outside.is_some_and(char::is_alphanumeric)
    };
    let before = text[..at].chars().next_back();
    let after = text[end..].chars().next();
    let is_apart = !joins(word.chars().next(), before) && !joins(word.chars().next_back(), after);
    is_apart || !as_a_word
}

/// Bounded, on one line, and without what stands for credentials in addresses and
/// in properties.
fn prepared(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line = text[..end].replace(char::is_control, " ");
    let mut clean = without_secret_properties(&without_credentials(&line));
    if end < text.len() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests;
