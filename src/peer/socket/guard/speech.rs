//! RTP of a viewer who may talk: judged by what can be read of it before it is
//! decrypted. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Guard;
use crate::bucket::{Bucket, Rate};

/// Packets a second. Browsers send 50 of Opus; 100 are the most that it makes sense
/// to have.
const PACKETS: Rate = Rate {
    burst: 60.0,
    per_second: 110.0,
};
/// Streams of one viewer in a call; a browser begins a new one where a number is
/// taken. The crate keeps something of each.
const STREAMS: usize = 4;
/// Bytes of a packet: an Ethernet frame's.
const LONGEST: usize = 1_472;
/// Of RTP's header (RFC 3550 §5.1).
const HEADER: usize = 12;

/// What is let in of somebody's speech.
#[derive(Debug)]
pub(super) struct Speech {
    opus: u8,
    open: Arc<AtomicBool>,
    streams: Vec<u32>,
    budget: Bucket,
}

impl Speech {
    fn new(opus: u8, open: Arc<AtomicBool>, now: Instant) -> Self {
        Self {
            opus,
            open,
            streams: Vec::new(),
            budget: Bucket::full(PACKETS, now),
        }
    }

    /// The payload type from now on.
    fn is_in(&mut self, opus: u8) {
        self.opus = opus;
    }

    /// True for a packet that may be decrypted.
    pub(super) fn takes(&mut self, datagram: &[u8], now: Instant) -> bool {
        if !self.open.load(Ordering::Acquire)
            || !(HEADER..=LONGEST).contains(&datagram.len())
            || datagram[1] & 0x7f != self.opus
        {
            return false;
        }
        let stream = [datagram[8], datagram[9], datagram[10], datagram[11]];
        let stream = u32::from_be_bytes(stream);
        if !self.streams.contains(&stream) {
            if self.streams.len() == STREAMS {
                return false;
            }
            self.streams.push(stream);
        }
        self.budget.take(1.0, now)
    }
}

impl Guard {
    /// The viewer may talk, by Opus of this payload type, while it is `open`.
    pub(crate) fn hears(&mut self, opus: u8, open: Arc<AtomicBool>, now: Instant) {
        match &mut self.speech {
            Some(speech) => speech.is_in(opus),
            None => self.speech = Some(Speech::new(opus, open, now)),
        }
    }
}
