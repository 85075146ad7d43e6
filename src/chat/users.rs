//! The users file: read by the chat server, changed by `camera-agent chat-user`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::login::{self, TextError, Users};
use crate::state;

/// Why users cannot be read or changed. Each names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// There is none.
    #[error(
        "there is no users file {path}: make it with `camera-agent chat-user add NAME --file {path}`",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// Others than its owner may read or change it.
    #[error(
        "the users file {path} is open to others (mode {mode:o}): chmod 600 {path}",
        path = .path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// This user may not.
    #[error(
        "the users file {path} is for another user: let it belong to who runs the chat server \
         (chown), and change it as them or as root",
        path = .0.display()
    )]
    Denied(PathBuf),
    /// It cannot be read or written.
    #[error("the users file {path}: {error}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is damaged.
    #[error(
        "the users file {path}: {error}. Put it right, or take that line away and add the user anew",
        path = .path.display()
    )]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: TextError,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Refused(String),
}

/// Tells one text of a file from another without reading it; `None` for no file.
pub(super) type UsersStamp = Option<[u64; 6]>;

/// Where the users are.
#[derive(Debug, Clone)]
pub struct UsersFile {
    path: PathBuf,
}

impl UsersFile {
    /// The one at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether the file is another than it was.
    pub fn stamp(&self) -> UsersStamp {
        let m = fs::metadata(&self.path).ok()?;
        let at = [m.mtime(), m.mtime_nsec(), m.ctime_nsec()].map(i64::cast_unsigned);
        Some([m.dev(), m.ino(), m.mode().into(), at[0], at[1], at[2]])
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub fn read(&self) -> Result<Users, UsersError> {
        // Not waiting for a pipe's other end.
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = opened
            .open(&self.path)
            .map_err(|error| self.failed(error))?;
        let known = file.metadata().map_err(|error| self.failed(error))?;
        if !known.is_file() {
            return Err(self.failed(io::Error::other("it is no file")));
        }
        let mode = known.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = self.path.clone();
            return Err(UsersError::Open { path, mode });
        }
        let mut text = String::new();
        // One byte more, and it is seen to be too long.
        let most = login::LONGEST as u64 + 1;
        file.take(most)
            .read_to_string(&mut text)
            .map_err(|error| self.failed(error))?;
        Users::read(&text).map_err(|error| UsersError::Text {
            path: self.path.clone(),
            error,
        })
    }

    /// Changes it, while nobody else does; one that is not there is made.
    ///
    /// # Errors
    ///
    /// Whatever `change` says, or the file cannot be used; then it is as before.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Users) -> Result<T, String>,
    ) -> Result<T, UsersError> {
        let _lock = self.lock()?;
        let mut users = match self.read() {
            Err(UsersError::Missing(_)) => Users::default(),
            read => read?,
        };
        let before = users.clone();
        let result = change(&mut users).map_err(UsersError::Refused)?;
        if users != before {
            state::replace(&self.path, &users.write()).map_err(|error| self.failed(error))?;
        }
        Ok(result)
    }

    /// Beside the file, which is itself replaced.
    fn lock(&self) -> Result<File, UsersError> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let path = self.path.with_file_name(name);
        state::lock(&path).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> UsersError {
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::NotFound => UsersError::Missing(path),
            io::ErrorKind::PermissionDenied => UsersError::Denied(path),
            _ => UsersError::Io { path, error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_one_that_is_open_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = UsersFile::new(folder.path().join("users"));
        assert!(matches!(file.read(), Err(UsersError::Missing(_))));
        let name = login::name("alice").expect("a name");
        let before = file.stamp();
        let token = file.change(|users| users.add_token(&name)).expect("made");
        assert_ne!(file.stamp(), before);
        let users = file.read().expect("readable");
        assert!(users.token(token.expose()).is_some());
        let mode = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
        for open in [0o640, 0o604, 0o620] {
            mode(open).expect("changed");
            let error = file.read().expect_err("refused").to_string();
            assert!(error.contains("chmod 600"), "{error}");
            assert!(file.change(|users| users.add_token(&name)).is_err());
        }
        mode(0o600).expect("changed");
        fs::write(file.path(), "alice:$argon2id$north").expect("written");
        let error = file.read().expect_err("refused").to_string();
        assert!(
            error.contains("line 1") && !error.contains("north"),
            "{error}"
        );
        let text = fs::read_to_string(file.path()).expect("text");
        let _ = file.change(|users| {
            let hash = login::hash(&Secret::new("north north"))?;
            users.set_password(&name, hash)
        });
        let after = fs::read_to_string(file.path()).expect("text");
        assert_eq!(after, text, "a damaged one stays as it is");
    }

    #[test]
    fn those_who_change_it_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = UsersFile::new(folder.path().join("users"));
        std::thread::scope(|scope| {
            for at in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    let name = login::name(&format!("user {at}")).expect("a name");
                    file.change(|users| users.add_token(&name)).expect("made");
                });
            }
        });
        assert_eq!(file.read().expect("readable").iter().count(), 8);
    }
}
