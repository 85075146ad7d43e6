//! Pictures to encode in a probe: blocks that change and noise over them, so
//! that there is more to say than the bitrate allows at fine quality and
//! enough to leave out at coarse. Pure.

/// How many there are; then they repeat.
pub(super) const PICTURES: usize = 5;

/// Side of a block, a macroblock's.
const BLOCK: usize = 16;

/// One picture in I420 without padding, `width` and `height` even: the
/// `number`th of [`PICTURES`].
pub(super) fn picture(width: usize, height: usize, number: usize) -> Vec<u8> {
    let (chroma_width, chroma_height) = (width / 2, height / 2);
    let chroma = 2 * chroma_width * chroma_height;
    let mut data = vec![128; width * height + chroma];
    let mut still = Random(1);
    let mut moving = Random(number as u32 + 2);
    let columns = width.div_ceil(BLOCK);
    let mut row = vec![0_u8; columns];
    for y in 0..height {
        if y % BLOCK == 0 {
            for block in &mut row {
                // Two blocks of five differ from picture to picture; if all
                // did, an encoder could take it for a cut to another scene.
                let base = 64 + still.below(128);
                let change = moving.below(5) < 2;
                *block = if change { 64 + moving.below(128) } else { base };
            }
        }
        let line = &mut data[y * width..(y + 1) * width];
        for (x, pixel) in line.iter_mut().enumerate() {
            *pixel = row[x / BLOCK] + moving.below(13) - 6;
        }
    }
    data
}

/// A linear congruential generator (the constants of Numerical Recipes): the
/// same pictures at every probe.
struct Random(u32);

impl Random {
    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: u8) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(self.0) * u64::from(limit)) >> 32) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_the_size_of_i420_and_differ() {
        let (a, b) = (picture(64, 48, 0), picture(64, 48, 1));
        assert_eq!(a.len(), 64 * 48 * 3 / 2);
        assert_eq!(a, picture(64, 48, 0));
        let differing = a
            .iter()
            .zip(&b)
            .filter(|(a, b)| a.abs_diff(**b) > 12)
            .count();
        let share = differing as f64 / (64.0 * 48.0);
        assert!((0.1..0.6).contains(&share), "{share}");
        assert!(a[64 * 48..].iter().all(|c| *c == 128));
    }

    #[test]
    fn odd_blocks_at_the_edges_are_filled() {
        assert_eq!(picture(162, 122, 3).len(), 162 * 122 * 3 / 2);
    }
}
