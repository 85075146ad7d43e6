//! camera-agent: a camera that answers when you call it.

pub mod agent;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod ice;
pub mod logging;
pub mod media;
pub mod peer;
pub mod sdp;
pub mod signaling;
pub mod wire;
