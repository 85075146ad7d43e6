//! The device with a camera and a microphone that come, go and fail, while
//! people watch: a real process whose C library is told of a camera that no
//! kernel has (tests/shims/).

mod hanging;
mod own_h264;
mod privacy;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::faults::{self, Row};
use crate::support::meter::Track;
use crate::support::picture::{assert_bars, difference, is_bars, is_slate, picture, row};
use crate::support::shims::{FakeCamera, FakeMicrophone, Fault, Format, VIDEO_BITRATE};
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, options, until};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::sleep;

/// A fault is seen, and viewers are shown the slate, within this.
const SEEN: Duration = Duration::from_secs(2);
/// From the return of the device to its picture or sound.
const BACK: Duration = Duration::from_secs(3);
/// The same where nothing announces that the fault is over: a fault of three
/// seconds is met by up to three tries, and the wait before the fourth is up to
/// five seconds (four, spread by a quarter).
const BACK_UNTOLD: Duration = Duration::from_secs(8);
/// The label of the data channel.
const CHANNEL: &str = "camera-agent";
const VIDEO_CLOCK: f64 = 90_000.0;
const AUDIO_CLOCK: f64 = 48_000.0;
/// How far a stream's timeline may be from the clock on the wall, in seconds.
const DRIFT: f64 = 0.5;

/// A device with a camera and a microphone, and the server it is on.
struct Bed {
    chat: Chat,
    device: Device,
    camera: FakeCamera,
    microphone: FakeMicrophone,
}

impl Bed {
    /// With the encoder that is everywhere.
    async fn start(camera: FakeCamera) -> Self {
        Self::with(camera, "encoder = \"x264\"\n", "", &[]).await
    }

    /// With more of `[video]`, sections of the configuration and environment.
    async fn with(
        camera: FakeCamera,
        video: &str,
        sections: &str,
        env: &[(String, String)],
    ) -> Self {
        let chat = Chat::with(options()).await;
        let microphone = FakeMicrophone::tone(440);
        let toml = format!(
            "[video]\nsource = \"v4l2\"\ndevice = {:?}\nwidth = 640\nheight = 360\n\
             bitrate_kbps = 800\n{video}[audio]\nsource = \"alsa\"\ndevice = {:?}\n\
             [ice]\nloopback = true\n{sections}",
            camera.node(),
            FakeMicrophone::NAME
        );
        let env = [&camera.env()[..], &microphone.env(), env].concat();
        let device = Device::start_with_env(chat.addr, &toml, &env).await;
        device.registered().await;
        Self {
            chat,
            device,
            camera,
            microphone,
        }
    }

    /// A viewer who sees and hears, and is told how the device is.
    async fn viewer(&self) -> Viewer {
        let url = format!("ws://{}/", self.chat.addr);
        let mut viewer = Viewer::join(&url, "viewer", "camera").await;
        viewer.call_with(&[CHANNEL]).await;
        viewer
            .wait("picture and sound", |_, received| {
                (received.video.key_frames > 0 && received.audio.frames > 10).then_some(())
            })
            .await;
        viewer
    }
}

/// How many frames a second come, over a second.
async fn rate(viewer: &Viewer, track: impl Fn(&Viewer) -> u64) -> f64 {
    let (begun, frames) = (Instant::now(), track(viewer));
    sleep(Duration::from_secs(1)).await;
    (track(viewer) - frames) as f64 / begun.elapsed().as_secs_f64()
}

fn pictures(viewer: &Viewer) -> u64 {
    viewer.received(|r| r.video.frames)
}

fn sounds(viewer: &Viewer) -> u64 {
    viewer.received(|r| r.audio.frames)
}

/// Waits until `count` come within half a second: once it flows.
async fn flows(
    what: &str,
    limit: Duration,
    viewer: &Viewer,
    track: impl Fn(&Viewer) -> u64,
    count: u64,
) -> Duration {
    let begun = Instant::now();
    let mut seen = std::collections::VecDeque::from([(begun, track(viewer))]);
    until(what, limit, || {
        let now = Instant::now();
        seen.push_back((now, track(viewer)));
        while now - seen[0].0 > Duration::from_millis(500) {
            seen.pop_front();
        }
        let came = seen.back().expect("just pushed").1 - seen[0].1;
        async move { (came >= count).then_some(()) }
    })
    .await;
    begun.elapsed()
}

