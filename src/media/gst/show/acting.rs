//! What [`Recovery`](crate::media::recovery::Recovery) decides, carried out:
//! pipelines opened, and streams hung on the one that is shown.

use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::renewal::Anew;
use super::{LOST, Numbered, PRIVATE, STARTING, Show, Shown};
use crate::config::VideoConfig;
use crate::device::learned::Memory;
use crate::lock::lock;
use crate::media::error::MediaError;
use crate::media::gst::camera::{Camera, Opener, Teller};
use crate::media::gst::caption::paint;
use crate::media::gst::overlay::Caption;
use crate::media::gst::picture::Picture;
use crate::media::hub::source::Still;
use crate::media::plan;
use crate::media::plan::{Carries, Target};
use crate::media::recovery::{Action, Event, Slate};
use crate::media::stream::{Encoding, VideoRate};

impl Show {
    /// The next picture of the camera's; a slate is none.
    pub(in crate::media::gst) fn still(&mut self, still: Still) {
        if self.shown == Shown::Camera
            && let Some(picture) = self.shown_picture()
        {
            picture.still(still);
        }
    }

    pub(super) fn act(&mut self, now: Instant) {
        self.note_loss(now);
        while let Some(action) = self.recovery.next_action() {
            match action {
                Action::OpenCamera => self.open_camera(now),
                Action::CloseCamera => {
                    if self.shown == Shown::Camera {
                        self.shown = Shown::Nothing;
                    }
                    self.close_camera();
                }
                Action::ShowCamera => self.show_camera(),
                Action::ShowSlate(slate) => self.show_slate(slate),
                Action::ShowNothing => {
                    self.shown = Shown::Nothing;
                    self.slate = None;
                    self.close_camera();
                    self.lost = false;
                    self.rows.forgive(now);
                    self.prepare();
                }
                Action::RestartEncoder(encoding) => self.hang(encoding),
                Action::NextEncoder(encoding) => {
                    if self.rows.replace(encoding, &self.teller.on_chosen()) {
                        self.hang(encoding);
                    } else if let Some(picture) = self.shown_picture() {
                        picture.remove_branch(encoding);
                    }
                }
            }
        }
    }

    /// Opens the camera anew where it is not open as it should be, see [`renewal`](super::renewal).
    pub(super) fn open_anew(&mut self, now: Instant) {
        let camera = self.camera.as_ref().and_then(|c| c.value.as_ref());
        let Some(plan) = camera.map(|camera| &camera.picture.plan) else {
            return;
        };
        let is_unwatched = self.motion.is_some() && self.outputs.is_empty();
        let learned = lock(&self.learned);
        let why = self.renewal.why(plan, &learned, is_unwatched);
        drop(learned);
        match why {
            None => {}
            Some(Anew::Encoded) => {
                info!(picture = %plan.what, "opened anew: a viewer has no decoder of its own H.264");
                self.recovery.handle(Event::Outdated, now);
            }
            Some(Anew::Passed) => {
                debug!(picture = %plan.what, "opened anew, to pass its own H.264 through");
                // It is watched again as soon as nothing is shown.
                self.recovery.handle(Event::Unwatched, now);
            }
        }
    }

    /// One that is being opened goes no further.
    fn close_camera(&mut self) {
        self.given_up.set();
        self.camera = None;
    }

    pub(super) fn open_camera(&mut self, now: Instant) {
        if let Some(spare) = self.spare.take() {
            let number = spare.number;
            let picture = spare.value;
            match picture.play(&self.clock, self.base_time) {
                Ok(()) => self.opened(number, Camera::new(picture, None), now),
                Err(error) => {
                    self.camera = Some(Numbered {
                        number,
                        value: None,
                    });
                    self.camera_failed(&error, now);
                }
            }
            return;
        }
        let number = self.number();
        self.camera = Some(Numbered {
            number,
            value: None,
        });
        let opener = self.opener(number);
        let (clock, base_time) = (self.clock.clone(), self.base_time);
        let begun = self.openers.begin(now).map_err(|stuck| MediaError::Camera {
            problem: stuck.problem(),
            device: stuck.node.unwrap_or_else(|| "of this machine".to_owned()),
        });
        match &begun {
            Ok(opening) => {
                self.stuck = false;
                self.given_up = opening.given_up();
            }
            // Once: each further try would only say it again.
            Err(error) if !std::mem::replace(&mut self.stuck, true) => {
                warn!(%error, "the camera is not opened again");
            }
            Err(_) => {}
        }
        if let Err(error) = begun.and_then(|opening| opener.spawn(opening, clock, base_time)) {
            self.camera_failed(&error, now);
            self.note_loss(now);
        }
    }

