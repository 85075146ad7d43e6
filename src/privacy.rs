//! The owner's privacy: whether camera and microphone are to stay closed.
//!
//! What the owner wants is a file in the device's state folder, which is there
//! while they want privacy: so it outlasts a restart, and a command beside the
//! device changes it too. The device looks for it as often as for invitations.

mod key;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, TryLockError};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::lock::lock;
use crate::state;
pub(crate) use key::Key;

/// The file's name.
const FILE: &str = "privacy";
/// What it says after the word for who wants it.
const TEXT: &str = ": camera and microphone are to stay closed\n";

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
        let text = || fs::read_to_string(self.file.as_ref()?).ok();
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
        let mut kept = lock(&self.0.kept);
        let is_owners = kept.is_wanted().unwrap_or(true) && kept.by() == By::Owner;
        if on {
            self.tell(true);
            // What the owner wants a viewer does not make their own.
            if by == By::Viewer && is_owners {
                return Ok(());
            }
        } else if let Some(words) = lock(&self.0.held).by() {
            return Err(io::Error::other(words));
        } else if by == By::Viewer && is_owners {
            return Err(io::Error::other(
                "the camera's owner switched it on, and they alone switch it off",
            ));
        }
        let written = kept.write(on, by);
        if written.is_ok() {
            self.tell(on);
        }
        written
    }

    /// Switches it, off the thread that asks, for a button or a viewer: `who`, in
    /// words.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), in words. They are logged.
    pub(crate) async fn switch(&self, on: bool, by: By, who: &str) -> Result<(), String> {
        let this = self.clone();
        let set = tokio::task::spawn_blocking(move || this.set(on, by)).await;
        let set = set.unwrap_or_else(|ended| Err(io::Error::other(ended)));
        match set {
            Ok(()) => {
                info!(on, by = who, "privacy was switched");
                Ok(())
            }
            Err(error) => {
                warn!(%error, wanted = on, is = self.is_on(), by = who, "privacy could not be switched");
                Err(match (on, self.is_on()) {
                    (true, true) => format!("it is on until the next start only: {error}"),
                    _ => error.to_string(),
                })
            }
        }
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
mod tests {
    use super::*;

    #[test]
    fn it_outlasts_a_restart_and_a_command_beside_it_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = || Privacy::in_folder(Some(folder.path().join("state")));
        let privacy = at();
        assert!(!privacy.is_on());
        privacy.set(true, By::Owner).expect("written");
        assert!(at().is_on());
        at().set(false, By::Owner).expect("written");
        assert!(privacy.is_on(), "it has not looked yet");
        privacy.look();
        assert!(!privacy.is_on());
        at().set(false, By::Owner).expect("it is off already");
    }

    #[test]
    fn what_cannot_be_written_down_holds_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        // No folder can be where a file is.
        let privacy = Privacy::in_folder(Some(file.join("state")));
        privacy
            .set(true, By::Owner)
            .expect_err("it cannot be written");
        assert!(privacy.is_on());
        privacy.look();
        assert!(privacy.is_on());
        privacy.set(false, By::Owner).expect("nothing was written");
        assert!(!privacy.is_on());
        // Without a folder there is nothing to write.
        let privacy = Privacy::in_folder(None);
        privacy.set(true, By::Owner).expect("kept in mind");
        privacy.look();
        assert!(privacy.is_on());
        privacy.set(false, By::Owner).expect("kept in mind");
        assert!(!privacy.is_on());
    }

    #[test]
    fn where_nobody_can_tell_it_is_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let privacy = Privacy::in_folder(Some(file.clone()));
        assert!(privacy.is_on());
        privacy.look();
        assert!(privacy.is_on());
        // Mended, it is as its folder says.
        fs::remove_file(&file).expect("removed");
        privacy.look();
        assert!(!privacy.is_on());
    }

    #[test]
    fn it_follows_to_another_folder_and_stays_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| Some(folder.path().join(name));
        let privacy = Privacy::in_folder(at("one"));
        privacy.set(true, By::Owner).expect("written");
        privacy.move_to(at("two"));
        assert!(privacy.is_on());
        privacy.look();
        assert!(privacy.is_on());
        assert!(Privacy::in_folder(at("two")).is_on());
        assert!(!Privacy::in_folder(at("one")).is_on());
        privacy.set(false, By::Owner).expect("written");
        assert!(!Privacy::in_folder(at("two")).is_on());
        // Off, it is as the other folder says.
        Privacy::in_folder(at("three"))
            .set(true, By::Owner)
            .expect("written");
        privacy.move_to(at("three"));
        assert!(privacy.is_on());
    }

    #[test]
    fn what_keeps_it_on_nobody_switches_off_and_what_was_wanted_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [Some(folder.path().to_owned()), None] {
            for by in [Holder::Configuration, Holder::Cover] {
                for wanted in [false, true] {
                    let privacy = Privacy::in_folder(file.clone());
                    privacy.set(wanted, By::Owner).expect("switched");
                    privacy.hold(by, true);
                    assert!(privacy.is_on());
                    privacy.set(false, By::Owner).expect_err("it is kept on");
                    privacy.look();
                    assert!(privacy.is_on());
                    privacy.hold(by, false);
                    assert_eq!(privacy.is_on(), wanted, "{file:?} {by:?}");
                    privacy.set(false, By::Owner).expect("switched");
                }
            }
        }
    }

    #[test]
    fn who_looks_while_it_is_written_down_does_not_switch_it_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let privacy = Privacy::in_folder(Some(folder.path().to_owned()));
        let writing = lock(&privacy.0.kept);
        // As `set` does before it writes.
        privacy.tell(true);
        privacy.look();
        assert!(privacy.is_on());
        drop(writing);
        privacy.look();
        assert!(!privacy.is_on(), "nothing was written");
    }

    #[test]
    fn a_viewer_opens_what_a_viewer_closed_and_not_what_the_owner_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [Some(folder.path().to_owned()), None] {
            let privacy = Privacy::in_folder(file.clone());
            privacy.set(true, By::Viewer).expect("on");
            privacy.set(false, By::Viewer).expect("off");
            assert!(!privacy.is_on());
            privacy.set(true, By::Viewer).expect("on");
            privacy.set(false, By::Owner).expect("off");
            // What both want is the owner's, whoever was first.
            for first in [By::Owner, By::Viewer] {
                let second = if first == By::Owner {
                    By::Viewer
                } else {
                    By::Owner
                };
                privacy.set(true, first).expect("on");
                privacy.set(true, second).expect("on");
                let error = privacy
                    .set(false, By::Viewer)
                    .expect_err("it is the owner's");
                assert!(error.to_string().contains("owner"), "{error}");
                assert!(privacy.is_on());
                if file.is_some() {
                    let again = Privacy::in_folder(file.clone());
                    again
                        .set(false, By::Viewer)
                        .expect_err("over a restart, too");
                }
                privacy.set(false, By::Owner).expect("off");
                assert!(!privacy.is_on());
            }
        }
        // One of an earlier version.
        fs::write(folder.path().join(FILE), "camera and microphone\n").expect("written");
        let privacy = Privacy::in_folder(Some(folder.path().to_owned()));
        privacy
            .set(false, By::Viewer)
            .expect_err("it is the owner's");
    }

    #[test]
    fn only_changes_are_told() {
        let privacy = Privacy::in_folder(None);
        let changes = privacy.subscribe();
        privacy.set(false, By::Owner).expect("nothing to do");
        assert!(!changes.has_changed().expect("it is there"));
        privacy.set(true, By::Owner).expect("switched");
        assert!(changes.has_changed().expect("it is there"));
    }
}
