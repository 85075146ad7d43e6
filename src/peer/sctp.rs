//! What a viewer may send of SCTP (RFC 9260): as much as data channels need of a
//! page, in the shape that a browser writes. Pure.
//!
//! Whoever has done the handshake of DTLS speaks to the crate's SCTP, with words
//! that nobody else can read. The crate walks over each number that a FORWARD TSN
//! leaves out, which may be two thousand million; it makes an association for each
//! INIT, keeps each request to reset a stream whose time has not come, answers all
//! of those anew at each DATA, and keeps DATA of any number and any stream. So
//! each packet is looked at when it has been decrypted, before the crate reads it.
//! One that does not pass is lost, as on any path.
//!
//! How far the two are is told by our own SACKs, which no viewer can write.

use std::time::Instant;

use crate::bucket::{Bucket, Rate};

/// Bytes of the common header (RFC 9260 §3.1), and of a chunk's (§3.2).
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
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
/// DATA that comes before we have acknowledged any: the window has no end yet.
const FIRST: usize = 64;
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

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const COOKIE_ECHO: u8 = 10;
const RECONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
/// The parameter of a RE-CONFIG that asks for something.
const OUTGOING_RESET: u16 = 13;

/// One connection's SCTP, as far as it has to be known.
#[derive(Debug)]
pub(super) struct Sctp {
    chunks: Bucket,
    /// SACKs, and their blocks, that cost nothing: for what we have sent.
    owed: usize,
    /// The last number of theirs that we acknowledged.
    acknowledged: Option<u32>,
    first: usize,
    beginnings: usize,
    /// Their tag and their first number, as their first INIT has them.
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
            acknowledged: None,
            first: 0,
            beginnings: 0,
            began: None,
            streams: Vec::new(),
            resets: Vec::new(),
        }
    }

    /// A packet of ours.
    pub(super) fn says(&mut self, packet: &[u8]) {
        for chunk in chunks(packet).into_iter().flatten() {
            match chunk.kind {
                SACK => self.acknowledged = chunk.number(0).or(self.acknowledged),
                DATA => self.owed = (self.owed + 1).min(OWED),
                _ => {}
            }
        }
    }

    /// True where a packet of theirs may be read.
    pub(super) fn hears(&mut self, packet: &[u8], now: Instant) -> bool {
        let Some(chunks) = chunks(packet) else {
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
            // What follows are pairs of a stream and a number (RFC 3758 §3.2).
            FORWARD_TSN => {
                chunk.value.len().is_multiple_of(4)
                    && chunk.value.len() <= 4 * (1 + STREAMS)
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
        if self.acknowledged.is_none() {
            self.first += 1;
            if self.first > FIRST {
                return false;
            }
        } else if !self.is_near(tsn) {
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

    /// An association is made once: nothing begins anew behind our first SACK.
    fn begins(&mut self, chunk: &Chunk<'_>) -> bool {
        self.beginnings += 1;
        if self.beginnings > BEGINNINGS {
            return false;
        }
        if chunk.kind != INIT {
            return true;
        }
        // Tag, window, streams, the first number (§3.3.2).
        let (Some(tag), Some(tsn)) = (chunk.value.get(..4), chunk.value.get(12..16)) else {
            return false;
        };
        let mut this = [0; 8];
        this[..4].copy_from_slice(tag);
        this[4..].copy_from_slice(tsn);
        self.acknowledged.is_none() && *self.began.get_or_insert(this) == this
    }

    /// RE-CONFIG (RFC 6525 §3.1): one parameter or two. One that waits for what has
    /// not come is sent again when it has.
    fn resets(&mut self, chunk: &Chunk<'_>) -> bool {
        let mut rest = chunk.value;
        for _ in 0..2 {
            let parameter = Chunk {
                kind: 0,
                value: rest,
            };
            let (Some(kind), Some(length)) = (parameter.short(0), parameter.short(2)) else {
                return rest.is_empty();
            };
            let length = usize::from(length);
            if length < CHUNK_HEADER || length > rest.len() {
                return false;
            }
            if kind == OUTGOING_RESET {
                let (Some(number), Some(last)) = (parameter.number(4), parameter.number(12)) else {
                    return false;
                };
                if !self.has_come(last) || length > 16 + 2 * STREAMS {
                    return false;
                }
                if !self.resets.contains(&number) {
                    if self.resets.len() == RESETS {
                        return false;
                    }
                    self.resets.push(number);
                }
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        rest.is_empty()
    }

    /// Of what we acknowledged (RFC 1982 §3.2).
    fn has_come(&self, tsn: u32) -> bool {
        self.acknowledged
            .is_some_and(|acknowledged| acknowledged.wrapping_sub(tsn) <= u32::MAX / 2)
    }

    /// The same, or not far ahead of it.
    fn is_near(&self, tsn: u32) -> bool {
        self.acknowledged.is_some_and(|acknowledged| {
            let ahead = tsn.wrapping_sub(acknowledged);
            ahead <= AHEAD || self.has_come(tsn)
        })
    }
}

/// A chunk, without its header.
#[derive(Debug, Clone, Copy)]
struct Chunk<'a> {
    kind: u8,
    value: &'a [u8],
}

impl Chunk<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.value.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.value.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Blocks and doublets of a SACK (RFC 9260 §3.3.4), where it has as many as it
    /// says.
    fn blocks(&self) -> Option<usize> {
        let blocks = usize::from(self.short(8)?) + usize::from(self.short(10)?);
        (self.value.len() == 12 + 4 * blocks).then_some(blocks)
    }

    fn cost(&self) -> usize {
        match self.kind {
            SACK => 1 + self.blocks().unwrap_or_default(),
            _ => 1,
        }
    }
}

/// The chunks of a packet, where they fill it.
fn chunks(packet: &[u8]) -> Option<Vec<Chunk<'_>>> {
    let (_, mut rest) = packet.split_at_checked(HEADER)?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (header, body) = rest.split_at_checked(CHUNK_HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let value = body.get(..length.checked_sub(CHUNK_HEADER)?)?;
        chunks.push(Chunk {
            kind: header[0],
            value,
        });
        // The last one may have no padding.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(chunks)
}

#[cfg(test)]
pub(super) mod write {
    //! Packets for tests.

    /// A chunk, with its padding.
    pub(in crate::peer) fn chunk(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).expect("short");
        let mut out = vec![kind, if kind == super::DATA { 3 } else { 0 }];
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    pub(in crate::peer) fn data(tsn: u32, stream: u16) -> Vec<u8> {
        let mut value = tsn.to_be_bytes().to_vec();
        value.extend_from_slice(&stream.to_be_bytes());
        // Its number in the stream, a string (RFC 8831 §8), one byte of it.
        value.extend_from_slice(&[0, 0, 0, 0, 0, 51, b'x']);
        chunk(super::DATA, &value)
    }

    pub(in crate::peer) fn forward(tsn: u32) -> Vec<u8> {
        chunk(super::FORWARD_TSN, &tsn.to_be_bytes())
    }

    pub(in crate::peer) fn init(tag: u32, tsn: u32) -> Vec<u8> {
        let mut value = tag.to_be_bytes().to_vec();
        value.extend_from_slice(&[0, 1, 0, 0, 1, 0, 1, 0]);
        value.extend_from_slice(&tsn.to_be_bytes());
        chunk(super::INIT, &value)
    }

    pub(in crate::peer) fn reset(number: u32, last: u32) -> Vec<u8> {
        let mut value = vec![0, 13, 0, 18];
        for word in [number, 0, last] {
            value.extend_from_slice(&word.to_be_bytes());
        }
        value.extend_from_slice(&[0, 1]);
        chunk(super::RECONFIG, &value)
    }

    pub(in crate::peer) fn sack(tsn: u32, blocks: u16) -> Vec<u8> {
        let mut value = tsn.to_be_bytes().to_vec();
        value.extend_from_slice(&[0, 1, 0, 0]);
        value.extend_from_slice(&blocks.to_be_bytes());
        value.extend_from_slice(&[0, 0]);
        value.extend((0..blocks).flat_map(|_| [0, 2, 0, 200]));
        chunk(super::SACK, &value)
    }

    /// With a header whose sum is not reckoned.
    pub(in crate::peer) fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0x13, 0x88, 0x13, 0x88, 1, 2, 3, 4, 0, 0, 0, 0];
        out.extend(chunks.concat());
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::write::{chunk, data, forward, init, packet, reset, sack};
    use super::*;

    /// We acknowledged `tsn`.
    fn at(tsn: u32, now: Instant) -> Sctp {
        let mut sctp = Sctp::new(now);
        sctp.says(&packet(&[sack(tsn, 0)]));
        sctp
    }

    #[test]
    fn what_a_browser_says_passes() {
        let now = Instant::now();
        let mut sctp = Sctp::new(now);
        let mut hears = |chunks: &[Vec<u8>]| {
            assert!(sctp.hears(&packet(chunks), now), "{chunks:?}");
        };
        let first = u32::MAX - 1;
        hears(&[init(7, first)]);
        hears(&[init(7, first)]);
        hears(&[chunk(COOKIE_ECHO, &[9; 40]), data(first, 0)]);
        hears(&[data(first, 0), data(first.wrapping_add(1), 0)]);
        sctp.says(&packet(&[sack(first.wrapping_add(1), 0)]));
        let mut hears = |chunks: &[Vec<u8>]| {
            assert!(sctp.hears(&packet(chunks), now), "{chunks:?}");
        };
        for number in 0..30 {
            hears(&[sack(5, 2), data(number, 1)]);
        }
        hears(&[forward(40)]);
        hears(&[reset(1, u32::MAX)]);
        hears(&[reset(1, u32::MAX)]);
        hears(&[chunk(4, &[0; 40])]);
        hears(&[chunk(6, &[])]);
    }

    #[test]
    fn who_leaves_out_half_of_all_numbers_is_not_heard() {
        let now = Instant::now();
        assert!(!at(77, now).hears(&packet(&[reset(1, 78)]), now));
        for far in [AHEAD + 1, 1 << 20, u32::MAX / 2, u32::MAX / 2 + 1] {
            let hears = |chunk| at(77, now).hears(&packet(&[chunk]), now);
            let tsn = 77_u32.wrapping_add(far);
            assert!(!hears(forward(tsn)), "{far}");
            assert!(!hears(data(tsn, 1)), "{far}");
            assert!(!hears(reset(1, tsn)), "{far}");
        }
        let mut unknown = Sctp::new(now);
        assert!(!unknown.hears(&packet(&[forward(1)]), now));
        assert!(!unknown.hears(&packet(&[reset(1, 1)]), now));
    }

    #[test]
    fn what_the_crate_would_keep_is_few() {
        let now = Instant::now();
        // Each as slow as may be.
        let count = |sctp: &mut Sctp, of: &dyn Fn(u32) -> Vec<u8>| {
            let heard = (0..2_000_u32).filter(|n| {
                let now = now + Duration::from_secs(1) * *n;
                sctp.hears(&packet(&[of(*n)]), now)
            });
            heard.count()
        };
        assert!(count(&mut Sctp::new(now), &|n| init(n, 0)) <= BEGINNINGS);
        assert!(count(&mut Sctp::new(now), &|n| data(n * 7_919, 0)) <= FIRST);
        assert!(count(&mut at(0, now), &|_| init(1, 0)) == 0);
        assert!(count(&mut at(0, now), &|n| reset(n, 0)) <= RESETS);
        assert!(count(&mut at(0, now), &|n| data(1, n as u16)) <= STREAMS);
        assert!(count(&mut at(0, now), &|_| sack(0, 33)) == 0);
    }

    #[test]
    fn what_comes_fast_is_paid_for() {
        let now = Instant::now();
        let mut sctp = at(0, now);
        let heard = |sctp: &mut Sctp, of: Vec<u8>| {
            let packet = packet(&[of]);
            (0..5_000).filter(|_| sctp.hears(&packet, now)).count()
        };
        assert_eq!(heard(&mut sctp, chunk(4, &[0; 8])), 400);
        let mut sctp = at(0, now);
        assert_eq!(heard(&mut sctp, sack(0, 31)), 400 / 32);
        // What we send is answered, and no more than that.
        let mut sctp = at(0, now);
        for number in 0..1_000 {
            sctp.says(&packet(&[data(number, 0)]));
        }
        assert_eq!(heard(&mut sctp, sack(0, 0)), OWED + 400);
        for number in 0..1_000 {
            sctp.says(&packet(&[data(number, 0)]));
            assert!(sctp.hears(&packet(&[sack(number, 0)]), now), "{number}");
        }
    }

    #[test]
    fn what_is_cut_off_is_not_read() {
        let now = Instant::now();
        let whole = packet(&[data(1, 0), forward(3)]);
        for end in 0..whole.len() {
            // The padding of the last one may be missing.
            let is_whole = end == 12 || (29..=32).contains(&end);
            assert_eq!(at(0, now).hears(&whole[..end], now), is_whole, "{end}");
        }
        for value in 0..4 {
            let short = packet(&[chunk(FORWARD_TSN, &vec![0; value])]);
            assert!(!at(0, now).hears(&short, now));
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let now = Instant::now();
            let mut sctp = at(0, now);
            sctp.hears(&bytes, now);
            sctp.says(&bytes);
            for kind in [DATA, INIT, SACK, RECONFIG, FORWARD_TSN] {
                sctp.hears(&packet(&[chunk(kind, &bytes)]), now);
            }
        }
    }
}
