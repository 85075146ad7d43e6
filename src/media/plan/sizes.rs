//! Sizes of what is encoded, and which way up it is.

use crate::config::{Flip, VideoConfig};

/// Width and height of a tier of a picture of this size; `None` for the whole
/// picture: tier 0, and every tier of a picture that none is smaller than. Even
/// numbers, of the picture's shape.
pub(crate) fn tier_size(
    config: &VideoConfig,
    whole: (u32, u32),
    tier: usize,
) -> Option<(u32, u32)> {
    let tier = tier.checked_sub(1)?;
    let short = whole.0.min(whole.1).max(1);
    let smaller = config.smaller_tiers(short);
    // A picture smaller than the one that was counted on has fewer of them.
    let lines = smaller.take(tier + 1).last()?.height;
    let of_shape = |side: u32| {
        let side = (u64::from(side) * u64::from(lines) + u64::from(short) / 2) / u64::from(short);
        u32::try_from(side & !1).ok().map(|side| side.max(2))
    };
    Some((of_shape(whole.0)?, of_shape(whole.1)?))
}

/// No picture is made smaller than this many lines for its encoder's sake.
const SMALLEST: u32 = 144;

/// The size of a stream of `tier` where only this share of its width and height
/// is encoded, in percent; `None` for the whole picture. In multiples of eight,
/// as encoders in hardware like it.
pub(crate) fn shrunk_size(
    config: &VideoConfig,
    whole: (u32, u32),
    tier: usize,
    percent: u32,
) -> Option<(u32, u32)> {
    let tier = tier_size(config, whole, tier);
    let (width, height) = tier.unwrap_or(whole);
    let percent = percent.max((SMALLEST * 100).div_ceil(height.max(1)));
    if percent >= 100 {
        return tier;
    }
    let share = |pixels: u32| (pixels.saturating_mul(percent) / 100) & !7;
    Some((share(width).max(16), share(height).max(16)))
}

/// GStreamer's word for the way the picture is turned and mirrored; `None`
/// where it stays as it is.
pub fn direction(config: &VideoConfig) -> Option<&'static str> {
    // A quarter turn and then a mirror are a flip across a diagonal.
    match (config.rotate, config.flip) {
        (90, Flip::None) => Some("90r"),
        (180, Flip::None) => Some("180"),
        (270, Flip::None) => Some("90l"),
        (0, Flip::Horizontal) | (180, Flip::Vertical) => Some("horiz"),
        (0, Flip::Vertical) | (180, Flip::Horizontal) => Some("vert"),
        (90, Flip::Horizontal) | (270, Flip::Vertical) => Some("ul-lr"),
        (90, Flip::Vertical) | (270, Flip::Horizontal) => Some("ur-ll"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TierConfig;

    #[test]
    fn no_tier_is_larger_than_a_small_camera_s_picture() {
        let tier = |height| TierConfig {
            height,
            bitrate_kbps: 300,
        };
        let config = VideoConfig {
            tiers: vec![tier(360), tier(180)],
            ..VideoConfig::default()
        };
        let sizes = |whole| [1, 2].map(|tier| tier_size(&config, whole, tier));
        assert_eq!(sizes((1280, 720)), [Some((640, 360)), Some((320, 180))]);
        // The only one that is smaller, for whoever counted on two.
        assert_eq!(sizes((320, 240)), [Some((240, 180)); 2]);
        assert_eq!(sizes((256, 192)), [None; 2]);
        assert_eq!(sizes((160, 120)), [None; 2]);
        // Of 4:3, and upright.
        assert_eq!(sizes((640, 480)), [Some((480, 360)), Some((240, 180))]);
        assert_eq!(sizes((720, 1280)), [Some((360, 640)), Some((180, 320))]);
    }

    /// Where GStreamer's words take the corners of a picture, clockwise from
    /// the upper left.
    fn corners(direction: Option<&str>) -> [u8; 4] {
        match direction {
            None => [1, 2, 3, 4],
            Some("90r") => [4, 1, 2, 3],
            Some("180") => [3, 4, 1, 2],
            Some("90l") => [2, 3, 4, 1],
            Some("horiz") => [2, 1, 4, 3],
            Some("vert") => [4, 3, 2, 1],
            Some("ul-lr") => [1, 4, 3, 2],
            Some("ur-ll") => [3, 2, 1, 4],
            Some(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_picture_is_turned_and_then_mirrored() {
        for rotate in [0, 90, 180, 270] {
            for flip in [Flip::None, Flip::Horizontal, Flip::Vertical] {
                let config = VideoConfig {
                    rotate,
                    flip,
                    ..VideoConfig::default()
                };
                let mut expected = [1, 2, 3, 4];
                expected.rotate_right(rotate as usize / 90);
                let [a, b, c, d] = expected;
                let expected = match flip {
                    Flip::None => expected,
                    Flip::Horizontal => [b, a, d, c],
                    Flip::Vertical => [d, c, b, a],
                };
                assert_eq!(corners(direction(&config)), expected, "{rotate} {flip:?}");
            }
        }
    }
}
