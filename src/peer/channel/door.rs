//! What who opened a channel may.

use crate::access::{Guest, Right};

/// Without an invitation they may what the configuration lets everybody.
pub(super) fn may_control(guest: Option<&Guest>) -> bool {
    guest.is_none_or(|guest| guest.may.has(Right::Control))
}

/// Only who was invited to: strangers neither blind a camera nor open it.
pub(super) fn may_switch(guest: Option<&Guest>) -> bool {
    guest.is_some_and(|guest| guest.may.has(Right::Control))
}
