//! 7: names that somebody else has by now, where our own server numbers connections.

use super::*;

/// A message of another client, as our own server marks it.
fn from(conn: u64, message: Incoming) -> Incoming {
    Incoming::From {
        stamp: Stamp {
            conn: ClientId(conn.into()),
            source: None,
            network: None,
        },
        message: Box::new(message),
    }
}

fn offers_from(desk: &mut Desk, conn: u64, sdp: &str) -> Vec<Command> {
    let (name, sdp) = (name("alice"), sdp.to_owned());
    desk.message(from(
        conn,
        Incoming::VideoOffer {
            again: false,
            name,
            sdp,
            access: None,
        },
    ))
}

fn opened(commands: &[Command]) -> SessionId {
    let opened = commands.iter().find_map(|command| match command {
        Command::Open { session, .. } => Some(*session),
        _ => None,
    });
    opened.unwrap_or_else(|| panic!("{commands:?}"))
}

fn rings_from(desk: &mut Desk, conn: u64, sdp: &str) -> SessionId {
    let commands = offers_from(desk, conn, sdp);
    assert_eq!(closed(&commands), []);
    let session = opened(&commands);
    let sdp = "v=0\r\n".into();
    desk.peer(session, PeerEvent::Answered { sdp });
    session
}

fn calls_from(desk: &mut Desk, conn: u64, sdp: &str) -> SessionId {
    let session = rings_from(desk, conn, sdp);
    desk.peer(session, PeerEvent::Connected);
    session
}

fn hang_up() -> Incoming {
    Incoming::HangUp {
        name: name("alice"),
        target: Some("camera".into()),
    }
}

/// The user list as our server sends it to a device.
fn list(all: &[(&str, u64)]) -> Incoming {
    let (users, conns): (Vec<_>, Vec<_>) = all.iter().copied().unzip();
    let text = serde_json::json!({"type": "userlist", "users": users, "conns": conns});
    Incoming::parse(&text.to_string()).expect("a list")
}

/// Nor were they let in: a viewer who had left the chat, and watched on, held the name.
#[test]
fn point_7_who_takes_a_viewer_s_name_ends_nothing_of_theirs_and_has_a_call_of_their_own() {
    let mut desk = Desk::online(4);
    let alice = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
    assert_eq!(desk.message(from(18, hang_up())), []);
    let candidate = Incoming::NewIceCandidate {
        name: Some(name("alice")),
        candidate: Some(candidate(None)),
    };
    assert_eq!(desk.message(from(18, candidate)), []);
    let commands = offers_from(&mut desk, 18, "v=0\r\nno offer");
    assert_eq!(closed(&commands), []);
    let other = calls_from(&mut desk, 18, &offer("BBBB", 'b'));
    assert_eq!(desk.agent.connected(), 2);

    // The viewer themselves come back to the chat and look for another path.
    let commands = offers_from(&mut desk, 19, &offer("CCCC", 'a'));
    assert!(
        matches!(commands[0], Command::Renegotiate { session, .. } if session == alice),
        "{commands:?}"
    );
    assert_eq!(desk.message(from(17, hang_up())), []);
    assert_eq!(closed(&desk.message(from(18, hang_up()))), [other]);
    assert_eq!(closed(&desk.message(from(19, hang_up()))), [alice]);
}

/// Ten seconds without a network were enough to lose it.
#[test]
fn point_7_a_viewer_who_is_not_reachable_keeps_their_call_whoever_has_their_name() {
    let mut desk = Desk::online(4);
    let alice = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
    desk.peer(alice, PeerEvent::Rtcp);
    desk.peer(alice, PeerEvent::Interrupted);
    desk.wait(20 * SECOND);
    calls_from(&mut desk, 18, &offer("BBBB", 'b'));
    let commands = offers_from(&mut desk, 19, &offer("CCCC", 'a'));
    assert!(
        matches!(commands[0], Command::Renegotiate { session, .. } if session == alice),
        "{commands:?}"
    );
    desk.peer(alice, PeerEvent::Connected);
    assert_eq!(desk.agent.connected(), 2);
}

#[test]
fn point_7_a_call_without_a_path_is_not_replaced_by_who_takes_its_name() {
    let mut desk = Desk::online(4);
    let alice = rings_from(&mut desk, 17, &offer("AAAA", 'a'));
    rings_from(&mut desk, 18, &offer("BBBB", 'b'));
    desk.peer(alice, PeerEvent::Connected);
    assert_eq!(desk.agent.connected(), 1);
    // One's own is, as ever.
    let commands = offers_from(&mut desk, 17, &offer("DDDD", 'd'));
    assert_eq!(closed(&commands), [alice]);
    opened(&commands);
}

