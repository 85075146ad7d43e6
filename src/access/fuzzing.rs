//! Codes, links, files and proofs as anybody writes them: for fuzzing and for
//! property tests. Not part of the program.

use super::store;
use super::{Call, Invite, Key, KeyId, Link, ProofKey, Side};
use crate::fuzzing::Draw;

/// What somebody typed or opened is an invitation, and the same when it is
/// written anew; or it is refused in one line.
pub fn code(text: &str) {
    match Invite::parse(text) {
        Ok(invite) => {
            assert_eq!(Invite::parse(&invite.code()), Ok(invite.clone()));
            assert_eq!(invite.id().to_string().parse(), Ok(invite.id()));
        }
        Err(error) => one_line(&error.to_string()),
    }
    match Link::parse(text) {
        Ok(link) => {
            let written = link.text();
            assert_eq!(Link::parse(&written), Ok(link));
        }
        Err(error) => one_line(&error.to_string()),
    }
}

fn one_line(words: &str) {
    assert!(!words.contains(['\n', '\r']), "{words:?}");
}

/// What stands where a text of [`store`] has a `$`.
const SECRET: &str = "Pd6ZN5pSPyS50bjbGMaiQjVbgPSnlftQZoaGl6tddmY";

/// A text is a list of invitations, and the same when it is written anew; or it
/// is refused in one line that has none of its keys.
pub fn store(text: &str) {
    let text = text.replace('$', &format!("0mmOlyWT6y8.{SECRET}"));
    match store::read(&text) {
        Ok(invitations) => {
            let written = store::write(&invitations);
            assert_eq!(store::read(&written), Ok(invitations));
        }
        Err(error) => {
            let words = error.to_string();
            one_line(&words);
            assert!(!words.contains(SECRET), "{words}");
        }
    }
}

/// A text proves nothing but where it is the very proof.
pub fn proof(data: &[u8]) {
    let mut draw = Draw(data);
    let key = ProofKey::of(&Key::of([draw.byte(); 32]));
    let (viewer, device) = ([draw.byte(); 32], [draw.byte(); 32]);
    let (camera, ufrag, other) = (draw.text(), draw.text(), draw.text());
    let side = |fingerprint, ufrag| Side { fingerprint, ufrag };
    let call = Call {
        camera: &camera,
        viewer: side(&viewer, &ufrag),
        id: KeyId([draw.byte(); 8]),
    };
    let answerer = side(&device, other.as_str());
    let (offer, answer) = (key.offer(&call), key.answer(&call, answerer));
    assert!(key.is_of_offer(&call, &offer) && key.is_of_answer(&call, answerer, &answer));
    assert!(!key.is_of_answer(&call, answerer, &offer) && !key.is_of_offer(&call, &answer));
    let text = String::from_utf8_lossy(draw.0);
    assert_eq!(key.is_of_offer(&call, &text), text == offer);
    assert_eq!(key.is_of_answer(&call, answerer, &text), text == answer);
    // What stands in one field is not in the next.
    let moved = Call {
        camera: &format!("{camera}{ufrag}"),
        viewer: side(&viewer, ""),
        id: call.id,
    };
    assert_eq!(key.is_of_offer(&moved, &offer), ufrag.is_empty());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Two invitations with everything that one can have.
    const FILE: &str = r#"
[[invitation]]
label = "alice"
may = "watch,listen"
made = 1795906280
until = 1796000000
stage = "link"
key = "$"
given = ["AAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]

[[invitation]]
label = "bob"
may = "watch"
made = 1
stage = "shared"
key = "AQAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"#;

    #[test]
    fn the_whole_file_is_good() {
        super::store(FILE);
        let text = FILE.replace(
            '$',
            "0mmOlyWT6y8.Pd6ZN5pSPyS50bjbGMaiQjVbgPSnlftQZoaGl6tddmY",
        );
        assert_eq!(crate::access::store::read(&text).map(|i| i.len()), Ok(2));
    }

    proptest! {
        #[test]
        fn any_code_and_link(
            text in prop_oneof![
                "[0-9A-Za-z -]{26,36}",
                "http://h/#camera=[a-z%0-9+]{0,9}&invite=[0-9A-Z-]{27,35}",
                "\\PC{0,60}",
            ],
        ) {
            super::code(&text);
        }

        #[test]
        fn any_line_of_the_file(
            line in any::<prop::sample::Index>(),
            new in prop_oneof![
                "(label|may|made|until|stage|key|given) = \\PC{0,20}",
                "(label|may|stage|key) = \"\\PC{0,20}\"",
                "(label|key) = \"(alice|bob|\\$|[A-Za-z0-9_-]{11}\\.[A-Za-z0-9_-]{43})\"",
                "may = \"(watch|listen|talk|control|recordings|,| ){0,5}\"",
                "given = \\[(\"\\$\",? ?){0,6}\\]",
                "(made|until) = -?[0-9]{1,20}",
                "\\[+[a-z]{0,12}\\]+",
            ],
        ) {
            let lines: Vec<_> = FILE.lines().collect();
            let at = line.index(lines.len());
            let text: String = lines
                .iter()
                .enumerate()
                .map(|(i, line)| format!("{}\n", if i == at { new.as_str() } else { *line }))
                .collect();
            super::store(&text);
        }

        #[test]
        fn any_proof(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::proof(&data);
        }
    }
}
