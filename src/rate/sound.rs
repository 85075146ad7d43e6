//! How sound is protected where packets get lost.
//!
//! Pure: what receivers report and the time go in. Repetition on demand leaves
//! as little missing as repetition all the time, as a test here shows, and costs
//! nothing where nothing is lost. There are two means:
//!
//! * **Repetition** (RED, RFC 2198) is each viewer's own: their packets carry
//!   the ones before once more. [`Repetition`] says how many.
//! * **In-band FEC** (RFC 6716 §2.1.7) is in the Opus stream that all share,
//!   and takes bits from everybody's sound. [`SharedLoss`] says for how much
//!   loss the encoder prepares: for what repetition leaves the viewers with.

use std::time::{Duration, Instant};

/// What a report weighs that is worse than what was known.
const ATTACK: f64 = 0.35;
/// In so much time a better report becomes two thirds of what is known.
const DECAY: Duration = Duration::from_secs(4);
/// A report that is older says nothing any more.
const STALE: Duration = Duration::from_secs(30);

/// The loss of one viewer's sound, from the fractions that their receiver
/// reports (RFC 3550 §6.4.1): up soon, down slowly. A report of a second of
/// sound counts 50 packets, so one alone says little.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReportedLoss {
    known: Option<(f64, Instant)>,
}

impl ReportedLoss {
    /// A report of this fraction, 0 to 1, came.
    pub(crate) fn report(&mut self, fraction: f64, now: Instant) {
        let fraction = fraction.clamp(0.0, 1.0);
        let value = match self.known {
            None => fraction,
            Some((value, _)) if fraction > value => value + (fraction - value) * ATTACK,
            Some((value, at)) => {
                let time = now.saturating_duration_since(at).as_secs_f64();
                fraction + (value - fraction) * (-time / DECAY.as_secs_f64()).exp()
            }
        };
        self.known = Some((value, now));
    }

    /// The fraction, 0 to 1; `None` where nothing was reported lately.
    pub(crate) fn get(&self, now: Instant) -> Option<f64> {
        self.known
            .filter(|(_, at)| now.saturating_duration_since(*at) < STALE)
            .map(|(value, _)| value)
    }
}

/// With so much loss packets carry one earlier one, or two.
const REPEAT: [f64; 2] = [0.01, 0.10];
/// Fewer packets are repeated when loss stays below this share of what the step
/// stands for.
const RELIEF: f64 = 0.5;
/// How long it has to stay there.
const CALM: Duration = Duration::from_secs(10);

/// How many earlier packets a viewer's packets of sound carry once more.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repetition {
    packets: usize,
    /// Since when fewer would do.
    calm: Option<Instant>,
}

impl Repetition {
    /// There are no more than these.
    pub(crate) const MOST: usize = REPEAT.len();

    /// What is right for `loss`, 0 to 1: more at once, fewer after a while.
    pub(crate) fn update(&mut self, loss: f64, now: Instant) -> usize {
        let wanted = REPEAT.iter().filter(|least| loss >= **least).count();
        if wanted > self.packets {
            self.packets = wanted;
        }
        let fewer = self.packets > 0 && loss < REPEAT[self.packets - 1] * RELIEF;
        self.calm = fewer.then(|| self.calm.unwrap_or(now));
        if self
            .calm
            .is_some_and(|since| now.saturating_duration_since(since) >= CALM)
        {
            self.packets -= 1;
            self.calm = None;
        }
        self.packets
    }

    /// What `loss` leaves where so many packets are repeated: all copies have
    /// to be lost.
    pub(crate) fn left(loss: f64, packets: usize) -> f64 {
        (0..packets).fold(loss, |left, _| left * loss)
    }
}

/// What the encoder is told, in percent. Few steps, so that it is not changed
/// all the time.
const STEPS: [u8; 6] = [0, 3, 6, 10, 20, 30];
/// Less is no loss.
const NEGLIGIBLE: f64 = 0.005;
/// Fewer percent are told after so long.
const HOLD: Duration = Duration::from_secs(10);

