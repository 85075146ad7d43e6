//! A running pipeline, what it tells, and what comes out of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tracing::{debug, info, warn};

use super::branch::BranchId;
use super::held::Device;
use crate::lock::lock;
use crate::media::bitstream::sps::{self, Colours};
use crate::media::drift::Drift;
use crate::media::element::{parse, sink, words};
use crate::media::error::{MediaError, is_of_buffers, of_encoder};
use crate::media::frame::AccessUnit;
use crate::media::hub::source::Output;
use crate::media::liveness::Liveness;
use crate::secret::without_secret_properties;

/// Stopping elements may take so long. A driver that hangs keeps its thread,
/// and nothing else.
const CLOSE: Duration = Duration::from_secs(1);
/// Frames that may be inside an encoder.
const INSIDE: usize = 32;

/// Called with what an element says went wrong, and the branch it is in.
pub(super) type OnProblem = Arc<dyn Fn(Option<BranchId>, MediaError) + Send + Sync>;

/// An output that the branches of one stream share, one after the other.
pub(super) type SharedOutput = Arc<Mutex<Output>>;

/// A pipeline that is stopped when dropped and tells of its end.
pub(super) struct Running {
    pub pipeline: gst::Pipeline,
    what: String,
    on_problem: OnProblem,
    /// The first problem, in an element's own words.
    problem: Arc<Mutex<Option<String>>>,
    /// Nothing is reported any more.
    pub over: Arc<AtomicBool>,
    /// Its source had no buffers to stream into.
    no_buffers: Arc<AtomicBool>,
    /// The device that it has open, if it has one.
    device: Option<Device>,
}

impl Running {
    pub(super) fn new(
        description: &str,
        what: String,
        on_problem: OnProblem,
    ) -> Result<Self, MediaError> {
        let shown = without_secret_properties(description);
        debug!(%what, description = shown, "pipeline");
        let pipeline = parse(description, &what)?;
        let bus = pipeline.bus().expect("a pipeline has a bus");
        let problem = Arc::<Mutex<Option<String>>>::default();
        let (over, no_buffers) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let this = (
            on_problem.clone(),
            what.clone(),
            problem.clone(),
            over.clone(),
            no_buffers.clone(),
        );
        bus.set_sync_handler(move |_, message| {
            let (on_problem, what, first, over, no_buffers) = &this;
            let problem = match message.view() {
                gst::MessageView::Error(error) => words(error),
                // Each sink tells of its own end. The pipeline says it once all of
                // them have ended, which may be the only encoder's doing.
                _ => return gst::BusSyncReply::Drop,
            };
            if is_of_buffers(&problem) {
                no_buffers.store(true, Ordering::Release);
            }
            if !over.load(Ordering::Acquire) {
                lock(first).get_or_insert_with(|| problem.clone());
                let branch = message.src().and_then(BranchId::of);
                let (what, problem) = match branch {
                    Some(branch) => (
                        format!("encoder for {}", branch.encoding),
                        of_encoder(&problem, ""),
                    ),
                    None => (what.clone(), problem),
                };
                on_problem(branch, MediaError::Pipeline { what, problem });
            }
            gst::BusSyncReply::Drop
        });
        Ok(Self {
            pipeline,
            what,
            on_problem,
            problem,
            over,
            no_buffers,
            device: None,
        })
    }

    /// Holds what belongs to the device until that is closed again.
    pub(super) fn hold(&mut self, device: Device) {
        self.device = Some(device.failing(self.no_buffers.clone()));
    }

    /// What it carries, for messages.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Tells of a problem that no element told of.
    pub(super) fn report(&self, problem: String) {
        let what = self.what.clone();
        (self.on_problem)(None, MediaError::Pipeline { what, problem });
    }

