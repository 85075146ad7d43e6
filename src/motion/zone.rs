//! Zones: the parts of the picture in which motion counts.

/// A point of the picture: 0, 0 is its upper left corner, 1, 1 its lower right
/// one.
pub type Point = [f32; 2];

/// True for a point inside a polygon: a line from it to the right crosses an odd
/// number of edges.
pub(crate) fn is_inside(polygon: &[Point], [x, y]: Point) -> bool {
    let edges = polygon.iter().zip(polygon.iter().cycle().skip(1));
    let crossed = edges.filter(|([ax, ay], [bx, by])| {
        (*ay > y) != (*by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax
    });
    crossed.count() % 2 == 1
}

/// The windows whose middle is in a polygon. One that is too small for any has
/// the window nearest to its first corner.
pub(super) fn windows(polygon: &[Point], (width, height): (usize, usize)) -> Vec<bool> {
    // Windows overlap by half, and are two cells wide.
    let middle = |n: usize, count: usize| (n + 1) as f32 / (count + 1) as f32;
    let mut inside: Vec<bool> = (0..width * height)
        .map(|i| {
            let point = [middle(i % width, width), middle(i / width, height)];
            is_inside(polygon, point)
        })
        .collect();
    if let (false, Some([x, y])) = (inside.contains(&true), polygon.first()) {
        let nearest = |at: f32, count: usize| {
            let at = (at * (count + 1) as f32 - 1.0).round().max(0.0);
            (at as usize).min(count.saturating_sub(1))
        };
        let at = nearest(*y, height) * width + nearest(*x, width);
        if let Some(window) = inside.get_mut(at) {
            *window = true;
        }
    }
    inside
}

/// How much has to move, and how far, for a sensitivity of 1 (the least) to 10.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed {
    /// Windows.
    pub area: f32,
    /// Windows that it has gone.
    pub way: f32,
}

impl Needed {
    /// In the middle of the range a person of a seventh of the picture's height
    /// who walks a tenth of its width.
    pub(super) fn of(sensitivity: u8) -> Self {
        let steps = f32::from(10 - sensitivity.clamp(1, 10));
        Self {
            area: 3.0 * 1.2_f32.powf(steps),
            way: 2.0 * 1.16_f32.powf(steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (39, 22);

    #[test]
    fn half_of_the_picture_is_half_of_the_windows() {
        let left = windows(&[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]], SIZE);
        for (i, is_inside) in left.into_iter().enumerate() {
            assert_eq!(is_inside, i % SIZE.0 < 19, "{i}");
        }
        let all = windows(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], SIZE);
        assert!(all.iter().all(|w| *w));
    }

    #[test]
    fn a_bay_of_a_zone_is_outside() {
        let u = [
            [0.0, 0.0],
            [0.3, 0.0],
            [0.3, 0.7],
            [0.7, 0.7],
            [0.7, 0.0],
            [1.0, 0.0],
            [1.0, 1.0],
            [0.0, 1.0],
        ];
        assert!(is_inside(&u, [0.1, 0.1]) && is_inside(&u, [0.5, 0.9]));
        assert!(!is_inside(&u, [0.5, 0.5]) && !is_inside(&u, [1.5, 0.9]));
    }

    #[test]
    fn a_zone_smaller_than_a_window_is_one_window() {
        for corner in [[0.0, 0.0], [0.999, 0.999], [0.5, 0.5]] {
            let tiny = [corner, [corner[0] + 0.001, corner[1]], corner];
            let windows = windows(&tiny, SIZE);
            assert_eq!(windows.iter().filter(|w| **w).count(), 1, "{corner:?}");
        }
    }

    #[test]
    fn more_sensitive_is_less_that_is_needed() {
        for sensitivity in 1..10 {
            let (less, more) = (Needed::of(sensitivity), Needed::of(sensitivity + 1));
            assert!(less.area > more.area && less.way > more.way);
        }
    }
}
