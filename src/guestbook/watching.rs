//! `watching.json`: who watches, and when they were last seen, for
//! `camera-agent viewers`.
//!
//! The device writes it, and holds a lock for as long as it runs: so what a
//! device left behind that was killed is not taken for the present.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::state;

const FILE: &str = "watching.json";
const LOCK: &str = "watching.lock";
/// Longer is none of ours.
const LONGEST: u64 = 256 * 1024;

/// One invitation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When a call of theirs was last up, in seconds since 1970.
    pub last: u64,
    /// Calls of theirs that are.
    pub now: usize,
}

/// By label.
pub type People = BTreeMap<String, Seen>;

/// The device's side.
#[derive(Debug)]
pub struct Watching {
    folder: std::path::PathBuf,
    people: People,
    _lock: File,
}

impl Watching {
    /// Begins with what is known from before; `None` where another device does
    /// it already, or nothing can be written.
    pub fn begin(folder: &Path) -> Option<Self> {
        let lock = state::open(&folder.join(LOCK)).ok()?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        let mut people = read(folder);
        let left_over = people.values().any(|seen| seen.now > 0);
        for seen in people.values_mut() {
            seen.now = 0;
        }
        let this = Self {
            folder: folder.to_owned(),
            people,
            _lock: lock,
        };
        if left_over {
            let _ = this.write();
        }
        Some(this)
    }

    /// These have a call that is up, once each; of those in the book the rest
    /// are kept in mind, and nobody else. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn are<'a>(
        &mut self,
        watching: impl Iterator<Item = &'a str>,
        invited: impl Fn(&str) -> bool,
        now: u64,
    ) -> io::Result<()> {
        let before = self.people.clone();
        self.people.retain(|label, _| invited(label));
        for seen in self.people.values_mut() {
            if std::mem::take(&mut seen.now) > 0 {
                seen.last = now;
            }
        }
        for label in watching {
            let seen = self.people.entry(label.to_owned()).or_default();
            seen.now += 1;
            seen.last = now;
        }
        let calls = |people: &People| -> Vec<_> {
            people
                .iter()
                .map(|(l, seen)| (l.clone(), seen.now))
                .collect()
        };
        if calls(&before) == calls(&self.people) {
            return Ok(());
        }
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_string(&self.people)?;
        state::replace(&self.folder.join(FILE), &text)
    }
}

/// The other side: who watches in this folder's device.
pub fn look(folder: &Path) -> People {
    let mut people = read(folder);
    let lock = state::read(&folder.join(LOCK));
    let runs = lock.is_ok_and(|lock| flock(lock, FlockOperation::NonBlockingLockShared).is_err());
    if !runs {
        for seen in people.values_mut() {
            seen.now = 0;
        }
    }
    people
}

fn read(folder: &Path) -> People {
    use io::Read as _;
    let read = || {
        let mut text = String::new();
        let file = state::read(&folder.join(FILE))?;
        file.take(LONGEST).read_to_string(&mut text)?;
        io::Result::Ok(serde_json::from_str(&text)?)
    };
    read().unwrap_or_default()
}
