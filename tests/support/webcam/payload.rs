//! Packets of the two streams: pictures in payloads of the USB Video Class
//! (1.1, §2.4.3), and sound, which has no header.

use std::f64::consts::TAU;
use std::time::Duration;

use super::descriptors::SAMPLE_RATE;
use super::{Alternate, Mode};

/// A microframe.
const MICROFRAME: Duration = Duration::from_micros(125);
/// Length, flags, presentation time, and the clock of the source.
const HEADER: usize = 12;
const FRAME_ID: u8 = 1;
const END_OF_FRAME: u8 = 2;
const HAS_TIMES: u8 = 0x0c;
const END_OF_HEADER: u8 = 0x80;
/// As its descriptor says.
const CLOCK_HZ: u64 = 48_000_000;

/// Which packets are due, of a stream that has run for so long.
#[derive(Debug)]
pub struct Pace {
    microframes: u8,
    sent: u64,
}

/// More is not made up for: QEMU has room for 120 ms.
const MOST_LATE: Duration = Duration::from_millis(60);

impl Pace {
    pub fn new(microframes: u8) -> Self {
        Self {
            microframes,
            sent: 0,
        }
    }

    fn each(&self) -> Duration {
        MICROFRAME * u32::from(self.microframes)
    }

    /// The times of the packets that are due.
    pub fn due(&mut self, since_start: Duration) -> Vec<Duration> {
        let each = self.each();
        let count = (since_start.as_micros() / each.as_micros()) as u64;
        let most = (MOST_LATE.as_micros() / each.as_micros()) as u64;
        let first = self.sent.max(count.saturating_sub(most));
        self.sent = count;
        (first..count).map(|n| each * n as u32).collect()
    }
}

/// The pictures of a mode, cut into packets.
pub struct Pictures<'a> {
    mode: Mode,
    frames: &'a [Vec<u8>],
    /// Frames begun so far.
    begun: u64,
    /// What is left of the present one.
    rest: &'a [u8],
    frame_id: bool,
    begun_at: Duration,
}

impl<'a> Pictures<'a> {
    pub fn new(mode: Mode, frames: &'a [Vec<u8>]) -> Self {
        Self {
            mode,
            frames,
            begun: 0,
            rest: &[],
            frame_id: false,
            begun_at: Duration::ZERO,
        }
    }

    /// The packet at this time; no frame begins where it is `silent`.
    pub fn packet(&mut self, at: Duration, silent: bool) -> Vec<u8> {
        let Alternate { bytes, .. } = self.mode.alternate;
        let number = at.as_micros() as u64 * u64::from(self.mode.fps) / 1_000_000;
        if self.rest.is_empty() && !silent && number >= self.begun {
            // Of those that came due meanwhile the last.
            self.begun = number + 1;
            self.rest = &self.frames[number as usize % self.frames.len()];
            self.frame_id = !self.frame_id;
            self.begun_at = at;
        }
        let room = usize::from(bytes) - HEADER;
        let (part, rest) = self.rest.split_at(room.min(self.rest.len()));
        self.rest = rest;
        let ends = !part.is_empty() && rest.is_empty();
        let mut flags = END_OF_HEADER | HAS_TIMES;
        flags |= if self.frame_id { FRAME_ID } else { 0 };
        flags |= if ends { END_OF_FRAME } else { 0 };
        let clock = |at: Duration| (at.as_nanos() as u64 / 1000 * (CLOCK_HZ / 1_000_000)) as u32;
        let start_of_frame = (at.as_millis() % 2048) as u16;
        let mut packet = vec![HEADER as u8, flags];
        packet.extend(clock(self.begun_at).to_le_bytes());
        packet.extend(clock(at).to_le_bytes());
        packet.extend(start_of_frame.to_le_bytes());
        packet.extend(part);
        packet
    }
}

/// A sine at half of full scale, a millisecond a packet.
pub fn sound(hertz: u32, at: Duration) -> Vec<u8> {
    let per_packet = u64::from(SAMPLE_RATE / 1000);
    let first = at.as_millis() as u64 * per_packet;
    let sample = |n: u64| {
        let turns = n as f64 * f64::from(hertz) / f64::from(SAMPLE_RATE);
        ((turns.fract() * TAU).sin() * f64::from(i16::MAX) / 2.0) as i16
    };
    let samples = (first..first + per_packet).map(sample);
    samples.flat_map(i16::to_le_bytes).collect()
}
