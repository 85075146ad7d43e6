//! The user list in a room full of strangers with long names, who change them all the
//! time.

use super::*;

/// The user lists that have gone to one.
fn lists_to(chat: &mut Chat, to: ConnectionId) -> Vec<Value> {
    let outputs = chat.outputs().into_iter();
    let lists = outputs.filter_map(|output| match output {
        Output::List { to: reader, text } if reader == to => serde_json::from_str(&text).ok(),
        _ => None,
    });
    lists.collect()
}

/// 250 devices of as many addresses with the longest names.
fn crowd(chat: &mut Chat) -> Vec<ConnectionId> {
    (0..250_u32)
        .map(|i| {
            let conn = chat.join(Source::of([198, 51, 100, i as u8].into()));
            chat.claim_with(conn, &long(i), json!({"device": true}));
            chat.now += Duration::from_millis(200);
            chat.outputs();
            conn
        })
        .collect()
}

fn long(number: u32) -> String {
    let letter = char::from_u32(0x1_0400 + number % 1_000).expect("a letter");
    letter.to_string().repeat(58) + &number.to_string()
}

fn has(list: &Value, name: &str) -> bool {
    list["devices"]
        .as_array()
        .is_some_and(|all| all.contains(&json!(name)))
}

#[test]
fn a_newcomer_has_the_list_at_once_and_all_see_a_camera_in_two_seconds() {
    let mut chat = Chat::new();
    let viewer = chat.user_of(source(1), "viewer");
    let crowd = crowd(&mut chat);
    let (mut bytes, begun) = (0, chat.now);
    let mut number = 1_000;
    // They rename, half of them a second; time goes in tenths.
    let mut tenth = |chat: &mut Chat| {
        for each in 0..12 {
            number += 1;
            let who = crowd[(number as usize + each) % crowd.len()];
            chat.claim_with(who, &long(number), json!({"device": true}));
        }
        chat.pass(Duration::from_millis(100));
        let outputs = chat.outputs();
        let lists = outputs.iter().filter_map(|output| match output {
            Output::List { text, .. } => Some(text.len()),
            _ => None,
        });
        bytes += lists.sum::<usize>();
        outputs
    };
    for _ in 0..50 {
        tenth(&mut chat);
    }
    for i in 0..10 {
        let name = format!("camera {i}");
        let camera = chat.join(source(2));
        assert_eq!(lists_to(&mut chat, camera).len(), 1, "it has just come");
        chat.claim_with(camera, &name, json!({"device": true}));
        let lists = lists_to(&mut chat, camera);
        assert!(lists.iter().any(|list| has(list, &name)), "it has a name");
        let mut seen = None;
        for waited in 1..=20 {
            let outputs = tenth(&mut chat);
            let sees = outputs.iter().any(|output| match output {
                Output::List { to, text } => {
                    *to == viewer && has(&serde_json::from_str(text).unwrap(), &name)
                }
                _ => false,
            });
            if sees {
                seen = Some(waited);
                break;
            }
        }
        assert!(seen.is_some(), "{name} is not seen in two seconds");
        chat.room.leave(camera, chat.now);
        chat.outputs();
    }
    let time = (chat.now - begun).as_secs_f64();
    assert!((bytes as f64) < (time + 1.0) * 5e6, "{bytes} in {time} s");
}

#[test]
fn who_comes_and_goes_without_end_keeps_nobody_from_their_first_list() {
    let mut chat = Chat::new();
    crowd(&mut chat);
    for round in 0..200 {
        for _ in 0..20 {
            let conn = chat.join(source(1));
            chat.room.leave(conn, chat.now);
        }
        chat.pass(Duration::from_millis(10));
        chat.outputs();
        if round % 20 == 0 {
            let alice = chat.join(source(2));
            let mut lists = lists_to(&mut chat, alice);
            for _ in 0..10 {
                chat.pass(Duration::from_millis(10));
                lists.extend(lists_to(&mut chat, alice));
            }
            assert_eq!(lists.len(), 1, "round {round}");
            chat.leave(alice);
        }
    }
}
