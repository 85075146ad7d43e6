//! Packets of a picture that leave behind its first one.
//!
//! The crate takes each packet by itself through all that it is made of, from the
//! interceptors to the socket: some 15 moves, four copies and as many look-ups,
//! which is half of what a viewer costs. But its cipher and its socket are ours.
//! So only the first packet of a row takes that way; the others wait here. When the
//! cipher is given the first, they are encrypted with it (RFC 7714 §8.1: the nonces
//! of a stream differ by the packets' numbers), and where it comes to the socket
//! they follow it, into the same call of the kernel.
//!
//! The crate chooses key, rollover counter, path and time as for any packet.
//! Where it wraps what it sends, for a relay, a first packet never comes to the
//! socket as it was encrypted, and a viewer who knows no AES-GCM is sent what
//! another cipher has encrypted: then each packet takes the crate's way. What was on
//! its way when that changed is lost, as it may be anywhere, and is asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rtc::crypto::AeadCipher;
use rtc::rtp;
use rtc::shared::marshal::{Marshal, MarshalSize};
use tracing::debug;

use crate::lock::lock;

/// Packets behind one: with it, what the kernel takes in one call (UDP GSO).
const MOST: usize = 63;
/// Rows on their way through the crate; it takes all there are in one turn.
const ROWS: usize = 64;
/// Payload types that stand for RTCP where both share a port (RFC 5761 §4).
const RTCP: std::ops::Range<u8> = 64..96;
/// Of an RTP header without extensions (RFC 3550 §5.1).
const HEADER: usize = 12;
/// Of AES-GCM (RFC 7714 §8.1); the last two bytes hold the packet's number.
const NONCE: usize = 12;

/// A packet of a connection: its SSRC and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) struct Name {
    ssrc: u32,
    number: u16,
}

impl Name {
    /// `None` of a payload type that [would be read](Self::read) as RTCP's.
    pub(crate) fn of(header: &rtp::Header) -> Option<Self> {
        (!RTCP.contains(&header.payload_type)).then_some(Self {
            ssrc: header.ssrc,
            number: header.sequence_number,
        })
    }

    /// What these bytes begin with, where it is RTP and not RTCP.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let is_rtp = header[0] >> 6 == 2 && !RTCP.contains(&(header[1] & 0x7f));
        is_rtp.then(|| Self {
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            number: u16::from_be_bytes([header[2], header[3]]),
        })
    }

    /// True of a later packet of the same stream.
    fn is_behind(self, other: Self) -> bool {
        let ahead = self.number.wrapping_sub(other.number);
        self.ssrc == other.ssrc && (1..1 << 15).contains(&ahead)
    }

    /// The packet right behind, under the same rollover counter.
    pub(crate) fn next(self) -> Option<Self> {
        let number = self.number.checked_add(1)?;
        Some(Self { number, ..self })
    }
}

/// Datagrams one behind the other, with where each ends.
#[derive(Debug, Default)]
pub(in crate::peer) struct Datagrams {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Datagrams {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(from, to)| &self.bytes[from..*to])
    }

    /// Adds `packet`, encrypted with a nonce of its own.
    fn add(
        &mut self,
        packet: &rtp::Packet,
        nonce: &[u8],
        cipher: &mut dyn AeadCipher,
    ) -> Option<()> {
        let start = self.bytes.len();
        let tag = start + packet.marshal_size();
        self.bytes.resize(tag + cipher.tag_len(), 0);
        let added = (|| {
            packet.marshal_to(&mut self.bytes[start..tag]).ok()?;
            let (whole, tag) = self.bytes[start..].split_at_mut(tag - start);
            let (header, text) = whole.split_at_mut(packet.header.marshal_size());
            cipher.seal_in_place(nonce, header, text, tag).ok()
        })();
        match added {
            Some(()) => self.ends.push(self.bytes.len()),
            None => self.bytes.truncate(start),
        }
        added
    }
}

#[derive(Debug, Default)]
struct State {
    /// Media is encrypted by a cipher that we do not see.
    is_barred: bool,
    /// What the crate sends comes to our sockets as it is.
    is_direct: bool,
    /// What waits for its first packet to be encrypted.
    waiting: VecDeque<(Name, Vec<rtp::Packet>)>,
    /// What waits for its first packet at the socket.
    sealed: VecDeque<(Name, Datagrams)>,
}

