use super::*;
use proptest::prelude::*;

const FRAME: Duration = Duration::from_millis(33);

fn sight(now: Instant) -> Sight {
    Sight {
        now,
        reachable: true,
        stalled: Duration::ZERO,
        queueing: Duration::ZERO,
        behind: false,
        has_room: true,
        given_up: None,
    }
}

const KEY: Picture = Picture {
    key: true,
    bytes: 40_000,
};
const DELTA: Picture = Picture {
    key: false,
    bytes: 4_000,
};

/// A gate that has sent a key frame at `start`.
fn going(start: Instant) -> Gate {
    let mut gate = Gate::new(start);
    assert_eq!(gate.present(KEY, &sight(start)).verdict, Verdict::Send);
    gate
}

#[test]
fn nothing_is_sent_before_a_key_frame_and_one_that_does_not_come_is_asked_for_again() {
    let start = Instant::now();
    let mut gate = Gate::new(start);
    let mut asked = Vec::new();
    for n in 0..60_u32 {
        let decision = gate.present(DELTA, &sight(start + FRAME * n));
        assert_eq!(decision.verdict, Verdict::Skip(Why::NeedsKeyFrame));
        asked.extend(decision.ask.map(|_| n));
    }
    assert_eq!(asked, [22, 44], "each 700 ms");
    let decision = gate.present(KEY, &sight(start + FRAME * 60));
    assert_eq!((decision.verdict, decision.ask), (Verdict::Send, None));
    let decision = gate.present(DELTA, &sight(start + FRAME * 61));
    assert_eq!((decision.verdict, decision.ask), (Verdict::Send, None));
}

/// The case that was seen: sound dropped the picture that waited, and nobody
/// asked for a key frame.
#[test]
fn after_a_connection_stood_still_a_key_frame_is_asked_for_with_the_first_picture() {
    let start = Instant::now();
    let mut gate = going(start);
    let stall = start + FRAME;
    let mut dropped = 0;
    for n in 1..=45_u32 {
        let now = start + FRAME * n;
        let decision = gate.present(
            DELTA,
            &Sight {
                stalled: now - stall,
                ..sight(now)
            },
        );
        let long = now - stall > STALLED;
        assert_eq!(decision.verdict == Verdict::Send, !long, "{n}");
        assert_eq!(decision.ask, None, "nobody could take it");
        assert_eq!(decision.drop_waiting, long);
        dropped += u32::from(long);
    }
    assert!(dropped > 30, "{dropped}");
    let decision = gate.present(DELTA, &sight(start + FRAME * 46));
    assert_eq!(decision.ask, Some(Ask::Present));
    assert!(decision.resumed && !decision.drop_waiting);
    assert_eq!(decision.verdict, Verdict::Skip(Why::NeedsKeyFrame));
    let decision = gate.present(KEY, &sight(start + FRAME * 47));
    assert_eq!((decision.verdict, decision.resumed), (Verdict::Send, false));
}

/// A busy machine holds up the sender and the connection alike.
#[test]
fn a_process_that_was_held_up_drops_nothing() {
    let start = Instant::now();
    let mut gate = going(start);
    // All that came meanwhile at once, before the connection's turn.
    let now = start + FRAME + Duration::from_millis(600);
    for _ in 0..18 {
        let held_up = Sight {
            stalled: Duration::from_millis(600),
            ..sight(now)
        };
        let decision = gate.present(DELTA, &held_up);
        assert_eq!((decision.verdict, decision.ask), (Verdict::Send, None));
    }
    let decision = gate.present(DELTA, &sight(now + FRAME));
    assert_eq!((decision.verdict, decision.resumed), (Verdict::Send, false));
}

#[test]
fn who_comes_back_is_sent_nothing_that_needs_what_they_missed() {
    let start = Instant::now();
    let mut gate = going(start);
    for n in 1..10 {
        let now = start + FRAME * n;
        let away = Sight {
            reachable: false,
            ..sight(now)
        };
        let decision = gate.present(if n == 5 { KEY } else { DELTA }, &away);
        assert_eq!(decision.verdict, Verdict::Skip(Why::Away));
        assert_eq!(decision.ask, None);
    }
    let decision = gate.present(DELTA, &sight(start + FRAME * 10));
    assert_eq!(decision.ask, Some(Ask::Present));
    assert_eq!(decision.verdict, Verdict::Skip(Why::NeedsKeyFrame));
}

#[test]
fn another_tier_begins_with_a_key_frame_that_the_path_has_room_for() {
    let start = Instant::now();
    let mut gate = going(start);
    gate.change(true, start);
    let at = |n| sight(start + FRAME * n);
    let full = |n| Sight {
        queueing: FLOODED * 2,
        ..at(n)
    };
    assert_eq!(gate.next(DELTA, &at(1)).verdict, Verdict::Skip(Why::NotYet));
    // What fills the path is to drain, so neither is sent.
    let decision = gate.next(KEY, &full(2));
    assert_eq!((decision.switch, decision.ask), (false, None));
    assert_eq!(
        gate.present(DELTA, &full(2)).verdict,
        Verdict::Skip(Why::Flooded)
    );
    // The key frame that was left out is asked for again.
    let decision = gate.next(DELTA, &at(3));
    assert_eq!(decision.ask, Some(Ask::Next));
    let decision = gate.next(KEY, &at(4));
    assert!(decision.switch);
    assert_eq!(decision.verdict, Verdict::Send);
    assert_eq!(gate.present(DELTA, &at(5)).verdict, Verdict::Send);
    // One that never drains gets it all the same.
    gate.change(true, start + FRAME * 6);
    assert!(gate.next(KEY, &full(30)).switch);
}

