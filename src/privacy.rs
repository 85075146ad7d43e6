//! The owner's privacy: whether camera and microphone are to stay closed.
//!
//! What the owner wants is a file in the device's state folder, which is there
//! while they want privacy: so it outlasts a restart, and a command beside the
//! device changes it too. The device looks for it as often as for invitations.

mod key;

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Instant;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::bucket::{Bucket, Rate};
use crate::lock::lock;
use crate::reason::{Code, Reason};
use crate::state;
pub(crate) use key::Key;

/// The file's name.
const FILE: &str = "privacy";
/// More of it is not read, in bytes.
const LONGEST: u64 = 1024;
/// What it says after the word for who wants it.
const TEXT: &str = ": camera and microphone are to stay closed\n";

/// How often viewers switch it off, all of them together. It is never too often that
/// they switch it on.
const PACE: Rate = Rate {
    burst: 3.0,
    per_second: 0.5,
};
/// Lines of the log about what viewers did.
const LINES: Rate = Rate {
    burst: 5.0,
    per_second: 1.0,
};
const TOO_OFTEN: Reason = Reason::fixed(
    Code::TooOften,
    "privacy was switched too often just now; try again in a moment",
);

/// Who switches privacy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// With a command or a key on the device.
    Owner,
    /// Somebody who was invited to control the camera. They switch off what one of
    /// them switched on, and nothing else.
    Viewer,
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Viewer => "viewer",
        }
    }
}

/// Whether the owner wants privacy; clones are one and the same switch.
#[derive(Debug, Clone)]
pub(crate) struct Privacy(Arc<Switch>);

#[derive(Debug)]
struct Switch {
    /// Locked from before the file is touched until what came of it is told: who
    /// looks meanwhile would see what is no longer wanted.
    kept: Mutex<Kept>,
    /// What keeps it on, whoever switches it.
    held: Mutex<Held>,
    on: watch::Sender<bool>,
    paces: Mutex<Paces>,
}

/// What viewers may do of it.
#[derive(Debug)]
struct Paces {
    offs: Bucket,
    lines: Bucket,
}

