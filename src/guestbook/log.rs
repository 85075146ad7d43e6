//! The log of calls: one JSON object a line, in a file that does not grow
//! without end.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::agent::audit::Note;
use crate::state;
use crate::wire::UserName;

/// A file that has so many bytes is put aside.
const LARGEST: u64 = 1_000_000;
/// Files that are kept beside it: FILE.1 is the newest.
const KEPT: u32 = 4;

/// The log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    largest: u64,
}

impl Log {
    /// The one in this file, which is made when there is something to say.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            largest: LARGEST,
        }
    }

    /// Writes a line.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, note: &Note, now: SystemTime) -> io::Result<()> {
        let line = json!({
            "time": super::time::rfc3339(super::seconds(now)),
            "call": note.outcome.word(),
            "name": note.caller.to_string(),
            "label": note.label.as_ref().map(UserName::to_string),
            "invitation": note.invitation.map(|id| id.to_string()),
            "seconds": note.duration.map(|d| (d.as_secs_f64() * 10.0).round() / 10.0),
            "why": note.why,
        });
        let mut file = state::open(&self.path)?;
        if file.metadata()?.len() >= self.largest {
            self.put_aside()?;
            file = state::open(&self.path)?;
        }
        // At once: another process's line is not in the middle of it.
        file.write_all(format!("{line}\n").as_bytes())
    }

    fn put_aside(&self) -> io::Result<()> {
        let numbered = |n: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        for n in (1..KEPT).rev() {
            match std::fs::rename(numbered(n), numbered(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        std::fs::rename(&self.path, numbered(1))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::access::KeyId;
    use crate::agent::audit::Outcome;

    fn name(text: &str) -> UserName {
        UserName::parse(text).expect("a name")
    }

    #[test]
    fn a_line_says_who_called_and_no_key_and_old_files_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.log");
        let log = Log {
            path: path.clone(),
            largest: 1_000,
        };
        let note = Note {
            outcome: Outcome::Ended,
            caller: name("al"),
            label: Some(name("alice")),
            invitation: Some(KeyId([0; 8])),
            duration: Some(Duration::from_millis(61_234)),
            why: "hung up".into(),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_906_280);
        for _ in 0..60 {
            log.write(&note, now).expect("written");
        }
        let text = std::fs::read_to_string(&path).expect("there");
        let line: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(
            line,
            json!({"time": "2026-11-28T22:51:20Z", "call": "ended", "name": "al",
                "label": "alice", "invitation": "AAAAAAAAAAA", "seconds": 61.2, "why": "hung up"})
        );
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .expect("there")
            .map(|f| f.expect("a file").path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 1 + KEPT as usize, "{files:?}");
        for file in files {
            let meta = std::fs::metadata(file).expect("there");
            assert!(meta.len() < 1_300 && meta.permissions().mode() & 0o777 == 0o600);
        }
    }

    #[test]
    fn of_an_invitation_that_was_taken_back_its_id_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.log");
        let note = Note {
            outcome: Outcome::Refused,
            caller: name("al"),
            label: None,
            invitation: Some(KeyId([0; 8])),
            duration: None,
            why: "not known".into(),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_906_280);
        Log::at(&path).write(&note, now).expect("written");
        let text = std::fs::read_to_string(&path).expect("there");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            line,
            json!({"time": "2026-11-28T22:51:20Z", "call": "refused", "name": "al",
                "label": null, "invitation": "AAAAAAAAAAA", "seconds": null, "why": "not known"})
        );
    }
}
