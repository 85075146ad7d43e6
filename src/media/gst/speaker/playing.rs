//! A speaker that is open: what comes is played until the turn is over.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tracing::debug;

use super::Over;
use super::decoder::Decoder;
use crate::media::element::{parse, words};
use crate::media::error::MediaError;
use crate::media::opus;
use crate::media::plan::{self, SPEAKER_INPUT};
use crate::media::playout::{Packet, Playout, Step, splice};

/// So often it is asked how it goes while nothing is said.
const LOOK: Duration = Duration::from_millis(100);
/// What is in the card when the last packet was given to it.
const REST: Duration = Duration::from_millis(100);
/// A card that is gone takes each period at once and says so each time: as often, and no
/// oftener.
const PERIOD: Duration = Duration::from_millis(10);

/// One that is open.
pub(super) struct Playing {
    pub(super) pipeline: gst::Pipeline,
    pub(super) clock: gst::Clock,
    input: gst_app::AppSrc,
    decoder: Decoder,
    /// What its elements say went wrong: the first of it.
    errors: Receiver<String>,
    what: String,
}

/// What goes wrong in this pipeline from now on. The thread that says so is held up for
/// a moment, and no more than one is kept: alsasink writes on, without a pause, to a card
/// that was unplugged, and who waits for its locks would wait for ever.
fn errors(pipeline: &gst::Pipeline) -> Receiver<String> {
    let (tell, errors) = sync_channel(1);
    if let Some(bus) = pipeline.bus() {
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let _ = tell.try_send(words(error));
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this is the thread of a card that is gone, which waits for nothing"
                )]
                std::thread::sleep(PERIOD);
            }
            gst::BusSyncReply::Drop
        });
    }
    errors
}

impl Playing {
    /// Of the ALSA PCM `device`. It is opened by [`start`](Self::start).
    pub(super) fn new(device: &str) -> Result<Self, MediaError> {
        let what = format!("speaker {device}");
        let pipeline = parse(&plan::speaker(device), &what)?;
        Ok(Self {
            errors: errors(&pipeline),
            input: pipeline
                .by_name(SPEAKER_INPUT)
                .and_then(|e| e.downcast().ok())
                .ok_or_else(|| MediaError::Pipeline {
                    what: what.clone(),
                    problem: "its description has no input".to_owned(),
                })?,
            clock: gst::SystemClock::obtain(),
            decoder: Decoder::new()?,
            pipeline,
            what,
        })
    }

    /// Where the samples pass on their way to the card: in 16 bits, one channel, at 48 kHz.
    pub(super) fn samples(&self) -> Option<gst::Pad> {
        self.input.static_pad("src")
    }

    pub(super) fn start(&self) -> Result<(), MediaError> {
        self.pipeline.use_clock(Some(&self.clock));
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error().unwrap_or_else(|| MediaError::Pipeline {
                what: self.what.clone(),
                problem: error.to_string(),
            })),
        }
    }

    /// Plays what came since now, until there is no more. What came before is as old as
    /// it took to open the card.
    pub(super) fn until_over(&mut self, inbox: &Receiver<Packet>) -> Result<Over, MediaError> {
        let opened = Instant::now();
        let mut playout = Playout::default();
        loop {
            let now = Instant::now();
            let due = playout.due().map(|due| due.saturating_duration_since(now));
            let wait = due.map_or(LOOK, |due| due.min(LOOK));
            match inbox.recv_timeout(wait) {
                Ok(packet) if packet.came >= opened => playout.arrive(packet),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if playout.is_empty() => {
                    self.waits(REST);
                    debug!(speaker = %self.what, tally = ?playout.tally(), "what became of a voice");
                    return Ok(Over);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Some(error) = self.waits(wait) {
                        return Err(error);
                    }
                }
            }
            while let Some((at, step)) = playout.step(Instant::now()) {
                let (given, left_out) = self.give(at, step);
                playout.given(given, left_out);
            }
            if let Some(error) = self.error() {
                return Err(error);
            }
        }
    }

    /// Gives what is due at this time to the card. How many samples that are, and how
    /// many were left out.
    fn give(&mut self, at: Instant, step: Step) -> (usize, usize) {
        let (mut samples, left_out) = match step {
            Step::Play { payload, spare } => {
                let length = opus::samples(&payload).unwrap_or_default() as usize;
                let mut samples = self.decoder.decode(payload, length);
                let left_out = splice::shorten(&mut samples, spare);
                (samples, left_out)
            }
            Step::Conceal(samples) => (self.decoder.conceal(samples), 0),
        };
        let given = samples.len();
        let bytes: Vec<u8> = samples.drain(..).flat_map(i16::to_le_bytes).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let age = gst::ClockTime::try_from(at.elapsed()).unwrap_or_default();
        let now = self.clock.time();
        let base = self.pipeline.base_time();
        let running = base.and_then(|base| now.checked_sub(base)?.checked_sub(age));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(running);
        }
        if let Err(error) = self.input.push_buffer(buffer) {
            debug!(%error, "the speaker takes nothing");
        }
        (given, left_out)
    }

    /// What an element says went wrong.
    fn error(&self) -> Option<MediaError> {
        self.waits(Duration::ZERO)
    }

    /// The same, where it says so in this time.
    fn waits(&self, time: Duration) -> Option<MediaError> {
        let problem = self.errors.recv_timeout(time).ok()?;
        Some(MediaError::Pipeline {
            what: self.what.clone(),
            problem,
        })
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
