//! One viewer's data channel: tells them how picture and sound are and, where they
//! ask, how their stream goes; and sets the camera's controls for them where the
//! configuration lets them.
//!
//! What goes out is always the newest: a viewer who does not read holds up
//! nothing but themselves, and no more than [`SEND_BUFFER`] waits for them. What
//! comes in is read at once, so that nothing piles up in the crate, and
//! dropped beyond [`LISTENED`].

mod door;
mod outgoing;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{broadcast, mpsc, watch};
use tracing::debug;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};
use webrtc::error::Error;

use super::Peers;
use super::messages::{self, FromViewer, LISTENED, MessageError, Refusal};
use super::quality::Seat;
use super::stats::Observer;
use super::talk::{FloorLine, TalkBack, Talker};
use crate::access::{Guest, Key, KeyId, Right};
use crate::agent::{PeerEvent, SessionId};
use crate::bucket::Bucket;
use crate::config::{ControlValue, ZoneWish};
use crate::device::controls::CameraControl;
use crate::media::moved::Moved;
use crate::media::status::{MediaStatus, State};
use crate::privacy::{By, Privacy};
use crate::zones::{Known, Zones};
use door::{may_control, may_switch};
use outgoing::Outgoing;

/// Bytes that may wait for a viewer to take them.
pub(super) const SEND_BUFFER: usize = 64 * 1024;
/// How soon a full buffer is looked at again.
const RETRY: Duration = Duration::from_millis(250);
/// Changes that wait for the camera, and refusals that wait for the viewer.
const QUEUE: usize = 8;
/// A viewer who asks how their stream goes is told this often.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// What the camera is asked for.
enum Work {
    Refresh,
    Set(String, ControlValue),
    Zones(ZoneWish),
}

/// Serves the channel until it closes. `observer` looks at this viewer's stream.
pub(super) async fn serve(
    channel: Arc<dyn DataChannel>,
    shared: Arc<Peers>,
    seat: Arc<Seat>,
    observer: Observer,
    (session, guest): (SessionId, Option<Arc<Guest>>),
    (talk_back, talker): (Option<Arc<TalkBack>>, Option<Arc<Talker>>),
) {
    let floor = FloorLine::of(talk_back, talker, session);
    let has_speaker = floor.is_there();
    let (work, mut todo) = mpsc::channel(QUEUE);
    let (switch, mut switches) = mpsc::channel(QUEUE);
    let (refuse, refusals) = mpsc::channel(QUEUE);
    let (give, keys) = mpsc::channel(1);
    // Beside each other, for the camera may take its time.
    let at_camera = at_camera(&shared, guest.clone(), &mut todo, &refuse);
    let switching = switch_privacy(&shared, guest.clone(), &mut switches, &refuse);
    let choice = seat.choice();
    // Where there is none, it need not be told.
    let has_choice = *choice.borrow() > 1;
    let privacy = shared
        .privacy
        .as_ref()
        .filter(|_| may_switch(guest.as_deref()));
    let (past, moves) = shared.hub.moves().listen();
    // The gate lets nobody else call; this is what the right is for.
    let may_watch = guest.as_deref().is_none_or(|g| g.may.has(Right::Watch));
    let past = past.iter().filter(|_| may_watch);
    let zones = shared.watched_zones().filter(|_| may_watch);
    let mut talk = Talk {
        zones: zones.map(Zones::subscribe),
        moves: may_watch.then_some(moves),
        floor,
        status: shared.hub.status(),
        controls: (shared.controls.are_allowed() && may_control(guest.as_deref()))
            .then(|| shared.controls.known()),
        channel,
        outgoing: Outgoing {
            status: true,
            qualities: has_choice,
            floor: has_speaker,
            invited: guest.is_some(),
            privacy: privacy.is_some(),
            zones: zones.is_some(),
            motions: past.map(|moved| messages::motion(moved, true)).collect(),
            ..Outgoing::default()
        },
        choice,
        privacy: privacy.map(Privacy::subscribe),
        seat,
        observer,
        stats_due: None,
        work,
        switch,
        refusals,
        limiter: Bucket::full(LISTENED, Instant::now()),
        was_live: false,
        garbage: false,
        guest: guest.clone(),
        given: None,
        keys,
        kept: Box::new({
            let shared = shared.clone();
            move |id| {
                let _ = shared.events.try_send((session, PeerEvent::KeyKept(id)));
            }
        }),
    };
    tokio::select! {
        () = talk.run() => {}
        () = at_camera => {}
        () = switching => {}
        // Beside the talk, for it is written to a disk first.
        () = give_key(&shared, guest, give) => {}
    }
    debug!("the viewer's data channel is closed");
}

