//! Who makes room for whom.

use super::*;

const SUBNETS: std::ops::Range<u64> = 1_000..2_000;

/// Who calls from an address that our own server tells apart; of one of `SUBNETS` it is
/// of the same network as the others of these.
fn offers_at(desk: &mut Desk, source: u64, caller: &str, sdp: String) -> Vec<Command> {
    desk.message(Incoming::From {
        stamp: Stamp {
            conn: ClientId(source.into()),
            source: Some(source),
            network: SUBNETS.contains(&source).then_some(1),
        },
        message: Box::new(Incoming::VideoOffer {
            again: false,
            name: name(caller),
            sdp,
            access: None,
        }),
    })
}

fn opens(commands: &[Command]) -> Option<SessionId> {
    commands.iter().find_map(|command| match command {
        Command::Open { session, .. } => Some(*session),
        _ => None,
    })
}

fn rings(desk: &mut Desk, source: u64, caller: &str) -> Option<SessionId> {
    let commands = offers_at(desk, source, caller, offer(&ufrag(caller), 'a'));
    let session = opens(&commands)?;
    desk.peer(session, PeerEvent::Answered { sdp: "v=0".into() });
    Some(session)
}

fn watches(desk: &mut Desk, source: u64, caller: &str) -> SessionId {
    let session = rings(desk, source, caller).expect("there is room");
    desk.peer(session, PeerEvent::Connected);
    session
}

/// Of at least four characters (RFC 8839 §5.4).
fn ufrag(caller: &str) -> String {
    format!("{caller}user")
}

fn on_hold(caller: &str) -> String {
    let sdp = offer(&ufrag(caller), 'a');
    ["a=sendrecv", "a=recvonly"]
        .iter()
        .fold(sdp, |sdp, direction| sdp.replace(direction, "a=inactive"))
}

/// One that came to something paid for fifteen that did not, and whoever called then
/// was told to wait.
#[test]
fn half_open_calls_of_one_address_give_way_however_good_its_name_is() {
    let mut desk = Desk::online(4);
    let first = rings(&mut desk, 1, "first").expect("there is room");
    for i in 1..HALF_OPEN {
        rings(&mut desk, 1, &format!("ghost{i}")).expect("there is room");
        desk.wait(SECOND / 2);
    }
    desk.peer(first, PeerEvent::Connected);
    rings(&mut desk, 1, "ghost").expect("there is room");
    // Its debts are forgotten while it is heard of.
    desk.wait(8 * SECOND);
    offers_at(&mut desk, 1, "first", offer("renewed", 'a'));
    let commands = offers_at(&mut desk, 2, "alice", offer("alice", 'b'));
    assert!(opens(&commands).is_some(), "{commands:?}");
    assert_eq!(closed(&commands).len(), 1);
    assert_ne!(closed(&commands), [first]);
}

/// Twenty-four calls may come at once: the seventeenth put out one that was on its way.
#[test]
fn a_burst_of_calls_from_many_addresses_puts_out_none_that_is_under_way() {
    let mut desk = Desk::online(4);
    let alice = rings(&mut desk, 1, "alice").expect("there is room");
    for i in 0..40 {
        if i >= 23 {
            desk.wait(SECOND / 4);
        }
        if i < 39 {
            rings(&mut desk, 2 + i, &format!("m{i}")).expect("there is room");
            assert!(desk.agent.viewers() == 2 + i as usize, "{i}: {alice}");
        } else {
            // Four seconds later it is the first.
            let commands = offers_at(&mut desk, 99, "bob", offer("bobs", 'b'));
            assert_eq!(closed(&commands), [alice]);
        }
    }
}

