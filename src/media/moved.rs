//! What moved in front of the camera, told to all who want to know.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use crate::lock::lock;
use crate::motion::Zone;
use crate::motion::trigger::End;

/// Who does not keep up misses the oldest.
const LAG: usize = 64;
/// So many are remembered for who comes later.
const REMEMBERED: usize = 50;

/// Motion in a zone, as it begins and once more as it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The zone's name.
    pub zone: Arc<str>,
    /// When it began, by the device's clock. It tells the events of a zone
    /// apart.
    pub began: SystemTime,
    /// How and after how long it ended; `None` while it goes on.
    pub ended: Option<(End, Duration)>,
}

/// Tells of motion, and remembers the latest; and says where it is looked for, where
/// that was drawn.
#[derive(Debug)]
pub struct Moves {
    news: broadcast::Sender<Moved>,
    /// The oldest first, each as it is now.
    recent: Mutex<VecDeque<Moved>>,
    drawn: Mutex<Option<Arc<[Zone]>>>,
    /// Raised whenever others are drawn.
    drawing: AtomicU64,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            news: broadcast::Sender::new(LAG),
            recent: Mutex::default(),
            drawn: Mutex::default(),
            drawing: AtomicU64::new(0),
        }
    }
}

impl Moves {
    /// Motion is looked for in these zones, in place of those of the configuration.
    pub(crate) fn draw(&self, zones: Option<Vec<Zone>>) {
        let zones = zones.map(Arc::from);
        let mut drawn = lock(&self.drawn);
        // Who looks for motion begins anew where they are others, and sees nothing for
        // a while.
        if *drawn != zones {
            *drawn = zones;
            self.drawing.fetch_add(1, Ordering::Release);
        }
    }

    /// Another number whenever others are drawn.
    pub(crate) fn drawing(&self) -> u64 {
        self.drawing.load(Ordering::Acquire)
    }

    /// Those that were drawn.
    pub(crate) fn drawn(&self) -> Option<Arc<[Zone]>> {
        lock(&self.drawn).clone()
    }

    /// Tells of one.
    pub fn tell(&self, moved: Moved) {
        let mut recent = lock(&self.recent);
        let is_same = |old: &&mut Moved| (&old.zone, old.began) == (&moved.zone, moved.began);
        match recent.iter_mut().find(is_same) {
            Some(old) => *old = moved.clone(),
            None => {
                if recent.len() == REMEMBERED {
                    recent.pop_front();
                }
                recent.push_back(moved.clone());
            }
        }
        // Nobody need listen.
        let _ = self.news.send(moved);
    }

    /// The latest, the oldest first, and all that come.
    pub fn listen(&self) -> (Vec<Moved>, broadcast::Receiver<Moved>) {
        // Behind one lock, or one would be missing or be there twice.
        let recent = lock(&self.recent);
        (recent.iter().cloned().collect(), self.news.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(second: u64, ended: Option<(End, Duration)>) -> Moved {
        Moved {
            zone: "door".into(),
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            ended,
        }
    }

    #[test]
    fn who_comes_later_finds_each_as_it_is_now() {
        let moves = Moves::default();
        let (before, mut news) = moves.listen();
        assert_eq!(before, []);
        let end = Some((End::Still, Duration::from_secs(5)));
        moves.tell(moved(1, None));
        moves.tell(moved(1, end));
        moves.tell(moved(9, None));
        let (recent, mut later) = moves.listen();
        assert_eq!(recent, [moved(1, end), moved(9, None)]);
        assert!(later.try_recv().is_err());
        let told: Vec<_> = std::iter::from_fn(|| news.try_recv().ok()).collect();
        assert_eq!(told, [moved(1, None), moved(1, end), moved(9, None)]);
    }

    #[test]
    fn what_is_drawn_as_it_was_is_nothing_new() {
        let moves = Moves::default();
        let zones = || Some(Zone::all(&[], 5));
        let before = moves.drawing();
        moves.draw(None);
        assert_eq!(moves.drawing(), before);
        moves.draw(zones());
        let drawn = moves.drawing();
        assert_ne!(drawn, before);
        moves.draw(zones());
        assert_eq!(moves.drawing(), drawn);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let moves = Moves::default();
        for second in 0..1000 {
            moves.tell(moved(second, None));
        }
        let (recent, _) = moves.listen();
        assert_eq!(recent.len(), REMEMBERED);
        assert_eq!(recent.last(), Some(&moved(999, None)));
    }
}
