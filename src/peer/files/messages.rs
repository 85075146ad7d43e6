//! The messages of the data channel [`LABEL`], as docs/protocol.md describes them. Text
//! in, text out; a file's bytes go between them. Pure.

use serde_json::{Value, json};

use crate::peer::messages::MAX_BYTES;
use crate::reason::Reason;
use crate::recorder::{Entry, Id, Why};

/// The channel, which a page opens when it has a use for it.
pub(crate) const LABEL: &str = "camera-agent-files";

/// Recordings of one list.
pub(super) const MOST_LISTED: usize = 100;
/// Bytes that a page may ask for at once: what is on its way is bounded by that.
pub(super) const MOST_ASKED: u64 = 1024 * 1024;

/// What a page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The recordings before this one, or the latest.
    List {
        /// This one.
        before: Option<Id>,
    },
    /// A part of one.
    Get {
        /// Which.
        id: Id,
        /// Its first byte.
        from: u64,
        /// How many, at most [`MOST_ASKED`].
        length: u64,
    },
    /// Its thumbnail.
    Thumbnail {
        /// Which.
        id: Id,
    },
    /// That it is deleted.
    Delete {
        /// Which.
        id: Id,
    },
    /// That one begins, or ends.
    Record {
        /// It begins.
        on: bool,
    },
    /// A picture, now, as the camera has it.
    Picture,
}

impl Asked {
    /// What an answer is about.
    pub(super) fn about(&self) -> &'static str {
        match self {
            Self::List { .. } => "list",
            Self::Get { .. } => "get",
            Self::Thumbnail { .. } => "thumbnail",
            Self::Delete { .. } => "delete",
            Self::Record { .. } => "record",
            Self::Picture => "picture",
        }
    }

    pub(super) fn id(&self) -> Option<Id> {
        match self {
            Self::Get { id, .. } | Self::Thumbnail { id } | Self::Delete { id } => Some(*id),
            Self::List { .. } | Self::Record { .. } | Self::Picture => None,
        }
    }
}

/// Why a page is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAsked {
    /// It is no message of this protocol, or of a newer one.
    #[error("it is no JSON object with a \"type\" that is known")]
    Unknown,
    /// What is asked lacks something.
    #[error("a {0} message needs {1}")]
    Lacks(&'static str, &'static str),
}

impl NotAsked {
    /// What it is about, for the page.
    pub(crate) fn about(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Lacks(about, _) => Some(about),
        }
    }
}

/// Reads what a page sent.
///
/// # Errors
///
/// It is none of these.
pub(crate) fn parse(text: &[u8]) -> Result<Asked, NotAsked> {
    if text.len() > MAX_BYTES {
        return Err(NotAsked::Unknown);
    }
    let message: Value = serde_json::from_slice(text).map_err(|_| NotAsked::Unknown)?;
    let id = |about| {
        let id = message["id"].as_str().and_then(Id::parse);
        id.ok_or(NotAsked::Lacks(about, "\"id\", as a list has it"))
    };
    match message["type"].as_str() {
        Some("list") => match &message["before"] {
            Value::Null => Ok(Asked::List { before: None }),
            before => match before.as_str().and_then(Id::parse) {
                Some(id) => Ok(Asked::List { before: Some(id) }),
                None => Err(NotAsked::Lacks("list", "in \"before\" an id, or null")),
            },
        },
        Some("get") => {
            let number = |key: &str| message[key].as_u64();
            let range = number("from").zip(number("length").filter(|n| *n <= MOST_ASKED));
            match (id("get")?, range) {
                (id, Some((from, length))) => Ok(Asked::Get { id, from, length }),
                (_, None) => Err(NotAsked::Lacks(
                    "get",
                    "\"from\" and \"length\" (whole numbers, the second up to 1048576)",
                )),
            }
        }
        Some("thumbnail") => Ok(Asked::Thumbnail {
            id: id("thumbnail")?,
        }),
        Some("delete") => Ok(Asked::Delete { id: id("delete")? }),
        Some("record") => match message["on"].as_bool() {
            Some(on) => Ok(Asked::Record { on }),
            None => Err(NotAsked::Lacks("record", "\"on\" (true or false)")),
        },
        Some("picture") => Ok(Asked::Picture),
        _ => Err(NotAsked::Unknown),
    }
}

