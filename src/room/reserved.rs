//! Names of devices that have just gone: they stay theirs for a while. And from where devices
//! and their viewers came lately: there are places for them.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::names::{Look, Name};
use super::{ConnectionId, Source};

/// Names kept for one source, and in all.
const PER_SOURCE: usize = 4;
const TOTAL: usize = 256;
/// Sources remembered where a device was, or a viewer, and for how long it must have been.
const SOURCES: usize = 64;
/// Those of them that may be in one hand, as a /48 may.
const IN_ONE_HAND: usize = 4;
const SETTLED: Duration = Duration::from_secs(60);

/// A device's name, and what shows that a newcomer is that device.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) look: Look,
    /// The connection it had: whoever knows its key is the same device.
    pub(super) conn: ConnectionId,
    /// A device that comes from here is taken for it.
    pub(super) source: Source,
    /// Nobody else had a claim on the name: whoever shows its key may have it from
    /// one who took it for coming from the same address.
    pub(super) is_first: bool,
    /// How long it was here.
    held: Duration,
    until: Instant,
}

/// The names that are kept, oldest first, and where devices were.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    names: VecDeque<Kept>,
    sources: VecDeque<Source>,
    /// The same of people whom a device has answered.
    viewers: VecDeque<Source>,
}

impl Reserved {
    /// Somebody has gone who was here since `since` and was answered by a device.
    pub(super) fn keep_viewer(&mut self, source: Source, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= SETTLED {
            remember(&mut self.viewers, source);
        }
    }

    /// Whether somebody was here lately, for more than a moment, whom a device answered.
    pub(super) fn knows_viewer(&self, source: Source) -> bool {
        self.viewers.contains(&source)
    }

    /// A device has gone that was here since `since`.
    pub(super) fn keep(
        &mut self,
        (name, conn, source): (&Name, ConnectionId, Source),
        since: Instant,
        now: Instant,
        grace: Duration,
    ) {
        let held = now.saturating_duration_since(since);
        if held >= SETTLED {
            remember(&mut self.sources, source);
        }
        let look = Look::of(name);
        // One that only followed on another's is kept once.
        let again =
            |kept: &Kept| !kept.is_first && kept.source == source && kept.look.is_like(&look);
        self.names.retain(|kept| now < kept.until && !again(kept));
        let is_first = !self.names.iter().any(|kept| kept.look.is_like(&look));
        self.names.push_back(Kept {
            look,
            conn,
            source,
            is_first,
            held,
            until: now + grace,
        });
        let own = |kept: &Kept| kept.source == source;
        if self.names.iter().filter(|kept| own(kept)).count() > PER_SOURCE {
            self.forget_least(own);
        }
        if self.names.len() > TOTAL {
            self.forget_least(|_| true);
        }
    }

    /// Forgets one of these: of who has gone as soon as they had come, then of the
    /// source that has most, then of who was here for the shortest time.
    fn forget_least(&mut self, of: impl Fn(&Kept) -> bool) {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for kept in &self.names {
            *counts.entry(kept.source).or_default() += 1;
        }
        let worth = |kept: &Kept| {
            let count = counts.get(&kept.source).copied().unwrap_or(0);
            (kept.held >= SETTLED, Reverse(count), kept.held)
        };
        let all = self.names.iter().enumerate();
        let least = all
            .filter(|(_, kept)| of(kept))
            .min_by_key(|(_, kept)| worth(kept))
            .map(|(at, _)| at);
        least.and_then(|at| self.names.remove(at));
    }

    /// Whether a device was connected from here lately, for more than a moment.
    pub(super) fn knows(&self, source: Source) -> bool {
        self.sources.contains(&source)
    }

    /// Names that are kept at `now`.
    pub(super) fn names(&self, now: Instant) -> impl Iterator<Item = &Kept> {
        self.names.iter().filter(move |kept| now < kept.until)
    }

    /// A device is back that has shown the key of this connection. The name is kept
    /// on for others who have a claim on it, but where this one was the first.
    pub(super) fn release(&mut self, conn: ConnectionId) {
        let Some(at) = self.names.iter().position(|kept| kept.conn == conn) else {
            return;
        };
        if let Some(back) = self.names.remove(at).filter(|kept| kept.is_first) {
            self.names.retain(|kept| !kept.look.is_like(&back.look));
        }
    }
}

/// The latest last, each once.
fn remember(sources: &mut VecDeque<Source>, source: Source) {
    sources.retain(|known| *known != source);
    sources.push_back(source);
    let is_near = |known: &Source| known.widest() == source.widest();
    if sources.iter().filter(|known| is_near(known)).count() > IN_ONE_HAND {
        let oldest = sources.iter().position(is_near);
        oldest.and_then(|at| sources.remove(at));
    } else if sources.len() > SOURCES {
        sources.pop_front();
    }
}
