//! `access.toml`: read by anybody who may, changed by one at a time.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::access::store::{self, StoreError};
use crate::access::{Invitation, Key, KeyId, Stage};
use crate::config::Config;
use crate::state;

const FILE: &str = "access.toml";
/// Held by who changes the file, since the file itself is replaced.
const LOCK: &str = "access.lock";

/// Why invitations cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// There is no place for them.
    #[error("there is no folder to keep invitations in: name one in access.folder")]
    Nowhere,
    /// This user may not.
    #[error(
        "{0} is for the camera's user alone: run this with sudo; for a camera that you run \
         yourself, name its configuration with --config, and in that access.folder"
    )]
    Denied(PathBuf),
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not as it was written.
    #[error(
        "{path} is damaged: {error}. Put it right, or take it away and invite everybody anew; \
         until then it stays as it is"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: StoreError,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Refused(String),
}

/// Which text a file had: another one has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u64; 6]);

/// The invitations in a folder.
#[derive(Debug, Clone)]
pub struct Book {
    folder: PathBuf,
}

/// Others may not read the keys: where they could, as after a backup was put
/// back, they can no longer.
fn hide(path: &Path, file: &File) {
    let Ok(known) = file.metadata() else { return };
    if known.mode() & 0o077 == 0 {
        return;
    }
    let path = path.display();
    match file.set_permissions(fs::Permissions::from_mode(0o600)) {
        Ok(()) => warn!(
            %path,
            "others could read who was invited, with the keys; now they cannot. Whoever did is \
             invited: take back what may have been read, and invite anew"
        ),
        Err(error) => {
            warn!(%path, %error, "others can read who was invited, with the keys: chmod 600")
        }
    }
}

impl Book {
    /// Those of the device that runs with this configuration, for a command beside
    /// it: where it is a service's, in the `service`'s folder.
    ///
    /// # Errors
    ///
    /// There is no place for them.
    pub fn of(config: &Config, service: Option<PathBuf>) -> Result<Self, BookError> {
        let own = config.access.folder.clone();
        let folder = own.or(service).or_else(state::folder);
        folder.map(Self::in_folder).ok_or(BookError::Nowhere)
    }

    /// Those in this folder, which need not be there yet.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Who was invited; nobody, where there is no file.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be used.
    pub fn read(&self) -> Result<Vec<Invitation>, BookError> {
        let path = self.path();
        let file = state::read(&path);
        if let Ok(file) = &file {
            hide(&path, file);
        }
        let mut text = String::new();
        // One byte more, and it is seen to be too long.
        let most = store::LONGEST as u64 + 1;
        match file.and_then(|file| file.take(most).read_to_string(&mut text)) {
            Ok(_) => store::read(&text).map_err(|error| BookError::Damaged { path, error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Tells one text from another without reading it; `None` for no file.
    ///
    /// # Errors
    ///
    /// It cannot be looked at.
    pub fn stamp(&self) -> Result<Option<Stamp>, BookError> {
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(m) => Ok(Some(Stamp([
                m.dev(),
                m.ino(),
                m.size(),
                m.mtime().cast_unsigned(),
                m.mtime_nsec().cast_unsigned(),
                m.ctime_nsec().cast_unsigned(),
            ]))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Changes the list, while nobody else does.
    ///
    /// # Errors
    ///
    /// Whatever `change` says, or the file cannot be used; then it is as before.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Invitation>) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let _lock = self.lock()?;
        let mut invitations = self.read()?;
        let before = invitations.clone();
        let result = change(&mut invitations)?;
        if invitations != before {
            let path = self.path();
            let text = store::write(&invitations);
            state::replace(&path, &text).map_err(|error| failed(path, error))?;
        }
        Ok(result)
    }

    /// Makes a key for a browser that came by a link with the key of this name.
    ///
    /// # Errors
    ///
    /// It cannot be kept.
    pub fn give(&self, link: KeyId) -> Result<Option<(KeyId, Key)>, BookError> {
        self.change(|invitations| {
            let of_link = |i: &&mut Invitation| i.stage == Stage::Link && i.key.0 == link;
            let Some(invitation) = invitations.iter_mut().find(of_link) else {
                return Ok(None);
            };
            let (id, key) = (KeyId::random(), Key::random());
            invitation.give(id, key.clone());
            Ok(Some((id, key)))
        })
    }

    /// A browser has kept the key of this name.
    ///
    /// # Errors
    ///
    /// That cannot be written.
    pub fn keep(&self, id: KeyId) -> Result<bool, BookError> {
        self.change(|invitations| Ok(invitations.iter_mut().any(|i| i.keep(id))))
    }

    fn lock(&self) -> Result<File, BookError> {
        let path = self.folder.join(LOCK);
        state::lock(&path).map_err(|error| failed(path, error))
    }
}

fn failed(path: PathBuf, error: io::Error) -> BookError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => BookError::Denied(path),
        _ => BookError::Io { path, error },
    }
}
