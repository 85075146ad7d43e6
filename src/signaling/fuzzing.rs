//! What a hostile chat server, or who stands before it, answers to the
//! handshake: for fuzzing and for property tests. Not part of the program.

use super::credentials::Credentials;
use super::failure::{Answer, Failure};
use super::trouble::{self, Situation};
use crate::config::ServerUrl;
use crate::fuzzing::{Draw, LOGIN, gives_login_away};

/// Longer than any line about a failure with what is shown of another's text.
const MOST: usize = 1_500;

/// An answer of HTTP that opens no WebSocket is explained in one line, which is
/// bounded, steers no terminal and shows no credentials.
pub fn answer(data: &[u8]) {
    if gives_login_away(data) {
        return;
    }
    let mut draw = Draw(data);
    let code = 100 + draw.short() % 500;
    let kind = draw.byte();
    let (location, challenge) = (draw.text().replace('$', LOGIN), draw.text());
    let words = draw.text();
    let failure = match kind % 4 {
        0 => Failure::NoWebSocket(words),
        1 => Failure::NoTls(words),
        2 => Failure::ProxyStatus(code),
        _ => Failure::Status(Answer {
            code,
            location: (kind & 16 == 0).then_some(location),
            challenge,
        }),
    };
    let url = ServerUrl::parse("wss://chat.example:6503/").expect("an address");
    let credentials = match kind & 32 {
        0 => Credentials::None,
        _ => Credentials::Bearer {
            token: "/token".into(),
        },
    };
    let trouble = trouble::explain(
        &failure,
        &Situation {
            url: &url,
            credentials: &credentials,
            proxy: None,
            has_ca_file: kind & 64 != 0,
        },
    );
    for text in [trouble.line(), trouble.what, trouble.remedy] {
        assert!(text.chars().count() <= MOST, "{} bytes", text.len());
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(!text.contains("north-star"), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_answer_is_explained_in_one_line(
            code in any::<u16>(),
            kind in any::<u8>(),
            texts in proptest::collection::vec(
                prop_oneof!["(https?|wss?)?\\$?[a-z./:?#]{0,40}", "\\PC{0,40}", "[\\x00-\\x7f]{0,60}"], 3),
        ) {
            let mut data = code.to_be_bytes().to_vec();
            data.push(kind);
            for text in &texts {
                let text = &text.as_bytes()[..text.len().min(255)];
                data.push(text.len() as u8);
                data.extend_from_slice(text);
            }
            super::answer(&data);
        }
    }
}
