//! Recordings: keeps what viewers are sent, as it is, in files of this device's.
//!
//! The recorder is one more viewer of the whole picture and of the sound: it shares
//! their frames, and nothing is encoded for it twice. While it is off there is none
//! of it: no task, no thread, no memory.
//!
//! * [`wish`] says whether something is recorded, [`ring`] keeps what was a moment
//!   ago, [`picture`] reads frames, [`film`] makes a file of them,
//!   [`boxes`] reads one whose end is missing, [`names`] and [`catalogue`] say what
//!   there is and which goes next. None of these touches a file or a clock.
//! * [`thumbnail`] waits for a small picture of each.
//! * `run` takes frames and is a task; [`disk`] writes files and is a thread; [`sweep`]
//!   deletes what is too much; [`mod@folder`] is what both and viewers know of them,
//!   [`clock`] what they are named by.

mod boxes;
mod catalogue;
mod clock;
mod disk;
mod film;
mod folder;
mod names;
mod picture;
mod ring;
mod run;
mod sweep;
mod thumbnail;
mod wish;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::bucket::{Bucket, Rate};
use crate::config::{AudioSource, Config, RecordingConfig};
use crate::lock::lock;
use crate::media::hub::Hub;
pub(crate) use catalogue::Entry;
use catalogue::Limits;
use clock::Clock;
use disk::Disk;
use folder::Folder;
pub(crate) use names::{Id, Why};
use run::Run;
use wish::Wish;

/// A million bytes.
const MB: u64 = 1_000_000;
/// Seconds of a day.
const DAY: u64 = 86_400;
/// Whoever presses the button, one begins no more often than this: each takes room
/// that others had.
const PRESSES: Rate = Rate {
    burst: 1.0,
    per_second: 0.1,
};
/// What became of files, until it is looked at: two for each that waits, and more.
const REPORTS: usize = 256;
/// Where recordings are, in the state folder.
const FOLDER: &str = "recordings";

/// Why nothing can be recorded.
type Trouble = watch::Receiver<Option<Arc<str>>>;

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Viewers {
    /// They take the picture and are there.
    count: usize,
    /// One of them takes H.264.
    h264: bool,
    /// One of them was invited, or nobody ever was.
    invited: bool,
}

/// What the device records; it ends what it writes when it is [stopped](Self::stop).
pub(crate) struct Recorder {
    hub: Hub,
    private: watch::Receiver<bool>,
    wanted: Option<Wanted>,
    recordings: Recordings,
    viewers: watch::Sender<Viewers>,
    aside: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// Why a button does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotPressed {
    /// There is none.
    NoButton,
    /// One was begun just now.
    TooOften,
    /// The owner wants privacy.
    Private,
    /// The disk has refused just now, and why.
    Failing(Arc<str>),
}

/// What is recorded now.
pub(crate) struct Now {
    /// Why; `None` where nothing is.
    pub(crate) why: watch::Receiver<Option<Why>>,
    /// Changes with what there is.
    pub(crate) list: watch::Receiver<u64>,
    /// Why nothing can be recorded, until it is tried again; `None` where nothing is wrong.
    pub(crate) trouble: Trouble,
    /// Viewers may begin and end one.
    pub(crate) has_button: bool,
    of: Recordings,
}

impl Now {
    /// Waits for a change, of which recorder records, too; false where none does any more.
    pub(crate) async fn changed(&mut self) -> bool {
        let is_there = tokio::select! {
            why = self.why.changed() => why.is_ok(),
            list = self.list.changed() => list.is_ok(),
            trouble = self.trouble.changed() => trouble.is_ok(),
        };
        if is_there {
            return true;
        }
        // This one has ended; where another follows on it, it is there already.
        match self.of.state() {
            Some(now) => {
                *self = now;
                true
            }
            None => false,
        }
    }
}

/// What is recorded, and how.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    config: RecordingConfig,
    folder: PathBuf,
    has_sound: bool,
    /// What the picture has in bit/s while nobody watches.
    rate: u32,
}

/// Where recordings are; `state` is the device's state folder.
pub(crate) fn folder(config: &Config, state: Option<PathBuf>) -> Option<PathBuf> {
    let own = || Some(state?.join(FOLDER));
    config.recording.folder.clone().or_else(own)
}

