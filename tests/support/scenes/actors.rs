//! What is in a generated scene: people, trees, lamps, and what is behind them.

use std::f32::consts::TAU;

use super::{LENGTH, QUIET, SIZE};

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn is(&mut self, chance: f32) -> bool {
        self.between(0.0, 1.0) < chance
    }

    /// Normal, of a deviation of 1 (the sum of four, nearly).
    pub fn noise(&mut self) -> f32 {
        let bits = self.next();
        let part = |i: u32| ((bits >> (16 * i)) & 0xffff) as f32 / 65_536.0;
        (part(0) + part(1) + part(2) + part(3) - 2.0) * 1.732
    }
}

/// Smooth noise of a place, 0 to 1.
pub fn texture(x: f32, y: f32, seed: u64) -> f32 {
    let corner = |x: f32, y: f32| {
        let mut random = Random::new(seed ^ (x as i64 as u64) << 20 ^ (y as i64 as u64) << 42);
        random.between(0.0, 1.0)
    };
    let (left, top) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - left), smooth(y - top));
    let upper = corner(left, top) * (1.0 - u) + corner(left + 1.0, top) * u;
    let lower = corner(left, top + 1.0) * (1.0 - u) + corner(left + 1.0, top + 1.0) * u;
    upper * (1.0 - v) + lower * v
}

/// From 0 before `from` to 1 after `to`.
pub fn ramp(x: f32, from: f32, to: f32) -> f32 {
    ((x - from) / (to - from).max(1e-6)).clamp(0.0, 1.0)
}

/// How much of a pixel is within a distance of an edge: 1 inside, 0 outside.
pub fn covered(distance: f32) -> f32 {
    (0.5 - distance).clamp(0.0, 1.0)
}

/// Somebody.
pub struct Walker {
    pub from: f32,
    pub to: f32,
    /// Feet, in pixels, at both times.
    feet: [(f32, f32); 2],
    /// In pixels, at both times.
    heights: [f32; 2],
    coat: f32,
    trousers: f32,
    stride: f32,
}

impl Walker {
    pub fn paint(&self, time: f32, picture: &mut [f32]) {
        if !(self.from..self.to).contains(&time) {
            return;
        }
        let part = (time - self.from) / (self.to - self.from);
        let along = |a: f32, b: f32| a + (b - a) * part;
        let (x, y) = (
            along(self.feet[0].0, self.feet[1].0),
            along(self.feet[0].1, self.feet[1].1),
        );
        let height = along(self.heights[0], self.heights[1]);
        let swing = (time * self.stride * TAU).sin() * 0.12 * height;
        for (row, line) in picture.chunks_exact_mut(SIZE.0).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let (dx, dy) = (column as f32 - x, y - row as f32);
                let up = dy / height;
                if !(-0.05..1.05).contains(&up) || dx.abs() > 0.4 * height {
                    continue;
                }
                let (cover, luma) = if up < 0.45 {
                    // Legs.
                    let spread = swing * (0.45 - up) / 0.45;
                    let leg = |side: f32| covered((dx - side * spread).abs() - 0.06 * height);
                    (leg(1.0).max(leg(-1.0)), self.trousers)
                } else if up < 0.84 {
                    (covered(dx.abs() - 0.14 * height), self.coat)
                } else {
                    let away = dx.hypot((up - 0.92) * height);
                    (covered(away - 0.08 * height), 150.0)
                };
                *pixel += cover * (luma - *pixel);
            }
        }
    }
}

/// A tree.
pub struct Tree {
    middle: (f32, f32),
    radius: (f32, f32),
    sway: f32,
    gust: f32,
    seed: u64,
}

