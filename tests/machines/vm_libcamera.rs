//! libcamera in the virtual machine of `make test-vm-boards`: the kernel's vimc
//! is a sensor with an image processor, which libcamera's pipeline of that name
//! runs, and its plug-in gives to us as it gives the camera of a Raspberry Pi.

use super::onlooker::{calls_blindly, devices, sees_it_turned, small};
use crate::support::lab::Lab;
use serde_json::json;

const SENSOR: &str = "platform/vimc.0 Sensor B";
/// While libcamera streams from it.
const TURN: &str = "name=$(grep -lx 'Sensor B' /sys/class/video4linux/v4l-subdev*/name) && \
     v4l2-ctl -d /dev/$(basename $(dirname $name)) -c horizontal_flip=1";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_camera_that_only_libcamera_can_run_is_listed_once_and_shown() {
    let lab = Lab::bare().await;
    lab.vm("modprobe vimc && udevadm settle").await;
    // vimc's scaler gives multiples of 6 only. A line of its RGB ends with its last
    // pixel, and at 318 that is no multiple of the four bytes which GStreamer expects.
    let configuration = small("auto").replace("width = 320", "width = 318");
    let found = devices(&lab, &configuration).await;
    let cameras = found["cameras"].as_array().expect("a list");
    assert_eq!(cameras.len(), 1, "{cameras:#?}");
    assert_eq!(cameras[0]["device"], SENSOR);
    assert_eq!(cameras[0]["kind"], "libcamera");
    // The sensors behind it are no cameras by themselves.
    let others = found["other_nodes"].as_array().expect("a list");
    let whats: Vec<_> = others.iter().map(|node| &node["what"]).collect();
    assert_eq!(whats, vec![&json!("media controller node"); whats.len()]);
    assert!(!whats.is_empty());

    lab.start_agent(&configuration).await;
    let viewer = calls_blindly(&lab).await;
    // It stands still: only the driver's words in a corner change by themselves.
    sees_it_turned(&viewer, async || {
        lab.vm(TURN).await;
    })
    .await;
    let log = lab.log().await;
    assert!(log.contains(SENSOR), "{log}");
    viewer.screenshot(lab.out.join("libcamera.png")).await;
    viewer.click("#hangup").await;
}
