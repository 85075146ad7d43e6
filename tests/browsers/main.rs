//! What needs Chromium or Firefox.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../support/mod.rs"]
mod support;

mod access_page;
mod attackers;
mod boards;
mod callers;
mod cameras;
mod controls;
mod device_page;
mod devices;
mod firefox;
mod first_check;
mod invitations_page;
mod invited;
mod invited_screen;
mod languages;
mod lip_sync;
mod login_page;
mod motion;
mod networks;
mod page;
mod paths;
mod process;
mod recordings;
mod roaming;
mod siege;
mod sound;
mod talk;
mod turn;
mod wall;
mod zones;
