//! A whole frame through the connection's driver in one go.
//!
//! The crate takes one RTP packet at a time from a track, and for each runs
//! its event loop from top to bottom. Here the packets of a frame wait in a
//! queue that the sender and this interceptor share; the sender writes one of
//! them to the track, as the signal, and all of them go out for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use crate::lock::lock;
use crate::media::Frame;
use crate::media::latency::{Latency, Stage};

/// Packets of all streams of one connection, in the order in which they leave.
#[derive(Clone)]
pub(super) struct Waiting {
    queue: Arc<Mutex<Queue>>,
    latency: Arc<Latency>,
}

#[derive(Default)]
struct Queue {
    packets: VecDeque<rtp::Packet>,
    /// The pictures that these packets make.
    pictures: Vec<Arc<Frame>>,
}

impl Waiting {
    /// Nothing waits; `latency` is told when pictures leave.
    pub fn new(latency: Arc<Latency>) -> Self {
        Self {
            queue: Arc::default(),
            latency,
        }
    }

    /// Adds packets that leave with the next signal of any stream; where they
    /// are a picture, `picture` is it.
    pub fn extend(&self, packets: impl Iterator<Item = rtp::Packet>, picture: Option<&Arc<Frame>>) {
        let mut queue = self.lock();
        queue.packets.extend(packets);
        queue.pictures.extend(picture.cloned());
    }

    /// How many packets the driver has not come to yet.
    pub fn backlog(&self) -> usize {
        self.lock().packets.len()
    }

    /// Drops what waits; to the viewer it is lost.
    pub fn clear(&self) {
        let mut queue = self.lock();
        queue.packets.clear();
        queue.pictures.clear();
    }

    /// Takes what waits out of the queue, on its way to the socket.
    fn leave(&self, mut take: impl FnMut(rtp::Packet)) {
        let mut queue = self.lock();
        queue.packets.drain(..).for_each(&mut take);
        let now = Instant::now();
        for picture in queue.pictures.drain(..) {
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
pub(super) struct Burst {
    waiting: Waiting,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Burst {
    pub fn new(waiting: Waiting) -> Self {
        Self {
            waiting,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Burst {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let Packet::Rtp(_) = &packet.message.packet else {
            self.writes.push_back(packet);
            return Ok(());
        };
        let (now, transport) = (packet.now, packet.transport);
        let Self {
            waiting, writes, ..
        } = self;
        waiting.leave(|rtp| {
            writes.push_back(TaggedPacket {
                now,
                transport,
                message: AttributedPacket::new(Packet::Rtp(rtp)),
            });
        });
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Burst {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::shared::TransportContext;

    fn packet(sequence_number: u16) -> rtp::Packet {
        rtp::Packet {
            header: rtp::header::Header {
                sequence_number,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    fn written(burst: &mut Burst, signal: u16) -> Vec<u16> {
        let signal = TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(packet(signal))),
        };
        burst.handle_write(signal).expect("it takes everything");
        std::iter::from_fn(|| burst.poll_write())
            .filter_map(|p| match p.message.packet {
                Packet::Rtp(rtp) => Some(rtp.header.sequence_number),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn frames_leave_whole_in_order_and_once() {
        let waiting = Waiting::new(Arc::new(Latency::new(Instant::now())));
        let mut burst = Burst::new(waiting.clone());
        waiting.extend([1, 2, 3].map(packet).into_iter(), None);
        // The next frame is there before the driver heard of the first.
        waiting.extend([4, 5].map(packet).into_iter(), None);
        assert_eq!(waiting.backlog(), 5);
        assert_eq!(written(&mut burst, 3), [1, 2, 3, 4, 5]);
        assert_eq!(waiting.backlog(), 0);
        waiting.extend([6, 7].map(packet).into_iter(), None);
        waiting.clear();
        assert_eq!(written(&mut burst, 7), [] as [u16; 0]);
        assert_eq!(written(&mut burst, 5), [] as [u16; 0]);
    }

    #[test]
    fn a_picture_is_sent_when_its_packets_leave_and_never_when_they_were_dropped() {
        let start = Instant::now();
        let latency = Arc::new(Latency::new(start));
        let waiting = Waiting::new(latency.clone());
        let mut burst = Burst::new(waiting.clone());
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
        waiting.extend([packet(1)].into_iter(), Some(&frame));
        waiting.clear();
        waiting.extend([packet(2)].into_iter(), Some(&frame));
        // Sound is not measured.
        waiting.extend([packet(3)].into_iter(), None);
        assert_eq!(samples(), [0, 0]);
        assert_eq!(written(&mut burst, 3), [2, 3]);
        assert_eq!(samples(), [1, 1]);
        assert_eq!(written(&mut burst, 3), [] as [u16; 0]);
        assert_eq!(samples(), [1, 1]);
    }
}
