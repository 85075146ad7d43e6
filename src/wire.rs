//! The messages of the chat signaling protocol (*webrtc-from-chat*), as text
//! frames of one JSON object each.
//!
//! This is the device's and the page's side of the protocol: a closed set of
//! messages, parsed strictly where the device acts on them and leniently where
//! it does not. The server relays objects it does not understand and so works
//! on raw JSON instead; see [`crate::room`].
//!
//! No IO, no clock, no policy.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod outgoing;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use json::object;
pub use outgoing::Outgoing;

/// The WebSocket subprotocol both originals insist on.
pub(crate) const SUBPROTOCOL: &str = "json";

/// The port the original server listens on and the original page connects to.
pub(crate) const DEFAULT_PORT: u16 = 6503;

/// Largest text frame, in bytes, this project sends or, as a server, accepts.
/// The original server closes with 1009 over 1 MiB.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Longest username that this project gives or admits, in characters and in
/// bytes: 64 letters of any script.
pub(crate) const MAX_NAME_CHARS: usize = 64;
/// See [`MAX_NAME_CHARS`].
pub(crate) const MAX_NAME_BYTES: usize = 256;

/// Longest username in bytes that another server may have. The original has no
/// limit, and a frame of its could hold one of a megabyte; nobody reads that.
const MAX_HEARD_BYTES: usize = 1024;

/// The most of a name that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// Longest key of a connection in bytes; our own server's have forty.
const MAX_KEY_BYTES: usize = 128;

/// Why a frame could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The frame is longer than the limit.
    #[error("frame of {0} bytes is over the limit of {1}")]
    TooLong(usize, usize),
    /// The frame is not one JSON object.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// The object has no `type` text.
    #[error("no \"type\" text in the object")]
    NoType,
    /// A field that this message type needs is missing or of the wrong kind.
    #[error("\"{kind}\" without a usable \"{field}\"")]
    Field {
        /// The message's `type`.
        kind: &'static str,
        /// The field at fault.
        field: &'static str,
    },
}

/// A username, as it stands on the wire.
///
/// The original server checks nothing, so a name proves nothing about who sent
/// it; it is only a key. A key is kept to the byte: with a space less at its end
/// it is another person, or nobody, and the answer reaches neither. What is
/// *shown* of it ([`Display`](std::fmt::Display)) is made safe: one line of a
/// bounded length, without characters that are not seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct UserName(String);

impl UserName {
    /// A name as people are given it here: 1 to [`MAX_NAME_CHARS`] characters, no
    /// control or invisible ones but joiners between letters, no spaces at either
    /// end. Or what is wrong with it in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a username cannot be empty".into());
        }
        let letters: Vec<char> = text.chars().take(MAX_NAME_CHARS + 1).collect();
        if letters.len() > MAX_NAME_CHARS || text.len() > MAX_NAME_BYTES {
            return Err(format!(
                "a username cannot be longer than {MAX_NAME_CHARS} characters"
            ));
        }
        if text.trim() != text {
            return Err("a username cannot begin or end with a space".into());
        }
        let hidden = |at: usize| is_hidden(letters[at]) && !joins(&letters, at);
        if (0..letters.len()).any(hidden) {
            return Err("a username cannot hold control or invisible characters".into());
        }
        Ok(Self(text.to_owned()))
    }

    /// A name that a server knows somebody under, whatever it allows, if it is
    /// one at all.
    pub fn heard(text: &str) -> Option<Self> {
        (1..=MAX_HEARD_BYTES)
            .contains(&text.len())
            .then(|| Self(text.to_owned()))
    }

    /// The name to the byte: to compare, and to send.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for UserName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, c) in self.0.chars().enumerate() {
            if i == MAX_SHOWN {
                return f.write_str("…");
            }
            if is_hidden(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Characters that change how a name is drawn without being seen: two names
/// that look alike must not differ only in these.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Persian and Indic names are written with ZWNJ and ZWJ (UAX #31 §2.3), and
/// emoji of several people: they are hidden, and stand between two that are not.
fn joins(letters: &[char], at: usize) -> bool {
    let is_joined = |c: Option<&char>| c.is_some_and(|&c| !c.is_ascii() && !is_hidden(c));
    matches!(letters[at], '\u{200C}' | '\u{200D}')
        && is_joined(at.checked_sub(1).and_then(|before| letters.get(before)))
        && is_joined(letters.get(at + 1))
}

/// Where a message came from, by our own server's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The connection.
    pub conn: ClientId,
    /// Stands for the address, and is the same for all connections from there.
    /// `None` where the server cannot tell addresses apart.
    pub source: Option<u64>,
    /// Stands for the wider network that the address is of, which may be one
    /// subscriber's. `None` where there is none: IPv4.
    pub network: Option<u64>,
}

