//! What is remembered of one viewer.

use std::time::{Duration, Instant};

use super::{PROBE_AGAIN, PROBE_GAIN, PROBE_WAIT, Sight};
use crate::backoff::doubled;

/// When a viewer's path is next tried with more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probing {
    pub(super) next: Option<Instant>,
    /// The wait after a trial that failed.
    pub(super) wait: Duration,
    /// What the path carried when it was last tried, in bit/s.
    pub(super) before: Option<u32>,
    /// What it carried when a trial last failed, in bit/s.
    pub(super) vain: Option<u32>,
}

impl Probing {
    pub(super) const NEW: Self = Self {
        next: None,
        wait: PROBE_WAIT.0,
        before: None,
        vain: None,
    };

    /// Whether more is to be tried now, of a path that is taken to carry so
    /// much.
    pub(super) fn is_due(&mut self, carries: u32, now: Instant) -> bool {
        let gained = |before: u32| f64::from(carries) >= f64::from(before) * PROBE_GAIN;
        let waits = self.next.is_some_and(|at| now < at);
        if waits && !self.vain.is_some_and(gained) {
            return false;
        }
        self.vain = self.before.take().filter(|before| !gained(*before));
        if self.vain.is_some() {
            self.next = Some(now + self.wait);
            self.wait = doubled(self.wait, 1, PROBE_WAIT.1);
            return false;
        }
        self.before = Some(carries);
        self.next = Some(now + PROBE_AGAIN);
        true
    }
}

#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) tier: usize,
    /// When they came, or their path showed.
    pub(super) since: Instant,
    /// They have called, and no path has shown yet.
    pub(super) comes: bool,
    /// They are sent the picture.
    pub(super) takes: bool,
    pub(super) sight: Sight,
    /// Until when they are on trial, and what was usable when it began.
    pub(super) trial: Option<(Instant, u32)>,
    /// The last move.
    pub(super) moved: Instant,
    /// The last move was up.
    pub(super) climbed: bool,
    pub(super) hold: Duration,
    /// Since when their path is too narrow for their tier.
    pub(super) low: Option<Instant>,
    /// Since when their path carries what the better tier needs.
    pub(super) high: Option<Instant>,
    pub(super) pinned: Option<usize>,
    /// They chose less than the best, and no longer do.
    pub(super) back: bool,
    /// When they were last given what they chose.
    pub(super) chose: Option<Instant>,
    /// Since when they are sent only what their path carries.
    pub(super) thinned: Option<Instant>,
    /// For so many seconds their tier's encoder has made more than their path
    /// carries, up to [`FLOODED`](super::FLOODED).
    pub(super) flooded: u32,
    pub(super) probing: Probing,
    /// When they last caused a key frame that others pay for.
    pub(super) forced: Option<Instant>,
    /// They need another, and have to wait for it.
    pub(super) starved: bool,
}

impl Viewer {
    /// What is sent to them can show what their path carries.
    pub(super) fn counts(&self) -> bool {
        self.takes && !self.comes
    }

    pub(super) fn is_on_trial(&self, now: Instant) -> bool {
        self.trial.is_some_and(|(until, _)| now < until)
    }
}
