//! How often one connection may send, and a count of what went over that.

use std::time::Instant;

use super::Limits;
use crate::bucket::{Bucket, Rate};

/// What to do with a sender that is over the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Drop this frame.
    Drop,
    /// It goes on and on: close the connection.
    Close,
}

#[derive(Debug)]
pub(super) struct Limiter {
    bucket: Bucket,
    refused: u32,
    abuse: u32,
}

impl Limiter {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let rate = Rate {
            burst: limits.burst.into(),
            per_second: limits.per_second.into(),
        };
        Self {
            bucket: Bucket::full(rate, now),
            refused: 0,
            abuse: limits.abuse,
        }
    }

    /// Whether `cost` can be paid.
    pub(super) fn has(&mut self, cost: u32, now: Instant) -> bool {
        let has = self.bucket.has(cost.into(), now);
        if self.bucket.level() >= 1.0 {
            self.refused = 0;
        }
        has
    }

    /// Takes `cost` tokens, or says what to do about their lack.
    pub(super) fn spend(&mut self, cost: u32, now: Instant) -> Result<(), Refusal> {
        if self.has(cost, now) && self.bucket.take(cost.into(), now) {
            return Ok(());
        }
        self.refused += 1;
        Err(if self.refused >= self.abuse {
            Refusal::Close
        } else {
            Refusal::Drop
        })
    }

    /// Gives back what somebody else has paid.
    pub(super) fn refund(&mut self, cost: u32) {
        self.bucket.put_back(cost.into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_then_the_close() {
        let limits = Limits {
            burst: 10,
            per_second: 2,
            abuse: 3,
            ..Limits::default()
        };
        let start = Instant::now();
        let mut limiter = Limiter::new(&limits, start);
        for _ in 0..10 {
            assert_eq!(limiter.spend(1, start), Ok(()));
        }
        assert_eq!(limiter.spend(1, start), Err(Refusal::Drop));
        assert_eq!(limiter.spend(1, start + Duration::from_secs(1)), Ok(()));
        assert_eq!(
            limiter.spend(5, start + Duration::from_secs(1)),
            Err(Refusal::Drop)
        );
        assert_eq!(
            limiter.spend(5, start + Duration::from_secs(1)),
            Err(Refusal::Close)
        );
    }

    #[test]
    fn a_calm_pause_forgives() {
        let limits = Limits {
            burst: 1,
            per_second: 1,
            abuse: 2,
            ..Limits::default()
        };
        let mut now = Instant::now();
        let mut limiter = Limiter::new(&limits, now);
        for _ in 0..5 {
            assert_eq!(limiter.spend(1, now), Ok(()));
            assert_eq!(limiter.spend(1, now), Err(Refusal::Drop));
            now += Duration::from_secs(2);
        }
    }

    #[test]
    fn a_clock_that_stands_or_steps_back_earns_nothing() {
        let limits = Limits {
            burst: 1,
            ..Limits::default()
        };
        let now = Instant::now() + Duration::from_secs(10);
        let mut limiter = Limiter::new(&limits, now);
        assert_eq!(limiter.spend(1, now), Ok(()));
        assert_eq!(
            limiter.spend(1, now - Duration::from_secs(5)),
            Err(Refusal::Drop)
        );
        assert_eq!(limiter.spend(1, now), Err(Refusal::Drop));
    }
}
