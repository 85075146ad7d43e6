//! A pipeline that carries the picture, with encoders on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tracing::debug;

use super::branch::BranchId;
use super::held::Device;
use super::openers::Opening;
use super::pipeline::{Life, OnProblem, Running, SharedOutput, stop};
use super::range;
use super::tap::{Motion, Tap};
use crate::device::led::Lit;
use crate::media::element::{layout, refusal, sink};
use crate::media::error::MediaError;
use crate::media::liveness::Liveness;
use crate::media::plan::PicturePlan;
use crate::media::stream::Encoding;

/// Unlinking a branch waits this long for the streaming thread.
const UNLINK: Duration = Duration::from_millis(500);

/// Lets through one of `every` buffers.
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

/// While a query waits in a branch behind what its encoder does not take, the
/// camera's thread waits with it: GStreamer's queues take buffers at once, but hand a
/// serialized query on in its turn. True in that time.
fn watch_queries(sink: &gst::GhostPad, frames: Arc<Liveness>) -> Arc<AtomicBool> {
    let waits = Arc::<AtomicBool>::default();
    let held = waits.clone();
    sink.add_probe(
        gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH,
        move |pad, info| {
            let first = pad.target();
            let (Some(gst::PadProbeData::Query(query)), Some(first)) = (&mut info.data, first)
            else {
                return gst::PadProbeReturn::Ok;
            };
            if !query.is_serialized() {
                return gst::PadProbeReturn::Ok;
            }
            held.store(true, Ordering::Release);
            let answered = first.query(query);
            // Before it is looked at again, for the frame comes a moment later.
            if frames.last().is_some() {
                frames.beat(Instant::now());
            }
            held.store(false, Ordering::Release);
            match answered {
                true => gst::PadProbeReturn::Handled,
                false => gst::PadProbeReturn::Drop,
            }
        },
    );
    waits
}

struct Branch {
    id: BranchId,
    bin: gst::Bin,
    sink: gst_app::AppSink,
    tee_pad: gst::Pad,
    life: Life,
    every: Arc<AtomicU32>,
    /// The camera's thread waits for it.
    waits: Arc<AtomicBool>,
    /// Its encoder is to read the camera's own buffers.
    imports: bool,
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
    frames: Arc<Liveness>,
    tap: Option<Tap>,
}

