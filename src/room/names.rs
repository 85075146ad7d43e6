//! Names in the room: what of a wish can be a name, and which names look alike.
//!
//! The original server takes any text. This one takes any that a person can
//! tell from the others: letters of every script, symbols, spaces between. What
//! is not seen goes (UAX #44, Default_Ignorable_Code_Point), but for the joiners
//! that some scripts are written with, and two names that look alike (UTS #39
//! §4) are one name. So what is kept of a wish may differ from it, and the client
//! is told.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use unicode_normalization::char::is_combining_mark;
use unicode_security::confusable_detection::skeleton;

/// Longest name, in characters and in bytes: 64 letters of any script.
const MAX_CHARS: usize = 64;
const MAX_BYTES: usize = 256;
/// Bytes of a name where those in force are long already, and bytes of all of them
/// from which on that is so: the list of all goes to everyone.
const SHORT_BYTES: usize = 32;
pub(super) const LONG_LIST: usize = 8 * 1024;
/// Beyond that, bytes of long names of one source, and of all of them.
pub(super) const LONG_OF_ONE: usize = 256;
pub(super) const LONG_OF_ALL: usize = 4 * 1024;
/// Characters of what a name looks like: four for each of its own, which is what
/// scripts need that are written with marks. Some characters stand for a sentence.
const MAX_SKELETON: usize = 4 * MAX_CHARS;
/// Numbers that are tried in their order, before some are drawn.
const COUNTED: u64 = 8;
/// Marks on one letter (UTS #39 §5.4 has four for any script).
const MAX_MARKS: usize = 4;

