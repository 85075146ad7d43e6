//! What cameras and the encoders' probes give us, whatever it is: for fuzzing
//! and for property tests. Not part of the program.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::bitstream::sps::{self, Colours};
use super::encoder::Encoder;
use super::frame::{AccessUnit, MAX_PAYLOAD, Packetizer, profile_level_id};
use super::probe::{Job, Report, cache, child, h264};
use super::stream::{Encoding, Stream};
use crate::config::VideoConfig;
use crate::device::learned::Learned;
use crate::fuzzing::Draw;
use crate::sdp::VideoCodec;

/// Access units of a camera that encodes by itself: what is read of them, what
/// is written into them, and the packets that they make.
pub fn camera(data: &[u8]) {
    let mut draw = Draw(data);
    let encoding = match draw.byte() % 2 {
        0 => Encoding::H264,
        _ => Encoding::full(VideoCodec::Vp8),
    };
    let mut packetizer = Packetizer::new(Stream::Video(encoding));
    let mut learned = Learned::default();
    for _ in 0..16 {
        if draw.is_empty() {
            break;
        }
        let at = Duration::from_millis(draw.short().into()) * 1_000;
        let length = usize::from(draw.short());
        let unit = draw.bytes(length);
        let read = h264::read(unit);
        learned.own_access_unit(at, read.idr);
        let profile = profile_level_id(unit);
        let colours = Colours {
            full_range: length % 2 == 0,
            matrix: 6,
        };
        if let Some(said) = sps::with_colours(unit, colours) {
            assert!(said.len() <= unit.len() * 2 + 64, "{}", said.len());
            assert_eq!(h264::read(&said), read, "what it is has not changed");
            assert_eq!(profile_level_id(&said), profile);
            assert_eq!(sps::with_colours(&said, colours), None, "it is said");
        }
        let now = Instant::now();
        let frame = packetizer.packetize(AccessUnit {
            data: Bytes::copy_from_slice(unit),
            key: read.idr,
            running_time: at,
            captured_at: now,
            encoder_in: None,
            encoded_at: now,
        });
        for payload in frame.iter().flat_map(|frame| &frame.payloads) {
            assert!(payload.len() <= MAX_PAYLOAD, "{} bytes", payload.len());
        }
    }
}

/// Words of a probe's process, mixed with those of its libraries, and a file of
/// earlier ones. They are a verdict, in words.
pub fn probe(data: &[u8]) {
    let (how, data) = data.split_first().unwrap_or((&0, &[]));
    let row = Encoder::row("x264").expect("a row");
    let job = Job::new(&row, &VideoConfig::default());
    judged(&row, &child::concluded(&job, data, *how));
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for now in [now, UNIX_EPOCH, SystemTime::now()] {
        for report in cache::remembered(data, Some("1d"), now) {
            judged(&row, &report);
        }
    }
}

fn judged(row: &Arc<Encoder>, report: &Report) {
    assert!(!report.words().is_empty());
    let _ = (report.profile(), report.row(row));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes in which start codes and parameter sets are not rare.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(vec![0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xda]),
            Just(vec![0, 0, 0, 1, 0x68, 0xce]),
            Just(vec![0, 0, 1, 0x65, 0x88]),
            proptest::collection::vec(any::<u8>(), 0..40),
            (any::<u8>(), 0_usize..1_500).prop_map(|(byte, n)| vec![byte; n]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
            let unit = pieces.concat();
            let mut data = vec![0, 0, 0];
            data.extend_from_slice(&(unit.len() as u16).to_be_bytes());
            data.extend(unit);
            data
        })
    }

    proptest! {
        #[test]
        fn any_stream_of_a_camera_makes_packets_that_fit(data in stream()) {
            camera(&data);
        }

        #[test]
        fn any_words_of_a_probe_are_a_verdict(
            how in any::<u8>(),
            held_back in any::<u32>(),
            frames_out in any::<u32>(),
            stage in prop_oneof![Just("start"), Just("encoded"), Just("second"), Just("stopped")],
            before in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut report = Report::unusable("");
            report.unusable = None;
            report.measured.held_back = held_back;
            report.measured.frames_out = frames_out;
            let mut report = serde_json::to_value(&report).expect("JSON");
            report["stage"] = stage.into();
            let mut data = vec![how];
            data.extend(before);
            data.extend(format!("camera-agent-probe {report}\n").bytes());
            probe(&data);
        }
    }
}
