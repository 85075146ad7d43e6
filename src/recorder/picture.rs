//! A picture's RTP payloads (RFC 6184), put together again as MP4 has it: each NAL
//! unit behind its length, parameter sets apart. Pure.
//!
//! Viewers share the payloads, and nothing else of an access unit is kept.

use bytes::Bytes;

/// Kinds of NAL units (ITU-T H.264 table 7-1, RFC 6184 table 1).
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What a decoder has to know before the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unit {
    /// NAL units, each behind its length in four bytes.
    pub(super) data: Vec<u8>,
    /// What came with it.
    pub(super) sets: Option<Sets>,
}

#[derive(Default)]
struct Reading {
    data: Vec<u8>,
    sps: Option<Vec<u8>>,
    pps: Option<Vec<u8>>,
    /// A unit in pieces, from its header on.
    pieces: Option<Vec<u8>>,
}

/// The picture of these payloads; `None` where they are no whole one.
pub(super) fn unit(payloads: &[Bytes]) -> Option<Unit> {
    let mut reading = Reading::default();
    for payload in payloads {
        reading.payload(payload)?;
    }
    let Reading {
        data,
        sps,
        pps,
        pieces: None,
    } = reading
    else {
        return None;
    };
    let sets = sps.zip(pps).map(|(sps, pps)| Sets { sps, pps });
    (!data.is_empty()).then_some(Unit { data, sets })
}

impl Reading {
    fn payload(&mut self, payload: &[u8]) -> Option<()> {
        let (header, rest) = payload.split_first()?;
        match header & 0x1f {
            FU_A => self.piece(*header, rest),
            // Pieces of another one are missing.
            _ if self.pieces.is_some() => None,
            STAP_A => {
                let mut rest = rest;
                while !rest.is_empty() {
                    let (length, behind) = rest.split_at_checked(2)?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let (nal, behind) = behind.split_at_checked(length)?;
                    self.nal(nal)?;
                    rest = behind;
                }
                Some(())
            }
            1..STAP_A => self.nal(payload),
            _ => None,
        }
    }

    /// RFC 6184 §5.8.
    fn piece(&mut self, indicator: u8, rest: &[u8]) -> Option<()> {
        let (header, data) = rest.split_first()?;
        let (begins, ends) = (header & 0x80 != 0, header & 0x40 != 0);
        match (&mut self.pieces, begins) {
            (None, true) => {
                let mut nal = vec![indicator & 0xe0 | header & 0x1f];
                nal.extend_from_slice(data);
                self.pieces = Some(nal);
            }
            (Some(nal), false) => nal.extend_from_slice(data),
            (None, false) | (Some(_), true) => return None,
        }
        if ends {
            let nal = self.pieces.take()?;
            self.nal(&nal)?;
        }
        Some(())
    }

    fn nal(&mut self, nal: &[u8]) -> Option<()> {
        match nal.first()? & 0x1f {
            SPS => self.sps = Some(nal.to_vec()),
            PPS => self.pps = Some(nal.to_vec()),
            // A file has no use for them.
            DELIMITER | FILLER => {}
            _ => {
                let length = u32::try_from(nal.len()).ok()?;
                self.data.extend_from_slice(&length.to_be_bytes());
                self.data.extend_from_slice(nal);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::frame::{AccessUnit, Packetizer};
    use crate::media::stream::{Encoding, Stream};

    fn payloads(data: Vec<u8>) -> Vec<Bytes> {
        let now = std::time::Instant::now();
        let unit = AccessUnit {
            data: data.into(),
            key: true,
            running_time: std::time::Duration::ZERO,
            captured_at: now,
            encoder_in: None,
            encoded_at: now,
        };
        let frame = Packetizer::new(Stream::Video(Encoding::H264)).packetize(unit);
        frame.expect("it has something to send").payloads
    }

    proptest! {
        /// What is cut for the network comes together again, whatever the sizes.
        #[test]
        fn an_access_unit_comes_back(sizes in proptest::collection::vec(1..5_000_usize, 1..5)) {
            let mut stream = vec![0, 0, 0, 1, 9, 0xf0];
            let (sps, pps) = (vec![0x67, 0x42, 0xc0, 0x1f, 1], vec![0x68, 1, 2]);
            for set in [&sps, &pps] {
                stream.extend([0, 0, 0, 1]);
                stream.extend(set);
            }
            let mut expected = Vec::new();
            for size in sizes {
                let mut nal = vec![0x65];
                nal.extend((0..size).map(|i| 1 + (i % 250) as u8));
                stream.extend([0, 0, 0, 1]);
                stream.extend(&nal);
                expected.extend((nal.len() as u32).to_be_bytes());
                expected.extend(nal);
            }
            let unit = unit(&payloads(stream)).expect("whole");
            prop_assert_eq!(unit.data, expected);
            prop_assert_eq!(unit.sets, Some(Sets { sps, pps }));
        }

        #[test]
        fn nothing_that_is_damaged_passes_or_panics(
            bytes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6)
        ) {
            let payloads: Vec<_> = bytes.into_iter().map(Bytes::from).collect();
            if let Some(unit) = unit(&payloads) {
                prop_assert!(unit.data.len() > 4);
            }
        }
    }

    #[test]
    fn a_piece_that_is_missing_is_missed() {
        let mut stream = vec![0, 0, 0, 1, 0x65];
        stream.extend([7; 5_000]);
        let whole = payloads(stream);
        assert!(whole.len() > 3 && unit(&whole).is_some());
        assert_eq!(unit(&whole[1..]), None);
        assert_eq!(unit(&whole[..whole.len() - 1]), None);
    }
}
