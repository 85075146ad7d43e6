//! Where a picture is another one than before, and not only in another light.
//!
//! The picture is looked at in windows that overlap by half. In each, the
//! present picture is explained as well as it can be by a brighter or darker,
//! flatter or harder one of what was there, `a·before + b`, with as much of a slope
//! as light has. What is left over is change. A lamp, a cloud and the camera's
//! exposure are such an `a` and `b`, each in its place; a person is not.
//!
//! A window is held against two that were there: the background, which is
//! learned slowly, and the picture of a moment ago. Change against both is
//! something that moves; a lamp's new shadow, or what somebody has left behind,
//! changes against the background alone, and the place that they left against
//! the moment alone.
//!
//! How much is left over when nothing moves is learned for each window: the
//! sensor's noise, leaves in the wind, rain.

use std::collections::VecDeque;

use super::luma::{CELL, Luma, UNIT};

/// Pictures that are learned of before anything is said: 3 s.
const LEARN: u32 = 15;
/// How many pictures ago "a moment ago" is.
const MOMENT: usize = 3;
/// What is left over counts as change from so many times the usual on, at most.
const UNUSUAL: f32 = 4.0;
/// And at least: noise alone, which is always much the same, does not reach it.
const NOISE: f32 = 2.0;
/// Between them it counts from so many times what the window has had lately on.
const ABOVE: f32 = 1.5;
/// What is fainter, in luma², counts from [`UNUSUAL`] times the usual on alone.
const FAINT: f32 = 16.0;
/// Which is forgotten by this share a picture: in 20 s.
const FORGET: f32 = 1.0 / 100.0;
/// And from here on: the least noise that is taken for possible, in luma².
const LEAST: f32 = 0.6;
/// The background follows what is still, and what changes, by this share a
/// picture: in 4 s, and in 50 s.
const FOLLOW: (f32, f32) = (1.0 / 20.0, 1.0 / 250.0);
/// What is usual rises by this share of the difference a picture, where there is
/// no change and where there is; and falls by that.
const RISE: (f32, f32) = (1.0 / 50.0, 1.0 / 250.0);
const FALL: f32 = 1.0 / 200.0;
/// Light falls off by such a share of itself a pixel at most.
const STEEPEST: f32 = 0.015;
/// The middle of luma; sums are taken from there, so that squares stay small.
const MIDDLE: f32 = 128.0;
/// Change in a greater share of the picture is none of something that moves: the
/// camera was turned, or sees by another light.
const MOST: f32 = 0.5;

/// Windows where something moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mask {
    pub width: usize,
    pub height: usize,
    /// Line by line.
    pub windows: Vec<bool>,
}

/// Windows across and down a picture of this size.
pub(super) fn windows((width, height): (usize, usize)) -> (usize, usize) {
    let windows = |cells: usize| (cells / CELL).saturating_sub(1);
    (windows(width), windows(height))
}

/// What is usual in a window, in luma².
#[derive(Debug, Clone, Copy)]
struct Usual {
    background: LeftOver,
    moment: LeftOver,
}

/// What is left over while nothing moves.
#[derive(Debug, Clone, Copy)]
struct LeftOver {
    usual: f32,
    /// The most lately, as a share of what was usual.
    most: f32,
}

impl LeftOver {
    fn new(found: f32) -> Self {
        Self {
            usual: found,
            most: 1.0,
        }
    }

    /// What counts as change; `a` is how much harder the light is.
    fn limit(self, a: f32) -> f32 {
        let usual = self.usual.max(LEAST);
        let above = (ABOVE * self.most).clamp(NOISE, UNUSUAL);
        // Light that is amplified has more noise.
        (above * usual).max(FAINT).min(UNUSUAL * usual) * (a * a).max(1.0)
    }

    fn learn(&mut self, found: f32, changes: bool, learning: bool) {
        let usual = self.usual.max(LEAST);
        if !changes {
            let most = self.most + FORGET * (1.0 - self.most);
            self.most = most.max(found / usual).min(UNUSUAL);
        }
        // One that is far out says little.
        let found = found.min(UNUSUAL * usual);
        let share = match (found > self.usual, changes) {
            _ if learning => 4.0 * RISE.0,
            (false, _) => FALL,
            (true, false) => RISE.0,
            (true, true) => RISE.1,
        };
        self.usual += share * (found - self.usual);
    }
}

