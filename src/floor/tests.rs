mod addresses;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const GIVEN: Asked<u8> = Asked::Given { taken_from: None };

/// Of a hundred on they were invited.
fn rank(who: u8) -> Rank {
    match who {
        ..100 => Rank::Stranger,
        100.. => Rank::Invited,
    }
}

/// From sixty to ninety-nine they are one person with many calls.
fn by(who: u8) -> By<u8, u8> {
    let person = match who {
        60..100 => 60,
        _ => who,
    };
    By {
        who,
        person,
        rank: rank(who),
    }
}

struct Bench {
    floor: Floor<u8, u8>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            floor: Floor::new(),
            now: Instant::now(),
        }
    }

    fn ask(&mut self, who: u8) -> Asked<u8> {
        self.floor.ask(by(who), true, self.now)
    }

    fn voice(&mut self, who: u8) -> bool {
        self.floor.speaks(&by(who), true, false, self.now)
    }

    /// One who cannot ask says something.
    fn unasked(&mut self, who: u8) -> bool {
        self.floor.speaks(&by(who), true, true, self.now)
    }

    /// Time passes, in which each turn ends when it is over.
    fn pass(&mut self, time: Duration) -> Vec<(u8, Over)> {
        let until = self.now + time;
        let mut over = Vec::new();
        while let Some(at) = self.floor.next_timeout().filter(|at| *at <= until) {
            self.now = at;
            over.extend(self.floor.poll(at));
        }
        self.now = until;
        over
    }
}

#[test]
fn one_talks_at_a_time_and_passes_it_on_to_who_waits() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(1), GIVEN);
    assert_eq!(bench.ask(1), GIVEN, "it is theirs");
    assert_eq!(bench.floor.ask(by(2), false, bench.now), Asked::Taken);
    assert_eq!(bench.floor.place(2), Place::Listens);
    assert_eq!(bench.ask(2), Asked::Waits);
    assert_eq!(bench.ask(3), Asked::Waits);
    assert_eq!(bench.ask(2), Asked::Waits, "they wait once");
    assert!(bench.voice(1) && !bench.voice(2) && !bench.voice(4));
    bench.floor.give_back(2, bench.now);
    bench.floor.give_back(4, bench.now);
    assert_eq!(bench.floor.talks(), Some(1));
    bench.floor.give_back(1, bench.now);
    assert_eq!(bench.floor.place(3), Place::Talks);
    bench.floor.give_back(3, bench.now);
    assert_eq!(bench.floor.talks(), None);
    assert_eq!(bench.floor.next_timeout(), None);
}

#[test]
fn twenty_seconds_of_silence_give_it_back() {
    let mut bench = Bench::new();
    bench.ask(1);
    for _ in 0..100 {
        assert_eq!(bench.pass(SECOND), []);
        assert!(bench.voice(1));
    }
    // What is sent and is no sound is silence.
    for _ in 0..19 {
        assert_eq!(bench.pass(SECOND), []);
        assert!(bench.floor.speaks(&by(1), false, false, bench.now));
    }
    assert_eq!(bench.pass(SECOND), [(1, Over::Silent)]);
    assert!(!bench.voice(1), "nobody hears them now");
}

#[test]
fn while_others_wait_a_turn_lasts_a_minute() {
    let mut bench = Bench::new();
    bench.ask(1);
    for _ in 0..90 {
        bench.pass(SECOND);
        bench.voice(1);
    }
    bench.ask(2);
    let mut over = Vec::new();
    for seconds in 1..=60 {
        bench.voice(1);
        over = bench.pass(SECOND);
        assert_eq!(over.is_empty(), seconds < 60, "after {seconds} s");
    }
    assert_eq!(over, [(1, Over::PassedOn)]);
    assert_eq!(bench.floor.talks(), Some(2));
}

#[test]
fn who_cannot_ask_is_heard_while_nobody_else_talks_and_makes_room_when_they_pause() {
    let mut bench = Bench::new();
    assert!(
        !bench.floor.speaks(&by(7), false, true, bench.now),
        "silence"
    );
    assert!(bench.unasked(7));
    assert_eq!(bench.ask(1), Asked::Waits);
    // They pause.
    assert_eq!(bench.pass(PAUSE), [(7, Over::Silent)]);
    assert_eq!(bench.floor.talks(), Some(1));
    assert!(!bench.unasked(7));
    bench.floor.give_back(1, bench.now);
    assert!(bench.unasked(7));
}

#[test]
fn who_asks_takes_it_over_from_one_who_paused_before_the_timer_ran() {
    let mut bench = Bench::new();
    bench.unasked(7);
    bench.now += PAUSE;
    assert_eq!(bench.ask(1), GIVEN);
}

