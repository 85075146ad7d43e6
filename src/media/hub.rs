//! One source for all viewers: started by the first, stopped after the last.
//!
//! The hub is a thread that owns the [`Source`], since opening and closing
//! devices blocks. Frames do not pass through it: a source's own thread
//! payloads each access unit and hands the frame to all viewers at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use tracing::{debug, error, info, warn};

use super::frame::{Packetizer, profile_level_id};
use super::keyframes::KeyFrames;
use super::latency::{Latency, Stage};
use super::{AccessUnit, Frame, MediaError, Source, Stream};
use crate::sdp::{ProfileLevelId, VideoCodec};

/// How long a stream goes on without viewers: a reload of the page costs no
/// restart of the camera.
pub const GRACE: Duration = Duration::from_secs(5);

/// Frames a viewer may lag before he skips to the next key frame: half a
/// second of video.
const LAG: usize = 16;
/// The same for sound, 20 ms each.
const AUDIO_LAG: usize = 32;

/// First and longest wait before a source that failed is started again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A running source that makes nothing for so long has failed, though it said
/// nothing: cameras do that. The first frame may take as long.
const STALL: Duration = Duration::from_secs(8);

enum Request {
    Watch(Stream),
    Unwatch(Stream),
    KeyFrame(Stream),
    KeyFrameCame(Stream),
    /// The first access unit of a run.
    Flowing(Stream, u64),
    Failed(Stream, u64, MediaError),
    Stop,
}

struct Shared {
    frames: [broadcast::Sender<Arc<Frame>>; 3],
    profile: Mutex<Option<ProfileLevelId>>,
    /// A key frame request is on its way to the thread; viewers may ask as
    /// often as they like.
    key_frame_asked: [AtomicBool; 3],
    latency: Arc<Latency>,
}

/// A handle on the hub; clones are cheap.
#[derive(Clone)]
pub struct Hub {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// The hub's thread; ends when told to.
pub struct HubThread {
    requests: mpsc::Sender<Request>,
    thread: Option<JoinHandle<()>>,
}

/// Keeps a stream running for as long as it lives.
pub struct Watch {
    stream: Stream,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Watch {
    /// Frames from now on.
    pub fn frames(&self) -> broadcast::Receiver<Arc<Frame>> {
        self.shared.frames[self.stream.index()].subscribe()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Unwatch(self.stream));
    }
}

impl Hub {
    /// Starts the thread over `source`. `profile` is what is known of the
    /// H.264 stream before it runs.
    pub fn start(source: Box<dyn Source>, profile: Option<ProfileLevelId>) -> (Self, HubThread) {
        let (requests, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            frames: Stream::ALL.map(|stream| {
                broadcast::channel(match stream {
                    Stream::Video(_) => LAG,
                    Stream::Audio => AUDIO_LAG,
                })
                .0
            }),
            profile: Mutex::new(profile),
            key_frame_asked: Default::default(),
            latency: Arc::new(Latency::new(Instant::now())),
        });
        let mut thread = Thread {
            source,
            requests: requests.clone(),
            shared: shared.clone(),
            streams: HashMap::new(),
            runs: 0,
        };
        let handle = std::thread::Builder::new()
            .name("media".into())
            .spawn(move || thread.run(&inbox))
            .expect("a thread can be started at start-up");
        let hub = Self {
            requests: requests.clone(),
            shared,
        };
        let thread = HubThread {
            requests,
            thread: Some(handle),
        };
        (hub, thread)
    }

    /// Keeps `stream` running while the returned value lives.
    pub fn watch(&self, stream: Stream) -> Watch {
        let _ = self.requests.send(Request::Watch(stream));
        Watch {
            stream,
            requests: self.requests.clone(),
            shared: self.shared.clone(),
        }
    }

    /// Asks for a key frame; requests are coalesced to two a second.
    pub fn request_key_frame(&self, stream: Stream) {
        if !self.shared.key_frame_asked[stream.index()].swap(true, Ordering::AcqRel) {
            let _ = self.requests.send(Request::KeyFrame(stream));
        }
    }

    /// Where the time of the picture's frames goes.
    pub fn latency(&self) -> &Arc<Latency> {
        &self.shared.latency
    }

    /// What the newest SPS says of the H.264 stream.
    pub fn profile_level_id(&self) -> Option<ProfileLevelId> {
        *lock(&self.shared.profile)
    }
}

impl HubThread {
    /// Closes every device and ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.requests.send(Request::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the media thread panicked");
        }
    }
}

