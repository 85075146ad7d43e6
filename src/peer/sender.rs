//! One viewer's stream: frames that are shared by all, under his own RTP
//! headers.
//!
//! When he is given another tier, what he has goes on until a key frame of the
//! other comes; SSRC, sequence numbers and timestamps go on over it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tracing::debug;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::burst::Waiting;
use super::capture_time::CaptureTime;
use super::clock::Captured;
use super::estimate::Path;
use super::pacer::{KeyFrame, Pace};
use super::quality::{Assignment, Seat};
use super::red::Repeater;
use super::stats::Tally;
use crate::media::{Frame, Hub, Stream, Watch};

/// A key frame that was asked for and did not come is asked for again.
const KEY_FRAME_PATIENCE: Duration = Duration::from_millis(700);
/// Frames that carry the playout delay after the start, until surely one
/// arrived; later ones carry it on key frames.
const DELAY_FRAMES: u32 = 60;
/// A key frame of another tier is not sent into a queue this long, which would
/// drop some of it …
const FLOODED: Duration = Duration::from_millis(120);
/// … but no later than this: a path that is sent nothing tells nothing.
const DRAINED: Duration = Duration::from_millis(600);
/// Packets that may wait for a viewer's connection: a second of 2 Mbit/s.
const BACKLOG: usize = 250;
/// A frame of another tier may be as old as the last one, but time does not
/// stand still for a viewer: 1 ms at 90 kHz.
const STEP: u32 = 90;
/// Minimum and maximum playout delay, in units of 10 ms, 12 bits each: none.
const NO_DELAY: Bytes = Bytes::from_static(&[0, 0, 0]);
/// None either, but up to 400 ms to wait for the sound: a receiver that may not
/// delay the picture shows it as much too early as its jitter buffer of the
/// sound is long. Chromium shows at once what has to wait for nothing, up to a
/// maximum of 500 ms.
const DELAY_FOR_SOUND: Bytes = Bytes::from_static(&[0, 0, 40]);

/// The RTP parameters that hold for one viewer and stream.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
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

/// When a key frame was asked for: not yet, where it would find no room.
type Wanted = Option<Instant>;

/// A stream that is kept running, and its frames.
struct Feed {
    stream: Stream,
    frames: Receiver<Arc<Frame>>,
    /// A key frame is waited for. Sound needs none.
    key_wanted: Option<Wanted>,
    since: Instant,
    _watch: Watch,
}

impl Feed {
    fn new(stream: Stream, watch: Watch, hub: &Hub) -> Self {
        let mut this = Self {
            stream,
            frames: watch.frames(),
            key_wanted: None,
            since: Instant::now(),
            _watch: watch,
        };
        // Whoever comes needs one, whatever he asked for before.
        if stream != Stream::Audio {
            hub.request_key_frame(stream);
            this.key_wanted = Some(Some(Instant::now()));
        }
        this
    }

    /// A key frame is to be asked for, the first time or again since it does
    /// not come.
    fn is_due(&self) -> bool {
        self.key_wanted
            .is_some_and(|asked| asked.is_none_or(|at| at.elapsed() > KEY_FRAME_PATIENCE))
    }

    fn asked(&mut self) {
        self.key_wanted = Some(Some(Instant::now()));
    }
}