impl State {
    /// The crate's way for each packet from now on, until one was seen to come
    /// through.
    fn one_by_one(&mut self) {
        self.is_direct = false;
        self.waiting.clear();
        self.sealed.clear();
    }
}

/// Of one connection. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub(in crate::peer) struct Convoy(Arc<Mutex<State>>);

impl Convoy {
    /// Has `packet` leave in the row behind `first`, which is on its way through the
    /// crate; gives it back where it has to go by itself.
    pub(crate) fn follow(&self, first: Name, packet: rtp::Packet) -> Result<(), rtp::Packet> {
        let mut state = lock(&self.0);
        if state.is_barred || !state.is_direct {
            return Err(packet);
        }
        let rows = state.waiting.len();
        match state.waiting.back_mut().filter(|(name, _)| *name == first) {
            Some((_, row)) if row.len() < MOST => row.push(packet),
            None if rows < ROWS => state.waiting.push_back((first, vec![packet])),
            _ => return Err(packet),
        }
        Ok(())
    }

    /// `first` is encrypted with this nonce: so are those behind it.
    pub(crate) fn seal(&self, first: Name, nonce: &[u8], cipher: &mut dyn AeadCipher) {
        let mut state = lock(&self.0);
        // The crate keeps a stream's order, so these have lost their first packet. They
        // must be gone before their numbers come again.
        state.waiting.retain(|(name, _)| !first.is_behind(*name));
        let Some(at) = state.waiting.iter().position(|(name, _)| *name == first) else {
            return;
        };
        let Ok(nonce) = <[u8; NONCE]>::try_from(nonce) else {
            state.one_by_one();
            return;
        };
        // Rows before it have lost their first packet.
        let row = state.waiting.drain(..=at).next_back();
        let mut datagrams = Datagrams::default();
        for packet in row.into_iter().flat_map(|(_, row)| row) {
            let [high, low] = (first.number ^ packet.header.sequence_number).to_be_bytes();
            let mut nonce = nonce;
            nonce[NONCE - 2] ^= high;
            nonce[NONCE - 1] ^= low;
            if datagrams.add(&packet, &nonce, cipher).is_none() {
                debug!("a packet could not be encrypted");
            }
        }
        if state.sealed.len() >= ROWS {
            state.one_by_one();
        }
        state.sealed.push_back((first, datagrams));
    }

    /// The call's media is encrypted by a cipher that this is not told of.
    pub(crate) fn is_barred(&self) {
        let mut state = lock(&self.0);
        state.is_barred = true;
        state.one_by_one();
    }

    /// `datagram` leaves through a socket: what follows it.
    pub(crate) fn behind(&self, datagram: &[u8]) -> Option<Datagrams> {
        match datagram {
            // A relay's wrapping: ChannelData, or a Send indication (RFC 8656 §12.4,
            // §11.3). It may hold a check alone, while media goes straight on: rows that
            // are on their way stay.
            [64..80, ..] | [0x00, 0x16, ..] => {
                lock(&self.0).is_direct = false;
                None
            }
            // DTLS, which the crate sends on the way that media will take.
            [20..64, ..] => {
                lock(&self.0).is_direct = true;
                None
            }
            _ => self.behind_media(Name::read(datagram)?),
        }
    }

