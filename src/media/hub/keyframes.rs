//! At most two forced key frames a second, however many viewers ask.

use std::time::{Duration, Instant};

/// The window in which at most two are forced.
const WINDOW: Duration = Duration::from_secs(1);
/// One that was forced comes within so long; until then it serves whoever asks.
const UNDER_WAY: Duration = Duration::from_millis(150);
/// For somebody who may come it is forced where none came or was forced for so
/// long: anybody can say that they come.
const LATELY: Duration = Duration::from_secs(1);

/// Coalesces requests for one stream.
#[derive(Debug, Default)]
pub(super) struct KeyFrames {
    /// The last two that were forced, older first.
    forced: [Option<Instant>; 2],
    wanted: bool,
    /// The last one that was forced has not come yet.
    under_way: bool,
}

impl KeyFrames {
    /// Somebody needs a key frame. Returns true if it is to be forced now.
    pub(super) fn request(&mut self, now: Instant) -> bool {
        let last = self.forced[1].filter(|_| self.under_way);
        if last.is_some_and(|at| now.saturating_duration_since(at) < UNDER_WAY) {
            return false;
        }
        self.wanted = true;
        self.due(now)
    }

    /// Somebody may need one soon. Returns true if it is to be forced now.
    pub(super) fn expect(&mut self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < LATELY;
        !self.forced[1].is_some_and(lately) && self.request(now)
    }

    /// When a request that had to wait is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.forced[0].filter(|_| self.wanted)?;
        Some(oldest + WINDOW)
    }

    /// True if one is to be forced now.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        if !self.wanted || self.forced[0].is_some_and(|t| now < t + WINDOW) {
            return false;
        }
        self.wanted = false;
        self.under_way = true;
        self.forced = [self.forced[1], Some(now)];
        true
    }

    /// A key frame came; whoever waits for one has it.
    pub(super) fn came(&mut self) {
        self.wanted = false;
        self.under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_requests_forces_two_a_second() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
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
        let mut keys = KeyFrames::default();
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
        let mut keys = KeyFrames::default();
        assert!(keys.request(start) && keys.request(start + UNDER_WAY));
        assert!(!keys.request(start + UNDER_WAY * 2));
        keys.came();
        assert_eq!(keys.poll_timeout(), None);
    }

    #[test]
    fn one_that_is_under_way_serves_whoever_asks() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
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
        let mut keys = KeyFrames::default();
        let forced = (0..10_000).filter(|ms| {
            let forced = keys.expect(start + Duration::from_millis(*ms));
            keys.came();
            forced
        });
        assert_eq!(forced.count(), 10);
    }
}
