//! One source for all viewers: started by the first, stopped after the last.
//!
//! The hub is a thread that owns the [`Source`], since opening and closing
//! devices blocks. Frames do not pass through it: a source's own thread
//! payloads each access unit and hands the frame to all viewers at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use tracing::{debug, error, info, warn};

use super::frame::{Packetizer, profile_level_id};
use super::keyframes::KeyFrames;
use super::latency::{Latency, Stage};
use super::progress::{Counters, Progress};
use super::pulse::Pulse;
use super::status::{MediaStatus, State, StreamStatus};
use super::{
    AccessUnit, Encoding, Frame, MediaError, OpenCamera, Source, Stream, VideoRate, hotplug,
};
use crate::sdp::ProfileLevelId;

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
/// The longest where nothing announces a device that comes back.
const UNANNOUNCED_RETRY: Duration = Duration::from_secs(2);

/// A stream that ran and makes nothing for so long has failed, though it said
/// nothing: devices do that.
pub const SILENCE: Duration = Duration::from_millis(1_500);

/// The first access unit may take longer.
const FIRST: Duration = Duration::from_secs(8);

/// Silence is looked for this often.
const LOOK: Duration = Duration::from_millis(400);

enum Request {
    Watch(Stream),
    Unwatch(Stream),
    KeyFrame(Stream),
    KeyFrameCame(Stream),
    Rate(Stream, VideoRate),
    /// The first access unit of a run.
    Flowing(Stream, u64),
    Failed(Stream, u64, MediaError),
    /// The source wants to be polled.
    Wake,
    DeviceAppeared,
    /// Another source, as soon as nobody watches this one.
    Replace(Box<dyn Source>, Option<ProfileLevelId>),
    Stop,
}

/// Has the source polled, from any thread; clones are cheap.
#[derive(Clone)]
pub struct Waker(mpsc::Sender<Request>);

impl Waker {
    /// Calls for [`Source::poll`].
    pub fn wake(&self) {
        let _ = self.0.send(Request::Wake);
    }
}

