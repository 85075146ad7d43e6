//! Limits on what strangers can make the device do: token buckets for offers,
//! per name and in total.

use std::collections::HashMap;
use std::time::Instant;

use crate::wire::UserName;

/// Offers that one name can send at once, and how many a second after that.
/// A person who reloads the page as fast as he can stays under it.
const PER_NAME: Rate = Rate {
    burst: 10.0,
    per_second: 2.0,
};
/// The same for all names together.
const TOTAL: Rate = Rate {
    burst: 40.0,
    per_second: 10.0,
};
/// Names remembered at once; a full bucket says nothing and is forgotten first.
const NAMES: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

#[derive(Debug, Clone)]
struct Bucket {
    tokens: f64,
    at: Instant,
    refused: bool,
}

/// What the limit says of one more offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Take,
    /// Drop it; this is the first of a flood, worth a line in the log.
    FirstRefusal,
    /// Drop it in silence.
    Refuse,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: rate.burst,
            at: now,
            refused: false,
        }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    fn take(&mut self, rate: Rate, now: Instant) -> Verdict {
        self.refill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            if self.tokens >= rate.burst / 2.0 {
                self.refused = false;
            }
            Verdict::Take
        } else if std::mem::replace(&mut self.refused, true) {
            Verdict::Refuse
        } else {
            Verdict::FirstRefusal
        }
    }
}

/// The buckets of all callers.
#[derive(Debug)]
pub struct OfferLimits {
    total: Bucket,
    names: HashMap<UserName, Bucket>,
}

impl OfferLimits {
    /// Full buckets at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            total: Bucket::new(TOTAL, now),
            names: HashMap::new(),
        }
    }

    /// Asks for one offer from `name`. One who has a call (`live`) answers for
    /// himself alone: what others send must not keep him from an ICE restart.
    pub fn offer(&mut self, name: &UserName, live: bool, now: Instant) -> Verdict {
        if self.names.len() >= NAMES && !self.names.contains_key(name) {
            self.names.retain(|_, bucket| {
                bucket.refill(PER_NAME, now);
                bucket.tokens < PER_NAME.burst
            });
            if self.names.len() >= NAMES && !live {
                return self.total.take(TOTAL, now);
            }
        }
        let bucket = self
            .names
            .entry(name.clone())
            .or_insert_with(|| Bucket::new(PER_NAME, now));
        match bucket.take(PER_NAME, now) {
            Verdict::Take if !live => self.total.take(TOTAL, now),
            Verdict::Take => Verdict::Take,
            refusal => refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(text: &str) -> UserName {
        UserName::parse(text).expect("a good name")
    }

    #[test]
    fn a_flood_from_one_name_is_refused_and_named_once_and_others_are_served() {
        let now = Instant::now();
        let mut limits = OfferLimits::new(now);
        let verdicts: Vec<_> = (0..100)
            .map(|_| limits.offer(&name("m"), false, now))
            .collect();
        let count = |v| verdicts.iter().filter(|x| **x == v).count();
        assert_eq!(count(Verdict::Take), 10);
        assert_eq!(count(Verdict::FirstRefusal), 1);
        assert_eq!(limits.offer(&name("alice"), false, now), Verdict::Take);
        let later = now + Duration::from_secs(1);
        assert_eq!(limits.offer(&name("m"), false, later), Verdict::Take);
    }

    #[test]
    fn a_flood_from_many_names_meets_the_total() {
        let now = Instant::now();
        let mut limits = OfferLimits::new(now);
        let taken = (0..10_000)
            .filter(|i| limits.offer(&name(&format!("n{i}")), false, now) == Verdict::Take)
            .count();
        assert_eq!(taken, 40);
        let restart = limits.offer(&name("alice"), true, now);
        assert_eq!(restart, Verdict::Take, "she has a call");
        assert!(limits.names.len() <= NAMES + 1);
    }
}
