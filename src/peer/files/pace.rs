//! How fast what a viewer asked for is sent. Pure: time is passed in.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::bucket::{Bucket, Rate};
use crate::lock::lock;

/// A file goes out at 12 Mbit/s at most, several times as fast as it is played: the
/// picture has the path, too.
const OWN: Rate = Rate {
    burst: 64.0 * 1024.0,
    per_second: 1_500_000.0,
};
/// And no faster to all strangers together: however many call, there is room for those
/// who watch. A picture at once: one of 1080 lines has some 500 KB.
const STRANGERS: Rate = Rate {
    burst: 1_000_000.0,
    per_second: 1_500_000.0,
};

/// What all strangers have together.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Together(Arc<Mutex<Bucket>>);

impl Together {
    pub(in crate::peer) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Bucket::full(STRANGERS, now))))
    }
}

/// One viewer's.
#[derive(Debug)]
pub(super) struct Pace {
    own: Bucket,
    /// Of a stranger.
    together: Option<Together>,
    /// Bytes that were granted and not sent yet.
    granted: f64,
}

impl Pace {
    pub(super) fn new(together: Option<Together>, now: Instant) -> Self {
        Self {
            own: Bucket::full(OWN, now),
            together,
            granted: 0.0,
        }
    }

    /// Whether a message of so many bytes may go, or when to ask again.
    pub(super) fn ask(&mut self, bytes: f64, now: Instant) -> Result<(), Instant> {
        let missing = bytes - self.granted;
        if missing <= 0.0 {
            return Ok(());
        }
        if !self.own.has(missing, now) {
            return Err(self.own.due(missing));
        }
        if let Some(Together(together)) = &self.together {
            let mut together = lock(together);
            if !together.take(missing, now) {
                return Err(together.due(missing));
            }
        }
        self.own.charge(missing, OWN.burst);
        self.granted = bytes;
        Ok(())
    }

    /// So much of what was granted is sent.
    pub(super) fn sent(&mut self, bytes: f64) {
        self.granted = (self.granted - bytes).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CHUNK: f64 = 16.0 * 1024.0;

    /// What each of these viewers is sent in ten seconds, who always want more.
    fn sent(viewers: &mut [Pace], start: Instant) -> Vec<f64> {
        let mut sent = vec![0.0; viewers.len()];
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            for (viewer, sent) in viewers.iter_mut().zip(&mut sent) {
                while viewer.ask(CHUNK, now).is_ok() {
                    viewer.sent(CHUNK);
                    *sent += CHUNK;
                }
            }
        }
        sent
    }

    #[test]
    fn strangers_have_no_more_together_than_one_viewer_who_was_invited() {
        let start = Instant::now();
        let together = Together::new(start);
        let stranger = || Pace::new(Some(together.clone()), start);
        let mut viewers: Vec<_> = (0..20).map(|_| stranger()).collect();
        viewers.push(Pace::new(None, start));
        let sent = sent(&mut viewers, start);
        let (invited, strangers) = sent.split_last().expect("viewers");
        let all: f64 = strangers.iter().sum();
        assert!((14e6..=16.1e6).contains(&all), "{all}");
        assert!((14e6..=15.1e6).contains(invited), "{invited}");
    }

    #[test]
    fn what_was_granted_is_there_until_it_is_sent() {
        let start = Instant::now();
        let together = Together::new(start);
        let mut stranger = Pace::new(Some(together.clone()), start);
        for _ in 0..100 {
            stranger.ask(CHUNK, start).expect("granted once");
        }
        assert!(lock(&together.0).has(STRANGERS.burst - CHUNK, start));
        stranger.sent(CHUNK);
        let due = loop {
            match stranger.ask(CHUNK, start) {
                Ok(()) => stranger.sent(CHUNK),
                Err(due) => break due,
            }
        };
        assert!(due > start);
        stranger.ask(CHUNK, due).expect("it is due");
    }
}
