//! Which quality each viewer gets, and at what bitrate each is encoded.
//!
//! Pure: what paths carry and the time go in, [`Decision`]s come out. One
//! [`Tiers`] holds the viewers of one codec. A *tier* is one encode of the
//! picture, the best one first; all its viewers share it.
//!
//! * A tier's bitrate is what its healthy viewers' paths carry, at a low
//!   quantile of them. It drops at most once a second and climbs by steps.
//! * Who chose a tier, or is about to leave it, has no say in its bitrate as long
//!   as others watch it: however many claim a narrow path, nobody else pays.
//! * Nor has who has called and whose path has not shown yet, nor who takes no picture
//!   at the moment: what they say of their path nobody can check.
//! * A viewer is *healthy* where their path carries most of what the others'
//!   carry. One whose path is too narrow for the rest goes to the next tier, so
//!   that they take nothing from them. At the last tier their frames are thinned.
//! * They go up again when their path has carried enough for some seconds, and
//!   not soon after they came down; each vain attempt doubles that time.
//! * A tier whose encoder makes more than it is asked for has fewer frames, and
//!   then smaller ones. Until that shows, the frames of those whose paths it
//!   would fill are thinned.
//! * What they are sent cannot prove that more gets through. When they are due for
//!   more, more is tried for a moment; a vain trial doubles the time to the next.

mod looking;
mod steps;
mod viewer;
mod votes;

mod settings;
pub(crate) mod sound;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) use settings::{Settings, TierRange};
use steps::{Rung, Steps};
use viewer::{Probing, Viewer};

/// A viewer's name here.
pub(crate) type ViewerId = u64;

/// [`Tiers::poll`] is to be called this often.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Bitrates drop no more often.
pub(crate) const DROP_INTERVAL: Duration = Duration::from_secs(1);
/// And climb by one step in this time.
const CLIMB_INTERVAL: Duration = Duration::from_millis(250);
/// One step.
const CLIMB: f64 = 1.10;
/// Smaller changes are left out.
const NOTEWORTHY: f64 = 0.03;
/// A viewer is healthy who carries this share of what the better half does.
pub(crate) const HEALTHY: f64 = 0.75;
/// The same on the last tier, below which there is none to go to.
pub(crate) const HEALTHY_AT_LAST: f64 = 0.5;
/// A path that carries less than this share of its tier's bitrate is too narrow.
const TOO_NARROW: f64 = 0.9;
/// One that was too narrow is wide enough again at this share.
const RECOVERED: f64 = 1.0;
/// Too narrow for so long, and they move down.
const DOWN_AFTER: Duration = Duration::from_millis(700);
/// The same where their path carries less than half.
const DOWN_AT_ONCE: Duration = Duration::from_millis(300);
/// Their path carries enough for so long, and they move up.
pub(crate) const UP_AFTER: Duration = Duration::from_secs(5);
/// How much more than a tier needs is enough.
const UP_MARGIN: f64 = 1.3;
/// The first and the longest time between a move and the next one up.
pub(crate) const HOLD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(160));
/// Who moves down so soon after they went up made a failed attempt.
const VAIN: Duration = Duration::from_secs(20);
/// After so long without a move failed attempts are forgotten.
const FORGET: Duration = Duration::from_secs(120);
/// A viewer who came, or went up, has so long to show that their path carries
/// it: it can be seen only now that it is sent.
const TRIAL: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(6));
/// A trial is over when the path carries less than this share of what it did.
const TRIAL_FAILED: f64 = 0.95;
/// How much a path is tried with, as a multiple of what it is known to carry.
const PROBE_STEP: f64 = 1.4;
/// The least that is tried above it, in bit/s.
const PROBE_LEAST: f64 = 100_000.0;
/// The time to the next try while tries prove something.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
/// The least gain that counts as proof, as a multiple.
const PROBE_GAIN: f64 = 1.1;
/// The first and the longest wait after a try that proved nothing. It ends early
/// where the path shows by itself that it has gained as much.
const PROBE_WAIT: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(60));
/// Where others watch the same tier a viewer may force a key frame in so many
/// seconds.
const KEY_FRAME_EVERY: f64 = 10.0;
/// A viewer is given another tier of their choice no more often, also where nobody
/// shares it: each begins with a key frame, and keeps an encoder of its own running.
const CHOICE_EVERY: Duration = Duration::from_secs(2);
/// What they ask for within this time of it is the same one, on its way.
const KEY_FRAME_COMES: Duration = Duration::from_secs(1);
/// An encoder floods a path from this multiple of what the path carries.
const FLOODS: f64 = 1.3;
/// It no longer does below this multiple.
const EBBS: f64 = 1.1;
/// Seconds in which it has to flood before anything is done: one may hold a key
/// frame.
const FLOODED: u32 = 2;
/// The least that an encoder is asked for, in bit/s.
const LEAST: u32 = 100_000;
/// RTP headers of 50 packets of sound a second, in bit/s.
const SOUND_HEADERS: u32 = 50 * 20 * 8;
/// RTP headers and some repair, as a share of a path.
const OVERHEAD: f64 = 0.06;

