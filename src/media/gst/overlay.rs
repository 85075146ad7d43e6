//! The clock and the frame counter on the test picture, and the words on the
//! slate that stands in for a lost camera.
//!
//! GStreamer's own overlays need Pango and, in Debian, the X libraries; a
//! device has neither. This paints a 3×5 font straight into the luma plane.

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
        ',' => [0, 0, 0, 2, 4],
        'A' => [2, 5, 7, 5, 5],
        'B' => [6, 5, 6, 5, 6],
        'C' => [3, 4, 4, 4, 3],
        'D' => [6, 5, 5, 5, 6],
        'E' => [7, 4, 6, 4, 7],
        'F' => [7, 4, 6, 4, 4],
        'G' => [3, 4, 5, 5, 3],
        'H' => [5, 5, 7, 5, 5],
        'I' => [7, 2, 2, 2, 7],
        'J' => [1, 1, 1, 5, 2],
        'K' => [5, 5, 6, 5, 5],
        'L' => [4, 4, 4, 4, 7],
        'M' => [5, 7, 7, 5, 5],
        'N' => [6, 5, 5, 5, 5],
        'O' => [2, 5, 5, 5, 2],
        'P' => [6, 5, 6, 4, 4],
        'Q' => [2, 5, 5, 6, 3],
        'R' => [6, 5, 6, 5, 5],
        'S' => [3, 4, 2, 1, 6],
        'T' => [7, 2, 2, 2, 2],
        'U' => [5, 5, 5, 5, 7],
        'V' => [5, 5, 5, 5, 2],
        'W' => [5, 5, 7, 7, 5],
        'X' => [5, 5, 2, 5, 5],
        'Y' => [5, 5, 2, 2, 2],
        'Z' => [7, 1, 2, 4, 7],
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

/// What a picture says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caption {
    /// The time of day and the frame's number, at the top of a test picture.
    Counter,
    /// Words in the middle, in capitals, and the time of day under them: it
    /// runs, so that nobody takes the picture for a frozen one.
    Words(&'static str),
}

/// Paints a caption into I420 pictures.
pub(super) struct Painter {
    caption: Caption,
    text: String,
}

impl Painter {
    pub(super) fn new(caption: Caption) -> Self {
        Self {
            caption,
            text: String::new(),
        }
    }

    /// `planes` are Y, U and V; `time` is milliseconds since midnight.
    pub(super) fn paint(&mut self, mut planes: [Plane<'_>; 3], time: u32, frame: u64) {
        let (s, ms) = (time / 1000, time % 1000);
        let (width, height) = (planes[0].width, planes[0].height);
        self.text.clear();
        let _ = write!(
            self.text,
            "{:02}:{:02}:{:02}",
            s / 3600,
            s / 60 % 60,
            s % 60
        );
        match self.caption {
            Caption::Counter => {
                let _ = write!(self.text, ".{ms:03} / {frame}");
                let dot = even(width / 160);
                write_line(&mut planes, &self.text, dot, (4 * dot, 4 * dot));
            }
            Caption::Words(words) => {
                let dot = even(width / (5 * words.len().max(1)));
                let middle =
                    |text: &str| even_down(width.saturating_sub(line_width(text, dot)) / 2);
                let top = even_down((height / 2).saturating_sub(8 * dot));
                write_line(&mut planes, words, dot, (middle(words), top));
                let below = (middle(&self.text), top + 8 * dot);
                write_line(&mut planes, &self.text, dot, below);
            }
        }
    }
}

/// Even, so that chroma covers exactly the box, and large enough to read.
fn even(dot: usize) -> usize {
    even_down(dot).max(2)
}

fn even_down(value: usize) -> usize {
    value & !1
}

fn line_width(text: &str, dot: usize) -> usize {
    (4 * text.len() + 2) * dot
}

/// Writes `text` white on a black box whose corner is at `x0`, `y0`.
fn write_line(planes: &mut [Plane<'_>; 3], text: &str, dot: usize, (x0, y0): (usize, usize)) {
    let (width, height) = (line_width(text, dot), 7 * dot);
    let [luma, u, v] = planes;
    luma.fill(x0, y0, width, height, BLACK);
    for plane in [u, v] {
        plane.fill(x0 / 2, y0 / 2, width / 2, height / 2, NEUTRAL);
    }
    for (i, c) in text.chars().enumerate() {
        for (row, bits) in glyph(c).into_iter().enumerate() {
            for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                let x = x0 + dot + 4 * dot * i + column * dot;
                luma.fill(x, y0 + dot + row * dot, dot, dot, WHITE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paint(caption: Caption, frame: u64) -> Vec<u8> {
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
        Painter::new(caption).paint(
            [plane(&mut y, 1), plane(&mut u, 2), plane(&mut v, 2)],
            3_723_004,
            frame,
        );
        y
    }

    #[test]
    fn two_frames_differ_only_in_their_number() {
        let (a, b) = (paint(Caption::Counter, 8), paint(Caption::Counter, 9));
        let changed = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        // 8 and 9 differ in one dot of the font.
        assert_eq!(changed, 4);
        assert!(a.contains(&WHITE) && a.contains(&BLACK) && a.contains(&100));
    }

    #[test]
    fn words_stand_in_the_middle_and_fit() {
        let picture = paint(Caption::Words("CAMERA LOST, WAITING"), 0);
        let white: Vec<usize> = (0..picture.len())
            .filter(|i| picture[*i] == WHITE)
            .map(|i| i % 320)
            .collect();
        let (left, right) = (white.iter().min(), white.iter().max());
        let (left, right) = (*left.expect("text"), *right.expect("text"));
        assert!(left > 8 && right < 312, "{left} to {right}");
        assert!(left.abs_diff(320 - right) < 12, "{left} to {right}");
    }

    #[test]
    fn a_picture_too_small_for_the_text_is_painted_as_far_as_it_goes() {
        for caption in [Caption::Counter, Caption::Words("CAMERA LOST, WAITING")] {
            let (mut y, mut u, mut v) = ([0; 64], [0; 16], [0; 16]);
            let plane = |data, side| Plane {
                data,
                stride: side,
                width: side,
                height: side,
            };
            let planes = [
                plane(&mut y[..], 8),
                plane(&mut u[..], 4),
                plane(&mut v[..], 4),
            ];
            Painter::new(caption).paint(planes, 0, 0);
        }
    }
}
