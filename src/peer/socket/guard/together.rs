//! What all connections share.

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

/// Bytes to who has not answered, of all connections together.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Together(Arc<Mutex<Bucket>>);

impl Together {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Bucket::full(ALL, now))))
    }

    pub(super) fn take(&self, bytes: usize, now: Instant) -> bool {
        lock(&self.0).take(bytes as f64, now)
    }
}
