//! What stops while the owner wants privacy.

use std::time::Instant;

use super::{Phase, Running, Thread};
use crate::media::stream::Stream;

impl Running {
    /// Keeps it stopped until there is no privacy any more.
    pub(super) fn withhold(&mut self) {
        self.phase = Phase::Private;
        self.failures = 0;
        self.problem = None;
        self.is_final = false;
    }
}

impl Thread {
    /// The owner wants privacy, and this stream has no slate to go on with.
    pub(super) fn is_withheld(&self, stream: Stream) -> bool {
        self.private && (stream == Stream::Audio || !self.shows_slate)
    }

    pub(super) fn set_private(&mut self, private: bool, now: Instant) {
        if std::mem::replace(&mut self.private, private) == private {
            return;
        }
        self.shows_slate = self.source.set_private(private);
        for stream in Stream::ALL {
            let is_withheld = self.is_withheld(stream);
            let Some(s) = self.streams.get_mut(&stream) else {
                continue;
            };
            match (&s.phase, is_withheld) {
                (Phase::Private, false) => self.try_start(stream, now),
                (Phase::Idle { .. }, true) => {
                    self.streams.remove(&stream);
                    self.source.stop(stream);
                }
                (Phase::Running { .. } | Phase::Retrying { .. }, true) => {
                    s.withhold();
                    self.source.stop(stream);
                }
                (Phase::Private, true)
                | (Phase::Running { .. } | Phase::Idle { .. } | Phase::Retrying { .. }, false) => {}
            }
        }
    }
}
