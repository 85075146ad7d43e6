//! How far a sound card's crystal runs from this machine's clock, and when its
//! samples were captured on that clock.
//!
//! Pure: the stamps that the source put on its buffers and the counts of their
//! frames go in.
//!
//! The RTP time of sound counts its samples, for a receiver takes each tick
//! that is missing for lost sound and makes some up. So the samples get a time
//! line of their own, by count, and [`Drift`] knows how it lies on the clock:
//! sender reports and capture times follow the clock, and with them the
//! receiver's lip-sync, while the sound stays whole. Only where samples were
//! lost does their time line skip.
//!
//! A source stamps a buffer when it gets around to it: late by as much as the
//! machine is busy, but never early. The lowest difference of each second is
//! kept, and a line laid through them.

use std::collections::VecDeque;
use std::time::Duration;

/// The lowest difference of so much time is one point of the line.
const WINDOW: f64 = 1.0;
/// Points that the line is laid through: with more it would follow the
/// crystal's temperature too slowly.
const POINTS: usize = 120;
/// A line needs so many.
const FEWEST: usize = 4;
/// A point that is so far from the line, in seconds, does not belong to it.
const STRAY: f64 = 0.003;
/// So many of them in a row begin a new line: late ones, and early ones.
const NEW_LINE: (usize, usize) = (6, 2);
/// Samples were lost where every buffer is late by so much, in seconds.
const GAP: f64 = 0.020;
/// How long every buffer has to be late for that, in seconds.
const GAP_TIME: f64 = 0.5;
/// The pace is known after so many points.
const KNOWN: usize = 20;
/// It is told again when it has changed by so many parts in a million.
const MATERIAL: f64 = 15.0;

/// Where a point is on the samples' time line, and how much later on the
/// clock, in seconds.
type Point = (f64, f64);

/// `later = base + slope · (at - origin)`.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    origin: f64,
    base: f64,
    slope: f64,
}

impl Line {
    fn at(&self, at: f64) -> f64 {
        self.base + self.slope * (at - self.origin)
    }

    /// Least squares; level where the points are too few for a slope.
    fn through<'a>(points: impl Iterator<Item = &'a Point> + Clone) -> Option<Self> {
        let count = points.clone().count();
        let mean = |of: fn(&Point) -> f64| points.clone().map(of).sum::<f64>() / count as f64;
        let (origin, base) = match count {
            0 => return None,
            _ => (mean(|p| p.0), mean(|p| p.1)),
        };
        let (mut with, mut square) = (0.0, 0.0);
        for (at, later) in points.clone() {
            with += (at - origin) * (later - base);
            square += (at - origin).powi(2);
        }
        let level = count < FEWEST || square == 0.0;
        Some(Self {
            origin,
            base,
            slope: if level { 0.0 } else { with / square },
        })
    }
}

/// The samples of a microphone, over all its runs.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// Where the time line began, on the clock.
    start: Option<Duration>,
    /// Frames so far, at `rate`, after `skipped`.
    frames: u64,
    rate: u32,
    /// What of the time line is no sample of the present count.
    skipped: Duration,
    points: VecDeque<Point>,
    /// The present window: where it began, and its lowest difference.
    window: Option<(f64, Point)>,
    line: Option<Line>,
    /// Points in a row that are not of the line.
    strays: Vec<Point>,
    /// Since where every buffer is late, and the least lateness.
    late: Option<(f64, f64)>,
    told: Option<f64>,
    /// The microphone was started anew; no buffer of this run came yet.
    anew: bool,
    run: u64,
}

