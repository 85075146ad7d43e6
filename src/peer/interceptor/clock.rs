//! Sender reports (RFC 3550 §6.4.1) that say when a frame was captured, not when it
//! was sent.
//!
//! The crate takes a packet's timestamp for the time at which the packet
//! leaves. Picture and sound spend different times on their way through their
//! pipelines, and a browser that lines them up by such reports shows them apart
//! by the difference. Both are captured on one clock; reports follow it here. They
//! are made here, too: the crate's own maker has a queue of its own for all media.
//!
//! The first of them come soon (RFC 3550 §6.2 has half the interval for the
//! first, RFC 6051 §2.1 none): Chromium needs two of each stream before it
//! begins to line them up, which it then does by some 20 ms every two seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::shared::TransportContext;
use rtc::shared::time::SystemInstant;

use super::passing::{Out, Step};
use crate::lock::lock;

/// From a stream's first packet to its first report, and on to the next.
const SOON: Duration = Duration::from_millis(250);
/// So many come so soon.
const FIRST: u32 = 2;
/// Later one comes in this time.
const INTERVAL: Duration = Duration::from_secs(1);
/// What would be due so soon is reported with what is due: one datagram less to
/// wake up for.
const TOGETHER: Duration = Duration::from_millis(100);

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
#[derive(Debug)]
struct Sent {
    ssrc: u32,
    packets: u32,
    octets: u32,
    reports: u32,
    /// When the next report is; nothing was sent before.
    due: Option<Instant>,
}

pub(in crate::peer) struct Clock {
    captured: Captured,
    /// There are two, at most.
    streams: Vec<Sent>,
}

impl Clock {
    pub(crate) fn new(captured: Captured) -> Self {
        Self {
            captured,
            streams: Vec::new(),
        }
    }
}

impl Sent {
    /// A report on the stream, whose newest frame is `point`.
    fn report(&mut self, point: Point, now: Instant) -> TaggedPacket {
        self.reports = self.reports.saturating_add(1);
        let wait = match self.reports < FIRST {
            true => SOON,
            false => INTERVAL,
        };
        self.due = Some(now + wait);
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp(now),
            rtp_time: point.at(now),
            packet_count: self.packets,
            octet_count: self.octets,
            ..Default::default()
        };
        TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(report)])),
        }
    }
}

/// The wall clock's time at `now`, which a busy driver may tell some milliseconds late.
fn ntp(now: Instant) -> u64 {
    let present = Instant::now();
    let unix = SystemInstant::now(present).duration_since_unix_epoch();
    SystemInstant::unix2ntp(unix.saturating_sub(present.saturating_duration_since(now)))
}

