//! Who gets in where all places are taken, by what network they come from.

use super::*;

/// A /64: `subnet` of the /48 that is `wide`.
fn network(wide: u16, subnet: u16) -> Source {
    Source::of([0x2001, 0xdb8, wide, subnet, 0, 0, 0, 1].into())
}

/// The room is full of named people of one /48, each of a /64 of their own.
fn full(places: u16, subnets: impl Fn(u16) -> u16) -> Chat {
    let mut chat = Chat::with(Limits {
        connections: places.into(),
        ..Limits::default()
    });
    for n in 0..places {
        chat.user_of(network(7, subnets(n)), &format!("m{n}"));
    }
    chat
}

fn closed(outputs: &[Output]) -> usize {
    let is_close = |output: &&Output| matches!(output, Output::Close { .. });
    outputs.iter().filter(is_close).count()
}

#[test]
fn one_ipv6_subscriber_keeps_nobody_out() {
    // A /56 has 256 of the networks that were counted; a /48 has them all.
    for subnets in [|n| n, |n| n << 8, |n| n << 4] {
        let mut chat = full(64, subnets);
        for newcomer in [network(9, 1), source(1)] {
            assert!(chat.room.join(newcomer, chat.now).is_ok());
            assert_eq!(closed(&chat.outputs()), 1);
        }
    }
}

/// A provider gives a /64 to each phone, and a /56 to who has a line.
#[test]
fn within_a_wide_network_who_has_most_of_it_gives_way() {
    let mut chat = full(32, |n| 0x100 + n);
    // A /56 of the same /48.
    let mut enter = |source, name: &str| {
        let conn = chat.join(source);
        chat.claim(conn, name);
        assert_eq!(closed(&chat.outputs()), 1);
        conn
    };
    let phone = enter(network(7, 0x201), "phone");
    for n in 0..8 {
        enter(source(n), &format!("bob{n}"));
    }
    assert!(chat.room.names().any(|(conn, _)| conn == phone));
}

#[test]
fn networks_that_have_the_same_share_keep_it() {
    let mut chat = full(2, |n| n);
    assert!(chat.room.join(network(9, 1), chat.now).is_ok());
    chat.outputs();
    // One each.
    assert_eq!(
        chat.room.join(network(11, 1), chat.now),
        Err(RoomFull(2)),
        "nobody is sent away in turn"
    );
}

/// Each of a network of their own, with a name.
fn crowd(chat: &mut Chat, count: u8) -> Vec<ConnectionId> {
    let names = (0..count).map(|n| (source(100 + n), format!("m{n}")));
    names.map(|(of, name)| chat.user_of(of, &name)).collect()
}

fn small(connections: usize) -> Chat {
    Chat::with(Limits {
        connections,
        reserve: 2,
        ..Limits::default()
    })
}

/// A call that a device has answered.
fn calls(chat: &mut Chat, conn: ConnectionId, (device, camera): (ConnectionId, &str)) {
    chat.receive(conn, offer(camera));
    let name = chat.name_of(conn).expect("a name");
    let sdp = json!({"type": "answer", "sdp": "v=0"});
    chat.receive(
        device,
        json!({"type": "video-answer", "target": name, "sdp": sdp}),
    );
    chat.outputs();
}

/// Two hundred and fifty-six networks that said nothing kept everybody out for ever.
#[test]
fn in_a_full_room_who_does_nothing_makes_room_and_who_has_a_call_does_not() {
    let mut chat = small(7);
    let camera = (chat.device_of(source(1), "camera"), "camera");
    let viewer = chat.user_of(source(2), "viewer");
    calls(&mut chat, viewer, camera);
    let many = crowd(&mut chat, 5);
    chat.pass(Duration::from_secs(30));
    // It is read by somebody, and that by nobody.
    chat.receive(many[0], json!({"type": "x", "target": "m1"}));
    for (n, conn) in many.iter().enumerate().skip(2) {
        chat.receive(*conn, json!({"type": "x", "target": "nobody"}));
        chat.receive(*conn, json!({"type": "x", "target": format!("m{n}")}));
    }
    chat.outputs();
    assert!(chat.room.join(source(3), chat.now).is_err(), "too early");
    chat.pass(Duration::from_secs(32));
    chat.outputs();
    for (n, gone) in (3..6).zip(&many[2..]) {
        let newcomer = chat.join(source(n));
        assert_eq!(chat.closed(), [*gone]);
        chat.claim(newcomer, &format!("n{n}"));
        chat.outputs();
    }
    chat.pass(Duration::from_secs(10));
    assert!(chat.room.join(source(20), chat.now).is_err());
    // A call that is over keeps nobody.
    chat.receive(camera.0, json!({"type": "hang-up", "target": "viewer"}));
    chat.pass(Duration::from_secs(61));
    for n in [0, 1] {
        chat.receive(many[n], json!({"type": "message", "text": "here"}));
    }
    chat.outputs();
    assert!(chat.room.join(source(20), chat.now).is_ok());
    assert_ne!(chat.closed(), [many[0]]);
}

