//! A device that a pipeline has open, until the kernel has it closed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::debug;

use super::openers::Opening;
use crate::device::led::Lit;
use crate::device::mapped;
use crate::media::liveness::Liveness;

/// A device that is still open is looked at so often.
const LOOK: Duration = Duration::from_millis(100);

/// A device that is open, and what is held until it is closed.
pub(super) struct Device {
    /// The light that is on for it.
    lit: Option<Lit>,
    /// Keeps others from opening it.
    opening: Option<Arc<Opening>>,
    /// Its node as the kernel names it, where it is known.
    node: Option<PathBuf>,
    /// Beats with its first picture.
    flow: Arc<Liveness>,
    /// Its element said that it has no buffers to stream into.
    no_buffers: Arc<AtomicBool>,
}

impl Device {
    pub(super) fn new(
        lit: Option<Lit>,
        opening: Option<Arc<Opening>>,
        node: Option<&str>,
        flow: Arc<Liveness>,
    ) -> Self {
        // By-id names are links.
        let node = node.and_then(|node| std::fs::canonicalize(node).ok());
        Self {
            lit,
            opening,
            node,
            flow,
            no_buffers: Arc::default(),
        }
    }

    /// Its element says so where it has no buffers.
    pub(super) fn failing(mut self, no_buffers: Arc<AtomicBool>) -> Self {
        self.no_buffers = no_buffers;
        self
    }

    /// A light is on for it.
    pub(super) fn is_lit(&self) -> bool {
        self.lit.is_some()
    }

    /// It is being closed.
    pub(super) fn closes(&self, now: Instant) {
        if let Some(opening) = &self.opening {
            opening.closes(now);
        }
    }

    /// Its driver has come back: others may open it.
    pub(super) fn comes_back(&mut self) {
        self.opening = None;
    }

    /// Where it could not be started, gave no picture and is closed, lets go of what its
    /// element left mapped, before another one opens it: `v4l2src` keeps a descriptor of
    /// its own for the buffers that something holds still, so without any these have no
    /// owner. Until this is dropped no other pipeline of this process opens it.
    pub(super) fn let_go(&self) {
        let failed = self.no_buffers.load(Ordering::Acquire) && self.flow.last().is_none();
        if let (Some(node), true) = (&self.node, failed && self.opening.is_some()) {
            let count = mapped::let_go(node, || self.descriptors().is_empty());
            if count > 0 {
                debug!(node = %node.display(), count, "buffers of a start that failed");
            }
        }
    }

    /// Descriptors of this process that are open on the node. Buffers that
    /// something still holds keep one, after the element has closed its own.
    pub(super) fn descriptors(&self) -> Vec<PathBuf> {
        let Some(node) = &self.node else {
            return Vec::new();
        };
        let gone = format!("{} (deleted)", node.display());
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
        let is_node = |fd: &PathBuf| {
            std::fs::read_link(fd).is_ok_and(|to| to == *node || to.as_os_str() == &*gone)
        };
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(is_node)
            .collect()
    }

    /// Blocks until none of these is open any more.
    pub(super) fn wait(self, mut descriptors: Vec<PathBuf>) {
        while !descriptors.is_empty() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own; the kernel tells nobody when a node is closed"
            )]
            std::thread::sleep(LOOK);
            let open = self.descriptors();
            descriptors.retain(|fd| open.contains(fd));
        }
    }
}
