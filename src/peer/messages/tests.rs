use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::bucket::Bucket;
use crate::device;
use crate::media::status::{State, StreamStatus};

fn camera_control(name: &str, menu: Vec<(i64, String)>) -> CameraControl {
    CameraControl {
        control: device::Control {
            id: 1,
            name: name.into(),
            minimum: -10,
            maximum: 10,
            step: 0,
            default: 3,
            menu,
            writable: true,
        },
        kind: Kind::Integer,
        value: 4,
        inactive: false,
    }
}

#[test]
fn a_control_is_set_to_a_number_a_switch_or_a_label() {
    for (text, wanted) in [
        (
            r#"{"type":"control","name":"b","value":12}"#,
            ControlValue::Number(12),
        ),
        (
            r#"{"type":"control","name":"b","value":true}"#,
            ControlValue::Switch(true),
        ),
        (
            r#"{"type":"control","name":"b","value":"x","more":1}"#,
            ControlValue::Label("x".into()),
        ),
    ] {
        let name = "b".to_owned();
        let control = FromViewer::Control {
            name,
            value: wanted,
        };
        assert_eq!(parse(text.as_bytes()), Ok(control));
    }
    for bad in [
        r#"{"type":"control"}"#,
        r#"{"type":"control","name":"b","value":1.5}"#,
        r#"{"type":"control","name":7,"value":1}"#,
        r#"{"type":"control","name":"b","value":99999999999999999999}"#,
    ] {
        assert_eq!(parse(bad.as_bytes()), Err(MessageError::Control), "{bad}");
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    assert_eq!(parse(br#"{"type":"new"}"#), Ok(FromViewer::Unknown));
    for (text, tier) in [
        (r#"{"type":"quality","tier":1}"#, Ok(Some(1))),
        (r#"{"type":"quality","tier":null}"#, Ok(None)),
        (
            r#"{"type":"quality","tier":-1}"#,
            Err(MessageError::Quality),
        ),
        (
            r#"{"type":"quality","tier":"x"}"#,
            Err(MessageError::Quality),
        ),
    ] {
        let expected = tier.map(|tier| FromViewer::Quality { tier });
        assert_eq!(parse(text.as_bytes()), expected, "{text}");
    }
    for bad in ["", "null", "7", "[]", "{}", r#"{"type":1}"#, "{", "\u{ff}"] {
        assert_eq!(
            parse(bad.as_bytes()),
            Err(MessageError::Unreadable),
            "{bad}"
        );
    }
    assert_eq!(parse(&[0xff, 0xfe]), Err(MessageError::Unreadable));
    let deep = "[".repeat(MAX_BYTES);
    assert_eq!(parse(deep.as_bytes()), Err(MessageError::Unreadable));
    let long = vec![b' '; MAX_BYTES + 1];
    assert_eq!(parse(&long), Err(MessageError::TooLong(MAX_BYTES + 1)));
}

#[test]
fn stats_are_switched_and_pings_carry_a_number() {
    for (text, expected) in [
        (
            r#"{"type":"stats","on":true}"#,
            Ok(FromViewer::Stats { on: true }),
        ),
        (
            r#"{"type":"stats","on":false}"#,
            Ok(FromViewer::Stats { on: false }),
        ),
        (r#"{"type":"stats"}"#, Err(MessageError::Stats)),
        (r#"{"type":"stats","on":1}"#, Err(MessageError::Stats)),
        (
            r#"{"type":"ping","id":4294967295}"#,
            Ok(FromViewer::Ping { id: u32::MAX }),
        ),
        (
            r#"{"type":"ping","id":4294967296}"#,
            Err(MessageError::Ping),
        ),
        (r#"{"type":"ping","id":-1}"#, Err(MessageError::Ping)),
        (r#"{"type":"ping"}"#, Err(MessageError::Ping)),
    ] {
        assert_eq!(parse(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn stats_and_pongs_read_as_documented() {
    let told = Stats {
        tier: 1,
        thinned: false,
        sent_bps: 512_000,
        estimate_bps: 800_000,
        loss: 0.25,
        rtt_ms: Some(23.5),
        queue_ms: 4.0,
        fps: 29.5,
        left_out: 2,
        repairs: 3,
    };
    assert_eq!(
        serde_json::from_str::<Value>(&stats(&told)).expect("JSON"),
        json!({"type": "stats", "tier": 1, "thinned": false, "sent_bps": 512_000,
            "estimate_bps": 800_000, "loss": 0.25, "rtt_ms": 23.5, "queue_ms": 4.0,
            "fps": 29.5, "left_out": 2, "repairs": 3})
    );
    let unknown = stats(&Stats::default());
    assert!(unknown.contains(r#""rtt_ms":null"#), "{unknown}");
    let now = Duration::new(1_795_529_471, 123_456_789);
    assert_eq!(
        serde_json::from_str::<Value>(&pong(7, now)).expect("JSON"),
        json!({"type": "pong", "id": 7, "now_ms": 1_795_529_471_123.457})
    );
}

proptest! {
    #[test]
    fn no_text_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_control_message_is_read_as_it_was_meant(name in ".{0,40}", number in any::<i64>()) {
        let text = json!({"type": "control", "name": name, "value": number}).to_string();
        let value = ControlValue::Number(number);
        prop_assert_eq!(parse(text.as_bytes()), Ok(FromViewer::Control { name, value }));
    }
}

#[test]
fn what_viewers_are_told_reads_as_documented() {
    let lost = MediaStatus {
        video: StreamStatus {
            state: State::Lost,
            text: "it is \"gone\"".into(),
            why: Some(Code::CameraLost),
            reason: "poll error".into(),
        },
        ..Default::default()
    };
    assert_eq!(
        serde_json::from_str::<Value>(&status(&lost)).expect("JSON"),
        json!({"type": "status",
            "video": {"state": "lost", "text": "it is \"gone\"", "why": "camera-lost", "reason": "poll error"},
            "audio": {"state": "idle", "text": "", "reason": ""}})
    );
    let mut read_only = camera_control("read_only", vec![]);
    read_only.control.writable = false;
    let mut taken_over = camera_control("gain", vec![(0, "Low".into())]);
    taken_over.inactive = true;
    let list = [camera_control("brightness", vec![]), read_only, taken_over];
    assert_eq!(
        serde_json::from_str::<Value>(&controls(&list)).expect("JSON"),
        json!({"type": "controls", "controls": [
            {"name": "brightness", "minimum": -10, "maximum": 10, "step": 1, "default": 3, "value": 4},
            {"name": "gain", "minimum": -10, "maximum": 10, "step": 1, "default": 3, "value": 4,
                "menu": [{"value": 0, "label": "Low"}], "inactive": true}]})
    );
    let refusal = Refusal {
        reason: Reason::new(Code::ControlValue, "x".repeat(9_999)),
        control: Some("y".repeat(9_999)),
    };
    assert_eq!(
        serde_json::from_str::<Value>(&error("control", &refusal)).expect("JSON"),
        json!({"type": "error", "about": "control", "text": "x".repeat(500),
            "why": "control-value", "control": "y".repeat(500)})
    );
}

#[test]
fn a_camera_with_absurdly_many_controls_is_told_in_part() {
    let menu: Vec<_> = (0..64).map(|i| (i, "y".repeat(31))).collect();
    let many = vec![camera_control("z", menu); 256];
    let text = controls(&many);
    assert!(text.len() < MAX_CONTROLS_BYTES + 100, "{}", text.len());
    let read: Value = serde_json::from_str(&text).expect("JSON");
    assert!(read["controls"].as_array().is_some_and(|c| c.len() > 5));
}

#[test]
fn a_flood_is_cut_to_the_rate_and_a_calm_viewer_never_is() {
    let start = Instant::now();
    let mut limiter = Bucket::full(LISTENED, start);
    let read = |limiter: &mut Bucket, now| (0..1000).filter(|_| limiter.take(1.0, now)).count();
    assert_eq!(read(&mut limiter, start), 20);
    assert_eq!(read(&mut limiter, start + Duration::from_secs(1)), 20);
    assert_eq!(
        read(&mut limiter, start),
        0,
        "a clock that steps back earns nothing"
    );
    assert_eq!(read(&mut limiter, start + Duration::from_secs(3600)), 20);
    let mut calm = Bucket::full(LISTENED, start);
    assert!((0..1000).all(|i| calm.take(1.0, start + Duration::from_millis(100 * i))));
}

#[test]
fn privacy_is_on_or_off_and_nothing_else() {
    for (text, read) in [
        (
            r#"{"type": "privacy", "on": true}"#,
            Ok(FromViewer::Privacy { on: true }),
        ),
        (
            r#"{"type": "privacy", "on": false}"#,
            Ok(FromViewer::Privacy { on: false }),
        ),
        (
            r#"{"type": "privacy", "on": 1}"#,
            Err(MessageError::Privacy),
        ),
        (r#"{"type": "privacy"}"#, Err(MessageError::Privacy)),
    ] {
        assert_eq!(parse(text.as_bytes()), read, "{text}");
    }
    assert_eq!(privacy(true), r#"{"on":true,"type":"privacy"}"#);
}

#[test]
fn motion_is_told_as_it_begins_as_it_ends_and_as_it_was() {
    let mut moved = Moved {
        zone: "door".into(),
        began: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_529_471_123),
        ended: None,
    };
    let told = |moved: &Moved, past| -> Value {
        serde_json::from_str(&motion(moved, past)).expect("JSON")
    };
    assert_eq!(
        told(&moved, false),
        json!({"type": "motion", "zone": "door", "began_ms": 1_795_529_471_123_u64})
    );
    moved.ended = Some((End::Still, Duration::from_millis(7_200)));
    assert_eq!(
        told(&moved, true),
        json!({
            "type": "motion", "zone": "door", "began_ms": 1_795_529_471_123_u64,
            "ended_ms": 1_795_529_478_323_u64, "end": "still", "past": true,
        })
    );
}

#[test]
fn a_zone_is_put_or_taken_away_and_what_is_told_is_what_was_drawn() {
    let zone = ZoneConfig {
        name: "the gate".to_owned(),
        corners: vec![[0.1, 0.25], [1.0, 0.0], [0.3, 0.35]],
        sensitivity: Some(7),
    };
    let put = r#"{"type":"zone","name":"the gate","corners":[[0.1,0.25],[1,0],[0.3,0.35]],
        "sensitivity":7,"was":"door"}"#;
    let wish = ZoneWish::Put {
        was: Some("door".to_owned()),
        zone: zone.clone(),
    };
    assert_eq!(parse(put.as_bytes()), Ok(FromViewer::Zones(wish.clone())));
    let away = r#"{"type":"zone","name":"door","corners":null}"#;
    let gone = ZoneWish::Away("door".to_owned());
    assert_eq!(parse(away.as_bytes()), Ok(FromViewer::Zones(gone)));
    let configured = r#"{"type":"zones","configured":true}"#;
    let back = FromViewer::Zones(ZoneWish::Configured);
    assert_eq!(parse(configured.as_bytes()), Ok(back));
    for bad in [
        r#"{"type":"zone"}"#,
        r#"{"type":"zone","name":7,"corners":[]}"#,
        r#"{"type":"zone","name":"a","corners":[[0.1]]}"#,
        r#"{"type":"zone","name":"a","corners":[["0","1"]]}"#,
        r#"{"type":"zone","name":"a","corners":[],"sensitivity":900}"#,
        r#"{"type":"zones"}"#,
        r#"{"type":"zones","configured":false}"#,
    ] {
        assert_eq!(parse(bad.as_bytes()), Err(MessageError::Zone), "{bad}");
    }
    let zones = wish.applied_to(&[]).expect("it keeps the rules");
    let known = Known {
        zones,
        drawn: true,
        sensitivity: 5,
    };
    assert_eq!(
        super::zones(&known, false),
        r#"{"type":"zones","zones":[{"name":"the gate","corners":[[0.1,0.25],[1.0,0.0],[0.3,0.35]],"sensitivity":7}],"sensitivity":5,"drawn":true,"may_draw":false}"#
    );
}

/// The longest that the rules allow, in letters of four bytes.
#[test]
fn the_largest_zone_fits_a_message_and_the_most_zones_fit_one_to_a_viewer() {
    let name = |n: usize| format!("{}{n:02}", "𝄞".repeat(30));
    let zone = |n: usize| ZoneConfig {
        name: name(n),
        corners: vec![[0.123, 0.987]; 32],
        sensitivity: Some(10),
    };
    let corners = vec![[0.123, 0.987]; 32];
    let put = json!({"type": "zone", "name": name(1), "corners": corners, "sensitivity": 10,
        "was": name(1)});
    let wish = match parse(put.to_string().as_bytes()) {
        Ok(FromViewer::Zones(wish)) => wish,
        other => panic!("{other:?}"),
    };
    let zones: Vec<_> = (0..16).map(zone).collect();
    let known = Known {
        zones: wish.applied_to(&zones).expect("it keeps the rules"),
        drawn: true,
        sensitivity: 5,
    };
    assert!(super::zones(&known, true).len() < 32 * 1024);
}

#[test]
fn who_wants_to_talk_says_so_and_is_told_who_does() {
    let talk = |on, wait| Ok(FromViewer::Talk { on, wait });
    for (text, wanted) in [
        (r#"{"type":"talk","on":true,"wait":true}"#, talk(true, true)),
        (r#"{"type":"talk","on":true}"#, talk(true, false)),
        (r#"{"type":"talk","on":false,"wait":7}"#, talk(false, false)),
        (r#"{"type":"talk"}"#, Err(MessageError::Talk)),
    ] {
        assert_eq!(parse(text.as_bytes()), wanted, "{text}");
    }
    let nobody = FloorWords {
        may: true,
        place: Place::Listens,
        talks: None,
        why: None,
        speaker: None,
    };
    let read = |words: &FloorWords| -> Value { serde_json::from_str(&floor(words)).expect("JSON") };
    let free = json!({"type": "floor", "may": true, "you": "listens"});
    assert_eq!(read(&nobody), free);
    let name = "A".repeat(10_000);
    let lost = FloorWords {
        may: false,
        place: Place::Waits,
        talks: Some(name.as_str().into()),
        why: Some(Reason::fixed(Code::FloorSilent, "silent")),
        speaker: Some(Reason::fixed(Code::SpeakerLost, "gone")),
    };
    let told = read(&lost);
    assert_eq!(told["why"], "floor-silent");
    assert_eq!(
        told["speaker"],
        json!({"why": "speaker-lost", "text": "gone"})
    );
    assert_eq!(
        (&told["you"], &told["text"]),
        (&json!("waits"), &json!("silent"))
    );
    assert!(
        told["talks"]
            .as_str()
            .is_some_and(|name| name.len() == MAX_WORDS)
    );
}
