//! The loudspeaker: opened while somebody talks, on a thread of its own, which
//! has no other work. Whatever becomes of it costs nothing else.
//!
//! Packets of Opus go through a jitter buffer into the decoder, which makes up for
//! what is lost, and to the card. One that fails or is unplugged is tried again
//! once a second, for as long as somebody talks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::echo;
use crate::config::{Echo, SpeakerConfig};
use crate::echo::Played;
use crate::lock::lock;
use crate::media::duck::{self, Duck, Gate};
use crate::media::element::{parse, words};
use crate::media::error::MediaError;
use crate::media::plan::{self, SPEAKER_INPUT, SPEAKER_VOICE};

/// Packets of 20 ms that wait for the thread.
const QUEUE: usize = 32;
/// A speaker that could not be opened, or was lost, is tried again after that.
const RETRY: Duration = Duration::from_secs(1);
/// So often it is asked how it goes while nothing is said.
const LOOK: Duration = Duration::from_millis(100);
/// What is in the jitter buffer and the card when the last packet came.
const REST: Duration = Duration::from_millis(200);
/// A driver that took nothing for so long does not come back.
const STUCK: Duration = Duration::from_secs(3);
/// A card that is gone takes each period at once and says so each time: as often, and no
/// oftener.
const PERIOD: Duration = Duration::from_millis(10);

/// A packet of RTP, and when it came.
type Packet = (Instant, Vec<u8>);

/// The speaker of a device.
pub(crate) struct Speaker {
    opener: Arc<Opener>,
    /// The present turn.
    turn: Mutex<Option<Turn>>,
}

/// What somebody says, on its way to the thread.
struct Turn {
    packets: SyncSender<Packet>,
    /// When there was room for the last one.
    taken: Instant,
}

/// What the thread is for.
#[derive(Default)]
struct Work {
    /// The turn that follows on the one it plays.
    next: Option<Receiver<Packet>>,
    /// There is one, which looks here before it ends.
    has_thread: bool,
}

struct Opener {
    device: String,
    echo: Echo,
    duck: Duck,
    played: Played,
    work: Mutex<Work>,
    /// It was said in the log that it is silent.
    is_silent: AtomicBool,
    /// Why nothing is heard of it.
    trouble: watch::Sender<Option<String>>,
}

impl Speaker {
    /// The configured one. Nothing is opened.
    pub(crate) fn new(config: &SpeakerConfig, duck: Duck, played: Played) -> Option<Self> {
        played.want(config.device.is_some() && config.echo == Echo::Cancel);
        let opener = Opener {
            device: config.device.clone()?,
            echo: config.echo,
            duck,
            played,
            work: Mutex::default(),
            is_silent: AtomicBool::new(false),
            trouble: watch::Sender::new(None),
        };
        Some(Self {
            opener: Arc::new(opener),
            turn: Mutex::default(),
        })
    }

    /// Why nothing is heard of it while somebody talks, now and after each change.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.opener.trouble.subscribe()
    }

    /// Somebody is about to talk. What was said before is played to its end first.
    pub(crate) fn begin(&self) {
        let (packets, inbox) = sync_channel(QUEUE);
        let taken = Instant::now();
        *lock(&self.turn) = Some(Turn { packets, taken });
        let opener = self.opener.clone();
        let mut work = lock(&self.opener.work);
        work.next = Some(inbox);
        if work.has_thread {
            return;
        }
        let thread = std::thread::Builder::new().name("speaker".into());
        match thread.spawn(move || opener.work()) {
            Ok(_) => work.has_thread = true,
            Err(error) => self.opener.fails(&format!("no thread to open it: {error}")),
        }
    }

    /// Nobody talks any more. What was said is played to its end.
    pub(crate) fn end(&self) {
        *lock(&self.turn) = None;
        self.opener.trouble.send_replace(None);
    }

    /// Plays a packet of RTP with Opus. What there is no room for is lost.
    pub(crate) fn play(&self, packet: Vec<u8>) {
        let now = Instant::now();
        if let Some(turn) = &mut *lock(&self.turn) {
            match turn.packets.try_send((now, packet)) {
                Ok(()) => turn.taken = now,
                Err(TrySendError::Full(_)) if now - turn.taken >= STUCK => self
                    .opener
                    .fails("its driver does not come back; unplug it, or restart this machine"),
                Err(_) => {}
            }
        }
    }
}

