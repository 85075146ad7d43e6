//! From an access unit to RTP payloads, once for all viewers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;

use super::bitstream::nal;
use super::stream::{Encoding, Stream};
use crate::sdp::{ProfileLevelId, VideoCodec};

/// What stands around an RTP payload on the wire, in bytes, at most.
pub(crate) mod overhead {
    /// The packet that every IPv6 path carries (RFC 8200 §5).
    pub(crate) const LEAST_MTU: usize = 1280;
    /// RFC 8200 §3; IPv4 has 20.
    pub(crate) const IPV6: usize = 40;
    /// RFC 768.
    pub(crate) const UDP: usize = 8;
    /// To a TURN server of ours, once a channel is bound, which the first check
    /// of ICE does (RFC 8656 §12.4). Over TCP or TLS there is no datagram to fit.
    pub(crate) const CHANNEL_DATA: usize = 4;
    /// RFC 3550 §5.1, without contributing sources.
    pub(crate) const RTP: usize = 12;
    /// Lengths of the header extensions that one packet may carry: the number
    /// for transport-cc, the playout delay, the time of capture.
    pub(crate) const EXTENSIONS: [usize; 3] = [2, 3, 16];
    /// The same as they are written, each behind one byte, in whole words
    /// (RFC 8285 §4.2). The form for ids above 14 is not written by the crate.
    pub(crate) const HEADER_EXTENSION: usize =
        (4 + EXTENSIONS.len() + EXTENSIONS[0] + EXTENSIONS[1] + EXTENSIONS[2]).next_multiple_of(4);
    /// The original number in front of what RTX repeats (RFC 4588 §4). Such a
    /// packet has no extension but transport-cc's.
    pub(crate) const RTX: usize = 2;
    /// The tag of AES-GCM (RFC 7714 §5.3); that of HMAC-SHA1-80 has 10.
    pub(crate) const SRTP_TAG: usize = 16;

    /// All of it: RTX takes the place of two longer extensions.
    pub(crate) const ALL: usize = IPV6 + UDP + CHANNEL_DATA + RTP + HEADER_EXTENSION + SRTP_TAG;

    const _: () = assert!(RTX <= EXTENSIONS[1] + EXTENSIONS[2]);
}

/// Largest RTP payload in bytes: with all [`overhead`] a packet stays within what
/// every IPv6 path carries.
pub(crate) const MAX_PAYLOAD: usize = overhead::LEAST_MTU - overhead::ALL;

/// One encoded picture, or one packet of sound.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    /// H.264 as byte-stream with SPS and PPS before each IDR; VP8 and Opus as
    /// they are.
    pub data: Bytes,
    /// Decodable without what came before.
    pub key: bool,
    /// When it was captured, on the clock that all streams share.
    pub running_time: Duration,
    /// The same on this machine's clock.
    pub captured_at: Instant,
    /// When it went into the encoder, where that is known.
    pub encoder_in: Option<Instant>,
    /// When it left the encoder.
    pub encoded_at: Instant,
}

/// An access unit, ready to be sent.
#[derive(Debug)]
pub struct Frame {
    /// RTP payloads in order; the last one carries the marker.
    pub payloads: Vec<Bytes>,
    /// In units of [`Stream::clock_rate`], from zero at running time zero.
    pub rtp_time: u32,
    /// Decodable without what came before.
    pub key: bool,
    /// When it was captured.
    pub captured_at: Instant,
    /// When it went into the encoder, where that is known.
    pub encoder_in: Option<Instant>,
    /// When it left the encoder.
    pub encoded_at: Instant,
}

/// Payloads the access units of one stream.
#[derive(Debug)]
pub struct Packetizer {
    stream: Stream,
    payloader: Option<Box<dyn Payloader>>,
}

impl Packetizer {
    /// A packetizer for one run of `stream`.
    pub fn new(stream: Stream) -> Self {
        let codec = match stream {
            Stream::Video(Encoding { codec, .. }) => Some(codec),
            Stream::Audio => None,
        };
        let payloader: Option<Box<dyn Payloader>> = match codec {
            Some(VideoCodec::H264) => Some(Box::<H264Payloader>::default()),
            Some(VideoCodec::Vp8) => {
                let mut payloader = Box::<Vp8Payloader>::default();
                payloader.enable_picture_id = true;
                Some(payloader)
            }
            // RFC 7587 §4.2: one Opus packet is one payload.
            None => None,
        };
        Self { stream, payloader }
    }

