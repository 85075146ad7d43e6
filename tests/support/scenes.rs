//! Generated scenes, each with the times at which something moves in it: what a
//! detector of motion is judged by. All of a scene follows from its number.
//!
//! Pictures are drawn at the size that the detector looks at, light and exposure
//! are laid over them, then noise.

#[path = "scenes/actors.rs"]
mod actors;

pub use actors::Random;
use actors::{Lamp, Tree, Walker, backdrop, lamp, ramp, texture, tree, visitor, walker};
use camera_agent::motion::{Luma, RATE, UNIT};

pub const SIZE: (usize, usize) = (160, 92);
/// Seconds of a scene.
pub const LENGTH: f32 = 60.0;
/// The scene is shown for so long before anything happens, in seconds.
const QUIET: f32 = 8.0;

/// What happens in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// People who walk through it, far and near.
    Walker,
    /// People who come up to the camera.
    Approach,
    /// Trees in gusts.
    Leaves,
    /// The same, and somebody walks.
    LeavesAndWalker,
    /// Lamps that are switched.
    Lamp,
    /// Rain.
    Rain,
    /// The same, and somebody walks.
    RainAndWalker,
    /// The camera's exposure changes in steps, and clouds go by.
    Exposure,
    /// The same, and somebody walks.
    ExposureAndWalker,
    /// A dark scene and its noise.
    Night,
    /// The same, and somebody walks.
    NightAndWalker,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Walker,
        Self::Approach,
        Self::Leaves,
        Self::LeavesAndWalker,
        Self::Lamp,
        Self::Rain,
        Self::RainAndWalker,
        Self::Exposure,
        Self::ExposureAndWalker,
        Self::Night,
        Self::NightAndWalker,
    ];

    fn has_walkers(self) -> bool {
        use Kind::{ExposureAndWalker, LeavesAndWalker, NightAndWalker, RainAndWalker, Walker};
        matches!(
            self,
            Walker | LeavesAndWalker | RainAndWalker | ExposureAndWalker | NightAndWalker
        )
    }
}

/// A scene to be watched.
pub struct Scene {
    random: Random,
    still: Vec<f32>,
    walkers: Vec<Walker>,
    trees: Vec<Tree>,
    lamps: Vec<Lamp>,
    /// Streaks a picture, and how bright.
    rain: (f32, f32),
    rain_from: f32,
    /// When the gain changes, and to what.
    gains: Vec<(f32, f32)>,
    clouds: Option<(f32, u64)>,
    /// Of all light.
    dim: f32,
    noise: f32,
}

