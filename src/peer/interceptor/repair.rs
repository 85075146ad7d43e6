//! Answers NACK with retransmissions, within a budget.
//!
//! RTX (RFC 4588) where the viewer offered it. The crate's own responder has
//! no budget, so a viewer on a bad path can double what is sent to them and
//! make the path worse; and it repeats a packet as often as it is asked, also
//! while the last repetition is still on its way. Here repairs have a share of
//! what the path carries, a packet is repeated once in a round trip, and not
//! when it would come too late. Who still asks then can go on only from a key
//! frame, and is given one before they ask for that: browsers do after seconds.
//!
//! On a path that loses more than a packet in two hundred a repetition is sent
//! twice, some time apart, which costs no more than the share that is lost. To
//! lose it as well costs more than a round trip, in which the picture stands
//! still: a browser that only receives knows of no round trip, and waits 100 ms
//! before it asks again. Sent once, at 2 % loss and 1.7 Mbit/s, every other ten
//! seconds had a frame of over 110 ms, and each minute one of 190 ms, which
//! Chromium counts as a freeze.
//!
//! # Why there is no FEC for the picture
//!
//! Chromium offers and takes `flexfec-03` (version 156 counted the repair
//! packets that the crate's encoder made). One repair packet after each ten
//! costs 9 % of the path, always, and mends a loss that is alone among eleven
//! packets: at 5 % random loss six in ten, in a burst none. The rest is resent
//! all the same, and it is the rest that a frozen picture waits for. Tried out
//! once, with an encoder that is not in this tree, at 1.5 Mbit/s, 5 % loss and
//! 80 ms round trip: a quarter fewer NACKs, 14 % fewer retransmissions, and as
//! long frozen as without; with one in five the path was too full and the
//! picture worse. ULPFEC (RFC 5109) goes inside RED on
//! the picture's own sequence numbers and is worth no more.
//!
//! # Probes
//!
//! Where the path is [probed](crate::peer::path::known::Probe), what it is tried with
//! comes from here too, for nobody else may number a viewer's RTX packets: the
//! newest packets once more, which receivers know to drop. They are no
//! [`Attribute::Retransmission`], by which the pacer tells them from repairs.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{Attribute, AttributedPacket, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::shared::TransportContext;
use rtc::shared::marshal::MarshalSize;

use super::passing::{Out, Step};
use crate::peer::path::known::{Path, Probe};

/// Packets kept for each stream, by their sequence numbers: over a second at
/// 4 Mbit/s. A power of two, so that numbers go on over their wrap.
const KEPT: usize = 512;
/// A packet so many round trips old is given up.
const TOO_OLD: u32 = 8;
/// The least and the greatest of that age. Until the next key frame all pictures
/// need the packet: to give it up costs more than to send it late.
const OLDEST: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(1_500));
/// The same packet is not repeated sooner, nor within a round trip.
const REPEAT: Duration = Duration::from_millis(20);
/// Repetitions are sent twice from this share of lost packets on.
const LOSSY: f64 = 0.005;
/// They are not where the queue is longer: a full one loses more the more is sent.
const SHORT: Duration = Duration::from_millis(40);
/// The second one leaves so much later, so that no burst takes both.
const APART: Duration = Duration::from_millis(10);
/// What repairs may take of the path; the second ones only from the upper half
/// of what was saved up.
const SHARE: f64 = 0.3;
/// What can be repeated at once, as the time in which it is saved up: enough for
/// the burst of a key frame.
const SAVED: Duration = Duration::from_secs(1);
/// The least of that, in bytes: some packets.
const LEAST: f64 = 20_000.0;

/// Bytes that may be repeated.
#[derive(Debug, Default)]
struct Budget {
    bytes: f64,
    counted: Option<Instant>,
}

impl Budget {
    /// Takes `bytes`, if they are there. `estimate` is what the path carries,
    /// in bit/s.
    fn spend(&mut self, bytes: usize, estimate: u32, now: Instant) -> bool {
        self.save(estimate, now);
        self.take(bytes, 0.0)
    }

