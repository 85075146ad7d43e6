//! One viewer's stream: frames that are shared by all, under RTP headers of
//! their own.
//!
//! What of it is sent is decided by the [`Gate`]; this carries it out. When a
//! viewer is given another tier, what they have goes on until a key frame of
//! the other comes; SSRC, sequence numbers and timestamps go on over it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tracing::debug;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::capture_time::CaptureTime;
use super::gate::{Ask, Decision, Gate, Picture, SOUND_KEEPS, Sight, Verdict, Why};
use super::red::Repeater;
use crate::media::frame::Frame;
use crate::media::hub::recent::size;
use crate::media::hub::{Hub, Watch};
use crate::media::stream::Stream;
use crate::peer::interceptor::burst::Waiting;
use crate::peer::interceptor::clock::Captured;
use crate::peer::interceptor::pacer::Pace;
use crate::peer::path::known::Path;
use crate::peer::quality::{Assignment, Seat};
use crate::peer::stats::Tally;

/// Frames that carry the playout delay after the start, until surely one
/// arrived; later ones carry it on key frames.
const DELAY_FRAMES: u32 = 60;
/// A frame of another tier may be as old as the last one, but time does not
/// stand still for a viewer: 1 ms at 90 kHz.
const STEP: u32 = 90;
/// A packet of sound: 20 ms at 48 kHz.
const SOUND_STEP: u32 = 960;
/// Minimum and maximum playout delay, in units of 10 ms, 12 bits each: none.
const NO_DELAY: Bytes = Bytes::from_static(&[0, 0, 0]);
/// None either, but up to 400 ms to wait for the sound: a receiver that may not
/// delay the picture shows it as much too early as its jitter buffer of the
/// sound is long. Chromium shows at once what has to wait for nothing, up to a
/// maximum of 500 ms.
const DELAY_FOR_SOUND: Bytes = Bytes::from_static(&[0, 0, 40]);

/// The RTP parameters that hold for one viewer and stream.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Parameters {
    pub ssrc: u32,
    pub payload_type: u8,
    /// That of packets of sound which repeat earlier ones, if negotiated.
    pub red: Option<u8>,
    /// The id negotiated for the playout-delay extension, if any.
    pub playout_delay: Option<u8>,
    /// The viewer is sent sound with this picture.
    pub with_sound: bool,
    /// The id negotiated for the time of capture.
    pub capture_time: Option<u8>,
}

/// A stream that is kept running, and its frames.
struct Feed {
    stream: Stream,
    /// Of a moment ago.
    recent: VecDeque<Arc<Frame>>,
    frames: Receiver<Arc<Frame>>,
    _watch: Watch,
}

impl Feed {
    /// From now on.
    fn new(stream: Stream, watch: Watch) -> Self {
        Self {
            stream,
            recent: VecDeque::new(),
            frames: watch.frames(),
            _watch: watch,
        }
    }

    /// From the key frame of a moment ago, where what follows on it is no more
    /// than so many bytes.
    fn from_recent(stream: Stream, watch: Watch, most: f64) -> Self {
        let (mut recent, frames) = watch.frames_with_recent();
        if recent.iter().skip(1).map(|f| size(f) as f64).sum::<f64>() > most {
            recent.clear();
        }
        Self {
            stream,
            recent,
            frames,
            _watch: watch,
        }
    }

    async fn recv(&mut self) -> Result<Arc<Frame>, RecvError> {
        match self.recent.pop_front() {
            Some(frame) => Ok(frame),
            None => self.frames.recv().await,
        }
    }
}

/// What a viewer is sent, and what they are to change to.
struct Feeds {
    present: Feed,
    next: Option<Feed>,
}

/// What comes to a viewer's picture.
enum News {
    /// Another tier; `None` when there will be no other any more.
    Assigned(Option<Assignment>),
    Present(Result<Arc<Frame>, RecvError>),
    Next(Result<Arc<Frame>, RecvError>),
}

/// Frames of a feed that may not be there.
async fn next_frame(feed: &mut Option<Feed>) -> Result<Arc<Frame>, RecvError> {
    match feed {
        Some(feed) => feed.recv().await,
        None => std::future::pending().await,
    }
}

async fn changed(assigned: &mut Option<watch::Receiver<Assignment>>) -> Option<Assignment> {
    match assigned {
        Some(receiver) => match receiver.changed().await {
            Ok(()) => Some(*receiver.borrow_and_update()),
            Err(_) => None,
        },
        None => std::future::pending().await,
    }
}

impl From<&Frame> for Picture {
    fn from(frame: &Frame) -> Self {
        Self {
            key: frame.key,
            bytes: size(frame),
        }
    }
}

/// The connection or the stream is over.
struct Over;

/// What one stream of one viewer is sent with. Video has a seat.
pub(in crate::peer) struct Sending {
    pub track: Arc<TrackLocalStaticRTP>,
    pub parameters: Parameters,
    pub waiting: Waiting,
    pub path: Path,
    pub pace: Pace,
    pub captured: Captured,
    pub tally: Tally,
    pub seat: Option<Arc<Seat>>,
    pub hub: Hub,
    pub reachable: watch::Receiver<bool>,
}