impl Tree {
    pub fn paint(&self, time: f32, picture: &mut [f32]) {
        // Gusts come and go; between them the leaves are never quite still.
        let wind = 0.25 + 0.75 * (time * TAU / self.gust).sin().max(0.0).powi(2);
        let sway = self.sway * wind * ramp(time, -2.0, 0.0);
        for (row, line) in picture.chunks_exact_mut(SIZE.0).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let (x, y) = (column as f32, row as f32);
                let (dx, dy) = (
                    (x - self.middle.0) / self.radius.0,
                    (y - self.middle.1) / self.radius.1,
                );
                let out = dx.hypot(dy);
                if out > 1.3 {
                    continue;
                }
                let phase = 0.23 * x + 0.17 * y;
                let (u, v) = (
                    x + sway * ((time * 1.3 * TAU + phase).sin() + 0.6 * (time * 0.7 * TAU).sin()),
                    y + 0.6 * sway * (time * 1.9 * TAU + 1.3 * phase).sin(),
                );
                let leaf = texture(u / 2.2, v / 2.2, self.seed);
                let edge = 0.85 + 0.3 * texture(u / 4.0, v / 4.0, self.seed + 1);
                let cover = ramp(edge - out, 0.0, 0.12);
                *pixel += cover * (30.0 + 110.0 * leaf - *pixel);
            }
        }
    }
}

/// A lamp: its light, and the shadow that it throws.
pub struct Lamp {
    middle: (f32, f32),
    reach: f32,
    strength: f32,
    bulb: f32,
    shadow: (f32, f32),
    /// When it is switched.
    switched: Vec<f32>,
    /// Seconds until it shines.
    slow: f32,
}

impl Lamp {
    /// From 0 to 1.
    fn light(&self, time: f32) -> f32 {
        let times = self.switched.iter().take_while(|at| **at <= time).count();
        let Some(last) = times.checked_sub(1) else {
            return 0.0;
        };
        let done = ramp(time, self.switched[last], self.switched[last] + self.slow);
        if times % 2 == 1 { done } else { 1.0 - done }
    }

    pub fn shine(&self, time: f32, picture: &mut [f32]) {
        let light = self.light(time);
        for (row, line) in picture.chunks_exact_mut(SIZE.0).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let (x, y) = (column as f32, row as f32);
                let away = (x - self.middle.0).hypot(y - self.middle.1);
                let is_dark =
                    (self.shadow.0..self.shadow.1).contains(&x) && y > self.middle.1 + 8.0;
                let dark = if is_dark { 0.35 } else { 1.0 };
                let glow = (-(away / self.reach).powi(2)).exp() * dark;
                *pixel *= 1.0 + light * self.strength * glow;
                *pixel += light * covered(away - self.bulb) * 200.0;
            }
        }
    }
}

/// A wall or a yard, with things on it.
pub fn backdrop(random: &mut Random) -> Vec<f32> {
    let (seed, sky) = (random.next(), random.between(90.0, 190.0));
    let (ground, rough) = (random.between(60.0, 140.0), random.between(5.0, 35.0));
    let horizon = random.between(20.0, 55.0);
    let mut picture: Vec<f32> = (0..SIZE.0 * SIZE.1)
        .map(|i| {
            let (x, y) = ((i % SIZE.0) as f32, (i / SIZE.0) as f32);
            let fine = texture(x / 2.5, y / 2.5, seed) - 0.5;
            let coarse = texture(x / 17.0, y / 17.0, seed + 7) - 0.5;
            match y < horizon {
                true => sky + 0.3 * rough * fine + 20.0 * coarse,
                false => ground + rough * fine + 30.0 * coarse,
            }
        })
        .collect();
    for _ in 0..random.between(3.0, 12.0) as usize {
        let (left, top) = (random.between(0.0, 150.0), random.between(0.0, 80.0));
        let (width, height) = (random.between(4.0, 40.0), random.between(4.0, 40.0));
        let luma = random.between(20.0, 230.0);
        for (i, pixel) in picture.iter_mut().enumerate() {
            let (x, y) = ((i % SIZE.0) as f32, (i / SIZE.0) as f32);
            if (left..left + width).contains(&x) && (top..top + height).contains(&y) {
                *pixel = luma + 0.2 * (*pixel - luma);
            }
        }
    }
    picture
}

