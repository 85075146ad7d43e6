//! Strangers in the chat room: any frames in any order. Names stay unique, the
//! queues stay bounded, and a forged name never gets through.
#![no_main]

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use camera_agent::room::{ConnectionId, Limits, Output, Room, Source};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step {
    /// Of one of a few addresses.
    Join(u8),
    Leave(u8),
    /// `id` stands for the connection's own number.
    Frame(u8, String),
    Claim(u8, String, bool),
    Wait(u16),
}

/// Few places, so that somebody has to give way.
const LIMITS: Limits = Limits {
    connections: 12,
    reserve: 2,
    per_source: 6,
    nameless: Duration::from_secs(10),
    device_grace: Duration::from_secs(60),
    burst: 400,
    per_second: 60,
    abuse: 200,
};

fuzz_target!(|steps: Vec<Step>| {
    let mut now = Instant::now();
    let mut room = Room::new(1_700_000_000_000, LIMITS, [7; 32]);
    let mut live: Vec<ConnectionId> = Vec::new();
    for step in steps.into_iter().take(200) {
        let pick = |i: u8| live.get(usize::from(i) % live.len().max(1)).copied();
        match step {
            Step::Join(last) => {
                let source = Source::of([192, 0, 2, last % 8].into());
                live.extend(room.join(source, now).ok());
            }
            Step::Leave(i) => {
                if let Some(connection) = pick(i) {
                    room.leave(connection, now);
                    live.retain(|c| *c != connection);
                }
            }
            Step::Frame(i, text) => {
                if let Some(connection) = pick(i) {
                    let text = text.replace("$ID", &connection.number().to_string());
                    room.receive(connection, &text, now);
                }
            }
            Step::Claim(i, name, device) => {
                if let Some(connection) = pick(i) {
                    let claim = serde_json::json!({"type": "username", "name": name,
                        "id": connection.number(), "date": 0, "device": device});
                    room.receive(connection, &claim.to_string(), now);
                }
            }
            Step::Wait(ms) => {
                now += Duration::from_millis(ms.into());
                room.timeout(now);
            }
        }
        while let Some(output) = room.next_output() {
            match output {
                Output::Send { to, text }
                | Output::List { to, text }
                | Output::Relay { to, text, .. } => {
                    assert!(live.contains(&to), "a frame to nobody");
                    let _: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                }
                Output::Check { conn } => assert!(live.contains(&conn)),
                Output::Close { conn, .. } => {
                    live.retain(|c| *c != conn);
                }
            }
        }
        let names: BTreeMap<_, _> = room.names().collect();
        let unique: HashSet<_> = names.values().map(|n| n.as_str()).collect();
        assert_eq!(names.len(), unique.len(), "a name twice");
        assert!(names.keys().all(|c| live.contains(c)), "a name of nobody");
    }
});
