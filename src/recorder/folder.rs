//! The folder: what is in it, and what becomes of files that have no end. All of it
//! blocks.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::sync::watch;
use tracing::{debug, info};

use super::boxes;
use super::catalogue::{Catalogue, Entry};
use super::names::{Id, Why, read};
use crate::lock::lock;

/// The folder, as all see it.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) catalogue: Mutex<Catalogue>,
    /// One has begun, has ended or is gone: the number of times.
    pub(super) changes: watch::Sender<u64>,
    /// The device and the inode of what was looked through last.
    seen: Mutex<Option<(u64, u64)>>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            catalogue: Mutex::default(),
            changes: watch::Sender::default(),
            seen: Mutex::default(),
        })
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|times| *times += 1);
    }

    /// Opens one to be read. Blocks.
    pub(super) fn open(&self, id: Id) -> io::Result<File> {
        // It gets its last name as it ends: the second time is behind that.
        let open = || {
            let entry = lock(&self.catalogue).get(id);
            let entry = entry.ok_or(io::ErrorKind::NotFound)?;
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(self.path.join(entry.file(id)))?;
            Ok(file)
        };
        open().or_else(|_: io::Error| open())
    }

    /// Deletes one that is not being written. Blocks.
    pub(super) fn delete(&self, id: Id) -> io::Result<()> {
        let entry = {
            let catalogue = lock(&self.catalogue);
            if catalogue.is_being_written(id) {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            catalogue.get(id).ok_or(io::ErrorKind::NotFound)?
        };
        match fs::remove_file(self.path.join(entry.file(id))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        lock(&self.catalogue).remove(id);
        self.changed();
        Ok(())
    }

    /// What is there now is another folder than was looked through, or there is one now,
    /// or none any more. Blocks.
    pub(super) fn is_another(&self) -> bool {
        *lock(&self.seen) != which(&self.path)
    }

    /// What is there, whatever was known before; which of it have no end, and could not
    /// be given one. While none is written.
    pub(super) fn scan(&self) -> VecDeque<(Id, Why)> {
        *lock(&self.seen) = which(&self.path);
        *lock(&self.catalogue) = Catalogue::default();
        let mut unfinished = Vec::new();
        let Ok(files) = fs::read_dir(&self.path) else {
            return VecDeque::new();
        };
        for file in files.flatten() {
            let name = file.file_name();
            let Some((id, why, seconds)) = name.to_str().and_then(read) else {
                continue;
            };
            let Ok(known) = file.metadata() else { continue };
            if !known.is_file() {
                continue;
            }
            let bytes = known.len();
            let entry = Entry {
                why,
                seconds,
                bytes,
            };
            match seconds {
                Some(_) => lock(&self.catalogue).put(id, entry),
                None => unfinished.push((id, entry)),
            }
        }
        let mut left = VecDeque::new();
        for (id, entry) in unfinished {
            let mut catalogue = lock(&self.catalogue);
            // There are two files of its name, of which one has an end.
            if catalogue.get(id).is_some() {
                continue;
            }
            catalogue.put(id, entry);
            drop(catalogue);
            if self.mend(id, entry.why).is_err() {
                left.push_back((id, entry.why));
            }
        }
        left
    }

    /// Gives one whose end was never written an end, behind its last whole fragment.
    /// One that has no such fragment, or is not there, is forgotten.
    pub(super) fn mend(&self, id: Id, why: Why) -> io::Result<()> {
        let mended = self.cut(id, why);
        match &mended {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                lock(&self.catalogue).remove(id);
                return Ok(());
            }
            Err(error) => debug!(%id, %error, "a recording stays without an end"),
            Ok(()) => {}
        }
        mended
    }

    fn cut(&self, id: Id, why: Why) -> io::Result<()> {
        let mut entry = Entry {
            why,
            seconds: None,
            bytes: 0,
        };
        let path = self.path.join(entry.file(id));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)?;
        let Some(whole) = boxes::whole(&mut file)? else {
            fs::remove_file(&path)?;
            lock(&self.catalogue).remove(id);
            return Ok(());
        };
        file.set_len(whole.bytes)?;
        (entry.seconds, entry.bytes) = (Some(whole.seconds), whole.bytes);
        rename(&path, &self.path.join(entry.file(id)))?;
        info!(%id, seconds = whole.seconds, "a recording that was cut off is whole up to there");
        lock(&self.catalogue).put(id, entry);
        Ok(())
    }
}

fn which(path: &Path) -> Option<(u64, u64)> {
    let known = fs::metadata(path).ok()?;
    Some((known.dev(), known.ino()))
}

/// Without another one's being overwritten.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that has no such thing; the name is one that is free.
        Err(rustix::io::Errno::INVAL) => fs::rename(from, to),
        result => Ok(result?),
    }
}
