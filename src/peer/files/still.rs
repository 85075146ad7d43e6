//! Pictures for one viewer: one at a time of all viewers', and not often.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

use crate::bucket::{Bucket, Rate};
use crate::media::hub::Hub;
use crate::media::status::{PRIVATE, State};
use crate::reason::{Code, Reason};

/// How often one viewer gets one: two at once, then one in two seconds.
const PACE: Rate = Rate {
    burst: 2.0,
    per_second: 0.5,
};
/// The next picture comes in this time, and is encoded, or none does.
const PATIENCE: Duration = Duration::from_secs(4);
/// Bytes of one: what a camera of 4K makes has 3 MB.
const MOST: usize = 8 * 1024 * 1024;

const NONE: Reason = Reason::fixed(Code::NoStill, "there is no picture of the camera's now");
const OFTEN: Reason = Reason::fixed(
    Code::StillTooOften,
    "a picture every two seconds is what this camera makes; try again in a moment",
);

type Coming = Pin<Box<dyn Future<Output = Result<Bytes, Reason>> + Send>>;

/// One viewer's.
pub(super) struct Stills {
    hub: Hub,
    /// Of all viewers.
    turn: Arc<Mutex<()>>,
    pace: Bucket,
    coming: Option<Coming>,
}

impl Stills {
    pub(super) fn new(hub: Hub, turn: Arc<Mutex<()>>, now: Instant) -> Self {
        Self {
            hub,
            turn,
            pace: Bucket::full(PACE, now),
            coming: None,
        }
    }

    pub(super) fn is_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// Asks for one.
    pub(super) fn ask(&mut self, now: Instant) -> Result<(), Reason> {
        let state = self.hub.status().borrow().video.state;
        match state {
            State::Live => {}
            State::Private => return Err(PRIVATE),
            State::Idle | State::Starting | State::Lost => return Err(NONE),
        }
        if !self.pace.take(1.0, now) {
            return Err(OFTEN);
        }
        let (hub, turn) = (self.hub.clone(), self.turn.clone());
        self.coming = Some(Box::pin(async move {
            let made = timeout(PATIENCE, async move {
                let _turn = turn.lock().await;
                hub.still().await
            });
            match made.await {
                Ok(Ok(Ok(bytes))) if bytes.len() <= MOST => Ok(bytes),
                Ok(Ok(Err(error))) => {
                    debug!(error, "no picture for a viewer");
                    Err(NONE)
                }
                _ => Err(NONE),
            }
        }));
        Ok(())
    }

    /// The one that was asked for.
    pub(super) async fn next(&mut self) -> Result<Bytes, Reason> {
        let Some(coming) = &mut self.coming else {
            return std::future::pending().await;
        };
        let picture = coming.await;
        self.coming = None;
        picture
    }
}
