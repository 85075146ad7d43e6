//! H.264's `profile-level-id` (RFC 6184 §8.1).

use std::fmt;

/// H.264 `profile-level-id`: profile_idc, constraint flags and level_idc, the
/// three bytes that follow the NAL header of an SPS (RFC 6184 §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileLevelId(pub [u8; 3]);

impl ProfileLevelId {
    /// Reads six hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        Some(Self([value[1], value[2], value[3]]))
    }

    /// How well a stream of constrained baseline can be announced under this
    /// profile: 0 is best. Every profile here can decode constrained baseline.
    pub(super) fn rank(self) -> Option<u8> {
        let [profile, constraints, _] = self.0;
        match (profile, constraints & 0x40 != 0) {
            (66, true) => Some(0),
            (66, false) => Some(1),
            (77, _) => Some(2),
            (100, _) => Some(3),
            // High 4:4:4 Predictive, which Chromium has and decodes High with
            // (ITU-T H.264 §A.2.7).
            (244, _) => Some(4),
            _ => None,
        }
    }

    /// Whether a decoder of this profile decodes `stream`. A stream that calls
    /// itself baseline is taken for constrained baseline: encoders write no more
    /// (RFC 6184 §8.1 on arbitrary slice order and the like).
    pub(crate) fn covers(self, stream: Self) -> bool {
        let needed = match stream.rank() {
            Some(0 | 1) => 0,
            Some(rank) => rank,
            None => return false,
        };
        self.rank().is_some_and(|rank| rank >= needed)
    }

    /// The same profile at the higher one of both levels.
    pub(crate) fn at_least(self, other: Self) -> Self {
        let [profile, constraints, level] = self.0;
        Self([profile, constraints, level.max(other.0[2])])
    }

    pub(super) fn is_constrained_baseline(self) -> bool {
        self.rank() == Some(0)
    }

    /// What an answer names where this profile was offered and `stream` is sent.
    ///
    /// Where the caller offered another profile than constrained baseline, their
    /// profile stays, for it must be symmetric, and only the level is ours
    /// (RFC 6184 §8.2.2). A level above the offered one needs leave
    /// (`level-asymmetry-allowed`).
    pub(super) fn answered(self, stream: Self, asymmetry: bool) -> Self {
        let level = if asymmetry {
            stream.0[2]
        } else {
            stream.0[2].min(self.0[2])
        };
        let named = if self.is_constrained_baseline() {
            stream
        } else {
            self
        };
        Self([named.0[0], named.0[1], level])
    }
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ProfileLevelId {
        ProfileLevelId::parse(text).expect("six digits")
    }

    #[test]
    fn six_hex_digits_and_nothing_else() {
        assert_eq!(id("42e01F").to_string(), "42e01f");
        for bad in ["", "42e01", "42e01f0", "+2e01f", "42e01g", "４２ｅ"] {
            assert_eq!(ProfileLevelId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_decoder_covers_the_lesser_profiles() {
        for (decoder, covered) in [
            ("42e01f", ["42c028", "420028"].as_slice()),
            ("42001f", &["42c028", "420028"]),
            ("4d001f", &["42c028", "420028", "4d4028"]),
            ("640c1f", &["42c028", "420028", "4d4028", "640028"]),
            (
                "f4001f",
                &["42c028", "420028", "4d4028", "640028", "f40028"],
            ),
            ("58001f", &[]),
        ] {
            for stream in ["42c028", "420028", "4d4028", "640028", "f40028"] {
                let covers = id(decoder).covers(id(stream));
                assert_eq!(covers, covered.contains(&stream), "{decoder} {stream}");
            }
        }
    }

    #[test]
    fn an_answer_names_the_stream_under_constrained_baseline_only() {
        for (offered, stream, asymmetry, answered) in [
            ("42e01f", "42c028", true, "42c028"),
            ("42e01f", "42c028", false, "42c01f"),
            ("42e01f", "42c01e", false, "42c01e"),
            ("640c1f", "42c028", true, "640c28"),
            ("42001f", "42c028", true, "420028"),
        ] {
            let found = id(offered).answered(id(stream), asymmetry);
            assert_eq!(found, id(answered), "{offered} {stream}");
        }
    }
}
