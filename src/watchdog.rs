//! When the service manager is told that the device is well: a pure decision.
//!
//! A timer that feeds a watchdog proves that a timer runs. This one is fed only
//! for work done since the last look: the loop came round to ask, the media
//! thread has taken a turn since, and, while somebody watches, pictures came.
//! [`Service`](crate::service::Service) asks and tells systemd.

use std::time::{Duration, Instant};

/// While somebody watches, a picture comes at least this often, the slate's
/// among them. The hub and the recovery have tried everything they know many
/// times over by then; what is left is a new process.
pub(crate) const PICTURES: Duration = Duration::from_secs(60);

/// What has been done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Turns that the media thread has taken.
    pub turns: u64,
    /// Pictures that went to viewers.
    pub pictures: u64,
    /// Somebody watches, and what keeps pictures from coming, if anything, is
    /// nothing that a new process could not mend.
    pub owed: bool,
}

/// Why it is not fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A driver or GStreamer has not come back from a call.
    #[error("the media thread has not answered for {:.1} s", .0.as_secs_f64())]
    MediaStuck(Duration),
    /// Everything was tried, and nothing came.
    #[error("somebody watches and no picture came for {:.1} s", .0.as_secs_f64())]
    NoPictures(Duration),
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feeding {
    /// Tell the service manager.
    Feed,
    /// Do not.
    Withhold(Fault),
}

/// The decision's state.
#[derive(Debug)]
pub(crate) struct Watchdog {
    every: Duration,
    next: Instant,
    /// The media thread's turns, and since when there are no more.
    turned: (u64, Instant),
    /// The pictures, and since when they are owed without another one.
    hungry: Option<(u64, Instant)>,
}

impl Watchdog {
    /// One for a service manager that acts `limit` after it was last fed.
    pub(crate) fn new(limit: Duration, now: Instant) -> Self {
        // Four looks: one that comes late, or finds a driver that takes its
        // time, is not the end.
        let every = limit / 4;
        Self {
            every,
            next: now + every,
            turned: (0, now),
            hungry: None,
        }
    }

    /// When to look next. The media thread is to be woken after each look, or
    /// it has no reason for a turn.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Looks at what was done, at the time that
    /// [`poll_timeout`](Self::poll_timeout) said; `None` before it.
    pub(crate) fn look(&mut self, now: Instant, work: Work) -> Option<Feeding> {
        if now < self.next {
            return None;
        }
        self.next = now + self.every;
        let stuck = match self.turned {
            (turns, since) if turns == work.turns => Some(now.saturating_duration_since(since)),
            _ => {
                self.turned = (work.turns, now);
                None
            }
        };
        self.hungry = match self.hungry {
            _ if !work.owed => None,
            Some((pictures, since)) if pictures == work.pictures => Some((pictures, since)),
            _ => Some((work.pictures, now)),
        };
        if let Some(stuck) = stuck {
            return Some(Feeding::Withhold(Fault::MediaStuck(stuck)));
        }
        let hungry = self.hungry.map(|(_, since)| now - since);
        Some(match hungry.filter(|hungry| *hungry >= PICTURES) {
            Some(hungry) => Feeding::Withhold(Fault::NoPictures(hungry)),
            None => Feeding::Feed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A watchdog in simulated time and the work it is shown.
    struct Bench {
        watchdog: Watchdog,
        begun: Instant,
        work: Work,
    }

    impl Bench {
        fn new() -> Self {
            let begun = Instant::now();
            Self {
                watchdog: Watchdog::new(LIMIT, begun),
                begun,
                work: Work::default(),
            }
        }

        /// Looks until `seconds` after the begin; `work` is done before each
        /// look. Returns when it was fed last, in seconds.
        fn until(&mut self, seconds: u64, mut work: impl FnMut(&mut Work)) -> Option<f32> {
            let mut fed = None;
            let end = self.begun + Duration::from_secs(seconds);
            while self.watchdog.poll_timeout() <= end {
                let now = self.watchdog.poll_timeout();
                work(&mut self.work);
                if self.watchdog.look(now, self.work).expect("it is time") == Feeding::Feed {
                    fed = Some((now - self.begun).as_secs_f32());
                }
            }
            fed
        }
    }

    #[test]
    fn an_idle_device_is_fed_well_within_the_limit() {
        let mut bench = Bench::new();
        assert_eq!(bench.until(5, |w| w.turns += 1), Some(5.0));
        assert_eq!(bench.until(3600, |w| w.turns += 1), Some(3600.0));
    }

    #[test]
    fn a_look_that_comes_early_says_nothing() {
        let mut bench = Bench::new();
        bench.work.turns = 1;
        assert_eq!(bench.watchdog.look(bench.begun, bench.work), None);
    }

    #[test]
    fn a_media_thread_that_hangs_is_not_covered_up() {
        let mut bench = Bench::new();
        bench.until(30, |w| w.turns += 1);
        assert_eq!(bench.until(60, |_| ()), None);
        // One slow driver call is not the end.
        assert_eq!(bench.until(65, |w| w.turns += 1), Some(65.0));
    }

    #[test]
    fn pictures_are_owed_only_while_somebody_watches() {
        let mut bench = Bench::new();
        let watched = |w: &mut Work| {
            w.turns += 1;
            w.owed = true;
        };
        bench.until(30, |w| {
            watched(w);
            w.pictures += 150;
        });
        // The last picture was seen at 30 s.
        assert_eq!(bench.until(85, watched), Some(85.0));
        assert_eq!(bench.until(200, watched), None);
        let left = |w: &mut Work| {
            w.turns += 1;
            w.owed = false;
        };
        assert_eq!(bench.until(205, left), Some(205.0));
        // The next viewer begins with a full minute.
        assert_eq!(bench.until(265, watched), Some(265.0));
        assert_eq!(bench.until(400, watched), None);
    }

    #[test]
    fn one_picture_in_a_minute_is_enough() {
        let mut bench = Bench::new();
        let mut looks = 0;
        let fed = bench.until(3600, |w| {
            w.turns += 1;
            w.owed = true;
            looks += 1;
            w.pictures += u64::from(looks % 11 == 0);
        });
        assert_eq!(fed, Some(3600.0));
    }

    #[test]
    fn the_fault_is_named_with_its_age() {
        let mut bench = Bench::new();
        bench.until(10, |w| w.turns += 1);
        let now = bench.begun + Duration::from_secs(30);
        let verdict = bench.watchdog.look(now, bench.work).expect("due");
        let Feeding::Withhold(fault) = verdict else {
            panic!("{verdict:?}");
        };
        assert!(fault.to_string().contains("20.0 s"), "{fault}");
    }
}