/// A name as it stands in the user list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// What of `wish` can be a name; `None` where nothing is left, or where it
    /// is too long for one.
    pub fn of(wish: &str) -> Option<Self> {
        if wish.len() > 4 * MAX_BYTES {
            return None;
        }
        let letters: Vec<char> = wish.chars().collect();
        let mut name = String::with_capacity(wish.len());
        let mut marks = 0;
        for (i, &c) in letters.iter().enumerate() {
            if c.is_whitespace() {
                // Also what is broader or does not break: it looks the same.
                if !name.is_empty() && !name.ends_with(' ') {
                    name.push(' ');
                }
                continue;
            }
            marks = if is_combining_mark(c) { marks + 1 } else { 0 };
            let joins = is_joiner(c) && joins_letters(&letters, i);
            if marks <= MAX_MARKS && (joins || is_seen(c)) {
                name.push(c);
            }
        }
        let name = name.trim_end().to_owned();
        let fits = name.len() <= MAX_BYTES && name.chars().count() <= MAX_CHARS;
        let says_something = name
            .chars()
            .any(|c| !c.is_whitespace() && !is_combining_mark(c));
        let is_plain = || skeleton(&name).take(MAX_SKELETON + 1).count() <= MAX_SKELETON;
        (fits && says_something && is_plain()).then_some(Self(name))
    }

    /// Its beginning, where it is too long for a room with long names.
    pub(super) fn shortened(&self) -> Self {
        let end = self.0.floor_char_boundary(SHORT_BYTES);
        let seen = self.0[..end].trim_end_matches(|c: char| c.is_whitespace() || is_joiner(c));
        Self(seen.to_owned())
    }

    /// Whether it is as long as a name may be in a room with long names.
    pub(super) fn is_short(&self) -> bool {
        self.0.len() <= SHORT_BYTES
    }

    /// What a client is called whose own idea of a name cannot be used.
    pub(super) fn guest() -> Self {
        Self("guest".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `self` with the smallest number from 1 that makes it free, as the original
    /// server appends numbers; where the first few are taken, with one of six digits
    /// that is `drawn` at random. A name too long for a number is cut.
    pub(super) fn numbered(
        &self,
        drawn: impl Fn(u64) -> u64,
        taken: impl Fn(&Self) -> bool,
    ) -> Self {
        let drawn = (0u64..).map(|draw| 100_000 + drawn(draw) % 900_000);
        (1..=COUNTED)
            .chain(drawn)
            .map(|number| self.with_suffix(&number.to_string()))
            .find(|name| !taken(name))
            .expect("finitely many names are taken")
    }

    fn with_suffix(&self, suffix: &str) -> Self {
        let bytes = self.0.floor_char_boundary(MAX_BYTES - suffix.len());
        let base: String = self.0[..bytes]
            .chars()
            .take(MAX_CHARS - suffix.len())
            .collect();
        Self(format!("{}{suffix}", base.trim_end()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a name looks like: two that share one of these are taken for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// As written, in another case, and as written with the case taken away.
    skeletons: [String; 3],
    /// The same without marks, spaces and punctuation; what is compared with the
    /// name of a device, which nobody is to come near to.
    bare: [String; 2],
}

impl Look {
    pub(super) fn of(name: &Name) -> Self {
        let bones = |text: &str| -> String { skeleton(text).collect() };
        let as_written = bones(&name.0);
        let lowered = bones(&name.0.to_lowercase());
        let without_case = bones(&as_written.to_lowercase());
        let bare = |text: &str| -> String {
            text.chars()
                .filter(|c| c.is_alphanumeric() && !is_combining_mark(*c))
                .collect()
        };
        Self {
            bare: [bare(&lowered), bare(&without_case)],
            skeletons: [as_written, lowered, without_case],
        }
    }

    /// Whether a person takes one for the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.skeletons
            .iter()
            .any(|mine| other.skeletons.contains(mine))
    }

    /// Whether it comes near to the name of a device.
    pub(super) fn is_near(&self, device: &Self) -> bool {
        self.is_like(device)
            || self
                .bare
                .iter()
                .any(|mine| !mine.is_empty() && device.bare.contains(mine))
    }
}

/// Many looks at once, to see whether a name is free.
#[derive(Debug, Default)]
pub(super) struct Looks<'a> {
    skeletons: HashSet<&'a str>,
    bare: HashSet<&'a str>,
}

impl<'a> Looks<'a> {
    /// Adds a name that is taken; nothing may come near to a device's.
    pub(super) fn add(&mut self, look: &'a Look, device: bool) {
        self.skeletons
            .extend(look.skeletons.iter().map(String::as_str));
        if device {
            let bare = look.bare.iter().map(String::as_str);
            self.bare.extend(bare.filter(|b| !b.is_empty()));
        }
    }

    pub(super) fn take(&self, name: &Name) -> bool {
        let look = Look::of(name);
        look.skeletons
            .iter()
            .any(|l| self.skeletons.contains(l.as_str()))
            || look.bare.iter().any(|l| self.bare.contains(l.as_str()))
    }
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// ZWNJ and ZWJ belong between letters of scripts that join, and between emoji;
/// elsewhere they are not seen.
fn joins_letters(letters: &[char], at: usize) -> bool {
    let joins = |c: Option<&char>| {
        c.is_some_and(|&c| !c.is_ascii() && !is_joiner(c) && (is_seen(c) || is_emoji_style(c)))
    };
    joins(at.checked_sub(1).and_then(|before| letters.get(before))) && joins(letters.get(at + 1))
}

fn is_emoji_style(c: char) -> bool {
    c == '\u{FE0F}'
}

/// Whether a character can be seen, whatever stands around it.
fn is_seen(c: char) -> bool {
    let is_ignorable = matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}');
    // A blank that is no space; private use; code points that are no character.
    let is_blank = c == '\u{2800}';
    let is_nobodys = matches!(c,
        '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}' | '\u{FDD0}'..='\u{FDEF}')
        || u32::from(c) & 0xFFFE == 0xFFFE;
    !(c.is_control() || is_ignorable || is_blank || is_nobodys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(wish: &str) -> Option<String> {
        Name::of(wish).map(|name| name.0)
    }

    fn like(a: &str, b: &str) -> bool {
        let look = |wish| Look::of(&Name::of(wish).expect("a name"));
        look(a).is_like(&look(b))
    }

    fn near(a: &str, device: &str) -> bool {
        let look = |wish| Look::of(&Name::of(wish).expect("a name"));
        look(a).is_near(&look(device))
    }

    #[test]
    fn names_of_every_script_are_taken_as_they_are() {
        for wish in [
            "bob",
            "Tür 3",
            "front door",
            "O'Brien (cam #2)",
            "กล้องหน้าบ้านชั้นสองทางซ้าย",
            "दूसरा कैमरा",
            "می\u{200C}خواهم",
            "카메라",
            "摄像头",
            "👩\u{200D}👧",
            "<img src=x>",
        ] {
            assert_eq!(name(wish).as_deref(), Some(wish));
        }
        let thai = "ก".repeat(64);
        assert_eq!(name(&thai), Some(thai.clone()));
    }

    #[test]
    fn what_is_not_seen_goes() {
        for (wish, kept) in [
            (" bob ", "bob"),
            ("a\u{00A0}\u{3000} b", "a b"),
            ("cam\u{200D}era", "camera"),
            ("camera\u{200C}", "camera"),
            ("cam\u{FE0F}era", "camera"),
            ("cam\u{E0101}era", "camera"),
            ("camera\u{E0020}\u{E007F}", "camera"),
            ("cam\u{034F}era", "camera"),
            ("cam\u{115F}era\u{3164}\u{FFA0}", "camera"),
            ("\u{202E}camera", "camera"),
            ("cam\u{2800}era", "camera"),
            ("a\nb\u{7}", "a b"),
            (
                "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
                "e\u{301}\u{301}\u{301}\u{301}",
            ),
        ] {
            assert_eq!(name(wish).as_deref(), Some(kept), "{wish:?}");
        }
        for none in [
            "",
            " ",
            "\u{202E}",
            "\u{3164}",
            "\u{301}",
            "\u{E000}",
            &"x".repeat(65),
        ] {
            assert_eq!(name(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_looks_alike_is_one_name() {
        for (a, b) in [
            ("camera", "c\u{430}mera"),
            ("camera", "ca\u{43C}era".to_uppercase().as_str()),
            ("camera", "CAMERA"),
            ("camera", "carnera"),
            ("camera1", "cameral"),
            ("front door", "front\u{2003}door"),
            ("Tür", "Tu\u{308}r"),
            ("می\u{200C}خواهم", "میخواهم"),
            ("camera", "𝐜𝐚𝐦𝐞𝐫𝐚"),
            ("camera", "ｃａｍｅｒａ"),
            ("camera", "ϲamera"),
            ("Iris", "lris"),
        ] {
            assert!(like(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("camera", "camera2"),
            ("bob", "rob"),
            ("Tür", "Tur"),
            ("a1", "a2"),
        ] {
            assert!(!like(a, b), "{a} {b}");
        }
    }

    #[test]
    fn nothing_comes_near_to_a_device() {
        for wish in ["camera.", "camera\u{323}", "cam era", "Caméra", "camera ❤"] {
            assert!(near(wish, "camera"), "{wish}");
        }
        assert!(!near("camera2", "camera"));
        assert!(!near("👍", "👎"));
    }

    #[test]
    fn the_smallest_free_number_is_appended() {
        let base = Name::of("camera").unwrap();
        let name = base.numbered(|_| 0, |n| ["camera1", "camera2"].contains(&n.as_str()));
        assert_eq!(name.as_str(), "camera3");
    }

    /// Each try is a look at a name, and the room's one task takes it.
    #[test]
    fn few_numbers_are_tried_however_many_are_taken() {
        let tries = std::cell::Cell::new(0);
        let base = Name::of("camera").unwrap();
        let name = base.numbered(
            |draw| 77 + draw,
            |name| {
                tries.set(tries.get() + 1);
                let number: u64 = name.as_str()["camera".len()..].parse().unwrap();
                number <= 10_000
            },
        );
        assert_eq!(name.as_str(), "camera100077");
        assert!(tries.get() <= 9, "{} tries", tries.get());
    }

    #[test]
    fn a_name_that_looks_like_a_sentence_for_each_letter_is_none() {
        let bones = |wish: &str| skeleton(wish).count();
        let long = "\u{FDFA}".repeat(64);
        assert!(bones(&long) > 1_000);
        assert_eq!(name(&long), None);
        // Each of these is three letters, or one with two marks.
        for wish in ["한".repeat(64), "ẩ".repeat(64)] {
            assert_eq!(name(&wish), Some(wish.clone()), "{}", bones(&wish));
        }
    }

    #[test]
    fn a_name_is_shortened_between_characters() {
        for (wish, kept) in [
            ("x".repeat(64), "x".repeat(32)),
            ("ü".repeat(64), "ü".repeat(16)),
            ("กล้อง".repeat(3), "กล้องกล้อง".to_owned()),
        ] {
            let short = Name::of(&wish).unwrap().shortened();
            assert_eq!(short.as_str(), kept);
            assert!(short.is_short());
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for base in [
            "x".repeat(64),
            "ü".repeat(64),
            "𝄞".repeat(64),
            format!("{} y", "x".repeat(61)),
        ] {
            let base = Name::of(&base).unwrap();
            let name = base.numbered(|_| 0, |n| n.as_str().ends_with(['1', '2', '3']));
            assert!(name.as_str().ends_with('4'), "{name}");
            assert!(Name::of(name.as_str()).is_some_and(|n| n == name));
        }
    }
}
