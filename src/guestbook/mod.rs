//! The files of who was invited: what the owner decides, what the device keeps,
//! and what became of calls. What it means is [`access`](crate::access)'s part.

mod book;
mod log;
pub(crate) mod time;
pub mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use crate::access::{Guests, Invitation, Key, KeyId};
pub use book::{Book, BookError, Stamp};
pub use log::Log;
use watching::Watching;

/// How often the device looks whether the owner has changed anything.
pub(crate) const INTERVAL: Duration = Duration::from_millis(400);

/// A clock's time in seconds since 1970.
pub fn seconds(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// What connections may do with the book: give keys to browsers.
#[derive(Debug, Clone)]
pub struct Desk {
    book: Arc<Book>,
    /// The file is another than the device has read.
    dirty: Arc<AtomicBool>,
}

impl Desk {
    /// Makes a key for who came by a link with the key of this name, and keeps
    /// it before anybody has it.
    pub async fn give(&self, link: KeyId) -> Option<(KeyId, Key)> {
        let given = self.with(move |book| book.give(link)).await?;
        match given {
            Ok(key) => key,
            Err(error) => {
                warn!(%error, "no key can be given to a browser; its link stays good");
                None
            }
        }
    }

    /// A browser has kept the key of this name.
    pub async fn keep(&self, id: KeyId) {
        if let Some(Err(error)) = self.with(move |book| book.keep(id)).await {
            warn!(%error, "that a browser has a key of its own cannot be kept; its link stays good");
        }
    }

    async fn with<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Book) -> T + Send + 'static,
    ) -> Option<T> {
        let book = self.book.clone();
        let changed = tokio::task::spawn_blocking(move || change(&book))
            .await
            .ok();
        self.dirty.store(true, Ordering::Release);
        changed
    }
}

/// The device's own view of the book.
#[derive(Debug)]
pub struct Guestbook {
    desk: Desk,
    stamp: Option<Option<Stamp>>,
    invitations: Vec<Invitation>,
    /// Which of them were not good at the last look.
    paused: Vec<bool>,
    /// What was wrong; it was logged.
    problem: Option<String>,
    watching: Option<Watching>,
}

impl Guestbook {
    /// The one in this book; nothing is read yet.
    pub fn new(book: Book) -> Self {
        Self {
            desk: Desk {
                book: Arc::new(book),
                dirty: Arc::default(),
            },
            stamp: None,
            invitations: Vec::new(),
            paused: Vec::new(),
            problem: None,
            watching: None,
        }
    }

    /// For the connections.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// A connection has changed the file, and it was not read since.
    pub(crate) fn is_dirty(&self) -> bool {
        self.desk.dirty.load(Ordering::Acquire)
    }

    /// How many were invited.
    pub fn invitations(&self) -> usize {
        self.invitations.len()
    }

    /// Looks at the file and at the clock; says who is invited where that is
    /// another than before. A file that cannot be used changes nothing: nobody
    /// is let in at a start, and later those who were.
    pub fn look(&mut self, now: SystemTime) -> Option<Guests> {
        self.desk.dirty.store(false, Ordering::Release);
        let is_first = self.stamp.is_none();
        let changed = match self.read() {
            Ok(changed) => {
                if self.problem.take().is_some() {
                    info!("the invitations can be read again");
                }
                changed
            }
            Err(error) => {
                let words = error.to_string();
                if self.problem.as_ref() != Some(&words) {
                    error!(
                        error = words,
                        "the invitations cannot be read; those from before stay in force"
                    );
                    self.problem = Some(words);
                }
                false
            }
        };
        let now = seconds(now);
        let paused: Vec<_> = self
            .invitations
            .iter()
            .map(|i| i.at(now).is_some())
            .collect();
        let another = changed || is_first || paused != self.paused;
        self.paused = paused;
        another.then(|| Guests::of(&self.invitations, now))
    }

    /// Reads what is new; says whether there was any.
    fn read(&mut self) -> Result<bool, BookError> {
        let stamp = self.desk.book.stamp()?;
        if self.stamp == Some(stamp) {
            return Ok(false);
        }
        let invitations = self.desk.book.read();
        // One that is damaged is read again when it is another.
        self.stamp = Some(stamp);
        let invitations = invitations?;
        let changed = invitations != self.invitations;
        self.invitations = invitations;
        Ok(changed)
    }

    /// Notes who has a call that is up.
    pub fn watching<'a>(&mut self, labels: impl Iterator<Item = &'a str>, now: SystemTime) {
        let mut labels = labels.peekable();
        // Nothing is made where nobody was invited.
        if self.watching.is_none() && labels.peek().is_some() {
            self.watching = Watching::begin(self.desk.book.folder());
        }
        let Some(watching) = &mut self.watching else {
            return;
        };
        let invited = |label: &str| self.invitations.iter().any(|i| i.label.as_str() == label);
        if let Err(error) = watching.are(labels, invited, seconds(now)) {
            warn!(%error, "who watches cannot be written down");
            self.watching = None;
        }
    }
}

#[cfg(test)]
mod tests;
