//! A hostile viewer's bytes through what stands between the network and a
//! call, as the crate brings them there: for fuzzing and for property tests.
//! Not part of the program.

mod connection;
mod ink;
#[cfg(test)]
mod meddled;
mod records;
mod sctp;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::interceptor::{
    Attribute, AttributedPacket, Interceptor, Packet, RTCPFeedback, StreamInfo, TaggedPacket,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::marshal::Unmarshal;

pub use connection::connection;
use ink::Ink;
pub use records::records;
pub use sctp::sctp;

use super::convoy::Convoy;
use super::engine;
use super::interceptor::burst::Waiting;
use super::interceptor::clock::Captured;
use super::interceptor::feedback::{Feedback, Listener};
use super::interceptor::pacer::Pace;
use super::interceptor::screen::Screen;
use super::path::known::{Bounds, Path};
use super::rtp::red;
use super::socket::guard::fuzzing::{Model, address};
use super::stats::Tally;
use crate::fuzzing::Draw;
use crate::media::latency::Latency;

const VIDEO: u32 = 0x0102_0304;
const RTX: u32 = 0x0102_0305;
const SOUND: u32 = 0x0102_0306;
const BOUNDS: Bounds = Bounds {
    min: 100_000,
    max: 4_000_000,
};
/// Bytes of a packet of the picture.
const PAYLOAD: usize = 1_000;
/// Bytes that repairs may take, as `repair` says: three tenths of what is
/// carried, and what that is in a second to begin with.
const REPAIRS_A_SECOND: f64 = BOUNDS.max as f64 / 8.0 * 0.3;

struct Nobody;

impl Listener for Nobody {
    fn alive(&self) {}
    fn key_frame(&self) {}
    fn address(&self, _: IpAddr) {}
    fn remb(&self, _: u32, _: Instant) {}
    fn sound_lost(&self, fraction: f64, _: Instant) {
        assert!((0.0..=1.0).contains(&fraction), "{fraction}");
    }
}

fn stream(ssrc: u32, kind: &str, rtx: Option<u32>) -> StreamInfo {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    let extension = rtc::interceptor::RTPHeaderExtension {
        uri: rtc::sdp::extmap::TRANSPORT_CC_URI.to_owned(),
        id: 3,
    };
    StreamInfo {
        ssrc,
        ssrc_rtx: rtx,
        payload_type_rtx: rtx.map(|_| 97),
        payload_type: 96,
        rtp_header_extensions: vec![extension],
        mime_type: kind.to_owned(),
        clock_rate: 90_000,
        rtcp_feedback: vec![feedback("nack", ""), feedback("transport-cc", "")],
        ..Default::default()
    }
}

/// One viewer's interceptors, all of them, in the order of a call.
struct Bench<I> {
    chain: I,
    waiting: Waiting,
    path: Path,
    began: Instant,
    now: Instant,
    /// Bytes of repairs that left.
    repaired: usize,
    /// The last numbers of what left, of picture and sound.
    newest: [u16; 2],
    convoy: Convoy,
    ink: Ink,
    /// How the packets that leave now [fare](ink::fate).
    fate: u8,
    /// Packets that went by themselves or as the first of a row, and all.
    left: [usize; 2],
}

impl<I> Bench<I>
where
    I: Interceptor + Protocol<TaggedPacket, TaggedPacket, (), Wout = TaggedPacket, Time = Instant>,
{
    fn tagged(&self, packet: Packet) -> TaggedPacket {
        TaggedPacket {
            now: self.now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        }
    }

    /// A datagram that was decrypted, read as the crate reads it.
    fn comes(&mut self, datagram: &[u8]) {
        let mut bytes = Bytes::copy_from_slice(datagram);
        let is_rtcp = matches!(datagram, [_, 192..=223, ..]);
        let packet = if is_rtcp {
            let Ok(parts) = rtc::rtcp::packet::unmarshal(&mut bytes) else {
                return;
            };
            Packet::Rtcp(parts)
        } else {
            let Ok(packet) = rtp::Packet::unmarshal(&mut bytes) else {
                return;
            };
            Packet::Rtp(packet)
        };
        let packet = self.tagged(packet);
        let _ = self.chain.handle_read(packet);
        while self.chain.poll_read().is_some() {}
    }

    /// So many packets of a stream are sent, in one go.
    fn send(&mut self, ssrc: u32, packets: usize) {
        let packet = rtp::Packet {
            header: rtp::Header {
                version: 2,
                ssrc,
                payload_type: 96,
                ..Default::default()
            },
            payload: Bytes::from_static(&[7; PAYLOAD]),
        };
        let all = std::iter::repeat_n(packet.clone(), packets);
        self.waiting.extend(all, None, self.now);
        let signal = self.tagged(Packet::Rtp(packet));
        let _ = self.chain.handle_write(signal);
    }

    /// What leaves, and what has to be.
    fn leaves(&mut self) {
        while let Some(packet) = self.chain.poll_write() {
            let is_repair = packet.message.has(&Attribute::Retransmission);
            let Packet::Rtp(rtp) = &packet.message.packet else {
                continue;
            };
            if !is_repair
                && let Some(at) = [VIDEO, SOUND].iter().position(|s| *s == rtp.header.ssrc)
            {
                self.newest[at] = rtp.header.sequence_number;
            }
            let behind = ink::passes(&self.convoy, &mut self.ink, rtp, self.fate);
            self.left[0] += 1;
            self.left[1] += 1 + behind;
            if is_repair {
                self.repaired += PAYLOAD;
            }
        }
        let elapsed = self.now.duration_since(self.began).as_secs_f64();
        let most = REPAIRS_A_SECOND * (elapsed + 1.0) + 20_000.0;
        assert!(self.repaired as f64 <= most, "{} repaired", self.repaired);
        let estimate = self.path.estimate();
        let carries = estimate.bits_per_second;
        assert!((BOUNDS.min..=BOUNDS.max).contains(&carries), "{carries}");
        assert!((0.0..=1.0).contains(&estimate.loss), "{}", estimate.loss);
    }

    /// Time passes, and timers with it; none of them may spin.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.chain.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let _ = self.chain.handle_timeout(self.now);
            self.leaves();
            turns += 1;
            assert!(turns < 20_000, "timers spin");
        }
        self.now = end;
    }
}

