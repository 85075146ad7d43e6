//! What a person sees: a real Chromium on our page, behind a relay, with every
//! frame read that it shows.
//!
//! `watching.js` runs in the page. All media goes through the relay: the device
//! is told no other address, the page learns none of the device's.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::browser::{Browser, Person};
use super::painter::{self, Diary};
use super::relay::{Conditions, Relay};
use super::{Chat, SOON, until};

/// A browser and its path.
pub struct Screen {
    pub browser: Browser,
    pub relay: Arc<Relay>,
    diary: Diary,
    /// When the last look ended, and what was counted by then.
    looked: Instant,
    before: Counts,
}

/// A frame that was shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// When, in ms since 1970.
    pub at: f64,
    /// Its height in pixels.
    pub height: u32,
    /// Which it was; `None` where it was not the picture that was painted.
    pub number: Option<u32>,
    /// Which it was by those places that could be read, where some could not.
    pub blurred: Option<u32>,
    /// What was read in its six places.
    pub read: Value,
    /// How old it was, in ms.
    pub age: f64,
}

/// What Chromium counts over a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub freezes: f64,
    /// In seconds.
    pub frozen: f64,
    pub decoded: f64,
    /// Frames that came whole and were not shown: the machine is too slow.
    pub dropped: f64,
    pub key_frames: f64,
    /// Bytes of video, headers excluded.
    pub video_bytes: f64,
    pub packets: f64,
    pub concealed: f64,
    pub samples: f64,
    pub plis: f64,
    pub nacks: f64,
}

/// What was seen in some time.
#[derive(Debug, Clone)]
pub struct Seen {
    pub shown: Vec<Shown>,
    pub counts: Counts,
    pub time: Duration,
    /// Frames that were shown and not looked at.
    pub missed: u64,
    /// How late the latest of the frames in that time was painted.
    pub painted_late: Duration,
}

impl Screen {
    /// Opens the page under this name, with these conditions on the way to it
    /// and the same delay back.
    pub async fn open(chat: &Chat, name: &str, toward: Conditions, diary: &Diary) -> Self {
        let back = Conditions {
            delay: toward.delay,
            ..Conditions::default()
        };
        let relay = Arc::new(Relay::start(toward, back, 7).await);
        let browser = Browser::start(Person {
            camera: false,
            plain_addresses: true,
            ..Person::default()
        })
        .await;
        let front = format!("{} {}", relay.front().ip(), relay.front().port());
        let script = include_str!("watching.js")
            .replacen("LAYOUT;", &format!("{};", painter::layout()), 1)
            .replacen("FRONT;", &format!("{front:?};"), 1);
        browser.before_each_page(&script).await;
        browser.open(&chat.page(name)).await;
        Self {
            browser,
            relay,
            diary: diary.clone(),
            looked: Instant::now(),
            before: Counts::default(),
        }
    }

    /// Calls, and waits for the first frame.
    pub async fn call(&mut self, camera: &str) {
        self.browser.js("watching.leadTo.length = 0").await;
        self.browser.call(camera).await;
        let inner = until("a candidate of the page's", SOON, async || {
            let known = self.browser.js("watching.leadTo.at(-1) ?? null").await;
            known.as_str().and_then(|address| address.parse().ok())
        })
        .await;
        self.relay.lead_to(inner);
        self.browser.state("connected").await;
        self.browser
            .until_js(
                "the first frame",
                "document.querySelector('#remote').getVideoPlaybackQuality().totalVideoFrames > 0",
            )
            .await;
        // The browser's statistics lag behind its picture.
        until("the way that media takes", SOON, async || {
            let peer = self.browser.promise("watching.peer()").await;
            peer.as_u64()
        })
        .await;
        self.looked = Instant::now();
        self.before = Counts::default();
    }

    /// Ends the call.
    pub async fn hang_up(&self) {
        self.browser.click("#hangup").await;
        self.browser.state("idle").await;
    }

    /// Everything since the last look, or since the call began.
    pub async fn look(&mut self) -> Seen {
        let taken = self.browser.promise("watching.take()").await;
        let time = self.looked.elapsed();
        self.looked = Instant::now();
        assert!(
            taken.is_object(),
            "THE MACHINE COULD NOT: the page did not say within seconds what it shows"
        );
        assert_eq!(taken["errors"], serde_json::json!([]), "frames are read");
        let present = Counts::read(&taken["statistics"]);
        let counts = present.since(&self.before);
        self.before = present;
        let shown = taken["shown"].as_array().cloned().unwrap_or_default();
        let shown: Vec<_> = shown.iter().map(|s| self.shown(s)).collect();
        let numbers = || shown.iter().filter_map(|s| s.number);
        let painted_late = match (numbers().min(), numbers().max()) {
            (Some(first), Some(last)) => self.diary.latest(first, last + 1),
            _ => Duration::ZERO,
        };
        // The relay saw all of it, and the page's peer is one of its sockets.
        assert!(
            self.relay.inward().packets as f64 >= present.packets,
            "packets came past the relay"
        );
        let peer = taken["statistics"]["remote"].as_u64();
        assert!(
            peer.is_some_and(|port| self.relay.shows(port as u16)),
            "media comes from port {peer:?}, which is not the relay's: {}",
            taken["statistics"]
        );
        Seen {
            shown,
            counts,
            time,
            missed: taken["missed"].as_u64().unwrap_or_default(),
            painted_late,
        }
    }

