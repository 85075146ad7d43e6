//! What a viewer's path carries, from their transport-cc feedback.
//!
//! The crate's [`Gcc`] under rules of ours:
//!
//! * **Start**: until the path shows a first sign of being full the estimate
//!   doubles with what arrives; GCC's own 8 % a second would take ten.
//! * **Growth** is held at half as much again as what arrives. GCC alone takes
//!   silence for room: a still picture would let it grow without end.
//! * **Queue**: delay that stands in the path is drained. GCC sees only
//!   whether it grows, and late: at its first sign a little less is sent.
//! * **Loss** that stays when less is sent is no reason to send less; see
//!   `blame`. GCC alone would go down to nothing.
//! * **Too much** is a reason to send less than what arrives, but not by much:
//!   that came through. GCC goes down with each report of loss, and a queue that
//!   overflows takes a second to drain.
//! * **Idle**: a path that is sent far less than it carries, and has no queue,
//!   is not too full. GCC takes any jitter for a sign of that, and what arrives
//!   for all there is.
//! * **Another path**: where addresses changed, what was lost in between is no
//!   sign either; nor is it where a path let nothing through, see `outage`.
//! * **Untold**: packets of a stream that the viewer reports nothing of are
//!   neither lost nor received, and take their share of the path; see `told`.
//!
//! What was never sent was never proved. Where a viewer is due for more, a
//! [`Probe`] fills what their stream leaves with [repairs that they do not
//! need](crate::peer::interceptor::repair), for a moment: what arrives of it they can be sent.
//!
//! Without transport-cc, REMB is taken as it comes.

mod blame;
mod least;
mod outage;
mod their_clock;
mod told;
mod tried;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc::interceptor::{BandwidthEstimator, Gcc, PacketReport};
use tracing::debug;

use super::known::{Bounds, Estimate, FULL, Path, Probe};
use blame::{Blame, Ruling};
use least::Least;
use outage::Outages;
use their_clock::TheirClock;
use told::{Sorted, Told};
use tried::Tried;

/// What arrives is counted over so long.
const WINDOW: Duration = Duration::from_secs(1);
/// A window this short says nothing yet.
const SHORTEST: Duration = Duration::from_millis(250);
/// A queue this long is a sign that more comes than the path carries. It is heeded before
/// the sound waits so long that the receiver has a longer buffer of it.
const SIGN: f64 = 0.030;
/// A shorter one is none; there is no growth with a longer one.
const SHORT: f64 = 0.015;
/// Kept of what arrives at the first sign.
const KEPT: f64 = 0.95;
/// But no less of what was estimated: of what an encoder makes too little, or jitter
/// is taken for a queue.
const KEPT_AT_LEAST: f64 = 0.9;
/// A path that has shown no limit for so long has none any more.
const LIMITED: Duration = Duration::from_secs(30);
/// Growth, of the estimate a second: somewhat more than GCC's. What it gained while growth
/// was held back is not taken over at once.
const GROWTH: f64 = 1.1;
/// From one step down to the next sign that is heeded: jitter gives them all the time,
/// and in so long the estimate grows by more than a step takes.
const UNHEEDED: Duration = Duration::from_secs(2);
/// A queue this long is drained.
const STANDING: f64 = 0.080;
/// The path is given so long, or a round trip, to show what a change did.
const PATIENCE: Duration = Duration::from_millis(250);
/// Drains in a row that did not help: the path itself has become longer.
const VAIN: u32 = 4;
/// So long without a step down, and what was the limit is history.
const CALM: Duration = Duration::from_secs(5);
/// Packets lost of those reported that end the start.
const LOSSY: f64 = 0.10;
/// A stream that needs less than this share of the path leaves it idle.
const IDLE: f64 = 0.6;
/// Kept of what arrives when there is too much.
const BACK: f64 = 0.85;

/// A queue this long, in seconds, ends a probe.
const PROBE_FULL: f64 = 0.030;
/// Kept of what a probe proved.
const PROVED: f64 = 0.95;

