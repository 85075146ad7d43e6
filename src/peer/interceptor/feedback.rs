//! What a viewer tells us by RTCP: that they are there and where, that they need a
//! key frame, what they take their path to carry, and how much of their sound was
//! lost.
//!
//! It has to be an interceptor. The crate routes a compound packet by its
//! first part, so the PLI behind Chromium's receiver report never reaches a
//! track.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;

use super::passing::{Out, Step};

/// Signs of life are passed on no more often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// What is passed on. Called on the connection's driver, so it must not block.
pub(in crate::peer) trait Listener: Send + Sync {
    /// RTCP came; at most once a second.
    fn alive(&self);
    /// A PLI (RFC 4585 §6.3.1) or FIR (RFC 5104 §4.3.1) came.
    fn key_frame(&self);
    /// RTCP comes from another address than before, or for the first time.
    fn address(&self, address: IpAddr);
    /// A REMB came, in bit/s.
    fn remb(&self, bits_per_second: u32, now: Instant);
    /// A report on sound came: the fraction of packets lost since the one
    /// before, 0 to 1 (RFC 3550 §6.4.1).
    fn sound_lost(&self, fraction: f64, now: Instant);
}

pub(in crate::peer) struct Feedback {
    listener: Box<dyn Listener>,
    alive_at: Option<Instant>,
    address: Option<IpAddr>,
    /// SSRCs of our sound.
    sound: HashSet<u32>,
}

impl Feedback {
    pub(crate) fn new(listener: Box<dyn Listener>) -> Self {
        Self {
            listener,
            alive_at: None,
            address: None,
            sound: HashSet::new(),
        }
    }
}

fn asks_for_key_frame(packet: &dyn rtc::rtcp::Packet) -> bool {
    let packet = packet.as_any();
    packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
}

/// What a packet says of the streams that its sender receives. One who sends
/// too says it in their sender reports.
fn reports(packet: &dyn rtc::rtcp::Packet) -> &[ReceptionReport] {
    let packet = packet.as_any();
    if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
        &report.reports
    } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
        &report.reports
    } else {
        &[]
    }
}

impl Feedback {
    /// Passes on what is said.
    pub(super) fn hears(&mut self, packet: &TaggedPacket) {
        if let Packet::Rtcp(parts) = &packet.message.packet {
            let last = self.alive_at.replace(packet.now);
            match last {
                Some(at) if packet.now.saturating_duration_since(at) < ALIVE_INTERVAL => {
                    self.alive_at = last;
                }
                _ => self.listener.alive(),
            }
            let address = packet.transport.peer_addr.ip();
            if self.address.replace(address) != Some(address) {
                self.listener.address(address);
            }
            if parts.iter().any(|p| asks_for_key_frame(p.as_ref())) {
                self.listener.key_frame();
            }
            for part in parts {
                if let Some(remb) = part
                    .as_any()
                    .downcast_ref::<ReceiverEstimatedMaximumBitrate>()
                {
                    self.listener.remb(remb.bitrate as u32, packet.now);
                }
                for report in reports(part.as_ref()) {
                    if self.sound.contains(&report.ssrc) {
                        let fraction = f64::from(report.fraction_lost) / 256.0;
                        self.listener.sound_lost(fraction, packet.now);
                    }
                }
            }
        }
    }
}

impl Step for Feedback {
    fn read(&mut self, packet: TaggedPacket, out: &mut Out) {
        self.hears(&packet);
        out.reads.push_back(packet);
    }

    fn bind(&mut self, stream: &StreamInfo) {
        if stream.mime_type.starts_with("audio/") {
            self.sound.insert(stream.ssrc);
        }
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        self.sound.remove(&stream.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::interceptor::passing::Passing;
    use rtc::interceptor::{AttributedPacket, Interceptor};
    use rtc::sansio::Protocol;
    use rtc::shared::TransportContext;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Count {
        alive: AtomicUsize,
        keys: AtomicUsize,
        addresses: AtomicUsize,
        remb: AtomicUsize,
        lost: Mutex<Vec<f64>>,
    }

    impl Listener for Arc<Count> {
        fn alive(&self) {
            self.alive.fetch_add(1, Ordering::Relaxed);
        }
        fn key_frame(&self) {
            self.keys.fetch_add(1, Ordering::Relaxed);
        }
        fn address(&self, _: IpAddr) {
            self.addresses.fetch_add(1, Ordering::Relaxed);
        }
        fn remb(&self, bits_per_second: u32, _: Instant) {
            self.remb.store(bits_per_second as usize, Ordering::Relaxed);
        }
        fn sound_lost(&self, fraction: f64, _: Instant) {
            self.lost.lock().expect("no panic").push(fraction);
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
        let mut feedback = Passing::new(Feedback::new(Box::new(count.clone())));
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
    fn only_reports_on_sound_tell_of_its_loss() {
        let count = Arc::new(Count::default());
        let mut feedback = Passing::new(Feedback::new(Box::new(count.clone())));
        for (ssrc, mime_type) in [(1, "video/H264"), (2, "audio/opus")] {
            feedback.bind_local_stream(&StreamInfo {
                ssrc,
                mime_type: mime_type.into(),
                ..Default::default()
            });
        }
        let on = |ssrc, fraction_lost| ReceptionReport {
            ssrc,
            fraction_lost,
            ..Default::default()
        };
        let receiver = ReceiverReport {
            reports: vec![on(1, 255), on(2, 64), on(3, 255)],
            ..Default::default()
        };
        // One who sends too.
        let sender = SenderReport {
            reports: vec![on(2, 0)],
            ..Default::default()
        };
        feedback
            .handle_read(rtcp(
                Instant::now(),
                vec![Box::new(receiver), Box::new(sender)],
            ))
            .expect("it takes everything");
        assert_eq!(*count.lost.lock().expect("no panic"), [0.25, 0.0]);
    }

    #[test]
    fn signs_of_life_are_passed_on_once_a_second() {
        let count = Arc::new(Count::default());
        let mut feedback = Passing::new(Feedback::new(Box::new(count.clone())));
        let start = Instant::now();
        for ms in (0..3_000).step_by(50) {
            let now = start + Duration::from_millis(ms);
            feedback
                .handle_read(rtcp(now, vec![Box::new(ReceiverReport::default())]))
                .expect("it takes everything");
        }
        assert_eq!(count.alive.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn an_address_is_told_once_and_a_remb_each_time() {
        let count = Arc::new(Count::default());
        let mut feedback = Passing::new(Feedback::new(Box::new(count.clone())));
        let now = Instant::now();
        for bitrate in [300_000.0, 500_000.0] {
            let remb = ReceiverEstimatedMaximumBitrate {
                bitrate,
                ..Default::default()
            };
            feedback
                .handle_read(rtcp(now, vec![Box::new(remb)]))
                .expect("it takes everything");
        }
        assert_eq!(count.remb.load(Ordering::Relaxed), 500_000);
        assert_eq!(count.addresses.load(Ordering::Relaxed), 1);
        let mut moved = rtcp(now, vec![Box::new(ReceiverReport::default())]);
        moved.transport.peer_addr = ([192, 0, 2, 1], 9).into();
        feedback.handle_read(moved).expect("it takes everything");
        assert_eq!(count.addresses.load(Ordering::Relaxed), 2);
    }
}
