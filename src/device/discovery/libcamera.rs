//! Cameras that only libcamera can run: on boards where the picture of a
//! sensor goes through an image processor (Raspberry Pi 5 and, on current
//! systems, every Raspberry Pi).
//!
//! They are found through the device provider of libcamera's GStreamer
//! plug-in (Debian package `gstreamer1.0-libcamera`); where that is not
//! installed there are none.

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::device::formats::fourcc;
use crate::device::{Camera, CameraKind, Mode, Wish};

/// The plug-in's provider and its source element.
const PROVIDER: &str = "libcameraprovider";
/// The element that captures.
pub(crate) const SOURCE: &str = "libcamerasrc";

/// More modes than any camera has; a broken description must not fill memory.
const MOST: usize = 2000;

/// True where the plug-in is installed.
pub(crate) fn is_installed() -> bool {
    gst::ElementFactory::find(SOURCE).is_some()
}

/// The cameras that libcamera sees. Those of USB are left out: they are V4L2
/// nodes as well, which need no libcamera.
pub(crate) fn list(wish: Wish) -> Vec<Camera> {
    if !is_installed() {
        return Vec::new();
    }
    let Some(provider) = gst::DeviceProviderFactory::by_name(PROVIDER) else {
        return Vec::new();
    };
    provider
        .devices()
        .iter()
        .filter_map(|device| {
            let id = device.display_name();
            camera(&id, device.caps().as_ref(), wish)
        })
        .collect()
}

/// `id` is a path in the device tree or in ACPI; that of a USB camera ends in
/// the interface, and in its vendor and product in hexadecimal
/// (libcamera: `PipelineHandlerUVC::generateId`).
fn is_usb(id: &str) -> bool {
    let is_number = |n: &str| n.len() == 4 && n.bytes().all(|b| b.is_ascii_hexdigit());
    id.rsplit_once('-')
        .and_then(|(_, device)| device.split_once(':'))
        .is_some_and(|(vendor, product)| is_number(vendor) && is_number(product))
}

fn camera(id: &str, caps: Option<&gst::Caps>, wish: Wish) -> Option<Camera> {
    let sensor = id.rsplit('/').next().unwrap_or(id);
    (!is_usb(id)).then(|| Camera {
        device: id.to_owned(),
        aliases: Vec::new(),
        kind: CameraKind::Libcamera,
        name: sensor.split('@').next().unwrap_or(sensor).to_owned(),
        driver: "libcamera".into(),
        bus: String::new(),
        usb_mbit: None,
        trouble: None,
        signal: None,
        modes: caps.map(|caps| modes(caps, wish)).unwrap_or_default(),
        // Its controls are properties of the element, not V4L2's.
        controls: Vec::new(),
    })
}

/// Raw modes of a device's caps. Sizes may be ranges, lists or numbers; frame
/// rates are not described (libcamera finds one from the exposure), so each
/// mode promises what is wished for.
fn modes(caps: &gst::Caps, wish: Wish) -> Vec<Mode> {
    let mut modes = Vec::new();
    for structure in caps.iter().filter(|s| s.name() == "video/x-raw") {
        for format in strings(structure, "format") {
            let Some(fourcc) = fourcc(&format) else {
                continue;
            };
            for (width, height) in sizes(structure, wish) {
                let mode = Mode {
                    fourcc: fourcc.to_owned(),
                    width,
                    height,
                    rate: (wish.fps, 1),
                    ..Mode::default()
                };
                if !modes.contains(&mode) && modes.len() < MOST {
                    modes.push(mode);
                }
            }
        }
    }
    modes
}

fn strings(structure: &gst::StructureRef, field: &str) -> Vec<String> {
    if let Ok(list) = structure.get::<gst::List>(field) {
        return list
            .iter()
            .filter_map(|value| value.get::<String>().ok())
            .collect();
    }
    structure.get::<String>(field).into_iter().collect()
}

