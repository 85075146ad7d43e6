//! One viewer's stream: frames that are shared by all, under his own RTP
//! headers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing::debug;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::burst::Waiting;
use crate::media::{Frame, Hub, Stream};

/// A key frame that was asked for and did not come is asked for again.
const KEY_FRAME_PATIENCE: Duration = Duration::from_millis(700);
/// Frames that carry the playout delay after the start, until surely one
/// arrived; later ones carry it on key frames.
const DELAY_FRAMES: u32 = 60;
/// Packets that may wait for a viewer's connection: a second of 2 Mbit/s.
const BACKLOG: usize = 250;
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

/// Sends frames until the connection or the stream ends. A viewer that lags
/// skips to the next key frame and asks for one; nobody waits for him.
pub(super) async fn send(
    track: Arc<TrackLocalStaticRTP>,
    parameters: Parameters,
    stream: Stream,
    mut frames: Receiver<Arc<Frame>>,
    waiting: Waiting,
    hub: Hub,
) {
    let mut header = rtp::header::Header {
        version: 2,
        ssrc: parameters.ssrc,
        payload_type: parameters.payload_type,
        sequence_number: fastrand::u16(..0x8000),
        ..Default::default()
    };
    let offset = fastrand::u32(..);
    let mut delay_frames = DELAY_FRAMES;
    // Sound needs no key frame.
    let mut key_wanted = (stream != Stream::Audio).then(Instant::now);
    if key_wanted.is_some() {
        hub.request_key_frame(stream);
    }
    loop {
        let frame = match frames.recv().await {
            Ok(frame) => frame,
            Err(RecvError::Lagged(missed)) => {
                debug!(%stream, missed, "the viewer lags; skipping to the next key frame");
                if stream != Stream::Audio {
                    hub.request_key_frame(stream);
                    key_wanted = Some(Instant::now());
                }
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        if let Some(since) = key_wanted
            && !frame.key
        {
            if since.elapsed() > KEY_FRAME_PATIENCE {
                hub.request_key_frame(stream);
                key_wanted = Some(Instant::now());
            }
            continue;
        }
        if waiting.backlog() > BACKLOG {
            waiting.clear();
            debug!(%stream, "the viewer's connection does not keep up; skipping to the next key frame");
            if stream != Stream::Audio {
                hub.request_key_frame(stream);
                key_wanted = Some(Instant::now());
            }
            continue;
        }
        key_wanted = None;

        header.timestamp = frame.rtp_time.wrapping_add(offset);
        let delay = parameters
            .playout_delay
            .filter(|_| delay_frames > 0 || frame.key);
        delay_frames = delay_frames.saturating_sub(1);
        header.extensions.clear();
        header.extension = false;
        if let Some(id) = delay
            && header.set_extension(id, NO_DELAY).is_err()
        {
            debug!(id, "the playout-delay extension has an id we cannot write");
        }
        let last = frame.payloads.len() - 1;
        let packets = frame.payloads.iter().enumerate().map(|(i, payload)| {
            let mut packet = rtp::Packet {
                header: header.clone(),
                payload: payload.clone(),
            };
            // RFC 6184 §5.1, RFC 7741 §4.1: the last packet of a picture.
            packet.header.marker = i == last && stream != Stream::Audio;
            header.sequence_number = header.sequence_number.wrapping_add(1);
            packet
        });
        waiting.extend(packets, (stream != Stream::Audio).then_some(&frame));
        let signal = rtp::Packet {
            header: header.clone(),
            payload: Bytes::new(),
        };
        if track.write_rtp(signal).await.is_err() {
            return;
        }
    }
}
