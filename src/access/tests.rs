use proptest::prelude::*;

use super::*;

/// The example of docs/protocol.md, for who writes the other end.
#[test]
fn the_documented_example_is_what_this_program_computes() {
    let secret: [u8; 16] = std::array::from_fn(|i| i as u8);
    let viewer: [u8; 32] = std::array::from_fn(|i| i as u8);
    let device: [u8; 32] = std::array::from_fn(|i| 0xff - i as u8);
    let invite = Invite::of(secret);
    let key = ProofKey::of(&invite.key());
    let call = Call {
        camera: "front door",
        viewer: Side {
            fingerprint: &viewer,
            ufrag: "vIeW",
        },
        id: invite.id(),
    };
    let answerer = Side {
        fingerprint: &device,
        ufrag: "dEvIcEuFrAg",
    };
    let link = Link {
        page: "https://cam.example/".into(),
        camera: "front door".into(),
        invite: invite.clone(),
    };
    let documented = include_str!("../../docs/protocol.md");
    for (what, value) in [
        ("code", invite.code()),
        ("id", invite.id().to_string()),
        ("key", invite.key().expose()),
        ("link", link.text()),
        ("proof of the offer", key.offer(&call)),
        ("proof of the answer", key.answer(&call, answerer)),
    ] {
        let line = format!("| {what} | `{value}` |");
        assert!(documented.contains(&line), "docs/protocol.md lacks {line}");
    }
}

#[test]
fn a_code_is_read_however_it_is_typed() {
    let invite = Invite::of(*b"sixteen bytes ..");
    let code = invite.code();
    assert_eq!(code.len(), 28 + 6);
    let typed = [
        code.clone(),
        code.to_lowercase(),
        code.replace('-', " "),
        format!("  {}\n", code.replace('-', "")),
        code.replace('0', "o").replace('1', "l"),
        code.replace('0', "O").replace('1', "I"),
    ];
    for typed in typed {
        assert_eq!(Invite::parse(&typed), Ok(invite.clone()), "{typed}");
    }
    assert_eq!(Invite::parse(""), Err(CodeError::Length(0)));
    assert_eq!(Invite::parse(&code[1..]), Err(CodeError::Length(27)));
    assert_eq!(
        Invite::parse(&code.replacen('-', "U", 1)),
        Err(CodeError::Character('U'))
    );
}

#[test]
fn no_secret_is_shown() {
    let invite = Invite::random();
    let shown = format!(
        "{invite:?} {:?} {:?}",
        invite.key(),
        ProofKey::of(&invite.key())
    );
    assert_eq!(shown, "Invite(…) Key(…) ProofKey(…)");
    assert_ne!(Invite::random(), invite);
    let key = Key::random();
    assert_eq!(Key::parse(&key.expose()), Some(key));
    assert_eq!(Key::parse("short"), None);
}

#[test]
fn a_proof_does_for_one_call_and_one_direction() {
    let key = ProofKey::of(&Invite::of([7; 16]).key());
    let id = KeyId([1; 8]);
    let side = |fingerprint, ufrag| Side { fingerprint, ufrag };
    let call = Call {
        camera: "camera",
        viewer: side(&[1; 32], "abcd"),
        id,
    };
    let device = side(&[2; 32], "efgh");
    let proof = key.offer(&call);
    assert!(key.is_of_offer(&call, &proof));
    let others = [
        Call {
            camera: "camer",
            ..call
        },
        Call {
            viewer: side(&[1; 32], "abcde"),
            ..call
        },
        Call {
            viewer: side(&[3; 32], "abcd"),
            ..call
        },
        Call {
            id: KeyId([2; 8]),
            ..call
        },
    ];
    for other in others {
        assert!(!key.is_of_offer(&other, &proof), "{other:?}");
    }
    for bad in ["", "AAAA", &proof[1..], &format!("{proof}A")] {
        assert!(!key.is_of_offer(&call, bad), "{bad}");
    }
    assert!(!ProofKey::of(&Invite::of([8; 16]).key()).is_of_offer(&call, &proof));
    let answer = key.answer(&call, device);
    assert!(key.is_of_answer(&call, device, &answer));
    assert!(
        !key.is_of_answer(&call, device, &proof),
        "reflected: an offer's proof is no answer's"
    );
    assert!(!key.is_of_offer(&call, &answer));
    assert!(!key.is_of_answer(&call, side(&[3; 32], "efgh"), &answer));
    assert!(!key.is_of_answer(&others[1], device, &answer));
}

proptest! {
    #[test]
    fn any_secret_survives_its_code_and_its_link(
        secret in any::<[u8; 16]>(), camera in "\\PC{1,20}",
    ) {
        let invite = Invite::of(secret);
        prop_assert_eq!(Invite::parse(&invite.code()), Ok(invite.clone()));
        let link = Link { page: "http://h:6503/".into(), camera, invite };
        let text = link.text();
        prop_assert!(text.is_ascii() && !text.contains(char::is_whitespace));
        prop_assert_eq!(Link::parse(&text), Ok(link));
    }

    /// 12 bits tell 4095 of 4096 mistakes.
    #[test]
    fn a_mistake_gives_no_other_code_that_is_as_good(
        secret in any::<[u8; 16]>(), at in 0..28usize, by in 1..32usize,
    ) {
        let code = Invite::of(secret).code();
        let digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let at = at + at / 4;
        let old = digits.find(&code[at..=at]).expect("a digit");
        let new = &digits[(old + by) % 32..][..1];
        let wrong = format!("{}{new}{}", &code[..at], &code[at + 1..]);
        match Invite::parse(&wrong) {
            Err(error) => prop_assert_eq!(error, CodeError::Check),
            Ok(other) => prop_assert_eq!(other.code(), wrong),
        }
    }
}
