//! Frames in simulated time, and what of them is in the folder.

mod day;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config::{Config, RecordWhen};
use crate::lock::lock;
use crate::media::frame::{AccessUnit, Packetizer};
use crate::media::hub::HubThread;
use crate::media::replay::{Replay, access_units};
use crate::recorder::catalogue::Limits;
use crate::recorder::folder::Folder;
use crate::recorder::names;
use crate::recorder::tests::played;

const CLIP: &[u8] = include_bytes!("../../../tests/fixtures/clip.h264");
const FRAME: Duration = Duration::from_nanos(33_333_334);
const SOON: Duration = Duration::from_secs(30);

struct Bench {
    run: Run,
    reports: mpsc::Receiver<Report>,
    folder: Arc<Folder>,
    home: TempDir,
    now: Instant,
    /// Sound comes so much later than the picture of its time.
    late: Duration,
    pictures: Vec<bytes::Bytes>,
    packetizer: Packetizer,
    count: usize,
    _thread: HubThread,
}

impl Bench {
    fn new(when: RecordWhen, pre_roll_s: u32) -> Self {
        let none = Limits {
            bytes: 0,
            age: 0,
            free: 0,
            strangers: 25,
        };
        Self::with(when, pre_roll_s, none, Clock::default())
    }

    fn with(when: RecordWhen, pre_roll_s: u32, limits: Limits, clock: Clock) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.recording.when = when;
        config.recording.button = true;
        config.recording.pre_roll_s = pre_roll_s;
        config.recording.folder = Some(home.path().join("recordings"));
        let wanted = Wanted::of(&config, None).expect("it is on");
        let wish = Wish {
            when,
            button: true,
            private: false,
            aside: false,
            viewers: 1,
            h264: true,
            invited: false,
            motions: 0,
            pressed: false,
        };
        let folder = Folder::new(wanted.folder.clone());
        let (tell, reports) = mpsc::channel(99);
        let disk = Disk::start(folder.clone(), limits, clock.clone(), move |report| {
            let _ = tell.try_send(report);
        });
        let (hub, thread) = Hub::start(Box::new(Replay::new(CLIP, 30)), None);
        Self {
            run: Run::new(hub, wish, &wanted, disk.expect("a thread"), clock),
            reports,
            folder,
            home,
            now: Instant::now(),
            late: Duration::ZERO,
            pictures: access_units(CLIP),
            packetizer: Packetizer::new(PICTURE),
            count: 0,
            _thread: thread,
        }
    }

    fn frame(&mut self, is_picture: bool) -> Arc<Frame> {
        // A key frame a second.
        let position = self.count % 30;
        let data = match is_picture {
            true => self.pictures[position].clone(),
            false => bytes::Bytes::from_static(crate::media::opus::SILENCE),
        };
        let unit = AccessUnit {
            data,
            key: is_picture && position == 0,
            running_time: Duration::ZERO,
            captured_at: match is_picture {
                true => self.now,
                false => self.now - self.late,
            },
            encoder_in: None,
            encoded_at: self.now,
        };
        let frame = match is_picture {
            true => self.packetizer.packetize(unit),
            false => Packetizer::new(Stream::Audio).packetize(unit),
        };
        Arc::new(frame.expect("it has something"))
    }

    /// Sound comes for so long, and pictures where there are any.
    fn pass(&mut self, time: Duration, has_picture: bool) {
        let until = self.now + time;
        while self.now < until {
            self.run.follow(self.now);
            if has_picture {
                let picture = self.frame(true);
                self.count += 1;
                self.run.take(Taken::Picture(picture));
            }
            let sound = self.frame(false);
            self.run.take(Taken::Sound(sound));
            self.now += FRAME;
        }
        self.run.follow(self.now);
    }

    /// Ends, and says how long what was recorded is, in seconds.
    fn recorded(self) -> Vec<u32> {
        seconds(&self.end().path().join("recordings"))
    }

    /// Ends; all is on the disk.
    fn end(self) -> TempDir {
        let Self { mut run, home, .. } = self;
        run.end();
        drop(run);
        home
    }
}

