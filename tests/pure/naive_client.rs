//! What a naive client of this protocol gets wrong, point by point, against
//! the pure agent. What of it is in the answer or in the media is in
//! `original_server.rs`, `calls.rs` and `device_page.rs`, by its number.

mod limits;
mod names;
mod places;

use std::time::Duration;

use crate::desk::*;
use camera_agent::agent::{Command, Event, HALF_OPEN, PeerEvent, RTCP_TIMEOUT, SessionId};
use camera_agent::sdp::{MAX_CANDIDATES, VideoCodec};
use camera_agent::wire::{Candidate, ClientId, Incoming, Outgoing, Stamp};

const SECOND: Duration = Duration::from_secs(1);

/// 1: candidates name no sender.
#[test]
fn point_1_a_candidate_finds_its_call_by_its_ufrag() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let bob = desk.call("bob", "BBBB", 'b');
    assert_eq!(candidates_to(&desk.candidate(None, Some("BBBB"))), [bob]);
    assert_eq!(candidates_to(&desk.candidate(None, Some("AAAA"))), [alice]);
    // In its own field, as browsers send it.
    let commands = desk.message(Incoming::NewIceCandidate {
        name: None,
        candidate: Some(Candidate {
            username_fragment: Some("AAAA".into()),
            ..candidate(None)
        }),
    });
    assert_eq!(candidates_to(&commands), [alice]);
}

/// 1: without a ufrag, the only session or none.
#[test]
fn point_1_a_candidate_without_ufrag_goes_to_the_only_call_or_nowhere() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    assert_eq!(candidates_to(&desk.candidate(None, None)), [alice]);
    desk.call("bob", "BBBB", 'b');
    assert!(candidates_to(&desk.candidate(None, None)).is_empty());
}

/// 1: a candidate can come before its offer; a few are held, for a short time.
#[test]
fn point_1_a_candidate_before_its_offer_is_held_but_not_for_ever_nor_without_end() {
    let mut desk = Desk::online(4);
    assert!(desk.candidate(None, Some("AAAA")).is_empty());
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    assert_eq!(candidates_to(&commands).len(), 1);
    assert!(
        matches!(commands[0], Command::Open { .. }),
        "after its offer"
    );

    desk.candidate(None, Some("LATE"));
    desk.wait(6 * SECOND);
    assert!(candidates_to(&desk.offers("bob", &offer("LATE", 'b'))).is_empty());

    for _ in 0..10_000 {
        desk.candidate(None, Some("MANY"));
    }
    let taken = candidates_to(&desk.offers("carol", &offer("MANY", 'c'))).len();
    assert!((1..=24).contains(&taken), "{taken}");
}

/// 1: our own server names the sender; then another name's candidate never
/// reaches a call, whatever ufrag it claims.
#[test]
fn point_1_a_named_candidate_reaches_only_its_sender_s_call() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    assert!(desk.candidate(Some("mallory"), Some("AAAA")).is_empty());
    assert!(desk.candidate(Some("mallory"), None).is_empty());
}

/// 2: the original page's hang-up goes to everyone.
#[test]
fn point_2_a_broadcast_hang_up_ends_only_its_sender_s_call() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.call("bob", "BBBB", 'b');
    assert_eq!(closed(&desk.hangs_up("alice", None)), [alice]);
    assert!(desk.hangs_up("carol", None).is_empty(), "a stranger's");
    assert!(desk.hangs_up("alice", None).is_empty(), "once more");
    assert_eq!(desk.agent.viewers(), 1);
}

