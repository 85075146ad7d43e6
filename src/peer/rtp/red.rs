//! Packets of sound that carry earlier ones once more (RED, RFC 2198).
//!
//! Sound is not retransmitted: a packet would come too late. A copy in the next
//! packet, or in the one after it, comes 20 or 40 ms later, which a receiver's
//! jitter buffer can wait for. It costs no packets, only bytes, and those only
//! where packets get lost: without loss a viewer is sent plain Opus.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use rtc::rtp;

use crate::media::frame::MAX_PAYLOAD;
use crate::peer::path::known::Path;
use crate::rate::sound::Repetition;

/// Of a repeated block: one bit that another follows, its payload type, 14 bits
/// of how many ticks it is older, 10 bits of its length (RFC 2198 §3).
const HEADER: usize = 4;
/// Of the last block, which is the packet's own: its payload type.
const LAST_HEADER: usize = 1;
/// The longest time back, in ticks.
const MOST_BACK: u32 = (1 << 14) - 1;
/// The longest block that can be repeated, in bytes.
const MOST_BYTES: usize = (1 << 10) - 1;

/// The payloads of one stream, each with those before it.
#[derive(Debug)]
struct Red {
    /// The payload type of all blocks.
    block: u8,
    /// The last ones, oldest first: timestamp and payload.
    kept: VecDeque<(u32, Bytes)>,
}

impl Red {
    fn new(block: u8) -> Self {
        Self {
            block,
            kept: VecDeque::with_capacity(Repetition::MOST + 1),
        }
    }

    /// `payload` behind as many of the `repeats` before it as fit; `None` where
    /// there are none to repeat.
    fn add(&mut self, timestamp: u32, payload: &Bytes, repeats: usize) -> Option<Bytes> {
        let mut room = MAX_PAYLOAD.saturating_sub(payload.len() + LAST_HEADER);
        let mut blocks = VecDeque::new();
        for (at, earlier) in self.kept.iter().rev().take(repeats) {
            let back = timestamp.wrapping_sub(*at);
            let size = earlier.len() + HEADER;
            if back == 0 || back > MOST_BACK || earlier.len() > MOST_BYTES || size > room {
                break;
            }
            room -= size;
            blocks.push_front((back, earlier));
        }
        let packet = (!blocks.is_empty()).then(|| self.write(&blocks, payload));
        self.kept.push_back((timestamp, payload.clone()));
        if self.kept.len() > Repetition::MOST {
            self.kept.pop_front();
        }
        packet
    }

    fn write(&self, blocks: &VecDeque<(u32, &Bytes)>, payload: &Bytes) -> Bytes {
        let mut packet = BytesMut::with_capacity(MAX_PAYLOAD);
        for (back, block) in blocks {
            packet.put_u8(0x80 | self.block);
            packet.put_uint((u64::from(*back) << 10) | block.len() as u64, 3);
        }
        packet.put_u8(self.block);
        for (_, block) in blocks {
            packet.put_slice(block);
        }
        packet.put_slice(payload);
        packet.freeze()
    }
}

/// What a packet's share of the running mean of repeated bytes is.
const MEAN: f64 = 0.02;
/// What is repeated takes no more than this share of a path: where it is
/// narrow, the picture needs the rest.
const MOST_OF_PATH: f64 = 0.2;
/// Packets of sound in a second.
const PACKETS: f64 = 50.0;

/// Protects the sound of one viewer as far as their path needs it.
pub(in crate::peer) struct Repeater {
    red: Red,
    /// Of packets that repeat.
    payload_type: u8,
    repetition: Repetition,
    path: Path,
    /// Repeated bytes of a packet, the mean.
    bytes: f64,
    /// Bytes of a packet that repeats none, the mean.
    plain: f64,
}

impl Repeater {
    /// For Opus of payload type `opus`, on a viewer's path.
    pub(crate) fn new(opus: u8, red: u8, path: Path) -> Self {
        Self {
            red: Red::new(opus),
            payload_type: red,
            repetition: Repetition::default(),
            path,
            bytes: 0.0,
            plain: 0.0,
        }
    }

