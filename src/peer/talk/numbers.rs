//! Numbers for the packets that are played, without the holes that packets without a
//! sound leave. Pure.
//!
//! A browser that tries how much a path carries fills it with padding, which counts in
//! the numbers of whatever it sends (RFC 3550 §5.1): of audio, where it sends no
//! picture. The jitter buffer would take each of those for a lost packet, of no
//! length, and Opus's concealment of them for a delay. How much sound is missing is
//! told by the time stamps.

use rtc::rtp;

use crate::media::opus;

/// Of one sender.
#[derive(Debug, Default)]
pub(super) struct Numbers(Option<Last>);

/// The latest packet so far.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// What its sender called it, and what it is called here.
    stream: u32,
    theirs: u16,
    ours: u16,
    timestamp: u32,
    /// In samples.
    length: u32,
}

impl Numbers {
    /// What is this packet's number?
    pub(super) fn next(&mut self, header: &rtp::Header, payload: &[u8]) -> u16 {
        let (theirs, timestamp) = (header.sequence_number, header.timestamp);
        let length = opus::samples(payload).unwrap_or(opus::SILENCE_SAMPLES);
        let stream = header.ssrc;
        // Another stream counts anew, and the jitter buffer with it.
        let Some(last) = self.0.filter(|last| last.stream == stream) else {
            self.0 = Some(Last {
                stream,
                theirs,
                ours: theirs,
                timestamp,
                length,
            });
            return theirs;
        };
        let ahead = theirs.wrapping_sub(last.theirs);
        if ahead == 0 {
            return last.ours;
        }
        if ahead > u16::MAX / 2 {
            // It was overtaken.
            let behind = steps(last.timestamp.wrapping_sub(timestamp), length);
            return last.ours.wrapping_sub(behind.min(ahead.wrapping_neg()));
        }
        let by = steps(timestamp.wrapping_sub(last.timestamp), last.length).min(ahead);
        let ours = last.ours.wrapping_add(by);
        self.0 = Some(Last {
            stream,
            theirs,
            ours,
            timestamp,
            length,
        });
        ours
    }
}

/// How many packets of this length it is to one that is so much later, at least one.
fn steps(samples: u32, length: u32) -> u16 {
    u16::try_from(samples / length).unwrap_or(u16::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of packets of 20 ms with these numbers, at these times in packets.
    fn numbers(packets: &[(u16, u32)]) -> Vec<u16> {
        let mut numbers = Numbers::default();
        let of = |&(sequence_number, at): &(u16, u32)| {
            let header = rtp::Header {
                sequence_number,
                timestamp: u32::MAX.wrapping_add(at * 960),
                ..rtp::Header::default()
            };
            numbers.next(&header, opus::SILENCE)
        };
        packets.iter().map(of).collect()
    }

    #[test]
    fn padding_leaves_no_holes() {
        let packets = [(65_533, 0), (65_535, 1), (2, 2), (3, 3), (9, 4), (10, 5)];
        assert_eq!(
            numbers(&packets),
            [65_533, 65_534, 65_535, 0, 1, 2],
            "six packets of sound"
        );
    }

    #[test]
    fn what_is_lost_leaves_its_holes_whatever_padding_there_is() {
        assert_eq!(numbers(&[(7, 0), (8, 1), (11, 4), (12, 5)]), [7, 8, 11, 12]);
        // Three are missing, and one of them had a sound.
        assert_eq!(numbers(&[(7, 0), (11, 2), (12, 3)]), [7, 9, 10]);
        // Its sender was silent for a while, and nothing is missing.
        assert_eq!(numbers(&[(7, 0), (8, 50), (9, 51)]), [7, 8, 9]);
    }

    #[test]
    fn one_that_was_overtaken_has_the_number_that_was_left_for_it() {
        let packets = [(7, 0), (9, 1), (12, 3), (11, 2), (13, 4), (13, 4)];
        assert_eq!(numbers(&packets), [7, 8, 10, 9, 11, 11]);
    }
}
