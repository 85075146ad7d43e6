//! Drivers that do not let go, and the light meanwhile.

use super::*;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

/// A light as the kernel has it.
pub(super) struct Light(tempfile::TempDir);

impl Light {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("brightness", "0"), ("max_brightness", "1\n")] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        Self(folder)
    }

    pub(super) fn toml(&self) -> String {
        format!("[led]\npath = {:?}\n", self.0.path())
    }

    pub(super) fn is_on(&self) -> bool {
        let text = std::fs::read_to_string(self.0.path().join("brightness"));
        text.expect("readable") == "1"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_light_is_on_as_long_as_a_driver_has_the_node_open_and_off_at_the_end() {
    let light = Light::new();
    let camera = FakeCamera::new(Format::Yuyv, 640, 360, 30);
    let node = camera.node().display().to_string();
    let mut bed = Bed::with(camera, "encoder = \"x264\"\n", &light.toml(), &[]).await;
    let has_node = |device: &Device| device.open_files().contains(&node);
    let viewer = bed.viewer().await;
    assert!(light.is_on() && has_node(&bed.device));
    bed.camera.begin(Fault::StopHangs);
    viewer.hang_up().await;
    drop(viewer);
    bed.device.logs("does not stop", 1, SOON).await;
    for _ in 0..10 {
        assert!(light.is_on() && has_node(&bed.device));
        sleep(Duration::from_millis(100)).await;
    }
    bed.camera.end(Fault::StopHangs);
    until("a dark light", SOON, || async {
        (!light.is_on()).then_some(())
    })
    .await;
    assert!(!has_node(&bed.device));

    // The driver hangs for good, and the end is asked for as coreutils'
    // `timeout` does it: twice.
    let _viewer = bed.viewer().await;
    assert!(light.is_on());
    bed.camera.begin(Fault::StopHangs);
    let pid = i32::try_from(bed.device.pid()).expect("a small number");
    let pid = Pid::from_raw(pid).expect("it runs");
    let ends = || kill_process(pid, Signal::TERM).expect("it runs");
    ends();
    // Two within half a second are one (src/ending.rs): too short a time to start a program
    // for the second where the machine is busy.
    let stopping = async {
        while bed.device.logged("stopping") == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, stopping).await.expect("it is stopping");
    ends();
    let status = bed.device.exits(Duration::from_secs(3)).await;
    assert_eq!(status.code(), Some(0));
    assert!(!light.is_on());
    assert_eq!(bed.device.logged("second signal"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_keeps_one_thread_and_is_named() {
    let camera = FakeCamera::new(Format::Yuyv, 640, 360, 30);
    camera.begin(Fault::StartHangs);
    let bed = Bed::start(camera).await;
    let url = format!("ws://{}/", bed.chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call_with(&[CHANNEL]).await;
    // It counts as failed after 10 s, and is tried again.
    bed.device.logs("has not come back", 1, SOON).await;
    sleep(Duration::from_secs(2)).await;
    let hang = ["camera-open", "media-stop"].map(|name| threads_called(name, &bed.device));
    assert_eq!(hang.iter().sum::<usize>(), 1);
    bed.camera.end(Fault::StartHangs);
    flows("the picture", SOON, &viewer, pictures, FULL_RATE).await;
}

/// The kernel keeps the first 15 bytes of a name.
fn threads_called(name: &str, device: &Device) -> usize {
    let tasks = format!("/proc/{}/task", device.pid());
    let tasks = std::fs::read_dir(tasks).expect("it runs").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_microphone_whose_driver_hangs_costs_the_sound_and_nothing_else() {
    let bed = Bed::start(FakeCamera::new(Format::Yuyv, 640, 360, 30)).await;
    bed.microphone.hang();
    let url = format!("ws://{}/", bed.chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    flows("the picture", SOON, &viewer, pictures, FULL_RATE).await;
    bed.device
        .logs("microphone stopped: its driver", 1, SOON)
        .await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(threads_called("microphone-open", &bed.device), 1);
    flows("the picture", SOON, &viewer, pictures, FULL_RATE).await;
    bed.microphone.comes_back();
    flows("the sound", SOON, &viewer, sounds, FULL_SOUND).await;
}