/// Sums over a cell or a window.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    now: Moments,
    then: [Moments; 2],
    now_then: [f32; 2],
}

/// Of a picture: of its luma, of the squares, and of the products with the
/// places across and down, from the middle.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    sum: f32,
    squares: f32,
    across: f32,
    down: f32,
}

impl Moments {
    fn take(&mut self, luma: f32, x: f32, y: f32) {
        self.sum += luma;
        self.squares += luma * luma;
        self.across += luma * x;
        self.down += luma * y;
    }

    /// Adds those of a cell whose middle is at `x`, `y`.
    fn add(&mut self, cell: &Self, x: f32, y: f32) {
        self.sum += cell.sum;
        self.squares += cell.squares;
        self.across += cell.across + x * cell.sum;
        self.down += cell.down + y * cell.sum;
    }

    fn variance(&self) -> f32 {
        let mean = self.sum / COUNT;
        (self.squares / COUNT - mean * mean).max(0.0)
    }
}

/// Pixels of a window.
const COUNT: f32 = (4 * CELL * CELL) as f32;
/// The variance of places in a window, across and down.
const SPREAD: f32 = ((4 * CELL * CELL - 1) as f32) / 12.0;

impl Sums {
    fn add(&mut self, cell: &Self, x: f32, y: f32) {
        self.now.add(&cell.now, x, y);
        for i in 0..2 {
            self.then[i].add(&cell.then[i], x, y);
            self.now_then[i] += cell.now_then[i];
        }
    }

    /// What `then` does not explain, as a variance, and how much harder than
    /// `then` the picture is (`a`).
    fn left_over(&self, i: usize) -> (f32, f32) {
        let (now, then) = (&self.now, &self.then[i]);
        let both = self.now_then[i] / COUNT - now.sum * then.sum / (COUNT * COUNT);
        // A negative is no light.
        let a = (both / (then.variance() + LEAST)).max(0.0);
        let left = now.variance() - a * (2.0 * both - a * then.variance());
        // Light that falls off is steeper on what is bright.
        let steepest = STEEPEST * (now.sum / COUNT + MIDDLE).max(0.0);
        let explained = |now: f32, then: f32| {
            let product = (now - a * then) / COUNT;
            let slope = (product / SPREAD).clamp(-steepest, steepest);
            slope * (2.0 * product - slope * SPREAD)
        };
        let slopes = explained(now.across, then.across) + explained(now.down, then.down);
        ((left - slopes).max(0.0), a)
    }
}

/// Learns a scene and says where it changes.
#[derive(Debug)]
pub(super) struct Change {
    size: (usize, usize),
    /// In luma from the middle, so that squares stay small.
    background: Vec<f32>,
    /// The pictures of the moment, the oldest first.
    before: VecDeque<Vec<f32>>,
    usual: Vec<Usual>,
    learned: u32,
    cells: Vec<Sums>,
}

impl Change {
    pub(super) fn new(size: (usize, usize)) -> Self {
        Self {
            size,
            background: Vec::new(),
            before: VecDeque::new(),
            usual: Vec::new(),
            learned: 0,
            cells: Vec::new(),
        }
    }

