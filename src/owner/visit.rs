//! The test call of a set-up, which one person is invited to and nobody else.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::{OwnerError, Paper, refused};
use crate::access::{May, Stage};
use crate::config::Config;
use crate::guestbook::Book;
use crate::wire::{MAX_NAME_BYTES, MAX_NAME_CHARS, UserName};

/// Behind the camera's name, so that no browser keeps this visit's key for it.
const SUFFIX: &str = " (test)";

/// A list of invitations with one in it, gone with this value.
#[derive(Debug)]
pub(crate) struct Visit {
    folder: PathBuf,
}

impl Visit {
    /// Has the camera of this configuration let in who is invited here, under a name
    /// of its own, and prints the invitation.
    ///
    /// # Errors
    ///
    /// There is no place for the list, or no way to show the link.
    pub(crate) fn of(config: &mut Config, out: &mut dyn Write) -> Result<Self, OwnerError> {
        let random: [u8; 8] = std::array::from_fn(|_| fastrand::u8(..));
        let name = format!("camera-agent-{:016x}", u64::from_be_bytes(random));
        let folder = std::env::temp_dir().join(name);
        let failed = |error: io::Error| refused(format!("{}: {error}", folder.display()));
        // Fails where it is there already: nobody else has made it.
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let visit = Self { folder };
        config.server.name = named(&config.server.name);
        config.access.folder = Some(visit.folder.clone());
        config.access.log = None;
        let label = UserName::parse("test call").map_err(refused)?;
        let paper = Paper::new(config, label, May::everything(), None, Stage::Shared)?;
        paper.enter(&Book::in_folder(&visit.folder), None)?;
        writeln!(out, "\n{}\n", paper.link.text())?;
        writeln!(
            out,
            "{}",
            paper.code.text(io::IsTerminal::is_terminal(&io::stdout()))
        )?;
        Ok(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn named(name: &str) -> String {
    let room = name.floor_char_boundary(MAX_NAME_BYTES - SUFFIX.len());
    let kept: String = name[..room]
        .chars()
        .take(MAX_NAME_CHARS - SUFFIX.len())
        .collect();
    format!("{}{SUFFIX}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_call_has_a_name_and_a_list_of_its_own() {
        let mut config = Config::default();
        config.server.name = "ก".repeat(64);
        let mut out = Vec::new();
        let visit = Visit::of(&mut config, &mut out).expect("there is a place");
        assert!(UserName::parse(&config.server.name).is_ok());
        assert!(config.server.name.ends_with(SUFFIX));
        let folder = config.access.folder.clone().expect("a folder");
        let list = Book::in_folder(&folder).read().expect("a list");
        assert_eq!(list.len(), 1);
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("#camera="), "{text}");
        drop(visit);
        assert!(!folder.exists());
    }
}
