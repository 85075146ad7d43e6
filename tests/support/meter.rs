//! What a viewer counts: an interceptor behind all others that sees every
//! RTP packet after decryption, and lets none through to be queued.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::viewer::{H264, OPUS, RTX};

/// One stream.
#[derive(Debug, Clone, Default)]
pub struct Track {
    pub ssrc: u32,
    pub packets: u64,
    /// Pictures that came whole, by their marker; sound: packets.
    pub frames: u64,
    pub key_frames: u64,
    /// Times at which a sequence number did not follow on the one before.
    pub gaps: u64,
    /// Sequence numbers that were passed over.
    pub missing: u64,
    /// The other end's last sender report.
    pub said: Option<Said>,
    pub first_key: Option<Instant>,
    pub last: Option<Instant>,
    pub sequence: Option<u16>,
    pub timeline: Timeline,
    /// Bytes of payload.
    pub bytes: u64,
    /// Packets of sound that carry the one before once more, in-band.
    pub fec: u64,
    /// How long the frames of sound are that came before the last one, in ticks.
    pub ticks: i64,
    last_ticks: i64,
    /// Every SPS that did not equal the one before.
    pub sps: Vec<Vec<u8>>,
    /// The longest time between two whole pictures, since this was set to zero.
    pub longest_gap: Duration,
    last_frame: Option<Instant>,
    key: bool,
    whole: bool,
}

/// How the RTP timestamps of a stream run.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// When the first packet came.
    pub began: Option<Instant>,
    /// From the first packet's timestamp to the last one's, in ticks.
    pub elapsed: i64,
    /// Frames whose timestamp was not after that of the one before.
    pub backwards: u64,
    /// Packets of another SSRC than the one before.
    pub changes: u64,
    /// The longest wait for a packet.
    pub longest_gap: Duration,
    last: Option<(u32, u32, Instant)>,
    /// The last packet was its frame's last.
    whole: bool,
}

impl Timeline {
    fn take(&mut self, header: &rtp::Header, now: Instant) {
        if let Some((ssrc, timestamp, at)) = self.last {
            let step = header.timestamp.wrapping_sub(timestamp).cast_signed();
            self.changes += u64::from(header.ssrc != ssrc);
            self.backwards += u64::from(step < 0 || (step == 0 && self.whole));
            self.elapsed += i64::from(step);
            self.longest_gap = self.longest_gap.max(now - at);
        }
        self.began.get_or_insert(now);
        self.last = Some((header.ssrc, header.timestamp, now));
        // Each packet of sound is a frame, with or without a marker.
        self.whole = header.marker || header.payload_type == OPUS;
    }
}

/// What came to the socket of one stream, whatever the connection made of it.
#[derive(Debug, Clone, Default)]
pub struct OnTheWire {
    pub packets: u64,
    /// Times at which a sequence number did not follow on the one before.
    pub gaps: u64,
    /// Sequence numbers that were passed over.
    pub missing: u64,
    /// The longest wait for a packet.
    pub longest_gap: Duration,
    last: Option<(u16, Instant)>,
}

impl OnTheWire {
    pub fn take(&mut self, sequence: u16, now: Instant) {
        self.packets += 1;
        let Some((last, at)) = self.last else {
            self.last = Some((sequence, now));
            return;
        };
        self.longest_gap = self.longest_gap.max(now - at);
        if is_overtaken(sequence, last) {
            self.missing = self.missing.saturating_sub(1);
            self.last = Some((last, now));
            return;
        }
        let skipped = sequence.wrapping_sub(last).wrapping_sub(1);
        self.gaps += u64::from(skipped > 0);
        self.missing += u64::from(skipped);
        self.last = Some((sequence, now));
    }
}

/// One of two cores was faster: the packet was counted as missing.
fn is_overtaken(sequence: u16, last: u16) -> bool {
    (1..OVERTAKEN).contains(&last.wrapping_sub(sequence))
}

/// By no more packets than these.
const OVERTAKEN: u16 = 64;