fn seconds(folder: &Path) -> Vec<u32> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<_> = files
        .map(|file| file.file_name().into_string().expect("ours"))
        .map(|name| names::read(&name).expect("ours"))
        .collect();
    all.sort_by_key(|(id, ..)| *id);
    all.iter()
        .map(|(.., seconds)| seconds.expect("an end"))
        .collect()
}

/// The encoder hangs, and the motion goes on.
#[tokio::test]
async fn a_picture_that_stands_still_is_one_recording() {
    let mut bench = Bench::new(RecordWhen::Motion, 5);
    bench.pass(3 * Duration::from_secs(1), true);
    bench.run.wish.motions = 1;
    bench.pass(Duration::from_secs(1), true);
    bench.pass(Duration::from_secs(6), false);
    assert_eq!(bench.recorded(), [4]);
}

#[tokio::test]
async fn a_disk_works_when_it_has_said_so() {
    let mut bench = Bench::new(RecordWhen::Motion, 5);
    let blocked = bench.home.path().join("recordings");
    fs::write(&blocked, "a file in the way").expect("written");
    bench.pass(Duration::from_secs(4), true);
    bench.run.wish.motions = 1;
    for _ in 0..3 {
        bench.run.follow(bench.now);
        assert!(bench.run.filming.is_some(), "it is tried");
        let report = bench.reports.recv().await.expect("a report");
        bench.run.told(report);
        assert!(bench.run.said.is_failing && bench.run.filming.is_none());
        // All of the pre-roll is told before the disk has answered.
        bench.run.retry_at = None;
        bench.run.follow(bench.now);
        assert!(bench.run.said.is_failing, "nothing is written yet");
        let report = bench.reports.recv().await.expect("a report");
        bench.run.told(report);
        bench.run.retry_at = None;
    }
    fs::remove_file(&blocked).expect("removed");
    bench.run.follow(bench.now);
    let report = bench.reports.recv().await.expect("a report");
    assert_eq!(report, Report::Works(bench.run.films));
    bench.run.told(report);
    assert!(!bench.run.said.is_failing);
    assert_eq!(bench.recorded(), [4]);
}

