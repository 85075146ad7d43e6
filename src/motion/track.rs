//! What moves, followed from picture to picture.
//!
//! A thing that moves goes somewhere: its place is a straight enough line over
//! time, or it grows as it comes nearer. Leaves sway about their place, and
//! drops of rain are each picture's own.

use std::collections::VecDeque;

use super::change::Mask;

/// Fewer windows are noise.
const LEAST_AREA: usize = 3;
/// So many things are followed, the largest.
const MOST: usize = 12;
/// So many pictures a place is remembered: 4 s.
const MEMORY: usize = 20;
/// It has to be seen in so many before it is said to move.
const FEWEST: usize = 6;
/// And may be missing in so many.
const MISSING: u64 = 2;
/// How much of what its place does has to be going somewhere, 0 to 1.
const STRAIGHT: f32 = 0.8;

/// Windows that hang together.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    /// Their indices in the mask.
    pub windows: Vec<usize>,
    x: f32,
    y: f32,
}

impl Blob {
    fn area(&self) -> usize {
        self.windows.len()
    }

    /// The side of a square of its area.
    fn side(&self) -> f32 {
        (self.area() as f32).sqrt()
    }
}

/// All of a mask, the largest first; those of a few windows are left out.
fn blobs(mask: &Mask) -> Vec<Blob> {
    let (width, height) = (mask.width, mask.height);
    let mut open = mask.windows.clone();
    let mut found = Vec::new();
    for start in 0..open.len() {
        if !std::mem::take(&mut open[start]) {
            continue;
        }
        let (mut windows, mut next) = (vec![start], 0);
        while let Some(at) = windows.get(next).copied() {
            next += 1;
            let (x, y) = (at % width, at / width);
            for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    if std::mem::take(&mut open[y * width + x]) {
                        windows.push(y * width + x);
                    }
                }
            }
        }
        if windows.len() >= LEAST_AREA {
            let mean = |of: &dyn Fn(usize) -> usize| {
                windows.iter().map(|w| of(*w) as f32).sum::<f32>() / windows.len() as f32
            };
            let (x, y) = (mean(&|w| w % width), mean(&|w| w / width));
            found.push(Blob { windows, x, y });
        }
    }
    found.sort_by_key(|blob| std::cmp::Reverse(blob.area()));
    found
}

#[derive(Debug, Clone, Copy)]
struct Place {
    picture: f32,
    x: f32,
    y: f32,
    side: f32,
}

/// One thing that may move.
#[derive(Debug)]
pub(super) struct Track {
    /// Where it is.
    pub blob: Blob,
    places: VecDeque<Place>,
    last: u64,
    /// How far it went at most, in windows.
    pub travelled: f32,
    /// It is in the present picture.
    is_seen: bool,
}

impl Track {
    fn new(blob: Blob, picture: u64) -> Self {
        let mut this = Self {
            blob,
            places: VecDeque::new(),
            last: picture,
            travelled: 0.0,
            is_seen: false,
        };
        this.note(picture);
        this
    }

    fn note(&mut self, picture: u64) {
        self.last = picture;
        self.is_seen = true;
        if self.places.len() == MEMORY {
            self.places.pop_front();
        }
        self.places.push_back(Place {
            picture: picture as f32,
            x: self.blob.x,
            y: self.blob.y,
            side: self.blob.side(),
        });
        if self.places.len() >= FEWEST {
            self.travelled = self.travelled.max(self.distance());
        }
    }

    /// How far it went in a straight line, in windows, or how much it grew; zero
    /// where it goes to and fro.
    fn distance(&self) -> f32 {
        let count = self.places.len() as f32;
        let mean = |of: &dyn Fn(&Place) -> f32| self.places.iter().map(of).sum::<f32>() / count;
        let time = mean(&|p| p.picture);
        let spread = mean(&|p| (p.picture - time).powi(2));
        // Least squares: what of the variance a line over time explains.
        let line = |of: &dyn Fn(&Place) -> f32| {
            let middle = mean(of);
            let slope = mean(&|p| (p.picture - time) * (of(p) - middle)) / spread;
            (slope, mean(&|p| (of(p) - middle).powi(2)))
        };
        let (x, of_x) = line(&|p| p.x);
        let (y, of_y) = line(&|p| p.y);
        let (growth, of_side) = line(&|p| p.side);
        let pictures = self.places.back().map_or(0.0, |p| p.picture)
            - self.places.front().map_or(0.0, |p| p.picture);
        let straight =
            |slopes: f32, variance: f32| slopes * spread >= STRAIGHT * variance && variance > 0.0;
        let speed = x * x + y * y;
        let went = match straight(speed, of_x + of_y) {
            true => speed.sqrt() * pictures,
            false => 0.0,
        };
        let grew = match straight(growth * growth, of_side) {
            true => growth.abs() * pictures,
            false => 0.0,
        };
        went.max(grew)
    }

    /// How unlike the track's last place a blob is; `None` for one that it
    /// cannot be.
    fn unlike(&self, blob: &Blob) -> Option<f32> {
        let (old, new) = (self.blob.area() as f32, blob.area() as f32);
        let larger = old.max(new) / old.min(new);
        let away = (self.blob.x - blob.x).hypot(self.blob.y - blob.y);
        let reach = 1.5 * self.blob.side().max(blob.side()).max(2.0);
        (larger <= 4.0 && away <= reach).then(|| away / reach + (larger - 1.0) / 6.0)
    }
}

/// All that is followed.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    tracks: Vec<Track>,
    picture: u64,
    /// Other blobs than those that are followed, at most lately.
    clutter: f32,
}

impl Tracks {
    /// Takes what changes in the next picture; `None` where that is not known.
    pub(super) fn look(&mut self, mask: Option<&Mask>) {
        self.picture += 1;
        let mut found = mask.map(blobs).unwrap_or_default();
        self.clutter = (found.len() as f32).max(self.clutter * 0.97);
        found.truncate(MOST);
        let mut found: Vec<_> = found.into_iter().map(Some).collect();
        for track in &mut self.tracks {
            track.is_seen = false;
        }
        // The nearest of all first.
        let mut pairs = Vec::new();
        for (t, track) in self.tracks.iter().enumerate() {
            for (b, blob) in found.iter().enumerate() {
                if let Some(unlike) = blob.as_ref().and_then(|blob| track.unlike(blob)) {
                    pairs.push((unlike, t, b));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, t, b) in pairs {
            if !self.tracks[t].is_seen
                && let Some(blob) = found[b].take()
            {
                self.tracks[t].blob = blob;
                self.tracks[t].note(self.picture);
            }
        }
        let picture = self.picture;
        self.tracks.retain(|track| picture - track.last <= MISSING);
        let room = 2 * MOST - self.tracks.len().min(2 * MOST);
        let new = found.into_iter().flatten().take(room);
        self.tracks
            .extend(new.map(|blob| Track::new(blob, picture)));
    }

    /// Bytes that it has taken.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        let of = |track: &Track| {
            track.blob.windows.capacity() * size_of::<usize>()
                + track.places.capacity() * size_of::<Place>()
        };
        self.tracks.capacity() * size_of::<Track>() + self.tracks.iter().map(of).sum::<usize>()
    }

    /// What is in the present picture.
    pub(super) fn seen(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| track.is_seen)
    }

    /// How many blobs there were lately: in rain, many.
    pub(super) fn clutter(&self) -> f32 {
        self.clutter
    }
}
