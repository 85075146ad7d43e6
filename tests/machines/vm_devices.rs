//! Real kernel drivers that fail during a call: in the virtual machine of
//! `make test-vm` the camera (vivid) and the sound card (snd-aloop) are taken
//! from the agent and given back, while a browser outside of it watches.
//!
//! How fast the agent is, its journal says, in the machine's own time; how fast
//! the browser shows it is bounded more generously, since all of it shares two
//! processors with an emulated one.

use std::time::{Duration, Instant};

use crate::support::browser::Browser;
use crate::support::lab::{CAMERA, Lab, MOVE, NAME};
use crate::support::picture::{assert_bars, difference, is_bars, is_slate, picture, row};
use crate::support::{SOON, until};
use tokio::time::sleep;

/// A fault is seen, and viewers are shown the slate, within this.
const SEEN: Duration = Duration::from_secs(2);
/// From the return of the device to its picture or sound.
const BACK: Duration = Duration::from_secs(3);
/// What encoding in the emulated machine and the browser add at most.
const EMULATION: Duration = Duration::from_secs(3);

/// A picture that leaves the emulated processors time for what is tested.
const LIGHT: &[(&str, &str)] = &[("width", "320"), ("height", "180"), ("fps", "15")];

/// What the agent logs.
const LOST: &str = "the camera is lost";
const AGAIN: &str = "the camera is back";

const UNBIND_CAMERA: &str = "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind";
const BIND_CAMERA: &str = "echo vivid.0 >/sys/bus/platform/drivers/vivid/bind";
const UNBIND_CARD: &str = "echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind";
const BIND_CARD: &str = "echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind";

async fn call(lab: &Lab) -> Browser {
    let viewer = lab.browser().await;
    viewer.call(NAME).await;
    // On a busy machine the camera is late, and the slate comes first.
    until("the camera in the browser", SOON, || async {
        is_bars(&picture(&viewer).await).then_some(())
    })
    .await;
    viewer.frames_rise(10).await;
    viewer.hears().await;
    viewer.remember_call().await;
    viewer
}

/// Waits until the browser shows the slate, and that it is a running picture.
async fn shows_the_slate(viewer: &Browser) -> Duration {
    let begun = Instant::now();
    until("the slate in the browser", SEEN + EMULATION, || async {
        is_slate(&picture(viewer).await).then_some(())
    })
    .await;
    let took = begun.elapsed();
    viewer.frames_rise(5).await;
    assert!(is_slate(&picture(viewer).await), "it did not stay");
    took
}

/// Waits until the browser shows the camera, and that its picture moves.
async fn shows_the_camera(lab: &Lab, viewer: &Browser) -> Duration {
    let begun = Instant::now();
    lab.vm(MOVE).await;
    until("the camera in the browser", BACK + EMULATION, || async {
        is_bars(&picture(viewer).await).then_some(())
    })
    .await;
    let took = begun.elapsed();
    let before = row(viewer).await;
    until("another picture", SOON, || async {
        (difference(&before, &row(viewer).await) > 5.0).then_some(())
    })
    .await;
    assert_bars(&row(viewer).await);
    took
}

