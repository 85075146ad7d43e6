//! Who gets a viewer's place while others try to get a path.

use super::*;

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
        if i >= 20 {
            desk.wait(SECOND / 4);
        }
        let commands = desk.offers(&format!("m{i}"), &offer(&format!("MM{i:02}"), 'a'));
        let [Command::Open { session, .. }] = commands[..] else {
            panic!("{commands:?}")
        };
        half_open.push(session);
    }
    desk.wait(SECOND);
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
