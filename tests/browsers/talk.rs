//! Talking at the camera: real browsers speak, and what comes out of the speaker
//! is held against what they said.

mod delay;
mod floor;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::shims::FakeMicrophone;
use crate::support::speaker::{FakeSpeaker, RATE, speech, wave};
use crate::support::{Chat, SOON, until};

pub(super) const PICTURE: &str = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n\
                                  bitrate_kbps = 300\n[ice]\nloopback = true\n";

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
    let deadline = Instant::now() + SOON;
    while browser.js(&shown).await != json!(true) {
        let says = browser.js(said).await;
        assert!(
            Instant::now() < deadline,
            "{words:?} is not said, but {says}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Waits until so many seconds of sound were played.
async fn plays(speaker: &FakeSpeaker, seconds: usize) -> Vec<i16> {
    until("speech", SOON, || async {
        let played = speaker.played();
        (played.len() > seconds * RATE).then_some(played)
    })
    .await
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
    let mut open = 0.0;
    for echo in ["off", "half-duplex", "cancel"] {
        let toml = format!("{toml}echo = \"{echo}\"\n");
        let device = Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
        device.registered().await;
        let alice = Browser::start(speaks(&folder.path().join("said.wav"))).await;
        watches(&alice, &chat, "alice").await;
        alice.click("#talk").await;
        is_told(&alice, "You are talking.").await;
        let talks = Instant::now();
        plays(&speaker, 2 + speaker.played().len() / RATE).await;
        match echo {
            "off" => {
                // A browser that plays nothing yet says so by no word.
                until("their own voice", SOON, || async {
                    (loudness(&alice, Duration::from_secs(1)).await > 1e-5).then_some(())
                })
                .await;
            }
            "half-duplex" => {}
            _ => {
                let knows = "the echo canceller knows the way";
                device.logs(knows, 1, SOON).await;
                println!("{knows}, after {:?} at most", talks.elapsed());
            }
        }
        let before = speaker.played().len();
        let loud = loudness(&alice, Duration::from_secs(4)).await;
        let said = level(&speaker.played()[before..]);
        println!("{echo}: {loud:e} while {said:.0} dB are played");
        assert!(said > -40.0, "the speaker speaks: {said} dB");
        match echo {
            "off" => {
                assert!(loud > 1e-5, "{loud:e}");
                open = loud;
            }
            "half-duplex" => assert!(loud < 1e-9, "not a sound of it: {loud:e}"),
            _ => {
                assert!(loud < open / 316.0, "25 dB: {loud:e} of {open:e}");
                // Nor is it silence: who is there is heard beside it.
                microphone.hears_claps();
                let claps = loudness(&alice, Duration::from_secs(4)).await;
                println!("claps: {claps:e}");
                assert!(claps > open, "louder than the echo was: {claps:e}");
            }
        }
    }
}

/// In dB under full scale.
fn level(samples: &[i16]) -> f64 {
    let square: f64 = samples
        .iter()
        .map(|s| (f64::from(*s) / 32_768.0).powi(2))
        .sum();
    10.0 * (square / samples.len() as f64).max(1e-12).log10()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_that_is_unplugged_is_told_of_and_is_back_with_its_plug() {
    let folder = tempfile::tempdir().expect("a folder");
    wave(&speech(10), &folder.path().join("said.wav"));
    let chat = Chat::start().await;
    let (device, _microphone, speaker) = camera(&chat).await;
    let alice = Browser::start(speaks(&folder.path().join("said.wav"))).await;
    watches(&alice, &chat, "alice").await;
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    plays(&speaker, 1).await;
    for times in 1..=2 {
        speaker.unplug();
        device.logs("the speaker is silent", times, SOON).await;
        is_told(&alice, "The camera's speaker is silent: it is tried again.").await;
        let before = speaker.played().len() / RATE;
        speaker.replug();
        device.logs("the speaker is back", times, SOON).await;
        is_told(&alice, "You are talking.").await;
        plays(&speaker, before + 1).await;
    }
    // Of the call nothing was lost.
    alice.frames_rise(10).await;
    assert_eq!(device.said("call"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_into_a_muted_microphone_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    wave(&vec![0; RATE], &folder.path().join("nothing.wav"));
    let chat = Chat::start().await;
    let (_device, _microphone, _speaker) = camera(&chat).await;
    let alice = Browser::start(speaks(&folder.path().join("nothing.wav"))).await;
    watches(&alice, &chat, "alice").await;
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    is_told(&alice, "Your microphone gives no sound. Is it muted?").await;
    // Until they are done.
    alice.click("#talk").await;
    alice
        .until_js(
            "nothing more",
            "document.getElementById('talk-line').hidden",
        )
        .await;
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
    // Who asks all the same is told.
    let open = "cameraAgent.channel?.readyState === 'open'";
    alice.until_js("a data channel", open).await;
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
    // The floor was said before.
    assert_eq!(
        alice.js("document.getElementById('talk').hidden").await,
        true
    );
    assert_eq!(speaker.starts(), []);
}