/// Energy of the sound that comes within half a second.
async fn loudness(viewer: &Browser) -> f64 {
    let before = viewer.audio_energy().await;
    sleep(Duration::from_millis(500)).await;
    viewer.audio_energy().await - before
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn the_camera_streams_in_three_pixel_formats() {
    for (format, name) in [("YUYV", "YUY2"), ("NV12", "NV12"), ("RGB3", "RGB")] {
        let lab = Lab::with_agent(&[LIGHT, &[("format", &format!("\"{format}\""))]].concat()).await;
        let viewer = call(&lab).await;
        assert_bars(&row(&viewer).await);
        let begun = (Instant::now(), viewer.frames_decoded().await);
        sleep(Duration::from_secs(3)).await;
        let rate = (viewer.frames_decoded().await - begun.1) / begun.0.elapsed().as_secs_f64();
        let set = lab
            .vm(&format!(
                "v4l2-ctl -d {CAMERA} --get-fmt-video | grep Pixel"
            ))
            .await;
        println!("{name}: {rate:.1} frames a second; {set}");
        assert!(set.contains(format), "{set}");
        // Half of what the camera gives; colours of RGB are dear to convert.
        assert!(rate >= 7.0, "{format}: {rate:.1} frames a second");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_call_survives_the_camera_s_unplugging() {
    let lab = Lab::with_agent(LIGHT).await;
    let viewer = call(&lab).await;

    let unplugged = lab.at(UNBIND_CAMERA).await;
    let shown = shows_the_slate(&viewer).await;
    let seen = lab.logged_after(unplugged, LOST).await;
    println!("unbound: {seen:?} to the agent's word, {shown:?} to the slate in the browser");
    assert!(seen < SEEN, "{seen:?}");
    let before = viewer.audio_energy().await;
    sleep(Duration::from_secs(1)).await;
    assert!(viewer.audio_energy().await > before, "the sound stopped");
    viewer.screenshot(lab.out.join("slate.png")).await;
    // Else it comes back under another number, which this test is not about.
    lab.camera_is_let_go().await;

    let replugged = lab.at(BIND_CAMERA).await;
    let shown = shows_the_camera(&lab, &viewer).await;
    let back = lab.logged_after(replugged, AGAIN).await;
    println!("bound: {back:?} to the agent's word, {shown:?} to the picture in the browser");
    assert!(back < BACK, "{back:?}");
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_call_survives_a_fatal_stream_error() {
    let lab = Lab::with_agent(LIGHT).await;
    let viewer = call(&lab).await;
    let failed = lab
        .at(&format!(
            "v4l2-ctl -d {CAMERA} -c inject_fatal_streaming_error=1"
        ))
        .await;
    let seen = lab.logged_after(failed, LOST).await;
    let back = lab.logged_after(failed, AGAIN).await;
    let shown = shows_the_camera(&lab, &viewer).await;
    println!("stream error: {seen:?} to the agent's word, {back:?} to its second, then {shown:?}");
    assert!(seen < SEEN, "{seen:?}");
    // The camera was never away: its return is the fault itself.
    assert!(back < seen + BACK, "{back:?}");
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn a_call_survives_the_sound_card_s_unplugging() {
    let lab = Lab::with_agent(LIGHT).await;
    let viewer = call(&lab).await;
    assert!(loudness(&viewer).await > 0.0005);
    let frames = viewer.frames_decoded().await;

    // Returns once nobody has the card open any more: the agent let go of it.
    let unplugged = Instant::now();
    lab.vm(UNBIND_CARD).await;
    println!(
        "the card is free {:?} after its unbinding",
        unplugged.elapsed()
    );
    until("silence", SEEN + EMULATION, || async {
        (loudness(&viewer).await < 0.0005).then_some(())
    })
    .await;
    assert!(
        viewer.frames_decoded().await > frames + 10.0,
        "the picture stopped"
    );

    lab.vm(BIND_CARD).await;
    let replugged = Instant::now();
    until("sound", BACK + EMULATION, || async {
        (loudness(&viewer).await > 0.0005).then_some(())
    })
    .await;
    println!("bound to sound: {:?}", replugged.elapsed());
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn twenty_unplugged_cameras_leave_nothing_behind() {
    let lab = Lab::with_agent(LIGHT).await;
    let viewer = call(&lab).await;
    let cycle = async || {
        let unplugged = lab.at(UNBIND_CAMERA).await;
        lab.logged_after(unplugged, LOST).await;
        lab.camera_is_let_go().await;
        let replugged = lab.at(BIND_CAMERA).await;
        lab.logged_after(replugged, AGAIN).await
    };
    // What is opened once and kept is open after the first.
    cycle().await;
    let before = lab.files_and_threads().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        slowest = slowest.max(cycle().await);
    }
    println!("the slowest return of 20: {slowest:?}");
    assert!(slowest < BACK, "{slowest:?}");
    until("as many files and threads as before", SOON, || async {
        let now = lab.files_and_threads().await;
        (now.0 <= before.0 && now.1 <= before.1).then_some(())
    })
    .await;
    shows_the_camera(&lab, &viewer).await;
    assert!(viewer.is_same_call().await);
}
