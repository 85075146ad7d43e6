//! What becomes of a frame, and what it costs.

use super::limiter::Refusal;

/// What a frame costs its sender, and whether that is paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fare {
    pub(super) cost: u32,
    pub(super) paid: bool,
}

/// Whether a frame was for others to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    ByOthers,
    /// Its target is not there, or is its sender.
    ByNobody,
}

/// Why a frame went nowhere.
pub(super) enum Refused {
    Ignored(&'static str),
    Rate(Refusal),
}

/// A frame's price: one, and one more for every 2 KiB. An SDP costs about five.
pub(super) fn frame_cost(bytes: usize) -> u32 {
    1 + u32::try_from(bytes / 2048).unwrap_or(u32::MAX - 1)
}
