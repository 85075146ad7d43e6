//! Whose a name is, and what a claim of one costs.

use super::*;

/// A device that comes and shows this key.
fn returns(chat: &mut Chat, from: Source, name: &str, key: &str) -> ConnectionId {
    let conn = chat.join(from);
    chat.claim_with(conn, name, json!({"device": true, "key": key}));
    conn
}

#[test]
fn a_camera_has_its_name_back_from_one_of_its_own_address() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    let key = chat.key_of(camera);
    chat.leave(camera);
    // Behind the same router, while the camera's link blinks.
    let eve = chat.device_of(source(1), "camera");
    assert_eq!(chat.name_of(eve).as_deref(), Some("camera"));
    let eves = chat.key_of(eve);
    let camera = returns(&mut chat, source(1), "camera", &key);
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    assert_eq!(chat.closed(), [eve]);
    // What was taken so is nobody's right to the name.
    let eve = returns(&mut chat, source(1), "camera", &eves);
    assert_eq!(chat.name_of(eve).as_deref(), Some("camera1"));
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
}

#[test]
fn who_took_a_name_and_left_again_does_not_have_it_for_good() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    let key = chat.key_of(camera);
    chat.leave(camera);
    let mut eves = String::new();
    for _ in 0..10 {
        let eve = chat.device_of(source(1), "camera");
        eves = chat.key_of(eve);
        chat.leave(eve);
        let eve = returns(&mut chat, source(1), "camera", &eves);
        eves = chat.key_of(eve);
        chat.leave(eve);
    }
    let camera = returns(&mut chat, source(7), "camera", &key);
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    let eve = returns(&mut chat, source(7), "camera", &eves);
    assert_ne!(chat.name_of(eve).as_deref(), Some("camera"));
    assert!(chat.name_of(camera).is_some());
}

/// It has forgotten its key, and then the link blinks, at another address.
#[test]
fn a_camera_that_was_restarted_keeps_its_name() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), "camera");
    chat.leave(camera);
    let camera = chat.device_of(source(1), "camera");
    chat.claim_with(camera, "camera", json!({"device": true}));
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    let key = chat.key_of(camera);
    chat.leave(camera);
    let camera = returns(&mut chat, source(2), "camera", &key);
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    chat.pass(Duration::from_secs(5));
    chat.claim_with(camera, "camera", json!({"device": true}));
    assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
}

#[test]
fn names_of_many_addresses_push_out_no_camera_s() {
    for stays in [0, 100] {
        let mut chat = Chat::new();
        let camera = chat.device_of(source(1), "camera");
        chat.pass(Duration::from_secs(120));
        let key = chat.key_of(camera);
        chat.leave(camera);
        let crowd: Vec<_> = (0..256)
            .map(|i| {
                let conn = chat.join(Source::of([198, 51, 100, (i / 4) as u8].into()));
                chat.claim_with(conn, &format!("eve {i}"), json!({"device": true}));
                conn
            })
            .collect();
        chat.pass(Duration::from_secs(stays));
        for eve in crowd {
            chat.room.leave(eve, chat.now);
        }
        chat.outputs();
        let eve = chat.device_of(source(3), "camera");
        assert_eq!(chat.name_of(eve).as_deref(), Some("camera1"));
        let camera = returns(&mut chat, source(9), "camera", &key);
        assert_eq!(chat.name_of(camera).as_deref(), Some("camera"));
    }
}

#[test]
fn a_crowd_under_one_name_is_numbered_at_random() {
    let mut chat = Chat::new();
    let all: Vec<_> = (0..60).map(|_| chat.user_of(source(1), "camera")).collect();
    let mut names: Vec<_> = all.iter().filter_map(|c| chat.name_of(*c)).collect();
    let numbers = |name: &String| name["camera".len()..].len();
    assert_eq!(names.iter().filter(|name| numbers(name) <= 1).count(), 9);
    assert_eq!(names.iter().filter(|name| numbers(name) == 6).count(), 51);
    names.dedup();
    assert_eq!(names.len(), 60);
}

#[test]
fn long_names_of_one_source_shorten_no_other_s() {
    let mut chat = Chat::new();
    for i in 0..40_u32 {
        let conn = chat.join(source(1));
        let letter = char::from_u32(0x1_0400 + i).expect("a letter");
        chat.claim_with(conn, &letter.to_string().repeat(60), json!({}));
    }
    let long = "Überwachungskamera Haupteingang Nord";
    let camera = chat.device_of(source(2), long);
    assert_eq!(chat.name_of(camera).as_deref(), Some(long));
}

#[test]
fn a_room_with_long_names_gives_short_ones() {
    let mut chat = Chat::new();
    let camera = chat.device_of(source(1), &format!("camera {}", "ü".repeat(57)));
    let long = chat.name_of(camera).expect("a name");
    let key = chat.key_of(camera);
    chat.leave(camera);
    for i in 0..200_u32 {
        let from = Source::of([198, 51, 100, i as u8].into());
        let conn = chat.join(from);
        let letter = char::from_u32(0x1_0400 + i).expect("a letter");
        chat.claim_with(
            conn,
            &letter.to_string().repeat(60),
            json!({"device": true}),
        );
    }
    chat.outputs();
    let bytes: usize = chat.room.names().map(|(_, name)| name.as_str().len()).sum();
    assert!(bytes <= 12 * 1024 + 200 * 40, "{bytes} bytes of names");
    // Who is back has their own.
    let camera = returns(&mut chat, source(5), &long, &key);
    assert_eq!(chat.name_of(camera).as_deref(), Some(long.as_str()));
    let alice = chat.user_of(source(6), "alice");
    assert_eq!(chat.name_of(alice).as_deref(), Some("alice"));
}
