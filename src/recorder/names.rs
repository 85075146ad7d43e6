//! What recordings are called: by when they began, in UTC. Pure.

use std::fmt;

use serde::Serialize;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const FORMAT: StaticFormatDescription =
    format_description!("[year][month][day]T[hour][minute][second]Z");
/// More in one second are not looked for.
const MOST_NUMBERS: u32 = 10_000;

/// Why there is a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// Something moved.
    Motion,
    /// Somebody watched.
    Watched,
    /// The same, and none of them was invited.
    #[serde(rename = "watched")]
    Strangers,
    /// There is one all the time.
    Always,
    /// A viewer wanted it.
    Button,
}

impl Why {
    const ALL: [Self; 5] = [
        Self::Motion,
        Self::Watched,
        Self::Strangers,
        Self::Always,
        Self::Button,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Motion => "motion",
            Self::Watched => "watched",
            Self::Strangers => "strangers",
            Self::Always => "always",
            Self::Button => "button",
        }
    }
}

/// Which recording; the later is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    /// When it began, in seconds since 1970.
    pub(crate) began: u64,
    /// 1, or more where others began in the same second: clocks are set back.
    number: u32,
}

impl Id {
    /// The first of this second that `is_free`.
    pub(super) fn free(began: u64, is_free: impl Fn(Self) -> bool) -> Option<Self> {
        let of = |number| Self { began, number };
        (1..=MOST_NUMBERS).map(of).find(|id| is_free(*id))
    }

    /// As a page or a file has it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (at, number) = match text.split_once('-') {
            Some((at, number)) => (at, number.parse().ok().filter(|n| *n > 1)?),
            None => (text, 1),
        };
        let at = PrimitiveDateTime::parse(at, FORMAT).ok()?.assume_utc();
        let began = u64::try_from(at.unix_timestamp()).ok()?;
        let id = Self { began, number };
        // It is written one way only.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.began).ok();
        let at = seconds.and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        f.write_str(&at.format(FORMAT).unwrap_or_default())?;
        match self.number {
            1 => Ok(()),
            number => write!(f, "-{number}"),
        }
    }
}

/// A file's name; without `seconds` while it is being written, or since its end
/// could not be.
pub(super) fn file(id: Id, why: Why, seconds: Option<u32>) -> String {
    match seconds {
        Some(seconds) => format!("{id}_{}_{seconds}s.mp4", why.word()),
        None => format!("{id}_{}.mp4", why.word()),
    }
}

/// What a file's name says; `None` for files that are not ours.
pub(super) fn read(name: &str) -> Option<(Id, Why, Option<u32>)> {
    let mut parts = name.strip_suffix(".mp4")?.split('_');
    let id = Id::parse(parts.next()?)?;
    let word = parts.next()?;
    let why = Why::ALL.into_iter().find(|why| why.word() == word)?;
    let seconds = match parts.next() {
        Some(part) => Some(part.strip_suffix('s')?.parse().ok()?),
        None => None,
    };
    (file(id, why, seconds) == name).then_some((id, why, seconds))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_says_what_it_was_made_of(
            began in 0..4_000_000_000_u64,
            taken in 0..20_u32,
            why in 0..5_usize,
            seconds in proptest::option::of(any::<u32>()),
        ) {
            let id = Id::free(began, |id| id.number > taken).expect("one is free");
            let name = file(id, Why::ALL[why], seconds);
            prop_assert_eq!(read(&name), Some((id, Why::ALL[why], seconds)));
            prop_assert!(!name.contains(['/', ':', ' ']));
        }

        #[test]
        fn no_other_text_is_a_name(text in "[0-9TZ_a-z./-]{0,40}") {
            if let Some((id, why, seconds)) = read(&text) {
                prop_assert_eq!(file(id, why, seconds), text);
            }
        }
    }

    #[test]
    fn names_are_in_utc_and_no_two_are_the_same() {
        let mut taken = BTreeSet::new();
        for _ in 0..3 {
            let id = Id::free(1_796_034_915, |id| !taken.contains(&id)).expect("free");
            taken.insert(id);
        }
        let names: Vec<_> = taken
            .iter()
            .map(|id| file(*id, Why::Motion, Some(12)))
            .collect();
        assert_eq!(
            names,
            [
                "20261130T103515Z_motion_12s.mp4",
                "20261130T103515Z-2_motion_12s.mp4",
                "20261130T103515Z-3_motion_12s.mp4",
            ]
        );
        for bad in [
            "../20261130T103515Z_motion_12s.mp4",
            "20261130T103515Z_motion_12s.mp4.tmp",
            "20261130T103515Z-1_motion.mp4",
            "20261130T103515Z_rain.mp4",
            "20261330T103515Z_motion.mp4",
            "20261130T103515Z_motion_012s.mp4",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
