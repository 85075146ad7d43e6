use super::*;
use crate::peer::interceptor::passing::Passing;
use crate::peer::path::known::Bounds;
use proptest::prelude::*;
use rtc::interceptor::{Interceptor, RTCPFeedback};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
use rtc::sansio::Protocol;

const SSRC: u32 = 7;
const BOUNDS: Bounds = Bounds {
    min: 100_000,
    max: 1_000_000,
};

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn repair() -> Passing<Repair> {
    let mut repair = Passing::new(Repair::new(Path::new(BOUNDS)));
    repair.bind_local_stream(&StreamInfo {
        ssrc: SSRC,
        ssrc_rtx: Some(8),
        payload_type_rtx: Some(97),
        mime_type: "video/H264".into(),
        rtcp_feedback: vec![RTCPFeedback {
            typ: "nack".into(),
            parameter: String::new(),
        }],
        ..Default::default()
    });
    repair
}

fn send(repair: &mut Passing<Repair>, sequence: u16, now: Instant) {
    let packet = rtp::Packet {
        header: rtp::header::Header {
            ssrc: SSRC,
            sequence_number: sequence,
            ..Default::default()
        },
        payload: vec![sequence as u8; 1000].into(),
    };
    repair
        .handle_write(tagged(now, Packet::Rtp(packet)))
        .expect("it takes everything");
    while repair.poll_write().is_some() {}
}

fn nack(repair: &mut Passing<Repair>, sequence: u16, now: Instant) -> Vec<rtp::Packet> {
    let nack = TransportLayerNack {
        media_ssrc: SSRC,
        nacks: vec![NackPair {
            packet_id: sequence,
            lost_packets: 0,
        }],
        ..Default::default()
    };
    repair
        .handle_read(tagged(now, Packet::Rtcp(vec![Box::new(nack)])))
        .expect("it takes everything");
    std::iter::from_fn(|| repair.poll_write())
        .filter_map(|p| match p.message.packet {
            Packet::Rtp(rtp) => Some(rtp),
            _ => None,
        })
        .collect()
}

#[test]
fn a_lost_packet_is_repeated_as_rtx_across_the_wrap() {
    let mut repair = repair();
    let now = Instant::now();
    for sequence in [65_534, 65_535, 0, 1] {
        send(&mut repair, sequence, now);
    }
    let repeated = nack(&mut repair, 0, now);
    assert_eq!(repeated.len(), 1);
    let (header, payload) = (&repeated[0].header, &repeated[0].payload);
    assert_eq!(
        (header.version, header.ssrc, header.payload_type),
        (2, 8, 97)
    );
    assert_eq!((&payload[..2], payload.len()), (&[0_u8, 0][..], 1002));
}

/// Packets were found by how far they are behind the oldest one, so behind
/// one missing number every other packet was missed.
#[test]
fn behind_a_hole_every_packet_is_found() {
    let mut repair = repair();
    let now = Instant::now();
    for sequence in (0..100).chain(350..400) {
        send(&mut repair, sequence, now);
    }
    for sequence in [0, 99, 350, 399] {
        assert_eq!(nack(&mut repair, sequence, now).len(), 1, "{sequence}");
    }
    assert_eq!(nack(&mut repair, 200, now).len(), 0, "it was never sent");
}

proptest! {
    #[test]
    fn whatever_numbers_are_missing_the_newest_are_found(
        steps in prop::collection::vec(prop_oneof![9 => Just(1_u16), 1 => 1..700_u16], 1..1_500),
        start in any::<u16>(),
    ) {
        let mut stream = Stream::new(None);
        let now = Instant::now();
        let mut sequence = start;
        let mut sent = Vec::new();
        for step in steps {
            sequence = sequence.wrapping_add(step);
            let header = rtp::Header { sequence_number: sequence, ..Default::default() };
            stream.keep(&rtp::Packet { header, ..Default::default() }, now);
            sent.push(sequence);
        }
        for old in sent.iter().rev() {
            if usize::from(sequence.wrapping_sub(*old)) >= KEPT {
                break;
            }
            prop_assert!(stream.find(*old).is_some(), "{} of {}", old, sequence);
        }
    }
}

