//! A call and its network, against the pure agent: what is lost for a while
//! comes back, what is gone is let go.

use std::time::Duration;

use crate::desk::*;
use camera_agent::agent::{Command, Event, PeerEvent, RTCP_TIMEOUT};
use camera_agent::wire::{Incoming, Outgoing};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_outlives_thirty_seconds_without_a_network_and_the_servers_forgetting() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.message(users(&["camera", "alice"]));
    desk.peer(alice, PeerEvent::Rtcp);
    desk.wait(4 * SECOND);
    desk.peer(alice, PeerEvent::Interrupted);
    // The server misses them after a ping.
    desk.wait(16 * SECOND);
    desk.message(users(&["camera"]));
    assert!(closed(&desk.wait(10 * SECOND)).is_empty());
    // 30 s: they are back, first their path, later their name.
    assert!(closed(&desk.peer(alice, PeerEvent::Connected)).is_empty());
    desk.peer(alice, PeerEvent::Rtcp);
    assert!(closed(&desk.wait(RTCP_TIMEOUT - SECOND)).is_empty());
    desk.message(users(&["camera", "alice"]));
    assert_eq!(desk.agent.viewers(), 1);
    // And what is not back in time is gone.
    let commands = desk.wait(2 * SECOND);
    assert_eq!(closed(&commands), [alice]);
}

#[test]
fn a_page_that_dies_is_let_go_in_seconds() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.message(users(&["camera", "alice"]));
    desk.wait(SECOND);
    desk.peer(alice, PeerEvent::Rtcp);
    desk.wait(SECOND);
    desk.message(users(&["camera"]));
    assert!(closed(&desk.wait(4 * SECOND)).is_empty());
    assert_eq!(closed(&desk.wait(2 * SECOND)), [alice]);
}

#[test]
fn an_ice_restart_is_a_sign_of_life() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.wait(RTCP_TIMEOUT - SECOND);
    let commands = desk.offers("alice", &offer("AAA2", 'a'));
    assert!(matches!(commands[..], [Command::Renegotiate { session, .. }] if session == alice));
    assert!(closed(&desk.wait(RTCP_TIMEOUT - SECOND)).is_empty());
    assert_eq!(closed(&desk.wait(2 * SECOND)), [alice]);
}

#[test]
fn a_viewer_who_is_not_reachable_is_asked_for_another_path_and_the_server_doubted() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let commands = desk.peer(alice, PeerEvent::Interrupted);
    let restart = Command::Send(Outgoing::RestartIce {
        name: name("camera"),
        target: name("alice"),
    });
    assert_eq!(commands, [restart, Command::Probe]);
    desk.fire(Event::SignalingClosed);
    assert!(desk.peer(alice, PeerEvent::Interrupted).is_empty());
}

#[test]
fn when_a_viewer_is_back_the_server_is_tried_at_once() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.peer(alice, PeerEvent::Interrupted);
    desk.fire(Event::SignalingClosed);
    assert!(desk.peer(alice, PeerEvent::Connected).is_empty());
    assert_eq!(desk.wait(Duration::ZERO), [Command::Connect]);
    // Again, of one who never was away: nothing is to be done.
    desk.fire(Event::SignalingClosed);
    desk.peer(alice, PeerEvent::Connected);
    assert!(desk.wait(Duration::ZERO).is_empty());
}

/// Their page has found another way to the server, and so its way to us is another
/// one too.
#[test]
fn a_viewer_who_comes_back_to_the_chat_is_asked_again() {
    let restarts = |commands: &[Command]| {
        let restart = |c: &&Command| matches!(c, Command::Send(Outgoing::RestartIce { .. }));
        commands.iter().filter(restart).count()
    };
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let here = || users(&["camera", "alice"]);
    desk.message(here());
    desk.wait(6 * SECOND);
    assert_eq!(restarts(&desk.peer(alice, PeerEvent::Interrupted)), 1);
    assert_eq!(restarts(&desk.message(here())), 0);
    desk.message(users(&["camera", "alice1"]));
    assert_eq!(restarts(&desk.message(here())), 1);
    // Not one who is well.
    desk.peer(alice, PeerEvent::Connected);
    desk.message(users(&["camera", "alice1"]));
    assert_eq!(restarts(&desk.message(here())), 0);
}

#[test]
fn another_network_is_tried_at_once_and_the_old_connection_doubted() {
    let mut desk = Desk::online(4);
    assert_eq!(desk.fire(Event::NetworkChanged), [Command::Probe]);
    // Long away: the wait has grown to a minute.
    for _ in 0..8 {
        desk.fire(Event::SignalingClosed);
        assert_eq!(desk.wait(61 * SECOND), [Command::Connect]);
    }
    desk.fire(Event::SignalingClosed);
    assert!(desk.fire(Event::NetworkChanged).is_empty());
    assert_eq!(desk.wait(Duration::ZERO), [Command::Connect]);
    // One that is being made is made anew.
    assert_eq!(desk.fire(Event::NetworkChanged), [Command::Probe]);
    desk.fire(Event::SignalingClosed);
    let wait = desk.agent.poll_timeout().expect("a next try") - desk.now;
    assert!(wait <= 3 * SECOND / 2, "the series begins anew: {wait:?}");
}

