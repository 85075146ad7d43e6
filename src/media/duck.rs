//! Half-duplex: while the speaker speaks the microphone is silent, and while the
//! microphone hears the speaker is. Pure.
//!
//! A loudspeaker is never heard in what viewers get, whatever the room is like: at
//! each moment one of both is silence. What is below [`LOUD`] is not played, and
//! from the first sound that is, to [`HANG_OVER`] after the last, nothing is heard.
//! Times are those of the media clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lock::lock;

/// The peak from which on a sound is played: 40 dB under full scale. Speech in
/// front of a microphone has 20 to 30 dB more, a quiet room 20 less.
const LOUD: u16 = 328;
/// What follows on a loud sound is played for so long, however soft it is: the
/// ends of words.
const ENDS_OF_WORDS: Duration = Duration::from_millis(400);
/// Nothing is heard for so long after the last sound was given to the speaker: 60
/// ms in the card's buffer, 70 in the microphone's, and what a room keeps of it.
const HANG_OVER: Duration = Duration::from_millis(400);
/// Spells of speech that are remembered: a microphone is behind by less than one.
const SPELLS: usize = 8;

/// When the speaker speaks. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Duck(Arc<Spells>);

#[derive(Debug, Default)]
struct Spells {
    /// It has ever spoken.
    used: AtomicBool,
    /// From and to, the newest last.
    spells: Mutex<VecDeque<(Duration, Duration)>>,
}

impl Duck {
    /// The speaker is given a sound at this time.
    pub(crate) fn speaks(&self, at: Duration) {
        let until = at + HANG_OVER;
        let mut spells = lock(&self.0.spells);
        match spells.back_mut().filter(|(_, end)| at <= *end) {
            Some((_, end)) => *end = until.max(*end),
            None => {
                if spells.len() == SPELLS {
                    spells.pop_front();
                }
                spells.push_back((at, until));
            }
        }
        drop(spells);
        self.0.used.store(true, Ordering::Release);
    }

    /// Whether nothing is to be heard of what was captured at this time.
    pub(crate) fn silences(&self, at: Duration) -> bool {
        self.0.used.load(Ordering::Acquire)
            && lock(&self.0.spells)
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at))
    }
}

/// Lets through to the speaker what is a sound.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open_until: Duration,
}

impl Gate {
    /// Whether these samples, 16 bits each, little-endian, are to be played, which
    /// are given to the speaker at this time.
    pub(crate) fn passes(&mut self, samples: &[u8], at: Duration) -> bool {
        let is_loud = |s: &[u8]| i16::from_le_bytes([s[0], s[1]]).unsigned_abs() >= LOUD;
        if samples.chunks_exact(2).any(is_loud) {
            self.open_until = at + ENDS_OF_WORDS;
        }
        at < self.open_until
    }
}

/// Silences samples, 16 bits each, little-endian; at the beginning and the end of
/// that over all of them, since a sound that is cut off clicks.
pub(crate) fn silence(samples: &mut [u8], before: bool, now: bool) {
    let count = (samples.len() / 2).max(1) as i64;
    for (i, sample) in samples.chunks_exact_mut(2).enumerate() {
        let i = i as i64;
        let part = match (before, now) {
            (true, true) => 0,
            (false, true) => count - i - 1,
            (true, false) => i,
            (false, false) => count,
        };
        let value = i64::from(i16::from_le_bytes([sample[0], sample[1]]));
        let value = (value * part / count) as i16;
        sample.copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn samples(value: i16) -> Vec<u8> {
        value.to_le_bytes().repeat(480)
    }

    #[test]
    fn what_was_captured_while_it_spoke_is_silent_and_nothing_else() {
        let duck = Duck::default();
        assert!(!duck.silences(Duration::ZERO));
        for at in (1_000..2_000).step_by(20) {
            duck.speaks(at * MS);
        }
        assert!(!duck.silences(999 * MS) && duck.silences(1_000 * MS));
        assert!(duck.silences(2_379 * MS) && !duck.silences(2_380 * MS));
        // Later, and what was captured before comes late.
        duck.speaks(9_000 * MS);
        assert!(duck.silences(1_500 * MS) && duck.silences(9_000 * MS));
        assert!(!duck.silences(5_000 * MS));
    }

    #[test]
    fn soft_sounds_pass_behind_loud_ones_only() {
        let mut gate = Gate::default();
        assert!(!gate.passes(&samples(300), 10 * MS));
        assert!(gate.passes(&samples(-3_000), 20 * MS));
        assert!(gate.passes(&samples(3), 419 * MS));
        assert!(!gate.passes(&samples(300), 420 * MS));
    }

    #[test]
    fn it_fades_out_and_in() {
        let faded = |before, now| {
            let mut faded = samples(1_000);
            silence(&mut faded, before, now);
            let read = |s: &[u8]| i16::from_le_bytes([s[0], s[1]]);
            (read(&faded[..2]), read(&faded[958..]))
        };
        assert_eq!(faded(false, false), (1_000, 1_000));
        assert_eq!(faded(false, true), (997, 0));
        assert_eq!(faded(true, true), (0, 0));
        assert_eq!(faded(true, false), (0, 997));
    }

    proptest! {
        /// Whatever is said: of both one is silent, with the time that sound takes
        /// through a card, a room and a microphone.
        #[test]
        fn never_both(levels in prop::collection::vec(prop_oneof![Just(0_i16), Just(200), Just(9_000)], 1..200)) {
            let (duck, mut gate) = (Duck::default(), Gate::default());
            let mut played = Vec::new();
            for (i, level) in levels.iter().enumerate() {
                let at = i as u32 * 20 * MS;
                if gate.passes(&samples(*level), at) {
                    duck.speaks(at);
                    played.push(at);
                }
            }
            for at in played {
                for later in [0, 60, 130, 300] {
                    prop_assert!(duck.silences(at + later * MS));
                }
            }
            prop_assert!(lock(&duck.0.spells).len() <= SPELLS);
        }
    }
}
