//! Picture and sound together, as a real Chromium shows and plays them: a
//! camera sees, and a microphone hears, somebody clap at each full second.

use std::time::{Duration, SystemTime};

use crate::support::Chat;
use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::shims::{FakeCamera, FakeMicrophone, Format};
use crate::support::strain::Strain;
use serde_json::json;
use tokio::time::sleep;

/// The issue's bar, in milliseconds. Chromium's own is 30 ms, by what it knows of
/// its screen and its loudspeaker.
const APART: f64 = 45.0;
/// With a card that is off by twenty times what cards are, which Chromium has to
/// follow by squeezing the sound; without a correction of ours it would be more
/// than 80 ms.
const APART_BY_A_FAST_CARD: f64 = 60.0;
/// Who was woken up so late was not on a machine that can play sound in time.
const LATE: Duration = Duration::from_millis(50);
/// How often such a machine is tried.
const ATTEMPTS: u32 = 3;

/// Looks at the picture and listens to the sound. `claps.seen` and
/// `claps.heard` are when a clap was shown and played, in milliseconds of
/// `performance.now()`.
const WATCH: &str = r"(() => {
  const video = document.getElementById('remote');
  const claps = globalThis.claps = { seen: [], heard: [] };
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 8;
  const pixels = canvas.getContext('2d', { willReadFrequently: true });
  let bright = false;
  const look = (now, { expectedDisplayTime }) => {
    pixels.drawImage(video, 0, 0, 8, 8);
    const value = pixels.getImageData(4, 4, 1, 1).data[1];
    // From full range to luma of 16 to 235.
    const since = 235 - (16 + value * 219 / 255);
    if (since < 110 && !bright) claps.seen.push(expectedDisplayTime - since);
    bright = since < 110;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  const context = new AudioContext({ latencyHint: 'interactive' });
  const analyser = new AnalyserNode(context, { fftSize: 16384 });
  context.createMediaStreamSource(video.srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let last = 0;
  setInterval(() => {
    // Sound is made in blocks: looked at some time after one, it seems late by
    // so much. A clap stays in sight for 0.3 s, and the earliest look is right.
    analyser.getFloatTimeDomainData(samples);
    const end = context.currentTime, now = performance.now();
    const at = samples.findIndex((sample) => Math.abs(sample) > 0.1);
    // One that began before the window is in sight no more.
    if (at <= 0) return;
    const before = (samples.length - at) / context.sampleRate;
    const { heard } = claps;
    const time = now - before * 1000;
    if (end - before - last > 0.5 || heard.length === 0) heard.push(time);
    else heard.push(Math.min(heard.pop(), time));
    last = end - before;
  }, 7);
  return context.state;
})()";

/// How much later than its picture each clap was heard, in milliseconds, in the
/// order in which they came.
async fn apart(browser: &Browser) -> Vec<f64> {
    let claps = browser.js("globalThis.claps").await;
    let times = |name: &str| -> Vec<f64> {
        let list = claps[name].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|t| t.as_f64()).collect()
    };
    let heard = times("heard");
    times("seen")
        .iter()
        .filter_map(|seen| {
            let nearest = |t: &&f64| (**t - seen).abs();
            let heard = heard
                .iter()
                .min_by(|a, b| nearest(a).total_cmp(&nearest(b)))?;
            Some(heard - seen)
        })
        .filter(|apart| apart.abs() < 500.0)
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A device that sees and hears claps, and a browser that watches it.
struct Scene {
    chat: Chat,
    browser: Browser,
    _device: Device,
    _camera: FakeCamera,
    _microphone: FakeMicrophone,
}

impl Scene {
    /// The sound card runs fast by so many parts in a million.
    async fn start(ppm: i32) -> Self {
        let chat = Chat::start().await;
        let camera = FakeCamera::new(Format::Yuyv, 320, 180, 30);
        let microphone = FakeMicrophone::tone_at_pace(440, ppm);
        camera.sees_claps();
        microphone.hears_claps();
        let env = [camera.env(), microphone.env()].concat();
        let toml = format!(
            "[video]\ndevice = {:?}\nwidth = 320\nheight = 180\nbitrate_kbps = 800\n\
             {}[ice]\nloopback = true\n",
            camera.node(),
            FakeMicrophone::toml()
        );
        let device = Device::start_with_env(chat.addr, &toml, &env).await;
        device.registered().await;
        let browser = Browser::start(Person {
            camera: false,
            flags: vec!["--autoplay-policy=no-user-gesture-required".into()],
            ..Person::default()
        })
        .await;
        browser.open(&chat.page("viewer")).await;
        browser.call("camera").await;
        browser.state("connected").await;
        browser.frames_rise(30).await;
        assert_eq!(browser.js(WATCH).await, json!("running"));
        Self {
            chat,
            browser,
            _device: device,
            _camera: camera,
            _microphone: microphone,
        }
    }

