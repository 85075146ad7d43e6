//! The plan over described devices: snapshots, rules, and any set of modes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::config::{AudioConfig, AudioSource, Flip};
use crate::device::Microphone;
use crate::media::encoder::table;

/// Rows that fixtures name and the table does not have. Whoever adds one is
/// told to take it from here, and to look at the snapshots that change.
const ROWS_TO_COME: &[&str] = &[];

/// A described machine: `tests/fixtures/devices/*.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    board: String,
    confirmed: String,
    source: String,
    video: VideoConfig,
    audio: AudioConfig,
    formats: Vec<Cow<'static, str>>,
    memory: String,
    pass_through: bool,
    skip_modes: usize,
    encoders: Vec<String>,
    cameras: Vec<Camera>,
    microphones: Vec<Microphone>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/devices")
}

fn machines() -> Vec<(PathBuf, Machine)> {
    let mut paths: Vec<_> = std::fs::read_dir(folder())
        .expect("the fixtures are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let machine =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, machine)
    };
    paths.into_iter().map(read).collect()
}

fn row(id: &str) -> Option<Arc<Encoder>> {
    Encoder::row(id)
}

/// A description with a line an element.
fn lines(description: &str) -> String {
    description.replace(" ! ", "\n  ! ")
}

fn snapshot(machine: &Machine) -> String {
    let memory = match machine.memory.as_str() {
        "dmabuf" => Memory::Dmabuf,
        "mmap" => Memory::Mmap,
        other => panic!("{other}"),
    };
    let circumstances = Circumstances {
        formats: &machine.formats,
        memory,
        pass_through: machine.pass_through,
        skip_modes: machine.skip_modes,
    };
    let Machine {
        board,
        confirmed,
        source,
        ..
    } = machine;
    let mut text = format!("{board}\n{confirmed} Formats from: {source}.\n\n");
    let picture = picture(&machine.video, &machine.cameras, &circumstances);
    let (carries, fps) = match picture {
        Ok(plan) => {
            let PicturePlan {
                what,
                description,
                carries,
                fps,
                reason,
                ..
            } = plan;
            writeln!(text, "{what}\n{reason}\n  {}", lines(&description)).expect("a string");
            writeln!(text, "carries {carries:?} at {fps} frames/s").expect("a string");
            (carries, fps)
        }
        Err(error) => {
            let slate = slate(&machine.video, "I420");
            writeln!(text, "{error}\n  {}", lines(&slate.description)).expect("a string");
            (slate.carries, slate.fps)
        }
    };
    for id in &machine.encoders {
        let Some(encoder) = row(id) else {
            writeln!(text, "\n{id}: no such row yet").expect("a string");
            continue;
        };
        let branch = branch(&encoder, target(&machine.video), &carries, fps, memory);
        writeln!(text, "\n{id}\n  {}", lines(&branch)).expect("a string");
    }
    match sound(&machine.audio, &machine.microphones) {
        Ok(Some(plan)) => writeln!(text, "\n{}\n  {}", plan.what, lines(&plan.description)),
        Ok(None) => writeln!(text, "\nno sound"),
        Err(error) => writeln!(text, "\n{error}"),
    }
    .expect("a string");
    text
}

