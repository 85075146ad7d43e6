//! Small grey pictures, made of large ones.

/// The longer side of a small picture, in pixels.
pub(crate) const LONGER_SIDE: usize = 160;
/// Width and height are multiples of this: the side of a cell.
pub(super) const CELL: usize = 4;
/// The least width and height: a window and its neighbours.
const SHORTEST: usize = 4 * CELL;
/// Of each column and line of a small picture so many of the large one's are
/// looked at. Together they take most of the sensor's noise away.
const SAMPLES: usize = 4;
/// A luma of 1 of 255 in the numbers of [`Luma`].
pub const UNIT: u16 = 16;

/// A small grey picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Luma {
    width: usize,
    height: usize,
    /// Line by line, in sixteenths of a luma of 0 to 255: a mean has fractions.
    pixels: Vec<u16>,
}

impl Luma {
    /// One of these pixels, line by line, in [sixteenths](UNIT). `None` where
    /// they are not as many as `size` says, or `size` is none of
    /// [`small_size`]'s.
    pub fn new((width, height): (usize, usize), pixels: Vec<u16>) -> Option<Self> {
        let is_size = |side: usize| side >= SHORTEST && side.is_multiple_of(CELL);
        let fits = is_size(width) && is_size(height) && width.checked_mul(height)? == pixels.len();
        fits.then_some(Self {
            width,
            height,
            pixels,
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub(super) fn pixels(&self) -> &[u16] {
        &self.pixels
    }
}

/// Width and height of the small picture of one of this size: of its shape, and
/// [`LONGER_SIDE`] long.
pub(crate) fn small_size((width, height): (usize, usize)) -> (usize, usize) {
    let longer = width.max(height).max(1);
    let side = |pixels: usize| {
        let cells = (pixels * LONGER_SIDE + longer * CELL / 2) / (longer * CELL);
        (cells * CELL).max(SHORTEST)
    };
    (side(width), side(height))
}

/// Where the luma of a large picture lies in memory.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// From its first pixel's luma on.
    pub data: &'a [u8],
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Bytes from a line to the next.
    pub stride: usize,
    /// Bytes from a pixel to the next: 1, or 2 where luma and chroma take turns.
    pub step: usize,
}

/// Makes small pictures.
#[derive(Debug, Default)]
pub struct Shrinker {
    /// Of what it is made for.
    size: (usize, usize),
    step: usize,
    /// Bytes of a line that are looked at, [`SAMPLES`] for each column.
    columns: Vec<usize>,
    line: Vec<u8>,
    sums: Vec<u16>,
}

impl Shrinker {
    /// The small picture; `None` where the plane is shorter than it says.
    pub fn shrink(&mut self, plane: Plane<'_>) -> Option<Luma> {
        let (width, height) = plane.size;
        let (small_width, small_height) = small_size(plane.size);
        if width == 0 || height == 0 || plane.step == 0 {
            return None;
        }
        if (self.size, self.step) != (plane.size, plane.step) {
            (self.size, self.step) = (plane.size, plane.step);
            let columns = (0..small_width).flat_map(|x| samples(x, small_width, width));
            self.columns = columns.map(|x| x * plane.step).collect();
        }
        let bytes = (width - 1) * plane.step + 1;
        let mut pixels = Vec::with_capacity(small_width * small_height);
        for y in 0..small_height {
            self.sums.clear();
            self.sums.resize(small_width, 0);
            for line in samples(y, small_height, height) {
                let start = line.checked_mul(plane.stride)?;
                let line = plane.data.get(start..start.checked_add(bytes)?)?;
                // A camera's own memory may be slow to read byte by byte.
                self.line.clear();
                self.line.extend_from_slice(line);
                for (sum, columns) in self.sums.iter_mut().zip(self.columns.chunks_exact(SAMPLES)) {
                    *sum += columns
                        .iter()
                        .map(|x| u16::from(self.line[*x]))
                        .sum::<u16>();
                }
            }
            pixels.extend_from_slice(&self.sums);
        }
        Luma::new((small_width, small_height), pixels)
    }
}

/// Which of `whole` lie in the `n`th of `parts`, [`SAMPLES`] evenly.
fn samples(n: usize, parts: usize, whole: usize) -> impl Iterator<Item = usize> {
    (0..SAMPLES).map(move |i| {
        let at = (2 * (n * SAMPLES + i) + 1) * whole / (2 * parts * SAMPLES);
        at.min(whole - 1)
    })
}

// The sum of all samples of a pixel is its luma in the numbers of `Luma`.
const _: () = assert!(SAMPLES * SAMPLES == UNIT as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_picture_has_the_shape_of_the_large_one() {
        for (large, small) in [
            ((1280, 720), (160, 92)),
            ((640, 480), (160, 120)),
            ((720, 1280), (92, 160)),
            ((160, 120), (160, 120)),
            ((3840, 120), (160, 16)),
            ((1, 1), (160, 160)),
        ] {
            assert_eq!(small_size(large), small, "{large:?}");
        }
    }

    #[test]
    fn a_pixel_is_the_mean_of_its_place() {
        let (width, height, stride) = (320, 180, 336);
        let mut data = vec![9; stride * height];
        for (i, luma) in data.iter_mut().enumerate() {
            *luma = if i % stride < width / 2 { 40 } else { 200 };
        }
        let plane = Plane {
            data: &data,
            size: (width, height),
            stride,
            step: 1,
        };
        let small = Shrinker::default().shrink(plane).expect("it fits");
        let at = |x: usize, y: usize| small.pixels()[y * small.size().0 + x];
        for y in 0..small.size().1 {
            assert_eq!((at(0, y), at(79, y)), (40 * UNIT, 40 * UNIT));
            assert_eq!((at(80, y), at(159, y)), (200 * UNIT, 200 * UNIT));
        }
    }

    #[test]
    fn luma_between_chroma_is_found() {
        let data: Vec<u8> = (0..2 * 64 * 64)
            .map(|i| if i % 2 == 0 { 77 } else { 255 })
            .collect();
        let plane = Plane {
            data: &data,
            size: (64, 64),
            stride: 128,
            step: 2,
        };
        let small = Shrinker::default().shrink(plane).expect("it fits");
        assert!(small.pixels().iter().all(|p| *p == 77 * UNIT));
    }

    #[test]
    fn a_plane_that_is_too_short_is_no_picture() {
        let plane = Plane {
            data: &[0; 1000],
            size: (64, 64),
            stride: 64,
            step: 1,
        };
        assert_eq!(Shrinker::default().shrink(plane), None);
        let empty = Plane {
            size: (0, 0),
            ..plane
        };
        assert_eq!(Shrinker::default().shrink(empty), None);
    }
}
