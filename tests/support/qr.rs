//! QR codes as a reader of somebody else's making finds them.

#![allow(dead_code, reason = "each test binary uses its part of it")]

/// What a reader finds in a picture of grey pixels.
pub fn scanned(width: usize, height: usize, pixel: impl FnMut(usize, usize) -> u8) -> String {
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, pixel);
    let grids = picture.detect_grids();
    let [grid] = &grids[..] else {
        panic!("{} codes", grids.len())
    };
    grid.decode().expect("it can be read").1
}

/// The same in lines of half blocks, black on white, as they are in a terminal
/// or were printed to one.
pub fn scanned_text(printed: &str) -> String {
    const SCALE: usize = 4;
    let is_block = |c| matches!(c, '█' | '▀' | '▄');
    // The colours, and the terminal's line ends.
    let printed = printed
        .replace("\u{1b}[30;107m", "")
        .replace("\u{1b}[0m", "")
        .replace('\r', "");
    let lines: Vec<Vec<char>> = printed
        .lines()
        .filter(|line| line.chars().all(|c| is_block(c) || c == ' '))
        .filter(|line| line.chars().count() > 20)
        .map(|line| line.chars().collect())
        .collect();
    let (width, height) = (lines[0].len(), lines.len() * 2);
    scanned(width * SCALE, height * SCALE, |x, y| {
        let (row, column) = (y / SCALE, x / SCALE);
        let dark = match lines[row / 2][column] {
            '█' => true,
            '▀' => row % 2 == 0,
            '▄' => row % 2 == 1,
            _ => false,
        };
        if dark { 0 } else { u8::MAX }
    })
}
