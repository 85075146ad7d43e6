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
