//! What is written down of calls that are refused: whose they were, as far as
//! the caller showed it; and no number of strangers hides it.

use std::io;
use std::sync::{Arc, Mutex};

use super::*;

/// What the journal gets while `act` goes on.
fn journal(act: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let journal = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(journal, act);
    let text = lines.0.lock().expect("not poisoned").clone();
    String::from_utf8(text).expect("text")
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The refusals in the log of calls since the last look: name, label, id, why.
fn refusals(desk: &mut Desk) -> Vec<(String, Option<String>, Option<String>, String)> {
    std::iter::from_fn(|| desk.agent.next_note())
        .filter(|note| note.outcome.word() == "refused")
        .map(|note| {
            let label = note.label.map(|label| label.to_string());
            let id = note.invitation.map(|id| id.to_string());
            (note.caller.to_string(), label, id, note.why)
        })
        .collect()
}

/// There is one, and it says this.
fn assert_refused(desk: &mut Desk, from: &str, label: Option<&str>, key: Option<usize>, why: &str) {
    let all = refusals(desk);
    let [(name, whose, id, words)] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!((name.as_str(), whose.as_deref()), (from, label));
    assert_eq!(*id, key.map(id_of));
    assert!(words.contains(why), "{words}");
}

fn id_of(key: usize) -> String {
    invite(key).id().to_string()
}

/// An offer, with a proof by this key.
fn offered(from: &str, key: Option<usize>, ufrag: &str, certificate: char) -> Incoming {
    let fingerprint = print(certificate);
    let access = key.map(|key| {
        let call = Call {
            camera: "camera",
            viewer: Side {
                fingerprint: &fingerprint,
                ufrag,
            },
            id: invite(key).id(),
        };
        Access {
            id: call.id.to_string(),
            proof: ProofKey::of(&invite(key).key()).offer(&call),
        }
    });
    Incoming::VideoOffer {
        again: false,
        name: name(from),
        sdp: offer(ufrag, certificate),
        access,
    }
}

fn by(conn: u64, message: Incoming) -> Incoming {
    Incoming::From {
        stamp: Stamp {
            conn: ClientId(conn.into()),
            source: None,
            network: None,
        },
        message: Box::new(message),
    }
}

/// Calls, and has a picture.
fn watches(desk: &mut Desk, message: Incoming) {
    let commands = desk.message(message);
    let [Command::Open { session, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    let sdp = "v=0\r\na=ice-ufrag:dev0\r\n".to_owned();
    desk.peer(session, PeerEvent::Answered { sdp });
    desk.peer(session, PeerEvent::Connected);
}

#[test]
fn the_journal_says_whose_invitation_a_refused_caller_showed() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([2]));
    // One that is for other things than watching.
    let text = journal(|| drop(desk.message(offered("al", Some(2), "user1", 'a'))));
    assert!(
        text.contains("call refused") && !text.contains("not invited"),
        "{text}"
    );
    let key = format!("key={}", id_of(2));
    assert!(
        text.contains("label=listener") && text.contains(&key),
        "{text}"
    );
    // One that is not known (any more), and a text that is none.
    let text = journal(|| drop(desk.message(offered("bo", Some(1), "user2", 'a'))));
    assert!(text.contains("call refused: not invited"), "{text}");
    let key = format!("key={}", id_of(1));
    assert!(!text.contains("label=") && text.contains(&key), "{text}");
    let text = journal(|| drop(desk.message(shows_no_id("mo"))));
    assert!(text.contains("call refused: not invited"), "{text}");
    assert!(
        !text.contains("key=") && !text.contains("no id here"),
        "{text}"
    );
}

fn shows_no_id(from: &str) -> Incoming {
    Incoming::VideoOffer {
        again: false,
        name: name(from),
        sdp: offer("AAAA", 'a'),
        access: Some(Access {
            // As long as one.
            id: "no id here!".into(),
            proof: "A".repeat(43),
        }),
    }
}

#[test]
fn who_was_invited_and_offers_too_often_is_written_down_once() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    let text = journal(|| {
        for at in 0..30 {
            desk.message(offered("al", Some(0), &format!("user{at}"), 'a'));
        }
    });
    assert_refused(
        &mut desk,
        "al",
        Some("alice"),
        Some(0),
        "too many calls in a short time",
    );
    let mut lines = text.lines().filter(|line| line.contains("too many offers"));
    let line = lines.next().expect("a line");
    let key = format!("key={}", id_of(0));
    assert!(
        line.contains("label=alice") && line.contains(&key),
        "{line}"
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn who_calls_under_the_name_of_somebody_who_watches_is_written_down() {
    for numbered in [true, false] {
        let says = |message| match numbered {
            true => by(17, message),
            false => message,
        };
        let mut desk = behind_a_gate(4, &BTreeSet::from([0, 1]));
        watches(&mut desk, says(offered("bob", Some(0), "user1", 'a')));
        let other = says(offered("bob", Some(1), "user2", 'b'));
        let text = journal(|| drop(desk.message(other)));
        let label = Some(LABELS[1]);
        assert_refused(&mut desk, "bob", label, Some(1), "take another name");
        assert!(text.contains("call refused: the name is in use"), "{text}");
    }
}

#[test]
fn of_an_invitation_that_was_taken_back_the_id_is_written_down_and_no_other_text() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0]));
    desk.message(offered("al", Some(0), "user1", 'a'));
    desk.agent.invited(Guests::default(), desk.now);
    desk.message(offered("al", Some(0), "user2", 'a'));
    let why = "does not know your invitation";
    assert_refused(&mut desk, "al", None, Some(0), why);
    desk.message(shows_no_id("mo"));
    assert_refused(&mut desk, "mo", None, None, why);
}

