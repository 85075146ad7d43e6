//! What the picture costs before it is encoded: choosing a camera's mode, and
//! each conversion that the plan puts between a camera and its encoder.
//!
//! `cargo bench --bench media`. Conversions are the plan's own descriptions
//! with frames made beforehand in the camera's place, run as fast as they go.
//! They are measured in CPU time of this process, and beside the encoding of
//! the very frames that they make, so that figures of two machines compare. So
//! is turning them; looking for damaged JPEGs is set against decoding them.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../tests/support/cpu.rs"]
mod cpu;

use std::borrow::Cow;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use camera_agent::config::VideoConfig;
use camera_agent::device::learned::Memory;
use camera_agent::device::{Camera, Mode};
use camera_agent::media::bitstream::jpeg;
use camera_agent::media::element;
use camera_agent::media::encoder::Encoder;
use camera_agent::media::plan::{self, Circumstances, PicturePlan, Target};
use cpu::cpu;
use criterion::Criterion;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde::Deserialize;

const FPS: u32 = 30;
/// Different frames; together they fill 80 MB as I420.
const FRAMES: usize = 60;
/// Each of them is taken so often.
const ROUNDS: usize = 5;

fn main() {
    element::init().expect("GStreamer is installed");
    let mut criterion = Criterion::default().configure_from_args();
    planning(&mut criterion);
    criterion.final_summary();
    conversions();
}

/// What a plan needs of a described machine: `tests/fixtures/devices/*.json`.
#[derive(Deserialize)]
struct Machine {
    video: VideoConfig,
    formats: Vec<Cow<'static, str>>,
    pass_through: bool,
    skip_modes: usize,
    cameras: Vec<Camera>,
}

impl Machine {
    fn plan(&self) -> Option<PicturePlan> {
        let circumstances = Circumstances {
            formats: &self.formats,
            memory: Memory::Mmap,
            pass_through: self.pass_through,
            skip_modes: self.skip_modes,
        };
        plan::picture(&self.video, &self.cameras, &circumstances).ok()
    }
}

fn machines() -> Vec<(String, Machine)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/devices");
    let entries = std::fs::read_dir(folder).expect("the fixtures are there");
    let mut machines: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("readable");
            let machine = serde_json::from_str(&text).expect("a machine");
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), machine)
        })
        .collect();
    machines.sort_by(|(a, _), (b, _)| a.cmp(b));
    machines
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan::picture");
    for (name, machine) in machines() {
        group.bench_function(name, |b| b.iter(|| black_box(&machine).plan()));
    }
    group.finish();
}

