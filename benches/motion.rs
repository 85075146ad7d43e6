//! How well motion is told from what is none, and what that costs.
//!
//! `cargo bench --bench motion`. Scenes are generated (tests/support/scenes.rs), with
//! others' numbers than those of the tests. Cost is CPU time of making the small
//! picture of one of 1280×720 and looking at it, five times a second, against a
//! core's and against encoding thirty such pictures by x264.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../tests/support/cpu.rs"]
mod cpu;
#[path = "../tests/support/scenes.rs"]
mod scenes;

use std::hint::black_box;
use std::time::{Duration, Instant};

use camera_agent::config::MotionConfig;
use camera_agent::media::element as media;
use camera_agent::motion::{Plane, RATE, Settings, Shrinker, Watcher};
use cpu::cpu;
use gstreamer as gst;
use gstreamer::prelude::*;
use scenes::{Kind, Scene, Score};

/// The first scene's number, and how many there are of each kind.
const SCENES: (u64, u64) = (1_000, 12);
const SIZE: (usize, usize) = (1280, 720);
/// Frames a second of what is encoded.
const FPS: u32 = 30;

fn main() {
    let settings = Settings::of(&MotionConfig {
        enabled: true,
        ..MotionConfig::default()
    })
    .expect("it is on");
    quality(&settings);
    cost(&settings);
}

fn quality(settings: &Settings) {
    println!("scenes              precision  recall  events right, wrong  moved, found");
    let mut all = Score::default();
    let line = |name: &str, score: &Score| {
        println!(
            "{name:18}  {:9.3}  {:6.3}  {:12}, {:5}  {:5}, {:5}",
            score.precision(),
            score.recall(),
            score.right,
            score.wrong,
            score.moved,
            score.found
        );
    };
    for kind in Kind::ALL {
        let mut score = Score::default();
        for seed in SCENES.0..SCENES.0 + SCENES.1 {
            let scene = Scene::new(kind, seed);
            let moves = scene.moves();
            let mut watcher = Watcher::new(settings);
            let mut events = Vec::new();
            for (time, picture) in scene.pictures() {
                let told = watcher.look(&picture, Duration::from_secs_f32(time));
                events.extend(told.iter().filter(|e| e.end().is_none()).map(|_| time));
            }
            score.add(Score::of(&events, &moves));
        }
        line(&format!("{kind:?}"), &score);
        all.add(score);
    }
    line("all", &all);
    assert!(all.precision() >= 0.9 && all.recall() >= 0.9, "{all:?}");
}

fn cost(settings: &Settings) {
    const PICTURES: usize = 300;
    let mut planes: Vec<Vec<u8>> = Vec::new();
    for shift in 0..8 {
        let luma = |i: usize| ((i % SIZE.0 + 3 * shift) ^ (i / SIZE.0)) as u8;
        planes.push((0..SIZE.0 * SIZE.1).map(luma).collect());
    }
    let (mut shrinker, mut watcher) = (Shrinker::default(), Watcher::new(settings));
    let before = cpu();
    for number in 0..PICTURES {
        let plane = Plane {
            data: black_box(&planes[number % planes.len()]),
            size: SIZE,
            stride: SIZE.0,
            step: 1,
        };
        let small = shrinker.shrink(plane).expect("a picture");
        let now = Duration::from_secs(1) * number as u32 / RATE;
        black_box(watcher.look(&small, now));
    }
    let look = (cpu() - before) / PICTURES as u32 * RATE;
    let encode = encode();
    println!(
        "a second of 1280×720: {:.2} ms of CPU time, {:.2} % of a core; x264 takes {:.0} ms, \
         ratio {:.4}",
        look.as_secs_f64() * 1e3,
        look.as_secs_f64() * 100.0,
        encode.as_secs_f64() * 1e3,
        look.as_secs_f64() / encode.as_secs_f64()
    );
    assert!(look < Duration::from_millis(10), "{look:?}");
}

/// CPU time of encoding a second.
fn encode() -> Duration {
    const SECONDS: u32 = 10;
    media::init().expect("GStreamer is installed");
    let run = |encoder: &str| {
        let description = format!(
            "videotestsrc num-buffers={} pattern=smpte75 ! \
             video/x-raw,format=I420,width={},height={},framerate={FPS}/1 ! {encoder} ! \
             fakesink sync=false",
            SECONDS * FPS,
            SIZE.0,
            SIZE.1
        );
        let pipeline = gst::parse::launch(&description).expect("it parses");
        let before = cpu();
        pipeline.set_state(gst::State::Playing).expect("it runs");
        let limit = Instant::now() + Duration::from_secs(300);
        let bus = pipeline.bus().expect("a pipeline has one");
        let ended = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(300),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert!(Instant::now() < limit, "it hangs");
        let ended = ended.map(|message| message.type_());
        assert_eq!(ended, Some(gst::MessageType::Eos));
        let spent = cpu() - before;
        pipeline.set_state(gst::State::Null).expect("it stops");
        spent
    };
    let encoder = "x264enc speed-preset=ultrafast tune=zerolatency bitrate=2000";
    run(encoder).saturating_sub(run("identity")) / SECONDS
}