impl Step for Clock {
    fn sees(&mut self, packet: &mut TaggedPacket) {
        if let Packet::Rtp(rtp) = &packet.message.packet
            && let Some(sent) = self.streams.iter_mut().find(|s| s.ssrc == rtp.header.ssrc)
        {
            sent.packets = sent.packets.wrapping_add(1);
            sent.octets = sent.octets.wrapping_add(rtp.payload.len() as u32);
            sent.due.get_or_insert(packet.now + SOON);
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Out) {
        if self.next_timeout().is_none_or(|due| due > now) {
            return;
        }
        let is_due = |sent: &&mut Sent| sent.due.is_some_and(|due| due <= now + TOGETHER);
        for sent in self.streams.iter_mut().filter(is_due) {
            let point = self.captured.lock().get(&sent.ssrc).copied();
            match point {
                Some(point) => out.writes.push_back(sent.report(point, now)),
                None => sent.due = Some(now + SOON),
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|sent| sent.due).min()
    }

    fn bind(&mut self, stream: &StreamInfo) {
        self.unbind(stream);
        self.streams.push(Sent {
            ssrc: stream.ssrc,
            packets: 0,
            octets: 0,
            reports: 0,
            due: None,
        });
    }

    fn unbind(&mut self, stream: &StreamInfo) {
        self.streams.retain(|sent| sent.ssrc != stream.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::drift::Drift;
    use crate::peer::interceptor::passing::Passing;
    use rtc::interceptor::Interceptor;
    use rtc::rtp;
    use rtc::sansio::Protocol;

    fn clock(captured: &Captured) -> Passing<Clock> {
        let mut clock = Passing::new(Clock::new(captured.clone()));
        for ssrc in [1, 2] {
            clock.bind_local_stream(&StreamInfo {
                ssrc,
                ..Default::default()
            });
        }
        clock
    }

    fn send(clock: &mut Passing<Clock>, ssrc: u32, size: usize, now: Instant) {
        let header = rtp::Header {
            ssrc,
            ..Default::default()
        };
        let payload = vec![0; size].into();
        let packet = TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(rtp::Packet { header, payload })),
        };
        clock.handle_write(packet).expect("it takes everything");
        let passed = clock.poll_write().expect("it passes");
        assert!(matches!(passed.message.packet, Packet::Rtp(_)));
    }

    #[test]
    fn what_is_told_late_has_its_own_time() {
        let now = Instant::now();
        let Some(before) = now.checked_sub(Duration::from_millis(500)) else {
            return;
        };
        let apart = ntp(now).wrapping_sub(ntp(before)) as f64 / f64::from(u32::MAX);
        assert!((0.49..0.51).contains(&apart), "{apart} s");
    }

    /// What is reported at `now`.
    fn reports(clock: &mut Passing<Clock>, now: Instant) -> Vec<SenderReport> {
        clock.handle_timeout(now).expect("it takes everything");
        std::iter::from_fn(|| clock.poll_write())
            .flat_map(|packet| match packet.message.packet {
                Packet::Rtcp(parts) => parts,
                _ => panic!("it is RTCP"),
            })
            .map(|part| part.as_any().downcast_ref().cloned().expect("a report"))
            .collect()
    }

    /// The time of both streams, as it would be reported at `now`.
    fn times(captured: &Captured, now: Instant) -> [u32; 2] {
        let mut clock = clock(captured);
        for ssrc in [1, 2] {
            send(&mut clock, ssrc, 10, now - SOON);
        }
        let reports = reports(&mut clock, now);
        [1, 2].map(|ssrc| {
            let report = reports.iter().find(|report| report.ssrc == ssrc);
            report.expect("it is reported").rtp_time
        })
    }

    #[test]
    fn two_reports_come_at_once_then_one_a_second() {
        let (captured, start) = (Captured::default(), Instant::now());
        let ms = Duration::from_millis;
        captured.note(1, 5, start, 90_000);
        captured.note(2, 5, start, 48_000);
        let mut clock = clock(&captured);
        assert_eq!(clock.poll_timeout(), None, "nothing was sent");
        send(&mut clock, 1, 100, start);
        let mut told = [vec![], vec![]];
        for at in (0..=3_500).step_by(10) {
            // The sound comes a little later.
            if at == 60 {
                send(&mut clock, 2, 7, start + ms(at));
            }
            for report in reports(&mut clock, start + ms(at)) {
                told[report.ssrc as usize - 1].push(at);
            }
        }
        let together = vec![250, 500, 1_500, 2_500, 3_500];
        assert_eq!(told, [together.clone(), together]);
    }

    #[test]
    fn a_report_counts_what_was_sent_and_tells_the_time_of_day() {
        let (captured, start) = (Captured::default(), Instant::now());
        captured.note(1, 5, start, 90_000);
        let mut clock = clock(&captured);
        for size in [100, 200, 33] {
            send(&mut clock, 1, size, start);
        }
        send(&mut clock, 9, 500, start);
        let told = reports(&mut clock, start + SOON);
        let [report] = &told[..] else {
            panic!("one: {told:?}")
        };
        assert_eq!((report.packet_count, report.octet_count), (3, 333));
        let day = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let apart = (report.ntp_time >> 32).abs_diff(day.expect("set").as_secs() + 0x83aa_7e80);
        assert!(apart <= 5, "{apart} s apart");
        // Of what nothing is captured nothing can be said.
        send(&mut clock, 2, 10, start);
        assert_eq!(reports(&mut clock, start + SOON * 2).len(), 1);
    }

    #[test]
    fn pictures_and_sound_captured_together_are_reported_together() {
        let captured = Captured::default();
        let start = Instant::now();
        // The picture took 40 ms, the sound 80 ms; the picture's time wraps.
        captured.note(1, u32::MAX - 99, start, 90_000);
        captured.note(2, 1_000, start, 48_000);
        let now = start + Duration::from_millis(500);
        assert_eq!(times(&captured, now), [45_000 - 100, 25_000]);
    }

    #[test]
    fn sound_of_a_fast_card_stays_with_the_picture_for_ten_minutes() {
        for ppm in [-300.0, 300.0] {
            let captured = Captured::default();
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
                let [picture, sound] = times(&captured, now);
                let sound = since(sound, rtp_time, 48_000.0);
                let picture = since(picture, (began * 90_000.0) as u32, 90_000.0);
                worst = worst.max((sound - picture).abs());
            }
            assert!(worst < 0.005, "{ppm} ppm: {worst} s apart");
        }
    }
}
