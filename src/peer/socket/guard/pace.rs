//! How often the crate looks at its pairs while there is no path. Pure.
//!
//! The crate builds and signs a check for every pair at each of its intervals, a hundred
//! and fifty times, and goes through all that it sent in the last 4 s for each of them.
//! The [guard](super) lets few of those pass that nobody answers. But what is not sent
//! has been paid for by then, and callers who are nowhere can have that done for nothing. The
//! crate does so as often as its driver wakes, and the driver's sleep is
//! [ours](crate::peer::socket::batch): it is as long as the gaps between those that would pass.
//!
//! It ends early where there is something new: a candidate, a datagram that has passed, a path.
//! A check of theirs is answered and asked back at once, whatever the pace.

use std::time::{Duration, Instant};

use super::Guard;
use crate::backoff::doubled;
use crate::bucket::{Bucket, Rate};

/// Between the first looks: the crate's own interval.
pub(super) const FIRST: Duration = Duration::from_millis(40);
/// The longest gap.
pub(super) const LAST: Duration = Duration::from_millis(500);
/// Looks in a row, behind something new, before the gaps grow.
pub(super) const QUICK: u32 = 4;
/// Those of a call altogether. A browser tells of its addresses within a second.
const ALL_QUICK: Rate = Rate {
    burst: 24.0,
    per_second: 0.5,
};

/// One connection's pace.
#[derive(Debug)]
pub(super) struct Pace {
    /// DTLS is done, or ICE has a pair: the timers are others', and in a hurry.
    has_path: bool,
    connected: bool,
    /// Looks since something was new.
    looks: u32,
    quick: Bucket,
    until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            has_path: false,
            connected: false,
            looks: 0,
            quick: Bucket::full(ALL_QUICK, now),
            until: None,
        }
    }

    /// There is something to look at.
    pub(super) fn is_new(&mut self) {
        (self.looks, self.until) = (0, None);
    }

    /// Another generation of ICE: there is no path.
    pub(super) fn begins_anew(&mut self) {
        self.has_path = false;
        self.is_new();
    }

    pub(super) fn has_path(&mut self) {
        self.has_path = true;
    }

    /// DTLS is done: media has timers of its own from now on.
    pub(super) fn is_connected(&mut self) {
        self.connected = true;
    }

    fn sleeps(&mut self, wanted: Duration, now: Instant) -> Duration {
        if self.has_path || self.connected {
            return wanted;
        }
        let until = match self.until.filter(|until| now < *until) {
            Some(until) => until,
            None => now + self.gap(now),
        };
        self.until = Some(until);
        wanted.max(until.saturating_duration_since(now))
    }

    fn gap(&mut self, now: Instant) -> Duration {
        let is_quick = self.looks < QUICK && self.quick.take(1.0, now);
        self.looks = match is_quick {
            true => self.looks + 1,
            false => self.looks.max(QUICK) + 1,
        };
        doubled(FIRST, self.looks.saturating_sub(QUICK), LAST)
    }
}

impl Guard {
    /// How long the driver sleeps that wants to for so long.
    pub(crate) fn sleeps(&mut self, wanted: Duration, now: Instant) -> Duration {
        self.pace.sleeps(wanted, now)
    }

    /// ICE has a pair.
    pub(crate) fn has_path(&mut self) {
        self.pace.has_path();
        self.checklist.has_path();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: Duration) -> u128 {
        time.as_millis()
    }

    /// What is done at each look is done for every pair: 150 times in 6 s.
    #[test]
    fn where_nobody_answers_the_crate_looks_ever_more_rarely() {
        let began = Instant::now();
        let (mut pace, mut now, mut looks) = (Pace::new(began), began, 0);
        while now < began + Duration::from_secs(30) {
            now += pace.sleeps(FIRST, now);
            looks += 1;
        }
        assert!((55..=70).contains(&looks), "{looks}");
    }

    #[test]
    fn what_is_new_is_looked_at_as_often_as_the_crate_would() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut gaps = |pace: &mut Pace, count: usize| -> Vec<_> {
            let sleep = |_| {
                let gap = pace.sleeps(FIRST, now);
                now += gap;
                ms(gap)
            };
            (0..count).map(sleep).collect()
        };
        let whole = [40, 40, 40, 40, 80, 160, 320, 500, 500];
        assert_eq!(gaps(&mut pace, 9), whole);
        pace.is_new();
        assert_eq!(gaps(&mut pace, 5), whole[..5]);
        // However often somebody has something new.
        let news: Vec<_> = (0..200)
            .flat_map(|_| {
                pace.is_new();
                gaps(&mut pace, 1)
            })
            .collect();
        let quick = news.iter().filter(|gap| **gap == 40).count();
        assert!(quick <= 24, "{quick}");
        assert!(news.iter().all(|gap| *gap <= 80), "and never slower");
    }

    #[test]
    fn what_wakes_the_driver_makes_no_look_shorter_or_longer() {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        for _ in 0..QUICK {
            let _ = pace.sleeps(FIRST, began);
            pace.until = None;
        }
        assert_eq!(ms(pace.sleeps(FIRST, began)), 80);
        let later = began + Duration::from_millis(30);
        assert_eq!(ms(pace.sleeps(Duration::ZERO, later)), 50);
        assert_eq!(ms(pace.sleeps(Duration::from_secs(1), later)), 1_000);
    }

    #[test]
    fn with_a_path_the_driver_sleeps_as_it_likes() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.has_path();
        assert_eq!(ms(pace.sleeps(Duration::from_millis(3), now)), 3);
        // A restart before DTLS is done is looked at like a new call, and none after.
        pace.begins_anew();
        assert_eq!(ms(pace.sleeps(Duration::from_millis(3), now)), 40);
        pace.is_connected();
        pace.begins_anew();
        assert_eq!(ms(pace.sleeps(Duration::from_millis(3), now)), 3);
    }
}