    pub(super) fn opener(&self, number: u64) -> Opener {
        Opener {
            config: self.config.clone(),
            led: self.led.clone(),
            h264: self.rows.h264(),
            learned: self.learned.clone(),
            refused: self.refused.clone(),
            motion: self.motion.clone(),
            teller: self.teller.clone(),
            number,
        }
    }

    pub(super) fn show_camera(&mut self) {
        if self.shown == Shown::Slate {
            self.unhang_all();
        }
        let already = self.shown == Shown::Camera;
        self.shown = Shown::Camera;
        self.slate = None;
        if !already {
            self.hang_all();
        }
    }

    pub(super) fn show_slate(&mut self, says: Slate) {
        self.unhang_all();
        self.shown = Shown::Slate;
        self.says = says;
        self.make_slate();
    }

    /// The slate, for those who watch.
    pub(super) fn make_slate(&mut self) {
        if self.outputs.is_empty() {
            return;
        }
        let number = self.number();
        let caption = match self.says {
            Slate::Starting => STARTING,
            Slate::Lost => LOST,
            Slate::Private => PRIVATE,
        };
        match slate(&self.config, caption, &self.teller, number) {
            Ok(picture) => {
                if let Err(error) = picture.play(&self.clock, self.base_time) {
                    error!(%error, "the slate does not start");
                }
                self.slate = Some(Numbered {
                    number,
                    value: picture,
                });
            }
            Err(error) => error!(%error, "there is no slate"),
        }
        self.hang_all();
    }

    pub(super) fn shown_picture(&mut self) -> Option<&mut Picture> {
        match self.shown {
            Shown::Nothing => None,
            Shown::Camera => self
                .camera
                .as_mut()
                .and_then(|c| c.value.as_mut())
                .map(|c| &mut c.picture),
            Shown::Slate => self.slate.as_mut().map(|s| &mut s.value),
        }
    }

    pub(super) fn shown_number(&self) -> Option<u64> {
        match self.shown {
            Shown::Nothing => None,
            Shown::Camera => self.camera.as_ref().map(|c| c.number),
            Shown::Slate => self.slate.as_ref().map(|s| s.number),
        }
    }

    pub(super) fn hang_all(&mut self) {
        let encodings: Vec<_> = self.outputs.keys().copied().collect();
        for encoding in encodings {
            self.hang(encoding);
        }
    }

    pub(super) fn unhang_all(&mut self) {
        if let Some(picture) = self.shown_picture() {
            for encoding in picture.encodings() {
                picture.remove_branch(encoding);
            }
        }
    }

    /// Puts a fresh encoder for `encoding` on what is shown.
    pub(super) fn hang(&mut self, encoding: Encoding) {
        let Some(output) = self.outputs.get(&encoding).cloned() else {
            return;
        };
        let row = self
            .rows
            .encoder(encoding, &self.config, &self.teller.on_chosen());
        // It hangs there as soon as it is known.
        let Some(row) = row else { return };
        let rate = self.rates.get(&encoding).copied().unwrap_or(VideoRate {
            bits_per_second: self.config.bitrate_kbps.saturating_mul(1000),
            every: 1,
            percent: 100,
        });
        let config = self.config.clone();
        let learned = lock(&self.learned).memory();
        let Some(picture) = self.shown_picture() else {
            return;
        };
        picture.remove_branch(encoding);
        // An encoder can copy what is shared, too.
        let memory = match picture.shares_buffers() {
            true => learned,
            false => Memory::Mmap,
        };
        let hung = row.and_then(|row| {
            let plan = &picture.plan;
            let passes = plan.carries == Carries::H264 && encoding == Encoding::H264;
            let percent = if passes { 100 } else { rate.percent };
            let target = Target {
                bits_per_second: row.asked_for(rate.bits_per_second, rate.every),
                size: plan::shrunk_size(&config, plan.size, encoding.tier, percent),
            };
            let description = plan::branch(&row, target, &plan.carries, plan.fps, memory);
            let copies = plan::copies(plan, &row, target, memory);
            debug!(stream = %encoding, encoder = %row.id, "{copies}");
            picture.add_branch(encoding, &description, rate.every, output)
        });
        let now = Instant::now();
        self.recovery.handle(Event::EncoderStarted(encoding), now);
        if let Err(error) = hung {
            self.encoder_failed(encoding, &error, now);
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

fn slate(
    config: &VideoConfig,
    caption: Caption,
    teller: &Teller,
    number: u64,
) -> Result<Picture, MediaError> {
    let on_problem = teller.on_problem(number);
    let picture = Picture::new(plan::slate(config, "I420"), || {}, on_problem)?;
    if let Some(source) = picture.element("picture") {
        paint(&source, caption);
    }
    Ok(picture)
}
