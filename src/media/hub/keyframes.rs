//! At most two forced key frames a second, however many viewers ask.

use std::time::{Duration, Instant};

/// The window in which at most two are forced.
const WINDOW: Duration = Duration::from_secs(1);

/// Coalesces requests for one stream.
#[derive(Debug, Default)]
pub(super) struct KeyFrames {
    /// The last two that were forced, older first.
    forced: [Option<Instant>; 2],
    wanted: bool,
}

impl KeyFrames {
    /// Somebody needs a key frame. Returns true if it is to be forced now.
    pub(super) fn request(&mut self, now: Instant) -> bool {
        self.wanted = true;
        self.due(now)
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
        self.forced = [self.forced[1], Some(now)];
        true
    }

    /// A key frame came; whoever waits for one has it.
    pub(super) fn came(&mut self) {
        self.wanted = false;
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
        assert!(keys.request(start) && keys.request(start));
        assert!(!keys.request(start));
        let at = keys.poll_timeout().expect("it waits");
        assert_eq!(at, start + WINDOW);
        assert!(keys.due(at));
        assert!(!keys.due(at) && keys.poll_timeout().is_none());
    }

    #[test]
    fn a_key_frame_that_came_by_itself_answers_a_waiting_request() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
        assert!(keys.request(start) && keys.request(start));
        assert!(!keys.request(start));
        keys.came();
        assert_eq!(keys.poll_timeout(), None);
    }
}
