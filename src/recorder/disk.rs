//! The files: a thread of its own, since a disk may take its time. What goes wrong
//! ends the file, and is told.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::boxes;
use super::catalogue::{Catalogue, Entry, Limits};
use super::names::{Id, Why, read};
use crate::lock::lock;

/// Fragments and ends that wait for the disk: more than half a minute of them.
const QUEUE: usize = 40;
/// The limits are looked at before each file, and after so many fragments of one.
const LOOK_EVERY: u32 = 10;

/// What is to be done.
pub(super) enum Job {
    /// Another file, with its first fragment.
    Begin {
        began: SystemTime,
        why: Why,
        bytes: Vec<u8>,
    },
    /// The next fragment.
    Append(Vec<u8>),
    /// No more comes.
    End(Duration),
}

/// Why a file could not be written.
#[derive(Debug, Clone)]
pub(super) struct Trouble(pub(super) String);

/// The folder, as all see it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) catalogue: Mutex<Catalogue>,
    /// One has begun, has ended or is gone: the number of times.
    pub(super) changes: watch::Sender<u64>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            catalogue: Mutex::default(),
            changes: watch::Sender::default(),
        })
    }

    fn changed(&self) {
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

    /// What was there before.
    fn scan(&self) {
        let Ok(files) = fs::read_dir(&self.path) else {
            return;
        };
        let mut unfinished = Vec::new();
        for file in files.flatten() {
            let name = file.file_name();
            let Some((id, why, seconds)) = name.to_str().and_then(read) else {
                continue;
            };
            let Ok(known) = file.metadata() else { continue };
            if !known.is_file() {
                continue;
            }
            match seconds {
                Some(_) => {
                    let bytes = known.len();
                    let entry = Entry {
                        why,
                        seconds,
                        bytes,
                    };
                    lock(&self.catalogue).put(id, entry);
                }
                None => unfinished.push((id, why)),
            }
        }
        for (id, why) in unfinished {
            if let Err(error) = self.mend(id, why) {
                debug!(%id, %error, "a recording without an end stays as it is");
            }
        }
    }

    /// Gives one whose end was never written an end, behind its last whole fragment.
    fn mend(&self, id: Id, why: Why) -> io::Result<()> {
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
            return fs::remove_file(&path);
        };
        file.set_len(whole.bytes)?;
        (entry.seconds, entry.bytes) = (Some(whole.seconds), whole.bytes);
        rename(&path, &self.path.join(entry.file(id)))?;
        info!(%id, seconds = whole.seconds, "a recording that was cut off is whole up to there");
        lock(&self.catalogue).put(id, entry);
        Ok(())
    }
}

/// Without another one's being overwritten.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that has no such thing; the name is one that is free.
        Err(rustix::io::Errno::INVAL) => fs::rename(from, to),
        result => Ok(result?),
    }
}

/// A handle on the thread; it ends what it writes when this is dropped.
pub(super) struct Disk {
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Calls `trouble` when a file could not be written, once for each.
    pub(super) fn start(
        folder: Arc<Folder>,
        limits: Limits,
        trouble: impl Fn(Trouble) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::sync_channel(QUEUE);
        let run = move || {
            let mut writer = Writer {
                folder,
                limits,
                file: None,
                fragments: 0,
            };
            writer.folder.scan();
            writer.folder.changed();
            for job in inbox {
                if let Err(error) = writer.obey(job) {
                    writer.give_up();
                    trouble(Trouble(writer.words(&error)));
                }
            }
            writer.give_up();
        };
        let thread = std::thread::Builder::new()
            .name("recordings".into())
            .spawn(run)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// False where the disk does not keep up.
    pub(super) fn tell(&self, job: Job) -> bool {
        self.jobs
            .as_ref()
            .is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

impl Drop for Disk {
    /// Waits for what is on its way to the disk; called where that may block.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writing {
    id: Id,
    entry: Entry,
    path: PathBuf,
    file: File,
}

struct Writer {
    folder: Arc<Folder>,
    limits: Limits,
    file: Option<Writing>,
    fragments: u32,
}

/// Nothing is left to delete.
#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("less is free there than recording.free_mb says")
    }
}

impl std::error::Error for Full {}

impl Writer {
    fn obey(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Begin { began, why, bytes } => {
                self.give_up();
                self.begin(began, why)?;
                self.append(&bytes)
            }
            Job::Append(bytes) => self.append(&bytes),
            Job::End(length) => self.end(length),
        }
    }

