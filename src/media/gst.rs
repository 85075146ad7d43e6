//! Picture and sound through GStreamer.
//!
//! Picture and sound are two pipelines under one clock and one base time, so
//! that a fault of one does not stop the other and both stamp alike. The
//! picture's encoders hang on a tee, one branch a codec, added and removed
//! while it runs: the camera's node can be opened only once.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tracing::debug;

use super::encoder::Encoder;
use super::frame::profile_level_id;
use super::hub::Failure;
use super::picture::{Painter, Plane};
use super::{AccessUnit, MediaError, Output, Source, Stream, devices, plan};
use crate::config::{AudioConfig, AudioSource, VideoConfig, VideoSource};
use crate::sdp::{ProfileLevelId, VideoCodec};

/// A trial encode that takes longer has failed.
const TRIAL: Duration = Duration::from_secs(5);
/// Unlinking a branch waits this long for the streaming thread.
const UNLINK: Duration = Duration::from_secs(2);

/// What the encoder check found.
#[derive(Debug, Clone, Copy)]
pub struct EncoderCheck {
    /// The row that works.
    pub encoder: &'static Encoder,
    /// What its SPS says.
    pub profile: Option<ProfileLevelId>,
}

/// Starts GStreamer.
pub fn init() -> Result<(), MediaError> {
    gst::init().map_err(|e| MediaError::Init(e.to_string()))
}

/// Encodes a frame with each candidate until one works: a factory that exists
/// is not an encoder that works.
pub fn check_encoder(config: &VideoConfig) -> Result<EncoderCheck, MediaError> {
    let codec = VideoCodec::H264;
    let candidates = Encoder::candidates(codec, &config.encoder);
    if candidates.is_empty() {
        let known: Vec<_> = Encoder::candidates(codec, "auto")
            .iter()
            .map(|e| e.id)
            .collect();
        return Err(MediaError::UnknownEncoder {
            wanted: config.encoder.clone(),
            known: known.join(", "),
        });
    }
    let mut reasons = Vec::new();
    for encoder in candidates {
        match trial(encoder, config) {
            Ok(profile) => return Ok(EncoderCheck { encoder, profile }),
            Err(reason) => reasons.push(format!("{}: {reason}", encoder.id)),
        }
    }
    Err(MediaError::NoEncoder {
        codec,
        reasons: reasons.join("; "),
    })
}

fn trial(
    encoder: &'static Encoder,
    config: &VideoConfig,
) -> Result<Option<ProfileLevelId>, MediaError> {
    require(encoder.factory, encoder.package)?;
    let description = format!(
        "videotestsrc num-buffers=2 pattern=black ! \
         video/x-raw,format={},width={},height={},framerate={}/1 ! {}",
        encoder.formats[0],
        config.width,
        config.height,
        config.fps,
        plan::video_branch(encoder, config)
    );
    let what = format!("trial of {}", encoder.id);
    let pipeline = parse(&description, &what)?;
    let stopped = StopOnDrop(pipeline.clone());
    let sink = sink(&pipeline, &what)?;
    stopped.0.set_state(gst::State::Playing).map_err(|e| {
        let problem = first_error(&pipeline).unwrap_or_else(|| e.to_string());
        MediaError::Pipeline {
            what: what.clone(),
            problem,
        }
    })?;
    let limit = gst::ClockTime::from_mseconds(TRIAL.as_millis() as u64);
    let sample = sink
        .try_pull_sample(limit)
        .ok_or_else(|| MediaError::Pipeline {
            what: what.clone(),
            problem: first_error(&pipeline).unwrap_or_else(|| "no frame came out".into()),
        })?;
    let map = sample.buffer().and_then(|b| b.map_readable().ok());
    Ok(map.and_then(|m| profile_level_id(&m)))
}

struct StopOnDrop(gst::Pipeline);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn require(factory: &str, package: &'static str) -> Result<(), MediaError> {
    match gst::ElementFactory::find(factory) {
        Some(_) => Ok(()),
        None => Err(MediaError::MissingElement {
            element: factory.to_owned(),
            package,
        }),
    }
}

fn parse(description: &str, what: &str) -> Result<gst::Pipeline, MediaError> {
    gst::parse::launch(description)
        .map_err(|e| e.to_string())
        .and_then(|element| {
            element
                .downcast::<gst::Pipeline>()
                .map_err(|_| "it is a single element, not a pipeline".to_owned())
        })
        .map_err(|problem| MediaError::Pipeline {
            what: what.to_owned(),
            problem,
        })
}

