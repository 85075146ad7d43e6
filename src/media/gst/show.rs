//! What viewers are shown: the camera, or the slate while it is lost.
//!
//! Carries out what [`Recovery`] decides. The camera is opened on a thread of
//! its own, since drivers take their time; the encoders hang on whichever of
//! the two pictures is shown, and deliver to the same outputs.

mod acting;
mod renewal;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::{debug, error, info, warn};

use super::camera::{Camera, News, Teller};
use super::encoders::Rows;
use super::openers::{GivenUp, Openers};
use super::overlay::Caption;
use super::picture::Picture;
use super::pipeline::SharedOutput;
use super::tap::Motion;
use crate::config::{VideoConfig, VideoSource};
use crate::device::controls::ControlError;
use crate::device::hotplug;
use crate::device::learned::Learned;
use crate::device::led::Led;
use crate::lock::lock;
use crate::media::element::control;
use crate::media::encoder::Encoder;
use crate::media::error::MediaError;
use crate::media::hub::source::{OpenCamera, Output, OwnH264, PictureStatus, Waker};
use crate::media::moved::Moves;
use crate::media::plan::{self, Carries};
use crate::media::probe::Encoders;
use crate::media::recovery::{Event, Limits, Recovery, Slate};
use crate::media::stream::{Encoding, VideoRate};
use crate::motion::Settings;
use crate::sdp::ProfileLevelId;
use renewal::Renewal;

const LOST: Caption = Caption::Words("CAMERA LOST, WAITING");
const STARTING: Caption = Caption::Words("CAMERA IS STARTING");
const PRIVATE: Caption = Caption::Words("CAMERA IS SWITCHED OFF");

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
    rows: Rows,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    recovery: Recovery,
    teller: Teller,
    news: mpsc::Receiver<News>,
    outputs: HashMap<Encoding, SharedOutput>,
    /// What was asked for last.
    rates: HashMap<Encoding, VideoRate>,
    openers: Openers,
    /// That a driver hangs was logged.
    stuck: bool,
    /// The camera's pipeline: `None` while it is being opened.
    camera: Option<Numbered<Option<Camera>>>,
    /// Gives it up while it is being opened.
    given_up: GivenUp,
    slate: Option<Numbered<Picture>>,
    /// A test picture, made ahead so that a first viewer need not wait for it.
    spare: Option<Numbered<Picture>>,
    shown: Shown,
    /// What a slate says.
    says: Slate,
    numbers: u64,
    /// The loss of the camera was logged.
    lost: bool,
    learned: Arc<Mutex<Learned>>,
    /// What the log says of the controls that could not be set.
    refused: Arc<Mutex<Vec<ControlError>>>,
    /// What is to be looked for, before it is known who is told.
    settings: Option<Settings>,
    motion: Option<Arc<Motion>>,
    renewal: Renewal,
}

