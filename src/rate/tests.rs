//! Rules by example, then thousands of random mixes of viewers and paths.

mod liars;
mod simulated;

use super::*;
use crate::config::{AudioSource, Config};
use simulated::Sim;

const RANGES: [TierRange; 2] = [
    TierRange {
        floor: 100_000,
        steady: 550_000,
        ceiling: 2_000_000,
    },
    TierRange {
        floor: 100_000,
        steady: 150_000,
        ceiling: 700_000,
    },
];
const AUDIO: u32 = 50_000;

#[test]
fn one_viewer_on_a_clear_path_has_the_full_rate_within_three_seconds() {
    let mut sim = Sim::new(1);
    sim.join(50e6);
    sim.run(3);
    assert_eq!(sim.rates, [Some(2_000_000), None]);
}

#[test]
fn one_viewer_alone_has_what_their_path_carries_down_to_half_the_frames() {
    for (path, tier, least, halved) in [
        (1_000_000.0, 0, 700_000, false),
        (400_000.0, 1, 250_000, false),
        (190_000.0, 1, 100_000, true),
    ] {
        let mut sim = Sim::new(2);
        let id = sim.join(path);
        sim.run(40);
        assert_eq!(sim.of(id).tier, tier, "{path}");
        let rate = sim.rates[tier].expect("it is watched");
        assert!(rate >= least && f64::from(rate) <= path, "{path}: {rate}");
        assert_eq!(sim.halved[tier], halved, "{path}");
    }
}

#[test]
fn a_weak_viewer_goes_down_and_takes_nothing_from_the_others() {
    let mut sim = Sim::new(3);
    for _ in 0..3 {
        sim.join(50e6);
    }
    sim.run(5);
    let weak = sim.join(500_000.0);
    for _ in 0..600 {
        sim.tick();
        let rate = sim.rates[0].expect("it is watched");
        assert!(rate >= 1_900_000, "{rate}");
    }
    assert_eq!(sim.of(weak).tier, 1);
}

#[test]
fn of_two_the_weak_one_goes_too_and_does_not_come_back_in_vain_all_the_time() {
    let mut sim = Sim::new(4);
    sim.join(50e6);
    let weak = sim.join(700_000.0);
    sim.run(300);
    assert_eq!(sim.rates[0], Some(2_000_000));
    let climbs = &sim.of(weak).climbs;
    assert!(climbs.len() <= 6, "{climbs:?}");
}

#[test]
fn a_path_that_recovers_is_used_again() {
    let mut sim = Sim::new(5);
    sim.join(50e6);
    let weak = sim.join(450_000.0);
    sim.run(20);
    assert_eq!(sim.of(weak).tier, 1);
    sim.viewers[1].path = 50e6;
    sim.run(45);
    assert_eq!(sim.of(weak).tier, 0);
}

#[test]
fn what_nobody_watches_any_more_is_whole_again_for_who_records_it() {
    let mut sim = Sim::new(11);
    sim.join(1_000_000.0);
    sim.run(20);
    assert!(sim.rates[0].is_some_and(|rate| rate < 1_000_000));
    sim.leave(0);
    sim.now += Duration::from_millis(300);
    let whole = Decision::Rate {
        tier: 0,
        bits_per_second: RANGES[0].ceiling,
        every: 1,
        percent: 100,
    };
    assert_eq!(sim.tiers.poll(sim.now), [whole]);
    sim.now += Duration::from_millis(300);
    assert_eq!(sim.tiers.poll(sim.now), []);
}

#[test]
fn a_still_picture_keeps_nobody_down() {
    let mut sim = Sim::new(8);
    let weak = sim.join(450_000.0);
    sim.run(20);
    assert_eq!(sim.of(weak).tier, 1);
    // What is sent now would prove nothing.
    sim.picture = 60_000.0;
    sim.viewers[0].path = 50e6;
    sim.run(30);
    assert_eq!(sim.of(weak).tier, 0);
    // The same where nothing can be tried.
    let mut blind = Sim::new(8);
    let weak = blind.join(450_000.0);
    blind.viewers[0].sight.can_probe = false;
    blind.run(20);
    blind.picture = 60_000.0;
    blind.viewers[0].path = 50e6;
    blind.run(60);
    assert_eq!((blind.of(weak).tier, blind.of(weak).probes.len()), (1, 0));
}

#[test]
fn a_path_that_carries_no_more_is_tried_ever_more_seldom_and_never_climbed() {
    let mut sim = Sim::new(9);
    sim.join(50e6);
    let weak = sim.join(900_000.0);
    sim.run(600);
    let v = sim.of(weak);
    assert_eq!((v.tier, v.climbs.len()), (1, 0));
    assert!((3..=18).contains(&v.probes.len()), "{:?}", v.probes);
}