fn sink(bin: &impl IsA<gst::Bin>, what: &str) -> Result<gst_app::AppSink, MediaError> {
    bin.as_ref()
        .by_name("out")
        .and_then(|e| e.downcast().ok())
        .ok_or_else(|| MediaError::Pipeline {
            what: what.to_owned(),
            problem: "its description has no sink".into(),
        })
}

/// The first error on the bus, in words.
fn first_error(pipeline: &gst::Pipeline) -> Option<String> {
    let bus = pipeline.bus()?;
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(words(error)),
        _ => None,
    }
}

fn words(error: &gst::message::Error) -> String {
    let remedy = match error.error().kind::<gst::ResourceError>() {
        Some(gst::ResourceError::Busy) => {
            "; another program uses the device (\"fuser -v\" on its node names it)"
        }
        Some(gst::ResourceError::NotFound) => "; is it plugged in?",
        Some(gst::ResourceError::OpenRead | gst::ResourceError::NotAuthorized) => {
            "; is this user in the groups \"video\" and \"audio\"?"
        }
        _ => "",
    };
    let debug = error.debug().unwrap_or_default();
    let detail = debug.lines().last().unwrap_or_default();
    format!("{} ({detail}){remedy}", error.error())
}

/// Checks that the custom descriptions of a configuration parse.
pub fn check_descriptions(video: &VideoConfig, audio: &AudioConfig) -> Result<(), MediaError> {
    let check = |key, description: Option<&str>| match description {
        None => Ok(()),
        // Followed by something, as it will be: it may end in caps.
        Some(text) => gst::parse::bin_from_description(&format!("{text} ! identity"), true)
            .map(drop)
            .map_err(|e| MediaError::Description {
                key,
                problem: e.to_string(),
            }),
    };
    check("video.pipeline", video.pipeline.as_deref())?;
    check("audio.pipeline", audio.pipeline.as_deref())
}

type Failures = Arc<Mutex<HashMap<Stream, Failure>>>;

/// The [`Source`] over GStreamer.
pub struct GstSource {
    video: VideoConfig,
    audio: AudioConfig,
    encoder: &'static Encoder,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    picture: Option<Picture>,
    /// A test picture, made ahead so that a first viewer need not wait for it.
    spare: Option<Picture>,
    sound: Option<Running>,
}

impl GstSource {
    /// A source for this configuration with the encoder that was checked.
    pub fn new(video: VideoConfig, audio: AudioConfig, encoder: &'static Encoder) -> Self {
        let clock = gst::SystemClock::obtain();
        let base_time = clock.time();
        Self {
            video,
            audio,
            encoder,
            base_time,
            clock,
            picture: None,
            spare: None,
            sound: None,
        }
    }

    fn encoder(&self, codec: VideoCodec) -> Result<&'static Encoder, MediaError> {
        if codec == self.encoder.codec {
            return Ok(self.encoder);
        }
        let candidates = Encoder::candidates(codec, "auto");
        let Some(encoder) = candidates.first() else {
            return Err(MediaError::NoEncoder {
                codec,
                reasons: "the table has no row for it".into(),
            });
        };
        require(encoder.factory, encoder.package)?;
        Ok(encoder)
    }

    fn start_video(&mut self, codec: VideoCodec, output: Output) -> Result<(), MediaError> {
        let branch = plan::video_branch(self.encoder(codec)?, &self.video);
        let stream = Stream::Video(codec);
        if let Some(picture) = &mut self.picture {
            return picture.add_branch(stream, &branch, output);
        }
        let mut picture = match self.spare.take() {
            Some(spare) => spare,
            None => Picture::new(&self.video)?,
        };
        picture.add_branch(stream, &branch, output)?;
        picture.running.play(&self.clock, self.base_time)?;
        self.picture = Some(picture);
        Ok(())
    }

    fn start_audio(&mut self, output: Output) -> Result<(), MediaError> {
        let device = match (self.audio.source, self.audio.device.as_str()) {
            (AudioSource::Alsa, "auto") => Some(devices::microphone()?),
            (AudioSource::Alsa, device) => Some(device.to_owned()),
            _ => None,
        };
        let what = match &device {
            Some(device) => format!("microphone {device}"),
            None => "sound".to_owned(),
        };
        let Some(description) = plan::audio(&self.audio, device.as_deref()) else {
            return Ok(());
        };
        let running = Running::new(&description, what)?;
        running.deliver(&running.pipeline, Stream::Audio, output)?;
        running.play(&self.clock, self.base_time)?;
        self.sound = Some(running);
        Ok(())
    }
}

