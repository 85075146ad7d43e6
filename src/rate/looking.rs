//! One viewer looked at: whether their path is too narrow, carries more, and
//! what follows.

use std::time::Instant;

use super::{
    CHOICE_EVERY, DOWN_AFTER, DOWN_AT_ONCE, Decision, FLOODED, FORGET, HOLD, OVERHEAD, PROBE_LEAST,
    PROBE_STEP, RECOVERED, Sight, TOO_NARROW, TRIAL, TRIAL_FAILED, Tiers, UP_AFTER, UP_MARGIN,
    VAIN, ViewerId,
};
use crate::backoff::doubled;

/// What one look at a viewer says.
struct Look {
    tier: usize,
    sight: Sight,
    pinned: Option<usize>,
    moved: Instant,
    trial: Option<(Instant, u32)>,
    low: Option<Instant>,
    high: Option<Instant>,
    is_last: bool,
    /// Too narrow for long enough.
    due: bool,
    /// Less than the tier's least.
    below_floor: bool,
    /// What the better tier needs, for long enough.
    proved: bool,
    /// The same with everybody there.
    all_proved: bool,
    /// What an attempt would have to show, in bit/s on the wire.
    wants: Option<f64>,
}

impl Tiers {
    pub(super) fn look_at(
        &mut self,
        id: ViewerId,
        targets: &[Option<u32>],
        now: Instant,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(v) = self.viewers.get(&id).filter(|v| v.counts()) else {
            return;
        };
        let back = v.back && v.sight.open && v.tier > 0;
        let wish = v.pinned.or(back.then_some(0));
        if let Some(tier) = wish.filter(|tier| *tier != v.tier)
            && v.chose
                .is_none_or(|at| now.saturating_duration_since(at) >= CHOICE_EVERY)
            && self.may_cost_others(id, tier, now)
        {
            if let Some(v) = self.viewers.get_mut(&id) {
                (v.chose, v.back) = (Some(now), false);
            }
            return self.move_to(id, tier, now, decisions);
        }
        if !back && let Some(v) = self.viewers.get_mut(&id) {
            v.back = false;
        }
        if let Some(look) = self.look(id, targets, now) {
            self.follow(id, &look, now, decisions);
        }
    }

    fn look(&self, id: ViewerId, targets: &[Option<u32>], now: Instant) -> Option<Look> {
        let v = self.viewers.get(&id)?;
        let (tier, sight, pinned) = (v.tier, v.sight, v.pinned);
        let (was_low, was_high, moved, trial) = (v.low, v.high, v.moved, v.trial);
        let usable = f64::from(self.usable(sight));
        let steady = f64::from(self.tiers[tier].range.steady);
        let is_last = tier + 1 == self.tiers.len();
        let target = f64::from(targets[tier].unwrap_or_default());

        let share = match was_low {
            Some(_) => RECOVERED,
            None => TOO_NARROW,
        };
        let too_little = |needed: f64| !sight.open && usable < needed;
        let trial = trial.filter(|(until, began)| {
            let failed = sight.full || too_little(f64::from(*began) * TRIAL_FAILED);
            now < *until && !failed
        });
        let low =
            trial.is_none() && (too_little(share * target) || (!is_last && too_little(steady)));
        let severe = usable < target / 2.0 || (!is_last && usable < steady / 2.0);
        let low = low.then(|| was_low.unwrap_or(now));
        let patience = if severe { DOWN_AT_ONCE } else { DOWN_AFTER };
        let due = low.is_some_and(|since| now.saturating_duration_since(since) >= patience);

        let enough = tier > 0
            && pinned.is_none()
            && low.is_none()
            && usable >= self.needed_above(tier, false);
        let high = enough.then(|| was_high.unwrap_or(now));
        let proved = high.is_some_and(|since| now.saturating_duration_since(since) >= UP_AFTER);

        // Early enough that they can have proved it when they may go.
        let quiet = pinned.is_none() && low.is_none() && trial.is_none() && !sight.full;
        let all = (tier > 0).then(|| self.needed_above(tier, true));
        let all_proved = all.is_some_and(|all| usable >= all);
        let wants = all
            .filter(|_| quiet && !all_proved && sight.can_probe)
            .map(|all| self.on_the_wire(all));

        let floor = f64::from(self.tiers[tier].range.floor);
        let below_floor = too_little(floor);
        Some(Look {
            tier,
            sight,
            pinned,
            moved,
            trial,
            low,
            high,
            is_last,
            due,
            below_floor,
            proved,
            all_proved,
            wants,
        })
    }

