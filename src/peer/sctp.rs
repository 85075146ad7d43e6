//! What a viewer may send of SCTP (RFC 9260): as much as data channels need of a
//! page, in the shape that a browser writes. Pure.
//!
//! Whoever has done the handshake of DTLS speaks to the crate's SCTP, with words
//! that nobody else can read. The crate walks over each number that a FORWARD TSN
//! leaves out, which may be two thousand million; it makes an association for each
//! INIT, keeps each request to reset a stream whose time has not come, answers all
//! of those anew at each DATA, keeps DATA of any number and any stream, and a
//! message without end beyond any window. So each packet is looked at when it has
//! been decrypted, before the crate reads it: whether it [can be read in one way
//! only](chunk), and whether it is what two ends in this state have to say. One that
//! does not pass is lost, as on any path.
//!
//! How far the two are is told by our own SACKs, which no viewer can write.

mod chunk;
#[cfg(test)]
mod tests;
#[cfg(any(test, fuzzing))]
pub(super) mod write;

use std::time::Instant;

use crate::bucket::{Bucket, Rate};
use chunk::{
    COOKIE_ECHO, Chunk, DATA, FORWARD_TSN, INIT, INIT_ACK, OUTGOING_RESET, RECONFIG, SACK, chunks,
    read,
};

/// Chunks, a second; each block of a SACK counts as one too. A page that sends as
/// much as it may needs 50.
const CHUNKS: Rate = Rate {
    burst: 400.0,
    per_second: 200.0,
};
/// SACKs that our own DATA are worth, one each: half of them are answered (RFC 9260
/// §6.2), and of what was said long ago nothing is.
const OWED: usize = 256;
/// How far ahead of what we have acknowledged a number may be: beyond what fits into
/// a browser's first windows.
const AHEAD: u32 = 512;
/// New numbers of DATA since our window was last open in full, that is, since all
/// had been read. The longest message has some hundred, and behind a hole there may
/// be as many as [`AHEAD`] says.
const UNREAD: u32 = 1_024;
/// The same of the very next one, by which a window that has closed is asked about
/// (RFC 9260 §6.1).
const PROBES: u32 = 64;
/// Packets of the association's beginning (RFC 9260 §5.1), with what is sent again.
const BEGINNINGS: usize = 16;
/// Streams that hold DATA. A packet has room for the beginnings of some forty, and
/// who opens so many is told that these are
/// [too many channels](super::connection).
const STREAMS: usize = 64;
/// Requests to reset streams (RFC 6525 §4.1): one for each channel that is closed.
const RESETS: usize = 8;
/// Blocks and doublets of one SACK.
const BLOCKS: usize = 32;

/// One connection's SCTP, as far as it has to be known.
#[derive(Debug)]
pub(super) struct Sctp {
    chunks: Bucket,
    /// SACKs, and their blocks, that cost nothing: for what we have sent.
    owed: usize,
    /// The number before their first one, and the last one that we acknowledged.
    before: Option<u32>,
    acknowledged: Option<u32>,
    /// The widest window that we had for them, in bytes.
    window: u32,
    /// The highest number of theirs that passed, and how far it has come since all
    /// was read.
    highest: u32,
    unread: u32,
    beginnings: usize,
    /// Their tag and their first number, as they first said them.
    began: Option<[u8; 8]>,
    streams: Vec<u16>,
    /// The numbers of their requests.
    resets: Vec<u32>,
}

