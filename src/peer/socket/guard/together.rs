//! What all connections share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::bucket::{Bucket, Rate};
use crate::lock::lock;

/// All connections together, in bytes to who has not answered: some 600 checks
/// a second.
pub(super) const ALL: Rate = Rate {
    burst: 256.0 * 1024.0,
    per_second: 64.0 * 1024.0,
};

/// What is done for those who have not answered, of all connections together.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Together {
    /// Bytes to them.
    bytes: Arc<Mutex<Bucket>>,
    /// [Pairs](super::checklist) that are checked.
    pairs: Arc<AtomicUsize>,
}

impl Together {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bytes: Arc::new(Mutex::new(Bucket::full(ALL, now))),
            pairs: Arc::default(),
        }
    }

    pub(super) fn take(&self, bytes: usize, now: Instant) -> bool {
        lock(&self.bytes).take(bytes as f64, now)
    }

    pub(super) fn pairs(&self) -> usize {
        self.pairs.load(Ordering::Relaxed)
    }

    pub(super) fn checks(&self, pairs: usize) {
        self.pairs.fetch_add(pairs, Ordering::Relaxed);
    }

    pub(super) fn checks_no_more(&self, pairs: usize) {
        self.pairs.fetch_sub(pairs, Ordering::Relaxed);
    }
}
