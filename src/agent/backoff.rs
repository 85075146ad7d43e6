//! How long to wait before the chat server is tried again.

use std::time::Duration;

use crate::backoff::{doubled, spread};

/// First wait of a series.
const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(60);

/// A series of growing waits from 1 s to 60 s, each spread by ±50 % so that a
/// thousand devices do not come back in the same second.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    failures: u32,
    rng: fastrand::Rng,
}

impl Backoff {
    /// A series whose jitter follows from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The wait before the next try.
    pub(super) fn next_delay(&mut self) -> Duration {
        let wait = doubled(FIRST, self.failures, LONGEST);
        self.failures = self.failures.saturating_add(1);
        spread(wait, 0.5, self.rng.f64()).min(LONGEST)
    }

    /// Begins the series anew: the last try was a success that lasted.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_one_second_to_sixty_and_begin_anew() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            let waits: Vec<_> = (0..12).map(|_| backoff.next_delay()).collect();
            assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST * 3 / 2);
            assert!(waits[9..].iter().all(|w| *w >= LONGEST / 2));
            assert!(waits.iter().all(|w| *w <= LONGEST));
            backoff.reset();
            assert!(backoff.next_delay() <= FIRST * 3 / 2);
        }
    }

    #[test]
    fn two_devices_do_not_wait_alike() {
        let (mut a, mut b) = (Backoff::new(1), Backoff::new(2));
        assert!((0..4).any(|_| a.next_delay() != b.next_delay()));
    }
}