impl Show {
    pub(super) fn new(
        config: VideoConfig,
        h264: Arc<Encoder>,
        encoders: Arc<Encoders>,
        clock: gst::Clock,
        base_time: gst::ClockTime,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a few for each start, and a streaming thread must not wait"
        )]
        let (tell, news) = mpsc::channel();
        Self {
            recovery: Recovery::new(
                Limits::for_rate(config.fps),
                hotplug::is_announced(),
                fastrand::u64(..),
            ),
            config,
            led: Led::default(),
            rows: Rows::new(encoders, h264),
            clock,
            base_time,
            teller: Teller {
                news: tell,
                waker: None,
            },
            news,
            outputs: HashMap::new(),
            rates: HashMap::new(),
            openers: Openers::default(),
            stuck: false,
            camera: None,
            given_up: GivenUp::default(),
            slate: None,
            spare: None,
            shown: Shown::Nothing,
            says: Slate::Starting,
            numbers: 0,
            lost: false,
            learned: Arc::default(),
            refused: Arc::default(),
            settings: None,
            motion: None,
            renewal: Renewal::default(),
        }
    }

    /// Looks for motion, also while nobody watches.
    pub(super) fn set_motion(&mut self, settings: Option<Settings>) {
        self.settings = settings;
    }

    /// Who is told of it.
    pub(super) fn attach_moves(&mut self, moves: Arc<Moves>) {
        let motion = |settings| Arc::new(Motion::new(settings, moves));
        self.motion = self.settings.take().map(motion);
    }

    /// The light that is on while the camera is open.
    pub(super) fn set_led(&mut self, led: Led) {
        self.led = led;
    }

    pub(super) fn attach(&mut self, waker: Waker) {
        self.teller.waker = Some(waker);
    }

    pub(super) fn start(&mut self, encoding: Encoding, output: Output) {
        self.outputs.insert(encoding, Arc::new(Mutex::new(output)));
        let now = Instant::now();
        self.recovery.handle(Event::Watched, now);
        if self.shown == Shown::Slate && self.slate.is_none() {
            self.make_slate();
        } else if self.shown != Shown::Nothing {
            self.hang(encoding);
        }
    }

    pub(super) fn stop(&mut self, encoding: Encoding) {
        self.outputs.remove(&encoding);
        let now = Instant::now();
        self.recovery.handle(Event::EncoderStopped(encoding), now);
        if self.outputs.is_empty() && self.motion.is_none() {
            // The whole picture goes; its encoders go with it.
            self.recovery.handle(Event::Unwatched, now);
        } else if let Some(picture) = self.shown_picture() {
            picture.remove_branch(encoding);
        }
        if self.outputs.is_empty() {
            self.slate = None;
            self.rows.forgive(now);
        }
    }

    pub(super) fn force_key_frame(&mut self, encoding: Encoding) {
        let row = self.rows.get(encoding);
        let branch = self.shown_picture().and_then(|p| p.branch(encoding));
        if let (Some(row), Some((bin, sink))) = (row, branch) {
            control::force_key_frame(&row, bin, sink);
        }
    }

    pub(super) fn set_rate(&mut self, encoding: Encoding, rate: VideoRate) {
        let before = self.rates.insert(encoding, rate);
        if before == Some(rate) {
            return;
        }
        let percent = before.map_or(100, |before| before.percent);
        if percent != rate.percent && self.resize(encoding, percent, rate.percent) {
            return;
        }
        self.set_own_rate(encoding, rate);
        let row = self.rows.get(encoding);
        let picture = self.shown_picture();
        if let (Some(row), Some(picture)) = (row, picture)
            && let Some((bin, _)) = picture.branch(encoding)
        {
            picture.encode_every(encoding, rate.every);
            let asked = row.asked_for(rate.bits_per_second, rate.every);
            control::set_bitrate(&row, bin, asked);
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

    pub(super) fn prepare(&mut self) {
        // A camera's mode is asked for when it is opened; without a camera
        // there is nothing to open, and the pipeline can stand ready.
        if self.spare.is_none() && self.config.source == VideoSource::Test {
            let number = self.number();
            let made = self.opener(number).open(None);
            self.spare = made.ok().map(|value| Numbered { number, value });
        }
        if self.motion.is_some() {
            self.recovery.handle(Event::Watched, Instant::now());
        }
    }

    /// An encoder is being tried for this stream.
    pub(super) fn is_choosing(&self, encoding: Encoding) -> bool {
        self.rows.is_choosing(encoding)
    }

    /// The owner wants the camera closed, or no longer.
    pub(super) fn set_private(&mut self, private: bool, now: Instant) {
        self.recovery.handle(Event::Private(private), now);
    }

    pub(super) fn device_appeared(&mut self, now: Instant) {
        self.recovery.handle(Event::Announced, now);
    }

    pub(super) fn status(&self) -> PictureStatus {
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

    /// The profiles of those who watch H.264.
    pub(super) fn set_decoders(&mut self, decoders: Vec<ProfileLevelId>) {
        lock(&self.learned).set_decoders(decoders);
    }

    /// The H.264 of the camera's own: passed through by the plan that it was
    /// opened with, or, while it is closed, by what was learned since.
    pub(super) fn own_h264(&self) -> Option<OwnH264> {
        let learned = lock(&self.learned);
        let profile = learned.profile()?;
        let camera = self.camera.as_ref().and_then(|c| c.value.as_ref());
        Some(OwnH264 {
            profile,
            passes: match camera {
                Some(camera) => camera.picture.plan.carries == Carries::H264,
                None => learned.pass_through(),
            },
            is_open: camera.is_some(),
        })
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

    pub(super) fn poll(&mut self, now: Instant) -> Option<Instant> {
        while let Ok(news) = self.news.try_recv() {
            self.hear(news, now);
        }
        self.open_anew(now);
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
                    // Given up meanwhile; dropped, it closes. What waited for
                    // its driver can go on.
                    drop(result);
                    self.recovery.handle(Event::Announced, now);
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
            News::Chosen(encoding, chosen) => {
                if self.rows.chosen(encoding, &chosen) && self.shown != Shown::Nothing {
                    match chosen {
                        Ok(_) => self.hang(encoding),
                        Err(error) => {
                            self.recovery.handle(Event::EncoderStarted(encoding), now);
                            self.encoder_failed(encoding, &error, now);
                        }
                    }
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
                unannounced: error.is_of_signal(),
            },
            now,
        );
    }

    fn encoder_failed(&mut self, encoding: Encoding, error: &MediaError, now: Instant) {
        let reason = error.to_string();
        let picture = self.shown_picture();
        // The next one, of the same kind, gets copies.
        if picture.is_some_and(|picture| picture.imports(encoding)) {
            lock(&self.learned).cannot_share();
        }
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
}
