//! A token bucket: how much may be done at once, and how much of it comes back
//! in a second. No clock; time is passed in.

use std::time::{Duration, Instant};

/// A size and a rate, in whatever is counted: frames, bytes, offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// What a full bucket holds.
    pub burst: f64,
    /// What comes back in a second.
    pub per_second: f64,
}

/// A bucket that was full at first.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            filled_at: now,
        }
    }

    /// Takes `cost`, or nothing where there is less. A clock that goes back
    /// fills nothing.
    pub(crate) fn take(&mut self, cost: f64, now: Instant) -> bool {
        self.take_but(0.0, cost, now)
    }

    /// Takes `cost` where this part of a full bucket is left behind it.
    pub(crate) fn take_but(&mut self, left: f64, cost: f64, now: Instant) -> bool {
        let enough = self.has(cost + left * self.rate.burst, now);
        if enough {
            self.tokens -= cost;
        }
        enough
    }

    /// Whether `cost` is there to be taken.
    pub(crate) fn has(&mut self, cost: f64, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= cost
    }

    /// When `cost` is there if nothing is taken before; a microsecond later, so
    /// that no rounding makes it a moment too early.
    pub(crate) fn due(&self, cost: f64) -> Instant {
        let missing = (cost - self.tokens).max(0.0);
        let wait = Duration::from_secs_f64(missing / self.rate.per_second);
        self.filled_at + wait + Duration::from_micros(1)
    }

    /// When it is full if nothing is taken before.
    pub(crate) fn full_again(&self) -> Instant {
        self.due(self.rate.burst)
    }

    /// Takes `cost` whether it is there or not; nobody owes more than `most`.
    pub(crate) fn charge(&mut self, cost: f64, most: f64) {
        self.tokens = (self.tokens - cost).max(-most);
    }

    /// Gives back what was taken.
    pub(crate) fn put_back(&mut self, cost: f64) {
        self.tokens = (self.tokens + cost).min(self.rate.burst);
    }

    /// How full it was when it was last asked, as a part of a full one; less
    /// than nothing where something is owed.
    pub(crate) fn level(&self) -> f64 {
        self.tokens / self.rate.burst
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        self.tokens += elapsed.as_secs_f64() * self.rate.per_second;
        self.tokens = self.tokens.min(self.rate.burst);
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 4.0,
        per_second: 2.0,
    };

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        let taken = (0..10).filter(|_| bucket.take(1.0, start)).count();
        assert_eq!(taken, 4);
        let taken = (0..100)
            .filter(|i| bucket.take(1.0, start + Duration::from_millis(100 * i)))
            .count();
        assert_eq!(taken, 19, "two a second for ten seconds");
    }

    #[test]
    fn more_than_it_holds_is_never_there() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        assert!(!bucket.take(4.5, start + Duration::from_secs(3600)));
        assert!(bucket.take(4.0, start), "a refusal costs nothing");
        assert!(!bucket.take(1.0, start));
    }

    #[test]
    fn what_is_missing_is_there_when_it_is_due() {
        let start = Instant::now();
        for cost in [1.0, 2.7, 4.0] {
            let mut bucket = Bucket::full(RATE, start);
            assert!(bucket.take(4.0, start));
            let due = bucket.due(cost);
            let wait = Duration::from_secs_f64(cost / 2.0);
            assert!(!bucket.has(cost, start + wait - Duration::from_millis(1)));
            assert!(due - start <= wait + Duration::from_millis(1));
            assert!(bucket.take(cost, due), "{cost}");
        }
    }

    #[test]
    fn some_leave_a_part_and_who_is_charged_waits_until_it_has_come_back() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        assert!(bucket.take_but(0.5, 2.0, start));
        assert!(!bucket.take_but(0.5, 0.5, start), "half is for others");
        assert_eq!(bucket.level(), 0.5);
        bucket.charge(100.0, 3.0);
        let later = start + Duration::from_secs(2);
        assert!(bucket.has(1.0, later) && !bucket.has(1.5, later));
        bucket.put_back(100.0);
        assert_eq!(bucket.level(), 1.0);
    }
}
