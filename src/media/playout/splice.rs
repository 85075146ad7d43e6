//! Leaves a few ms out of a voice so that nobody hears it: one period of what repeats
//! itself there, faded into the next. Pure.

/// The shortest and the longest that is left out, in samples at 48 kHz: 2.5 and 10 ms.
/// Voices repeat themselves within that, from 100 Hz on.
const SHORTEST: usize = 120;
const LONGEST: usize = 480;
/// Of periods that are tried every so many samples one is looked for.
const STEP: usize = 4;

/// Leaves out no more than `most` samples of these, and says how many: none where
/// nothing repeats itself, or fewer than 2.5 ms may be.
pub(crate) fn shorten(samples: &mut Vec<i16>, most: usize) -> usize {
    let longest = most.min(samples.len() / 2).min(LONGEST);
    let periods = (SHORTEST..=longest).step_by(STEP);
    let alike = periods.map(|period| (period, likeness(samples, period)));
    let Some((period, likeness)) = alike.max_by(|(_, a), (_, b)| a.total_cmp(b)) else {
        return 0;
    };
    if likeness <= 0.0 {
        return 0;
    }
    for i in 0..period {
        let part = i as f32 / period as f32;
        let faded = f32::from(samples[i]) * (1.0 - part) + f32::from(samples[i + period]) * part;
        samples[i + period] = faded as i16;
    }
    samples.drain(..period);
    period
}

/// How like each other the first two periods are: 1 for the same, and for silence.
fn likeness(samples: &[i16], period: usize) -> f32 {
    let pairs = samples.iter().zip(&samples[period..2 * period]);
    let (product, first, second) = pairs.fold((0.0, 1.0, 1.0), |sum, (a, b)| {
        let (a, b) = (f32::from(*a), f32::from(*b));
        (sum.0 + a * b, sum.1 + a * a, sum.2 + b * b)
    });
    (product + 1.0) / (first * second).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(hertz: f64, count: usize) -> Vec<i16> {
        let at = |i: usize| (TAU * hertz * i as f64 / 48_000.0).sin() * 10_000.0;
        (0..count).map(|i| at(i) as i16).collect()
    }

    #[test]
    fn a_tone_goes_on_without_a_click_at_whatever_pitch() {
        for hertz in [110.0, 200.0, 333.0, 1_000.0] {
            let whole = tone(hertz, 1_920);
            let mut samples = whole[..960].to_vec();
            let left_out = shorten(&mut samples, 960);
            assert!((SHORTEST..=LONGEST).contains(&left_out), "{left_out}");
            assert_eq!(samples.len(), 960 - left_out);
            samples.extend(&whole[960..]);
            let steps = samples.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
            let steepest = (TAU * hertz / 48_000.0 * 10_000.0) as u16;
            let step = steps.max().expect("some");
            assert!(step <= steepest + steepest / 5 + 2, "{hertz} Hz: {step}");
            assert!(samples[0].abs_diff(whole[0]) <= 1, "nor where it begins");
        }
    }

    #[test]
    fn no_more_is_left_out_than_may_be() {
        for most in [0, 100, 119, 120, 200, 10_000] {
            let mut samples = tone(440.0, 960);
            let left_out = shorten(&mut samples, most);
            assert!(left_out <= most && left_out <= LONGEST);
            assert_eq!(left_out > 0, most >= SHORTEST, "{most}: {left_out}");
        }
        let mut silence = vec![0; 960];
        assert!(shorten(&mut silence, 960) > 0, "that is always alike");
        for count in [0, 1, 2, 100, 239] {
            assert_eq!(shorten(&mut tone(440.0, count), 960), 0, "{count}");
        }
    }
}
