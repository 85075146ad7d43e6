//! Any order of messages from any number of hostile peers: the agent never
//! panics, never leaks a session, never lets one name end another's call.

mod crowd;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::desk::*;
use camera_agent::agent::{Command, Event, HALF_OPEN, PeerEvent, SessionId};
use camera_agent::room::{Limits, Output, Room, Source};
use camera_agent::wire::{Candidate, ClientId, Incoming, Outgoing};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MAX_VIEWERS: usize = 3;
const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "camera", "mallory"];
const UFRAGS: [&str; 4] = ["AAAA", "BBBB", "CCCC", "DDDD"];
const PRINTS: [char; 3] = ['a', 'b', 'c'];

#[derive(Debug, Clone)]
enum Step {
    Offer {
        from: usize,
        ufrag: usize,
        print: usize,
    },
    BadOffer {
        from: usize,
        sdp: String,
    },
    Candidate {
        from: Option<usize>,
        ufrag: Option<usize>,
    },
    HangUp {
        from: usize,
        target: Option<usize>,
    },
    Users(Vec<usize>),
    Renamed(usize),
    Id(u64),
    Junk(String),
    Reconnect(u64),
    Peer {
        session: u64,
        event: usize,
    },
    NetworkChanged,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    prop_oneof![
        6 => (who.clone(), 0..UFRAGS.len(), 0..PRINTS.len())
            .prop_map(|(from, ufrag, print)| Step::Offer { from, ufrag, print }),
        1 => (who.clone(), ".{0,80}").prop_map(|(from, sdp)| Step::BadOffer { from, sdp }),
        4 => (proptest::option::of(who.clone()), proptest::option::of(0..UFRAGS.len()))
            .prop_map(|(from, ufrag)| Step::Candidate { from, ufrag }),
        3 => (who.clone(), proptest::option::of(who.clone()))
            .prop_map(|(from, target)| Step::HangUp { from, target }),
        2 => proptest::collection::vec(who.clone(), 0..6).prop_map(Step::Users),
        1 => who.prop_map(Step::Renamed),
        1 => (0..5_u64).prop_map(Step::Id),
        1 => ".{0,60}".prop_map(Step::Junk),
        1 => (5..9_u64).prop_map(Step::Reconnect),
        6 => (1..20_u64, 0..7_usize).prop_map(|(session, event)| Step::Peer { session, event }),
        1 => Just(Step::NetworkChanged),
        3 => (0..20_000_u64).prop_map(Step::Wait),
    ]
}

/// What the commands add up to, checked as they come.
#[derive(Default)]
struct Ledger {
    open: BTreeMap<SessionId, String>,
    /// Those of them whose media path was up.
    up: BTreeSet<SessionId>,
    ever: BTreeSet<SessionId>,
    hung_up: Vec<String>,
    /// Numbers that names were claimed under.
    ids: BTreeSet<String>,
    quit: bool,
}

impl Ledger {
    /// `by` is the name whose message this is, if it is one's message.
    fn post(&mut self, commands: &[Command], by: Option<&str>) {
        for command in commands {
            match command {
                Command::Open {
                    session, caller, ..
                } => {
                    assert!(self.ever.insert(*session), "{session} used twice");
                    self.open.insert(*session, caller.to_string());
                    assert_eq!(by, Some(caller.as_str()));
                }
                Command::Close { session } => {
                    let caller = self.open.remove(session);
                    let caller = caller.expect("closed once, after it was opened");
                    if let Some(by) = by {
                        assert_eq!(by, caller, "ended somebody else's call");
                    }
                }
                Command::Renegotiate { session, .. } => {
                    assert_eq!(self.open.get(session).map(String::as_str), by);
                }
                Command::AddCandidate { session, .. } => {
                    assert!(self.open.contains_key(session));
                }
                Command::Send(frame) => {
                    if let Outgoing::Username { id, .. } = frame {
                        self.ids.insert(id.0.to_string());
                    }
                    // Whoever is hung up on has no session left.
                    if let Outgoing::HangUp { target, .. } = frame {
                        self.hung_up.push(target.to_string());
                    }
                    let text = frame.to_text(1);
                    assert!(text.len() < camera_agent::wire::MAX_FRAME_BYTES);
                    Incoming::parse(&text).expect("what we send can be read");
                }
                Command::Quit => self.quit = true,
                Command::KeepKey { .. } => panic!("nobody was invited"),
                Command::Connect | Command::Disconnect | Command::Probe => {}
            }
        }
        for target in self.hung_up.drain(..) {
            assert!(!self.open.values().any(|caller| *caller == target));
        }
        self.up.retain(|id| self.open.contains_key(id));
        assert!(self.up.len() <= MAX_VIEWERS);
    }
}

