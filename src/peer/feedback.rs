//! What a viewer tells us by RTCP: that he is there, and that he needs a key
//! frame.
//!
//! It has to be an interceptor. The crate routes a compound packet by its
//! first part, so the PLI behind Chromium's receiver report never reaches a
//! track.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// Signs of life are passed on no more often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// What is passed on. Called on the connection's driver, so it must not block.
pub(super) trait Listener: Send + Sync {
    /// RTCP came; at most once a second.
    fn alive(&self);
    /// A PLI (RFC 4585 §6.3.1) or FIR (RFC 5104 §4.3.1) came.
    fn key_frame(&self);
}

pub(super) struct Feedback {
    listener: Box<dyn Listener>,
    alive_at: Option<Instant>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Feedback {
    pub fn new(listener: Box<dyn Listener>) -> Self {
        Self {
            listener,
            alive_at: None,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

fn asks_for_key_frame(packet: &dyn rtc::rtcp::Packet) -> bool {
    let packet = packet.as_any();
    packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(parts) = &packet.message.packet {
            let last = self.alive_at.replace(packet.now);
            match last {
                Some(at) if packet.now.saturating_duration_since(at) < ALIVE_INTERVAL => {
                    self.alive_at = last;
                }
                _ => self.listener.alive(),
            }
            if parts.iter().any(|p| asks_for_key_frame(p.as_ref())) {
                self.listener.key_frame();
            }
        }
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::AttributedPacket;
    use rtc::rtcp::receiver_report::ReceiverReport;
    use rtc::shared::TransportContext;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count {
        alive: AtomicUsize,
        keys: AtomicUsize,
    }

    impl Listener for Arc<Count> {
        fn alive(&self) {
            self.alive.fetch_add(1, Ordering::Relaxed);
        }
        fn key_frame(&self) {
            self.keys.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn rtcp(now: Instant, parts: Vec<Box<dyn rtc::rtcp::Packet>>) -> TaggedPacket {
        TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(parts)),
        }
    }

    #[test]
    fn a_pli_behind_a_receiver_report_is_heard() {
        let count = Arc::new(Count::default());
        let mut feedback = Feedback::new(Box::new(count.clone()));
        let now = Instant::now();
        let compound: Vec<Box<dyn rtc::rtcp::Packet>> = vec![
            Box::new(ReceiverReport::default()),
            Box::new(PictureLossIndication::default()),
        ];
        feedback
            .handle_read(rtcp(now, compound))
            .expect("it takes everything");
        let fir: Vec<Box<dyn rtc::rtcp::Packet>> = vec![Box::new(FullIntraRequest::default())];
        feedback
            .handle_read(rtcp(now, fir))
            .expect("it takes everything");
        assert_eq!(count.keys.load(Ordering::Relaxed), 2);
        assert!(feedback.poll_read().is_some(), "others read it too");
    }

    #[test]
    fn signs_of_life_are_passed_on_once_a_second() {
        let count = Arc::new(Count::default());
        let mut feedback = Feedback::new(Box::new(count.clone()));
        let start = Instant::now();
        for ms in (0..3_000).step_by(50) {
            let now = start + Duration::from_millis(ms);
            feedback
                .handle_read(rtcp(now, vec![Box::new(ReceiverReport::default())]))
                .expect("it takes everything");
        }
        assert_eq!(count.alive.load(Ordering::Relaxed), 3);
    }
}
