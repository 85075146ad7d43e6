//! Any order of messages from invited people and others: nobody is answered
//! without a proof for the very certificate that they offer, and what others do
//! costs invited people nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::desk::*;
use camera_agent::access::{
    Call, Gate, Guests, Invitation, Invite, May, Mode, ProofKey, Side, Stage,
};
use camera_agent::agent::{Command, Event, PeerEvent, SessionId};
use camera_agent::wire::{Access, ClientId, Incoming, Outgoing, Stamp};
use proptest::prelude::*;

const NAMES: [&str; 4] = ["alice", "bob", "mallory", "camera"];
const UFRAGS: [&str; 3] = ["AAAA", "BBBB", "CCCC"];
const PRINTS: [char; 3] = ['a', 'b', 'c'];
/// Whose invitations there are: the last one may not watch.
const LABELS: [&str; 3] = ["alice", "bob", "listener"];

fn invite(of: usize) -> Invite {
    Invite::of([of as u8; 16])
}

fn invitation(of: usize) -> Invitation {
    let invite = invite(of);
    let may = ["watch,listen", "watch", "listen"][of];
    Invitation {
        label: name(LABELS[of]),
        may: May::parse(may).expect("rights"),
        made: 1,
        until: None,
        stage: [Stage::Link, Stage::Shared, Stage::Kept][of],
        key: (invite.id(), invite.key()),
        given: Vec::new(),
    }
}

fn guests(of: &BTreeSet<usize>) -> Guests {
    let invitations: Vec<_> = of.iter().map(|of| invitation(*of)).collect();
    Guests::of(&invitations, 10)
}

fn print(c: char) -> [u8; 32] {
    [u8::from_str_radix(&format!("{c}{c}"), 16).expect("digits"); 32]
}

/// A camera that lets in invited people alone.
fn behind_a_gate(max_viewers: usize, invited: &BTreeSet<usize>) -> Desk {
    let mut desk = Desk::behind(max_viewers, Gate::new(Mode::Invited, "camera", [0xdd; 32]));
    desk.agent.invited(guests(invited), desk.now);
    desk
}

/// What an offer shows: a proof by this one's key for these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    key: usize,
    ufrag: usize,
    print: usize,
    /// Under another's name of the key.
    as_key: usize,
    camera: &'static str,
}