/// One viewer's estimator, driven by the crate's interceptor.
pub(in crate::peer) struct Estimator {
    gcc: Gcc,
    bounds: Bounds,
    path: Path,
    target: f64,
    starting: bool,
    epoch: Option<Instant>,
    clock: TheirClock,
    told: Told,
    outages: Outages,
    /// Since when it is counted what arrives.
    counting: Option<Instant>,
    arrived: VecDeque<(Instant, usize)>,
    bytes: usize,
    /// One-way delay in seconds, from our clock to the receiver's.
    delay: Least,
    last_delay: Option<f64>,
    round_trip: Least,
    loss: f64,
    blame: Blame,
    changed: Option<Instant>,
    /// The last step down.
    fell: Option<Instant>,
    vain: u32,
    /// There was no queue since the last sign of one.
    was_short: bool,
    /// More than the stream is tried: what it does to the queue is no sign.
    probing: bool,
    /// When it last showed a limit.
    limited: Option<Instant>,
    /// When it was last decided.
    decided: Option<Instant>,
    /// The last sign of one that was heeded.
    shown: Option<Instant>,
    tried: Option<Tried>,
}

impl Estimator {
    pub(crate) fn new(bounds: Bounds, path: Path) -> Self {
        let start = path.estimate().bits_per_second;
        let mut this = Self {
            gcc: Gcc::default(),
            bounds,
            path,
            target: 0.0,
            starting: true,
            epoch: None,
            clock: TheirClock::default(),
            told: Told::default(),
            outages: Outages::default(),
            counting: None,
            arrived: VecDeque::new(),
            bytes: 0,
            delay: Least::default(),
            last_delay: None,
            round_trip: Least::default(),
            loss: 0.0,
            blame: Blame::new(f64::from(start)),
            changed: None,
            fell: None,
            vain: 0,
            was_short: true,
            probing: false,
            limited: None,
            decided: None,
            shown: None,
            tried: None,
        };
        this.set(f64::from(start));
        this
    }

