//! The material: two seconds of 720p30 at a real 2 Mbit/s, and a source that
//! plays it with the time on each frame.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use camera_agent::media::error::MediaError;
use camera_agent::media::frame::AccessUnit;
use camera_agent::media::hub::source::{Output, Source};
use camera_agent::media::replay;
use camera_agent::media::stream::Stream;
use gstreamer::prelude::*;

use crate::meter::STAMP;

pub const FPS: u32 = 30;
/// A picture that moves all over, so that the encoder needs its 2 Mbit/s.
pub const PICTURE: &str = "videotestsrc is-live=true pattern=zone-plate kx2=20 ky2=20 kt=1";
/// 20 ms of silence, in as many bytes as 40 kbit/s are.
const OPUS: [u8; 100] = {
    let mut packet = [0; 100];
    (packet[0], packet[1], packet[2]) = (0xf8, 0xff, 0xfe);
    packet
};

pub fn make(path: &Path) {
    gstreamer::init().expect("GStreamer");
    let picture = PICTURE.replace("is-live=true", "num-buffers=60");
    let pipeline = gstreamer::parse::launch(&format!(
        "{picture} ! video/x-raw,width=1280,height=720,framerate={FPS}/1,format=I420 ! \
         x264enc tune=zerolatency speed-preset=ultrafast bitrate=2000 vbv-buf-capacity=500 \
         key-int-max=60 threads=1 ! \
         video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au ! \
         filesink location={}",
        path.display()
    ))
    .expect("x264enc is installed");
    pipeline
        .set_state(gstreamer::State::Playing)
        .expect("it plays");
    let bus = pipeline.bus().expect("a pipeline has a bus");
    bus.timed_pop_filtered(
        gstreamer::ClockTime::NONE,
        &[gstreamer::MessageType::Eos, gstreamer::MessageType::Error],
    );
    let _ = pipeline.set_state(gstreamer::State::Null);
}

/// The clip's access units.
pub fn load(path: &str) -> Vec<Bytes> {
    replay::access_units(&std::fs::read(path).expect("the clip"))
}

/// The frame with the time on it at which it left the encoder.
pub fn stamped(unit: &Bytes) -> Bytes {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut data = BytesMut::with_capacity(unit.len() + 16);
    data.extend_from_slice(unit);
    data.extend_from_slice(&STAMP);
    data.put_u64(now.expect("the clock is set").as_nanos() as u64);
    data.freeze()
}

/// Calls `frame` with each frame's number until told to stop.
pub fn play(stream: Stream, stop: &mpsc::Receiver<()>, mut frame: impl FnMut(usize, Duration)) {
    let interval = match stream {
        Stream::Video(_) => Duration::from_secs(1) / FPS,
        Stream::Audio => Duration::from_millis(20),
    };
    let begin = Instant::now();
    for number in 0_u32.. {
        let due = interval * number;
        let wait = due.saturating_sub(begin.elapsed());
        if !matches!(
            stop.recv_timeout(wait),
            Err(mpsc::RecvTimeoutError::Timeout)
        ) {
            return;
        }
        frame(number as usize, due);
    }
}

/// The access unit of that number.
pub fn unit(stream: Stream, units: &[Bytes], number: usize, at: Duration) -> AccessUnit {
    let (data, key) = match stream {
        Stream::Video(_) => (
            stamped(&units[number % units.len()]),
            number.is_multiple_of(units.len()),
        ),
        Stream::Audio => (Bytes::from_static(&OPUS), true),
    };
    let now = Instant::now();
    AccessUnit {
        data,
        key,
        running_time: at,
        captured_at: now,
        encoder_in: None,
        encoded_at: now,
    }
}

/// Plays the clip in a loop.
pub struct Clip {
    units: Arc<Vec<Bytes>>,
    players: HashMap<Stream, (mpsc::Sender<()>, JoinHandle<()>)>,
    rewind: Arc<std::sync::atomic::AtomicUsize>,
}

impl Clip {
    pub fn new(units: Vec<Bytes>) -> Self {
        Self {
            units: Arc::new(units),
            players: HashMap::new(),
            rewind: Arc::default(),
        }
    }
}

impl Source for Clip {
    fn start(&mut self, stream: Stream, mut output: Output) -> Result<(), MediaError> {
        let (stop, stopped) = mpsc::channel();
        let (units, rewind) = (self.units.clone(), self.rewind.clone());
        let thread = std::thread::spawn(move || {
            use std::sync::atomic::Ordering::Relaxed;
            let (mut begin, mut rewound) = (0, rewind.load(Relaxed));
            play(stream, &stopped, |number, at| {
                if rewind.load(Relaxed) != rewound {
                    (begin, rewound) = (number, rewind.load(Relaxed));
                }
                output.access_unit(unit(stream, &units, number - begin, at));
            });
        });
        self.players.insert(stream, (stop, thread));
        Ok(())
    }

    fn stop(&mut self, stream: Stream) {
        if let Some((stop, thread)) = self.players.remove(&stream) {
            drop(stop);
            let _ = thread.join();
        }
    }

    fn force_key_frame(&mut self, _: Stream) {
        self.rewind
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}
