//! Talking at the camera: real browsers speak, and what comes out of the speaker
//! is held against what they said.

mod floor;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::sound::speech;
use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::shims::FakeMicrophone;
use crate::support::speaker::{FakeSpeaker, RATE, alike};
use crate::support::{Chat, SOON, until};

pub(super) const PICTURE: &str = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n\
                                  bitrate_kbps = 300\n[ice]\nloopback = true\n";

/// Words of 0.6 s with as much silence between them.
fn words(seconds: usize) -> Vec<i16> {
    let word = RATE * 6 / 10;
    let pause = |i: usize| (i / word).is_multiple_of(2);
    let voice = speech(seconds).into_iter().enumerate();
    voice.map(|(i, s)| if pause(i) { 0 } else { s }).collect()
}

/// A file that browsers take for a microphone.
pub(super) fn wave(samples: &[i16], file: &Path) {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let rate = RATE as u32;
    let length = bytes.len() as u32;
    let mut text = b"RIFF".to_vec();
    text.extend((36 + length).to_le_bytes());
    text.extend(b"WAVEfmt ");
    text.extend(16_u32.to_le_bytes());
    // PCM of one channel.
    text.extend([1, 0, 1, 0]);
    text.extend(rate.to_le_bytes());
    text.extend((2 * rate).to_le_bytes());
    text.extend([2, 0, 16, 0]);
    text.extend(b"data");
    text.extend(length.to_le_bytes());
    text.extend(bytes);
    std::fs::write(file, text).expect("written");
}

/// Somebody who says this over and over, once they are let.
pub(super) fn speaks(file: &Path) -> Person {
    Person {
        flags: vec![format!(
            "--use-file-for-fake-audio-capture={}",
            file.display()
        )],
        ..Person::default()
    }
}

/// A camera with a microphone that hears a tone, and a speaker that it does not hear.
pub(super) async fn camera(chat: &Chat) -> (Device, FakeMicrophone, FakeSpeaker) {
    let microphone = FakeMicrophone::tone(440);
    let speaker = FakeSpeaker::beside(&microphone);
    let toml = format!("{PICTURE}{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
    let device = Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
    device.registered().await;
    (device, microphone, speaker)
}

/// Opens the page and watches the camera, until the button is there.
pub(super) async fn watches(browser: &Browser, chat: &Chat, name: &str) {
    browser.open(&chat.page(name)).await;
    browser.call("camera").await;
    browser.state("connected").await;
    browser
        .until_js("a button", "!document.getElementById('talk').hidden")
        .await;
}

/// Waits for what the page says of who talks.
pub(super) async fn is_told(browser: &Browser, words: &str) {
    let said = "document.querySelector('#talk-line span').textContent";
    let shown = format!(
        "!document.getElementById('talk-line').hidden && {said} === {}",
        json!(words)
    );
    browser.until_js(words, &shown).await;
}

/// Waits until so many seconds of sound were played.
async fn plays(speaker: &FakeSpeaker, seconds: usize) -> Vec<i16> {
    until("speech", SOON, || async {
        let played = speaker.played();
        (played.len() > seconds * RATE).then_some(played)
    })
    .await
}

/// Keeps the times at which words begin, in ms of the monotonic clock, as the
/// microphone's own frames have them.
const BEGINNINGS: &str = "(() => {
    window.beginnings = [];
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await open(wanted);
        const track = stream.getAudioTracks()[0].clone();
        const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
        (async () => {
            let quiet = 0;
            for (;;) {
                const { value, done } = await reader.read();
                if (done) return;
                const samples = new Float32Array(value.numberOfFrames);
                value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
                const at = samples.findIndex((each) => Math.abs(each) > 0.03);
                const time = value.timestamp / 1e3;
                if (at >= 0 && quiet > 0.3) beginnings.push(time + at / value.sampleRate * 1e3);
                quiet = at < 0 ? quiet + value.duration / 1e6 : 0;
                value.close();
            }
        })();
        return stream;
    };
})(), null";