/// The turn is over.
struct Over;

impl Opener {
    fn fails(&self, why: &str) {
        self.played.lost();
        let news = self.trouble.send_if_modified(|trouble| {
            let is_new = trouble.is_none();
            *trouble = Some(why.to_owned());
            is_new
        });
        // Once until it works: whoever talks may try as often as they like.
        if news && !self.is_silent.swap(true, Ordering::AcqRel) {
            warn!(speaker = %self.device, why, "the speaker is silent");
        }
    }

    fn works(&self) {
        self.trouble.send_replace(None);
        if self.is_silent.swap(false, Ordering::AcqRel) {
            info!(speaker = %self.device, "the speaker is back");
        }
    }

    /// Plays one turn after the other, while there are any.
    fn work(&self) {
        loop {
            let next = {
                let mut work = lock(&self.work);
                let next = work.next.take();
                work.has_thread = next.is_some();
                next
            };
            match next {
                Some(inbox) => self.run(&inbox),
                None => return,
            }
        }
    }

    /// Plays until the turn is over.
    fn run(&self, inbox: &Receiver<Packet>) {
        loop {
            let played = self.open().map(|playing| {
                self.works();
                playing.until_over(inbox)
            });
            match played {
                Ok(Ok(Over)) => return,
                Ok(Err(error)) | Err(error) => self.fails(&error.to_string()),
            }
            if wait(inbox, RETRY).is_err() {
                return;
            }
        }
    }

    fn open(&self) -> Result<Playing, MediaError> {
        let what = format!("speaker {}", self.device);
        let pipeline = parse(&plan::speaker(&self.device), &what)?;
        let playing = Playing {
            errors: errors(&pipeline),
            input: pipeline
                .by_name(SPEAKER_INPUT)
                .and_then(|e| e.downcast().ok())
                .ok_or_else(|| MediaError::Pipeline {
                    what: what.clone(),
                    problem: "its description has no input".to_owned(),
                })?,
            clock: gst::SystemClock::obtain(),
            pipeline,
            what,
        };
        let voice = playing.pipeline.by_name(SPEAKER_VOICE);
        if let Some(pad) = voice.and_then(|e| e.static_pad("src")) {
            match self.echo {
                Echo::HalfDuplex => self.watch(&pad, &playing.clock),
                Echo::Cancel => echo::tell(&pad, &playing.pipeline, self.played.clone()),
                Echo::Off => {}
            }
        }
        playing.pipeline.use_clock(Some(&playing.clock));
        match playing.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(playing),
            Err(error) => Err(playing.error().unwrap_or_else(|| MediaError::Pipeline {
                what: playing.what.clone(),
                problem: error.to_string(),
            })),
        }
    }

    /// Holds back what is no sound, and tells the microphone of what is.
    fn watch(&self, pad: &gst::Pad, clock: &gst::Clock) {
        let (duck, clock) = (self.duck.clone(), clock.clone());
        let gate = Mutex::new((Gate::default(), false));
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
                && let Ok(mut samples) = buffer.make_mut().map_writable()
            {
                let at = Duration::from_nanos(clock.time().nseconds());
                let mut gate = lock(&gate);
                let passes = gate.0.passes(&samples, at);
                let before = std::mem::replace(&mut gate.1, passes);
                drop(gate);
                if passes || before {
                    duck.speaks(at);
                }
                // A beginning is not faded in.
                if !passes {
                    duck::silence(&mut samples, !before, true);
                }
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Lets packets pass by for so long.
fn wait(inbox: &Receiver<Packet>, time: Duration) -> Result<(), Over> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(left) {
            Ok(_) if !left.is_zero() => {}
            Ok(_) | Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Over),
        }
    }
}

