//! A disk that takes the fragments, and not the end.

use std::fs;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::films::unit;
use crate::lock::lock;
use crate::recorder::boxes::with_thumbnail;
use crate::recorder::catalogue::{Entry, Limits};
use crate::recorder::clock::Clock;
use crate::recorder::disk::{Disk, Job, Report};
use crate::recorder::film::Film;
use crate::recorder::folder::Folder;
use crate::recorder::names::{Id, Why};

/// Whether the list is so.
type Probe = dyn Fn(&[(Id, Entry)]) -> bool;

/// A file of three seconds, in a piece.
fn film() -> Vec<u8> {
    let start = Instant::now();
    let film = Film::begin(unit(true, 100), start, Duration::ZERO, None);
    let mut film = film.expect("it begins");
    let mut file = Vec::new();
    for second in 1..=3 {
        let at = start + Duration::from_secs(second);
        let fragment = film.picture(unit(false, 100), false, at);
        file.extend(fragment.expect("taken").unwrap_or_default());
    }
    let (last, _) = film.end(start + Duration::from_secs(4));
    file.extend(last.expect("a fragment"));
    file
}

fn begin(film: u64, second: u64) -> Job {
    Job::Begin {
        film,
        began: UNIX_EPOCH + Duration::from_secs(second),
        why: Why::Motion,
        bytes: self::film(),
    }
}

#[test]
fn a_recording_whose_end_the_disk_refused_is_there_and_is_given_it_later() {
    const BEGAN: u64 = 1_796_034_915;
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(home.path().to_owned());
    let (tell, reports) = std::sync::mpsc::channel();
    let limits = Limits {
        bytes: 0,
        age: 0,
        free: 0,
        strangers: 25,
    };
    let disk = Disk::start(folder.clone(), limits, Clock::default(), move |report| {
        let _ = tell.send(report);
    });
    let disk = disk.expect("a thread");
    let all = || lock(&folder.catalogue).page(None, 9).0;
    let until = |what: &str, probe: &Probe| {
        let began = Instant::now();
        while !probe(&all()) {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{what}: {:?}",
                all()
            );
            std::thread::yield_now();
        }
    };
    // Nothing is overwritten: something is in the way of its last name.
    let in_the_way = home.path().join("20261130T103515Z_motion_4s.mp4");
    assert!(disk.tell(begin(1, BEGAN)));
    until("it begins", &|all| {
        all.first().is_some_and(|(_, e)| e.bytes > 0)
    });
    fs::write(&in_the_way, "").expect("written");
    assert!(disk.tell(Job::End(Duration::from_secs(4))));
    let report = reports.recv().expect("a report");
    assert!(matches!(report, Report::Failed(1, _)), "{report:?}");
    let [(id, entry)] = all()[..] else {
        panic!("it is forgotten: {:?}", all())
    };
    assert!(entry.seconds.is_none() && !lock(&folder.catalogue).is_being_written(id));
    folder.open(id).expect("it can be seen");
    fs::remove_file(&in_the_way).expect("removed");
    assert!(disk.tell(begin(2, BEGAN + 60)));
    until("it has an end", &|all| {
        all.len() == 2 && all[1].1.seconds.is_some()
    });
    drop(disk);
    folder.open(id).expect("by its last name");
    assert!(
        all().iter().all(|(_, e)| e.seconds == Some(4)),
        "{:?}",
        all()
    );
}

/// A disk that takes a second and a thumbnail, and fails, said "recording goes on" each
/// time that it was tried.
#[test]
fn a_thumbnail_is_no_proof_that_a_disk_works() {
    const BEGAN: u64 = 1_796_034_915;
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(home.path().to_owned());
    let (tell, reports) = std::sync::mpsc::channel();
    let limits = Limits {
        bytes: 0,
        age: 0,
        free: 0,
        strangers: 25,
    };
    let disk = Disk::start(folder, limits, Clock::default(), move |report| {
        let _ = tell.send(report);
    });
    let disk = disk.expect("a thread");
    let beside = || Job::Beside(with_thumbnail(&[0xff, 0xd8, 0xff, 0xd9]));
    for job in [begin(1, BEGAN), beside(), Job::GiveUp] {
        assert!(disk.tell(job));
    }
    for job in [begin(2, BEGAN + 9), beside(), Job::Append(film()), beside()] {
        assert!(disk.tell(job));
    }
    assert!(disk.tell(Job::End(Duration::from_secs(8))));
    drop(disk);
    assert_eq!(reports.iter().collect::<Vec<_>>(), [Report::Works(2)]);
}