/// CPU time a frame.
struct Cost {
    fourcc: &'static str,
    steps: String,
    convert: Duration,
    encode: Duration,
    turns: Vec<(&'static str, Duration)>,
    jpeg: Option<Jpeg>,
}

/// Of a JPEG.
struct Jpeg {
    bytes: usize,
    decode: Duration,
    walk: Duration,
}

fn conversions() {
    let machines = machines();
    let laptop = machines.iter().find(|(name, _)| name == "laptop-webcam");
    let cameras = &laptop.expect("a described webcam").1.cameras;
    let webcam = cameras.last().expect("a camera");
    let costs: Vec<Cost> = [
        // What webcams' JPEGs are: 4:2:2.
        ("MJPG", "video/x-raw,format=Y42B", "jpegenc"),
        ("YUYV", "video/x-raw,format=YUY2", "identity"),
        ("NV12", "video/x-raw,format=NV12", "identity"),
    ]
    .into_iter()
    .map(|(fourcc, raw, encoder)| cost(webcam, fourcc, raw, encoder))
    .collect();
    println!(
        "CPU time a frame of 1280×720, {} frames each, in ms",
        FRAMES * ROUNDS
    );
    println!("camera  conversion  x264  ratio  steps");
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let ratio = |part: Duration, whole: Duration| part.as_secs_f64() / whole.as_secs_f64();
    for Cost {
        fourcc,
        steps,
        convert,
        encode,
        ..
    } in &costs
    {
        println!(
            "{fourcc:6}  {:10.2}  {:4.1}  {:5.2}  {steps}",
            ms(*convert),
            ms(*encode),
            ratio(*convert, *encode)
        );
    }
    println!("turning, against x264");
    for (cost, (how, turn)) in costs
        .iter()
        .flat_map(|c| c.turns.iter().map(move |t| (c, t)))
    {
        println!(
            "{:6}  {how:5}  {:5.2}  ratio {:.2}",
            cost.fourcc,
            ms(*turn),
            ratio(*turn, cost.encode)
        );
    }
    for jpeg in costs.iter().filter_map(|c| c.jpeg.as_ref()) {
        println!(
            "a JPEG of {} kB: decoded {:.2}, walked through {:.2}, ratio {:.3}",
            jpeg.bytes / 1000,
            ms(jpeg.decode),
            ms(jpeg.walk),
            ratio(jpeg.walk, jpeg.decode)
        );
    }
}

/// What looking for damage costs beside the decoder.
fn jpeg(camera: &[gst::Sample]) -> Jpeg {
    let maps: Vec<_> = camera
        .iter()
        .filter_map(|frame| frame.buffer_owned()?.into_mapped_buffer_readable().ok())
        .collect();
    let before = cpu();
    for map in maps.iter().cycle().take(FRAMES * ROUNDS) {
        assert_eq!(black_box(jpeg::check(map)), Ok(()));
    }
    Jpeg {
        bytes: maps.iter().map(|map| map.len()).sum::<usize>() / maps.len(),
        walk: (cpu() - before) / (FRAMES * ROUNDS) as u32,
        decode: a_frame(camera, "jpegdec"),
    }
}

fn cost(webcam: &Camera, fourcc: &'static str, raw: &str, coder: &str) -> Cost {
    let x264 = Encoder::row("x264").expect("a row");
    let machine = Machine {
        video: VideoConfig {
            width: 1280,
            height: 720,
            fps: FPS,
            ..VideoConfig::default()
        },
        formats: x264.formats.clone(),
        pass_through: false,
        skip_modes: 0,
        cameras: vec![Camera {
            modes: vec![Mode {
                fourcc: fourcc.into(),
                width: 1280,
                height: 720,
                rate: (FPS, 1),
                ..Mode::default()
            }],
            ..webcam.clone()
        }],
    };
    let plan = machine.plan().expect("a plan");
    // "v4l2src … ! caps ! steps ! tee": the source alone is replaced.
    let (_, rest) = plan.description.split_once(" ! ").expect("a source");
    let camera = made(&format!(
        "videotestsrc num-buffers={FRAMES} pattern=zone-plate kx2=20 ky2=20 kt=1 ! \
         {raw},width=1280,height=720,framerate={FPS}/1 ! {coder}"
    ));
    let converted = run(&camera, 1, rest).frames;
    assert_eq!(
        converted.len(),
        FRAMES,
        "{fourcc}: every frame is converted"
    );
    let target = Target {
        bits_per_second: machine.video.bitrate_kbps * 1000,
        size: None,
    };
    let branch = plan::branch(&x264, target, &plan.carries, plan.fps, Memory::Mmap);
    let (encoding, _) = branch.rsplit_once(" ! ").expect("a sink");
    let steps = rest.split(" ! ").skip(1);
    let steps: Vec<_> = steps
        .filter_map(|step| step.split(' ').next())
        .filter(|step| *step != "queue" && *step != "tee" && !step.contains('/'))
        .collect();
    Cost {
        fourcc,
        steps: match steps[..] {
            [] => "none: the encoder takes it as it is".into(),
            _ => steps.join(", "),
        },
        convert: a_frame(&camera, rest),
        encode: a_frame(&converted, &format!("tee ! {encoding}")),
        // A quarter turn, and what only changes the order within lines.
        turns: ["90r", "180", "horiz"]
            .map(|how| (how, a_frame(&converted, &flip(how))))
            .to_vec(),
        jpeg: (fourcc == "MJPG").then(|| jpeg(&camera)),
    }
}

fn flip(direction: &str) -> String {
    format!("videoflip video-direction={direction}")
}

fn a_frame(frames: &[gst::Sample], description: &str) -> Duration {
    let outcome = run(frames, ROUNDS, description);
    assert_eq!(outcome.count, FRAMES * ROUNDS, "no frame is left out");
    outcome.cpu / outcome.count as u32
}

/// The frames of a source that ends.
fn made(source: &str) -> Vec<gst::Sample> {
    let (pipeline, sink) = launch(&format!("{source} ! appsink name=out sync=false"));
    pipeline.set_state(gst::State::Playing).expect("it runs");
    let frames = std::iter::from_fn(|| sink.pull_sample().ok()).collect();
    pipeline.set_state(gst::State::Null).expect("it stops");
    frames
}

struct Outcome {
    cpu: Duration,
    count: usize,
    /// Those of the first round.
    frames: Vec<gst::Sample>,
}

/// Runs `frames`, `rounds` times, through `description`.
fn run(frames: &[gst::Sample], rounds: usize, description: &str) -> Outcome {
    // A camera's queue leaves out what comes too fast; here all is to come.
    let patient = description.replace("leaky=downstream", "leaky=no");
    let (pipeline, sink) = launch(&format!(
        "appsrc name=in format=time block=true max-buffers=4 max-bytes=0 max-time=0 ! {patient} ! \
         appsink name=out sync=false max-buffers=4"
    ));
    let source = pipeline.by_name("in").expect("the source");
    let source = source.downcast::<gst_app::AppSrc>().expect("an appsrc");
    let caps = frames.first().and_then(|frame| frame.caps_owned());
    source.set_caps(caps.as_ref());
    let before = cpu();
    pipeline.set_state(gst::State::Playing).expect("it runs");
    let duration = gst::ClockTime::SECOND / u64::from(FPS);
    let feeder = std::thread::spawn({
        let frames: Vec<_> = frames.iter().filter_map(|f| f.buffer_owned()).collect();
        move || {
            for (i, frame) in frames
                .iter()
                .cycle()
                .take(frames.len() * rounds)
                .enumerate()
            {
                // The memory is shared, the time is its own.
                let mut frame = frame.copy();
                let own = frame.make_mut();
                own.set_pts(duration * i as u64);
                own.set_duration(duration);
                source.push_buffer(frame).expect("it is taken");
            }
            source.end_of_stream().expect("it is taken");
        }
    });
    let mut outcome = Outcome {
        cpu: Duration::ZERO,
        count: 0,
        frames: Vec::new(),
    };
    while let Ok(frame) = sink.pull_sample() {
        outcome.count += 1;
        if rounds == 1 {
            outcome.frames.push(frame);
        }
    }
    outcome.cpu = cpu() - before;
    feeder.join().expect("all was fed");
    pipeline.set_state(gst::State::Null).expect("it stops");
    outcome
}

fn launch(description: &str) -> (gst::Pipeline, gst_app::AppSink) {
    let pipeline = gst::parse::launch(description)
        .unwrap_or_else(|e| panic!("{e}: {description}"))
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    let sink = pipeline.by_name("out").expect("the sink");
    (pipeline, sink.downcast().expect("an appsink"))
}