impl Wanted {
    /// `None` where nothing is.
    fn of(config: &Config, state: Option<PathBuf>) -> Option<Self> {
        let wanted = &config.recording;
        if !wanted.is_on() {
            return None;
        }
        let Some(folder) = folder(config, state) else {
            warn!("nothing is recorded: there is no state folder; name one in recording.folder");
            return None;
        };
        Some(Self {
            config: wanted.clone(),
            folder,
            has_sound: config.audio.source != AudioSource::None,
            rate: config.video.bitrate_kbps.saturating_mul(1000),
        })
    }

    fn limits(&self) -> Limits {
        Limits {
            bytes: self.config.total_mb * MB,
            age: u64::from(self.config.age_days) * DAY,
            free: self.config.free_mb * MB,
            strangers: self.config.strangers_percent.into(),
        }
    }
}

/// What was recorded, and the button; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Recordings(Arc<Mutex<Option<Live>>>);

/// A recorder that runs.
#[derive(Clone)]
struct Live {
    folder: Arc<Folder>,
    has_button: bool,
    pressed: watch::Sender<bool>,
    presses: Arc<Mutex<Bucket>>,
    state: watch::Sender<Option<Why>>,
    trouble: watch::Sender<Option<Arc<str>>>,
    private: watch::Receiver<bool>,
    /// It ends when this goes.
    _alive: Arc<watch::Sender<()>>,
}

impl Recorder {
    /// One that records nothing yet.
    pub(crate) fn new(hub: Hub, private: watch::Receiver<bool>) -> Self {
        Self {
            hub,
            private,
            wanted: None,
            recordings: Recordings::default(),
            viewers: watch::Sender::default(),
            aside: watch::Sender::default(),
            task: None,
        }
    }

    /// For connections.
    pub(crate) fn recordings(&self) -> Recordings {
        self.recordings.clone()
    }

    /// Records as configured from now on; `state` is the device's state folder. Called
    /// within a runtime.
    pub(crate) fn take(&mut self, config: &Config, state: Option<PathBuf>) {
        let wanted = Wanted::of(config, state);
        if wanted == self.wanted {
            return;
        }
        self.wanted.clone_from(&wanted);
        // What it writes it brings to an end.
        *lock(&self.recordings.0) = None;
        let before = self.task.take();
        let Some(wanted) = wanted else {
            return;
        };
        let config = &wanted.config;
        let alive = Arc::new(watch::Sender::new(()));
        let live = Live {
            folder: Folder::new(wanted.folder.clone()),
            has_button: config.button,
            pressed: watch::Sender::default(),
            presses: Arc::new(Mutex::new(Bucket::full(PRESSES, Instant::now()))),
            state: watch::Sender::default(),
            trouble: watch::Sender::default(),
            private: self.private.clone(),
            _alive: alive.clone(),
        };
        let viewers = *self.viewers.borrow();
        let wish = Wish {
            when: config.when,
            button: config.button,
            private: *self.private.borrow(),
            aside: *self.aside.borrow(),
            viewers: viewers.count,
            h264: viewers.h264,
            invited: viewers.invited,
            motions: 0,
            pressed: false,
        };
        let (hub, private) = (self.hub.clone(), self.private.clone());
        let watched = (self.viewers.subscribe(), self.aside.subscribe());
        let (pressed, state) = (live.pressed.clone(), live.state.clone());
        let trouble = live.trouble.clone();
        let folder = live.folder.clone();
        let ends = alive.subscribe();
        *lock(&self.recordings.0) = Some(live);
        let recordings = self.recordings.clone();
        self.task = Some(tokio::spawn(async move {
            // One file is written at a time, and what is written is not looked at.
            if let Some(before) = before {
                let _ = before.await;
            }
            let (tell, reports) = mpsc::channel(REPORTS);
            let clock = Clock::default();
            let disk = Disk::start(
                folder.clone(),
                wanted.limits(),
                clock.clone(),
                move |report| {
                    let _ = tell.try_send(report);
                },
            );
            match disk {
                Ok(disk) => {
                    Run::new(hub, wish, &wanted, disk, clock)
                        .told_of_viewers(watched.0, watched.1)
                        .told_of_privacy(private)
                        .telling_of_trouble(trouble)
                        .until(ends, pressed, state, reports)
                        .await;
                }
                Err(error) => {
                    warn!(%error, "nothing is recorded: no thread can be started");
                    recordings.forget(&folder);
                }
            }
        }));
    }