    /// Lets the sink in `bin` deliver to `output`, as long as `alive` is true.
    /// `pace` is that of a microphone.
    pub(super) fn deliver(
        &self,
        bin: &impl IsA<gst::Bin>,
        branch: Option<BranchId>,
        pace: Option<Arc<Mutex<Drift>>>,
        output: SharedOutput,
        life: &Life,
    ) -> Result<(), MediaError> {
        let sink = sink(bin, &self.what)?;
        let inside = branch.map(|_| Inside::watch(bin.as_ref()));
        let (alive, encoded) = (life.alive.clone(), life.encoded.clone());
        let (ended, on_problem) = (life.alive.clone(), self.on_problem.clone());
        let what = self.what.clone();
        // An encoder begins with one; a camera's own H.264 is joined anywhere.
        let mut key_came = false;
        // opusenc stamps for its look-ahead of 6.5 ms, but not before the start:
        // the first packet lies over the second one, which receivers throw away.
        let mut overlaps = pace.is_some();
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if std::mem::take(&mut overlaps) {
                        return Ok(gst::FlowSuccess::Ok);
                    }
                    // A branch that was given up may wake up later.
                    if !alive.load(Ordering::Acquire) {
                        return Err(gst::FlowError::Eos);
                    }
                    if let Some(unit) = access_unit(
                        &sample,
                        sink,
                        branch.is_none(),
                        inside.as_deref(),
                        pace.as_deref(),
                    ) {
                        encoded.beat(unit.encoded_at);
                        key_came |= unit.key;
                        if key_came {
                            lock(&output).access_unit(unit);
                        }
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .eos(move |_| {
                    if ended.load(Ordering::Acquire) {
                        let what = match branch {
                            Some(branch) => format!("encoder for {}", branch.encoding),
                            None => what.clone(),
                        };
                        let problem = "it ended by itself".to_owned();
                        on_problem(branch, MediaError::Pipeline { what, problem });
                    }
                })
                .build(),
        );
        Ok(())
    }

    pub(super) fn play(
        &self,
        clock: &gst::Clock,
        base_time: gst::ClockTime,
    ) -> Result<(), MediaError> {
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
        self.over.store(true, Ordering::Release);
        stop(
            self.pipeline.clone().upcast(),
            &self.what,
            self.device.take(),
        );
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// Stops elements on a thread of their own: a state change waits for the
/// elements' threads, and one of them may hang in a driver. A light that is on
/// for them goes off when their device is really closed, however late.
pub(super) fn stop(element: gst::Element, what: &str, device: Option<Device>) {
    let (done, stopped) = mpsc::sync_channel(1);
    let is_lit = device.as_ref().is_some_and(Device::is_lit);
    if let Some(device) = &device {
        device.closes(Instant::now());
    }
    // Not the thread's own: where it cannot be started, nothing is closed.
    let device = Arc::new(Mutex::new(device));
    let held = device.clone();
    let thread = std::thread::Builder::new().name("media-stop".into());
    let spawned = thread.spawn(move || {
        let _ = element.set_state(gst::State::Null);
        let device = lock(&held).take();
        let open = device.as_ref().map(Device::descriptors);
        if let (Some(device), Some([])) = (&device, open.as_deref()) {
            device.let_go();
        }
        // Before it is said to be done, where it is.
        let mut late = device.filter(|_| open.as_ref().is_some_and(|open| !open.is_empty()));
        // Its driver came back.
        if let Some(device) = &mut late {
            device.comes_back();
        }
        let _ = done.send(());
        if let (Some(device), Some(open)) = (late, open) {
            device.wait(open);
        }
    });
    if spawned.is_err() {
        std::mem::forget(lock(&device).take());
    }
    if spawned.is_err() || stopped.recv_timeout(CLOSE).is_err() {
        if is_lit {
            warn!(
                what,
                "does not stop; it is left to itself, and the light stays on"
            );
        } else {
            warn!(what, "does not stop; it is left to itself");
        }
    }
}

/// Whether a branch is wanted, and when it last gave something.
#[derive(Clone, Default)]
pub(super) struct Life {
    alive: Arc<AtomicBool>,
    pub encoded: Arc<Liveness>,
}

impl Life {
    pub(super) fn new() -> Self {
        let this = Self::default();
        this.alive.store(true, Ordering::Release);
        this
    }

    pub(super) fn end(&self) {
        self.alive.store(false, Ordering::Release);
    }
}

/// When the frames that are inside an encoder went in, by running time.
#[derive(Default)]
struct Inside {
    frames: Mutex<Vec<(gst::ClockTime, Instant)>>,
    /// There is an encoder: a camera's own H.264 goes through without.
    encodes: bool,
}

impl Inside {
    fn watch(bin: &gst::Bin) -> Arc<Self> {
        let encoder = bin.by_name("encoder");
        let this = Arc::new(Self {
            encodes: encoder.is_some(),
            ..Self::default()
        });
        if let Some(pad) = encoder.and_then(|e| e.static_pad("sink")) {
            let inside = this.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
                if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                    && let Some(at) = running_time(pad, buffer)
                {
                    let mut inside = lock(&inside.frames);
                    if inside.len() == INSIDE {
                        inside.remove(0);
                    }
                    inside.push((at, Instant::now()));
                }
                gst::PadProbeReturn::Ok
            });
        }
        this
    }

