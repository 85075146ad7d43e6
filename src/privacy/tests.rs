//! Who wants it, who switches it, and how often.

use std::time::Duration;

use super::*;

#[test]
fn it_outlasts_a_restart_and_a_command_beside_it_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = || Privacy::in_folder(Some(folder.path().join("state")));
    let privacy = at();
    assert!(!privacy.is_on());
    privacy.set(true, By::Owner).expect("written");
    assert!(at().is_on());
    at().set(false, By::Owner).expect("written");
    assert!(privacy.is_on(), "it has not looked yet");
    privacy.look();
    assert!(!privacy.is_on());
    at().set(false, By::Owner).expect("it is off already");
}

#[test]
fn what_cannot_be_written_down_holds_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    // No folder can be where a file is.
    let privacy = Privacy::in_folder(Some(file.join("state")));
    privacy
        .set(true, By::Owner)
        .expect_err("it cannot be written");
    assert!(privacy.is_on());
    privacy.look();
    assert!(privacy.is_on());
    privacy.set(false, By::Owner).expect("nothing was written");
    assert!(!privacy.is_on());
    // Without a folder there is nothing to write.
    let privacy = Privacy::in_folder(None);
    privacy.set(true, By::Owner).expect("kept in mind");
    privacy.look();
    assert!(privacy.is_on());
    privacy.set(false, By::Owner).expect("kept in mind");
    assert!(!privacy.is_on());
}

#[test]
fn where_nobody_can_tell_it_is_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let privacy = Privacy::in_folder(Some(file.clone()));
    assert!(privacy.is_on());
    privacy.look();
    assert!(privacy.is_on());
    // Mended, it is as its folder says.
    fs::remove_file(&file).expect("removed");
    privacy.look();
    assert!(!privacy.is_on());
}

#[test]
fn it_follows_to_another_folder_and_stays_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| Some(folder.path().join(name));
    let privacy = Privacy::in_folder(at("one"));
    privacy.set(true, By::Owner).expect("written");
    privacy.move_to(at("two"));
    assert!(privacy.is_on());
    privacy.look();
    assert!(privacy.is_on());
    assert!(Privacy::in_folder(at("two")).is_on());
    assert!(!Privacy::in_folder(at("one")).is_on());
    privacy.set(false, By::Owner).expect("written");
    assert!(!Privacy::in_folder(at("two")).is_on());
    // Off, it is as the other folder says.
    Privacy::in_folder(at("three"))
        .set(true, By::Owner)
        .expect("written");
    privacy.move_to(at("three"));
    assert!(privacy.is_on());
}

#[test]
fn what_keeps_it_on_nobody_switches_off_and_what_was_wanted_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in [Some(folder.path().to_owned()), None] {
        for by in [Holder::Configuration, Holder::Cover] {
            for wanted in [false, true] {
                let privacy = Privacy::in_folder(file.clone());
                privacy.set(wanted, By::Owner).expect("switched");
                privacy.hold(by, true);
                assert!(privacy.is_on());
                privacy.set(false, By::Owner).expect_err("it is kept on");
                privacy.look();
                assert!(privacy.is_on());
                privacy.hold(by, false);
                assert_eq!(privacy.is_on(), wanted, "{file:?} {by:?}");
                privacy.set(false, By::Owner).expect("switched");
            }
        }
    }
}

#[test]
fn who_looks_while_it_is_written_down_does_not_switch_it_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let privacy = Privacy::in_folder(Some(folder.path().to_owned()));
    let writing = lock(&privacy.0.kept);
    // As `set` does before it writes.
    privacy.tell(true);
    privacy.look();
    assert!(privacy.is_on());
    drop(writing);
    privacy.look();
    assert!(!privacy.is_on(), "nothing was written");
}

#[test]
fn a_viewer_opens_what_a_viewer_closed_and_not_what_the_owner_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in [Some(folder.path().to_owned()), None] {
        let privacy = Privacy::in_folder(file.clone());
        privacy.set(true, By::Viewer).expect("on");
        privacy.set(false, By::Viewer).expect("off");
        assert!(!privacy.is_on());
        privacy.set(true, By::Viewer).expect("on");
        privacy.set(false, By::Owner).expect("off");
        // What both want is the owner's, whoever was first.
        for first in [By::Owner, By::Viewer] {
            let second = if first == By::Owner {
                By::Viewer
            } else {
                By::Owner
            };
            privacy.set(true, first).expect("on");
            privacy.set(true, second).expect("on");
            let error = privacy
                .set(false, By::Viewer)
                .expect_err("it is the owner's");
            assert!(error.to_string().contains("owner"), "{error}");
            assert!(privacy.is_on());
            if file.is_some() {
                let again = Privacy::in_folder(file.clone());
                again
                    .set(false, By::Viewer)
                    .expect_err("over a restart, too");
            }
            privacy.set(false, By::Owner).expect("off");
            assert!(!privacy.is_on());
        }
    }
    // One of an earlier version.
    fs::write(folder.path().join(FILE), "camera and microphone\n").expect("written");
    let privacy = Privacy::in_folder(Some(folder.path().to_owned()));
    privacy
        .set(false, By::Viewer)
        .expect_err("it is the owner's");
}

#[test]
fn only_changes_are_told() {
    let privacy = Privacy::in_folder(None);
    let changes = privacy.subscribe();
    privacy.set(false, By::Owner).expect("nothing to do");
    assert!(!changes.has_changed().expect("it is there"));
    privacy.set(true, By::Owner).expect("switched");
    assert!(changes.has_changed().expect("it is there"));
}

/// Each of twenty wishes a second was a file written and a line.
#[tokio::test]
async fn viewers_switch_it_off_at_a_pace_and_on_whenever_they_like() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(FILE);
    let privacy = Privacy::in_folder(Some(folder.path().to_owned()));
    let start = Instant::now();
    let mut offs = 0;
    for n in 0..400 {
        let now = start + Duration::from_millis(50 * n);
        let on = n % 2 == 0;
        let switched = privacy.switch(on, By::Viewer, "bob", now).await;
        match (on, switched) {
            (true, switched) => {
                switched.expect("never refused");
                assert!(privacy.is_on() && file.exists());
            }
            (false, Ok(())) => offs += 1,
            (false, Err(reason)) => assert_eq!(reason.code, Code::TooOften),
        }
    }
    assert!((12..=13).contains(&offs), "{offs} in twenty seconds");
    // The owner is not asked to wait, and not by what viewers do.
    let now = start + Duration::from_secs(20);
    for on in [true, false, true, false] {
        let switched = privacy.switch(on, By::Owner, "the key", now).await;
        switched.expect("switched");
        assert_eq!(privacy.is_on(), on);
    }
}

#[test]
fn what_is_so_already_is_not_written_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(FILE);
    let privacy = Privacy::in_folder(Some(folder.path().to_owned()));
    let changes = |on, by| privacy.change(on, by, || true).expect("it may be");
    assert!(!changes(false, By::Viewer));
    assert!(changes(true, By::Viewer) && !changes(true, By::Viewer));
    // It is the owner's from then on.
    assert!(changes(true, By::Owner) && !changes(true, By::Owner));
    assert!(!changes(true, By::Viewer));
    let text = fs::read_to_string(&file).expect("written");
    assert!(text.starts_with(By::Owner.word()), "{text}");
    assert!(changes(false, By::Owner) && !changes(false, By::Owner));
    // Where a command beside the device was first, it is told all the same.
    fs::write(&file, "owner").expect("written");
    assert!(!changes(true, By::Viewer) && privacy.is_on());
}
