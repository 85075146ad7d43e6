//! What of a viewer's RTCP gets any further: only what was asked for, and only so
//! much that looking at it is cheap. What somebody says who may talk leaves here.
//!
//! A few bytes of RTCP can stand for a great many packets: 44 bytes of
//! transport-cc for 73,719 of them (nine run lengths of 8,191), each of which
//! the crate writes down and looks up. One datagram has room for dozens of those. So the
//! numbers that a report stands for are counted before anybody takes them one by
//! one, and a viewer has a budget of them. Nobody who reports honestly comes near
//! it; who does is heard again a moment later.
//!
//! It stands in front of all other interceptors. The datagram itself was
//! decrypted and read by the crate by then; how many of those there are is the
//! [guard](crate::peer::socket::guard)'s to bound.

use std::sync::Arc;
use std::time::Instant;

use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, TransportLayerCc};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use tracing::debug;

use super::passing::{Out, Step};
use crate::bucket::{Bucket, Rate};
use crate::peer::talk::Talker;

/// Numbers that a viewer's RTCP may stand for. A picture of 8 Mbit/s has 900
/// packets a second, each reported once or twice; after some seconds without a
/// word all of them at once.
const NUMBERS: Rate = Rate {
    burst: 8_192.0,
    per_second: 8_192.0,
};
/// Packet numbers of one NACK pair: one, and the 16 behind it (RFC 4585 §6.2.1).
const PAIR: usize = 17;

/// How many numbers a part of RTCP stands for, at least one; `None` where it is
/// of a kind that nobody here asks for: descriptions, extended reports, feedback
/// that was not negotiated.
fn numbers(part: &dyn rtc::rtcp::Packet) -> Option<usize> {
    let part = part.as_any();
    let count = if let Some(cc) = part.downcast_ref::<TransportLayerCc>() {
        cc.packet_chunks.iter().map(in_chunk).sum()
    } else if let Some(nack) = part.downcast_ref::<TransportLayerNack>() {
        nack.nacks.len() * PAIR
    } else if let Some(report) = part.downcast_ref::<ReceiverReport>() {
        report.reports.len()
    } else if let Some(report) = part.downcast_ref::<SenderReport>() {
        report.reports.len()
    } else if let Some(remb) = part.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
        remb.ssrcs.len()
    } else if let Some(fir) = part.downcast_ref::<FullIntraRequest>() {
        fir.fir.len()
    } else if part.is::<PictureLossIndication>() {
        1
    } else {
        return None;
    };
    Some(count.max(1))
}

fn in_chunk(chunk: &PacketStatusChunk) -> usize {
    match chunk {
        PacketStatusChunk::RunLengthChunk(run) => usize::from(run.run_length),
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.len(),
    }
}

/// The interceptor.
pub(in crate::peer) struct Screen {
    budget: Bucket,
    told: bool,
    /// Who may talk.
    talker: Option<Arc<Talker>>,
}

impl Screen {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            budget: Bucket::full(NUMBERS, now),
            told: false,
            talker: None,
        }
    }

    /// What the viewer says goes to this one.
    pub(crate) fn hearing(self, talker: Option<Arc<Talker>>) -> Self {
        Self { talker, ..self }
    }

    /// Whether this part goes on.
    fn takes(&mut self, part: &dyn rtc::rtcp::Packet, now: Instant) -> bool {
        let Some(numbers) = numbers(part) else {
            return false;
        };
        let takes = self.budget.take(numbers as f64, now);
        if !takes && !std::mem::replace(&mut self.told, true) {
            debug!(
                numbers,
                "the viewer's RTCP stands for too many packets; it is passed over"
            );
        }
        takes
    }
}

