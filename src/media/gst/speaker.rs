//! The loudspeaker: opened while somebody talks, on a thread of its own, which
//! has no other work. Whatever becomes of it costs nothing else.
//!
//! Packets of Opus wait in a [jitter buffer](crate::media::playout) for their turn, are
//! decoded, or made up where they are lost, and go to the card. One that fails or is
//! unplugged is tried again once a second, for as long as somebody talks.

mod decoder;
mod playing;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use tokio::sync::watch;
use tracing::{info, warn};

use self::playing::Playing;
use super::echo;
use crate::config::{Echo, SpeakerConfig};
use crate::echo::Played;
use crate::lock::lock;
use crate::media::duck::{self, Duck, Gate};
use crate::media::error::MediaError;
use crate::media::playout::Packet;

/// Packets of 20 ms that wait for the thread.
const QUEUE: usize = 32;
/// A speaker that could not be opened, or was lost, is tried again after that.
const RETRY: Duration = Duration::from_secs(1);
/// A driver that took nothing for so long does not come back.
const STUCK: Duration = Duration::from_secs(3);

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

    /// Plays a packet of Opus. What there is no room for is lost.
    pub(crate) fn play(&self, packet: Packet) {
        let now = packet.came;
        if let Some(turn) = &mut *lock(&self.turn) {
            match turn.packets.try_send(packet) {
                Ok(()) => turn.taken = now,
                Err(TrySendError::Full(_))
                    if now.saturating_duration_since(turn.taken) >= STUCK =>
                {
                    self.opener
                        .fails("its driver does not come back; unplug it, or restart this machine")
                }
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
            let played = self.open().map(|mut playing| {
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
        let playing = Playing::new(&self.device)?;
        if let Some(pad) = playing.samples() {
            match self.echo {
                Echo::HalfDuplex => self.watch(&pad, &playing.clock),
                Echo::Cancel => echo::tell(&pad, &playing.pipeline, self.played.clone()),
                Echo::Off => {}
            }
        }
        playing.start()?;
        Ok(playing)
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
