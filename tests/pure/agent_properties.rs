//! Any order of messages from any number of hostile peers: the agent never
//! panics, never leaks a session, never lets one name end another's call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::desk::*;
use camera_agent::agent::{Command, Event, HALF_OPEN, PeerEvent, SessionId};
use camera_agent::room::{Limits, Output, Room, Source};
use camera_agent::wire::{Candidate, ClientId, Incoming, Outgoing};
use proptest::prelude::*;

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
                _ => PeerEvent::Failed("lost".into()),
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

const SECOND: Duration = Duration::from_secs(1);

/// Strangers who offer evenly, each under one of `names` names in turn.
#[derive(Debug, Clone)]
struct Crowd {
    names: usize,
    /// Between two offers.
    every: Duration,
    /// What they send, in turn.
    kinds: Vec<Kind>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Junk(usize),
    /// A call that never gets a media path, of a certificate of its own or the
    /// one of the last.
    Call {
        anew: bool,
    },
}

fn crowd() -> impl Strategy<Value = Crowd> {
    let kind = prop_oneof![
        (0..60_000_usize).prop_map(Kind::Junk),
        any::<bool>().prop_map(|anew| Kind::Call { anew }),
    ];
    let kinds = proptest::collection::vec(kind, 1..6);
    (1..40_usize, 5..400_u64, kinds).prop_map(|(names, every, kinds)| Crowd {
        names,
        every: Duration::from_millis(every),
        kinds,
    })
}

/// Somebody who wants to see the camera.
#[derive(Debug, Clone)]
struct Honest {
    /// When they call.
    at: Duration,
    /// How long their media path takes.
    connects_in: Duration,
}

fn honest(from: u64) -> impl Strategy<Value = Honest> {
    (from..19_000_u64, 50..2_000_u64).prop_map(|(at, connects_in)| Honest {
        at: Duration::from_millis(at),
        connects_in: Duration::from_millis(connects_in),
    })
}

/// A crowd and honest people before one camera.
struct Siege {
    desk: Desk,
    /// Calls of honest people, and when their path will be up.
    calls: BTreeMap<SessionId, (usize, Instant)>,
    /// Who got no call, or lost it before its path was up.
    lost: Vec<usize>,
    /// Frames that the device sent.
    sent: usize,
}

impl Siege {
    /// Plays 22 s.
    fn play(crowd: &Crowd, honest: &[Honest]) -> Self {
        let mut this = Self {
            desk: Desk::online(8),
            calls: BTreeMap::new(),
            lost: Vec::new(),
            sent: 0,
        };
        let start = this.desk.now;
        let (mut next, mut count) = (start, 0);
        let mut waiting: Vec<_> = honest.iter().enumerate().collect();
        waiting.sort_by_key(|(_, person)| person.at);
        let mut waiting = waiting.into_iter().peekable();
        while this.desk.now < start + 22 * SECOND {
            let connects = this.calls.iter().map(|(id, (_, at))| (*at, *id)).min();
            let calls = waiting.peek().map(|(_, person)| start + person.at);
            let at = [connects.map(|(at, _)| at), calls, Some(next)];
            let at = at.into_iter().flatten().min().expect("one is there");
            let passed = this.desk.wait(at - this.desk.now);
            this.note(&passed);
            match connects {
                Some((due, id)) if due == at => this.connects(id),
                _ if calls == Some(at) => {
                    let (who, person) = waiting.next().expect("it was seen");
                    this.calls(who, at + person.connects_in);
                }
                _ => {
                    let (name, sdp) = crowd.message(count);
                    let commands = this.desk.offers(&name, &sdp);
                    this.note(&commands);
                    count += 1;
                    next += crowd.every;
                }
            }
            assert!(this.desk.agent.viewers() <= 8 + HALF_OPEN);
        }
        this
    }

    fn calls(&mut self, who: usize, connects_at: Instant) {
        let offered = self.desk.offers(&person(who), &offer("HHHH", 'c'));
        let opened = offered.iter().find_map(|c| match c {
            Command::Open { session, .. } => Some(*session),
            _ => None,
        });
        match opened {
            Some(id) => {
                let answer = PeerEvent::Answered { sdp: "v=0".into() };
                let answered = self.desk.peer(id, answer);
                self.note(&answered);
                self.calls.insert(id, (who, connects_at));
            }
            None => self.lost.push(who),
        }
        self.note(&offered);
    }

    /// And has seen enough at once.
    fn connects(&mut self, id: SessionId) {
        let Some((who, _)) = self.calls.remove(&id) else {
            return;
        };
        let commands = self.desk.peer(id, PeerEvent::Connected);
        self.note(&commands);
        if self.desk.agent.connected() != 1 {
            self.lost.push(who);
        }
        let commands = self.desk.hangs_up(&person(who), Some("camera"));
        self.note(&commands);
    }

    fn note(&mut self, commands: &[Command]) {
        for id in closed(commands) {
            if let Some((who, _)) = self.calls.remove(&id) {
                self.lost.push(who);
            }
        }
        let is_frame = |c: &&Command| matches!(c, Command::Send(_));
        self.sent += commands.iter().filter(is_frame).count();
    }
}

fn person(number: usize) -> String {
    format!("honest{number}")
}