/// Their page waited for an answer that never came: it was told nothing, for the sake of
/// the call that it had had before.
#[test]
fn whose_page_calls_by_another_peer_is_told_that_there_are_too_many_calls() {
    let mut desk = Desk::online(4);
    let session = watches(&mut desk, 1, "alice");
    for i in 0..30 {
        rings(&mut desk, 2 + i, &format!("m{i}"));
    }
    let told = |commands: &[Command]| {
        let is_told = |command: &Command| match command {
            Command::Send(frame) => frame.to_text(0).contains("too-many-calls"),
            _ => false,
        };
        commands.iter().any(is_told)
    };
    // Somebody else of this name would end what Alice has.
    let commands = offers_at(&mut desk, 99, "alice", offer("another", 'c'));
    assert!(commands.is_empty(), "{commands:?}");
    let commands = offers_at(&mut desk, 1, "alice", offer("loaded", 'b'));
    assert!(
        opens(&commands).is_none() && told(&commands),
        "{commands:?}"
    );
    assert_eq!(closed(&commands), [session], "they have none any more");
}

/// A call by another certificate was charged nothing while the one before it was up.
#[test]
fn who_has_a_path_and_calls_anew_pays_for_it() {
    let mut desk = Desk::online(4);
    let names: Vec<_> = (0..8).map(|i| format!("m{i}")).collect();
    let mut opened = 0;
    for round in 0..20 {
        for who in &names {
            let print = if round % 2 == 0 { 'a' } else { 'b' };
            let commands = offers_at(&mut desk, 1, who, offer(&ufrag(who), print));
            if let Some(session) = opens(&commands) {
                opened += 1;
                desk.peer(session, PeerEvent::Answered { sdp: "v=0".into() });
                desk.peer(session, PeerEvent::Connected);
            }
        }
        desk.wait(SECOND / 2);
    }
    assert!(opened < 24 + 10 * 4, "{opened} in ten seconds");
}

/// Eight names of one address, on hold, kept everybody out for as long as they liked.
#[test]
fn calls_on_hold_make_room_for_who_has_a_path() {
    let mut desk = Desk::online(2);
    let held = watches(&mut desk, 1, "held");
    offers_at(&mut desk, 1, "held", on_hold("held"));
    watches(&mut desk, 2, "bob");
    let alice = rings(&mut desk, 3, "alice").expect("one on hold will make room");
    assert_eq!(desk.agent.viewers(), 3, "not before there is a path");
    let commands = desk.peer(alice, PeerEvent::Connected);
    assert_eq!(closed(&commands), [held]);
    assert_eq!(hung_up(&commands)[0].0, "held");
    assert_eq!(desk.agent.connected(), 2);
}

/// Eight calls whose pages were gone kept everybody out for most of a minute.
#[test]
fn calls_of_which_nothing_is_heard_make_room_whosever_they_are() {
    let mut desk = Desk::online(3);
    let ghosts: Vec<_> = (1..=3)
        .map(|source| watches(&mut desk, source, &format!("ghost{source}")))
        .collect();
    assert_eq!(rings(&mut desk, 9, "early"), None, "all are here");
    // The one that was not heard of for the longest goes first, and none without need.
    for ghost in [1, 0] {
        desk.peer(ghosts[ghost], PeerEvent::Interrupted);
        desk.wait(SECOND);
    }
    for (caller, gone) in [("alice", ghosts[1]), ("bob", ghosts[0])] {
        // Both of one address, which has as many places as each of the others.
        let new = rings(&mut desk, 4, caller).expect("there is nobody there");
        assert_eq!(closed(&desk.peer(new, PeerEvent::Connected)), [gone]);
    }
    assert_eq!(desk.agent.connected(), 3);
    assert_eq!(rings(&mut desk, 4, "late"), None, "all are here");
}

#[test]
fn who_is_heard_again_has_their_place_as_before() {
    let mut desk = Desk::online(1);
    let alice = watches(&mut desk, 1, "alice");
    desk.peer(alice, PeerEvent::Interrupted);
    desk.wait(SECOND);
    desk.peer(alice, PeerEvent::Connected);
    assert_eq!(rings(&mut desk, 2, "bob"), None);
}

