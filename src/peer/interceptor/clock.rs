//! Sender reports that say when a frame was captured, not when it was sent.
//!
//! The crate takes a packet's timestamp for the time at which the packet
//! leaves. Picture and sound spend different times on their way through their
//! pipelines, and a browser that lines them up by such reports shows them apart
//! by the difference. Both are captured on one clock; here reports follow it.
//!
//! The first of them come soon (RFC 3550 §6.2 has half the interval for the
//! first, RFC 6051 §2.1 none): Chromium needs two of each stream before it
//! begins to line them up, which it then does by some 20 ms every two seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;

use super::passing::{Out, Step};
use crate::lock::lock;

/// How often reports are made. Most of them are not sent.
pub(in crate::peer) const MADE: Duration = Duration::from_millis(250);
/// The first ones of a stream are sent as they are made.
const FIRST: u32 = 2;
/// Later one is sent in this time, or a little less: timers are late.
const INTERVAL: Duration = Duration::from_millis(900);

#[derive(Debug, Clone, Copy)]
struct Point {
    timestamp: u32,
    captured_at: Instant,
    /// Ticks a second.
    clock_rate: u32,
}

impl Point {
    /// The timestamp of what is captured at `now`.
    fn at(self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.captured_at);
        let ticks = since.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        self.timestamp.wrapping_add((ticks % (1 << 32)) as u32)
    }
}

/// The newest frame of each stream of a connection, by SSRC. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub(in crate::peer) struct Captured(Arc<Mutex<HashMap<u32, Point>>>);

impl Captured {
    /// A frame with this timestamp was captured then.
    pub(crate) fn note(&self, ssrc: u32, timestamp: u32, captured_at: Instant, clock_rate: u32) {
        self.lock().insert(
            ssrc,
            Point {
                timestamp,
                captured_at,
                clock_rate,
            },
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Point>> {
        lock(&self.0)
    }
}

/// What was sent of a stream.
#[derive(Debug, Clone, Copy)]
struct Sent {
    reports: u32,
    last: Instant,
}

pub(in crate::peer) struct Clock {
    captured: Captured,
    sent: HashMap<u32, Sent>,
}

impl Clock {
    pub(crate) fn new(captured: Captured) -> Self {
        Self {
            captured,
            sent: HashMap::new(),
        }
    }

    /// Whether a report on this stream is to be sent now.
    fn is_due(&mut self, ssrc: u32, now: Instant) -> bool {
        let before = self.sent.get(&ssrc).copied();
        let is_due = before.is_none_or(|sent| {
            sent.reports < FIRST || now.saturating_duration_since(sent.last) >= INTERVAL
        });
        if is_due {
            let reports = before.map_or(0, |sent| sent.reports).saturating_add(1);
            self.sent.insert(ssrc, Sent { reports, last: now });
        }
        is_due
    }
}

impl Step for Clock {
    fn write(&mut self, mut packet: TaggedPacket, out: &mut Out) {
        if let Packet::Rtcp(parts) = &mut packet.message.packet {
            parts.retain(|part| {
                let report = part.as_any().downcast_ref::<SenderReport>();
                report.is_none_or(|report| self.is_due(report.ssrc, packet.now))
            });
            if parts.is_empty() {
                return;
            }
            for part in parts {
                let Some(report) = part.as_any().downcast_ref::<SenderReport>() else {
                    continue;
                };
                let point = self.captured.lock().get(&report.ssrc).copied();
                if let Some(point) = point {
                    let rtp_time = point.at(packet.now);
                    *part = Box::new(SenderReport {
                        rtp_time,
                        ..report.clone()
                    });
                }
            }
        }
        out.writes.push_back(packet);
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        self.sent.remove(&stream.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::drift::Drift;
    use crate::peer::interceptor::passing::Passing;
    use rtc::interceptor::AttributedPacket;
    use rtc::sansio::Protocol;
    use rtc::shared::TransportContext;

    fn reported(clock: &mut Passing<Clock>, ssrc: u32, now: Instant) -> u32 {
        report(clock, ssrc, now).expect("it is due")
    }

    fn report(clock: &mut Passing<Clock>, ssrc: u32, now: Instant) -> Option<u32> {
        let report = SenderReport {
            ssrc,
            rtp_time: 5,
            ..Default::default()
        };
        let packet = TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(report)])),
        };
        clock.handle_write(packet).expect("it takes everything");
        let out = clock.poll_write()?;
        let Packet::Rtcp(parts) = &out.message.packet else {
            panic!("it is RTCP");
        };
        let report = parts[0].as_any().downcast_ref::<SenderReport>();
        Some(report.expect("it is a report").rtp_time)
    }