/// Frames of a feed that may not be there.
async fn next_frame(feed: &mut Option<Feed>) -> Result<Arc<Frame>, RecvError> {
    match feed {
        Some(feed) => feed.frames.recv().await,
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

/// What one stream of one viewer is sent with. Video has a seat.
pub(super) struct Sending {
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
    /// Sends frames until the connection or the stream ends. A viewer that lags
    /// skips to the next key frame and asks for one; nobody waits for him. One
    /// who is not reachable is sent nothing, and asks for one when he is back.
    pub async fn run(self, stream: Stream, watch: Watch) {
        let mut headers = Headers::new(&self.parameters, stream);
        let mut repeater = self.parameters.red.map(|red| {
            let opus = self.parameters.payload_type;
            Repeater::new(opus, red, self.path.clone())
        });
        let mut present = Feed::new(stream, watch, &self.hub);
        let mut next: Option<Feed> = None;
        let mut last_key: Option<KeyFrame> = None;
        // When a key frame was last asked for since packets are missing.
        let mut rescued: Option<Instant> = None;
        let mut away = false;
        let mut assigned = self.seat.as_ref().map(|seat| seat.assigned());
        loop {
            let frame = tokio::select! {
                assignment = changed(&mut assigned) => {
                    match assignment {
                        Some(assignment) => self.assigned(assignment, &present, &mut next),
                        None => assigned = None,
                    }
                    continue;
                }
                frame = next_frame(&mut next) => match frame {
                    Ok(frame) if frame.key && !self.is_flooded(next.as_ref()) => {
                        if let Some(next) = next.take() {
                            debug!(from = %present.stream, to = %next.stream, "switched");
                            present = next;
                        }
                        frame
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        let flooded = self.is_flooded(next.as_ref());
                        if let Some(next) = &mut next {
                            if flooded {
                                next.key_wanted = Some(None);
                            } else if next.is_due() {
                                // His coming costs them one; it is not his wish.
                                self.hub.request_key_frame(next.stream);
                                next.asked();
                            }
                        }
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
                frame = present.frames.recv() => match frame {
                    Ok(frame) => frame,
                    Err(RecvError::Lagged(missed)) => {
                        debug!(stream = %present.stream, missed, "the viewer lags; skipping to the next key frame");
                        self.left_out(stream, missed);
                        self.want_key_frame(&mut present);
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
            };
            if !*self.reachable.borrow() {
                away = true;
                continue;
            }
            if std::mem::take(&mut away) {
                debug!(stream = %present.stream, "the viewer is back");
                self.want_key_frame(&mut present);
            }
            if self.is_flooded(next.as_ref()) {
                present.key_wanted = Some(None);
                self.tally.left_out(1);
                continue;
            }
            if present.key_wanted.is_some() && !frame.key {
                self.ask(&mut present);
                self.tally.left_out(1);
                continue;
            }
            if self.waiting.backlog() > BACKLOG {
                self.waiting.clear();
                debug!(stream = %present.stream, "the viewer's connection does not keep up; skipping to the next key frame");
                self.left_out(stream, 1);
                self.want_key_frame(&mut present);
                continue;
            }
            let now = Instant::now();
            if stream != Stream::Audio && self.pace.is_behind(last_key, now) {
                debug!(stream = %present.stream, "more than the viewer's path takes; skipping to the next key frame");
                self.left_out(stream, 1);
                self.want_key_frame(&mut present);
                continue;
            }
            present.key_wanted = None;
            // He waits for what does not come; yet he may have got it another
            // way, so he is sent the frames between as well.
            if !frame.key
                && self.misses_for_good(last_key)
                && rescued.is_none_or(|at| at.elapsed() > KEY_FRAME_PATIENCE)
                && let Some(seat) = &self.seat
            {
                debug!(
                    stream = %present.stream,
                    "what the viewer misses would come too late; a key frame instead"
                );
                seat.request_key_frame();
                rescued = Some(now);
            }
            if frame.key {
                let bytes = frame.payloads.iter().map(Bytes::len).sum();
                last_key = Some(KeyFrame { bytes, at: now });
            }
            let timestamp = headers.timestamp(&frame);
            self.captured.note(
                headers.header.ssrc,
                timestamp,
                frame.captured_at,
                stream.clock_rate(),
            );
            let is_video = stream != Stream::Audio;
            if is_video {
                self.tally.picture();
            }
            let timed = is_video.then_some(&frame);
            let now = Instant::now();
            let packets = headers.packets(&frame);
            self.waiting.extend(
                packets.map(|packet| match &mut repeater {
                    Some(repeater) => repeater.protect(packet, now),
                    None => packet,
                }),
                timed,
            );
            if self.track.write_rtp(headers.signal()).await.is_err() {
                return;
            }
        }
    }

    fn assigned(&self, assignment: Assignment, present: &Feed, next: &mut Option<Feed>) {
        self.pace.thin(assignment.thinned);
        let stream = Stream::Video(assignment.encoding);
        if stream == present.stream {
            *next = None;
        } else if next.as_ref().is_none_or(|next| next.stream != stream) {
            *next = Some(Feed::new(stream, self.hub.watch(stream), &self.hub));
        }
    }

    /// He is to change to `next`, and what fills his path is to drain first.
    fn is_flooded(&self, next: Option<&Feed>) -> bool {
        next.is_some_and(|next| next.since.elapsed() < DRAINED)
            && self.path.estimate().queueing > FLOODED
    }

    /// A packet of what he was sent since the last key frame is given up.
    fn misses_for_good(&self, last_key: Option<KeyFrame>) -> bool {
        let sent = self.path.given_up();
        sent.is_some_and(|sent| last_key.is_some_and(|key| sent >= key.at))
    }

    fn left_out(&self, stream: Stream, frames: u64) {
        if stream != Stream::Audio {
            self.tally.left_out(frames);
        }
    }

    fn want_key_frame(&self, feed: &mut Feed) {
        if feed.stream == Stream::Audio {
            return;
        }
        feed.key_wanted = Some(None);
        self.ask(feed);
    }

    /// Asks for the key frame that is wanted, when it is time to.
    fn ask(&self, feed: &mut Feed) {
        if feed.is_due()
            && self.pace.has_room()
            && let Some(seat) = &self.seat
        {
            seat.request_key_frame();
            feed.asked();
        }
    }
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
                sequence_number: fastrand::u16(..0x8000),
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

    /// The timestamp of what was captured with this frame.
    fn timestamp(&self, frame: &Frame) -> u32 {
        frame.rtp_time.wrapping_add(self.offset)
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
            header.sequence_number = header.sequence_number.wrapping_add(1);
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
mod tests {
    use super::*;
    use crate::media::Encoding;

    fn frame(rtp_time: u32, packets: usize) -> Frame {
        let now = Instant::now();
        Frame {
            payloads: vec![Bytes::from_static(b"x"); packets],
            rtp_time,
            key: true,
            captured_at: now,
            encoder_in: None,
            encoded_at: now,
        }
    }

    fn headers() -> Headers {
        let parameters = Parameters {
            ssrc: 7,
            payload_type: 102,
            red: None,
            playout_delay: None,
            with_sound: false,
            capture_time: None,
        };
        Headers::new(&parameters, Stream::Video(Encoding::H264))
    }

    #[test]
    fn time_goes_on_where_another_tier_is_behind() {
        let mut headers = headers();
        // Across the wrap.
        headers.offset = u32::MAX - 4_000;
        let mut times = Vec::new();
        for rtp_time in [0, 3_000, 3_000, 2_990, 6_000] {
            let packet = headers.packets(&frame(rtp_time, 1)).next();
            times.push(packet.expect("one packet").header.timestamp);
        }
        let steps: Vec<_> = times.windows(2).map(|t| t[1].wrapping_sub(t[0])).collect();
        assert_eq!(steps, [3_000, STEP, STEP, 3_000 - 2 * STEP]);
    }

    #[test]
    fn sequence_numbers_follow_each_other_and_the_last_packet_is_marked() {
        let mut headers = headers();
        let mut packets: Vec<_> = headers.packets(&frame(0, 3)).collect();
        packets.extend(headers.packets(&frame(3_000, 2)));
        let first = packets[0].header.sequence_number;
        for (i, packet) in (0_u16..).zip(&packets) {
            assert_eq!(packet.header.sequence_number, first.wrapping_add(i));
        }
        let marked: Vec<_> = packets.iter().map(|p| p.header.marker).collect();
        assert_eq!(marked, [false, false, true, false, true]);
    }
}
