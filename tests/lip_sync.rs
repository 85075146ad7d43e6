//! Picture and sound together, as a real Chromium shows and plays them: a
//! camera sees, and a microphone hears, somebody clap at each full second.

mod support;

use std::time::Duration;

use serde_json::json;
use support::Chat;
use support::browser::{Browser, Person};
use support::device::Device;
use support::shims::{FakeCamera, FakeMicrophone, Format};
use tokio::time::{Instant, sleep};

/// The issue's bar.
const APART: f64 = 45.0;

/// Looks at the picture and listens to the sound. `claps.seen` and
/// `claps.heard` are when a clap was shown and played, in milliseconds of
/// `performance.now()`.
const WATCH: &str = r"(() => {
  const video = document.querySelector('video#remote') ?? [...document.querySelectorAll('video')].find((v) => v.srcObject === cameraAgent.remote || v.videoWidth);
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
    analyser.getFloatTimeDomainData(samples);
    const end = context.currentTime, now = performance.now();
    const at = samples.findIndex((sample) => Math.abs(sample) > 0.1);
    if (at < 0) return;
    const time = end - (samples.length - at) / context.sampleRate;
    // What was heard already, and one that began before the window.
    if (time - last < 0.5 || at === 0) return;
    last = time;
    claps.heard.push(now + (time - end) * 1000);
  }, 40);
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

/// Watches a device whose sound card runs fast by so many parts in a million;
/// how far sound and picture were apart in the last seconds of `time`.
async fn last_apart(ppm: i32, time: Duration) -> f64 {
    let chat = Chat::start().await;
    let camera = FakeCamera::new(Format::Yuyv, 320, 180, 30);
    let microphone = FakeMicrophone::tone_at_pace(440, ppm);
    camera.sees_claps();
    microphone.hears_claps();
    let env = [camera.env(), microphone.env()].concat();
    let toml = format!(
        "[video]\ndevice = {:?}\nwidth = 320\nheight = 180\nbitrate_kbps = 800\n{}[ice]\nloopback = true\n",
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
    let began = Instant::now();
    sleep(time.saturating_sub(Duration::from_secs(6))).await;
    browser
        .js("claps.seen.length = claps.heard.length = 0")
        .await;
    sleep(Duration::from_secs(6).max(time.saturating_sub(began.elapsed()))).await;
    let apart = apart(&browser).await;
    println!("{ppm} ppm: the sound is behind by {apart:.0?} ms");
    println!("{}", browser.js("JSON.stringify([claps.seen.map((t) => Math.round((t + performance.timeOrigin) % 1000)), claps.heard.map((t) => Math.round((t + performance.timeOrigin) % 1000))])").await);
    println!("{}", browser.promise("cameraAgent.pc.getStats().then((all) => JSON.stringify([...all.values()].filter((s) => s.type === 'inbound-rtp').map((s) => [s.kind, s.jitterBufferDelay / s.jitterBufferEmittedCount, s.jitterBufferTargetDelay / s.jitterBufferEmittedCount, s.jitterBufferMinimumDelay / s.jitterBufferEmittedCount, s.estimatedPlayoutTimestamp, s.concealedSamples, s.totalSamplesReceived, s.insertedSamplesForDeceleration, s.removedSamplesForAcceleration])))").await);
    for line in device
        .log()
        .iter()
        .filter(|l| l.to_string().contains("pace"))
    {
        println!("{line}");
    }
    assert!(apart.len() >= 4, "{apart:?}");
    chat.stop().await;
    median(&apart)
}

#[tokio::test]
async fn a_clap_is_seen_and_heard_together_after_ten_seconds() {
    let apart = last_apart(0, Duration::from_secs(10)).await;
    assert!(apart.abs() <= APART, "{apart} ms");
}

#[tokio::test]
async fn a_sound_card_that_runs_fast_stays_with_the_picture() {
    // 2 ms a second: without a correction 80 ms in this time.
    let apart = last_apart(2_000, Duration::from_secs(40)).await;
    assert!(apart.abs() <= APART, "{apart} ms");
}

#[tokio::test]
#[ignore = "ten minutes: cargo test --test lip_sync -- --ignored"]
async fn a_clap_is_seen_and_heard_together_after_ten_minutes() {
    let apart = last_apart(300, Duration::from_secs(600)).await;
    assert!(apart.abs() <= APART, "{apart} ms");
}