/// What the other end said of what it had sent (RFC 3550 §6.4.1), and what had
/// come or been missed until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    pub sent: u32,
    pub known: u64,
}

impl Said {
    /// Each number that was missed is of a packet that was sent, and none that
    /// was sent last is missing.
    pub fn agrees(self) -> bool {
        u64::from(self.sent) == self.known
    }
}

/// A retransmission (RFC 4588).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    pub ssrc: u32,
    pub payload_type: u8,
    /// The sequence number of the packet that is repeated.
    pub original: u16,
}

/// What came.
#[derive(Debug, Default)]
pub struct Received {
    pub video: Track,
    pub audio: Track,
    pub repeats: Vec<Repeat>,
    /// Video packets that shall get lost.
    pub lose: u32,
    /// Those that did.
    pub lost: Vec<u16>,
    /// Payload types that were not offered.
    pub strangers: u64,
    /// From the stamp at a frame's end to the kernel's receive time of its
    /// last packet; on one machine, when its sender was done.
    pub delays: Vec<Duration>,
    /// When the kernel had each marker packet, by SSRC and sequence number.
    pub arrivals: HashMap<(u32, u16), Duration>,
    pub video_on_the_wire: OnTheWire,
    pub audio_on_the_wire: OnTheWire,
}

/// At the end of an access unit: the mark, then the ns since 1970 at which it
/// left the encoder.
pub const STAMP: [u8; 8] = *b"\x80stamp\x80\x80";

impl Track {
    fn take(&mut self, packet: &rtp::Packet, now: Instant) {
        let header = &packet.header;
        self.ssrc = header.ssrc;
        self.packets += 1;
        let sequence = header.sequence_number;
        if self
            .sequence
            .is_some_and(|last| is_overtaken(sequence, last))
        {
            self.missing = self.missing.saturating_sub(1);
        } else {
            let skipped = self
                .sequence
                .map_or(0, |last| sequence.wrapping_sub(last).wrapping_sub(1));
            if skipped > 0 {
                self.gaps += 1;
                self.missing += u64::from(skipped);
                self.whole = false;
            }
            self.sequence = Some(sequence);
        }
        self.bytes += packet.payload.len() as u64;
        if let Some(sps) = sps(&packet.payload)
            && self.sps.last().is_none_or(|last| last != sps)
        {
            self.sps.push(sps.to_vec());
        }
        self.timeline.take(header, now);
        self.last = Some(now);
        if header.payload_type == OPUS {
            self.frames += 1;
            self.fec += u64::from(has_fec(&packet.payload));
            self.ticks += std::mem::replace(&mut self.last_ticks, ticks(&packet.payload));
            return;
        }
        match begins_key_frame(&packet.payload) {
            Some(key) if self.packets == 1 || key => {
                self.key = key;
                self.whole |= key;
            }
            _ => {}
        }
        if header.marker {
            self.frames += u64::from(self.whole);
            if self.whole
                && let Some(last) = self.last_frame.replace(now)
            {
                self.longest_gap = self.longest_gap.max(now - last);
            }
            if self.whole && self.key {
                self.key_frames += 1;
                self.first_key.get_or_insert(now);
            }
            self.whole = self.first_key.is_some();
            self.key = false;
        }
    }
}

/// True for an Opus packet with in-band FEC: one mono frame of 20 ms in SILK or
/// hybrid mode (RFC 6716 §3.1) whose LBRR flag is set (§4.2.3, the bit after
/// the one of voice activity).
pub fn has_fec(packet: &[u8]) -> bool {
    match packet {
        [toc, first, ..] => toc >> 3 < 16 && toc & 0b111 == 0 && first & 0x40 != 0,
        _ => false,
    }
}

/// How long the one frame of an Opus packet is, in ticks of 48 kHz (RFC 6716 §3.1).
fn ticks(packet: &[u8]) -> i64 {
    let config = packet.first().map_or(0, |toc| toc >> 3);
    match config {
        0..12 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        12..16 => [480, 960][usize::from(config % 2)],
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    }
}

