//! The delay of an empty path: the least that was seen lately. Pure.

use std::time::{Duration, Instant};

/// It is the least of so long, and of once more.
const BASE_EPOCH: Duration = Duration::from_secs(10);

/// The least of the last ten to twenty seconds.
#[derive(Debug, Default)]
pub(super) struct Least {
    since: Option<Instant>,
    before: Option<f64>,
    present: Option<f64>,
}

impl Least {
    pub(super) fn add(&mut self, value: f64, now: Instant) {
        match self.since {
            Some(since) if now.saturating_duration_since(since) < BASE_EPOCH => {}
            _ => {
                self.since = Some(now);
                self.before = self.present.take();
            }
        }
        self.present = Some(self.present.map_or(value, |least| least.min(value)));
    }

    pub(super) fn get(&self) -> Option<f64> {
        match (self.before, self.present) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