    /// The frame, or `None` for an access unit with nothing to send.
    pub fn packetize(&mut self, unit: AccessUnit) -> Option<Frame> {
        let payloads = match &mut self.payloader {
            Some(payloader) => payloader.payload(MAX_PAYLOAD, &unit.data).ok()?,
            None => vec![unit.data],
        };
        if payloads.iter().all(Bytes::is_empty) {
            return None;
        }
        Some(Frame {
            payloads,
            rtp_time: rtp_time(unit.running_time, self.stream.clock_rate()),
            key: unit.key,
            captured_at: unit.captured_at,
            encoder_in: unit.encoder_in,
            encoded_at: unit.encoded_at,
        })
    }
}

/// Running time in ticks, modulo 2³². Never summed from durations: 1/30 s is
/// no whole number of nanoseconds.
fn rtp_time(running_time: Duration, clock_rate: u32) -> u32 {
    let ticks = running_time.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
    (ticks % (1 << 32)) as u32
}

/// The `profile-level-id` in the first SPS of a byte-stream access unit
/// (ITU-T H.264 §7.3.2.1.1: the three bytes after the NAL header, where the third
/// may stand behind a byte of emulation prevention, §7.4.1).
pub fn profile_level_id(access_unit: &[u8]) -> Option<ProfileLevelId> {
    nal::starts(access_unit).find_map(|start| match &access_unit[start..] {
        [header, 0, 0, 3, level, ..] if header & 0x1f == 7 => Some(ProfileLevelId([0, 0, *level])),
        [header, profile, constraints, level, ..] if header & 0x1f == 7 => {
            Some(ProfileLevelId([*profile, *constraints, *level]))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(data: &[u8], running_time: Duration) -> AccessUnit {
        AccessUnit {
            data: Bytes::copy_from_slice(data),
            key: true,
            running_time,
            captured_at: Instant::now(),
            encoder_in: None,
            encoded_at: Instant::now(),
        }
    }

    #[test]
    fn a_level_behind_emulation_prevention_is_read() {
        let sps = |bytes: &[u8]| profile_level_id(&[&[0, 0, 1, 0x67], bytes].concat());
        assert_eq!(sps(&[0, 0, 3, 2, 9]), Some(ProfileLevelId([0, 0, 2])));
        assert_eq!(sps(&[0x42, 0, 3, 2, 9]), Some(ProfileLevelId([0x42, 0, 3])));
    }

    #[test]
    fn an_hour_of_thirtieths_is_an_hour_of_ticks() {
        let frame = Duration::from_nanos(33_333_333);
        let nth = |n: u64| Duration::from_nanos(n * 1_000_000_000 / 30);
        assert_eq!(rtp_time(nth(30 * 3600), 90_000), 3600 * 90_000);
        // What summing the duration would have given.
        assert_eq!(rtp_time(frame, 90_000), 2_999);
    }

    #[test]
    fn ticks_wrap_after_thirteen_hours() {
        let day = Duration::from_secs(86_400);
        assert_eq!(
            rtp_time(day, 90_000),
            ((86_400_u64 * 90_000) % (1 << 32)) as u32
        );
    }

    #[test]
    fn the_profile_is_read_from_the_sps_wherever_it_stands() {
        let au = [
            0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xd9, 0, 0, 1, 0x68, 1,
        ];
        assert_eq!(
            profile_level_id(&au).map(|p| p.to_string()).as_deref(),
            Some("42c01f")
        );
        assert_eq!(profile_level_id(&[0, 0, 1, 0x65, 1, 2, 3]), None);
        assert_eq!(profile_level_id(&[0, 0, 1, 0x67]), None);
        assert_eq!(profile_level_id(&[]), None);
    }

    #[test]
    fn a_large_key_frame_is_cut_to_payloads_that_fit() {
        let mut data = vec![0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 0, 1, 0x68, 1];
        data.extend([0, 0, 0, 1, 0x65]);
        data.extend(vec![0xab; 10_000]);
        let mut packetizer = Packetizer::new(Stream::Video(Encoding::H264));
        let frame = packetizer
            .packetize(unit(&data, Duration::from_secs(1)))
            .expect("a frame");
        assert_eq!(frame.rtp_time, 90_000);
        assert!(frame.payloads.len() >= 10);
        assert!(frame.payloads.iter().all(|p| p.len() <= MAX_PAYLOAD));
    }

    #[test]
    fn an_empty_access_unit_is_nothing_to_send() {
        for stream in Stream::ALL {
            let mut packetizer = Packetizer::new(stream);
            assert!(packetizer.packetize(unit(&[], Duration::ZERO)).is_none());
        }
    }
}