/// The thread is held up where it says how much there is.
#[tokio::test]
async fn a_file_ends_although_the_disk_did_not_keep_up_and_half_a_minute_is_no_trouble() {
    let mut bench = Bench::new(RecordWhen::Motion, 30);
    bench.pass(Duration::from_secs(35), true);
    let folder = bench.folder.clone();
    let held_up = lock(&folder.catalogue);
    bench.run.wish.motions = 1;
    bench.pass(Duration::from_secs(30), true);
    assert!(
        bench.run.filming.is_some(),
        "the pre-roll has room, and as much more"
    );
    bench.pass(Duration::from_secs(30), true);
    assert!(bench.run.filming.is_none() && bench.run.said.is_failing);
    bench.run.wish.motions = 0;
    drop(held_up);
    let began = Instant::now();
    loop {
        let (all, _) = lock(&folder.catalogue).page(None, 9);
        if let [(_, entry)] = all[..]
            && entry.seconds.is_some()
        {
            break;
        }
        assert!(began.elapsed() < SOON, "{all:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As of a slow machine, or of one that is at its end: it was another file with each key
/// frame, and none had a sound.
#[tokio::test]
async fn sound_that_comes_a_second_and_a_half_late_is_in_one_recording() {
    let mut bench = Bench::new(RecordWhen::Motion, 5);
    bench.late = Duration::from_millis(1_500);
    bench.pass(Duration::from_secs(10), true);
    bench.run.wish.motions = 1;
    bench.pass(Duration::from_secs(9), true);
    let home = bench.end();
    let folder = home.path().join("recordings");
    assert_eq!(seconds(&folder), [15]);
    let file = fs::read_dir(&folder).expect("a folder").flatten().next();
    let (pictures, sounds) = played(&file.expect("one").path());
    // What is late when it ends is not there.
    assert!(pictures > 400 && sounds > 600, "{pictures} {sounds}");
}

/// What becomes of a file is told when the next has begun.
#[tokio::test]
async fn the_trouble_of_a_file_before_is_none_of_this_one() {
    let mut bench = Bench::new(RecordWhen::Always, 0);
    bench.pass(Duration::from_secs(3), true);
    let late = Report::Failed(bench.run.films - 1, "it was full".to_owned());
    bench.run.told(late);
    assert!(bench.run.filming.is_some() && bench.run.retry_at.is_none());
    assert_eq!(bench.recorded(), [3]);
}

#[tokio::test]
async fn a_recording_is_for_what_it_goes_on_for() {
    let mut bench = Bench::new(RecordWhen::Motion, 0);
    bench.run.wish.pressed = true;
    bench.pass(Duration::from_secs(1), true);
    assert_eq!(bench.run.why(), Some(Why::Button));
    bench.run.wish.motions = 1;
    bench.pass(Duration::from_secs(1), true);
    bench.run.wish.pressed = false;
    bench.pass(Duration::from_secs(1), true);
    assert_eq!(bench.run.why(), Some(Why::Motion));
    bench.run.wish.motions = 0;
    bench.pass(Duration::from_secs(1), true);
    assert_eq!(bench.run.why(), None);
    assert_eq!(bench.recorded(), [3]);
}

/// A stranger who had come first would have been the household's reason, too.
#[tokio::test]
async fn what_strangers_watch_alone_is_in_files_of_their_own() {
    let mut bench = Bench::new(RecordWhen::Watched, 0);
    for invited in [false, true, true, false] {
        bench.run.wish.invited = invited;
        bench.pass(Duration::from_secs(2), true);
    }
    let home = bench.end();
    let files = fs::read_dir(home.path().join("recordings")).expect("a folder");
    let mut why: Vec<_> = files
        .map(|file| file.expect("a file").file_name().into_string())
        .map(|name| names::read(&name.expect("ours")).expect("ours"))
        .map(|(id, why, seconds)| (id, why, seconds.expect("it has ended")))
        .collect();
    why.sort_by_key(|(id, ..)| *id);
    let why: Vec<_> = why.into_iter().map(|(_, why, _)| why).collect();
    assert_eq!(why, [Why::Strangers, Why::Watched, Why::Strangers]);
}

/// A key frame had been asked for less than a second before: the next was not, and the new
/// file waited for up to four seconds more.
#[tokio::test]
async fn who_comes_or_goes_has_a_key_frame_asked_for_at_once() {
    let mut bench = Bench::new(RecordWhen::Watched, 0);
    bench.pass(Duration::from_secs(2), true);
    bench.run.asked = None;
    bench.run.ask_for_key(bench.now);
    for invited in [true, false] {
        bench.pass(Duration::from_millis(200), true);
        assert_ne!(bench.run.asked, Some(bench.now));
        bench.run.wish.invited = invited;
        bench.run.follow(bench.now);
        assert_eq!(bench.run.asked, Some(bench.now));
    }
}

#[tokio::test]
async fn a_button_that_is_pressed_again_writes_no_second_twice() {
    let mut bench = Bench::new(RecordWhen::Off, 10);
    bench.pass(Duration::from_secs(12), true);
    for _ in 0..3 {
        bench.run.wish.pressed = true;
        bench.pass(Duration::from_secs(1), true);
        bench.run.wish.pressed = false;
        bench.pass(Duration::from_secs(1), true);
    }
    let all = bench.recorded();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0] >= 11, "{all:?}");
    // From the key frame before the last one's end on.
    assert!(all[1..].iter().all(|seconds| *seconds <= 3), "{all:?}");
}
