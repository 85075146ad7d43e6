//! A whole frame through the connection's driver in one go.
//!
//! The crate takes one RTP packet at a time from a track, and for each runs
//! its event loop from top to bottom. Here the packets of a frame wait in a
//! queue that the sender and this interceptor share; the sender writes one of
//! them to the track, as the signal, and all of them go out for it.
//!
//! Packets get their sequence numbers here, as they leave. What a stream drops
//! before that has none, so that its numbers have no hole: a receiver asks for
//! every number that it misses, and would wait for what was never sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::rtp;

use super::passing::{Out, Step, shrink};
use crate::lock::lock;
use crate::media::frame::Frame;
use crate::media::latency::{Latency, Stage};

/// Packets of all streams of one connection, in the order in which they leave.
#[derive(Clone)]
pub(in crate::peer) struct Waiting {
    queue: Arc<Mutex<Queue>>,
    latency: Arc<Latency>,
}

#[derive(Default)]
struct Queue {
    packets: VecDeque<rtp::Packet>,
    /// The pictures that these packets make.
    pictures: Vec<Arc<Frame>>,
    numbers: Numbers,
    /// Since when the driver has not come, though there is something for it.
    since: Option<Instant>,
}

/// The next sequence number of each SSRC. There are two, at most.
#[derive(Default)]
struct Numbers(Vec<(u32, u16)>);

impl Numbers {
    fn next(&mut self, ssrc: u32) -> u16 {
        let known = self.0.iter_mut().find(|(known, _)| *known == ssrc);
        match known {
            Some((_, next)) => {
                let number = *next;
                *next = next.wrapping_add(1);
                number
            }
            None => {
                // RFC 3550 §5.1: random; in the lower half, so that what is lost
                // of the first ones is not taken for a wrap.
                let number = fastrand::u16(..0x8000);
                self.0.push((ssrc, number + 1));
                number
            }
        }
    }
}

impl Waiting {
    /// Nothing waits; `latency` is told when pictures leave.
    pub(crate) fn new(latency: Arc<Latency>) -> Self {
        Self {
            queue: Arc::default(),
            latency,
        }
    }

    /// Adds packets that leave with the next signal of any stream, under numbers
    /// of their own; where they are a picture, `picture` is it.
    pub(crate) fn extend(
        &self,
        packets: impl Iterator<Item = rtp::Packet>,
        picture: Option<&Arc<Frame>>,
        now: Instant,
    ) {
        let mut queue = self.lock();
        queue.packets.extend(packets);
        queue.pictures.extend(picture.cloned());
        queue.since.get_or_insert(now);
    }