    fn follow(&mut self, id: ViewerId, look: &Look, now: Instant, decisions: &mut Vec<Decision>) {
        let &Look {
            tier,
            sight,
            pinned,
            moved,
            trial,
            low,
            high,
            is_last,
            due,
            below_floor,
            proved,
            all_proved,
            wants,
        } = look;
        if let Some(v) = self.viewers.get_mut(&id) {
            v.trial = trial;
            v.low = low;
            v.high = high;
            if now.saturating_duration_since(moved) > FORGET {
                v.hold = HOLD.0;
            }
            // Where they cannot go further down they get what they can carry.
            let stuck = is_last || pinned == Some(tier);
            let starved = std::mem::take(&mut v.starved);
            let narrow = due || below_floor || (v.thinned.is_some() && low.is_some());
            // Until the encoder makes less, which takes some seconds.
            let thin = (stuck && narrow) || v.flooded == FLOODED;
            if thin != v.thinned.is_some() {
                v.thinned = thin.then_some(now);
                decisions.push(Decision::Thin {
                    viewer: id,
                    on: thin,
                });
            }
            if let Some(wants) = wants
                && !thin
                && now.saturating_duration_since(moved) + UP_AFTER >= v.hold
                && v.probing.is_due(sight.carries, now)
            {
                let carries = f64::from(sight.carries);
                let step = (carries * PROBE_STEP).max(carries + PROBE_LEAST);
                decisions.push(Decision::Probe {
                    viewer: id,
                    bits_per_second: wants.min(step) as u32,
                });
            }
            // An attempt that may fail waits for the proof a while.
            let hold = match sight.can_probe && !all_proved {
                true => v.hold * 2,
                false => v.hold,
            };
            if (due || starved) && !stuck {
                self.move_to(id, tier + 1, now, decisions);
            } else if proved && now.saturating_duration_since(v.moved) >= hold {
                self.move_to(id, tier - 1, now, decisions);
            }
        }
    }

    /// What a path has to carry for the tier above: `all` of it, or as much as
    /// its own stream can show. More than half as much again as this tier sends
    /// is not seen on it; there an attempt has to show, if probes do not.
    pub(super) fn needed_above(&self, tier: usize, all: bool) -> f64 {
        let (this, above) = (&self.tiers[tier], &self.tiers[tier - 1]);
        let own = f64::from(above.range.steady) * UP_MARGIN;
        let others = above.rate.map_or(0.0, |r| f64::from(r.bits_per_second)) * 0.9;
        let visible = f64::from(this.range.ceiling) * 1.35;
        own.max(match all {
            true => others,
            false => others.min(visible),
        })
    }

    /// What is to be seen on a path that has to carry so much video; a little
    /// more, for not all that is tried is proved.
    pub(super) fn on_the_wire(&self, video: f64) -> f64 {
        (video / (1.0 - OVERHEAD) + f64::from(self.audio)) * 1.15
    }

    pub(super) fn move_to(
        &mut self,
        id: ViewerId,
        tier: usize,
        now: Instant,
        decisions: &mut Vec<Decision>,
    ) {
        let usable = self.viewers.get(&id).map(|v| self.usable(v.sight));
        let (Some(v), Some(usable)) = (self.viewers.get_mut(&id), usable) else {
            return;
        };
        let down = tier > v.tier;
        v.trial = (!down).then_some((now + TRIAL.1, usable));
        if down && v.climbed && now.saturating_duration_since(v.moved) < VAIN {
            v.hold = doubled(v.hold, 1, HOLD.1);
        }
        v.climbed = !down;
        v.probing.before = None;
        v.tier = tier;
        v.moved = now;
        v.low = None;
        v.high = None;
        v.flooded = 0;
        if v.thinned.take().is_some() {
            decisions.push(Decision::Thin {
                viewer: id,
                on: false,
            });
        }
        decisions.push(Decision::Move { viewer: id, tier });
    }
}
