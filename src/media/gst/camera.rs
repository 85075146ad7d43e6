//! The camera of a [`Show`](super::show::Show): how it is opened, and what its
//! pipeline reports.

use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError, mpsc};
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::{debug, warn};

use super::branch::BranchId;
use super::caption::paint;
use super::encoders::{Chosen, OnChosen};
use super::openers::{GivenUp, Opening};
use super::overlay::Caption;
use super::own_rate::OwnRate;
use super::picture::Picture;
use super::pipeline::OnProblem;
use super::tap::Motion;
use super::{plan_picture, whole};
use crate::config::{VideoConfig, VideoSource};
use crate::device::controls::{self, ControlError};
use crate::device::discovery::video4linux;
use crate::device::learned::Learned;
use crate::device::led::{Led, Lit};
use crate::device::v4l2;
use crate::lock::lock;
use crate::media::encoder::Encoder;
use crate::media::error::MediaError;
use crate::media::frame::profile_level_id;
use crate::media::hub::source::Waker;
use crate::media::plan::Carries;
use crate::media::stream::Encoding;

/// An SPS is looked for in so much of what a camera gives at once, in bytes: it
/// stands before the first slice.
const SPS_WITHIN: usize = 512;

/// For messages.
const CAMERA: &str = "camera";

/// A camera that is open.
pub(super) struct Camera {
    pub picture: Picture,
    /// When its first frame came out.
    pub flowing_since: Option<Instant>,
    /// Where its own H.264 is passed through.
    pub own_rate: Option<OwnRate>,
}

impl Camera {
    /// One whose picture plays. `lit` is the light for its own bitrate.
    pub(super) fn new(picture: Picture, lit: Option<Lit>) -> Self {
        Self {
            own_rate: picture
                .plan
                .node
                .clone()
                .filter(|_| picture.plan.carries == Carries::H264)
                .and_then(|node| OwnRate::new(node, lit)),
            picture,
            flowing_since: None,
        }
    }

    pub(super) fn shares_buffers(&self) -> bool {
        self.picture.shares_buffers()
    }
}

/// What pipelines report from their own threads. The number tells them apart:
/// news of a pipeline that was closed since is no news.
pub(super) enum News {
    Opened(u64, Result<Box<Camera>, MediaError>),
    Flows(u64),
    Problem(u64, Option<BranchId>, MediaError),
    /// The encoder that a stream waited for.
    Chosen(Encoding, Result<Chosen, MediaError>),
}

/// Sends news and wakes the thread that reads them.
#[derive(Clone)]
pub(super) struct Teller {
    pub news: mpsc::Sender<News>,
    pub waker: Option<Waker>,
}

impl Teller {
    pub(super) fn tell(&self, news: News) {
        let _ = self.news.send(news);
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    pub(super) fn on_problem(&self, number: u64) -> OnProblem {
        let this = self.clone();
        Arc::new(move |branch, error| this.tell(News::Problem(number, branch, error)))
    }

    pub(super) fn on_chosen(&self) -> OnChosen {
        let this = self.clone();
        Arc::new(move |encoding, chosen| this.tell(News::Chosen(encoding, chosen)))
    }

    fn on_flow(&self, number: u64) -> impl Fn() + Send + Sync + 'static {
        let this = self.clone();
        move || this.tell(News::Flows(number))
    }
}

/// All that is needed to open the camera, on another thread.
pub(super) struct Opener {
    pub config: VideoConfig,
    pub led: Led,
    pub h264: Arc<Encoder>,
    pub learned: Arc<Mutex<Learned>>,
    /// What the log says of the controls that could not be set.
    pub refused: Arc<Mutex<Vec<ControlError>>>,
    /// What is looked for in its picture.
    pub motion: Option<Arc<Motion>>,
    pub teller: Teller,
    pub number: u64,
}

impl Opener {
    /// Opens it on a thread of its own, which tells of it.
    pub(super) fn spawn(
        self,
        opening: Arc<Opening>,
        clock: gst::Clock,
        base_time: gst::ClockTime,
    ) -> Result<(), MediaError> {
        let thread = std::thread::Builder::new().name("camera-open".into());
        let spawned = thread.spawn(move || {
            // From before anything touches a node until nothing here does any
            // more; the camera has one of its own.
            let given_up = opening.given_up();
            let lit = given_up.check(CAMERA).and_then(|()| self.light());
            let camera = lit.as_ref().map_err(Clone::clone).and_then(|lit| {
                let mut picture = self.open(Some(&opening))?;
                picture.hold(lit.clone(), opening.clone());
                given_up.check(CAMERA)?;
                picture.play(&clock, base_time)?;
                Ok(Box::new(Camera::new(picture, lit.clone())))
            });
            let opened = camera.as_ref().ok();
            let node = opened.and_then(|camera| camera.picture.plan.node.clone());
            // The picture has one of its own, until it is closed.
            drop(opening);
            self.teller.tell(News::Opened(self.number, camera));
            // The picture does not wait for them.
            if let Some(node) = node {
                self.set_controls(&node, &given_up);
            }
        });
        match spawned {
            Ok(_) => Ok(()),
            Err(e) => Err(MediaError::Pipeline {
                what: CAMERA.to_owned(),
                problem: format!("no thread to open it: {e}"),
            }),
        }
    }

