//! camera-agent: a camera that answers when you call it.

pub mod chat;
pub mod room;
pub mod wire;
