//! All that is done to a connection's packets, in one piece.
//!
//! The crate has a chain for this, in which each link has a queue, and each packet
//! is moved five times to pass one by: it was a third of what a viewer cost. Here
//! those that only look are shown a packet in passing. Outwards:
//! [`Burst`], [`Clock`], [`Repair`], [`Pacer`], [`Numbers`], [`Row`]; inwards: [`Screen`],
//! [`Numbers`], [`Feedback`], [`Repair`].

use std::time::Instant;

use rtc::interceptor::{AttributedPacket, BandwidthEstimator, Packet, StreamInfo, TaggedPacket};

use super::burst::Burst;
use super::clock::Clock;
use super::feedback::Feedback;
use super::numbers::Numbers;
use super::pacer::Pacer;
use super::passing::{Out, Step, shrink};
use super::repair::Repair;
use super::row::Row;
use super::screen::Screen;

/// The interceptor.
pub(in crate::peer) struct Line<E> {
    pub burst: Burst,
    pub clock: Clock,
    pub repair: Repair,
    pub pacer: Pacer,
    pub numbers: Numbers<E>,
    pub row: Row,
    pub screen: Screen,
    pub feedback: Feedback,
    /// Between two of them; empty in between.
    pub between: Between,
}

/// What is on its way from one to another.
#[derive(Default)]
pub(in crate::peer) struct Between {
    /// What has been screened, and what is repeated or reported.
    made: Out,
    /// What the pacer lets out.
    paced: Out,
}

impl<E: BandwidthEstimator> Line<E> {
    /// Packets that were made here go on to the pacer, and all that it lets out to the
    /// wire.
    fn leave(&mut self, out: &mut Out) {
        let Between { made, paced } = &mut self.between;
        while let Some(packet) = made.writes.pop_front() {
            self.pacer.write(packet, paced);
        }
        while let Some(mut packet) = paced.writes.pop_front() {
            if !self.repair.is_as_it_was(&packet) {
                self.numbers.sees(&mut packet);
                self.repair.left(&packet);
            }
            self.row.write(packet, out);
        }
        shrink(&mut paced.writes);
    }
}

impl<E: BandwidthEstimator> Step for Line<E> {
    fn read(&mut self, packet: TaggedPacket, out: &mut Out) {
        self.screen.read(packet, &mut self.between.made);
        while let Some(packet) = self.between.made.reads.pop_front() {
            self.numbers.hears(&packet);
            self.feedback.hears(&packet);
            self.repair.hears(&packet, &mut self.between.made);
            out.reads.push_back(packet);
        }
        self.leave(out);
    }

    fn write(&mut self, packet: TaggedPacket, out: &mut Out) {
        let TaggedPacket { now, transport, .. } = packet;
        let paced = &mut self.between.paced;
        match &packet.message.packet {
            Packet::Rtp(_) => self.burst.0.leave(|rtp| {
                let mut packet = TaggedPacket {
                    now,
                    transport,
                    message: AttributedPacket::new(Packet::Rtp(rtp)),
                };
                self.clock.sees(&mut packet);
                self.repair.sees(&mut packet);
                self.pacer.write(packet, paced);
            }),
            _ => self.pacer.write(packet, paced),
        }
        self.leave(out);
    }

    fn timeout(&mut self, now: Instant, out: &mut Out) {
        self.pacer.timeout(now, &mut self.between.paced);
        self.repair.timeout(now, &mut self.between.made);
        self.clock.timeout(now, &mut self.between.made);
        self.leave(out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let due = [
            self.pacer.next_timeout(),
            self.repair.next_timeout(),
            self.clock.next_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    fn bind(&mut self, stream: &StreamInfo) {
        self.clock.bind(stream);
        self.repair.bind(stream);
        self.pacer.bind(stream);
        self.numbers.bind(stream);
        self.feedback.bind(stream);
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        self.clock.unbind(stream);
        self.repair.unbind(stream);
        self.pacer.unbind(stream);
        self.numbers.unbind(stream);
        self.feedback.unbind(stream);
    }
}
