//! What every node's driver says of it, and what that makes it: for a report that
//! a person sends, from which the same is found again where the node is not.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::class::{Class, classify};
use super::video4linux::{Folders, numbers};
use crate::device::v4l2::{Capability, Node};

/// A node under `/dev` that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenNode {
    /// `/dev/videoN`.
    pub device: String,
    /// The kernel driver.
    pub driver: String,
    /// Its `device_caps` in hexadecimal digits, as `v4l2-ctl -D` prints them.
    pub caps: String,
    /// What that makes it: "camera", "M2M codec", "metadata".
    pub is: String,
}

impl SeenNode {
    fn of(device: &Path, capability: &Capability) -> Self {
        Self {
            device: device.to_string_lossy().into_owned(),
            driver: capability.driver.clone(),
            caps: format!("0x{:08x}", capability.caps),
            is: is(capability).to_owned(),
        }
    }

    /// What this version makes of it.
    ///
    /// # Errors
    ///
    /// Its capabilities are no hexadecimal number.
    pub(crate) fn again(&self) -> Result<&'static str, String> {
        let digits = self.caps.strip_prefix("0x").unwrap_or_default();
        let caps = u32::from_str_radix(digits, 16)
            .map_err(|_| format!("the capabilities of {} are no 0x…", self.device))?;
        Ok(is(&Capability {
            driver: self.driver.clone(),
            caps,
            ..Capability::default()
        }))
    }
}

fn is(capability: &Capability) -> &'static str {
    match classify(capability) {
        Class::Capture { .. } => "camera",
        Class::Other { what, .. } => what,
    }
}

/// Those of this machine, by number. Each is opened for a moment.
pub(crate) fn nodes() -> Vec<SeenNode> {
    let dev = Folders::default().dev;
    let paths = numbers(&dev)
        .into_iter()
        .map(|number| dev.join(format!("video{number}")));
    paths
        .filter_map(|path| {
            let capability = Node::open(&path).ok()?.capability().ok()?;
            Some(SeenNode::of(&path, &capability))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_found_again_and_what_is_no_number_is_told() {
        let capability = Capability {
            driver: "bcm2835-codec".into(),
            caps: 0x0420_4000,
            ..Capability::default()
        };
        let mut seen = SeenNode::of(Path::new("/dev/video11"), &capability);
        assert_eq!(
            (seen.caps.as_str(), seen.is.as_str()),
            ("0x04204000", "M2M codec")
        );
        assert_eq!(seen.again(), Ok("M2M codec"));
        seen.driver = "uvcvideo".into();
        seen.caps = "0x04200001".into();
        assert_eq!(seen.again(), Ok("camera"));
        for caps in ["", "0x", "69206017", "0x1_0", "0x104200001"] {
            seen.caps = caps.into();
            assert!(
                seen.again().is_err_and(|e| e.contains("/dev/video11")),
                "{caps}"
            );
        }
    }
}
