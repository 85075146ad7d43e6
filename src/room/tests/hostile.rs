//! Crowds, floods and names that are meant to be taken for others.

use std::collections::HashSet;

use super::*;

#[test]
fn lists_are_one_for_all_and_at_most_five_a_second() {
    let mut chat = Chat::new();
    let all: Vec<_> = (0..50)
        .map(|i| chat.user_of(source(i), &format!("user {i}")))
        .collect();
    chat.outputs();
    let (mut bytes, mut flushes) = (0, 0);
    for i in 0..1000 {
        let conn = all[i % 50];
        chat.claim(conn, &format!("other {i}"));
        chat.pass(Duration::from_millis(10));
        let lists: Vec<_> = chat
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::List { to, text } => Some((to, text)),
                _ => None,
            })
            .collect();
        if !lists.is_empty() {
            flushes += 1;
            let readers: HashSet<_> = lists.iter().map(|(to, _)| *to).collect();
            assert_eq!(readers.len(), 50);
            assert!(lists.iter().all(|(_, text)| Arc::ptr_eq(text, &lists[0].1)));
        }
        bytes += lists.iter().map(|(_, text)| text.len()).sum::<usize>();
    }
    assert!((20..=51).contains(&flushes), "{flushes} in 10 s");
    assert!(bytes < 11_000_000, "{bytes}");
    // And all know in the end.
    let names: Vec<_> = chat
        .room
        .names()
        .map(|(_, name)| name.to_string())
        .collect();
    chat.claim(all[0], "last");
    let sent = chat.sent();
    let lists: Vec<_> = sent
        .iter()
        .filter(|(_, frame)| frame["type"] == "userlist")
        .collect();
    assert_eq!(lists.len(), 50);
    assert_eq!(names.len(), 50);
}

#[test]
fn who_renames_without_end_is_not_heard() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    let bob = chat.user("bob");
    let mut names = HashSet::new();
    for i in 0..400 {
        chat.claim(eve, &format!("eve {i}"));
        names.extend(chat.name_of(eve));
        chat.pass(Duration::from_millis(25));
    }
    assert!(names.len() < 20, "{}", names.len());
    assert!(chat.name_of(bob).is_some());
}

#[test]
fn a_connection_without_a_name_is_closed_and_one_with_a_name_is_not() {
    let mut chat = Chat::new();
    let bob = chat.user("bob");
    let idle = chat.join(source(2));
    chat.outputs();
    let due = chat
        .room
        .poll_timeout(chat.now)
        .expect("something to wait for");
    assert!(due <= chat.now + Limits::default().nameless);
    chat.pass(Limits::default().nameless);
    assert_eq!(chat.closed(), [idle]);
    chat.pass(Duration::from_secs(3600));
    assert_eq!(chat.closed(), []);
    assert_eq!(chat.name_of(bob).as_deref(), Some("bob"));
}

#[test]
fn one_source_with_many_connections_keeps_no_other_out() {
    let limits = Limits {
        connections: 40,
        per_source: 100,
        ..Limits::default()
    };
    let mut chat = Chat::with(limits);
    let camera = chat.device_of(source(9), "camera");
    let alice = chat.user_of(source(8), "alice");
    for i in 0..38 {
        chat.user_of(source(1), &format!("eve {i}"));
    }
    for i in 10..40 {
        // Also while places that were freed are taken again.
        let _ = chat.room.join(source(1), chat.now);
        let newcomer = chat.room.join(source(i), chat.now).expect("a place");
        chat.claim(newcomer, &format!("visitor {i}"));
        chat.closed();
        assert!(chat.name_of(newcomer).is_some());
    }
    assert!(chat.name_of(camera).is_some() && chat.name_of(alice).is_some());
    assert_eq!(chat.room.len(), 40);
}

#[test]
fn a_source_has_a_limit_and_its_idle_give_way() {
    let limits = Limits {
        per_source: 3,
        ..Limits::default()
    };
    let mut chat = Chat::with(limits);
    let camera = chat.device_of(source(1), "camera");
    let alice = chat.user_of(source(1), "alice");
    let bob = chat.user_of(source(1), "bob");
    assert!(chat.room.join(source(1), chat.now).is_err());
    assert!(chat.room.join(source(2), chat.now).is_ok());
    chat.now += Duration::from_secs(61);
    chat.receive(bob, json!({"type": "message", "text": "here"}));
    chat.outputs();
    assert!(chat.room.join(source(1), chat.now).is_ok());
    assert_eq!(chat.closed(), [alice]);
    assert!(chat.name_of(camera).is_some());
}

#[test]
fn a_camera_comes_back_where_the_room_is_full_of_single_strangers() {
    let limits = Limits {
        connections: 20,
        ..Limits::default()
    };
    let mut chat = Chat::with(limits);
    let camera = chat.device_of(source(1), "camera");
    chat.pass(Duration::from_secs(100));
    chat.leave(camera);
    for i in 100..120 {
        chat.user_of(source(i), &format!("stranger {i}"));
    }
    assert!(
        chat.room.join(source(99), chat.now).is_err(),
        "one of the many"
    );
    let camera = chat.device_of(source(1), "camera");
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
}

