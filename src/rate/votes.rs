//! Whose paths say how a tier is encoded, and what they say.

use std::time::Instant;

use super::viewer::Viewer;
use super::{HEALTHY, HEALTHY_AT_LAST, Tiers, usable};

impl Tiers {
    /// What the paths of a tier's viewers carry, from the least.
    fn paths(&self, tier: usize, of: impl Fn(&Viewer) -> bool) -> Vec<u32> {
        let ceiling = self.tiers[tier].range.ceiling;
        let mut paths: Vec<_> = self
            .viewers
            .values()
            .filter(|v| v.tier == tier && of(v))
            .map(|v| self.usable(v.sight).min(ceiling))
            .collect();
        paths.sort_unstable();
        paths
    }

    /// Whose paths make a tier's bitrate: those who were put there and will
    /// stay; where there are none, who chose it and can have it; or all. Who only
    /// comes, or takes no picture, counts where nobody else is there.
    fn votes(&self, tier: usize) -> impl Fn(&Viewer) -> bool {
        let steady = self.tiers[tier].range.steady;
        let is_last = tier + 1 == self.tiers.len();
        let audio = self.audio;
        let class = move |v: &Viewer| {
            let stays = is_last || usable(v.sight, audio) >= steady;
            match (v.pinned, stays) {
                _ if !v.counts() => 4,
                (None, true) => 0,
                (None, false) => 1,
                (Some(_), true) => 2,
                (Some(_), false) => 3,
            }
        };
        let there = self.viewers.values().filter(|v| v.tier == tier);
        let first = there.map(class).min().unwrap_or_default();
        move |v| class(v) == first
    }

    /// What a viewer of this tier is held against: the median of those who
    /// count, the upper of two.
    pub(super) fn reference(&self, tier: usize) -> u32 {
        let paths = self.paths(tier, self.votes(tier));
        paths.get(paths.len() / 2).copied().unwrap_or_default()
    }

    /// What the bitrate of each tier should be, where somebody watches it.
    pub(super) fn targets(&self, now: Instant) -> Vec<Option<u32>> {
        (0..self.tiers.len())
            .map(|tier| self.target(tier, now))
            .collect()
    }

    fn target(&self, tier: usize, now: Instant) -> Option<u32> {
        let least = f64::from(self.reference(tier)) * self.healthy(tier);
        let votes = self.votes(tier);
        let healthy = |v: &Viewer| votes(v) && f64::from(self.usable(v.sight)) >= least;
        let known = |v: &Viewer| !v.is_on_trial(now);
        let mut paths = self.paths(tier, |v| healthy(v) && known(v));
        if paths.is_empty() {
            paths = self.paths(tier, healthy);
        }
        paths.get(paths.len() / 4).copied()
    }

    pub(super) fn healthy(&self, tier: usize) -> f64 {
        match tier + 1 == self.tiers.len() {
            true => HEALTHY_AT_LAST,
            false => HEALTHY,
        }
    }
}
