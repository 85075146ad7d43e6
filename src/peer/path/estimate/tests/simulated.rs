//! A path in simulated time: a bottleneck with a queue, a delay and losses.

use super::*;

#[derive(Clone, Copy)]
pub(super) struct Link {
    /// bit/s.
    pub(super) rate: f64,
    /// The longest queue.
    pub(super) queue: Duration,
    /// One way.
    pub(super) delay: Duration,
    /// 0 to 1.
    pub(super) loss: f64,
    /// How many are lost in a row.
    pub(super) burst: u32,
}

pub(super) struct Sim {
    pub(super) link: Link,
    pub(super) rng: fastrand::Rng,
    pub(super) losing: u32,
    pub(super) now: Instant,
    pub(super) begin: Instant,
    pub(super) busy: Instant,
    pub(super) estimator: Estimator,
    pub(super) path: Path,
    /// What the receiver's clock shows at the beginning.
    pub(super) clock: Duration,
    pub(super) next_frame: Instant,
    pub(super) next_sound: Instant,
    pub(super) next_feedback: Instant,
    /// Of what it is asked for the encoder makes such a share.
    pub(super) made: f64,
    /// What the picture needs at most.
    pub(super) wanted: f64,
    /// Sound of which the receiver tells nothing, in bit/s.
    pub(super) untold: f64,
    pub(super) flying: VecDeque<PacketReport>,
    pub(super) ids: u64,
    /// Time, target and the queue that a packet met.
    pub(super) log: Vec<(Duration, f64, Duration)>,
    pub(super) through: Vec<(Duration, usize)>,
}

impl Sim {
    pub(super) fn new(link: Link, seed: u64) -> Self {
        let path = Path::new(BOUNDS);
        let begin = Instant::now();
        Self {
            link,
            rng: fastrand::Rng::with_seed(seed),
            losing: 0,
            now: begin,
            begin,
            busy: begin,
            estimator: Estimator::new(BOUNDS, path.clone()),
            path,
            clock: Duration::from_secs(5_000),
            next_frame: begin,
            next_sound: begin,
            next_feedback: begin + Duration::from_millis(60),
            made: 0.92,
            wanted: 2_000_000.0,
            untold: 0.0,
            flying: VecDeque::new(),
            ids: 0,
            log: Vec::new(),
            through: Vec::new(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.begin
    }

    /// A frame of the size that the estimate allows, as CBR makes it.
    pub(super) fn frame(&mut self) {
        let sound = self.untold;
        let rate = ((self.estimator.target_bitrate() - sound) * self.made).min(self.wanted);
        let bytes = rate / 8.0 / 30.0 * (0.8 + 0.4 * self.rng.f64());
        let packets = ((bytes / PACKET as f64).round() as usize).max(1);
        let size = (bytes as usize / packets).max(60);
        for _ in 0..packets {
            self.packet(PICTURE, size);
        }
    }

    pub(super) fn packet(&mut self, ssrc: u32, size: usize) {
        let start = self.busy.max(self.now);
        let standing = start - self.now;
        if self.losing > 0 {
            self.losing -= 1;
        } else if self.rng.f64() < self.link.loss / f64::from(self.link.burst) {
            self.losing = self.link.burst;
        }
        let lost = self.losing > 0 || standing > self.link.queue;
        let mut arrival = None;
        if standing <= self.link.queue {
            self.busy = start + Duration::from_secs_f64(size as f64 * 8.0 / self.link.rate);
            if !lost {
                arrival = Some(self.busy + self.link.delay - self.begin);
            }
        }
        let (target, at) = (self.estimator.target_bitrate(), self.elapsed());
        self.log.push((at, target, standing));
        if arrival.is_some() {
            self.through.push((at, size));
        }
        self.flying.push_back(PacketReport {
            ssrc,
            id: self.ids,
            rtp_sequence_number: self.ids as u16,
            is_twcc: ssrc == PICTURE,
            twcc_sequence_number: self.ids as u16,
            size,
            arrived: arrival.is_some() && ssrc == PICTURE,
            departure: self.now,
            arrival: arrival.filter(|_| ssrc == PICTURE),
            ecn: Ecn::default(),
        });
        self.ids += 1;
    }

    /// Reports what had arrived when the receiver wrote them.
    pub(super) fn feedback(&mut self) {
        let written = self.elapsed().saturating_sub(self.link.delay);
        let known = self
            .flying
            .iter()
            .rposition(|p| p.arrival.is_some_and(|a| a <= written));
        if let Some(last) = known {
            let mut reports: Vec<_> = self.flying.drain(..=last).collect();
            // Another clock, of 24 bits of 64 ms.
            let period = Duration::from_millis(64 << 24).as_nanos();
            for arrival in reports.iter_mut().filter_map(|r| r.arrival.as_mut()) {
                let shown = (*arrival + self.clock).as_nanos() % period;
                *arrival = Duration::from_nanos(shown as u64);
            }
            self.estimator.on_reports(self.now, &reports);
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            if self.now >= self.next_frame {
                self.next_frame += FRAME;
                self.frame();
            }
            if self.untold > 0.0 && self.now >= self.next_sound {
                self.next_sound += SOUND_EVERY;
                let bytes = self.untold / 8.0 * SOUND_EVERY.as_secs_f64();
                self.packet(SOUND, bytes as usize);
            }
            if self.now >= self.next_feedback {
                self.next_feedback += Duration::from_millis(60);
                self.feedback();
            }
            self.now += STEP;
        }
    }

    /// Queues met since `from`, in order of length.
    pub(super) fn queues(&self, from: Duration) -> Vec<Duration> {
        let mut queues: Vec<_> = self
            .log
            .iter()
            .filter(|(at, ..)| *at >= from)
            .map(|(.., q)| *q)
            .collect();
        queues.sort();
        queues
    }

    /// Mean rate that came through between two times, in bit/s.
    pub(super) fn through(&self, from: u64, to: u64) -> f64 {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let bytes: usize = self
            .through
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .map(|(_, size)| size)
            .sum();
        bytes as f64 * 8.0 / (to - from).as_secs_f64()
    }
}
