//! A receiver of a signal, which nothing announces: an HDMI bridge.

use super::*;

/// A camera that is lost for this is tried again within so long, however often.
fn is_tried_within(bench: &mut Bench, limit: Duration, absent: bool, unannounced: bool) -> bool {
    let tries = bench.count(Action::OpenCamera);
    bench.event(Event::CameraFailed {
        reason: "in words".into(),
        absent,
        unannounced,
    });
    bench.pass(limit);
    bench.count(Action::OpenCamera) > tries
}

#[test]
fn a_signal_is_looked_for_every_five_seconds_whatever_is_announced() {
    let mut bench = Bench::new(true);
    bench.event(Event::Watched);
    for _ in 0..60 {
        assert!(is_tried_within(&mut bench, ms(6_500), false, true));
    }
}

/// Its driver says nothing, or something else, where another signal comes.
#[test]
fn what_follows_the_loss_of_a_signal_is_looked_for_as_often() {
    // It was lost often, or never before.
    let mut bench = Bench::watched();
    for (losses, watched) in [(5, 2), (1, 60)] {
        for _ in 0..losses {
            bench.pass(Duration::from_secs(watched));
            assert!(is_tried_within(&mut bench, ms(6_500), false, true));
        }
        for _ in 0..20 {
            assert!(is_tried_within(&mut bench, ms(6_500), false, false));
        }
    }
    // It streams, and nothing comes.
    bench.works = false;
    for _ in 0..5 {
        let tries = bench.count(Action::OpenCamera);
        bench.pass(ms(10_000 + 6_500));
        assert!(bench.count(Action::OpenCamera) > tries);
    }
}

/// Another camera than the receiver may be what fails then.
#[test]
fn after_a_plug_or_a_while_without_fault_tries_grow_apart_as_ever() {
    for plugged in [true, false] {
        let mut bench = Bench::watched();
        for _ in 0..5 {
            assert!(is_tried_within(&mut bench, ms(6_500), false, true));
        }
        match plugged {
            true => {
                is_tried_within(&mut bench, ms(100), false, true);
                bench.event(Event::Announced);
            }
            false => bench.pass(Duration::from_secs(60)),
        }
        let often = (0..20)
            .filter(|_| is_tried_within(&mut bench, ms(6_500), false, false))
            .count();
        assert!(often < 10, "{often} of 20");
    }
}
