//! camera-agent: a camera that answers when you call it.
//!
//! A daemon for single-board computers. It registers as a username on a chat
//! server (the public *webrtc-from-chat* protocol), answers every video call by
//! itself, and streams picture and sound to the caller's browser.
//!
//! # Layers
//!
//! Each depends only on those under it.
//!
//! | layer | modules |
//! |---|---|
//! | what is typed, and what becomes of it | `main`, [`commands`], [`owner`], [`setup`], [`cli`], [`environment`] |
//! | tries all of it on this machine, one check a file; lists what was found | [`doctor`], [`inventory`] |
//! | the device's one loop: events in, commands out | [`daemon`] |
//! | tells the service manager and the log | [`service`], [`logging`] |
//! | one viewer's connection; the chat server and its page | [`peer`], [`chat`] |
//! | keeps what viewers are sent | [`recorder`] |
//! | picture and sound, made once for all viewers | [`media`] |
//! | shells, each the owner of one kind of socket, device, file or process | [`servers`], [`signaling`], [`network`], [`device`], [`hooks`], [`guestbook`], [`privacy`], [`zones`], [`announce`], [`state`] |
//! | pure: no IO, no clock, no runtime | [`agent`], [`access`], [`login`], [`rate`], [`room`], [`sdp`], [`config`], [`motion`], [`floor`], [`echo`], [`wire`], [`ice`], [`secret`], [`reason`], [`watchdog`], [`ending`], `backoff`, `bucket`, `lock` |
//!
//! What is `pub` is what the program, tests, benches and fuzz targets name.
//! `tests/pure/house.rs` holds this table against every `use`. A file in a shell may
//! be pure as well, and says so in its first lines; one in a pure room that is
//! not calls itself a shell.
//!
//! # A call
//!
//! An offer comes through [`signaling`] to the [`agent`], which decides whether
//! it is a new call, a reload or a renegotiation, and tells the [`daemon`] to
//! open a [`peer`]. The peer asks the [`media`] hub for the streams that the
//! offer takes, answers, and sends frames once its path is up. Everything that
//! ends a call goes through the agent.

#![warn(unreachable_pub, clippy::wildcard_imports)]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "most rooms are private, and documented"
)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make do"))]

pub mod access;
pub mod agent;
mod announce;
mod backoff;
mod bucket;
pub mod chat;
pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod device;
mod doctor;
mod echo;
mod ending;
pub mod environment;
mod floor;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guestbook;
mod hooks;
mod ice;
mod inventory;
mod lock;
mod logging;
pub mod login;
pub mod media;
pub mod motion;
mod network;
mod owner;
pub mod peer;
mod privacy;
mod rate;
pub mod reason;
mod recorder;
pub mod room;
pub mod sdp;
pub mod secret;
mod servers;
mod service;
mod setup;
mod signaling;
mod state;
mod watchdog;
pub mod wire;
mod zones;
