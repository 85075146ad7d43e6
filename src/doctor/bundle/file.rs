//! Shell: the file that a bundle is written to. It is this user's alone, and never
//! another one's place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why there is no such file, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the report {path}: {problem}")]
pub(crate) struct FileError {
    path: PathBuf,
    problem: String,
}

/// A place for a new file.
#[derive(Debug)]
pub(crate) struct Fresh(PathBuf);

impl Fresh {
    /// Tries it, before there is anything to write: what is wrong with its name is
    /// said at once. It is left as it was, for whoever waits no longer.
    ///
    /// # Errors
    ///
    /// Something of that name is there, or this user may not write there.
    pub(crate) fn at(path: &Path) -> Result<Self, FileError> {
        create(path)
            .and_then(|_| fs::remove_file(path))
            .map_err(|error| failed(path, &error))?;
        Ok(Self(path.to_owned()))
    }

    /// Writes the whole for this user's eyes, and says where it is.
    ///
    /// # Errors
    ///
    /// It cannot be written, and is gone; or something has come there since.
    pub(crate) fn write(self, text: &str) -> Result<PathBuf, FileError> {
        let Self(path) = self;
        let mut file = create(&path).map_err(|error| failed(&path, &error))?;
        let written = file.write_all(text.as_bytes());
        if let Err(error) = written.and_then(|()| file.sync_all()) {
            let _ = fs::remove_file(&path);
            return Err(failed(&path, &error));
        }
        Ok(path)
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn failed(path: &Path, error: &io::Error) -> FileError {
    let problem = match error.kind() {
        ErrorKind::AlreadyExists => {
            "it is there already, and is not written over: name another file, or take that one away"
                .to_owned()
        }
        ErrorKind::NotFound => "its folder is not there: make it, or name another file".to_owned(),
        ErrorKind::PermissionDenied => {
            "this user may not write there: name a file in a folder of theirs, as /tmp is for all"
                .to_owned()
        }
        ErrorKind::StorageFull => "the disk is full: name a file on another one".to_owned(),
        _ => format!("{error}: name another file"),
    };
    FileError {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_its_user_s_alone_and_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        let fresh = Fresh::at(&path).expect("a place");
        assert!(!path.exists(), "nothing was written");
        assert_eq!(fresh.write("text").expect("written"), path);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).expect("text"), "text");
    }

    #[test]
    fn nothing_is_written_over_and_each_problem_has_a_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let there = folder.path().join("there");
        fs::write(&there, "mine").expect("written");
        let link = folder.path().join("link");
        symlink(folder.path().join("nothing"), &link).expect("made");
        for (path, words) in [
            (there.clone(), "take that one away"),
            (link, "take that one away"),
            (folder.path().join("no/such"), "its folder is not there"),
            (there.join("below"), "name another file"),
        ] {
            let error = Fresh::at(&path).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        assert_eq!(fs::read_to_string(&there).expect("text"), "mine");
    }
}
