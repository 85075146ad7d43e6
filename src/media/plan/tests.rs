//! The plan over described devices: snapshots, rules, and any set of modes.

mod any;
mod described;

use described::row;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::config::{AudioConfig, AudioSource, Flip};
use crate::device::Microphone;
use crate::media::encoder::table;

fn circumstances<'a>(formats: &'a [Cow<'static, str>]) -> Circumstances<'a> {
    Circumstances {
        formats,
        memory: Memory::Mmap,
        pass_through: false,
        skip_modes: 0,
    }
}

fn webcam(modes: Vec<Mode>) -> Camera {
    Camera {
        device: "/dev/video0".into(),
        aliases: vec!["/dev/v4l/by-path/x".into()],
        kind: CameraKind::V4l2,
        name: "HD Webcam".into(),
        driver: "uvcvideo".into(),
        bus: "usb-0000:00:14.0-1".into(),
        usb_mbit: Some(480),
        trouble: None,
        signal: None,
        modes,
        controls: Vec::new(),
    }
}

fn mode(fourcc: &str, width: u32, height: u32, rate: u32) -> Mode {
    Mode {
        fourcc: fourcc.into(),
        width,
        height,
        rate: (rate, 1),
        ..Mode::default()
    }
}

fn plan_of(modes: Vec<Mode>) -> PicturePlan {
    let formats = ["I420".into(), "NV12".into()];
    picture(
        &VideoConfig::default(),
        &[webcam(modes)],
        &circumstances(&formats),
    )
    .expect("a plan")
}

#[test]
fn yuyv_that_usb_2_does_not_carry_is_refused_though_the_camera_offers_it() {
    let plan = plan_of(vec![
        mode("YUYV", 1280, 720, 30),
        mode("MJPG", 1280, 720, 30),
    ]);
    assert_eq!(
        plan.reason,
        "1280×720 MJPG 30 fps: YUYV at this size needs 55 MB/s, USB 2 carries 24.6"
    );
}

#[test]
fn a_configured_format_is_taken_whatever_it_costs_and_a_wrong_one_is_named() {
    let camera = webcam(vec![mode("YUYV", 640, 480, 30), mode("MJPG", 640, 480, 30)]);
    let plan = |format: &str| {
        let config = VideoConfig {
            format: format.into(),
            ..VideoConfig::default()
        };
        let formats = [Cow::Borrowed("I420")];
        picture(
            &config,
            std::slice::from_ref(&camera),
            &circumstances(&formats),
        )
    };
    let chosen = |format| {
        plan(format)
            .expect("a plan")
            .mode
            .expect("a camera's")
            .fourcc
    };
    assert_eq!(chosen("auto"), "YUYV");
    assert_eq!(chosen("MJPG"), "MJPG");
    let error = plan("NV12").expect_err("not offered").to_string();
    for words in ["video.format", "NV12", "YUYV, MJPG"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn a_camera_that_is_fast_only_when_large_is_scaled_down_in_shape() {
    let plan = plan_of(vec![
        mode("MJPG", 1600, 1200, 30),
        mode("MJPG", 1280, 720, 10),
    ]);
    assert!(
        plan.description
            .contains("image/jpeg,width=1600,height=1200")
    );
    assert!(
        plan.description
            .contains("format=I420,width=960,height=720,")
    );
    assert!(
        plan.reason.contains("scaled down to 960×720"),
        "{}",
        plan.reason
    );
}

#[test]
fn a_stamp_is_not_taken_where_a_larger_picture_can_be_scaled() {
    let plan = plan_of(vec![
        mode("MJPG", 160, 120, 30),
        mode("MJPG", 1920, 1080, 30),
    ]);
    assert_eq!(plan.mode.map(|m| m.width), Some(1920));
}

#[test]
fn a_named_camera_is_found_by_any_of_its_names_and_missed_by_name() {
    let formats = ["I420".into()];
    let cameras = [webcam(vec![mode("MJPG", 1280, 720, 30)])];
    let plan = |device: &str| {
        let config = VideoConfig {
            device: device.into(),
            ..Default::default()
        };
        picture(&config, &cameras, &circumstances(&formats)).map_err(|e| e.to_string())
    };
    assert!(plan("/dev/v4l/by-path/x").is_ok());
    let error = plan("/dev/video9").expect_err("no such camera");
    assert_eq!(error, "camera /dev/video9: is not there; is it plugged in?");
}

#[test]
fn a_camera_in_trouble_is_passed_over_and_named_when_it_is_the_only_one() {
    let formats = ["I420".into()];
    let mut broken = webcam(Vec::new());
    broken.trouble = Some("permission denied".into());
    let mut good = webcam(vec![mode("MJPG", 1280, 720, 30)]);
    good.device = "/dev/video1".into();
    let config = VideoConfig::default();
    let plan = |cameras: &[Camera]| picture(&config, cameras, &circumstances(&formats));
    let both = plan(&[broken.clone(), good]).expect("a plan");
    assert_eq!(both.what, "camera /dev/video1");
    let error = plan(&[broken]).expect_err("nothing else").to_string();
    assert_eq!(error, "camera /dev/video0: permission denied");
}

#[test]
fn an_exhausted_bus_is_said_in_words() {
    let formats = ["I420".into()];
    let mut circumstances = circumstances(&formats);
    circumstances.skip_modes = 2;
    let cameras = [webcam(vec![mode("MJPG", 1280, 720, 30)])];
    let error = picture(&VideoConfig::default(), &cameras, &circumstances).expect_err("no mode");
    assert!(error.to_string().contains("another socket"), "{error}");
}

#[test]
fn names_are_quoted() {
    let mut camera = webcam(vec![mode("MJPG", 1280, 720, 30)]);
    camera.device = "/dev/a\" ! fakesink \\".into();
    let formats = ["I420".into()];
    let plan = picture(&VideoConfig::default(), &[camera], &circumstances(&formats));
    let description = plan.expect("a plan").description;
    assert!(
        description.starts_with(r#"v4l2src name=device device="/dev/a\" ! fakesink \\" io-mode"#),
        "{description}"
    );
    let config = AudioConfig {
        device: "plughw:CARD=\"x".into(),
        ..Default::default()
    };
    let sound = sound(&config, &[]).expect("a plan").expect("sound");
    assert!(
        sound
            .description
            .starts_with(r#"alsasrc name=device device="plughw:CARD=\"x" "#)
    );
}

#[test]
fn no_sound_is_no_pipeline_and_no_microphone_is_said() {
    let mut config = AudioConfig {
        source: AudioSource::None,
        ..Default::default()
    };
    assert_eq!(sound(&config, &[]).expect("a plan"), None);
    config.source = AudioSource::Alsa;
    assert!(matches!(sound(&config, &[]), Err(MediaError::NoMicrophone)));
    config.device = "pulse:alsa_input.usb".into();
    let plan = sound(&config, &[]).expect("a plan").expect("sound");
    assert!(
        plan.description
            .starts_with("pulsesrc name=device device=\"alsa_input.usb\" ")
    );
}

#[test]
fn x264_makes_one_slice_a_frame_at_the_configured_rate() {
    let x264 = row("x264").expect("a row");
    let carries = Carries::Raw("I420".into());
    let text = branch(
        &x264,
        target(&VideoConfig::default()),
        &carries,
        30,
        Memory::Mmap,
    );
    for part in [
        "x264enc name=encoder key-int-max=300 bitrate=2000 ",
        " threads=1 ",
        " sliced-threads=false ",
        "profile=constrained-baseline",
        "h264parse config-interval=-1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("videoconvert"), "{text}");
}

#[test]
fn what_a_driver_does_not_list_is_not_asked_for() {
    let mut odd = mode("YUYV", 720, 576, 25);
    (odd.unlisted_rate, odd.interlaced) = (true, true);
    let plan = plan_of(vec![odd]);
    for part in [
        "format=YUY2,width=720,height=576,framerate=[0/1,30/1] ! \
         capssetter caps=video/x-raw,framerate=25/1 ! ",
        " ! deinterlace fields=top ! ",
    ] {
        assert!(plan.description.contains(part), "{}", plan.description);
    }
    for part in ["lists no rates", "two fields"] {
        assert!(plan.reason.contains(part), "{}", plan.reason);
    }
}

#[test]
fn a_size_that_is_odd_loses_a_line_and_is_not_scaled() {
    let plan = plan_of(vec![mode("MJPG", 1279, 719, 30)]);
    assert_eq!(plan.size, (1278, 718));
    let crop = "jpegdec ! videocrop right=1 bottom=1 ! videoconvert ! ";
    assert!(plan.description.contains(crop), "{}", plan.description);
    assert!(!plan.description.contains("videoscale"));
}

#[test]
fn a_picture_is_turned_in_front_of_the_tee_and_not_at_all_where_it_is_not_to_be() {
    let plan = |rotate, flip, pass_through| {
        let config = VideoConfig {
            rotate,
            flip,
            ..VideoConfig::default()
        };
        let formats = ["I420".into(), "NV12".into()];
        let circumstances = Circumstances {
            pass_through,
            ..circumstances(&formats)
        };
        let camera = webcam(vec![mode("H264", 1280, 720, 30)]);
        picture(&config, &[camera], &circumstances).expect("a plan")
    };
    let straight = plan(0, Flip::None, true);
    assert_eq!(straight.carries, Carries::H264);
    assert!(!straight.description.contains("videoflip"));
    let turned = plan(90, Flip::None, true);
    assert_eq!(turned.size, (720, 1280));
    let end = "height=720 ! videoflip video-direction=90r ! tee name=tee allow-not-linked=true";
    assert!(turned.description.ends_with(end), "{}", turned.description);
    assert!(turned.description.contains(H264_DECODER));
    let why = "encoded anew, for video.rotate";
    assert!(turned.reason.contains(why), "{}", turned.reason);
    let config = VideoConfig {
        rotate: 90,
        ..VideoConfig::default()
    };
    let slate = slate(&config, "I420");
    assert_eq!(slate.size, (720, 1280));
    assert!(!slate.description.contains("videoflip"));
}

fn target(config: &VideoConfig) -> Target {
    Target {
        bits_per_second: config.bitrate_kbps * 1000,
        size: None,
    }
}

#[test]
fn a_tier_is_scaled_to_its_height_in_the_pictures_shape() {
    let config = VideoConfig::default();
    assert_eq!(tier_size(&config, (1280, 720), 0), None);
    assert_eq!(tier_size(&config, (1280, 720), 1), Some((640, 360)));
    assert_eq!(tier_size(&config, (1024, 600), 1), Some((614, 360)));
    let shrunk = |whole, tier, percent| shrunk_size(&config, whole, tier, percent);
    assert_eq!(shrunk((1280, 720), 0, 100), None);
    assert_eq!(shrunk((1280, 720), 1, 100), Some((640, 360)));
    assert_eq!(shrunk((1280, 720), 0, 67), Some((856, 480)));
    assert_eq!(shrunk((1280, 720), 1, 50), Some((320, 176)));
    // Not smaller than 144 lines, nor larger than it was.
    assert_eq!(shrunk((320, 240), 0, 50), Some((192, 144)));
    assert_eq!(shrunk((160, 120), 0, 50), None);
    let x264 = Encoder::row("x264").expect("a row");
    let small = Target {
        bits_per_second: 500_000,
        size: Some((640, 360)),
    };
    for carries in [
        Carries::Raw("I420".into()),
        Carries::Raw("YUY2".into()),
        Carries::H264,
    ] {
        let text = branch(&x264, small, &carries, 30, Memory::Mmap);
        let (before, encoder) = text.split_once("x264enc").expect("its element");
        let scale = "videoscale add-borders=false ! video/x-raw,width=640,height=360,";
        assert!(before.contains(scale), "{text}");
        assert!(encoder.contains(" bitrate=500 "), "{text}");
    }
}

#[test]
fn the_copies_that_remain_are_named_with_their_reason() {
    let pi = row("raspberry-pi").expect("a row");
    let whole = Target {
        bits_per_second: 2_000_000,
        size: None,
    };
    let half = Target {
        size: Some((640, 360)),
        ..whole
    };
    let x264 = row("x264").expect("a row");
    let jpeg = plan_of(vec![mode("MJPG", 1280, 720, 30)]);
    let words = copies(&jpeg, &pi, whole, Memory::Mmap);
    assert_eq!(
        words,
        "the picture is worked on: its JPEG is decoded, and its range made \
         television's; one copy, into the encoder's buffers: \
         what was made of it lies in this program's"
    );
    let raw = plan_of(vec![mode("NV12", 1280, 720, 30)]);
    let words = copies(&raw, &pi, whole, Memory::Dmabuf);
    assert!(words.contains("as the camera gave it; no copy"), "{words}");
    let words = copies(&raw, &pi, whole, Memory::Mmap);
    assert!(words.contains("not seen to share memory"), "{words}");
    let words = copies(&raw, &pi, half, Memory::Dmabuf);
    assert!(
        words.contains("it is scaled; one copy, into the encoder's"),
        "{words}"
    );
    let words = copies(&raw, &x264, whole, Memory::Mmap);
    assert!(words.ends_with("from this program's memory"), "{words}");
}
