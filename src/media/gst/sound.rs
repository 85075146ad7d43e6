//! The microphone: opened on a thread of its own, since drivers take their time,
//! and the picture must not wait for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use tracing::warn;

use super::echo;
use super::held::Device;
use super::openers::{GivenUp, Openers, Opening};
use super::pipeline::{self, Life, Running};
use super::{encode_sound, plan_sound};
use crate::config::{AudioConfig, AudioSource};
use crate::echo::Played;
use crate::lock::lock;
use crate::media::drift::Drift;
use crate::media::duck::{self, Duck};
use crate::media::error::MediaError;
use crate::media::hub::source::Failure;
use crate::media::hub::source::{Output, Waker};
use crate::media::plan;
use crate::media::plan::SoundPlan;
use crate::media::stream::SoundCoding;

/// For messages.
const MICROPHONE: &str = "the microphone";

/// The time line of the sound, over all runs of the microphone: who watches
/// through a restart goes on hearing.
#[derive(Default)]
struct Pace {
    drift: Arc<Mutex<Drift>>,
    /// Which microphone it was.
    of: Option<String>,
    /// Why that one, as the log has it.
    said: String,
}

impl Pace {
    /// The time line for another run of this microphone.
    fn of(&mut self, microphone: &str) -> (Arc<Mutex<Drift>>, u64) {
        let before = self.of.replace(microphone.to_owned());
        let same = before.is_some_and(|before| before == microphone);
        let run = lock(&self.drift).resume(same);
        (self.drift.clone(), run)
    }

    /// Logs why this microphone is taken, where that is news.
    fn say(&mut self, plan: &SoundPlan) {
        if plan.reason != self.said && !plan.reason.is_empty() {
            warn!(source = %plan.what, why = %plan.reason, "of the microphones this one is taken");
        }
        self.said.clone_from(&plan.reason);
    }
}

/// What came of opening it.
struct News {
    number: u64,
    opened: Result<Option<Running>, MediaError>,
    failure: Failure,
}

/// The sound of a [`GstSource`](super::GstSource).
pub(super) struct Sound {
    config: AudioConfig,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    pace: Arc<Mutex<Pace>>,
    /// How it is encoded.
    coding: SoundCoding,
    /// When nothing is to be heard of it.
    duck: Duck,
    /// What the speaker plays.
    played: Played,
    running: Option<Running>,
    /// How many openers there have been.
    openers: u64,
    /// The one whose microphone is wanted.
    wanted: Option<u64>,
    /// How that one, and what it delivers, is stopped.
    given_up: GivenUp,
    life: Life,
    at_work: Openers,
    tell: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    waker: Option<Waker>,
}