/// The loss for which the one Opus encoder prepares.
///
/// It is that of the worst viewer, but of every four viewers the worst one
/// does not count: they would take from the sound of all the others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SharedLoss {
    step: usize,
    /// The highest step since a lower one would do, and since when that is.
    lower: Option<(usize, Instant)>,
}

impl SharedLoss {
    /// The percentage for viewers with these losses, each 0 to 1, where it is
    /// another than before.
    pub(crate) fn update(
        &mut self,
        losses: impl IntoIterator<Item = f64>,
        now: Instant,
    ) -> Option<u8> {
        let mut losses: Vec<_> = losses.into_iter().collect();
        losses.sort_by(|a, b| b.total_cmp(a));
        let loss = losses.get(losses.len() / 4).copied().unwrap_or_default();
        let fits = |step: &u8| loss * 100.0 <= f64::from(*step);
        let wanted = match loss < NEGLIGIBLE {
            true => 0,
            false => STEPS.iter().position(fits).unwrap_or(STEPS.len() - 1),
        };
        let before = self.step;
        if wanted >= self.step {
            self.step = wanted;
            self.lower = None;
        } else {
            let (highest, since) = self.lower.unwrap_or((wanted, now));
            let highest = highest.max(wanted);
            self.lower = Some((highest, since));
            if now.saturating_duration_since(since) >= HOLD {
                self.step = highest;
                self.lower = None;
            }
        }
        (self.step != before).then(|| self.percent())
    }

    /// The present percentage, 0 to 30.
    pub(crate) fn percent(&self) -> u8 {
        STEPS[self.step]
    }
}

/// Short frames are for so few: each has 50 packets a second more to be sent.
const FEW: usize = 4;
/// Frames are short again after the paths were good for so long.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// Whether frames of sound are 10 ms long, not 20.
///
/// Short ones let the sound, and the picture that waits for it, be played some
/// 12 ms earlier (`cargo bench --bench page`). They cost 50 packets a second and
/// viewer, with 25 kbit/s of headers: so they are for a few viewers, all of whose
/// paths carry the whole stream, and not for where packets get lost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShortFrames {
    on: bool,
    /// When they were last too many.
    were_too_many: Option<Instant>,
}