impl Source for GstSource {
    fn start(&mut self, stream: Stream, output: Output) -> Result<(), MediaError> {
        match stream {
            Stream::Video(codec) => self.start_video(codec, output),
            Stream::Audio => self.start_audio(output),
        }
    }

    fn stop(&mut self, stream: Stream) {
        match stream {
            Stream::Audio => self.sound = None,
            Stream::Video(_) => {
                let Some(picture) = &mut self.picture else {
                    return;
                };
                picture.remove_branch(stream);
                if picture.branches.is_empty() {
                    self.picture = None;
                    self.prepare();
                }
            }
        }
    }

    fn force_key_frame(&mut self, stream: Stream) {
        let Some(branch) = self.picture.as_ref().and_then(|p| p.branches.get(&stream)) else {
            return;
        };
        let event = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        if !branch.sink.send_event(event) {
            debug!(%stream, "the encoder took no key frame request");
        }
    }

    fn prepare(&mut self) {
        // A camera's mode is asked for when it is opened; without a camera
        // there is nothing to open, and the pipeline can stand ready.
        if self.spare.is_none() && self.video.source == VideoSource::Test {
            self.spare = Picture::new(&self.video).ok();
        }
    }
}

/// A pipeline that is stopped when dropped and tells of its end.
struct Running {
    pipeline: gst::Pipeline,
    what: String,
    failures: Failures,
    /// The first problem, in an element's own words.
    problem: Arc<Mutex<Option<String>>>,
}

impl Running {
    fn new(description: &str, what: String) -> Result<Self, MediaError> {
        debug!(%what, description, "pipeline");
        let pipeline = parse(description, &what)?;
        let failures = Failures::default();
        let bus = pipeline.bus().expect("a pipeline has a bus");
        let (reports, name) = (failures.clone(), what.clone());
        let problem = Arc::<Mutex<Option<String>>>::default();
        let first = problem.clone();
        bus.set_sync_handler(move |_, message| {
            let problem = match message.view() {
                gst::MessageView::Error(error) => Some(words(error)),
                gst::MessageView::Eos(_) => Some("it ended by itself".to_owned()),
                _ => None,
            };
            if let Some(problem) = problem {
                lock(&first).get_or_insert_with(|| problem.clone());
                let error = MediaError::Pipeline {
                    what: name.clone(),
                    problem,
                };
                let owner = message.src().and_then(branch_of);
                for (stream, failure) in &*lock(&reports) {
                    if owner.is_none_or(|owner| owner == *stream) {
                        failure.report(error.clone());
                    }
                }
            }
            gst::BusSyncReply::Drop
        });
        Ok(Self {
            pipeline,
            what,
            failures,
            problem,
        })
    }

