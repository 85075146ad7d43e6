//! A recording's thumbnail: the next picture after it has begun, small. It is asked for
//! until there is one, and looked at whenever a fragment is written.

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tracing::debug;

use super::boxes::{self, MOST_OF_JPEG};
use crate::media::hub::Hub;

/// In pixels: twice what the page's list shows.
const WIDTH: u32 = 192;

#[derive(Debug, Default)]
pub(super) enum Thumbnail {
    /// Nothing was asked for, or there was no picture then.
    #[default]
    Wanted,
    Coming(oneshot::Receiver<Result<Bytes, String>>),
    /// It was handed over, or there will be none.
    Done,
}

impl Thumbnail {
    /// The box of the file that has it, once.
    pub(super) fn next(&mut self, hub: &Hub) -> Option<Vec<u8>> {
        let Self::Coming(picture) = self else {
            if matches!(self, Self::Wanted) {
                *self = Self::Coming(hub.thumbnail(WIDTH));
            }
            return None;
        };
        let (next, bytes) = match picture.try_recv() {
            Err(TryRecvError::Empty) => return None,
            // A slate is no picture.
            Err(TryRecvError::Closed) => (Self::Wanted, None),
            Ok(Ok(jpeg)) if jpeg.len() as u64 <= MOST_OF_JPEG => {
                (Self::Done, Some(boxes::with_thumbnail(&jpeg)))
            }
            Ok(Ok(_)) => (Self::Done, None),
            Ok(Err(error)) => {
                debug!(error, "a recording has no thumbnail");
                (Self::Done, None)
            }
        };
        *self = next;
        bytes
    }
}
