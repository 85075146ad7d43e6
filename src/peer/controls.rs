//! The camera's controls as viewers see them: which they may set, and one list
//! that all of them are told after each change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio::time::{sleep_until, timeout};
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

/// What viewers may set, and how it stands.
pub(super) struct ViewerControls {
    hub: Hub,
    /// Of the configuration: names, or `*`.
    allowed: Vec<String>,
    known: watch::Sender<Arc<[CameraControl]>>,
    /// One caller at the camera at a time, in their order; a driver that hangs holds up
    /// one thread, not one more with each message.
    turn: Arc<Mutex<Turn>>,
    /// When a line was last written.
    logged: std::sync::Mutex<Option<Instant>>,
}

/// When the camera may be asked again.
#[derive(Default)]
struct Turn(Option<Instant>);

impl ViewerControls {
    pub(super) fn new(hub: Hub, allowed: Vec<String>) -> Self {
        Self {
            hub,
            allowed,
            known: watch::Sender::new(Arc::new([])),
            turn: Arc::default(),
            logged: std::sync::Mutex::default(),
        }
    }

    /// True when viewers may set anything at all.
    pub(super) fn are_allowed(&self) -> bool {
        !self.allowed.is_empty()
    }

    fn is_allowed(&self, name: &str) -> bool {
        self.allowed.iter().any(|a| a == "*" || a == name)
    }

    /// The list, now and after each change.
    pub(super) fn known(&self) -> watch::Receiver<Arc<[CameraControl]>> {
        self.known.subscribe()
    }

    /// Asks the camera anew, which may be another one than before, or none.
    pub(super) async fn refresh(&self) {
        let list = self.at_camera(controls::list).await.unwrap_or_else(|why| {
            debug!(why = %why.words, "no controls for viewers");
            Vec::new()
        });
        self.tell(list);
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
        if !self.is_allowed(&name) {
            return Err(match self.allowed.is_empty() {
                true => CLOSED.into(),
                false => {
                    let words = format!("viewers may not set {name} on this camera");
                    refused(Reason::new(Code::ControlClosed, words))
                }
            });
        }
        let set = name.clone();
        let words = format!("{name} = {value}");
        let list = self
            .at_camera(move |node| {
                controls::set(node, &set, &value)?;
                // One may change another: automatic modes do.
                controls::list(node)
            })
            .await
            .map_err(refused)?;
        self.log(&words);
        self.tell(list);
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

    /// Also where nothing changed: whoever asked sees what became of it.
    fn tell(&self, mut list: Vec<CameraControl>) {
        list.retain(|c| self.is_allowed(&c.control.name));
        self.known.send_replace(list.into());
    }

    async fn at_camera<T: Send + 'static>(
        &self,
        call: impl FnOnce(&str) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, Reason> {
        let camera = self.hub.camera().ok_or(NO_CAMERA)?;
        let turn = self.turn.clone();
        let work = async {
            let mut turn = turn.lock_owned().await;
            if let Some(at) = turn.0 {
                sleep_until(at.into()).await;
            }
            turn.0 = Some(Instant::now() + PACE);
            tokio::task::spawn_blocking(move || {
                let result = match camera.led.while_lit() {
                    Some(_lit) => {
                        call(&camera.node).map_err(|e| Reason::new(e.code(), e.to_string()))
                    }
                    None => Err(NO_CAMERA),
                };
                drop(turn);
                result
            })
            .await
        };
        match timeout(PATIENCE, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(SILENT),
        }
    }
}