#[test]
fn an_encoder_that_cannot_go_lower_has_less_to_do_and_is_asked_for_no_less() {
    let mut sim = Sim::new(10);
    let id = sim.join(700_000.0);
    sim.run(5);
    let asked = sim.tiers.rate_of(0).expect("it is watched");
    let mut rungs = vec![(1, 100)];
    for second in 0..30 {
        // At all frames, and whole ones, 2.4 Mbit/s.
        let (every, percent) = rungs[rungs.len() - 1];
        let made = 2_400_000 / every * percent / 100 * percent / 100;
        sim.tiers.made(0, made);
        sim.now += Duration::from_secs(1);
        for decision in sim.tiers.poll(sim.now) {
            if let Decision::Rate {
                tier: 0,
                every,
                percent,
                ..
            } = decision
                && rungs.last() != Some(&(every, percent))
            {
                rungs.push((every, percent));
            }
        }
        assert!(second < 3 || rungs.len() > 1, "{rungs:?}");
    }
    assert_eq!(rungs[1], (2, 67), "{rungs:?}");
    assert_eq!(sim.tiers.rate_of(0), Some(asked));
    sim.tiers.leave(id);
}

/// VP8 of noise at a quarter of what it makes at the least: a quarter of the
/// packets found the path's queue full, for a quarter of a minute.
#[test]
fn who_is_sent_more_than_their_path_carries_is_thinned_until_the_encoder_makes_less() {
    let mut sim = Sim::new(12);
    let (weak, strong) = (sim.join(800_000.0), sim.join(50e6));
    sim.tiers.pin(weak, Some(1));
    sim.tiers.pin(strong, Some(1));
    sim.run(5);
    let made = |sim: &mut Sim, bits| {
        sim.tiers.made(1, bits);
        sim.tick();
        [weak, strong].map(|id| sim.of(id).thinned)
    };
    // A second may have a key frame.
    assert_eq!(made(&mut sim, 1_500_000), [false, false]);
    assert_eq!(made(&mut sim, 400_000), [false, false]);
    assert_eq!(made(&mut sim, 1_500_000), [false, false]);
    assert_eq!(made(&mut sim, 1_500_000), [true, false]);
    assert_eq!(made(&mut sim, 850_000), [true, false], "hardly less");
    sim.run(1);
    assert_eq!(made(&mut sim, 400_000), [false, false]);
}

#[test]
fn a_pinned_viewer_stays_and_harms_nobody() {
    let mut sim = Sim::new(6);
    sim.join(50e6);
    let stubborn = sim.join(500_000.0);
    sim.tiers.pin(stubborn, Some(0));
    let modest = sim.join(50e6);
    sim.tiers.pin(modest, Some(7));
    sim.run(60);
    assert_eq!((sim.of(stubborn).tier, sim.of(modest).tier), (0, 1));
    assert!(sim.of(stubborn).thinned);
    assert_eq!(sim.rates[0], Some(2_000_000));
    sim.tiers.pin(stubborn, None);
    sim.tiers.pin(modest, None);
    sim.run(60);
    assert_eq!((sim.of(stubborn).tier, sim.of(modest).tier), (1, 0));
    assert!(!sim.of(stubborn).thinned);
}

/// A picture of a wall that is made large stayed small for ten to twenty seconds.
#[test]
fn who_no_longer_wants_less_has_the_best_at_once_where_their_path_shows_no_limit() {
    for (path, tier) in [(50e6, 0), (500_000.0, 1)] {
        let mut sim = Sim::new(6);
        let id = sim.join(path);
        sim.tiers.pin(id, Some(7));
        sim.run(30);
        assert_eq!(sim.of(id).tier, 1);
        sim.tiers.pin(id, None);
        sim.run(1);
        assert_eq!(sim.of(id).tier, tier, "{path}");
        sim.run(30);
        assert_eq!(sim.of(id).tier, tier, "{path}");
    }
}

#[test]
fn key_frames_are_scarce_only_where_others_pay_for_them() {
    let mut sim = Sim::new(7);
    let id = sim.join(50e6);
    let mut now = sim.now;
    for _ in 0..50 {
        assert!(sim.tiers.may_force_key_frame(id, now));
    }
    sim.join(50e6);
    let mut forced = 0;
    for _ in 0..1000 {
        now += TICK;
        forced += u32::from(sim.tiers.may_force_key_frame(id, now));
    }
    assert!((10..=11).contains(&forced), "{forced}");
    assert!(!sim.tiers.may_force_key_frame(99, now));
}

