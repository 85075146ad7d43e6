//! Frames of one stream, for those who are here and for who comes.
//!
//! Who comes needs a key frame first. Where one went by a moment ago, they get
//! it with what followed, and need not wait for another, nor cost the others
//! one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::lock::lock;
use crate::media::frame::Frame;

/// Frames that are kept: a key frame and what follows in a fifth of a second.
const MOST: usize = 7;
/// A newest frame that is older was not followed by others: the stream stands.
const STANDS: Duration = Duration::from_millis(250);

/// A key frame and those after it, while they are few.
#[derive(Debug, Default)]
struct Recent(VecDeque<Arc<Frame>>);

impl Recent {
    fn keep(&mut self, frame: &Arc<Frame>) {
        if frame.key {
            self.0.clear();
        } else if self.0.is_empty() {
            return;
        }
        if self.0.len() == MOST {
            self.0.clear();
            return;
        }
        self.0.push_back(frame.clone());
    }

    fn at(&self, now: Instant) -> VecDeque<Arc<Frame>> {
        let newest = self.0.back().map(|frame| frame.encoded_at);
        match newest {
            Some(at) if now.saturating_duration_since(at) < STANDS => self.0.clone(),
            _ => VecDeque::new(),
        }
    }
}

/// Bytes of a frame's payloads.
pub(crate) fn size(frame: &Frame) -> usize {
    frame.payloads.iter().map(Bytes::len).sum()
}

/// Where the frames of one stream go.
#[derive(Debug)]
pub(super) struct Fan {
    here: broadcast::Sender<Arc<Frame>>,
    /// Nothing of sound, whose every frame is as good as the next.
    recent: Option<Mutex<Recent>>,
}

impl Fan {
    /// For viewers who lag by no more than so many frames.
    pub(super) fn new(lag: usize, has_key_frames: bool) -> Self {
        Self {
            here: broadcast::Sender::new(lag),
            recent: has_key_frames.then(Mutex::default),
        }
    }

    /// To all who are here.
    pub(super) fn send(&self, frame: Frame) {
        let frame = Arc::new(frame);
        // Held on, so that who comes misses none and gets none twice.
        let mut recent = self.recent.as_ref().map(lock);
        if let Some(recent) = &mut recent {
            recent.keep(&frame);
        }
        // An error says that nobody watches, which the hub knows.
        let _ = self.here.send(frame);
    }

    /// Another run: what is kept has nothing to do with what comes.
    pub(super) fn begin(&self) {
        if let Some(recent) = &self.recent {
            lock(recent).0.clear();
        }
    }

    /// Frames from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Frame>> {
        self.here.subscribe()
    }

    /// A key frame of a moment ago and those after it, where there is one, and
    /// frames from now on.
    pub(super) fn subscribe_with_recent(
        &self,
        now: Instant,
    ) -> (VecDeque<Arc<Frame>>, broadcast::Receiver<Arc<Frame>>) {
        let recent = self.recent.as_ref().map(lock);
        let kept = recent.as_ref().map(|recent| recent.at(now));
        (kept.unwrap_or_default(), self.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(key: bool, number: u32) -> Frame {
        let now = Instant::now();
        Frame {
            payloads: vec![Bytes::from_static(b"x")],
            rtp_time: number,
            key,
            captured_at: now,
            encoder_in: None,
            encoded_at: now,
        }
    }

    fn numbers(frames: &VecDeque<Arc<Frame>>) -> Vec<u32> {
        frames.iter().map(|frame| frame.rtp_time).collect()
    }

    #[test]
    fn who_comes_gets_the_last_key_frame_and_all_since_once() {
        let fan = Fan::new(16, true);
        let now = Instant::now();
        fan.send(frame(false, 0));
        assert_eq!(numbers(&fan.subscribe_with_recent(now).0), [0; 0]);
        fan.send(frame(true, 1));
        fan.send(frame(false, 2));
        let (recent, mut coming) = fan.subscribe_with_recent(now);
        assert_eq!(numbers(&recent), [1, 2]);
        fan.send(frame(false, 3));
        assert_eq!(coming.try_recv().expect("it came").rtp_time, 3);
        fan.send(frame(true, 4));
        assert_eq!(numbers(&fan.subscribe_with_recent(now).0), [4]);
        fan.begin();
        assert_eq!(numbers(&fan.subscribe_with_recent(now).0), [0; 0]);
    }

    #[test]
    fn a_key_frame_of_long_ago_is_not_kept() {
        let fan = Fan::new(16, true);
        let now = Instant::now();
        fan.send(frame(true, 0));
        for number in 1..MOST as u32 {
            fan.send(frame(false, number));
        }
        assert_eq!(fan.subscribe_with_recent(now).0.len(), MOST);
        let later = Instant::now() + STANDS;
        assert_eq!(fan.subscribe_with_recent(later).0.len(), 0, "it stands");
        for number in 0..100 {
            fan.send(frame(false, 10 + number));
            assert_eq!(fan.subscribe_with_recent(now).0.len(), 0);
        }
        fan.send(frame(true, 200));
        assert_eq!(numbers(&fan.subscribe_with_recent(now).0), [200]);
    }

    #[test]
    fn of_sound_nothing_is_kept() {
        let fan = Fan::new(16, false);
        fan.send(frame(true, 0));
        let (recent, mut coming) = fan.subscribe_with_recent(Instant::now());
        assert!(recent.is_empty());
        fan.send(frame(true, 1));
        assert_eq!(coming.try_recv().expect("it came").rtp_time, 1);
    }
}
