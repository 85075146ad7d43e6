//! The clock and the frame counter on the test picture.
//!
//! GStreamer's own overlays need Pango and, in Debian, the X libraries; a
//! device has neither. This paints digits of a 3×5 font straight into the luma
//! plane.

use std::fmt::Write;

/// Rows of three pixels, highest bit left.
fn glyph(c: char) -> [u8; 5] {
    match c {
        '0' => [7, 5, 5, 5, 7],
        '1' => [2, 6, 2, 2, 7],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 7, 1, 7],
        '4' => [5, 5, 7, 1, 1],
        '5' => [7, 4, 7, 1, 7],
        '6' => [7, 4, 7, 5, 7],
        '7' => [7, 1, 2, 2, 2],
        '8' => [7, 5, 7, 5, 7],
        '9' => [7, 5, 7, 1, 7],
        ':' => [0, 2, 0, 2, 0],
        '.' => [0, 0, 0, 0, 2],
        '/' => [1, 1, 2, 4, 4],
        _ => [0; 5],
    }
}

const BLACK: u8 = 16;
const WHITE: u8 = 235;
const NEUTRAL: u8 = 128;

/// A plane of 8-bit samples.
pub(super) struct Plane<'a> {
    pub data: &'a mut [u8],
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl Plane<'_> {
    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, value: u8) {
        let right = (x + width).min(self.width);
        for row in y..(y + height).min(self.height) {
            let start = row * self.stride;
            if let Some(line) = self.data.get_mut(start + x.min(right)..start + right) {
                line.fill(value);
            }
        }
    }
}

/// Paints a time of day and a frame number into the top of an I420 picture.
pub(super) struct Painter {
    text: String,
}

impl Painter {
    pub fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// `planes` are Y, U and V; `time` is milliseconds since midnight.
    pub fn paint(&mut self, planes: [Plane<'_>; 3], time: u32, frame: u64) {
        let (s, ms) = (time / 1000, time % 1000);
        self.text.clear();
        let _ = write!(
            self.text,
            "{:02}:{:02}:{:02}.{ms:03} / {frame}",
            s / 3600,
            s / 60 % 60,
            s % 60
        );
        let [mut luma, u, v] = planes;
        // Even, so that chroma covers exactly the box.
        let dot = (luma.width / 160).max(2) & !1;
        let (x0, y0) = (4 * dot, 4 * dot);
        let cell = 4 * dot;
        let (width, height) = (self.text.len() * cell + 2 * dot, 7 * dot);
        luma.fill(x0, y0, width, height, BLACK);
        for mut plane in [u, v] {
            plane.fill(x0 / 2, y0 / 2, width / 2, height / 2, NEUTRAL);
        }
        for (i, c) in self.text.chars().enumerate() {
            for (row, bits) in glyph(c).into_iter().enumerate() {
                for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                    let x = x0 + dot + i * cell + column * dot;
                    luma.fill(x, y0 + dot + row * dot, dot, dot, WHITE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paint(frame: u64) -> Vec<u8> {
        let (width, height) = (320, 180);
        let mut y = vec![100; width * height];
        let mut u = vec![90; width * height / 4];
        let mut v = u.clone();
        let plane = |data, divide| Plane {
            data,
            stride: width / divide,
            width: width / divide,
            height: height / divide,
        };
        Painter::new().paint(
            [plane(&mut y, 1), plane(&mut u, 2), plane(&mut v, 2)],
            3_723_004,
            frame,
        );
        y
    }

    #[test]
    fn two_frames_differ_only_in_their_number() {
        let (a, b) = (paint(8), paint(9));
        let changed = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        // 8 and 9 differ in one dot of the font.
        assert_eq!(changed, 4);
        assert!(a.contains(&WHITE) && a.contains(&BLACK) && a.contains(&100));
    }

    #[test]
    fn a_picture_too_small_for_the_text_is_painted_as_far_as_it_goes() {
        let mut data = [vec![0; 64], vec![0; 16], vec![0; 16]];
        let [y, u, v] = &mut data;
        let plane = |data, side| Plane {
            data,
            stride: side,
            width: side,
            height: side,
        };
        Painter::new().paint([plane(y, 8), plane(u, 4), plane(v, 4)], 0, 0);
    }
}
