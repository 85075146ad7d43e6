//! What the webcam answers on endpoint 0: its descriptors, the negotiation of a
//! mode (USB Video Class 1.1 §4.3.1.1, "probe and commit"), its brightness, and
//! switch and volume of its microphone (USB Audio Class 1.0 §5.2.2.4).

use super::descriptors::{
    self, AUDIO_CONTROL, FEATURE_UNIT, PROCESSING_UNIT, VIDEO_CONTROL, VIDEO_STREAM,
};
use super::redir::Setup;
use super::{Make, Mode};

/// Bytes of the probe.
const PROBE: usize = 34;

const SET: u8 = 0x01;
const GET: u8 = 0x81;
const MINIMUM: u8 = 0x82;
const MAXIMUM: u8 = 0x83;
const STEP: u8 = 0x84;
const LENGTH: u8 = 0x85;
const INFORMATION: u8 = 0x86;
const DEFAULT: u8 = 0x87;

/// A number that a host may set, with its range.
#[derive(Debug)]
struct Value {
    now: i16,
    range: [i16; 3],
    default: i16,
    bytes: u16,
}

impl Value {
    fn answer(&mut self, request: u8, data: &[u8]) -> Option<Vec<u8>> {
        let [low, high, step] = self.range;
        let value = match request {
            SET => {
                let bytes = [data[0], data.get(1).copied().unwrap_or_default()];
                let value = i16::from_le_bytes(bytes);
                self.now = value.clamp(low, high);
                return Some(Vec::new());
            }
            GET => self.now,
            MINIMUM => low,
            MAXIMUM => high,
            STEP => step,
            DEFAULT => self.default,
            LENGTH => return Some(self.bytes.to_le_bytes().to_vec()),
            // It can be read and set.
            INFORMATION => return Some(vec![3]),
            _ => return None,
        };
        Some(value.to_le_bytes()[..usize::from(self.bytes)].to_vec())
    }
}

pub struct Answers<'a> {
    make: &'a Make,
    /// Format and frame that were asked for, and those that hold, from 1.
    probed: (u8, u8),
    committed: (u8, u8),
    brightness: Value,
    muted: Value,
    volume: Value,
}

impl<'a> Answers<'a> {
    pub fn new(make: &'a Make) -> Self {
        Self {
            make,
            probed: (1, 1),
            committed: (1, 1),
            brightness: Value {
                now: 0,
                range: [-64, 64, 1],
                default: 0,
                bytes: 2,
            },
            muted: Value {
                now: 0,
                range: [0, 1, 1],
                default: 0,
                bytes: 1,
            },
            // 1/256 dB: from -30 dB to 0.
            volume: Value {
                now: 0,
                range: [-30 * 256, 0, 256],
                default: 0,
                bytes: 2,
            },
        }
    }

    /// The mode that was committed to.
    pub fn mode(&self) -> Mode {
        self.mode_of(self.committed)
    }

    fn mode_of(&self, (format, frame): (u8, u8)) -> Mode {
        let formats = self.make.formats();
        formats[usize::from(format) - 1].1[usize::from(frame) - 1]
    }

    /// The data of the answer, none for what was taken; `None` is a stall.
    pub fn answer(&mut self, setup: Setup, data: &[u8]) -> Option<Vec<u8>> {
        let [value_low, value_high] = setup.value.to_le_bytes();
        let [interface, unit] = setup.index.to_le_bytes();
        match (setup.request_type, setup.request) {
            // GET_DESCRIPTOR; of another speed there is none.
            (0x80, 6) => match value_high {
                1 => Some(descriptors::device()),
                2 => Some(descriptors::configuration(self.make)),
                3 => descriptors::string(self.make, value_low),
                _ => None,
            },
            // GET_STATUS; CLEAR_FEATURE and SET_FEATURE.
            (0x80..=0x82, 0) => Some(vec![0, 0]),
            (0..=2, 1 | 3) => Some(Vec::new()),
            (0x21 | 0xa1, request) => match (interface, unit, value_high) {
                (VIDEO_STREAM, 0, 1) => self.probe(request, data, false),
                (VIDEO_STREAM, 0, 2) => self.probe(request, data, true),
                (VIDEO_CONTROL, PROCESSING_UNIT, 2) => self.brightness.answer(request, data),
                (AUDIO_CONTROL, FEATURE_UNIT, 1) => self.muted.answer(request, data),
                (AUDIO_CONTROL, FEATURE_UNIT, 2) => self.volume.answer(request, data),
                _ => None,
            },
            _ => None,
        }
    }

    fn probe(&mut self, request: u8, data: &[u8], commits: bool) -> Option<Vec<u8>> {
        match request {
            SET => {
                let formats = self.make.formats();
                let within = |index: u8, count: usize| index.clamp(1, count as u8);
                let format = within(data[2], formats.len());
                let frame = within(data[3], formats[usize::from(format) - 1].1.len());
                if commits {
                    self.committed = (format, frame);
                } else {
                    self.probed = (format, frame);
                }
                Some(Vec::new())
            }
            GET if commits => Some(self.parameters(self.committed)),
            GET => Some(self.parameters(self.probed)),
            MINIMUM | MAXIMUM if !commits => Some(self.parameters(self.probed)),
            DEFAULT if !commits => Some(self.parameters((1, 1))),
            LENGTH => Some((PROBE as u16).to_le_bytes().to_vec()),
            INFORMATION => Some(vec![3]),
            _ => None,
        }
    }

    /// Mode, interval, largest frame and largest payload, clock and framing.
    fn parameters(&self, indices: (u8, u8)) -> Vec<u8> {
        let mode = self.mode_of(indices);
        let mut bytes = vec![0; PROBE];
        let mut put = |at: usize, number: u32| {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        };
        put(4, mode.interval());
        put(18, mode.largest_frame());
        put(22, u32::from(mode.alternate.bytes));
        put(26, 48_000_000);
        // The frame's identity and its end are in each payload's header.
        bytes[30] = 3;
        (bytes[2], bytes[3]) = indices;
        bytes
    }
}