/// Waits until the viewer is told that the picture is in this state, in a
/// message behind the first `after`; gives the message and how many came up to
/// it.
async fn is_told(viewer: &Viewer, after: usize, state: &str) -> (Value, usize) {
    viewer
        .wait(&format!("the picture is {state}"), |heard, _| {
            let mut messages = heard.messages.iter().enumerate().skip(after);
            let (index, message) =
                messages.find(|(_, m)| m["type"] == "status" && m["video"]["state"] == state)?;
            Some((message.clone(), index + 1))
        })
        .await
}

/// The picture is not a frozen one.
async fn moves(viewer: &Browser) {
    let before = row(viewer).await;
    until("another picture", SEEN, || async {
        (difference(&before, &row(viewer).await) > 5.0).then_some(())
    })
    .await;
}

/// GStreamer found no mistake in how it is used.
fn assert_no_criticals(device: &Device) {
    assert_eq!(device.logged("CRITICAL"), 0, "{:?}", device.log());
}

/// One SSRC, timestamps that rise from frame to frame and keep up with the
/// clock on the wall: to the viewer it is one stream.
fn assert_one_stream(track: &Track, clock: f64) {
    let timeline = &track.timeline;
    assert_eq!(timeline.changes, 0, "the SSRC changed: {track:?}");
    assert_eq!(timeline.backwards, 0, "time went backwards: {track:?}");
    assert_eq!(track.missing, 0, "sequence numbers were skipped: {track:?}");
    let wall = track.last.expect("it flowed") - timeline.began.expect("it flowed");
    let drift = timeline.elapsed as f64 / clock - wall.as_secs_f64();
    assert!(
        drift.abs() < DRIFT,
        "{drift:.3} s from the wall clock: {track:?}"
    );
}