impl ShortFrames {
    /// `paths`: of each who hears, whether theirs carries the whole stream, where
    /// that is known. One of whom nothing is known changes nothing.
    pub(crate) fn update(
        &mut self,
        paths: impl IntoIterator<Item = Option<bool>>,
        loses: bool,
        now: Instant,
    ) -> bool {
        let (mut count, mut known, mut narrow) = (0, 0, 0);
        for path in paths {
            count += 1;
            known += usize::from(path.is_some());
            narrow += usize::from(path == Some(false));
        }
        if loses || narrow > 0 || count > FEW {
            self.on = false;
            self.were_too_many = Some(now);
        } else if count == 0 {
            *self = Self::default();
        } else if known > 0 {
            let over = |at: Instant| now.saturating_duration_since(at) >= GOOD_FOR;
            self.on = self.on || self.were_too_many.is_none_or(over);
        }
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn frames_are_short_for_a_few_on_good_paths_and_long_at_once_for_others() {
        let start = Instant::now();
        let mut short = ShortFrames::default();
        let mut at = |second: u32, paths: &[Option<bool>], loses| {
            short.update(paths.iter().copied(), loses, start + SECOND * second)
        };
        let good = Some(true);
        assert!(!at(0, &[None], false), "nothing is known");
        assert!(at(1, &[good], false));
        assert!(at(2, &[good, None, good, good], false), "a newcomer");
        assert!(!at(3, &[good; FEW + 1], false));
        assert!(!at(4, &[good], false), "they were five just now");
        assert!(at(13, &[good], false));
        assert!(!at(14, &[good, Some(false)], false));
        assert!(!at(20, &[good], true), "packets get lost");
        assert!(!at(29, &[good], false));
        assert!(at(30, &[good], false));
        assert!(!at(31, &[], false), "nobody hears");
        assert!(at(32, &[good], false), "what was is forgotten");
    }

    proptest! {
        /// Short frames never go over a path that is known not to carry them, nor
        /// to more than a few.
        #[test]
        fn short_frames_are_for_a_few_good_paths(
            steps in prop::collection::vec(
                (prop::collection::vec(prop::option::of(any::<bool>()), 0..8), any::<bool>(), 0_u64..20),
                1..50,
            ),
        ) {
            let mut short = ShortFrames::default();
            let mut now = Instant::now();
            for (paths, loses, seconds) in steps {
                now += Duration::from_secs(seconds);
                let on = short.update(paths.iter().copied(), loses, now);
                let bad = loses || paths.len() > FEW || paths.contains(&Some(false));
                prop_assert!(!on || (!bad && !paths.is_empty()));
            }
        }
    }

    #[test]
    fn reported_loss_is_believed_soon_and_forgotten_slowly() {
        let start = Instant::now();
        let mut loss = ReportedLoss::default();
        assert_eq!(loss.get(start), None);
        loss.report(0.0, start);
        for second in 1..=8 {
            loss.report(0.10, start + SECOND * second);
        }
        let now = start + SECOND * 8;
        assert!(loss.get(now).expect("a value") > 0.09);
        loss.report(0.0, now + SECOND);
        assert!(loss.get(now + SECOND).expect("a value") > 0.07);
        for second in 2..=30 {
            loss.report(0.0, now + SECOND * second);
        }
        let later = now + SECOND * 30;
        assert!(loss.get(later).expect("a value") < 0.005);
        assert_eq!(loss.get(later + STALE), None, "they report no more");
    }

    #[test]
    fn repetition_comes_at_once_and_goes_step_by_step() {
        let start = Instant::now();
        let mut repetition = Repetition::default();
        assert_eq!(repetition.update(0.0, start), 0);
        assert_eq!(repetition.update(0.05, start), 1);
        assert_eq!(repetition.update(0.12, start), 2);
        assert_eq!(repetition.update(0.05, start + CALM * 3), 2, "it is near");
        let mut seen = Vec::new();
        for second in 0..25 {
            let packets = repetition.update(0.0, start + CALM * 3 + SECOND * second);
            if seen.last() != Some(&packets) {
                seen.push(packets);
            }
        }
        assert_eq!(seen, [2, 1, 0]);
    }

    #[test]
    fn repetition_leaves_what_is_lost_each_time() {
        assert_eq!(Repetition::left(0.1, 0), 0.1);
        assert!((Repetition::left(0.1, 1) - 0.01).abs() < 1e-9);
        assert!((Repetition::left(0.1, 2) - 0.001).abs() < 1e-9);
    }

    #[test]
    fn the_encoder_is_told_of_more_loss_at_once_and_of_less_after_a_while() {
        let start = Instant::now();
        let mut shared = SharedLoss::default();
        assert_eq!(shared.update([], start), None);
        assert_eq!(shared.update([0.05], start), Some(6));
        assert_eq!(shared.update([0.045], start), None, "the same step");
        assert_eq!(shared.update([0.5], start), Some(30), "there is no more");
        // It comes back now and then: the worst of the time counts.
        let mut told = Vec::new();
        for second in 0..40 {
            let loss = if second == 5 { 0.08 } else { 0.0 };
            told.extend(shared.update([loss], start + SECOND * second));
        }
        assert_eq!(told, [10, 0]);
    }

    #[test]
    fn one_of_four_viewers_does_not_cost_the_others_their_sound() {
        let now = Instant::now();
        let told = |losses: &[f64]| {
            let mut shared = SharedLoss::default();
            shared.update(losses.iter().copied(), now);
            shared.percent()
        };
        assert_eq!(told(&[0.2]), 20);
        assert_eq!(told(&[0.0, 0.2, 0.0]), 20);
        assert_eq!(told(&[0.0, 0.2, 0.0, 0.0]), 0);
        assert_eq!(told(&[0.2, 0.2, 0.0, 0.0]), 20);
    }

    /// How packets get lost on a path.
    #[derive(Clone, Copy)]
    struct Losses {
        share: f64,
        in_a_row: u32,
    }

    /// The share of packets of which no copy came in ten minutes, and how many
    /// were repeated on the mean. `fixed` is a number of repetitions instead of
    /// the rule, whose loss is what receivers report each second.
    fn missing(path: Losses, fixed: Option<usize>) -> (f64, f64) {
        const PACKETS: usize = 50 * 600;
        let start = Instant::now();
        let mut random = fastrand::Rng::with_seed(9);
        let (mut lost, mut rows) = (vec![false; PACKETS], 0);
        for lost in &mut lost {
            if rows == 0 && random.f64() < path.share / f64::from(path.in_a_row) {
                rows = path.in_a_row;
            }
            *lost = rows > 0;
            rows = rows.saturating_sub(1);
        }
        let mut reported = ReportedLoss::default();
        let mut repetition = Repetition::default();
        let (mut saved, mut repeated) = (vec![false; PACKETS], 0);
        for n in 0..PACKETS {
            let now = start + Duration::from_millis(20) * n as u32;
            if n > 0 && n % 50 == 0 {
                let second = &lost[n - 50..n];
                let count = second.iter().filter(|lost| **lost).count();
                reported.report(count as f64 / 50.0, now);
            }
            let rule = repetition.update(reported.get(now).unwrap_or_default(), now);
            let packets = fixed.unwrap_or(rule);
            repeated += packets;
            if !lost[n] {
                for back in 0..=packets.min(n) {
                    saved[n - back] = true;
                }
            }
        }
        let missing = saved.iter().filter(|saved| !**saved).count();
        let share = |count: usize| count as f64 / PACKETS as f64;
        (share(missing), share(repeated))
    }

    /// Why the rule is as it is: it saves as much as repetition all the time,
    /// and costs nothing where nothing is lost.
    #[test]
    fn repetition_on_demand_saves_as_much_as_always() {
        for (share, in_a_row, most) in [
            (0.0, 1, 0.0),
            (0.02, 1, 0.002),
            (0.05, 1, 0.01),
            (0.10, 1, 0.01),
            (0.15, 2, 0.03),
            (0.15, 4, 0.11),
        ] {
            let path = Losses { share, in_a_row };
            let (rule, repeated) = missing(path, None);
            let fixed = [0, 1, 2].map(|n| missing(path, Some(n)).0);
            println!(
                "{:.0} % lost, {in_a_row} in a row: missing {:.2} % with {repeated:.2} repeated; \
                 with 0, 1, 2 always {:.2?} %",
                share * 100.0,
                rule * 100.0,
                fixed.map(|f| f * 100.0),
            );
            assert!(rule <= most, "{rule} missing of {share}");
            if share == 0.0 {
                assert_eq!(repeated, 0.0);
            } else if share < 0.10 {
                assert!(rule <= fixed[1] + 0.001, "{rule}, {fixed:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_the_encoder_is_told_stays_in_its_range_and_changes_seldom(
            losses in prop::collection::vec(prop::collection::vec(0.0..1.0_f64, 0..6), 1..300)
        ) {
            let start = Instant::now();
            let mut shared = SharedLoss::default();
            let mut lowered: Option<Instant> = None;
            let mut percent = 0;
            for (tick, losses) in (0_u32..).zip(losses) {
                let now = start + Duration::from_millis(100) * tick;
                let Some(told) = shared.update(losses, now) else { continue };
                prop_assert!(told <= 30 && told != percent);
                if told < percent {
                    prop_assert!(lowered.is_none_or(|at| now - at >= HOLD));
                    lowered = Some(now);
                }
                percent = told;
            }
        }

        #[test]
        fn repetition_never_falls_faster_than_a_step_each_ten_seconds(
            losses in prop::collection::vec(0.0..0.2_f64, 1..600)
        ) {
            let start = Instant::now();
            let mut repetition = Repetition::default();
            let (mut before, mut fell) = (0, None::<Instant>);
            for (tick, loss) in (0_u32..).zip(losses) {
                let now = start + Duration::from_millis(100) * tick;
                let packets = repetition.update(loss, now);
                prop_assert!(packets <= Repetition::MOST);
                if packets < before {
                    prop_assert_eq!(packets, before - 1);
                    prop_assert!(fell.is_none_or(|at| now - at >= CALM));
                    fell = Some(now);
                }
                before = packets;
            }
        }
    }
}