    /// The same for what is less urgent.
    fn spend_of_plenty(&mut self, bytes: usize, estimate: u32, now: Instant) -> bool {
        let most = self.save(estimate, now);
        self.take(bytes, most / 2.0)
    }

    /// Adds what was earned until `now`; the most that can be saved up.
    fn save(&mut self, estimate: u32, now: Instant) -> f64 {
        let rate = f64::from(estimate) / 8.0 * SHARE;
        let most = (rate * SAVED.as_secs_f64()).max(LEAST);
        let elapsed = self
            .counted
            .map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        self.counted = Some(now);
        self.bytes = (self.bytes + rate * elapsed.as_secs_f64()).min(most);
        most
    }

    fn take(&mut self, bytes: usize, least: f64) -> bool {
        let enough = self.bytes >= least + bytes as f64;
        if enough {
            self.bytes -= bytes as f64;
        }
        enough
    }
}

/// Packets of a probe leave this often, as many as are due.
const PROBE_TICK: Duration = Duration::from_millis(5);
/// What is owed of a probe is caught up to no more than this, in bytes: late
/// timers make no bursts.
const MOST_OWED: f64 = 6_000.0;

/// What a probe has to send beside the stream.
#[derive(Debug)]
struct Filling {
    probe: Probe,
    /// Bytes due; in debt behind a picture.
    owed: f64,
    counted: Instant,
}

/// A packet that was sent, as far as it is needed once more: a whole one takes
/// twice the room, and there are many.
pub(in crate::peer) struct Kept {
    sequence: u16,
    marker: bool,
    timestamp: u32,
    payload: Bytes,
    /// As it left, where it would be repeated as it was: under one number no two
    /// packets may ever be encrypted (RFC 7714 §9.1).
    header: Option<Box<rtp::Header>>,
    sent: Instant,
    repeated: Option<Instant>,
}

impl Kept {
    pub(crate) fn new(packet: &rtp::Packet, sent: Instant) -> Self {
        Self {
            sequence: packet.header.sequence_number,
            marker: packet.header.marker,
            timestamp: packet.header.timestamp,
            payload: packet.payload.clone(),
            header: None,
            sent,
            repeated: None,
        }
    }

    /// RFC 4588 §4: the original sequence number, then the original payload.
    pub(crate) fn as_rtx(&self, ssrc: u32, payload_type: u8, number: u16) -> rtp::Packet {
        let mut payload = Vec::with_capacity(2 + self.payload.len());
        payload.extend_from_slice(&self.sequence.to_be_bytes());
        payload.extend_from_slice(&self.payload);
        rtp::Packet {
            header: rtp::header::Header {
                version: 2,
                ssrc,
                payload_type,
                sequence_number: number,
                timestamp: self.timestamp,
                marker: self.marker,
                ..Default::default()
            },
            payload: payload.into(),
        }
    }
}

struct Stream {
    /// Each packet at its sequence number, modulo [`KEPT`]: whatever numbers
    /// are missing, the others are found.
    kept: Box<[Option<Kept>]>,
    /// The number of the packet that was sent last.
    newest: Option<u16>,
    /// SSRC and payload type of RTX.
    rtx: Option<(u32, u8)>,
    rtx_sequence: u16,
}

impl Stream {
    fn new(rtx: Option<(u32, u8)>) -> Self {
        Self {
            kept: std::iter::repeat_with(|| None).take(KEPT).collect(),
            newest: None,
            rtx,
            rtx_sequence: fastrand::u16(..),
        }
    }

    fn keep(&mut self, packet: &rtp::Packet, now: Instant) {
        let sequence = packet.header.sequence_number;
        let kept = Kept::new(packet, now);
        self.newest = Some(sequence);
        self.kept[usize::from(sequence) % KEPT] = Some(kept);
    }

    fn find(&mut self, sequence: u16) -> Option<&mut Kept> {
        let kept = self.kept[usize::from(sequence) % KEPT].as_mut()?;
        (kept.sequence == sequence).then_some(kept)
    }

