//! A yard from midnight to midnight: dawn and dusk, a lamp, wind, clouds, rain, a camera
//! that sets its exposure, and people. All of it follows from a number.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "other scenes, of other programs, have other actors"
)]
#[path = "../../../../../tests/support/scenes/actors.rs"]
mod actors;

use crate::motion::{Luma, UNIT};
use actors::{Lamp, Random, Tree, Walker, backdrop, lamp, ramp, texture, tree, walker};

pub(super) const SIZE: (usize, usize) = (160, 92);
/// Seconds in which a lamp is switched on and off.
pub(super) const LENGTH: f32 = 60.0;
/// And those before it.
pub(super) const QUIET: f32 = 8.0;
/// Between two people, so that each is an event of their own.
const APART: f32 = 14.0;

/// A day of any length, whose hours are as many as another's.
pub(super) struct Day {
    random: Random,
    still: Vec<f32>,
    walkers: Vec<Walk>,
    tree: Tree,
    lamps: Vec<(f64, Lamp)>,
    clouds: u64,
    length: f32,
}

/// Who walks, and when, in seconds since midnight: their own time begins with them.
struct Walk {
    at: f64,
    walker: Walker,
}

impl Day {
    /// Of so many seconds, in which so many people walk.
    pub(super) fn new(length: f32, people: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let still = backdrop(&mut random);
        let mut walkers = Vec::new();
        // The scene is learned first.
        let share = (f64::from(length) - 2.0 * f64::from(QUIET)) / people as f64;
        let mut free = f64::from(QUIET);
        for number in 0..people {
            let walker = walker(&mut random, 0.0, &still);
            let room = (share as f32 - walker.to - APART).max(0.0);
            let late = f64::from(random.between(0.0, room));
            let at = (f64::from(QUIET) + number as f64 * share + late).max(free);
            free = at + f64::from(walker.to + APART);
            walkers.push(Walk { at, walker });
        }
        walkers.retain(|walk| walk.at + f64::from(walk.walker.to + APART) < f64::from(length));
        // From ten in the evening on, and until five in the morning.
        let lamps = [0.5, 2.0, 4.0, 22.0, 23.0];
        let lamps = lamps.map(|hour: f32| (f64::from(hour * length / 24.0), lamp(&mut random)));
        Self {
            still,
            walkers,
            tree: tree(&mut random),
            lamps: lamps.into(),
            clouds: random.next(),
            length,
            random,
        }
    }

    /// When something moves, in seconds.
    pub(super) fn moves(&self) -> Vec<(f64, f64)> {
        let walks = self.walkers.iter();
        walks
            .map(|walk| (walk.at, walk.at + f64::from(walk.walker.to)))
            .collect()
    }

    /// What is seen at this second.
    pub(super) fn picture(&mut self, second: f64) -> Luma {
        let hour = (second * 24.0) as f32 / self.length;
        let mut picture = self.still.clone();
        // Wind, from nine to noon; a tree that is quite still is a picture of one.
        let windy = (9.0..12.0).contains(&hour);
        let wind = if windy { second % 3600.0 } else { 0.0 };
        self.tree.paint(wind as f32, &mut picture);
        for walk in &self.walkers {
            let own = second - walk.at;
            if (0.0..f64::from(walk.walker.to)).contains(&own) {
                walk.walker.paint(own as f32, &mut picture);
            }
        }
        for (from, lamp) in &self.lamps {
            // It stays as it is for a quarter of an hour of those that hurry.
            let own = second - from;
            if (0.0..f64::from(LENGTH)).contains(&own) {
                lamp.shine(own as f32, &mut picture);
            }
        }
        if (12.0..13.0).contains(&hour) {
            self.cloud(second as f32, &mut picture);
        }
        let rain = ramp(hour, 14.0, 14.5) - ramp(hour, 15.5, 16.0);
        for _ in 0..(40.0 * rain) as usize {
            self.drop(&mut picture);
        }
        self.film(hour, &picture)
    }

    fn cloud(&self, second: f32, picture: &mut [f32]) {
        for (i, pixel) in picture.iter_mut().enumerate() {
            let (x, y) = ((i % SIZE.0) as f32, (i / SIZE.0) as f32);
            let cloud = texture(
                (x - 6.0 * (second % 9_000.0)) / 60.0 + 99.0,
                y / 60.0,
                self.clouds,
            );
            *pixel *= 1.0 - 0.45 * ramp(cloud, 0.35, 0.75);
        }
    }

    fn drop(&mut self, picture: &mut [f32]) {
        let random = &mut self.random;
        let (x, y) = (random.between(0.0, 160.0), random.between(-5.0, 92.0));
        let long = random.between(4.0, 12.0);
        let bright = 14.0 * random.between(0.3, 0.9);
        for i in 0..long as usize {
            let (row, column) = (y + i as f32, x - 0.05 * i as f32);
            if (0.0..SIZE.1 as f32).contains(&row) && (0.0..SIZE.0 as f32).contains(&column) {
                picture[row as usize * SIZE.0 + column as usize] += bright;
            }
        }
    }

    /// By the sun, with the camera's gain and its noise.
    fn film(&mut self, hour: f32, picture: &[f32]) -> Luma {
        // From five to seven it becomes light, from seven to nine in the evening dark.
        let sun = ramp(hour, 5.0, 7.0) - ramp(hour, 19.0, 21.0);
        // The camera opens up at night, in one step each time.
        let opens = if (6.0..20.0).contains(&hour) {
            1.0
        } else {
            1.4
        };
        let (gain, noise) = ((0.25 + 0.75 * sun) * opens, 4.0 - 3.0 * sun);
        let random = &mut self.random;
        let pixel = |luma: &f32| {
            let lit = (luma * gain).clamp(0.0, 255.0);
            let noise = noise * (0.7 + 0.3 * (lit / 128.0)) * random.noise();
            ((lit + noise).clamp(0.0, 255.0) * f32::from(UNIT)).round() as u16
        };
        let pixels = picture.iter().map(pixel).collect();
        Luma::new(SIZE, pixels).expect("a picture of this size")
    }
}