#[test]
fn what_is_missing_for_good_brings_a_key_frame_and_goes_on() {
    let start = Instant::now();
    let mut gate = going(start);
    let mut asked = Vec::new();
    for n in 1..60_u32 {
        let lost = Sight {
            given_up: (n >= 10).then_some(start + FRAME * 5),
            ..sight(start + FRAME * n)
        };
        let decision = gate.present(if n == 40 { KEY } else { DELTA }, &lost);
        assert_eq!(decision.verdict, Verdict::Send);
        asked.extend(decision.ask.map(|_| n));
    }
    // Again while it does not come; a key frame mends it.
    assert_eq!(asked, [10, 32]);
}

/// One thing that happens to a viewer's picture.
#[derive(Debug, Clone, Copy)]
enum Step {
    Present { key: bool },
    Next { key: bool },
    Lagged,
    NextLagged,
    Change { begins: bool },
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    after_ms: u64,
    step: Step,
    reachable: bool,
    stalled: bool,
    full: bool,
    behind: bool,
    has_room: bool,
    gave_up: bool,
}

fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let step = prop_oneof![
        12 => prop::bool::weighted(0.1).prop_map(|key| Step::Present { key }),
        6 => prop::bool::weighted(0.1).prop_map(|key| Step::Next { key }),
        1 => Just(Step::Lagged),
        1 => Just(Step::NextLagged),
        1 => any::<bool>().prop_map(|begins| Step::Change { begins }),
    ];
    let rarely = || prop::bool::weighted(0.1);
    let moment = (
        1..60_u64,
        step,
        rarely(),
        rarely(),
        rarely(),
        rarely(),
        rarely(),
        rarely(),
    );
    let moment = moment.prop_map(
        |(after_ms, step, away, stalled, full, behind, no_room, gave_up)| Moment {
            after_ms,
            step,
            reachable: !away,
            stalled,
            full,
            behind,
            has_room: !no_room,
            gave_up,
        },
    );
    prop::collection::vec(moment, 1..300)
}

/// What a viewer can decode, by what they were sent.
struct Model {
    /// All since the last key frame was sent.
    whole: bool,
    /// Since when not.
    broken: Instant,
    /// When a key frame of the present stream was last asked for.
    asked: Instant,
}

impl Model {
    fn hear(
        &mut self,
        picture: Option<bool>,
        decision: Decision,
        now: Instant,
    ) -> Result<(), TestCaseError> {
        prop_assert!(!decision.drop_waiting || decision.verdict != Verdict::Send);
        match (decision.verdict, picture) {
            (Verdict::Send, Some(key)) => {
                prop_assert!(
                    key || self.whole,
                    "a picture that cannot be decoded was sent"
                );
                self.whole = true;
            }
            (Verdict::Send, None) => prop_assert!(false, "there is nothing to send"),
            (Verdict::Skip(_), _) => {
                // A key frame that is left out does not mend it either.
                if self.whole || picture == Some(true) {
                    self.broken = now;
                }
                self.whole = false;
            }
        }
        if decision.ask == Some(Ask::Present) {
            self.asked = now;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn after_each_skip_a_key_frame_is_asked_for_and_nothing_else_is_sent(moments in moments()) {
        let start = Instant::now();
        let mut now = start;
        let mut gate = Gate::new(start);
        let mut model = Model { whole: false, broken: start, asked: start };
        let mut changing = false;
        let mut given_up = None;
        for moment in moments {
            now += Duration::from_millis(moment.after_ms);
            if moment.gave_up {
                given_up = Some(now);
            }
            let sight = Sight {
                now,
                reachable: moment.reachable,
                stalled: if moment.stalled { STALLED * 2 } else { Duration::ZERO },
                queueing: if moment.full { FLOODED * 2 } else { Duration::ZERO },
                behind: moment.behind,
                has_room: moment.has_room,
                given_up,
            };
            match moment.step {
                Step::Change { begins } => {
                    changing = begins;
                    gate.change(begins, now);
                }
                Step::Next { key } => {
                    if !changing {
                        continue;
                    }
                    let decision = gate.next(Picture { key, bytes: 9 }, &sight);
                    prop_assert!(!decision.switch || key, "a tier begins with a key frame");
                    prop_assert!(decision.switch || decision.verdict != Verdict::Send);
                    if decision.switch {
                        changing = false;
                        model.hear(Some(key), decision, now)?;
                    }
                }
                Step::NextLagged => {
                    let decision = gate.next_lagged(&sight);
                    prop_assert!(!decision.switch && decision.verdict != Verdict::Send);
                    prop_assert!(changing || decision.ask.is_none());
                }
                Step::Lagged => {
                    let decision = gate.lagged(&sight);
                    model.hear(None, decision, now)?;
                }
                Step::Present { key } => {
                    let decision = gate.present(Picture { key, bytes: 9 }, &sight);
                    prop_assert!(!decision.switch);
                    model.hear(Some(key), decision, now)?;
                    // Nothing stands against a key frame: it has been asked for
                    // since the first skip, and not too long ago.
                    let can = sight.reachable && !moment.stalled && sight.has_room;
                    if !model.whole && can && decision.verdict != Verdict::Skip(Why::Flooded) {
                        prop_assert!(model.asked >= model.broken, "nobody asked for one");
                        prop_assert!(now - model.asked <= PATIENCE, "nobody asked again");
                    }
                }
            }
        }
    }
}
