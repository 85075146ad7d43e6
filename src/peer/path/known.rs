//! What is known of a viewer's path, for all who have to know.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::lock::lock;
use crate::rate::Sight;
use crate::rate::sound::{Repetition, ReportedLoss};

/// What is lost is sent again, and twice where much is lost.
const REPAIRS: f64 = 2.0;
/// Repairs take no more than this share of the path.
const MOST_REPAIRS: f64 = 0.3;
/// Sound, and a little picture, in bit/s.
const LEAST: u32 = 100_000;
/// Feedback older than this has ceased.
pub(in crate::peer) const STALE: Duration = Duration::from_secs(3);
/// A queue this long, in seconds, ends the start, and an attempt at more.
pub(super) const FULL: f64 = 0.040;
/// A probe lasts no longer: long enough to fill a queue that would show.
const PROBE: Duration = Duration::from_millis(400);
/// A probe ends after this time without feedback: a path that tells nothing is
/// not filled blindly.
const PROBE_DEAF: Duration = Duration::from_millis(200);

/// An attempt at more than the stream needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) struct Probe {
    /// In bit/s on the wire, the stream included.
    pub bits_per_second: u32,
    /// When it began.
    pub began: Instant,
}

impl Probe {
    /// Whether there is still something to be sent.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < PROBE
    }
}

/// Lowest and highest estimate, in bit/s on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) struct Bounds {
    pub min: u32,
    pub max: u32,
}

impl Bounds {
    /// For a viewer who can be sent so much: more need not be proved than
    /// that, RTP headers and some repair.
    pub(crate) fn up_to(bits_per_second: u32) -> Self {
        let max = bits_per_second.saturating_add(bits_per_second / 5);
        Self {
            min: LEAST.min(max),
            max,
        }
    }

    /// What a viewer of whom nothing is known begins with.
    pub(crate) fn start(self) -> u32 {
        (self.max / 2).clamp(300_000, 1_200_000).min(self.max)
    }
}

/// What is known of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::peer) struct Estimate {
    /// What it carries, in bit/s, RTP headers included.
    pub bits_per_second: u32,
    /// What arrives, in the same unit.
    pub arriving: u32,
    /// Share of lost packets in the last seconds, 0 to 1.
    pub loss: f64,
    /// The round trip, feedback interval excluded as far as possible.
    pub round_trip: Option<Duration>,
    /// How long packets stand in the path's queue.
    pub queueing: Duration,
    /// The path has not shown a limit yet.
    pub open: bool,
    /// More than the stream needs can be tried.
    pub can_probe: bool,
}

impl Estimate {
    /// What the choice of quality needs of it.
    pub(crate) fn sight(&self) -> Sight {
        let repairs = (self.loss * REPAIRS).min(MOST_REPAIRS);
        Sight {
            carries: (f64::from(self.bits_per_second) * (1.0 - repairs)) as u32,
            open: self.open,
            full: self.queueing.as_secs_f64() > FULL,
            can_probe: self.can_probe,
        }
    }
}

#[derive(Debug)]
pub(in crate::peer) struct Known {
    pub estimate: Estimate,
    /// When transport-cc feedback last came.
    pub heard: Option<Instant>,
    /// Where the estimate is to begin anew.
    pub restart: Option<u32>,
    /// It is known where the viewer is.
    has_address: bool,
    /// When the path became another, until something comes through.
    pub moved: Option<Instant>,
    /// Of their sound, by their receiver reports.
    sound: ReportedLoss,
    /// How many earlier packets those of their sound repeat, and what that
    /// takes in bit/s.
    repeats: (usize, u32),
    /// What is tried.
    pub probe: Option<Probe>,
    /// When the newest packet was sent that they miss and that is not sent again.
    given_up: Option<Instant>,
    /// What it carried before any media, in bit/s.
    at_once: Option<u32>,
    /// It has shown a limit lately, below what it might be sent.
    pub narrow: bool,
}

/// What the connection's driver measures and others read. Clones are cheap.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Path(Arc<Mutex<Known>>);