impl Picture {
    /// A pipeline as planned. `on_flow` is called for its first frame.
    pub(super) fn new(
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
        let decoder = running.pipeline.iterate_elements().into_iter().flatten();
        let decoder = decoder
            .filter(|e| e.factory().is_some_and(|f| f.name() == "jpegdec"))
            .find_map(|e| e.static_pad("src"));
        if let Some(pad) = decoder {
            range::name_as_v4l2(&pad);
        }
        let frames = Arc::<Liveness>::default();
        let pad = tee.static_pad("sink").expect("a tee has a sink");
        range::limit(&pad);
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
            tap: None,
        })
    }

    /// Holds these until its device is closed again.
    pub(super) fn hold(&mut self, lit: Option<Lit>, opening: Arc<Opening>) {
        let node = self.plan.node.as_deref();
        let device = Device::new(lit, Some(opening), node, self.frames.clone());
        self.running.hold(device);
    }

    /// The camera's buffers come as handles, which other devices can take.
    pub(super) fn shares_buffers(&self) -> bool {
        self.plan.description.contains(" io-mode=dmabuf")
    }

    /// Looks for motion in it, from when it plays.
    pub(super) fn watch(&mut self, motion: &Arc<Motion>) -> Result<(), MediaError> {
        if motion.can_watch(&self.plan) {
            let pipeline = &self.running.pipeline;
            self.tap = Some(Tap::on(pipeline, &self.tee, &self.plan, motion.clone())?);
        }
        Ok(())
    }

    /// The element of this name.
    pub(super) fn element(&self, name: &str) -> Option<gst::Element> {
        self.running.pipeline.by_name(name)
    }

    /// The first element of this kind.
    pub(super) fn element_made_by(&self, factory: &str) -> Option<gst::Element> {
        let elements = self.running.pipeline.iterate_elements();
        elements
            .into_iter()
            .flatten()
            .find(|e| e.factory().is_some_and(|f| f.name() == factory))
    }

    pub(super) fn play(
        &self,
        clock: &gst::Clock,
        base_time: gst::ClockTime,
    ) -> Result<(), MediaError> {
        self.running.play(clock, base_time)
    }

    /// When its last frame came; now where an encoder keeps the next one from coming,
    /// which is no fault of the camera's.
    pub(super) fn last_frame(&self) -> Option<Instant> {
        let waits = |branch: &Branch| branch.waits.load(Ordering::Acquire);
        let last = self.frames.last()?;
        match self.branches.values().any(waits) {
            true => Some(Instant::now()),
            false => Some(last),
        }
    }

    /// When the last frame came out of an encoder.
    pub(super) fn last_encoded(&self, encoding: Encoding) -> Option<Instant> {
        self.branches.get(&encoding)?.life.encoded.last()
    }

    /// Its encoder is to read the camera's own buffers.
    pub(super) fn imports(&self, encoding: Encoding) -> bool {
        self.branches.get(&encoding).is_some_and(|b| b.imports)
    }

    /// What is encoded.
    pub(super) fn encodings(&self) -> Vec<Encoding> {
        self.branches.keys().copied().collect()
    }

    /// An encoder's bin and the sink in it.
    pub(super) fn branch(&self, encoding: Encoding) -> Option<(&gst::Bin, &gst_app::AppSink)> {
        self.branches.get(&encoding).map(|b| (&b.bin, &b.sink))
    }

    /// Encodes only one of so many frames; 1 is all of them.
    pub(super) fn encode_every(&self, encoding: Encoding, every: u32) {
        if let Some(branch) = self.branches.get(&encoding) {
            branch.every.store(every, Ordering::Release);
        }
    }

    /// True for a branch that was not taken off.
    pub(super) fn has(&self, branch: BranchId) -> bool {
        self.branches
            .get(&branch.encoding)
            .is_some_and(|b| b.id == branch)
    }

    pub(super) fn add_branch(
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
            .map_err(|e| failed(refusal(description, &e)))?;
        bin.set_property("name", id.name());
        let life = Life::new();
        self.running.deliver(&bin, Some(id), None, output, &life)?;
        let sink = sink(&bin, self.running.what())?;
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
            layout::say(&pad);
        }
        let sink_pad = bin_pad.downcast_ref::<gst::GhostPad>();
        let waits =
            sink_pad.map_or_else(Arc::default, |pad| watch_queries(pad, self.frames.clone()));
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
            waits,
            imports: description.contains("dmabuf-import"),
        };
        self.branches.insert(encoding, branch);
        if linked.is_err() {
            self.remove_branch(encoding);
        }
        linked.map(drop)
    }

    /// Takes an encoder off, whatever state it is in. Errors of it are no news
    /// any more.
    pub(super) fn remove_branch(&mut self, encoding: Encoding) {
        let Some(branch) = self.branches.remove(&encoding) else {
            return;
        };
        branch.life.end();
        if branch.waits.load(Ordering::Acquire) {
            // Once this is gone, it is the camera's turn.
            self.frames.beat(Instant::now());
        }
        // Unlink between two buffers, on the streaming thread; stop the
        // encoder from elsewhere, for an element must not stop itself.
        let (done, unlinked) = mpsc::sync_channel(1);
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
            let problem = format!("the branch for {encoding} could not be taken off");
            self.running.report(problem);
        }
        let _ = self.running.pipeline.remove(&branch.bin);
        stop(
            branch.bin.upcast(),
            &format!("encoder for {encoding}"),
            None,
        );
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
