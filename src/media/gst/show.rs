//! What viewers are shown: the camera, or the slate while it is lost.
//!
//! Carries out what [`Recovery`] decides. The camera is opened on a thread of
//! its own, since drivers take their time; the encoders hang on whichever of
//! the two pictures is shown, and deliver to the same outputs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use tracing::{debug, error, info, warn};

use super::control;
use super::own_rate::OwnRate;
use super::pipeline::{BranchId, OnProblem, Picture, SharedOutput, lock};
use super::plan_picture;
use crate::config::{VideoConfig, VideoSource};
use crate::media::controls::{self, ControlError};
use crate::media::encoder::Encoder;
use crate::media::learned::Learned;
use crate::media::led::{Led, Lit};
use crate::media::picture::{Caption, Painter, Plane};
use crate::media::plan::{self, Carries, Memory, Target};
use crate::media::probe::{Encoders, Found};
use crate::media::recovery::{Action, Event, Limits, Recovery};
use crate::media::{
    Encoding, MediaError, OpenCamera, Output, PictureStatus, VideoRate, Waker, hotplug, v4l2,
};

const LOST: Caption = Caption::Words("CAMERA LOST, WAITING");
const STARTING: Caption = Caption::Words("CAMERA IS STARTING");

/// What pipelines report from their own threads. The number tells them apart:
/// news of a pipeline that was closed since is no news.
enum News {
    Opened(u64, Result<Box<Camera>, MediaError>),
    Flows(u64),
    Problem(u64, Option<BranchId>, MediaError),
}

/// A camera that is open.
struct Camera {
    picture: Picture,
    flowing_since: Option<Instant>,
    /// Where its own H.264 is passed through.
    own_rate: Option<OwnRate>,
    /// After `picture`: fields are dropped in their order, and the light goes
    /// off when the device is closed. `None` for a generated picture.
    _lit: Option<Lit>,
}

impl Camera {
    fn new(picture: Picture, lit: Option<Lit>) -> Self {
        Self {
            own_rate: picture
                .plan
                .node
                .clone()
                .filter(|_| picture.plan.carries == Carries::H264)
                .and_then(|node| OwnRate::new(node, lit.clone())),
            picture,
            flowing_since: None,
            _lit: lit,
        }
    }

    fn shares_buffers(&self) -> bool {
        self.picture.plan.description.contains(" io-mode=dmabuf")
    }
}

/// Sends news and wakes the thread that reads them.
#[derive(Clone)]
struct Teller {
    news: mpsc::Sender<News>,
    waker: Option<Waker>,
}

impl Teller {
    fn tell(&self, news: News) {
        let _ = self.news.send(news);
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    fn on_problem(&self, number: u64) -> OnProblem {
        let this = self.clone();
        Arc::new(move |branch, error| this.tell(News::Problem(number, branch, error)))
    }

    fn on_flow(&self, number: u64) -> impl Fn() + Send + Sync + 'static {
        let this = self.clone();
        move || this.tell(News::Flows(number))
    }
}

/// An encoder in use.
struct Row {
    encoder: Arc<Encoder>,
    /// When it took the place of a better one.
    fell_at: Option<Instant>,
}

impl Row {
    fn first(encoder: Arc<Encoder>) -> Self {
        Self {
            encoder,
            fell_at: None,
        }
    }
}

/// After so long the better one is tried again.
const FORGIVEN: Duration = Duration::from_secs(600);

/// A picture and its number.
struct Numbered<T> {
    number: u64,
    value: T,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Camera,
    Slate,
}

pub(super) struct Show {
    config: VideoConfig,
    led: Led,
    encoders: Arc<Encoders>,
    /// The best encoder for H.264.
    first: Arc<Encoder>,
    /// The rows in use; there is always one for [`Encoding::H264`].
    rows: HashMap<Encoding, Row>,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    recovery: Recovery,
    teller: Teller,
    news: mpsc::Receiver<News>,
    outputs: HashMap<Encoding, SharedOutput>,
    /// What was asked for last.
    rates: HashMap<Encoding, VideoRate>,
    /// The camera's pipeline: `None` while it is being opened.
    camera: Option<Numbered<Option<Camera>>>,
    slate: Option<Numbered<Picture>>,
    /// A test picture, made ahead so that a first viewer need not wait for it.
    spare: Option<Numbered<Picture>>,
    shown: Shown,
    numbers: u64,
    /// The loss of the camera was logged.
    lost: bool,
    learned: Arc<Mutex<Learned>>,
    /// What the log says of the controls that could not be set.
    refused: Arc<Mutex<Vec<ControlError>>>,
}

