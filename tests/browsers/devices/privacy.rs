//! Camera and microphone closed for the owner's privacy, with people in the call.

use std::path::Path;
use std::process::Stdio;

use super::hanging::Light;
use super::*;

/// What the owner types beside the device.
async fn privacy(device: &Device, state: &Path, wanted: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camera-agent"));
    command.arg("privacy").args(wanted).arg("--config");
    let command = command.arg(device.config()).env("STATE_DIRECTORY", state);
    let output = command.stderr(Stdio::inherit()).output().await;
    let output = output.expect("it runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// Pictures come, of the slate, and no sound.
async fn sees_the_slate_and_hears_nothing(viewer: &Viewer) {
    let over_a_second = async || {
        let (seen, heard) = (pictures(viewer), sounds(viewer));
        until("pictures of the slate", SOON, || async {
            (pictures(viewer) > seen + 10).then_some(())
        })
        .await;
        sounds(viewer) - heard
    };
    // What was on its way has come after the first.
    over_a_second().await;
    assert_eq!(over_a_second().await, 0, "over a second of the slate");
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_closes_camera_and_microphone_in_a_call_and_outlasts_a_restart() {
    let (light, state) = (Light::new(), tempfile::tempdir().expect("a folder"));
    let camera = FakeCamera::new(Format::Mjpg, 640, 360, 30);
    let node = camera.node().display().to_string();
    let folder = state.path().display().to_string();
    let env = [("STATE_DIRECTORY".to_owned(), folder)];
    let mut bed = Bed::with(camera, "encoder = \"x264\"\n", &light.toml(), &env).await;
    let is_open = |device: &Device| light.is_on() || device.open_files().contains(&node);
    let viewer = bed.viewer().await;
    flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
    assert!(is_open(&bed.device));
    let said = privacy(&bed.device, state.path(), &[]).await;
    assert!(said.contains("privacy is off"), "{said}");

    let said = privacy(&bed.device, state.path(), &["on"]).await;
    assert!(said.contains("privacy is on"), "{said}");
    let (told, seen) = is_told(&viewer, 0, "private").await;
    let text = "The owner has switched camera and microphone off.";
    assert_eq!(told["video"]["text"], text);
    until("both are closed", SOON, || async {
        (!is_open(&bed.device)).then_some(())
    })
    .await;
    let audio = |m: &Value| m["type"] == "status" && m["audio"]["state"] == "private";
    viewer.told("no sound either", audio).await;
    sees_the_slate_and_hears_nothing(&viewer).await;
    assert!(!is_open(&bed.device));

    // Who comes now sees the slate too; a camera that is plugged in stays closed.
    let mut late = Viewer::join(&format!("ws://{}/", bed.chat.addr), "late", "camera").await;
    late.call_with(&[CHANNEL]).await;
    is_told(&late, 0, "private").await;
    bed.camera.unplug();
    bed.camera.replug();
    sees_the_slate_and_hears_nothing(&late).await;
    assert!(!is_open(&bed.device));

    privacy(&bed.device, state.path(), &["off"]).await;
    is_told(&viewer, seen, "live").await;
    flows("the camera", SOON, &viewer, pictures, FULL_RATE).await;
    flows("the sound", SOON, &viewer, sounds, FULL_SOUND).await;
    assert!(is_open(&bed.device));
    viewer.received(|received| {
        assert_one_stream(&received.video, VIDEO_CLOCK);
    });

    // A device that starts with it does not even look at the camera.
    privacy(&bed.device, state.path(), &["on"]).await;
    until("both are closed", SOON, || async {
        (!is_open(&bed.device)).then_some(())
    })
    .await;
    let config = std::fs::read_to_string(bed.device.config()).expect("readable");
    let all = [&bed.camera.env()[..], &bed.microphone.env(), &env].concat();
    bed.device.signal("TERM").await;
    bed.device.exits(SOON).await;
    bed.device = Device::with_env(&config, &all).await;
    bed.device.registered().await;
    let again = bed.viewer_of_the_slate().await;
    sees_the_slate_and_hears_nothing(&again).await;
    assert!(!is_open(&bed.device));
    assert_eq!(bed.device.logged("the camera is on"), 0);
    assert_no_criticals(&bed.device);
}

impl Bed {
    /// A viewer who is told that there is privacy.
    async fn viewer_of_the_slate(&self) -> Viewer {
        let url = format!("ws://{}/", self.chat.addr);
        let mut viewer = Viewer::join(&url, "again", "camera").await;
        viewer.call_with(&[CHANNEL]).await;
        is_told(&viewer, 0, "private").await;
        viewer
    }
}
