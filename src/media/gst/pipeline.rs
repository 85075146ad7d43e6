//! A running pipeline, and the picture's with its branches.

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

use super::{parse, sink, words};
use crate::config::{VideoConfig, VideoSource};
use crate::media::hub::Failure;
use crate::media::latency::InEncoder;
use crate::media::picture::{Painter, Plane};
use crate::media::{AccessUnit, MediaError, Output, Stream, devices, plan};

/// Unlinking a branch waits this long for the streaming thread.
const UNLINK: Duration = Duration::from_secs(2);

type Failures = Arc<Mutex<HashMap<Stream, Failure>>>;

/// A pipeline that is stopped when dropped and tells of its end.
pub(super) struct Running {
    pub pipeline: gst::Pipeline,
    what: String,
    failures: Failures,
    /// The first problem, in an element's own words.
    problem: Arc<Mutex<Option<String>>>,
}

impl Running {
    pub fn new(description: &str, what: String) -> Result<Self, MediaError> {
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
    pub fn deliver(
        &self,
        bin: &impl IsA<gst::Bin>,
        stream: Stream,
        mut output: Output,
    ) -> Result<gst_app::AppSink, MediaError> {
        let sink = sink(bin, &self.what)?;
        let inside = bin.as_ref().by_name("encoder").map(|e| watch_input(&e));
        lock(&self.failures).insert(stream, output.failure());
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if let Some(mut unit) = access_unit(&sample, stream) {
                        if let Some(inside) = &inside {
                            unit.encoder_in = lock(inside).leave(unit.running_time);
                        }
                        if let Some(clock) = sink.current_running_time() {
                            let clock = Duration::from_nanos(clock.nseconds());
                            let age = clock.saturating_sub(unit.running_time);
                            unit.captured_at =
                                unit.encoded_at.checked_sub(age).unwrap_or(unit.encoded_at);
                        }
                        output.access_unit(unit);
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        Ok(sink)
    }

    pub fn play(&self, clock: &gst::Clock, base_time: gst::ClockTime) -> Result<(), MediaError> {
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
    let now = Instant::now();
    let data = Bytes::copy_from_slice(&buffer.map_readable().ok()?);
    let key = stream == Stream::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    Some(AccessUnit {
        data,
        key,
        running_time: Duration::from_nanos(running_time.nseconds()),
        captured_at: now,
        encoder_in: None,
        encoded_at: now,
    })
}

/// Notes when each picture goes into `encoder`.
fn watch_input(encoder: &gst::Element) -> Arc<Mutex<InEncoder>> {
    let inside = Arc::<Mutex<InEncoder>>::default();
    if let Some(pad) = encoder.static_pad("sink") {
        let entered = inside.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let running_time = info.buffer().and_then(|buffer| {
                let segment = pad.sticky_event::<gst::event::Segment>(0)?;
                let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
                segment.to_running_time(buffer.pts()?)
            });
            if let Some(time) = running_time {
                lock(&entered).enter(Duration::from_nanos(time.nseconds()), Instant::now());
            }
            gst::PadProbeReturn::Ok
        });
    }
    inside
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
pub(super) struct Picture {
    pub running: Running,
    tee: gst::Element,
    branches: HashMap<Stream, Branch>,
}

impl Picture {
    pub fn new(config: &VideoConfig) -> Result<Self, MediaError> {
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

    pub fn add_branch(
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

    /// The sink of a stream that is encoded.
    pub fn sink(&self, stream: Stream) -> Option<&gst_app::AppSink> {
        self.branches.get(&stream).map(|branch| &branch.sink)
    }

    /// True when no encoder hangs on it.
    pub fn is_unwatched(&self) -> bool {
        self.branches.is_empty()
    }

    pub fn remove_branch(&mut self, stream: Stream) {
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