fn seconds(frames: u64, rate: u32) -> Duration {
    let nanos = u128::from(frames) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Drift {
    /// The microphone is started anew. Its time line goes on: it never steps
    /// back, and skips what was not recorded in between. A fast card's is ahead of the
    /// clock by then, by 2.9 s after 8 hours at 100 ppm; begun anew it would
    /// step back by as much, which receivers take for old sound and drop.
    ///
    /// Whether it is the `same` card: another one has a pace of its own. Returns
    /// the [`run`](Self::run).
    pub(crate) fn resume(&mut self, same: bool) -> u64 {
        self.run += 1;
        self.anew = self.start.is_some();
        self.window = None;
        self.late = None;
        self.strays.clear();
        if !same {
            self.points.clear();
            self.told = None;
            if let Some(line) = &mut self.line {
                let end = self.skipped + seconds(self.frames, self.rate);
                *line = Line {
                    origin: end.as_secs_f64(),
                    base: line.at(end.as_secs_f64()),
                    slope: 0.0,
                };
            }
        }
        self.run
    }

    /// Which run of the microphone this is: buffers of one before, which may
    /// still be on their way, are not to be taken.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// A buffer of so many frames at `rate` Hz, which its source stamped so.
    /// Where it is on the samples' time line.
    pub(crate) fn take(&mut self, stamp: Duration, frames: u64, rate: u32) -> Duration {
        let start = *self.start.get_or_insert(stamp);
        if rate != self.rate {
            self.skipped += seconds(self.frames, self.rate);
            (self.frames, self.rate) = (0, rate);
        }
        let count = |this: &Self| this.skipped + seconds(this.frames, this.rate);
        if std::mem::take(&mut self.anew) {
            // What is next on the time line is captured now; the card did not
            // run in between.
            let due = self.captured(start + count(self));
            let skip = stamp.saturating_sub(due);
            self.skipped += skip;
            for (at, _) in &mut self.points {
                *at += skip.as_secs_f64();
            }
            if let Some(line) = &mut self.line {
                line.origin += skip.as_secs_f64();
            }
        }
        let at = count(self).as_secs_f64();
        let later = stamp.as_secs_f64() - start.as_secs_f64() - at;
        if let Some(lost) = self.lost(at, later) {
            // With the skip the line goes on as it was.
            self.skipped += lost;
            self.late = None;
            self.window = None;
            self.strays.clear();
        } else {
            self.look(at, later);
        }
        let place = start + count(self);
        self.frames += frames;
        place
    }

    /// When what is at `place` of the time line was captured, on the clock.
    pub(crate) fn captured(&self, place: Duration) -> Duration {
        let start = self.start.unwrap_or_default();
        let at = place.as_secs_f64() - start.as_secs_f64();
        let later = match (&self.line, &self.window) {
            (Some(line), _) => line.at(at),
            (None, Some((_, (_, later)))) => *later,
            (None, None) => 0.0,
        };
        match Duration::try_from_secs_f64(later.abs()) {
            Ok(by) if later < 0.0 => place.saturating_sub(by),
            Ok(by) => place + by,
            Err(_) => place,
        }
    }

    /// How fast the crystal runs, in parts in a million of this machine's
    /// clock; `None` while that is not known.
    pub(crate) fn ppm(&self) -> Option<f64> {
        let line = self.line.filter(|_| self.points.len() >= KNOWN)?;
        Some((1.0 / (1.0 + line.slope) - 1.0) * 1e6)
    }

    /// [`ppm`](Self::ppm), where it is new or has changed.
    pub(crate) fn news(&mut self) -> Option<f64> {
        let ppm = self.ppm()?;
        if self.told.is_some_and(|told| (ppm - told).abs() < MATERIAL) {
            return None;
        }
        self.told = Some(ppm);
        Some(ppm)
    }

    /// How much time was lost, once every buffer has been late by more than
    /// `GAP` for long enough.
    fn lost(&mut self, at: f64, later: f64) -> Option<Duration> {
        let line = self.line?;
        let lateness = later - line.at(at);
        if lateness < GAP {
            self.late = None;
            return None;
        }
        let (since, least) = self.late.unwrap_or((at, lateness));
        let least = least.min(lateness);
        self.late = Some((since, least));
        if at - since < GAP_TIME {
            return None;
        }
        Duration::try_from_secs_f64(least).ok()
    }

    fn look(&mut self, at: f64, later: f64) {
        match &mut self.window {
            None => self.window = Some((at, (at, later))),
            Some((began, lowest)) => {
                if later < lowest.1 {
                    *lowest = (at, later);
                }
                if at - *began >= WINDOW {
                    let point = *lowest;
                    self.window = None;
                    self.add(point);
                }
            }
        }
    }

    fn add(&mut self, point: Point) {
        let off = self.line.map_or(0.0, |line| point.1 - line.at(point.0));
        if off.abs() > STRAY && self.points.len() >= FEWEST {
            let line = self.line.unwrap_or_default();
            self.strays.retain(|p| (p.1 - line.at(p.0)) * off > 0.0);
            self.strays.push(point);
            let needed = if off > 0.0 { NEW_LINE.0 } else { NEW_LINE.1 };
            if self.strays.len() < needed {
                return;
            }
            self.points = self.strays.drain(..).collect();
        } else {
            self.strays.clear();
            self.points.push_back(point);
            if self.points.len() > POINTS {
                self.points.pop_front();
            }
        }
        self.line = self.fit();
    }

    /// A line through the points, and another one without those far above it.
    fn fit(&self) -> Option<Line> {
        let first = Line::through(self.points.iter())?;
        let near = |p: &&Point| p.1 - first.at(p.0) < STRAY / 2.0;
        Line::through(self.points.iter().filter(near)).or(Some(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;
    /// Frames of a buffer, 10 ms.
    const BUFFER: u64 = 480;

    /// A microphone on a machine that is busy now and then.
    struct Microphone {
        drift: Drift,
        random: fastrand::Rng,
        /// Frames captured so far.
        captured: u64,
        /// When the next frame is captured, in seconds.
        time: f64,
        /// Until when the machine is busy.
        busy: f64,
        last: Option<Duration>,
        skips: Vec<Duration>,
    }

    impl Microphone {
        fn new() -> Self {
            Self {
                drift: Drift::default(),
                random: fastrand::Rng::with_seed(5),
                captured: 0,
                // The device has run for a while.
                time: 1_000.0,
                busy: 0.0,
                last: None,
                skips: Vec::new(),
            }
        }

        /// A buffer; how far its capture time is from the truth, in seconds.
        fn buffer(&mut self, ppm: f64) -> f64 {
            let truth = self.time;
            let length = BUFFER as f64 / (f64::from(RATE) * (1.0 + ppm / 1e6));
            self.time += length;
            self.captured += BUFFER;
            // Now and then nothing is read for 50 ms, and then all at once.
            if self.random.f64() < 0.002 {
                self.busy = self.time + 0.05;
            }
            let late = -self.random.f64().ln() * 0.000_8;
            let read = self.time.max(self.busy) + late.min(0.02);
            let stamp = Duration::from_secs_f64(read - 0.01);
            let place = self.drift.take(stamp, BUFFER, RATE);
            if let Some(last) = self.last.replace(place) {
                let step = (place - last).as_secs_f64();
                if (step - 0.01).abs() > 1e-6 {
                    self.skips.push(place - last);
                }
            }
            self.drift.captured(place).as_secs_f64() - truth
        }

        fn lose(&mut self, seconds: f64) {
            self.time += seconds;
        }

        /// Records for so long; the largest error.
        fn record(&mut self, seconds: f64, ppm: f64) -> f64 {
            let end = self.time + seconds;
            let mut worst = 0.0_f64;
            while self.time < end {
                worst = worst.max(self.buffer(ppm).abs());
            }
            worst
        }
    }

    #[test]
    fn capture_times_follow_the_clock_for_hours_and_no_sample_is_skipped() {
        for ppm in [-1_000.0, -300.0, -20.0, 0.0, 80.0, 300.0, 1_000.0] {
            let mut microphone = Microphone::new();
            microphone.record(10.0, ppm);
            let worst = microphone.record(2.0 * 3_600.0, ppm);
            assert!(worst < 0.002, "{ppm} ppm: {worst} s off");
            let measured = microphone.drift.ppm().expect("it is known by now");
            assert!((measured - ppm).abs() < 3.0, "{ppm} ppm: {measured}");
            assert!(microphone.skips.is_empty(), "{:?}", microphone.skips);
        }
    }

    #[test]
    fn at_the_start_it_is_near_enough_for_the_eye() {
        for ppm in [-300.0, 0.0, 300.0] {
            let mut microphone = Microphone::new();
            microphone.buffer(ppm);
            let worst = microphone.record(60.0, ppm);
            assert!(worst < 0.02, "{ppm} ppm: {worst} s off");
        }
    }

    #[test]
    fn a_crystal_that_warms_up_is_followed() {
        let mut microphone = Microphone::new();
        microphone.record(60.0, 50.0);
        for step in 0..180 {
            let worst = microphone.record(10.0, 50.0 + f64::from(step) / 4.0);
            assert!(worst < 0.003, "{worst} s off");
        }
        assert!(microphone.skips.is_empty());
    }

    #[test]
    fn where_samples_were_lost_their_time_line_skips_once_by_as_much() {
        for ppm in [-200.0, 200.0] {
            let mut microphone = Microphone::new();
            microphone.record(30.0, ppm);
            microphone.lose(0.12);
            microphone.record(1.0, ppm);
            let [skip] = microphone.skips[..] else {
                panic!("{:?}", microphone.skips)
            };
            let skip = skip.as_secs_f64() - 0.01;
            assert!((skip - 0.12).abs() < 0.003, "{skip} s");
            let worst = microphone.record(600.0, ppm);
            assert!(worst < 0.003, "{worst} s off");
            assert_eq!(microphone.skips.len(), 1);
        }
    }

    #[test]
    fn a_loss_too_small_for_a_skip_is_followed_all_the_same() {
        let mut microphone = Microphone::new();
        microphone.record(60.0, 100.0);
        microphone.lose(0.012);
        microphone.record(20.0, 100.0);
        let worst = microphone.record(60.0, 100.0);
        assert!(worst < 0.003, "{worst} s off");
        assert!(microphone.skips.is_empty());
    }

    #[test]
    fn the_pace_is_told_once_and_again_when_it_has_changed() {
        let mut microphone = Microphone::new();
        let mut told = Vec::new();
        for ppm in [40.0, 40.0, 140.0] {
            for _ in 0..60 {
                microphone.record(10.0, ppm);
                told.extend(microphone.drift.news());
            }
        }
        assert!((told[0] - 40.0).abs() < 10.0, "{told:?}");
        let last = told[told.len() - 1];
        assert!((last - 140.0).abs() < MATERIAL, "{told:?}");
        assert!(told.len() <= 9, "{told:?}");
    }

    #[test]
    fn a_source_that_counts_as_the_clock_does_is_left_as_it_is() {
        let mut drift = Drift::default();
        for n in 0..10_000 {
            let stamp = Duration::from_secs(7) + Duration::from_millis(10) * n;
            let place = drift.take(stamp, BUFFER, RATE);
            assert_eq!(place, stamp);
            assert!(drift.captured(place).abs_diff(stamp) < Duration::from_micros(1));
        }
        assert!(drift.ppm().expect("it is known").abs() < 0.01);
    }

    /// It stepped back by 2.9 s after 8 hours at 100 ppm, and by more later.
    #[test]
    fn a_microphone_that_is_started_anew_goes_on_and_never_steps_back() {
        for ppm in [-300.0, 100.0, 300.0] {
            for same in [true, false] {
                let mut microphone = Microphone::new();
                microphone.record(1_200.0, ppm);
                for gap in [0.0, 0.4, 5.0, 600.0] {
                    let before = microphone.last.expect("it ran");
                    microphone.skips.clear();
                    microphone.time += gap;
                    microphone.drift.resume(same);
                    microphone.buffer(ppm);
                    let step = (microphone.last.expect("it runs") - before).as_secs_f64();
                    // Its own 10 ms, and what was not recorded.
                    let off = step - 0.01 - gap;
                    assert!(
                        off > -0.011 && off < 0.06,
                        "{ppm} ppm, {gap} s: {off} s off"
                    );
                    microphone.skips.clear();
                    // Lip-sync holds from the first buffer on where the pace is
                    // known, and a line through it is not lost.
                    let worst = microphone.record(60.0, ppm);
                    assert!(worst < 0.025, "{ppm} ppm, {gap} s: {worst} s off");
                    assert!(microphone.skips.is_empty(), "{:?}", microphone.skips);
                    let worst = microphone.record(60.0, ppm);
                    assert!(worst < 0.003, "{ppm} ppm, {gap} s: {worst} s off");
                }
            }
        }
    }

    #[test]
    fn another_rate_goes_on_where_the_first_one_ended() {
        let mut drift = Drift::default();
        let start = Duration::from_secs(1);
        drift.take(start, 44_100, 44_100);
        let place = drift.take(start + Duration::from_secs(1), 480, 48_000);
        assert_eq!(place, start + Duration::from_secs(1));
    }
}
