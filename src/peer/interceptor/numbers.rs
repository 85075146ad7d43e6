//! The transport-wide number of each packet that leaves, and what the viewer says
//! of it, for the estimate of their path.
//!
//! Of all packets of a viewer's streams, retransmissions among them: an estimate
//! that does not see what repair costs takes it for room. It stands next to the
//! wire, so that a packet is numbered and dated when it leaves and not when it
//! begins to wait.
//!
//! The crate has two interceptors for this, and finds each packet by three hash
//! tables. Here the packets that nothing is known of lie in the order in which
//! they left, which is the order of their numbers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{
    BandwidthEstimator, Packet, PacketReport, StreamInfo, TaggedPacket, convert_twcc,
};
use rtc::rtcp::transport_feedbacks::cc_feedback_report::Ecn;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtp;
use rtc::sdp::extmap::TRANSPORT_CC_URI;
use rtc::shared::marshal::MarshalSize;
use tracing::debug;

use super::passing::{Out, Step};

/// A packet that is not told of for so long is forgotten: it is neither lost nor
/// received.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// A packet of which nothing is known yet.
struct Sent {
    /// Where it is not numbered itself, that of the next one which is.
    number: u64,
    report: PacketReport,
}

/// What has left and is not told of, the oldest first.
#[derive(Default)]
struct History {
    sent: VecDeque<Sent>,
    /// How many packets left, and how many of them with a number.
    left: u64,
    numbered: u64,
}

impl History {
    /// The number of the next packet that has one
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
    fn next(&self) -> u16 {
        self.numbered as u16
    }

    fn add(&mut self, packet: &rtp::Packet, is_numbered: bool, now: Instant) {
        self.sent.push_back(Sent {
            number: self.numbered,
            report: PacketReport {
                ssrc: packet.header.ssrc,
                id: self.left,
                rtp_sequence_number: packet.header.sequence_number,
                is_twcc: is_numbered,
                twcc_sequence_number: if is_numbered { self.next() } else { 0 },
                size: packet.marshal_size(),
                arrived: false,
                departure: now,
                arrival: None,
                ecn: Ecn::NotEct,
            },
        });
        self.left += 1;
        self.numbered += u64::from(is_numbered);
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |sent: &Sent| now.saturating_duration_since(sent.report.departure) > FORGOTTEN;
        while self.sent.front().is_some_and(is_old) {
            self.sent.pop_front();
        }
    }

    /// Where the packet of this number lies.
    fn find(&self, number: u16) -> Option<usize> {
        // Of the numbers that end so, the newest that was given.
        let newest = self.numbered.checked_sub(1)?;
        let back = (newest as u16).wrapping_sub(number);
        let number = newest.checked_sub(u64::from(back))?;
        let first = self.sent.partition_point(|sent| sent.number < number);
        let behind = self.sent.iter().skip(first);
        let found = behind.take_while(|sent| sent.number == number);
        let place = found.take_while(|sent| !sent.report.is_twcc).count();
        let sent = self.sent.get(first + place)?;
        (sent.number == number).then_some(first + place)
    }

    /// What a viewer's feedback tells: all packets up to the newest that came.
    fn told(&mut self, feedback: &TransportLayerCc, newest: &mut Option<usize>) {
        for told in convert_twcc(feedback) {
            let Some(at) = self.find(told.sequence_number) else {
                continue;
            };
            let report = &mut self.sent[at].report;
            (report.arrived, report.arrival) = (told.arrived, told.arrival);
            if told.arrived {
                *newest = (*newest).max(Some(at));
            }
        }
    }

    fn take(&mut self, newest: usize) -> Vec<PacketReport> {
        self.sent.drain(..=newest).map(|sent| sent.report).collect()
    }
}

/// Two bytes of each number, without an allocation for each packet.
struct Numerals(Bytes);

impl Numerals {
    /// Numbers of one allocation; a power of two.
    const MANY: u16 = 256;

    fn of(&mut self, number: u16) -> Bytes {
        let place = usize::from(number % Self::MANY) * 2;
        if self.0.is_empty() || place == 0 {
            let first = number - number % Self::MANY;
            let numbers = (0..Self::MANY).flat_map(|n| (first + n).to_be_bytes());
            self.0 = numbers.collect::<Vec<_>>().into();
        }
        self.0.slice(place..place + 2)
    }
}

/// The interceptor, which drives an estimator.
pub(in crate::peer) struct Numbers<E> {
    estimator: E,
    /// SSRCs of our streams, each with the id of the extension that its packets
    /// are numbered by. There are three, at most.
    streams: Vec<(u32, Option<u8>)>,
    history: History,
    numerals: Numerals,
}

impl<E> Numbers<E> {
    pub(crate) fn new(estimator: E) -> Self {
        Self {
            estimator,
            streams: Vec::new(),
            history: History::default(),
            numerals: Numerals(Bytes::new()),
        }
    }
}

/// A stream's own SSRC, and that of its RTX: the crate binds interceptors to the
/// first alone.
fn ssrcs(stream: &StreamInfo) -> impl Iterator<Item = u32> {
    std::iter::once(stream.ssrc).chain(stream.ssrc_rtx)
}

