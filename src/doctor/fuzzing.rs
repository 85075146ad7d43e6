//! What a STUN or TURN server answers, whatever it is: for fuzzing and for
//! property tests. Not part of the program.

use webrtc::peer_connection::crypto;

use super::stun::{Answer, Login, MOST_WORDS, Request};

/// An answer to a request, and to the one that comes of it. What is shown of it
/// is one short line.
pub fn stun(data: &[u8]) {
    let (kind, data) = data.split_first().unwrap_or((&0, &[]));
    let request = match kind % 2 {
        0 => Request::binding(),
        _ => Request::allocate(None),
    };
    let request = request.expect("a request can be built");
    let mut bytes = data.to_vec();
    // Only who saw the request knows its number (RFC 8489 §5).
    if let Some(transaction) = bytes.get_mut(8..20)
        && kind & 128 == 0
    {
        transaction.copy_from_slice(&request.bytes[8..20]);
    }
    match request.answer(&bytes) {
        Some(Answer::Refused { reason, .. }) => {
            assert!(reason.chars().count() <= MOST_WORDS + 1, "{reason}");
            assert!(!reason.contains(char::is_control), "{reason:?}");
        }
        Some(Answer::Login { realm, nonce }) => {
            let provider = crypto::default_provider().expect("there is one");
            let login = Login {
                username: "device".into(),
                password: "secret".into(),
                realm,
                nonce,
            };
            if let Ok(request) = Request::allocate(Some((&login, provider.crypto()))) {
                assert!(request.bytes.len() < 64 * 1024);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// An error of such words, as a server writes it (RFC 8489 §14.8).
    fn refusal(code: u16, words: &[u8]) -> Vec<u8> {
        let mut error = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        error.extend_from_slice(words);
        let length = (error.len() as u16).to_be_bytes();
        let mut attribute = [&[0, 9][..], &length, &error].concat();
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        let mut out = vec![1, 1, 0x11];
        out.extend_from_slice(&(attribute.len() as u16).to_be_bytes());
        out.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        out.extend_from_slice(&[0; 12]);
        out.extend(attribute);
        out
    }

    proptest! {
        #[test]
        fn any_refusal_is_shown_as_one_short_line(
            code in 300_u16..700, words in proptest::collection::vec(any::<u8>(), 0..1_200),
        ) {
            super::stun(&refusal(code, &words));
        }

        #[test]
        fn any_bytes_are_an_answer_or_none(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::stun(&data);
        }
    }
}