/// What is known of a viewer's path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sight {
    /// What it carries, in bit/s, all headers included.
    pub carries: u32,
    /// It has not shown a limit: it may carry more.
    pub open: bool,
    /// Packets stand in a queue on it.
    pub full: bool,
    /// It can be tried with more than the stream: [`Decision::Probe`].
    pub can_probe: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Encode a tier at this many bit/s.
    Rate {
        /// The tier, 0 the best.
        tier: usize,
        /// bit/s of video.
        bits_per_second: u32,
        /// Encode one of so many frames: 1 is all of them.
        every: u32,
        /// And this share of the tier's width and height, in percent.
        percent: u32,
    },
    /// Send a viewer another tier, from its next key frame on.
    Move {
        /// Who.
        viewer: ViewerId,
        /// Where.
        tier: usize,
    },
    /// Try for a moment whether a viewer's path carries so much.
    Probe {
        /// Who.
        viewer: ViewerId,
        /// bit/s, all headers included, with what they are sent already.
        bits_per_second: u32,
    },
    /// Send a viewer only what their path carries, from key frame to as far as
    /// it goes; or all again.
    Thin {
        /// Who.
        viewer: ViewerId,
        /// Thinned, or not.
        on: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Tier {
    range: TierRange,
    /// `None` while nobody watches.
    rate: Option<Rate>,
    /// What its encoder made lately, in bit/s, since it was last looked at.
    made: Option<u32>,
    steps: Steps,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    bits_per_second: u32,
    /// For the bitrate's sake.
    halved: bool,
    /// With the encoder's own reasons for less.
    rung: Rung,
    fell: Option<Instant>,
    climbed: Instant,
}

/// The tiers of one codec and who watches them.
#[derive(Debug)]
pub(crate) struct Tiers {
    tiers: Vec<Tier>,
    audio: u32,
    viewers: BTreeMap<ViewerId, Viewer>,
}

impl Tiers {
    /// Tiers that nobody watches yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        let tier = |range| Tier {
            range,
            rate: None,
            made: None,
            steps: Steps::ALL,
        };
        Self {
            tiers: settings.tiers.iter().copied().map(tier).collect(),
            audio: settings.audio,
            viewers: BTreeMap::new(),
        }
    }

    /// Somebody calls whose path has not shown yet; the tier that they will begin with.
    /// As long as others watch it they count for nothing: an offer is anybody's words.
    pub(crate) fn come(&mut self, viewer: ViewerId, sight: Sight, now: Instant) -> usize {
        let tier = self.join(viewer, sight, now);
        if let Some(v) = self.viewers.get_mut(&viewer) {
            v.comes = true;
        }
        tier
    }

    /// Their path has shown: they are a viewer now, and on trial from here on.
    pub(crate) fn is_there(&mut self, viewer: ViewerId, now: Instant) {
        if let Some(v) = self.viewers.get_mut(&viewer).filter(|v| v.comes) {
            v.comes = false;
            (v.since, v.moved) = (now, now);
            v.trial = Some((now + TRIAL.0, usable(v.sight, self.audio)));
        }
    }

    /// A viewer comes whose path is there; the tier they begin with.
    pub(crate) fn join(&mut self, viewer: ViewerId, sight: Sight, now: Instant) -> usize {
        let usable = self.usable(sight);
        let fits = |tier: &Tier| usable >= tier.range.steady;
        let last = self.tiers.len().saturating_sub(1);
        let tier = self.tiers.iter().position(fits).unwrap_or(last);
        self.viewers.insert(
            viewer,
            Viewer {
                tier,
                since: now,
                comes: false,
                takes: true,
                sight,
                trial: Some((now + TRIAL.0, usable)),
                moved: now,
                climbed: false,
                hold: HOLD.0,
                low: None,
                high: None,
                pinned: None,
                back: false,
                chose: None,
                thinned: None,
                flooded: 0,
                probing: Probing::NEW,
                forced: None,
                starved: false,
            },
        );
        tier
    }

    /// Whether a viewer is sent the picture: not while the call is on hold, nor while
    /// nothing is heard of them. Until they are, they count as one who
    /// [comes](Self::come), and are on trial when they take it again.
    pub(crate) fn takes(&mut self, viewer: ViewerId, takes: bool, now: Instant) {
        if let Some(v) = self.viewers.get_mut(&viewer)
            && std::mem::replace(&mut v.takes, takes) != takes
            && takes
            && !v.comes
        {
            (v.low, v.high, v.flooded) = (None, None, 0);
            v.trial = Some((now + TRIAL.0, usable(v.sight, self.audio)));
        }
    }

    /// A viewer is gone.
    pub(crate) fn leave(&mut self, viewer: ViewerId) {
        self.viewers.remove(&viewer);
    }

    /// What the encoder of a tier made in the last second, in bit/s.
    pub(crate) fn made(&mut self, tier: usize, bits_per_second: u32) {
        if let Some(tier) = self.tiers.get_mut(tier) {
            tier.made = Some(bits_per_second);
        }
        let made = f64::from(bits_per_second);
        for v in self.viewers.values_mut().filter(|v| v.tier == tier) {
            let carries = f64::from(usable(v.sight, self.audio));
            if made <= carries * EBBS || v.sight.open {
                v.flooded = 0;
            } else if made > carries * FLOODS {
                v.flooded = (v.flooded + 1).min(FLOODED);
            }
        }
    }

    /// What is now known of a viewer's path.
    pub(crate) fn sight(&mut self, viewer: ViewerId, sight: Sight) {
        if let Some(v) = self.viewers.get_mut(&viewer) {
            v.sight = sight;
        }
    }

    /// A viewer wants this tier whatever their path carries, or leaves it to us
    /// again: then, where their path has shown no limit, they have the best one at once
    /// and on trial, as if they had just come. A tier that is not there is the last one. Where others watch it, a
    /// viewer's coming costs them a key frame, and waits as one that is asked
    /// for does.
    pub(crate) fn pin(&mut self, viewer: ViewerId, tier: Option<usize>) {
        let last = self.tiers.len().saturating_sub(1);
        if let Some(v) = self.viewers.get_mut(&viewer) {
            // What was seen of the path still holds.
            let tier = tier.map(|t| t.min(last));
            let chosen = std::mem::replace(&mut v.pinned, tier);
            v.back = tier.is_none() && (v.back || chosen.is_some_and(|t| t > 0));
        }
    }

    /// Where a viewer is.
    pub(crate) fn tier_of(&self, viewer: ViewerId) -> Option<usize> {
        self.viewers.get(&viewer).map(|v| v.tier)
    }

    /// The bitrate of a tier that is watched.
    pub(crate) fn rate_of(&self, tier: usize) -> Option<u32> {
        self.tiers.get(tier)?.rate.map(|r| r.bits_per_second)
    }

    /// Whether a viewer who asks for a key frame is given one. A key frame
    /// costs all who share their tier, so there they have one every ten seconds. One
    /// who needs more does not get the tier whole; they go to the next, where
    /// their coming brings one.
    pub(crate) fn may_force_key_frame(&mut self, viewer: ViewerId, now: Instant) -> bool {
        let Some(tier) = self.tier_of(viewer) else {
            return false;
        };
        let granted = self.may_cost_others(viewer, tier, now);
        if let Some(v) = self.viewers.get_mut(&viewer).filter(|_| !granted) {
            let since = v.forced.map(|at| now.saturating_duration_since(at));
            v.starved |= since.is_some_and(|since| since >= KEY_FRAME_COMES);
        }
        granted
    }

    /// Whether others than a viewer watch a tier.
    pub(crate) fn others_watch(&self, viewer: ViewerId, tier: usize) -> bool {
        let others = |(id, v): (&ViewerId, &Viewer)| *id != viewer && v.tier == tier && v.counts();
        self.viewers.iter().any(others)
    }

    /// Whether a viewer has just come to a tier that others watch: what they need is paid for
    /// by all who come, for a call is soon made anew.
    pub(crate) fn is_newcomer(&self, viewer: ViewerId, tier: usize, now: Instant) -> bool {
        let is_new =
            |v: &Viewer| now.saturating_duration_since(v.since).as_secs_f64() < KEY_FRAME_EVERY;
        self.viewers.get(&viewer).is_some_and(is_new) && self.others_watch(viewer, tier)
    }

    /// Whether a viewer may cause a key frame of this tier, by whatever means:
    /// one budget for what is asked for and for tiers that are chosen.
    fn may_cost_others(&mut self, viewer: ViewerId, tier: usize, now: Instant) -> bool {
        let alone = !self.others_watch(viewer, tier);
        let Some(v) = self.viewers.get_mut(&viewer) else {
            return false;
        };
        let since = v.forced.map(|at| now.saturating_duration_since(at));
        let granted = alone || since.is_none_or(|since| since.as_secs_f64() >= KEY_FRAME_EVERY);
        if granted && !alone {
            v.forced = Some(now);
        }
        granted
    }

    /// What is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let targets = self.targets(now);
        let ids: Vec<_> = self.viewers.keys().copied().collect();
        for id in ids {
            self.look_at(id, &targets, now, &mut decisions);
        }
        let targets = match decisions.is_empty() {
            true => targets,
            false => self.targets(now),
        };
        for (tier, target) in targets.into_iter().enumerate() {
            decisions.extend(self.set_rate(tier, target, now));
        }
        decisions
    }

    fn usable(&self, sight: Sight) -> u32 {
        usable(sight, self.audio)
    }

    fn set_rate(&mut self, tier: usize, target: Option<u32>, now: Instant) -> Option<Decision> {
        let last = tier + 1 == self.tiers.len();
        let Tier {
            range,
            rate,
            made,
            steps,
        } = &mut self.tiers[tier];
        let Some(target) = target else {
            *made = None;
            steps.rest();
            // What their path carried says nothing of who takes it otherwise: recordings do.
            let is_whole = |r: &Rate| {
                let Rung { every, percent } = r.rung;
                (r.bits_per_second, every, percent) == (range.ceiling, 1, 100)
            };
            return rate
                .take()
                .filter(|r| !is_whole(r))
                .map(|_| Decision::Rate {
                    tier,
                    bits_per_second: range.ceiling,
                    every: 1,
                    percent: 100,
                });
        };
        let wanted = target.max(range.floor).min(range.ceiling);
        let before = *rate;
        if before.is_none() {
            steps.begin(wanted, now);
        }
        let present = rate.get_or_insert(Rate {
            bits_per_second: wanted,
            halved: false,
            rung: steps.rung(),
            fell: None,
            climbed: now,
        });
        let (is, wants) = (f64::from(present.bits_per_second), f64::from(wanted));
        if wants < is * (1.0 - NOTEWORTHY) {
            if present
                .fell
                .is_none_or(|at| now.saturating_duration_since(at) >= DROP_INTERVAL)
            {
                present.bits_per_second = wanted;
                present.fell = Some(now);
                present.climbed = now;
            }
        } else if (wants > is * (1.0 + NOTEWORTHY) || (wanted == range.ceiling && wants > is))
            && now.saturating_duration_since(present.climbed) >= CLIMB_INTERVAL
        {
            present.bits_per_second = wants.min(is * CLIMB) as u32;
            present.climbed = now;
        }
        if last {
            let steady = f64::from(range.steady);
            let margin = if present.halved { UP_MARGIN } else { 1.0 };
            present.halved = f64::from(present.bits_per_second) < steady * margin
                && present.bits_per_second < range.ceiling;
        }
        if let Some(made) = made.take() {
            steps.look(present.bits_per_second, made, now);
        }
        present.rung = steps.rung();
        present.rung.every = present.rung.every.max(1 + u32::from(present.halved));
        let same = |r: Rate| (r.bits_per_second, r.rung) == (present.bits_per_second, present.rung);
        (!before.is_some_and(same)).then_some(Decision::Rate {
            tier,
            bits_per_second: present.bits_per_second,
            every: present.rung.every,
            percent: present.rung.percent,
        })
    }
}

/// What of a path is there for the picture, where sound takes so much.
fn usable(sight: Sight, audio: u32) -> u32 {
    let video = sight.carries.saturating_sub(audio);
    (f64::from(video) * (1.0 - OVERHEAD)) as u32
}

#[cfg(test)]
mod tests;
