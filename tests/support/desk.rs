//! An agent on a desk: events in, commands out, time by hand.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::time::{Duration, Instant};

use camera_agent::access::Gate;
use camera_agent::agent::{Agent, AgentConfig, Command, Event, PeerEvent, SessionId};
use camera_agent::reason::{Code, Reason};
use camera_agent::wire::{Candidate, ClientId, Incoming, Outgoing, UserName};

pub const OFFER: &str = include_str!("../fixtures/offer-chromium.sdp");

/// A peer connection that failed.
pub fn failed(words: impl Into<String>) -> PeerEvent {
    PeerEvent::Failed(Reason::new(Code::PathLost, words.into()))
}

pub fn name(text: &str) -> UserName {
    UserName::parse(text).expect("a good name")
}

/// Chromium's offer with another ICE user and another certificate.
pub fn offer(ufrag: &str, fingerprint: char) -> String {
    let digits = format!("{fingerprint}{fingerprint}");
    OFFER
        .replace("a=ice-ufrag:Kx3f", &format!("a=ice-ufrag:{ufrag}"))
        .lines()
        .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
            Some(_) => format!("a=fingerprint:sha-256 {}", [digits.as_str(); 32].join(":")),
            None => line.to_owned(),
        })
        .map(|line| format!("{line}\r\n"))
        .collect()
}

/// A host candidate; `ufrag` is named in the line only.
pub fn candidate(ufrag: Option<&str>) -> Candidate {
    candidate_at(54_321, ufrag)
}

/// The same at a port.
pub fn candidate_at(port: u16, ufrag: Option<&str>) -> Candidate {
    let ufrag = ufrag.map(|u| format!(" ufrag {u}")).unwrap_or_default();
    Candidate {
        candidate: format!("candidate:1 1 udp 2122260223 192.0.2.1 {port} typ host{ufrag}"),
        sdp_mid: Some("0".into()),
        sdp_mline_index: Some(0),
        username_fragment: None,
    }
}

pub struct Desk {
    pub agent: Agent,
    pub now: Instant,
    /// Of the last candidate: each is another place.
    port: u16,
}

impl Desk {
    /// An agent that wants to be "camera", not connected.
    pub fn offline(max_viewers: usize) -> Self {
        let now = Instant::now();
        let config = AgentConfig {
            name: name("camera"),
            max_viewers,
            seed: 7,
        };
        Self {
            agent: Agent::new(config, now),
            now,
            port: 0,
        }
    }

    /// The same, connected and named.
    pub fn online(max_viewers: usize) -> Self {
        Self::offline(max_viewers).connected()
    }

    /// The same, and lets in whom this gate does.
    pub fn behind(max_viewers: usize, gate: Gate) -> Self {
        let mut desk = Self::offline(max_viewers);
        desk.agent = desk.agent.behind(gate);
        desk.connected()
    }

    fn connected(mut self) -> Self {
        let desk = &mut self;
        assert_eq!(desk.fire(Event::Timeout), [Command::Connect]);
        assert!(desk.fire(Event::SignalingOpen).is_empty());
        let claim = desk.message(Incoming::Id(id()));
        assert_eq!(claim, [claims("camera")]);
        desk.message(users(&["camera"]));
        self
    }

    pub fn fire(&mut self, event: Event) -> Vec<Command> {
        self.agent.handle(event, self.now);
        std::iter::from_fn(|| self.agent.next_command()).collect()
    }

    pub fn message(&mut self, message: Incoming) -> Vec<Command> {
        self.fire(Event::Message(message))
    }

    pub fn peer(&mut self, session: SessionId, event: PeerEvent) -> Vec<Command> {
        self.fire(Event::Peer(session, event))
    }

    /// Lets time pass, with every timer on its way.
    pub fn wait(&mut self, time: Duration) -> Vec<Command> {
        let end = self.now + time;
        let mut commands = Vec::new();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            commands.extend(self.fire(Event::Timeout));
        }
        self.now = end;
        commands
    }

    pub fn offers(&mut self, caller: &str, sdp: &str) -> Vec<Command> {
        self.message(Incoming::VideoOffer {
            again: false,
            name: name(caller),
            sdp: sdp.to_owned(),
            access: None,
        })
    }

    /// A call up to the media path.
    pub fn call(&mut self, caller: &str, ufrag: &str, fingerprint: char) -> SessionId {
        let commands = self.offers(caller, &offer(ufrag, fingerprint));
        let [Command::Open { session, .. }] = commands[..] else {
            panic!("{commands:?}")
        };
        self.peer(
            session,
            PeerEvent::Answered {
                sdp: "v=0\r\n".into(),
            },
        );
        self.peer(session, PeerEvent::Connected);
        session
    }

    pub fn candidate(&mut self, from: Option<&str>, ufrag: Option<&str>) -> Vec<Command> {
        self.port = self.port.wrapping_add(1).max(1);
        self.message(Incoming::NewIceCandidate {
            name: from.map(name),
            candidate: Some(candidate_at(self.port, ufrag)),
        })
    }

    pub fn hangs_up(&mut self, caller: &str, target: Option<&str>) -> Vec<Command> {
        self.message(Incoming::HangUp {
            name: name(caller),
            target: target.map(str::to_owned),
        })
    }
}

pub fn id() -> ClientId {
    ClientId(1_700_000_000_001_u64.into())
}

pub fn users(names: &[&str]) -> Incoming {
    Incoming::UserList(names.iter().map(|n| name(n)).collect())
}

pub fn claims(wanted: &str) -> Command {
    Command::Send(Outgoing::Username {
        id: id(),
        name: name(wanted),
    })
}

/// The sessions that candidates were given to.
pub fn candidates_to(commands: &[Command]) -> Vec<SessionId> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::AddCandidate { session, .. } => Some(*session),
            _ => None,
        })
        .collect()
}

/// The sessions that were closed.
pub fn closed(commands: &[Command]) -> Vec<SessionId> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::Close { session } => Some(*session),
            _ => None,
        })
        .collect()
}

/// Who was sent a hang-up, and why.
pub fn hung_up(commands: &[Command]) -> Vec<(&str, &str)> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::Send(Outgoing::HangUp { target, reason, .. }) => {
                Some((target.as_str(), &*reason.words))
            }
            _ => None,
        })
        .collect()
}
