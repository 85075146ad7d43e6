mod hostile;
mod lists;
mod names;
mod places;

use std::time::Duration;

use super::*;

fn source(last: u8) -> Source {
    Source::of([192, 0, 2, last].into())
}

struct Chat {
    room: Room,
    now: Instant,
}

impl Chat {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            room: Room::new(1_700_000_000_000, limits, [7; 32]),
            now: Instant::now(),
        }
    }

    fn join(&mut self, source: Source) -> ConnectionId {
        self.room.join(source, self.now).expect("a place")
    }

    /// Joins under `name` and forgets what was sent so far.
    fn user(&mut self, name: &str) -> ConnectionId {
        self.user_of(source(1), name)
    }

    fn user_of(&mut self, source: Source, name: &str) -> ConnectionId {
        let conn = self.join(source);
        self.claim(conn, name);
        self.sent();
        conn
    }

    fn device_of(&mut self, source: Source, name: &str) -> ConnectionId {
        let conn = self.join(source);
        self.claim_with(conn, name, json!({"device": true}));
        self.sent();
        conn
    }

    fn claim(&mut self, conn: ConnectionId, name: &str) {
        self.claim_with(conn, name, json!({}));
    }

    fn claim_with(&mut self, conn: ConnectionId, name: &str, more: Value) {
        let mut frame = json!({"type": "username", "name": name, "id": conn.number(), "date": 1});
        frame
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.receive(conn, frame);
    }

    fn receive(&mut self, conn: ConnectionId, frame: Value) {
        self.room.receive(conn, &frame.to_string(), self.now);
    }

    fn leave(&mut self, conn: ConnectionId) {
        self.room.leave(conn, self.now);
        self.sent();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.room.timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.room.next_output()).collect()
    }

    /// What was sent, and the user list for which it is time a second later.
    fn sent(&mut self) -> Vec<(ConnectionId, Value)> {
        self.pass(Duration::from_secs(1));
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Send { to, text }
                | Output::List { to, text }
                | Output::Relay { to, text, .. } => {
                    Some((to, serde_json::from_str(&text).unwrap()))
                }
                Output::Check { .. } => None,
                Output::Close { .. } => panic!("unexpected {output:?}"),
            })
            .collect()
    }

    fn closed(&mut self) -> Vec<ConnectionId> {
        let closed = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Close { conn, .. } => Some(conn),
                _ => None,
            });
        closed.collect()
    }

    fn name_of(&self, conn: ConnectionId) -> Option<String> {
        let mut names = self.room.names();
        names
            .find(|(c, _)| *c == conn)
            .map(|(_, name)| name.to_string())
    }

    fn key_of(&self, conn: ConnectionId) -> String {
        self.room.key(conn)
    }
}

fn offer(target: &str) -> Value {
    json!({"type": "video-offer", "target": target, "sdp": {"type": "offer", "sdp": "v=0"}})
}

#[test]
fn a_newcomer_gets_its_id_and_the_list_then_everyone_gets_the_new_list() {
    let mut chat = Chat::new();
    let alice = chat.user("alice");
    let bob = chat.join(source(1));
    let key = chat.key_of(bob);
    assert_eq!(
        chat.sent(),
        [
            (bob, json!({"type": "id", "id": bob.number(), "key": key})),
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
    let mut of_device = list.clone();
    of_device["conns"] = json!([alice.number(), bob.number()]);
    assert_eq!(chat.sent(), [(alice, list), (bob, of_device)]);
    chat.room.leave(bob, chat.now);
    let list = json!({"type": "userlist", "users": ["alice"], "devices": []});
    assert_eq!(chat.sent(), [(alice, list)]);
}

#[test]
fn a_taken_name_gets_a_number_and_is_told() {
    let mut chat = Chat::new();
    chat.user("cam");
    let second = chat.join(source(1));
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
                _ => None,
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
    let conn = chat.join(source(1));
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
    chat.receive(alice, offer("nobody"));
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
            json!({"type": kind, "name": "alice", "target": "bob", "text": "",
                "sdp": {"sdp": "v=0"}}),
        );
        assert_eq!(chat.sent()[0].1["name"], "eve");
    }
}

#[test]
fn what_only_the_server_says_is_not_relayed() {
    let mut chat = Chat::new();
    let eve = chat.user("eve");
    chat.user("bob");
    for kind in relay::SERVER_ONLY {
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
    let eve = chat.join(source(1));
    chat.sent();
    chat.receive(eve, offer("bob"));
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
            Some(Output::Relay { .. }) => relayed += 1,
            Some(Output::Close { conn, code, .. }) => break (conn, code),
            _ => {}
        }
    };
    assert_eq!(close, (eve, CLOSE_POLICY));
    assert!(relayed <= Limits::default().burst);
    chat.sent();
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
    let mut chat = Chat::with(Limits {
        connections: 2,
        ..Limits::default()
    });
    let first = chat.user("alice");
    chat.user("bob");
    assert_eq!(chat.room.join(source(1), chat.now), Err(RoomFull(2)));
    chat.leave(first);
    assert!(chat.room.join(source(1), chat.now).is_ok());
}
