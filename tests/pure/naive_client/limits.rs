//! What comes in the wrong order, too often or never.

use super::*;

#[test]
fn our_candidates_wait_for_our_answer() {
    let mut desk = Desk::online(4);
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    assert!(
        desk.peer(session, PeerEvent::Candidate(candidate(None)))
            .is_empty()
    );
    let sent = desk.peer(session, PeerEvent::Answered { sdp: "v=0".into() });
    assert!(matches!(
        &sent[..],
        [
            Command::Send(Outgoing::VideoAnswer { .. }),
            Command::Send(Outgoing::NewIceCandidate { .. })
        ]
    ));
}

#[test]
fn a_silent_viewer_and_one_whose_path_never_comes_up_are_let_go_with_a_reason() {
    let mut desk = Desk::online(4);
    desk.offers("bob", &offer("BBBB", 'b'));
    desk.call("alice", "AAAA", 'a');
    let commands = desk.wait(31 * SECOND);
    assert_eq!(hung_up(&commands)[0].0, "bob");
    assert!(closed(&desk.wait(RTCP_TIMEOUT - 32 * SECOND)).is_empty());
    let commands = desk.wait(2 * SECOND);
    assert_eq!(
        hung_up(&commands),
        [("alice", "the viewer was not reachable for 45 s")]
    );
    assert_eq!(desk.agent.viewers(), 0);
}

#[test]
fn a_failed_connection_ends_its_call_and_the_caller_is_told() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let commands = desk.peer(alice, failed("the media path was lost"));
    assert_eq!(hung_up(&commands), [("alice", "the media path was lost")]);
    assert_eq!(closed(&commands), [alice]);
}

#[test]
fn the_newest_over_the_viewer_limit_is_refused_with_a_reason() {
    let mut desk = Desk::online(2);
    desk.call("alice", "AAAA", 'a');
    desk.call("bob", "BBBB", 'b');
    let commands = desk.offers("carol", &offer("CCCC", 'c'));
    assert_eq!(commands.len(), 1);
    assert_eq!(hung_up(&commands)[0].0, "carol");
    desk.hangs_up("bob", None);
    desk.call("carol", "CCCC", 'c');
}

#[test]
fn a_flood_of_candidates_is_cut_off_and_an_ice_restart_starts_afresh() {
    let mut desk = Desk::online(2);
    desk.call("alice", "AAAA", 'a');
    let taken: usize = (0..10_000)
        .map(|_| candidates_to(&desk.candidate(None, Some("AAAA"))).len())
        .sum();
    assert_eq!(taken, MAX_CANDIDATES);
    desk.offers("alice", &offer("DDDD", 'a'));
    assert_eq!(candidates_to(&desk.candidate(None, Some("DDDD"))).len(), 1);
}

#[test]
fn a_flood_of_offers_is_cut_off_and_others_are_served() {
    let mut desk = Desk::online(4);
    let (mut refused, mut opened) = (0, 0);
    for i in 0..1_000 {
        let fingerprint = if i % 2 == 0 { 'a' } else { 'b' };
        for command in desk.offers("mallory", &offer("MMMM", fingerprint)) {
            match command {
                Command::Send(Outgoing::HangUp { .. }) => refused += 1,
                Command::Open { .. } => opened += 1,
                _ => {}
            }
        }
    }
    assert_eq!((refused, opened), (0, 10));
    desk.call("alice", "AAAA", 'c');
}

#[test]
fn an_unusable_offer_is_refused_in_words_and_nothing_else_is_lost() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    let no_video = OFFER
        .split("m=video")
        .next()
        .expect("audio first")
        .to_owned();
    let long = format!("{OFFER}a=x:{}\r\n", "y".repeat(1 << 20));
    for (caller, sdp, word) in [
        ("bob", no_video.as_str(), "video"),
        ("carol", long.as_str(), "limit"),
        ("dave", "garbage", "SDP"),
    ] {
        let commands = desk.offers(caller, sdp);
        let refusal = hung_up(&commands);
        assert_eq!((commands.len(), refusal[0].0), (1, caller));
        assert!(refusal[0].1.contains(word), "{refusal:?}");
    }
    assert_eq!(desk.agent.viewers(), 1);
}

#[test]
fn nothing_is_sent_before_the_server_gave_an_id() {
    let mut desk = Desk::offline(4);
    desk.fire(Event::Timeout);
    desk.fire(Event::SignalingOpen);
    // The original server dies of a username with an id it never gave.
    let sent = desk.offers("alice", "garbage");
    assert!(hung_up(&sent).is_empty(), "{sent:?}");
    assert_eq!(desk.wait(11 * SECOND), [Command::Disconnect]);
}

#[test]
fn an_id_of_an_older_connection_is_never_used_again() {
    let mut desk = Desk::online(4);
    desk.message(Incoming::RejectUsername {
        id: Some(id()),
        name: name("camera1"),
    });
    desk.fire(Event::SignalingClosed);
    // A user list that was still in the pipe must not bring a claim.
    desk.message(users(&["alice"]));
    let commands = desk.wait(2 * SECOND);
    assert_eq!(commands, [Command::Connect]);
    assert!(desk.fire(Event::SignalingOpen).is_empty());
}

/// The original relays any type, `id` too. To use a number from a stranger
/// would kill it, or rename somebody else.
#[test]
fn an_id_or_a_rename_relayed_by_a_stranger_changes_nothing() {
    let mut desk = Desk::online(4);
    let forged = ClientId(1.into());
    assert!(desk.message(Incoming::Id(forged.clone())).is_empty());
    desk.message(Incoming::RejectUsername {
        id: Some(forged),
        name: name("mallory2"),
    });
    assert_eq!(desk.agent.name(), Some(&name("camera")));
    assert!(desk.wait(60 * SECOND).is_empty());
}