    /// Bytes that it has taken.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        let pixels = self.before.iter().map(Vec::capacity).sum::<usize>();
        (pixels + self.background.capacity()) * size_of::<f32>()
            + self.before.capacity() * size_of::<Vec<f32>>()
            + self.usual.capacity() * size_of::<Usual>()
            + self.cells.capacity() * size_of::<Sums>()
    }

    /// Takes the next picture; `None` while the scene is learned, or where it
    /// is another one.
    pub(super) fn look(&mut self, picture: &Luma) -> Option<Mask> {
        if picture.size() != self.size {
            *self = Self::new(picture.size());
        }
        let scale = 1.0 / f32::from(UNIT);
        let now: Vec<f32> = picture
            .pixels()
            .iter()
            .map(|p| f32::from(*p) * scale - MIDDLE)
            .collect();
        if self.before.len() < MOMENT {
            self.background.clone_from(&now);
            self.before.push_back(now);
            return None;
        }
        self.sum(&now);
        let seen = self.judge();
        let changed = seen.windows.iter().filter(|w| **w).count();
        let is_other = changed as f32 > MOST * seen.windows.len() as f32;
        if self.learned < LEARN {
            self.learned += 1;
            let share = 1.0 / self.learned as f32;
            follow(&mut self.background, &now, |_| share.max(FOLLOW.0));
        } else if is_other {
            // It is learned anew, from here on.
            self.background.clone_from(&now);
            self.usual.clear();
            self.learned = 0;
        } else {
            let width = self.size.0;
            let in_mask = |i: usize| seen.covers(i % width / CELL, i / width / CELL);
            follow(&mut self.background, &now, |i| match in_mask(i) {
                true => FOLLOW.1,
                false => FOLLOW.0,
            });
        }
        self.before.pop_front();
        self.before.push_back(now);
        (self.learned >= LEARN && !is_other).then_some(seen)
    }

    /// Fills the cells' sums.
    fn sum(&mut self, now: &[f32]) {
        let (width, height) = self.size;
        let moment = &self.before[0];
        self.cells.clear();
        self.cells
            .resize(width / CELL * (height / CELL), Sums::default());
        for y in 0..height {
            let line = y * width..(y + 1) * width;
            let cells = &mut self.cells[y / CELL * (width / CELL)..][..width / CELL];
            let (now, background) = (&now[line.clone()], &self.background[line.clone()]);
            let moment = &moment[line];
            for (x, cell) in cells.iter_mut().enumerate() {
                let down = from_middle(y % CELL);
                for i in 0..CELL {
                    let (x, across) = (x * CELL + i, from_middle(i));
                    let (n, then) = (now[x], [background[x], moment[x]]);
                    cell.now.take(n, across, down);
                    for (i, t) in then.into_iter().enumerate() {
                        cell.then[i].take(t, across, down);
                        cell.now_then[i] += n * t;
                    }
                }
            }
        }
    }

    /// Which windows change, by what is usual in each, which is learned of it.
    fn judge(&mut self) -> Mask {
        let (width, height) = windows(self.size);
        let row = self.size.0 / CELL;
        let mut seen = Vec::with_capacity(width * height);
        let is_first = self.usual.is_empty();
        for y in 0..height {
            for x in 0..width {
                let at = y * row + x;
                let mut sums = Sums::default();
                const HALF: f32 = CELL as f32 / 2.0;
                sums.add(&self.cells[at], -HALF, -HALF);
                sums.add(&self.cells[at + 1], HALF, -HALF);
                sums.add(&self.cells[at + row], -HALF, HALF);
                sums.add(&self.cells[at + row + 1], HALF, HALF);
                let (background, a) = sums.left_over(0);
                let (moment, b) = sums.left_over(1);
                if is_first {
                    self.usual.push(Usual {
                        background: LeftOver::new(background),
                        moment: LeftOver::new(moment),
                    });
                }
                let usual = &mut self.usual[y * width + x];
                let changes = background > usual.background.limit(a)
                    && moment > usual.moment.limit(b)
                    && self.learned >= LEARN;
                let learning = self.learned < LEARN;
                usual.background.learn(background, changes, learning);
                usual.moment.learn(moment, changes, learning);
                seen.push(changes);
            }
        }
        Mask {
            width,
            height,
            windows: seen,
        }
    }
}

impl Mask {
    /// True where one of the windows that this cell is in changes.
    fn covers(&self, x: usize, y: usize) -> bool {
        let columns = x.saturating_sub(1)..=x.min(self.width - 1);
        let mut rows = y.saturating_sub(1)..=y.min(self.height - 1);
        rows.any(|y| columns.clone().any(|x| self.windows[y * self.width + x]))
    }
}

/// Of a pixel of a cell.
fn from_middle(n: usize) -> f32 {
    n as f32 - (CELL - 1) as f32 / 2.0
}

/// Moves what was learned towards what is, by a share for each pixel.
fn follow(learned: &mut [f32], now: &[f32], share: impl Fn(usize) -> f32) {
    for (i, (learned, now)) in learned.iter_mut().zip(now).enumerate() {
        *learned += share(i) * (now - *learned);
    }
}
