//! The room and the ways out of it under any order of joins, leaves and frames
//! from hostile peers.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camera_agent::room::{ConnectionId, Limits, Mailbox, Output, Room, Source};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
enum Step {
    Join(u8),
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
        4 => (0..4u8).prop_map(Step::Join),
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
    started: Instant,
    /// Where each live connection is from, and the last user list it got.
    lists: BTreeMap<ConnectionId, (u8, Value)>,
    joined: u32,
    relayed: usize,
    listed: usize,
}

const LIMITS: Limits = Limits {
    connections: 6,
    reserve: 0,
    per_source: 6,
    nameless: Duration::from_secs(10),
    device_grace: Duration::from_secs(2),
    burst: 400,
    per_second: 60,
    abuse: 200,
};

fn source(of: u8) -> Source {
    Source::of([192, 0, 2, of].into())
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
        let names = self.names();
        let target = serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|frame| Some(frame.get("target")?.as_str()?.to_owned()))
            .filter(|target| !target.is_empty());
        self.room.receive(from, text, self.now);
        // What one sends closes nobody else.
        for (to, frame) in self.drain(&|conn| conn == from)? {
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
                        prop_assert_eq!(names.get(&to), Some(target), "not the target");
                    }
                }
            }
        }
        Ok(())
    }

    fn names(&self) -> BTreeMap<ConnectionId, String> {
        let names = self.room.names();
        names.map(|(conn, name)| (conn, name.to_string())).collect()
    }

    fn drain(
        &mut self,
        may_close: &dyn Fn(ConnectionId) -> bool,
    ) -> Result<Vec<(ConnectionId, Value)>, TestCaseError> {
        let mut sent = Vec::new();
        while let Some(output) = self.room.next_output() {
            match output {
                Output::Send { to, text } | Output::Relay { to, text, .. } => {
                    prop_assert!(self.lists.contains_key(&to), "sent to nobody");
                    self.relayed += text.len();
                    sent.push((to, serde_json::from_str(&text).unwrap()));
                }
                Output::List { to, text } => {
                    let known = self.lists.get_mut(&to);
                    prop_assert!(known.is_some(), "sent to nobody");
                    self.listed += text.len();
                    known.unwrap().1 = serde_json::from_str(&text).unwrap();
                }
                Output::Check { conn } => {
                    prop_assert!(self.lists.contains_key(&conn), "nobody is checked");
                }
                Output::Close { conn, .. } => {
                    prop_assert!(self.lists.remove(&conn).is_some(), "closed twice");
                    prop_assert!(may_close(conn), "{} is closed for another", conn);
                }
            }
        }
        Ok(sent)
    }

    fn of(&self, from: u8) -> usize {
        self.lists
            .values()
            .filter(|(source, _)| *source == from)
            .count()
    }

    fn join(&mut self, from: u8) -> Result<(), TestCaseError> {
        let own = self.of(from);
        let most = (0..4).map(|each| self.of(each)).max().unwrap_or(0);
        let before: BTreeMap<_, _> = self.lists.iter().map(|(c, (s, _))| (*c, *s)).collect();
        match self.room.join(source(from), self.now) {
            Ok(conn) => {
                self.joined += 1;
                self.lists.insert(conn, (from, Value::Null));
                // Who gives way has no less than the newcomer's own source.
                let counts: Vec<_> = (0..4)
                    .map(|s| before.values().filter(|b| **b == s).count())
                    .collect();
                let names = self.names();
                let sent = self.drain(&|gone| {
                    let of = before.get(&gone).copied().unwrap_or(from);
                    of == from || counts[usize::from(of)] > own + 1 || !names.contains_key(&gone)
                })?;
                prop_assert_eq!(sent[0].1["id"].as_u64(), Some(conn.number()));
            }
            Err(_) => {
                prop_assert!(self.lists.len() >= 6, "there was a place");
                prop_assert!(
                    most <= own + 1,
                    "{} have {}, and one with {} is out",
                    most,
                    from,
                    own
                );
            }
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), TestCaseError> {
        self.now += time;
        let names = self.names();
        self.room.timeout(self.now);
        self.drain(&|conn| !names.contains_key(&conn))?;
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Join(from) => self.join(from)?,
            Step::Leave(who) => {
                if let Some(conn) = self.pick(who) {
                    self.lists.remove(&conn);
                    self.room.leave(conn, self.now);
                    self.drain(&|_| false)?;
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
                        "text": "<a>", "users": [], "id": conn.number(), "sdp": {"sdp": "v=0"}});
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
            Step::Wait { millis } => self.wait(Duration::from_millis(millis))?,
        }
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let names: Vec<_> = self.room.names().map(|(_, n)| n.as_str()).collect();
        let unique: HashSet<_> = names.iter().collect();
        prop_assert_eq!(unique.len(), names.len(), "two of one name: {:?}", names);
        // Bytes out for tokens in: each is worth 2 KiB and what is written around
        // a frame, and a call pays for forty in answer to it.
        let time = (self.now - self.started).as_secs_f64();
        let tokens = f64::from(self.joined)
            * (f64::from(LIMITS.burst) + f64::from(LIMITS.per_second) * time);
        prop_assert!(self.relayed as f64 <= tokens * 9.0 * 3000.0);
        prop_assert!(self.listed as f64 <= (time + 1.0) * 5e6);
        Ok(())
    }

    /// In the end everybody knows who is here.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.wait(Duration::from_secs(3))?;
        let names: Vec<_> = self.room.names().map(|(_, n)| n.as_str()).collect();
        for (conn, (_, list)) in &self.lists {
            prop_assert_eq!(&list["users"], &json!(names), "what {} knows", conn);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_order_of_hostile_frames_breaks_the_room(steps in prop::collection::vec(step(), 1..80)) {
        let now = Instant::now();
        let mut world = World {
            room: Room::new(1_700_000_000_000, LIMITS, [7; 32]),
            now,
            started: now,
            lists: BTreeMap::new(),
            joined: 0,
            relayed: 0,
            listed: 0,
        };
        for step in steps {
            world.step(step)?;
        }
        world.settle()?;
    }

    /// Whatever networks people come from: who is turned away has as much as anybody, and
    /// so has their network beside others as wide; who is sent away had more.
    #[test]
    fn places_are_fair_by_network(
        joins in prop::collection::vec((0..3u16, 0..3u16, 0..3u16), 1..60),
    ) {
        let now = Instant::now();
        let mut room = Room::new(1, LIMITS, [7; 32]);
        let mut live: BTreeMap<ConnectionId, [u16; 3]> = BTreeMap::new();
        for (at, (wide, middle, narrow)) in joins.into_iter().enumerate() {
            let from = [wide, middle, narrow];
            let subnet = (middle << 8) | narrow;
            let source = Source::of([0x2001, 0xdb8, wide, subnet, 0, 0, 0, 1].into());
            // At the widest level where they are not of one network: the other's, and theirs.
            let parted = |other: &[u16; 3]| {
                let level = (0..3).find(|l| other[*l] != from[*l]).unwrap_or(2) + 1;
                let count = |of: &[u16; 3]| {
                    live.values().filter(|net| net[..level] == of[..level]).count()
                };
                (count(other), count(&from))
            };
            match room.join(source, now) {
                Ok(conn) => {
                    let name = json!({"type": "username", "name": format!("n{at}"), "id": conn.number()});
                    room.receive(conn, &name.to_string(), now);
                    let mut gone = Vec::new();
                    while let Some(output) = room.next_output() {
                        if let Output::Close { conn, .. } = output {
                            gone.push(conn);
                        }
                    }
                    for conn in &gone {
                        let (theirs, own) = parted(&live[conn]);
                        prop_assert!(theirs > own + 1, "{:?} for {:?}", live[conn], from);
                    }
                    live.retain(|conn, _| !gone.contains(conn));
                    live.insert(conn, from);
                }
                Err(_) => {
                    prop_assert_eq!(live.len(), LIMITS.connections);
                    for other in live.values() {
                        let (theirs, own) = parted(other);
                        prop_assert!(theirs <= own + 1, "{:?}, and {:?} is out", other, from);
                    }
                }
            }
        }
    }

    /// Any crowd of senders, any order: who has nothing waiting is next after at
    /// the most a frame's worth of each other, and nothing grows without end.
    #[test]
    fn a_mailbox_is_fair_to_whoever_sends_little(
        steps in prop::collection::vec((0..13usize, 0..60_000usize, 0..3usize), 1..300),
        length in 1..10_000usize,
    ) {
        let senders = some_connections(13);
        let mut mailbox = Mailbox::default();
        let mut waiting: Vec<VecDeque<usize>> = vec![VecDeque::new(); 13];
        let text = |from: usize, number: usize, length: usize| -> Arc<str> {
            format!("{from}:{number}:{}", "x".repeat(length)).into()
        };
        let read = |text: &str| -> (usize, usize) {
            let mut fields = text.split(':');
            let mut number = || fields.next().unwrap().parse().unwrap();
            (number(), number())
        };
        for (number, (from, length, pops)) in steps.iter().enumerate() {
            let from = from % 12;
            if mailbox.post(senders[from], text(from, number, *length)) {
                waiting[from].push_back(number);
            }
            prop_assert!(mailbox.bytes() <= 1024 * 1024);
            for _ in 0..*pops {
                let Some(frame) = mailbox.next_frame() else { break };
                let (from, number) = read(&frame);
                // Those in between were dropped at the end of a queue that was too long.
                let next = waiting[from].iter().position(|n| *n == number);
                prop_assert_eq!(next, Some(0), "out of order");
                waiting[from].pop_front();
            }
        }
        prop_assert!(mailbox.post(senders[12], text(12, 0, length)), "one who has nothing here");
        let mut before = vec![0; 12];
        loop {
            let frame = mailbox.next_frame().expect("it waits");
            let (from, _) = read(&frame);
            if from == 12 {
                break;
            }
            before[from] += frame.len();
        }
        for bytes in before {
            prop_assert!(bytes <= length + 128 + 60_100, "{} bytes of one went first", bytes);
        }
    }
}

fn some_connections(count: usize) -> Vec<ConnectionId> {
    let now = Instant::now();
    let mut room = Room::new(1, Limits::default(), [7; 32]);
    (0..count)
        .map(|_| room.join(source(1), now).expect("a place"))
        .collect()
}
