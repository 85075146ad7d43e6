//! Who is let in, as the running device sees it: the owner's list, who watches
//! of it, and the log of calls.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use tracing::{debug, info, warn};

use super::{Running, StartError};
use crate::access::Mode;
use crate::agent::Agent;
use crate::config::{Config, ConfigError};
use crate::guestbook::{Book, Desk, Guestbook, Log};
use crate::state;

/// Who is let in with this configuration.
pub(super) fn mode(config: &Config) -> Mode {
    match config.access.is_invited() {
        true => Mode::Invited,
        false => Mode::Open,
    }
}

/// What the device has at its door.
pub(super) struct Door {
    book: Option<Guestbook>,
    /// Calls that were up at the last look, by label.
    watching: BTreeMap<String, usize>,
    log: Option<Log>,
    /// The log cannot be written; it was said.
    is_mute: bool,
}

impl Door {
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        let folder = config.access.folder.clone().or_else(state::folder);
        if folder.is_none() && config.access.is_invited() {
            return Err(no_folder().into());
        }
        Ok(Self {
            book: folder.map(|folder| Guestbook::new(Book::in_folder(folder))),
            watching: BTreeMap::new(),
            log: config.access.log.as_deref().map(Log::at),
            is_mute: false,
        })
    }

    /// Another configuration.
    pub(super) fn take(&mut self, config: &Config) {
        self.log = config.access.log.as_deref().map(Log::at);
        self.is_mute = false;
    }

    /// For connections.
    pub(super) fn desk(&self) -> Option<Desk> {
        self.book.as_ref().map(Guestbook::desk)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.book.as_ref().is_some_and(Guestbook::is_dirty)
    }

    /// Says once what the mode means.
    pub(super) fn say(&self, mode: Mode) {
        let invitations = self.book.as_ref().map_or(0, Guestbook::invitations);
        match mode {
            Mode::Invited if invitations == 0 => warn!(
                "nobody was invited yet, and nobody else is let in: \"camera-agent invite LABEL\" makes a link"
            ),
            Mode::Invited => info!(invitations, "only invited people are let in"),
            Mode::Open => warn!(
                "this camera is open: everybody who reaches the chat server sees it, and whoever runs \
                 that server, too. Set access.mode = \"invited\" to change that"
            ),
        }
    }

    fn note_watching(&mut self, agent: &Agent) {
        let mut watching = BTreeMap::new();
        for label in agent.watching() {
            *watching.entry(label.as_str().to_owned()).or_insert(0) += 1;
        }
        if watching == self.watching {
            return;
        }
        self.watching = watching;
        if let Some(book) = &mut self.book {
            let labels = agent.watching().map(|label| label.as_str());
            book.watching(labels, SystemTime::now());
        }
    }
}

/// What "invited" lacks on a machine where nothing can be kept.
fn no_folder() -> ConfigError {
    ConfigError::Value {
        key: "access.mode",
        problem: "\"invited\" needs a folder to keep invitations in: name it in access.folder"
            .to_owned(),
    }
}

impl Running {
    /// Takes over what the owner has changed.
    pub(super) fn look_who_was_invited(&mut self) {
        let Some(book) = &mut self.door.book else {
            return;
        };
        if let Some(guests) = book.look(SystemTime::now()) {
            debug!(invitations = book.invitations(), "read who was invited");
            self.agent.invited(guests, Instant::now());
        }
    }

    /// Writes down what became of calls, and who watches.
    pub(super) fn write_down(&mut self) {
        while let Some(note) = self.agent.next_note() {
            let Some(log) = &self.door.log else { continue };
            match log.write(&note, SystemTime::now()) {
                Ok(()) => self.door.is_mute = false,
                Err(error) if !self.door.is_mute => {
                    self.door.is_mute = true;
                    warn!(%error, "the log of calls (access.log) cannot be written");
                }
                Err(_) => {}
            }
        }
        self.door.note_watching(&self.agent);
    }
}
