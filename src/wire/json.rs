//! Frames as JavaScript writes them.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Reads one JSON object, or says why it is none.
///
/// JavaScript's texts may hold half of a surrogate pair, and are written with it
/// (RFC 8259 §8.2). No text here can: each such half becomes U+FFFD, so that one
/// odd name in a list does not hide all others.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let read = match serde_json::from_str(text) {
        Err(error) => match whole(text) {
            Cow::Borrowed(_) => return Err(error.to_string()),
            Cow::Owned(text) => serde_json::from_str(&text),
        },
        read => read,
    };
    match read.map_err(|e| e.to_string())? {
        Value::Object(object) => Ok(object),
        _ => Err("another JSON value".into()),
    }
}

/// The same text with an escape of U+FFFD for each half of a surrogate pair.
fn whole(text: &str) -> Cow<'_, str> {
    let mut mended = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        at += match (unit(text, at), unit(text, at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                mended.to_mut().replace_range(at..at + 6, "\\ufffd");
                6
            }
            // What is escaped is one character of ASCII, where this is JSON.
            _ => 2,
        };
    }
    mended
}

/// The code unit that is escaped there (`\uXXXX`).
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> Option<String> {
        let object = object(&format!("{{\"a\": \"{json}\"}}")).ok()?;
        object["a"].as_str().map(str::to_owned)
    }

    #[test]
    fn half_a_character_is_one_that_nobody_knows() {
        for (json, is) in [
            (r"\ud83d", "\u{FFFD}"),
            (r"\uDe00 x", "\u{FFFD} x"),
            (r"\ud83d\ud83d\ude00", "\u{FFFD}\u{1F600}"),
            (r"\ud83d\n", "\u{FFFD}\n"),
            (r"\\ud83d\ud83d", "\\ud83d\u{FFFD}"),
            (r"\ud83d\u0041", "\u{FFFD}A"),
            (r"\ud83dé", "\u{FFFD}é"),
        ] {
            assert_eq!(text(json).as_deref(), Some(is), "{json}");
        }
        for bad in [r"\ud83", r"\u+83d", r"\", r"\é", r"\ud83d\"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }

    proptest! {
        /// Any text of JavaScript's, code unit by code unit.
        #[test]
        fn any_code_units_are_read(units in prop::collection::vec(
            prop_oneof![any::<u16>(), 0xD7F0..0xE010_u16], 0..20)
        ) {
            let json: String = units.iter().map(|u| format!("\\u{u:04x}")).collect();
            prop_assert_eq!(text(&json), Some(String::from_utf16_lossy(&units)));
        }
    }
}
