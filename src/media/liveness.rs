//! When something last gave a sign of life, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of the last beat.
#[derive(Debug)]
pub(super) struct Liveness {
    epoch: Instant,
    /// Microseconds after `epoch`, plus one; 0 before the first beat.
    last: AtomicU64,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Liveness {
    /// It lives. True for the first beat.
    pub(super) fn beat(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.epoch).as_micros();
        let since = u64::try_from(since).unwrap_or(u64::MAX - 1) + 1;
        self.last.swap(since, Ordering::Relaxed) == 0
    }

    /// The last beat, if there was one.
    pub(super) fn last(&self) -> Option<Instant> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            since => Some(self.epoch + Duration::from_micros(since - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_beat_is_remembered_and_the_first_one_known() {
        let pulse = Liveness::default();
        assert_eq!(pulse.last(), None);
        let first = Instant::now();
        assert!(pulse.beat(first));
        let later = first + Duration::from_millis(40);
        assert!(!pulse.beat(later));
        let last = pulse.last().expect("it beat");
        assert!(
            later - last < Duration::from_micros(2),
            "to the microsecond"
        );
    }
}
