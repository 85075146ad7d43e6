//! Strangers in the chat room, with any frames in any order: for fuzzing and for
//! property tests. Not part of the program.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ConnectionId, Limits, Output, Room, Source};
use crate::fuzzing::Draw;

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
/// Things that happen in one run.
const STEPS: usize = 200;

struct World {
    room: Room,
    began: Instant,
    now: Instant,
    live: Vec<ConnectionId>,
    joined: u32,
    /// Bytes that went out: of the room and of others, and of user lists.
    relayed: usize,
    listed: usize,
}

impl World {
    fn pick(&self, who: u8) -> Option<ConnectionId> {
        let place = usize::from(who) % self.live.len().max(1);
        self.live.get(place).copied()
    }

    fn leaves(&mut self) {
        while let Some(output) = self.room.next_output() {
            match output {
                Output::Send { to, text } => {
                    assert!(self.live.contains(&to), "a frame to nobody");
                    let _: Value = serde_json::from_str(&text).expect("JSON");
                    self.relayed += text.len();
                }
                Output::Relay { from, to, text } => {
                    assert!(self.live.contains(&to), "a frame to nobody");
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    let mut names = self.room.names();
                    let name = names.find(|(conn, _)| *conn == from);
                    let name = name.map(|(_, name)| name.as_str());
                    assert_eq!(frame["name"].as_str(), name, "forged");
                    self.relayed += text.len();
                }
                Output::List { to, text } => {
                    assert!(self.live.contains(&to), "a list to nobody");
                    let _: Value = serde_json::from_str(&text).expect("JSON");
                    self.listed += text.len();
                }
                Output::Check { conn } => assert!(self.live.contains(&conn)),
                Output::Close { conn, .. } => {
                    assert!(self.live.contains(&conn), "closed twice");
                    self.live.retain(|other| *other != conn);
                }
            }
        }
        self.holds();
    }

    /// What is always so.
    fn holds(&self) {
        assert_eq!(self.room.len(), self.live.len());
        let names: BTreeMap<_, _> = self.room.names().collect();
        let unique: HashSet<_> = names.values().map(|name| name.as_str()).collect();
        assert_eq!(names.len(), unique.len(), "a name twice");
        // Each unit that was paid is worth 2 KiB and what is written around a
        // frame; a call pays for forty in answer to it.
        let time = (self.now - self.began).as_secs_f64();
        let each = f64::from(LIMITS.burst) + f64::from(LIMITS.per_second) * time;
        let paid = f64::from(self.joined) * each;
        assert!(self.relayed as f64 <= paid * 9.0 * 3_000.0);
        assert!(
            self.listed as f64 <= (time + 1.0) * 5e6,
            "{} of lists",
            self.listed
        );
    }
}

/// A frame of a client's: any text, or nearly a good one.
fn frame(draw: &mut Draw<'_>, own: ConnectionId) -> String {
    let kind = draw.byte();
    let kinds = [
        "video-offer",
        "video-answer",
        "new-ice-candidate",
        "hang-up",
        "message",
        "x",
    ];
    let people = ["camera", "alice", "a", "a1"];
    match kind % 4 {
        0 => String::from_utf8_lossy(draw.piece()).replace("$ID", &own.number().to_string()),
        1 => {
            let name = match kind & 16 {
                0 => people[usize::from(draw.byte()) % people.len()].to_owned(),
                _ => draw.text(),
            };
            json!({"type": "username", "name": name, "id": own.number(), "date": 0,
                "device": kind & 32 != 0, "was": u64::from(draw.byte()), "key": draw.text()})
            .to_string()
        }
        _ => json!({"type": kinds[usize::from(draw.byte()) % kinds.len()], "name": draw.text(),
            "target": people[usize::from(draw.byte()) % people.len()],
            "id": own.number(), "text": "<".repeat(usize::from(draw.short()) % 9_000)})
        .to_string(),
    }
}

/// Names stay unique and nobody's are forged, frames go to who is here, nobody
/// is closed twice, and what goes out was paid for.
pub fn crowd(data: &[u8]) {
    let mut draw = Draw(data);
    let now = Instant::now();
    let mut world = World {
        room: Room::new(1_700_000_000_000, LIMITS, [7; 32]),
        began: now,
        now,
        live: Vec::new(),
        joined: 0,
        relayed: 0,
        listed: 0,
    };
    for _ in 0..STEPS {
        if draw.is_empty() {
            break;
        }
        let (kind, who) = (draw.byte(), draw.byte());
        match kind % 8 {
            0 => {
                let source = Source::of([192, 0, 2, who % 8].into());
                if let Ok(conn) = world.room.join(source, world.now) {
                    world.live.push(conn);
                    world.joined += 1;
                }
            }
            1 => {
                if let Some(conn) = world.pick(who) {
                    world.live.retain(|other| *other != conn);
                    world.room.leave(conn, world.now);
                }
            }
            2 => {
                world.now += Duration::from_millis(draw.short().into());
                world.room.timeout(world.now);
            }
            _ => {
                if let Some(conn) = world.pick(who) {
                    let text = frame(&mut draw, conn);
                    for _ in 0..=(kind >> 5) {
                        world.room.receive(conn, &text, world.now);
                        world.leaves();
                    }
                }
            }
        }
        world.leaves();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_crowd_in_a_room(data in proptest::collection::vec(any::<u8>(), 0..900)) {
            super::crowd(&data);
        }
    }
}