impl Sending {
    /// Sends frames until the connection or the stream ends. Nobody waits for a
    /// viewer who lags.
    pub(crate) async fn run(self, stream: Stream, watch: Watch) {
        let mut out = Out {
            headers: Headers::new(&self.parameters, stream),
            repeater: self.parameters.red.map(|red| {
                let opus = self.parameters.payload_type;
                Repeater::new(opus, red, self.path.clone())
            }),
            stream,
        };
        // Ends are ordinary here.
        let Err(Over) = match stream {
            Stream::Audio => self.sound(Feed::new(stream, watch), &mut out).await,
            Stream::Video(_) => {
                let most = self.pace.room_for_followers();
                let feed = Feed::from_recent(stream, watch, most);
                self.pictures(feed, &mut out).await
            }
        };
    }

    async fn sound(&self, mut feed: Feed, out: &mut Out) -> Result<Infallible, Over> {
        loop {
            let frame = match feed.recv().await {
                Ok(frame) => frame,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return Err(Over),
            };
            if !*self.reachable.borrow() {
                continue;
            }
            if self.waiting.stalled(Instant::now()) > SOUND_KEEPS {
                self.waiting.drop_stream(self.parameters.ssrc, false);
            }
            self.send(&frame, out).await?;
        }
    }

    async fn pictures(&self, present: Feed, out: &mut Out) -> Result<Infallible, Over> {
        if present.recent.is_empty() {
            self.needs_key_frame(present.stream);
        }
        let mut gate = Gate::new(Instant::now());
        let mut feeds = Feeds {
            present,
            next: None,
        };
        let mut assigned = self.seat.as_ref().map(|seat| seat.assigned());
        loop {
            let news = tokio::select! {
                assignment = changed(&mut assigned) => News::Assigned(assignment),
                frame = next_frame(&mut feeds.next) => News::Next(frame),
                frame = feeds.present.recv() => News::Present(frame),
            };
            let sight = self.sight(&gate);
            let (decision, frame) = match news {
                News::Assigned(None) => {
                    assigned = None;
                    continue;
                }
                News::Assigned(Some(assignment)) => {
                    self.assigned(assignment, &mut feeds, &mut gate);
                    continue;
                }
                News::Next(Ok(frame)) => {
                    let decision = gate.next((&*frame).into(), &sight);
                    if decision.switch {
                        self.count(decision, 1);
                    }
                    (decision, Some(frame))
                }
                News::Next(Err(RecvError::Lagged(_))) => (gate.next_lagged(&sight), None),
                News::Present(Ok(frame)) => {
                    let decision = gate.present((&*frame).into(), &sight);
                    self.count(decision, 1);
                    (decision, Some(frame))
                }
                News::Present(Err(RecvError::Lagged(missed))) => {
                    let decision = gate.lagged(&sight);
                    self.count(decision, missed);
                    (decision, None)
                }
                News::Present(Err(RecvError::Closed)) | News::Next(Err(RecvError::Closed)) => {
                    return Err(Over);
                }
            };
            self.carry_out(decision, &mut feeds);
            if let (Verdict::Send, Some(frame)) = (decision.verdict, frame) {
                self.send(&frame, out).await?;
            }
        }
    }

    fn needs_key_frame(&self, stream: Stream) {
        match &self.seat {
            Some(seat) => seat.needs_key_frame(stream),
            None => self.hub.request_key_frame(stream),
        }
    }

    fn sight(&self, gate: &Gate) -> Sight {
        let now = Instant::now();
        Sight {
            now,
            reachable: *self.reachable.borrow(),
            stalled: self.waiting.stalled(now),
            queueing: self.path.estimate().queueing,
            behind: self.pace.is_behind(gate.last_key(), now),
            has_room: self.pace.has_room(),
            given_up: self.path.given_up(),
        }
    }

    /// Another tier, or the same one thinned.
    fn assigned(&self, assignment: Assignment, feeds: &mut Feeds, gate: &mut Gate) {
        self.pace.thin(assignment.thinned);
        let stream = Stream::Video(assignment.encoding);
        if stream == feeds.present.stream {
            feeds.next = None;
            gate.change(false, Instant::now());
        } else if feeds.next.as_ref().is_none_or(|next| next.stream != stream) {
            feeds.next = Some(Feed::new(stream, self.hub.watch(stream)));
            // Their coming costs the others one; it is not their wish.
            self.needs_key_frame(stream);
            gate.change(true, Instant::now());
        }
    }

    /// Counts the pictures of the present stream that are left out while the
    /// viewer is there.
    fn count(&self, decision: Decision, pictures: u64) {
        match decision.verdict {
            Verdict::Send | Verdict::Skip(Why::Away) => {}
            Verdict::Skip(_) => self.tally.left_out(pictures),
        }
    }