#[test]
fn a_name_that_looks_like_another_is_not_given() {
    let mut chat = Chat::new();
    chat.device_of(source(1), "camera");
    chat.user_of(source(2), "bob");
    let eve = chat.user_of(source(3), "eve");
    for wish in [
        "cаmera",
        "camera\u{FE0F}",
        "cam\u{E0061}era",
        "camera\u{3164}",
        "c\u{034F}amera",
        "Camera",
        "carnera",
        "ｃamera",
        "camera.",
        "cam era",
        "bоb",
        "BOB",
        "b\u{2060}ob",
    ] {
        chat.claim(eve, wish);
        chat.pass(Duration::from_secs(5));
        let name = chat.name_of(eve).expect("a name");
        assert!(
            name.ends_with(|c: char| c.is_ascii_digit()),
            "{wish:?} became {name:?}"
        );
    }
    for wish in ["rob", "camera two", "Zoë", "กล้อง"] {
        chat.claim(eve, wish);
        chat.pass(Duration::from_secs(5));
        assert_eq!(chat.name_of(eve).as_deref(), Some(wish));
    }
}

#[test]
fn a_device_stays_a_device_and_its_name_stays_its_own() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    chat.claim(camera, "camera");
    let list = chat.sent().pop().expect("a list").1;
    assert_eq!(
        list["devices"],
        json!(["camera"]),
        "it is not one of the people now"
    );
    let key = chat.key_of(camera);
    chat.leave(camera);

    // While it is away, nobody is it: no person, no device from elsewhere.
    let eve = chat.user_of(source(2), "camera");
    assert_eq!(chat.name_of(eve).as_deref(), Some("camera1"));
    let mallory = chat.device_of(source(2), "camera");
    assert_eq!(chat.name_of(mallory).as_deref(), Some("camera2"));
    chat.claim_with(
        mallory,
        "camera",
        json!({"device": true, "key": chat.key_of(eve)}),
    );
    chat.claim_with(mallory, "camera", json!({"device": true, "key": "00"}));
    chat.claim_with(
        mallory,
        "camera",
        json!({"device": true, "key": "é".repeat(20)}),
    );
    assert_eq!(chat.name_of(mallory).as_deref(), Some("camera2"));
    // A person of its own household neither.
    let bob = chat.user_of(source(1), "camera");
    assert_eq!(chat.name_of(bob).as_deref(), Some("camera3"));

    // It comes back, from wherever.
    let camera = chat.join(source(5));
    chat.claim_with(camera, "camera", json!({"device": true, "key": key}));
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    chat.leave(camera);
    // Or from where it was, without a key.
    let camera = chat.device_of(source(5), "camera");
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    chat.leave(camera);
    // In the end the name is free.
    chat.pass(Limits::default().device_grace);
    chat.claim(eve, "camera");
    assert_eq!(chat.name_of(eve).as_deref(), Some("camera"));
}

#[test]
fn who_says_that_they_are_a_device_comes_near_to_none_of_another_household() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    let named = |chat: &mut Chat, from, wish: &str| {
        let conn = chat.device_of(source(from), wish);
        let name = chat.name_of(conn).expect("a name");
        chat.leave(conn);
        name
    };
    for wish in ["camera.", "camera\u{323}", "cam era", "Caméra"] {
        assert_ne!(named(&mut chat, 2, wish), wish);
        assert_eq!(named(&mut chat, 1, wish), wish);
        chat.pass(Limits::default().device_grace);
    }
    // Nor while it is away.
    chat.leave(camera);
    assert_ne!(named(&mut chat, 3, "camera."), "camera.");
}

#[test]
fn a_client_that_connects_again_has_its_name_at_once() {
    let mut chat = Chat::new();
    let old = chat.device_of(source(1), "camera");
    let new = chat.join(source(2));
    chat.claim_with(
        new,
        "camera",
        json!({"device": true, "key": chat.key_of(old)}),
    );
    assert_eq!(chat.closed(), [old]);
    assert_eq!(chat.name_of(new).as_deref(), Some("camera"));
    // But a person with a device's key is none.
    let eve = chat.join(source(3));
    chat.claim_with(eve, "camera", json!({"key": chat.key_of(new)}));
    assert_eq!(chat.name_of(eve).as_deref(), Some("camera1"));
    assert_eq!(chat.name_of(new).as_deref(), Some("camera"));
}

#[test]
fn who_wants_it_is_told_from_which_connection_a_frame_came() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    let page = chat.join(source(1));
    chat.claim_with(page, "page", json!({"stamped": true}));
    let plain = chat.user("plain");
    chat.sent();
    let mut frame = offer("camera");
    frame["conn"] = json!(7);
    chat.receive(plain, frame.clone());
    assert_eq!(chat.sent()[0].1["conn"], plain.number());
    frame["target"] = json!("plain");
    chat.receive(page, frame);
    assert_eq!(
        chat.sent()[0].1.get("conn"),
        None,
        "what the sender wrote is gone"
    );
    chat.receive(page, json!({"type": "hang-up", "target": null}));
    for (to, frame) in chat.sent() {
        let told = frame.get("conn").and_then(Value::as_u64);
        let wants = to == camera || to == page;
        assert_eq!(told, wants.then_some(page.number()));
    }
}

