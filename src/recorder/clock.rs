//! Shell: the wall clock, by which recordings are named and grow old. Tests set it.

use std::time::{Instant, SystemTime};

#[cfg(test)]
use std::sync::{Arc, Mutex};

#[cfg(test)]
use crate::lock::lock;

/// The wall clock; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    /// What it says in place of the system's, and at which moment.
    #[cfg(test)]
    simulated: Option<Arc<Mutex<(Instant, SystemTime)>>>,
}

impl Clock {
    /// What it says now.
    pub(super) fn now(&self) -> SystemTime {
        self.both().1
    }

    /// When `moment` was, by what it says now: it may have been set since then.
    pub(super) fn of(&self, moment: Instant) -> SystemTime {
        let (at, now) = self.both();
        now.checked_sub(at.saturating_duration_since(moment))
            .unwrap_or(now)
    }

    fn both(&self) -> (Instant, SystemTime) {
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            return *lock(simulated);
        }
        (Instant::now(), SystemTime::now())
    }

    /// One that says `now` at the moment `at`, and stands still.
    #[cfg(test)]
    pub(super) fn simulated(at: Instant, now: SystemTime) -> Self {
        Self {
            simulated: Some(Arc::new(Mutex::new((at, now)))),
        }
    }

    /// The same from now on.
    #[cfg(test)]
    pub(super) fn set(&self, at: Instant, now: SystemTime) {
        if let Some(simulated) = &self.simulated {
            *lock(simulated) = (at, now);
        }
    }
}
