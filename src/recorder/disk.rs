//! The files: a thread of its own, since a disk may take its time. What goes wrong
//! ends the file, and is told.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::statvfs;
use tracing::{debug, info, warn};

use super::catalogue::{Entry, Limits};
use super::clock::Clock;
use super::folder::{Folder, rename};
use super::names::{Id, Why};
use super::sweep::sweep;
use crate::lock::lock;

/// Fragments that wait for the disk. What was kept in memory comes at once, which is
/// half a minute and a few seconds; while that is written as much may follow.
const MOST_WAITING: usize = 80;
/// The same in bytes: all that may be kept in memory, and some.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// So many that were left without an end are tried again with each that begins.
const MEND_AT_ONCE: usize = 8;
/// The limits are looked at before each file, and after so many fragments of one.
const LOOK_EVERY: u32 = 10;
/// While nothing is to be done it is looked so often whether the folder is another:
/// a disk that was mounted later.
const FOLDER_EVERY: Duration = Duration::from_secs(10);

/// What is to be done.
pub(super) enum Job {
    /// Another file, with its first fragment.
    Begin {
        /// Its number, by which [`Report`]s say of which they are.
        film: u64,
        began: SystemTime,
        why: Why,
        bytes: Vec<u8>,
    },
    /// The next fragment.
    Append(Vec<u8>),
    /// What is beside them: a thumbnail. That it is written says nothing of the disk.
    Beside(Vec<u8>),
    /// No more comes.
    End(Duration),
    /// The same, and something of it is missing: it ends before that.
    GiveUp,
}

