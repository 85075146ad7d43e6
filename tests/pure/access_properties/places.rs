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

/// The key of `of`, shown from an address that our own server tells apart.
fn shows(desk: &mut Desk, source: u64, caller: &str, of: usize, ufrag: &str) -> Vec<Command> {
    let fingerprint = print('a');
    let (id, key) = (invite(of).id(), invite(of).key());
    let viewer = Side {
        fingerprint: &fingerprint,
        ufrag,
    };
    let call = Call {
        camera: "camera",
        viewer,
        id,
    };
    desk.message(Incoming::From {
        stamp: Stamp {
            conn: ClientId(source.into()),
            source: Some(source),
            network: None,
        },
        message: Box::new(Incoming::VideoOffer {
            again: false,
            name: name(caller),
            sdp: offer(ufrag, 'a'),
            access: Some(Access {
                id: id.to_string(),
                proof: ProofKey::of(&key).offer(&call),
            }),
        }),
    })
}

const OWN: usize = 0;
const SHARED: usize = 1;

/// Each name was a guest of its own: who had the link took all places, with eight names.
#[test]
fn who_shares_an_invitation_has_not_all_places() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([OWN, SHARED]));
    let mut crowd = Vec::new();
    for i in 0..4 {
        let commands = shows(&mut desk, 1, &format!("m{i}"), SHARED, &format!("MMM{i}"));
        crowd.push(connect(&mut desk, &commands));
    }
    // Another who has the link, elsewhere.
    let commands = shows(&mut desk, 2, "neighbour", SHARED, "NNNN");
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let commands = desk.peer(session, PeerEvent::Connected);
    assert_eq!(closed(&commands), crowd[3..]);
    // Whose own invitation it is, even beside one each.
    let mut desk = behind_a_gate(1, &BTreeSet::from([OWN, SHARED]));
    let commands = shows(&mut desk, 1, "m", SHARED, "MMMM");
    let shared = connect(&mut desk, &commands);
    let commands = shows(&mut desk, 1, "alice", OWN, "AAAA");
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let commands = desk.peer(session, PeerEvent::Connected);
    assert_eq!(closed(&commands), [shared]);
    let commands = shows(&mut desk, 1, "m", SHARED, "mmmm");
    assert_eq!(hung_up(&commands)[0].0, "m", "not the other way round");
}

/// A new name for each offer owed nothing, and took what all have together.
#[test]
fn offers_under_names_without_end_of_a_shared_invitation_keep_nobody_out() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([OWN, SHARED]));
    for i in 0..400 {
        desk.wait(Duration::from_millis(50));
        shows(&mut desk, 1, &format!("m{i}"), SHARED, &format!("MM{i:03}"));
        let honest = match i % 100 {
            30 => ("alice", OWN),
            60 => ("neighbour", SHARED),
            _ => continue,
        };
        let (who, ufrag) = (format!("{}{i}", honest.0), format!("HH{i:03}"));
        let commands = shows(&mut desk, 2, &who, honest.1, &ufrag);
        let opened = commands.iter().find_map(|command| match command {
            Command::Open { session, .. } => Some(*session),
            _ => None,
        });
        let session = opened.unwrap_or_else(|| panic!("{i} {honest:?}: {commands:?}"));
        desk.peer(session, PeerEvent::Connected);
        desk.peer(session, PeerEvent::Left);
    }
}