    /// Sets the configured controls of a camera that was not closed again.
    fn set_controls(&self, node: &str, given_up: &GivenUp) {
        if given_up.is_set() {
            return;
        }
        match self.refused.try_lock() {
            Ok(mut refused) => set_controls(node, &self.config, &mut refused),
            Err(TryLockError::Poisoned(refused)) => {
                set_controls(node, &self.config, &mut refused.into_inner());
            }
            // Its driver hangs in one of them; one thread is enough.
            Err(TryLockError::WouldBlock) => {
                debug!(camera = node, "its controls are still being set");
            }
        }
    }

    /// Switches the light on where there is a device to open.
    fn light(&self) -> Result<Option<Lit>, MediaError> {
        match self.config.source {
            VideoSource::V4l2 | VideoSource::Custom => Ok(Some(self.led.light()?)),
            VideoSource::Test => Ok(None),
        }
    }

    /// Makes the camera's pipeline, or the one that stands for it.
    pub(super) fn open(&self, opening: Option<&Opening>) -> Result<Picture, MediaError> {
        let learned = lock(&self.learned).clone();
        let plan = plan_picture(&self.config, &self.h264.formats, &learned)?;
        debug!(picture = %plan.what, "{}", plan.reason);
        lock(&self.learned).turn_to(plan.node.as_deref());
        if let Some(opening) = opening {
            opening.of(plan.node.as_deref());
        }
        let receives = plan.node.as_deref().is_some_and(take_timings);
        let (on_flow, on_problem) = (
            self.teller.on_flow(self.number),
            self.teller.on_problem(self.number),
        );
        let own_h264 = plan.mode.as_ref().is_some_and(|m| m.fourcc == "H264");
        let problem = on_problem.clone();
        let mut picture = Picture::new(plan, on_flow, on_problem)?;
        if receives {
            watch_signal(&picture, problem.clone());
        }
        if let Some(motion) = &self.motion {
            picture.watch(motion)?;
        }
        if let (Some(decoder), Some(node)) =
            (picture.element_made_by("jpegdec"), &picture.plan.node)
        {
            whole::keep_whole(&decoder, node, problem);
        }
        if self.config.source == VideoSource::Test
            && let Some(source) = picture.element("picture")
        {
            paint(&source, Caption::Counter);
        }
        if own_h264 && let Some(parser) = picture.element_made_by("h264parse") {
            self.watch_key_frames(&parser);
            self.watch_profile(&parser);
        }
        Ok(picture)
    }

    /// Learns the profile of the camera's own H.264, of the first SPS that comes.
    fn watch_profile(&self, parser: &gst::Element) {
        let Some(pad) = parser.static_pad("sink") else {
            return;
        };
        let learned = self.learned.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                && let Ok(bytes) = buffer.map_readable()
                && let Some(profile) = profile_level_id(&bytes[..bytes.len().min(SPS_WITHIN)])
            {
                lock(&learned).own_profile(profile);
                return gst::PadProbeReturn::Remove;
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Learns how far apart the key frames of the camera's own H.264 are.
    fn watch_key_frames(&self, parser: &gst::Element) {
        let Some(pad) = parser.static_pad("src") else {
            return;
        };
        let learned = self.learned.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                && let Some(at) = buffer.pts()
            {
                let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                lock(&learned).own_access_unit(at.into(), key);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// An HDMI bridge streams at the timings that it was last set to. True where
/// the node is one.
fn take_timings(node: &str) -> bool {
    match v4l2::Node::open(Path::new(node)).and_then(|node| node.take_timings()) {
        Ok(true) => {
            debug!(camera = node, "set to the signal that it receives");
            true
        }
        Ok(false) => false,
        // What comes of it is seen when it streams.
        Err(error) => {
            debug!(camera = node, %error, "its timings were not set");
            true
        }
    }
}

/// Tells when an HDMI bridge has lost its signal. When its driver says that the
/// signal has changed, v4l2src negotiates anew; where there is none any more it
/// goes on with what comes then, which is no picture (GStreamer 1.22,
/// gst_v4l2src_handle_resolution_change).
fn watch_signal(picture: &Picture, problem: OnProblem) {
    let source = picture.element("device");
    let (Some(pad), Some(node)) = (
        source.and_then(|source| source.static_pad("src")),
        picture.plan.node.clone(),
    ) else {
        return;
    };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        // The last step of each negotiation.
        if let Some(gst::PadProbeData::Query(query)) = &info.data
            && matches!(query.view(), gst::QueryView::Allocation(_))
            && let Some(lost) = video4linux::lost_signal(&node)
        {
            let device = node.clone();
            problem(
                None,
                MediaError::Camera {
                    device,
                    problem: lost,
                },
            );
        }
        gst::PadProbeReturn::Ok
    });
}

/// Sets the configured controls. `refused` were logged before: each opening
/// of the camera would only say them again.
fn set_controls(node: &str, config: &VideoConfig, refused: &mut Vec<ControlError>) {
    let errors = controls::apply(node, &config.controls);
    for error in errors.iter().filter(|error| !refused.contains(error)) {
        warn!(camera = node, %error, "video.controls: one was not set; correct it or remove it");
    }
    *refused = errors;
}