impl Shown {
    fn access(self) -> Access {
        let fingerprint = print(PRINTS[self.print]);
        let call = Call {
            camera: self.camera,
            viewer: Side {
                fingerprint: &fingerprint,
                ufrag: UFRAGS[self.ufrag],
            },
            id: invite(self.as_key).id(),
        };
        Access {
            id: call.id.to_string(),
            proof: ProofKey::of(&invite(self.key).key()).offer(&call),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Offer {
        from: usize,
        ufrag: usize,
        print: usize,
        shown: Option<Shown>,
    },
    Garbage {
        from: usize,
        id: String,
        proof: String,
    },
    HangUp(usize),
    Peer(u64, usize),
    Invited(BTreeSet<usize>),
    Wait(u64),
}

fn shown() -> impl Strategy<Value = Shown> {
    let camera = prop_oneof![9 => Just("camera"), 1 => Just("other")];
    (0..3usize, 0..3usize, 0..3usize, 0..6usize, camera).prop_map(
        |(key, ufrag, print, other, camera)| Shown {
            key,
            ufrag,
            print,
            as_key: if other < 3 { other } else { key },
            camera,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let offer = (0..NAMES.len(), 0..3usize, 0..3usize, 0..4u8, shown());
    prop_oneof![
        8 => offer.prop_map(|(from, ufrag, print, how, shown)| Step::Offer {
            from, ufrag, print,
            shown: match how {
                0 => None,
                // Mostly of this very offer.
                1 | 2 => Some(Shown { ufrag, print, as_key: shown.key, camera: "camera", ..shown }),
                _ => Some(shown),
            },
        }),
        1 => (0..NAMES.len(), "[A-Za-z0-9_-]{0,12}", "[A-Za-z0-9_-]{0,44}")
            .prop_map(|(from, id, proof)| Step::Garbage { from, id, proof }),
        2 => (0..NAMES.len()).prop_map(Step::HangUp),
        4 => (1..20u64, 0..4usize).prop_map(|(session, event)| Step::Peer(session, event)),
        2 => prop::collection::btree_set(0..3usize, 0..4).prop_map(Step::Invited),
        2 => (0..5_000u64).prop_map(Step::Wait),
    ]
}

/// What must hold, by what was offered.
#[derive(Default)]
struct Ledger {
    invited: BTreeSet<usize>,
    /// Calls, whose invitation they are of, and the certificate.
    open: BTreeMap<SessionId, (usize, usize)>,
    /// Offers that opened or renewed a call.
    taken: BTreeSet<(usize, usize)>,
}

impl Ledger {
    fn is_good(&self, ufrag: usize, print: usize, shown: Option<Shown>) -> bool {
        shown.is_some_and(|s| {
            let of_this = (s.ufrag, s.print, s.as_key, s.camera) == (ufrag, print, s.key, "camera");
            of_this && self.invited.contains(&s.key) && s.key != 2
        })
    }

    fn post(&mut self, commands: &[Command], offered: Option<(usize, usize, Option<Shown>)>) {
        let good = offered.filter(|(ufrag, print, shown)| self.is_good(*ufrag, *print, *shown));
        for command in commands {
            match command {
                Command::Open {
                    session,
                    guest,
                    offer,
                    ..
                } => {
                    let (ufrag, print, shown) = good.expect("opened without a proof");
                    let key = shown.expect("shown").key;
                    assert!(
                        self.taken.insert((key, ufrag)),
                        "the same offer opened a call twice"
                    );
                    let guest = guest.as_ref().expect("somebody's");
                    assert_eq!(guest.label.as_str(), LABELS[key]);
                    assert_eq!(offer.sound.is_some(), key == 0, "no sound but by right");
                    self.open.insert(*session, (key, print));
                }
                Command::Renegotiate { session, offer } => {
                    let (ufrag, print, shown) = good.expect("renewed without a proof");
                    let key = shown.expect("shown").key;
                    self.taken.insert((key, ufrag));
                    assert_eq!(self.open[session], (key, print), "another's call");
                    assert_eq!(offer.sound.is_some(), key == 0);
                }
                Command::Close { session } => {
                    self.open.remove(session).expect("it was open");
                }
                Command::Send(Outgoing::VideoAnswer { proof, .. }) => {
                    assert!(proof.is_some(), "an answer that proves nothing");
                }
                _ => {}
            }
        }
        assert!(
            self.open
                .values()
                .all(|(key, _)| self.invited.contains(key))
        );
    }
}

fn play(desk: &mut Desk, ledger: &mut Ledger, step: Step) {
    match step {
        Step::Offer {
            from,
            ufrag,
            print,
            shown,
        } => {
            let sdp = offer(UFRAGS[ufrag], PRINTS[print]);
            let commands = desk.message(Incoming::VideoOffer {
                name: name(NAMES[from]),
                sdp,
                access: shown.map(Shown::access),
            });
            ledger.post(&commands, Some((ufrag, print, shown)));
        }
        Step::Garbage { from, id, proof } => {
            let commands = desk.message(Incoming::VideoOffer {
                name: name(NAMES[from]),
                sdp: offer("AAAA", 'a'),
                access: Some(Access { id, proof }),
            });
            ledger.post(&commands, None);
        }
        Step::HangUp(from) => {
            let commands = desk.hangs_up(NAMES[from], None);
            ledger.post(&commands, None);
        }
        Step::Peer(session, event) => {
            let event = match event {
                0 => PeerEvent::Answered {
                    sdp: "v=0\r\na=ice-ufrag:dev1\r\n".into(),
                },
                1 => PeerEvent::Connected,
                2 => PeerEvent::Left,
                _ => PeerEvent::KeyKept(invite(0).id()),
            };
            let commands = desk.peer(SessionId::new(session), event);
            ledger.post(&commands, None);
        }
        Step::Invited(of) => {
            desk.agent.invited(guests(&of), desk.now);
            ledger.invited = of;
            let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
            ledger.post(&commands, None);
        }
        Step::Wait(ms) => {
            let commands = desk.wait(Duration::from_millis(ms));
            ledger.post(&commands, None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_sequence_opens_a_call_without_a_proof_for_that_certificate(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let all = BTreeSet::from([0, 1, 2]);
        let mut desk = behind_a_gate(3, &all);
        let mut ledger = Ledger { invited: all, ..Ledger::default() };
        for step in steps {
            play(&mut desk, &mut ledger, step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two cameras: the same guests call both, and only one has strangers, who
    /// use the guests' names and the names of their keys.
    #[test]
    fn strangers_of_any_number_cost_invited_people_nothing(
        turns in prop::collection::vec((0..40usize, 0..4usize, 0..1_500u64), 1..60),
    ) {
        let invited = BTreeSet::from([0, 1]);
        let (mut quiet, mut besieged) = (behind_a_gate(4, &invited), behind_a_gate(4, &invited));
        for (at, (strangers, how, ms)) in turns.into_iter().enumerate() {
            for i in 0..strangers {
                let access = match how {
                    0 => None,
                    1 => Some(Access { id: invite(i % 2).id().to_string(), proof: "A".repeat(43) }),
                    2 => Some(Shown { key: 2, ufrag: 0, print: 0, as_key: i % 2, camera: "camera" }.access()),
                    _ => Some(Access { id: String::new(), proof: String::new() }),
                };
                let from = if i % 3 == 0 { "alice".to_owned() } else { format!("m{i}") };
                let offered = Incoming::VideoOffer {
                    name: name(&from),
                    sdp: offer("AAAA", 'a'),
                    access,
                };
                let opened = besieged.message(offered);
                prop_assert!(opened.iter().all(|c| matches!(c, Command::Send(_))), "{opened:?}");
            }
            let key = at % 2;
            let fingerprint = print('b');
            let ufrag = format!("user{at}");
            let call = Call {
                camera: "camera",
                viewer: Side { fingerprint: &fingerprint, ufrag: &ufrag },
                id: invite(key).id(),
            };
            let access = Access {
                id: call.id.to_string(),
                proof: ProofKey::of(&invite(key).key()).offer(&call),
            };
            let mut answers = [&mut quiet, &mut besieged].map(|desk| {
                let mut commands = desk.message(Incoming::VideoOffer {
                    name: name(NAMES[key]),
                    sdp: offer(&ufrag, 'b'),
                    access: Some(access.clone()),
                });
                commands.extend(desk.wait(Duration::from_millis(ms)));
                commands.retain(|c| matches!(c, Command::Open { .. } | Command::Renegotiate { .. } | Command::Close { .. }));
                commands
            });
            let [quiet, besieged] = &mut answers;
            prop_assert_eq!(quiet, besieged);
        }
    }
}

#[test]
fn a_stranger_hears_how_to_be_invited_and_costs_nothing_else() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    let commands = desk.offers("stranger", &offer("AAAA", 'a'));
    let [Command::Send(frame)] = &commands[..] else {
        panic!("{commands:?}")
    };
    let frame: serde_json::Value = serde_json::from_str(&frame.to_text(0)).expect("JSON");
    assert_eq!(frame["type"], "hang-up");
    assert_eq!(frame["code"], "uninvited");
    let reason = frame["reason"].as_str().expect("words");
    assert!(
        reason.contains("ask its owner for an invitation"),
        "{reason}"
    );
    // A hang-up in their name would end the call that they have.
    let shown = Shown {
        key: 0,
        ufrag: 0,
        print: 0,
        as_key: 0,
        camera: "camera",
    };
    let session = call(&mut desk, "alice", 0, shown);
    assert!(desk.offers("alice", &offer("BBBB", 'b')).is_empty());
    // Taken back, and they are told.
    desk.agent.invited(Guests::default(), desk.now);
    let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
    assert_eq!(closed(&commands), [session]);
    let [(to, words)] = hung_up(&commands)[..] else {
        panic!("{commands:?}")
    };
    assert!(to == "alice" && words.contains("taken back"), "{words}");
}

#[test]
fn a_proof_with_two_fingerprints_beside_it_is_none() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    let shown = Shown {
        key: 0,
        ufrag: 0,
        print: 0,
        as_key: 0,
        camera: "camera",
    };
    let good = offer("AAAA", 'a');
    let line = good
        .lines()
        .find(|l| l.starts_with("a=fingerprint"))
        .expect("one");
    let other = line.replace("aa", "bb");
    let odd = [
        // A section with another, a second one beside, one of another hash.
        good.replacen(line, &other, 1),
        good.replacen(line, &format!("{line}\r\n{other}"), 1),
        good.replacen(line, &format!("{other}\r\n{line}"), 1),
        good.replacen(line, &format!("{line}\r\na=fingerprint:sha-1 AA:BB"), 1),
        good.replacen("m=audio", &format!("{other}\r\nm=audio"), 1),
    ];
    for sdp in odd {
        assert_ne!(sdp, good);
        let commands = desk.message(Incoming::VideoOffer {
            name: name("alice"),
            sdp,
            access: Some(shown.access()),
        });
        assert!(
            commands.iter().all(|c| matches!(c, Command::Send(_))),
            "{commands:?}"
        );
        desk.wait(Duration::from_secs(5));
    }
    call(&mut desk, "alice", 0, shown);
}

#[test]
fn answers_prove_the_camera_to_each_offer_that_they_answer() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    let mut shown = Shown {
        key: 0,
        ufrag: 0,
        print: 0,
        as_key: 0,
        camera: "camera",
    };
    let session = call(&mut desk, "alice", 0, shown);
    // An ICE restart, and another before the first was answered.
    for ufrag in [1, 2] {
        shown.ufrag = ufrag;
        let commands = offers(&mut desk, "alice", ufrag, shown);
        assert!(
            matches!(commands[..], [Command::Renegotiate { .. }]),
            "{commands:?}"
        );
    }
    for ufrag in [1, 2] {
        let sdp = format!("v=0\r\na=ice-ufrag:dev{ufrag}\r\n");
        let commands = desk.peer(session, PeerEvent::Answered { sdp });
        let [
            Command::Send(Outgoing::VideoAnswer {
                proof, ufrag: of, ..
            }),
        ] = &commands[..]
        else {
            panic!("{commands:?}")
        };
        assert_eq!(of, UFRAGS[ufrag]);
        let fingerprint = print('a');
        let call = Call {
            camera: "camera",
            viewer: Side {
                fingerprint: &fingerprint,
                ufrag: UFRAGS[ufrag],
            },
            id: invite(0).id(),
        };
        let device = Side {
            fingerprint: &[0xdd; 32],
            ufrag: &format!("dev{ufrag}"),
        };
        let proof = proof.as_deref().expect("a proof");
        assert!(ProofKey::of(&invite(0).key()).is_of_answer(&call, device, proof));
    }
    // Back to an offer of before: somebody replays it.
    shown.ufrag = 1;
    let commands = offers(&mut desk, "alice", 1, shown);
    assert!(commands.is_empty(), "{commands:?}");
}

#[test]
fn with_an_end_an_invitation_ends_also_in_a_call() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    let shown = Shown {
        key: 0,
        ufrag: 0,
        print: 0,
        as_key: 0,
        camera: "camera",
    };
    let session = call(&mut desk, "alice", 0, shown);
    let ends = Invitation {
        until: Some(100_000),
        ..invitation(0)
    };
    let at = |desk: &mut Desk, now| {
        desk.agent
            .invited(Guests::of(std::slice::from_ref(&ends), now), desk.now);
        std::iter::from_fn(|| desk.agent.next_command()).collect::<Vec<_>>()
    };
    assert!(at(&mut desk, 99_999).is_empty());
    let commands = at(&mut desk, 100_000);
    assert_eq!(closed(&commands), [session]);
    assert!(hung_up(&commands)[0].1.contains("has ended"));
    let shown = Shown { ufrag: 1, ..shown };
    let commands = offers(&mut desk, "alice", 1, shown);
    assert!(hung_up(&commands)[0].1.contains("has ended"));
    // A clock that was not set yet says nothing of an end.
    let made = Invitation {
        made: 90_000,
        ..ends.clone()
    };
    desk.agent.invited(Guests::of(&[made], 10), desk.now);
    desk.wait(Duration::from_secs(2));
    let commands = offers(&mut desk, "alice", 1, shown);
    assert!(hung_up(&commands)[0].1.contains("what time it is"));
}

#[test]
fn a_camera_that_is_open_lets_everybody_in_and_proves_itself_to_guests() {
    let gate = Gate::new(Mode::Open, "camera", [0xdd; 32]);
    let mut desk = Desk::behind(4, gate);
    desk.agent.invited(guests(&BTreeSet::from([1])), desk.now);
    desk.call("stranger", "BBBB", 'b');
    let shown = Shown {
        key: 1,
        ufrag: 0,
        print: 0,
        as_key: 1,
        camera: "camera",
    };
    let commands = offers(&mut desk, "bob", 0, shown);
    let [Command::Open { session, offer, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(offer.sound.is_some(), "everybody hears an open camera");
    let sdp = "v=0\r\na=ice-ufrag:dev1\r\n".to_owned();
    let commands = desk.peer(*session, PeerEvent::Answered { sdp });
    let [Command::Send(Outgoing::VideoAnswer { proof, .. })] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(proof.is_some());
    // It closes, and who was not invited goes.
    desk.agent.lets_in(Mode::Invited, desk.now);
    let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
    // Bob's invitation is for the picture alone, and they call again.
    let told = hung_up(&commands);
    assert!(told[0].0 == "stranger" && told[0].1.contains("only invited people"));
    assert!(told[1].0 == "bob" && told[1].1.contains("call again"));
}

/// A page that is loaded again comes by another connection, and its old call may
/// still look alive: Firefox says no goodbye.
#[test]
fn who_shows_their_own_key_replaces_their_call_by_whatever_connection() {
    let by = |conn: u64, label: &str, ufrag: usize, key: usize| {
        let shown = Shown {
            key,
            ufrag,
            print: ufrag,
            as_key: key,
            camera: "camera",
        };
        Incoming::From {
            stamp: Stamp {
                conn: ClientId(conn.into()),
                source: None,
            },
            message: Box::new(Incoming::VideoOffer {
                name: name(label),
                sdp: offer(UFRAGS[ufrag], PRINTS[ufrag]),
                access: Some(shown.access()),
            }),
        }
    };
    // Bob's invitation is shared: others who have it are not Bob.
    for (label, key, replaces) in [("alice", 0, true), ("bob", 1, false)] {
        let mut desk = behind_a_gate(4, &BTreeSet::from([0, 1]));
        let commands = desk.message(by(17, label, 0, key));
        let [Command::Open { session, .. }] = commands[..] else {
            panic!("{commands:?}")
        };
        let sdp = "v=0\r\na=ice-ufrag:dev0\r\n".to_owned();
        desk.peer(session, PeerEvent::Answered { sdp });
        desk.fire(Event::Peer(session, PeerEvent::Connected));
        // Another guest under this name does not.
        let commands = desk.message(by(19, label, 2, 1 - key));
        assert_eq!(closed(&commands), [], "{label}");
        let commands = desk.message(by(18, label, 1, key));
        if replaces {
            assert_eq!(closed(&commands), [session]);
            let opens = |c: &Command| matches!(c, Command::Open { .. });
            assert!(commands.iter().any(opens), "{commands:?}");
        } else {
            assert_eq!(closed(&commands), []);
            assert!(hung_up(&commands)[0].1.contains("take another name"));
        }
    }
}

fn offers(desk: &mut Desk, from: &str, ufrag: usize, shown: Shown) -> Vec<Command> {
    desk.message(Incoming::VideoOffer {
        name: name(from),
        sdp: offer(UFRAGS[ufrag], PRINTS[shown.print]),
        access: Some(shown.access()),
    })
}

fn call(desk: &mut Desk, from: &str, ufrag: usize, shown: Shown) -> SessionId {
    let commands = offers(desk, from, ufrag, shown);
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let sdp = "v=0\r\na=ice-ufrag:dev0\r\n".to_owned();
    desk.peer(session, PeerEvent::Answered { sdp });
    desk.fire(Event::Peer(session, PeerEvent::Connected));
    session
}
