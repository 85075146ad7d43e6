//! What needs nothing but this program: no sockets, GStreamer, files or clocks.
//! Some of it reads the source.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../support/desk.rs"]
mod desk;
#[path = "../support/scenes.rs"]
mod scenes;

mod access_properties;
mod agent_network;
mod agent_properties;
mod agent_reload;
mod boards;
mod house;
mod login;
mod motion;
mod naive_client;
mod room_properties;
