//! From frames to what the disk is to do: a file's beginning, its fragments, its end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::warn;

use super::{RETRY, Run, STOPPED, Taken};
use crate::media::frame::Frame;
use crate::media::hub::Hub;
use crate::recorder::disk::{Disk, Job, Report};
use crate::recorder::film::{Film, Refused};
use crate::recorder::names::Why;
use crate::recorder::picture;
use crate::recorder::thumbnail::Thumbnail;

/// How long the last picture of a file is shown.
const LAST_PICTURE: Duration = Duration::from_millis(33);

/// A file that is being made, or waits for its first key frame.
pub(super) struct Filming {
    why: Why,
    pub(super) film: Option<Film>,
    /// The disk was told to begin it.
    is_on_disk: bool,
    began: SystemTime,
    pub(super) last_picture: Instant,
    thumbnail: Thumbnail,
}

impl Filming {
    fn new(why: Why, now: Instant, began: SystemTime) -> Self {
        Self {
            why,
            film: None,
            is_on_disk: false,
            began,
            last_picture: now,
            thumbnail: Thumbnail::default(),
        }
    }

    /// False where the disk has no room for it. `films` were begun before.
    fn write(&mut self, disk: &Disk, films: &mut u64, bytes: Vec<u8>) -> bool {
        if self.is_on_disk {
            return disk.tell(Job::Append(bytes));
        }
        self.is_on_disk = disk.tell(Job::Begin {
            film: *films + 1,
            began: self.began,
            why: self.why,
            bytes,
        });
        *films += u64::from(self.is_on_disk);
        self.is_on_disk
    }

    /// Its thumbnail, behind what is written, where it has come. It may be missing.
    fn write_thumbnail(&mut self, disk: &Disk, hub: &Hub) {
        if let Some(bytes) = self.thumbnail.next(hub) {
            disk.tell(Job::Beside(bytes));
        }
    }
}

impl Run {
    /// A file is being made since strangers watch, and they do so no more alone; or the other
    /// way round.
    pub(super) fn is_of_others(&self, why: Why) -> bool {
        let is_strangers = |why| why == Why::Strangers;
        let filming = self.filming.as_ref();
        filming.is_some_and(|filming| is_strangers(filming.why) != is_strangers(why))
    }

    pub(super) fn begin(&mut self, why: Why, now: Instant) {
        self.filming = Some(Filming::new(why, now, self.clock.of(now)));
        // A button is pressed as often as somebody likes: what the last file has is
        // not written again. Something that moves is shown from before it.
        let filmed = self.filmed.filter(|_| why == Why::Button);
        let before = self.ring.since(filmed).map(|kept| kept.what.clone());
        let before: Vec<_> = before.collect();
        if before.is_empty() {
            self.ask_for_key(now);
        }
        for taken in before {
            self.film(&taken);
        }
    }

    pub(super) fn end(&mut self) {
        let Some(mut filming) = self.filming.take() else {
            return;
        };
        let Some(film) = filming.film.take() else {
            return;
        };
        let (bytes, length) = film.end(filming.last_picture + LAST_PICTURE);
        let is_whole = bytes.is_none_or(|bytes| filming.write(&self.disk, &mut self.films, bytes));
        if filming.is_on_disk {
            if is_whole {
                filming.write_thumbnail(&self.disk, &self.hub);
            }
            self.disk.tell(match is_whole {
                true => Job::End(length),
                false => Job::GiveUp,
            });
            self.filmed = is_whole.then_some(filming.last_picture);
        }
    }

    /// Puts a frame into the file.
    pub(super) fn film(&mut self, taken: &Taken) {
        let Some(filming) = &mut self.filming else {
            return;
        };
        let frame = match taken {
            Taken::Picture(frame) => frame,
            Taken::Sound(frame) => {
                if let (Some(film), Some(packet)) = (&mut filming.film, frame.payloads.first()) {
                    film.sound(packet, frame.captured_at);
                }
                return;
            }
        };
        let Some(unit) = picture::unit(&frame.payloads) else {
            return self.tear();
        };
        let Some(film) = &mut filming.film else {
            if frame.key {
                self.first_picture(frame);
            }
            return;
        };
        filming.last_picture = frame.captured_at;
        match film.picture(unit, frame.key, frame.captured_at) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                if filming.write(&self.disk, &mut self.films, bytes) {
                    filming.write_thumbnail(&self.disk, &self.hub);
                } else {
                    self.failed("the disk does not keep up");
                }
            }
            Err(Refused::Another | Refused::Unusable) => {
                let why = filming.why;
                self.end();
                let began = self.clock.of(frame.captured_at);
                self.filming = Some(Filming::new(why, frame.captured_at, began));
                match frame.key {
                    true => self.first_picture(frame),
                    false => self.ask_for_key(frame.encoded_at),
                }
            }
        }
    }

    fn first_picture(&mut self, frame: &Arc<Frame>) {
        let Some(filming) = &mut self.filming else {
            return;
        };
        filming.began = self.clock.of(frame.captured_at);
        filming.last_picture = frame.captured_at;
        let made = filming.began.duration_since(SystemTime::UNIX_EPOCH);
        let unit = picture::unit(&frame.payloads);
        // What is before the camera now: what was before its cause is not what it is about.
        let _ = filming.thumbnail.next(&self.hub);
        // It is heard still, if later than it is seen.
        let is_late = |(at, _): &(Instant, u8)| *at + STOPPED >= frame.encoded_at;
        let sound = self.heard.filter(is_late).map(|(_, channels)| channels);
        let begin = |unit| Film::begin(unit, frame.captured_at, made.unwrap_or_default(), sound);
        filming.film = unit.and_then(begin);
        if filming.film.is_none() && !std::mem::replace(&mut self.said_unusable, true) {
            warn!(
                "nothing is recorded: the H.264 of this camera says nothing of itself that is understood"
            );
        }
    }

    /// The disk tells what became of a file.
    pub(super) fn told(&mut self, report: Report) {
        match report {
            Report::Works(film) if film == self.films && self.retry_at.is_none() => {
                self.said.works();
            }
            Report::Works(_) => {}
            Report::Failed(film, problem) if film == self.films => self.failed(&problem),
            Report::Failed(_, problem) => {
                warn!(
                    problem,
                    "a recording lacks its last seconds; the next goes on"
                );
            }
        }
    }

    /// Nothing can be written now.
    pub(super) fn failed(&mut self, problem: &str) {
        if self.filming.take().is_some_and(|f| f.is_on_disk) {
            self.disk.tell(Job::GiveUp);
        }
        self.filmed = None;
        self.retry_at = Some(Instant::now() + RETRY);
        self.trouble.send_replace(Some(problem.into()));
        self.said.trouble(problem, RETRY);
    }
}
