//! What to do when a camera or an encoder fails while people watch.
//!
//! Pure: a state machine. Feed it [`Event`]s and [`observe`](Recovery::observe)
//! what flowed when; after each, carry out every [`Action`]; come back at
//! [`Recovery::poll_timeout`]. It has no clock and no GStreamer: those are in
//! [`gst`](super::gst).
//!
//! * A camera that fails, ends, or gives no frame for [`Limits::silence`] is
//!   closed and opened again until it works: at once when one is announced,
//!   else with growing waits. Viewers see a slate meanwhile.
//! * An encoder that fails, ends or is silent while pictures go in is started
//!   again; after the second fault the next one in rank takes its place.
//! * While the owner wants privacy the camera stays closed, and who watches sees
//!   a slate that says so.

mod encoders;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::status::{self, State, StreamStatus};
use super::stream::Encoding;
use crate::backoff::{doubled, spread};
use crate::reason::{Code, Reason};

/// Longest waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// No frame for so long is a fault.
    pub silence: Duration,
    /// An encoder that was just started has so long for its first frame.
    pub first_output: Duration,
    /// A camera that was just opened has so long before viewers see a slate.
    pub first_frame: Duration,
    /// And so long before it counts as failed.
    pub opening: Duration,
    /// First and longest wait before the next try.
    pub retry: (Duration, Duration),
    /// The longest wait for a device that is not there, where nothing would
    /// announce it.
    pub absent_retry: Duration,
    /// The longest wait for a signal, which nothing announces; each look opens the
    /// node, and lights the light.
    pub signal_retry: Duration,
    /// Encoder faults further apart than this are no series.
    pub series: Duration,
}

