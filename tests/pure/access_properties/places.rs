//! Who makes room for whom where some were invited.

use super::calls::offers;
use super::*;

const ALICE: Shown = Shown {
    key: 0,
    ufrag: 0,
    print: 0,
    as_key: 0,
    camera: "camera",
};

/// A stranger's offer whose sender takes nothing.
fn on_hold(ufrag: &str, print: char) -> String {
    ["a=sendrecv", "a=recvonly"]
        .iter()
        .fold(offer(ufrag, print), |sdp, direction| {
            sdp.replace(direction, "a=inactive")
        })
}

fn connect(desk: &mut Desk, commands: &[Command]) -> SessionId {
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let sdp = "v=0\r\na=ice-ufrag:dev0\r\n".to_owned();
    desk.peer(session, PeerEvent::Answered { sdp });
    desk.peer(session, PeerEvent::Connected);
    session
}

/// A stranger with a path took the place of an invited person's call on hold, though
/// there was a stranger's.
#[test]
fn who_was_invited_makes_no_room_for_strangers() {
    let open = Gate::new(Mode::Open, "camera", [0xdd; 32]);
    let mut desk = Desk::behind(2, open);
    desk.agent.invited(guests(&BTreeSet::from([0])), desk.now);
    let commands = offers(&mut desk, "alice", 0, ALICE);
    let alice = connect(&mut desk, &commands);
    let sdp = ["a=sendrecv", "a=recvonly"]
        .iter()
        .fold(offer(UFRAGS[0], PRINTS[0]), |sdp, direction| {
            sdp.replace(direction, "a=inactive")
        });
    desk.message(Incoming::VideoOffer {
        again: false,
        name: name("alice"),
        sdp,
        access: Some(ALICE.access()),
    });
    let commands = desk.offers("bob", &offer("BBBB", 'b'));
    let bob = connect(&mut desk, &commands);
    let commands = desk.offers("carol", &offer("CCCC", 'c'));
    assert_eq!(
        hung_up(&commands)[0].0,
        "carol",
        "all watch, or were invited"
    );
    desk.offers("bob", &on_hold("BBBB", 'b'));
    let commands = desk.offers("carol", &offer("CCCC", 'c'));
    let [Command::Open { session: carol, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let commands = desk.peer(carol, PeerEvent::Connected);
    assert_eq!(closed(&commands), [bob]);
    assert_ne!(alice, bob);
}
