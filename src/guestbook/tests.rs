use super::*;
use crate::access::{Invite, May, Stage};
use crate::wire::UserName;

fn invitation(label: &str, until: Option<u64>) -> Invitation {
    let invite = Invite::random();
    Invitation {
        label: UserName::parse(label).expect("a label"),
        may: May::watch_and_listen(),
        made: 1_000_000,
        until,
        stage: Stage::Link,
        key: (invite.id(), invite.key()),
        given: Vec::new(),
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn what_the_owner_changes_is_seen_once_and_an_end_when_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let book = Book::in_folder(folder.path().join("state"));
    let mut guestbook = Guestbook::new(book.clone());
    assert!(guestbook.look(at(1_000_000)).is_some_and(|g| g.is_empty()));
    assert!(guestbook.look(at(1_000_000)).is_none());
    let alice = invitation("alice", Some(1_000_060));
    let id = alice.key.0;
    book.change(|list| {
        list.push(alice);
        Ok(())
    })
    .expect("written");
    let guests = guestbook.look(at(1_000_001)).expect("news");
    assert_eq!(guests.get(id).expect("alice").pause, None);
    assert!(guestbook.look(at(1_000_059)).is_none());
    let guests = guestbook.look(at(1_000_060)).expect("it ends");
    assert!(guests.get(id).expect("alice").pause.is_some());
    book.change(|list| {
        list.clear();
        Ok(())
    })
    .expect("written");
    assert!(guestbook.look(at(1_000_061)).is_some_and(|g| g.is_empty()));
}

/// As a backup may put it back.
#[test]
fn a_list_that_others_can_read_is_hidden_from_them() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let book = Book::in_folder(folder.path());
    let add = |list: &mut Vec<_>| {
        list.push(invitation("alice", None));
        Ok(())
    };
    book.change(add).expect("written");
    let mode = || {
        std::fs::metadata(book.path())
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(), 0o600);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(book.path(), open).expect("it is ours");
    assert_eq!(book.read().expect("a list").len(), 1);
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_damaged_list_lets_nobody_in_at_a_start_and_changes_nothing_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let book = Book::in_folder(folder.path());
    book.change(|list| {
        list.push(invitation("alice", None));
        Ok(())
    })
    .expect("written");
    let good = std::fs::read_to_string(book.path()).expect("there");
    let mut running = Guestbook::new(book.clone());
    assert!(running.look(at(1)).is_some_and(|g| !g.is_empty()));
    std::fs::write(book.path(), &good[..good.len() - 9]).expect("written");
    assert!(running.look(at(1)).is_none());
    assert_eq!(running.invitations(), 1);
    let mut starting = Guestbook::new(book.clone());
    assert!(starting.look(at(1)).is_some_and(|g| g.is_empty()));
    std::fs::write(book.path(), good).expect("written");
    assert!(starting.look(at(1)).is_some_and(|g| !g.is_empty()));
    assert!(running.look(at(1)).is_none(), "as before");
}

#[test]
fn many_at_once_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let book = Book::in_folder(folder.path().join("made/on/the/way"));
    let add = |n: usize| {
        let book = book.clone();
        std::thread::spawn(move || {
            for i in 0..5 {
                let change = |list: &mut Vec<_>| {
                    list.push(invitation(&format!("{n}-{i}"), None));
                    Ok(())
                };
                book.change(change).expect("written");
            }
        })
    };
    let threads: Vec<_> = (0..4).map(add).collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(book.read().expect("whole").len(), 20);
}

#[tokio::test]
async fn a_key_that_was_given_is_known_before_it_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let book = Book::in_folder(folder.path());
    let alice = invitation("alice", None);
    let link = alice.key.0;
    book.change(|list| {
        list.push(alice);
        Ok(())
    })
    .expect("written");
    let mut guestbook = Guestbook::new(book);
    guestbook.look(at(1));
    let desk = guestbook.desk();
    let (id, _) = desk.give(link).await.expect("a key");
    assert!(guestbook.is_dirty());
    let guests = guestbook.look(at(1)).expect("news");
    assert!(guests.get(id).is_some_and(|g| g.given) && guests.get(link).is_some());
    assert!(!guestbook.is_dirty());
    desk.keep(id).await;
    let guests = guestbook.look(at(1)).expect("news");
    assert!(guests.get(id).is_some_and(|g| !g.given) && guests.get(link).is_none());
}