/// The number by which the server knows one connection. Kept as it came, since
/// the original server looks it up unguarded and dies of one it never gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientId(pub serde_json::Number);

/// An ICE candidate as browsers put it on the wire
/// (`RTCIceCandidateInit`, W3C WebRTC §4.8.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// The `candidate:…` line; empty for end-of-candidates.
    #[serde(default)]
    pub candidate: String,
    /// The media section's mid.
    #[serde(rename = "sdpMid", default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The media section's index.
    #[serde(
        rename = "sdpMLineIndex",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub sdp_mline_index: Option<u16>,
    /// The ICE username fragment of the generation this candidate belongs to.
    #[serde(
        rename = "usernameFragment",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub username_fragment: Option<String>,
}

impl Candidate {
    /// The username fragment, from its own field or from the `ufrag` extension
    /// in the candidate line (RFC 8839 §5.1).
    pub fn ufrag(&self) -> Option<&str> {
        if let Some(ufrag) = self.username_fragment.as_deref().filter(|u| !u.is_empty()) {
            return Some(ufrag);
        }
        let mut words = self.candidate.split_ascii_whitespace();
        words.find(|w| *w == "ufrag")?;
        words.next()
    }

    /// Longer than any real one; kept for an offer to come, they would add up.
    fn is_short(&self) -> bool {
        let short = |text: &Option<String>| text.as_ref().is_none_or(|t| t.len() <= 256);
        self.candidate.len() <= 1024 && short(&self.sdp_mid) && short(&self.username_fragment)
    }

    /// True for the mark that no more candidates follow (RFC 8838 §14).
    pub(crate) fn is_end(&self) -> bool {
        self.candidate.is_empty()
    }
}

/// What an offer carries of an invitation (an extension; docs/protocol.md): a
/// key's name, and a proof that its sender holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The name.
    pub id: String,
    /// The proof.
    pub proof: String,
}

impl Access {
    /// Longest text in it, in bytes; ours have 43.
    const LONGEST: usize = 64;

    fn of(value: Option<&Value>) -> Option<Self> {
        let text = |key: &str| {
            let text = value?.get(key)?.as_str()?;
            (text.len() <= Self::LONGEST).then(|| text.to_owned())
        };
        Some(Self {
            id: text("id")?,
            proof: text("proof")?,
        })
    }
}

/// What a client receives.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The server's first frame: the number of this connection.
    Id(ClientId),
    /// The same of our own server, with a key (an extension): who shows it on a
    /// later connection is the client that had this one.
    Welcome {
        /// The number of this connection.
        id: ClientId,
        /// The key.
        key: String,
    },
    /// The claimed name was taken; `name` is in force instead.
    RejectUsername {
        /// Whose claim was rejected.
        id: Option<ClientId>,
        /// The name given.
        name: UserName,
    },
    /// Everybody's names; entries that are no usable name are left out.
    UserList(Vec<UserName>),
    /// The same of our own server to a device, with the number of each one's connection
    /// (an extension): a name may be somebody else's by now, a number never is.
    Roll(Vec<(UserName, ClientId)>),
    /// A chat line.
    Chat {
        /// Who wrote it, where the server says so.
        name: Option<String>,
        /// The line.
        text: String,
    },
    /// Somebody calls.
    VideoOffer {
        /// The caller.
        name: UserName,
        /// The offer, SDP text.
        sdp: String,
        /// Who invited them.
        access: Option<Access>,
        /// It restarts ICE in a call that there is: where there is none, it is no new one.
        again: bool,
    },
    /// Somebody answers a call of ours (the device never calls).
    VideoAnswer {
        /// The callee.
        name: UserName,
        /// The answer, SDP text.
        sdp: String,
    },
    /// A candidate; the original names no sender, our server adds one.
    NewIceCandidate {
        /// The sender, where the server says so.
        name: Option<UserName>,
        /// The candidate; `None` is the end of candidates.
        candidate: Option<Candidate>,
    },
    /// Somebody ended a call; sent to everyone by the original page.
    HangUp {
        /// Who hung up.
        name: UserName,
        /// To whom; the original page sends `null`.
        target: Option<String>,
    },
    /// A message type this side has no use for.
    Other(String),
    /// A message of another client, and where it came from: our server says so to
    /// devices (an extension).
    From {
        /// Where from.
        stamp: Stamp,
        /// What it says.
        message: Box<Self>,
    },
}