    /// The packet as it is to be sent.
    pub(crate) fn protect(&mut self, mut packet: rtp::Packet, now: Instant) -> rtp::Packet {
        let plain = packet.payload.len();
        self.plain = match self.plain > 0.0 {
            true => self.plain + (plain as f64 - self.plain) * MEAN,
            false => plain as f64,
        };
        let repeats = self.repetition.update(self.path.loss(now), now);
        let repeats = repeats.min(self.affordable());
        let protected = self
            .red
            .add(packet.header.timestamp, &packet.payload, repeats);
        if let Some(protected) = protected {
            packet.payload = protected;
            packet.header.payload_type = self.payload_type;
        }
        let more = (packet.payload.len() - plain) as f64;
        self.bytes += (more - self.bytes) * MEAN;
        let bits_per_second = self.bytes * 8.0 * PACKETS;
        self.path.repeats(repeats, bits_per_second as u32);
        packet
    }

    /// How many earlier packets the path has room for.
    fn affordable(&self) -> usize {
        let path = f64::from(self.path.estimate().bits_per_second);
        (path * MOST_OF_PATH / (self.plain.max(1.0) * 8.0 * PACKETS)) as usize
    }
}

impl Drop for Repeater {
    fn drop(&mut self) {
        self.path.repeats(0, 0);
    }
}