#[test]
fn an_address_with_many_places_gives_the_newest_to_one_with_fewer() {
    let mut desk = Desk::online(4);
    let crowd: Vec<_> = ["a1", "a2", "a3", "a4"]
        .iter()
        .map(|caller| watches(&mut desk, 1, caller))
        .collect();
    assert_eq!(rings(&mut desk, 1, "a5"), None, "its own share");
    for (caller, gone) in [("bob", 3), ("bill", 2)] {
        let new = rings(&mut desk, 2, caller).expect("they have more than a share");
        let commands = desk.peer(new, PeerEvent::Connected);
        assert_eq!(closed(&commands), [crowd[gone]], "{caller}");
    }
    // Two each: that is fair, and nobody is sent away in turn.
    assert_eq!(rings(&mut desk, 2, "ben"), None);
    assert_eq!(rings(&mut desk, 1, "a6"), None);
    // With one place less than the other it is as fair as can be.
    let carol = rings(&mut desk, 3, "carol").expect("two are more than none");
    assert_eq!(closed(&desk.peer(carol, PeerEvent::Connected)).len(), 1);
    assert_eq!(rings(&mut desk, 3, "cecil"), None);
}

/// Eight /64s of one subscriber had all places for good, with one each.
#[test]
fn one_network_of_many_addresses_gives_places_to_another() {
    let mut desk = Desk::online(4);
    let crowd: Vec<_> = (0..4)
        .map(|i| watches(&mut desk, SUBNETS.start + i, &format!("m{i}")))
        .collect();
    let alice = rings(&mut desk, 3, "alice").expect("a network has four places");
    assert_eq!(
        closed(&desk.peer(alice, PeerEvent::Connected)),
        crowd[3..],
        "the newest"
    );
    // Within a network it is as ever.
    assert_eq!(rings(&mut desk, SUBNETS.start + 8, "m8"), None);
    let mut desk = Desk::online(2);
    let first = SUBNETS.start;
    let crowd = ["m1", "m2"].map(|who| watches(&mut desk, first, who));
    let neighbour = rings(&mut desk, first + 1, "bob").expect("one address has both places");
    let commands = desk.peer(neighbour, PeerEvent::Connected);
    assert_eq!(closed(&commands), crowd[1..]);
}

#[test]
fn where_nothing_is_known_of_addresses_nobody_who_watches_is_sent_away() {
    let mut desk = Desk::online(2);
    desk.call("alice", "AAAA", 'a');
    desk.call("bob", "BBBB", 'b');
    let commands = desk.offers("carol", &offer("CCCC", 'c'));
    assert_eq!(hung_up(&commands)[0].0, "carol");
    assert_eq!(desk.agent.connected(), 2);
}

/// A call on hold, or one that had ended, had a camera record for as long as it lasted, and the
/// oldest recordings deleted for it.
#[test]
fn who_watches_takes_the_picture_and_is_there() {
    let mut desk = Desk::online(4);
    rings(&mut desk, 1, "rings");
    assert_eq!(desk.agent.watch(desk.now), 0, "no path yet");
    watches(&mut desk, 2, "held");
    let alice = watches(&mut desk, 3, "alice");
    assert_eq!(desk.agent.watch(desk.now), 2);
    offers_at(&mut desk, 2, "held", on_hold("held"));
    assert_eq!(desk.agent.watch(desk.now), 1);
    desk.peer(alice, PeerEvent::Rtcp);
    desk.peer(alice, PeerEvent::Interrupted);
    assert_eq!(
        desk.agent.watch(desk.now),
        1,
        "the network often comes back"
    );
    desk.wait(11 * SECOND);
    assert_eq!((desk.agent.watch(desk.now), desk.agent.connected()), (0, 2));
    desk.peer(alice, PeerEvent::Connected);
    offers_at(&mut desk, 2, "held", offer(&ufrag("held"), 'a'));
    assert_eq!(desk.agent.watch(desk.now), 2);
}