impl Crowd {
    /// Their message of this number: who sends it, and what.
    fn message(&self, number: usize) -> (String, String) {
        let sdp = match self.kinds[number / self.names % self.kinds.len()] {
            Kind::Junk(bytes) => "x".repeat(bytes),
            Kind::Call { anew } => {
                let is_odd = number / self.names % 2 == 1;
                offer("MMMM", if anew && is_odd { 'a' } else { 'b' })
            }
        };
        (format!("m{}", number % self.names), sdp)
    }
}

/// As it was seen: most of eight callers got silence.
#[test]
fn sixteen_junk_offers_a_second_from_many_names_cost_no_caller_anything() {
    let crowd = Crowd {
        names: 64,
        every: SECOND / 16,
        kinds: vec![Kind::Junk(1)],
    };
    let honest: Vec<_> = (0..8)
        .map(|i| Honest {
            at: Duration::from_millis(2_000 * i + 1_500),
            connects_in: SECOND,
        })
        .collect();
    assert_eq!(Siege::play(&crowd, &honest).lost, Vec::<usize>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]

    /// Whatever a crowd of some names sends and how fast, who was not here
    /// before is served, and keeps the call until the media path is up. In the
    /// first seconds the crowd was not here before, either.
    #[test]
    fn a_crowd_that_never_connects_keeps_nobody_out(
        crowd in crowd(),
        honest in proptest::collection::vec(honest(5_000), 1..6),
    ) {
        let Siege { lost, sent, .. } = Siege::play(&crowd, &honest);
        prop_assert!(lost.is_empty(), "{:?} of {:?}", lost, honest);
        prop_assert!(sent < 300 + 40 * 22, "our chat server would close it: {sent} frames");
    }
}

#[test]
fn a_call_that_is_renewed_ends_all_the_same_when_no_path_comes() {
    let mut desk = Desk::online(8);
    let commands = desk.offers("mallory", &offer("MMMM", 'a'));
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    for i in 0..2 {
        assert!(closed(&desk.wait(14 * SECOND)).is_empty());
        let commands = desk.offers("mallory", &offer(&format!("MM{i}M"), 'a'));
        assert!(matches!(commands[..], [Command::Renegotiate { .. }]));
    }
    assert_eq!(closed(&desk.wait(3 * SECOND)), [session]);
}

#[test]
fn calls_without_a_path_are_no_viewers_and_the_oldest_gives_way() {
    let mut desk = Desk::online(2);
    let mut half_open = Vec::new();
    for i in 0..HALF_OPEN {
        let commands = desk.offers(&format!("m{i}"), &offer(&format!("MM{i:02}"), 'a'));
        let [Command::Open { session, .. }] = commands[..] else {
            panic!("{commands:?}")
        };
        half_open.push(session);
    }
    let commands = desk.offers("alice", &offer("AAAA", 'c'));
    assert_eq!(closed(&commands), [half_open[0]]);
    assert_eq!(hung_up(&commands)[0].0, "m0");
    let opened = commands.iter().find_map(|c| match c {
        Command::Open { session, .. } => Some(*session),
        _ => None,
    });
    desk.peer(opened.expect("a call"), PeerEvent::Connected);
    // One who has left the chat gives way before an older one.
    let here: Vec<_> = (1..HALF_OPEN).map(|i| format!("m{i}")).collect();
    let here = here.iter().map(String::as_str).filter(|n| *n != "m9");
    let here: Vec<_> = here.chain(["camera", "alice", "bob"]).collect();
    desk.message(users(&here));
    desk.offers("bob", &offer("BBBB", 'd'));
    let commands = desk.offers("carol", &offer("CCCC", 'e'));
    assert_eq!(closed(&commands), [half_open[9]]);
    assert_eq!(desk.agent.connected(), 1);
}

#[test]
fn the_last_place_is_for_the_first_who_gets_a_path() {
    let mut desk = Desk::online(1);
    let open = |desk: &mut Desk, who, ufrag, print| {
        let commands = desk.offers(who, &offer(ufrag, print));
        let [Command::Open { session, .. }] = commands[..] else {
            panic!("{commands:?}")
        };
        session
    };
    let alice = open(&mut desk, "alice", "AAAA", 'a');
    let bob = open(&mut desk, "bob", "BBBB", 'b');
    assert!(desk.peer(bob, PeerEvent::Connected).is_empty());
    let commands = desk.peer(alice, PeerEvent::Connected);
    assert_eq!(closed(&commands), [alice]);
    assert!(
        matches!(&hung_up(&commands)[..], [("alice", reason)] if reason.contains("as many")),
        "{commands:?}"
    );
}

#[test]
fn who_left_before_the_path_was_up_leaves_the_place_to_others() {
    let mut desk = Desk::online(4);
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    desk.message(users(&["camera", "alice"]));
    desk.message(users(&["camera"]));
    let commands = desk.wait(4 * SECOND);
    assert!(closed(&commands).is_empty(), "a list is a hint");
    desk.message(users(&["camera", "alice"]));
    assert!(closed(&desk.wait(4 * SECOND)).is_empty());
    desk.message(users(&["camera"]));
    assert_eq!(closed(&desk.wait(6 * SECOND)), [session]);
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
    let commands = desk.peer(call, PeerEvent::Failed("y".repeat(60_000)));
    assert!(hung_up(&commands)[0].1.len() <= 200);
}
