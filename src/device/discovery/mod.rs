//! Which cameras and microphones this machine has, described so that the
//! [plan](crate::media::plan) can be made, and tested, without them.
//!
//! * [`video4linux`] lists the nodes and says which of them are cameras.
//! * [`seen`] says the same of every node, for a report.
//! * [`libcamera`] lists the cameras that only libcamera can run.
//! * [`sound`] lists sound servers, shared PCMs and cards; `audibility` tells which
//!   of them hear something.

mod audibility;
mod class;
pub(crate) mod frames;
pub(crate) mod libcamera;
pub(crate) mod seen;
pub(crate) mod sound;
pub(crate) mod video4linux;

use std::path::Path;

use super::{Cameras, Wish};
use crate::config::VideoConfig;

/// The cameras among which the configuration lets the plan choose. GStreamer
/// must have been started.
///
/// A node that it names is the only one that is opened: opening wakes a
/// camera, and may wake a fault.
pub(crate) fn cameras(config: &VideoConfig) -> Cameras {
    let is_node = config.device.starts_with("/dev/") || Path::new(&config.device).exists();
    if !is_node {
        return every_camera(config);
    }
    let mut found = Cameras::default();
    video4linux::add_named(&mut found, &config.device, Wish::from(config));
    found
}

/// Every camera, and the one that the configuration names, listed in `/dev` or
/// not. GStreamer must have been started.
///
/// Opens every node for a moment and captures nothing.
pub(crate) fn every_camera(config: &VideoConfig) -> Cameras {
    let wish = Wish::from(config);
    let mut found = video4linux::list(&video4linux::Folders::default(), wish);
    found.cameras.extend(libcamera::list(wish));
    if config.device != "auto" && !found.cameras.iter().any(|c| c.is(&config.device)) {
        video4linux::add_named(&mut found, &config.device, wish);
    }
    found
}