/// `UPDATE_SNAPSHOTS=1 cargo test snapshots` writes what it finds.
#[test]
fn the_plans_of_described_machines_are_their_snapshots() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut differing = Vec::new();
    let machines = machines();
    assert!(machines.len() >= 12, "{}", machines.len());
    for (path, machine) in machines {
        assert!(machine.confirmed.contains("No board confirmed"), "{path:?}");
        let found = snapshot(&machine);
        let expected = path.with_extension("txt");
        if update {
            std::fs::write(&expected, &found).expect("written");
        } else if std::fs::read_to_string(&expected).ok().as_deref() != Some(found.as_str()) {
            differing.push(format!("{}:\n{found}", expected.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn fixtures_name_rows_of_the_table() {
    for (path, machine) in machines() {
        for (i, id) in machine.encoders.iter().enumerate() {
            let to_come = ROWS_TO_COME.contains(&id.as_str());
            match row(id) {
                None => assert!(to_come, "{path:?}: the table has no row \"{id}\""),
                Some(_) if to_come => panic!(
                    "the table has \"{id}\" now: take it from ROWS_TO_COME, run with \
                     UPDATE_SNAPSHOTS=1 and read what changed"
                ),
                Some(encoder) if i == 0 => {
                    let formats: Vec<_> = encoder.formats.iter().map(ToString::to_string).collect();
                    assert_eq!(machine.formats, formats, "{path:?}: formats of {id}");
                }
                Some(_) => {}
            }
        }
    }
}

/// Every description that the snapshots hold is one that GStreamer reads,
/// where the elements are installed.
#[test]
fn gstreamer_reads_the_descriptions() {
    use gstreamer as gst;
    gst::init().expect("GStreamer is installed");
    let mut read = 0;
    for (path, machine) in machines() {
        let circumstances = Circumstances {
            formats: &machine.formats,
            memory: Memory::Mmap,
            pass_through: machine.pass_through,
            skip_modes: machine.skip_modes,
        };
        let Ok(plan) = picture(&machine.video, &machine.cameras, &circumstances) else {
            continue;
        };
        if plan.description.contains(libcamera::SOURCE) && !libcamera::is_installed() {
            continue;
        }
        let branches = machine
            .encoders
            .iter()
            .filter_map(|id| row(id))
            .filter(|e| gst::ElementFactory::find(&e.factory).is_some())
            .map(|e| {
                branch(
                    &e,
                    target(&machine.video),
                    &plan.carries,
                    plan.fps,
                    Memory::Mmap,
                )
            });
        gst::parse::launch(&plan.description).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        for text in branches {
            gst::parse::bin_from_description(&text, true)
                .unwrap_or_else(|e| panic!("{path:?}: {e}\n{text}"));
            read += 1;
        }
    }
    assert!(read > 10, "{read}");
}

/// The steps between source and tee, run with a generated picture in place of
/// the camera, give what the plan says they carry.
#[test]
fn the_steps_give_what_the_tee_is_said_to_carry() {
    use gstreamer as gst;
    use gstreamer::prelude::*;
    gst::init().expect("GStreamer is installed");
    let formats = ["I420".into(), "NV12".into()];
    for (fourcc, (width, height), rate, source, expected) in [
        (
            "YUYV",
            (320, 240),
            30,
            "video/x-raw,format=YUY2",
            (320, 240, 30),
        ),
        (
            "NV12",
            (320, 240),
            60,
            "video/x-raw,format=NV12",
            (320, 240, 30),
        ),
        // 4:2:2 from the camera.
        (
            "MJPG",
            (320, 240),
            30,
            "video/x-raw,format=Y42B ! jpegenc",
            (320, 240, 30),
        ),
        (
            "MJPG",
            (640, 480),
            60,
            "video/x-raw,format=I420 ! jpegenc",
            (240, 180, 30),
        ),
    ] {
        let config = VideoConfig {
            width: 320,
            height: if width == 640 { 180 } else { 240 },
            ..Default::default()
        };
        let camera = webcam(vec![Mode {
            fourcc: fourcc.into(),
            width,
            height,
            rate: (rate, 1),
            ..Mode::default()
        }]);
        let plan = picture(&config, &[camera], &circumstances(&formats)).expect("a plan");
        let (_, steps) = plan.description.split_once(" ! ").expect("a source");
        let size = format!("video/x-raw,width={width},height={height},framerate={rate}/1,");
        let source = source.replacen("video/x-raw,", &size, 1);
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=20 ! {source} ! identity ! {steps} ! queue ! \
             fakesink name=sink sync=false"
        ))
        .expect("elements")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
        pipeline.set_state(gst::State::Playing).expect("it runs");
        let bus = pipeline.bus().expect("a bus");
        let end = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(30),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        let message = end.expect("an end");
        assert_eq!(
            message.type_(),
            gst::MessageType::Eos,
            "{message:?}\n{steps}"
        );
        let sink = pipeline.by_name("sink").expect("the sink");
        let caps = sink.static_pad("sink").and_then(|p| p.current_caps());
        let caps = caps.expect("caps");
        let caps = caps.structure(0).expect("a structure");
        let Carries::Raw(format) = &plan.carries else {
            panic!("{:?}", plan.carries);
        };
        assert_eq!(caps.get::<&str>("format").expect("a format"), format);
        let got = (
            caps.get::<i32>("width").expect("a width"),
            caps.get::<i32>("height").expect("a height"),
            caps.get::<gst::Fraction>("framerate")
                .expect("a rate")
                .numer(),
        );
        assert_eq!(got, expected, "{fourcc} {width}×{height}");
        assert_eq!(plan.fps, 30);
        pipeline.set_state(gst::State::Null).expect("it stops");
    }
}

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

fn any_mode() -> impl Strategy<Value = Mode> {
    let fourcc = prop_oneof![
        Just("NV12"),
        Just("YU12"),
        Just("YUYV"),
        Just("MJPG"),
        Just("H264"),
        Just("GREY"),
        Just("RGB3"),
        Just("RG10"),
        Just("????"),
    ];
    let side = prop_oneof![0..5000_u32, Just(640), Just(720), Just(1280), any::<u32>()];
    let part = prop_oneof![0..130_u32, Just(30000), any::<u32>()];
    (
        fourcc,
        side.clone(),
        side,
        part.clone(),
        prop_oneof![Just(1_u32), part],
    )
        .prop_map(|(fourcc, width, height, numerator, denominator)| Mode {
            fourcc: fourcc.into(),
            width,
            height,
            rate: (numerator, denominator),
            ..Mode::default()
        })
}

/// The caps that are last before the tee.
fn last_number(description: &str, key: &str) -> Option<u32> {
    let (_, rest) = description.rsplit_once(key)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

proptest! {
    #[test]
    fn any_modes_give_a_plan_that_browsers_can_play_or_an_error_with_the_device(
        modes in prop::collection::vec(any_mode(), 0..12),
        usb_mbit in prop::option::of(any::<u32>()),
        kind in prop_oneof![
            Just(CameraKind::V4l2), Just(CameraKind::Hdmi), Just(CameraKind::Libcamera)
        ],
        formats in prop::sample::subsequence(vec!["I420", "NV12", "YUY2"], 0..=3),
        (width, height, fps) in (80..1920_u32, 60..1080_u32, 1..=60_u32),
        pass_through: bool,
        skip_modes in 0..3_usize,
    ) {
        let config = VideoConfig {
            width: width * 2,
            height: height * 2,
            fps,
            ..Default::default()
        };
        let formats: Vec<Cow<'static, str>> = formats.into_iter().map(Into::into).collect();
        let circumstances = Circumstances {
            formats: &formats,
            memory: Memory::Dmabuf,
            pass_through,
            skip_modes,
        };
        let mut camera = webcam(modes.clone());
        (camera.usb_mbit, camera.kind) = (usb_mbit, kind);
        match picture(&config, &[camera], &circumstances) {
            Err(error) => prop_assert!(error.to_string().contains("/dev/video0"), "{}", error),
            Ok(plan) => {
                let text = &plan.description;
                prop_assert!(text.ends_with(" ! tee name=tee allow-not-linked=true"), "{}", text);
                prop_assert_eq!(text.matches("tee name=").count(), 1);
                let width = last_number(text, "width=").expect("a width");
                let height = last_number(text, "height=").expect("a height");
                // A camera's own H.264 knows itself what to leave out.
                let is_even = width.is_multiple_of(2) && height.is_multiple_of(2);
                prop_assert!(is_even || plan.carries == Carries::H264, "{}", text);
                prop_assert!(width >= 16 && height >= 16, "{}", text);
                prop_assert!(modes.contains(plan.mode.as_ref().expect("a mode")));
                prop_assert!((1..=1000).contains(&plan.fps));
                match &plan.carries {
                    Carries::H264 => prop_assert!(pass_through && text.contains("video/x-h264")),
                    Carries::Raw(format) => {
                        // Either what browsers play, or what the encoder's
                        // row says it takes.
                        let is_known = modes::is_420(format) || formats.contains(&format.as_str().into());
                        prop_assert!(is_known, "{}", format);
                        prop_assert!(text.contains(&format!("format={format}")), "{}", text);
                        let area = u64::from(width) * u64::from(height);
                        let wanted = u64::from(config.width) * u64::from(config.height);
                        prop_assert!(area <= wanted.max(256), "{}", text);
                    }
                }
                for encoder in table::rows() {
                    let text = branch(encoder, target(&config), &plan.carries, plan.fps, Memory::Mmap);
                    prop_assert!(text.starts_with("errorignore "), "{}", text);
                    prop_assert!(text.ends_with(SINK), "{}", text);
                    prop_assert_eq!(text.matches("name=out").count(), 1);
                }
            }
        }
    }
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
