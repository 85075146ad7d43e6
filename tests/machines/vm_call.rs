//! The main job on real devices: in a virtual machine the agent, as a systemd
//! service, has a V4L2 camera (vivid) and an ALSA microphone (snd-aloop); a
//! browser outside of the machine calls it. `make test-vm` makes all that
//! (tests/lab/run.sh) and runs this; without it these tests fail.
//!
//! Times are bounds for an emulated processor that shares two real ones with
//! the browser. Numbers seen are printed.

use std::time::{Duration, Instant};

use crate::support::lab::{CAMERA, Lab, NAME};
use crate::support::picture::{assert_bars, difference, is_bars, is_slate, picture, pitch, row};
use crate::support::until;
use tokio::time::sleep;

/// What tests/lab/guest/ plays.
const TONE_HZ: f64 = 1000.0;

/// The camera gives 30 frames a second, of which an emulated processor encodes
/// between 8 and all, as the machine has time; vm_devices.rs has the smaller
/// picture that always gets through whole. A picture that moves has so many …
const FRAMES_PER_SECOND: f64 = 5.0;
/// … and this share of those that the device says it sent.
const SHOWN: f64 = 0.75;

/// Collects what the device says of its stream.
const ASK: &str = "(globalThis.sent = [],
    cameraAgent.channel.addEventListener('message', ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === 'stats') sent.push(message.fps);
    }),
    cameraAgent.channel.send(JSON.stringify({ type: 'stats', on: true })))";
/// For what follows at once.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_browser_sees_the_camera_and_hears_the_microphone() {
    let lab = Lab::with_fresh_agent().await;
    assert!(!lab.camera_is_open().await, "open before anybody calls");
    let viewer = lab.browser().await;
    let clicked = Instant::now();
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;
    println!("click to first frame: {:?}", clicked.elapsed());
    assert!(lab.camera_is_open().await, "closed during the call");

    // The first seconds are for the encoder and the jitter buffer to settle.
    sleep(Duration::from_secs(2)).await;
    let open = "cameraAgent.channel?.readyState === 'open'";
    viewer.until_js("a data channel", open).await;
    viewer.js(ASK).await;
    let (begun, frames) = (Instant::now(), viewer.frames_decoded().await);
    let energy = viewer.audio_energy().await;
    let before = row(&viewer).await;
    sleep(Duration::from_secs(10)).await;
    let decoded = viewer.frames_decoded().await - frames;
    let rate = decoded / begun.elapsed().as_secs_f64();
    let freezes = viewer.inbound("video", "freezeCount").await;
    let told = viewer.js("sent").await;
    let told = told.as_array().cloned().unwrap_or_default();
    let told: Vec<_> = told.iter().filter_map(|fps| fps.as_f64()).collect();
    let sent = told.iter().sum::<f64>() / told.len() as f64;
    println!("{rate:.1} frames a second decoded of {sent:.1}; freezes so far: {freezes:?}");
    assert!(told.len() >= 5, "told how it goes {} times", told.len());
    assert!(rate >= FRAMES_PER_SECOND, "{rate:.1} frames a second");
    assert!(
        rate >= SHOWN * sent,
        "{rate:.1} of {sent:.1} frames a second"
    );

    let after = row(&viewer).await;
    assert_bars(&after);
    let moved = difference(&before, &after);
    println!("mean change of a colour value within 10 s: {moved:.0} of 255");
    assert!(moved > 5.0, "a still picture: {moved}");

    let energy = viewer.audio_energy().await - energy;
    let level = viewer.inbound("audio", "audioLevel").await.unwrap_or(0.0);
    println!("audio energy in 10 s: {energy:.3}, level {level:.3}");
    assert!(energy > 0.01 && level > 0.01, "{energy}, {level}");
    let pitch = pitch(&viewer).await;
    println!("the tone: {pitch:.0} Hz");
    assert!((pitch - TONE_HZ).abs() < 50.0, "{pitch} Hz");

    viewer.screenshot(lab.out.join("call.png")).await;
    let hung_up = Instant::now();
    viewer.click("#hangup").await;
    viewer.state("idle").await;
    println!("hang-up to idle page: {:?}", hung_up.elapsed());
    until("the session's end in the log", SLACK, || async {
        lab.log().await.contains("hung up").then_some(())
    })
    .await;
    println!("hang-up to the session's end: {:?}", hung_up.elapsed());
    lab.camera_closes(hung_up).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_camera_in_use_is_named_once_and_the_viewer_hears_and_later_sees() {
    let lab = Lab::with_fresh_agent().await;
    lab.vm(&format!(
        "systemd-run --quiet --unit=other v4l2-ctl -d {CAMERA} --stream-mmap --stream-count=0"
    ))
    .await;
    until("another program streams", crate::support::SOON, || async {
        let held = lab
            .vm(&format!(
                "ls -l /proc/$(systemctl show -P MainPID other)/fd | grep -c {CAMERA} || true"
            ))
            .await;
        (held.trim() == "1").then_some(())
    })
    .await;

    let viewer = lab.browser().await;
    viewer.call(NAME).await;
    viewer.hears().await;
    sleep(Duration::from_secs(5)).await;
    let energy = viewer.audio_energy().await;
    sleep(Duration::from_secs(3)).await;
    assert!(viewer.audio_energy().await > energy, "the sound stopped");
    until("the slate", crate::support::SOON, || async {
        is_slate(&picture(&viewer).await).then_some(())
    })
    .await;
    let log = lab.log().await;
    // Of the camera: an encoder that emulation starts too slowly is no matter.
    let trouble = |line: &&str| {
        (line.contains("WARN") || line.contains("ERROR"))
            && line.contains("camera")
            && !line.contains("this camera is open")
    };
    let lines: Vec<_> = log.lines().filter(trouble).collect();
    println!("the log on a camera in use: {lines:#?}");
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains(CAMERA) && lines[0].contains("another program uses"),
        "{log}"
    );

    lab.vm("systemctl stop other").await;
    let freed = Instant::now();
    // Nobody announces that: it is tried again and again.
    until("the camera's picture", 2 * crate::support::SOON, || async {
        is_bars(&picture(&viewer).await).then_some(())
    })
    .await;
    println!("camera free to its picture: {:?}", freed.elapsed());
    viewer.click("#hangup").await;
    lab.camera_closes(Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_stop_during_a_call_says_goodbye_and_exits_0_within_2_seconds() {
    let lab = Lab::with_fresh_agent().await;
    let viewer = lab.browser().await;
    viewer.call(NAME).await;
    viewer.frames_rise(1).await;

    lab.vm("systemctl stop camera-agent").await;
    // In systemd's own words, since the way there takes longer.
    let told = lab.property("ActiveExitTimestampMonotonic").await;
    let gone = lab.property("ExecMainExitTimestampMonotonic").await;
    let micros = |text: &str| text.parse::<u64>().expect("systemd gives microseconds");
    let took = Duration::from_micros(micros(&gone) - micros(&told));
    println!("SIGTERM to exit: {took:?}");
    assert!(took > Duration::ZERO, "systemd has forgotten the unit");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(lab.property("Result").await, "success");
    assert_eq!(lab.property("ExecMainStatus").await, "0");
    viewer.says("the camera is shutting down").await;
    viewer.state("idle").await;
}
