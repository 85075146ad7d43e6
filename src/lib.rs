//! camera-agent: a camera that answers when you call it.

pub mod agent;
pub mod config;
pub mod media;
pub mod sdp;
pub mod wire;
