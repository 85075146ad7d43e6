//! Described machines and the snapshots of their plans.

use super::*;

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
    /// What the board itself answered, where one was tried: `doctor::bundle` holds
    /// that against what is answered here.
    #[serde(default)]
    reported: Option<serde_json::Value>,
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

pub(super) fn row(id: &str) -> Option<Arc<Encoder>> {
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
        if machine.reported.is_some() {
            continue;
        }
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
                // A board's own row is in no table.
                Some(_) if machine.reported.is_some() => {}
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

/// The caps at the end of a plan's steps, with `source` in place of the camera.
fn caps_at_the_tee(source: &str, steps: &str) -> gstreamer::Caps {
    use gstreamer as gst;
    use gstreamer::prelude::*;
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
    pipeline.set_state(gst::State::Null).expect("it stops");
    caps.expect("caps")
}

/// The steps between source and tee, run with a generated picture in place of
/// the camera, give what the plan says they carry.
#[test]
fn the_steps_give_what_the_tee_is_said_to_carry() {
    use gstreamer as gst;
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
        let caps = caps_at_the_tee(&source, steps);
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
    }
}