fn play(desk: &mut Desk, ledger: &mut Ledger, step: Step) {
    let (commands, by) = match step {
        Step::Offer { from, ufrag, print } => (
            desk.offers(NAMES[from], &offer(UFRAGS[ufrag], PRINTS[print])),
            Some(NAMES[from]),
        ),
        Step::BadOffer { from, sdp } => (desk.offers(NAMES[from], &sdp), Some(NAMES[from])),
        Step::Candidate { from, ufrag } => (
            desk.candidate(from.map(|f| NAMES[f]), ufrag.map(|u| UFRAGS[u])),
            None,
        ),
        Step::HangUp { from, target } => (
            desk.hangs_up(NAMES[from], target.map(|t| NAMES[t])),
            Some(NAMES[from]),
        ),
        Step::Users(list) => {
            let list: Vec<_> = list.into_iter().map(|i| NAMES[i]).collect();
            let commands = desk.message(users(&list));
            assert!(closed(&commands).is_empty(), "a list is only a hint");
            (commands, None)
        }
        Step::Renamed(to) => (
            desk.message(Incoming::RejectUsername {
                id: Some(id()),
                name: name(NAMES[to]),
            }),
            None,
        ),
        Step::Id(number) => (desk.message(Incoming::Id(ClientId(number.into()))), None),
        Step::Junk(text) => match Incoming::parse(&text) {
            Ok(message) => (desk.message(message), None),
            Err(_) => return,
        },
        Step::Reconnect(number) => {
            let mut commands = desk.fire(Event::SignalingClosed);
            commands.extend(desk.wait(Duration::from_secs(61)));
            desk.fire(Event::SignalingOpen);
            let claims = desk.message(Incoming::Id(ClientId(number.into())));
            commands.extend(claims);
            (commands, None)
        }
        Step::Peer { session, event } => {
            let id = SessionId::new(session);
            if event == 2 && ledger.open.contains_key(&id) {
                ledger.up.insert(id);
            }
            let event = match event {
                0 => PeerEvent::Answered { sdp: "v=0".into() },
                1 => PeerEvent::Candidate(Candidate::default()),
                2 => PeerEvent::Connected,
                3 => PeerEvent::Rtcp,
                4 => PeerEvent::Left,
                5 => PeerEvent::Interrupted,
                _ => failed("lost"),
            };
            (desk.peer(id, event), None)
        }
        Step::NetworkChanged => (desk.fire(Event::NetworkChanged), None),
        Step::Wait(ms) => (desk.wait(Duration::from_millis(ms)), None),
    };
    ledger.post(&commands, by);
    assert_eq!(ledger.open.len(), desk.agent.viewers());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn no_order_of_messages_breaks_the_agent(steps in proptest::collection::vec(step(), 0..120)) {
        let mut desk = Desk::online(MAX_VIEWERS);
        let mut ledger = Ledger::default();
        for step in steps {
            play(&mut desk, &mut ledger, step);
        }
        // Left alone, every session ends by itself.
        let commands = desk.wait(Duration::from_secs(60));
        ledger.post(&commands, None);
        prop_assert!(ledger.open.is_empty(), "{:?} leaked", ledger.open);
        // The server's numbers are 5 and more here; smaller ones are forged.
        let forged = |id: &String| id.parse::<u64>().is_ok_and(|id| id < 5);
        prop_assert!(!ledger.ids.iter().any(forged), "{:?}", ledger.ids);
        prop_assert_eq!(desk.agent.viewers(), 0);
    }

    #[test]
    fn a_shutdown_at_any_moment_closes_everything(
        steps in proptest::collection::vec(step(), 0..60),
        after in proptest::collection::vec(step(), 0..20),
    ) {
        let mut desk = Desk::online(MAX_VIEWERS);
        let mut ledger = Ledger::default();
        for step in steps {
            play(&mut desk, &mut ledger, step);
        }
        let commands = desk.fire(Event::Shutdown);
        ledger.post(&commands, None);
        prop_assert!(ledger.open.is_empty() && ledger.quit);
        for step in after {
            play(&mut desk, &mut ledger, step);
        }
        prop_assert!(ledger.open.is_empty(), "nothing is opened any more");
    }

    /// The agent behind our own room: whatever a hostile client writes as
    /// `name`, only the caller ends their call.
    #[test]
    fn behind_our_server_a_forged_name_ends_nobodys_call(
        frames in proptest::collection::vec((0..3_usize, 0..7_usize, 0..NAMES.len(), 0..NAMES.len(), 0..UFRAGS.len()), 0..60)
    ) {
        let mut desk = Desk::online(MAX_VIEWERS);
        let mut ledger = Ledger::default();
        let mut room = Room::new(1_700_000_000_000, Limits::default(), [7; 32]);
        let join = |room: &mut Room, wanted: &str, now| {
            let source = Source::of([192, 0, 2, 1].into());
            let connection = room.join(source, now).expect("there is room");
            let claim = serde_json::json!({"type": "username", "name": wanted, "id": connection.number(), "date": 0,
                "device": wanted == "camera"});
            room.receive(connection, &claim.to_string(), now);
            connection
        };
        let device = join(&mut room, "camera", desk.now);
        let victim = join(&mut room, "victim", desk.now);
        let hostile: Vec<_> = (0..3).map(|i| join(&mut room, &format!("hostile{i}"), desk.now)).collect();
        while room.next_output().is_some() {}

        let deliver = |room: &mut Room, desk: &mut Desk, ledger: &mut Ledger| {
            while let Some(output) = room.next_output() {
                if let Output::Relay { to, text, .. } = output
                    && to == device
                    && let Ok(message) = Incoming::parse(&text)
                {
                    let commands = desk.message(message);
                    ledger.post_all(&commands);
                }
            }
        };
        let call = serde_json::json!({"type": "video-offer", "name": "victim", "target": "camera",
            "sdp": {"type": "offer", "sdp": offer("VVVV", 'e')}});
        room.receive(victim, &call.to_string(), desk.now);
        deliver(&mut room, &mut desk, &mut ledger);
        prop_assert_eq!(ledger.open.len(), 1);

        for (who, kind, forged, target, ufrag) in frames {
            let forged = [NAMES[forged], "victim"][kind % 2];
            let target = [Some("camera"), Some(NAMES[target]), None][kind % 3];
            let frame = match kind {
                0..=2 => serde_json::json!({"type": "hang-up", "name": forged, "target": target}),
                3..=5 => serde_json::json!({"type": "video-offer", "name": forged, "target": target,
                    "sdp": {"type": "offer", "sdp": offer(UFRAGS[ufrag], 'f')}}),
                _ => serde_json::json!({"type": "rejectusername", "name": forged, "id": 1, "target": target}),
            };
            room.receive(hostile[who], &frame.to_string(), desk.now);
            deliver(&mut room, &mut desk, &mut ledger);
        }
        prop_assert!(ledger.open.values().any(|caller| caller == "victim"));
        let claims = desk.fire(Event::Timeout);
        let claims = claims.iter().any(|c| matches!(c, Command::Send(Outgoing::Username { .. })));
        prop_assert!(!claims, "nobody took the device's name away");
    }
}

impl Ledger {
    /// Several names' messages at once: only the book-keeping is checked.
    fn post_all(&mut self, commands: &[Command]) {
        for command in commands {
            match command {
                Command::Open {
                    session, caller, ..
                } => {
                    self.open.insert(*session, caller.to_string());
                }
                Command::Close { session } => {
                    assert!(self.open.remove(session).is_some());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_reason_never_holds_more_than_a_line_of_a_strangers_text() {
    let mut desk = Desk::online(4);
    let junk = ["x".repeat(50_000), "v=\u{1b}[2J\r\n\u{202e}".repeat(500)];
    for (i, junk) in junk.iter().enumerate() {
        let commands = desk.offers(&format!("m{i}"), junk);
        let [(_, reason)] = hung_up(&commands)[..] else {
            panic!("{commands:?}")
        };
        assert!(reason.len() <= 200, "{} bytes", reason.len());
        assert!(!reason.chars().any(char::is_control), "{reason:?}");
    }
    let call = desk.call("alice", "AAAA", 'a');
    let commands = desk.peer(call, failed("y".repeat(60_000)));
    assert!(hung_up(&commands)[0].1.len() <= 200);
}