    fn behind_media(&self, first: Name) -> Option<Datagrams> {
        let mut state = lock(&self.0);
        state.is_direct = true;
        if state.waiting.iter().any(|(name, _)| *name == first) {
            // It was not encrypted by us after all.
            state.is_barred = true;
            state.one_by_one();
        }
        let at = state.sealed.iter().position(|(name, _)| *name == first)?;
        let (_, datagrams) = state.sealed.drain(..=at).next_back()?;
        Some(datagrams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::crypto::{AeadAlgorithm, default_provider};

    const SALT: [u8; NONCE] = [7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    fn packet(sequence_number: u16, size: usize) -> rtp::Packet {
        let mut header = rtp::Header {
            version: 2,
            payload_type: 102,
            sequence_number,
            ssrc: 0x0102_0304,
            ..Default::default()
        };
        header
            .set_extension(3, sequence_number.to_be_bytes().to_vec().into())
            .expect("it can be written");
        rtp::Packet {
            header,
            payload: vec![sequence_number as u8; size].into(),
        }
    }

    fn name_of(header: &rtp::Header) -> Name {
        Name::of(header).expect("it is a picture's")
    }

    fn cipher() -> Box<dyn AeadCipher> {
        let provider = default_provider().expect("it is built in");
        let crypto = provider.crypto();
        crypto
            .new_aead(AeadAlgorithm::Aes128Gcm, &[9; 16])
            .expect("a key")
    }

    /// RFC 7714 §8.1, with a rollover counter of 5.
    fn nonce(packet: &rtp::Packet) -> [u8; NONCE] {
        let mut nonce = SALT;
        let ssrc = packet.header.ssrc.to_be_bytes();
        let number = packet.header.sequence_number.to_be_bytes();
        let counted = [[0; 2].as_slice(), &ssrc, &[0, 0, 0, 5], &number].concat();
        nonce.iter_mut().zip(counted).for_each(|(n, c)| *n ^= c);
        nonce
    }

    /// As the crate does it, one by one.
    fn sealed(packet: &rtp::Packet) -> Vec<u8> {
        let mut datagrams = Datagrams::default();
        let nonce = nonce(packet);
        datagrams
            .add(packet, &nonce, &mut *cipher())
            .expect("encrypted");
        datagrams.bytes
    }

    /// A convoy whose connection has sent a record of DTLS.
    fn convoy() -> Convoy {
        let convoy = Convoy::default();
        let first = name_of(&packet(1, 10).header);
        assert!(convoy.follow(first, packet(2, 10)).is_err());
        assert!(convoy.behind(&[22, 254, 253]).is_none());
        convoy
    }

    #[test]
    fn what_follows_is_encrypted_as_if_it_had_gone_by_itself() {
        let convoy = convoy();
        let row: Vec<_> = (0..20)
            .map(|n| packet(0xff00 + n, 1_000 - usize::from(n)))
            .collect();
        let first = name_of(&row[0].header);
        for packet in &row[1..] {
            convoy.follow(first, packet.clone()).expect("it may follow");
        }
        convoy.seal(first, &nonce(&row[0]), &mut *cipher());
        let behind = convoy.behind(&sealed(&row[0])).expect("they follow");
        let expected: Vec<_> = row[1..].iter().map(sealed).collect();
        assert_eq!(behind.iter().collect::<Vec<_>>(), expected);
        assert!(convoy.behind(&sealed(&row[0])).is_none(), "once");
    }

    #[test]
    fn a_number_is_never_encrypted_twice() {
        let convoy = convoy();
        let first = name_of(&packet(5, 0).header);
        convoy.follow(first, packet(6, 10)).expect("it may follow");
        let nonce = nonce(&packet(5, 0));
        convoy.seal(first, &nonce, &mut *cipher());
        convoy.seal(first, &nonce, &mut *cipher());
        assert_eq!(lock(&convoy.0).sealed.len(), 1);
        assert!(lock(&convoy.0).waiting.is_empty());
    }

    /// Behind a relay no row comes to take away what was left, and the numbers come again
    /// with the next rollover counter.
    #[test]
    fn what_has_lost_its_first_packet_is_gone_before_its_numbers_come_again() {
        let convoy = convoy();
        let name = name_of(&packet(10, 0).header);
        convoy.follow(name, packet(11, 10)).expect("it may follow");
        let alone = packet(20, 10);
        convoy.seal(name_of(&alone.header), &nonce(&alone), &mut *cipher());
        assert!(lock(&convoy.0).waiting.is_empty());
        // What comes before a row is none of its affair.
        convoy.follow(name, packet(11, 10)).expect("it may follow");
        for number in [9, 5] {
            let alone = packet(number, 10);
            convoy.seal(name_of(&alone.header), &nonce(&alone), &mut *cipher());
        }
        assert_eq!(lock(&convoy.0).waiting.len(), 1);
    }

    #[test]
    fn rows_that_lose_their_first_packet_are_lost_and_no_others() {
        let convoy = convoy();
        for number in [10, 20, 30] {
            let first = packet(number, 10);
            let name = name_of(&first.header);
            convoy
                .follow(name, packet(number + 1, 10))
                .expect("it may follow");
            // The crate has no path for the first one.
            if number != 10 {
                convoy.seal(name, &nonce(&first), &mut *cipher());
            }
        }
        let behind = convoy
            .behind(&sealed(&packet(30, 10)))
            .expect("they follow");
        assert_eq!(behind.iter().collect::<Vec<_>>(), [sealed(&packet(31, 10))]);
        let state = lock(&convoy.0);
        assert!(state.waiting.is_empty() && state.sealed.is_empty());
    }

    #[test]
    fn behind_a_relay_each_packet_goes_by_itself_until_one_comes_through() {
        let convoy = convoy();
        let first = packet(10, 10);
        let name = name_of(&first.header);
        let follow = |number| convoy.follow(name, packet(number, 10)).is_ok();
        assert!(follow(11));
        convoy.seal(name, &nonce(&first), &mut *cipher());
        let wrapped = [&[0x40, 0x01, 0, 40], sealed(&first).as_slice()].concat();
        assert!(convoy.behind(&wrapped).is_none());
        assert!(!follow(12));
        // RTCP, a check: they say nothing.
        for other in [[0x80, 200], [0x00, 0x01]] {
            let datagram = [&other, [0; 30].as_slice()].concat();
            assert!(convoy.behind(&datagram).is_none());
            assert!(!follow(12));
        }
        assert!(convoy.behind(&sealed(&packet(12, 10))).is_none());
        assert!(follow(13));
        // A Send indication.
        assert!(
            convoy
                .behind(&[&[0x00, 0x16], [0; 40].as_slice()].concat())
                .is_none()
        );
        assert!(!follow(14));
    }

    /// Browsers go on checking a relay's address while media goes straight on.
    #[test]
    fn a_check_through_a_relay_costs_no_row_of_the_way_that_media_takes() {
        let convoy = convoy();
        let (first, second) = (packet(10, 10), packet(20, 10));
        for first in [&first, &second] {
            let number = first.header.sequence_number + 1;
            convoy
                .follow(name_of(&first.header), packet(number, 10))
                .expect("it may follow");
        }
        convoy.seal(name_of(&first.header), &nonce(&first), &mut *cipher());
        let answer = [&[0x40, 0x01, 0, 40], [1; 40].as_slice()].concat();
        assert!(convoy.behind(&answer).is_none());
        convoy.seal(name_of(&second.header), &nonce(&second), &mut *cipher());
        for first in [first, second] {
            let behind = convoy.behind(&sealed(&first)).expect("they follow");
            let next = packet(first.header.sequence_number + 1, 10);
            assert_eq!(behind.iter().collect::<Vec<_>>(), [sealed(&next)]);
        }
    }

    #[test]
    fn where_another_cipher_is_at_work_each_packet_goes_by_itself() {
        let told = convoy();
        let first = packet(10, 10);
        let name = name_of(&first.header);
        told.is_barred();
        assert!(told.follow(name, packet(11, 10)).is_err());
        assert!(told.behind(&[22, 254, 253]).is_none());
        assert!(told.follow(name, packet(11, 10)).is_err(), "for good");
        // Nobody said so, and one row is lost.
        let untold = convoy();
        assert!(untold.follow(name, packet(11, 10)).is_ok());
        assert!(untold.behind(&sealed(&first)).is_none());
        assert!(untold.follow(name, packet(12, 10)).is_err());
    }

    #[test]
    fn rows_are_bounded() {
        let convoy = convoy();
        let first = name_of(&packet(100, 0).header);
        let follow = |number| convoy.follow(first, packet(number, 0)).is_ok();
        assert_eq!((101..300).filter(|n| follow(*n)).count(), MOST);
        for number in 1_000..2_000 {
            let name = name_of(&packet(number, 0).header);
            let _ = convoy.follow(name, packet(number + 1, 0));
            assert!(lock(&convoy.0).waiting.len() <= ROWS);
        }
        for number in 3_000..4_000 {
            let first = packet(number, 0);
            let name = name_of(&first.header);
            let _ = convoy.follow(name, packet(number + 1, 0));
            convoy.seal(name, &nonce(&first), &mut *cipher());
            assert!(lock(&convoy.0).sealed.len() <= ROWS);
        }
    }
}
