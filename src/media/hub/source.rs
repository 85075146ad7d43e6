//! What makes access units, and where it puts them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::progress::Counters;
use super::recent::Fan;
use crate::device::led;
use crate::echo::Played;
use crate::lock::lock;
use crate::media::duck::Duck;
use crate::media::error::MediaError;
use crate::media::frame::{AccessUnit, Packetizer, profile_level_id};
use crate::media::latency::{Latency, Stage};
use crate::media::liveness::Liveness;
use crate::media::moved::Moves;
use crate::media::status::{self, MediaStatus};
use crate::media::stream::{Encoding, SoundCoding, Stream, VideoRate};
use crate::sdp::ProfileLevelId;

/// One picture as a JPEG, for who waits for it; dropped where there is none.
#[derive(Debug)]
pub struct Still {
    /// They wait here.
    pub(crate) to: oneshot::Sender<Result<Bytes, String>>,
    /// In pixels; `None` for as the camera has it.
    pub(crate) width: Option<u32>,
}

/// Makes access units while somebody watches. Called from one thread of its
/// own, so its methods may block.
pub trait Source: Send {
    /// Given once, before anything else: calls for [`poll`](Self::poll) from
    /// any thread.
    fn attach(&mut self, waker: Waker) {
        let _ = waker;
    }

    /// Given once, after the waker: who is told of motion, by a source that looks
    /// for it.
    fn attach_moves(&mut self, moves: Arc<Moves>) {
        let _ = moves;
    }

    /// Given once, after the waker: when nothing is to be heard of the microphone, by
    /// a source that has one.
    fn attach_duck(&mut self, duck: Duck) {
        let _ = duck;
    }

    /// Given once, after the waker: what the speaker plays, by a source that has a
    /// microphone.
    fn attach_played(&mut self, played: Played) {
        let _ = played;
    }

    /// Begins `stream`; access units and failures go to `output`.
    ///
    /// A source that fails later either mends itself, or says so through
    /// [`Output::failure`] and is then asked to `stop` and, some time later,
    /// to `start` again.
    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError>;

    /// Ends `stream`. When no stream is left, every device is closed, but for a
    /// camera in whose picture motion is looked for.
    fn stop(&mut self, stream: Stream);

    /// Makes the next access unit of a video stream a key frame.
    fn force_key_frame(&mut self, stream: Stream);

    /// Encodes a video stream so from now on, or when it is started. A source
    /// that does not encode has nothing to change.
    fn set_rate(&mut self, stream: Stream, rate: VideoRate) {
        let _ = (stream, rate);
    }

    /// Encodes the sound so from now on. A source that does not encode has
    /// nothing to change.
    fn set_sound(&mut self, coding: SoundCoding) {
        let _ = coding;
    }

    /// Makes ready what can be made ready without opening a device; and opens the
    /// camera that is to be open while nobody watches.
    fn prepare(&mut self) {}

    /// Does what is due. Called after every other call, when the waker was
    /// used, and at the time that it returns.
    fn poll(&mut self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }

    /// The system announced a device.
    fn device_appeared(&mut self, now: Instant) {
        let _ = now;
    }

    /// How the picture is, for a source that knows better than whether access
    /// units come.
    fn picture(&self) -> Option<PictureStatus> {
        None
    }

    /// The owner wants every device closed, or no longer. True where viewers of
    /// the picture are shown a slate meanwhile; else the hub stops their streams.
    /// It stops the sound in any case.
    fn set_private(&mut self, private: bool) -> bool {
        let _ = private;
        false
    }

    /// Gives the next picture that viewers see to `still`. Opens nothing for it.
    fn still(&mut self, still: Still) {
        drop(still);
    }

    /// The profiles of those who watch H.264, from now on.
    fn set_decoders(&mut self, decoders: Vec<ProfileLevelId>) {
        let _ = decoders;
    }

    /// The H.264 that the camera makes itself, as far as it is known.
    fn own_h264(&self) -> Option<OwnH264> {
        None
    }

    /// A stream without an access unit for so long has failed.
    fn patience(&self, stream: Stream) -> Duration {
        let _ = stream;
        SILENCE
    }
}

/// What is known of the H.264 that a camera makes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnH264 {
    /// Of its SPS.
    pub profile: ProfileLevelId,
    /// It is what viewers of the whole picture are sent, or would be, were the
    /// camera opened now.
    pub passes: bool,
    /// The camera is open: what it passes stays.
    pub is_open: bool,
}

