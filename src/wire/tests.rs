use serde_json::json;

use super::*;
use crate::reason::{Code, Reason};

#[test]
fn a_name_is_taken_or_refused_in_words() {
    assert!(UserName::parse("front door").is_ok());
    assert!(UserName::parse("Tür 3").is_ok());
    assert!(UserName::parse(&"ก".repeat(64)).is_ok());
    assert!(UserName::parse("می\u{200C}خواهم").is_ok());
    assert!(UserName::parse("👩\u{200D}👧").is_ok());
    for bad in [
        "",
        " a",
        "a ",
        "a\nb",
        "a\u{202e}b",
        "a\u{200d}b",
        "ก\u{200d}\u{200d}ก",
        "ก\u{200d}",
        &"x".repeat(65),
    ] {
        assert!(UserName::parse(bad).is_err(), "{bad:?}");
    }
}

/// A half of one that JavaScript holds hides nobody else.
#[test]
fn half_a_character_in_a_list_is_one_name_among_others() {
    let list = r#"{"type": "userlist", "users": ["\ud83d", "bob", "x\uDC00y"]}"#;
    let Ok(Incoming::UserList(users)) = Incoming::parse(list) else {
        panic!("not a list")
    };
    let users: Vec<_> = users.iter().map(UserName::as_str).collect();
    assert_eq!(users, ["\u{FFFD}", "bob", "x\u{FFFD}y"]);
}

/// As the original server lets them be: 22 Thai letters, blanks at the ends,
/// a joiner inside.
#[test]
fn a_name_of_another_server_is_kept_to_the_byte_and_shown_safely() {
    for (name, shown) in [
        (" alice ", " alice "),
        ("a\u{200d}b", "a\\u{200d}b"),
        ("a\u{200c}b", "a\\u{200c}b"),
        ("\u{202e}olleh", "\\u{202e}olleh"),
        ("a\nb", "a\\u{a}b"),
        ("\u{1b}[2J", "\\u{1b}[2J"),
        (&"\u{e01}".repeat(22), &"\u{e01}".repeat(22)),
        (&"x".repeat(1024), &format!("{}…", "x".repeat(80))),
    ] {
        let text = json!({"type": "video-offer", "name": name,
            "sdp": {"type": "offer", "sdp": "v=0"}});
        let Ok(Incoming::VideoOffer { name: heard, .. }) = Incoming::parse(&text.to_string())
        else {
            panic!("{name:?}: not an offer")
        };
        assert_eq!(heard.as_str(), name);
        assert_eq!(heard.to_string(), shown);
        let list = json!({"type": "userlist", "users": [name]}).to_string();
        assert_eq!(
            Incoming::parse(&list),
            Ok(Incoming::UserList(vec![heard.clone()]))
        );
        let frame = Outgoing::HangUp {
            name: UserName::parse("camera").expect("a name"),
            target: heard,
            reason: Reason::new(Code::Full, ""),
        };
        let frame: Value = serde_json::from_str(&frame.to_text(0)).expect("JSON");
        assert_eq!(frame["target"], name);
    }
    assert_eq!(UserName::heard(&"x".repeat(1025)), None);
    assert_eq!(UserName::heard(""), None);
}

#[test]
fn ufrag_is_found_in_the_field_or_in_the_line() {
    let mut c = Candidate {
        candidate:
            "candidate:1 1 udp 2 192.0.2.1 9 typ host generation 0 ufrag AbCd network-cost 999"
                .into(),
        ..Default::default()
    };
    assert_eq!(c.ufrag(), Some("AbCd"));
    c.username_fragment = Some("WxYz".into());
    assert_eq!(c.ufrag(), Some("WxYz"));
    c = Candidate::default();
    assert_eq!(c.ufrag(), None);
    assert!(c.is_end());
}

#[test]
fn a_user_list_keeps_what_is_a_name() {
    let text = r#"{"type":"userlist","users":["alice",null,"","alice",7,"bob"]}"#;
    let Incoming::UserList(users) = Incoming::parse(text).unwrap() else {
        panic!("not a user list")
    };
    let users: Vec<_> = users.iter().map(UserName::as_str).collect();
    assert_eq!(users, ["alice", "alice", "bob"]);
}

