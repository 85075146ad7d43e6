//! The timings of a digital input, and the fractions that rates are.

use v4l::v4l_sys as sys;

use crate::device::Signal;

/// The picture of BT.656/1120 timings.
pub(super) fn signal(bt: &sys::v4l2_bt_timings) -> Signal {
    // The structure is packed: its fields are copied, not borrowed.
    let (width, height, interlaced) = (bt.width, bt.height, bt.interlaced);
    let sum = |parts: [u32; 4]| parts.iter().map(|p| u64::from(*p)).sum::<u64>();
    let total = sum([width, bt.hfrontporch, bt.hsync, bt.hbackporch]).saturating_mul(sum([
        height,
        bt.vfrontporch,
        bt.vsync,
        bt.vbackporch,
    ]));
    let clock = bt.pixelclock;
    // Combed pictures would have to be deinterlaced.
    if interlaced != sys::V4L2_DV_PROGRESSIVE || width == 0 || height == 0 || total == 0 {
        return Signal::Unsupported;
    }
    let thousandths = clock.saturating_mul(1000) / total;
    match u32::try_from(thousandths) {
        Ok(rate) if rate > 0 => Signal::Present {
            width,
            height,
            rate: reduced(rate, 1000),
        },
        _ => Signal::Unsupported,
    }
}

/// The fraction in lowest terms.
pub(crate) fn reduced(numerator: u32, denominator: u32) -> (u32, u32) {
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1);
    (numerator / divisor, denominator / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::v4l2::zeroed;

    /// CEA-861 1920×1080p60: 148.5 MHz, 2200×1125 in all.
    fn timings() -> sys::v4l2_bt_timings {
        let mut timings = zeroed::<sys::v4l2_dv_timings>();
        // SAFETY: plain numbers.
        let bt = unsafe { &mut timings.__bindgen_anon_1.bt };
        (bt.width, bt.height, bt.pixelclock) = (1920, 1080, 148_500_000);
        (bt.hfrontporch, bt.hsync, bt.hbackporch) = (88, 44, 148);
        (bt.vfrontporch, bt.vsync, bt.vbackporch) = (4, 5, 36);
        *bt
    }

    #[test]
    fn timings_give_the_mode() {
        let mut bt = timings();
        let rate = |bt: &sys::v4l2_bt_timings| match signal(bt) {
            Signal::Present { rate, .. } => rate,
            other => panic!("{other:?}"),
        };
        assert_eq!(rate(&bt), (60, 1));
        bt.pixelclock = 148_351_648;
        assert_eq!(rate(&bt), (2997, 50), "59.94");
    }

    #[test]
    fn timings_that_are_no_picture_are_not_one() {
        let mut bt = timings();
        bt.interlaced = sys::V4L2_DV_INTERLACED;
        assert_eq!(signal(&bt), Signal::Unsupported);
        for empty in [
            sys::v4l2_bt_timings {
                width: 0,
                ..timings()
            },
            sys::v4l2_bt_timings {
                pixelclock: 0,
                ..timings()
            },
            sys::v4l2_bt_timings {
                pixelclock: u64::MAX,
                hsync: 0,
                ..timings()
            },
        ] {
            // No panic, and no rate of nothing.
            assert!(!matches!(
                signal(&empty),
                Signal::Present { rate: (0, _), .. }
            ));
        }
    }

    #[test]
    fn fractions_are_reduced() {
        assert_eq!(reduced(60_000, 1000), (60, 1));
        assert_eq!(reduced(0, 0), (0, 0));
    }
}