/// 2: what we send always has a real target.
#[test]
fn point_2_our_hang_up_has_a_target() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    let commands = desk.fire(Event::Shutdown);
    assert_eq!(
        hung_up(&commands),
        [("alice", "the camera is shutting down")]
    );
    assert_eq!(commands.last(), Some(&Command::Quit));
    let text = commands.iter().find_map(|c| match c {
        Command::Send(frame) => Some(frame.to_text(0)),
        _ => None,
    });
    assert!(text.is_some_and(|t| t.contains(r#""target":"alice""#)));
}

/// 4: a reconnect finds the old name still taken.
#[test]
fn point_4_a_renamed_device_works_on_and_claims_its_name_when_it_is_free() {
    let mut desk = Desk::online(4);
    let given = |n| Incoming::RejectUsername {
        id: Some(id()),
        name: name(n),
    };
    assert!(desk.message(given("camera1")).is_empty());
    assert_eq!(desk.agent.name(), Some(&name("camera1")));
    // While it is taken a claim would only get yet another name.
    desk.message(users(&["camera", "camera1"]));
    assert!(desk.wait(60 * SECOND).is_empty());

    // Calls work under the given name.
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let answer = desk.peer(session, PeerEvent::Answered { sdp: "v=0".into() });
    assert!(
        matches!(&answer[..], [Command::Send(Outgoing::VideoAnswer { name: n, .. })]
            if *n == name("camera1"))
    );
    desk.peer(session, PeerEvent::Connected);

    desk.message(users(&["camera1", "alice"]));
    let commands = desk.wait(3 * SECOND);
    assert_eq!(commands, [claims("camera")], "free: claimed, once");
    desk.message(users(&["camera", "alice"]));
    assert_eq!(desk.agent.name(), Some(&name("camera")));
    assert_eq!(desk.agent.viewers(), 1, "the call went on");
}

/// 5: the page offers its own camera; without one it only receives. The
/// declining itself is in the answer, see `original_server.rs`.
#[test]
fn point_5_an_offer_with_the_caller_s_camera_is_a_call_like_any_other() {
    let mut desk = Desk::online(4);
    let commands = desk.offers("alice", &offer("AAAA", 'a').replace("recvonly", "sendrecv"));
    let [Command::Open { offer, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(offer.video.codec, VideoCodec::H264);
}

/// 6: a caller who reloads the page offers anew without a hang-up.
#[test]
fn point_6_a_reload_replaces_the_call_and_is_not_hung_up_on() {
    let mut desk = Desk::online(1);
    let old = desk.call("alice", "AAAA", 'a');
    let commands = desk.offers("alice", &offer("CCCC", 'c'));
    assert_eq!(closed(&commands), [old]);
    assert!(hung_up(&commands).is_empty(), "it would end the new call");
    assert!(matches!(commands.last(), Some(Command::Open { session, .. }) if *session != old));
    // A late event of the old connection finds nothing.
    assert!(desk.peer(old, failed("closed")).is_empty());
    assert_eq!(desk.agent.viewers(), 1);
}

/// 6: the same certificate is the same connection.
#[test]
fn point_6_an_offer_with_the_same_fingerprint_is_a_renegotiation() {
    let mut desk = Desk::online(1);
    let alice = desk.call("alice", "AAAA", 'a');
    let commands = desk.offers("alice", &offer("DDDD", 'a'));
    assert!(
        matches!(&commands[..], [Command::Renegotiate { session, .. }] if *session == alice),
        "{commands:?}"
    );
    // Candidates of the new generation, and stragglers of the old.
    assert_eq!(candidates_to(&desk.candidate(None, Some("DDDD"))), [alice]);
    assert_eq!(candidates_to(&desk.candidate(None, Some("AAAA"))), [alice]);
}

/// 7: a name changed mid-call: the call belongs to the name in the offer.
#[test]
fn point_7_a_caller_who_takes_another_name_keeps_their_call_while_media_flows() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.message(users(&["camera", "alicia"]));
    for _ in 0..60 {
        desk.peer(alice, PeerEvent::Rtcp);
        assert!(desk.wait(SECOND).is_empty());
    }
    // Somebody else under the new name is somebody else.
    assert!(desk.hangs_up("alicia", None).is_empty());
    assert_eq!(closed(&desk.hangs_up("alice", None)), [alice]);
}

/// 8: a user list without the caller is a hint, and never cuts media.
#[test]
fn point_8_a_caller_who_left_the_list_is_let_go_soon_after_their_media_stops() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.message(users(&["camera"]));
    for _ in 0..60 {
        desk.peer(alice, PeerEvent::Rtcp);
        assert!(desk.wait(SECOND).is_empty(), "media flows");
    }
    let commands = desk.wait(6 * SECOND);
    assert_eq!(closed(&commands), [alice], "sooner than a silent viewer");
}

/// 9: short interruptions of the chat do not touch media. (That the original
/// page closes on ICE `disconnected` is its own affair.)
#[test]
fn point_9_media_goes_on_while_the_chat_server_is_away() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    assert!(closed(&desk.fire(Event::SignalingClosed)).is_empty());
    let mut tries = 0;
    for _ in 0..120 {
        desk.peer(alice, PeerEvent::Rtcp);
        for command in desk.wait(SECOND) {
            assert_eq!(command, Command::Connect);
            tries += 1;
            desk.fire(Event::SignalingClosed);
        }
    }
    assert!((3..=10).contains(&tries), "backoff: {tries} tries in 2 min");
    assert_eq!(desk.agent.viewers(), 1);
}

/// 10: the device answers once and never offers.
#[test]
fn point_10_each_offer_gets_one_answer_and_nothing_gets_an_offer() {
    let mut desk = Desk::online(4);
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let mut sent = desk.peer(session, PeerEvent::Answered { sdp: "v=0".into() });
    sent.extend(desk.message(Incoming::VideoAnswer {
        name: name("alice"),
        sdp: "v=0".into(),
    }));
    sent.extend(desk.peer(session, PeerEvent::Connected));
    assert_eq!(sent.len(), 1, "{sent:?}");
}

/// 11: end-of-candidates comes in three forms.
#[test]
fn point_11_the_end_of_candidates_harms_nothing() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    for text in [
        r#"{"type":"new-ice-candidate","target":"camera","candidate":null}"#,
        r#"{"type":"new-ice-candidate","target":"camera","candidate":{"candidate":""}}"#,
        r#"{"type":"new-ice-candidate","target":"camera","candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"AAAA"}}"#,
    ] {
        let message = Incoming::parse(text).expect("a frame");
        let commands = desk.message(message);
        assert!(closed(&commands).is_empty() && hung_up(&commands).is_empty());
    }
}