/// When words begin in what was played, in ms of the monotonic clock.
fn beginnings(speaker: &FakeSpeaker) -> Vec<f64> {
    let (played, starts) = (speaker.played(), speaker.starts());
    let mut found = Vec::new();
    let mut quiet = 0;
    for (i, sample) in played.iter().enumerate() {
        if sample.unsigned_abs() < 980 {
            quiet += 1;
            continue;
        }
        if quiet > RATE * 3 / 10
            && let Some((before, at)) = starts.iter().rev().find(|(before, _)| *before <= i)
        {
            found.push(at.as_secs_f64() * 1e3 + (i - before) as f64 * 1e3 / RATE as f64);
        }
        quiet = 0;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_says_is_heard_at_the_camera_and_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = words(12);
    wave(&said, &folder.path().join("said.wav"));
    let chat = Chat::start().await;
    let (device, _microphone, speaker) = camera(&chat).await;
    let alice = Browser::start(speaks(&folder.path().join("said.wav"))).await;
    watches(&alice, &chat, "alice").await;
    alice.js(BEGINNINGS).await;
    assert_eq!(speaker.starts(), [], "nobody has talked yet");
    alice.hears().await;
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    plays(&speaker, 12).await;
    // The browser has made it louder or softer, and has taken noise away; a machine
    // that is busy with other things may drop a piece.
    let likeness = until("what she said", SOON, || async {
        let played = speaker.played();
        let heard = &played[played.len() - 2 * RATE..];
        let likeness = alike(heard, &said.repeat(2), said.len());
        (likeness > 0.6).then_some(likeness)
    })
    .await;
    println!("{likeness:.3} of what was said is heard");
    let mouth = alice.js("beginnings").await;
    let mouth: Vec<f64> = serde_json::from_value(mouth).expect("times");
    let ear = beginnings(&speaker);
    let mut late: Vec<f64> = ear
        .iter()
        .filter_map(|ear| {
            let before = mouth.iter().rev().find(|mouth| *mouth <= ear)?;
            Some(ear - before)
        })
        .collect();
    late.sort_by(f64::total_cmp);
    println!("mouth to ear, in ms: {late:.0?}");
    let median = late[late.len() / 2];
    println!("{median:.0} ms from mouth to ear");
    assert!((30.0..400.0).contains(&median), "{late:?}");
    // Half-duplex: she hears nothing of the microphone, and does again afterwards.
    let rate = "cameraAgent.pc.getStats().then((all) => [...all.values()]
        .find((each) => each.type === 'outbound-rtp' && each.kind === 'audio').targetBitrate)";
    let rate = alice.promise(rate).await;
    println!("what her browser aims at after all that, in bit/s: {rate}");
    assert_eq!(alice.js("cameraAgent.state").await, "connected");
    alice.click("#talk").await;
    alice
        .until_js("silence", "document.getElementById('talk-line').hidden")
        .await;
    until("the card is closed", SOON, || async {
        let open = device.open_files();
        (!open.iter().any(|file| file.ends_with(".sound"))).then_some(())
    })
    .await;
    let before = alice.audio_energy().await;
    until("the tone", SOON, || async {
        (alice.audio_energy().await > before + 0.001).then_some(())
    })
    .await;
    let sends = "cameraAgent.pc.getSenders().some((each) => each.track)";
    assert_eq!(alice.js(sends).await, false, "her microphone is closed");
    alice.clean_console().await;
}

