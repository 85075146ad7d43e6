//! A whole frame through the connection's driver in one go.
//!
//! The crate takes one RTP packet at a time from a track, and for each runs
//! its event loop from top to bottom. Here the packets of a frame wait in a
//! queue that the sender and this interceptor share; the sender writes one of
//! them to the track, as the signal, and all of them go out for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// Packets of all streams of one connection, in the order in which they leave.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<VecDeque<rtp::Packet>>>);

impl Waiting {
    /// Adds packets that leave with the next signal of any stream.
    pub fn extend(&self, packets: impl Iterator<Item = rtp::Packet>) {
        self.lock().extend(packets);
    }

    /// How many packets the driver has not come to yet.
    pub fn backlog(&self) -> usize {
        self.lock().len()
    }

    /// Drops what waits; to the viewer it is lost.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<rtp::Packet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let waiting = self.waiting.clone();
        self.writes
            .extend(waiting.lock().drain(..).map(|rtp| TaggedPacket {
                now,
                transport,
                message: AttributedPacket::new(Packet::Rtp(rtp)),
            }));
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
        let waiting = Waiting::default();
        let mut burst = Burst::new(waiting.clone());
        waiting.extend([1, 2, 3].map(packet).into_iter());
        // The next frame is there before the driver heard of the first.
        waiting.extend([4, 5].map(packet).into_iter());
        assert_eq!(waiting.backlog(), 5);
        assert_eq!(written(&mut burst, 3), [1, 2, 3, 4, 5]);
        assert_eq!(waiting.backlog(), 0);
        waiting.extend([6, 7].map(packet).into_iter());
        waiting.clear();
        assert_eq!(written(&mut burst, 7), [] as [u16; 0]);
        assert_eq!(written(&mut burst, 5), [] as [u16; 0]);
    }
}
