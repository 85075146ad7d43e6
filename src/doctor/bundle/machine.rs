//! Shell: what this machine is, and which versions of what others make run here.

use std::collections::BTreeMap;
use std::fs;

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};

use crate::media::probe::Checked;

/// Bytes of a system's file that are read.
const MOST: usize = 1024;
/// Elements beside the encoders of which versions are told: what cameras and
/// microphones are opened with, and what decodes and converts.
const ELEMENTS: &[&str] = &[
    "alsasrc",
    "h264parse",
    "jpegdec",
    "libcamerasrc",
    "openh264dec",
    "opusenc",
    "pipewiresrc",
    "pulsesrc",
    "v4l2src",
    "videoconvert",
];

/// A board and what runs on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    /// Its model, by its firmware's own word.
    pub board: String,
    /// What its device tree says it is compatible with, the nearest first.
    pub compatible: Vec<String>,
    /// The kernel's release.
    pub kernel: String,
    /// As `uname -m` has it.
    pub architecture: String,
    /// Its distribution.
    pub system: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// GStreamer's version.
    pub gstreamer: String,
    /// GStreamer's plug-ins that a call may use, with their versions.
    pub plugins: BTreeMap<String, String>,
}

impl Machine {
    /// This one. GStreamer has started.
    pub(super) fn look(encoders: &[Checked]) -> Self {
        let uname = rustix::system::uname();
        let words = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let (major, minor, micro, _) = gst::version();
        let present = encoders.iter().filter(|c| c.present);
        let names = present
            .map(|c| &*c.row.factory)
            .chain(ELEMENTS.iter().copied());
        let plugins = names.filter_map(|name| {
            let plugin = gst::ElementFactory::find(name)?.plugin()?;
            Some((
                plugin.plugin_name().to_string(),
                plugin.version().to_string(),
            ))
        });
        Self {
            board: board(),
            compatible: of_device_tree("compatible"),
            kernel: words(uname.release()),
            architecture: words(uname.machine()),
            system: system().unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            gstreamer: format!("{major}.{minor}.{micro}"),
            plugins: plugins.collect(),
        }
    }
}

/// A small text of the system's; empty where there is none.
pub(super) fn text_of(path: &str) -> String {
    let mut bytes = fs::read(path).unwrap_or_default();
    bytes.truncate(MOST);
    let text = String::from_utf8_lossy(&bytes);
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .to_owned()
}

/// Strings of a property of the device tree (Devicetree Specification §2.2.4).
fn of_device_tree(property: &str) -> Vec<String> {
    let text = text_of(&format!("/proc/device-tree/{property}"));
    let parts = text.split('\0').filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn board() -> String {
    if let Some(model) = of_device_tree("model").into_iter().next() {
        return model;
    }
    // A PC has its maker's words instead (SMBIOS, type 1).
    let dmi =
        ["sys_vendor", "product_name"].map(|key| text_of(&format!("/sys/class/dmi/id/{key}")));
    match dmi.join(" ").trim() {
        "" => "unknown".to_owned(),
        model => model.to_owned(),
    }
}

/// os-release(5).
fn system() -> Option<String> {
    let text = text_of("/etc/os-release");
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_what_it_is() {
        gst::init().expect("GStreamer is installed");
        let machine = Machine::look(&[]);
        let kernel = text_of("/proc/sys/kernel/osrelease");
        assert_eq!(machine.kernel, kernel);
        assert!(!machine.board.is_empty() && machine.cores > 0);
        assert!(machine.gstreamer.starts_with("1."), "{machine:?}");
        assert!(machine.plugins.contains_key("video4linux2"), "{machine:?}");
    }
}
