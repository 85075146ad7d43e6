//! Shell: takes frames, keeps those of a moment ago, and has the disk write those that are
//! wanted.

mod filming;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use self::filming::Filming;
use super::clock::Clock;
use super::disk::{Disk, Report, Said};
use super::names::Why;
use super::ring::{Kept, Ring};
use super::wish::Wish;
use super::{Viewers, Wanted};
use crate::media::frame::Frame;
use crate::media::hub::recent::size;
use crate::media::hub::{Hub, Watch};
use crate::media::moved::Moved;
use crate::media::opus;
use crate::media::stream::{Encoding, Stream, VideoRate};

const PICTURE: Stream = Stream::Video(Encoding::H264);
/// A disk that failed is tried again after so long.
const RETRY: Duration = Duration::from_secs(5);
/// A file whose picture has stopped for so long has ended.
const STOPPED: Duration = Duration::from_secs(3);
/// Key frames are no further apart than this, and than four fifths of the pre-roll:
/// by them a recording is cut and sought in.
const KEYS_APART: Duration = Duration::from_secs(4);
/// And no closer where it is this that asks for them.
const KEYS_LEAST: Duration = Duration::from_secs(1);

/// A frame, as viewers get it.
#[derive(Debug, Clone)]
enum Taken {
    Picture(Arc<Frame>),
    Sound(Arc<Frame>),
}

/// What keeps the streams running, and where they come from.
struct Streams {
    picture: broadcast::Receiver<Arc<Frame>>,
    sound: Option<broadcast::Receiver<Arc<Frame>>>,
    _watches: (Watch, Option<Watch>),
}

/// The recorder's task.
pub(super) struct Run {
    hub: Hub,
    wish: Wish,
    disk: Disk,
    clock: Clock,
    has_sound: bool,
    rate: u32,
    keys_apart: Duration,
    ring: Ring<Taken>,
    streams: Option<Streams>,
    filming: Option<Filming>,
    /// The last one that the disk was to begin.
    films: u64,
    /// What the last one has was captured until then.
    filmed: Option<Instant>,
    motions: HashSet<(Arc<str>, SystemTime)>,
    /// Nothing is begun before.
    retry_at: Option<Instant>,
    /// When sound last came, and of how many channels.
    heard: Option<(Instant, u8)>,
    /// The last key frame, and when one was last asked for.
    last_key: Option<Instant>,
    asked: Option<Instant>,
    /// Pictures are missing: nothing is of use before the next key frame.
    is_torn: bool,
    said: Said,
    said_unusable: bool,
    viewers: watch::Receiver<Viewers>,
    aside: watch::Receiver<bool>,
    private: watch::Receiver<bool>,
    trouble: watch::Sender<Option<Arc<str>>>,
}

