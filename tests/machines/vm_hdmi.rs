//! An HDMI bridge and a multi-planar camera, in the virtual machine of `make
//! test-vm-boards`: the kernel's vivid with such an input, and as such a device.
//! The signal is missing, comes, goes in a call, and changes its timings.

use super::onlooker::{SEEN, calls, devices, sees_the_camera, sees_the_slate, small};
use crate::support::lab::{CAMERA, Lab, MOVE};
use crate::support::{SOON, until};
use serde_json::{Value, json};

/// One HDMI input, and nothing that crops or scales what comes in (kernel doc:
/// admin-guide/media/vivid).
const BRIDGE: &str = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x3 ccs_cap_mode=0";
/// A webcam whose formats have planes in buffers of their own.
const MULTI_PLANAR: &str = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 multiplanar=2";

/// What the bridge receives, as its "DV Timings Signal Mode" numbers it.
#[derive(Clone, Copy)]
enum Received {
    Nothing = 1,
    NoLock = 2,
    OutOfRange = 3,
    Selected = 4,
}

async fn receives(lab: &Lab, what: Received) {
    let number = what as u32;
    lab.vm(&format!(
        "v4l2-ctl -d {CAMERA} -c dv_timings_signal_mode={number}"
    ))
    .await;
}

/// A picture of these timings comes in, by the name of the driver's menu.
async fn receives_timings(lab: &Lab, name: &str) {
    let number = lab
        .vm(&format!(
            "v4l2-ctl -d {CAMERA} -c dv_timings_signal_mode=4 && v4l2-ctl -d {CAMERA} -L | \
             sed -n 's/^[[:space:]]*\\([0-9]*\\): {name}$/\\1/p' | head -n 1"
        ))
        .await;
    assert!(!number.is_empty(), "the driver has no {name}");
    lab.vm(&format!("v4l2-ctl -d {CAMERA} -c dv_timings={number}"))
        .await;
    receives(lab, Received::Selected).await;
}

async fn load(lab: &Lab, options: &str) {
    lab.vm(&format!("modprobe vivid {options} && {MOVE}")).await;
}

/// The only camera that is listed.
async fn camera(lab: &Lab) -> Value {
    let found = devices(lab, &small(CAMERA)).await;
    let cameras = found["cameras"].as_array().expect("a list");
    assert_eq!(cameras.len(), 1, "{found:#}");
    cameras[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_bridge_is_listed_with_what_it_receives_and_with_the_remedy_where_that_is_nothing() {
    let lab = Lab::bare().await;
    load(&lab, BRIDGE).await;
    for (timings, width, height, rate) in [
        ("1280x720p60", 1280, 720, 60),
        ("1920x1080p30", 1920, 1080, 30),
    ] {
        receives_timings(&lab, timings).await;
        let camera = camera(&lab).await;
        assert_eq!(camera["kind"], "hdmi");
        assert_eq!(camera["trouble"], Value::Null);
        let mode = &camera["modes"][0];
        assert_eq!(
            (&mode["width"], &mode["height"], &mode["rate"]),
            (&json!(width), &json!(height), &json!([rate, 1])),
            "{mode}"
        );
    }
    for (what, words) in [
        (Received::Nothing, "is the HDMI cable in"),
        (Received::NoLock, "cannot lock to"),
        (Received::OutOfRange, "cannot be captured"),
    ] {
        receives(&lab, what).await;
        let trouble = camera(&lab).await["trouble"].to_string();
        assert!(trouble.contains(words), "{trouble}");
    }
    // Who is plugged in sees no display.
    receives(&lab, Received::Selected).await;
    lab.vm(&format!("v4l2-ctl -d {CAMERA} --clear-edid")).await;
    let trouble = camera(&lab).await["trouble"].to_string();
    assert!(trouble.contains("--set-edid=type=hdmi"), "{trouble}");
    lab.vm(&format!("v4l2-ctl -d {CAMERA} --set-edid=type=hdmi"))
        .await;
    assert_eq!(camera(&lab).await["trouble"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_call_survives_a_signal_that_goes_comes_back_and_changes_its_timings() {
    let lab = Lab::bare().await;
    load(&lab, BRIDGE).await;
    receives_timings(&lab, "1280x720p60").await;
    lab.start_agent(&small(CAMERA)).await;
    let viewer = calls(&lab).await;
    viewer.screenshot(lab.out.join("hdmi.png")).await;

    for (what, words) in [
        (Received::Nothing, "receives no signal"),
        (Received::NoLock, "cannot lock to"),
        (Received::OutOfRange, "cannot be captured"),
    ] {
        let lost = lab.at("true").await;
        receives(&lab, what).await;
        let seen = lab.logged_after(lost, words).await;
        let shown = sees_the_slate(&viewer).await;
        receives(&lab, Received::Selected).await;
        let back = sees_the_camera(&viewer).await;
        println!("{words}: {seen:?} to the agent's word, slate {shown:?}, back {back:?}");
        assert!(seen < SEEN, "{seen:?}");
    }

    let changed = lab.at("true").await;
    receives_timings(&lab, "1920x1080p30").await;
    let back = lab.logged_after(changed, "the camera is back").await;
    let shown = sees_the_camera(&viewer).await;
    println!("other timings: {back:?} to the agent's word, then {shown:?}");
    let set = format!("v4l2-ctl -d {CAMERA} --get-dv-timings");
    until("the bridge is set to them", SOON, || async {
        let timings = lab.vm(&set).await;
        timings.contains("Active height: 1080").then_some(())
    })
    .await;
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_multi_planar_camera_is_shown_in_formats_of_one_and_of_several_buffers() {
    let lab = Lab::bare().await;
    load(&lab, MULTI_PLANAR).await;
    let camera = camera(&lab).await;
    let modes = camera["modes"].as_array().expect("a list");
    for format in ["NV12", "YU12"] {
        let mode = json!({"fourcc": format, "width": 320, "height": 180, "rate": [15, 1]});
        assert!(modes.contains(&mode), "{format}: {camera:#}");
    }
    for format in ["auto", "NV12", "NM12", "YM12"] {
        let configuration =
            small(CAMERA).replace("[video]", &format!("[video]\nformat = \"{format}\""));
        lab.start_agent(&configuration).await;
        let viewer = calls(&lab).await;
        println!(
            "{format}: {}",
            lab.vm(&format!("v4l2-ctl -d {CAMERA} -V")).await
        );
        viewer.click("#hangup").await;
        lab.vm("systemctl stop camera-agent").await;
    }
}
