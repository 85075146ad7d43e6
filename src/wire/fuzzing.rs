//! A frame of a stranger or of a hostile server: for fuzzing and for property
//! tests. Not part of the program.

use super::{Candidate, Incoming};

/// Parsed or refused; and what was understood is understood the same way again.
pub fn frame(data: &[u8]) {
    let text = crate::fuzzing::text(data);
    let parsed = Incoming::parse(text);
    assert_eq!(parsed, Incoming::parse(text));
    if let Ok(Incoming::NewIceCandidate {
        candidate: Some(candidate),
        ..
    }) = parsed
    {
        let _ = (candidate.ufrag(), candidate.is_end());
        let written = serde_json::to_string(&candidate).expect("it can be written");
        let read: Candidate = serde_json::from_str(&written).expect("and read");
        assert_eq!(read, candidate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_frame_is_understood_once_and_for_all(
            kind in prop_oneof!["video-offer", "new-ice-candidate", "userlist", "id", "\\PC{0,9}"],
            key in prop_oneof!["sdp", "candidate", "users", "id", "name", "target"],
            value in prop_oneof![
                "\"\\PC{0,30}\"", "-?[0-9]{1,25}(\\.[0-9]{1,5})?", "\\[(\"a\",)?\"b\"\\]", "null",
                "\\{\"candidate\": \"[a-z0-9: .]{0,60}\", \"sdpMLineIndex\": [0-9]{1,6}\\}",
            ],
        ) {
            let text = format!(r#"{{"type": "{kind}", "name": "n", "{key}": {value}}}"#);
            super::frame(text.as_bytes());
        }
    }
}