    /// Lets the sink in `bin` deliver to `output`.
    fn deliver(
        &self,
        bin: &impl IsA<gst::Bin>,
        stream: Stream,
        mut output: Output,
    ) -> Result<gst_app::AppSink, MediaError> {
        let sink = sink(bin, &self.what)?;
        lock(&self.failures).insert(stream, output.failure());
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if let Some(unit) = access_unit(&sample, stream) {
                        output.access_unit(unit);
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        Ok(sink)
    }

    fn play(&self, clock: &gst::Clock, base_time: gst::ClockTime) -> Result<(), MediaError> {
        self.pipeline.use_clock(Some(clock));
        self.pipeline.set_start_time(gst::ClockTime::NONE);
        self.pipeline.set_base_time(base_time);
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => {
                debug!(source = %self.what, "open");
                Ok(())
            }
            Err(e) => Err(MediaError::Pipeline {
                what: self.what.clone(),
                problem: lock(&self.problem).take().unwrap_or_else(|| e.to_string()),
            }),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.failures).clear();
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// The bin's name by which [`branch_of`] knows it.
fn branch_name(stream: Stream) -> String {
    format!("branch-{stream}")
}

/// The stream whose branch `object` is in; an encoder that fails is no matter
/// of the other encoders.
fn branch_of(object: &gst::Object) -> Option<Stream> {
    let mut object = Some(object.clone());
    while let Some(this) = object {
        let name = this.name();
        if let Some(stream) = Stream::ALL.into_iter().find(|s| branch_name(*s) == name) {
            return Some(stream);
        }
        object = this.parent();
    }
    None
}

fn access_unit(sample: &gst::Sample, stream: Stream) -> Option<AccessUnit> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let running_time = segment.to_running_time(buffer.pts()?)?;
    let data = Bytes::copy_from_slice(&buffer.map_readable().ok()?);
    let key = stream == Stream::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    Some(AccessUnit {
        data,
        key,
        running_time: Duration::from_nanos(running_time.nseconds()),
        encoded_at: Instant::now(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Branch {
    bin: gst::Bin,
    sink: gst_app::AppSink,
    tee_pad: gst::Pad,
}

/// The picture's pipeline, with an encoder for each codec that is watched.
struct Picture {
    running: Running,
    tee: gst::Element,
    branches: HashMap<Stream, Branch>,
}

impl Picture {
    fn new(config: &VideoConfig) -> Result<Self, MediaError> {
        let camera = match config.source {
            VideoSource::V4l2 => Some(devices::camera(config)?),
            VideoSource::Test | VideoSource::Custom => None,
        };
        let what = match (&camera, config.source) {
            (Some(camera), _) => format!("camera {}", camera.device),
            (None, VideoSource::Custom) => "video.pipeline".to_owned(),
            (None, _) => "test picture".to_owned(),
        };
        if let Some(c) = &camera {
            debug!(
                camera = %c.device, format = ?c.format,
                "mode {}×{} at {:.1} frames/s",
                c.width, c.height, f64::from(c.rate.0) / f64::from(c.rate.1)
            );
        }
        let running = Running::new(&plan::video_source(config, camera.as_ref()), what)?;
        let tee = running
            .pipeline
            .by_name("tee")
            .expect("every source ends in a tee of this name");
        if let Some(source) = running.pipeline.by_name("picture") {
            paint(&source);
        }
        Ok(Self {
            running,
            tee,
            branches: HashMap::new(),
        })
    }

    fn add_branch(
        &mut self,
        stream: Stream,
        description: &str,
        output: Output,
    ) -> Result<(), MediaError> {
        let failed = |problem: String| MediaError::Pipeline {
            what: format!("encoder for {stream}"),
            problem,
        };
        debug!(%stream, description, "encoder");
        let bin = gst::parse::bin_from_description(description, true)
            .map_err(|e| failed(e.to_string()))?;
        bin.set_property("name", branch_name(stream));
        let sink = self.running.deliver(&bin, stream, output)?;
        let pipeline = &self.running.pipeline;
        pipeline.add(&bin).map_err(|e| failed(e.to_string()))?;
        let tee_pad = self
            .tee
            .request_pad_simple("src_%u")
            .expect("a tee has any number of pads");
        let bin_pad = bin.static_pad("sink").expect("the unlinked pad is ghosted");
        // The branch runs before the first buffer comes.
        let linked = bin
            .sync_state_with_parent()
            .map_err(|e| failed(e.to_string()))
            .and_then(|()| tee_pad.link(&bin_pad).map_err(|e| failed(e.to_string())));
        self.branches.insert(stream, Branch { bin, sink, tee_pad });
        if linked.is_err() {
            self.remove_branch(stream);
        }
        linked.map(drop)
    }

    fn remove_branch(&mut self, stream: Stream) {
        lock(&self.running.failures).remove(&stream);
        let Some(branch) = self.branches.remove(&stream) else {
            return;
        };
        if self.branches.is_empty() {
            // The whole pipeline goes next.
            return;
        }
        // Unlink between two buffers, on the streaming thread; stop the
        // encoder from here, for an element must not stop itself.
        let (done, unlinked) = mpsc::channel();
        branch
            .tee_pad
            .add_probe(gst::PadProbeType::IDLE, move |pad, _| {
                if let Some(peer) = pad.peer() {
                    let _ = pad.unlink(&peer);
                }
                let _ = done.send(());
                gst::PadProbeReturn::Remove
            });
        if unlinked.recv_timeout(UNLINK).is_err() {
            // Stopped while it is linked it would stop the rest, and silently.
            let error = MediaError::Pipeline {
                what: self.running.what.clone(),
                problem: format!("the branch for {stream} could not be taken off"),
            };
            for failure in lock(&self.running.failures).values() {
                failure.report(error.clone());
            }
        }
        let _ = branch.bin.set_state(gst::State::Null);
        let _ = self.running.pipeline.remove(&branch.bin);
        self.tee.release_request_pad(&branch.tee_pad);
    }
}

/// Paints the clock and the counter on what `source` makes.
fn paint(source: &gst::Element) {
    let Some(pad) = source.static_pad("src") else {
        return;
    };
    let state = Mutex::new((Painter::new(), 0_u64, None));
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

#[cfg(test)]
mod tests;
