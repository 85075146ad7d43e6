//! Files out of any frames: whole after each fragment, whatever is missing.

use std::io::Cursor;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use crate::media::opus;
use crate::recorder::boxes::{thumbnail, whole, with_thumbnail};
use crate::recorder::film::{Film, Refused};
use crate::recorder::picture::{Sets, Unit};

/// openh264's, 640×360.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08, 0x84, 0x6a,
];

pub(super) fn unit(key: bool, size: usize) -> Unit {
    let sets = Sets {
        sps: SPS.to_vec(),
        pps: vec![0x68, 0xce, 0x3c, 0x80],
    };
    Unit {
        data: vec![7; size],
        sets: key.then_some(sets),
    }
}

fn packet() -> Bytes {
    Bytes::from_static(opus::SILENCE)
}

/// What the boxes say of a file.
fn seconds(file: &[u8]) -> Option<(u64, u32)> {
    let whole = whole(&mut Cursor::new(file)).expect("memory");
    whole.map(|whole| (whole.bytes, whole.seconds))
}

proptest! {
    /// Frames come when they like, sound stops and goes on: after each fragment all
    /// is whole, and a cut anywhere costs no more than what was after the last one.
    #[test]
    fn a_file_is_whole_after_each_fragment(
        gaps in proptest::collection::vec((1..400_u64, any::<bool>(), 1..2000_usize), 2..120),
        silent in 0..4_u64,
        sound in prop::option::of(1..3_u8),
        late in 0..3_000_u64,
        cut in any::<proptest::sample::Index>(),
    ) {
        let start = Instant::now();
        let film = Film::begin(unit(true, 100), start, Duration::ZERO, sound);
        let mut film = film.expect("it begins");
        // Where none is known of, it is another file that has it.
        let late = Duration::from_millis(sound.map_or(0, |_| late));
        let mut at = start;
        let mut heard = start;
        let mut file = Vec::new();
        let mut ends = vec![0];
        for (gap, key, size) in gaps {
            at += Duration::from_millis(gap);
            while heard + late < at {
                // Of each four seconds the last ones are without sound.
                if (heard - start).as_secs() % 4 < 4 - silent {
                    film.sound(&packet(), heard);
                }
                heard += Duration::from_millis(20);
            }
            if let Some(bytes) = film.picture(unit(key, size), key, at).expect("it is taken") {
                file.extend(bytes);
                ends.push(file.len());
                prop_assert_eq!(seconds(&file).map(|s| s.0), Some(file.len() as u64));
            }
        }
        let (last, length) = film.end(at + Duration::from_millis(33));
        file.extend(last.expect("a fragment"));
        ends.push(file.len());
        let (bytes, whole) = seconds(&file).expect("whole");
        prop_assert_eq!(bytes, file.len() as u64);
        prop_assert!((length.as_secs_f64().ceil() as u32).abs_diff(whole) <= 1);
        let cut = cut.index(file.len());
        let kept = *ends.iter().rfind(|end| **end <= cut).expect("one");
        prop_assert_eq!(seconds(&file[..cut]).map_or(0, |s| s.0), kept as u64);
    }

    /// A file that is none, or a damaged one, is refused or read, and never more of it
    /// than there is.
    #[test]
    fn any_file_is_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(seconds(&bytes).is_none_or(|(whole, _)| whole <= bytes.len() as u64));
    }
}

#[test]
fn another_size_another_sound_and_ten_minutes_are_another_file() {
    let start = Instant::now();
    let begin = || Film::begin(unit(true, 9), start, Duration::ZERO, None).expect("it begins");
    let second = start + Duration::from_secs(1);
    let mut film = begin();
    let mut other = unit(true, 9);
    if let Some(sets) = &mut other.sets {
        sets.pps.push(0);
    }
    assert_eq!(film.picture(other, true, second), Err(Refused::Another));
    // Its first second had no sound.
    let mut film = begin();
    assert!(
        film.picture(unit(false, 9), false, second)
            .expect("taken")
            .is_some()
    );
    film.sound(&packet(), second);
    let at = second + Duration::from_millis(33);
    assert_eq!(film.picture(unit(false, 9), false, at), Ok(None));
    assert_eq!(film.picture(unit(true, 9), true, at), Err(Refused::Another));
    // Ten minutes, and the key frame behind them.
    let mut film = begin();
    for i in 1..=120_u32 {
        let at = start + Duration::from_secs(5) * i;
        assert!(film.picture(unit(false, 9), false, at).is_ok(), "{i}");
    }
    let at = start + Duration::from_secs(601);
    assert_eq!(film.picture(unit(true, 9), true, at), Err(Refused::Another));
    // Nothing was seen for long.
    let mut film = begin();
    let at = start + Duration::from_secs(11);
    assert_eq!(
        film.picture(unit(false, 9), false, at),
        Err(Refused::Another)
    );
    assert!(Film::begin(unit(false, 9), start, Duration::ZERO, None).is_none());
}

/// It is found between two fragments, and passed over where they are counted.
#[test]
fn a_thumbnail_is_part_of_a_file_and_takes_nothing_from_it() {
    let start = Instant::now();
    let mut film = Film::begin(unit(true, 100), start, Duration::ZERO, None).expect("it begins");
    let mut file = Vec::new();
    let jpeg = [0xff, 0xd8, 1, 2, 3, 0xff, 0xd9];
    let none: [u8; 0] = [];
    let mut ends = Vec::new();
    for i in 1..100 {
        let at = start + Duration::from_millis(50 * i);
        let bytes = film.picture(unit(i % 20 == 0, 50), i % 20 == 0, at);
        let Some(bytes) = bytes.expect("it is taken") else {
            continue;
        };
        file.extend(bytes);
        let found = thumbnail(&mut Cursor::new(&file)).expect("memory");
        match ends.len() {
            0 => assert_eq!(found, none),
            _ => assert_eq!(found, jpeg),
        }
        if ends.is_empty() {
            let counted = seconds(&file);
            file.extend(with_thumbnail(&jpeg));
            assert_eq!(seconds(&file), counted.map(|(_, s)| (file.len() as u64, s)));
            // What was cut in the middle of it is without it.
            assert_eq!(seconds(&file[..file.len() - 1]), counted);
        }
        ends.push(file.len());
        assert_eq!(seconds(&file).map(|s| s.0), Some(file.len() as u64));
    }
    assert!(ends.len() > 2, "{ends:?}");
    // With the longest pre-roll it comes behind it, and behind what is before that: the
    // seconds to a key frame, and those in which it is made.
    let mut film = Film::begin(unit(true, 100), start, Duration::ZERO, None).expect("it begins");
    let mut file = Vec::new();
    for second in 1..=45 {
        let at = start + Duration::from_secs(second);
        let fragment = film.picture(unit(false, 50), false, at);
        file.extend(fragment.expect("taken").expect("a fragment"));
    }
    file.extend(with_thumbnail(&jpeg));
    assert_eq!(thumbnail(&mut Cursor::new(&file)).expect("memory"), jpeg);
    // Of others' boxes, and of none.
    let other = [&32_u32.to_be_bytes()[..], b"uuid", &[7; 24]].concat();
    assert_eq!(thumbnail(&mut Cursor::new(other)).expect("memory"), none);
    assert_eq!(thumbnail(&mut Cursor::new(none)).expect("memory"), none);
}