impl Job {
    /// Of what is to be written.
    fn bytes(&self) -> Option<usize> {
        match self {
            Self::Begin { bytes, .. } | Self::Append(bytes) | Self::Beside(bytes) => {
                Some(bytes.len())
            }
            Self::End(_) | Self::GiveUp => None,
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// More than its first fragment is on the disk.
    Works(u64),
    /// It could not be written, or not be ended, and why.
    Failed(u64, String),
}

/// A handle on the thread; it ends what it writes when this is dropped.
pub(super) struct Disk {
    jobs: Option<mpsc::SyncSender<Job>>,
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

/// What it was told and has not done yet.
#[derive(Default)]
struct Waiting {
    fragments: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    fn has_room(&self, bytes: usize) -> bool {
        self.fragments.load(Ordering::Acquire) < MOST_WAITING
            && self.bytes.load(Ordering::Acquire) + bytes <= MOST_BYTES
    }

    fn comes(&self, bytes: usize) {
        self.fragments.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn is_done(&self, bytes: usize) {
        self.fragments.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Disk {
    /// Calls `report` with what becomes of each file.
    pub(super) fn start(
        folder: Arc<Folder>,
        limits: Limits,
        clock: Clock,
        report: impl Fn(Report) + Send + 'static,
    ) -> io::Result<Self> {
        // Each that begins has one end, and is a fragment.
        let (jobs, inbox) = mpsc::sync_channel::<Job>(2 * MOST_WAITING + 1);
        let waiting = Arc::<Waiting>::default();
        let done = waiting.clone();
        let run = move || {
            let mut writer = Writer {
                unfinished: folder.scan(),
                folder,
                limits,
                clock,
                film: 0,
                file: None,
                fragments: 0,
            };
            writer.folder.changed();
            loop {
                let job = match inbox.recv_timeout(FOLDER_EVERY) {
                    Ok(job) => job,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        writer.look_at_folder();
                        continue;
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                };
                let bytes = job.bytes();
                match writer.obey(job) {
                    Ok(true) => report(Report::Works(writer.film)),
                    Ok(false) => {}
                    Err(error) => {
                        writer.give_up();
                        report(Report::Failed(writer.film, writer.words(&error)));
                    }
                }
                if let Some(bytes) = bytes {
                    done.is_done(bytes);
                }
            }
            writer.give_up();
        };
        let thread = std::thread::Builder::new()
            .name("recordings".into())
            .spawn(run)?;
        Ok(Self {
            jobs: Some(jobs),
            waiting,
            thread: Some(thread),
        })
    }

    /// False where the disk does not keep up, and has no room for a fragment. An end
    /// always finds room: there is one for each beginning at most.
    pub(super) fn tell(&self, job: Job) -> bool {
        let bytes = job.bytes();
        if bytes.is_some_and(|bytes| !self.waiting.has_room(bytes)) {
            return false;
        }
        if let Some(bytes) = bytes {
            self.waiting.comes(bytes);
        }
        let jobs = self.jobs.as_ref();
        jobs.is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

#[cfg(test)]
impl Disk {
    /// All that it was to write is written.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.fragments.load(Ordering::Acquire) == 0
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
    clock: Clock,
    /// The one that was begun last.
    film: u64,
    file: Option<Writing>,
    /// Of that one.
    fragments: u32,
    /// Those that have no end, since the disk refused it.
    unfinished: VecDeque<(Id, Why)>,
}

impl Writer {
    /// True where the file's second fragment is written: it goes well.
    fn obey(&mut self, job: Job) -> io::Result<bool> {
        match job {
            Job::Begin {
                film,
                began,
                why,
                bytes,
            } => {
                self.give_up();
                self.film = film;
                self.begin(began, why)?;
                self.append(&bytes)?;
                self.fragments = 1;
                self.mend_unfinished();
            }
            Job::Append(bytes) => {
                let is_written = self.append(&bytes)?;
                self.fragments += u32::from(is_written);
                if is_written && self.fragments.is_multiple_of(LOOK_EVERY) {
                    self.make_room()?;
                }
                return Ok(is_written && self.fragments == 2);
            }
            Job::Beside(bytes) => {
                self.append(&bytes)?;
                // Who sees it in a list asks for it again.
                self.folder.changed();
            }
            Job::End(length) => self.end(length)?,
            Job::GiveUp => self.give_up(),
        }
        Ok(false)
    }

    /// The disk takes something again.
    fn mend_unfinished(&mut self) {
        for _ in 0..self.unfinished.len().min(MEND_AT_ONCE) {
            if let Some((id, why)) = self.unfinished.pop_front() {
                match self.folder.mend(id, why) {
                    Ok(()) => self.folder.changed(),
                    Err(_) => self.unfinished.push_back((id, why)),
                }
            }
        }
    }

    fn begin(&mut self, began: SystemTime, why: Why) -> io::Result<()> {
        self.fragments = 0;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder.path)?;
        self.look_at_folder();
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

    /// False where the file was given up before.
    fn append(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Some(writing) = &mut self.file else {
            return Ok(false);
        };
        writing.file.write_all(bytes)?;
        // A cut of the power costs what is not on the disk.
        writing.file.sync_data()?;
        writing.entry.bytes += bytes.len() as u64;
        lock(&self.folder.catalogue).put(writing.id, writing.entry);
        Ok(true)
    }

    fn end(&mut self, length: Duration) -> io::Result<()> {
        let Some(mut writing) = self.file.take() else {
            return Ok(());
        };
        let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
        writing.entry.seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        let name = self.folder.path.join(writing.entry.file(writing.id));
        let renamed = rename(&writing.path, &name);
        let mut catalogue = lock(&self.folder.catalogue);
        catalogue.write(None);
        if renamed.is_ok() {
            catalogue.put(writing.id, writing.entry);
        }
        drop(catalogue);
        self.folder.changed();
        match &renamed {
            Ok(()) => info!(id = %writing.id, seconds, "recorded"),
            // It is all there, and is given its name when that can be done.
            Err(_) => {
                let which = (writing.id, writing.entry.why);
                self.unfinished.push_back(which);
            }
        }
        renamed
    }

    /// What was begun ends behind its last whole fragment.
    fn give_up(&mut self) {
        let Some(writing) = self.file.take() else {
            return;
        };
        drop(writing.file);
        lock(&self.folder.catalogue).write(None);
        let which @ (id, why) = (writing.id, writing.entry.why);
        if self.folder.mend(id, why).is_err() {
            self.unfinished.push_back(which);
        }
        self.folder.changed();
    }

    /// Where another disk is mounted there since, or none any more, what is known is
    /// what is there now.
    fn look_at_folder(&mut self) {
        if self.file.is_none() && self.folder.is_another() {
            self.unfinished = self.folder.scan();
            self.folder.changed();
        }
    }

    /// Deletes what is too much.
    fn make_room(&self) -> io::Result<()> {
        sweep(&self.folder, &self.limits, &self.clock, || {
            let disk = statvfs(&self.folder.path)?;
            Ok(disk.f_bavail * disk.f_frsize)
        })
    }

    fn words(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.folder.path.display())
    }
}

/// Says once that nothing is recorded, and once that something is again.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) is_failing: bool,
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
