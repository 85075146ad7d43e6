//! How much the room takes before it drops something.

use std::time::Duration;

use crate::bucket::Rate;

/// What the room takes; `docs/chat-server-operation.md` has it in words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// More of them, for sources where a device was connected lately: a camera
    /// comes back where the room is full.
    pub reserve: usize,
    /// Connections at once from one [`Source`](super::Source). What comes from
    /// this machine itself, or by way of a proxy on it that nobody told of,
    /// cannot be told apart and is not held to this.
    pub per_source: usize,
    /// A connection without a name is closed then.
    pub nameless: Duration,
    /// How long a device's name is kept for it once it is gone.
    pub device_grace: Duration,
    /// Frames a connection may send at once. A small frame costs one, a big one
    /// or one that many read costs more. A call is some twenty frames of trickle
    /// ICE, and a camera may answer many callers in the same second.
    pub burst: u32,
    /// Frames a second a connection earns back.
    pub per_second: u32,
    /// Frames dropped for going over the rate, without a calm pause between,
    /// after which the connection is closed.
    pub abuse: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            reserve: 16,
            per_source: 64,
            nameless: Duration::from_secs(10),
            device_grace: Duration::from_secs(300),
            burst: 400,
            per_second: 60,
            abuse: 200,
        }
    }
}

impl Limits {
    /// WebSocket frames and fragments of one connection, pings and pongs too,
    /// before anything of them is read: more than the room takes of frames that
    /// mean something.
    pub(crate) fn raw_frames(&self) -> Rate {
        Rate {
            burst: f64::from(self.burst) * 2.0,
            per_second: f64::from(self.per_second) * 2.0,
        }
    }
}

/// Names that one connection may ask for: each is a list for everyone.
pub(super) const RENAMES: Rate = Rate {
    burst: 10.0,
    per_second: 0.5,
};

/// Calls from one connection to another: reloads, restarts of ICE. More than a
/// device takes of one name, so that it is the device who says so.
pub(super) const OFFERS: Rate = Rate {
    burst: 40.0,
    per_second: 3.0,
};

/// People who do nothing, and devices that nobody calls, who make room for newcomers: they
/// come back, and each would push out the next.
pub(super) const TURNS: Rate = Rate {
    burst: 3.0,
    per_second: 0.1,
};

/// Lines in the log about who comes and goes.
pub(super) const LINES: Rate = Rate {
    burst: 100.0,
    per_second: 1.0,
};
