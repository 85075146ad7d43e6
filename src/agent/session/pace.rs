//! How often a call's ICE is restarted, and the offer that waits for it.

use std::sync::Arc;

use crate::access::Guest;
use crate::bucket::Rate;
use crate::sdp::Offer;

/// Restarts of one call at once, and how many a second after that: a network that comes and
/// goes is more than one. What waits is not longer in coming than candidates that came before
/// their offer are kept.
pub(super) const RESTARTS: Rate = Rate {
    burst: 6.0,
    per_second: 0.25,
};

/// An offer that waits for its turn.
#[derive(Debug)]
pub(in crate::agent) struct Later {
    pub offer: Box<Offer>,
    pub guest: Option<Arc<Guest>>,
}
