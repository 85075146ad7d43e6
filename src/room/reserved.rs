//! Names of devices that have just gone: they stay theirs for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::names::{Look, Name};
use super::{ConnectionId, Source};

/// Names kept for one source, and in all.
const PER_SOURCE: usize = 4;
const TOTAL: usize = 256;
/// Sources remembered where a device was, and for how long it must have been.
const SOURCES: usize = 64;
const SETTLED: Duration = Duration::from_secs(60);

/// A device's name, and what shows that a newcomer is that device.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) look: Look,
    /// The connection it had: whoever knows its key is the same device.
    pub(super) conn: ConnectionId,
    /// A device that comes from here is taken for it.
    pub(super) source: Source,
    until: Instant,
}

/// The names that are kept, oldest first, and where devices were.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    names: VecDeque<Kept>,
    sources: VecDeque<Source>,
}

impl Reserved {
    /// A device has gone that was here since `since`.
    pub(super) fn keep(
        &mut self,
        (name, conn, source): (&Name, ConnectionId, Source),
        since: Instant,
        now: Instant,
        grace: Duration,
    ) {
        if now.saturating_duration_since(since) >= SETTLED {
            self.sources.retain(|known| *known != source);
            self.sources.push_back(source);
            if self.sources.len() > SOURCES {
                self.sources.pop_front();
            }
        }
        let own = |kept: &Kept| kept.source == source;
        if self.names.iter().filter(|kept| own(kept)).count() >= PER_SOURCE
            && let Some(oldest) = self.names.iter().position(own)
        {
            self.names.remove(oldest);
        }
        if self.names.len() >= TOTAL {
            self.names.pop_front();
        }
        let look = Look::of(name);
        let until = now + grace;
        self.names.push_back(Kept {
            look,
            conn,
            source,
            until,
        });
    }

    /// Whether a device was connected from here lately, for more than a moment.
    pub(super) fn knows(&self, source: Source) -> bool {
        self.sources.contains(&source)
    }

    /// Names that are kept at `now`.
    pub(super) fn names(&self, now: Instant) -> impl Iterator<Item = &Kept> {
        self.names.iter().filter(move |kept| now < kept.until)
    }

    /// Its device is back, or the time is over.
    pub(super) fn release(&mut self, look: &Look, now: Instant) {
        self.names
            .retain(|kept| now < kept.until && !kept.look.is_like(look));
    }
}
