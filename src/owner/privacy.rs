//! `camera-agent privacy`: camera and microphone closed, or not.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::OwnerError;
use crate::cli::{self, Wanted};
use crate::config::Config;
use crate::guestbook::BookError;
use crate::privacy::{By, Holder, Privacy};
use crate::state;

/// Switches it where that is asked for, and says how it is.
///
/// # Errors
///
/// There is no place to keep it, this user may not, or standard output is closed.
pub(crate) fn privacy(arguments: &cli::Privacy, out: &mut dyn Write) -> Result<(), OwnerError> {
    let (config, service) = arguments.of.configuration()?;
    let folder = folder(&config, service).ok_or(BookError::Nowhere)?;
    let may_look = std::fs::read_dir(&folder);
    if let Err(error) = may_look
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        return Err(BookError::Denied(folder).into());
    }
    let privacy = Privacy::in_folder(Some(folder.clone()));
    if let Some(wanted) = arguments.wanted {
        let set = privacy.set(wanted == Wanted::On, By::Owner);
        set.map_err(|error| refused(&folder, error))?;
    }
    privacy.hold(Holder::Configuration, config.privacy.always);
    let words = match (privacy.is_on(), config.privacy.always) {
        (true, true) => "on, and kept on by the configuration (privacy.always)",
        (true, false) => "on: camera and microphone stay closed",
        (false, _) => "off: camera and microphone are opened when somebody watches",
    };
    writeln!(out, "privacy is {words}")?;
    Ok(())
}

/// Where the device looks for it.
fn folder(config: &Config, service: Option<PathBuf>) -> Option<PathBuf> {
    let own = config.access.folder.clone();
    own.or(service).or_else(state::folder)
}

fn refused(folder: &Path, error: io::Error) -> OwnerError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => BookError::Denied(folder.to_owned()).into(),
        _ => OwnerError::Privacy {
            folder: folder.to_owned(),
            error,
        },
    }
}