#[test]
fn an_invitation_is_two_short_texts_or_none() {
    let access = |access: Value| {
        let text = json!({"type": "video-offer", "name": "a", "access": access,
            "sdp": {"type": "offer", "sdp": "v=0"}});
        match Incoming::parse(&text.to_string()) {
            Ok(Incoming::VideoOffer { access, .. }) => access,
            other => panic!("{other:?}"),
        }
    };
    let read = access(json!({"id": "i", "proof": "p", "more": 1}));
    let (id, proof) = ("i".to_owned(), "p".to_owned());
    assert_eq!(read, Some(Access { id, proof }));
    for bad in [
        Value::Null,
        json!("x"),
        json!([]),
        json!({"id": "i"}),
        json!({"id": 7, "proof": "p"}),
        json!({"id": "i", "proof": "p".repeat(65)}),
    ] {
        assert_eq!(access(bad.clone()), None, "{bad}");
    }
}

#[test]
fn end_of_candidates_comes_as_null_or_as_an_empty_line() {
    for text in [
        r#"{"type":"new-ice-candidate","target":"cam","candidate":null}"#,
        r#"{"type":"new-ice-candidate","target":"cam"}"#,
    ] {
        assert_eq!(
            Incoming::parse(text),
            Ok(Incoming::NewIceCandidate {
                name: None,
                candidate: None
            })
        );
    }
    let text = r#"{"type":"new-ice-candidate","candidate":{"candidate":"","sdpMid":"0","usernameFragment":null}}"#;
    let Ok(Incoming::NewIceCandidate {
        candidate: Some(c), ..
    }) = Incoming::parse(text)
    else {
        panic!("not a candidate")
    };
    assert!(c.is_end() && c.ufrag().is_none());
}

#[test]
fn bad_frames_name_what_is_wrong() {
    let error = |text: &str| Incoming::parse(text).unwrap_err().to_string();
    assert!(error("[1]").contains("JSON object"));
    assert!(error("{").contains("JSON object"));
    assert_eq!(error("{}"), "no \"type\" text in the object");
    assert_eq!(
        error(r#"{"type":"video-offer","name":"a","sdp":"v=0"}"#),
        "\"video-offer\" without a usable \"sdp\""
    );
    assert_eq!(
        error(r#"{"type":"video-offer","name":"a","sdp":{"type":"answer","sdp":"v=0"}}"#),
        "\"video-offer\" without a usable \"sdp.type\""
    );
}

#[test]
fn a_candidate_too_long_to_be_one_is_refused() {
    let candidate = |length: usize| {
        let line = "x".repeat(length);
        let text = json!({"type": "new-ice-candidate", "candidate": {"candidate": line}});
        Incoming::parse(&text.to_string())
    };
    assert!(candidate(1024).is_ok());
    assert!(candidate(1025).is_err());
}

#[test]
fn the_connection_that_a_frame_came_from_is_told_apart_from_what_it_says() {
    let text = r#"{"name":"alice","type":"hang-up","conn":17}"#;
    let (stamp, message) = Incoming::parse(text).expect("readable").stamped();
    let conn = ClientId(17.into());
    let stamped = |source| {
        Some(Stamp {
            conn: conn.clone(),
            source,
            network: source,
        })
    };
    assert_eq!(stamp, stamped(None));
    assert!(matches!(message, Incoming::HangUp { .. }));
    let text = r#"{"name":"alice","type":"hang-up","conn":"17"}"#;
    let (stamp, _) = Incoming::parse(text).expect("readable").stamped();
    assert_eq!(stamp, None, "no number");
    for (source, read) in [
        ("5", Some(5)),
        ("-1", None),
        ("\"5\"", None),
        ("null", None),
    ] {
        let text = format!(
            r#"{{"name":"a","type":"hang-up","conn":17,"source":{source},"network":{source}}}"#
        );
        let (stamp, _) = Incoming::parse(&text).expect("readable").stamped();
        assert_eq!(stamp, stamped(read), "{source}");
    }
}

#[test]
fn a_broadcast_hang_up_has_no_target() {
    let text = r#"{"name":"alice","target":null,"type":"hang-up"}"#;
    let Ok(Incoming::HangUp { name, target }) = Incoming::parse(text) else {
        panic!("not a hang-up")
    };
    assert_eq!((name.as_str(), target), ("alice", None));
}

#[test]
fn outgoing_frames_read_back() {
    let name = UserName::parse("cam").unwrap();
    let target = UserName::parse("alice").unwrap();
    let text = Outgoing::VideoAnswer {
        name: name.clone(),
        target,
        sdp: "v=0\r\n".into(),
        ufrag: "abcd".into(),
        proof: Some("p".into()),
    }
    .to_text(0);
    assert!(text.contains(r#""access":{"proof":"p"}"#), "{text}");
    assert_eq!(
        Incoming::parse(&text),
        Ok(Incoming::VideoAnswer {
            name,
            sdp: "v=0\r\n".into()
        })
    );
}