    /// What is reported from the first packet on that came over the path that
    /// there is since `moved`; with it the estimate goes on from where it was.
    fn first_through<'r>(
        &mut self,
        reports: &'r [PacketReport],
        moved: Instant,
    ) -> Option<&'r [PacketReport]> {
        let came = |r: &PacketReport| r.arrived && r.departure > moved;
        let first = reports.iter().position(came)?;
        self.path.lock().moved = None;
        self.go_on();
        self.delay = Least::default();
        self.loss = 0.0;
        self.blame = Blame::new(self.target);
        Some(&reports[first..])
    }

    /// Goes on from where the estimate was, without what arrived before.
    fn go_on(&mut self) {
        self.set(self.target);
        self.counting = None;
        self.arrived.clear();
        self.bytes = 0;
    }

    /// Has GCC go on from `target`; what it had learned is dropped.
    fn set(&mut self, target: f64) {
        let (min, max) = (f64::from(self.bounds.min), f64::from(self.bounds.max));
        self.target = target.clamp(min, max);
        self.gcc = Gcc::new(self.target, min, max);
    }

    fn count(&mut self, now: Instant, bytes: usize) {
        self.counting.get_or_insert(now);
        self.arrived.push_back((now, bytes));
        self.bytes += bytes;
        while let Some((at, bytes)) = self.arrived.front().copied() {
            if now.saturating_duration_since(at) <= WINDOW {
                break;
            }
            self.arrived.pop_front();
            self.bytes -= bytes;
        }
    }

    /// What arrives, in bit/s, once there is enough of it.
    fn arriving(&self, now: Instant) -> Option<f64> {
        let counted = now.saturating_duration_since(self.counting?);
        let window = counted.min(WINDOW);
        (window >= SHORTEST).then(|| self.bytes as f64 * 8.0 / window.as_secs_f64())
    }

    /// The queue that even the luckiest of these packets met, in seconds.
    fn queueing(&mut self, now: Instant, reports: &[PacketReport]) -> Option<f64> {
        let epoch = *self.epoch.get_or_insert(now);
        let mut least: Option<f64> = None;
        for report in reports {
            let Some(arrival) = report.arrival else {
                continue;
            };
            let departure = report.departure.saturating_duration_since(epoch);
            let early = epoch.saturating_duration_since(report.departure);
            let delay = arrival.as_secs_f64() - departure.as_secs_f64() + early.as_secs_f64();
            // Their clock was set.
            if self.last_delay.is_some_and(|d| (delay - d).abs() > 60.0) {
                self.delay = Least::default();
                least = None;
            }
            self.last_delay = Some(delay);
            self.delay.add(delay, now);
            least = Some(least.map_or(delay, |l| l.min(delay)));
        }
        Some((least? - self.delay.get()?).max(0.0))
    }

    fn patient(&self, now: Instant) -> bool {
        let round_trip = self.round_trip.get().map_or(Duration::ZERO, |s| {
            Duration::try_from_secs_f64(s).unwrap_or_default()
        });
        self.changed
            .is_none_or(|at| now.saturating_duration_since(at) >= PATIENCE.max(round_trip))
    }

    /// The queue grows out of what was none.
    fn is_sign(&mut self, now: Instant, queueing: f64, arriving: f64) -> bool {
        if queueing < SHORT {
            self.was_short = true;
        }
        let unheeded = |at: Instant| now.saturating_duration_since(at) < UNHEEDED;
        queueing > SIGN
            && self.was_short
            && !self.probing
            && arriving >= self.target * IDLE
            && !self.shown.is_some_and(unheeded)
    }

    fn step_down(&mut self, now: Instant, arriving: f64) {
        self.set((arriving * BACK).min(self.target));
        self.starting = false;
        (self.changed, self.fell, self.limited) = (Some(now), Some(now), Some(now));
    }

    /// Follows the probe that is on. It ends with the first sign of a limit, and
    /// then it has proved nothing; else what arrived of it is what is carried.
    fn follow(
        &mut self,
        probe: Option<Probe>,
        reports: &[PacketReport],
        untold: &[PacketReport],
        queueing: f64,
    ) {
        let Some(probe) = probe else {
            self.tried = None;
            return;
        };
        let known = self.tried.take().filter(|tried| tried.probe == probe);
        let mut tried = known.unwrap_or_else(|| Tried::new(probe));
        tried.count(reports, untold);
        let failed = queueing > PROBE_FULL || self.loss > LOSSY;
        if failed {
            // GCC saw the same, and it says nothing of the stream alone.
            self.was_short = false;
            self.set(self.target);
        }
        let over = |report: &PacketReport| {
            report.departure >= probe.began && !probe.is_on(report.departure)
        };
        if !failed && !reports.iter().any(over) {
            self.tried = Some(tried);
            return;
        }
        self.path.lock().probe = None;
        let proved = tried.arrived().filter(|_| !failed);
        debug!(tried = probe.bits_per_second, ?proved, queueing, "probed");
        if let Some(proved) = proved
            && proved * PROVED > self.target
        {
            self.set(proved * PROVED);
        }
    }

    fn decide(&mut self, now: Instant, queueing: f64, lost: f64) {
        let before = self.target;
        let estimated = self.gcc.target_bitrate();
        let Some(arriving) = self.arriving(now) else {
            return;
        };
        let last = self.decided.replace(now).unwrap_or(now);
        let since = now.saturating_duration_since(last);
        if self.starting {
            if queueing > FULL || lost > LOSSY {
                self.step_down(now, arriving);
            } else if self.patient(now) && arriving * 2.0 > before {
                self.set(arriving * 2.0);
                self.changed = Some(now);
            }
            return;
        }
        if queueing > STANDING {
            self.was_short = false;
            if self.patient(now) {
                self.vain += 1;
                if self.vain > VAIN {
                    self.delay = Least::default();
                    self.vain = 0;
                } else {
                    self.step_down(now, arriving);
                }
            }
            return;
        }
        if queueing < FULL {
            self.vain = 0;
        }
        if self.is_sign(now, queueing, arriving) {
            self.set((arriving * KEPT).clamp(before * KEPT_AT_LEAST, before));
            self.was_short = false;
            (self.fell, self.shown, self.limited) = (Some(now), Some(now), Some(now));
            return;
        }
        if estimated < before {
            if self.probing {
                // More than the stream is tried, for a moment.
                return;
            }
            if arriving < before * IDLE && queueing < FULL && lost < LOSSY {
                self.set(before);
                return;
            }
            self.fell = Some(now);
            match (arriving * BACK).min(before) {
                least if estimated < least => self.set(least),
                _ => self.target = estimated,
            }
            return;
        }
        let growth = match queueing > SHORT {
            true => 1.0,
            false => GROWTH.powf(since.as_secs_f64()),
        };
        self.target = estimated
            .min(before.max(arriving * 1.5))
            .min(before * growth);
        let calm = self
            .fell
            .is_some_and(|at| now.saturating_duration_since(at) > CALM);
        if calm {
            // What GCC takes for the ceiling was one; it may be none now.
            self.set(self.target);
            self.fell = None;
        }
    }

    /// Lets all who have to know read what is estimated.
    fn tell(&self, now: Instant, queueing: f64) {
        let mut known = self.path.lock();
        known.heard = Some(now);
        let lately = |at: Instant| now.saturating_duration_since(at) < LIMITED;
        known.narrow = self.limited.is_some_and(lately) && self.target < f64::from(self.bounds.max);
        known.estimate = Estimate {
            bits_per_second: self.target as u32,
            arriving: self.arriving(now).unwrap_or_default() as u32,
            loss: self.loss,
            round_trip: self
                .round_trip
                .get()
                .and_then(|s| Duration::try_from_secs_f64(s).ok()),
            queueing: Duration::try_from_secs_f64(queueing).unwrap_or_default(),
            open: self.starting,
            can_probe: known.estimate.can_probe,
        };
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        let Sorted { told, untold } = self.told.sort(reports);
        if told.is_empty() {
            return;
        }
        let reports = self.clock.unwrap(&told);
        let reports = &*reports;
        let (restart, probe, moved) = {
            let mut known = self.path.lock();
            (known.restart.take(), known.probe, known.moved)
        };
        let reports = match moved {
            None => reports,
            Some(moved) => match self.first_through(reports, moved) {
                Some(reports) => reports,
                None => return,
            },
        };
        let reports = match self.outages.first_through(reports) {
            None => reports,
            Some(reports) => {
                self.go_on();
                reports
            }
        };
        self.probing = probe.is_some();
        if let Some(bits_per_second) = restart {
            self.set(f64::from(bits_per_second));
        }
        let queueing = self.queueing(now, reports).unwrap_or_default();
        let arrived = reports.iter().filter(|r| r.arrived);
        let on_the_path = arrived.clone().chain(&untold);
        self.count(now, on_the_path.map(|r| r.size).sum());
        if let Some(newest) = arrived.map(|r| r.departure).max() {
            let age = now.saturating_duration_since(newest);
            self.round_trip.add(age.as_secs_f64(), now);
        }
        let lost = reports.iter().filter(|r| !r.arrived).count() as f64 / reports.len() as f64;
        // Over a second or so: a few lost in a row are no sign.
        let weight = (reports.len() as f64 / 150.0).min(1.0);
        self.loss += (lost - self.loss) * weight;

        let missing = reports.iter().filter(|r| !r.arrived).count();
        let verdict = self.blame.judge(missing, reports.len(), self.target, now);
        if let Ruling::Restore(rate) = verdict
            && queueing < FULL
        {
            self.set(rate.max(self.target));
            self.changed = Some(now);
        }
        match verdict {
            Ruling::Count => {
                self.gcc.on_reports(now, reports);
                self.decide(now, queueing, self.loss);
            }
            // The queue alone decides.
            Ruling::Hold => self.decide(now, queueing, 0.0),
            Ruling::Ignore | Ruling::Restore(_) => {
                let arrived: Vec<_> = reports.iter().filter(|r| r.arrived).cloned().collect();
                self.gcc.on_reports(now, &arrived);
                self.decide(now, queueing, 0.0);
            }
        }
        self.follow(probe, reports, &untold, queueing);

        self.tell(now, queueing);
    }

    fn target_bitrate(&self) -> f64 {
        self.target
    }
}

#[cfg(test)]
mod tests;
