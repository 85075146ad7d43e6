//! What the hub has done so far, countable from any thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::lock::lock;

/// What was done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Turns of the hub's thread; [`Hub::nudge`](super::Hub::nudge) makes one.
    pub turns: u64,
    /// Access units of all video streams.
    pub pictures: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Somebody watches a video stream, and it is not one that cannot be had
    /// on this machine.
    pub owed: bool,
    /// The picture's width and height in pixels, while there is one.
    pub size: Option<(u32, u32)>,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    turns: AtomicU64,
    pictures: AtomicU64,
    bytes: AtomicU64,
    owed: AtomicBool,
    size: Mutex<Option<(u32, u32)>>,
}

impl Counters {
    /// The thread came round.
    pub(super) fn turn(&self, owed: bool, size: Option<(u32, u32)>) {
        self.owed.store(owed, Ordering::Relaxed);
        *lock(&self.size) = size;
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// A picture of so many bytes went out.
    pub(super) fn picture(&self, bytes: usize) {
        self.pictures.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Progress {
        Progress {
            turns: self.turns.load(Ordering::Relaxed),
            pictures: self.pictures.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            owed: self.owed.load(Ordering::Relaxed),
            size: *lock(&self.size),
        }
    }
}