impl Sctp {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            chunks: Bucket::full(CHUNKS, now),
            owed: 0,
            before: None,
            acknowledged: None,
            window: 0,
            highest: 0,
            unread: 0,
            beginnings: 0,
            began: None,
            streams: Vec::new(),
            resets: Vec::new(),
        }
    }

    /// A packet of ours.
    pub(super) fn says(&mut self, packet: &[u8]) {
        for chunk in chunks(packet).into_iter().flatten() {
            if chunk.kind == DATA {
                self.owed = (self.owed + 1).min(OWED);
            }
            // All three have the window behind a number (RFC 9260 §§3.3.2 to 3.3.4).
            let (INIT | INIT_ACK | SACK) = chunk.kind else {
                continue;
            };
            let (Some(number), Some(window)) = (chunk.number(0), chunk.number(4)) else {
                continue;
            };
            self.window = self.window.max(window);
            if chunk.kind != SACK {
                continue;
            }
            if self.last().is_none() || is_after(number, self.highest) {
                self.highest = number;
            }
            self.acknowledged = Some(number);
            if window == self.window {
                self.unread = self.highest.wrapping_sub(number);
            }
        }
    }

    /// True where a packet of theirs may be read.
    pub(super) fn hears(&mut self, packet: &[u8], now: Instant) -> bool {
        let Some(chunks) = read(packet) else {
            return false;
        };
        let cost: usize = chunks.iter().map(|chunk| self.cost(chunk)).sum();
        self.chunks.take(cost as f64, now) && chunks.iter().all(|chunk| self.passes(chunk))
    }

    /// Who is sent a file says often that it has come.
    fn cost(&mut self, chunk: &Chunk<'_>) -> usize {
        let free = match chunk.kind {
            SACK => chunk.cost().min(self.owed),
            _ => 0,
        };
        self.owed -= free;
        chunk.cost() - free
    }

    fn passes(&mut self, chunk: &Chunk<'_>) -> bool {
        match chunk.kind {
            DATA => self.data(chunk),
            INIT | INIT_ACK | COOKIE_ECHO => self.begins(chunk),
            SACK => chunk.blocks().is_some_and(|blocks| blocks <= BLOCKS),
            RECONFIG => self.resets(chunk),
            FORWARD_TSN => {
                chunk.value.len() <= 4 * (1 + STREAMS)
                    && chunk.number(0).is_some_and(|tsn| self.is_near(tsn))
            }
            _ => true,
        }
    }

    /// DATA (RFC 9260 §3.3.1).
    fn data(&mut self, chunk: &Chunk<'_>) -> bool {
        let (Some(tsn), Some(stream)) = (chunk.number(0), chunk.short(4)) else {
            return false;
        };
        if !self.has_room(tsn) {
            return false;
        }
        if !self.streams.contains(&stream) {
            if self.streams.len() == STREAMS {
                return false;
            }
            self.streams.push(stream);
        }
        true
    }

    fn has_room(&mut self, tsn: u32) -> bool {
        if !self.is_near(tsn) {
            return false;
        }
        if is_after(tsn, self.highest) {
            let unread = self.unread + tsn.wrapping_sub(self.highest);
            let is_next = self.last() == Some(tsn.wrapping_sub(1));
            if unread > UNREAD + if is_next { PROBES } else { 0 } {
                return false;
            }
            (self.highest, self.unread) = (tsn, unread);
        }
        true
    }

    /// An association is made once: nothing begins anew behind our first SACK.
    fn begins(&mut self, chunk: &Chunk<'_>) -> bool {
        self.beginnings += 1;
        if self.beginnings > BEGINNINGS {
            return false;
        }
        if chunk.kind == COOKIE_ECHO {
            return true;
        }
        // Tag, window, streams, the first number (§§3.3.2, 3.3.3).
        let (Some(tag), Some(tsn)) = (chunk.value.first_chunk::<4>(), chunk.number(12)) else {
            return false;
        };
        let mut this = [0; 8];
        this[..4].copy_from_slice(tag);
        this[4..].copy_from_slice(&tsn.to_be_bytes());
        if self.began.is_none() && self.acknowledged.is_none() {
            self.began = Some(this);
            self.highest = tsn.wrapping_sub(1);
            self.before = Some(self.highest);
        }
        self.acknowledged.is_none() && self.began == Some(this)
    }

    /// RE-CONFIG (RFC 6525 §3.1). A request that waits for what has not come is sent
    /// again when it has.
    fn resets(&mut self, chunk: &Chunk<'_>) -> bool {
        let asked = chunk.parts(0).into_iter().flatten();
        let mut asked = asked.filter(|(kind, _)| *kind == OUTGOING_RESET);
        asked.all(|(_, value)| {
            // Its number, that of our last one, their last number, the streams.
            let request = Chunk {
                kind: RECONFIG,
                value,
            };
            let (Some(number), Some(last)) = (request.number(0), request.number(8)) else {
                return false;
            };
            if !self.has_come(last) || value.len() > 12 + 2 * STREAMS {
                return false;
            }
            if !self.resets.contains(&number) {
                if self.resets.len() == RESETS {
                    return false;
                }
                self.resets.push(number);
            }
            true
        })
    }

    /// Up to where there is nothing missing of theirs, by what we said.
    fn last(&self) -> Option<u32> {
        self.acknowledged.or(self.before)
    }

    fn has_come(&self, tsn: u32) -> bool {
        self.last().is_some_and(|last| !is_after(tsn, last))
    }

    /// It has come, or is not far ahead.
    fn is_near(&self, tsn: u32) -> bool {
        self.has_come(tsn)
            || self
                .last()
                .is_some_and(|last| tsn.wrapping_sub(last) <= AHEAD)
    }
}

/// In the order of numbers that begin anew (RFC 1982 §3.2).
fn is_after(tsn: u32, other: u32) -> bool {
    other.wrapping_sub(tsn) > u32::MAX / 2
}
