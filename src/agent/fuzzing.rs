//! Strangers who call the device, at a server that may be one of them, in any
//! order and at any time: for fuzzing and for property tests. Not part of the
//! program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Agent, AgentConfig, CONNECT_TIMEOUT, Command, Event, HALF_OPEN, PeerEvent, SessionId};
use crate::fuzzing::{Draw, OFFER};
use crate::reason::{Code, Reason};
use crate::wire::{Candidate, ClientId, Incoming, Outgoing, Stamp, UserName};

/// Viewers at once.
const LIMIT: usize = 3;
/// What the device says to callers, at once and in a second: less than our own
/// chat server takes.
const FRAMES: (f64, f64) = (300.0, 40.0);
/// Things that happen in one run.
const STEPS: usize = 300;

fn name(number: u8) -> UserName {
    UserName::parse(&format!("n{}", number % 8)).expect("a good name")
}

/// An agent, and an account of what it was seen to do.
struct World {
    agent: Agent,
    began: Instant,
    now: Instant,
    /// When each call that is open began.
    open: BTreeMap<SessionId, Instant>,
    /// Those of them that had a path.
    up: BTreeSet<SessionId>,
    ever: BTreeSet<SessionId>,
    /// Frames to callers.
    said: usize,
}

impl World {
    fn new(now: Instant) -> Self {
        let config = AgentConfig {
            name: UserName::parse("camera").expect("a good name"),
            max_viewers: LIMIT,
            seed: 1,
        };
        Self {
            agent: Agent::new(config, now),
            began: now,
            now,
            open: BTreeMap::new(),
            up: BTreeSet::new(),
            ever: BTreeSet::new(),
            said: 0,
        }
    }

    fn happens(&mut self, event: Event) {
        if let Event::Peer(session, PeerEvent::Connected) = &event
            && self.open.contains_key(session)
        {
            self.up.insert(*session);
        }
        self.agent.handle(event, self.now);
        while let Some(command) = self.agent.next_command() {
            self.commanded(command);
        }
        self.up.retain(|session| self.open.contains_key(session));
        self.holds();
    }

    fn commanded(&mut self, command: Command) {
        match command {
            Command::Open { session, .. } => {
                assert!(self.ever.insert(session), "{session} twice");
                self.open.insert(session, self.now);
            }
            Command::Close { session } => {
                assert!(self.open.remove(&session).is_some(), "{session}");
            }
            Command::AddCandidate { session, .. } | Command::Renegotiate { session, .. } => {
                assert!(self.open.contains_key(&session), "{session}");
            }
            Command::Send(frame) => {
                let is_ours = matches!(frame, Outgoing::Username { .. });
                self.said += usize::from(!is_ours);
                Incoming::parse(&frame.to_text(0)).expect("what we send can be read");
            }
            Command::Connect
            | Command::Disconnect
            | Command::Probe
            | Command::KeepKey { .. }
            | Command::Quit => {}
        }
    }

    /// What is always so.
    fn holds(&self) {
        assert_eq!(self.open.len(), self.agent.viewers());
        assert!(self.agent.connected() <= LIMIT, "too many see it");
        assert!(self.open.len() <= LIMIT + HALF_OPEN, "too many wait");
        let half_open = self.open.iter().filter(|(id, _)| !self.up.contains(id));
        for (session, since) in half_open {
            let age = self.now.duration_since(*since);
            assert!(age <= CONNECT_TIMEOUT, "{session} waits for {age:?}");
        }
        let seconds = self.now.duration_since(self.began).as_secs_f64();
        let most = FRAMES.0 + FRAMES.1 * seconds;
        assert!(self.said as f64 <= most + 1.0, "{} frames", self.said);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.happens(Event::Timeout);
            turns += 1;
            assert!(turns < 20_000, "timers spin");
        }
        self.now = end;
    }
}

/// What a server says by itself, as a hostile one may.
fn of_a_server(draw: &mut Draw<'_>) -> Value {
    let kind = draw.byte();
    let from = name(draw.byte());
    match kind % 9 {
        0 => json!({"type": "id", "id": u64::from(draw.short())}),
        1 => json!({"type": "id", "id": f64::from(draw.short()) / 7.0, "key": draw.text()}),
        2 => json!({"type": "rejectusername", "id": draw.byte(), "name": draw.text()}),
        3 => {
            let users: Vec<_> = (0..draw.byte() % 16).map(|_| draw.text()).collect();
            json!({"type": "userlist", "users": users})
        }
        4 => {
            let users: Vec<_> = (0..draw.short() % 2_000).map(|i| format!("n{i}")).collect();
            json!({"type": "userlist", "users": users})
        }
        5 => json!({"type": "video-answer", "name": from,
            "sdp": {"type": "answer", "sdp": draw.text()}}),
        6 => json!({"type": "message", "name": draw.text(), "text": draw.text()}),
        7 => json!({"type": "new-ice-candidate", "name": from,
            "candidate": {"candidate": draw.text(), "usernameFragment": draw.text(),
                "sdpMLineIndex": draw.short()}}),
        _ => json!({"type": draw.text(), "name": from, "target": draw.text()}),
    }
}