impl Path {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Known {
            estimate: Estimate {
                bits_per_second: bounds.start(),
                arriving: 0,
                loss: 0.0,
                round_trip: None,
                queueing: Duration::ZERO,
                open: true,
                can_probe: false,
            },
            heard: None,
            restart: None,
            has_address: false,
            moved: None,
            sound: ReportedLoss::default(),
            repeats: (0, 0),
            probe: None,
            given_up: None,
            at_once: None,
            narrow: false,
        })))
    }

    pub(crate) fn estimate(&self) -> Estimate {
        self.lock().estimate
    }

    /// What the choice of quality needs of it: what is repeated of the sound
    /// is not there for the picture.
    pub(crate) fn sight(&self) -> Sight {
        let known = self.lock();
        let mut sight = known.estimate.sight();
        sight.carries = sight.carries.saturating_sub(known.repeats.1);
        sight
    }

    /// Their receiver reports so much of the sound lost, 0 to 1.
    pub(crate) fn sound_lost(&self, fraction: f64, now: Instant) {
        self.lock().sound.report(fraction, now);
    }

    /// The share of their packets that get lost, 0 to 1: of sound as it is
    /// reported, of all as far as transport-cc tells.
    pub(crate) fn loss(&self, now: Instant) -> f64 {
        let known = self.lock();
        let heard = known
            .heard
            .is_some_and(|at| now.saturating_duration_since(at) < STALE);
        let all = if heard { known.estimate.loss } else { 0.0 };
        known.sound.get(now).unwrap_or_default().max(all)
    }

    /// Whether the path carries so many bit/s and shows no limit below them;
    /// `None` where its receiver has told nothing lately.
    pub(crate) fn carries(&self, bits_per_second: u32, now: Instant) -> Option<bool> {
        let known = self.lock();
        let heard = known
            .heard
            .is_some_and(|at| now.saturating_duration_since(at) < STALE);
        let sight = known.estimate.sight();
        heard.then_some(sight.open || sight.carries >= bits_per_second)
    }

    /// It has shown a limit lately, by its delays: what comes faster than it carries
    /// stands in its queue.
    pub(crate) fn is_narrow(&self) -> bool {
        self.lock().narrow
    }

    /// A packet of the picture that was `sent` then is missing for good.
    pub(crate) fn gave_up(&self, sent: Instant) {
        let mut known = self.lock();
        known.given_up = known.given_up.max(Some(sent));
    }

    /// When the newest packet of the picture was sent that is missing for good.
    pub(crate) fn given_up(&self) -> Option<Instant> {
        self.lock().given_up
    }

    /// The packets of sound repeat so many earlier ones, which takes so many
    /// bit/s.
    pub(crate) fn repeats(&self, packets: usize, bits_per_second: u32) {
        self.lock().repeats = (packets, bits_per_second);
    }

    /// The share of their sound that is lost with all its repetitions, 0 to 1;
    /// `None` where their receiver does not report.
    pub(crate) fn sound_left(&self, now: Instant) -> Option<f64> {
        let known = self.lock();
        let loss = known.sound.get(now)?;
        Some(Repetition::left(loss, known.repeats.0))
    }

    /// True once the viewer's feedback has come.
    pub(crate) fn is_measured(&self) -> bool {
        self.lock().heard.is_some()
    }

    /// The viewer is at an address, from which a call before ended with so
    /// much, if there was one. Only the first one counts: one that changes in a
    /// call says nothing of the path that is measured, and others may share it.
    pub(crate) fn is_at_address(&self, remembered: Option<u32>) {
        let known_before = std::mem::replace(&mut self.lock().has_address, true);
        if let Some(bits_per_second) = remembered.filter(|_| !known_before) {
            debug!(bits_per_second, "the path is remembered");
            self.restart(bits_per_second);
        }
    }

    /// Begins anew with what another call of this viewer ended with.
    pub(crate) fn restart(&self, bits_per_second: u32) {
        let mut known = self.lock();
        known.restart = Some(bits_per_second);
        known.estimate.bits_per_second = bits_per_second;
    }

    /// It was seen to carry so much, in bit/s, for a moment and before any media.
    pub(crate) fn takes_at_once(&self, bits_per_second: u32) {
        self.lock().at_once = Some(bits_per_second);
    }

    /// That was long ago.
    pub(crate) fn forget_at_once(&self) {
        self.lock().at_once = None;
    }

    /// The same, until feedback tells more.
    pub(crate) fn at_once(&self) -> Option<u32> {
        let known = self.lock();
        known.at_once.filter(|_| known.heard.is_none())
    }

    /// Packets take another path from `now` on. Of those before, and of what is
    /// lost until the first comes through, it is learned nothing.
    pub(crate) fn moved(&self, now: Instant) {
        let mut known = self.lock();
        known.moved = Some(now);
        known.at_once = None;
    }

    /// Packets can be sent to this viewer that they do not need.
    pub(crate) fn can_probe(&self) {
        self.lock().estimate.can_probe = true;
    }

    /// Tries so much from `now` on, in bit/s on the wire.
    pub(crate) fn try_more(&self, bits_per_second: u32, now: Instant) {
        self.lock().probe = Some(Probe {
            bits_per_second,
            began: now,
        });
    }

    #[cfg(test)]
    pub(crate) fn heard(&self, now: Instant) {
        self.lock().heard = Some(now);
    }

    /// What is tried at `now`.
    pub(crate) fn probe(&self, now: Instant) -> Option<Probe> {
        let known = self.lock();
        let heard = known
            .heard
            .is_some_and(|at| now.saturating_duration_since(at) < PROBE_DEAF);
        known.probe.filter(|probe| heard && probe.is_on(now))
    }

    #[cfg(test)]
    pub(crate) fn note_loss(&self, loss: f64) {
        self.lock().estimate.loss = loss;
    }

    /// The receiver's own estimate (draft-alvestrand-rmcat-remb-03), which
    /// counts only where there is nothing better.
    pub(crate) fn remb(&self, bits_per_second: u32, bounds: Bounds, now: Instant) {
        let mut known = self.lock();
        let better = known
            .heard
            .is_some_and(|at| now.saturating_duration_since(at) < STALE);
        if !better {
            known.at_once = None;
            known.estimate.bits_per_second = bits_per_second.clamp(bounds.min, bounds.max);
            known.estimate.open = false;
            known.narrow = false;
        }
    }

    pub(in crate::peer) fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.0)
    }
}