#[test]
fn a_probe_fills_what_the_stream_leaves_and_ends() {
    let mut repair = repair();
    let start = Instant::now();
    let ms = Duration::from_millis;
    repair.step.path.try_more(800_000, start);
    let (mut filled, mut streamed, mut sequences) = (0, 0, Vec::new());
    for tick in 0..800_u64 {
        let now = start + ms(tick);
        if tick.is_multiple_of(100) {
            repair.step.path.heard(now);
        }
        // 240 kbit/s of its own.
        if tick.is_multiple_of(33) {
            send(&mut repair, tick as u16, now);
            streamed += if tick < 400 { 1_012 } else { 0 };
        }
        if repair.poll_timeout().is_some_and(|at| at <= now) {
            repair.handle_timeout(now).expect("it takes every time");
        }
        while let Some(packet) = repair.poll_write() {
            assert!(!packet.message.has(&Attribute::Retransmission));
            let Packet::Rtp(rtp) = packet.message.packet else {
                continue;
            };
            assert_eq!((rtp.header.ssrc, rtp.header.payload_type), (8, 97));
            assert!(tick < 400, "it is over");
            filled += rtp.marshal_size();
            sequences.push(rtp.header.sequence_number);
        }
    }
    let bits = (filled + streamed) * 8 * 10 / 4;
    assert!((700_000..=900_000).contains(&bits), "{bits}");
    assert!(sequences.windows(2).all(|s| s[1] == s[0].wrapping_add(1)));
    assert_eq!(repair.poll_timeout(), None);
}

#[test]
fn what_is_on_its_way_late_or_unknown_is_not_repeated() {
    let mut repair = repair();
    let now = Instant::now();
    send(&mut repair, 5, now);
    assert_eq!(nack(&mut repair, 5, now).len(), 1);
    assert_eq!(nack(&mut repair, 5, now + REPEAT / 2).len(), 0);
    assert_eq!(nack(&mut repair, 5, now + REPEAT).len(), 1);
    assert_eq!(nack(&mut repair, 6, now).len(), 0);
    assert_eq!(repair.step.path.given_up(), None);
    assert_eq!(nack(&mut repair, 5, now + OLDEST.0 * 2).len(), 0);
    assert_eq!(repair.step.path.given_up(), Some(now));
}

#[test]
fn on_a_path_that_loses_much_a_repetition_is_sent_twice_while_there_is_room() {
    let mut repair = repair();
    let mut now = Instant::now();
    repair.step.path.note_loss(0.05);
    send(&mut repair, 5, now);
    let first = nack(&mut repair, 5, now);
    assert_eq!(first.len(), 1);
    assert_eq!(repair.poll_timeout(), Some(now + APART));
    let later = |repair: &mut Passing<Repair>, now| {
        repair.handle_timeout(now).expect("it takes everything");
        std::iter::from_fn(|| repair.poll_write()).count()
    };
    assert_eq!(later(&mut repair, now + APART / 2), 0);
    assert_eq!(later(&mut repair, now + APART), 1);
    assert_eq!(repair.poll_timeout(), None);
    // What was saved up is spent: once is more urgent.
    let mut second = 0;
    for sequence in 6..20 {
        send(&mut repair, sequence, now);
        assert_eq!(nack(&mut repair, sequence, now).len(), 1, "{sequence}");
        now += APART;
        second += later(&mut repair, now);
    }
    assert!((3..8).contains(&second), "{second}");
}

#[test]
fn a_viewer_who_asks_for_everything_gets_no_more_than_their_budget() {
    let mut repair = repair();
    let mut now = Instant::now();
    let mut repeated = 0;
    for sequence in 0..2_000_u16 {
        send(&mut repair, sequence, now);
        now += REPEAT;
        for back in 0..4 {
            repeated += nack(&mut repair, sequence.wrapping_sub(back), now).len();
        }
    }
    let seconds = 2_000.0 * REPEAT.as_secs_f64();
    let bytes = f64::from(BOUNDS.start()) / 8.0 * SHARE;
    let limit = (bytes.max(LEAST) + bytes * seconds) / 1000.0;
    assert!((repeated as f64) <= limit, "{repeated}");
    assert!((repeated as f64) > limit * 0.9, "{repeated}");
}