/// Each choice of another quality brought a key frame for all who watch it.
#[test]
fn who_changes_the_quality_all_the_time_costs_others_no_more_than_who_asks_all_the_time() {
    let mut sim = Sim::new(8);
    let others = [sim.join(50e6), sim.join(50e6)];
    let flips = sim.join(50e6);
    sim.run(5);
    sim.tiers.pin(others[1], Some(1));
    sim.run(20);
    let tiers = others.map(|id| sim.tiers.tier_of(id));
    assert_eq!(tiers, [Some(0), Some(1)]);
    let mut caused = 0;
    for n in 0..1_200 {
        if n % 5 == 0 {
            let wanted = [Some(0), Some(1), None][n / 5 % 3];
            sim.tiers.pin(flips, wanted);
        }
        let before = sim.tiers.tier_of(flips);
        sim.tick();
        caused += u32::from(sim.tiers.tier_of(flips) != before);
        caused += u32::from(sim.tiers.may_force_key_frame(flips, sim.now));
    }
    assert!((8..=24).contains(&caused), "{caused} in two minutes");
    // One who means it gets it.
    let wanted = usize::from(sim.tiers.tier_of(flips) == Some(0));
    sim.tiers.pin(flips, Some(wanted));
    sim.run(11);
    assert_eq!(sim.tiers.tier_of(flips), Some(wanted));
}

/// A majority that chose the best quality over narrow paths, or claimed to,
/// had it encoded at the least bitrate for everybody.
#[test]
fn a_majority_that_chose_a_quality_has_no_say_in_its_bitrate() {
    for liars in 1..7 {
        let mut sim = Sim::new(9);
        sim.join(50e6);
        sim.run(10);
        for _ in 0..liars {
            let liar = sim.join(150_000.0);
            sim.tiers.pin(liar, Some(0));
        }
        let mut least = u32::MAX;
        for _ in 0..600 {
            sim.tick();
            least = least.min(sim.rates[0].expect("it is watched"));
        }
        assert_eq!(least, 2_000_000, "{liars} liars");
    }
}

/// The same by those who leave the choice to us: for the moment until they are
/// moved, and where they say something else each time.
#[test]
fn a_majority_that_claims_a_narrow_path_costs_nobody_the_better_tier() {
    let mut sim = Sim::new(10);
    sim.join(50e6);
    sim.run(10);
    let liars: Vec<_> = (0..5).map(|_| sim.join(160_000.0)).collect();
    let mut least = u32::MAX;
    for n in 0..600 {
        for liar in &liars {
            sim.tiers.pin(*liar, (n % 2 == 0).then_some(0));
        }
        sim.tick();
        least = least.min(sim.rates[0].expect("it is watched"));
    }
    assert!(least >= RANGES[0].steady, "{least}");
}

/// Two offers without a path halved the bitrate for as long as they were waited for.
#[test]
fn who_only_calls_costs_those_who_watch_nothing() {
    let mut sim = Sim::new(12);
    let watches = sim.join(50e6);
    sim.run(10);
    let sight = Sight {
        carries: 1_200_000,
        open: true,
        full: false,
        can_probe: true,
    };
    for ghost in 100..116 {
        assert_eq!(sim.tiers.come(ghost, sight, sim.now), 0);
        assert!(sim.tiers.may_force_key_frame(watches, sim.now), "alone");
    }
    for _ in 0..300 {
        sim.tick();
        assert_eq!(sim.rates[0], Some(2_000_000));
    }
    // With a path they count, once they have shown what it carries.
    for ghost in 100..103 {
        sim.tiers.is_there(ghost, sim.now);
    }
    sim.run(2);
    assert_eq!(sim.rates[0], Some(2_000_000));
    sim.run(3);
    assert!(sim.rates[0] < Some(1_200_000), "{:?}", sim.rates);
    // Alone they have the encoder made ready for them.
    sim.leave(0);
    let mut alone = Tiers::new(&Settings {
        tiers: RANGES.to_vec(),
        audio: AUDIO,
    });
    alone.come(1, sight, sim.now);
    assert!(!alone.poll(sim.now).is_empty());
    assert!(alone.rate_of(0) > Some(1_000_000));
}

/// Each change of who is alone with two encoders began with a key frame, and kept both
/// running.
#[test]
fn who_is_alone_changes_the_quality_in_their_turn_too() {
    let mut sim = Sim::new(13);
    let flips = sim.join(50e6);
    sim.run(5);
    sim.tiers.pin(flips, Some(1));
    sim.tick();
    assert_eq!(sim.tiers.tier_of(flips), Some(1), "at once");
    let mut moves = 0;
    for n in 0..600 {
        sim.tiers.pin(flips, Some(n % 2));
        let before = sim.tiers.tier_of(flips);
        sim.tick();
        moves += u32::from(sim.tiers.tier_of(flips) != before);
    }
    assert!((20..=31).contains(&moves), "{moves} in a minute");
}