/// Seven strangers wait, and one talks without a pause.
#[test]
fn who_was_invited_goes_before_strangers() {
    let mut bench = Bench::new();
    for who in 1..=8 {
        bench.ask(who);
    }
    assert_eq!(bench.ask(9), Asked::Waits, "eight wait");
    assert_eq!(bench.ask(10), Asked::Taken);
    let taken_from = Some(1);
    assert_eq!(bench.ask(101), Asked::Given { taken_from });
    assert_eq!(bench.floor.place(1), Place::Listens);
    // Among themselves they wait, and before the strangers.
    assert_eq!(bench.ask(102), Asked::Waits);
    assert_eq!(bench.ask(103), Asked::Waits);
    for who in [101, 102, 103, 2] {
        assert_eq!(bench.floor.talks(), Some(who));
        bench.floor.give_back(who, bench.now);
    }
    assert_eq!(bench.floor.talks(), Some(3));
    // Who waits already is given it, too.
    let mut bench = Bench::new();
    bench.ask(101);
    bench.ask(102);
    bench.ask(1);
    bench.floor.give_back(101, bench.now);
    bench.floor.give_back(102, bench.now);
    assert_eq!(bench.floor.talks(), Some(1));
    assert_eq!(
        bench.ask(102),
        Asked::Given {
            taken_from: Some(1)
        }
    );
    bench.floor.give_back(102, bench.now);
    assert_eq!(bench.floor.talks(), None);
}

#[test]
fn who_cannot_ask_and_never_pauses_is_heard_for_five_seconds_more() {
    let mut bench = Bench::new();
    assert!(bench.unasked(7));
    for _ in 0..600 {
        assert_eq!(bench.pass(SECOND / 10), [], "nobody waits");
        assert!(bench.unasked(7));
    }
    bench.ask(1);
    let mut over = Vec::new();
    for tenths in 1..=50 {
        bench.unasked(7);
        over = bench.pass(SECOND / 10);
        assert_eq!(over.is_empty(), tenths < 50, "{tenths}");
    }
    assert_eq!(over, [(7, Over::PassedOn)]);
    assert_eq!(bench.floor.talks(), Some(1));
    assert!(!bench.unasked(7));
}

/// Seven calls of one person asked again as soon as they were passed by: somebody else
/// held the button for seven minutes.
#[test]
fn who_has_not_talked_waits_for_about_a_minute_however_many_do() {
    for others in [1..=1, 1..=2, 1..=7, 1..=9] {
        let mut bench = Bench::new();
        for _ in 0..600 {
            for who in others.clone() {
                bench.ask(who);
                bench.voice(who);
            }
            bench.pass(SECOND);
        }
        assert_eq!(
            bench.ask(50),
            Asked::Waits,
            "the line is theirs: {others:?}"
        );
        let mut seconds = 0;
        while bench.floor.talks() != Some(50) {
            seconds += 1;
            for who in others.clone() {
                bench.ask(who);
                bench.voice(who);
            }
            bench.pass(SECOND);
        }
        assert!(seconds <= 70, "{others:?}: {seconds} s");
    }
}

/// Their eight calls were the whole line, before they had talked once.
#[test]
fn a_person_has_one_place_in_the_line_however_many_calls_they_have() {
    let mut bench = Bench::new();
    bench.ask(1);
    assert_eq!(bench.ask(60), Asked::Waits);
    for who in 61..80 {
        assert_eq!(bench.ask(who), Asked::Taken, "{who}");
    }
    for who in 2..=8 {
        assert_eq!(bench.ask(who), Asked::Waits, "there is a place for {who}");
    }
    // Another of the same address waits behind all others.
    bench.floor.give_back(1, bench.now);
    assert_eq!(bench.floor.talks(), Some(60));
    assert_eq!(bench.ask(61), Asked::Waits);
    assert_eq!(bench.ask(62), Asked::Taken, "one of them does");
    bench.floor.give_back(8, bench.now);
    assert_eq!(bench.ask(9), Asked::Waits, "before them");
    bench.floor.give_back(60, bench.now);
    for who in (2..=7).chain([9]) {
        assert_eq!(bench.floor.talks(), Some(who));
        bench.floor.give_back(who, bench.now);
    }
    assert_eq!(bench.floor.talks(), Some(61));
}

