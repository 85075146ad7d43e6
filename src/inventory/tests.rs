use super::*;
use crate::device::{CameraKind, MicrophoneKind};

fn mode(fourcc: &str, width: u32, height: u32, rate: u32) -> Mode {
    Mode {
        fourcc: fourcc.into(),
        width,
        height,
        rate: (rate, 1),
        ..Mode::default()
    }
}

fn camera(device: &str, modes: Vec<Mode>) -> Camera {
    Camera {
        device: device.into(),
        aliases: vec!["/dev/v4l/by-path/x".into()],
        kind: CameraKind::V4l2,
        name: "HD Webcam".into(),
        driver: "uvcvideo".into(),
        bus: "usb-0000:00:14.0-1".into(),
        usb_mbit: Some(480),
        trouble: None,
        signal: None,
        modes,
        controls: vec![Control {
            id: 1,
            name: "power_line_frequency".into(),
            minimum: 0,
            maximum: 1,
            step: 1,
            default: 0,
            menu: vec![(0, "Disabled".into()), (1, "50 Hz".into())],
            writable: true,
        }],
    }
}

fn found() -> Report {
    let mut gone = camera("/dev/video7", Vec::new());
    gone.trouble = Some("permission denied; add this user to the group \"video\"".into());
    let grey = camera("/dev/video2", vec![mode("GREY", 640, 360, 30)]);
    let good = camera(
        "/dev/video4",
        vec![
            mode("YUYV", 1280, 720, 10),
            mode("YUYV", 640, 480, 30),
            mode("MJPG", 1280, 720, 30),
            mode("MJPG", 1280, 720, 15),
            mode("MJPG", 640, 480, 30),
        ],
    );
    let microphone = Microphone {
        device: "plughw:CARD=Mic,DEV=0".into(),
        kind: MicrophoneKind::Card,
        name: "USB Mic".into(),
        trouble: None,
    };
    let row = EncoderRow {
        id: "magic".into(),
        codec: "H264".into(),
        element: "magicenc".into(),
        package: "gstreamer1.0-magic".into(),
        boards: "Magic".into(),
        rank: 100,
        hardware: true,
        present: false,
        usable: false,
        probe: "not on this machine".into(),
    };
    let other = OtherNode {
        device: "/dev/video5".into(),
        name: "HD Webcam".into(),
        driver: "uvcvideo".into(),
        what: "metadata".into(),
        reason: "it describes pictures".into(),
    };
    let found = Cameras {
        cameras: vec![gone, grey, good],
        others: vec![other],
    };
    let formats = ["I420".into()];
    report(
        &Config::default(),
        found,
        vec![microphone],
        vec![row],
        &formats,
        false,
    )
}

#[test]
fn the_camera_that_is_taken_comes_first_and_one_in_trouble_last() {
    let report = found();
    let order: Vec<_> = report
        .cameras
        .iter()
        .map(|c| c.camera.device.as_str())
        .collect();
    assert_eq!(order, ["/dev/video4", "/dev/video2", "/dev/video7"]);
}

#[test]
fn the_text_says_all_that_is_asked() {
    let text = found().to_string();
    for part in [
        "Picture: camera /dev/video4\n  1280×720 MJPG 30 fps: YUYV at this size needs 55 MB/s, \
         USB 2 carries 24.6",
        "Sound: microphone plughw:CARD=Mic,DEV=0",
        "also /dev/v4l/by-path/x",
        "uvcvideo, usb-0000:00:14.0-1, USB at 480 Mbit/s",
        "MJPG  1280×720 30, 15; 640×480 30",
        "power_line_frequency (0 Disabled | 1 50 Hz)",
        "not usable: camera /dev/video7: permission denied",
        "/dev/video5  HD Webcam (uvcvideo), metadata: it describes pictures",
        "1. magic  H264, hardware, magicenc: not on this machine",
        "gstreamer1.0-libcamera is not installed",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_json_has_the_same() {
    let json = serde_json::to_value(found()).expect("JSON");
    let camera = &json["cameras"][0];
    assert_eq!(camera["device"], "/dev/video4");
    assert_eq!(camera["plan"]["mode"]["fourcc"], "MJPG");
    assert_eq!(camera["usb_mbit"], 480);
    assert!(json["cameras"][2]["plan"]["problem"].is_string());
    assert_eq!(json["encoders"][0]["present"], false);
}