/// One that is open.
struct Playing {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    clock: gst::Clock,
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
    fn until_over(&self, inbox: &Receiver<Packet>) -> Result<Over, MediaError> {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok((came, packet)) => self.push(came, packet),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.waits(REST);
                    return Ok(Over);
                }
            }
            if let Some(error) = self.error() {
                return Err(error);
            }
        }
    }

    fn push(&self, came: Instant, packet: Vec<u8>) {
        let age = gst::ClockTime::try_from(came.elapsed()).unwrap_or_default();
        let now = self.clock.time();
        let base = self.pipeline.base_time();
        let at = base.and_then(|base| now.checked_sub(base)?.checked_sub(age));
        // It came while the speaker was opened.
        let Some(at) = at else { return };
        let mut buffer = gst::Buffer::from_mut_slice(packet);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(at);
            buffer.set_dts(at);
        }
        if let Err(error) = self.input.push_buffer(buffer) {
            debug!(%error, "the speaker takes nothing");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of a tone, as a browser makes them: 20 ms each.
    fn tone(packets: u32) -> Vec<Vec<u8>> {
        let description = format!(
            "audiotestsrc num-buffers={packets} samplesperbuffer=960 ! \
             audio/x-raw,rate=48000,channels=1 ! opusenc ! \
             rtpopuspay pt={} ! appsink name=out sync=false",
            plan::SPEAKER_PAYLOAD_TYPE
        );
        let pipeline = parse(&description, "a tone").expect("a pipeline");
        let sink = crate::media::element::sink(&pipeline, "a tone").expect("a sink");
        pipeline.set_state(gst::State::Playing).expect("it runs");
        let mut all = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().expect("a packet");
            all.push(buffer.map_readable().expect("memory").to_vec());
        }
        pipeline.set_state(gst::State::Null).expect("it stops");
        all
    }

    #[test]
    fn while_it_plays_a_sound_the_microphone_is_silent() {
        crate::media::element::init().expect("GStreamer is installed");
        let config = SpeakerConfig {
            device: Some("null".to_owned()),
            ..SpeakerConfig::default()
        };
        let duck = Duck::default();
        let speaker = Speaker::new(&config, duck.clone(), Played::default()).expect("configured");
        let clock = gst::SystemClock::obtain();
        let is_silent = || duck.silences(clock.time().into());
        let packets = tone(150);
        assert!(packets.len() > 140, "{}", packets.len());
        speaker.begin();
        let mut heard = false;
        for packet in packets {
            speaker.play(packet);
            std::thread::sleep(Duration::from_millis(20));
            heard |= is_silent();
        }
        assert_eq!(*speaker.trouble().borrow(), None);
        assert!(heard, "nothing was played");
        speaker.end();
        let until = Instant::now() + Duration::from_secs(10);
        while is_silent() {
            assert!(Instant::now() < until, "it does not end");
            std::thread::yield_now();
        }
    }

    /// Whoever presses and lets go as fast as they can: the one who talks then is heard.
    #[test]
    fn turns_that_follow_each_other_at_once_cost_no_voice() {
        crate::media::element::init().expect("GStreamer is installed");
        let config = SpeakerConfig {
            device: Some("null".to_owned()),
            ..SpeakerConfig::default()
        };
        let duck = Duck::default();
        let speaker = Speaker::new(&config, duck.clone(), Played::default()).expect("configured");
        let packets = tone(150);
        for _ in 0..20 {
            speaker.begin();
            speaker.play(packets[0].clone());
            speaker.end();
        }
        speaker.begin();
        let clock = gst::SystemClock::obtain();
        let mut heard = false;
        for packet in packets {
            speaker.play(packet);
            std::thread::sleep(Duration::from_millis(20));
            heard |= duck.silences(clock.time().into());
        }
        assert_eq!(*speaker.trouble().borrow(), None);
        assert!(heard, "nothing was played");
    }

    /// A device that is not there is said to be missing, and the next turn tries anew.
    #[test]
    fn one_that_is_missing_is_told_of_and_costs_nothing() {
        crate::media::element::init().expect("GStreamer is installed");
        let config = SpeakerConfig {
            device: Some("no-such-speaker".to_owned()),
            ..SpeakerConfig::default()
        };
        let speaker =
            Speaker::new(&config, Duck::default(), Played::default()).expect("configured");
        let trouble = speaker.trouble();
        for _ in 0..2 {
            assert_eq!(*trouble.borrow(), None);
            speaker.begin();
            let until = Instant::now() + Duration::from_secs(20);
            while trouble.borrow().is_none() {
                assert!(Instant::now() < until, "it is not told of");
                std::thread::yield_now();
            }
            assert!(
                trouble
                    .borrow()
                    .as_ref()
                    .expect("words")
                    .contains("no-such-speaker")
            );
            for _ in 0..1_000 {
                speaker.play(vec![0x80; 100]);
            }
            speaker.end();
        }
    }
}