impl<E: BandwidthEstimator> Numbers<E> {
    /// Feedback is for the estimator.
    pub(super) fn hears(&mut self, packet: &TaggedPacket) {
        let Packet::Rtcp(parts) = &packet.message.packet else {
            return;
        };
        let mut newest = None;
        let mut is_told = false;
        for part in parts {
            if let Some(feedback) = part.as_any().downcast_ref() {
                self.history.told(feedback, &mut newest);
                is_told = true;
            }
        }
        if is_told {
            let told = newest.map_or_else(Vec::new, |at| self.history.take(at));
            self.estimator.on_reports(packet.now, &told);
        }
    }
}

impl<E: BandwidthEstimator> Step for Numbers<E> {
    fn read(&mut self, packet: TaggedPacket, out: &mut Out) {
        self.hears(&packet);
        out.reads.push_back(packet);
    }

    fn sees(&mut self, packet: &mut TaggedPacket) {
        self.history.forget(packet.now);
        if let Packet::Rtp(rtp) = &mut packet.message.packet
            && let Some((_, id)) = self
                .streams
                .iter()
                .find(|(ssrc, _)| *ssrc == rtp.header.ssrc)
        {
            let is_numbered = id.is_some_and(|id| {
                let number = self.numerals.of(self.history.next());
                let written = rtp.header.set_extension(id, number);
                if written.is_err() {
                    debug!(id, "the transport-cc extension has an id we cannot write");
                }
                written.is_ok()
            });
            self.history.add(rtp, is_numbered, packet.now);
        }
    }

    fn bind(&mut self, stream: &StreamInfo) {
        let extensions = stream.rtp_header_extensions.iter();
        let id = extensions
            .filter(|e| e.uri == TRANSPORT_CC_URI)
            .find_map(|e| u8::try_from(e.id).ok());
        for ssrc in ssrcs(stream) {
            self.streams.retain(|(known, _)| *known != ssrc);
            self.streams.push((ssrc, id.filter(|id| *id != 0)));
        }
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        for ssrc in ssrcs(stream) {
            self.streams.retain(|(known, _)| *known != ssrc);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::lock::lock;
    use crate::peer::interceptor::passing::Passing;
    use proptest::prelude::*;
    use rtc::interceptor::{
        AttributedPacket, CongestionControlBuilder, Interceptor, RTPHeaderExtension, Registry,
        Slot, TwccSenderBuilder,
    };
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, SymbolTypeTcc,
    };
    use rtc::sansio::Protocol;
    use rtc::shared::TransportContext;

    const PICTURE: u32 = 7;
    const RTX: u32 = 8;
    /// Of a viewer who did not offer transport-cc for it.
    const SOUND: u32 = 9;
    const STRANGE: u32 = 10;
    const ID: u8 = 3;

    /// Writes down what it is told.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<PacketReport>>>);

    impl BandwidthEstimator for Paper {
        fn on_reports(&mut self, _: Instant, reports: &[PacketReport]) {
            lock(&self.0).extend_from_slice(reports);
        }

        fn target_bitrate(&self) -> f64 {
            0.0
        }
    }

    fn stream(ssrc: u32, ssrc_rtx: Option<u32>, extension: Option<u8>) -> StreamInfo {
        let extension = extension.map(|id| RTPHeaderExtension {
            uri: TRANSPORT_CC_URI.to_owned(),
            id: id.into(),
        });
        StreamInfo {
            ssrc,
            ssrc_rtx,
            payload_type_rtx: ssrc_rtx.map(|_| 97),
            rtp_header_extensions: extension.into_iter().collect(),
            ..Default::default()
        }
    }

    fn tagged(packet: Packet, now: Instant) -> TaggedPacket {
        TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        }
    }

