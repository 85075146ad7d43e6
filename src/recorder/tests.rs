//! From frames to files that can be played.

mod disks;
mod films;

use std::path::Path;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::RecordWhen;
use crate::media::element;
use crate::media::replay::Replay;

const CLIP: &[u8] = include_bytes!("../../tests/fixtures/clip.h264");
const SOON: Duration = Duration::from_secs(30);

fn configured(folder: &Path, when: RecordWhen) -> Config {
    let mut config = Config::default();
    config.recording.when = when;
    config.recording.folder = Some(folder.to_owned());
    (config.recording.total_mb, config.recording.free_mb) = (0, 0);
    config
}

struct Bench {
    folder: TempDir,
    hub: Hub,
    private: watch::Sender<bool>,
    recorder: Recorder,
    _thread: crate::media::hub::HubThread,
}

impl Bench {
    fn new() -> Self {
        let (hub, thread) = Hub::start(Box::new(Replay::new(CLIP, 30)), None);
        let private = watch::Sender::new(false);
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            recorder: Recorder::new(hub.clone(), private.subscribe()),
            hub,
            private,
            _thread: thread,
        }
    }

    fn take(&mut self, when: RecordWhen) {
        let config = configured(self.folder.path(), when);
        self.recorder.take(&config, None);
    }

    fn all(&self) -> Vec<(Id, Entry)> {
        self.recorder.recordings().page(None, 100).0
    }

    async fn until(&self, what: &str, mut probe: impl FnMut(&[(Id, Entry)]) -> bool) {
        let began = Instant::now();
        while !probe(&self.all()) {
            assert!(began.elapsed() < SOON, "{what}: {:?}", self.all());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).expect("a folder");
        let mut names: Vec<_> = files
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .into_string()
                    .expect("ours")
            })
            .collect();
        names.sort();
        names
    }
}

/// Decodes all of it: pictures and packets of sound.
pub(super) fn played(path: &Path) -> (usize, usize) {
    element::init().expect("GStreamer");
    let description = format!(
        "filesrc location={} ! qtdemux name=d \
         d.video_0 ! queue ! h264parse ! openh264dec ! fakesink name=picture sync=false \
         d.audio_0 ! queue ! opusdec ! fakesink name=sound sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&description).expect("elements");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let counted = ["picture", "sound"].map(|name| {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let pad = pipeline.by_name(name).and_then(|e| e.static_pad("sink"));
        let counting = count.clone();
        pad.expect("a pad")
            .add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                counting.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        count
    });
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let bus = pipeline.bus().expect("a bus");
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(30),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    let end = end.expect("an end");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    pipeline.set_state(gst::State::Null).expect("it stops");
    let [pictures, sounds] = counted.map(|c| c.load(std::sync::atomic::Ordering::Relaxed));
    (pictures, sounds)
}

#[tokio::test]
async fn what_viewers_are_sent_is_kept_and_can_be_played_also_after_a_kill() {
    let mut bench = Bench::new();
    bench.take(RecordWhen::Always);
    let mut sizes = std::collections::BTreeSet::new();
    bench
        .until("four fragments", |all| {
            sizes.extend(all.first().map(|(_, entry)| entry.bytes).filter(|b| *b > 0));
            sizes.len() >= 4
        })
        .await;
    let name = bench.files().remove(0);
    assert!(name.ends_with("_always.mp4"), "{name}");
    // As a kill leaves it; and with half of a fragment more, as the power does.
    let killed = bench.folder.path().join("20200101T000000Z_motion.mp4");
    std::fs::copy(bench.folder.path().join(name), &killed).expect("copied");
    let (pictures, sounds) = played(&killed);
    assert!(pictures >= 100 && sounds >= 150, "{pictures} {sounds}");
    let whole = std::fs::read(&killed).expect("read");
    let cut = [&whole[..], &whole[whole.len() / 2..][..1000]].concat();
    std::fs::write(&killed, cut).expect("written");

    bench.recorder.stop().await;
    let name = bench.files().remove(1);
    let (_, why, seconds) = names::read(&name).expect("ours");
    assert_eq!(why, Why::Always);
    let seconds = seconds.expect("it has an end") as usize;
    let (all, _) = played(&bench.folder.path().join(&name));
    assert!(all >= pictures, "{all} {pictures}");
    assert!(
        seconds >= 4 && all.abs_diff(seconds * 30) <= 45,
        "{all} in {seconds} s"
    );

    // The next start gives the other one an end.
    bench.recorder = Recorder::new(bench.hub.clone(), bench.private.subscribe());
    bench.take(RecordWhen::Watched);
    bench.until("both", |all| all.len() == 2).await;
    let mended = bench.all()[1].1;
    assert_eq!(mended.bytes, whole.len() as u64);
    let name = mended.file(bench.all()[1].0);
    assert_eq!(played(&bench.folder.path().join(name)).0, pictures);
    // It goes, and the other stays.
    let recordings = bench.recorder.recordings();
    recordings.delete(bench.all()[1].0).await.expect("deleted");
    assert_eq!((bench.all().len(), bench.files().len()), (1, 1));
    let mut file = recordings.open(bench.all()[0].0).await.expect("there");
    let whole = boxes::whole(&mut file).expect("read").expect("whole");
    assert_eq!(whole.seconds as usize, seconds);
    bench.recorder.stop().await;
}

