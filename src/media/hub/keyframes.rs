//! At most two forced key frames a second, however many viewers ask; and of those who
//! come to what others watch, few: whoever comes, asks and goes again would have the others
//! pay for two a second.

use std::time::{Duration, Instant};

use crate::bucket::{Bucket, Rate};

/// The window in which at most two are forced.
const WINDOW: Duration = Duration::from_secs(1);
/// One that was forced comes within so long; until then it serves whoever asks.
const UNDER_WAY: Duration = Duration::from_millis(150);
/// For somebody who may come it is forced where none came or was forced for so
/// long: anybody can say that they come.
const LATELY: Duration = Duration::from_secs(1);

/// For those who come while others watch. As many at once as a device has viewers;
/// beyond that one in a second and a half, which serves all who came until then.
const NEWCOMERS: Rate = Rate {
    burst: 8.0,
    per_second: 0.7,
};
/// What of these is left to who has come, by those who only may.
const LEFT: f64 = 0.5;

/// Coalesces requests for one stream.
#[derive(Debug)]
pub(super) struct KeyFrames {
    /// The last two that were forced, older first.
    forced: [Option<Instant>; 2],
    wanted: bool,
    /// Somebody has come who needs one, and others watch.
    awaited: bool,
    newcomers: Bucket,
    /// The last one that was forced has not come yet.
    under_way: bool,
}

impl KeyFrames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            forced: [None; 2],
            wanted: false,
            awaited: false,
            newcomers: Bucket::full(NEWCOMERS, now),
            under_way: false,
        }
    }

    /// Somebody needs a key frame. Returns true if it is to be forced now.
    pub(super) fn request(&mut self, now: Instant) -> bool {
        if self.is_under_way(now) {
            return false;
        }
        self.wanted = true;
        self.due(now)
    }

    /// Somebody needs one who has come to what others watch. Returns true if it is to be
    /// forced now.
    pub(super) fn comes(&mut self, now: Instant) -> bool {
        if self.is_under_way(now) {
            return false;
        }
        self.awaited = true;
        self.due(now)
    }

    /// Somebody may need one soon, and others watch or do not. Returns true if it is to be
    /// forced now.
    pub(super) fn expect(&mut self, others_watch: bool, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < LATELY;
        if self.forced[1].is_some_and(lately) || self.is_under_way(now) {
            return false;
        }
        (!others_watch || self.newcomers.take_but(LEFT, 1.0, now)) && self.request(now)
    }

    fn is_under_way(&self, now: Instant) -> bool {
        let last = self.forced[1].filter(|_| self.under_way);
        last.is_some_and(|at| now.saturating_duration_since(at) < UNDER_WAY)
    }

    /// When a request that had to wait is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let window = self.forced[0].map(|oldest| oldest + WINDOW);
        if self.wanted {
            return window;
        }
        let due = self.newcomers.due(1.0);
        self.awaited
            .then(|| window.map_or(due, |window| window.max(due)))
    }

    /// True if one is to be forced now.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        if self.forced[0].is_some_and(|t| now < t + WINDOW)
            || !(self.wanted || self.awaited && self.newcomers.take(1.0, now))
        {
            return false;
        }
        (self.wanted, self.awaited) = (false, false);
        self.under_way = true;
        self.forced = [self.forced[1], Some(now)];
        true
    }

    /// A key frame came; whoever waits for one has it.
    pub(super) fn came(&mut self) {
        (self.wanted, self.awaited) = (false, false);
        self.under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_requests_forces_two_a_second() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        let mut forced = Vec::new();
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if keys.request(now) {
                forced.push(now);
            }
        }
        assert_eq!(forced.len(), 20);
        assert!(forced.windows(3).all(|w| w[2] - w[0] >= WINDOW));
    }

    #[test]
    fn a_request_that_waits_is_served_at_its_time_and_only_once() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        assert!(keys.request(start) && keys.request(start + UNDER_WAY));
        assert!(!keys.request(start + UNDER_WAY * 2));
        let at = keys.poll_timeout().expect("it waits");
        assert_eq!(at, start + WINDOW);
        assert!(keys.due(at));
        assert!(!keys.due(at) && keys.poll_timeout().is_none());
    }

    #[test]
    fn a_key_frame_that_came_by_itself_answers_a_waiting_request() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        assert!(keys.request(start) && keys.request(start + UNDER_WAY));
        assert!(!keys.request(start + UNDER_WAY * 2));
        keys.came();
        assert_eq!(keys.poll_timeout(), None);
    }

    #[test]
    fn one_that_is_under_way_serves_whoever_asks() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        assert!(keys.request(start));
        assert!(!keys.request(start + UNDER_WAY / 2));
        assert_eq!(keys.poll_timeout(), None);
        // Where it does not come, the next who asks is served.
        assert!(keys.request(start + UNDER_WAY));
        keys.came();
        assert!(keys.request(start + WINDOW * 2));
        keys.came();
        assert!(keys.request(start + WINDOW * 2 + Duration::from_millis(1)));
    }

    #[test]
    fn who_only_may_come_costs_the_others_little() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        let forced = (0..10_000).filter(|ms| {
            let forced = keys.expect(false, start + Duration::from_millis(*ms));
            keys.came();
            forced
        });
        assert_eq!(forced.count(), 10);
    }

    /// Whoever called, asked and hung up again, had one forced each time.
    #[test]
    fn who_comes_to_what_others_watch_costs_them_little_and_waits_briefly() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        let (mut forced, mut since, mut longest) = (0, None, Duration::ZERO);
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            let asks = ms % 300 == 0;
            if asks && since.is_none() {
                since = Some(now);
            }
            let at_once = asks && keys.comes(now);
            let later = keys.poll_timeout().is_some_and(|at| at <= now) && keys.due(now);
            if at_once || later {
                keys.came();
                forced += 1;
                longest = longest.max(now - since.take().expect("somebody waits"));
            }
        }
        assert!((45..=51).contains(&forced), "{forced} in a minute");
        assert!(longest < Duration::from_millis(1_600), "{longest:?}");
        // One who has been here for long is served all the same.
        assert!(keys.request(start + Duration::from_secs(61)));
    }

    #[test]
    fn who_only_may_come_leaves_some_to_who_has_come() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        let mut expected = 0;
        for second in 0..20 {
            let now = start + LATELY * second;
            expected += u32::from(keys.expect(true, now));
            keys.came();
        }
        assert!((4..=18).contains(&expected), "{expected}");
        let now = start + LATELY * 20;
        assert!(keys.comes(now), "what was left");
    }

    #[test]
    fn one_for_all_serves_who_has_come() {
        let start = Instant::now();
        let mut keys = KeyFrames::new(start);
        for n in 0..20 {
            let now = start + WINDOW * n / 2;
            let _ = keys.comes(now);
            keys.came();
        }
        let now = start + WINDOW * 10;
        assert!(!keys.comes(now), "all are used up");
        assert!(keys.poll_timeout().is_some_and(|at| at > now));
        keys.came();
        assert_eq!(keys.poll_timeout(), None);
    }
}