    /// Feedback from a number on: of each packet, when it came after the one before, or
    /// that it did not.
    fn feedback(first: u16, came: &[Option<i64>]) -> Packet {
        let chunk = |received: bool| {
            PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                type_tcc: StatusChunkTypeTcc::RunLengthChunk,
                packet_status_symbol: match received {
                    true => SymbolTypeTcc::PacketReceivedLargeDelta,
                    false => SymbolTypeTcc::PacketNotReceived,
                },
                run_length: 1,
            })
        };
        let delta = |delta| RecvDelta {
            type_tcc_packet: SymbolTypeTcc::PacketReceivedLargeDelta,
            delta,
        };
        Packet::Rtcp(vec![Box::new(TransportLayerCc {
            base_sequence_number: first,
            packet_status_count: came.len() as u16,
            reference_time: 5,
            packet_chunks: came.iter().map(|came| chunk(came.is_some())).collect(),
            recv_deltas: came.iter().flatten().copied().map(delta).collect(),
            ..Default::default()
        })])
    }

    /// What leaves is numbered; the rest of it, and the estimator's paper.
    struct Side<I> {
        interceptor: I,
        paper: Paper,
    }

    impl<I: Interceptor> Side<I> {
        /// The number under which it leaves.
        fn send(
            &mut self,
            ssrc: u32,
            sequence_number: u16,
            size: usize,
            now: Instant,
        ) -> Option<u16> {
            let header = rtp::header::Header {
                ssrc,
                sequence_number,
                ..Default::default()
            };
            let packet = rtp::Packet {
                header,
                payload: vec![0; size].into(),
            };
            let packet = tagged(Packet::Rtp(packet), now);
            self.interceptor.handle_write(packet).expect("taken");
            let Packet::Rtp(packet) = self.interceptor.poll_write()?.message.packet else {
                return None;
            };
            let number = packet.header.get_extension(ID)?;
            Some(u16::from_be_bytes([number[0], number[1]]))
        }

        fn hear(&mut self, packet: Packet, now: Instant) {
            self.interceptor
                .handle_read(tagged(packet, now))
                .expect("taken");
            while self.interceptor.poll_read().is_some() {}
        }
    }

    fn ours() -> Side<Passing<Numbers<Paper>>> {
        let paper = Paper::default();
        let mut interceptor = Passing::new(Numbers::new(paper.clone()));
        interceptor.bind_local_stream(&stream(PICTURE, Some(RTX), Some(ID)));
        interceptor.bind_local_stream(&stream(SOUND, None, None));
        Side { interceptor, paper }
    }

    fn the_crates(first: u16) -> Side<impl Interceptor> {
        let paper = Paper::default();
        let estimator = CongestionControlBuilder::new(paper.clone()).build();
        let sender = TwccSenderBuilder::new().with_initial_sequence_number(first);
        let mut interceptor = Registry::new()
            .with(Slot::CongestionControl, estimator)
            .with(Slot::TwccSender, sender.build())
            .build();
        for ssrc in [PICTURE, RTX] {
            interceptor.bind_local_stream(&stream(ssrc, None, Some(ID)));
        }
        interceptor.bind_local_stream(&stream(SOUND, None, None));
        Side { interceptor, paper }
    }

    #[test]
    fn a_packet_of_a_stream_without_numbers_is_told_of_with_the_one_behind_it() {
        let mut ours = ours();
        let now = Instant::now();
        assert_eq!(ours.send(SOUND, 1, 100, now), None);
        assert_eq!(ours.send(PICTURE, 2, 100, now), Some(0));
        assert_eq!(ours.send(RTX, 3, 100, now), Some(1));
        assert_eq!(ours.send(STRANGE, 4, 100, now), None);
        ours.hear(feedback(0, &[Some(250)]), now);
        let told = lock(&ours.paper.0).clone();
        let told: Vec<_> = told.iter().map(|r| (r.ssrc, r.arrived)).collect();
        assert_eq!(told, [(SOUND, false), (PICTURE, true)]);
    }

    #[test]
    fn what_is_not_told_of_for_two_seconds_is_forgotten() {
        let mut ours = ours();
        let start = Instant::now();
        for n in 0..1_000_u32 {
            let now = start + Duration::from_millis(100) * n;
            ours.send(PICTURE, n as u16, 100, now);
            assert!(ours.interceptor.step.history.sent.len() <= 22);
        }
    }

    #[derive(Debug, Clone)]
    enum Event {
        Send(u32, usize, u64),
        /// From so many numbers before the next one.
        Hear(u16, Vec<Option<i64>>),
    }

    fn event() -> impl Strategy<Value = Event> {
        let ssrc =
            prop_oneof![4 => Just(PICTURE), 1 => Just(RTX), 2 => Just(SOUND), 1 => Just(STRANGE)];
        let came = prop::option::weighted(0.8, -30_000..30_000_i64);
        prop_oneof![
            8 => (ssrc, 0..1_200_usize, 0..30_u64).prop_map(|(s, b, t)| Event::Send(s, b, t)),
            1 => (0..60_u16, prop::collection::vec(came, 1..70)).prop_map(|(n, c)| Event::Hear(n, c)),
        ]
    }

    proptest! {
        #[test]
        fn the_estimator_is_told_what_the_crate_would_tell(
            first: u16,
            events in prop::collection::vec(event(), 1..300),
        ) {
            let (mut ours, mut theirs) = (ours(), the_crates(first));
            ours.interceptor.step.history.numbered = first.into();
            let (mut now, mut next) = (Instant::now(), first);
            for (n, event) in events.into_iter().enumerate() {
                match event {
                    Event::Send(ssrc, size, ms) => {
                        now += Duration::from_millis(ms);
                        theirs.interceptor.handle_timeout(now).expect("taken");
                        let sent = ours.send(ssrc, n as u16, size, now);
                        prop_assert_eq!(sent, theirs.send(ssrc, n as u16, size, now));
                        next = sent.map_or(next, |n| n.wrapping_add(1));
                    }
                    Event::Hear(back, came) => {
                        let packet = feedback(next.wrapping_sub(back), &came);
                        ours.hear(packet.clone(), now);
                        theirs.hear(packet, now);
                    }
                }
                let told = std::mem::take(&mut *lock(&ours.paper.0));
                prop_assert_eq!(told, std::mem::take(&mut *lock(&theirs.paper.0)));
            }
        }
    }
}
