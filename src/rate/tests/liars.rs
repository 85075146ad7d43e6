//! Viewers whose paths are what they say, and who say what they like.

use super::*;

/// A call on hold proves nothing, whatever it says of its path; and cost all others
/// their picture.
#[test]
fn who_takes_no_picture_has_no_say_in_it() {
    let mut sim = Sim::new(15);
    let watches = sim.join(50e6);
    sim.run(10);
    let sight = Sight {
        carries: 100_000,
        open: false,
        full: true,
        can_probe: true,
    };
    for liar in 100..103 {
        sim.tiers.come(liar, sight, sim.now);
        sim.tiers.is_there(liar, sim.now);
        sim.tiers.takes(liar, false, sim.now);
        // A quality is theirs to choose, and waits until they take it.
        sim.tiers.pin(liar, Some(0));
    }
    for tick in 0..600 {
        sim.now += TICK;
        sim.estimate();
        for decision in sim.tiers.poll(sim.now) {
            let of_others = matches!(decision, Decision::Rate { tier: 0, .. });
            assert!(!of_others, "{decision:?} at {tick}");
        }
        assert_eq!(sim.tiers.rate_of(0), Some(2_000_000));
        assert!(sim.tiers.may_force_key_frame(watches, sim.now), "alone");
    }
    // Once they take it again they are on trial, and count after it.
    for liar in 100..103 {
        sim.tiers.pin(liar, None);
        sim.tiers.takes(liar, true, sim.now);
        sim.tiers.sight(
            liar,
            Sight {
                carries: 900_000,
                full: false,
                ..sight
            },
        );
    }
    sim.tiers.poll(sim.now);
    assert_eq!(sim.tiers.rate_of(0), Some(2_000_000));
    // With nobody else there the picture is made for who is on hold: it goes on the
    // moment that they take it.
    sim.leave(0);
    for liar in 100..103 {
        sim.tiers.takes(liar, false, sim.now);
    }
    sim.tiers.poll(sim.now);
    assert!(
        sim.tiers
            .viewers
            .values()
            .any(|v| sim.tiers.rate_of(v.tier).is_some())
    );
}

/// Each new call had a key frame of its own at once, at the cost of whoever watched.
#[test]
fn who_has_just_come_to_what_others_watch_is_a_newcomer_and_nobody_else_is() {
    let mut sim = Sim::new(16);
    let watches = sim.join(50e6);
    let is_newcomer = |sim: &Sim, viewer, tier, after| {
        let now = sim.now + Duration::from_secs(after);
        sim.tiers.is_newcomer(viewer, tier, now)
    };
    assert!(!is_newcomer(&sim, watches, 0, 0), "alone");
    sim.run(20);
    let sight = Sight {
        carries: 50_000_000,
        open: true,
        full: false,
        can_probe: true,
    };
    for again in 100..105 {
        sim.tiers.come(again, sight, sim.now);
        sim.tiers.is_there(again, sim.now);
        assert!(is_newcomer(&sim, again, 0, 0) && is_newcomer(&sim, again, 0, 9));
        assert!(!is_newcomer(&sim, again, 1, 0), "nobody else watches that");
        assert!(!is_newcomer(&sim, again, 0, 10), "they stay");
        assert!(!is_newcomer(&sim, watches, 0, 0), "they were here before");
        sim.tiers.leave(again);
    }
}
