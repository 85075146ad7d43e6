//! The room under any order of joins, leaves and frames from hostile peers.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use camera_agent::room::{ConnectionId, Limits, Output, Room};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(usize),
    Claim {
        who: usize,
        name: Value,
        device: Value,
        id: Id,
    },
    Relay {
        who: usize,
        kind: Value,
        target: Value,
        name: Value,
    },
    Junk {
        who: usize,
        text: String,
    },
    Flood {
        who: usize,
        frames: usize,
    },
    Wait {
        millis: u64,
    },
}

#[derive(Debug, Clone)]
enum Id {
    Own,
    Of(usize),
    Any(Value),
}

fn name() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "a1", "a2", "guest", "guest1", "cam"])
            .prop_map(Value::from),
        1 => "\\PC{0,70}".prop_map(Value::from),
        1 => prop::sample::select(vec![json!(null), json!(""), json!(7), json!(["a"]), json!({})]),
        1 => Just(json!("x".repeat(64))),
    ]
}

fn kind() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "video-offer", "video-answer", "new-ice-candidate", "hang-up", "message", "other",
            "id", "userlist", "rejectusername",
        ]).prop_map(Value::from),
        1 => Just(json!(null)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..8usize;
    prop_oneof![
        4 => Just(Step::Join),
        2 => who.clone().prop_map(Step::Leave),
        8 => (who.clone(), name(), prop::sample::select(vec![json!(true), json!(false), json!(1)]),
            prop_oneof![
                8 => Just(Id::Own),
                1 => (0..8usize).prop_map(Id::Of),
                1 => name().prop_map(Id::Any),
            ])
            .prop_map(|(who, name, device, id)| Step::Claim { who, name, device, id }),
        12 => (who.clone(), kind(), name(), name())
            .prop_map(|(who, kind, target, name)| Step::Relay { who, kind, target, name }),
        2 => (who.clone(), "\\PC{0,40}").prop_map(|(who, text)| Step::Junk { who, text }),
        1 => (who, 1..1000usize).prop_map(|(who, frames)| Step::Flood { who, frames }),
        1 => (0..5000u64).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// What the outside world sees of the room.
struct World {
    room: Room,
    now: Instant,
    /// The last user list each live connection got.
    lists: BTreeMap<ConnectionId, Value>,
}

impl World {
    fn pick(&self, who: usize) -> Option<ConnectionId> {
        self.lists.keys().nth(who).copied()
    }

    fn name_of(&self, conn: ConnectionId) -> Option<String> {
        let mut names = self.room.names();
        names.find(|(c, _)| *c == conn).map(|(_, n)| n.to_string())
    }

    /// Hands a frame in and checks every frame that comes out because of it.
    fn receive(&mut self, from: ConnectionId, text: &str) -> Result<(), TestCaseError> {
        let sender = self.name_of(from);
        let target = serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|frame| Some(frame.get("target")?.as_str()?.to_owned()))
            .filter(|target| !target.is_empty());
        self.room.receive(from, text, self.now);
        for (to, frame) in self.drain()? {
            match frame["type"].as_str() {
                Some("userlist") => {}
                Some("rejectusername") => {
                    prop_assert_eq!(to, from);
                    let name = self.name_of(from);
                    prop_assert_eq!(frame["name"].as_str(), name.as_deref());
                }
                Some("id") => prop_assert!(false, "an id out of turn"),
                _ => {
                    prop_assert!(sender.is_some(), "relayed for an unnamed client");
                    prop_assert_eq!(frame["name"].as_str(), sender.as_deref(), "forged");
                    if let Some(target) = &target {
                        let name = self.name_of(to);
                        prop_assert_eq!(name.as_ref(), Some(target), "not the target");
                    }
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<Vec<(ConnectionId, Value)>, TestCaseError> {
        let mut sent = Vec::new();
        while let Some(output) = self.room.next_output() {
            match output {
                Output::Send { to, text } => {
                    prop_assert!(self.lists.contains_key(&to), "sent to nobody");
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] == "userlist" {
                        self.lists.insert(to, frame.clone());
                    }
                    sent.push((to, frame));
                }
                Output::Check { conn } => {
                    prop_assert!(self.lists.contains_key(&conn), "nobody is checked");
                }
                Output::Close { conn, code, .. } => {
                    prop_assert_eq!(code, 1008);
                    prop_assert!(self.lists.remove(&conn).is_some(), "closed twice");
                }
            }
        }
        Ok(sent)
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Join => {
                if let Ok(conn) = self.room.join(self.now) {
                    self.lists.insert(conn, Value::Null);
                    let sent = self.drain()?;
                    prop_assert_eq!(sent[0].1["id"].as_u64(), Some(conn.number()));
                }
            }
            Step::Leave(who) => {
                if let Some(conn) = self.pick(who) {
                    self.lists.remove(&conn);
                    self.room.leave(conn);
                    self.drain()?;
                }
            }
            Step::Claim {
                who,
                name,
                device,
                id,
            } => {
                if let Some(conn) = self.pick(who) {
                    let id = match id {
                        Id::Own => json!(conn.number()),
                        Id::Of(other) => json!(self.pick(other).map(ConnectionId::number)),
                        Id::Any(value) => value,
                    };
                    let frame =
                        json!({"type": "username", "name": name, "id": id, "device": device});
                    self.receive(conn, &frame.to_string())?;
                }
            }
            Step::Relay {
                who,
                kind,
                target,
                name,
            } => {
                if let Some(conn) = self.pick(who) {
                    let frame = json!({"type": kind, "target": target, "name": name,
                        "text": "<a>", "users": [], "id": conn.number()});
                    self.receive(conn, &frame.to_string())?;
                }
            }
            Step::Junk { who, text } => {
                if let Some(conn) = self.pick(who) {
                    self.receive(conn, &text)?;
                }
            }
            Step::Flood { who, frames } => {
                if let Some(conn) = self.pick(who) {
                    for _ in 0..frames {
                        self.receive(conn, r#"{"type":"x","target":"a"}"#)?;
                    }
                }
            }
            Step::Wait { millis } => self.now += Duration::from_millis(millis),
        }
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let names: Vec<_> = self.room.names().map(|(_, n)| n.as_str()).collect();
        let unique: HashSet<_> = names.iter().collect();
        prop_assert_eq!(unique.len(), names.len(), "two of one name: {:?}", names);
        for (conn, list) in &self.lists {
            prop_assert_eq!(&list["users"], &json!(names), "what {} knows", conn);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_order_of_hostile_frames_breaks_the_room(steps in prop::collection::vec(step(), 1..80)) {
        let limits = Limits { connections: 6, ..Limits::default() };
        let mut world = World {
            room: Room::new(1_700_000_000_000, limits),
            now: Instant::now(),
            lists: BTreeMap::new(),
        };
        for step in steps {
            world.step(step)?;
        }
    }
}