impl Drop for HubThread {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Where a source puts the access units of one run of one stream.
pub struct Output {
    stream: Stream,
    run: u64,
    flowing: bool,
    pulse: Arc<AtomicBool>,
    packetizer: Packetizer,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Output {
    /// Hands an access unit to every viewer.
    pub fn access_unit(&mut self, unit: AccessUnit) {
        self.pulse.store(true, Ordering::Relaxed);
        if let (Stream::Video(_), Some(entered)) = (self.stream, unit.encoder_in) {
            let latency = &self.shared.latency;
            let (captured, encoded) = (unit.captured_at, unit.encoded_at);
            let waited = entered.saturating_duration_since(captured);
            latency.record(Stage::ToEncoder, waited, entered);
            let coded = encoded.saturating_duration_since(entered);
            latency.record(Stage::Encode, coded, encoded);
        }
        if !std::mem::replace(&mut self.flowing, true) {
            let _ = self.requests.send(Request::Flowing(self.stream, self.run));
        }
        if unit.key
            && let Stream::Video(codec) = self.stream
        {
            let _ = self.requests.send(Request::KeyFrameCame(self.stream));
            if codec == VideoCodec::H264
                && let Some(profile) = profile_level_id(&unit.data)
            {
                *lock(&self.shared.profile) = Some(profile);
            }
        }
        if let Some(frame) = self.packetizer.packetize(unit) {
            // An error says that nobody watches, which the hub knows.
            let _ = self.shared.frames[self.stream.index()].send(Arc::new(frame));
        }
    }

    /// Says that no more will come of this run.
    pub fn failure(&self) -> Failure {
        Failure {
            stream: self.stream,
            run: self.run,
            requests: self.requests.clone(),
        }
    }
}

/// Tells the hub that a run of a stream is over; see [`Output::failure`].
#[derive(Clone)]
pub struct Failure {
    stream: Stream,
    run: u64,
    requests: mpsc::Sender<Request>,
}

impl Failure {
    /// Reports the failure. A run that was already stopped is no news.
    pub fn report(&self, error: MediaError) {
        let _ = self
            .requests
            .send(Request::Failed(self.stream, self.run, error));
    }
}

#[derive(Debug)]
enum Phase {
    /// Watched, and waiting to be tried again.
    Retrying {
        at: Instant,
    },
    Running {
        run: u64,
        since: Instant,
    },
    /// Running for nobody.
    Idle {
        run: u64,
        until: Instant,
    },
}

#[derive(Debug)]
struct Running {
    viewers: usize,
    phase: Phase,
    failures: u32,
    keys: KeyFrames,
    /// Set by each access unit of the present run, looked at `check_at`.
    pulse: Arc<AtomicBool>,
    check_at: Instant,
}

struct Thread {
    source: Box<dyn Source>,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    streams: HashMap<Stream, Running>,
    runs: u64,
}

impl Thread {
    fn run(&mut self, inbox: &mpsc::Receiver<Request>) {
        self.source.prepare();
        loop {
            let request = match self.poll_timeout() {
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(request) => self.handle(request),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.timeouts(Instant::now());
        }
        for stream in Stream::ALL {
            if self.streams.remove(&stream).is_some() {
                self.source.stop(stream);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.streams
            .values()
            .flat_map(|s| {
                let phase = match s.phase {
                    Phase::Retrying { at } => Some(at),
                    Phase::Running { .. } => None,
                    Phase::Idle { until, .. } => Some(until),
                };
                let check = match s.phase {
                    Phase::Retrying { .. } => None,
                    Phase::Running { .. } | Phase::Idle { .. } => Some(s.check_at),
                };
                [phase, s.keys.poll_timeout(), check]
            })
            .flatten()
            .min()
    }

    fn handle(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::Watch(stream) => self.watch(stream, now),
            Request::Unwatch(stream) => self.unwatch(stream, now),
            Request::KeyFrame(stream) => {
                self.shared.key_frame_asked[stream.index()].store(false, Ordering::Release);
                if let Some(s) = self.streams.get_mut(&stream)
                    && s.keys.request(now)
                {
                    self.source.force_key_frame(stream);
                }
            }
            Request::KeyFrameCame(stream) => {
                if let Some(s) = self.streams.get_mut(&stream) {
                    s.keys.came();
                }
            }
            Request::Flowing(stream, run) => self.flowing(stream, run),
            Request::Failed(stream, run, error) => self.failed(stream, run, &error, now),
            Request::Stop => {}
        }
    }

    fn watch(&mut self, stream: Stream, now: Instant) {
        if let Some(s) = self.streams.get_mut(&stream) {
            s.viewers += 1;
            if let Phase::Idle { run, .. } = s.phase {
                s.phase = Phase::Running { run, since: now };
            }
            return;
        }
        self.streams.insert(
            stream,
            Running {
                viewers: 1,
                phase: Phase::Retrying { at: now },
                failures: 0,
                keys: KeyFrames::default(),
                pulse: Arc::default(),
                check_at: now,
            },
        );
        self.try_start(stream, now);
    }

    fn unwatch(&mut self, stream: Stream, now: Instant) {
        let Some(s) = self.streams.get_mut(&stream) else {
            return;
        };
        s.viewers = s.viewers.saturating_sub(1);
        if s.viewers > 0 {
            return;
        }
        match s.phase {
            Phase::Running { run, .. } => {
                s.phase = Phase::Idle {
                    run,
                    until: now + GRACE,
                };
            }
            Phase::Retrying { .. } => {
                self.streams.remove(&stream);
            }
            Phase::Idle { .. } => {}
        }
    }

    fn try_start(&mut self, stream: Stream, now: Instant) {
        self.runs += 1;
        let run = self.runs;
        let pulse = Arc::<AtomicBool>::default();
        let output = Output {
            stream,
            run,
            flowing: false,
            pulse: pulse.clone(),
            packetizer: Packetizer::new(stream),
            requests: self.requests.clone(),
            shared: self.shared.clone(),
        };
        let result = self.source.start(stream, output);
        let Some(s) = self.streams.get_mut(&stream) else {
            return;
        };
        s.phase = Phase::Running { run, since: now };
        s.pulse = pulse;
        // Opening it may have taken a while.
        s.check_at = Instant::now() + STALL;
        if let Err(error) = result {
            self.failed(stream, run, &error, now);
        }
    }

    fn flowing(&mut self, stream: Stream, flowing: u64) {
        if let Some(s) = self.streams.get(&stream)
            && let Phase::Running { run, .. } | Phase::Idle { run, .. } = s.phase
            && run == flowing
        {
            match s.failures {
                0 => info!(%stream, "started"),
                failures => info!(%stream, failures, "works again"),
            }
        }
    }

    fn failed(&mut self, stream: Stream, failed: u64, error: &MediaError, now: Instant) {
        let Some(s) = self.streams.get_mut(&stream) else {
            return;
        };
        match s.phase {
            Phase::Running { run, since } if run == failed => {
                if now.saturating_duration_since(since) > RETRY.1 {
                    s.failures = 0;
                }
                let wait = (RETRY.0 * (1 << s.failures.min(6))).min(RETRY.1);
                let wait = wait.mul_f64(0.75 + fastrand::f64() / 2.0);
                s.failures += 1;
                s.phase = Phase::Retrying { at: now + wait };
                // The first says it; the rest would only say it again.
                if s.failures == 1 {
                    warn!(%stream, %error, "failed; viewers stay, it is tried again until it works");
                } else {
                    debug!(%stream, %error, "failed again; next try in {wait:?}");
                }
                self.source.stop(stream);
            }
            Phase::Idle { run, .. } if run == failed => {
                debug!(%stream, %error, "failed while nobody watched");
                self.streams.remove(&stream);
                self.source.stop(stream);
            }
            Phase::Running { .. } | Phase::Idle { .. } | Phase::Retrying { .. } => {}
        }
    }

    fn timeouts(&mut self, now: Instant) {
        for stream in Stream::ALL {
            let Some(s) = self.streams.get_mut(&stream) else {
                continue;
            };
            match s.phase {
                Phase::Retrying { at } if now >= at => self.try_start(stream, now),
                Phase::Idle { until, .. } if now >= until => {
                    self.streams.remove(&stream);
                    self.source.stop(stream);
                    info!(%stream, "stopped: nobody watches");
                }
                Phase::Running { run, .. } | Phase::Idle { run, .. } if now >= s.check_at => {
                    s.check_at = now + STALL;
                    if !s.pulse.swap(false, Ordering::Relaxed) {
                        let error = MediaError::Stalled(STALL);
                        self.failed(stream, run, &error, now);
                    }
                }
                Phase::Retrying { .. } | Phase::Idle { .. } | Phase::Running { .. } => {}
            }
            if let Some(s) = self.streams.get_mut(&stream)
                && s.keys.due(now)
            {
                self.source.force_key_frame(stream);
            }
        }
    }
}