    /// Forgets the claps so far and waits for some more.
    async fn claps(&self, time: Duration) {
        let forget = "claps.seen.length = claps.heard.length = 0";
        self.browser.js(forget).await;
        sleep(time).await;
    }

    async fn end(self) {
        self.browser.clean_console().await;
        self.chat.stop().await;
    }
}

/// How far sound and picture are apart once a call is so old, by the claps of
/// some seconds, in milliseconds.
async fn apart_after(ppm: i32, age: Duration) -> f64 {
    let scene = Scene::start(ppm).await;
    sleep(age).await;
    scene.claps(Duration::from_secs(6)).await;
    let apart = apart(&scene.browser).await;
    println!("{ppm} ppm: the sound is behind by {apart:.0?} ms");
    assert!(apart.len() >= 4, "{apart:?}");
    scene.end().await;
    median(&apart)
}

/// They must be together then. A machine that is busy is asked again.
async fn are_together_after(ppm: i32, age: Duration, bound: f64) {
    for attempt in 1..=ATTEMPTS {
        let strain = Strain::start();
        let apart = apart_after(ppm, age).await;
        let late = strain.worst();
        if apart.abs() <= bound {
            return;
        }
        println!("attempt {attempt}: {apart:.0} ms apart, woken up {late:?} late");
        assert!(
            late > LATE,
            "{apart} ms apart, and the machine was not busy"
        );
    }
    panic!("apart {ATTEMPTS} times, and THE MACHINE WAS BUSY: run it where nothing else runs");
}

/// How old claps are when they are shown or played, in milliseconds.
async fn ages(browser: &Browser, list: &str) -> Vec<f64> {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is after 1970");
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let monotonic = monotonic.tv_sec as f64 * 1e3 + monotonic.tv_nsec as f64 / 1e6;
    // The page's times are of the wall clock, the claps of the monotonic one.
    let ahead = wall.as_secs_f64() * 1e3 - monotonic;
    let times = format!("claps.{list}.map((time) => time + performance.timeOrigin)");
    let times = browser.js(&times).await;
    let times = times.as_array().cloned().unwrap_or_default();
    times
        .iter()
        .filter_map(|time| Some((time.as_f64()? - ahead) % 1_000.0))
        .collect()
}

#[tokio::test]
async fn the_page_knows_how_old_picture_and_sound_are() {
    let scene = Scene::start(0).await;
    scene.claps(Duration::ZERO).await;
    let kinds = [("video", "seen"), ("audio", "heard")];
    let mut told = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        sleep(Duration::from_millis(900)).await;
        for ((kind, _), told) in kinds.iter().zip(&mut told) {
            // Both clocks are this machine's.
            let script = format!(
                "import('/latency.js').then(async ({{ latency }}) => {{
                    const {{ pc }} = cameraAgent;
                    const receiver = pc.getReceivers().find((r) => r.track.kind === '{kind}');
                    const stats = [...(await pc.getStats()).values()];
                    const inbound = stats.find((s) => s.type === 'inbound-rtp' && s.kind === '{kind}');
                    return latency(receiver, inbound, 0) ?? null;
                }})"
            );
            let answer = scene.browser.promise(&script).await;
            told.extend(answer.as_f64());
        }
    }
    for ((kind, list), told) in kinds.iter().zip(&told) {
        let ages = ages(&scene.browser, list).await;
        println!("{kind}: the page says {told:.0?} ms, claps were {ages:.0?} ms old");
        assert!(told.len() >= 8, "{told:?}");
        // The page cannot know what its screen and loudspeaker take.
        let off = median(told) - median(&ages);
        assert!(off.abs() < 60.0, "{kind}: {off} ms off");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_clap_is_seen_and_heard_together_after_ten_seconds() {
    are_together_after(0, Duration::from_secs(10), APART).await;
}

#[tokio::test]
async fn a_sound_card_that_runs_fast_stays_with_the_picture() {
    // 2 ms a second: without a correction 80 ms in this time.
    are_together_after(2_000, Duration::from_secs(40), APART_BY_A_FAST_CARD).await;
}

#[tokio::test]
#[ignore = "takes ten minutes; make test-paths"]
async fn a_clap_is_seen_and_heard_together_after_ten_minutes() {
    are_together_after(300, Duration::from_secs(600), APART).await;
}
