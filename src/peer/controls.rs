//! The camera's controls as viewers see them: which they may set, and one list
//! that all of them are told after each change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use super::messages::Refusal;
use crate::config::ControlValue;
use crate::device::controls::{self, CameraControl, ControlError};
use crate::lock::lock;
use crate::media::hub::Hub;
use crate::reason::{Code, Reason};

/// A driver that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one viewer's wish to the next, in turn: each is told to all viewers.
const PACE: Duration = Duration::from_millis(100);
/// From one line of the log to the next.
const LINES: Duration = Duration::from_secs(1);

const NO_CAMERA: Reason = Reason::fixed(
    Code::NoControls,
    "there are no camera controls: the picture does not come from a Video4Linux camera now",
);
const SILENT: Reason = Reason::fixed(Code::CameraSilent, "the camera does not answer");
const CLOSED: Reason = Reason::fixed(
    Code::ControlsClosed,
    "viewers may not set this camera's controls",
);

/// A control, and what it is to be.
type Wish = (String, ControlValue);
/// Sets a control of the camera, where one is to be set, and says how all of them
/// stand then: one may change another, as automatic modes do. May block.
type AtCamera = dyn Fn(Option<Wish>) -> Result<Vec<CameraControl>, Reason> + Send + Sync;
/// The node of the camera that is open.
type WhichCamera = dyn Fn() -> Option<String> + Send + Sync;

/// What viewers may set, and how it stands.
pub(super) struct ViewerControls {
    camera: Arc<AtCamera>,
    told: Arc<Told>,
    /// One caller at the camera at a time, in their order; a driver that hangs holds up
    /// one thread, not one more with each message. When it may be asked again.
    turn: Arc<Mutex<Option<Instant>>>,
    /// Who is there for longer gets no answer.
    patience: Duration,
    /// Since when somebody is.
    busy: Arc<watch::Sender<Option<Instant>>>,
    /// Refreshes that were asked for.
    asked: AtomicU64,
    /// So many of them are done. Who waits for this is served by the one that runs next.
    refreshed: Mutex<u64>,
    /// When a line was last written.
    logged: std::sync::Mutex<Option<Instant>>,
}

/// What viewers are told.
struct Told {
    which: Box<WhichCamera>,
    /// Of the configuration: names, or `*`.
    allowed: Vec<String>,
    known: watch::Sender<Arc<[CameraControl]>>,
    /// Of which camera that is.
    of: std::sync::Mutex<Option<String>>,
}

impl Told {
    fn is_allowed(&self, name: &str) -> bool {
        self.allowed.iter().any(|a| a == "*" || a == name)
    }

    /// Also where nothing changed: whoever asked sees what became of it.
    fn tell(&self, mut list: Vec<CameraControl>, of: Option<String>) {
        list.retain(|c| self.is_allowed(&c.control.name));
        *lock(&self.of) = of;
        self.known.send_replace(list.into());
    }

    /// The camera says nothing of its controls: they are what they were, for all that
    /// is known, but where it is another one.
    fn keep_where_same(&self) {
        let of = (self.which)();
        let is_another = *lock(&self.of) != of;
        if is_another {
            self.tell(Vec::new(), of);
        }
    }

    /// Does what is wanted at the camera, and tells how its controls stand then: also
    /// where nobody waits for it any more. `answered` is called before that is told: who
    /// hears it may ask the next thing at once. May block.
    fn carry_out(
        &self,
        camera: &AtCamera,
        wish: Option<Wish>,
        answered: impl FnOnce(),
    ) -> Result<(), Reason> {
        let is_wish = wish.is_some();
        let of = (self.which)();
        let result = camera(wish);
        let now = (self.which)();
        let outcome = result.as_ref().map(drop).map_err(Reason::clone);
        let list = match of == now {
            true => result,
            // Nobody else may ask that one: who waits for this has given up.
            false => camera(None),
        };
        answered();
        match list {
            Ok(list) => self.tell(list, now),
            Err(_) if is_wish && of == now => {}
            Err(_) => self.tell(Vec::new(), now),
        }
        outcome
    }
}

/// At the camera that is open, while it is.
fn at_camera(hub: &Hub, wish: Option<Wish>) -> Result<Vec<CameraControl>, Reason> {
    let camera = hub.camera().ok_or(NO_CAMERA)?;
    let _lit = camera.led.while_lit().ok_or(NO_CAMERA)?;
    let set = wish.map_or(Ok(()), |(name, value)| {
        controls::set(&camera.node, &name, &value).map(drop)
    });
    let list = set.and_then(|()| controls::list(&camera.node));
    list.map_err(|error: ControlError| Reason::new(error.code(), error.to_string()))
}