/// One of a few connections.
fn conn(draw: u8) -> ClientId {
    ClientId(u64::from(draw % 6).into())
}

/// What somebody says, as it is relayed by our server or by the original.
fn relayed(event: Event, draw: &mut Draw<'_>) -> Event {
    let numbered = draw.byte();
    match event {
        Event::Message(
            message @ (Incoming::VideoOffer { .. }
            | Incoming::NewIceCandidate { .. }
            | Incoming::HangUp { .. }),
        ) if numbered.is_multiple_of(2) => Event::Message(Incoming::From {
            stamp: Stamp {
                conn: conn(numbered / 2),
                source: None,
                network: None,
            },
            message: Box::new(message),
        }),
        other => other,
    }
}

fn event(draw: &mut Draw<'_>) -> Option<Event> {
    let kind = draw.byte();
    let who = draw.byte();
    let session = SessionId::new(u64::from(who % 48));
    let peer = |event| Event::Peer(session, event);
    let message = |text: &str| Incoming::parse(text).ok().map(Event::Message);
    Some(match kind % 18 {
        0 => return message(&String::from_utf8_lossy(draw.piece())),
        1..=3 => Event::Message(Incoming::VideoOffer {
            name: name(who),
            sdp: OFFER
                .replace(
                    "a=ice-ufrag:Kx3f",
                    &format!("a=ice-ufrag:user{}", draw.byte() % 8),
                )
                .replace("sha-256 A7", &format!("sha-256 {:02X}", draw.byte())),
            access: None,
            again: kind & 128 == 128,
        }),
        4 => Event::Message(Incoming::VideoOffer {
            name: name(who),
            sdp: String::from_utf8_lossy(draw.piece()).into_owned(),
            access: None,
            again: false,
        }),
        5 | 6 => Event::Message(Incoming::NewIceCandidate {
            name: (kind & 128 == 0).then(|| name(who)),
            candidate: Some(Candidate {
                candidate: format!("candidate:1 1 udp 1 192.0.2.1 {} typ host", draw.byte()),
                username_fragment: (kind & 64 == 0).then(|| format!("user{}", draw.byte() % 8)),
                ..Default::default()
            }),
        }),
        7 => Event::Message(Incoming::HangUp {
            name: name(who),
            target: None,
        }),
        8 => {
            let users = (0..who % 16).map(|_| (name(draw.byte()), conn(draw.byte())));
            Event::Message(match kind & 128 == 0 {
                true => Incoming::UserList(users.map(|(name, _)| name).collect()),
                false => Incoming::Roll(users.collect()),
            })
        }
        9 => Event::SignalingOpen,
        10 => Event::SignalingClosed,
        11 => peer(PeerEvent::Answered { sdp: String::new() }),
        12 => peer(PeerEvent::Connected),
        13 => peer(match draw.byte() % 3 {
            0 => PeerEvent::Rtcp,
            1 => PeerEvent::Interrupted,
            _ => PeerEvent::Candidate(Candidate::default()),
        }),
        14 => peer(PeerEvent::Left),
        15 => peer(PeerEvent::Failed(Reason::new(Code::PathLost, draw.text()))),
        16 => Event::NetworkChanged,
        _ => return message(&of_a_server(draw).to_string()),
    })
}

/// Sessions are opened and closed in pairs, and there are never too many; one
/// without a path ends in its time, whatever is asked of it again; callers are
/// told no more than a chat server takes of one; and left alone, all ends.
pub fn strangers(data: &[u8]) {
    let mut draw = Draw(data);
    let mut world = World::new(Instant::now());
    for _ in 0..STEPS {
        if draw.is_empty() {
            break;
        }
        if draw.byte() % 8 == 0 {
            let ms = u64::from(draw.short());
            world.pass(Duration::from_millis(ms));
        } else if let Some(event) = event(&mut draw) {
            let event = relayed(event, &mut draw);
            world.happens(event);
        }
    }
    world.pass(Duration::from_secs(60));
    assert!(world.open.is_empty(), "{:?} leaked", world.open);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_crowd_that_ends(data in proptest::collection::vec(any::<u8>(), 0..900)) {
            super::strangers(&data);
        }
    }
}
