//! A source that replays recorded access units: no camera, no encoder, no
//! GStreamer. For tests, benches, and measuring the way to the viewers alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::bitstream::nal;
use super::error::MediaError;
use super::frame::AccessUnit;
use super::hub::source::{Output, Source};
use super::stream::{Encoding, Stream};
use crate::sdp::VideoCodec;

/// 20 ms of digital silence in Opus (RFC 6716: one CELT frame, all zero).
const OPUS_SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];
const OPUS_INTERVAL: Duration = Duration::from_millis(20);

/// Plays an H.264 recording in a loop, and silence.
///
/// A forced key frame is the loop's beginning. Every tier is the same picture.
/// VP8 is refused.
pub struct Replay {
    units: Arc<[Bytes]>,
    interval: Duration,
    epoch: Instant,
    players: HashMap<Stream, Player>,
}

struct Player {
    rewind: Arc<AtomicBool>,
    stop: mpsc::SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Replay {
    /// Plays `recording`, a byte-stream with one slice a frame that begins
    /// with SPS, PPS and IDR, at `fps` frames a second.
    pub fn new(recording: &[u8], fps: u32) -> Self {
        Self {
            units: access_units(recording).into(),
            interval: Duration::from_secs(1) / fps.max(1),
            epoch: Instant::now(),
            players: HashMap::new(),
        }
    }
}

impl Source for Replay {
    fn start(&mut self, stream: Stream, mut output: Output) -> Result<(), MediaError> {
        let (units, interval): (Arc<[Bytes]>, _) = match stream {
            Stream::Video(Encoding {
                codec: VideoCodec::H264,
                ..
            }) => (self.units.clone(), self.interval),
            Stream::Audio => (Arc::from([Bytes::from_static(OPUS_SILENCE)]), OPUS_INTERVAL),
            Stream::Video(Encoding {
                codec: VideoCodec::Vp8,
                ..
            }) => {
                return Err(MediaError::NoEncoder {
                    codec: VideoCodec::Vp8,
                    reasons: "a recording has one codec".into(),
                });
            }
        };
        let (stop, stopped) = mpsc::sync_channel(0);
        let rewind = Arc::new(AtomicBool::new(false));
        let rewound = rewind.clone();
        let epoch = self.epoch;
        let thread = std::thread::spawn(move || {
            let mut position = 0;
            let mut due = Instant::now();
            loop {
                if rewound.swap(false, Ordering::Relaxed) {
                    position = 0;
                }
                let Some(data) = units.get(position) else {
                    return;
                };
                let now = Instant::now();
                output.access_unit(AccessUnit {
                    data: data.clone(),
                    key: position == 0 || stream == Stream::Audio,
                    running_time: due.saturating_duration_since(epoch),
                    captured_at: now,
                    encoder_in: None,
                    encoded_at: now,
                });
                position = (position + 1) % units.len();
                due += interval;
                let wait = due.saturating_duration_since(Instant::now());
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        let player = Player {
            rewind,
            stop,
            thread: Some(thread),
        };
        self.players.insert(stream, player);
        Ok(())
    }

    fn stop(&mut self, stream: Stream) {
        self.players.remove(&stream);
    }

    fn force_key_frame(&mut self, stream: Stream) {
        if let Some(player) = self.players.get(&stream) {
            player.rewind.store(true, Ordering::Relaxed);
        }
    }
}

/// The access units of a byte stream with one slice a picture.
pub fn access_units(stream: &[u8]) -> Vec<Bytes> {
    let stream = Bytes::copy_from_slice(stream);
    let mut units = Vec::new();
    let mut begin = 0;
    for unit in nal::units(&stream) {
        let header = stream.get(unit.start).unwrap_or(&0);
        if matches!(header & 0x1f, 1 | 5) {
            units.push(stream.slice(begin..unit.end));
            begin = unit.end;
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_cut_behind_each_slice() {
        let recording = [
            0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 3, 0, 0, 1, 0x41, 4,
        ];
        let units = access_units(&recording);
        assert_eq!(units.len(), 2);
        assert_eq!(units[0][..], recording[..15]);
        assert_eq!(units[1][..], recording[15..]);
    }
}