/// A block as a receiver reads it.
#[cfg(any(test, fuzzing))]
#[derive(Debug, PartialEq)]
pub(in crate::peer) struct Block {
    pub payload_type: u8,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

/// RFC 2198 §3, read as it is written there.
#[cfg(any(test, fuzzing))]
pub(in crate::peer) fn read(timestamp: u32, packet: &[u8]) -> Option<Vec<Block>> {
    let mut headers = Vec::new();
    let mut rest = packet;
    while rest.first()? & 0x80 != 0 {
        let [first, a, b, c, ..] = *rest else {
            return None;
        };
        let back = (u32::from(a) << 6) | (u32::from(b) >> 2);
        let length = (usize::from(b & 3) << 8) | usize::from(c);
        headers.push((first & 0x7f, back, length));
        rest = &rest[4..];
    }
    let last = rest[0];
    rest = &rest[1..];
    let mut blocks = Vec::new();
    for (payload_type, back, length) in headers {
        let payload = rest.get(..length)?.to_vec();
        rest = &rest[length..];
        blocks.push(Block {
            payload_type,
            timestamp: timestamp.wrapping_sub(back),
            payload,
        });
    }
    blocks.push(Block {
        payload_type: last,
        timestamp,
        payload: rest.to_vec(),
    });
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::path::known::Bounds;
    use proptest::prelude::*;
    use std::time::Duration;

    const OPUS: u8 = 111;

    fn bytes(value: u8, length: usize) -> Bytes {
        vec![value; length].into()
    }

    #[test]
    fn a_packet_carries_the_one_before_and_its_own_last() {
        let mut red = Red::new(OPUS);
        assert_eq!(red.add(1_000, &bytes(1, 3), 1), None, "there is none yet");
        let packet = red.add(1_960, &bytes(2, 2), 1).expect("one to repeat");
        // 960 ticks back, 3 bytes long.
        assert_eq!(packet[..], [0xef, 0x0f, 0x00, 0x03, 0x6f, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn what_does_not_fit_its_header_or_the_packet_is_left_out() {
        let repeated = |first: usize, second: usize, back: u32| {
            let mut red = Red::new(OPUS);
            red.add(0, &bytes(1, first), 1);
            red.add(back, &bytes(2, second), 1).is_some()
        };
        assert!(repeated(100, 100, MOST_BACK));
        assert!(!repeated(100, 100, MOST_BACK + 1), "14 bits");
        assert!(repeated(MOST_BYTES, 100, 960));
        assert!(!repeated(MOST_BYTES + 1, 100, 960), "10 bits");
        let fits = MAX_PAYLOAD - 500 - HEADER - LAST_HEADER;
        assert!(repeated(500, fits, 960));
        assert!(!repeated(500, fits + 1, 960), "one datagram");
        assert!(!repeated(100, 100, 0), "a time of its own");
    }

    #[test]
    fn packets_repeat_where_loss_is_reported_and_room_is_kept_for_it() {
        let bounds = Bounds {
            min: 100_000,
            max: 1_000_000,
        };
        let path = Path::new(bounds);
        let carries = path.sight().carries;
        let mut repeater = Repeater::new(OPUS, 63, path.clone());
        let start = Instant::now();
        let mut send = |n: u32| {
            let header = rtp::Header {
                payload_type: OPUS,
                timestamp: n * 960,
                ..Default::default()
            };
            let payload = bytes(n as u8, 100);
            let now = start + Duration::from_millis(20) * n;
            repeater.protect(rtp::Packet { header, payload }, now)
        };
        for n in 0..50 {
            let packet = send(n);
            assert_eq!(
                (packet.header.payload_type, packet.payload.len()),
                (OPUS, 100)
            );
        }
        path.sound_lost(0.10, start + Duration::from_secs(1));
        for n in 50..300 {
            let packet = send(n);
            assert_eq!(packet.header.payload_type, 63);
            let blocks = read(n * 960, &packet.payload).expect("it can be read");
            let times: Vec<_> = blocks.iter().map(|b| b.timestamp / 960).collect();
            assert_eq!(times, [n - 2, n - 1, n]);
        }
        // Two blocks of 104 bytes and a header, 50 times a second.
        let taken = carries - path.sight().carries;
        assert!((80_000..84_000).contains(&taken), "{taken} bit/s");
        let left = path.sound_left(start + Duration::from_secs(6));
        assert!(left.expect("it is reported") < 0.002);
        drop(repeater);
        assert_eq!(path.sight().carries, carries);
    }

    #[test]
    fn a_narrow_path_is_not_filled_with_repetitions() {
        let bounds = Bounds {
            min: 100_000,
            max: 1_000_000,
        };
        // 100 bytes 50 times a second are 40 kbit/s.
        for (carries, repeats) in [(120_000, 0), (250_000, 1), (450_000, 2), (1_000_000, 2)] {
            let path = Path::new(bounds);
            path.restart(carries);
            let start = Instant::now();
            path.sound_lost(0.5, start);
            let mut repeater = Repeater::new(OPUS, 63, path);
            for n in 0..50 {
                let header = rtp::Header {
                    payload_type: OPUS,
                    timestamp: n * 960,
                    ..Default::default()
                };
                let payload = bytes(n as u8, 100);
                let packet = repeater.protect(rtp::Packet { header, payload }, start);
                let carried = packet.payload.len() / 100;
                assert!(carried <= repeats + 1 && (n < 2 || carried == repeats + 1));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            payloads in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 1..1_100), 1..20_000_u32, 0..=3_usize), 1..40),
            start in any::<u32>(),
        ) {
            let mut red = Red::new(OPUS);
            let mut timestamp = start;
            let mut sent: Vec<Block> = Vec::new();
            for (payload, step, repeats) in payloads {
                timestamp = timestamp.wrapping_add(step);
                let bytes = Bytes::from(payload.clone());
                let packet = red.add(timestamp, &bytes, repeats);
                sent.push(Block { payload_type: OPUS, timestamp, payload });
                let Some(packet) = packet else { continue };
                prop_assert!(packet.len() <= MAX_PAYLOAD);
                let blocks = read(timestamp, &packet).expect("it can be read");
                prop_assert!((2..=repeats + 1).contains(&blocks.len()));
                prop_assert_eq!(&blocks[..], &sent[sent.len() - blocks.len()..]);
            }
        }
    }
}