#[test]
fn strangers_of_any_number_hide_no_refusal_of_invited_people() {
    let mut desk = behind_a_gate(1, &BTreeSet::from([0, 1, 2]));
    watches(&mut desk, offered("alice", Some(0), "user1", 'a'));
    for at in 0..200 {
        let mut message = offered(&format!("m{at}"), None, "AAAA", 'b');
        // Half of them have seen an id somewhere.
        if let Incoming::VideoOffer { access, .. } = &mut message
            && at % 2 == 0
        {
            *access = Some(Access {
                id: id_of(0),
                proof: "A".repeat(43),
            });
        }
        desk.message(message);
    }
    assert_eq!(refusals(&mut desk).len(), 10, "strangers fill no log");
    desk.message(offered("bo", Some(1), "user2", 'a'));
    assert_refused(&mut desk, "bo", Some("bob"), Some(1), "as many viewers");
    let mut message = offered("bo", Some(1), "user3", 'a');
    if let Incoming::VideoOffer { sdp, .. } = &mut message {
        *sdp = sdp.replace("a=recvonly", "a=inactive");
    }
    desk.message(message);
    assert_refused(&mut desk, "bo", Some("bob"), Some(1), "no video section");
    desk.message(offered("li", Some(2), "user4", 'a'));
    assert_refused(
        &mut desk,
        "li",
        Some("listener"),
        Some(2),
        "not for watching",
    );
}

/// A minute of `act`, ten times a second, leaves less than a third of what everything
/// may in the journal.
fn a_minute_s_journal(desk: &mut Desk, mut act: impl FnMut(&mut Desk, u64)) {
    let text = journal(|| {
        for at in 0..600 {
            act(desk, at);
            desk.wait(Duration::from_millis(100));
        }
    });
    assert!(text.len() < 30_000, "{} bytes:\n{text}", text.len());
    assert!(text.contains("were left out"), "{text}");
}

#[test]
fn a_path_that_comes_and_goes_leaves_few_lines() {
    let mut desk = Desk::online(4);
    let session = desk.call("alice", "AAAA", 'a');
    a_minute_s_journal(&mut desk, |desk, _| {
        desk.peer(session, PeerEvent::Interrupted);
        desk.peer(session, PeerEvent::Connected);
    });
}

#[test]
fn who_calls_and_hangs_up_all_the_time_leaves_few_lines_and_hides_no_other_guest() {
    let mut desk = behind_a_gate(4, &BTreeSet::from([0, 1]));
    a_minute_s_journal(&mut desk, |desk, at| {
        // Whoever has a path pays nothing for calling again.
        let offered = offered("alice", Some(0), &format!("user{at}"), 'a');
        for command in desk.message(offered) {
            if let Command::Open { session, .. } = command {
                let sdp = "v=0\r\na=ice-ufrag:dev0\r\n".to_owned();
                desk.peer(session, PeerEvent::Answered { sdp });
                desk.peer(session, PeerEvent::Connected);
                desk.peer(session, PeerEvent::Left);
            }
        }
    });
    let text = journal(|| watches(&mut desk, offered("bob", Some(1), "user1", 'b')));
    let line = "an invited person's call: answered";
    assert!(text.contains(line) && text.contains("label=bob"), "{text}");
}

/// The chat server's own words.
#[test]
fn a_server_that_renames_the_camera_all_the_time_leaves_few_lines() {
    let mut desk = Desk::online(4);
    a_minute_s_journal(&mut desk, |desk, at| {
        desk.message(Incoming::RejectUsername {
            id: None,
            name: name(&format!("camera{at}")),
        });
    });
}