/// RFC 6184 §5.4, §5.7.1, §5.8: an SPS or the first part of an IDR slice.
fn begins_key_frame(payload: &[u8]) -> Option<bool> {
    let kind = |byte: u8| byte & 0x1f;
    Some(match kind(*payload.first()?) {
        24 => matches!(kind(*payload.get(3)?), 5 | 7),
        28 => payload.get(1)? & 0x80 != 0 && kind(payload[1]) == 5,
        other => matches!(other, 5 | 7),
    })
}

/// The SPS in a packet (RFC 6184 §5.6, §5.7.1).
fn sps(payload: &[u8]) -> Option<&[u8]> {
    match payload.first()? & 0x1f {
        7 => Some(payload),
        24 => {
            let size = usize::from(u16::from_be_bytes([*payload.get(1)?, *payload.get(2)?]));
            let first = payload.get(3..3 + size)?;
            (first.first()? & 0x1f == 7).then_some(first)
        }
        _ => None,
    }
}

impl Received {
    /// Picture and sound: what the connection had of it, and the socket.
    pub fn both(&self) -> [(&Track, &OnTheWire); 2] {
        [
            (&self.video, &self.video_on_the_wire),
            (&self.audio, &self.audio_on_the_wire),
        ]
    }

    fn hear(&mut self, report: &SenderReport) {
        let tracks = [&mut self.video, &mut self.audio].into_iter();
        for track in tracks.filter(|track| track.ssrc == report.ssrc) {
            track.said = Some(Said {
                sent: report.packet_count,
                known: track.packets + track.missing,
            });
        }
    }

    fn stamp(&mut self, packet: &rtp::Packet) {
        let key = (packet.header.ssrc, packet.header.sequence_number);
        let Some(arrived) = self.arrivals.remove(&key) else {
            return;
        };
        if let Some(stamp) = packet.payload.last_chunk::<16>()
            && let Some(time) = stamp.strip_prefix(&STAMP)
        {
            let encoded = u64::from_be_bytes(time.try_into().expect("8 bytes"));
            let encoded = Duration::from_nanos(encoded);
            self.delays.push(arrived.saturating_sub(encoded));
        }
    }
}

/// The interceptor.
pub struct Meter {
    received: Arc<Mutex<Received>>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Meter {
    pub fn new(received: Arc<Mutex<Received>>) -> Self {
        Self {
            received,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    /// Returns true for the first packets of a stream, from which the
    /// connection makes its tracks.
    fn count(&mut self, packet: &rtp::Packet) -> bool {
        let mut received = self.received.lock().expect("nobody panics with it");
        let now = Instant::now();
        match packet.header.payload_type {
            H264 => {
                if received.lose > 0 && received.video.packets > 0 {
                    received.lose -= 1;
                    received.lost.push(packet.header.sequence_number);
                    return false;
                }
                received.video.take(packet, now);
                if packet.header.marker {
                    received.stamp(packet);
                }
                received.video.packets < 3
            }
            OPUS => {
                received.audio.take(packet, now);
                received.audio.packets < 3
            }
            RTX => {
                if let [high, low, ..] = packet.payload[..] {
                    received.repeats.push(Repeat {
                        ssrc: packet.header.ssrc,
                        payload_type: packet.header.payload_type,
                        original: u16::from_be_bytes([high, low]),
                    });
                }
                false
            }
            _ => {
                received.strangers += 1;
                false
            }
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Meter {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let pass = match &packet.message.packet {
            Packet::Rtp(rtp) => self.count(rtp),
            Packet::Rtcp(parts) => {
                let mut received = self.received.lock().expect("nobody panics with it");
                for part in parts {
                    if let Some(report) = part.as_any().downcast_ref() {
                        received.hear(report);
                    }
                }
                true
            }
            _ => true,
        };
        if pass {
            self.reads.push_back(packet);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Meter {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