/// A JPEG of so many bytes follows.
pub(super) fn picture(length: usize) -> String {
    json!({"type": "picture", "length": length}).to_string()
}

/// What is recorded now, and what the page's person may.
pub(super) fn recording(now: Option<Why>, has_button: bool, may_delete: bool) -> String {
    json!({"type": "recording", "now": now, "button": has_button, "may_delete": may_delete})
        .to_string()
}

/// Recordings, the latest first; `more`: there are older ones.
pub(super) fn list(before: Option<Id>, recordings: &[(Id, Entry)], more: bool) -> String {
    let one = |(id, entry): &(Id, Entry)| {
        json!({
            "id": id.to_string(),
            "began_ms": id.began * 1000,
            "seconds": entry.seconds,
            "bytes": entry.bytes,
            "why": entry.why,
        })
    };
    let recordings: Vec<_> = recordings.iter().map(one).collect();
    let before = before.map(|id| id.to_string());
    json!({"type": "list", "before": before, "recordings": recordings, "more": more}).to_string()
}

/// So many bytes follow, of a file that has `size`.
pub(super) fn part(id: Id, from: u64, length: u64, size: u64) -> String {
    json!({"type": "part", "id": id.to_string(), "from": from, "length": length, "size": size})
        .to_string()
}

/// A JPEG of so many bytes follows, or nothing.
pub(super) fn thumbnail(id: Id, length: usize) -> String {
    json!({"type": "thumbnail", "id": id.to_string(), "length": length}).to_string()
}

/// It is deleted.
pub(super) fn deleted(id: Id) -> String {
    json!({"type": "deleted", "id": id.to_string()}).to_string()
}

/// That something was not done.
pub(super) fn error(about: &str, reason: &Reason, id: Option<Id>) -> String {
    let id = id.map(|id| id.to_string());
    let text: String = reason.words.chars().take(500).collect();
    json!({"type": "error", "about": about, "text": text, "why": reason.code, "id": id}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_asks_in_these_words() {
        let id = Id::parse("20261130T103515Z").expect("an id");
        for (text, asked) in [
            (r#"{"type": "list"}"#, Ok(Asked::List { before: None })),
            (
                r#"{"type": "list", "before": "20261130T103515Z"}"#,
                Ok(Asked::List { before: Some(id) }),
            ),
            (
                r#"{"type": "get", "id": "20261130T103515Z", "from": 5, "length": 1048576}"#,
                Ok(Asked::Get {
                    id,
                    from: 5,
                    length: MOST_ASKED,
                }),
            ),
            (
                r#"{"type": "delete", "id": "20261130T103515Z"}"#,
                Ok(Asked::Delete { id }),
            ),
            (
                r#"{"type": "record", "on": true}"#,
                Ok(Asked::Record { on: true }),
            ),
            (r#"{"type": "picture"}"#, Ok(Asked::Picture)),
            (r#"{"type": "else"}"#, Err(None)),
            ("[]", Err(None)),
            (r#"{"type": "list", "before": 3}"#, Err(Some("list"))),
            (
                r#"{"type": "thumbnail", "id": "20261130T103515Z"}"#,
                Ok(Asked::Thumbnail { id }),
            ),
            (r#"{"type": "thumbnail"}"#, Err(Some("thumbnail"))),
            (r#"{"type": "delete", "id": "../x"}"#, Err(Some("delete"))),
            (
                r#"{"type": "get", "id": "20261130T103515Z", "from": 5, "length": 1048577}"#,
                Err(Some("get")),
            ),
            (r#"{"type": "record"}"#, Err(Some("record"))),
        ] {
            let read = parse(text.as_bytes());
            assert_eq!(read.map_err(|e| e.about()), asked, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_understood_or_not(text in ".{0,200}", kind in "list|get|thumbnail|delete|record") {
            let _ = parse(text.as_bytes());
            let message = json!({"type": kind, "id": text, "before": text, "from": 1, "length": 1});
            if let Ok(Asked::Get { id, .. } | Asked::Thumbnail { id } | Asked::Delete { id }) =
                parse(message.to_string().as_bytes())
            {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
