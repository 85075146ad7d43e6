//! What needs sockets, GStreamer, shells and servers from Debian, but no browser.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod announce;
mod begun;
mod boards;
mod calls;
mod chat_server;
mod data_channel;
mod devices_command;
mod doctor;
mod doctor_report;
mod encoder_probe;
mod login;
mod motion;
mod network;
mod offers;
mod original_server;
mod recordings;
mod service;
mod setup;
mod soak;
mod stills;
mod talk;
mod ways;
