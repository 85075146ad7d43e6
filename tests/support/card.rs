//! A test card whose every value is known: above, grey in steps from black to
//! white, below, colours.

#![allow(dead_code, reason = "each test binary uses its part of it")]

/// Steps of grey.
pub const STEPS: u32 = 32;

/// The colours, from left to right: red, green and blue.
pub const COLOURS: [[f64; 3]; 8] = [
    [200.0, 40.0, 40.0],
    [40.0, 200.0, 40.0],
    [40.0, 40.0, 200.0],
    [200.0, 200.0, 40.0],
    [40.0, 200.0, 200.0],
    [200.0, 40.0, 200.0],
    [200.0, 200.0, 200.0],
    [220.0, 160.0, 120.0],
];

/// What a step is in red, green and blue.
pub fn grey(step: u32) -> f64 {
    (f64::from(step) * 255.0 / f64::from(STEPS - 1)).round()
}

/// The card in luma and colour differences of ITU-R BT.601.
pub struct Card {
    width: u32,
    height: u32,
    full: bool,
}

/// One of this size; `full` is of 0 to 255, as JPEG has it.
pub fn card(width: u32, height: u32, full: bool) -> Card {
    Card {
        width,
        height,
        full,
    }
}

impl Card {
    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let [r, g, b] = if y < self.height / 2 {
            [grey(x * STEPS / self.width); 3]
        } else {
            COLOURS[(x * COLOURS.len() as u32 / self.width) as usize]
        };
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let (u, v) = ((b - luma) / 1.772, (r - luma) / 1.402);
        if self.full {
            [
                luma.round() as u8,
                (u + 128.0).round() as u8,
                (v + 128.0).round() as u8,
            ]
        } else {
            let colour = |value: f64| (value * 224.0 / 255.0 + 128.0).round() as u8;
            let luma = (luma * 219.0 / 255.0 + 16.0).round() as u8;
            [luma, colour(u), colour(v)]
        }
    }

    /// As I420.
    pub fn planar(&self) -> Vec<u8> {
        let plane = |component: usize, divide: u32| {
            let rows = (0..self.height / divide).map(move |y| y * divide);
            rows.flat_map(move |y| {
                (0..self.width / divide).map(move |x| self.at(x * divide, y)[component])
            })
        };
        plane(0, 1).chain(plane(1, 2)).chain(plane(2, 2)).collect()
    }

    /// As YUYV.
    pub fn packed(&self) -> Vec<u8> {
        let pairs = (0..self.height).flat_map(|y| (0..self.width / 2).map(move |x| (2 * x, y)));
        pairs
            .flat_map(|(x, y)| {
                let [luma, u, v] = self.at(x, y);
                [luma, u, self.at(x + 1, y)[0], v]
            })
            .collect()
    }
}
