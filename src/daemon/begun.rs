//! How calls begin, for whoever looks: a line in the log, and a small file that
//! `camera-agent doctor` reads.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::config::Config;
use crate::peer::stages::{Begun, Report};
use crate::state;

/// In the state folder.
const FILE: &str = "begun.json";
/// Longer is none of ours.
const LONGEST: u64 = 16 * 1024;
/// It is written no more often: flash wears out.
const INTERVAL: Duration = Duration::from_secs(60);

/// What was written of them.
pub(super) struct Kept {
    folder: Option<PathBuf>,
    /// How many calls there were then.
    count: u64,
    at: Option<Instant>,
}

impl Kept {
    pub(super) fn new(config: &Config) -> Self {
        let folder = config.access.folder.clone().or_else(state::folder);
        Self {
            folder,
            count: 0,
            at: None,
        }
    }

    /// Writes what is new, if it was not done just now.
    pub(super) fn look(&mut self, begun: &Begun, now: Instant) {
        let count = begun.count();
        let is_soon = |at| now.saturating_duration_since(at) < INTERVAL;
        if count == self.count || self.at.is_some_and(is_soon) {
            return;
        }
        self.count = count;
        self.at = Some(now);
        let report = begun.report();
        debug!(calls = report.calls, p50_p95_ms = %report, "how calls begin");
        let Some(folder) = &self.folder else { return };
        let write = || {
            let text = serde_json::to_string(&report)?;
            state::replace(&folder.join(FILE), &text)
        };
        if let Err(error) = write() {
            debug!(%error, "how calls begin cannot be written down");
            self.folder = None;
        }
    }
}

/// What a device wrote in this folder; `None` where there is nothing.
pub(crate) fn read(folder: &Path) -> Option<Report> {
    let mut text = String::new();
    let file = File::open(folder.join(FILE)).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
