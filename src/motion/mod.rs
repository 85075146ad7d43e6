//! Motion: what moves in the picture, in which zone, from when to when.
//!
//! A [`Watcher`] looks at [small grey pictures](Luma), a few a second, and says
//! when an [`Event`] begins and ends. `change` finds where the picture is
//! another one, whatever the light; `track` follows what changes and sees
//! whether it goes anywhere; [`zone`] and [`trigger`] make events of it. Time
//! comes in with each picture.

mod change;
mod luma;
mod settings;
mod track;
pub mod trigger;
pub mod zone;

use std::sync::Arc;
use std::time::Duration;

use change::Change;
pub use luma::{Luma, Plane, Shrinker, UNIT};
pub use settings::{Settings, Zone};
use track::{Track, Tracks};
use trigger::{End, Times, Trigger};
use zone::Needed;

/// Pictures a second that a [`Watcher`] is made for.
pub const RATE: u32 = 5;
/// Windows that a thing needs more for each other thing that changes at the same
/// time: in rain, many do.
const CLUTTER: f32 = 1.0;
/// So many other things are nothing special.
const FEW: f32 = 4.0;

/// Something moves in a zone, or does not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The zone's name.
    pub zone: Arc<str>,
    /// Which of the two.
    pub change: trigger::Change,
}

/// One zone as it is watched.
#[derive(Debug)]
struct Watched {
    zone: Zone,
    needed: Needed,
    trigger: Trigger,
    /// Which windows are in it, for this size of the picture.
    windows: Vec<bool>,
}

/// Looks for motion.
#[derive(Debug)]
pub struct Watcher {
    size: (usize, usize),
    change: Change,
    tracks: Tracks,
    zones: Vec<Watched>,
    times: Times,
    now: Duration,
}

impl Watcher {
    /// One that has seen nothing yet.
    pub fn new(settings: &Settings) -> Self {
        let mut this = Self {
            size: (0, 0),
            change: Change::new((0, 0)),
            tracks: Tracks::default(),
            zones: Vec::new(),
            times: settings.times,
            now: Duration::ZERO,
        };
        this.watch(&settings.zones, Duration::ZERO);
        this
    }

    /// Watches these zones from now on. The scene stays known; what goes on in a zone
    /// that is no more ends.
    pub fn watch(&mut self, zones: &[Zone], now: Duration) -> Vec<Event> {
        self.now = self.now.max(now);
        let old = std::mem::take(&mut self.zones);
        let (mut same, gone): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|old| zones.contains(&old.zone));
        let windows = change::windows(self.size);
        let of = |zone: &Zone| match same.iter().position(|old| old.zone == *zone) {
            Some(at) => same.swap_remove(at),
            None => Watched {
                needed: Needed::of(zone.sensitivity),
                trigger: Trigger::new(self.times),
                windows: zone::windows(&zone.polygon, windows),
                zone: zone.clone(),
            },
        };
        self.zones = zones.iter().map(of).collect();
        let end = |mut gone: Watched| match gone.trigger.stop(self.now)? {
            // There are pictures still.
            trigger::Change::Ended(_, lasted) => {
                Some(gone.event(trigger::Change::Ended(End::Still, lasted)))
            }
            trigger::Change::Began => None,
        };
        gone.into_iter().filter_map(end).collect()
    }

    /// Takes the next picture, of the time `now`, which does not run backwards.
    pub fn look(&mut self, picture: &Luma, now: Duration) -> Vec<Event> {
        self.now = self.now.max(now);
        if picture.size() != self.size {
            self.size = picture.size();
            self.change = Change::new(self.size);
            self.tracks = Tracks::default();
            let size = change::windows(self.size);
            for zone in &mut self.zones {
                zone.windows = zone::windows(&zone.zone.polygon, size);
            }
        }
        let mask = self.change.look(picture);
        self.tracks.look(mask.as_ref());
        let clutter = (self.tracks.clutter() - FEW).max(0.0) * CLUTTER;
        let (now, tracks) = (self.now, &self.tracks);
        let look = |watched: &mut Watched| {
            let moves = tracks.seen().any(|track| watched.has(track, clutter));
            let change = watched.trigger.look(moves, now)?;
            Some(watched.event(change))
        };
        self.zones.iter_mut().filter_map(look).collect()
    }

    /// No picture comes any more: what goes on ends.
    pub fn stop(&mut self, now: Duration) -> Vec<Event> {
        let now = self.now.max(now);
        let stop = |watched: &mut Watched| {
            let change = watched.trigger.stop(now)?;
            Some(watched.event(change))
        };
        self.zones.iter_mut().filter_map(stop).collect()
    }
}

#[cfg(test)]
impl Watcher {
    /// Bytes that it has taken for what it remembers, whether or not they are used.
    pub(crate) fn room(&self) -> usize {
        let windows = self.zones.iter().map(|zone| zone.windows.capacity());
        self.change.room() + self.tracks.room() + windows.sum::<usize>()
    }
}

impl Watched {
    /// This moves here, and enough.
    fn has(&self, track: &Track, clutter: f32) -> bool {
        let windows = &track.blob.windows;
        let inside = windows.iter().filter(|w| self.windows[**w]).count();
        // Of a large thing a part may be in a narrow zone.
        let enough = (self.needed.area / 2.0)
            .min(windows.len() as f32 / 2.0)
            .max(1.0);
        inside as f32 >= enough
            && windows.len() as f32 >= self.needed.area + clutter
            && track.travelled >= self.needed.way
    }

    fn event(&self, change: trigger::Change) -> Event {
        Event {
            zone: self.zone.name.clone(),
            change,
        }
    }
}

impl Event {
    /// Why it ended, and after how long; `None` while it goes on.
    pub fn end(&self) -> Option<(End, Duration)> {
        match self.change {
            trigger::Change::Began => None,
            trigger::Change::Ended(end, lasted) => Some((end, lasted)),
        }
    }
}
