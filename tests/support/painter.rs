//! A camera whose frames can be told apart: 1280×720 at 30 frames a second,
//! painted in this process, each with its number in six places.
//!
//! Senders in other processes read it from shared memory ([`Painter::source`]),
//! any number of them the same frames at the same time. When a frame was
//! painted is remembered, so that whoever sees its number somewhere knows how
//! old it is.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camera_agent::media::element;
use gstreamer as gstreamer_rs;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use serde_json::{Value, json};

pub const WIDTH: usize = 1280;
pub const HEIGHT: usize = 720;
pub const FPS: u32 = 30;
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FPS as u64);

/// A number is this many cells wide and high, its first bit on the upper left.
const CELLS: (usize, usize) = (12, 2);
/// A cell in pixels: even a third of this is larger than a macroblock's half.
const CELL: usize = 32;
/// Where numbers stand: one in each sixth of the picture, off the edges.
const PLACES: [(usize, usize); 6] = [
    (32, 32),
    (864, 32),
    (32, 328),
    (864, 328),
    (32, 624),
    (864, 624),
];
const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// A part of the picture is other noise in each frame, so that the encoder
/// needs all the bits that it may use.
const SNOW: (usize, usize, usize, usize) = (480, 232, 320, 256);
/// How far the rest is moved, in pixels, and in how many frames.
const PAN: usize = 64;

/// A number in 16 bits, and 8 that prove it.
fn code(number: u32) -> u32 {
    let number = number & 0xffff;
    number << 8 | (number.wrapping_mul(40_503) >> 8 & 0xff)
}

/// What a reader has to know, in fractions of the picture.
pub fn layout() -> Value {
    let part = |(x, y): (usize, usize)| [x as f64 / WIDTH as f64, y as f64 / HEIGHT as f64];
    json!({
        "columns": CELLS.0, "rows": CELLS.1,
        "cell": part((CELL, CELL)),
        "places": PLACES.map(part),
    })
}

/// When frames were painted.
#[derive(Debug, Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<Painted>>>);

#[derive(Debug, Clone, Copy)]
struct Painted {
    /// In ms since 1970.
    at: f64,
    late: Duration,
}

impl Diary {
    /// When this frame was painted, in ms since 1970.
    pub fn painted(&self, number: u32) -> Option<f64> {
        let painted = self.0.lock().expect("nobody panics with it");
        painted.get(number as usize).map(|p| p.at)
    }

    /// The next frame's number.
    pub fn next(&self) -> u32 {
        self.0.lock().expect("nobody panics with it").len() as u32
    }

    /// How late the latest of these frames was.
    pub fn latest(&self, from: u32, to: u32) -> Duration {
        let painted = self.0.lock().expect("nobody panics with it");
        let (from, to) = (from as usize, (to as usize).min(painted.len()));
        let these = painted.get(from..to).unwrap_or_default();
        these.iter().map(|p| p.late).max().unwrap_or_default()
    }
}

/// The camera; it ends when dropped.
pub struct Painter {
    pub diary: Diary,
    socket: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Painter {
    pub fn start() -> Self {
        element::init().expect("GStreamer is installed");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("picture").display().to_string();
        let description = format!(
            "appsrc name=in format=time is-live=true max-buffers=2 leaky-type=downstream ! \
             shmsink socket-path={socket} shm-size=30000000 wait-for-connection=false \
             sync=false async=false"
        );
        let pipeline = gstreamer_rs::parse::launch(&description).expect("it parses");
        let pipeline: gstreamer_rs::Pipeline = pipeline.downcast().expect("a pipeline");
        let source = pipeline.by_name("in").expect("it is there");
        let source: AppSrc = source.downcast().expect("an appsrc");
        pipeline
            .set_state(gstreamer_rs::State::Playing)
            .expect("it plays");
        let (diary, stop) = (Diary::default(), Arc::new(AtomicBool::new(false)));
        let (notes, stopped) = (diary.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            paint(&source, &notes, &stopped);
            let _ = pipeline.set_state(gstreamer_rs::State::Null);
        });
        Self {
            diary,
            socket,
            stop,
            thread: Some(thread),
            _folder: folder,
        }
    }

    /// The GStreamer description of a source of these frames.
    pub fn source(&self) -> String {
        format!(
            "shmsrc socket-path={} is-live=true do-timestamp=true ! \
             video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1",
            self.socket
        )
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn paint(source: &AppSrc, diary: &Diary, stop: &AtomicBool) {
    let texture = texture();
    let mut rng = fastrand::Rng::with_seed(5);
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        let number = diary.next();
        let mut picture = vec![128; WIDTH * HEIGHT * 3 / 2];
        draw(&mut picture[..WIDTH * HEIGHT], &texture, &mut rng, number);
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = at.expect("it is after 1970").as_secs_f64() * 1000.0;
        diary
            .0
            .lock()
            .expect("nobody panics with it")
            .push(Painted { at, late });
        if source
            .push_buffer(gstreamer_rs::Buffer::from_mut_slice(picture))
            .is_err()
        {
            return;
        }
        due += FRAME;
    }
}

/// Somewhat larger than the picture: waves of several lengths and some grain.
fn texture() -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(3);
    let width = WIDTH + PAN;
    (0..width * HEIGHT)
        .map(|i| {
            let (x, y) = ((i % width) as f64, (i / width) as f64);
            let waves = (x / 37.0).sin() * 30.0
                + (y / 23.0).sin() * 30.0
                + ((x + 2.0 * y) / 11.0).sin() * 12.0;
            (118.0 + waves + f64::from(rng.u8(..12))) as u8
        })
        .collect()
}

fn draw(luma: &mut [u8], texture: &[u8], rng: &mut fastrand::Rng, number: u32) {
    // There and back again.
    let step = number as usize % (2 * PAN);
    let shift = step.min(2 * PAN - step);
    let rows = texture.chunks_exact(WIDTH + PAN);
    for (line, row) in luma.chunks_exact_mut(WIDTH).zip(rows) {
        line.copy_from_slice(&row[shift..shift + WIDTH]);
    }
    let (x0, y0, width, height) = SNOW;
    for y in y0..y0 + height {
        let line = &mut luma[y * WIDTH + x0..][..width];
        rng.fill(line);
        line.iter_mut()
            .for_each(|sample| *sample = 88 + *sample / 4);
    }
    let code = code(number);
    for (x0, y0) in PLACES {
        for bit in 0..CELLS.0 * CELLS.1 {
            let is_set = code >> (CELLS.0 * CELLS.1 - 1 - bit) & 1 == 1;
            let value = if is_set { WHITE } else { BLACK };
            let (x, y) = (x0 + bit % CELLS.0 * CELL, y0 + bit / CELLS.0 * CELL);
            for line in luma.chunks_exact_mut(WIDTH).skip(y).take(CELL) {
                line[x..x + CELL].fill(value);
            }
        }
    }
}
