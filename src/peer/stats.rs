//! What one viewer was sent, counted where it happens, and what they are told of
//! it: for the log, and for a page that asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::messages::Stats;
use super::path::known::Path;
use super::quality::Seat;
use super::stages::Begins;

/// The log has a line of each viewer this often.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Counters {
    begins: Option<Begins>,
    bytes: AtomicU64,
    pictures: AtomicU64,
    left_out: AtomicU64,
    repairs: AtomicU64,
}

/// Counts of one viewer. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Counters>);

impl Tally {
    /// Of a call that begins.
    pub(super) fn of(begins: Begins) -> Self {
        Self(Arc::new(Counters {
            begins: Some(begins),
            ..Counters::default()
        }))
    }

    /// A packet of the first picture goes to the network; whether it is its last.
    /// True while more are to be told.
    pub(super) fn first_picture(&self, is_last: bool, now: Instant) -> bool {
        let begins = self.0.begins.as_ref();
        begins.is_some_and(|begins| begins.packet(is_last, now))
    }

    /// A packet of so many bytes goes to the network.
    pub(super) fn packet(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A picture is on its way.
    pub(super) fn picture(&self) {
        self.0.pictures.fetch_add(1, Ordering::Relaxed);
    }

    /// So many pictures were left out for them.
    pub(super) fn left_out(&self, pictures: u64) {
        self.0.left_out.fetch_add(pictures, Ordering::Relaxed);
    }

    /// A packet is sent again.
    pub(super) fn repair(&self) {
        self.0.repairs.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            bytes: read(&self.0.bytes),
            pictures: read(&self.0.pictures),
            left_out: read(&self.0.left_out),
            repairs: read(&self.0.repairs),
        }
    }
}

/// What was counted from the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    bytes: u64,
    pictures: u64,
    left_out: u64,
    repairs: u64,
}

/// The counts between two looks.
#[derive(Debug)]
struct Since {
    totals: Totals,
    at: Instant,
}

impl Since {
    /// Puts what was counted since the last look into `stats`.
    fn look(&mut self, totals: Totals, now: Instant, stats: &mut Stats) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        let before = std::mem::replace(&mut self.totals, totals);
        self.at = now;
        let a_second = |count: u64| match seconds > 0.0 {
            true => count as f64 / seconds,
            false => 0.0,
        };
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        stats.sent_bps = (a_second(totals.bytes.saturating_sub(before.bytes)) * 8.0) as u32;
        stats.fps = tenths(a_second(totals.pictures.saturating_sub(before.pictures)));
        stats.left_out = few(totals.left_out.saturating_sub(before.left_out));
        stats.repairs = few(totals.repairs.saturating_sub(before.repairs));
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Looks at one viewer's stream; each look is about the time since the last.
pub(super) struct Observer {
    tally: Tally,
    path: Path,
    seat: Arc<Seat>,
    since: Since,
}

impl Observer {
    pub(super) fn new(tally: Tally, path: Path, seat: Arc<Seat>, now: Instant) -> Self {
        Self {
            since: Since {
                totals: tally.read(),
                at: now,
            },
            tally,
            path,
            seat,
        }
    }

    /// The same viewer, looked at by somebody else from `now` on.
    pub(super) fn another(&self, now: Instant) -> Self {
        Self::new(
            self.tally.clone(),
            self.path.clone(),
            self.seat.clone(),
            now,
        )
    }

    /// How it went since the last look.
    pub(super) fn look(&mut self, now: Instant) -> Stats {
        let estimate = self.path.estimate();
        let assigned = *self.seat.assigned().borrow();
        let ms = |time: Duration| tenths(time.as_secs_f64() * 1e3);
        let mut stats = Stats {
            tier: assigned.encoding.tier,
            thinned: assigned.thinned,
            estimate_bps: estimate.bits_per_second,
            loss: (estimate.loss * 1e4).round() / 1e4,
            rtt_ms: estimate.round_trip.map(ms),
            queue_ms: ms(estimate.queueing),
            ..Stats::default()
        };
        self.since.look(self.tally.read(), now, &mut stats);
        stats
    }
}

/// Logs how it goes for as long as it is polled.
pub(super) async fn log(mut observer: Observer) {
    let mut ticks = interval(LOG_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Stats {
            tier,
            thinned,
            sent_bps,
            estimate_bps,
            loss,
            rtt_ms,
            queue_ms,
            fps,
            left_out,
            repairs,
        } = observer.look(Instant::now());
        debug!(
            tier,
            thinned,
            sent_bps,
            estimate_bps,
            loss,
            rtt_ms,
            queue_ms,
            fps,
            left_out,
            repairs,
            "stream"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_about_the_time_since_the_last_one() {
        let tally = Tally::default();
        let start = Instant::now();
        let mut since = Since {
            totals: tally.read(),
            at: start,
        };
        let mut look = |secs: u64| {
            let mut stats = Stats::default();
            let now = start + Duration::from_secs(secs);
            since.look(tally.read(), now, &mut stats);
            stats
        };
        for _ in 0..60 {
            tally.picture();
            tally.packet(1_000);
        }
        tally.repair();
        tally.left_out(1);
        let first = look(2);
        assert_eq!((first.sent_bps, first.fps), (240_000, 30.0));
        assert_eq!((first.repairs, first.left_out), (1, 1));
        tally.packet(500);
        let second = look(3);
        assert_eq!((second.sent_bps, second.fps), (4_000, 0.0));
        assert_eq!((second.repairs, second.left_out), (0, 0));
        // Twice at once, and a clock that steps back.
        tally.packet(500);
        assert_eq!(look(3).sent_bps, 0);
        assert_eq!(look(1), Stats::default());
    }
}
