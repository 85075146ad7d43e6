use std::time::Duration;

use super::*;

struct Chat {
    room: Room,
    now: Instant,
}

impl Chat {
    fn new() -> Self {
        Self {
            room: Room::new(1_700_000_000_000, Limits::default()),
            now: Instant::now(),
        }
    }

    /// Joins under `name` and forgets what was sent so far.
    fn user(&mut self, name: &str) -> ConnectionId {
        let conn = self.room.join(self.now).unwrap();
        self.claim(conn, name);
        self.sent();
        conn
    }

    fn claim(&mut self, conn: ConnectionId, name: &str) {
        self.receive(
            conn,
            json!({"type": "username", "name": name, "id": conn.number(), "date": 1}),
        );
    }

    fn receive(&mut self, conn: ConnectionId, frame: Value) {
        self.room.receive(conn, &frame.to_string(), self.now);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.room.next_output()).collect()
    }

    fn sent(&mut self) -> Vec<(ConnectionId, Value)> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Send { to, text } => Some((to, serde_json::from_str(&text).unwrap())),
                Output::Check { .. } => None,
                Output::Close { .. } => panic!("unexpected {output:?}"),
            })
            .collect()
    }
}

#[test]
fn a_newcomer_gets_its_id_and_the_list_then_everyone_gets_the_new_list() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    let bob = chat.room.join(chat.now).unwrap();
    assert_eq!(
        chat.sent(),
        [
            (bob, json!({"type": "id", "id": bob.number()})),
            (
                bob,
                json!({"type": "userlist", "users": ["alice"], "devices": []})
            ),
        ]
    );
    chat.receive(
        bob,
        json!({"type": "username", "name": "bob", "id": bob.number(), "device": true}),
    );
    let list = json!({"type": "userlist", "users": ["alice", "bob"], "devices": ["bob"]});
    assert_eq!(chat.sent(), [(alice, list.clone()), (bob, list)]);
    chat.room.leave(bob);
    let list = json!({"type": "userlist", "users": ["alice"], "devices": []});
    assert_eq!(chat.sent(), [(alice, list)]);
}

#[test]
fn a_taken_name_gets_a_number_and_is_told() {
    let mut chat = Chat::new();
    chat.user("cam");
    let second = chat.room.join(chat.now).unwrap();
    chat.sent();
    chat.claim(second, "cam");
    assert_eq!(
        chat.sent()[0],
        (
            second,
            json!({"type": "rejectusername", "id": second.number(), "name": "cam1"})
        )
    );
    let names: Vec<_> = chat.room.names().map(|(_, n)| n.as_str()).collect();
    assert_eq!(names, ["cam", "cam1"]);
}

#[test]
fn who_has_a_name_that_another_asks_for_is_checked_and_nobody_else() {
    let mut chat = Chat::new();
    let first = chat.user("cam");
    let second = chat.user("bob");
    let checked = |chat: &mut Chat| -> Vec<_> {
        let checks = chat
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Check { conn } => Some(conn),
                Output::Send { .. } | Output::Close { .. } => None,
            });
        checks.collect()
    };
    chat.claim(second, "cam");
    assert_eq!(checked(&mut chat), [first]);
    chat.claim(first, "cam");
    chat.claim(second, "door");
    chat.claim(second, " \u{202e}");
    assert_eq!(checked(&mut chat), []);
}

#[test]
fn claiming_the_own_name_again_keeps_it() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    chat.user("bob");
    chat.claim(alice, "alice");
    let sent = chat.sent();
    assert_eq!(sent.len(), 1, "only the list, to alice alone: {sent:?}");
    assert_eq!(sent[0].0, alice);
}

#[test]
fn a_name_that_cannot_be_used_is_replaced() {
    let mut chat = Chat::new();
    let conn = chat.room.join(chat.now).unwrap();
    chat.sent();
    chat.claim(conn, " \u{202e}");
    assert_eq!(chat.sent()[0].1["name"], "guest1");
    chat.claim(conn, "ann");
    chat.sent();
    chat.claim(conn, &"x".repeat(65));
    assert_eq!(chat.sent()[0].1["name"], "ann", "keeps the one it has");
}

#[test]
fn a_targeted_frame_reaches_the_target_alone_and_keeps_its_fields() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    let bob = chat.user("bob");
    chat.user("eve");
    chat.receive(
        alice,
        json!({"type": "video-offer", "name": "alice", "target": "bob", "sdp": {"type": "offer", "sdp": "v=0"}, "x": [1.5]}),
    );
    assert_eq!(
        chat.sent(),
        [(
            bob,
            json!({"type": "video-offer", "name": "alice", "target": "bob", "sdp": {"type": "offer", "sdp": "v=0"}, "x": [1.5]})
        )]
    );
    chat.receive(alice, json!({"type": "video-offer", "target": "nobody"}));
    assert_eq!(chat.sent(), []);
}