impl Sound {
    pub(super) fn new(config: AudioConfig, clock: gst::Clock, base_time: gst::ClockTime) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a few for each start, and a streaming thread must not wait"
        )]
        let (tell, news) = mpsc::channel();
        Self {
            config,
            clock,
            base_time,
            pace: Arc::default(),
            coding: SoundCoding::default(),
            duck: Duck::default(),
            played: Played::default(),
            running: None,
            openers: 0,
            wanted: None,
            given_up: GivenUp::default(),
            life: Life::default(),
            at_work: Openers::default(),
            tell,
            news,
            waker: None,
        }
    }

    pub(super) fn attach(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }

    pub(super) fn attach_duck(&mut self, duck: Duck) {
        self.duck = duck;
    }

    pub(super) fn attach_played(&mut self, played: Played) {
        self.played = played;
    }

    /// Begins to open the microphone. What comes of it is seen by
    /// [`poll`](Self::poll).
    pub(super) fn start(&mut self, output: Output) -> Result<(), MediaError> {
        if self.config.source == AudioSource::None {
            return Ok(());
        }
        let failed = |problem| MediaError::Pipeline {
            what: MICROPHONE.to_owned(),
            problem,
        };
        let begun = self.at_work.begin(Instant::now());
        let opening = begun.map_err(|stuck| failed(stuck.problem()))?;
        let (given_up, life) = (opening.given_up(), Life::new());
        self.openers += 1;
        let number = self.openers;
        let opener = Opener {
            config: self.config.clone(),
            clock: self.clock.clone(),
            base_time: self.base_time,
            pace: self.pace.clone(),
            coding: self.coding,
            duck: self.duck.clone(),
            played: self.played.clone(),
            given_up: given_up.clone(),
            life: life.clone(),
        };
        let (tell, waker) = (self.tell.clone(), self.waker.clone());
        let thread = std::thread::Builder::new().name("microphone-open".into());
        let spawned = thread.spawn(move || {
            let failure = output.failure();
            let news = News {
                number,
                opened: opener.open(output, opening),
                failure,
            };
            let _ = tell.send(news);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        spawned.map_err(|e| failed(format!("no thread to open it: {e}")))?;
        self.wanted = Some(number);
        (self.given_up, self.life) = (given_up, life);
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        self.wanted = None;
        self.given_up.set();
        // At once: a driver takes its time to stop.
        self.life.end();
        self.running = None;
    }

    /// Encodes so, now and later.
    pub(super) fn set_coding(&mut self, coding: SoundCoding) {
        self.coding = coding;
        if let Some(running) = &self.running {
            encode_sound(&running.pipeline, coding);
        }
    }

    /// Takes what was opened.
    pub(super) fn poll(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            let is_wanted = self.wanted == Some(news.number);
            match news.opened {
                Ok(running) if is_wanted => {
                    self.running = running;
                    // It may be another one by now.
                    self.set_coding(self.coding);
                }
                Err(error) if is_wanted => news.failure.report(error),
                // Given up meanwhile; dropped, it closes.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// All that is needed to open it, on another thread.
struct Opener {
    config: AudioConfig,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    pace: Arc<Mutex<Pace>>,
    coding: SoundCoding,
    duck: Duck,
    played: Played,
    /// Nobody wants it any more.
    given_up: GivenUp,
    /// It delivers as long as this lasts.
    life: Life,
}

impl Opener {
    fn open(&self, output: Output, opening: Arc<Opening>) -> Result<Option<Running>, MediaError> {
        self.given_up.check(MICROPHONE)?;
        let Some(sound) = plan_sound(&self.config)? else {
            return Ok(None);
        };
        lock(&self.pace).say(&sound);
        let failure = output.failure();
        let mut running = Running::new(
            &sound.description,
            sound.what,
            Arc::new(move |_, error| failure.report(error)),
        )?;
        running.hold(Device::new(None, Some(opening), None, Arc::default()));
        let output = Arc::new(Mutex::new(output));
        let capture = running.pipeline.by_name(plan::SOUND_CAPTURE);
        let pace = capture.and_then(|e| e.static_pad("src")).map(|pad| {
            // Before the samples get a time line of their own.
            self.silence(&pad);
            let (pace, run) = lock(&self.pace).of(running.what());
            pipeline::watch_pace(&pad, running.what(), pace.clone(), run);
            pace
        });
        let encoder = running.pipeline.by_name(plan::SOUND_ENCODER);
        let input = encoder.and_then(|e| e.static_pad("sink"));
        if let (Some(pad), Some(pace)) = (input, &pace) {
            let (played, pace) = (self.played.clone(), pace.clone());
            echo::cancel(&pad, played, pace, self.base_time, running.what());
        }
        running.deliver(&running.pipeline, None, pace, output, &self.life)?;
        encode_sound(&running.pipeline, self.coding);
        self.given_up.check(MICROPHONE)?;
        running.play(&self.clock, self.base_time)?;
        Ok(Some(running))
    }

    /// Lets nothing be heard while the speaker speaks.
    fn silence(&self, pad: &gst::Pad) {
        let (duck, base_time) = (self.duck.clone(), self.base_time);
        let silent = AtomicBool::new(false);
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
                && let Some(at) = pipeline::running_time(pad, buffer)
            {
                let now = duck.silences((base_time + at).into());
                let before = silent.swap(now, Ordering::AcqRel);
                if (before || now)
                    && let Ok(mut samples) = buffer.make_mut().map_writable()
                {
                    duck::silence(&mut samples, before, now);
                }
            }
            gst::PadProbeReturn::Ok
        });
    }
}
