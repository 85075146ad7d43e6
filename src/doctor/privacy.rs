//! Whether camera and microphone are to stay closed: then nothing here opens
//! them either.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::finding::{Check, Finding};
use crate::config::Config;
use crate::privacy::{Key, Privacy};
use crate::state;

const CHECK: Check = Check::Privacy;

/// What keeps camera and microphone closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Nothing.
    No,
    /// The owner, with a command or on the page.
    Switched,
    /// The configuration (`privacy.always`).
    Always,
    /// The switch on the device.
    Cover,
    /// Nobody can tell: this user may not look where the owner's wish is kept.
    Unknown,
}

/// `service` is the service's state folder, where the configuration is one's.
pub(super) fn look(config: &Config, service: Option<PathBuf>) -> Closed {
    if config.privacy.always {
        return Closed::Always;
    }
    // A key that cannot be used is an error of the configuration.
    let key = Key::of(&config.privacy).ok().flatten();
    if key.as_ref().is_some_and(Key::is_closed) {
        return Closed::Cover;
    }
    let own = config.access.folder.clone();
    let Some(folder) = own.or(service).or_else(state::folder) else {
        return Closed::No;
    };
    if is_denied(&folder) {
        return Closed::Unknown;
    }
    let privacy = Privacy::in_folder(Some(folder));
    match privacy.is_on() {
        true => Closed::Switched,
        false => Closed::No,
    }
}

fn is_denied(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// What is to be said of it.
pub(super) fn judge(closed: Closed) -> Option<Finding> {
    let (what, remedy) = match closed {
        Closed::No => return None,
        Closed::Switched => (
            "privacy is on: viewers see a slate; camera and microphone were not tried",
            "`camera-agent privacy off` opens them again",
        ),
        Closed::Always => (
            "the configuration keeps privacy on (privacy.always): viewers see a slate; camera and \
             microphone were not tried",
            "take privacy.always out of the configuration",
        ),
        Closed::Cover => (
            "the switch on the device keeps privacy on: viewers see a slate; camera and \
             microphone were not tried",
            "open the switch that privacy.key names",
        ),
        Closed::Unknown => (
            "this user may not look whether the owner wants privacy; camera and microphone were \
             not tried",
            "run this as the service's user: `sudo -u camera-agent camera-agent doctor …`",
        ),
    };
    Some(Finding::hint(CHECK, what, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_owner_wants_is_found_where_the_device_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.access.folder = Some(folder.path().to_owned());
        assert_eq!(look(&config, None), Closed::No);
        assert_eq!(judge(Closed::No), None);
        std::fs::write(folder.path().join("privacy"), "owner").expect("written");
        assert_eq!(look(&config, None), Closed::Switched);
        config.privacy.always = true;
        assert_eq!(look(&config, None), Closed::Always);
    }

    #[test]
    fn each_says_how_it_is_opened_again() {
        for closed in [
            Closed::Switched,
            Closed::Always,
            Closed::Cover,
            Closed::Unknown,
        ] {
            let finding = judge(closed).expect("something is said");
            assert!(finding.what.contains("were not tried"), "{finding:?}");
            assert!(finding.remedy.is_some());
        }
    }
}
