//! `camera-agent devices`, as a person or a script runs it, on whatever
//! machine this is.

use std::process::{Command, Output};

use crate::support::device::Device;
use crate::support::shims::{FakeCamera, FakeMicrophone, Format};
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON};
use serde_json::{Value, json};

fn devices(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .arg("devices")
        .args(arguments)
        // No sound server of the session that runs the tests.
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("the agent starts")
}

fn text(arguments: &[&str]) -> String {
    let output = devices(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // ALSA and GStreamer have nothing to say beside it.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).expect("text")
}

fn json(arguments: &[&str]) -> Value {
    let arguments = [&["--json"], arguments].concat();
    serde_json::from_str(&text(&arguments)).expect("JSON")
}

#[test]
fn every_part_is_there_with_or_without_devices() {
    let text = text(&[]);
    for heading in [
        "Picture:",
        "Sound:",
        "\nCameras",
        "\nMicrophones",
        "\nEncoders",
    ] {
        assert!(text.contains(heading), "{heading}: {text}");
    }
    assert!(text.contains("x264  H264, software, x264enc: "), "{text}");
    let json = json(&[]);
    for list in ["cameras", "other_nodes", "microphones", "encoders"] {
        assert!(json[list].is_array(), "{list}: {json}");
    }
    let pipeline = json["picture"]["pipeline"].is_string();
    assert!(pipeline || json["picture"]["problem"].is_string(), "{json}");
}

#[test]
fn a_named_device_is_asked_directly_and_its_trouble_told() {
    for (device, words) in [
        ("/dev/no-such-camera", "is it plugged in?"),
        ("/dev/null", "no V4L2 device"),
    ] {
        let json = json(&["--device", device]);
        let problem = json["picture"]["problem"].as_str().unwrap_or_default();
        assert!(
            problem.contains(device) && problem.contains(words),
            "{json}"
        );
        let cameras = json["cameras"].as_array().expect("a list");
        let camera = cameras.iter().find(|c| c["device"] == device);
        assert!(
            camera.is_some_and(|c| c["plan"]["problem"].is_string()),
            "{json}"
        );
    }
}

#[test]
fn the_configuration_says_what_is_wanted() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let config =
        "[video]\nsource = \"test\"\nwidth = 640\nheight = 360\n[audio]\nsource = \"none\"";
    std::fs::write(file.path(), config).expect("written");
    let path = file.path().to_str().expect("text");
    let json = json(&["--config", path]);
    let pipeline = json["picture"]["pipeline"].as_str().unwrap_or_default();
    assert!(pipeline.contains("width=640,height=360"), "{json}");
    assert_eq!(json["sound"], Value::Null);
    assert!(text(&["--config", path]).contains("Sound: none, by configuration"));

    let output = devices(&["--config", "/no/such/file"]);
    // As everywhere where a configuration cannot be used.
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn no_camera_is_looked_at_while_its_light_cannot_be_switched_on() {
    let led = tempfile::tempdir().expect("a folder");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let config = format!("[led]\npath = {:?}", led.path());
    std::fs::write(file.path(), config).expect("written");
    let path = file.path().to_str().expect("text");
    let output = devices(&["--config", path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(
        said.contains("no such LED") && said.contains("brightness"),
        "{said}"
    );
    assert!(output.stdout.is_empty(), "{output:?}");

    let brightness = led.path().join("brightness");
    std::fs::write(&brightness, "1").expect("written");
    text(&["--config", path]);
    let after = std::fs::read_to_string(&brightness).expect("readable");
    assert_eq!(after, "0");
}

#[test]
fn a_camera_is_described_with_what_would_be_taken_of_it() {
    let camera = FakeCamera::new(Format::Yuyv, 640, 480, 30)
        .and(Format::Yuyv, 1280, 720, 10)
        .and(Format::Mjpg, 1280, 720, 30);
    let node = camera.node().display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["devices", "--json", "--device", &node])
        .envs(camera.env())
        .output()
        .expect("the agent starts");
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let first = &report["cameras"][0];
    assert_eq!(first["device"], node.as_str());
    assert_eq!(first["driver"], "uvcvideo");
    assert_eq!(
        first["modes"][1],
        json!({"fourcc": "YUYV", "width": 1280, "height": 720, "rate": [10, 1]})
    );
    let menu = first["controls"]
        .as_array()
        .and_then(|list| list.iter().find(|c| c["name"] == "power_line_frequency"));
    assert_eq!(
        menu.map(|control| &control["menu"][1]),
        Some(&json!([1, "50 Hz"]))
    );
    assert_eq!(
        report["picture"]["reason"],
        "1280×720 MJPG 30 fps: YUYV at this size needs 55 MB/s, USB 2 carries 24.6"
    );
}

#[test]
fn a_microphone_that_hears_comes_before_a_default_that_is_silent() {
    let microphone = FakeMicrophone::beside_a_silent_default(440);
    let report = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .arg("devices")
            .args(arguments)
            .env_remove("XDG_RUNTIME_DIR")
            .envs(microphone.env())
            .output()
            .expect("the agent starts");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let json: Value = serde_json::from_str(&report(&["--json"])).expect("JSON");
    assert_eq!(json["sound"]["what"], "microphone testmic", "{json}");
    let microphones = json["microphones"].as_array().expect("a list");
    let order: Vec<_> = microphones.iter().map(|m| &m["device"]).collect();
    assert_eq!(order, ["testmic", "default"], "{json}");
    let text = report(&[]);
    let why = "only digital silence comes from it: is it muted, see `alsamixer`";
    assert!(text.contains(&format!("not default: {why}")), "{text}");
    let listed = format!("default  ALSA's default\n     {why}");
    assert!(text.contains(&listed), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_device_says_which_microphone_is_passed_over_and_why() {
    let chat = Chat::start().await;
    let microphone = FakeMicrophone::beside_a_silent_default(440);
    let no_server = ("XDG_RUNTIME_DIR".into(), "/nonexistent".into());
    let env = [microphone.env(), vec![no_server]].concat();
    let toml = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n[ice]\nloopback = true\n";
    let device = Device::start_with_env(chat.addr, toml, &env).await;
    device.registered().await;
    let mut viewer = Viewer::join(&format!("ws://{}/", chat.addr), "viewer", "camera").await;
    viewer.call().await;
    viewer
        .wait("sound", |_, r| (r.audio.packets > 0).then_some(()))
        .await;
    let taken = "of the microphones this one is taken";
    device.logs(taken, 1, SOON).await;
    let log = device.log();
    let said: Vec<_> = log.iter().filter(|l| l["message"] == taken).collect();
    let [said] = said[..] else {
        panic!("{said:?}");
    };
    let why = "not default: only digital silence comes from it: is it muted, see `alsamixer`";
    assert_eq!(said["level"], "WARN");
    assert_eq!(said["source"], "microphone testmic");
    assert_eq!(said["why"], why);
}