/// Lowest, highest and step of a range. The plug-in of 0.0.3 makes ranges of a
/// single size, which GStreamer refuses to fill in and whose values its bindings
/// take for impossible; so the text of it is read.
fn range(structure: &gst::StructureRef, field: &str) -> Option<(i32, i32, i32)> {
    let value = structure.value(field).ok()?;
    if value.type_() != gst::IntRange::<i32>::static_type() {
        return None;
    }
    let text = value.serialize().ok()?;
    let numbers = text.trim_matches(['[', ']', ' ']).split(',');
    let mut numbers = numbers.map(|number| number.trim().parse().ok());
    let (low, high) = (numbers.next()??, numbers.next()??);
    Some((low, high, numbers.next().flatten().unwrap_or(1)))
}

fn sizes(structure: &gst::StructureRef, wish: Wish) -> Vec<(u32, u32)> {
    let wished = [
        (wish.width, wish.height),
        (640, 480),
        (1280, 720),
        (1920, 1080),
    ];
    let fits = |field: &str, value: u32| {
        let Ok(value) = i32::try_from(value) else {
            return false;
        };
        if let Some((low, high, step)) = range(structure, field) {
            (low..=high).contains(&value) && (value - low) % step.max(1) == 0
        } else if let Ok(list) = structure.get::<gst::List>(field) {
            list.iter().any(|v| v.get::<i32>() == Ok(value))
        } else {
            structure.get::<i32>(field) == Ok(value)
        }
    };
    let mut sizes: Vec<_> = wished
        .into_iter()
        .filter(|(width, height)| fits("width", *width) && fits("height", *height))
        .collect();
    // A single size need not be among the usual ones.
    let single = |field: &str| {
        let value = structure.get::<i32>(field).ok()?;
        u32::try_from(value).ok()
    };
    sizes.extend(single("width").zip(single("height")));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    const WISH: Wish = Wish {
        width: 1296,
        height: 730,
        fps: 25,
    };

    fn caps(text: &str) -> gst::Caps {
        gst::init().expect("GStreamer is installed");
        gst::Caps::from_str(text).expect("caps")
    }

    #[test]
    fn ranges_lists_and_single_sizes_become_modes() {
        let caps = caps(
            "video/x-raw,format={NV12,YUY2,SRGGB16},width=[32,4608,2],height=[32,2592,2];\
             video/x-raw,format=I420,width=800,height=600;\
             image/jpeg,width=640,height=480",
        );
        let modes = modes(&caps, WISH);
        let has = |fourcc: &str, width, height| {
            modes.iter().any(|m| {
                (m.fourcc.as_str(), m.width, m.height, m.rate) == (fourcc, width, height, (25, 1))
            })
        };
        assert!(has("NV12", 1296, 730) && has("NV12", 1280, 720));
        assert!(has("YUYV", 640, 480));
        assert!(has("YU12", 800, 600));
        assert!(!modes.iter().any(|m| m.fourcc == "MJPG"));
    }

    #[test]
    fn a_camera_is_named_after_its_sensor() {
        let id = "/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a";
        let camera = camera(id, None, WISH).expect("a camera");
        assert_eq!(camera.name, "imx708");
        assert_eq!(camera.device, id);
    }

    #[test]
    fn cameras_on_usb_are_left_to_their_nodes() {
        for id in [
            r"\_SB_.PCI0.XHC_.RHUB.HS07-7:1.0-0408:4035",
            r"\_SB_.PCI0.S20_-1:1.0-1d6b:0102",
            "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1:1.0-046d:082d",
        ] {
            assert_eq!(camera(id, None, WISH), None, "{id}");
        }
        // A sensor behind a bridge of that bus, and one with a number.
        for id in [
            "/base/usb-bridge/i2c@88000/imx708@1a",
            "platform/vimc.0 Sensor B",
        ] {
            assert!(camera(id, None, WISH).is_some(), "{id}");
        }
    }

    /// As the plug-in of 0.0.3 describes a camera with one size.
    #[test]
    fn a_range_that_is_none_gives_no_mode_and_ends_nothing() {
        let caps = caps("video/x-raw,format=YUY2,width=[320,320],height=[180,180]");
        assert_eq!(modes(&caps, WISH), []);
        let caps = caps.iter().next().expect("a structure");
        assert_eq!(range(caps, "format"), None);
    }
}
