//! `camera-agent devices` and `camera-agent doctor` on real kernel drivers
//! (vivid and snd-aloop), in the virtual machine of `make test-vm`.

use std::time::Duration;

use crate::support::lab::{CAMERA, Lab, PLAIN_CAMERA};
use serde_json::{Value, json};

/// One camera, and a second device that captures no picture: VBI, video
/// output, metadata in and out (kernel doc: admin-guide/media/vivid).
const MORE_NODES: &str = "n_devs=2 node_types=0x1,0x6010c num_inputs=1,1 input_types=0x0,0x1";

/// Loads the driver anew, with these nodes.
async fn load(lab: &Lab, nodes: &str) {
    lab.vm(&format!(
        "modprobe -r vivid && modprobe vivid {nodes} && udevadm settle"
    ))
    .await;
}

/// What a command prints with `--json`, and its exit code.
async fn json(lab: &Lab, command: &str) -> (Value, i32) {
    let printed = lab
        .vm_within(
            Duration::from_secs(90),
            &format!(
                "GST_REGISTRY=/var/cache/gst/registry.bin camera-agent {command} --json \
                 --config /etc/camera-agent/camera-agent.toml; echo $?"
            ),
        )
        .await;
    let (report, code) = printed.rsplit_once('\n').expect("the code is a line");
    let report = serde_json::from_str(report).unwrap_or_else(|e| panic!("{e}: {printed}"));
    (report, code.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn the_camera_is_listed_with_modes_and_controls_and_other_nodes_with_the_reason() {
    let lab = Lab::with_fresh_agent().await;
    load(&lab, MORE_NODES).await;
    let nodes = lab.vm("ls /dev/video* | wc -l").await;
    let (found, code) = json(&lab, "devices").await;
    load(&lab, PLAIN_CAMERA).await;
    assert_eq!(code, 0, "{found:#}");

    let list = |key: &str| found[key].as_array().expect("a list").clone();
    let (cameras, others) = (list("cameras"), list("other_nodes"));
    assert_eq!(cameras.len(), 1, "{cameras:#?}");
    let camera = &cameras[0];
    let aliases = camera["aliases"].to_string();
    assert!(
        camera["device"] == CAMERA || aliases.contains(CAMERA),
        "{camera}"
    );
    assert_eq!(
        (&camera["name"], &camera["driver"]),
        (&json!("vivid"), &json!("vivid"))
    );
    assert_eq!(camera["trouble"], Value::Null);
    let modes = camera["modes"].as_array().expect("a list");
    for fourcc in ["YUYV", "NV12", "RGB3"] {
        let mode = json!({"fourcc": fourcc, "width": 640, "height": 360, "rate": [30, 1]});
        assert!(modes.contains(&mode), "{mode}: {modes:#?}");
    }
    let controls = camera["controls"].as_array().expect("a list");
    for (name, minimum, maximum, default) in [("brightness", 0, 255, 128), ("hue", -128, 128, 0)] {
        let control = controls.iter().find(|c| c["name"] == name);
        let control = control.unwrap_or_else(|| panic!("{name}: {controls:#?}"));
        let range = [
            &control["minimum"],
            &control["maximum"],
            &control["default"],
        ];
        assert_eq!(range, [minimum, maximum, default], "{control}");
        assert_eq!(control["writable"], true, "{control}");
    }
    assert!(
        found["picture"]["pipeline"].is_string(),
        "{}",
        found["picture"]
    );

    // Nodes of VBI have other names.
    let of_others: Vec<_> = others.iter().map(|node| node["what"].clone()).collect();
    println!("{nodes} nodes, of which no cameras: {others:#?}");
    for what in ["output", "ISP statistics", "ISP parameters"] {
        assert!(of_others.contains(&json!(what)), "{what}: {others:#?}");
    }
    for node in &others {
        assert_eq!(node["driver"], "vivid", "{node}");
        assert!(
            node["reason"].as_str().is_some_and(|r| !r.is_empty()),
            "{node}"
        );
    }
    assert_eq!(
        (others.len() + cameras.len()).to_string(),
        nodes,
        "{found:#}"
    );

    let microphones = list("microphones");
    let card = |m: &Value| m["device"].to_string().contains("Loopback");
    assert!(microphones.iter().any(card), "{microphones:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn the_doctor_counts_the_camera_s_frames_and_measures_the_microphone() {
    // So that emulation keeps up.
    let light = [("width", "320"), ("height", "180"), ("fps", "15")];
    let lab = Lab::with_agent(&light).await;
    let (report, code) = json(&lab, "doctor").await;
    let findings = report["findings"].as_array().expect("a list");
    for finding in findings {
        println!("{finding}");
    }
    let of = |check: &str| {
        let finding = findings.iter().find(|f| f["check"] == check);
        let finding = finding.unwrap_or_else(|| panic!("nothing of {check}: {report:#}"));
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        (text("severity"), text("what"))
    };
    for check in [
        "configuration",
        "permissions",
        "in-use",
        "encoder",
        "chat-server",
    ] {
        let (severity, what) = of(check);
        assert_eq!(severity, "ok", "{check}: {what}");
    }

    // Elements of devices that are not here may be missing.
    let elements = || findings.iter().filter(|f| f["check"] == "elements");
    assert!(elements().any(|f| f["severity"] == "ok"));
    assert!(elements().all(|f| f["severity"] == "ok" || f["severity"] == "hint"));

    let (_, camera) = of("camera");
    let rate = camera.split_once(" frames/s of 15.0 promised");
    let rate = rate.and_then(|(before, _)| before.rsplit(' ').next()?.parse::<f64>().ok());
    let rate = rate.unwrap_or_else(|| panic!("no rate: {camera}"));
    assert!(
        camera.contains(CAMERA) && (7.0..17.0).contains(&rate),
        "{camera}"
    );

    // A sine of half of full scale: 9 dB under it.
    let (severity, microphone) = of("microphone");
    let level = microphone.split_once(" dBFS");
    let level = level.and_then(|(before, _)| before.rsplit(' ').next()?.parse::<f64>().ok());
    let level = level.unwrap_or_else(|| panic!("no level: {microphone}"));
    assert_eq!(severity, "ok", "{microphone}");
    assert!((-10.0..=-8.0).contains(&level), "{microphone}");

    // Beside it may stand that the picture is late, which it is where two
    // processors are one emulated.
    let mut calls = findings.iter().filter(|f| f["check"] == "call");
    let called = |f: &serde_json::Value| {
        let what = f["what"].as_str();
        what.is_some_and(|w| w.contains("called itself with the camera"))
    };
    assert!(calls.any(called), "{report:#}");
    // How many frames emulation loses decides between these.
    assert!(code == 0 || code == 3, "{code}: {report:#}");
    // Nothing of it went through the service, which has the camera closed.
    assert!(!lab.camera_is_open().await);
}
