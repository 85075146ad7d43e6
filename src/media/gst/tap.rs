//! The branch on which motion is looked for: a few pictures a second, from the
//! tee that the encoders hang on.
//!
//! It has a thread of its own, a queue's, and the camera's does not wait for it.
//! Without motion there is neither.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use tracing::{info, warn};

use crate::lock::lock;
use crate::media::element::sink;
use crate::media::error::MediaError;
use crate::media::moved::{Moved, Moves};
use crate::media::plan::{self, Carries, PicturePlan};
use crate::motion::{Event, Plane, RATE, Settings, Shrinker, Watcher};

/// Time between two pictures that are looked at, less what a camera's clock may
/// be ahead.
const APART: gst::ClockTime = gst::ClockTime::from_mseconds(1000 / RATE as u64 - 10);

/// What is looked for, and who is told.
pub(super) struct Motion {
    settings: Settings,
    moves: Arc<Moves>,
    /// What it costs, or why it is not done, was logged.
    said: AtomicBool,
}

impl Motion {
    pub(super) fn new(settings: Settings, moves: Arc<Moves>) -> Self {
        Self {
            settings,
            moves,
            said: AtomicBool::new(false),
        }
    }

    fn says_first(&self) -> bool {
        !self.said.swap(true, Ordering::AcqRel)
    }

    /// Whether it can be looked for in what this plan's tee carries.
    pub(super) fn can_watch(&self, plan: &PicturePlan) -> bool {
        if plan.carries != Carries::H264 {
            return true;
        }
        let decoder = super::require(plan::H264_DECODER, plan::H264_DECODER_PACKAGE);
        if self.says_first() {
            match &decoder {
                Ok(()) => info!(
                    "the {}'s own H.264 is decoded to look for motion, which takes CPU time; \
                     video.format = \"MJPG\" or \"YUYV\" may take less",
                    plan.what
                ),
                Err(error) => warn!(
                    %error,
                    "there is no motion (motion.enabled): the {} sends H.264 of its own, and \
                     nothing decodes it; video.format = \"MJPG\" or \"YUYV\" is another way",
                    plan.what
                ),
            }
        }
        decoder.is_ok()
    }
}

/// Looks for motion in a picture while it lives. What goes on then ends with it.
pub(super) struct Tap(Arc<Mutex<Looking>>);

impl Drop for Tap {
    fn drop(&mut self) {
        lock(&self.0).stop();
    }
}

impl Tap {
    /// Hangs it on the tee of a pipeline that does not play yet.
    pub(super) fn on(
        pipeline: &gst::Pipeline,
        tee: &gst::Element,
        plan: &PicturePlan,
        motion: Arc<Motion>,
    ) -> Result<Self, MediaError> {
        let failed = |problem: String| MediaError::Pipeline {
            what: "motion".to_owned(),
            problem,
        };
        let description = plan::watching(&plan.carries);
        let bin = gst::parse::bin_from_description(&description, true)
            .map_err(|e| failed(e.to_string()))?;
        let queue = bin.by_name(plan::WATCHING);
        if let Some(pad) = queue.and_then(|queue| queue.static_pad("sink")) {
            keep_apart(&pad);
        }
        let looking = Arc::new(Mutex::new(Looking {
            watcher: Watcher::new(&motion.settings),
            drawing: 0,
            shrinker: Shrinker::default(),
            going_on: Vec::new(),
            since: Instant::now(),
            motion,
            is_over: false,
        }));
        let this = looking.clone();
        sink(&bin, "motion")?.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    lock(&this).look(&sample);
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        pipeline.add(&bin).map_err(|e| failed(e.to_string()))?;
        let pad = bin.static_pad("sink").expect("the unlinked pad is ghosted");
        tee.request_pad_simple("src_%u")
            .expect("a tee has any number of pads")
            .link(&pad)
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self(looking))
    }
}

/// Lets through [`RATE`] pictures a second.
fn keep_apart(pad: &gst::Pad) {
    let due = Mutex::new(gst::ClockTime::ZERO);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let mut due = lock(&due);
        match buffer.pts() {
            // Not `Drop`: see `Picture::new`.
            Some(at) if at < *due && at + APART > *due => gst::PadProbeReturn::Handled,
            at => {
                *due = at.unwrap_or_default() + APART;
                gst::PadProbeReturn::Ok
            }
        }
    });
}

struct Looking {
    watcher: Watcher,
    /// Whose zones it has.
    drawing: u64,
    shrinker: Shrinker,
    motion: Arc<Motion>,
    /// Told to have begun, and not to have ended.
    going_on: Vec<Moved>,
    since: Instant,
    is_over: bool,
}

impl Looking {
    fn look(&mut self, sample: &gst::Sample) {
        if self.is_over {
            return;
        }
        let Some(luma) = luma(sample, &mut self.shrinker) else {
            if self.motion.says_first() {
                let caps = sample.caps().map(ToString::to_string);
                warn!(
                    picture = caps.unwrap_or_default(),
                    "there is no motion (motion.enabled): pictures of this format are not looked at"
                );
            }
            return;
        };
        self.take_zones();
        let events = self.watcher.look(&luma, self.since.elapsed());
        self.tell(events);
    }

    /// Watches what was drawn since the last look.
    fn take_zones(&mut self) {
        let drawing = self.motion.moves.drawing();
        if drawing == self.drawing {
            return;
        }
        self.drawing = drawing;
        let drawn = self.motion.moves.drawn();
        let zones = drawn.as_deref().unwrap_or(&self.motion.settings.zones);
        let ended = self.watcher.watch(zones, self.since.elapsed());
        self.tell(ended);
    }

    fn stop(&mut self) {
        self.is_over = true;
        let events = self.watcher.stop(self.since.elapsed());
        self.tell(events);
    }

    fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            let begun = self.going_on.iter().position(|m| m.zone == event.zone);
            let mut moved = match begun {
                Some(at) => self.going_on.swap_remove(at),
                None => Moved {
                    zone: event.zone.clone(),
                    began: SystemTime::now(),
                    ended: None,
                },
            };
            moved.ended = event.end();
            if moved.ended.is_none() {
                self.going_on.push(moved.clone());
            }
            self.motion.moves.tell(moved);
        }
    }
}

/// The small grey picture of a large one of any format whose luma, or green, has
/// eight bits of its own.
fn luma(sample: &gst::Sample, shrinker: &mut Shrinker) -> Option<crate::motion::Luma> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let format = info.format_info();
    if format.is_tiled() || format.is_complex() {
        return None;
    }
    let component = u8::from(format.is_rgb());
    if *format.depth().get(usize::from(component))? != 8 {
        return None;
    }
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let component = u32::from(component);
    shrinker.shrink(Plane {
        data: frame.comp_data(component).ok()?,
        size: (
            usize::try_from(frame.width()).ok()?,
            usize::try_from(frame.height()).ok()?,
        ),
        stride: usize::try_from(frame.comp_stride(component)).ok()?,
        step: usize::try_from(frame.comp_pstride(component)).ok()?,
    })
}