    fn take(&self, at: gst::ClockTime) -> Option<Instant> {
        // Some encoders round.
        let near = gst::ClockTime::from_mseconds(1);
        let mut inside = lock(&self.frames);
        let position = inside.iter().position(|(t, _)| t.absdiff(at) < near)?;
        Some(inside.swap_remove(position).1)
    }
}

pub(super) fn running_time(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(buffer.pts()?)
}

/// Puts the samples that leave `pad` on a time line of their own, that of
/// `pace`, which has begun this `run`. `what` is the microphone, for the log.
pub(super) fn watch_pace(pad: &gst::Pad, what: &str, pace: Arc<Mutex<Drift>>, run: u64) {
    let (measured, what) = (pace, what.to_owned());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
            && let (Some(stamp), Some(pts)) = (running_time(pad, buffer), buffer.pts())
            && let Some(rate) = rate(pad)
        {
            let frames = buffer.size() as u64 / BYTES_PER_FRAME;
            let (place, news) = {
                let mut drift = lock(&measured);
                if drift.run() != run {
                    // What is stopped may take its time.
                    return gst::PadProbeReturn::Drop;
                }
                let place = drift.take(stamp.into(), frames, rate);
                (place, drift.news())
            };
            if let Some(ppm) = news {
                info!(microphone = %what, ppm = format_args!("{ppm:.0}"), "the sound card's pace against this machine's clock");
            }
            if let Ok(place) = gst::ClockTime::try_from(place) {
                let moved = (pts + place).saturating_sub(stamp);
                buffer.make_mut().set_pts(moved);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// 16 bits of one channel.
const BYTES_PER_FRAME: u64 = 2;

fn rate(pad: &gst::Pad) -> Option<u32> {
    let caps = pad.current_caps()?;
    let rate: i32 = caps.structure(0)?.get("rate").ok()?;
    u32::try_from(rate).ok()
}

/// What the colours of an H.264 stream mean, by its caps.
fn colours(caps: &gst::CapsRef) -> Option<Colours> {
    let stream = caps.structure(0).filter(|s| s.name() == "video/x-h264")?;
    let colorimetry: gst_video::VideoColorimetry =
        stream.get::<&str>("colorimetry").ok()?.parse().ok()?;
    Some(Colours {
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
        matrix: match colorimetry.matrix() {
            gst_video::VideoColorMatrix::Bt601 => 6,
            gst_video::VideoColorMatrix::Bt709 => 1,
            _ => return None,
        },
    })
}

fn access_unit(
    sample: &gst::Sample,
    sink: &gst_app::AppSink,
    always_key: bool,
    inside: Option<&Inside>,
    pace: Option<&Mutex<Drift>>,
) -> Option<AccessUnit> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let running_time = segment.to_running_time(buffer.pts()?)?;
    // On the clock; the time line of sound is its card's.
    let captured = match pace {
        None => running_time,
        Some(pace) => lock(pace)
            .captured(running_time.into())
            .try_into()
            .unwrap_or(running_time),
    };
    let key = always_key || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let data = {
        let map = buffer.map_readable().ok()?;
        // What a camera encoded itself stays as it is.
        let colours = inside
            .filter(|i| key && i.encodes)
            .and_then(|_| colours(sample.caps()?));
        let said = colours.and_then(|colours| sps::with_colours(&map, colours));
        said.map_or_else(|| Bytes::copy_from_slice(&map), Bytes::from)
    };
    let now = Instant::now();
    let age = sink
        .current_running_time()
        .and_then(|running| running.checked_sub(captured))
        .unwrap_or_default();
    Some(AccessUnit {
        data,
        key,
        running_time: Duration::from_nanos(running_time.nseconds()),
        captured_at: now.checked_sub(age.into()).unwrap_or(now),
        encoder_in: inside.and_then(|inside| inside.take(running_time)),
        encoded_at: now,
    })
}
