//! Which channels are served, and what who opened one may.

use std::sync::Arc;

use tracing::debug;
use webrtc::data_channel::DataChannel;

use crate::access::{Guest, Right};
use crate::peer::messages::LABEL;

/// Whether it is for the messages that are known here; others are closed.
pub(super) async fn is_ours(channel: &Arc<dyn DataChannel>) -> bool {
    match channel.label().await {
        Ok(label) if label == LABEL => true,
        Ok(label) => {
            debug!(label, "a data channel that nobody serves here");
            let _ = channel.close().await;
            // Read to its end: what is not read would be kept.
            while channel.poll().await.is_some() {}
            false
        }
        Err(_) => false,
    }
}

/// Without an invitation they may what the configuration lets everybody.
pub(super) fn may_control(guest: Option<&Guest>) -> bool {
    guest.is_none_or(|guest| guest.may.has(Right::Control))
}

/// Only who was invited to: strangers neither blind a camera nor open it.
pub(super) fn may_switch(guest: Option<&Guest>) -> bool {
    guest.is_some_and(|guest| guest.may.has(Right::Control))
}