    fn begin(&mut self, began: SystemTime, why: Why) -> io::Result<()> {
        self.fragments = 0;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder.path)?;
        self.make_room()?;
        let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = lock(&self.folder.catalogue).free_id(began.as_secs());
        let id = id.ok_or(io::ErrorKind::AlreadyExists)?;
        let entry = Entry {
            why,
            seconds: None,
            bytes: 0,
        };
        let path = self.folder.path.join(entry.file(id));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let mut catalogue = lock(&self.folder.catalogue);
        catalogue.put(id, entry);
        catalogue.write(Some(id));
        drop(catalogue);
        self.folder.changed();
        debug!(%id, ?why, "recording");
        self.file = Some(Writing {
            id,
            entry,
            path,
            file,
        });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(writing) = &mut self.file else {
            return Ok(());
        };
        writing.file.write_all(bytes)?;
        // A cut of the power costs what is not on the disk.
        writing.file.sync_data()?;
        writing.entry.bytes += bytes.len() as u64;
        lock(&self.folder.catalogue).put(writing.id, writing.entry);
        self.fragments += 1;
        if self.fragments.is_multiple_of(LOOK_EVERY) {
            self.make_room()?;
        }
        Ok(())
    }

    fn end(&mut self, length: Duration) -> io::Result<()> {
        let Some(mut writing) = self.file.take() else {
            return Ok(());
        };
        let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
        writing.entry.seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        let renamed = rename(
            &writing.path,
            &self.folder.path.join(writing.entry.file(writing.id)),
        );
        let mut catalogue = lock(&self.folder.catalogue);
        catalogue.write(None);
        match renamed {
            Ok(()) => catalogue.put(writing.id, writing.entry),
            Err(_) => catalogue.remove(writing.id),
        }
        drop(catalogue);
        self.folder.changed();
        info!(id = %writing.id, seconds, "recorded");
        renamed
    }

    /// What was begun ends behind its last whole fragment.
    fn give_up(&mut self) {
        let Some(writing) = self.file.take() else {
            return;
        };
        drop(writing.file);
        let mut catalogue = lock(&self.folder.catalogue);
        catalogue.write(None);
        catalogue.remove(writing.id);
        drop(catalogue);
        if let Err(error) = self.folder.mend(writing.id, writing.entry.why) {
            debug!(id = %writing.id, %error, "a recording stays without an end");
        }
        self.folder.changed();
    }

    /// Deletes what is too much.
    fn make_room(&self) -> io::Result<()> {
        loop {
            let disk = statvfs(&self.folder.path)?;
            let free = disk.f_bavail * disk.f_frsize;
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs();
            let surplus = lock(&self.folder.catalogue).surplus(&self.limits, now, free);
            match surplus {
                Some(id) => {
                    self.folder.delete(id)?;
                    info!(%id, "the oldest recording was deleted to make room");
                }
                None if free < self.limits.free => {
                    return Err(io::Error::new(io::ErrorKind::StorageFull, Full));
                }
                None => return Ok(()),
            }
        }
    }

    fn words(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.folder.path.display())
    }
}

/// Says once that nothing is recorded, and once that something is again.
#[derive(Debug, Default)]
pub(super) struct Said {
    is_failing: bool,
}

impl Said {
    pub(super) fn trouble(&mut self, problem: &str, again: Duration) {
        if std::mem::replace(&mut self.is_failing, true) {
            debug!(problem, "nothing is recorded still");
        } else {
            warn!(
                problem,
                "nothing is recorded until this is mended; it is tried every {} s, and calls go on",
                again.as_secs()
            );
        }
    }

    pub(super) fn works(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            info!("recording goes on");
        }
    }
}