    #[test]
    fn two_reports_come_at_once_then_one_a_second() {
        let mut clock = Passing::new(Clock::new(Captured::default()));
        let start = Instant::now();
        for ssrc in [1, 2] {
            let is_sent = |n: &u32| report(&mut clock, ssrc, start + MADE * *n).is_some();
            let sent: Vec<_> = (0..=20).filter(is_sent).collect();
            assert_eq!(sent, [0, 1, 5, 9, 13, 17]);
        }
    }

    #[test]
    fn pictures_and_sound_captured_together_are_reported_together() {
        let captured = Captured::default();
        let mut clock = Passing::new(Clock::new(captured.clone()));
        let start = Instant::now();
        // The picture took 40 ms, the sound 80 ms; the picture's time wraps.
        captured.note(1, u32::MAX - 99, start, 90_000);
        captured.note(2, 1_000, start, 48_000);
        let now = start + Duration::from_millis(500);
        assert_eq!(reported(&mut clock, 1, now), 45_000 - 100);
        assert_eq!(reported(&mut clock, 2, now), 25_000);
        assert_eq!(reported(&mut clock, 3, now), 5, "of it nothing is known");
    }

    #[test]
    fn sound_of_a_fast_card_stays_with_the_picture_for_ten_minutes() {
        for ppm in [-300.0, 300.0] {
            let captured = Captured::default();
            let mut clock = Passing::new(Clock::new(captured.clone()));
            let epoch = Instant::now();
            let mut drift = Drift::default();
            let mut random = fastrand::Rng::with_seed(1);
            let second = 1.0 / (1.0 + ppm / 1e6);
            let mut worst = 0.0_f64;
            for n in 0..60_000_u32 {
                // 10 ms by the card's count, read up to 3 ms late.
                let began = 0.01 * second * f64::from(n);
                let stamp = began + 0.003 * random.f64();
                let place = drift.take(Duration::from_secs_f64(stamp), 480, 48_000);
                let at = epoch + drift.captured(place);
                let rtp_time = (place.as_secs_f64() * 48_000.0).round() as u32;
                captured.note(2, rtp_time, at, 48_000);
                // The picture's time line is the clock's.
                let frame = epoch + Duration::from_secs_f64(began);
                captured.note(1, (began * 90_000.0) as u32, frame, 90_000);
                if n < 1_000 || n % 100 != 0 {
                    continue;
                }
                // What was captured together, as the reports' receiver sees it:
                // sound of this place, and the picture of that moment.
                let now = epoch + Duration::from_secs_f64(began + 0.06);
                let since = |reported: u32, timestamp: u32, rate: f64| {
                    f64::from(reported.wrapping_sub(timestamp).cast_signed()) / rate
                };
                let sound = since(reported(&mut clock, 2, now), rtp_time, 48_000.0);
                let picture = since(
                    reported(&mut clock, 1, now),
                    (began * 90_000.0) as u32,
                    90_000.0,
                );
                worst = worst.max((sound - picture).abs());
            }
            assert!(worst < 0.005, "{ppm} ppm: {worst} s apart");
        }
    }
}