    /// How long the driver has not come, though there was something for it.
    pub(crate) fn stalled(&self, now: Instant) -> Duration {
        let since = self.lock().since;
        since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    /// Drops what waits of one stream, and no other's.
    pub(crate) fn drop_stream(&self, ssrc: u32, is_picture: bool) {
        let mut queue = self.lock();
        queue.packets.retain(|packet| packet.header.ssrc != ssrc);
        if is_picture {
            queue.pictures.clear();
        }
    }

    /// Takes what waits out of the queue, on its way to the socket.
    pub(super) fn leave(&self, mut take: impl FnMut(rtp::Packet)) {
        let mut queue = self.lock();
        let Queue {
            packets,
            pictures,
            numbers,
            since,
        } = &mut *queue;
        *since = None;
        for mut packet in packets.drain(..) {
            packet.header.sequence_number = numbers.next(packet.header.ssrc);
            take(packet);
        }
        shrink(packets);
        let now = Instant::now();
        for picture in pictures.drain(..) {
            let since = |then| now.saturating_duration_since(then);
            self.latency
                .record(Stage::Send, since(picture.encoded_at), now);
            self.latency
                .record(Stage::Total, since(picture.captured_at), now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

/// Sends what waits for each packet that is written, and not that packet: it
/// was among them, perhaps already behind an earlier signal.
pub(in crate::peer) struct Burst(pub Waiting);

impl Step for Burst {
    fn write(&mut self, packet: TaggedPacket, out: &mut Out) {
        let Packet::Rtp(_) = &packet.message.packet else {
            out.writes.push_back(packet);
            return;
        };
        let (now, transport) = (packet.now, packet.transport);
        self.0.leave(|rtp| {
            out.writes.push_back(TaggedPacket {
                now,
                transport,
                message: AttributedPacket::new(Packet::Rtp(rtp)),
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::sansio::Protocol;
    use rtc::shared::TransportContext;

    use crate::peer::interceptor::passing::Passing;

    const PICTURE: u32 = 7;
    const SOUND: u32 = 8;

    fn packet(ssrc: u32, content: u16) -> rtp::Packet {
        rtp::Packet {
            header: rtp::header::Header {
                ssrc,
                ..Default::default()
            },
            payload: content.to_be_bytes().to_vec().into(),
        }
    }

    fn waiting() -> Waiting {
        Waiting::new(Arc::new(Latency::new(Instant::now())))
    }

    fn add(waiting: &Waiting, ssrc: u32, contents: impl IntoIterator<Item = u16>) {
        let packets = contents.into_iter().map(|c| packet(ssrc, c));
        waiting.extend(packets, None, Instant::now());
    }

    /// SSRC, sequence number and content of what leaves for a signal.
    fn written(burst: &mut Passing<Burst>) -> Vec<(u32, u16, u16)> {
        let signal = TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(packet(PICTURE, u16::MAX))),
        };
        burst.handle_write(signal).expect("it takes everything");
        std::iter::from_fn(|| burst.poll_write())
            .filter_map(|p| match p.message.packet {
                Packet::Rtp(rtp) => {
                    let content = u16::from_be_bytes([rtp.payload[0], rtp.payload[1]]);
                    Some((rtp.header.ssrc, rtp.header.sequence_number, content))
                }
                _ => None,
            })
            .collect()
    }

    fn contents(written: &[(u32, u16, u16)]) -> Vec<u16> {
        written.iter().map(|(_, _, content)| *content).collect()
    }

    #[test]
    fn frames_leave_whole_in_order_and_once() {
        let waiting = waiting();
        let mut burst = Passing::new(Burst(waiting.clone()));
        add(&waiting, PICTURE, [1, 2, 3]);
        // The next frame is there before the driver heard of the first.
        add(&waiting, PICTURE, [4, 5]);
        let left = written(&mut burst);
        assert_eq!(contents(&left), [1, 2, 3, 4, 5]);
        for pair in left.windows(2) {
            assert_eq!(pair[1].1, pair[0].1.wrapping_add(1));
        }
        assert_eq!(written(&mut burst), []);
    }

    /// One queue was cleared for all streams, and its packets had their numbers
    /// already.
    #[test]
    fn what_one_stream_drops_takes_nothing_of_another_and_leaves_no_hole() {
        let waiting = waiting();
        let mut burst = Passing::new(Burst(waiting.clone()));
        add(&waiting, PICTURE, [1, 2]);
        add(&waiting, SOUND, [11]);
        let first = written(&mut burst);
        add(&waiting, PICTURE, [3, 4]);
        add(&waiting, SOUND, [12]);
        waiting.drop_stream(SOUND, false);
        add(&waiting, SOUND, [13]);
        let second = written(&mut burst);
        assert_eq!(contents(&second), [3, 4, 13]);
        assert_eq!(second[0].1, first[1].1.wrapping_add(1));
        assert_eq!(second[2].1, first[2].1.wrapping_add(1));
        add(&waiting, PICTURE, [5, 6]);
        add(&waiting, SOUND, [14]);
        waiting.drop_stream(PICTURE, true);
        add(&waiting, PICTURE, [7]);
        let third = written(&mut burst);
        assert_eq!(contents(&third), [14, 7]);
        assert_eq!(third[1].1, second[1].1.wrapping_add(1));
    }

    #[test]
    fn a_driver_that_does_not_come_is_noticed_whatever_is_dropped() {
        let waiting = waiting();
        let mut burst = Passing::new(Burst(waiting.clone()));
        let start = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(waiting.stalled(start + ms(900)), ms(0), "there is nothing");
        let extend = |at| waiting.extend([packet(PICTURE, 1)].into_iter(), None, at);
        extend(start);
        extend(start + ms(100));
        waiting.drop_stream(PICTURE, true);
        assert_eq!(waiting.stalled(start + ms(300)), ms(300));
        // It comes, even if for nothing.
        assert_eq!(written(&mut burst), []);
        assert_eq!(waiting.stalled(start + ms(400)), ms(0));
    }

    proptest! {
        #[test]
        fn numbers_have_no_hole_whatever_is_added_and_dropped(
            steps in prop::collection::vec((0..5_u8, 1..40_u16), 1..200),
        ) {
            let waiting = waiting();
            let mut burst = Passing::new(Burst(waiting.clone()));
            let mut last: [Option<u16>; 2] = [None; 2];
            for (step, count) in steps {
                match step {
                    0 => add(&waiting, PICTURE, 0..count),
                    1 => add(&waiting, SOUND, 0..count),
                    2 => waiting.drop_stream(PICTURE, true),
                    3 => waiting.drop_stream(SOUND, false),
                    _ => for (ssrc, number, _) in written(&mut burst) {
                        let last = &mut last[usize::from(ssrc == SOUND)];
                        let before = last.replace(number);
                        prop_assert!(before.is_none_or(|b| number == b.wrapping_add(1)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_is_sent_when_its_packets_leave_and_never_when_they_were_dropped() {
        let start = Instant::now();
        let latency = Arc::new(Latency::new(start));
        let waiting = Waiting::new(latency.clone());
        let mut burst = Passing::new(Burst(waiting.clone()));
        let frame = Arc::new(Frame {
            payloads: Vec::new(),
            rtp_time: 0,
            key: true,
            captured_at: start,
            encoder_in: None,
            encoded_at: start,
        });
        let samples = || {
            let report = latency.report(Instant::now());
            [Stage::Send, Stage::Total].map(|s| report.stage(s).map_or(0, |s| s.samples))
        };
        waiting.extend([packet(PICTURE, 1)].into_iter(), Some(&frame), start);
        waiting.drop_stream(PICTURE, true);
        waiting.extend([packet(PICTURE, 2)].into_iter(), Some(&frame), start);
        // Sound is not measured, and what it drops is no picture.
        waiting.extend([packet(SOUND, 3)].into_iter(), None, start);
        waiting.drop_stream(SOUND, false);
        assert_eq!(samples(), [0, 0]);
        assert_eq!(contents(&written(&mut burst)), [2]);
        assert_eq!(samples(), [1, 1]);
        assert_eq!(written(&mut burst), []);
        assert_eq!(samples(), [1, 1]);
    }
}