/// How the picture is.
#[derive(Debug, Clone, Default)]
pub struct PictureStatus {
    /// What viewers are told.
    pub status: status::StreamStatus,
    /// The camera that viewers see.
    pub camera: Option<OpenCamera>,
    /// Width and height in pixels of what is shown, the slate too.
    pub size: Option<(u32, u32)>,
}

/// A camera that is open, for who wants to open its node once more.
#[derive(Debug, Clone)]
pub struct OpenCamera {
    /// Its node.
    pub node: String,
    /// Its light.
    pub led: led::Led,
}

/// A stream that ran and makes nothing for so long has failed, though it said
/// nothing: devices do that.
pub(crate) const SILENCE: Duration = Duration::from_millis(1_500);

/// A source that takes another one's place.
pub(super) struct Successor {
    pub(super) source: Box<dyn Source>,
    pub(super) profile: Option<ProfileLevelId>,
    /// Called when it does.
    pub(super) then: Box<dyn FnOnce() + Send>,
}

pub(super) enum Request {
    Watch(Stream),
    Unwatch(Stream),
    KeyFrame(Stream),
    /// A key frame for who has come to what others watch.
    Newcomer(Stream),
    /// Somebody may need a key frame soon, and others watch or do not.
    Expect(Stream, bool),
    KeyFrameCame(Stream),
    Rate(Stream, VideoRate),
    Sound(SoundCoding),
    /// The first access unit of a run.
    Flowing(Stream, u64),
    Failed(Stream, u64, MediaError),
    /// The source wants to be polled.
    Wake,
    DeviceAppeared,
    /// The owner wants every device closed, or no longer.
    Private(bool),
    /// Somebody wants a picture.
    Still(Still),
    /// Others watch H.264.
    Decoders,
    /// Another source, as soon as nobody watches this one.
    Replace(Successor),
    Stop,
}

/// Has the source polled, from any thread; clones are cheap.
#[derive(Clone)]
pub struct Waker(pub(super) mpsc::Sender<Request>);

impl Waker {
    /// Calls for [`Source::poll`].
    pub(crate) fn wake(&self) {
        let _ = self.0.send(Request::Wake);
    }
}

pub(super) struct Shared {
    pub(super) frames: [Fan; Stream::COUNT],
    /// Of the H.264 that is encoded here.
    pub(super) profile: Mutex<Option<ProfileLevelId>>,
    /// Of the H.264 that the camera makes itself.
    pub(super) own: Mutex<Option<OwnH264>>,
    /// The profiles of those who watch H.264.
    pub(super) decoders: Mutex<Vec<ProfileLevelId>>,
    pub(super) status: watch::Sender<MediaStatus>,
    pub(super) camera: Mutex<Option<OpenCamera>>,
    pub(super) progress: Counters,
    /// Bytes that were encoded, from the beginning.
    pub(super) encoded: [AtomicU64; Stream::COUNT],
    /// A key frame request is on its way to the thread; viewers may ask as
    /// often as they like.
    pub(super) key_frame_asked: [AtomicBool; Stream::COUNT],
    pub(super) latency: Arc<Latency>,
    pub(super) moves: Arc<Moves>,
    pub(super) duck: Duck,
    pub(super) played: Played,
}

/// Access units are at least so far apart.
const STEP: Duration = Duration::from_millis(1);

/// Where a source puts the access units of one run of one stream.
pub struct Output {
    pub(super) stream: Stream,
    pub(super) run: u64,
    pub(super) pulse: Arc<Liveness>,
    /// The last access unit's running time.
    pub(super) last: Duration,
    pub(super) packetizer: Packetizer,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) shared: Arc<Shared>,
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
                // What is passed through is no encoder's.
                let is_own = |own: OwnH264| own.passes || own.profile == profile;
                if !lock(&self.shared.own).is_some_and(is_own) {
                    *lock(&self.shared.profile) = Some(profile);
                }
            }
        }
        if let Some(frame) = self.packetizer.packetize(unit) {
            self.shared.frames[self.stream.index()].send(frame);
        }
    }

    /// Says that no more will come of this run.
    pub(crate) fn failure(&self) -> Failure {
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
    pub(super) stream: Stream,
    pub(super) run: u64,
    pub(super) requests: mpsc::Sender<Request>,
}

impl Failure {
    /// Reports the failure. A run that was already stopped is no news.
    pub fn report(&self, error: MediaError) {
        let _ = self
            .requests
            .send(Request::Failed(self.stream, self.run, error));
    }
}