/// Pages come back when they are closed: one more than there are places sent all of them
/// round, four a second.
#[test]
fn one_page_more_than_there_are_places_does_not_send_the_others_round() {
    let mut chat = small(12);
    let mut quiet: Vec<_> = (0..12).zip(crowd(&mut chat, 12)).collect();
    chat.pass(Duration::from_secs(61));
    chat.outputs();
    let (mut outside, mut closed) = (vec![20], 0);
    for _ in 0..240 {
        chat.pass(Duration::from_millis(250));
        chat.outputs();
        for n in std::mem::take(&mut outside) {
            let Ok(conn) = chat.room.join(source(100 + n), chat.now) else {
                outside.push(n);
                continue;
            };
            for gone in chat.closed() {
                let at = quiet.iter().position(|(_, conn)| *conn == gone);
                outside.push(quiet.remove(at.expect("one of them")).0);
                closed += 1;
            }
            chat.claim(conn, &format!("m{n}"));
            quiet.push((n, conn));
        }
    }
    // Three at once, and one in ten seconds.
    assert!((3..=9).contains(&closed), "{closed}");
}

/// They write to each other, so none of them is quiet.
#[test]
fn a_crowd_that_talks_and_calls_nobody_makes_room_after_ten_minutes() {
    let mut chat = small(12);
    let camera = (chat.device_of(source(1), "camera"), "camera");
    let viewer = chat.user_of(source(2), "viewer");
    calls(&mut chat, viewer, camera);
    let many = crowd(&mut chat, 10);
    for _ in 0..20 {
        chat.pass(Duration::from_secs(30));
        for (n, conn) in many.iter().enumerate() {
            let target = format!("m{}", (n + 1) % 10);
            chat.receive(*conn, json!({"type": "x", "target": target}));
        }
        chat.outputs();
    }
    let newcomer = chat.join(source(3));
    let closed = chat.closed();
    assert!(closed.len() == 1 && many.contains(&closed[0]), "{closed:?}");
    chat.claim(newcomer, "newcomer");
    assert!(chat.name_of(viewer).is_some() && chat.name_of(camera.0).is_some());
}

/// Anybody can say that they are a device, and devices were never sent away.
#[test]
fn a_room_full_of_devices_that_nobody_calls_takes_people() {
    let mut chat = small(8);
    let camera = (chat.device_of(source(1), "camera"), "camera");
    let viewer = chat.user_of(source(2), "viewer");
    calls(&mut chat, viewer, camera);
    let of_many: Vec<_> = (0..6)
        .map(|n| {
            chat.device_of(
                source(100 + n),
                &format!("kitchen {}", "abcdef".chars().nth(n.into()).unwrap()),
            )
        })
        .collect();
    let newcomer = chat.join(source(3));
    assert_eq!(chat.closed(), [of_many[5]]);
    chat.claim(newcomer, "newcomer");
    chat.outputs();
    assert!(
        chat.room.join(source(4), chat.now).is_err(),
        "devices keep three quarters"
    );
    assert!(chat.name_of(camera.0).is_some());
}

/// Somebody who watched, and whose network was away for a moment.
#[test]
fn a_viewer_comes_back_to_a_full_room() {
    let mut chat = small(12);
    let camera = (chat.device_of(source(1), "camera"), "camera");
    let viewer = chat.user_of(source(2), "viewer");
    calls(&mut chat, viewer, camera);
    let passing = chat.user_of(source(3), "passing");
    chat.pass(Duration::from_secs(60));
    chat.leave(viewer);
    chat.leave(passing);
    crowd(&mut chat, 11);
    assert!(chat.room.join(source(3), chat.now).is_err());
    assert!(chat.room.join(source(2), chat.now).is_ok());
    assert!(chat.room.join(source(2), chat.now).is_err(), "once");
    // The other half of what is kept is for devices.
    chat.leave(camera.0);
    assert!(chat.room.join(source(1), chat.now).is_ok());
}

