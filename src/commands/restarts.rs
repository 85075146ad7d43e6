//! A growing delay between restarts.
//!
//! systemd restarts a service that crashed after a fixed time, or since 254
//! after a growing one; Debian 12 has 252. So the device itself counts the runs
//! in a row that did not last, in a file of its runtime directory, which
//! systemd keeps over restarts and removes at a stop. A single crash costs no
//! delay; a camera that takes the process down with each call costs a minute at
//! the most.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tracing::debug;

use crate::backoff::doubled;

/// A run that lasted this long was a good one.
pub(super) const GOOD: Duration = Duration::from_secs(300);

const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait before the run that follows so many bad ones in a row.
pub(super) fn delay(bad_runs: u32) -> Duration {
    match bad_runs {
        0 | 1 => Duration::ZERO,
        more => doubled(Duration::from_secs(1), more - 1, LONGEST),
    }
}

/// The count, kept in a file.
#[derive(Debug)]
pub(super) struct Restarts {
    file: PathBuf,
    /// Bad runs before this one.
    pub bad_runs: u32,
}

impl Restarts {
    /// Counts this run as a bad one until [`good`](Self::good) is called.
    /// `None` where systemd gave no runtime directory.
    pub(super) fn count() -> Option<Self> {
        let folder = std::env::var_os("RUNTIME_DIRECTORY")?;
        Some(Self::count_in(folder.into()))
    }

    fn count_in(folder: PathBuf) -> Self {
        let file = folder.join("bad-runs");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let bad_runs = text.trim().parse().unwrap_or(0_u32);
        let count = bad_runs.saturating_add(1).to_string();
        if let Err(error) = std::fs::write(&file, count) {
            // A full disk is no reason not to run.
            debug!(%error, "this run is not counted");
        }
        Self { file, bad_runs }
    }

    /// This run was good: it lasted, or it ended as it should.
    pub(super) fn good(&self) {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                debug!(%error, "the count of runs stays");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_crash_costs_nothing_and_a_loop_a_minute_at_the_most() {
        let seconds: Vec<_> = (0..9).map(|n| delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn runs_are_counted_until_a_good_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = || Restarts::count_in(folder.path().to_owned());
        assert_eq!(count().bad_runs, 0);
        assert_eq!(count().bad_runs, 1);
        let third = count();
        assert_eq!(third.bad_runs, 2);
        third.good();
        assert_eq!(count().bad_runs, 0);
    }

    #[test]
    fn a_count_that_cannot_be_read_or_written_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("bad-runs"), "junk").expect("written");
        assert_eq!(Restarts::count_in(folder.path().to_owned()).bad_runs, 0);
        assert_eq!(Restarts::count_in("/no/such/folder".into()).bad_runs, 0);
    }
}
