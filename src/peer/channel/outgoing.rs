//! What waits to be told to one viewer. Pure.

use std::collections::VecDeque;

/// News of motion that wait for the viewer: those that are remembered and some.
const MOTIONS: usize = 100;

/// What waits to be sent: not the messages, but that there is news.
#[derive(Default)]
pub(super) struct Outgoing {
    pub status: bool,
    pub controls: bool,
    pub qualities: bool,
    pub floor: bool,
    pub privacy: bool,
    /// As whom they were invited.
    pub invited: bool,
    /// A key of their own.
    pub key: bool,
    pub stats: bool,
    /// The newest ping that was not answered yet.
    pub pong: Option<u32>,
    pub errors: VecDeque<String>,
    /// Where motion is looked for.
    pub zones: bool,
    /// Motion, the oldest first.
    pub motions: VecDeque<String>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        !self.status
            && !self.controls
            && !self.qualities
            && !self.floor
            && !self.privacy
            && !self.invited
            && !self.key
            && !self.stats
            && !self.zones
            && self.pong.is_none()
            && self.errors.is_empty()
            && self.motions.is_empty()
    }

    /// Who does not read misses the oldest.
    pub(super) fn motion(&mut self, text: String) {
        if self.motions.len() == MOTIONS {
            self.motions.pop_front();
        }
        self.motions.push_back(text);
    }
}