impl ViewerControls {
    pub(super) fn new(hub: Hub, allowed: Vec<String>) -> Self {
        let asked = hub.clone();
        let which = move || asked.camera().map(|camera| camera.node);
        let camera = move |wish| at_camera(&hub, wish);
        Self::of(Arc::new(camera), Box::new(which), allowed, PATIENCE)
    }

    fn of(
        camera: Arc<AtCamera>,
        which: Box<WhichCamera>,
        allowed: Vec<String>,
        patience: Duration,
    ) -> Self {
        let told = Told {
            which,
            allowed,
            known: watch::Sender::new(Arc::new([])),
            of: std::sync::Mutex::default(),
        };
        Self {
            camera,
            told: Arc::new(told),
            patience,
            turn: Arc::default(),
            busy: Arc::new(watch::Sender::new(None)),
            asked: AtomicU64::new(0),
            refreshed: Mutex::new(0),
            logged: std::sync::Mutex::default(),
        }
    }

    /// True when viewers may set anything at all.
    pub(super) fn are_allowed(&self) -> bool {
        !self.told.allowed.is_empty()
    }

    /// The list, now and after each change.
    pub(super) fn known(&self) -> watch::Receiver<Arc<[CameraControl]>> {
        self.told.known.subscribe()
    }

    /// Asks the camera anew, which may be another one than before, or none: once for all
    /// who ask before that is done.
    pub(super) async fn refresh(&self) {
        let own = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut refreshed = self.refreshed.lock().await;
        if *refreshed >= own {
            return;
        }
        let turn = self.turn().await;
        let all = self.asked.load(Ordering::Relaxed);
        let done = match turn {
            Ok(turn) => self.at_camera(turn, None).await,
            Err(why) => Err(why),
        };
        *refreshed = all;
        if let Err(why) = done {
            debug!(why = %why.words, "the controls are not known anew");
            if why.code == Code::CameraSilent {
                self.told.keep_where_same();
            }
        }
    }

    /// Sets a control and tells all viewers.
    ///
    /// # Errors
    ///
    /// Why not, for the viewer.
    pub(super) async fn set(&self, name: String, value: ControlValue) -> Result<(), Refusal> {
        let refused = |reason| Refusal {
            reason,
            control: Some(name.clone()),
        };
        if !self.told.is_allowed(&name) {
            return Err(match self.told.allowed.is_empty() {
                true => CLOSED.into(),
                false => {
                    let words = format!("viewers may not set {name} on this camera");
                    refused(Reason::new(Code::ControlClosed, words))
                }
            });
        }
        let words = format!("{name} = {value}");
        let turn = self.turn().await.map_err(&refused)?;
        let wish = Some((name.clone(), value));
        self.at_camera(turn, wish).await.map_err(refused)?;
        self.log(&words);
        Ok(())
    }

    /// Not for each of a slider's steps.
    fn log(&self, words: &str) {
        let mut logged = lock(&self.logged);
        if logged.is_none_or(|at| at.elapsed() >= LINES) {
            *logged = Some(Instant::now());
            info!(control = words, "a viewer set the camera");
        } else {
            debug!(control = words, "a viewer set the camera");
        }
    }

    /// Waits until nobody is at the camera and it may be asked again. However many wait
    /// before, that says nothing of the camera.
    ///
    /// # Errors
    ///
    /// It does not answer who is there.
    async fn turn(&self) -> Result<OwnedMutexGuard<Option<Instant>>, Reason> {
        let mut turn = tokio::select! {
            biased;
            turn = self.turn.clone().lock_owned() => turn,
            () = self.hangs() => return Err(SILENT),
        };
        if let Some(at) = *turn {
            sleep_until(at).await;
        }
        *turn = Some(Instant::now() + PACE);
        Ok(turn)
    }

    /// Until somebody has been at the camera for longer than anything takes there.
    async fn hangs(&self) {
        let mut busy = self.busy.subscribe();
        loop {
            let since = *busy.borrow_and_update();
            let too_long = async {
                match since {
                    Some(since) => sleep_until(since + self.patience).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = too_long => return,
                Ok(()) = busy.changed() => {}
            }
        }
    }

    async fn at_camera(
        &self,
        turn: OwnedMutexGuard<Option<Instant>>,
        wish: Option<Wish>,
    ) -> Result<(), Reason> {
        let (camera, told) = (self.camera.clone(), self.told.clone());
        let busy = self.busy.clone();
        busy.send_replace(Some(Instant::now()));
        let work = tokio::task::spawn_blocking(move || {
            let answered = || {
                busy.send_replace(None);
            };
            let result = told.carry_out(&*camera, wish, answered);
            drop(turn);
            result
        });
        match timeout(self.patience, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(SILENT),
        }
    }
}

#[cfg(test)]
mod tests;
