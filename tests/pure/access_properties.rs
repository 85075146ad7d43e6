//! Any order of messages from invited people and others: nobody is answered
//! without a proof for the very certificate that they offer, and what others do
//! costs invited people nothing.

mod calls;
mod notes;
mod places;

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
                again: false,
                name: name(NAMES[from]),
                sdp,
                access: shown.map(Shown::access),
            });
            ledger.post(&commands, Some((ufrag, print, shown)));
        }
        Step::Garbage { from, id, proof } => {
            let commands = desk.message(Incoming::VideoOffer {
                again: false,
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
                let offered = Incoming::VideoOffer {again: false,
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
                let mut commands = desk.message(Incoming::VideoOffer {again: false,
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