    fn carry_out(&self, decision: Decision, feeds: &mut Feeds) {
        if decision.switch
            && let Some(next) = feeds.next.take()
        {
            debug!(from = %feeds.present.stream, to = %next.stream, "switched");
            feeds.present = next;
        }
        if decision.drop_waiting {
            self.waiting.drop_stream(self.parameters.ssrc, true);
        }
        if decision.resumed {
            debug!("the viewer's connection goes on");
            // What waited in it says nothing of the path.
            self.path.moved(Instant::now());
        }
        let Some(ask) = decision.ask else {
            return;
        };
        debug!(stream = %feeds.present.stream, ?ask, verdict = ?decision.verdict, "a key frame is needed");
        match (ask, &self.seat, &feeds.next) {
            (Ask::Present, Some(seat), _) => seat.request_key_frame(),
            (Ask::Next, _, Some(next)) => self.needs_key_frame(next.stream),
            _ => {}
        }
    }

    async fn send(&self, frame: &Arc<Frame>, out: &mut Out) -> Result<(), Over> {
        let Out {
            headers,
            repeater,
            stream,
        } = out;
        let timestamp = headers.timestamp(frame);
        self.captured.note(
            headers.header.ssrc,
            timestamp,
            frame.captured_at,
            stream.clock_rate(),
        );
        let is_video = *stream != Stream::Audio;
        if is_video {
            self.tally.picture();
        }
        let now = Instant::now();
        let packets = headers.packets(frame);
        self.waiting.extend(
            packets.map(|packet| match repeater {
                Some(repeater) => repeater.protect(packet, now),
                None => packet,
            }),
            is_video.then_some(frame),
            now,
        );
        let written = self.track.write_rtp(headers.signal()).await;
        written.map_err(|_| Over)
    }
}

/// How one stream is written.
struct Out {
    headers: Headers,
    repeater: Option<Repeater>,
    stream: Stream,
}

/// The headers of one stream of one viewer.
struct Headers {
    header: rtp::header::Header,
    is_audio: bool,
    offset: u32,
    /// The last frame's timestamp.
    last: Option<u32>,
    playout_delay: Option<u8>,
    delay: Bytes,
    delay_frames: u32,
    capture_time: Option<CaptureTime>,
}

impl Headers {
    fn new(parameters: &Parameters, stream: Stream) -> Self {
        Self {
            header: rtp::header::Header {
                version: 2,
                ssrc: parameters.ssrc,
                payload_type: parameters.payload_type,
                ..Default::default()
            },
            is_audio: stream == Stream::Audio,
            offset: fastrand::u32(..),
            last: None,
            playout_delay: parameters.playout_delay,
            delay: match parameters.with_sound {
                true => DELAY_FOR_SOUND,
                false => NO_DELAY,
            },
            delay_frames: DELAY_FRAMES,
            capture_time: parameters.capture_time.map(CaptureTime::new),
        }
    }

    /// The timestamp of what was captured with this frame. Sound that would step
    /// back goes on behind what was sent instead, and stays there.
    fn timestamp(&mut self, frame: &Frame) -> u32 {
        let timestamp = frame.rtp_time.wrapping_add(self.offset);
        match self.last {
            Some(last) if self.is_audio && timestamp.wrapping_sub(last).cast_signed() <= 0 => {
                let on = last.wrapping_add(SOUND_STEP);
                self.offset = self.offset.wrapping_add(on.wrapping_sub(timestamp));
                on
            }
            _ => timestamp,
        }
    }

    fn packets(&mut self, frame: &Frame) -> impl Iterator<Item = rtp::Packet> {
        let mut timestamp = self.timestamp(frame);
        let header = &mut self.header;
        if !self.is_audio
            && let Some(last) = self.last
            && (timestamp.wrapping_sub(last.wrapping_add(STEP)) as i32) < 0
        {
            timestamp = last.wrapping_add(STEP);
        }
        self.last = Some(timestamp);
        header.timestamp = timestamp;
        let delay = self
            .playout_delay
            .filter(|_| self.delay_frames > 0 || frame.key);
        self.delay_frames = self.delay_frames.saturating_sub(1);
        header.extensions.clear();
        header.extension = false;
        if let Some(id) = delay
            && header.set_extension(id, self.delay.clone()).is_err()
        {
            debug!(id, "the playout-delay extension has an id we cannot write");
        }
        let mut captured = self.capture_time.as_mut().and_then(|time| {
            let bytes = time.of(frame.captured_at, Instant::now(), SystemTime::now())?;
            Some((time.id, bytes))
        });
        let last = frame.payloads.len() - 1;
        let is_audio = self.is_audio;
        frame.payloads.iter().enumerate().map(move |(i, payload)| {
            let mut packet = rtp::Packet {
                header: header.clone(),
                payload: payload.clone(),
            };
            // The first packet of a frame speaks for all.
            if let Some((id, bytes)) = captured.take()
                && packet.header.set_extension(id, bytes).is_err()
            {
                debug!(id, "the capture-time extension has an id we cannot write");
            }
            // RFC 6184 §5.1, RFC 7741 §4.1: the last packet of a picture.
            packet.header.marker = i == last && !is_audio;
            packet
        })
    }

    /// A packet for the driver to run on; it is not sent itself.
    fn signal(&self) -> rtp::Packet {
        rtp::Packet {
            header: self.header.clone(),
            payload: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests;