/// What Chromium heard of the camera's microphone in some time: the mean square of
/// its samples.
async fn loudness(browser: &Browser, time: Duration) -> f64 {
    let energy = browser.audio_energy().await;
    sleep(time).await;
    (browser.audio_energy().await - energy) / time.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_somebody_talks_nobody_hears_them_come_back_from_the_room() {
    let folder = tempfile::tempdir().expect("a folder");
    // Without a pause, so that it is never the microphone's turn.
    wave(&speech(10), &folder.path().join("said.wav"));
    let chat = Chat::start().await;
    let (speaker, microphone) = FakeSpeaker::in_a_room();
    let toml = format!("{PICTURE}{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
    for (echo, heard) in [("off", true), ("half-duplex", false)] {
        let toml = format!("{toml}echo = \"{echo}\"\n");
        let device = Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
        device.registered().await;
        let alice = Browser::start(speaks(&folder.path().join("said.wav"))).await;
        watches(&alice, &chat, "alice").await;
        alice.click("#talk").await;
        is_told(&alice, "You are talking.").await;
        plays(&speaker, 2 + speaker.played().len() / RATE).await;
        let loud = loudness(&alice, Duration::from_secs(4)).await;
        println!("{echo}: {loud:e}");
        assert_eq!(loud > 1e-5, heard, "{echo}: {loud:e}");
        if !heard {
            assert!(loud < 1e-9, "not a sound of it: {loud:e}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_that_is_unplugged_costs_nothing_else_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    wave(&speech(10), &folder.path().join("said.wav"));
    let chat = Chat::start().await;
    let (device, _microphone, speaker) = camera(&chat).await;
    let alice = Browser::start(speaks(&folder.path().join("said.wav"))).await;
    watches(&alice, &chat, "alice").await;
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    plays(&speaker, 1).await;
    alice.remember_call().await;
    speaker.unplug();
    is_told(&alice, "The camera's speaker is silent: it is tried again.").await;
    alice.frames_rise(20).await;
    speaker.replug();
    is_told(&alice, "You are talking.").await;
    let before = speaker.played().len();
    plays(&speaker, before / RATE + 2).await;
    assert!(alice.is_same_call().await);
    assert_eq!(device.said("the speaker is silent"), 1);
    assert_eq!(device.said("the speaker is back"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_talk_has_no_button() {
    let chat = Chat::start().await;
    let microphone = FakeMicrophone::tone(440);
    let speaker = FakeSpeaker::beside(&microphone);
    let toml = format!("{PICTURE}{}{}", FakeMicrophone::toml(), FakeSpeaker::toml());
    let toml = toml.replace("strangers = true", "strangers = false");
    let _device = Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.hears().await;
    let answer = "cameraAgent.pc.remoteDescription.sdp.includes('a=sendrecv')";
    assert_eq!(alice.js(answer).await, false);
    assert_eq!(
        alice.js("document.getElementById('talk').hidden").await,
        true
    );
    // Who asks all the same is told.
    alice
        .js(
            "(cameraAgent.channel.addEventListener('message', ({ data }) => { \
             const message = JSON.parse(data); \
             if (message.type === 'error') globalThis.refusal = message; }), \
             cameraAgent.channel.send(JSON.stringify({ type: 'talk', on: true })), null)",
        )
        .await;
    alice
        .until_js(
            "a refusal",
            "globalThis.refusal?.why === 'talk-not-invited'",
        )
        .await;
    assert_eq!(speaker.starts(), []);
}

/// What the page says where there is no microphone to be had.
#[tokio::test(flavor = "multi_thread")]
async fn a_microphone_that_is_refused_or_muted_is_said_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    wave(&vec![0; RATE], &folder.path().join("nothing.wav"));
    let chat = Chat::start().await;
    let (_device, _microphone, speaker) = camera(&chat).await;
    let refuses = Browser::start(Person {
        allows: false,
        ..Person::default()
    })
    .await;
    watches(&refuses, &chat, "alice").await;
    refuses.click("#talk").await;
    is_told(
        &refuses,
        "This page may not use your microphone. You can allow it in the browser's site settings.",
    )
    .await;
    assert_eq!(
        refuses
            .js("document.getElementById('talk').getAttribute('aria-pressed')")
            .await,
        Value::from("false")
    );
    assert_eq!(speaker.starts(), []);
    drop(refuses);
    let muted = Browser::start(speaks(&folder.path().join("nothing.wav"))).await;
    watches(&muted, &chat, "bob").await;
    muted.click("#talk").await;
    is_told(&muted, "Your microphone gives no sound. Is it muted?").await;
    // And after a while others may talk again.
    is_told(
        &muted,
        "Nothing was heard of you for a while, so others may talk again.",
    )
    .await;
}
