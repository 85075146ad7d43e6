//! RTP of a viewer who may talk: judged by what can be read of it before it is
//! decrypted. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::Guard;
use crate::bucket::{Bucket, Rate};

/// Packets a second. Browsers send 50 of Opus; 100 are the most that it makes sense
/// to have.
const PACKETS: Rate = Rate {
    burst: 60.0,
    per_second: 110.0,
};
/// What of these is left to streams that are the viewer's for sure.
const LEFT: f64 = 0.5;
/// Streams of one viewer in a call; a browser begins a new one where a number is
/// taken.
const STREAMS: usize = 4;
/// Streams that may be theirs: anybody who forges their address can say so, and the crate
/// keeps something of each before it is decrypted. One that is theirs soon finds its turn.
const NEW: Rate = Rate {
    burst: STREAMS as f64,
    per_second: 0.5,
};
/// Bytes of a packet: an Ethernet frame's.
const LONGEST: usize = 1_472;
/// Of RTP's header (RFC 3550 §5.1).
const HEADER: usize = 12;

/// Whether they may talk now, and the stream of the last packet that was theirs for sure
/// (more than 32 bits where none was).
pub(in crate::peer) type Voice = (Arc<AtomicBool>, Arc<AtomicU64>);

/// What is let in of somebody's speech.
#[derive(Debug)]
pub(super) struct Speech {
    opus: u8,
    open: Arc<AtomicBool>,
    /// The stream of the last packet that was decrypted, if it is one.
    last: Arc<AtomicU64>,
    /// Streams of which a packet was; the newest first, as below.
    theirs: Vec<u32>,
    /// Others that were let in.
    tried: Vec<u32>,
    new: Bucket,
    budget: Bucket,
}

fn remember(streams: &mut Vec<u32>, stream: u32) {
    streams.truncate(STREAMS - 1);
    streams.insert(0, stream);
}

impl Speech {
    fn new(opus: u8, (open, last): Voice, now: Instant) -> Self {
        Self {
            opus,
            open,
            last,
            theirs: Vec::new(),
            tried: Vec::new(),
            new: Bucket::full(NEW, now),
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
        if let Ok(last) = u32::try_from(self.last.load(Ordering::Acquire))
            && !self.theirs.contains(&last)
        {
            remember(&mut self.theirs, last);
        }
        if self.theirs.contains(&stream) {
            return self.budget.take(1.0, now);
        }
        if !self.tried.contains(&stream) {
            if !self.new.take(1.0, now) {
                return false;
            }
            remember(&mut self.tried, stream);
        }
        self.budget.take_but(LEFT, 1.0, now)
    }
}

impl Guard {
    /// The viewer may talk, by Opus of this payload type.
    pub(crate) fn hears(&mut self, opus: u8, voice: Voice, now: Instant) {
        match &mut self.speech {
            Some(speech) => speech.is_in(opus),
            None => self.speech = Some(Speech::new(opus, voice, now)),
        }
    }
}
