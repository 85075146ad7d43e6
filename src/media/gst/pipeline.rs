//! A running pipeline, and one that carries the picture with encoders on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tracing::{debug, warn};

use super::{parse, sink, words};
use crate::media::plan::PicturePlan;
use crate::media::pulse::Pulse;
use crate::media::{AccessUnit, Encoding, MediaError, Output};
use crate::sdp::VideoCodec;

/// Unlinking a branch waits this long for the streaming thread.
const UNLINK: Duration = Duration::from_millis(500);
/// Stopping elements may take so long. A driver that hangs keeps its thread,
/// and nothing else.
const CLOSE: Duration = Duration::from_secs(1);
/// Frames that may be inside an encoder.
const INSIDE: usize = 32;

/// Which encoder: they come and go, and late news of one is no news of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BranchId {
    pub encoding: Encoding,
    serial: u64,
}

impl BranchId {
    /// The bin's name.
    fn name(self) -> String {
        let Encoding { codec, tier } = self.encoding;
        format!("branch-{codec}-{tier}-{}", self.serial)
    }

    /// The branch that `object` is in.
    fn of(object: &gst::Object) -> Option<Self> {
        let mut object = Some(object.clone());
        while let Some(this) = object {
            if let Some(id) = Self::parse(&this.name()) {
                return Some(id);
            }
            object = this.parent();
        }
        None
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("branch-")?.split('-');
        let codec = parts.next()?;
        let codec = [VideoCodec::H264, VideoCodec::Vp8]
            .into_iter()
            .find(|c| c.name() == codec)?;
        let tier = parts.next()?.parse().ok()?;
        let serial = parts.next()?.parse().ok()?;
        let encoding = Encoding { codec, tier };
        Some(Self { encoding, serial })
    }
}

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
    over: Arc<AtomicBool>,
}

