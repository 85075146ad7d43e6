//! One viewer's stream: frames that are shared by all, under his own RTP
//! headers.
//!
//! When he is given another tier, what he has goes on until a key frame of the
//! other comes; SSRC, sequence numbers and timestamps go on over it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tracing::debug;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::burst::Waiting;
use super::clock::Captured;
use super::pacer::Pace;
use super::quality::{Assignment, Seat};
use crate::media::{Frame, Hub, Stream, Watch};

/// A key frame that was asked for and did not come is asked for again.
const KEY_FRAME_PATIENCE: Duration = Duration::from_millis(700);
/// A key frame may take so long to leave.
const KEY_FRAME_TIME: Duration = Duration::from_millis(500);
/// Frames that carry the playout delay after the start, until surely one
/// arrived; later ones carry it on key frames.
const DELAY_FRAMES: u32 = 60;
/// Packets that may wait for a viewer's connection: a second of 2 Mbit/s.
const BACKLOG: usize = 250;
/// A frame of another tier may be as old as the last one, but time does not
/// stand still for a viewer: 1 ms at 90 kHz.
const STEP: u32 = 90;
/// Minimum and maximum playout delay of zero, in units of 10 ms, 12 bits each.
const NO_DELAY: Bytes = Bytes::from_static(&[0, 0, 0]);

/// The RTP parameters that hold for one viewer and stream.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    pub ssrc: u32,
    pub payload_type: u8,
    /// The id negotiated for the playout-delay extension, if any.
    pub playout_delay: Option<u8>,
}

/// A stream that is kept running, and its frames.
struct Feed {
    stream: Stream,
    frames: Receiver<Arc<Frame>>,
    /// When a key frame was last asked for, while one is waited for. Sound
    /// needs none.
    key_wanted: Option<Instant>,
    _watch: Watch,
}

impl Feed {
    fn new(stream: Stream, watch: Watch, hub: &Hub) -> Self {
        let mut this = Self {
            stream,
            frames: watch.frames(),
            key_wanted: None,
            _watch: watch,
        };
        // Whoever comes needs one, whatever he asked for before.
        if stream != Stream::Audio {
            hub.request_key_frame(stream);
            this.key_wanted = Some(Instant::now());
        }
        this
    }

    /// A key frame does not come; it is to be asked for again.
    fn is_overdue(&mut self) -> bool {
        let overdue = self
            .key_wanted
            .is_some_and(|since| since.elapsed() > KEY_FRAME_PATIENCE);
        if overdue {
            self.key_wanted = Some(Instant::now());
        }
        overdue
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
    pub pace: Pace,
    pub captured: Captured,
    pub seat: Option<Arc<Seat>>,
    pub hub: Hub,
}

impl Sending {
    /// Sends frames until the connection or the stream ends. A viewer that lags
    /// skips to the next key frame and asks for one; nobody waits for him.
    pub async fn run(self, stream: Stream, watch: Watch) {
        let mut headers = Headers::new(&self.parameters, stream);
        let mut present = Feed::new(stream, watch, &self.hub);
        let mut next: Option<Feed> = None;
        let mut last_key: Option<Instant> = None;
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
                    Ok(frame) if frame.key => {
                        if let Some(next) = next.take() {
                            debug!(from = %present.stream, to = %next.stream, "switched");
                            present = next;
                        }
                        frame
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        if let Some(next) = &mut next
                            && next.is_overdue()
                        {
                            // His coming costs them one; it is not his wish.
                            self.hub.request_key_frame(next.stream);
                        }
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
                frame = present.frames.recv() => match frame {
                    Ok(frame) => frame,
                    Err(RecvError::Lagged(missed)) => {
                        debug!(%stream, missed, "the viewer lags; skipping to the next key frame");
                        self.want_key_frame(&mut present);
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
            };
            if present.key_wanted.is_some() && !frame.key {
                if present.is_overdue()
                    && let Some(seat) = &self.seat
                {
                    seat.request_key_frame();
                }
                continue;
            }
            if self.waiting.backlog() > BACKLOG {
                self.waiting.clear();
                debug!(%stream, "the viewer's connection does not keep up; skipping to the next key frame");
                self.want_key_frame(&mut present);
                continue;
            }
            let behind_key = last_key.is_some_and(|at| at.elapsed() < KEY_FRAME_TIME);
            if stream != Stream::Audio && self.pace.is_behind(behind_key) {
                debug!(%stream, "more than the viewer's path takes; skipping to the next key frame");
                self.want_key_frame(&mut present);
                continue;
            }
            present.key_wanted = None;
            if frame.key {
                last_key = Some(Instant::now());
            }
            let timestamp = headers.timestamp(&frame);
            self.captured.note(
                headers.header.ssrc,
                timestamp,
                frame.captured_at,
                stream.clock_rate(),
            );
            let is_video = stream != Stream::Audio;
            let timed = is_video.then_some(&frame);
            self.waiting.extend(headers.packets(&frame), timed);
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

    fn want_key_frame(&self, feed: &mut Feed) {
        if feed.stream == Stream::Audio {
            return;
        }
        feed.key_wanted = Some(Instant::now());
        if let Some(seat) = &self.seat {
            seat.request_key_frame();
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
    delay_frames: u32,
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
            delay_frames: DELAY_FRAMES,
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
            && header.set_extension(id, NO_DELAY).is_err()
        {
            debug!(id, "the playout-delay extension has an id we cannot write");
        }
        let last = frame.payloads.len() - 1;
        let is_audio = self.is_audio;
        frame.payloads.iter().enumerate().map(move |(i, payload)| {
            let mut packet = rtp::Packet {
                header: header.clone(),
                payload: payload.clone(),
            };
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
            playout_delay: None,
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
