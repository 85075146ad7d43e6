//! The half of an interceptor that all of ours have in common: what is not
//! theirs passes through, in order.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// What goes on behind an interceptor, each way.
#[derive(Default)]
pub(in crate::peer) struct Out {
    /// From the viewer to us.
    pub reads: VecDeque<TaggedPacket>,
    /// From us to the viewer.
    pub writes: VecDeque<TaggedPacket>,
}

/// What an interceptor does; whatever it does not say, passes.
pub(in crate::peer) trait Step: Send + Sync {
    /// A packet comes from the viewer. What is not put into `out` ends here.
    fn read(&mut self, packet: TaggedPacket, out: &mut Out) {
        out.reads.push_back(packet);
    }

    /// A packet passes on its way to the viewer.
    fn sees(&mut self, _packet: &mut TaggedPacket) {}

    /// A packet is on its way to the viewer. What is not put into `out` stays here.
    fn write(&mut self, mut packet: TaggedPacket, out: &mut Out) {
        self.sees(&mut packet);
        out.writes.push_back(packet);
    }

    /// Time has passed.
    fn timeout(&mut self, _now: Instant, _out: &mut Out) {}

    /// When [`timeout`](Self::timeout) has something to do.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// A stream of ours begins.
    fn bind(&mut self, _stream: &StreamInfo) {}

    /// A stream of ours is over.
    fn unbind(&mut self, _stream: &StreamInfo) {}
}

/// What a queue keeps room for when it is empty: an ordinary picture, and not the
/// key frame that a call begins with.
const ROOM: usize = 16;

/// Gives back most of the room that an empty queue has.
pub(super) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > ROOM {
        queue.shrink_to(ROOM);
    }
}

/// An interceptor of a [`Step`].
pub(in crate::peer) struct Passing<S> {
    pub step: S,
    out: Out,
}

impl<S> Passing<S> {
    pub(crate) fn new(step: S) -> Self {
        Self {
            step,
            out: Out::default(),
        }
    }
}

impl<S: Step> Protocol<TaggedPacket, TaggedPacket, ()> for Passing<S> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.step.read(packet, &mut self.out);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.out.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.step.write(packet, &mut self.out);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        let packet = self.out.writes.pop_front();
        if packet.is_none() {
            shrink(&mut self.out.writes);
        }
        packet
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.step.timeout(now, &mut self.out);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.step.next_timeout()
    }
}

impl<S: Step> Interceptor for Passing<S> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.step.bind(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.step.unbind(info);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
