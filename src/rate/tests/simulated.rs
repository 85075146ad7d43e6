//! Viewers with paths, in simulated time, and the rules that always hold.

use super::*;

/// A viewer over a path, as far as a policy sees them.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: ViewerId,
    pub(super) tier: usize,
    /// bit/s.
    pub(super) path: f64,
    pub(super) sight: Sight,
    pub(super) thinned: bool,
    /// What is tried in the next tick, in bit/s.
    pub(super) probe: Option<u32>,
    pub(super) probes: Vec<Duration>,
    /// Moves up.
    pub(super) climbs: Vec<Duration>,
    pub(super) moves: Vec<Duration>,
}

pub(super) struct Sim {
    pub(super) tiers: Tiers,
    pub(super) viewers: Vec<Model>,
    pub(super) rng: fastrand::Rng,
    pub(super) begin: Instant,
    pub(super) now: Instant,
    pub(super) ids: ViewerId,
    pub(super) rates: [Option<u32>; 2],
    pub(super) halved: [bool; 2],
    pub(super) fell: [Option<Instant>; 2],
    /// The most that encoders make of what is seen, in bit/s.
    pub(super) picture: f64,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let begin = Instant::now();
        Self {
            tiers: Tiers::new(&Settings {
                tiers: RANGES.to_vec(),
                audio: AUDIO,
            }),
            viewers: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            begin,
            now: begin,
            ids: 0,
            rates: [None; 2],
            halved: [false; 2],
            fell: [None; 2],
            picture: f64::INFINITY,
        }
    }

    pub(super) fn join(&mut self, path: f64) -> ViewerId {
        self.ids += 1;
        let sight = Sight {
            carries: 1_000_000,
            open: true,
            full: false,
            can_probe: true,
        };
        let tier = self.tiers.join(self.ids, sight, self.now);
        self.viewers.push(Model {
            id: self.ids,
            tier,
            path,
            sight,
            thinned: false,
            probe: None,
            probes: Vec::new(),
            climbs: Vec::new(),
            moves: Vec::new(),
        });
        self.ids
    }

    pub(super) fn leave(&mut self, index: usize) {
        let gone = self.viewers.swap_remove(index);
        self.tiers.leave(gone.id);
    }

    pub(super) fn of(&self, id: ViewerId) -> &Model {
        self.viewers
            .iter()
            .find(|v| v.id == id)
            .expect("they are there")
    }

    /// What an estimator would find out in a tick.
    pub(super) fn estimate(&mut self) {
        for v in &mut self.viewers {
            let rate = f64::from(self.rates[v.tier].unwrap_or_default());
            let rate = rate.min(self.picture);
            let sent = match v.thinned {
                true => rate.min(f64::from(v.sight.carries) * 0.9),
                false => rate,
            };
            let sent = sent * 1.05 + f64::from(AUDIO);
            let is = f64::from(v.sight.carries);
            let noise = 0.95 + 0.1 * self.rng.f64();
            v.sight.full = sent > v.path;
            let carries = if sent > v.path * 0.98 {
                v.sight.open = false;
                (v.path * 0.88 * noise).min(is)
            } else if v.sight.open {
                (sent * 2.0).max(is)
            } else {
                (is * 1.01)
                    .min((sent * 1.5).max(is))
                    .min(v.path * noise.max(1.0))
            };
            // Half a second of more: its queue is gone with it.
            let carries = match v.probe.take().map(f64::from) {
                Some(tried) if tried <= v.path * 0.98 => carries.max(tried * 0.95),
                Some(_) => {
                    v.sight.full = true;
                    carries
                }
                None => carries,
            };
            v.sight.carries = carries.clamp(60_000.0, 2_500_000.0) as u32;
            self.tiers.sight(v.id, v.sight);
        }
    }

    pub(super) fn tick(&mut self) {
        self.now += TICK;
        self.estimate();
        let references = [self.tiers.reference(0), self.tiers.reference(1)];
        let decisions = self.tiers.poll(self.now);
        let moved = decisions.iter().any(|d| matches!(d, Decision::Move { .. }));
        for decision in decisions {
            self.decided(decision, references, moved);
        }
        for tier in 0..2 {
            let watched = self.viewers.iter().any(|v| v.tier == tier);
            assert_eq!(self.tiers.rate_of(tier).is_some(), watched);
            if !watched {
                self.rates[tier] = None;
                self.fell[tier] = None;
            }
        }
    }

    /// Holds the rules against a decision, and lives with it.
    fn decided(&mut self, decision: Decision, references: [u32; 2], moved: bool) {
        match decision {
            Decision::Rate {
                tier,
                bits_per_second,
                every,
                percent,
            } => {
                let range = RANGES[tier];
                assert!((range.floor..=range.ceiling).contains(&bits_per_second));
                if let Some(before) = self.rates[tier]
                    && bits_per_second < before
                {
                    if let Some(fell) = self.fell[tier] {
                        assert!(self.now - fell >= DROP_INTERVAL, "drops come too fast");
                    }
                    self.fell[tier] = Some(self.now);
                    // Nobody takes more from the others than the rule says.
                    let least = f64::from(references[tier]) * self.tiers.healthy(tier);
                    assert!(
                        moved
                            || f64::from(bits_per_second) >= least * 0.999
                            || bits_per_second == range.floor,
                        "{bits_per_second} of {references:?}"
                    );
                }
                self.rates[tier] = Some(bits_per_second);
                assert!(every == 1 || tier == 1);
                assert_eq!(percent, 100, "these encoders obey");
                self.halved[tier] = every == 2;
            }
            Decision::Move { viewer, tier } => {
                let at = self.now - self.begin;
                let v = self.viewers.iter_mut().find(|v| v.id == viewer);
                let v = v.expect("they are there");
                assert_ne!(v.tier, tier);
                let chosen = self.tiers.viewers[&viewer].chose == Some(self.now);
                if tier < v.tier && !chosen {
                    if let Some(last) = v.moves.last() {
                        assert!(at - *last >= HOLD.0, "up too soon after a move");
                    }
                    v.climbs.push(at);
                }
                v.moves.push(at);
                v.tier = tier;
            }
            Decision::Probe {
                viewer,
                bits_per_second,
            } => {
                let v = self.viewers.iter_mut().find(|v| v.id == viewer);
                let v = v.expect("they are there");
                assert!(v.tier > 0 && !v.thinned, "they are due for nothing");
                let known = f64::from(v.sight.carries);
                assert!(
                    f64::from(bits_per_second) <= (known * PROBE_STEP).max(known + PROBE_LEAST)
                );
                let at = self.now - self.begin;
                if let Some(last) = v.probes.last() {
                    assert!(at - *last >= PROBE_AGAIN, "tried all the time");
                }
                v.probes.push(at);
                v.probe = Some(bits_per_second);
            }
            Decision::Thin { viewer, on } => {
                let v = self.viewers.iter_mut().find(|v| v.id == viewer);
                let v = v.expect("they are there");
                assert_ne!(v.thinned, on);
                v.thinned = on;
            }
        }
    }

    pub(super) fn run(&mut self, secs: u64) {
        for _ in 0..secs * 10 {
            self.tick();
        }
    }
}
