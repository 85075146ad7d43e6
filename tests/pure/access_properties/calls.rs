//! One call after another, as they come: what a gate says of each.

use super::*;

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
            again: false,
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
    let [
        Command::Open {
            session,
            offer,
            guest,
            ..
        },
    ] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert!(offer.sound.is_some(), "everybody hears an open camera");
    let may = guest.as_ref().expect("a guest").may;
    assert_eq!(may, May::watch_and_listen(), "what everybody may, no more");
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

/// Rights that everybody does not have end with the invitation, whatever the call
/// has offered since.
#[test]
fn at_an_open_camera_the_call_of_a_guest_ends_with_their_invitation() {
    let of = |may: &str, until: Option<u64>| {
        let may = May::parse(may).expect("rights");
        let bob = Invitation {
            may,
            until,
            ..invitation(1)
        };
        Guests::of(&[bob], 100)
    };
    let cases = [
        (Guests::default(), Some("taken back")),
        (of("watch,control", Some(50)), Some("has ended")),
        (of("watch,recordings", None), Some("has changed")),
        (of("watch,control", None), None),
        // Everybody hears.
        (of("watch,listen,control", None), None),
    ];
    for (now, told) in cases {
        for again in [None, Some(false), Some(true)] {
            let gate = Gate::new(Mode::Open, "camera", [0xdd; 32]);
            let mut desk = Desk::behind(4, gate);
            desk.agent.invited(of("watch,control", None), desk.now);
            let shown = Shown {
                key: 1,
                ufrag: 0,
                print: 0,
                as_key: 1,
                camera: "camera",
            };
            call(
                &mut desk,
                "stranger",
                1,
                Shown {
                    key: 0,
                    as_key: 0,
                    ufrag: 1,
                    print: 1,
                    ..shown
                },
            );
            let session = call(&mut desk, "bob", 0, shown);
            // An offer of the same call, with the proof or without it.
            if let Some(proves) = again {
                let commands = desk.message(Incoming::VideoOffer {
                    again: false,
                    name: name("bob"),
                    sdp: offer(UFRAGS[0], PRINTS[0]),
                    access: proves.then(|| shown.access()),
                });
                let goes_on = |c: &Command| matches!(c, Command::Renegotiate { .. });
                assert!(commands.iter().any(goes_on), "{commands:?}");
            }
            desk.agent.invited(now.clone(), desk.now);
            let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
            match told {
                Some(words) => {
                    assert_eq!(closed(&commands), [session], "{words} {again:?}");
                    assert!(hung_up(&commands)[0].1.contains(words), "{commands:?}");
                }
                None => assert_eq!(closed(&commands), [], "{again:?}"),
            }
        }
    }
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
                network: None,
            },
            message: Box::new(Incoming::VideoOffer {
                again: false,
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
            let opens = |c: &Command| matches!(c, Command::Open { .. });
            assert!(commands.iter().any(opens), "beside it: {commands:?}");
        }
    }
}

/// The owner opens the camera and closes it again: whoever was invited before has lost
/// nothing, and is not sent away. Who came meanwhile has more than they may.
#[test]
fn a_camera_that_is_opened_and_closed_sends_no_guest_away_who_was_there_before() {
    let shown = Shown {
        key: 1,
        ufrag: 0,
        print: 0,
        as_key: 1,
        camera: "camera",
    };
    for again in [false, true] {
        let mut desk = behind_a_gate(4, &BTreeSet::from([0, 1]));
        call(&mut desk, "bob", 0, shown);
        desk.agent.lets_in(Mode::Open, desk.now);
        let of_alice = Shown {
            key: 0,
            as_key: 0,
            ufrag: 1,
            print: 1,
            ..shown
        };
        let late = call(&mut desk, "alice", 1, of_alice);
        if again {
            // Another way to them, in the call that they have.
            let shown = Shown { ufrag: 2, ..shown };
            let commands = offers(&mut desk, "bob", 2, shown);
            let [Command::Renegotiate { offer, .. }] = &commands[..] else {
                panic!("{commands:?}")
            };
            assert!(offer.sound.is_none(), "it would have to end with the gate");
        }
        desk.agent.lets_in(Mode::Invited, desk.now);
        let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
        assert_eq!(closed(&commands), [late], "again: {again}");
    }
}

/// What they may is theirs at an open camera, too, and not what the gate has for others.
#[test]
fn a_right_that_is_taken_back_while_the_camera_is_open_ends_a_call_of_before() {
    let shown = Shown {
        key: 0,
        ufrag: 0,
        print: 0,
        as_key: 0,
        camera: "camera",
    };
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    let session = call(&mut desk, "alice", 0, shown);
    desk.agent.lets_in(Mode::Open, desk.now);
    let deaf = Invitation {
        may: May::parse("watch").expect("rights"),
        ..invitation(0)
    };
    desk.agent.invited(Guests::of(&[deaf], 10), desk.now);
    desk.agent.lets_in(Mode::Invited, desk.now);
    let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
    assert_eq!(closed(&commands), [session]);
}

/// A link is good once: another browser has kept a key by it. Of an open camera nobody
/// has taken anything back by that; behind the gate it is the other's alone.
#[test]
fn a_link_that_another_browser_redeems_ends_no_call_at_an_open_camera() {
    let shown = Shown {
        key: 0,
        ufrag: 0,
        print: 0,
        as_key: 0,
        camera: "camera",
    };
    let kept = |may: &str| {
        let mut invitation = invitation(0);
        let (id, key) = (invite(7).id(), invite(7).key());
        invitation.give(id, key);
        assert!(invitation.keep(id));
        invitation.may = May::parse(may).expect("rights");
        Guests::of(&[invitation], 10)
    };
    let anew = || {
        let mut invitation = invitation(0);
        invitation.key = (invite(7).id(), invite(7).key());
        Guests::of(&[invitation], 10)
    };
    let cases = [
        (Mode::Open, kept("watch,listen"), None),
        (Mode::Open, kept("watch,listen,talk"), Some("has changed")),
        // The owner has made them another link.
        (Mode::Open, anew(), Some("taken back")),
        (Mode::Invited, kept("watch,listen"), Some("taken back")),
    ];
    for (mode, guests, told) in cases {
        let mut desk = Desk::behind(4, Gate::new(mode, "camera", [0xdd; 32]));
        desk.agent
            .invited(super::guests(&BTreeSet::from([0])), desk.now);
        let session = call(&mut desk, "alice", 0, shown);
        desk.agent.invited(guests, desk.now);
        let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
        let Some(words) = told else {
            assert_eq!(closed(&commands), []);
            // The key is not theirs: it is taken back with the gate.
            desk.agent.lets_in(Mode::Invited, desk.now);
            let commands: Vec<_> = std::iter::from_fn(|| desk.agent.next_command()).collect();
            assert_eq!(closed(&commands), [session]);
            continue;
        };
        assert_eq!(closed(&commands), [session], "{words}");
        assert!(hung_up(&commands)[0].1.contains(words), "{commands:?}");
    }
}

pub(super) fn offers(desk: &mut Desk, from: &str, ufrag: usize, shown: Shown) -> Vec<Command> {
    desk.message(Incoming::VideoOffer {
        again: false,
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