#[test]
fn the_floods_of_others_do_not_keep_a_caller_from_an_ice_restart() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    for i in 0..200 {
        desk.offers(&format!("mallory{}", i % 20), &offer("MMMM", 'b'));
    }
    let commands = desk.offers("alice", &offer("DDDD", 'a'));
    assert!(
        matches!(&commands[..], [Command::Renegotiate { .. }]),
        "{commands:?}"
    );
}

#[test]
fn a_caller_who_is_hung_up_on_has_no_session_left() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let commands = desk.offers("alice", "garbage");
    assert_eq!(hung_up(&commands).len(), 1);
    assert_eq!(closed(&commands), [alice]);
    // Nor is one who has a call hung up on for their own flood of offers.
    let bob = desk.call("bob", "BBBB", 'b');
    for i in 0..100 {
        let commands = desk.offers("bob", &offer(&format!("R{i:03}"), 'b'));
        assert!(hung_up(&commands).is_empty() && closed(&commands).is_empty());
    }
    assert_eq!(closed(&desk.hangs_up("bob", None)), [bob]);
}

#[test]
fn a_call_on_hold_is_kept_for_a_while_and_taken_up_again() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let held = offer("AAAA", 'a').replace("a=recvonly", "a=inactive");
    let commands = desk.offers("alice", &held);
    let [Command::Renegotiate { session, offer: o }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(*session == alice && !o.takes_picture() && !o.takes_sound());
    assert!(
        closed(&desk.wait(300 * SECOND)).is_empty(),
        "nothing to report on"
    );
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    assert!(matches!(&commands[..], [Command::Renegotiate { offer, .. }] if offer.takes_picture()));
    assert!(closed(&desk.wait(44 * SECOND)).is_empty());
    assert_eq!(closed(&desk.wait(2 * SECOND)), [alice]);

    let bob = desk.call("bob", "BBBB", 'b');
    let held = offer("BBBB", 'b').replace("a=recvonly", "a=sendonly");
    desk.offers("bob", &held);
    let commands = desk.wait(601 * SECOND);
    assert_eq!(closed(&commands), [bob]);
    assert_eq!(
        hung_up(&commands),
        [("bob", "the call was on hold for 10 minutes")]
    );
    // A new call takes a picture.
    let commands = desk.offers("carol", &held);
    assert!(hung_up(&commands)[0].1.contains("no video section"));
}

#[test]
fn a_viewer_who_closes_their_connection_is_not_hung_up_on() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let commands = desk.peer(alice, PeerEvent::Left);
    assert_eq!(commands, [Command::Close { session: alice }]);
}

/// Each has the device look for its addresses, ask servers, and answer.
#[test]
fn restarts_without_end_have_a_pace_and_the_last_one_is_answered() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let renewed = |commands: &[Command]| -> Vec<String> {
        let ufrag = |command: &Command| match command {
            Command::Renegotiate { offer, .. } => Some(offer.ufrags[0].clone()),
            _ => None,
        };
        commands.iter().filter_map(ufrag).collect()
    };
    let mut answered = Vec::new();
    let mut last = String::new();
    for tenths in 0..600 {
        desk.peer(alice, PeerEvent::Rtcp);
        last = format!("re{tenths:04}");
        answered.extend(renewed(&desk.offers("alice", &offer(&last, 'a'))));
        answered.extend(renewed(&desk.wait(SECOND / 10)));
    }
    assert!((15..30).contains(&answered.len()), "{}", answered.len());
    desk.wait(2 * SECOND);
    // The last that is read is.
    for n in 0..2 {
        last = format!("last{n}");
        answered.extend(renewed(&desk.offers("alice", &offer(&last, 'a'))));
    }
    answered.extend(renewed(&desk.wait(5 * SECOND)));
    assert_eq!(answered.last(), Some(&last));
    assert_eq!(desk.agent.connected(), 1);
}

/// An offer has its turn before a call ends whose caller is not in the list: whose turn
/// had just come waits longest, and was there then.
#[test]
fn who_waits_for_a_restart_keeps_the_call_though_they_are_not_in_the_list() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    for n in 0..6 {
        desk.offers("alice", &offer(&format!("re{n:02}"), 'a'));
    }
    desk.message(Incoming::UserList(vec![name("camera")]));
    assert_eq!(desk.offers("alice", &offer("re90", 'a')), []);
    let commands = desk.wait(5 * SECOND);
    assert!(
        matches!(commands[..], [Command::Renegotiate { session, .. }] if session == alice),
        "{commands:?}"
    );
}

/// A network that comes and goes, and goes again.
#[test]
fn some_restarts_in_a_row_are_taken_at_once() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    for hour in 0..3 {
        for n in 0..5 {
            let commands = desk.offers("alice", &offer(&format!("re{hour}{n}"), 'a'));
            assert!(
                matches!(commands[..], [Command::Renegotiate { session, .. }] if session == alice),
                "{hour} {n}: {commands:?}"
            );
            desk.peer(alice, PeerEvent::Connected);
            desk.wait(SECOND / 2);
        }
        desk.wait(20 * SECOND);
    }
    // What is no restart has no such pace: a call is put on hold and taken up.
    for n in 0..8 {
        let held = offer("re24", 'a').replace("a=sendrecv", "a=inactive");
        let sdp = if n % 2 == 0 { held } else { offer("re24", 'a') };
        let commands = desk.offers("alice", &sdp);
        assert!(
            matches!(commands[..], [Command::Renegotiate { .. }]),
            "{commands:?}"
        );
        desk.wait(SECOND / 2);
    }
}
