//! One source for all viewers: started by the first, stopped after the last.
//!
//! The hub is a thread that owns the [`Source`], since opening and closing
//! devices blocks. Frames do not pass through it: a source's own thread
//! payloads each access unit and hands the frame to all viewers at once.

pub(crate) mod keyframes;
pub(crate) mod progress;
pub(crate) mod recent;
pub mod source;
pub(crate) mod thread;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{broadcast, oneshot, watch};
use tracing::error;

use self::progress::{Counters, Progress};
use self::recent::Fan;
use self::source::{OpenCamera, OwnH264, Request, Shared, Source, Still, Successor};
use self::thread::Thread;
use super::duck::Duck;
use super::frame::Frame;
use super::latency::Latency;
use super::moved::Moves;
use super::status::MediaStatus;
use super::stream::{SoundCoding, Stream, VideoRate};
use crate::echo::Played;
use crate::lock::lock;
use crate::sdp::ProfileLevelId;

/// Frames a viewer may lag before they skip to the next key frame: half a
/// second of video.
const LAG: usize = 16;
/// The same for sound, 10 or 20 ms each.
const AUDIO_LAG: usize = 32;

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

/// Somebody who watches H.264; see [`Hub::decoder`].
pub struct Decoder {
    profile: ProfileLevelId,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let mut decoders = lock(&self.shared.decoders);
        if let Some(at) = decoders.iter().position(|d| *d == self.profile) {
            decoders.swap_remove(at);
        }
        drop(decoders);
        let _ = self.requests.send(Request::Decoders);
    }
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

    /// The same, and before them the key frame of a moment ago with all that
    /// followed, where there is one.
    pub(crate) fn frames_with_recent(
        &self,
    ) -> (VecDeque<Arc<Frame>>, broadcast::Receiver<Arc<Frame>>) {
        self.shared.frames[self.stream.index()].subscribe_with_recent(Instant::now())
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
        Self::start_so(source, profile, false)
    }

    /// The same; where `private`, no device is opened [until](Self::set_private) the
    /// owner lets it.
    pub(crate) fn start_so(
        source: Box<dyn Source>,
        profile: Option<ProfileLevelId>,
        private: bool,
    ) -> (Self, HubThread) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a few for each viewer, and who watches must not wait"
        )]
        let (requests, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            frames: Stream::ALL.map(|stream| match stream {
                Stream::Video(_) => Fan::new(LAG, true),
                Stream::Audio => Fan::new(AUDIO_LAG, false),
            }),
            profile: Mutex::new(profile),
            own: Mutex::default(),
            decoders: Mutex::default(),
            status: watch::Sender::default(),
            camera: Mutex::default(),
            progress: Counters::default(),
            encoded: Default::default(),
            key_frame_asked: Default::default(),
            latency: Arc::new(Latency::new(Instant::now())),
            moves: Arc::default(),
            duck: Duck::default(),
            played: Played::default(),
        });
        let mut thread = Thread::new(source, requests.clone(), shared.clone(), private);
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

    /// The same for who has just come to what others watch: eight at once, and then one in a
    /// second and a half for all who come.
    pub(crate) fn request_for_newcomer(&self, stream: Stream) {
        let _ = self.requests.send(Request::Newcomer(stream));
    }

    /// Somebody may watch soon: where the stream runs, a key frame is made that
    /// they find [when they come](Watch::frames_with_recent), one a second; fewer where
    /// `others_watch`.
    pub(crate) fn expect_viewer(&self, stream: Stream, others_watch: bool) {
        let _ = self.requests.send(Request::Expect(stream, others_watch));
    }

    /// Encodes a video stream so, now or when it is next started.
    pub fn set_rate(&self, stream: Stream, rate: VideoRate) {
        let _ = self.requests.send(Request::Rate(stream, rate));
    }

    /// Encodes the sound so, now and when it is next started.
    pub(crate) fn set_sound(&self, coding: SoundCoding) {
        let _ = self.requests.send(Request::Sound(coding));
    }

    /// Bytes that were encoded of a video stream so far.
    pub fn encoded(&self, stream: Stream) -> u64 {
        self.shared.encoded[stream.index()].load(Ordering::Relaxed)
    }

    /// Where the time of the picture's frames goes.
    pub fn latency(&self) -> &Arc<Latency> {
        &self.shared.latency
    }

    /// Who tells of motion.
    pub fn moves(&self) -> &Arc<Moves> {
        &self.shared.moves
    }

    /// Who tells the microphone when the speaker speaks.
    pub(crate) fn duck(&self) -> &Duck {
        &self.shared.duck
    }

    /// What the echo canceller is told of the speaker.
    pub(crate) fn played(&self) -> &Played {
        &self.shared.played
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
    pub(crate) fn device_appeared(&self) {
        let _ = self.requests.send(Request::DeviceAppeared);
    }

    /// Closes every device, and keeps them closed, while the owner wants privacy:
    /// who watches sees a slate and hears nothing.
    pub(crate) fn set_private(&self, private: bool) {
        let _ = self.requests.send(Request::Private(private));
    }

    /// Takes another source as soon as nobody watches this one: at once, or
    /// [some seconds](thread::GRACE) after the last viewer. `profile` is what is known
    /// of its H.264 stream. `then` is called on the hub's thread as it takes
    /// over, before anything of it is started: what is different about it holds
    /// from there on.
    pub(crate) fn replace_source(
        &self,
        source: Box<dyn Source>,
        profile: Option<ProfileLevelId>,
        then: impl FnOnce() + Send + 'static,
    ) {
        let _ = self.requests.send(Request::Replace(Successor {
            source,
            profile,
            then: Box::new(then),
        }));
    }

    /// What was done so far.
    pub(crate) fn progress(&self) -> Progress {
        self.shared.progress.read()
    }

    /// Has the thread take a turn, so that [`Progress::turns`] tells whether it
    /// still can.
    pub(crate) fn nudge(&self) {
        let _ = self.requests.send(Request::Wake);
    }

    /// The H.264 that the camera makes itself, as far as it is known.
    pub fn own_h264(&self) -> Option<OwnH264> {
        *lock(&self.shared.own)
    }

    /// Somebody watches H.264 with a decoder of this profile, for as long as the
    /// returned value lives. A camera's own H.264 that it does not cover is not
    /// passed through any more: the camera is opened anew where it is.
    pub(crate) fn decoder(&self, profile: ProfileLevelId) -> Decoder {
        lock(&self.shared.decoders).push(profile);
        let _ = self.requests.send(Request::Decoders);
        Decoder {
            profile,
            requests: self.requests.clone(),
            shared: self.shared.clone(),
        }
    }

    /// The next picture that viewers see, as a JPEG; nothing where there is none, or it
    /// is the slate.
    pub(crate) fn still(&self) -> oneshot::Receiver<Result<Bytes, String>> {
        self.still_of(None)
    }

    /// The same, so many pixels wide.
    pub(crate) fn thumbnail(&self, width: u32) -> oneshot::Receiver<Result<Bytes, String>> {
        self.still_of(Some(width))
    }

    fn still_of(&self, width: Option<u32>) -> oneshot::Receiver<Result<Bytes, String>> {
        let (to, picture) = oneshot::channel();
        let _ = self.requests.send(Request::Still(Still { to, width }));
        picture
    }

    /// Somebody watches H.264.
    pub(crate) fn has_decoders(&self) -> bool {
        !lock(&self.shared.decoders).is_empty()
    }

    /// What is to be said of the H.264 stream to somebody with a decoder of `theirs`
    /// who is to [watch](Self::decoder) it: the camera's own where that is passed
    /// through, else what the newest SPS of the encoder says; and the higher one of
    /// both levels, since the one may follow on the other.
    pub fn profile_level_id(&self, theirs: Option<ProfileLevelId>) -> Option<ProfileLevelId> {
        let encoded = *lock(&self.shared.profile);
        let decoders = lock(&self.shared.decoders);
        let is_covered = |own: &OwnH264| {
            let mut all = decoders.iter().chain(&theirs);
            all.all(|d| d.covers(own.profile))
        };
        match (self.own_h264().filter(is_covered), encoded) {
            (None, encoded) => encoded,
            (Some(own), None) => own.passes.then_some(own.profile),
            (Some(own), Some(encoded)) if own.passes => Some(own.profile.at_least(encoded)),
            (Some(own), Some(encoded)) => Some(encoded.at_least(own.profile)),
        }
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

#[cfg(test)]
mod tests;
