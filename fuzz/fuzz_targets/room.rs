//! Strangers in the chat room: any frames in any order. Names stay unique, the
//! queues stay bounded, and a forged name never gets through.
#![no_main]

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use camera_agent::room::{ConnectionId, Limits, Output, Room};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step {
    Join,
    Leave(u8),
    /// `id` stands for the connection's own number.
    Frame(u8, String),
    Claim(u8, String),
    Wait(u16),
}

fuzz_target!(|steps: Vec<Step>| {
    let mut now = Instant::now();
    let mut room = Room::new(1_700_000_000_000, Limits::default());
    let mut live: Vec<ConnectionId> = Vec::new();
    for step in steps.into_iter().take(200) {
        let pick = |i: u8| live.get(usize::from(i) % live.len().max(1)).copied();
        match step {
            Step::Join => live.extend(room.join(now).ok()),
            Step::Leave(i) => {
                if let Some(connection) = pick(i) {
                    room.leave(connection);
                    live.retain(|c| *c != connection);
                }
            }
            Step::Frame(i, text) => {
                if let Some(connection) = pick(i) {
                    let text = text.replace("$ID", &connection.number().to_string());
                    room.receive(connection, &text, now);
                }
            }
            Step::Claim(i, name) => {
                if let Some(connection) = pick(i) {
                    let claim = serde_json::json!({"type": "username", "name": name,
                        "id": connection.number(), "date": 0});
                    room.receive(connection, &claim.to_string(), now);
                }
            }
            Step::Wait(ms) => now += Duration::from_millis(ms.into()),
        }
        while let Some(output) = room.next_output() {
            match output {
                Output::Send { to, text } => {
                    assert!(live.contains(&to), "a frame to nobody");
                    let _: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                }
                Output::Check { conn } => assert!(live.contains(&conn)),
                Output::Close { conn, .. } => {
                    room.leave(conn);
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
