//! A day before the camera, in simulated time: pictures, what moves in them, and what is
//! recorded of it. Nothing that is remembered grows, and the plan is kept throughout.
//!
//! `cargo nextest run --release --run-ignored only day::` has all of the 24 hours, in
//! some minutes. In every run there is a day of a quarter of an hour, whose light and
//! weather hurry, and whose people do not.

mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use super::*;
use crate::config::MotionConfig;
use crate::motion::trigger::Change;
use crate::motion::{RATE, Settings, Watcher};
use crate::recorder::catalogue::Entry;
use crate::recorder::names::Id;
use scene::Day;

/// 2026-12-01T00:00:00Z.
const MIDNIGHT: u64 = 1_796_083_200;
const PRE_ROLL_S: u32 = 5;
/// Sound is in packets of so long.
const PACKET: Duration = Duration::from_millis(20);
/// Between key frames, in pictures of [`RATE`]: 4 s, which is what the recorder asks for.
const KEYS_APART: usize = 4 * RATE as usize;
/// Room for what is remembered of pictures of 160×92, in bytes. Four of them, and what is
/// usual in each window, are 300 kB; the rest is for things that are followed.
const WATCHER: usize = 1_000_000;
/// Frames in the ring: of the pre-roll and a group more, and as much for its growth.
const RING: usize = 2 * 2 * (PRE_ROLL_S as usize + 4) * (RATE as usize + 50);
/// A recording is as long as it says to a second, and one begins with a second.
const SECOND: f64 = 1.1;

/// Something that moved, in seconds since midnight.
#[derive(Debug, Clone, Copy)]
struct Moving {
    began: f64,
    ended: f64,
}

/// A camera that looks at a day and records what moves.
struct Camera {
    bench: Bench,
    clock: Clock,
    midnight: Instant,
    watcher: Watcher,
    limits: Limits,
    pressed: watch::Sender<bool>,
    button: watch::Receiver<bool>,
    /// All events that have begun and ended.
    events: Vec<Moving>,
    /// All that were ever recorded, as they were when they had ended.
    recorded: BTreeMap<Id, Entry>,
    most: Most,
}

/// The most that was remembered, in any second.
#[derive(Debug, Default)]
struct Most {
    watcher: usize,
    ring: (usize, usize),
    motions: usize,
    waiting_for_retry: bool,
}

impl Camera {
    fn new(limits: Limits) -> Self {
        let settings = Settings::of(&MotionConfig {
            enabled: true,
            ..MotionConfig::default()
        });
        let midnight = Instant::now();
        let clock = Clock::simulated(midnight, UNIX_EPOCH + Duration::from_secs(MIDNIGHT));
        let mut bench = Bench::with(RecordWhen::Motion, PRE_ROLL_S, limits, clock.clone());
        bench.now = midnight;
        let pressed = watch::Sender::new(false);
        Self {
            bench,
            clock,
            midnight,
            watcher: Watcher::new(&settings.expect("it is on")),
            limits,
            button: pressed.subscribe(),
            pressed,
            events: Vec::new(),
            recorded: BTreeMap::new(),
            most: Most::default(),
        }
    }

    /// A picture, and the sound until the next one.
    fn sees(&mut self, picture: &crate::motion::Luma, since: Duration) {
        let wall = UNIX_EPOCH + Duration::from_secs(MIDNIGHT) + since;
        self.bench.now = self.midnight + since;
        self.clock.set(self.bench.now, wall);
        for event in self.watcher.look(picture, since) {
            self.tell(&event, since);
        }
        let run = &mut self.bench.run;
        run.look(&self.pressed, &mut self.button);
        run.follow(self.bench.now);
        let picture = self.frame();
        self.bench.run.take(Taken::Picture(picture));
        for _ in 0..50 / RATE {
            let sound = self.bench.frame(false);
            self.bench.run.take(Taken::Sound(sound));
            self.bench.now += PACKET;
        }
    }

    fn tell(&mut self, event: &crate::motion::Event, since: Duration) {
        let lasted = event.end().map_or(Duration::ZERO, |(_, lasted)| lasted);
        let began = since - lasted;
        match event.change {
            Change::Began => self.events.push(Moving {
                began: began.as_secs_f64(),
                ended: f64::INFINITY,
            }),
            Change::Ended(..) => {
                let last = self.events.last_mut().expect("it began");
                last.ended = since.as_secs_f64();
            }
        }
        self.bench.run.moved(Moved {
            zone: event.zone.clone(),
            began: UNIX_EPOCH + Duration::from_secs(MIDNIGHT) + began,
            ended: event.end(),
        });
    }

    fn frame(&mut self) -> Arc<Frame> {
        // The clip's first is a key frame.
        let position = self.bench.count % KEYS_APART;
        self.bench.count += 1;
        let unit = AccessUnit {
            data: self.bench.pictures[position].clone(),
            key: position == 0,
            running_time: Duration::ZERO,
            captured_at: self.bench.now,
            encoder_in: None,
            encoded_at: self.bench.now,
        };
        let frame = self.bench.packetizer.packetize(unit);
        Arc::new(frame.expect("it has something"))
    }

