//! What is taken for a queue, and what is not.

use super::*;

/// The first sign of a queue is heeded; jitter gives one all the time.
#[test]
fn jitter_costs_a_picture_that_needs_all_little() {
    for seed in 0..20 {
        let mut sim = Sim::new(CLEAR, seed);
        sim.run(secs(5));
        for round in 0..80 {
            sim.link.delay = ms(if round % 2 == 0 { 10 } else { 45 });
            sim.run(ms(250));
        }
        let used = sim.through(10, 25);
        assert!(used >= 1_300_000.0, "seed {seed}: {used}");
    }
}

/// The same of an encoder that makes less than it is asked for, for minutes.
#[test]
fn jitter_is_no_queue_that_takes_all_in_the_end() {
    for seed in 0..5 {
        let mut sim = Sim::new(CLEAR, seed);
        sim.made = 0.8;
        sim.run(secs(5));
        for round in 0..480 {
            sim.link.delay = ms(if round % 2 == 0 { 10 } else { 45 });
            sim.run(ms(250));
        }
        let used = sim.through(100, 120);
        assert!(used >= 900_000.0, "seed {seed}: {used}");
    }
}

/// A path is probed beyond what it carries, for a moment.
#[test]
fn a_probe_in_vain_costs_nothing() {
    for seed in 0..20 {
        let mut sim = Sim::new(MEGABIT, seed);
        sim.run(secs(20));
        sim.wanted = 750_000.0;
        sim.run(secs(5));
        let before = sim.estimator.target_bitrate();
        sim.path.try_more(1_200_000, sim.now);
        let until = sim.now + ms(400);
        while sim.now < until && sim.path.probe(sim.now).is_some() {
            sim.packet(PICTURE, 560);
            sim.run(ms(10));
        }
        sim.run(secs(1));
        let after = sim.estimator.target_bitrate();
        assert!(after >= before * 0.94, "seed {seed}: {after} of {before}");
    }
}

/// What a receiver estimates by itself is no limit that the path has shown.
#[test]
fn a_path_is_narrow_while_it_shows_a_limit_and_not_for_ever() {
    let path = Path::new(BOUNDS);
    path.remb(400_000, BOUNDS, Instant::now());
    assert!(!path.is_narrow());
    let link = Link {
        rate: 1e6,
        queue: ms(300),
        ..CLEAR
    };
    let mut sim = Sim::new(link, 1);
    assert!(!sim.path.is_narrow());
    sim.run(secs(60));
    assert!(sim.path.is_narrow());
    sim.link.rate = 50e6;
    sim.wanted = 300_000.0;
    sim.run(secs(32));
    assert!(!sim.path.is_narrow());
}