/// A stranger calls by a name, leaves the chat, and keeps the path until somebody honest
/// has the name: what ended the stranger's call ended theirs.
#[test]
fn point_7_what_is_said_of_a_call_does_not_reach_who_has_its_caller_s_name_now() {
    let mut desk = Desk::online(4);
    let stranger = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
    let alice = calls_from(&mut desk, 18, &offer("BBBB", 'b'));
    assert_eq!(
        desk.peer(stranger, PeerEvent::Candidate(candidate(None))),
        []
    );
    let commands = desk.peer(stranger, PeerEvent::Interrupted);
    assert!(
        !commands.iter().any(|c| matches!(c, Command::Send(_))),
        "{commands:?}"
    );
    let commands = desk.peer(stranger, failed("the media path was lost"));
    assert_eq!(closed(&commands), [stranger]);
    assert_eq!(hung_up(&commands), []);
    let commands = desk.peer(alice, failed("the media path was lost"));
    assert_eq!(hung_up(&commands), [("alice", "the media path was lost")]);
}

/// Their page has died. Who took the name at once kept the dead call's place for 45 s, and
/// ten minutes where it was on hold.
#[test]
fn point_7_a_viewer_has_gone_with_their_connection_whoever_has_the_name() {
    let mut desk = Desk::online(4);
    let alice = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
    desk.message(list(&[("camera", 1), ("alice", 17)]));
    desk.wait(SECOND);
    desk.peer(alice, PeerEvent::Rtcp);
    desk.message(list(&[("camera", 1), ("alice", 18)]));
    assert_eq!(closed(&desk.wait(6 * SECOND)), [alice]);
}

/// Their page's WebSocket was replaced, and no media was: the next gap of five seconds ended
/// the call, and one on hold at once.
#[test]
fn point_7_a_viewer_who_is_heard_of_has_not_gone_with_their_connection() {
    let mut desk = Desk::online(4);
    let alice = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
    desk.message(list(&[("camera", 1), ("alice", 17)]));
    desk.peer(alice, PeerEvent::Rtcp);
    desk.message(list(&[("camera", 1), ("alice", 18)]));
    for _ in 0..10 {
        assert_eq!(closed(&desk.wait(SECOND)), []);
        desk.peer(alice, PeerEvent::Rtcp);
    }
    desk.message(list(&[("camera", 1), ("alice", 18), ("bob", 19)]));
    assert_eq!(closed(&desk.wait(20 * SECOND)), []);
    let commands = offers_from(&mut desk, 18, &offer("CCCC", 'a'));
    assert!(
        matches!(commands[0], Command::Renegotiate { session, .. } if session == alice),
        "{commands:?}"
    );
    // What was under way when their page died is no sign of another connection.
    desk.message(list(&[("camera", 1), ("alice", 18)]));
    desk.message(list(&[("camera", 1), ("alice", 20)]));
    desk.wait(SECOND);
    desk.peer(alice, PeerEvent::Rtcp);
    assert_eq!(closed(&desk.wait(6 * SECOND)), [alice]);
}

#[test]
fn point_7_a_call_on_hold_does_not_end_with_its_connection_while_its_name_is_there() {
    let sdp = offer("AAAA", 'a');
    let held = sdp.replace("a=sendrecv", "a=inactive");
    let held = held.replace("a=recvonly", "a=inactive");
    for is_named in [true, false] {
        let mut desk = Desk::online(4);
        let alice = calls_from(&mut desk, 17, &sdp);
        offers_from(&mut desk, 17, &held);
        desk.message(list(&[("camera", 1), ("alice", 17)]));
        desk.peer(alice, PeerEvent::Rtcp);
        let name = if is_named { "alice" } else { "bob" };
        desk.message(list(&[("camera", 1), (name, 18)]));
        let ended = closed(&desk.wait(60 * SECOND));
        assert_eq!(ended.is_empty(), is_named);
    }
}

/// Nor has one gone who is there under another name.
#[test]
fn point_7_a_viewer_is_there_while_their_connection_is() {
    let mut desk = Desk::online(4);
    let alice = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
    desk.message(list(&[("camera", 1), ("alice", 17)]));
    desk.peer(alice, PeerEvent::Rtcp);
    desk.message(list(&[("camera", 1), ("bob", 17)]));
    assert_eq!(closed(&desk.wait(30 * SECOND)), []);
}

/// It numbers them anew: there are only names until a viewer says something.
#[test]
fn point_7_a_server_that_began_anew_has_nobody_leave() {
    for name in ["alice", "somebody else"] {
        let mut desk = Desk::online(4);
        let alice = calls_from(&mut desk, 17, &offer("AAAA", 'a'));
        desk.message(list(&[("camera", 1), ("alice", 17)]));
        desk.fire(Event::SignalingClosed);
        desk.wait(10 * SECOND);
        desk.fire(Event::SignalingOpen);
        desk.message(Incoming::Id(id()));
        desk.peer(alice, PeerEvent::Rtcp);
        desk.message(list(&[("camera", 1), (name, 900)]));
        let is_there = name == "alice";
        assert_eq!(
            closed(&desk.wait(10 * SECOND)).is_empty(),
            is_there,
            "{name}"
        );
    }
}
