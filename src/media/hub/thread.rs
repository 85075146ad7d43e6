//! The hub's thread: what runs for whom, what failed, what is tried again.

mod privacy;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::keyframes::KeyFrames;
use super::source::Source;
use super::source::{Output, Request, Shared, Successor, Waker};
use crate::backoff::{doubled, spread};
use crate::device::hotplug;
use crate::lock::lock;
use crate::media::error::MediaError;
use crate::media::frame::Packetizer;
use crate::media::liveness::Liveness;
use crate::media::status::{self, MediaStatus, State, StreamStatus};
use crate::media::stream::{SoundCoding, Stream};
use crate::reason::{Code, Reason};

/// How long a stream goes on without viewers: a reload of the page costs no
/// restart of the camera.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// First and longest wait before a source that failed is started again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The longest where nothing announces a device that comes back.
const UNANNOUNCED_RETRY: Duration = Duration::from_secs(2);

/// The first access unit may take longer.
const FIRST: Duration = Duration::from_secs(8);

/// What viewers are told where a stream does not come.
const NO_SOUND: Reason = Reason::fixed(
    Code::NoSound,
    "There is no sound. It goes on when the microphone is back.",
);
/// See [`NO_SOUND`].
const NO_PICTURE: Reason = Reason::fixed(
    Code::NoPicture,
    "There is no picture. It goes on when the camera is back.",
);

/// Silence is looked for this often.
const LOOK: Duration = Duration::from_millis(400);

#[derive(Debug)]
enum Phase {
    /// Watched, and stopped for privacy.
    Private,
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
    pulse: Arc<Liveness>,
    /// Why it does not work.
    problem: Option<String>,
    /// And whether it never will.
    is_final: bool,
}

pub(super) struct Thread {
    source: Box<dyn Source>,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    streams: HashMap<Stream, Running>,
    runs: u64,
    /// When the source wants to be polled.
    poll_at: Option<Instant>,
    /// Takes the source's place when nobody watches.
    successor: Option<Successor>,
    /// In percent; a successor is told it too.
    sound: SoundCoding,
    longest_wait: Duration,
    /// The owner wants privacy.
    private: bool,
    /// And the source shows a slate meanwhile.
    shows_slate: bool,
}

impl Thread {
    pub(super) fn new(
        source: Box<dyn Source>,
        requests: mpsc::Sender<Request>,
        shared: Arc<Shared>,
        private: bool,
    ) -> Self {
        Self {
            source,
            requests,
            shared,
            streams: HashMap::new(),
            runs: 0,
            poll_at: None,
            successor: None,
            sound: SoundCoding::default(),
            private,
            shows_slate: false,
            longest_wait: match hotplug::is_announced() {
                true => RETRY.1,
                false => UNANNOUNCED_RETRY,
            },
        }
    }

    /// Until it is told to stop, or nobody is left who could tell.
    pub(super) fn run(&mut self, inbox: &mpsc::Receiver<Request>) {
        self.begin();
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
                    Phase::Running { .. } | Phase::Private => None,
                    Phase::Idle { until, .. } => Some(until),
                };
                let look = match s.phase {
                    Phase::Retrying { .. } | Phase::Private => None,
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
            Request::Newcomer(stream) => {
                if let Some(s) = self.streams.get_mut(&stream)
                    && s.keys.comes(now)
                {
                    self.source.force_key_frame(stream);
                }
            }
            Request::Expect(stream, others_watch) => {
                if let Some(s) = self.streams.get_mut(&stream)
                    && s.keys.expect(others_watch, now)
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
            Request::Sound(coding) => {
                self.sound = coding;
                self.source.set_sound(coding);
            }
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
            Request::Private(private) => self.set_private(private, now),
            Request::Replace(successor) => self.successor = Some(successor),
            Request::Still(still) => self.source.still(still),
            Request::Decoders => self.tell_decoders(),
            Request::Wake | Request::Stop => {}
        }
    }

    /// Puts the successor in the source's place when nobody watches.
    fn succeed(&mut self) {
        if self.streams.is_empty()
            && let Some(successor) = self.successor.take()
        {
            self.source = successor.source;
            *lock(&self.shared.profile) = successor.profile;
            (successor.then)();
            self.begin();
            info!("picture and sound follow the new configuration");
        }
    }

    /// A new source is told what there is, and makes itself ready.
    fn begin(&mut self) {
        self.source.attach(Waker(self.requests.clone()));
        self.source.attach_moves(self.shared.moves.clone());
        self.source.attach_duck(self.shared.duck.clone());
        self.source.attach_played(self.shared.played.clone());
        self.shows_slate = self.source.set_private(self.private);
        self.source.set_sound(self.sound);
        self.tell_decoders();
        self.source.prepare();
        self.poll_at = self.source.poll(Instant::now());
    }

    fn tell_decoders(&mut self) {
        let decoders = lock(&self.shared.decoders).clone();
        self.source.set_decoders(decoders);
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
                keys: KeyFrames::new(now),
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
            Phase::Retrying { .. } | Phase::Private => {
                self.streams.remove(&stream);
            }
            Phase::Idle { .. } => {}
        }
    }

    fn try_start(&mut self, stream: Stream, now: Instant) {
        if self.is_withheld(stream) {
            if let Some(s) = self.streams.get_mut(&stream) {
                s.withhold();
            }
            return;
        }
        self.runs += 1;
        let run = self.runs;
        let pulse = Arc::<Liveness>::default();
        self.shared.frames[stream.index()].begin();
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
                let wait = doubled(RETRY.0, s.failures, self.longest_wait);
                let wait = spread(wait, 0.25, fastrand::f64());
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
            Phase::Running { .. }
            | Phase::Idle { .. }
            | Phase::Retrying { .. }
            | Phase::Private => {}
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
                        Phase::Idle { .. } | Phase::Retrying { .. } | Phase::Private => now,
                    };
                    let (from, limit) = match s.pulse.last() {
                        Some(last) => (last, self.source.patience(stream)),
                        None => (since, self.source.patience(stream).max(FIRST)),
                    };
                    if now.saturating_duration_since(from) >= limit {
                        self.failed(stream, run, &MediaError::Stalled(limit), now);
                    }
                }
                Phase::Retrying { .. } | Phase::Private => {}
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
                let video =
                    watched.max_by_key(|s| (s.state == State::Live, s.state != State::Idle));
                (video.unwrap_or_default(), None, None)
            }
        };
        let owed = self.streams.iter().any(|(stream, s)| {
            let is_owed = s.viewers > 0 && !s.is_final && !matches!(s.phase, Phase::Private);
            is_owed && matches!(stream, Stream::Video(_))
        });
        self.shared.progress.turn(owed, size);
        *lock(&self.shared.camera) = camera;
        *lock(&self.shared.own) = self.source.own_h264();
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
            (Phase::Private, _, _) => State::Private,
            (Phase::Retrying { .. }, _, Some(_)) => State::Lost,
            (Phase::Running { .. } | Phase::Idle { .. }, Some(_), _) => State::Live,
            (_, None, Some(_)) => State::Lost,
            (_, _, None) => State::Starting,
        };
        match (state, &s.problem) {
            (State::Lost, Some(problem)) => {
                let why = match stream {
                    Stream::Audio => NO_SOUND,
                    Stream::Video(_) => NO_PICTURE,
                };
                StreamStatus::troubled(state, why, problem)
            }
            (State::Private, _) => StreamStatus::troubled(state, status::PRIVATE, ""),
            _ => state.into(),
        }
    }
}
