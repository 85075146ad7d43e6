//! Packets for tests and fuzzing.

use super::chunk::{DATA, FORWARD_TSN, INIT, RECONFIG, SACK};

/// A chunk, with its padding.
pub(crate) fn chunk(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("short");
    let mut out = vec![kind, if kind == DATA { 3 } else { 0 }];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

pub(crate) fn data(tsn: u32, stream: u16) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&stream.to_be_bytes());
    // Its number in the stream, a string (RFC 8831 §8), one byte of it.
    value.extend_from_slice(&[0, 0, 0, 0, 0, 51, b'x']);
    chunk(DATA, &value)
}

pub(crate) fn forward(tsn: u32) -> Vec<u8> {
    chunk(FORWARD_TSN, &tsn.to_be_bytes())
}

pub(crate) fn init(tag: u32, tsn: u32) -> Vec<u8> {
    let mut value = tag.to_be_bytes().to_vec();
    value.extend_from_slice(&[0, 1, 0, 0, 1, 0, 1, 0]);
    value.extend_from_slice(&tsn.to_be_bytes());
    chunk(INIT, &value)
}

pub(crate) fn reset(number: u32, last: u32) -> Vec<u8> {
    let mut value = vec![0, 13, 0, 18];
    for word in [number, 0, last] {
        value.extend_from_slice(&word.to_be_bytes());
    }
    value.extend_from_slice(&[0, 1]);
    chunk(RECONFIG, &value)
}

pub(crate) fn sack(tsn: u32, blocks: u16) -> Vec<u8> {
    sack_of(tsn, 1 << 16, blocks)
}

/// The same, with a window.
pub(crate) fn sack_of(tsn: u32, window: u32, blocks: u16) -> Vec<u8> {
    let mut value = [tsn.to_be_bytes(), window.to_be_bytes()].concat();
    value.extend_from_slice(&blocks.to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    value.extend((0..blocks).flat_map(|_| [0, 2, 0, 200]));
    chunk(SACK, &value)
}

/// With a header whose sum is not reckoned.
pub(crate) fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0x13, 0x88, 0x13, 0x88, 1, 2, 3, 4, 0, 0, 0, 0];
    out.extend(chunks.concat());
    out
}

/// The same, with a tag of one's own and the sum that the crate asks for.
pub(crate) fn summed(tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = packet(chunks);
    out[4..8].copy_from_slice(&tag.to_be_bytes());
    sum(&mut out);
    out
}

/// Writes a packet's sum (RFC 9260, appendix A).
pub(crate) fn sum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let sum = !packet.iter().fold(!0, |sum, byte| {
        (sum >> 8) ^ TABLE[usize::from((sum as u8) ^ byte)]
    });
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
}

/// CRC-32C of each byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};
