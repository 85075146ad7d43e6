//! Names that nobody else has.

use crate::wire::{MAX_NAME_BYTES, UserName};

/// What a client is called whose own idea of a name cannot be used.
pub(super) fn guest() -> UserName {
    UserName::parse("guest").expect("a plain word is a name")
}

/// `base` with the smallest number from 1 that makes it free, as the original
/// server appends numbers. A base too long for a number is cut.
pub(super) fn numbered(base: &UserName, taken: impl Fn(&UserName) -> bool) -> UserName {
    (1u64..)
        .map(|number| with_suffix(base.as_str(), &number.to_string()))
        .find(|name| !taken(name))
        .expect("finitely many names are taken")
}

fn with_suffix(base: &str, suffix: &str) -> UserName {
    let cut = base.floor_char_boundary(MAX_NAME_BYTES - suffix.len());
    UserName::parse(&format!("{}{suffix}", base[..cut].trim_end()))
        .expect("a name's beginning and digits make a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_free_number_is_appended() {
        let base = UserName::parse("camera").unwrap();
        let name = numbered(&base, |n| ["camera1", "camera2"].contains(&n.as_str()));
        assert_eq!(name.as_str(), "camera3");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for base in [
            "x".repeat(64),
            "ü".repeat(32),
            format!("{} y", "x".repeat(61)),
        ] {
            let base = UserName::parse(&base).unwrap();
            let name = numbered(&base, |n| n.as_str().ends_with(['1', '2', '3']));
            assert!(name.as_str().ends_with('4'), "{name}");
            assert!(name.as_str().len() <= MAX_NAME_BYTES);
        }
    }
}
