//! camera-agent: a camera that answers when you call it.

pub mod wire;
