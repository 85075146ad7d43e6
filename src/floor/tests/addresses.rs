//! Several calls of one address, or of one person with many.

use super::*;

/// Behind one address one has the original page, whose microphone is open, and another
/// presses the button: they were told that it is taken, and then that they rest.
#[test]
fn an_open_microphone_makes_room_for_who_presses_behind_the_same_address() {
    let mut bench = Bench::new();
    assert!(bench.unasked(60));
    bench.pass(SECOND);
    assert_eq!(bench.ask(61), Asked::Waits);
    let mut tenths = 0;
    while bench.floor.talks() != Some(61) {
        bench.unasked(60);
        bench.pass(SECOND / 10);
        tenths += 1;
        assert!(tenths <= 50, "{tenths}");
    }
    // The time that the open microphone was heard is not theirs.
    for seconds in 1..180 {
        assert_eq!(bench.pass(SECOND), [], "after {seconds} s");
        bench.voice(61);
    }
    bench.floor.give_back(61, bench.now);
    // Nor do they rest for it, where nobody pressed until its three minutes were over.
    bench.pass(REST);
    let mut over = Vec::new();
    while over.is_empty() {
        bench.unasked(60);
        over = bench.pass(SECOND);
    }
    assert_eq!(over, [(60, Over::Long)]);
    assert!(!bench.unasked(60));
    assert_eq!(bench.ask(61), GIVEN);
}

/// A page that crashed in its turn: its own person had to wait until it was missed, and ask
/// again then.
#[test]
fn who_lost_their_page_waits_for_their_own_turn_to_end() {
    let mut bench = Bench::new();
    bench.ask(60);
    assert_eq!(bench.ask(61), Asked::Waits);
    assert_eq!(bench.pass(SILENCE), [(60, Over::Silent)]);
    assert_eq!(bench.floor.talks(), Some(61));
}

/// They let go a second before, and asked again.
#[test]
fn a_stranger_does_not_talk_for_longer_by_letting_go_in_between() {
    for (call, breath) in [(60, 0), (61, 0), (60, 9), (61, 9)] {
        let mut bench = Bench::new();
        let mut talked = 0;
        let mut first = true;
        let over = loop {
            let who = if first { 60 } else { call };
            first = false;
            assert_eq!(bench.ask(who), GIVEN);
            let mut over = Vec::new();
            while over.is_empty() && bench.floor.talks().is_some() && talked < 400 {
                bench.voice(who);
                over = bench.pass(SECOND);
                talked += 1;
                if talked % 50 == 0 {
                    bench.floor.give_back(who, bench.now);
                }
            }
            if !over.is_empty() || talked >= 400 {
                break over;
            }
            bench.pass(SECOND * breath);
            talked += breath;
        };
        assert_eq!(over, [(call, Over::Long)], "{breath} s");
        assert_eq!(talked, 180, "{breath} s");
        assert_eq!(bench.ask(60), Asked::Rests);
        bench.pass(REST);
        assert_eq!(bench.ask(60), GIVEN);
        // Who lets go just before rests from then on.
        bench.pass(SECOND);
        for _ in 0..178 {
            bench.voice(60);
            bench.pass(SECOND);
        }
        bench.floor.give_back(60, bench.now);
        bench.pass(SECOND * 2);
        assert_eq!(bench.ask(call), Asked::Rests);
        bench.pass(REST - SECOND * 2);
        assert_eq!(bench.ask(call), GIVEN);
        bench.floor.give_back(call, bench.now);
        // Who gives it to others in between does not go on.
        assert_eq!(bench.ask(2), GIVEN);
        bench.floor.give_back(2, bench.now);
        assert_eq!(bench.ask(call), GIVEN);
        for seconds in 1..180 {
            bench.voice(call);
            assert_eq!(bench.pass(SECOND), [], "{seconds} s");
        }
    }
}

/// Two calls that wait for each other are none: the three minutes are of both, and who
/// waited as they ended is told so.
#[test]
fn two_of_an_address_who_queue_for_each_other_have_three_minutes_together() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(60), GIVEN);
    let mut over = bench.pass(SECOND * 7);
    for _ in 7..180 {
        assert!(over.iter().all(|(_, over)| *over == Over::PassedOn));
        for call in [60, 61] {
            bench.ask(call);
            bench.voice(call);
        }
        over = bench.pass(SECOND);
    }
    let mut calls: Vec<_> = over.iter().map(|(call, _)| *call).collect();
    calls.sort_unstable();
    assert_eq!(calls, [60, 61]);
    assert!(over.iter().all(|(_, over)| *over == Over::Long));
    assert_eq!(bench.floor.talks(), None);
    // Who waits with others comes after them, and has a turn of their own.
    assert_eq!(bench.ask(60), Asked::Rests);
    assert_eq!(bench.ask(2), GIVEN);
    assert_eq!(bench.ask(61), Asked::Waits);
    bench.floor.give_back(2, bench.now);
    assert_eq!(bench.pass(SECOND), []);
    assert_eq!(bench.floor.talks(), Some(61));
}

/// Two calls, of which one cannot ask, are no way around it either: they talk in turn.
#[test]
fn an_open_microphone_goes_on_where_its_person_has_asked() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        if bench.ask(61) != GIVEN {
            break;
        }
        bench.pass(SECOND);
        bench.floor.give_back(61, bench.now);
        bench.unasked(60);
        bench.pass(SECOND);
        bench.unasked(60);
        bench.pass(PAUSE);
    }
    assert_eq!(bench.ask(61), Asked::Rests);
    assert!(!bench.unasked(60));
    bench.pass(REST);
    assert_eq!(bench.ask(61), GIVEN);
}