#[test]
fn who_is_alone_with_a_quality_they_chose_gets_what_the_path_carries() {
    let mut sim = Sim::new(11);
    let id = sim.join(1_000_000.0);
    sim.tiers.pin(id, Some(0));
    sim.run(20);
    let rate = sim.rates[0].expect("it is watched");
    assert!((600_000..=950_000).contains(&rate), "{rate}");
}

#[test]
fn a_viewer_who_needs_more_key_frames_than_they_may_force_goes_down() {
    let mut sim = Sim::new(7);
    let ids = [sim.join(50e6), sim.join(50e6)];
    sim.run(20);
    assert_eq!(ids.map(|id| sim.tiers.tier_of(id)), [Some(0); 2]);
    let now = sim.now;
    assert!(sim.tiers.may_force_key_frame(ids[0], now));
    // They ask again while it is on its way.
    let soon = now + Duration::from_millis(300);
    assert!(!sim.tiers.may_force_key_frame(ids[0], soon));
    sim.tick();
    assert_eq!(sim.tiers.tier_of(ids[0]), Some(0));
    let later = now + Duration::from_secs(3);
    assert!(!sim.tiers.may_force_key_frame(ids[0], later));
    sim.tick();
    assert_eq!(ids.map(|id| sim.tiers.tier_of(id)), [Some(1), Some(0)]);
    assert!(sim.tiers.may_force_key_frame(ids[0], later));
}

#[test]
fn thousands_of_random_mixes_keep_the_rules_and_settle() {
    for seed in 0..2_000 {
        let mut sim = Sim::new(seed);
        let path = |rng: &mut fastrand::Rng| 10_f64.powf(5.0 + 2.0 * rng.f64());
        let viewers = 1 + sim.rng.usize(..7);
        for _ in 0..viewers {
            let path = path(&mut sim.rng);
            sim.join(path);
        }
        for _ in 0..300 {
            sim.tick();
            // People come and go, and paths change.
            match sim.rng.u32(..60) {
                0 if sim.viewers.len() < 8 => {
                    let path = path(&mut sim.rng);
                    sim.join(path);
                }
                1 if !sim.viewers.is_empty() => {
                    let index = sim.rng.usize(..sim.viewers.len());
                    sim.leave(index);
                }
                2 if !sim.viewers.is_empty() => {
                    let index = sim.rng.usize(..sim.viewers.len());
                    sim.viewers[index].path = path(&mut sim.rng);
                }
                _ => {}
            }
        }
        // Left alone, everybody ends where their path carries them.
        sim.run(12);
        let mut overloaded = BTreeMap::<ViewerId, u32>::new();
        for _ in 0..50 {
            sim.tick();
            for v in &sim.viewers {
                let rate = f64::from(sim.rates[v.tier].expect("they watch it"));
                let fits = rate * 1.05 + f64::from(AUDIO) <= v.path;
                if !fits && !v.thinned && rate > f64::from(RANGES[v.tier].floor) {
                    *overloaded.entry(v.id).or_default() += 1;
                }
            }
        }
        for (id, ticks) in overloaded {
            assert!(
                ticks <= 25,
                "seed {seed}: {ticks} {:?} {:?}",
                sim.of(id),
                sim.rates
            );
        }
    }
}

#[test]
fn the_defaults_are_two_tiers_and_a_small_picture_has_one() {
    let mut config = Config::default();
    let settings = Settings::of(&config, config.video.shown_size(), 0, true);
    assert_eq!(
        settings.tiers,
        [
            TierRange {
                floor: 100_000,
                steady: 552_960,
                ceiling: 2_000_000
            },
            TierRange {
                floor: 100_000,
                steady: 138_240,
                ceiling: 700_000
            },
        ]
    );
    assert_eq!(settings.audio, 48_000);
    assert_eq!(
        Settings::of(&config, config.video.shown_size(), 0, false)
            .tiers
            .len(),
        1
    );
    // A hardware encoder that makes no less.
    assert_eq!(
        Settings::of(&config, config.video.shown_size(), 300_000, true).tiers[1].floor,
        300_000
    );
    (config.video.width, config.video.height) = (640, 360);
    config.audio.source = AudioSource::None;
    let settings = Settings::of(&config, config.video.shown_size(), 0, true);
    assert_eq!((settings.tiers.len(), settings.audio), (1, 0));
}