/// A part of RTCP: its count, its type, and what follows the length.
fn part(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | (count & 31), kind];
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    out.extend_from_slice(&(body.len() as u16 / 4).to_be_bytes());
    out.extend(body);
    out
}

/// The interceptors of a call with picture and sound.
fn chain(
    waiting: &Waiting,
    path: &Path,
    convoy: &Convoy,
    now: Instant,
) -> impl Interceptor<Wout = TaggedPacket, Time = Instant> + use<> {
    let captured = Captured::default();
    captured.note(VIDEO, 1, now, 90_000);
    let registry = engine::interceptors(
        (
            Screen::new(now),
            Feedback::new(Box::new(Nobody)),
            convoy.clone(),
        ),
        waiting.clone(),
        BOUNDS,
        path,
        Pace::new(path.clone()),
        captured,
        &Tally::default(),
    );
    let mut chain = registry.build();
    chain.bind_local_stream(&stream(VIDEO, "video/H264", Some(RTX)));
    chain.bind_local_stream(&stream(SOUND, "audio/opus", None));
    chain
}

/// RTCP and RTP of a viewer into all of our interceptors, between packets of
/// the picture and in any time, whatever becomes of those on their way to the socket.
/// Repairs stay in their budget, the estimate in its bounds, no timer spins, and nothing is
/// encrypted under a nonce that something else had.
pub fn interceptors(data: &[u8]) {
    leave(data);
}

/// The packets that the crate was given of those that left, and all of them.
fn leave(data: &[u8]) -> [usize; 2] {
    let mut draw = Draw(data);
    let now = Instant::now();
    let path = Path::new(BOUNDS);
    let waiting = Waiting::new(Arc::new(Latency::new(now)));
    let convoy = Convoy::default();
    // The hello of DTLS, straight to the viewer: rows may be made.
    assert!(convoy.behind(&[22, 254, 253]).is_none());
    let mut bench = Bench {
        chain: chain(&waiting, &path, &convoy, now),
        waiting,
        path,
        began: now,
        now,
        repaired: 0,
        newest: [0; 2],
        convoy,
        ink: Ink::default(),
        fate: 0,
        left: [0; 2],
    };
    for _ in 0..200 {
        if draw.is_empty() {
            break;
        }
        match draw.byte() % 9 {
            0 => bench.send(VIDEO, usize::from(draw.byte() % 40)),
            1 => bench.send(SOUND, 1),
            2 => bench.pass(Duration::from_millis(draw.byte().into())),
            3 => bench.pass(Duration::from_millis(draw.short().into()) / 8),
            4 => {
                // A NACK for what was sent (RFC 4585 §6.2.1).
                let count = draw.byte();
                let at = usize::from(count >> 7);
                let mut body = [1_u32, [VIDEO, SOUND][at]].map(u32::to_be_bytes).concat();
                for _ in 0..count % 16 + 1 {
                    let back = u16::from(draw.byte());
                    body.extend(bench.newest[at].wrapping_sub(back).to_be_bytes());
                    body.extend(draw.short().to_be_bytes());
                }
                bench.comes(&part(1, 205, &body));
            }
            5 => {
                // Transport-wide feedback, with any chunks and deltas.
                let mut body = [1_u32.to_be_bytes(), VIDEO.to_be_bytes()].concat();
                body.extend_from_slice(draw.bytes(8));
                body.extend_from_slice(draw.piece());
                bench.comes(&part(15, 205, &body));
            }
            6 => {
                // Any part, alone or behind a receiver report.
                let (count, kind) = (draw.byte(), 200 + draw.byte() % 8);
                let mut whole = match count & 32 {
                    0 => Vec::new(),
                    _ => part(0, 201, &[0; 4]),
                };
                whole.extend(part(count, kind, draw.piece()));
                bench.comes(&whole);
            }
            7 => bench.fate = draw.byte(),
            _ => bench.comes(draw.piece()),
        }
        bench.leaves();
    }
    bench.fate = 0;
    bench.pass(Duration::from_secs(1));
    bench.leaves();
    bench.left
}

