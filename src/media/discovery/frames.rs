//! Sizes and rates of a format, of what its driver says of them.

use std::collections::BTreeSet;

use super::Wish;
use crate::media::v4l2::{Interval, Node, Size, reduced};

/// More than vivid has; a device that makes up modes must not fill memory, nor
/// time.
pub(super) const MOST_MODES: usize = 4096;

/// Sizes that people ask for; a camera with a range of sizes is listed with
/// those it can do.
const USUAL_SIZES: &[(u32, u32)] = &[
    (320, 240),
    (640, 360),
    (640, 480),
    (1280, 720),
    (1920, 1080),
];

/// Every size and rate of a format, once.
pub(super) fn frames(node: &Node, format: u32, wish: Wish) -> Vec<(u32, u32, (u32, u32))> {
    let sizes = node.sizes(format);
    let sizes = sizes.into_iter().flat_map(|size| sizes_of(size, wish));
    let mut seen = BTreeSet::new();
    let mut frames = Vec::new();
    for (width, height) in sizes {
        for rate in rates(&node.intervals(format, (width, height)), wish) {
            if seen.insert((width, height, rate)) {
                frames.push((width, height, rate));
            }
        }
        if frames.len() >= MOST_MODES {
            break;
        }
    }
    frames
}

fn sizes_of(size: Size, wish: Wish) -> Vec<(u32, u32)> {
    let (width, height) = match size {
        Size::Discrete(width, height) => return vec![(width, height)],
        Size::Range { width, height } => (width, height),
    };
    let fits = |value: u32, (low, high, step): (u32, u32, u32)| {
        (low..=high).contains(&value) && (value - low).is_multiple_of(step.max(1))
    };
    let mut sizes: Vec<_> = USUAL_SIZES
        .iter()
        .copied()
        .chain([(wish.width, wish.height), (width.1, height.1)])
        .filter(|(w, h)| fits(*w, width) && fits(*h, height))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Frames a second of frame intervals; 30 where a driver does not say.
fn rates(intervals: &[Interval], wish: Wish) -> Vec<(u32, u32)> {
    let mut rates = Vec::new();
    for interval in intervals {
        match *interval {
            Interval::Discrete(numerator, denominator) => rates.push((denominator, numerator)),
            Interval::Range(shortest, longest) => {
                let (slowest, fastest) = ((longest.1, longest.0), (shortest.1, shortest.0));
                rates.push(fastest);
                let within = |fps: u32| {
                    let fps = u64::from(fps);
                    let reaches = |(n, d): (u32, u32)| u64::from(n) >= fps * u64::from(d);
                    let starts = |(n, d): (u32, u32)| u64::from(n) <= fps * u64::from(d);
                    reaches(fastest) && starts(slowest)
                };
                rates.extend(
                    [wish.fps, 30]
                        .into_iter()
                        .filter(|fps| within(*fps))
                        .map(|fps| (fps, 1)),
                );
            }
        }
    }
    rates.retain(|(n, d)| *n > 0 && *d > 0);
    let mut rates: Vec<_> = rates.into_iter().map(|(n, d)| reduced(n, d)).collect();
    rates.dedup();
    if rates.is_empty() {
        rates.push((30, 1));
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish = Wish {
        width: 1024,
        height: 576,
        fps: 25,
    };

    #[test]
    fn a_range_of_sizes_offers_the_usual_ones_and_the_configured_one() {
        let range = Size::Range {
            width: (32, 1920, 16),
            height: (32, 1080, 8),
        };
        let sizes = sizes_of(range, WISH);
        assert!(sizes.contains(&(1024, 576)) && sizes.contains(&(1280, 720)));
        assert!(sizes.contains(&(1920, 1080)));
        assert!(!sizes.contains(&(640, 180)));
        // The step does not reach 360.
        let coarse = Size::Range {
            width: (32, 1920, 16),
            height: (32, 1080, 16),
        };
        assert!(!sizes_of(coarse, WISH).contains(&(640, 360)));
        let nothing = Size::Range {
            width: (100, 0, 0),
            height: (0, u32::MAX, 0),
        };
        assert_eq!(sizes_of(nothing, WISH), []);
    }

    #[test]
    fn rates_are_intervals_upside_down_and_never_nothing() {
        let rates = |intervals: &[Interval]| rates(intervals, WISH);
        assert_eq!(
            rates(&[Interval::Discrete(1, 30), Interval::Discrete(1001, 15_000)]),
            [(30, 1), (15_000, 1001)]
        );
        assert_eq!(
            rates(&[Interval::Range((1, 60), (1, 5))]),
            [(60, 1), (25, 1), (30, 1)]
        );
        assert_eq!(rates(&[Interval::Range((1, 10), (1, 5))]), [(10, 1)]);
        assert_eq!(rates(&[Interval::Discrete(0, 30)]), [(30, 1)]);
        assert_eq!(rates(&[]), [(30, 1)]);
    }
}