/// On a busy machine either stream may wait so long for a processor.
const UNNOTICED: Duration = Duration::from_millis(500);
/// 15 of 30 frames a second in half a second, less what a busy machine loses.
const FULL_RATE: u64 = 12;
/// 50 packets of sound a second.
const FULL_SOUND: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn every_format_reaches_the_viewer_at_its_full_rate() {
    let h264 = Format::H264 {
        gop: 30,
        high: false,
    };
    for format in [
        Format::Mjpg,
        Format::Mjpg422,
        Format::Yuyv,
        Format::Nv12,
        h264,
    ] {
        let bed = Bed::start(FakeCamera::new(format, 640, 360, 30)).await;
        let viewer = bed.viewer().await;
        flows(&format!("{format:?}"), SOON, &viewer, pictures, FULL_RATE).await;
        assert_eq!(bed.device.warnings(), 0, "{:?}", bed.device.log());
        // Browsers play no 4:2:2: whatever comes from the camera is 4:2:0 here.
        let answer = viewer.heard(|heard| heard.answers[0].clone());
        assert!(answer.contains("profile-level-id=42"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sees_the_slate_while_the_camera_is_unplugged_and_the_camera_after() {
    let bed = Bed::start(FakeCamera::new(Format::Mjpg422, 640, 360, 30)).await;
    let viewer = Browser::start(Person::default()).await;
    viewer.open(&bed.chat.page("viewer")).await;
    viewer.call("camera").await;
    viewer.frames_rise(30).await;
    assert_bars(&row(&viewer).await);
    moves(&viewer).await;
    viewer.remember_call().await;

    bed.camera.unplug();
    let unplugged = Instant::now();
    until("the slate", SEEN, || async {
        is_slate(&picture(&viewer).await).then_some(())
    })
    .await;
    println!("unplugged to slate: {:?}", unplugged.elapsed());
    // It stays, and is no frozen frame: its frames go on.
    viewer.frames_rise(15).await;
    assert!(is_slate(&picture(&viewer).await));

    bed.camera.replug();
    let replugged = Instant::now();
    until("the camera's picture", BACK, || async {
        is_bars(&picture(&viewer).await).then_some(())
    })
    .await;
    println!("replugged to picture: {:?}", replugged.elapsed());
    moves(&viewer).await;
    assert!(viewer.is_same_call().await);
    viewer.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_runs_on_over_a_fault_of_the_camera_and_the_sound_does_not_notice() {
    type Act = fn(&FakeCamera);
    let faults: [(&str, Act, Act, Duration); 3] = [
        ("unplugged", FakeCamera::unplug, FakeCamera::replug, BACK),
        (
            "silent",
            |c| c.begin(Fault::Silent),
            |c| c.end(Fault::Silent),
            BACK_UNTOLD,
        ),
        (
            "broken",
            |c| c.begin(Fault::Broken),
            |c| c.end(Fault::Broken),
            BACK_UNTOLD,
        ),
    ];
    for (fault, begin, end, back) in faults {
        let bed = Bed::start(FakeCamera::new(Format::Mjpg, 640, 360, 30)).await;
        let viewer = bed.viewer().await;
        flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
        let (live, told) = is_told(&viewer, 0, "live").await;
        assert_eq!(
            live["video"],
            json!({"state": "live", "text": "", "reason": ""})
        );
        viewer.received(|r| r.audio.timeline.longest_gap = Duration::ZERO);

        begin(&bed.camera);
        sleep(SEEN).await;
        // The slate has 10 frames a second, the camera 30.
        let slate = rate(&viewer, pictures).await;
        assert!(
            (6.0..14.0).contains(&slate),
            "{fault}: {slate:.1} frames a second"
        );
        assert_eq!(bed.device.logged("the camera is lost"), 1, "{fault}");
        assert_eq!(bed.device.warnings(), 1, "{fault}");
        let (lost, told) = is_told(&viewer, told, "lost").await;
        let text = "The camera is lost. The picture goes on when it is back.";
        assert_eq!(lost["video"]["text"], text, "{fault}");
        assert_ne!(lost["video"]["reason"], "", "{fault}");
        assert_eq!(lost["audio"]["state"], "live", "{fault}: {lost}");
        end(&bed.camera);
        let took = flows(fault, back, &viewer, pictures, FULL_RATE).await;
        println!("{fault}: back after {took:?}");
        assert_eq!(bed.device.said("the camera is back"), 1, "{fault}");
        let (live, _) = is_told(&viewer, told, "live").await;
        assert_eq!(live["video"]["text"], "", "{fault}");

        let gap = viewer.received(|r| r.audio.timeline.longest_gap);
        assert!(gap < UNNOTICED, "{fault}: the sound stopped for {gap:?}");
        viewer.received(|received| {
            assert_one_stream(&received.video, VIDEO_CLOCK);
            assert_one_stream(&received.audio, AUDIO_CLOCK);
        });
        assert_no_criticals(&bed.device);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_microphone_comes_and_goes_and_the_picture_does_not_notice() {
    let bed = Bed::start(FakeCamera::new(Format::Mjpg, 640, 360, 30)).await;
    let viewer = bed.viewer().await;
    flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
    viewer.received(|r| r.video.timeline.longest_gap = Duration::ZERO);

    bed.microphone.unplug();
    sleep(SEEN).await;
    bed.microphone.replug();
    let took = flows("the sound", BACK, &viewer, sounds, FULL_SOUND).await;
    println!("replugged to sound: {took:?}");

    let gap = viewer.received(|r| r.video.timeline.longest_gap);
    assert!(gap < UNNOTICED, "the picture stood still for {gap:?}");
    viewer.received(|received| {
        assert_one_stream(&received.video, VIDEO_CLOCK);
        assert_one_stream(&received.audio, AUDIO_CLOCK);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_unplugged_cameras_leave_nothing_behind() {
    let bed = Bed::start(FakeCamera::new(Format::Mjpg, 640, 360, 30)).await;
    let viewer = bed.viewer().await;
    let cycle = async || {
        flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
        bed.camera.unplug();
        sleep(Duration::from_millis(500)).await;
        bed.camera.replug();
    };
    // What is opened once and kept is open after the first.
    cycle().await;
    flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
    let (files, threads) = (bed.device.open_files().len(), bed.device.threads());
    for _ in 0..20 {
        cycle().await;
    }
    flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
    until("as many threads and files as before", SOON, || async {
        let now = (bed.device.open_files().len(), bed.device.threads());
        (now.0 <= files && now.1 <= threads).then_some(())
    })
    .await;
    let node = bed.camera.node().display().to_string();
    let opened = bed.device.open_files();
    let of_the_camera = opened.iter().filter(|path| path.contains(&node)).count();
    println!("{files} files, {threads} threads; of the camera {of_the_camera}");
    assert!(
        !opened
            .iter()
            .any(|p| p.contains("(deleted)") && p.contains(&node)),
        "{opened:?}"
    );
    viewer.received(|received| assert_one_stream(&received.video, VIDEO_CLOCK));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_fails_during_a_call_gives_way_to_the_next() {
    for fault in ["stall", "silent", "error", "empty", "eos"] {
        let files = tempfile::tempdir().expect("a folder");
        let trigger = files.path().join("now");
        let row = Row::new(fault).trigger(&trigger).to_string();
        let text = |path: PathBuf| path.display().to_string();
        let mut env = vec![("CACHE_DIRECTORY".to_owned(), text(files.path().to_owned()))];
        env.extend(faults::environment().map(|(name, path)| (name.to_owned(), text(path))));
        let camera = FakeCamera::new(Format::Mjpg, 640, 360, 30);
        let bed = Bed::with(camera, "", &row, &env).await;
        let viewer = bed.viewer().await;
        flows(fault, SOON, &viewer, pictures, FULL_RATE).await;
        let chosen = format!("\"encoder\":\"{fault}\"");
        assert!(bed.device.logged(&chosen) >= 1, "{:?}", bed.device.log());
        let (_, told) = is_told(&viewer, 0, "live").await;
        viewer.received(|r| r.audio.timeline.longest_gap = Duration::ZERO);

        std::fs::write(&trigger, "").expect("written");
        bed.device.logs("the encoder failed", 1, SEEN).await;
        let (stopped, told) = is_told(&viewer, told, "lost").await;
        let text = "The picture has stopped and is being started again.";
        assert_eq!(stopped["video"]["text"], text, "{fault}");
        assert_ne!(stopped["video"]["reason"], "", "{fault}");
        assert_eq!(stopped["audio"]["state"], "live", "{fault}: {stopped}");
        // It fails again, is seen again, and the next in rank takes its place:
        // twice a fault, twice a start.
        let took = flows(fault, 2 * (SEEN + BACK), &viewer, pictures, FULL_RATE).await;
        println!("{fault}: seen, and the next one works {took:?} later");
        is_told(&viewer, told, "live").await;
        let gap = viewer.received(|r| r.audio.timeline.longest_gap);
        assert!(gap < UNNOTICED, "{fault}: the sound stopped for {gap:?}");
        viewer.received(|received| {
            assert_one_stream(&received.video, VIDEO_CLOCK);
            assert_one_stream(&received.audio, AUDIO_CLOCK);
        });
        let lost = bed.device.logged("the camera is lost");
        assert_eq!(lost, 0, "{fault}: {:?}", bed.device.log());
        assert_no_criticals(&bed.device);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bus_costs_a_mode_and_not_the_picture() {
    let camera = FakeCamera::new(Format::Yuyv, 640, 360, 30).and(Format::Mjpg, 640, 360, 30);
    camera.no_space_for(Format::Yuyv, 640, 360);
    let bed = Bed::start(camera).await;
    let viewer = bed.viewer().await;
    flows("the other mode", SOON, &viewer, pictures, FULL_RATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_in_use_is_named_and_taken_once_it_is_free() {
    let camera = FakeCamera::new(Format::Mjpg, 640, 360, 30);
    let held = camera.in_use();
    let bed = Bed::start(camera).await;
    let url = format!("ws://{}/", bed.chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    let node = bed.camera.node().display().to_string();
    bed.device.logs("another program uses", 1, SOON).await;
    assert!(bed.device.logged(&node) >= 1, "{:?}", bed.device.log());
    flows("the sound", SOON, &viewer, sounds, FULL_SOUND).await;
    drop(held);
    flows("the picture", SOON, &viewer, pictures, FULL_RATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_command_lists_the_camera_with_its_modes_and_controls() {
    let camera = FakeCamera::new(Format::Mjpg, 1280, 720, 30).and(Format::Yuyv, 1280, 720, 30);
    let files = tempfile::tempdir().expect("a folder");
    let config = files.path().join("camera-agent.toml");
    let node = camera.node().display().to_string();
    std::fs::write(&config, format!("[video]\ndevice = {node:?}\n")).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["devices", "--json", "--config"])
        .arg(&config)
        .envs(camera.env())
        .output()
        .await
        .expect("the agent starts");
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = found["cameras"].as_array().expect("a list");
    let listed = list.iter().find(|camera| camera["device"] == *node);
    let listed = listed.unwrap_or_else(|| panic!("{node} is not in {found}"));
    assert_eq!(listed["name"], "Test Webcam");
    assert_eq!(listed["driver"], "uvcvideo");
    let modes = listed["modes"].to_string();
    assert!(modes.contains("MJPG") && modes.contains("YUYV"), "{modes}");
    let controls = listed["controls"].to_string();
    for name in ["brightness", "contrast", "power_line_frequency", "50 Hz"] {
        assert!(controls.contains(name), "{name}: {controls}");
    }
    // 55 MB/s do not fit through USB 2.
    assert_eq!(found["picture"]["mode"]["fourcc"], "MJPG", "{found}");
}
