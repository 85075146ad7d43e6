//! Sizes and rates of a format, of what its driver says of them.

use std::collections::BTreeSet;
use std::path::Path;

use super::class::buffer_type;
use crate::device::formats::characters;
use crate::device::v4l2::{Interval, Node, Size, reduced};
use crate::device::{Camera, CameraKind, Mode, Wish};

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
pub(super) fn modes(
    (node, driver): (&Node, &str),
    buffer_type: u32,
    format: u32,
    wish: Wish,
) -> Vec<Mode> {
    let sizes = node.sizes(format);
    let mut sizes: Vec<_> = sizes
        .into_iter()
        .flat_map(|size| sizes_of(size, wish))
        .collect();
    let given = |size| {
        let given = node.try_format(buffer_type, format, size);
        given.ok().filter(|given| given.fourcc == format)
    };
    let interlaced = if sizes.is_empty() {
        // stk1160, usbtv and sun6i-csi enumerate nothing; they have a size.
        let given = given((wish.width, wish.height));
        sizes.extend(given.map(|given| (given.width, given.height)));
        given.is_some_and(|given| given.interlaced)
    } else if driver == UVC {
        false
    } else {
        let largest = sizes.iter().copied().max_by_key(|(_, height)| *height);
        largest
            .and_then(given)
            .is_some_and(|given| given.interlaced)
    };
    let fourcc = characters(format);
    let mut seen = BTreeSet::new();
    let mut modes = Vec::new();
    for (width, height) in sizes {
        let mut rates = rates(&node.intervals(format, (width, height)), wish);
        let unlisted_rate = rates.is_empty();
        if unlisted_rate {
            rates.push(node.rate(buffer_type).unwrap_or(USUAL_RATE));
        }
        let rates = rates.into_iter();
        modes.extend(
            rates
                .filter(|rate| seen.insert((width, height, *rate)))
                .map(|rate| Mode {
                    fourcc: fourcc.clone(),
                    width,
                    height,
                    rate,
                    unlisted_rate,
                    interlaced,
                }),
        );
        if modes.len() >= MOST_MODES {
            break;
        }
    }
    modes
}

/// What the driver makes of a mode, where that is another size: some list what
/// they do not have.
pub(crate) fn adjusted(camera: &Camera, mode: &Mode) -> Option<Mode> {
    // It has what it lists, and each question is one to the camera over USB.
    if camera.kind != CameraKind::V4l2 || camera.driver == UVC {
        return None;
    }
    let node = Node::open(Path::new(&camera.device)).ok()?;
    let buffer_type = buffer_type(&node.capability().ok()?)?;
    let mut formats = node.formats(buffer_type).into_iter();
    let format = formats.find(|format| characters(*format) == mode.fourcc)?;
    let size = (mode.width, mode.height);
    let given = node.try_format(buffer_type, format, size).ok()?;
    let is_other = given.fourcc == format && (given.width, given.height) != size;
    is_other.then(|| Mode {
        width: given.width,
        height: given.height,
        interlaced: given.interlaced,
        ..mode.clone()
    })
}

/// USB cameras; they have no fields.
const UVC: &str = "uvcvideo";

/// Where a driver does not say.
const USUAL_RATE: (u32, u32) = (30, 1);

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

/// Frames a second of frame intervals; nothing where they make no sense.
fn rates(intervals: &[Interval], wish: Wish) -> Vec<(u32, u32)> {
    let mut rates = Vec::new();
    for interval in intervals {
        match *interval {
            Interval::Discrete(numerator, denominator) => rates.push((denominator, numerator)),
            Interval::Range((0, _) | (_, 0), _) | Interval::Range(_, (0, _) | (_, 0)) => {}
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
    fn rates_are_intervals_upside_down_where_they_make_sense() {
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
        for nothing in [
            Interval::Discrete(0, 30),
            Interval::Discrete(30, 0),
            Interval::Range((0, 1), (1, 5)),
            Interval::Range((1, 30), (1, 0)),
        ] {
            assert_eq!(rates(&[nothing]), [], "{nothing:?}");
        }
        assert_eq!(rates(&[]), []);
    }
}
