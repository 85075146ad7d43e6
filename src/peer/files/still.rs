//! Pictures for one viewer: one at a time of all viewers', and not often. Those who ask
//! together get the same one.

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
/// Whoever asks so soon after another was made is given that one.
const FRESH: Duration = Duration::from_secs(1);
/// For those who asked before.
const TURN: Duration = Duration::from_secs(10);
/// Bytes of one: what a camera of 4K makes has 3 MB.
const MOST: usize = 8 * 1024 * 1024;

const NONE: Reason = Reason::fixed(Code::NoStill, "there is no picture of the camera's now");
const OFTEN: Reason = Reason::fixed(
    Code::StillTooOften,
    "a picture every two seconds is what this camera makes; try again in a moment",
);

/// The newest one that was made, and when; of all viewers, each in their turn.
pub(in crate::peer) type Newest = Arc<Mutex<Option<(Instant, Bytes)>>>;

type Coming = Pin<Box<dyn Future<Output = Result<Bytes, Reason>> + Send>>;

/// Whether there is a picture of the camera's.
fn is_live(hub: &Hub) -> Result<(), Reason> {
    match hub.status().borrow().video.state {
        State::Live => Ok(()),
        State::Private => Err(PRIVATE),
        State::Idle | State::Starting | State::Lost => Err(NONE),
    }
}

/// One viewer's.
pub(super) struct Stills {
    hub: Hub,
    newest: Newest,
    pace: Bucket,
    coming: Option<Coming>,
}

impl Stills {
    pub(super) fn new(hub: Hub, newest: Newest, now: Instant) -> Self {
        Self {
            hub,
            newest,
            pace: Bucket::full(PACE, now),
            coming: None,
        }
    }

    pub(super) fn is_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// Asks for one.
    pub(super) fn ask(&mut self, now: Instant) -> Result<(), Reason> {
        is_live(&self.hub)?;
        if !self.pace.take(1.0, now) {
            return Err(OFTEN);
        }
        let (hub, newest) = (self.hub.clone(), self.newest.clone());
        self.coming = Some(Box::pin(async move {
            let newest = timeout(TURN, newest.lock_owned()).await;
            let mut newest = newest.map_err(|_| OFTEN)?;
            // In the meantime it may have been hidden.
            is_live(&hub)?;
            if let Some((at, picture)) = &*newest
                && at.elapsed() < FRESH
            {
                return Ok(picture.clone());
            }
            *newest = None;
            match timeout(PATIENCE, hub.still()).await {
                Ok(Ok(Ok(picture))) if picture.len() <= MOST => {
                    *newest = Some((Instant::now(), picture.clone()));
                    Ok(picture)
                }
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
