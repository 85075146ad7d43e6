//! Strangers calling the device, at a server that may be one of them: any
//! frames, any reports of its connections, any pauses. Sessions are opened and closed in pairs, and left alone they
//! all end.
#![no_main]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use camera_agent::agent::{Agent, AgentConfig, Command, Event, PeerEvent, SessionId};
use camera_agent::wire::{Candidate, Incoming, UserName};
use libfuzzer_sys::fuzz_target;

const OFFER: &str = include_str!("../../tests/fixtures/offer-chromium.sdp");
const LIMIT: usize = 3;

#[derive(Debug, Arbitrary)]
enum Step {
    Frame(String),
    Offer { from: u8, ufrag: u8, print: u8 },
    Candidate { from: Option<u8>, ufrag: Option<u8> },
    HangUp(u8),
    Users(Vec<u8>),
    Open,
    Closed,
    Answered(u8),
    Connected(u8),
    Rtcp(u8),
    Interrupted(u8),
    NetworkChanged,
    Left(u8),
    Failed(u8),
    Server(Server),
    Wait(u16),
}

/// What a server says by itself, as a hostile one may.
#[derive(Debug, Arbitrary)]
enum Server {
    Id(i64),
    Fraction(f64),
    Reject { id: Option<i64>, name: String },
    Names(Vec<String>),
    Crowd(u16),
    Answer(u8, String),
    Line(Option<String>, String),
    HangUp { from: u8, target: Option<String> },
    Candidate { line: String, ufrag: Option<String>, index: Option<u16> },
    Other(String),
}

impl Server {
    fn text(self) -> String {
        use serde_json::json;
        let frame = match self {
            Self::Id(id) => json!({"type": "id", "id": id}),
            Self::Fraction(id) => json!({"type": "id", "id": id}),
            Self::Reject { id, name } => json!({"type": "rejectusername", "id": id, "name": name}),
            Self::Names(users) => json!({"type": "userlist", "users": users}),
            Self::Crowd(n) => {
                let users: Vec<_> = (0..n % 2_000).map(|i| format!("n{i}")).collect();
                json!({"type": "userlist", "users": users})
            }
            Self::Answer(from, sdp) => json!({"type": "video-answer", "name": name(from),
                "sdp": {"type": "answer", "sdp": sdp}}),
            Self::Line(name, text) => json!({"type": "message", "name": name, "text": text}),
            Self::HangUp { from, target } => {
                json!({"type": "hang-up", "name": name(from), "target": target})
            }
            Self::Candidate { line, ufrag, index } => json!({"type": "new-ice-candidate",
                "candidate": {"candidate": line, "usernameFragment": ufrag, "sdpMLineIndex": index}}),
            Self::Other(kind) => json!({"type": kind}),
        };
        frame.to_string()
    }
}

fn name(i: u8) -> UserName {
    UserName::parse(&format!("n{}", i % 8)).expect("a good name")
}

fn event(step: Step) -> Option<Event> {
    let session = |i: u8| SessionId::new(u64::from(i % 32));
    Some(match step {
        Step::Frame(text) => Event::Message(Incoming::parse(&text).ok()?),
        Step::Offer { from, ufrag, print } => Event::Message(Incoming::VideoOffer {
            name: name(from),
            sdp: OFFER
                .replace("a=ice-ufrag:Kx3f", &format!("a=ice-ufrag:user{}", ufrag % 8))
                .replace("sha-256 A7", &format!("sha-256 {print:02X}")),
            access: None,
        }),
        Step::Candidate { from, ufrag } => Event::Message(Incoming::NewIceCandidate {
            name: from.map(name),
            candidate: Some(Candidate {
                candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(),
                username_fragment: ufrag.map(|u| format!("user{}", u % 8)),
                ..Default::default()
            }),
        }),
        Step::HangUp(i) => Event::Message(Incoming::HangUp {
            name: name(i),
            target: None,
        }),
        Step::Users(list) => {
            Event::Message(Incoming::UserList(list.into_iter().take(16).map(name).collect()))
        }
        Step::Open => Event::SignalingOpen,
        Step::Closed => Event::SignalingClosed,
        Step::Answered(i) => Event::Peer(session(i), PeerEvent::Answered { sdp: String::new() }),
        Step::Connected(i) => Event::Peer(session(i), PeerEvent::Connected),
        Step::Rtcp(i) => Event::Peer(session(i), PeerEvent::Rtcp),
        Step::Interrupted(i) => Event::Peer(session(i), PeerEvent::Interrupted),
        Step::NetworkChanged => Event::NetworkChanged,
        Step::Left(i) => Event::Peer(session(i), PeerEvent::Left),
        Step::Failed(i) => Event::Peer(session(i), PeerEvent::Failed("lost".into())),
        Step::Server(frame) => Event::Message(Incoming::parse(&frame.text()).ok()?),
        Step::Wait(_) => return None,
    })
}

fuzz_target!(|steps: Vec<Step>| {
    let mut now = Instant::now();
    let config = AgentConfig {
        name: UserName::parse("camera").expect("a good name"),
        max_viewers: LIMIT,
        seed: 1,
    };
    let mut agent = Agent::new(config, now);
    let mut open = BTreeSet::new();
    let mut ever = BTreeSet::new();
    let mut drain = |agent: &mut Agent, open: &mut BTreeSet<SessionId>| {
        while let Some(command) = agent.next_command() {
            match command {
                Command::Open { session, .. } => {
                    assert!(ever.insert(session) && open.insert(session));
                }
                Command::Close { session } => assert!(open.remove(&session)),
                Command::AddCandidate { session, .. } | Command::Renegotiate { session, .. } => {
                    assert!(open.contains(&session));
                }
                Command::Send(frame) => {
                    Incoming::parse(&frame.to_text(0)).expect("what we send can be read");
                }
                Command::Connect
                | Command::Disconnect
                | Command::Probe
                | Command::KeepKey { .. }
                | Command::Quit => {}
            }
        }
        assert!(open.len() <= LIMIT && open.len() == agent.viewers());
    };
    let pause = |agent: &mut Agent, open: &mut BTreeSet<SessionId>, now: &mut Instant, time, drain: &mut dyn FnMut(&mut Agent, &mut BTreeSet<SessionId>)| {
        let end = *now + time;
        while let Some(at) = agent.poll_timeout().filter(|at| *at <= end) {
            *now = (*now).max(at);
            agent.handle(Event::Timeout, *now);
            drain(agent, open);
        }
        *now = end;
    };
    for step in steps.into_iter().take(300) {
        if let Step::Wait(ms) = step {
            pause(&mut agent, &mut open, &mut now, Duration::from_millis(ms.into()), &mut drain);
        } else if let Some(event) = event(step) {
            agent.handle(event, now);
            drain(&mut agent, &mut open);
        }
    }
    pause(&mut agent, &mut open, &mut now, Duration::from_secs(60), &mut drain);
    assert!(open.is_empty(), "leaked: {open:?}");
});