impl Step for Screen {
    fn read(&mut self, mut packet: TaggedPacket, out: &mut Out) {
        let now = packet.now;
        let parts = match &mut packet.message.packet {
            Packet::Rtcp(parts) => parts,
            // A viewer is sent to. What they say ends here; the crate knows nothing
            // of it.
            Packet::Rtp(rtp) => {
                if let Some(talker) = &self.talker {
                    talker.speaks(rtp, now);
                }
                return;
            }
            _ => return,
        };
        parts.retain(|part| self.takes(part.as_ref(), now));
        if !parts.is_empty() {
            out.reads.push_back(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;
    use rtc::interceptor::{AttributedPacket, Registry, Slot};
    use rtc::rtcp;
    use rtc::rtp;
    use rtc::sansio::Protocol;
    use rtc::shared::TransportContext;

    use crate::peer::interceptor::numbers::Numbers;
    use crate::peer::interceptor::passing::Passing;
    use crate::peer::path::estimate::Estimator;
    use crate::peer::path::known::{Bounds, Path};

    fn tagged(packet: Packet, now: Instant) -> TaggedPacket {
        TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        }
    }

    /// Transport-cc that claims nine times 8,191 packets, none received.
    fn bomb() -> Vec<u8> {
        let mut bytes = vec![0x80 | 15, 205, 0, 10];
        bytes.extend([0; 8]);
        // Base, count, reference time and number.
        bytes.extend([0, 0, 0xff, 0xff, 0, 0, 0, 1]);
        for _ in 0..9 {
            bytes.extend(0x1fff_u16.to_be_bytes());
        }
        bytes.resize(44, 0);
        bytes
    }

    /// What is read of a datagram, where the crate can read it.
    fn read(bytes: &[u8]) -> Option<Packet> {
        let mut bytes = bytes;
        rtcp::packet::unmarshal(&mut bytes).ok().map(Packet::Rtcp)
    }

    fn parts(screen: &mut Passing<Screen>) -> Vec<Box<dyn rtcp::Packet>> {
        std::iter::from_fn(|| screen.poll_read())
            .flat_map(|p| match p.message.packet {
                Packet::Rtcp(parts) => parts,
                _ => panic!("none comes through"),
            })
            .collect()
    }

    #[test]
    fn forty_four_bytes_that_claim_73_719_packets_stop_here() {
        let now = Instant::now();
        let mut screen = Passing::new(Screen::new(now));
        let bomb = read(&bomb()).expect("the crate reads it");
        let Packet::Rtcp(claims) = &bomb else {
            panic!("it is RTCP")
        };
        assert_eq!(numbers(claims[0].as_ref()), Some(9 * 8_191));
        screen.handle_read(tagged(bomb, now)).expect("taken");
        assert!(parts(&mut screen).is_empty());
    }

    /// As the interceptors stand: the screen is in front of what takes each
    /// number by itself.
    #[test]
    fn a_second_of_such_packets_costs_next_to_nothing() {
        let now = Instant::now();
        let bounds = Bounds {
            min: 100_000,
            max: 2_000_000,
        };
        let estimator = Estimator::new(bounds, Path::new(bounds));
        let mut chain = Registry::new()
            .with(
                Slot::CongestionControl,
                Passing::new(Numbers::new(estimator)),
            )
            .with(Slot::from(500), Passing::new(Screen::new(now)))
            .build();
        let began = Instant::now();
        // 350 kbit/s.
        for n in 0..1_000 {
            let packet = read(&bomb()).expect("the crate reads it");
            let now = now + Duration::from_millis(n);
            chain.handle_read(tagged(packet, now)).expect("taken");
            while chain.poll_read().is_some() {}
        }
        // Without it 74 million look-ups: a minute and more in this build.
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn an_honest_viewer_is_never_short() {
        use rtcp::transport_feedbacks::transport_layer_cc::{RunLengthChunk, SymbolTypeTcc};
        let start = Instant::now();
        let mut screen = Passing::new(Screen::new(start));
        let mut passed = 0;
        for n in 0..1_200_u64 {
            let run = RunLengthChunk {
                packet_status_symbol: SymbolTypeTcc::PacketReceivedSmallDelta,
                // 900 a second; four seconds of silence in between.
                run_length: if n == 600 { 3_600 } else { 45 },
                ..Default::default()
            };
            let feedback = TransportLayerCc {
                packet_chunks: vec![PacketStatusChunk::RunLengthChunk(run)],
                ..Default::default()
            };
            let nack = TransportLayerNack {
                nacks: vec![Default::default(); 4],
                ..Default::default()
            };
            let packet: Vec<Box<dyn rtcp::Packet>> = vec![
                Box::new(ReceiverReport::default()),
                Box::new(feedback),
                Box::new(nack),
                Box::new(PictureLossIndication::default()),
            ];
            let now = start + Duration::from_millis(50 * n);
            screen
                .handle_read(tagged(Packet::Rtcp(packet), now))
                .expect("taken");
            passed += parts(&mut screen).len();
        }
        assert_eq!(passed, 4 * 1_200);
    }

    #[test]
    fn what_was_not_asked_for_is_dropped() {
        let now = Instant::now();
        let mut screen = Passing::new(Screen::new(now));
        let rtp = Packet::Rtp(rtp::Packet::default());
        screen.handle_read(tagged(rtp, now)).expect("taken");
        let strange: Vec<Box<dyn rtcp::Packet>> = vec![
            Box::new(rtcp::source_description::SourceDescription::default()),
            Box::new(rtcp::extended_report::ExtendedReport::default()),
            Box::new(rtcp::goodbye::Goodbye::default()),
        ];
        screen
            .handle_read(tagged(Packet::Rtcp(strange), now))
            .expect("taken");
        assert!(screen.poll_read().is_none());
        // What we send is not looked at.
        let rtp = Packet::Rtp(rtp::Packet::default());
        screen.handle_write(tagged(rtp, now)).expect("taken");
        assert!(screen.poll_write().is_some());
    }

    /// A part of RTCP: the kind and format of one that is read, or any.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![
            (
                Just(205_u8),
                prop_oneof![Just(15_u8), Just(1), Just(11), Just(5)]
            ),
            (
                Just(206_u8),
                prop_oneof![Just(15_u8), Just(1), Just(4), Just(2)]
            ),
            (200..=207_u8, 0..32_u8),
        ];
        let body = prop::collection::vec(any::<u8>(), 0..200);
        (kind, body).prop_map(|((kind, format), mut body)| {
            body.resize(body.len().next_multiple_of(4), 0);
            let words = (body.len() / 4) as u16;
            let mut bytes = vec![0x80 | format, kind];
            bytes.extend(words.to_be_bytes());
            bytes.extend(body);
            bytes
        })
    }

    proptest! {
        #[test]
        fn whatever_comes_stands_for_no_more_than_the_budget(
            datagrams in prop::collection::vec(prop::collection::vec(part(), 1..6), 1..20),
        ) {
            let now = Instant::now();
            let mut screen = Passing::new(Screen::new(now));
            let mut passed = 0;
            for parts_of in datagrams {
                let bytes: Vec<u8> = parts_of.concat();
                if let Some(packet) = read(&bytes) {
                    screen.handle_read(tagged(packet, now)).expect("taken");
                }
                for part in parts(&mut screen) {
                    passed += numbers(part.as_ref()).expect("asked for");
                }
            }
            prop_assert!(passed as f64 <= NUMBERS.burst, "{}", passed);
        }
    }
}
