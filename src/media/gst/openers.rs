//! How many threads may hang in the drivers of one kind of device.
//!
//! A driver that does not come back from an open or a close keeps the thread
//! that called it, and each further try would hang beside it until the service
//! has no more. So there is one a device: who wants to open it again waits for
//! the one before.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::media::error::MediaError;

/// As many may hang, whichever devices they hang in.
const MOST: usize = 4;

/// Those that are at work.
#[derive(Default)]
pub(super) struct Openers(Vec<Weak<Opening>>);

/// Whether what is opened is no longer wanted; clones are one and the same. Who
/// opens it looks before each step that touches the device.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// It is wanted no longer.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// # Errors
    ///
    /// It is set. `what` is the device, for messages.
    pub(super) fn check(&self, what: &str) -> Result<(), MediaError> {
        if !self.is_set() {
            return Ok(());
        }
        Err(MediaError::Pipeline {
            what: what.to_owned(),
            problem: "it was given up while it was opened".to_owned(),
        })
    }
}

/// Somebody opens a device, has it open, or closes it, while this lives.
pub(super) struct Opening {
    /// When the driver was called.
    since: Mutex<Instant>,
    /// The device's node, once it is known.
    node: Mutex<Option<String>>,
    given_up: GivenUp,
}

/// A driver that has not come back for so long, and its device's node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    pub node: Option<String>,
    pub waited: Duration,
}

impl Stuck {
    /// In words, with what to do.
    pub(super) fn problem(&self) -> String {
        format!(
            "its driver has not come back for {} s; unplug it, or restart this machine if it \
             goes on",
            self.waited.as_secs()
        )
    }
}

impl Opening {
    /// It opens this node.
    pub(super) fn of(&self, node: Option<&str>) {
        *lock(&self.node) = node.map(str::to_owned);
    }

    /// Says that it is wanted no longer, and whether it is; outlives this.
    pub(super) fn given_up(&self) -> GivenUp {
        self.given_up.clone()
    }

    /// Its driver is called to close it.
    pub(super) fn closes(&self, now: Instant) {
        *lock(&self.since) = now;
    }

    /// One whose device is gone may stay there, for another device's sake.
    fn is_in_the_way(&self) -> bool {
        let node = lock(&self.node);
        node.as_ref().is_none_or(|node| Path::new(node).exists())
    }
}

impl Openers {
    /// Begins to open a device, unless another one is in the way.
    pub(super) fn begin(&mut self, now: Instant) -> Result<Arc<Opening>, Stuck> {
        self.0.retain(|opening| opening.strong_count() > 0);
        let at_work: Vec<_> = self.0.iter().filter_map(Weak::upgrade).collect();
        let mut in_the_way = at_work.iter().filter(|opening| opening.is_in_the_way());
        let oldest = at_work.first().filter(|_| at_work.len() >= MOST);
        if let Some(opening) = in_the_way.next().or(oldest) {
            return Err(Stuck {
                node: lock(&opening.node).clone(),
                waited: now.saturating_duration_since(*lock(&opening.since)),
            });
        }
        let opening = Arc::new(Opening {
            since: Mutex::new(now),
            node: Mutex::default(),
            given_up: GivenUp::default(),
        });
        self.0.push(Arc::downgrade(&opening));
        Ok(opening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_given_up_says_so_to_who_opens_it_and_to_nobody_else() {
        let now = Instant::now();
        let mut openers = Openers::default();
        let first = openers.begin(now).expect("the first");
        let given_up = first.given_up();
        given_up.check("camera").expect("it is wanted");
        first.given_up().set();
        drop(first);
        let error = given_up.check("camera").expect_err("it is not").to_string();
        assert!(error.contains("camera"), "{error}");
        let second = openers.begin(now).expect("the second");
        assert!(!second.given_up().is_set());
    }

    #[test]
    fn there_is_one_a_device_and_a_few_for_those_that_are_gone() {
        let now = Instant::now();
        let mut openers = Openers::default();
        let first = openers.begin(now).expect("the first");
        let stuck = openers.begin(now + SECOND).err().expect("one a device");
        assert_eq!((stuck.node, stuck.waited), (None, SECOND));
        // One that is there, /dev/null, and then one that is gone.
        first.of(Some("/dev/null"));
        first.closes(now + SECOND);
        let stuck = openers.begin(now + 3 * SECOND).err().expect("one a device");
        assert_eq!(stuck.node.as_deref(), Some("/dev/null"));
        assert_eq!(stuck.waited, 2 * SECOND);
        let mut gone = vec![first];
        for _ in 1..MOST {
            gone.iter()
                .for_each(|opening| opening.of(Some("/dev/gone")));
            gone.push(openers.begin(now).expect("another device"));
        }
        gone.iter()
            .for_each(|opening| opening.of(Some("/dev/gone")));
        assert!(openers.begin(now).is_err(), "enough is enough");
        gone.pop();
        assert!(openers.begin(now).is_ok(), "one came back");
    }
}