/// Fills the room but for `people`, and lets all of them be quiet for long.
fn all_quiet(chat: &mut Chat, people: u8) {
    crowd(chat, 12 - people);
    chat.pass(Duration::from_secs(61));
    chat.outputs();
}

/// The device's network was away for a moment. Media went on, and the call was taken for over.
#[test]
fn a_call_is_one_while_its_device_may_come_back() {
    for is_back in [true, false] {
        let mut chat = small(12);
        let camera = (chat.device_of(source(1), "camera"), "camera");
        let viewer = chat.user_of(source(2), "viewer");
        calls(&mut chat, viewer, camera);
        all_quiet(&mut chat, 2);
        let key = chat.key_of(camera.0);
        chat.leave(camera.0);
        let back = chat.join(source(5));
        let more = if is_back {
            json!({"device": true, "key": key})
        } else {
            json!({})
        };
        chat.claim_with(back, "camera", more);
        chat.outputs();
        for n in 0..3 {
            let newcomer = chat.join(source(10 + n));
            chat.claim(newcomer, &format!("n{n}"));
            let closed = chat.closed();
            assert!(closed.len() == 1 && closed[0] != viewer, "{closed:?}");
        }
        // Where it does not come back, the call is over with the grace.
        chat.pass(Duration::from_secs(300));
        chat.outputs();
        chat.join(source(20));
        assert_eq!(chat.closed() == [viewer], !is_back);
        if is_back {
            chat.receive(back, json!({"type": "hang-up", "target": "viewer"}));
            chat.pass(Duration::from_secs(61));
            assert!(chat.room.clients[&viewer].calls.is_empty());
        }
    }
}

/// Their page's WebSocket was replaced: what they had was gone with the old one.
#[test]
fn a_viewer_who_comes_back_by_key_has_their_call() {
    let mut chat = small(12);
    let camera = (chat.device_of(source(1), "camera"), "camera");
    let viewer = chat.user_of(source(2), "viewer");
    calls(&mut chat, viewer, camera);
    let key = chat.key_of(viewer);
    let back = chat.join(source(3));
    chat.claim_with(back, "viewer", json!({"key": key}));
    assert_eq!(chat.closed(), [viewer]);
    all_quiet(&mut chat, 2);
    chat.join(source(10));
    let closed = chat.closed();
    assert!(closed.len() == 1 && closed[0] != back, "{closed:?}");
    assert!(chat.room.clients[&back].is_viewer);
    // The name alone is not the key of it.
    let other = chat.join(source(4));
    chat.claim(other, "viewer");
    assert!(chat.room.clients[&other].calls.is_empty());
}

/// One subscriber has 65,536 networks of the usual size.
#[test]
fn who_was_a_viewer_is_not_forgotten_for_those_of_one_network() {
    let mut chat = small(100);
    let camera = (chat.device_of(source(1), "camera"), "camera");
    let viewer = chat.user_of(source(2), "viewer");
    calls(&mut chat, viewer, camera);
    let many = (0..64).map(|n| chat.user_of(network(7, n), &format!("m{n}")));
    let many: Vec<_> = many.collect();
    for conn in &many {
        calls(&mut chat, *conn, camera);
    }
    chat.pass(Duration::from_secs(61));
    chat.leave(viewer);
    for conn in many {
        chat.leave(conn);
    }
    assert!(chat.room.reserved.knows_viewer(source(2)));
    assert!(chat.room.reserved.knows_viewer(network(7, 63)));
    assert!(!chat.room.reserved.knows_viewer(network(7, 0)));
}

/// A device is fair by networks, too, and is told of none.
#[test]
fn a_device_is_told_what_stands_for_the_network() {
    let mut chat = Chat::new();
    let device = chat.device_of(source(1), "camera");
    let mut said = |source, name| {
        let conn = chat.user_of(source, name);
        chat.receive(conn, json!({"type": "x", "target": "camera", "network": 7}));
        let (to, frame) = chat.sent().pop().expect("relayed");
        assert_eq!(to, device);
        (frame["source"].clone(), frame["network"].clone())
    };
    let [a, b, c] = [network(7, 1), network(7, 0x200), network(9, 1)].map(|of| said(of, "bob"));
    assert!(a.0 != b.0 && a.1 == b.1 && a.1 != a.0 && a.1.is_u64());
    assert!(c.1 != a.1);
    let v4 = said(source(2), "carl");
    assert!(v4.0.is_u64() && v4.1.is_null(), "{v4:?}");
}