impl Incoming {
    /// Parses one text frame. Unknown fields are ignored.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let mut object = object(text).map_err(WireError::NotAnObject)?;
        match object.remove("conn") {
            Some(Value::Number(conn)) => {
                let mut number = |key| object.remove(key).and_then(|number| number.as_u64());
                Ok(Self::From {
                    stamp: Stamp {
                        conn: ClientId(conn),
                        source: number("source"),
                        network: number("network"),
                    },
                    message: Box::new(Self::of(object)?),
                })
            }
            Some(_) | None => Self::of(object),
        }
    }

    /// The message, and where it came from if the server says so.
    pub fn stamped(self) -> (Option<Stamp>, Self) {
        match self {
            Self::From { stamp, message } => (Some(stamp), *message),
            message => (None, message),
        }
    }

    fn of(mut object: Map<String, Value>) -> Result<Self, WireError> {
        let Some(Value::String(kind)) = object.remove("type") else {
            return Err(WireError::NoType);
        };
        match kind.as_str() {
            "id" => match (object.remove("id"), object.remove("key")) {
                (Some(Value::Number(id)), Some(Value::String(key)))
                    if key.len() <= MAX_KEY_BYTES =>
                {
                    let id = ClientId(id);
                    Ok(Self::Welcome { id, key })
                }
                (Some(Value::Number(id)), _) => Ok(Self::Id(ClientId(id))),
                _ => Err(field("id", "id")),
            },
            "rejectusername" => Ok(Self::RejectUsername {
                id: match object.get("id") {
                    Some(Value::Number(id)) => Some(ClientId(id.clone())),
                    _ => None,
                },
                name: name_of(&object, "rejectusername")?,
            }),
            "userlist" => match (object.remove("users"), object.remove("conns")) {
                (Some(Value::Array(users)), Some(Value::Array(conns)))
                    if users.len() == conns.len() =>
                {
                    let all = users.iter().zip(conns);
                    Ok(Self::Roll(all.filter_map(listed).collect()))
                }
                (Some(Value::Array(users)), _) => Ok(Self::UserList(
                    users
                        .iter()
                        .filter_map(|u| UserName::heard(u.as_str()?))
                        .collect(),
                )),
                _ => Err(field("userlist", "users")),
            },
            "message" => match object.remove("text") {
                Some(Value::String(text)) => Ok(Self::Chat {
                    name: text_of(&object, "name"),
                    text,
                }),
                _ => Err(field("message", "text")),
            },
            "video-offer" => Ok(Self::VideoOffer {
                name: name_of(&object, "video-offer")?,
                access: Access::of(object.get("access")),
                again: object.get("again") == Some(&Value::Bool(true)),
                sdp: sdp_of(&mut object, "video-offer", "offer")?,
            }),
            "video-answer" => Ok(Self::VideoAnswer {
                name: name_of(&object, "video-answer")?,
                sdp: sdp_of(&mut object, "video-answer", "answer")?,
            }),
            "new-ice-candidate" => {
                let name = name_of(&object, "new-ice-candidate").ok();
                let candidate = match object.remove("candidate") {
                    None | Some(Value::Null) => None,
                    Some(value) => Some(
                        serde_json::from_value(value)
                            .ok()
                            .filter(Candidate::is_short)
                            .ok_or(field("new-ice-candidate", "candidate"))?,
                    ),
                };
                Ok(Self::NewIceCandidate { name, candidate })
            }
            "hang-up" => Ok(Self::HangUp {
                name: name_of(&object, "hang-up")?,
                target: text_of(&object, "target").filter(|t| !t.is_empty()),
            }),
            _ => Ok(Self::Other(kind)),
        }
    }
}

/// One of a list with numbers.
fn listed((name, conn): (&Value, Value)) -> Option<(UserName, ClientId)> {
    match conn {
        Value::Number(conn) => Some((UserName::heard(name.as_str()?)?, ClientId(conn))),
        _ => None,
    }
}

fn field(kind: &'static str, field: &'static str) -> WireError {
    WireError::Field { kind, field }
}

fn text_of(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(str::to_owned)
}

fn name_of(object: &Map<String, Value>, kind: &'static str) -> Result<UserName, WireError> {
    object
        .get("name")
        .and_then(Value::as_str)
        .and_then(UserName::heard)
        .ok_or(field(kind, "name"))
}

fn sdp_of(
    object: &mut Map<String, Value>,
    kind: &'static str,
    expected: &str,
) -> Result<String, WireError> {
    let Some(Value::Object(mut description)) = object.remove("sdp") else {
        return Err(field(kind, "sdp"));
    };
    if description.get("type").and_then(Value::as_str) != Some(expected) {
        return Err(field(kind, "sdp.type"));
    }
    match description.remove("sdp") {
        Some(Value::String(sdp)) => Ok(sdp),
        _ => Err(field(kind, "sdp.sdp")),
    }
}

#[cfg(test)]
mod tests;