    /// The next `time`; what was before is not counted.
    pub async fn watch(&mut self, time: Duration) -> Seen {
        self.look().await;
        sleep(time).await;
        self.look().await
    }

    fn shown(&self, record: &Value) -> Shown {
        let at = record[0].as_f64().expect("a time");
        let numbers = record[2].as_array().expect("six numbers");
        let first = &numbers[0];
        let number = first
            .as_u64()
            .filter(|_| numbers.iter().all(|n| n == first))
            .map(|n| n as u32);
        let painted = number.and_then(|n| self.diary.painted(n));
        let mut readable = numbers.iter().filter_map(|n| n.as_u64()).map(|n| n as u32);
        let blurred = readable
            .next()
            .filter(|first| readable.all(|n| n == *first) && self.diary.painted(*first).is_some());
        Shown {
            at,
            height: record[1].as_u64().expect("a height") as u32,
            // One that was never painted is wrong too.
            number: number.filter(|_| painted.is_some()),
            blurred,
            read: record[2].clone(),
            age: painted.map_or(f64::NAN, |painted| at - painted),
        }
    }
}

impl Counts {
    fn read(statistics: &Value) -> Self {
        let of = |kind: &str, field: &str| statistics[kind][field].as_f64().unwrap_or_default();
        Self {
            freezes: of("video", "freezeCount"),
            frozen: of("video", "totalFreezesDuration"),
            decoded: of("video", "framesDecoded"),
            dropped: of("video", "framesDropped"),
            key_frames: of("video", "keyFramesDecoded"),
            video_bytes: of("video", "bytesReceived"),
            packets: of("video", "packetsReceived") + of("audio", "packetsReceived"),
            concealed: of("audio", "concealedSamples"),
            samples: of("audio", "totalSamplesReceived"),
            plis: of("video", "pliCount"),
            nacks: of("video", "nackCount"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            freezes: self.freezes - before.freezes,
            frozen: self.frozen - before.frozen,
            decoded: self.decoded - before.decoded,
            dropped: self.dropped - before.dropped,
            key_frames: self.key_frames - before.key_frames,
            video_bytes: self.video_bytes - before.video_bytes,
            packets: self.packets - before.packets,
            concealed: self.concealed - before.concealed,
            samples: self.samples - before.samples,
            plis: self.plis - before.plis,
            nacks: self.nacks - before.nacks,
        }
    }
}

impl Seen {
    /// Frames shown a second.
    pub fn fps(&self) -> f64 {
        self.shown.len() as f64 / self.time.as_secs_f64()
    }

    /// Video, in bit/s.
    pub fn bits(&self) -> f64 {
        self.counts.video_bytes * 8.0 / self.time.as_secs_f64()
    }

    /// Pictures that are not what was painted, or older than one before.
    pub fn wrong(&self) -> usize {
        self.mistakes().len()
    }

    /// The wrong pictures: what was read in each, and what was shown before.
    pub fn mistakes(&self) -> Vec<String> {
        self.unlike(|shown| shown.number)
    }

    /// The same, but that of a picture coded with very few bits not all places
    /// need to be readable, as long as those that are agree.
    pub fn mistakes_but_blur(&self) -> Vec<String> {
        self.unlike(|shown| shown.number.or(shown.blurred))
    }

    fn unlike(&self, number: impl Fn(&Shown) -> Option<u32>) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut newest = None;
        for s in &self.shown {
            let number = number(s);
            if number.is_none() || number < newest {
                mistakes.push(format!("{} after {newest:?}, height {}", s.read, s.height));
            }
            newest = newest.max(number);
        }
        mistakes
    }

    /// So many of a hundred frames were no older than this when shown, in ms.
    pub fn age(&self, percent: usize) -> f64 {
        let mut ages: Vec<_> = self.shown.iter().map(|s| s.age).collect();
        ages.retain(|age| age.is_finite());
        ages.sort_by(f64::total_cmp);
        let rank = (ages.len() * percent).div_ceil(100).max(1);
        ages.get(rank - 1).copied().unwrap_or(f64::INFINITY)
    }

    /// The longest time without another frame.
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.shown.windows(2).map(|w| w[1].at - w[0].at);
        let longest = gaps.fold(0.0_f64, f64::max);
        Duration::from_secs_f64(longest / 1000.0)
    }

    /// Share of the sound that was made up.
    pub fn concealed(&self) -> f64 {
        self.counts.concealed / self.counts.samples.max(1.0)
    }
}

/// For people. The ages are the least, half, 95 of 100 and the greatest.
impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heights: std::collections::BTreeSet<_> = self.shown.iter().map(|s| s.height).collect();
        write!(
            f,
            "{:.1} s: {:.1} fps, {:.0} kbit/s, heights {heights:?}, age {:.0}/{:.0}/{:.0}/{:.0} ms, longest \
             gap {:.0} ms, {} freezes ({:.2} s), {} wrong, sound made up {:.2} %, {} key frames, \
             {} PLI, {} NACK; painted up to {:.0} ms late, {} not looked at, {} dropped",
            self.time.as_secs_f64(),
            self.fps(),
            self.bits() / 1000.0,
            self.age(0),
            self.age(50),
            self.age(95),
            self.age(100),
            self.longest_gap().as_secs_f64() * 1000.0,
            self.counts.freezes,
            self.counts.frozen,
            self.wrong(),
            self.concealed() * 100.0,
            self.counts.key_frames,
            self.counts.plis,
            self.counts.nacks,
            self.painted_late.as_secs_f64() * 1000.0,
            self.missed,
            self.counts.dropped,
        )
    }
}