/// Why it was not switched.
#[derive(Debug, thiserror::Error)]
enum NotSwitched {
    #[error("{}", TOO_OFTEN.words)]
    TooOften,
    #[error("{0}")]
    Kept(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where it is kept what is wanted.
#[derive(Debug)]
struct Kept {
    /// Without it what is wanted is forgotten with the process.
    file: Option<PathBuf>,
    /// Who wants it, where that is known here alone: there is no file, or it could
    /// not be written.
    unwritten: Option<By>,
}

impl Kept {
    /// Whether privacy is wanted.
    ///
    /// # Errors
    ///
    /// Nobody can tell: the file cannot be looked at.
    fn is_wanted(&self) -> io::Result<bool> {
        if self.unwritten.is_some() {
            return Ok(true);
        }
        match self.file.as_deref().map(fs::symlink_metadata) {
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            None | Some(Err(_)) => Ok(false),
        }
    }

    /// Who wants it, where it is wanted. Nobody else's word is the owner's.
    fn by(&self) -> By {
        let text = || {
            let file = state::read(self.file.as_ref()?).ok()?;
            io::read_to_string(file.take(LONGEST)).ok()
        };
        self.unwritten.unwrap_or_else(|| match text() {
            Some(text) if text.starts_with(By::Viewer.word()) => By::Viewer,
            Some(_) | None => By::Owner,
        })
    }

    fn write(&mut self, on: bool, by: By) -> io::Result<()> {
        // What was never written down is not there to be taken back.
        if !on && self.unwritten.take().is_some() && !matches!(self.is_wanted(), Ok(true)) {
            return Ok(());
        }
        let Some(file) = &self.file else {
            self.unwritten = on.then_some(by);
            return Ok(());
        };
        if on {
            let written = state::replace(file, &format!("{}{TEXT}", by.word()));
            self.unwritten = written.is_err().then_some(by);
            return written;
        }
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Who keeps privacy on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The configuration (`privacy.always`).
    Configuration,
    /// A switch on the device that is closed.
    Cover,
}

#[derive(Debug, Default)]
struct Held {
    configuration: bool,
    cover: bool,
}

impl Held {
    /// Who does, in words.
    fn by(&self) -> Option<&'static str> {
        match (self.configuration, self.cover) {
            (true, _) => Some("the configuration keeps it on (privacy.always)"),
            (false, true) => Some("the switch on the device keeps it on"),
            (false, false) => None,
        }
    }
}

impl Privacy {
    /// The switch with its file in this folder, as it was left. Where nobody can
    /// tell, it is on.
    pub(crate) fn in_folder(folder: Option<PathBuf>) -> Self {
        let kept = Kept {
            file: folder.map(|folder| folder.join(FILE)),
            unwritten: None,
        };
        let switch = Self(Arc::new(Switch {
            kept: Mutex::new(kept),
            held: Mutex::default(),
            on: watch::Sender::new(false),
            paces: Mutex::new(Paces {
                offs: Bucket::full(PACE, Instant::now()),
                lines: Bucket::full(LINES, Instant::now()),
            }),
        }));
        switch.begin(&lock(&switch.0.kept));
        switch
    }

    /// Keeps what is wanted in another folder, in place of the one before. What is
    /// on stays on.
    pub(crate) fn move_to(&self, folder: Option<PathBuf>) {
        let file = folder.map(|folder| folder.join(FILE));
        let mut kept = lock(&self.0.kept);
        if kept.file == file {
            return;
        }
        // Where nobody can tell, it counts as wanted.
        let was_wanted = kept.is_wanted().unwrap_or(true);
        let by = kept.by();
        let old = std::mem::replace(&mut kept.file, file);
        kept.unwritten = None;
        if !was_wanted {
            return self.begin(&kept);
        }
        match kept.write(true, by) {
            // Else it would be on again with the old folder.
            Ok(()) => {
                let _ = old.map(fs::remove_file);
            }
            Err(error) => warn!(
                %error, file = ?kept.file,
                "privacy is on until the next start only: its file cannot be written; mend \
                 access.folder"
            ),
        }
        self.tell(true);
    }

    /// Tells what is kept, for the first time.
    fn begin(&self, kept: &Kept) {
        match kept.is_wanted() {
            Ok(wanted) => self.tell(wanted),
            Err(error) => {
                warn!(
                    %error, file = ?kept.file,
                    "privacy is on, for nobody can tell whether it is wanted: let this user look \
                     at the file, or name another access.folder"
                );
                self.tell(true);
            }
        }
    }

    /// Whether it is on, now and after each change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.on.subscribe()
    }

    /// Whether it is on.
    pub(crate) fn is_on(&self) -> bool {
        *self.0.on.borrow()
    }

    /// Looks whether a command beside the device has switched it. A folder that
    /// cannot be looked into changes nothing.
    pub(crate) fn look(&self) {
        // Who switches it just now tells of it.
        let kept = match self.0.kept.try_lock() {
            Ok(kept) => kept,
            Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Ok(wanted) = kept.is_wanted() {
            self.tell(wanted);
        }
    }

    /// Keeps it on, or no longer. What was wanted beside that comes back.
    pub(crate) fn hold(&self, by: Holder, on: bool) {
        let mut held = lock(&self.0.held);
        match by {
            Holder::Configuration => held.configuration = on,
            Holder::Cover => held.cover = on,
        }
        drop(held);
        match on {
            true => self.tell(true),
            false => self.look(),
        }
    }

    /// Switches it. Privacy begins even where that cannot be written down.
    ///
    /// # Errors
    ///
    /// It cannot be written down; or it is kept on, and stays on: for a viewer, by
    /// the owner, too.
    pub(crate) fn set(&self, on: bool, by: By) -> io::Result<()> {
        let set = self.change(on, by, || true);
        set.map(drop).map_err(|error| match error {
            NotSwitched::Io(error) => error,
            NotSwitched::TooOften | NotSwitched::Kept(_) => io::Error::other(error),
        })
    }

    /// The same where it `may` be, which is asked before it is switched off. True where
    /// something has changed: what is so already is not written again.
    fn change(&self, on: bool, by: By, may: impl FnOnce() -> bool) -> Result<bool, NotSwitched> {
        let mut kept = lock(&self.0.kept);
        let wanted = kept.is_wanted();
        let is_owners = *wanted.as_ref().unwrap_or(&true) && kept.by() == By::Owner;
        let is_to_be_written = kept.file.is_some() && kept.unwritten.is_some();
        let is_so = match (on, wanted) {
            // What the owner wants a viewer does not make their own.
            (true, _) if by == By::Viewer && is_owners => true,
            (true, Ok(true)) => (by == By::Viewer || is_owners) && !is_to_be_written,
            (false, Ok(false)) => true,
            (true | false, _) => false,
        };
        if on {
            self.tell(true);
        } else if let Some(words) = lock(&self.0.held).by() {
            return Err(NotSwitched::Kept(words));
        } else if by == By::Viewer && is_owners {
            return Err(NotSwitched::Kept(
                "the camera's owner switched it on, and they alone switch it off",
            ));
        }
        if is_so {
            self.tell(on);
            return Ok(false);
        }
        // What could not be written down when it was switched on is tried again no more
        // often than that.
        if (!on || is_to_be_written) && !may() {
            return match on {
                true => Ok(false),
                false => Err(NotSwitched::TooOften),
            };
        }
        kept.write(on, by)?;
        self.tell(on);
        Ok(true)
    }

    /// Switches it, off the thread that asks, for a button or a viewer: `who`, in
    /// words. Viewers do so at a pace that is all theirs together.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), or it was switched too often. They are logged.
    pub(crate) async fn switch(
        &self,
        on: bool,
        by: By,
        who: &str,
        now: Instant,
    ) -> Result<(), Reason> {
        let this = self.clone();
        let set = move || {
            let paced = || by == By::Owner || lock(&this.0.paces).offs.take(1.0, now);
            this.change(on, by, paced)
        };
        let set = tokio::task::spawn_blocking(set).await;
        let set = set.unwrap_or_else(|ended| Err(io::Error::other(ended).into()));
        let is_worth_a_line = || by == By::Owner || lock(&self.0.paces).lines.take(1.0, now);
        match set {
            Ok(true) if is_worth_a_line() => info!(on, by = who, "privacy was switched"),
            Ok(_) => debug!(on, by = who, "privacy was switched, or is so"),
            Err(NotSwitched::TooOften) => return Err(TOO_OFTEN),
            Err(error) => {
                let is = self.is_on();
                match is_worth_a_line() {
                    true => {
                        warn!(%error, wanted = on, is, by = who, "privacy could not be switched");
                    }
                    false => {
                        debug!(%error, wanted = on, is, by = who, "privacy could not be switched");
                    }
                }
                let words = match (on, is) {
                    (true, true) => format!("it is on until the next start only: {error}"),
                    _ => error.to_string(),
                };
                return Err(Reason::new(Code::PrivacyKept, words));
            }
        }
        Ok(())
    }

    fn tell(&self, on: bool) {
        // Locked until it is told: who holds it meanwhile tells after this.
        let held = lock(&self.0.held);
        let on = on || held.by().is_some();
        self.0.on.send_if_modified(|old| {
            let changed = *old != on;
            *old = on;
            changed
        });
    }
}

#[cfg(test)]
mod tests;