#[test]
fn a_camera_that_answers_junk_is_not_closed_and_its_sender_is() {
    let mut chat = Chat::new();
    chat.device_of(source(1), "camera");
    let camera = chat.room.names().next().expect("the camera").0;
    let junk = "v=0".to_owned() + &"x".repeat(60_000);
    let reason = "no ".repeat(15_000);
    let mut eve = chat.user_of(source(2), "eve");
    let mut closed = 0;
    let mut heard = 0;
    for _ in 0..600 {
        chat.receive(
            eve,
            json!({"type": "video-offer", "target": "camera", "sdp": {"sdp": junk}}),
        );
        let mut outputs = chat.outputs();
        if let Some(Output::Relay { to, .. }) = outputs.pop() {
            assert_eq!(to, camera);
            heard += 1;
            chat.receive(
                camera,
                json!({"type": "hang-up", "target": "eve", "reason": reason}),
            );
            let answered = chat.outputs().into_iter().any(|output| match output {
                Output::Relay { text, .. } => {
                    assert!(text.len() < 1000);
                    true
                }
                Output::Close { conn, .. } => panic!("{conn} is closed"),
                _ => false,
            });
            assert!(answered);
        } else if outputs
            .iter()
            .any(|o| matches!(o, Output::Close { conn, .. } if *conn == eve))
        {
            closed += 1;
            eve = chat.user_of(source(2), "eve");
        }
        chat.pass(Duration::from_millis(100));
        chat.outputs();
    }
    assert!(closed > 0 && heard > 10, "{closed} {heard}");
    assert!(chat.name_of(camera).is_some());
}

#[test]
fn what_is_no_call_does_not_reach_a_device() {
    let mut chat = Chat::new();
    chat.device_of(source(1), "camera");
    let eve = chat.user("eve");
    for frame in [
        json!({"type": "video-offer", "target": "camera"}),
        json!({"type": "video-offer", "target": "camera", "sdp": "v=0"}),
        json!({"type": "video-offer", "target": "camera", "sdp": {"sdp": "x"}}),
        json!({"type": "video-offer", "target": null, "sdp": {"sdp": "v=0"}}),
        json!({"type": "new-ice-candidate", "candidate": {}}),
    ] {
        chat.receive(eve, frame);
        assert_eq!(chat.sent(), []);
    }
    let odd = json!({"type": "video-offer", "target": "camera",
        "sdp": {"type": "offer", "sdp": "\u{FEFF}\r\nv=0"}});
    chat.receive(eve, odd);
    assert_eq!(chat.outputs().len(), 1, "an SDP behind a byte order mark");
    let relayed = (0..300)
        .filter(|_| {
            chat.receive(eve, offer("camera"));
            chat.outputs()
                .iter()
                .any(|o| matches!(o, Output::Relay { .. }))
        })
        .count();
    assert!((20..=40).contains(&relayed), "{relayed} calls at once");
}

#[test]
fn who_sends_more_than_is_read_pays_for_it() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    let slow = chat.user("slow");
    for _ in 0..1000 {
        chat.room.undelivered(eve, slow, chat.now);
    }
    assert_eq!(chat.closed(), [eve]);
}

#[test]
fn a_camera_does_not_pay_for_answers_to_a_caller_who_does_not_read() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    let eve = chat.user_of(source(2), "eve");
    chat.receive(eve, offer("camera"));
    chat.outputs();
    for _ in 0..1000 {
        chat.room.undelivered(camera, eve, chat.now);
    }
    assert_eq!(chat.closed(), []);
    assert!(chat.name_of(camera).is_some());
}

/// Numbers and names may be written longer than they came.
#[test]
fn a_frame_costs_what_goes_out_of_it() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    chat.user("slow");
    let send = |chat: &mut Chat, numbers: usize| {
        let numbers = vec!["1e15"; numbers].join(",");
        let text = format!(r#"{{"type":"x","target":"slow","numbers":[{numbers}]}}"#);
        assert!(text.len() < MAX_FRAME_BYTES);
        chat.room.receive(eve, &text, chat.now);
        chat.outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Relay { text, .. } => Some(text.len()),
                _ => None,
            })
            .sum::<usize>()
    };
    assert_eq!(send(&mut chat, 12_000), 0, "four times a frame's size");
    chat.pass(Duration::from_secs(60));
    chat.outputs();
    let sent: usize = (0..400).map(|_| send(&mut chat, 3_000)).sum();
    let paid = Limits::default().burst as usize * 2048;
    assert!(sent > 0 && sent <= paid, "{sent} bytes for {paid}");
}