    /// A packet once more: as RTX, or as it was.
    fn repeat(&mut self, sequence: u16, now: Instant) -> Option<TaggedPacket> {
        let (rtx, number) = (self.rtx, self.rtx_sequence.wrapping_add(1));
        let kept = self.find(sequence)?;
        let packet = match (rtx, &kept.header) {
            (None, None) => return None,
            (None, Some(header)) => rtp::Packet {
                header: (**header).clone(),
                payload: kept.payload.clone(),
            },
            (Some((ssrc, payload_type)), _) => {
                let packet = kept.as_rtx(ssrc, payload_type, number);
                self.rtx_sequence = number;
                packet
            }
        };
        Some(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(packet)).with(Attribute::Retransmission),
        })
    }
}

/// The second sending of a repetition.
struct Again {
    due: Instant,
    ssrc: u32,
    sequence: u16,
}

pub(in crate::peer) struct Repair {
    path: Path,
    streams: HashMap<u32, Stream>,
    budget: Budget,
    filling: Option<Filling>,
    again: VecDeque<Again>,
}

impl Repair {
    pub(crate) fn new(path: Path) -> Self {
        Self {
            path,
            streams: HashMap::new(),
            budget: Budget::default(),
            filling: None,
            again: VecDeque::new(),
        }
    }

    fn nack(&mut self, now: Instant, nack: &TransportLayerNack, out: &mut Out) {
        let Some(stream) = self.streams.get_mut(&nack.media_ssrc) else {
            return;
        };
        let estimate = self.path.estimate();
        let round_trip = estimate.round_trip.unwrap_or_default();
        let repeat = REPEAT.max(round_trip);
        let oldest = (round_trip * TOO_OLD).clamp(OLDEST.0, OLDEST.1);
        let twice = estimate.loss > LOSSY && estimate.queueing <= SHORT;
        for sequence in nack.nacks.iter().flat_map(|pair| pair.packet_list()) {
            let Some(kept) = stream.find(sequence) else {
                continue;
            };
            let on_its_way = kept
                .repeated
                .is_some_and(|at| now.saturating_duration_since(at) < repeat);
            if now.saturating_duration_since(kept.sent) > oldest {
                self.path.gave_up(kept.sent);
                continue;
            }
            if on_its_way {
                continue;
            }
            let size = kept.payload.len();
            if !self.budget.spend(size, estimate.bits_per_second, now) {
                return;
            }
            kept.repeated = Some(now);
            out.writes.extend(stream.repeat(sequence, now));
            if twice {
                self.again.push_back(Again {
                    due: now + APART,
                    ssrc: nack.media_ssrc,
                    sequence,
                });
            }
        }
    }

    /// Sends the second of those that are due, as far as there is room for it.
    fn repeat_again(&mut self, now: Instant, out: &mut Out) {
        while self.again.front().is_some_and(|again| again.due <= now)
            && let Some(again) = self.again.pop_front()
        {
            let Some(stream) = self.streams.get_mut(&again.ssrc) else {
                continue;
            };
            let Some(kept) = stream.find(again.sequence) else {
                continue;
            };
            let size = kept.payload.len();
            let estimate = self.path.estimate().bits_per_second;
            if self.budget.spend_of_plenty(size, estimate, now) {
                out.writes.extend(stream.repeat(again.sequence, now));
            }
        }
    }
}

impl Repair {
    /// Takes up a probe that was ordered, and ends one that is over.
    fn probe(&mut self, now: Instant) -> Option<&mut Filling> {
        let Some(probe) = self.path.probe(now) else {
            self.filling = None;
            return None;
        };
        if self.filling.as_ref().is_none_or(|f| f.probe != probe) {
            self.filling = Some(Filling {
                probe,
                owed: 0.0,
                counted: now,
            });
        }
        self.filling.as_mut()
    }