#[test]
fn candidates_wait_for_the_name_that_the_viewer_called() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.fire(Event::SignalingClosed);
    let new = || PeerEvent::Candidate(candidate(None));
    assert!(desk.peer(alice, new()).is_empty());
    desk.wait(2 * SECOND);
    desk.fire(Event::SignalingOpen);
    desk.message(Incoming::Id(id()));
    // The old connection has the name still.
    desk.message(Incoming::RejectUsername {
        id: Some(id()),
        name: name("camera1"),
    });
    assert!(
        desk.message(users(&["camera", "camera1", "alice"]))
            .is_empty()
    );
    assert!(desk.peer(alice, new()).is_empty());
    desk.message(users(&["camera1", "alice"]));
    assert_eq!(desk.wait(3 * SECOND), [claims("camera")]);
    let sent = desk.message(users(&["camera", "alice"]));
    let to_alice = |c: &Command| {
        matches!(c, Command::Send(Outgoing::NewIceCandidate { name, target, .. })
            if name.as_str() == "camera" && target.as_str() == "alice")
    };
    assert!(sent.len() == 2 && sent.iter().all(to_alice), "{sent:?}");
    assert!(desk.message(users(&["camera", "alice"])).is_empty());
}

fn comes_back(desk: &mut Desk) {
    assert_eq!(desk.wait(2 * SECOND), [Command::Connect]);
    desk.fire(Event::SignalingOpen);
    assert_eq!(desk.message(Incoming::Id(id())), [claims("camera")]);
}

fn answers(commands: &[Command]) -> Vec<&str> {
    let target = |c| match c {
        &Command::Send(Outgoing::VideoAnswer { ref target, .. }) => Some(target.as_str()),
        _ => None,
    };
    commands.iter().filter_map(target).collect()
}

#[test]
fn an_answer_made_while_the_server_is_away_is_sent_when_the_name_is_in_force() {
    let mut desk = Desk::online(4);
    let commands = desk.offers("alice", &offer("AAAA", 'a'));
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    desk.fire(Event::SignalingClosed);
    desk.peer(session, PeerEvent::Candidate(candidate(None)));
    let answer = PeerEvent::Answered { sdp: "v=0".into() };
    assert!(desk.peer(session, answer).is_empty());
    desk.peer(session, PeerEvent::Candidate(candidate(None)));
    comes_back(&mut desk);
    // The old connection may have the name still.
    assert!(desk.message(users(&["alice"])).is_empty());
    let sent = desk.message(users(&["alice", "camera"]));
    assert_eq!(answers(&sent[..1]), ["alice"]);
    assert_eq!(sent.len(), 3, "the candidates behind it: {sent:?}");
    assert!(desk.message(users(&["alice", "camera"])).is_empty(), "once");
}

/// A page goes on with a call that ended with the process which had it.
#[test]
fn what_goes_on_with_a_call_that_is_not_there_is_no_new_one() {
    let again = |sdp: String| Incoming::VideoOffer {
        name: name("alice"),
        sdp,
        access: None,
        again: true,
    };
    let mut desk = Desk::online(4);
    let commands = desk.message(again(offer("AAAA", 'a')));
    assert!(
        matches!(&hung_up(&commands)[..], [("alice", reason)] if reason.contains("call again")),
        "{commands:?}"
    );
    assert_eq!(desk.agent.viewers(), 0);
    // A new one is taken, and goes on.
    let session = desk.call("alice", "BBBB", 'b');
    let commands = desk.message(again(offer("CCCC", 'b')));
    assert!(
        matches!(&commands[..], [Command::Renegotiate { session: of, .. }] if *of == session),
        "{commands:?}"
    );
}

#[test]
fn who_was_let_go_while_the_server_was_away_is_told_unless_they_call_again() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let bob = desk.call("bob", "BBBB", 'b');
    desk.fire(Event::SignalingClosed);
    let failed = || failed("the media path was lost");
    assert_eq!(closed(&desk.peer(alice, failed())), [alice]);
    assert_eq!(closed(&desk.peer(bob, failed())), [bob]);
    comes_back(&mut desk);
    let sent = desk.offers("bob", &offer("BBB2", 'c'));
    assert!(matches!(sent[0], Command::Open { .. }), "{sent:?}");
    assert_eq!(hung_up(&sent), [("alice", "the media path was lost")]);
    assert!(hung_up(&desk.message(users(&["alice", "bob", "camera"]))).is_empty());
}

#[test]
fn a_goodbye_that_comes_too_late_is_not_said() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    desk.fire(Event::SignalingClosed);
    desk.peer(alice, failed("the media path was lost"));
    for _ in 0..16 {
        desk.wait(2 * SECOND);
        desk.fire(Event::SignalingClosed);
    }
    desk.wait(61 * SECOND);
    desk.fire(Event::SignalingOpen);
    desk.message(Incoming::Id(id()));
    assert!(desk.message(users(&["alice", "camera"])).is_empty());
}

#[test]
fn a_viewer_lost_while_the_server_was_away_is_asked_when_it_is_back() {
    let mut desk = Desk::online(4);
    let alice = desk.call("alice", "AAAA", 'a');
    let bob = desk.call("bob", "BBBB", 'b');
    desk.fire(Event::SignalingClosed);
    for viewer in [alice, bob] {
        assert!(desk.peer(viewer, PeerEvent::Interrupted).is_empty());
    }
    desk.peer(bob, PeerEvent::Connected);
    desk.wait(Duration::ZERO);
    desk.fire(Event::SignalingOpen);
    desk.message(Incoming::Id(id()));
    let restart = Command::Send(Outgoing::RestartIce {
        name: name("camera"),
        target: name("alice"),
    });
    assert_eq!(desk.message(users(&["alice", "bob", "camera"])), [restart]);
}