impl Show {
    pub fn new(
        config: VideoConfig,
        h264: Arc<Encoder>,
        encoders: Arc<Encoders>,
        clock: gst::Clock,
        base_time: gst::ClockTime,
    ) -> Self {
        let (tell, news) = mpsc::channel();
        Self {
            recovery: Recovery::new(
                Limits::for_rate(config.fps),
                hotplug::is_announced(),
                fastrand::u64(..),
            ),
            config,
            led: Led::default(),
            encoders,
            first: h264.clone(),
            rows: HashMap::from([(Encoding::H264, Row::first(h264))]),
            clock,
            base_time,
            teller: Teller {
                news: tell,
                waker: None,
            },
            news,
            outputs: HashMap::new(),
            rates: HashMap::new(),
            camera: None,
            slate: None,
            spare: None,
            shown: Shown::Nothing,
            numbers: 0,
            lost: false,
            learned: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// The light that is on while the camera is open.
    pub fn set_led(&mut self, led: Led) {
        self.led = led;
    }

    pub fn attach(&mut self, waker: Waker) {
        self.teller.waker = Some(waker);
    }

    pub fn start(&mut self, encoding: Encoding, output: Output) {
        self.outputs.insert(encoding, Arc::new(Mutex::new(output)));
        let now = Instant::now();
        self.recovery.handle(Event::Watched, now);
        if self.shown != Shown::Nothing {
            self.hang(encoding);
        }
    }

    pub fn stop(&mut self, encoding: Encoding) {
        self.outputs.remove(&encoding);
        let now = Instant::now();
        self.recovery.handle(Event::EncoderStopped(encoding), now);
        if self.outputs.is_empty() {
            // The whole picture goes; its encoders go with it.
            self.recovery.handle(Event::Unwatched, now);
        } else if let Some(picture) = self.shown_picture() {
            picture.remove_branch(encoding);
        }
    }

    pub fn force_key_frame(&mut self, encoding: Encoding) {
        let row = self.rows.get(&encoding).map(|row| row.encoder.clone());
        let branch = self.shown_picture().and_then(|p| p.branch(encoding));
        if let (Some(row), Some((bin, sink))) = (row, branch) {
            control::force_key_frame(&row, bin, sink);
        }
    }

    pub fn set_rate(&mut self, encoding: Encoding, rate: VideoRate) {
        let before = self.rates.insert(encoding, rate);
        if before == Some(rate) {
            return;
        }
        let percent = before.map_or(100, |before| before.percent);
        if percent != rate.percent && self.resize(encoding, percent, rate.percent) {
            return;
        }
        self.set_own_rate(encoding, rate);
        let row = self.rows.get(&encoding).map(|row| row.encoder.clone());
        let picture = self.shown_picture();
        if let (Some(row), Some(picture)) = (row, picture)
            && let Some((bin, _)) = picture.branch(encoding)
        {
            picture.encode_every(encoding, rate.every);
            control::set_bitrate(&row, bin, counted_in_frames(rate));
        }
    }

    /// Has a camera make its own stream so, which is passed through as the whole
    /// picture.
    fn set_own_rate(&self, encoding: Encoding, rate: VideoRate) {
        let camera = self.camera.as_ref().and_then(|c| c.value.as_ref());
        if encoding == Encoding::H264
            && let Some(own) = camera.and_then(|camera| camera.own_rate.as_ref())
        {
            own.set(rate.bits_per_second);
        }
    }

    /// Has what is shown encoded in another size, by a fresh encoder: few take
    /// another size while they run. False where the size stays as it is.
    fn resize(&mut self, encoding: Encoding, from: u32, to: u32) -> bool {
        let config = self.config.clone();
        let Some(picture) = self.shown_picture() else {
            return false;
        };
        // A camera's own H.264 goes through as it is.
        let encodes = picture
            .branch(encoding)
            .is_some_and(|(bin, _)| bin.by_name("encoder").is_some());
        let whole = picture.plan.size;
        let size = |percent| plan::shrunk_size(&config, whole, encoding.tier, percent);
        let changes = encodes && size(from) != size(to);
        if changes {
            debug!(stream = %encoding, percent = to, "another size");
            self.hang(encoding);
        }
        changes
    }

    pub fn prepare(&mut self) {
        // A camera's mode is asked for when it is opened; without a camera
        // there is nothing to open, and the pipeline can stand ready.
        if self.spare.is_none() && self.config.source == VideoSource::Test {
            let number = self.number();
            let made = self.opener(number).open();
            self.spare = made.ok().map(|value| Numbered { number, value });
        }
    }

    pub fn device_appeared(&mut self, now: Instant) {
        self.recovery.handle(Event::Announced, now);
    }

    pub fn status(&self) -> PictureStatus {
        let node = match &self.camera {
            Some(Numbered {
                value: Some(camera),
                ..
            }) if self.recovery.is_live() => camera.picture.plan.node.clone(),
            _ => None,
        };
        PictureStatus {
            status: self.recovery.status(),
            camera: node.map(|node| OpenCamera {
                node,
                led: self.led.clone(),
            }),
            size: self.size(),
        }
    }

    /// Width and height of what is shown.
    fn size(&self) -> Option<(u32, u32)> {
        let picture = match self.shown {
            Shown::Nothing => None,
            Shown::Camera => self.camera.as_ref()?.value.as_ref().map(|c| &c.picture),
            Shown::Slate => self.slate.as_ref().map(|s| &s.value),
        };
        let caps = picture?
            .element("tee")?
            .static_pad("sink")?
            .current_caps()?;
        let caps = caps.structure(0)?;
        let pixels = |name| u32::try_from(caps.get::<i32>(name).ok()?).ok();
        Some((pixels("width")?, pixels("height")?))
    }

    pub fn poll(&mut self, now: Instant) -> Option<Instant> {
        while let Ok(news) = self.news.try_recv() {
            self.hear(news, now);
        }
        self.act(now);
        let (source, encoded) = match self.shown_picture() {
            Some(picture) => (picture.last_frame(), {
                let encodings = picture.encodings();
                let encoded = encodings.into_iter().map(|c| (c, picture.last_encoded(c)));
                encoded.collect::<HashMap<_, _>>()
            }),
            None => (None, HashMap::new()),
        };
        self.recovery.observe(now, source, |encoding| {
            encoded.get(&encoding).copied().flatten()
        });
        self.act(now);
        self.recovery.poll_timeout(now)
    }

    fn hear(&mut self, news: News, now: Instant) {
        let is_camera = |this: &Self, number| {
            this.camera
                .as_ref()
                .is_some_and(|camera| camera.number == number)
        };
        match news {
            News::Opened(number, result) => {
                if !is_camera(self, number) {
                    // Given up meanwhile; dropped, it closes.
                    return;
                }
                match result {
                    Ok(camera) => self.opened(number, *camera, now),
                    Err(error) => self.camera_failed(&error, now),
                }
            }
            News::Flows(number) => {
                // It may flow before it is said to be open; then `opened` sees it.
                let is_open = self.camera.as_ref().is_some_and(|c| c.value.is_some());
                if is_camera(self, number) && is_open {
                    self.flows(now);
                }
            }
            News::Problem(number, branch, error) => {
                let shown = self.shown_number() == Some(number);
                match branch {
                    Some(branch)
                        if shown && self.shown_picture().is_some_and(|p| p.has(branch)) =>
                    {
                        self.encoder_failed(branch.encoding, &error, now);
                    }
                    Some(_) => {}
                    None if is_camera(self, number) => self.camera_failed(&error, now),
                    None if self.slate.as_ref().is_some_and(|s| s.number == number) => {
                        error!(%error, "the slate failed");
                    }
                    None => {}
                }
            }
        }
    }

    fn opened(&mut self, number: u64, camera: Camera, now: Instant) {
        let already = camera.picture.last_frame().is_some();
        self.camera = Some(Numbered {
            number,
            value: Some(camera),
        });
        if let Some(rate) = self.rates.get(&Encoding::H264).copied() {
            self.set_own_rate(Encoding::H264, rate);
        }
        // Nothing else is shown: the encoders need not wait for its first
        // frame, and the first frame not for them.
        if self.shown == Shown::Nothing {
            self.shown = Shown::Camera;
            self.hang_all();
        }
        if already {
            self.flows(now);
        }
    }

    /// The first frame came out of the camera that is open.
    fn flows(&mut self, now: Instant) {
        if std::mem::take(&mut self.lost) {
            info!("the camera is back");
        }
        let camera = self.camera.as_mut().and_then(|c| c.value.as_mut());
        if let Some(camera) = camera {
            camera.flowing_since.get_or_insert(now);
        }
        self.recovery.handle(Event::CameraFlows, now);
    }

    fn camera_failed(&mut self, error: &MediaError, now: Instant) {
        // A pulled plug is a stream error like any other, but for the node.
        let open = self.camera.as_ref().and_then(|c| c.value.as_ref());
        let node = open.and_then(|camera| camera.picture.plan.node.as_deref());
        let gone = node.is_some_and(|n| n.starts_with('/') && !Path::new(n).exists());
        self.recovery.handle(
            Event::CameraFailed {
                reason: error.to_string(),
                absent: gone || error.is_absent(),
            },
            now,
        );
    }

    fn encoder_failed(&mut self, encoding: Encoding, error: &MediaError, now: Instant) {
        let reason = error.to_string();
        self.recovery
            .handle(Event::EncoderFailed(encoding, reason), now);
    }

    /// Logs and learns from the loss of the camera, before it is closed.
    fn note_loss(&mut self, now: Instant) {
        let (Some(reason), Some(camera)) = (self.recovery.loss(), &self.camera) else {
            return;
        };
        let opened = camera.value.as_ref();
        let worked = opened
            .and_then(|camera| camera.flowing_since)
            .map(|since| now.saturating_duration_since(since));
        let shared = opened.is_some_and(Camera::shares_buffers);
        let mut learned = lock(&self.learned);
        learned.failed(reason, worked, shared);
        if opened.is_none() && reason.contains(plan::NO_MODE_LEFT) {
            learned.out_of_modes();
        }
        drop(learned);
        // The first says it; the rest would only say it again.
        if std::mem::replace(&mut self.lost, true) {
            debug!(error = reason, "the camera is still lost");
        } else {
            warn!(
                error = reason,
                "the camera is lost; viewers see a slate, and it is tried again until it works"
            );
        }
    }

    fn act(&mut self, now: Instant) {
        self.note_loss(now);
        while let Some(action) = self.recovery.next_action() {
            match action {
                Action::OpenCamera => self.open_camera(now),
                Action::CloseCamera => {
                    if self.shown == Shown::Camera {
                        self.shown = Shown::Nothing;
                    }
                    self.camera = None;
                }
                Action::ShowCamera => self.show_camera(),
                Action::ShowSlate => self.show_slate(),
                Action::ShowNothing => {
                    self.shown = Shown::Nothing;
                    self.slate = None;
                    self.camera = None;
                    self.lost = false;
                    self.forgive(now);
                    self.prepare();
                }
                Action::RestartEncoder(encoding) => self.hang(encoding),
                Action::NextEncoder(encoding) => {
                    self.next_encoder(encoding);
                    self.hang(encoding);
                }
            }
        }
    }

    fn open_camera(&mut self, now: Instant) {
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
        let refused = self.refused.clone();
        let thread = std::thread::Builder::new().name("camera-open".into());
        let spawned = thread.spawn(move || {
            // From before anything touches a node until nothing here does any
            // more; the camera has one of its own.
            let lit = opener.light();
            let camera = lit.as_ref().map_err(Clone::clone).and_then(|lit| {
                let picture = opener.open()?;
                picture.play(&clock, base_time)?;
                Ok(Box::new(Camera::new(picture, lit.clone())))
            });
            let opened = camera.as_ref().ok();
            let node = opened.and_then(|camera| camera.picture.plan.node.clone());
            opener.teller.tell(News::Opened(number, camera));
            // The picture does not wait for them.
            if let Some(node) = node {
                set_controls(&node, &opener.config, &mut lock(&refused));
            }
        });
        if let Err(e) = spawned {
            let error = MediaError::Pipeline {
                what: "camera".to_owned(),
                problem: format!("no thread to open it: {e}"),
            };
            self.camera_failed(&error, now);
        }
    }

    fn opener(&self, number: u64) -> Opener {
        Opener {
            config: self.config.clone(),
            led: self.led.clone(),
            h264: self.rows[&Encoding::H264].encoder.clone(),
            learned: self.learned.clone(),
            teller: self.teller.clone(),
            number,
        }
    }

    fn show_camera(&mut self) {
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

    fn show_slate(&mut self) {
        if self.shown == Shown::Camera {
            self.unhang_all();
        }
        let number = self.number();
        let caption = if self.lost { LOST } else { STARTING };
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
        self.shown = Shown::Slate;
        self.hang_all();
    }

    fn shown_picture(&mut self) -> Option<&mut Picture> {
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

    fn shown_number(&self) -> Option<u64> {
        match self.shown {
            Shown::Nothing => None,
            Shown::Camera => self.camera.as_ref().map(|c| c.number),
            Shown::Slate => self.slate.as_ref().map(|s| s.number),
        }
    }

    fn hang_all(&mut self) {
        let encodings: Vec<_> = self.outputs.keys().copied().collect();
        for encoding in encodings {
            self.hang(encoding);
        }
    }

    fn unhang_all(&mut self) {
        if let Some(picture) = self.shown_picture() {
            for encoding in picture.encodings() {
                picture.remove_branch(encoding);
            }
        }
    }

    /// Puts a fresh encoder for `encoding` on what is shown.
    fn hang(&mut self, encoding: Encoding) {
        let (Some(output), row) = (self.outputs.get(&encoding).cloned(), self.encoder(encoding))
        else {
            return;
        };
        let rate = self.rates.get(&encoding).copied().unwrap_or(VideoRate {
            bits_per_second: self.config.bitrate_kbps.saturating_mul(1000),
            every: 1,
            percent: 100,
        });
        let config = self.config.clone();
        let Some(picture) = self.shown_picture() else {
            return;
        };
        picture.remove_branch(encoding);
        let memory = match picture.plan.description.contains(" io-mode=dmabuf") {
            true => Memory::Dmabuf,
            false => Memory::Mmap,
        };
        let hung = row.and_then(|row| {
            let plan = &picture.plan;
            let passes = plan.carries == Carries::H264 && encoding == Encoding::H264;
            let percent = if passes { 100 } else { rate.percent };
            let target = Target {
                bits_per_second: counted_in_frames(rate),
                size: plan::shrunk_size(&config, plan.size, encoding.tier, percent),
            };
            let description = plan::branch(&row, target, &plan.carries, plan.fps, memory);
            picture.add_branch(encoding, &description, rate.every, output)
        });
        let now = Instant::now();
        self.recovery.handle(Event::EncoderStarted(encoding), now);
        if let Err(error) = hung {
            self.encoder_failed(encoding, &error, now);
        }
    }

    fn encoder(&mut self, encoding: Encoding) -> Result<Arc<Encoder>, MediaError> {
        if let Some(row) = self.rows.get(&encoding) {
            return Ok(row.encoder.clone());
        }
        let Found { encoder, .. } = match encoding.tier {
            0 => self.encoders.best(encoding.codec)?,
            tier => {
                let whole = (self.config.width, self.config.height);
                let size = plan::tier_size(&self.config, whole, tier);
                self.encoders.beside_best(encoding.codec, size)?
            }
        };
        self.rows.insert(encoding, Row::first(encoder.clone()));
        Ok(encoder)
    }

    /// Puts the next one that works in the place of one that failed twice; the
    /// best again behind the last.
    fn next_encoder(&mut self, encoding: Encoding) {
        let Some(failed) = self.rows.get(&encoding).map(|row| row.encoder.clone()) else {
            return;
        };
        let next = match self.encoders.after(&failed.id) {
            Some(next) => {
                for warning in &next.report.warnings {
                    warn!(encoder = %next.encoder.id, "{warning}");
                }
                Row {
                    encoder: next.encoder,
                    fell_at: Some(Instant::now()),
                }
            }
            None => match self.encoders.best(encoding.codec) {
                Ok(best) => Row::first(best.encoder),
                Err(error) => return error!(%error, "no encoder is left"),
            },
        };
        warn!(
            stream = %encoding, failed = %failed.id, next = %next.encoder.id,
            "another encoder takes over"
        );
        self.rows.insert(encoding, next);
    }

    /// An encoder that failed after many hours may work again: it is given a
    /// new chance when nobody would notice.
    fn forgive(&mut self, now: Instant) {
        self.rows.retain(|_, row| {
            row.fell_at
                .is_none_or(|at| now.saturating_duration_since(at) < FORGIVEN)
        });
        // The camera's mode is chosen for what this one takes.
        self.rows
            .entry(Encoding::H264)
            .or_insert_with(|| Row::first(self.first.clone()));
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// Encoders count frames, not time: of fewer each may be as much larger.
fn counted_in_frames(rate: VideoRate) -> u32 {
    rate.bits_per_second.saturating_mul(rate.every.max(1))
}

/// An HDMI bridge streams at the timings that it was last set to.
fn take_timings(node: &str) {
    match v4l2::Node::open(Path::new(node)).and_then(|node| node.take_timings()) {
        Ok(true) => debug!(camera = node, "set to the signal that it receives"),
        Ok(false) => {}
        // What comes of it is seen when it streams.
        Err(error) => debug!(camera = node, %error, "its timings were not set"),
    }
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

/// All that is needed to open the camera, on another thread.
struct Opener {
    config: VideoConfig,
    led: Led,
    h264: Arc<Encoder>,
    learned: Arc<Mutex<Learned>>,
    teller: Teller,
    number: u64,
}

impl Opener {
    /// Switches the light on where there is a device to open.
    fn light(&self) -> Result<Option<Lit>, MediaError> {
        match self.config.source {
            VideoSource::V4l2 | VideoSource::Custom => self.led.light().map(Some),
            VideoSource::Test => Ok(None),
        }
    }

    /// Makes the camera's pipeline, or the one that stands for it.
    fn open(&self) -> Result<Picture, MediaError> {
        let learned = lock(&self.learned).clone();
        let plan = plan_picture(&self.config, &self.h264.formats, &learned)?;
        debug!(picture = %plan.what, "{}", plan.reason);
        lock(&self.learned).turn_to(plan.node.as_deref());
        if let Some(node) = &plan.node {
            take_timings(node);
        }
        let (on_flow, on_problem) = (
            self.teller.on_flow(self.number),
            self.teller.on_problem(self.number),
        );
        let own_h264 = plan.mode.as_ref().is_some_and(|m| m.fourcc == "H264");
        let picture = Picture::new(plan, on_flow, on_problem)?;
        if self.config.source == VideoSource::Test
            && let Some(source) = picture.element("picture")
        {
            paint(&source, Caption::Counter);
        }
        if own_h264 && let Some(parser) = picture.element_made_by("h264parse") {
            self.watch_key_frames(&parser);
        }
        Ok(picture)
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

/// Paints a caption on what `source` makes.
fn paint(source: &gst::Element, caption: Caption) {
    let Some(pad) = source.static_pad("src") else {
        return;
    };
    let state = Mutex::new((Painter::new(caption), 0_u64, None));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut probe.data else {
            return gst::PadProbeReturn::Ok;
        };
        let (painter, frame, info) = &mut *lock(&state);
        if info.is_none() {
            *info = pad
                .current_caps()
                .and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        }
        if let Some(info) = info {
            paint_buffer(painter, buffer.make_mut(), info, *frame);
            *frame += 1;
        }
        gst::PadProbeReturn::Ok
    });
}

fn paint_buffer(
    painter: &mut Painter,
    buffer: &mut gst::BufferRef,
    info: &gst_video::VideoInfo,
    frame: u64,
) {
    let Ok(now) = gst::glib::DateTime::now_local() else {
        return;
    };
    let seconds = now.hour() * 3600 + now.minute() * 60 + now.second();
    let time = seconds as u32 * 1000 + now.microsecond() as u32 / 1000;
    let Ok(mut map) = buffer.map_writable() else {
        return;
    };
    let (offsets, strides) = (info.offset(), info.stride());
    if offsets.len() < 3 || map.len() < offsets[2] || offsets[2] < offsets[1] {
        return;
    }
    let (y, chroma) = map.split_at_mut(offsets[1]);
    let (u, v) = chroma.split_at_mut(offsets[2] - offsets[1]);
    let (width, height) = (info.width() as usize, info.height() as usize);
    let plane = |data, i: usize, divide: usize| Plane {
        data,
        stride: strides[i].unsigned_abs() as usize,
        width: width / divide,
        height: height / divide,
    };
    painter.paint(
        [plane(y, 0, 1), plane(u, 1, 2), plane(v, 2, 2)],
        time,
        frame,
    );
}