/// The next frame, where there are any.
async fn next(streams: &mut Option<Streams>) -> (Result<Taken, RecvError>, bool) {
    let Some(streams) = streams else {
        return std::future::pending().await;
    };
    let packet = async {
        match &mut streams.sound {
            Some(sound) => sound.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        frame = streams.picture.recv() => (frame.map(Taken::Picture), true),
        packet = packet => (packet.map(Taken::Sound), false),
    }
}

impl Run {
    /// Told of nothing yet.
    pub(super) fn new(hub: Hub, wish: Wish, wanted: &Wanted, disk: Disk, clock: Clock) -> Self {
        let pre_roll = Duration::from_secs(wanted.config.pre_roll_s.into());
        Self {
            hub,
            wish,
            disk,
            clock,
            has_sound: wanted.has_sound,
            rate: wanted.rate,
            keys_apart: (pre_roll * 4 / 5).clamp(KEYS_LEAST, KEYS_APART),
            ring: Ring::new(pre_roll),
            streams: None,
            filming: None,
            films: 0,
            filmed: None,
            motions: HashSet::new(),
            retry_at: None,
            heard: None,
            last_key: None,
            asked: None,
            is_torn: false,
            said: Said::default(),
            said_unusable: false,
            viewers: watch::channel(Viewers::default()).1,
            aside: watch::channel(false).1,
            private: watch::channel(false).1,
            trouble: watch::Sender::default(),
        }
    }

    pub(super) fn told_of_viewers(
        mut self,
        viewers: watch::Receiver<Viewers>,
        aside: watch::Receiver<bool>,
    ) -> Self {
        (self.viewers, self.aside) = (viewers, aside);
        self
    }

    pub(super) fn told_of_privacy(mut self, private: watch::Receiver<bool>) -> Self {
        self.private = private;
        self
    }

    pub(super) fn telling_of_trouble(mut self, trouble: watch::Sender<Option<Arc<str>>>) -> Self {
        self.trouble = trouble;
        self
    }

    /// Runs until `ends` has no sender any more.
    pub(super) async fn until(
        mut self,
        mut ends: watch::Receiver<()>,
        pressed: watch::Sender<bool>,
        state: watch::Sender<Option<Why>>,
        mut reports: mpsc::Receiver<Report>,
    ) {
        let mut button = pressed.subscribe();
        let (past, mut moves) = self.hub.moves().listen();
        self.know(past);
        loop {
            self.look(&pressed, &mut button);
            self.follow(Instant::now());
            let why = self.why();
            state.send_if_modified(|before| std::mem::replace(before, why) != why);
            let due = self.due();
            tokio::select! {
                gone = ends.changed() => if gone.is_err() { break },
                Ok(()) = self.viewers.changed() => {}
                Ok(()) = self.aside.changed() => {}
                Ok(()) = self.private.changed() => {}
                Ok(()) = button.changed() => {}
                moved = moves.recv() => match moved {
                    Ok(moved) => self.moved(moved),
                    Err(RecvError::Lagged(_)) => {
                        let (past, news) = self.hub.moves().listen();
                        moves = news;
                        self.know(past);
                    }
                    Err(RecvError::Closed) => break,
                },
                Some(report) = reports.recv() => self.told(report),
                (taken, is_picture) = next(&mut self.streams) => match taken {
                    Ok(taken) => self.take(taken),
                    Err(RecvError::Lagged(_)) if is_picture => self.tear(),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                () = sleep_until(due) => {}
            }
        }
        self.end();
        state.send_replace(None);
        let disk = self.disk;
        self.streams = None;
        let _ = tokio::task::spawn_blocking(move || drop(disk)).await;
    }

    /// Why something is recorded now: it may have begun for something else.
    fn why(&self) -> Option<Why> {
        self.filming.as_ref().and(self.wish.why())
    }

    /// Looks at all that it hangs on.
    fn look(&mut self, pressed: &watch::Sender<bool>, button: &mut watch::Receiver<bool>) {
        let Viewers {
            count: viewers,
            h264,
            invited,
        } = *self.viewers.borrow_and_update();
        self.wish.private = *self.private.borrow_and_update();
        // With viewers there is nothing to be had by it: they take the picture, too.
        self.wish.aside = *self.aside.borrow_and_update() && viewers == 0;
        (self.wish.viewers, self.wish.h264) = (viewers, h264);
        self.wish.invited = invited;
        self.wish.motions = self.motions.len();
        self.wish.pressed = *button.borrow_and_update();
        let is_failing = self.trouble.borrow().is_some();
        if self.wish.pressed && (viewers == 0 || self.wish.private || is_failing) {
            // Who comes next has to press it again, and so has who is told that it failed.
            pressed.send_replace(false);
            button.mark_unchanged();
            self.wish.pressed = false;
        }
    }

    /// Brings about what is wanted.
    fn follow(&mut self, now: Instant) {
        match (self.wish.takes(), self.streams.is_some()) {
            (true, false) => {
                let picture = self.hub.watch(PICTURE);
                let sound = self.has_sound.then(|| self.hub.watch(Stream::Audio));
                self.streams = Some(Streams {
                    picture: picture.frames(),
                    sound: sound.as_ref().map(Watch::frames),
                    _watches: (picture, sound),
                });
                (self.last_key, self.asked, self.is_torn) = (None, None, false);
                self.ask_for_key(now);
            }
            (false, true) => {
                self.end();
                self.streams = None;
                self.ring.clear();
            }
            (true, true) | (false, false) => {}
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            self.trouble.send_replace(None);
        }
        match (self.wish.why(), self.filming.is_some()) {
            (Some(why), false) if self.retry_at.is_none() => self.begin(why, now),
            (None, true) => self.end(),
            // What others cause has its share of the disk, and so files of its own.
            (Some(why), true) if self.is_of_others(why) => {
                self.end();
                // What was asked for a moment ago is in the other one, or was before it.
                self.asked = None;
                self.begin(why, now);
            }
            _ => {}
        }
        let stopped = self
            .filming
            .as_ref()
            .filter(|filming| filming.film.is_some());
        if stopped.is_some_and(|f| now.saturating_duration_since(f.last_picture) >= STOPPED) {
            self.end();
            // It ends there, too: the next file would end where it began.
            self.ring.clear();
        }
    }

    fn due(&self) -> Option<Instant> {
        let filming = self
            .filming
            .as_ref()
            .filter(|filming| filming.film.is_some());
        let stopped = filming.map(|filming| filming.last_picture + STOPPED);
        self.retry_at.into_iter().chain(stopped).min()
    }

    /// What has moved before this began to listen, and does still.
    fn know(&mut self, past: Vec<Moved>) {
        self.motions.clear();
        for moved in past {
            self.moved(moved);
        }
    }

    fn moved(&mut self, moved: Moved) {
        let which = (moved.zone, moved.began);
        match moved.ended {
            None => drop(self.motions.insert(which)),
            Some(_) => drop(self.motions.remove(&which)),
        }
    }

    /// A frame has come.
    fn take(&mut self, taken: Taken) {
        let (frame, is_key) = match &taken {
            Taken::Picture(frame) => (frame, frame.key),
            Taken::Sound(frame) => {
                let channels = frame.payloads.first().map(|packet| opus::channels(packet));
                self.heard = channels.map(|channels| (frame.encoded_at, channels));
                (frame, false)
            }
        };
        if let Taken::Picture(frame) = &taken {
            let now = frame.encoded_at;
            if frame.key {
                self.last_key = Some(now);
                self.is_torn = false;
            }
            let is_far = |at: Instant| now.saturating_duration_since(at) >= self.keys_apart;
            if self.last_key.is_none_or(is_far) {
                self.ask_for_key(now);
            }
        }
        if self.is_torn {
            return;
        }
        if self.wish.remembers() {
            self.ring.push(Kept {
                at: frame.captured_at,
                key: is_key,
                bytes: size(frame),
                what: taken.clone(),
            });
        }
        self.film(&taken);
    }

    /// Frames were missed.
    fn tear(&mut self) {
        self.is_torn = true;
        self.ring.clear();
        self.asked = None;
        self.ask_for_key(Instant::now());
    }

    /// Where nobody watches the same, what a viewer's path carried last says nothing any
    /// more.
    fn ask_for_key(&mut self, now: Instant) {
        let is_lately = |at: Instant| now.saturating_duration_since(at) < KEYS_LEAST;
        if self.asked.is_some_and(is_lately) {
            return;
        }
        self.asked = Some(now);
        if !self.wish.h264 {
            let rate = VideoRate {
                bits_per_second: self.rate,
                every: 1,
                percent: 100,
            };
            self.hub.set_rate(PICTURE, rate);
        }
        self.hub.request_key_frame(PICTURE);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
