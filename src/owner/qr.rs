//! A link as a QR code: in characters for a terminal, and as a picture.

use std::fs::OpenOptions;
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use qrcode::{Color, EcLevel, QrCode};

/// The light frame that readers need, in modules (ISO/IEC 18004 §9.1).
const QUIET: usize = 4;
/// Pixels of a module in a picture.
const SCALE: usize = 8;
/// Black on white, whatever the terminal's own colours are, and back.
const COLOURS: [&str; 2] = ["\u{1b}[30;107m", "\u{1b}[0m"];

/// The code.
pub(super) struct Qr {
    /// Its modules with the frame, true for dark ones, row by row.
    modules: Vec<bool>,
    width: usize,
}

impl Qr {
    /// That of a link. A link is far shorter than what fits.
    pub(super) fn of(text: &str) -> Self {
        // Terminals are read from a short way off, and every row counts there.
        let code = QrCode::with_error_correction_level(text, EcLevel::L);
        let (colors, side) = match code {
            Ok(code) => (code.to_colors(), code.width()),
            // The name of a page may be of any length: then there is the link.
            Err(_) => (Vec::new(), 0),
        };
        let width = side + 2 * QUIET;
        let mut modules = vec![false; width * width];
        for (at, color) in colors.into_iter().enumerate() {
            let (row, column) = (at / side + QUIET, at % side + QUIET);
            modules[row * width + column] = color == Color::Dark;
        }
        Self { modules, width }
    }

    fn is_dark(&self, row: usize, column: usize) -> bool {
        row < self.width && self.modules[row * self.width + column]
    }

    /// Two rows of modules in a line of text.
    pub(super) fn text(&self, in_colour: bool) -> String {
        let [on, off] = if in_colour { COLOURS } else { ["", ""] };
        let mut text = String::new();
        for row in (0..self.width).step_by(2) {
            text.push_str(on);
            for column in 0..self.width {
                text.push(
                    match (self.is_dark(row, column), self.is_dark(row + 1, column)) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    },
                );
            }
            text.push_str(off);
            text.push('\n');
        }
        text
    }

    /// A picture for this user's eyes; there must be no file yet.
    pub(super) fn write_png(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let side = self.width * SCALE;
        let size = u32::try_from(side).map_err(io::Error::other)?;
        let mut encoder = png::Encoder::new(BufWriter::new(file), size, size);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let dark = |at: usize| self.is_dark(at / side / SCALE, at % side / SCALE);
        let pixels: Vec<u8> = (0..side * side)
            .map(|at| if dark(at) { 0 } else { u8::MAX })
            .collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(())
    }
}