/// Has a key made for who was invited and has none yet.
async fn give_key(shared: &Peers, guest: Option<Arc<Guest>>, give: mpsc::Sender<(KeyId, Key)>) {
    let guest = guest.filter(|guest| guest.needs_key());
    if let (Some(guest), Some(desk)) = (guest, &shared.desk)
        && let Some(key) = desk.give(guest.id).await
    {
        let _ = give.send(key).await;
    }
    std::future::pending::<()>().await;
}

/// Does what somebody wants of the camera, one after the other; tells what it
/// refuses.
async fn at_camera(
    shared: &Peers,
    guest: Option<Arc<Guest>>,
    todo: &mut mpsc::Receiver<Work>,
    refuse: &mpsc::Sender<(&'static str, Refusal)>,
) {
    let who = name_of(guest.as_deref());
    while let Some(work) = todo.recv().await {
        match work {
            Work::Refresh => shared.controls.refresh().await,
            Work::Zones(wish) => {
                if let Some(zones) = &shared.zones
                    && let Err(reason) = zones.change(wish, who, Instant::now()).await
                {
                    let _ = refuse.try_send(("zones", reason.into()));
                }
            }
            Work::Set(name, value) => {
                if let Err(refusal) = shared.controls.set(name, value).await {
                    let _ = refuse.try_send(("control", refusal));
                }
            }
        }
    }
}

/// Switches privacy. Not after what else is wanted: of the camera it needs nothing, and
/// a camera that takes its time is no reason to go on looking.
async fn switch_privacy(
    shared: &Peers,
    guest: Option<Arc<Guest>>,
    switches: &mut mpsc::Receiver<bool>,
    refuse: &mpsc::Sender<(&'static str, Refusal)>,
) {
    while let Some(on) = switches.recv().await {
        let (who, now) = (name_of(guest.as_deref()), Instant::now());
        if let Some(privacy) = &shared.privacy
            && let Err(reason) = privacy.switch(on, By::Viewer, who, now).await
        {
            let _ = refuse.try_send(("privacy", reason.into()));
        }
    }
}

fn name_of(guest: Option<&Guest>) -> &str {
    guest.map_or("a viewer", |guest| guest.label.as_str())
}

struct Talk {
    channel: Arc<dyn DataChannel>,
    seat: Arc<Seat>,
    /// How many qualities there are.
    choice: watch::Receiver<usize>,
    observer: Observer,
    /// When they are next told how their stream goes, if they asked.
    stats_due: Option<Instant>,
    status: watch::Receiver<MediaStatus>,
    moves: Option<broadcast::Receiver<Moved>>,
    zones: Option<watch::Receiver<Arc<Known>>>,
    floor: FloorLine,
    controls: Option<watch::Receiver<Arc<[CameraControl]>>>,
    /// Whether there is privacy, for who may switch it.
    privacy: Option<watch::Receiver<bool>>,
    work: mpsc::Sender<Work>,
    switch: mpsc::Sender<bool>,
    /// What wishes were about that are not obeyed, and why.
    refusals: mpsc::Receiver<(&'static str, Refusal)>,
    outgoing: Outgoing,
    limiter: Bucket,
    /// The camera whose controls are known is the one that is open.
    was_live: bool,
    /// The viewer has sent something that cannot be read; it was logged.
    garbage: bool,
    guest: Option<Arc<Guest>>,
    /// The key that the viewer's browser is to keep.
    given: Option<(KeyId, Key)>,
    keys: mpsc::Receiver<(KeyId, Key)>,
    /// Says that it did.
    kept: Box<dyn Fn(KeyId) + Send + Sync>,
}

impl Talk {
    async fn run(&mut self) {
        loop {
            if self.send().await.is_err() {
                return;
            }
            let controls_changed = async {
                match &mut self.controls {
                    Some(controls) => controls.changed().await,
                    None => std::future::pending().await,
                }
            };
            let privacy_changed = async {
                match &mut self.privacy {
                    Some(privacy) => privacy.changed().await,
                    None => std::future::pending().await,
                }
            };
            let zones_changed = async {
                match &mut self.zones {
                    Some(zones) => zones.changed().await,
                    None => std::future::pending().await,
                }
            };
            let moved = async {
                match &mut self.moves {
                    Some(moves) => moves.recv().await,
                    None => std::future::pending().await,
                }
            };
            let stats_due = async {
                match self.stats_due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.channel.poll() => match event {
                    None | Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) => return,
                    Some(DataChannelEvent::OnMessage(message)) => self.heard(&message),
                    Some(_) => {}
                },
                Ok(()) = self.status.changed() => self.outgoing.status = true,
                Ok(()) = controls_changed => self.outgoing.controls = true,
                Ok(()) = privacy_changed => self.outgoing.privacy = true,
                Ok(()) = zones_changed => self.outgoing.zones = true,
                Ok(moved) = moved => self.outgoing.motion(messages::motion(&moved, false)),
                () = self.floor.changed() => self.outgoing.floor = true,
                Ok(()) = self.choice.changed() => self.outgoing.qualities = true,
                () = stats_due => {
                    self.outgoing.stats = true;
                    self.stats_due = Some(Instant::now() + STATS_INTERVAL);
                }
                Some((about, refusal)) = self.refusals.recv() => self.refuse(about, &refusal),
                Some(key) = self.keys.recv() => {
                    self.given = Some(key);
                    self.outgoing.key = true;
                }
                () = tokio::time::sleep(RETRY), if !self.outgoing.is_empty() => {}
            }
        }
    }

    fn heard(&mut self, message: &RTCDataChannelMessage) {
        if !self.limiter.take(1.0, Instant::now()) {
            return;
        }
        match messages::parse(&message.data) {
            Ok(FromViewer::Control { .. }) if !may_control(self.guest.as_deref()) => {
                self.refuse("control", &messages::NO_CONTROL.into());
            }
            Ok(FromViewer::Control { name, value }) => {
                if self.work.try_send(Work::Set(name, value)).is_err() {
                    self.refuse("control", &messages::BUSY.into());
                }
            }
            Ok(FromViewer::Privacy { .. }) if self.privacy.is_none() => {
                self.refuse("privacy", &messages::NO_PRIVACY.into());
            }
            Ok(FromViewer::Privacy { on }) => {
                if self.switch.try_send(on).is_err() {
                    self.refuse("privacy", &messages::BUSY.into());
                }
            }
            Ok(FromViewer::Zones(_)) if !may_switch(self.guest.as_deref()) => {
                self.refuse("zones", &messages::NO_ZONES.into());
            }
            Ok(FromViewer::Zones(wish)) => {
                if self.work.try_send(Work::Zones(wish)).is_err() {
                    self.refuse("zones", &messages::BUSY.into());
                }
            }
            Ok(FromViewer::Quality { tier }) => self.seat.pin(tier),
            Ok(FromViewer::Stats { on }) => self.watch_stats(on),
            Ok(FromViewer::Talk { on, wait }) => {
                if let Err(why) = self.floor.ask(on, wait) {
                    self.refuse("talk", &why.into());
                }
            }
            Ok(FromViewer::Ping { id }) => self.outgoing.pong = Some(id),
            Ok(FromViewer::KeyKept { id }) => self.kept(&id),
            Ok(FromViewer::Unknown) => self.passed_over("its type is not known"),
            Err(error @ MessageError::Control) => self.refuse("control", &(&error).into()),
            Err(error @ MessageError::Privacy) => self.refuse("privacy", &(&error).into()),
            Err(error @ MessageError::Zone) => self.refuse("zones", &(&error).into()),
            Err(error @ MessageError::Quality) => self.refuse("quality", &(&error).into()),
            Err(error @ MessageError::Talk) => self.refuse("talk", &(&error).into()),
            Err(error @ MessageError::Stats) => self.refuse("stats", &(&error).into()),
            Err(error @ MessageError::Ping) => self.refuse("ping", &(&error).into()),
            Err(error) => self.passed_over(&error.to_string()),
        }
    }

    fn kept(&mut self, id: &str) {
        match &self.given {
            Some((given, _)) if given.to_string() == id => {
                (self.kept)(*given);
                self.given = None;
            }
            Some(_) | None => self.passed_over("it keeps a key that it was not given"),
        }
    }

    fn watch_stats(&mut self, on: bool) {
        let now = Instant::now();
        if !on {
            self.stats_due = None;
            self.outgoing.stats = false;
        } else if self.stats_due.is_none() {
            self.observer = self.observer.another(now);
            self.stats_due = Some(now + STATS_INTERVAL);
        }
    }

    fn passed_over(&mut self, why: &str) {
        if !std::mem::replace(&mut self.garbage, true) {
            debug!(why, "a message of the viewer was passed over");
        }
    }

    fn refuse(&mut self, about: &str, refusal: &Refusal) {
        if self.outgoing.errors.len() < QUEUE {
            let message = messages::error(about, refusal);
            self.outgoing.errors.push_back(message);
        }
    }

    /// Sends what there is, as far as there is room.
    async fn send(&mut self) -> Result<(), Error> {
        // First: a page takes half of the time that this takes for the way.
        if let Some(id) = self.outgoing.pong {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            if !self.try_send(&messages::pong(id, now)).await? {
                return Ok(());
            }
            self.outgoing.pong = None;
        }
        if self.outgoing.invited
            && let Some(guest) = &self.guest
        {
            if !self.try_send(&messages::invited(guest)).await? {
                return Ok(());
            }
            self.outgoing.invited = false;
        }
        if self.outgoing.key
            && let Some((id, key)) = &self.given
        {
            if !self.try_send(&messages::key(*id, key)).await? {
                return Ok(());
            }
            self.outgoing.key = false;
        }
        if self.outgoing.status {
            let status = self.status.borrow_and_update().clone();
            if !self.try_send(&messages::status(&status)).await? {
                return Ok(());
            }
            self.outgoing.status = false;
            let live = status.video.state == State::Live;
            if live && !self.was_live && self.controls.is_some() {
                let _ = self.work.try_send(Work::Refresh);
            }
            self.was_live = live;
        }
        if self.outgoing.controls
            && let Some(controls) = &mut self.controls
        {
            let text = messages::controls(controls.borrow_and_update().iter());
            if !self.try_send(&text).await? {
                return Ok(());
            }
            self.outgoing.controls = false;
        }
        if self.outgoing.privacy
            && let Some(privacy) = &mut self.privacy
        {
            let on = *privacy.borrow_and_update();
            if !self.try_send(&messages::privacy(on)).await? {
                return Ok(());
            }
            self.outgoing.privacy = false;
        }
        if self.outgoing.floor {
            let words = self.floor.words();
            if !self.try_send(&messages::floor(&words)).await? {
                return Ok(());
            }
            self.floor.told();
            self.outgoing.floor = false;
        }
        if self.outgoing.qualities {
            let count = *self.choice.borrow_and_update();
            if !self.try_send(&messages::qualities(count)).await? {
                return Ok(());
            }
            self.outgoing.qualities = false;
        }
        self.send_queued().await
    }

    /// How their stream goes, where motion is looked for, and what is told in order.
    async fn send_queued(&mut self) -> Result<(), Error> {
        if self.outgoing.stats {
            let stats = self.observer.look(Instant::now());
            if !self.try_send(&messages::stats(&stats)).await? {
                return Ok(());
            }
            self.outgoing.stats = false;
        }
        if self.outgoing.zones
            && let Some(zones) = &mut self.zones
        {
            let known = zones.borrow_and_update().clone();
            let may_draw = may_switch(self.guest.as_deref());
            if !self.try_send(&messages::zones(&known, may_draw)).await? {
                return Ok(());
            }
            self.outgoing.zones = false;
        }
        while let Some(text) = self.outgoing.errors.front() {
            if !self.try_send(text).await? {
                return Ok(());
            }
            self.outgoing.errors.pop_front();
        }
        while let Some(text) = self.outgoing.motions.front() {
            if !self.try_send(text).await? {
                return Ok(());
            }
            self.outgoing.motions.pop_front();
        }
        Ok(())
    }

    /// False where there is no room now.
    async fn try_send(&self, text: &str) -> Result<bool, Error> {
        match self.channel.try_send_text(text).await {
            Ok(()) => Ok(true),
            Err(Error::ErrSendBufferFull) => Ok(false),
            Err(error) => {
                debug!(%error, "the data channel takes nothing");
                Err(error)
            }
        }
    }
}