impl Scene {
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut random = Random::new(seed * 64 + kind as u64);
        let is_night = matches!(kind, Kind::Night | Kind::NightAndWalker);
        let still = backdrop(&mut random);
        let mut this = Self {
            still,
            walkers: Vec::new(),
            trees: Vec::new(),
            lamps: Vec::new(),
            rain: (0.0, 0.0),
            rain_from: 0.0,
            gains: vec![(0.0, 1.0)],
            clouds: None,
            dim: if is_night {
                random.between(0.2, 0.4)
            } else {
                1.0
            },
            noise: if is_night {
                random.between(2.5, 6.0)
            } else {
                random.between(0.5, 1.5)
            },
            random: random.clone(),
        };
        match kind {
            Kind::Leaves | Kind::LeavesAndWalker => {
                for _ in 0..1 + (random.is(0.5) as usize) {
                    this.trees.push(tree(&mut random));
                }
            }
            Kind::Lamp => {
                this.dim = random.between(0.3, 0.8);
                for _ in 0..1 + (random.is(0.5) as usize) {
                    this.lamps.push(lamp(&mut random));
                }
            }
            Kind::Rain | Kind::RainAndWalker => {
                this.rain = (random.between(10.0, 80.0), random.between(8.0, 25.0));
                this.rain_from = random.between(-10.0, 20.0);
            }
            Kind::Exposure | Kind::ExposureAndWalker => {
                let mut at = QUIET;
                while at < LENGTH {
                    this.gains.push((at, random.between(0.55, 1.7)));
                    at += random.between(3.0, 12.0);
                }
                this.clouds = random
                    .is(0.5)
                    .then(|| (random.between(3.0, 12.0), random.next()));
            }
            Kind::Walker | Kind::Approach | Kind::Night | Kind::NightAndWalker => {}
        }
        if kind.has_walkers() {
            let mut at = QUIET + random.between(0.0, 6.0);
            while at + 14.0 < LENGTH {
                let walker = walker(&mut random, at, &this.still);
                at = walker.to + random.between(11.0, 16.0);
                this.walkers.push(walker);
            }
        }
        if kind == Kind::Approach {
            for at in [QUIET + 2.0, QUIET + 28.0] {
                let visitor = visitor(&mut random, at, &this.still);
                this.walkers.push(visitor);
            }
        }
        this
    }

    /// When something moves, in seconds.
    pub fn moves(&self) -> Vec<(f32, f32)> {
        self.walkers.iter().map(|w| (w.from, w.to)).collect()
    }

    /// All pictures, in order, with their times in seconds.
    pub fn pictures(mut self) -> impl Iterator<Item = (f32, Luma)> {
        let count = (LENGTH * RATE as f32) as usize;
        (0..count).map(move |i| {
            let time = i as f32 / RATE as f32;
            (time, self.picture(time))
        })
    }

    fn picture(&mut self, time: f32) -> Luma {
        let mut picture = self.still.clone();
        for tree in &self.trees {
            tree.paint(time, &mut picture);
        }
        for walker in &self.walkers {
            walker.paint(time, &mut picture);
        }
        for lamp in &self.lamps {
            lamp.shine(time, &mut picture);
        }
        if let Some((speed, seed)) = self.clouds {
            for (i, pixel) in picture.iter_mut().enumerate() {
                let (x, y) = ((i % SIZE.0) as f32, (i / SIZE.0) as f32);
                let cloud = texture((x - speed * time) / 60.0 + 99.0, y / 60.0, seed);
                *pixel *= 1.0 - 0.45 * ramp(cloud, 0.35, 0.75);
            }
        }
        let drops = self.rain.0 * ramp(time, self.rain_from, self.rain_from + 8.0);
        for _ in 0..drops as usize {
            self.drop(&mut picture);
        }
        let gain = self.gain(time) * self.dim;
        let pixels = picture.into_iter().map(|luma| {
            let lit = (luma * gain).clamp(0.0, 255.0);
            // Light comes in grains: brighter is noisier.
            let noise = self.noise * (0.7 + 0.3 * (lit / 128.0)) * self.random.noise();
            ((lit + noise).clamp(0.0, 255.0) * f32::from(UNIT)).round() as u16
        });
        let pixels = pixels.collect();
        Luma::new(SIZE, pixels).expect("a picture of this size")
    }

    /// The gain, which the camera takes half a second to change.
    fn gain(&self, time: f32) -> f32 {
        self.gains.windows(2).fold(self.gains[0].1, |gain, pair| {
            let (at, to) = pair[1];
            gain + (to - gain) * ramp(time, at, at + 0.5)
        })
    }

    fn drop(&mut self, picture: &mut [f32]) {
        let random = &mut self.random;
        let (x, y) = (random.between(0.0, 160.0), random.between(-5.0, 92.0));
        let (long, wide) = (random.between(4.0, 12.0), random.between(0.3, 0.9));
        let (slant, bright) = (
            random.between(-0.15, 0.05),
            self.rain.1 * random.between(0.5, 1.0),
        );
        for i in 0..long as usize {
            let (row, column) = (y + i as f32, x + slant * i as f32);
            if (0.0..SIZE.1 as f32).contains(&row) && (0.0..SIZE.0 as f32).contains(&column) {
                picture[row as usize * SIZE.0 + column as usize] += wide * bright;
            }
        }
    }
}

/// How well events agree with what happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Score {
    /// Events of something that moved.
    pub right: u32,
    /// Events of nothing.
    pub wrong: u32,
    /// Things that moved, and of those the ones that an event was about.
    pub moved: u32,
    pub found: u32,
}

impl Score {
    /// Events begin within a thing's time, or, being late, soon after it.
    pub fn of(events: &[f32], moves: &[(f32, f32)]) -> Self {
        const LATE: f32 = 1.0;
        let is_in = |at: f32, (from, to): (f32, f32)| (from..to + LATE).contains(&at);
        let right = events
            .iter()
            .filter(|at| moves.iter().any(|m| is_in(**at, *m)));
        let found = moves
            .iter()
            .filter(|m| events.iter().any(|at| is_in(*at, **m)));
        let right = right.count() as u32;
        Self {
            right,
            wrong: events.len() as u32 - right,
            moved: moves.len() as u32,
            found: found.count() as u32,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.moved += other.moved;
        self.found += other.found;
    }

    /// Of the events, the share that was about something; 1 where there are none.
    pub fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.wrong).max(1))
            + if self.right + self.wrong == 0 {
                1.0
            } else {
                0.0
            }
    }

    /// Of what moved, the share that was found; 1 where nothing did.
    pub fn recall(&self) -> f64 {
        f64::from(self.found) / f64::from(self.moved.max(1))
            + if self.moved == 0 { 1.0 } else { 0.0 }
    }
}