/// Datagrams of strangers, of servers and of the crate through the guard of one
/// connection, in any order. Who has not answered is sent no more than twice
/// what came for them, nobody's RTP comes in, and an answer only from whom was
/// asked.
pub fn guard(data: &[u8]) {
    let mut draw = Draw(data);
    let mut model = Model::new();
    for _ in 0..400 {
        if draw.is_empty() {
            break;
        }
        model.step(&mut draw);
    }
}

/// A stream of sound through RED, any loss and any packets, read back by
/// RFC 2198 as it is written there.
pub fn redundancy(data: &[u8]) {
    let mut draw = Draw(data);
    let path = Path::new(BOUNDS);
    path.restart(BOUNDS.min + u32::from(draw.short()) * 60);
    let mut repeater = red::Repeater::new(111, 63, path.clone());
    let mut now = Instant::now();
    let mut sent: BTreeMap<u32, HashSet<Vec<u8>>> = BTreeMap::new();
    let mut timestamp = u32::from(draw.short()) << 16;
    for n in 0..400_u16 {
        if draw.is_empty() {
            break;
        }
        let kind = draw.byte();
        if kind & 1 != 0 {
            path.sound_lost(f64::from(draw.byte()) / 256.0, now);
        }
        if kind & 2 != 0 {
            now += Duration::from_millis(draw.short().into());
        }
        timestamp = match kind & 12 {
            4 => timestamp.wrapping_add(u32::from(draw.short())),
            8 => timestamp.wrapping_sub(u32::from(draw.byte())),
            _ => timestamp.wrapping_add(960),
        };
        let size = usize::from(draw.short()) % (crate::media::frame::MAX_PAYLOAD + 1);
        let mut payload = BytesMut::with_capacity(size);
        payload.put_bytes(draw.byte(), size);
        sent.entry(timestamp).or_default().insert(payload.to_vec());
        let packet = rtp::Packet {
            header: rtp::Header {
                payload_type: 111,
                sequence_number: n,
                timestamp,
                ..Default::default()
            },
            payload: payload.freeze(),
        };
        let plain = packet.payload.clone();
        let out = repeater.protect(packet, now);
        assert!(out.payload.len() <= crate::media::frame::MAX_PAYLOAD);
        assert_eq!(
            (out.header.timestamp, out.header.sequence_number),
            (timestamp, n)
        );
        if out.header.payload_type == 111 {
            assert_eq!(out.payload, plain, "as it was");
            continue;
        }
        let blocks = red::read(timestamp, &out.payload).expect("RFC 2198");
        assert!(blocks.len() > 1, "nothing is repeated");
        let last = blocks.last().expect("there are some");
        assert_eq!(last.payload[..], plain, "its own comes last");
        for block in blocks {
            assert_eq!(block.payload_type, 111);
            let known = sent.get(&block.timestamp);
            assert!(known.is_some_and(|all| all.contains(&block.payload)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..800)
    }

    /// A number had two packets, where the second was numbered for transport-cc again:
    /// with AES-GCM that tells an onlooker the key that protects all packets.
    #[test]
    fn what_is_repeated_without_rtx_is_the_very_packet() {
        let sound_and_time = [1, 2, 30, 1, 2, 30];
        let nack_of_the_last = [4, 0x80, 0, 0, 0];
        let left = super::leave(&[&sound_and_time[..], &nack_of_the_last].concat());
        assert_eq!(left, [3, 3]);
    }

    proptest! {
        #[test]
        fn any_rtcp_leaves_repairs_in_their_budget(data in bytes()) {
            super::interceptors(&data);
        }

        #[test]
        fn pictures_leave_in_rows(pictures in 1..20_u8) {
            let show = [0, 20, 2, 200];
            let [given, left] = super::leave(&show.repeat(pictures.into()));
            prop_assert_eq!(left, 20 * usize::from(pictures));
            prop_assert!(given < left, "{} of {}", given, left);
        }

        #[test]
        fn any_order_of_datagrams_amplifies_nothing(data in bytes()) {
            super::guard(&data);
        }

        #[test]
        fn any_packets_of_sctp_cost_a_bounded_answer(data in bytes()) {
            super::sctp(&data);
        }

        #[test]
        fn any_sound_is_read_back_from_red(data in bytes()) {
            super::redundancy(&data);
        }
    }
}