struct Shared {
    frames: [broadcast::Sender<Arc<Frame>>; Stream::COUNT],
    profile: Mutex<Option<ProfileLevelId>>,
    status: watch::Sender<MediaStatus>,
    camera: Mutex<Option<OpenCamera>>,
    progress: Counters,
    /// Bytes that were encoded, from the beginning.
    encoded: [AtomicU64; Stream::COUNT],
    /// A key frame request is on its way to the thread; viewers may ask as
    /// often as they like.
    key_frame_asked: [AtomicBool; Stream::COUNT],
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
            status: watch::Sender::default(),
            camera: Mutex::default(),
            progress: Counters::default(),
            encoded: Default::default(),
            key_frame_asked: Default::default(),
            latency: Arc::new(Latency::new(Instant::now())),
        });
        let mut thread = Thread {
            source,
            requests: requests.clone(),
            shared: shared.clone(),
            streams: HashMap::new(),
            runs: 0,
            poll_at: None,
            successor: None,
            longest_wait: match hotplug::is_announced() {
                true => RETRY.1,
                false => UNANNOUNCED_RETRY,
            },
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

    /// Encodes a video stream so, now or when it is next started.
    pub fn set_rate(&self, stream: Stream, rate: VideoRate) {
        let _ = self.requests.send(Request::Rate(stream, rate));
    }

    /// Bytes that were encoded of a video stream so far.
    pub fn encoded(&self, stream: Stream) -> u64 {
        self.shared.encoded[stream.index()].load(Ordering::Relaxed)
    }

    /// Where the time of the picture's frames goes.
    pub fn latency(&self) -> &Arc<Latency> {
        &self.shared.latency
    }

    /// How picture and sound are; changes are told.
    pub fn status(&self) -> watch::Receiver<MediaStatus> {
        self.shared.status.subscribe()
    }

    /// The camera that viewers see.
    pub fn camera(&self) -> Option<OpenCamera> {
        lock(&self.shared.camera).clone()
    }

    /// Says that the system announced a device: what waits for one is tried
    /// now.
    pub fn device_appeared(&self) {
        let _ = self.requests.send(Request::DeviceAppeared);
    }

    /// Takes another source as soon as nobody watches this one: at once, or
    /// [some seconds](GRACE) after the last viewer. `profile` is what is known
    /// of its H.264 stream.
    pub fn replace_source(&self, source: Box<dyn Source>, profile: Option<ProfileLevelId>) {
        let _ = self.requests.send(Request::Replace(source, profile));
    }

    /// What was done so far.
    pub fn progress(&self) -> Progress {
        self.shared.progress.read()
    }

    /// Has the thread take a turn, so that [`Progress::turns`] tells whether it
    /// still can.
    pub fn nudge(&self) {
        let _ = self.requests.send(Request::Wake);
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Access units are at least so far apart.
const STEP: Duration = Duration::from_millis(1);

/// Where a source puts the access units of one run of one stream.
pub struct Output {
    stream: Stream,
    run: u64,
    pulse: Arc<Pulse>,
    /// The last access unit's running time.
    last: Duration,
    packetizer: Packetizer,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Output {
    /// Hands an access unit to every viewer.
    pub fn access_unit(&mut self, mut unit: AccessUnit) {
        // Behind a slate comes a camera's frame, which was captured a while
        // ago; time does not run backwards for a viewer.
        let earliest = self.last + STEP;
        unit.running_time = unit.running_time.max(earliest);
        self.last = unit.running_time;
        if let (Stream::Video(_), Some(entered)) = (self.stream, unit.encoder_in) {
            let latency = &self.shared.latency;
            let (captured, encoded) = (unit.captured_at, unit.encoded_at);
            let waited = entered.saturating_duration_since(captured);
            latency.record(Stage::ToEncoder, waited, entered);
            let coded = encoded.saturating_duration_since(entered);
            latency.record(Stage::Encode, coded, encoded);
        }
        if self.pulse.beat(Instant::now()) {
            let _ = self.requests.send(Request::Flowing(self.stream, self.run));
        }
        if let Stream::Video(_) = self.stream {
            self.shared.progress.picture(unit.data.len());
            let encoded = &self.shared.encoded[self.stream.index()];
            encoded.fetch_add(unit.data.len() as u64, Ordering::Relaxed);
        }
        if unit.key
            && let Stream::Video(encoding) = self.stream
        {
            let _ = self.requests.send(Request::KeyFrameCame(self.stream));
            // Answers name the level of the whole picture; a decoder of that
            // takes the smaller ones too.
            if encoding == Encoding::H264
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
    /// Beats with each access unit of the present run.
    pulse: Arc<Pulse>,
    /// Why it does not work.
    problem: Option<String>,
    /// And whether it never will.
    is_final: bool,
}

struct Thread {
    source: Box<dyn Source>,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    streams: HashMap<Stream, Running>,
    runs: u64,
    /// When the source wants to be polled.
    poll_at: Option<Instant>,
    /// Takes the source's place when nobody watches.
    successor: Option<(Box<dyn Source>, Option<ProfileLevelId>)>,
    longest_wait: Duration,
}

impl Thread {
    fn run(&mut self, inbox: &mpsc::Receiver<Request>) {
        self.source.attach(Waker(self.requests.clone()));
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
            self.poll_at = self.source.poll(Instant::now());
            self.succeed();
            self.tell();
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
                let look = match s.phase {
                    Phase::Retrying { .. } => None,
                    Phase::Running { .. } | Phase::Idle { .. } => Some(Instant::now() + LOOK),
                };
                [phase, s.keys.poll_timeout(), look]
            })
            .chain([self.poll_at])
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
            Request::Rate(stream, rate) => self.source.set_rate(stream, rate),
            Request::Flowing(stream, run) => self.flowing(stream, run),
            Request::Failed(stream, run, error) => self.failed(stream, run, &error, now),
            Request::DeviceAppeared => {
                self.source.device_appeared(now);
                for s in self.streams.values_mut() {
                    if let Phase::Retrying { at } = &mut s.phase {
                        *at = now;
                        s.failures = s.failures.min(1);
                    }
                }
            }
            Request::Replace(source, profile) => self.successor = Some((source, profile)),
            Request::Wake | Request::Stop => {}
        }
    }

    /// Puts the successor in the source's place when nobody watches.
    fn succeed(&mut self) {
        if self.streams.is_empty()
            && let Some((source, profile)) = self.successor.take()
        {
            self.source = source;
            *lock(&self.shared.profile) = profile;
            self.source.attach(Waker(self.requests.clone()));
            self.source.prepare();
            self.poll_at = self.source.poll(Instant::now());
            info!("picture and sound follow the new configuration");
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
                problem: None,
                is_final: false,
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
        let pulse = Arc::<Pulse>::default();
        let output = Output {
            stream,
            run,
            pulse: pulse.clone(),
            last: Duration::ZERO,
            packetizer: Packetizer::new(stream),
            requests: self.requests.clone(),
            shared: self.shared.clone(),
        };
        let result = self.source.start(stream, output);
        let Some(s) = self.streams.get_mut(&stream) else {
            return;
        };
        s.phase = Phase::Running {
            run,
            // Opening it may have taken a while.
            since: Instant::now(),
        };
        s.pulse = pulse;
        if let Err(error) = result {
            self.failed(stream, run, &error, now);
        }
    }

    fn flowing(&mut self, stream: Stream, flowing: u64) {
        if let Some(s) = self.streams.get_mut(&stream)
            && let Phase::Running { run, .. } | Phase::Idle { run, .. } = s.phase
            && run == flowing
        {
            s.problem = None;
            s.is_final = false;
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
                let wait = (RETRY.0 * (1 << s.failures.min(6))).min(self.longest_wait);
                let wait = wait.mul_f64(0.75 + fastrand::f64() / 2.0);
                s.failures += 1;
                s.problem = Some(error.to_string());
                s.is_final = error.is_final();
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
                Phase::Running { run, .. } | Phase::Idle { run, .. } => {
                    let since = match s.phase {
                        Phase::Running { since, .. } => since,
                        Phase::Idle { .. } | Phase::Retrying { .. } => now,
                    };
                    let (from, limit) = match s.pulse.last() {
                        Some(last) => (last, self.source.patience(stream)),
                        None => (since, self.source.patience(stream).max(FIRST)),
                    };
                    if now.saturating_duration_since(from) >= limit {
                        self.failed(stream, run, &MediaError::Stalled(limit), now);
                    }
                }
                Phase::Retrying { .. } => {}
            }
            if let Some(s) = self.streams.get_mut(&stream)
                && s.keys.due(now)
            {
                self.source.force_key_frame(stream);
            }
        }
    }

    /// Tells viewers how picture and sound are, if that has changed.
    fn tell(&self) {
        let audio = self.stream_status(Stream::Audio);
        let (video, camera, size) = match self.source.picture() {
            Some(picture) => (picture.status, picture.camera, picture.size),
            None => {
                let codecs = Stream::ALL.into_iter().filter(|s| *s != Stream::Audio);
                let watched = codecs.map(|stream| self.stream_status(stream));
                let video = watched.max_by_key(|s| s.state == State::Live);
                (video.unwrap_or_default(), None, None)
            }
        };
        let owed = self
            .streams
            .iter()
            .any(|(stream, s)| matches!(stream, Stream::Video(_)) && s.viewers > 0 && !s.is_final);
        self.shared.progress.turn(owed, size);
        *lock(&self.shared.camera) = camera;
        let status = MediaStatus { video, audio };
        self.shared.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    fn stream_status(&self, stream: Stream) -> StreamStatus {
        let Some(s) = self.streams.get(&stream) else {
            return StreamStatus::default();
        };
        let state = match (&s.phase, s.pulse.last(), &s.problem) {
            (Phase::Retrying { .. }, _, Some(_)) => State::Lost,
            (Phase::Running { .. } | Phase::Idle { .. }, Some(_), _) => State::Live,
            (_, None, Some(_)) => State::Lost,
            (_, _, None) => State::Starting,
        };
        let (text, reason) = match (state, &s.problem) {
            (State::Lost, Some(problem)) => (
                match stream {
                    Stream::Audio => "There is no sound. It goes on when the microphone is back.",
                    Stream::Video(_) => "There is no picture. It goes on when the camera is back.",
                },
                problem.as_str(),
            ),
            _ => ("", ""),
        };
        StreamStatus {
            state,
            text: text.to_owned(),
            reason: reason.to_owned(),
        }
    }
}