impl Running {
    pub fn new(description: &str, what: String, on_problem: OnProblem) -> Result<Self, MediaError> {
        debug!(%what, description, "pipeline");
        let pipeline = parse(description, &what)?;
        let bus = pipeline.bus().expect("a pipeline has a bus");
        let problem = Arc::<Mutex<Option<String>>>::default();
        let over = Arc::<AtomicBool>::default();
        let this = (
            on_problem.clone(),
            what.clone(),
            problem.clone(),
            over.clone(),
        );
        bus.set_sync_handler(move |_, message| {
            let (on_problem, what, first, over) = &this;
            let problem = match message.view() {
                gst::MessageView::Error(error) => words(error),
                // Each sink tells of its own end. The pipeline says it once all of
                // them have ended, which may be the only encoder's doing.
                _ => return gst::BusSyncReply::Drop,
            };
            if !over.load(Ordering::Acquire) {
                lock(first).get_or_insert_with(|| problem.clone());
                let branch = message.src().and_then(BranchId::of);
                let what = match branch {
                    Some(branch) => format!("encoder for {}", branch.encoding),
                    None => what.clone(),
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
        })
    }

    /// Lets the sink in `bin` deliver to `output`, as long as `alive` is true.
    pub fn deliver(
        &self,
        bin: &impl IsA<gst::Bin>,
        branch: Option<BranchId>,
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
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    // A branch that was given up may wake up later.
                    if !alive.load(Ordering::Acquire) {
                        return Err(gst::FlowError::Eos);
                    }
                    if let Some(unit) =
                        access_unit(&sample, sink, branch.is_none(), inside.as_deref())
                    {
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
        self.over.store(true, Ordering::Release);
        stop(self.pipeline.clone().upcast(), &self.what);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// Stops elements on a thread of their own: a state change waits for the
/// elements' threads, and one of them may hang in a driver.
fn stop(element: gst::Element, what: &str) {
    let (done, stopped) = mpsc::channel();
    let thread = std::thread::Builder::new().name("media-stop".into());
    let spawned = thread.spawn(move || {
        let _ = element.set_state(gst::State::Null);
        let _ = done.send(());
    });
    if spawned.is_err() || stopped.recv_timeout(CLOSE).is_err() {
        warn!(what, "does not stop; it is left to itself");
    }
}

/// Whether a branch is wanted, and when it last gave something.
#[derive(Default)]
pub(super) struct Life {
    alive: Arc<AtomicBool>,
    encoded: Arc<Pulse>,
}

impl Life {
    pub fn new() -> Self {
        let this = Self::default();
        this.alive.store(true, Ordering::Release);
        this
    }

    fn end(&self) {
        self.alive.store(false, Ordering::Release);
    }
}

/// When the frames that are inside an encoder went in, by running time.
#[derive(Default)]
struct Inside(Mutex<Vec<(gst::ClockTime, Instant)>>);

impl Inside {
    fn watch(bin: &gst::Bin) -> Arc<Self> {
        let this = Arc::<Self>::default();
        // A camera's own H.264 goes through without an encoder.
        if let Some(pad) = bin.by_name("encoder").and_then(|e| e.static_pad("sink")) {
            let inside = this.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
                if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                    && let Some(at) = running_time(pad, buffer)
                {
                    let mut inside = lock(&inside.0);
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
        let mut inside = lock(&self.0);
        let position = inside.iter().position(|(t, _)| t.absdiff(at) < near)?;
        Some(inside.swap_remove(position).1)
    }
}

fn running_time(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(buffer.pts()?)
}

fn access_unit(
    sample: &gst::Sample,
    sink: &gst_app::AppSink,
    always_key: bool,
    inside: Option<&Inside>,
) -> Option<AccessUnit> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let running_time = segment.to_running_time(buffer.pts()?)?;
    let data = Bytes::copy_from_slice(&buffer.map_readable().ok()?);
    let key = always_key || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let now = Instant::now();
    let age = sink
        .current_running_time()
        .and_then(|running| running.checked_sub(running_time))
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Lets through every so manieth buffer, as `every` says.
fn keep_every(pad: &gst::Pad, every: Arc<AtomicU32>) {
    let number = AtomicU32::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(every.load(Ordering::Acquire).max(1)) {
            // Not `Drop`: see `Picture::new`.
            gst::PadProbeReturn::Handled
        } else {
            gst::PadProbeReturn::Ok
        }
    });
}

struct Branch {
    id: BranchId,
    bin: gst::Bin,
    sink: gst_app::AppSink,
    tee_pad: gst::Pad,
    life: Life,
    every: Arc<AtomicU32>,
}

/// A picture's pipeline: a camera, a test picture or the slate, with an encoder
/// for each encoding that is watched.
pub(super) struct Picture {
    /// How it was made.
    pub plan: PicturePlan,
    running: Running,
    tee: gst::Element,
    branches: HashMap<Encoding, Branch>,
    /// How many branches there have been.
    serials: u64,
    frames: Arc<Pulse>,
}

impl Picture {
    /// A pipeline as planned. `on_flow` is called for its first frame.
    pub fn new(
        plan: PicturePlan,
        on_flow: impl Fn() + Send + Sync + 'static,
        on_problem: OnProblem,
    ) -> Result<Self, MediaError> {
        let problem = on_problem.clone();
        let what = plan.what.clone();
        let running = Running::new(&plan.description, what.clone(), on_problem)?;
        let tee = running
            .pipeline
            .by_name("tee")
            .expect("every source ends in a tee of this name");
        let frames = Arc::<Pulse>::default();
        let pad = tee.static_pad("sink").expect("a tee has a sink");
        let pulse = frames.clone();
        let over = running.over.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(kinds, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(_)) if pulse.beat(Instant::now()) => on_flow(),
                // The encoders need not hear of the camera's end.
                Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                    if !over.load(Ordering::Acquire) {
                        let what = what.clone();
                        let ended = "it ended by itself".to_owned();
                        problem(
                            None,
                            MediaError::Pipeline {
                                what,
                                problem: ended,
                            },
                        );
                    }
                    // Not `Drop`, for which GStreamer frees the event that its
                    // bindings have freed.
                    return gst::PadProbeReturn::Handled;
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        Ok(Self {
            plan,
            running,
            tee,
            branches: HashMap::new(),
            serials: 0,
            frames,
        })
    }

    /// The element of this name.
    pub fn element(&self, name: &str) -> Option<gst::Element> {
        self.running.pipeline.by_name(name)
    }

    /// The first element of this kind.
    pub fn element_made_by(&self, factory: &str) -> Option<gst::Element> {
        let elements = self.running.pipeline.iterate_elements();
        elements
            .into_iter()
            .flatten()
            .find(|e| e.factory().is_some_and(|f| f.name() == factory))
    }

    pub fn play(&self, clock: &gst::Clock, base_time: gst::ClockTime) -> Result<(), MediaError> {
        self.running.play(clock, base_time)
    }

    /// When its last frame came.
    pub fn last_frame(&self) -> Option<Instant> {
        self.frames.last()
    }

    /// When the last frame came out of an encoder.
    pub fn last_encoded(&self, encoding: Encoding) -> Option<Instant> {
        self.branches.get(&encoding)?.life.encoded.last()
    }

    /// What is encoded.
    pub fn encodings(&self) -> Vec<Encoding> {
        self.branches.keys().copied().collect()
    }

    /// An encoder's bin and the sink in it.
    pub fn branch(&self, encoding: Encoding) -> Option<(&gst::Bin, &gst_app::AppSink)> {
        self.branches.get(&encoding).map(|b| (&b.bin, &b.sink))
    }

    /// Encodes every so manieth frame only; 1 is all of them.
    pub fn encode_every(&self, encoding: Encoding, every: u32) {
        if let Some(branch) = self.branches.get(&encoding) {
            branch.every.store(every, Ordering::Release);
        }
    }

    /// True for a branch that was not taken off.
    pub fn has(&self, branch: BranchId) -> bool {
        self.branches
            .get(&branch.encoding)
            .is_some_and(|b| b.id == branch)
    }

    pub fn add_branch(
        &mut self,
        encoding: Encoding,
        description: &str,
        every: u32,
        output: SharedOutput,
    ) -> Result<(), MediaError> {
        let failed = |problem: String| MediaError::Pipeline {
            what: format!("encoder for {encoding}"),
            problem,
        };
        debug!(stream = %encoding, description, "encoder");
        self.serials += 1;
        let id = BranchId {
            encoding,
            serial: self.serials,
        };
        let bin = gst::parse::bin_from_description(description, true)
            .map_err(|e| failed(e.to_string()))?;
        bin.set_property("name", id.name());
        let life = Life::new();
        self.running.deliver(&bin, Some(id), output, &life)?;
        let sink = sink(&bin, &self.running.what)?;
        let pipeline = &self.running.pipeline;
        pipeline.add(&bin).map_err(|e| failed(e.to_string()))?;
        let tee_pad = self
            .tee
            .request_pad_simple("src_%u")
            .expect("a tee has any number of pads");
        let bin_pad = bin.static_pad("sink").expect("the unlinked pad is ghosted");
        let every = Arc::new(AtomicU32::new(every));
        // A camera's own H.264 goes through without an encoder, and whole.
        if let Some(pad) = bin.by_name("encoder").and_then(|e| e.static_pad("sink")) {
            keep_every(&pad, every.clone());
        }
        // The branch runs before the first buffer comes.
        let linked = bin
            .sync_state_with_parent()
            .map_err(|e| failed(e.to_string()))
            .and_then(|()| tee_pad.link(&bin_pad).map_err(|e| failed(e.to_string())));
        let branch = Branch {
            id,
            bin,
            sink,
            tee_pad,
            life,
            every,
        };
        self.branches.insert(encoding, branch);
        if linked.is_err() {
            self.remove_branch(encoding);
        }
        linked.map(drop)
    }

    /// Takes an encoder off, whatever state it is in. Errors of it are no news
    /// any more.
    pub fn remove_branch(&mut self, encoding: Encoding) {
        let Some(branch) = self.branches.remove(&encoding) else {
            return;
        };
        branch.life.end();
        // Unlink between two buffers, on the streaming thread; stop the
        // encoder from elsewhere, for an element must not stop itself.
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
                problem: format!("the branch for {encoding} could not be taken off"),
            };
            (self.running.on_problem)(None, error);
        }
        let _ = self.running.pipeline.remove(&branch.bin);
        stop(branch.bin.upcast(), &format!("encoder for {encoding}"));
        self.tee.release_request_pad(&branch.tee_pad);
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        for branch in self.branches.values() {
            branch.life.end();
        }
    }
}