#[test]
fn a_frame_without_a_target_reaches_all_and_the_sender() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    let bob = chat.user("bob");
    for frame in [
        json!({"type": "hang-up", "name": "alice"}),
        json!({"type": "hang-up", "name": "alice", "target": null}),
        json!({"type": "hang-up", "name": "alice", "target": ""}),
    ] {
        chat.receive(alice, frame.clone());
        assert_eq!(chat.sent(), [(alice, frame.clone()), (bob, frame)]);
    }
}

#[test]
fn a_forged_sender_is_corrected() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    chat.user("bob");
    for kind in [
        "video-offer",
        "new-ice-candidate",
        "hang-up",
        "x",
        "message",
    ] {
        chat.receive(
            eve,
            json!({"type": kind, "name": "alice", "target": "bob", "text": ""}),
        );
        assert_eq!(chat.sent()[0].1["name"], "eve");
    }
}

#[test]
fn what_only_the_server_says_is_not_relayed() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    chat.user("bob");
    for kind in SERVER_ONLY {
        chat.receive(
            eve,
            json!({"type": kind, "name": "x", "target": "bob", "users": []}),
        );
        assert_eq!(chat.sent(), []);
    }
}

#[test]
fn nothing_of_an_unnamed_client_is_relayed() {
    let mut chat = Chat::new();
    chat.user("bob");
    let eve = chat.room.join(chat.now).unwrap();
    chat.sent();
    chat.receive(eve, json!({"type": "video-offer", "target": "bob"}));
    chat.receive(eve, json!({"type": "message", "text": "hi"}));
    assert_eq!(chat.sent(), []);
}

#[test]
fn tags_are_stripped_from_chat_lines() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    chat.receive(
        alice,
        json!({"type": "message", "text": "<b>hi</b> 1 < 2", "id": alice.number()}),
    );
    let (_, line) = chat.sent().remove(0);
    assert_eq!(
        (&line["text"], &line["name"]),
        (&json!("hi 1 < 2"), &json!("alice"))
    );
}

#[test]
fn junk_is_ignored() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    let id = alice.number();
    for junk in [
        String::new(),
        "{".into(),
        "[]".into(),
        "7".into(),
        "null".into(),
        "{}".into(),
        r#"{"type":7}"#.into(),
        r#"{"type":"username","name":"x"}"#.into(),
        r#"{"type":"username","name":"x","id":1}"#.into(),
        format!(r#"{{"type":"message","id":{id}}}"#),
        format!(r#"{{"type":"message","id":{id},"text":{{}}}}"#),
        r#"{"type":"x","target":{"length":1}}"#.into(),
        r#"{"type":"x","n":1e999}"#.into(),
        "[".repeat(1000),
        format!(r#"{{"type":"x","pad":"{}"}}"#, "x".repeat(MAX_FRAME_BYTES)),
    ] {
        chat.room.receive(alice, &junk, chat.now);
        chat.now += Duration::from_secs(5);
        assert_eq!(chat.sent(), [], "{junk:.80}");
    }
    chat.receive(alice, json!({"type": "still here"}));
    assert_eq!(chat.sent().len(), 1);
}

#[test]
fn a_flood_is_dropped_then_closed_and_others_are_served() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    let bob = chat.user("bob");
    let mut relayed = 0;
    let close = loop {
        chat.receive(eve, json!({"type": "x", "target": "bob"}));
        match chat.outputs().into_iter().next() {
            Some(Output::Send { .. }) => relayed += 1,
            Some(Output::Close { conn, code, .. }) => break (conn, code),
            Some(Output::Check { .. }) | None => {}
        }
    };
    assert_eq!(close, (eve, CLOSE_POLICY));
    assert!(relayed <= Limits::default().burst);
    chat.receive(bob, json!({"type": "x", "target": "bob"}));
    assert_eq!(chat.sent().len(), 1);
    chat.receive(eve, json!({"type": "x", "target": "bob"}));
    assert_eq!(chat.sent(), [], "a closed connection says nothing");
}

#[test]
fn a_burst_of_candidates_passes() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    chat.user("bob");
    for _ in 0..350 {
        chat.receive(
            alice,
            json!({"type": "new-ice-candidate", "target": "bob", "candidate": {}}),
        );
    }
    assert_eq!(chat.sent().len(), 350);
}

#[test]
fn a_full_room_takes_nobody_until_somebody_leaves() {
    let now = Instant::now();
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut room = Room::new(1, limits);
    let first = room.join(now).unwrap();
    room.join(now).unwrap();
    assert_eq!(room.join(now), Err(RoomFull(2)));
    room.leave(first);
    assert!(room.join(now).is_ok());
}