    /// The disk has its own time: a second of the day is over when it is done.
    fn second_is_over(&mut self) {
        let began = Instant::now();
        let folder = self.bench.folder.clone();
        loop {
            let all = lock(&folder.catalogue).page(None, usize::MAX).0;
            let open = all.iter().filter(|(_, e)| e.seconds.is_none()).count();
            let is_filming = self.bench.run.filming.as_ref();
            let is_filming = is_filming.is_some_and(|filming| filming.film.is_some());
            if self.bench.run.disk.is_idle() && open <= usize::from(is_filming) {
                let done = all.into_iter().filter(|(_, e)| e.seconds.is_some());
                self.recorded.extend(done);
                break;
            }
            assert!(began.elapsed() < SOON, "the disk does not come to an end");
            std::thread::yield_now();
        }
        while let Ok(report) = self.bench.reports.try_recv() {
            self.bench.run.told(report);
        }
        let run = &self.bench.run;
        let most = &mut self.most;
        most.watcher = most.watcher.max(self.watcher.room());
        let (frames, bytes) = run.ring.room();
        most.ring = (most.ring.0.max(frames), most.ring.1.max(bytes));
        most.motions = most.motions.max(run.motions.len());
        most.waiting_for_retry |= run.retry_at.is_some();
        // What began last may be over it until it is looked at again.
        let bytes = lock(&folder.catalogue).page(None, usize::MAX).0;
        let kept: u64 = bytes.iter().map(|(_, entry)| entry.bytes).sum();
        let last = bytes.first().map_or(0, |(_, entry)| entry.bytes);
        assert!(
            kept <= self.limits.bytes + last.max(self.limits.bytes / 10),
            "{kept} of {}",
            self.limits.bytes
        );
    }
}

/// Each event has one recording, which begins before it and ends with it.
fn plan_is_kept(events: &[Moving], recorded: &BTreeMap<Id, Entry>) {
    assert_eq!(recorded.len(), events.len(), "one for each");
    for ((id, entry), event) in recorded.iter().zip(events) {
        let words = format!("{id} {entry:?}: {event:?}");
        assert_eq!(entry.why, Why::Motion, "{words}");
        let began = id.began.saturating_sub(MIDNIGHT) as f64;
        let before = event.began - began;
        // From the key frame that was before the pre-roll, and 4 s of it at least.
        let earliest = f64::from(PRE_ROLL_S) + 4.0 + SECOND;
        assert!((4.0..earliest).contains(&before), "{before} s, {words}");
        let length = f64::from(entry.seconds.expect("it has an end"));
        let end = began + length;
        assert!((end - event.ended).abs() <= 2.0 * SECOND, "{end}, {words}");
        // Five seconds after the last that moved, or a minute in all.
        let lasted = event.ended - event.began;
        assert!((5.0..=60.3).contains(&lasted), "{words}");
    }
}

/// How many were right, wrong, and how many of those that moved were found.
fn score(events: &[Moving], moves: &[(f64, f64)]) -> (usize, usize, usize) {
    let is_about =
        |event: &&Moving, (from, to): &(f64, f64)| (*from..*to + 1.0).contains(&event.began);
    let right = |event: &&Moving| moves.iter().any(|moved| is_about(event, moved));
    let found = |moved: &&(f64, f64)| events.iter().any(|event| is_about(&event, moved));
    let right = events.iter().filter(right).count();
    let found = moves.iter().filter(found).count();
    (right, events.len() - right, found)
}

fn lives_through(length: Duration, people: usize) {
    // So much as a dozen recordings have, and a quarter of the day.
    let limits = Limits {
        bytes: 2_000_000,
        age: length.as_secs() / 4,
        free: 0,
        strangers: 25,
    };
    let mut day = Day::new(length.as_secs_f32(), people, 16);
    let moves = day.moves();
    let mut camera = Camera::new(limits);
    let pictures = length.as_secs() as u32 * RATE;
    let mut halves = Vec::new();
    for number in 0..pictures {
        let since = Duration::from_secs(1) * number / RATE;
        camera.sees(&day.picture(since.as_secs_f64()), since);
        if number % RATE == RATE - 1 {
            camera.second_is_over();
        }
        if number == pictures / 2 {
            halves.push(std::mem::take(&mut camera.most));
        }
    }
    let Camera {
        events,
        recorded,
        most,
        bench,
        ..
    } = camera;
    halves.push(most);
    let (right, wrong, found) = score(&events, &moves);
    println!(
        "{} who walk, {found} found; {right} events right, {wrong} wrong; at most {halves:#?}",
        moves.len()
    );
    assert!(moves.len() >= people * 9 / 10, "{}", moves.len());
    assert!(found * 10 >= moves.len() * 9, "{found}");
    assert!(right * 10 >= events.len() * 9, "{wrong}");
    for most in &halves {
        assert!(most.watcher <= WATCHER && most.ring.0 <= RING, "{most:?}");
        assert!(most.motions <= 1 && !most.waiting_for_retry, "{most:?}");
    }
    plan_is_kept(&events, &recorded);
    // The folder has what the list has: the latest.
    let all = lock(&bench.folder.catalogue).page(None, usize::MAX).0;
    let left: BTreeSet<_> = all.iter().map(|(id, entry)| entry.file(*id)).collect();
    let files = fs::read_dir(&bench.folder.path)
        .expect("a folder")
        .flatten();
    let files: BTreeSet<_> = files
        .map(|file| file.file_name().into_string().expect("ours"))
        .collect();
    assert_eq!(left, files);
    let latest: Vec<_> = recorded.iter().rev().take(all.len()).collect();
    assert!(all.iter().map(|(id, e)| (id, e)).eq(latest), "{all:?}");
    assert!(
        all.len() >= 2 && all.len() < recorded.len(),
        "{}",
        all.len()
    );
}

#[tokio::test]
async fn a_day_of_a_quarter_of_an_hour_is_recorded_as_planned_and_nothing_grows() {
    lives_through(Duration::from_secs(15 * 60), 18);
}

#[tokio::test]
#[ignore = "some minutes; cargo nextest run --release --run-ignored only day::"]
async fn a_day_of_24_hours_is_recorded_as_planned_and_nothing_grows() {
    lives_through(Duration::from_secs(24 * 3600), 400);
}