    /// So many viewers take the picture and are there; one of them was `invited`, or nobody
    /// ever was.
    pub(crate) fn watched(&self, (viewers, invited): (usize, bool)) {
        if self.task.is_none() {
            return;
        }
        let now = Viewers {
            count: viewers,
            h264: viewers > 0 && self.hub.has_decoders(),
            invited,
        };
        self.viewers.send_if_modified(|before| {
            let has_changed = *before != now;
            *before = now;
            has_changed
        });
    }

    /// Another source waits until nobody takes the picture: lets go of it while nobody
    /// watches, until the returned function is called.
    pub(crate) fn step_aside(&self) -> impl FnOnce() + Send + 'static {
        let aside = self.aside.clone();
        aside.send_replace(true);
        move || {
            aside.send_replace(false);
        }
    }

    /// Brings what is being written to an end.
    pub(crate) async fn stop(&mut self) {
        *lock(&self.recordings.0) = None;
        if let Some(task) = self.task.take()
            && task.await.is_err()
        {
            debug!("the recorder did not end by itself");
        }
    }
}

impl Recordings {
    fn live(&self) -> Option<Live> {
        lock(&self.0).clone()
    }

    /// Nothing is recorded there.
    fn forget(&self, folder: &Arc<Folder>) {
        let mut live = lock(&self.0);
        if live
            .as_ref()
            .is_some_and(|l| Arc::ptr_eq(&l.folder, folder))
        {
            *live = None;
        }
    }

    /// Those before this second, the latest first, and whether there are more.
    pub(crate) fn page(&self, before: Option<Id>, most: usize) -> (Vec<(Id, Entry)>, bool) {
        let Some(live) = self.live() else {
            return (Vec::new(), false);
        };
        lock(&live.folder.catalogue).page(before, most)
    }

    /// Opens one to be read.
    pub(crate) async fn open(&self, id: Id) -> io::Result<File> {
        self.at_disk(move |folder| folder.open(id)).await
    }

    /// A small JPEG of one; empty where it has none.
    pub(crate) async fn thumbnail(&self, id: Id) -> io::Result<Vec<u8>> {
        self.at_disk(move |folder| boxes::thumbnail(&mut folder.open(id)?))
            .await
    }

    /// Deletes one that is not being written.
    pub(crate) async fn delete(&self, id: Id) -> io::Result<()> {
        self.at_disk(move |folder| folder.delete(id)).await
    }

    async fn at_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let live = self.live().ok_or(io::ErrorKind::NotFound)?;
        let folder = live.folder.clone();
        tokio::task::spawn_blocking(move || work(&folder))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    }

    /// A viewer presses the button, or once more, which always helps.
    pub(crate) fn press(&self, on: bool, now: Instant) -> Result<(), NotPressed> {
        let live = self.live().filter(|live| live.has_button);
        let live = live.ok_or(NotPressed::NoButton)?;
        let begins = on && !*live.pressed.borrow();
        if begins && *live.private.borrow() {
            return Err(NotPressed::Private);
        }
        let trouble = live.trouble.borrow().clone().filter(|_| begins);
        if let Some(trouble) = trouble {
            return Err(NotPressed::Failing(trouble));
        }
        if begins && !lock(&live.presses).take(1.0, now) {
            return Err(NotPressed::TooOften);
        }
        live.pressed.send_replace(on);
        Ok(())
    }

    /// What is recorded, now and after each change; `None` where nothing ever is.
    pub(crate) fn state(&self) -> Option<Now> {
        let live = self.live()?;
        Some(Now {
            why: live.state.subscribe(),
            list: live.folder.changes.subscribe(),
            trouble: live.trouble.subscribe(),
            has_button: live.has_button,
            of: self.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