/// 12: candidates of an ended session still arrive, and calls cross.
#[test]
fn point_12_what_comes_after_the_end_of_a_call_finds_nothing() {
    let mut desk = Desk::online(4);
    let old = desk.call("alice", "AAAA", 'a');
    desk.hangs_up("alice", None);
    assert!(desk.candidate(None, Some("AAAA")).is_empty());
    // They call again while the old connection is being closed.
    let new = desk.call("alice", "EEEE", 'e');
    assert!(
        desk.peer(old, PeerEvent::Candidate(candidate(None)))
            .is_empty()
    );
    assert!(desk.peer(old, PeerEvent::Connected).is_empty());
    assert_eq!(candidates_to(&desk.candidate(None, Some("EEEE"))), [new]);
}

#[test]
fn point_4_a_server_that_knows_the_device_again_is_shown_its_key() {
    let welcome = |key: &str| Incoming::Welcome {
        id: id(),
        key: key.into(),
    };
    let again = |key: &str| {
        let (id, name, key) = (id(), name("camera"), key.into());
        [Command::Send(Outgoing::UsernameAgain { id, name, key })]
    };
    let comes = |desk: &mut Desk, message: Incoming| {
        desk.wait(60 * SECOND);
        desk.fire(Event::SignalingOpen);
        desk.message(message)
    };
    let mut desk = Desk::offline(4);
    assert_eq!(comes(&mut desk, welcome("first")), [claims("camera")]);
    desk.fire(Event::SignalingClosed);
    assert_eq!(comes(&mut desk, welcome("second")), again("first"));
    // One that a stranger relays is none.
    assert_eq!(desk.message(welcome("stranger's")), []);
    desk.fire(Event::SignalingClosed);
    assert_eq!(comes(&mut desk, welcome("third")), again("second"));
    // Another server has no business with it.
    desk.agent.reconnect(desk.now);
    desk.fire(Event::Timeout);
    assert_eq!(comes(&mut desk, welcome("fourth")), [claims("camera")]);
}