    /// Fills the path up to what is tried.
    fn fill(&mut self, now: Instant, out: &mut Out) {
        let Some(filling) = self.probe(now) else {
            return;
        };
        let elapsed = now.saturating_duration_since(filling.counted).as_secs_f64();
        let rate = f64::from(filling.probe.bits_per_second) / 8.0;
        filling.counted = now;
        filling.owed = (filling.owed + rate * elapsed).min(MOST_OWED);
        let mut owed = filling.owed;
        // The stream with RTX: there is one of video.
        let streams = self.streams.values_mut();
        if let Some((stream, (ssrc, payload_type))) = streams
            .filter_map(|stream| stream.rtx.map(|rtx| (stream, rtx)))
            .next()
        {
            let mut sequence = stream.newest;
            while owed > 0.0
                && let Some(at) = sequence
                && let number = stream.rtx_sequence.wrapping_add(1)
                && let Some(kept) = stream.find(at)
            {
                let packet = kept.as_rtx(ssrc, payload_type, number);
                stream.rtx_sequence = number;
                owed -= packet.marshal_size() as f64;
                sequence = Some(at.wrapping_sub(1));
                out.writes.push_back(TaggedPacket {
                    now,
                    transport: TransportContext::default(),
                    message: AttributedPacket::new(Packet::Rtp(packet)),
                });
            }
        }
        if let Some(filling) = &mut self.filling {
            filling.owed = owed;
        }
    }
}

impl Repair {
    /// True of a packet that goes out again under a number that it had before: nothing
    /// may be changed in it.
    pub(super) fn is_as_it_was(&self, packet: &TaggedPacket) -> bool {
        let Packet::Rtp(rtp) = &packet.message.packet else {
            return false;
        };
        packet.message.has(&Attribute::Retransmission)
            && self.streams.contains_key(&rtp.header.ssrc)
    }

    /// The packet leaves like this.
    pub(super) fn left(&mut self, packet: &TaggedPacket) {
        if let Packet::Rtp(rtp) = &packet.message.packet
            && let Some(stream) = self.streams.get_mut(&rtp.header.ssrc)
            && stream.rtx.is_none()
            && let Some(kept) = stream.find(rtp.header.sequence_number)
        {
            kept.header = Some(rtp.header.clone().into());
        }
    }

    /// What is asked for is put into `out`.
    pub(super) fn hears(&mut self, packet: &TaggedPacket, out: &mut Out) {
        if let Packet::Rtcp(parts) = &packet.message.packet {
            for part in parts {
                if let Some(nack) = part.as_any().downcast_ref() {
                    self.nack(packet.now, nack, out);
                }
            }
        }
    }
}

impl Step for Repair {
    fn read(&mut self, packet: TaggedPacket, out: &mut Out) {
        self.hears(&packet, out);
        out.reads.push_back(packet);
    }

    fn sees(&mut self, packet: &mut TaggedPacket) {
        if let Packet::Rtp(rtp) = &packet.message.packet
            && let Some(stream) = self.streams.get_mut(&rtp.header.ssrc)
        {
            stream.keep(rtp, packet.now);
        }
        if let (Some(filling), Packet::Rtp(rtp)) = (self.probe(packet.now), &packet.message.packet)
        {
            filling.owed -= rtp.marshal_size() as f64;
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Out) {
        self.fill(now, out);
        self.repeat_again(now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let filling = self.filling.as_ref();
        let filling = filling.map(|filling| filling.counted + PROBE_TICK);
        let again = self.again.front().map(|again| again.due);
        filling.into_iter().chain(again).min()
    }

    fn bind(&mut self, stream: &StreamInfo) {
        let repaired = stream
            .rtcp_feedback
            .iter()
            .any(|f| f.typ == "nack" && f.parameter.is_empty());
        if repaired {
            if stream.ssrc_rtx.is_some() && stream.mime_type.starts_with("video/") {
                self.path.can_probe();
            }
            let rtx = stream.ssrc_rtx.zip(stream.payload_type_rtx);
            self.streams.insert(stream.ssrc, Stream::new(rtx));
        }
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        self.streams.remove(&stream.ssrc);
    }
}

#[cfg(test)]
mod tests;
