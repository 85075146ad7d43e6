//! How calls begin, for whoever looks: a line in the log, and a small file that
//! `camera-agent doctor` reads.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// It is being written.
    is_busy: Arc<AtomicBool>,
    /// It could not be.
    has_failed: Arc<AtomicBool>,
    /// How many calls there were then.
    count: u64,
    at: Option<Instant>,
}

impl Kept {
    pub(super) fn new(config: &Config) -> Self {
        let folder = config.access.folder.clone().or_else(state::folder);
        Self {
            folder,
            is_busy: Arc::default(),
            has_failed: Arc::default(),
            count: 0,
            at: None,
        }
    }

    /// Writes what is new, if it was not done just now; on another thread, since a disk
    /// may take its time. Called within a runtime.
    pub(super) fn look(&mut self, begun: &Begun, now: Instant) {
        let count = begun.count();
        let is_soon = |at| now.saturating_duration_since(at) < INTERVAL;
        let is_busy = self.is_busy.load(Ordering::Acquire);
        if count == self.count || is_busy || self.at.is_some_and(is_soon) {
            return;
        }
        self.count = count;
        self.at = Some(now);
        let report = begun.report();
        debug!(calls = report.calls, p50_p95_ms = %report, "how calls begin");
        let Some(folder) = &self.folder else { return };
        // A disk that refused is not tried again.
        if self.has_failed.load(Ordering::Acquire) {
            return;
        }
        self.is_busy.store(true, Ordering::Release);
        let file = folder.join(FILE);
        let (is_busy, has_failed) = (self.is_busy.clone(), self.has_failed.clone());
        tokio::task::spawn_blocking(move || {
            let text = serde_json::to_string(&report).map_err(std::io::Error::other);
            if let Err(error) = text.and_then(|text| state::replace(&file, &text)) {
                debug!(%error, "how calls begin cannot be written down");
                has_failed.store(true, Ordering::Release);
            }
            is_busy.store(false, Ordering::Release);
        });
    }
}

/// What a device wrote in this folder; `None` where there is nothing.
pub(crate) fn read(folder: &Path) -> Option<Report> {
    let mut text = String::new();
    let file = state::read(&folder.join(FILE)).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::agent::SessionId;
    use crate::peer::stages::{Begins, Stage};

    /// The one thread for such work is taken: who asks for it goes on at once.
    #[test]
    fn the_loop_does_not_wait_for_the_disk() {
        let home = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.access.folder = Some(home.path().to_owned());
        let begun = Begun::default();
        let now = Instant::now();
        let call = || {
            let begins = Begins::new(SessionId::new(1), now, begun.clone());
            for stage in Stage::ALL {
                begins.end(stage, now + Duration::from_millis(5));
            }
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().expect("a runtime");
        let (go_on, held) = mpsc::channel::<()>();
        let mut kept = Kept::new(&config);
        runtime.block_on(async {
            let busy = tokio::task::spawn_blocking(move || held.recv());
            call();
            kept.look(&begun, now);
            assert!(read(home.path()).is_none(), "it was waited for");
            // What comes meanwhile is written with the next.
            call();
            kept.look(&begun, now + 2 * INTERVAL);
            go_on.send(()).expect("it is held");
            busy.await.expect("it ends").expect("it went on");
            // One after the other.
            tokio::task::spawn_blocking(|| {}).await.expect("it runs");
            assert_eq!(read(home.path()).map(|report| report.calls), Some(1));
            kept.look(&begun, now + 2 * INTERVAL);
            tokio::task::spawn_blocking(|| {}).await.expect("it runs");
            assert_eq!(read(home.path()).map(|report| report.calls), Some(2));
        });
    }
}
