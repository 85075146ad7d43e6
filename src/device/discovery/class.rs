//! Which nodes are cameras, by their capabilities. Pure.

use v4l::v4l_sys as sys;

use crate::device::v4l2::Capability;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Pictures come out of it.
    Capture { buffer_type: u32 },
    /// Something else.
    Other {
        what: &'static str,
        reason: &'static str,
    },
}

/// Image processors whose capture nodes give what their output nodes were
/// fed; each node alone looks like a camera (kernel:
/// drivers/staging/vc04_services/bcm2835-isp, drivers/media/platform/raspberrypi/pisp_be,
/// drivers/staging/media/ipu3).
const IMAGE_PROCESSORS: &[&str] = &["bcm2835-isp", "pispbe", "ipu3-imgu"];

/// The one driver whose node takes pictures in and gives the same ones out,
/// which is a camera for all who read it.
const LOOPBACK: &str = "v4l2 loopback";

/// By what its driver says of it.
pub(super) fn classify(capability: &Capability) -> Class {
    let has = |flag: u32| capability.caps & flag != 0;
    let other = |what, reason| Class::Other { what, reason };
    let captures = has(sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE);
    let outputs = has(sys::V4L2_CAP_VIDEO_OUTPUT | sys::V4L2_CAP_VIDEO_OUTPUT_MPLANE);
    let m2m = has(sys::V4L2_CAP_VIDEO_M2M | sys::V4L2_CAP_VIDEO_M2M_MPLANE);
    let driver = capability.driver.as_str();
    if m2m || captures && outputs && driver != LOOPBACK {
        return other(
            "M2M codec",
            "it encodes, decodes or scales what a program feeds it",
        );
    }
    if IMAGE_PROCESSORS.contains(&driver) {
        return other(
            "ISP",
            "it processes the raw picture of a sensor; libcamera runs it",
        );
    }
    if has(sys::V4L2_CAP_TOUCH) {
        return other("touch sensor", "its pictures are of fingers");
    }
    if captures && has(sys::V4L2_CAP_IO_MC) {
        return other(
            "media controller node",
            "it gives pictures once a program has set up the sensor before it; libcamera does \
             (Debian package gstreamer1.0-libcamera)",
        );
    }
    if has(sys::V4L2_CAP_VIDEO_CAPTURE) {
        return Class::Capture {
            buffer_type: sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
        };
    }
    if has(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
        return Class::Capture {
            buffer_type: sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        };
    }
    if outputs {
        return other("output", "pictures go in, for a screen");
    }
    if has(sys::V4L2_CAP_META_CAPTURE) {
        // uvcvideo's are timestamps and the like, every other driver's are
        // an image processor's.
        return if driver == "uvcvideo" {
            other(
                "metadata",
                "it describes the pictures of the node before it",
            )
        } else {
            other(
                "ISP statistics",
                "it measures pictures for an exposure loop",
            )
        };
    }
    if has(sys::V4L2_CAP_META_OUTPUT) {
        return other("ISP parameters", "it takes an image processor's settings");
    }
    other("not for pictures", "it neither captures nor shows pictures")
}

/// The buffer type of a node that captures.
pub(super) fn buffer_type(capability: &Capability) -> Option<u32> {
    match classify(capability) {
        Class::Capture { buffer_type } => Some(buffer_type),
        Class::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(driver: &str, caps: u32) -> &'static str {
        match classify(&Capability {
            driver: driver.into(),
            caps,
            ..Default::default()
        }) {
            Class::Capture { buffer_type: 1 } => "camera",
            Class::Capture { buffer_type: 9 } => "multi-planar camera",
            Class::Capture { buffer_type } => panic!("{buffer_type}"),
            Class::Other { what, .. } => what,
        }
    }

    /// The numbers are `device_caps` as `v4l2-ctl -D` prints them.
    #[test]
    fn only_nodes_that_capture_by_themselves_are_cameras() {
        for (driver, caps, expected) in [
            ("uvcvideo", 0x0420_0001, "camera"),
            ("uvcvideo", 0x04a0_0000, "metadata"),
            ("vivid", 0x0523_0005, "camera"),
            ("vivid", 0x0523_0002, "output"),
            ("vivid", 0x0480_0000, "ISP statistics"),
            ("rkisp_v6", 0x0420_1000, "multi-planar camera"),
            ("bcm2835-codec", 0x0420_4000, "M2M codec"),
            ("old-m2m", 0x0400_0003, "M2M codec"),
            ("bcm2835-isp", 0x0420_0001, "ISP"),
            ("bcm2835-isp", 0x0420_0002, "ISP"),
            ("rp1-cfe", 0x24a0_0001, "media controller node"),
            ("rkisp1", 0x0480_0000, "ISP statistics"),
            ("rkisp1", 0x0c20_0000, "ISP parameters"),
            ("v4l2 loopback", 0x0520_0003, "camera"),
            ("atmel_mxt_ts", 0x1420_0001, "touch sensor"),
            ("radio-si470x", 0x0005_0000, "not for pictures"),
        ] {
            assert_eq!(class(driver, caps), expected, "{driver} {caps:#x}");
        }
    }
}