/// Nobody else could ask for it, and a stranger talked for as long as they liked.
#[test]
fn a_lone_stranger_talks_for_three_minutes_and_then_leaves_it_to_others() {
    for first in [60, 101] {
        let mut bench = Bench::new();
        bench.ask(first);
        let mut over = Vec::new();
        for seconds in 1..=300 {
            bench.voice(first);
            over = bench.pass(SECOND);
            if !over.is_empty() {
                assert_eq!(seconds, 180);
                break;
            }
        }
        if first == 101 {
            assert_eq!(over, [], "who was invited does");
            continue;
        }
        assert_eq!(over, [(60, Over::Long)]);
        for call in [60, 61] {
            assert_eq!(bench.ask(call), Asked::Rests);
            assert!(!bench.unasked(call));
        }
        // One who cannot ask is heard now, and they are behind who waits.
        assert!(bench.unasked(7));
        assert_eq!(bench.ask(2), Asked::Waits);
        assert_eq!(bench.ask(60), Asked::Waits);
        bench.floor.give_back(7, bench.now);
        assert_eq!(bench.floor.talks(), Some(2));
        bench.floor.give_back(2, bench.now);
        assert_eq!(bench.floor.talks(), Some(60));
        bench.floor.give_back(60, bench.now);
        bench.pass(REST);
        assert_eq!(bench.ask(60), GIVEN);
    }
}

/// Nobody of them has talked, and none gives it back.
#[test]
fn a_line_of_many_moves_on() {
    let mut bench = Bench::new();
    for who in 1..=9 {
        bench.ask(who);
    }
    let mut seconds = 0;
    while bench.floor.talks() != Some(9) {
        seconds += 1;
        for who in 1..=9 {
            bench.voice(who);
        }
        bench.pass(SECOND);
    }
    assert!((60..200).contains(&seconds), "{seconds} s");
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8, bool),
    GiveBack(u8),
    Speaks(u8, bool, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = prop_oneof![0..12_u8, 60..70_u8, 100..112_u8];
    prop_oneof![
        (who.clone(), any::<bool>()).prop_map(|(who, waits)| Step::Ask(who, waits)),
        who.clone().prop_map(Step::GiveBack),
        (who, any::<bool>(), any::<bool>()).prop_map(|(w, l, b)| Step::Speaks(w, l, b)),
        (0..30_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens: at most one is heard, nobody waits while it is free, and
    /// nobody keeps it for longer than they may.
    #[test]
    fn the_floor_is_one_persons_and_never_stuck(steps in prop::collection::vec(step(), 1..200)) {
        let mut bench = Bench::new();
        // When whoever has it was last heard or got it, and since when others wait.
        for step in steps {
            match step {
                Step::Ask(who, waits) => {
                    let before = bench.floor.talks();
                    match bench.floor.ask(by(who), waits, bench.now) {
                        Asked::Given { .. } => prop_assert_eq!(bench.floor.talks(), Some(who)),
                        Asked::Waits | Asked::Taken => {
                            prop_assert_eq!(bench.floor.talks(), before);
                            prop_assert!(before.is_some_and(|b| b != who));
                        }
                        Asked::Rests => {
                            prop_assert_eq!(before, None);
                            prop_assert_eq!(rank(who), Rank::Stranger);
                        }
                    }
                }
                Step::GiveBack(who) => {
                    bench.floor.give_back(who, bench.now);
                    prop_assert_eq!(bench.floor.place(who), Place::Listens);
                }
                Step::Speaks(who, loud, begins) => {
                    let before = bench.floor.talks();
                    let heard = bench.floor.speaks(&by(who), loud, begins, bench.now);
                    prop_assert_eq!(heard, bench.floor.talks() == Some(who));
                    prop_assert!(before.is_none() || bench.floor.talks() == before);
                }
                Step::Pass(ms) => {
                    let over = bench.pass(Duration::from_millis(ms));
                    prop_assert!(over.len() <= 2 * MOST_WAITING + 1);
                }
            }
            prop_assert!(bench.floor.waiting.len() <= 2 * MOST_WAITING);
            let waiting = &bench.floor.waiting;
            prop_assert!(waiting.iter().is_sorted_by(|a, b| a.order() >= b.order()));
            let is_many = |waits: &&Waiting<u8, u8>| waits.by.person == 60;
            prop_assert!(waiting.iter().filter(is_many).count() <= 1);
            prop_assert!(bench.floor.talked.len() <= REMEMBERED);
            prop_assert!(bench.floor.resting.len() <= REMEMBERED);
            if bench.floor.talks().is_none() {
                prop_assert!(bench.floor.waiting.is_empty());
            }
            let heard = (0..112).filter(|who| bench.floor.place(*who) == Place::Talks);
            prop_assert!(heard.count() <= 1);
            // However it goes on, in silence it is soon free.
            let limit = bench.floor.next_timeout();
            prop_assert_eq!(limit.is_some(), bench.floor.talks().is_some());
            prop_assert!(limit.is_none_or(|at| at <= bench.now + SILENCE));
        }
        bench.pass(SILENCE * (2 * MOST_WAITING as u32 + 1));
        prop_assert_eq!(bench.floor.talks(), None);
    }
}
