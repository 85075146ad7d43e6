//! Whether recordings can be kept where they are to be.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::finding::{Check, Finding};
use crate::config::Config;
use crate::{recorder, state};

const CHECK: Check = Check::Recording;
/// A million bytes.
const MB: u64 = 1_000_000;

/// `service` is the service's state folder, where the configuration is one's.
pub(super) fn check(config: &Config, service: Option<PathBuf>) -> Vec<Finding> {
    if !config.recording.is_on() {
        return Vec::new();
    }
    let own = config.access.folder.clone().or(service);
    let Some(folder) = recorder::folder(config, own.or_else(state::folder)) else {
        return vec![Finding::error(
            CHECK,
            "there is no folder to keep recordings in",
            "name one in recording.folder",
        )];
    };
    let shown = folder.display();
    vec![match room(&folder) {
        Ok(free) if free / MB < config.recording.free_mb => Finding::warning(
            CHECK,
            format!("{shown}: {} MB are free there", free / MB),
            format!(
                "nothing is recorded while less than recording.free_mb, {}, are free: make room, \
                 or take another recording.folder",
                config.recording.free_mb
            ),
        ),
        Ok(free) => Finding::ok(
            CHECK,
            format!("{shown} can be written to, {} MB are free there", free / MB),
        ),
        Err(error) => Finding::warning(
            CHECK,
            format!("{shown} cannot be written to: {error}"),
            "nothing is recorded until it can, by the user that the device runs as; the service \
             may write to its own folder alone (docs/recording.md)",
        ),
    }]
}

/// Bytes that are free, where a file can be made.
fn room(folder: &Path) -> io::Result<u64> {
    let mut ancestors = folder.ancestors();
    // It is made for the first recording.
    let there = ancestors.find(|ancestor| ancestor.is_dir());
    let there = there.ok_or(io::ErrorKind::NotFound)?;
    tempfile::tempfile_in(there)?;
    let disk = statvfs(there)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_folder_is_tried_where_something_is_recorded() {
        let home = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        assert_eq!(check(&config, None), []);
        config.recording.button = true;
        config.recording.free_mb = 0;
        let service = Some(home.path().to_owned());
        let severity = |config: &Config| check(config, service.clone())[0].severity;
        assert_eq!(severity(&config), Severity::Ok);
        config.recording.free_mb = 16_000_000;
        assert_eq!(severity(&config), Severity::Warning);
        config.recording.folder = Some("/proc/recordings".into());
        assert_eq!(severity(&config), Severity::Warning);
    }
}