/// Somebody who crosses the picture, far or near.
pub fn walker(random: &mut Random, at: f32, still: &[f32]) -> Walker {
    let height = random.between(12.0, 60.0);
    let feet = (30.0 + height + random.between(-10.0, 10.0)).clamp(height, 92.0);
    // Of a person 1.7 m high who walks 0.9 to 1.8 m a second.
    let speed = height / 1.7 * random.between(0.9, 1.8);
    let half = 0.3 * height;
    let (from, to) = match random.is(0.5) {
        true => (-half, 160.0 + half),
        false => (160.0 + half, -half),
    };
    // Somebody far away does not cross all of it in the time.
    let way = (to - from).abs().min(12.0 * speed);
    let to = from + way * (to - from).signum();
    let (coat, trousers) = clothes(random, still, (0.0, SIZE.0 as f32), feet - 0.5 * height);
    Walker {
        from: at,
        to: at + way / speed,
        feet: [
            (from, feet),
            (to, (feet + random.between(-5.0, 5.0)).min(95.0)),
        ],
        heights: [height, height * random.between(0.85, 1.15)],
        coat,
        trousers,
        stride: random.between(0.7, 1.1),
    }
}

/// The luma of a coat and of trousers. What cannot be seen is not to be found: they
/// are not the ground's.
pub fn clothes(
    random: &mut Random,
    still: &[f32],
    (left, right): (f32, f32),
    y: f32,
) -> (f32, f32) {
    let row = y.clamp(0.0, 91.0) as usize;
    let line = &still[row * SIZE.0 + left as usize..row * SIZE.0 + right as usize];
    let mean = line.iter().sum::<f32>() / line.len() as f32;
    let mut luma = |away: f32| {
        let luma = mean + random.between(away, 90.0) * if random.is(0.5) { 1.0 } else { -1.0 };
        luma.clamp(15.0, 235.0)
    };
    (luma(40.0), luma(30.0))
}

/// Somebody who comes up to the camera.
pub fn visitor(random: &mut Random, at: f32, still: &[f32]) -> Walker {
    let (x, y) = (random.between(50.0, 110.0), random.between(40.0, 60.0));
    let (coat, trousers) = clothes(random, still, (x - 12.0, x + 12.0), y);
    Walker {
        from: at,
        to: at + random.between(4.0, 8.0),
        feet: [(x, y), (x + random.between(-15.0, 15.0), 100.0)],
        heights: [random.between(10.0, 18.0), random.between(70.0, 110.0)],
        coat,
        trousers,
        stride: 1.0,
    }
}

pub fn tree(random: &mut Random) -> Tree {
    Tree {
        middle: (random.between(0.0, 160.0), random.between(5.0, 60.0)),
        radius: (random.between(12.0, 40.0), random.between(12.0, 35.0)),
        sway: random.between(0.4, 2.2),
        gust: random.between(6.0, 20.0),
        seed: random.next(),
    }
}

pub fn lamp(random: &mut Random) -> Lamp {
    let left = random.between(0.0, 130.0);
    let mut switched = Vec::new();
    let mut at = QUIET + random.between(0.0, 6.0);
    while at < LENGTH {
        switched.push(at);
        at += random.between(4.0, 15.0);
    }
    Lamp {
        middle: (random.between(10.0, 150.0), random.between(5.0, 40.0)),
        reach: random.between(25.0, 120.0),
        strength: random.between(0.5, 2.5),
        bulb: random.between(0.0, 3.0),
        shadow: (left, left + random.between(5.0, 40.0)),
        switched,
        slow: if random.is(0.5) {
            0.05
        } else {
            random.between(0.2, 1.5)
        },
    }
}