#[tokio::test]
async fn privacy_ends_a_recording_at_once_and_the_next_begins_after_it() {
    let mut bench = Bench::new();
    bench.take(RecordWhen::Always);
    bench
        .until("a fragment", |all| {
            all.first().is_some_and(|(_, e)| e.bytes > 0)
        })
        .await;
    let before = bench.hub.encoded(crate::media::stream::Stream::Video(
        crate::media::stream::Encoding::H264,
    ));
    assert!(before > 0);
    bench.private.send_replace(true);
    bench
        .until("an end", |all| all[0].1.seconds.is_some())
        .await;
    let state = bench.recorder.recordings().state().expect("a recorder");
    assert_eq!(*state.why.borrow(), None);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(bench.all().len(), 1, "nothing more is written");
    bench.private.send_replace(false);
    bench.until("another one", |all| all.len() == 2).await;
    bench.recorder.stop().await;
}

#[tokio::test]
async fn who_watches_is_recorded_and_a_button_begins_and_ends_one() {
    let mut bench = Bench::new();
    let mut config = configured(bench.folder.path(), RecordWhen::Off);
    config.recording.button = true;
    config.recording.pre_roll_s = 2;
    bench.recorder.take(&config, None);
    let recordings = bench.recorder.recordings();
    let start = Instant::now();
    let press = |on, s| recordings.press(on, start + Duration::from_secs(s));
    assert_eq!(press(true, 0), Ok(()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.all(), [], "nobody watches");
    let profile = crate::sdp::ProfileLevelId([0x42, 0xe0, 0x1f]);
    let decoder = bench.hub.decoder(profile);
    bench.recorder.watched((1, false));
    // What was a moment ago is kept.
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    assert_eq!(bench.all(), [], "it was pressed for nobody");
    let pressed = std::time::SystemTime::now();
    assert_eq!(press(true, 9), Err(NotPressed::TooOften));
    assert_eq!(press(true, 11), Ok(()));
    assert_eq!(press(true, 12), Ok(()), "it is pressed");
    bench.until("it", |all| all.len() == 1).await;
    let began = std::time::UNIX_EPOCH + Duration::from_secs(bench.all()[0].0.began);
    let before = pressed.duration_since(began).unwrap_or_default();
    assert!(before >= Duration::from_secs(2), "{before:?}");
    assert_eq!(press(false, 13), Ok(()));
    bench
        .until("an end", |all| all[0].1.seconds.is_some())
        .await;
    assert_eq!(bench.all()[0].1.why, Why::Button);
    // Who watches VP8 has it made for them, from when they press it.
    drop(decoder);
    bench.recorder.watched((2, false));
    let h264 = crate::media::stream::Stream::Video(crate::media::stream::Encoding::H264);
    let began = Instant::now();
    loop {
        let before = bench.hub.encoded(h264);
        tokio::time::sleep(Duration::from_millis(500)).await;
        if bench.hub.encoded(h264) == before {
            break;
        }
        assert!(began.elapsed() < SOON, "an encode for nothing");
    }
    assert_eq!(press(true, 30), Ok(()));
    bench.until("another one", |all| all.len() == 2).await;
    assert_eq!(press(false, 31), Ok(()));
    bench
        .until("an end", |all| all.iter().all(|(_, e)| e.seconds.is_some()))
        .await;
    config.recording.when = RecordWhen::Watched;
    bench.recorder.take(&config, None);
    bench.recorder.watched((3, false));
    bench.until("a third", |all| all.len() == 3).await;
    bench.recorder.watched((0, false));
    bench
        .until("an end", |all| all.iter().all(|(_, e)| e.seconds.is_some()))
        .await;
    bench.recorder.stop().await;
}

#[tokio::test]
async fn a_button_that_does_nothing_says_why_and_does_nothing_later() {
    let mut bench = Bench::new();
    let blocked = bench.folder.path().join("blocked");
    std::fs::write(&blocked, "a file in the way").expect("written");
    let mut config = configured(&blocked.join("here"), RecordWhen::Off);
    config.recording.button = true;
    bench.recorder.take(&config, None);
    bench.recorder.watched((1, false));
    let recordings = bench.recorder.recordings();
    let mut now = recordings.state().expect("it is on");
    let mut time = Instant::now();
    let mut press = || {
        time += Duration::from_secs(20);
        recordings.press(true, time)
    };
    bench.private.send_replace(true);
    assert_eq!(press(), Err(NotPressed::Private));
    bench.private.send_replace(false);
    assert_eq!(press(), Ok(()));
    let refused = now.trouble.wait_for(Option::is_some);
    tokio::time::timeout(SOON, refused)
        .await
        .expect("in time")
        .expect("told");
    assert!(matches!(press(), Err(NotPressed::Failing(_))));
    std::fs::remove_file(&blocked).expect("removed");
    let again = now.trouble.wait_for(Option::is_none);
    tokio::time::timeout(SOON, again)
        .await
        .expect("in time")
        .expect("told");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.all(), [], "nobody has pressed it since");
    assert_eq!(press(), Ok(()));
    bench.until("it", |all| all.len() == 1).await;
    bench.recorder.stop().await;
}