impl Limits {
    /// For so many frames a second. At three frames a second and fewer the
    /// frames themselves are further apart than the usual limit allows.
    pub(crate) fn for_rate(fps: u32) -> Self {
        let three_frames = Duration::from_secs(3) / fps.max(1);
        Self {
            silence: three_frames.max(Duration::from_millis(1_500)),
            first_output: three_frames.max(Duration::from_millis(2_500)),
            first_frame: three_frames.max(Duration::from_millis(1_000)),
            opening: Duration::from_secs(10),
            retry: (Duration::from_millis(500), Duration::from_secs(30)),
            absent_retry: Duration::from_secs(1),
            signal_retry: Duration::from_secs(5),
            series: Duration::from_secs(600),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody watches the picture now.
    Watched,
    /// Nobody does.
    Unwatched,
    /// The first frame came out of the camera that was opened last.
    CameraFlows,
    /// The camera could not be opened, failed, or ended.
    CameraFailed {
        /// In words.
        reason: String,
        /// There is none to open.
        absent: bool,
        /// It waits for what nothing announces: an HDMI signal.
        unannounced: bool,
    },
    /// The system announced a camera.
    Announced,
    /// The owner wants the camera closed, or no longer.
    Private(bool),
    /// What it is opened for has changed: it is closed, and opened anew.
    Outdated,
    /// An encoder was started.
    EncoderStarted(Encoding),
    /// An encoder is not needed any more.
    EncoderStopped(Encoding),
    /// An encoder failed or ended.
    EncoderFailed(Encoding, String),
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open the camera, without waiting for it.
    OpenCamera,
    /// Close the camera, or give up opening it.
    CloseCamera,
    /// Let viewers see the camera.
    ShowCamera,
    /// Let viewers see this slate, in place of the camera or of another one.
    ShowSlate(Slate),
    /// Let viewers see nothing: nobody is there.
    ShowNothing,
    /// Start this encoder again, then report [`Event::EncoderStarted`].
    RestartEncoder(Encoding),
    /// Start the next in rank in its place, then report the same.
    NextEncoder(Encoding),
}

/// What a slate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slate {
    /// The camera takes its time.
    Starting,
    /// The camera is lost.
    Lost,
    /// The owner wants privacy.
    Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Camera,
    Slate(Slate),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Camera {
    Closed,
    Opening {
        since: Instant,
    },
    Live {
        since: Instant,
    },
    Lost {
        retry_at: Instant,
    },
    /// Watched, and closed for privacy.
    Private,
}

#[derive(Debug)]
struct Encoder {
    started: Instant,
    /// It failed and was not started again yet; it may say so twice.
    down: bool,
    faults: VecDeque<Instant>,
    /// A fault is being mended: its words.
    fault: Option<String>,
    /// A restart that has to wait.
    restart_at: Option<(Instant, Action)>,
}

/// The state machine. See the [module](self).
#[derive(Debug)]
pub(crate) struct Recovery {
    limits: Limits,
    /// A device that comes back is announced.
    announced: bool,
    /// The owner wants the camera closed.
    private: bool,
    camera: Camera,
    shown: Shown,
    /// Since the camera last worked for a while.
    failures: u32,
    /// One of them was of what nothing announces; so may be what follows: the same
    /// receiver says nothing, or fails, when another signal comes.
    unannounced: bool,
    reason: String,
    encoders: BTreeMap<Encoding, Encoder>,
    random: fastrand::Rng,
    actions: VecDeque<Action>,
}

/// What viewers are told in place of a picture.
const STARTING: Reason = Reason::fixed(Code::CameraStarting, "The camera is starting.");
/// See [`STARTING`].
const LOST: Reason = Reason::fixed(
    Code::CameraLost,
    "The camera is lost. The picture goes on when it is back.",
);
/// See [`STARTING`].
const STOPPED: Reason = Reason::fixed(
    Code::PictureStopped,
    "The picture has stopped and is being started again.",
);
/// While somebody watches, frames are looked for this often.
const LOOK: Duration = Duration::from_millis(250);
/// What is announced may need a moment until it can be opened.
const SETTLE: Duration = Duration::from_millis(50);
/// Restarts of an encoder within this of each other wait.
const HASTE: Duration = Duration::from_secs(2);

impl Recovery {
    /// `announced`: [`Event::Announced`] comes when a device does. `seed` is
    /// for the jitter of waits.
    pub(crate) fn new(limits: Limits, announced: bool, seed: u64) -> Self {
        Self {
            limits,
            announced,
            private: false,
            camera: Camera::Closed,
            shown: Shown::Nothing,
            failures: 0,
            unannounced: false,
            reason: String::new(),
            encoders: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do, oldest first.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to [`observe`](Self::observe) next, if nothing happens before.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let retry = match self.camera {
            Camera::Closed => return None,
            Camera::Lost { retry_at } => Some(retry_at),
            Camera::Opening { .. } | Camera::Live { .. } | Camera::Private => None,
        };
        let restarts = self.encoders.values().filter_map(|e| e.restart_at);
        restarts
            .map(|(at, _)| at)
            .chain(retry)
            .chain([now + LOOK])
            .min()
    }

    /// What viewers are told.
    pub(crate) fn status(&self) -> StreamStatus {
        let fault = self.encoders.values().find_map(|e| e.fault.as_deref());
        match (self.camera, self.shown, fault) {
            (Camera::Closed, _, _) => State::Idle.into(),
            (Camera::Private, _, _) => StreamStatus::troubled(State::Private, status::PRIVATE, ""),
            (Camera::Opening { .. }, Shown::Nothing, _) => State::Starting.into(),
            (Camera::Opening { .. }, _, _) if self.reason.is_empty() => {
                StreamStatus::troubled(State::Starting, STARTING, "")
            }
            (Camera::Opening { .. } | Camera::Lost { .. }, _, _) => {
                StreamStatus::troubled(State::Lost, LOST, &self.reason)
            }
            (Camera::Live { .. }, _, Some(fault)) => {
                StreamStatus::troubled(State::Lost, STOPPED, fault)
            }
            (Camera::Live { .. }, _, None) => State::Live.into(),
        }
    }

    /// Why there is no camera, while it is lost.
    pub(crate) fn loss(&self) -> Option<&str> {
        matches!(self.camera, Camera::Lost { .. }).then_some(self.reason.as_str())
    }

    /// The camera's picture flows.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.camera, Camera::Live { .. })
    }

    /// Takes one event that happened at `now`.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Watched => {
                if self.camera == Camera::Closed {
                    match self.private {
                        true => self.withhold(),
                        false => self.open(now),
                    }
                }
            }
            Event::Unwatched => self.unwatched(),
            Event::Private(private) => self.private(private, now),
            Event::Outdated => self.outdated(now),
            Event::CameraFlows => self.camera_flows(now),
            Event::CameraFailed {
                reason,
                absent,
                unannounced,
            } => self.camera_failed(reason, (absent, unannounced), now),
            Event::Announced => {
                if let Camera::Lost { retry_at } = &mut self.camera {
                    // What comes after it is not the old trouble.
                    (self.failures, self.unannounced) = (0, false);
                    *retry_at = (*retry_at).min(now + SETTLE);
                }
            }
            Event::EncoderStarted(codec) => self.encoder_started(codec, now),
            Event::EncoderStopped(codec) => {
                self.encoders.remove(&codec);
            }
            Event::EncoderFailed(codec, reason) => self.encoder_failed(codec, reason, now),
        }
    }

    /// Looks at when the shown source and each encoder last gave a frame, and
    /// does what is due.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        source: Option<Instant>,
        encoded: impl Fn(Encoding) -> Option<Instant>,
    ) {
        let age = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        match self.camera {
            Camera::Closed => return,
            Camera::Lost { retry_at } if now >= retry_at => self.open(now),
            Camera::Lost { .. } | Camera::Private => {}
            Camera::Opening { since } => {
                let waited = now.saturating_duration_since(since);
                if waited >= self.limits.opening {
                    let reason = format!("no picture came in {} s", waited.as_secs());
                    self.camera_failed(reason, (false, false), now);
                } else if waited >= self.limits.first_frame && self.shown == Shown::Nothing {
                    self.show(Shown::Slate(Slate::Starting));
                }
            }
            Camera::Live { since } => {
                let silent = age(source).unwrap_or_else(|| now.saturating_duration_since(since));
                if silent >= self.limits.silence {
                    let reason = format!(
                        "it gave no picture for {:.1} s, and no error either",
                        silent.as_secs_f64()
                    );
                    self.camera_failed(reason, (false, false), now);
                }
            }
        }
        // What does not come in cannot come out.
        let fed = age(source).is_some_and(|age| age < self.limits.silence);
        let codecs: Vec<_> = self.encoders.keys().copied().collect();
        for codec in codecs {
            self.observe_encoder(codec, now, fed, encoded(codec));
        }
    }

    fn open(&mut self, now: Instant) {
        self.camera = Camera::Opening { since: now };
        self.actions.push_back(Action::OpenCamera);
    }

    fn show(&mut self, wanted: Shown) {
        if self.shown == wanted {
            return;
        }
        self.shown = wanted;
        self.actions.push_back(match wanted {
            Shown::Nothing => Action::ShowNothing,
            Shown::Camera => Action::ShowCamera,
            Shown::Slate(slate) => Action::ShowSlate(slate),
        });
    }

    /// Closes the camera, or opens it again where somebody watches.
    fn private(&mut self, private: bool, now: Instant) {
        if self.private == private {
            return;
        }
        self.private = private;
        match self.camera {
            Camera::Closed => {}
            Camera::Opening { .. } | Camera::Live { .. } | Camera::Lost { .. } => {
                self.withhold();
                self.actions.push_back(Action::CloseCamera);
            }
            Camera::Private => {
                self.show(Shown::Slate(Slate::Starting));
                self.open(now);
            }
        }
    }

    /// What is being opened is outdated, too. No fault: nothing is waited for.
    fn outdated(&mut self, now: Instant) {
        if let Camera::Opening { .. } | Camera::Live { .. } = self.camera {
            self.show(Shown::Slate(Slate::Starting));
            self.actions.push_back(Action::CloseCamera);
            self.open(now);
        }
    }

    fn withhold(&mut self) {
        self.camera = Camera::Private;
        (self.failures, self.unannounced) = (0, false);
        self.reason.clear();
        self.show(Shown::Slate(Slate::Private));
    }

    fn unwatched(&mut self) {
        if self.camera == Camera::Closed {
            return;
        }
        self.camera = Camera::Closed;
        (self.failures, self.unannounced) = (0, false);
        self.reason.clear();
        self.show(Shown::Nothing);
        self.actions.push_back(Action::CloseCamera);
        self.encoders.clear();
    }

    fn camera_flows(&mut self, now: Instant) {
        if let Camera::Opening { .. } = self.camera {
            self.camera = Camera::Live { since: now };
            self.reason.clear();
            self.show(Shown::Camera);
        }
    }

    fn camera_failed(&mut self, reason: String, (absent, unannounced): (bool, bool), now: Instant) {
        match self.camera {
            Camera::Closed | Camera::Lost { .. } | Camera::Private => return,
            Camera::Opening { .. } => {}
            Camera::Live { since } => {
                if now.saturating_duration_since(since) > self.limits.retry.1 {
                    (self.failures, self.unannounced) = (0, false);
                }
            }
        }
        self.unannounced = !absent && (self.unannounced || unannounced);
        let longest = if absent && !self.announced {
            self.limits.absent_retry
        } else if self.unannounced {
            self.limits.signal_retry
        } else {
            self.limits.retry.1
        };
        let wait = doubled(self.limits.retry.0, self.failures, longest);
        let wait = spread(wait, 0.25, self.random.f64());
        self.failures += 1;
        self.reason = reason;
        self.camera = Camera::Lost {
            retry_at: now + wait,
        };
        self.show(Shown::Slate(Slate::Lost));
        self.actions.push_back(Action::CloseCamera);
    }
}

#[cfg(test)]
mod tests;