#[tokio::test]
async fn a_disk_that_refuses_stops_recording_until_it_takes_again() {
    let mut bench = Bench::new();
    let blocked = bench.folder.path().join("blocked");
    std::fs::write(&blocked, "a file in the way").expect("written");
    let config = configured(&blocked.join("here"), RecordWhen::Always);
    bench.recorder.take(&config, None);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(bench.all(), []);
    std::fs::remove_file(&blocked).expect("removed");
    bench.until("it goes on", |all| all.len() == 1).await;
    bench.recorder.stop().await;
}

#[tokio::test]
async fn a_reload_has_one_writer_at_a_time_and_who_listens_hears_on() {
    let mut bench = Bench::new();
    bench.take(RecordWhen::Always);
    bench
        .until("a fragment", |all| {
            all.first().is_some_and(|(_, e)| e.bytes > 0)
        })
        .await;
    let mut now = bench.recorder.recordings().state().expect("a recorder");
    let mut other = configured(bench.folder.path(), RecordWhen::Always);
    other.recording.age_days = 999;
    // The disk takes its time with the last of it: nobody else touches that file.
    let folder = bench.recorder.recordings().live().expect("it runs").folder;
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (locked, is_locked) = std::sync::mpsc::channel();
    let holds = std::thread::spawn(move || {
        let _catalogue = lock(&folder.catalogue);
        let _ = locked.send(());
        let _ = held.recv();
    });
    is_locked.recv().expect("it is held up");
    bench.recorder.take(&other, None);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(bench.all(), [], "what is being written was looked at");
    }
    drop(hold);
    holds.join().expect("it ends");
    bench
        .until("the next one", |all| {
            all.len() == 2 && all[0].1.bytes > 0 && all[1].1.seconds.is_some()
        })
        .await;
    let (id, entry) = bench.all()[1];
    let file = std::fs::metadata(bench.folder.path().join(entry.file(id)));
    assert_eq!(file.expect("by its name").len(), entry.bytes);
    // Of the one that ended, and of the one that follows.
    let began = Instant::now();
    while *now.why.borrow_and_update() != Some(Why::Always) || *now.list.borrow() < 2 {
        assert!(began.elapsed() < SOON);
        let changed = tokio::time::timeout(SOON, now.changed()).await;
        assert!(changed.expect("there is news"), "something is recorded");
    }
    bench.recorder.stop().await;
    while tokio::time::timeout(SOON, now.changed())
        .await
        .expect("an end")
    {}
    assert_eq!(bench.files().len(), 2, "{:?}", bench.files());
}

/// It alone takes the picture, and another source waits for nobody to do so.
#[tokio::test]
async fn another_source_takes_over_and_the_recording_goes_on_from_it() {
    let mut bench = Bench::new();
    bench.take(RecordWhen::Always);
    bench
        .until("a fragment", |all| {
            all.first().is_some_and(|(_, e)| e.bytes > 0)
        })
        .await;
    let back = bench.recorder.step_aside();
    let other = Box::new(Replay::new(CLIP, 15));
    bench.hub.replace_source(other, None, back);
    bench
        .until("the next one", |all| {
            all.len() == 2 && all[0].1.bytes > 0 && all[1].1.seconds.is_some()
        })
        .await;
    bench.recorder.stop().await;
}

#[test]
fn what_is_off_is_not_there() {
    let mut bench = Bench::new();
    bench
        .recorder
        .take(&Config::default(), Some("/nowhere".into()));
    assert!(bench.recorder.task.is_none() && bench.recorder.recordings().state().is_none());
    bench.recorder.watched((1, false));
    let pressed = bench.recorder.recordings().press(true, Instant::now());
    assert_eq!(pressed, Err(NotPressed::NoButton));
}
