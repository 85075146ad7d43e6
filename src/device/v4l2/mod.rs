//! One V4L2 node: what it is, its modes, its signal and its controls.
//!
//! The `v4l` crate reads only the capabilities of a whole driver, not those of
//! one node (`device_caps`), enumerates only single-planar formats, knows no DV
//! timings, and panics on what a driver may say: a control type it does not
//! know, a menu with step 0, a name that is not UTF-8. So the calls are made
//! here, on its kernel structures and call numbers. Everything that comes
//! back is a driver's, or a USB device's, word: text is taken for bytes, every
//! loop has an end, every number is checked where it is used.
//!
//! The calls go through libc's `ioctl`, not the bare system call, so that a
//! test can stand in for a device.

#![allow(
    unsafe_code,
    reason = "ioctl has no safe form; each block says why the kernel's structure fits the call"
)]

mod control;
mod format;
mod timings;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::Signal;

pub(crate) use control::{Kind, Listed, name_of};
pub(crate) use timings::reduced;

/// `_IOR('V', 99, struct v4l2_dv_timings)` of `linux/videodev2.h`, which the
/// crate leaves out.
const QUERY_DV_TIMINGS: vidioc::_IOC_TYPE = {
    // The direction, in the highest two bits.
    let read = vidioc::VIDIOC_QUERYCAP & !((1 << 30) - 1);
    let size = size_of::<sys::v4l2_dv_timings>() as vidioc::_IOC_TYPE;
    read | size << 16 | (b'V' as vidioc::_IOC_TYPE) << 8 | 99
};

/// `_IOWR('V', 87, struct v4l2_dv_timings)`, likewise.
const SET_DV_TIMINGS: vidioc::_IOC_TYPE = {
    let read_and_write = vidioc::VIDIOC_ENUM_FMT & !((1 << 30) - 1);
    let size = size_of::<sys::v4l2_dv_timings>() as vidioc::_IOC_TYPE;
    read_and_write | size << 16 | (b'V' as vidioc::_IOC_TYPE) << 8 | 87
};

/// No enumeration of an honest driver is longer; vivid lists some 80 formats.
const MOST: u32 = 512;

/// What a node says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Capability {
    pub driver: String,
    pub card: String,
    pub bus: String,
    /// `V4L2_CAP_*` of this node.
    pub caps: u32,
}

/// Sizes of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Discrete(u32, u32),
    /// Lowest, highest, step, of width and height.
    Range {
        width: (u32, u32, u32),
        height: (u32, u32, u32),
    },
}

/// Frame intervals of a size, in seconds as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interval {
    Discrete(u32, u32),
    /// Shortest and longest.
    Range((u32, u32), (u32, u32)),
}

/// An open node. Opening one starts nothing, and whoever streams from it goes
/// on.
pub(crate) struct Node(File);

impl Node {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map(Self)
    }

    /// Asks with `argument`, which the kernel reads and fills.
    fn ask<T: Request>(&self, argument: &mut T::Argument) -> io::Result<()> {
        loop {
            // SAFETY: the descriptor is open as long as self. `Request` pairs
            // each number with the structure whose size is part of it, so the
            // kernel writes within `argument`.
            let result = unsafe { libc::ioctl(self.0.as_raw_fd(), T::NUMBER, &raw mut *argument) };
            if result >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    pub(crate) fn capability(&self) -> io::Result<Capability> {
        let mut c = zeroed::<sys::v4l2_capability>();
        self.ask::<QueryCapability>(&mut c)?;
        Ok(Capability {
            driver: text(&c.driver),
            card: text(&c.card),
            bus: text(&c.bus_info),
            // Drivers of before 2012 describe no single node.
            caps: if c.capabilities & sys::V4L2_CAP_DEVICE_CAPS == 0 {
                c.capabilities
            } else {
                c.device_caps
            },
        })
    }

    /// Pixel formats of a buffer type.
    pub(crate) fn formats(&self, buffer_type: u32) -> Vec<u32> {
        enumerate(|index| {
            let mut f = zeroed::<sys::v4l2_fmtdesc>();
            (f.index, f.type_) = (index, buffer_type);
            self.ask::<EnumFormat>(&mut f).ok()?;
            Some(f.pixelformat)
        })
    }

    pub(crate) fn sizes(&self, format: u32) -> Vec<Size> {
        let mut sizes = enumerate(|index| {
            let mut f = zeroed::<sys::v4l2_frmsizeenum>();
            (f.index, f.pixel_format) = (index, format);
            self.ask::<EnumSize>(&mut f).ok()?;
            let size = if f.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: both members are plain numbers; `type_` names which.
                let d = unsafe { f.__bindgen_anon_1.discrete };
                Size::Discrete(d.width, d.height)
            } else {
                // SAFETY: as above.
                let s = unsafe { f.__bindgen_anon_1.stepwise };
                Size::Range {
                    width: (s.min_width, s.max_width, s.step_width),
                    height: (s.min_height, s.max_height, s.step_height),
                }
            };
            Some(size)
        });
        // A range is the only answer there is.
        if let Some(range) = sizes.iter().position(|s| matches!(s, Size::Range { .. })) {
            sizes.truncate(range + 1);
        }
        sizes
    }

    pub(crate) fn intervals(&self, format: u32, (width, height): (u32, u32)) -> Vec<Interval> {
        let mut intervals = enumerate(|index| {
            let mut f = zeroed::<sys::v4l2_frmivalenum>();
            (f.index, f.pixel_format, f.width, f.height) = (index, format, width, height);
            self.ask::<EnumInterval>(&mut f).ok()?;
            let interval = if f.type_ == sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                // SAFETY: both members are plain numbers; `type_` names which.
                let d = unsafe { f.__bindgen_anon_1.discrete };
                Interval::Discrete(d.numerator, d.denominator)
            } else {
                // SAFETY: as above.
                let s = unsafe { f.__bindgen_anon_1.stepwise };
                Interval::Range(
                    (s.min.numerator, s.min.denominator),
                    (s.max.numerator, s.max.denominator),
                )
            };
            Some(interval)
        });
        if let Some(range) = intervals
            .iter()
            .position(|i| matches!(i, Interval::Range(..)))
        {
            intervals.truncate(range + 1);
        }
        intervals
    }

    /// What is received, where the node's current input is a digital one.
    pub(crate) fn signal(&self) -> Option<Signal> {
        let mut number = 0;
        self.ask::<GetInput>(&mut number).ok()?;
        let mut input = zeroed::<sys::v4l2_input>();
        input.index = u32::try_from(number).ok()?;
        self.ask::<EnumInput>(&mut input).ok()?;
        if input.capabilities & sys::V4L2_IN_CAP_DV_TIMINGS == 0 {
            return None;
        }
        let mut timings = zeroed::<sys::v4l2_dv_timings>();
        if let Err(error) = self.ask::<QueryTimings>(&mut timings) {
            return Some(match error.raw_os_error() {
                Some(libc::ENOLINK) => Signal::Missing,
                Some(libc::ENOLCK) => Signal::Unstable,
                Some(libc::ERANGE) => Signal::Unsupported,
                // The input's own word where the driver cannot measure.
                _ if input.status & sys::V4L2_IN_ST_NO_SIGNAL != 0 => Signal::Missing,
                _ => return None,
            });
        }
        // SAFETY: BT timings are the only kind the kernel has, and are plain
        // numbers.
        let bt = unsafe { timings.__bindgen_anon_1.bt };
        Some(timings::signal(&bt))
    }

    /// The current input is a digital one that has no EDID to show, without which
    /// what is plugged into it sends nothing (kernel doc:
    /// userspace-api/media/v4l/vidioc-g-edid). False where its driver keeps none.
    pub(crate) fn lacks_edid(&self) -> bool {
        let mut input = 0;
        let mut edid = zeroed::<sys::v4l2_edid>();
        if self.ask::<GetInput>(&mut input).is_err() {
            return false;
        }
        edid.pad = u32::try_from(input).unwrap_or_default();
        // Asked for no block, it says how many there are, and needs no memory.
        match self.ask::<GetEdid>(&mut edid) {
            Ok(()) => edid.blocks == 0,
            Err(error) => error.raw_os_error() == Some(libc::ENODATA),
        }
    }

    /// Sets a digital input to the timings that it receives, without which a
    /// bridge streams what was connected before, or nothing (kernel doc:
    /// userspace-api/media/v4l/vidioc-query-dv-timings). True where it did;
    /// false for an input that has none.
    pub(crate) fn take_timings(&self) -> io::Result<bool> {
        if self.signal().is_none() {
            return Ok(false);
        }
        let mut timings = zeroed::<sys::v4l2_dv_timings>();
        self.ask::<QueryTimings>(&mut timings)?;
        self.ask::<SetTimings>(&mut timings)?;
        Ok(true)
    }

    /// The next control after the one of this id; 0 for the first. The error
    /// after the last one is `EINVAL`.
    fn next_control(&self, id: u32) -> io::Result<sys::v4l2_query_ext_ctrl> {
        let mut c = zeroed::<sys::v4l2_query_ext_ctrl>();
        c.id = id | sys::V4L2_CTRL_FLAG_NEXT_CTRL;
        self.ask::<QueryControl>(&mut c)?;
        Ok(c)
    }

    /// An item of a menu in words; `None` where the driver leaves it out, as
    /// the C920 does.
    fn menu_item(&self, id: u32, index: u32, kind: Kind) -> Option<String> {
        let mut item = zeroed::<sys::v4l2_querymenu>();
        (item.id, item.index) = (id, index);
        self.ask::<QueryMenu>(&mut item).ok()?;
        Some(if kind == Kind::IntegerMenu {
            // SAFETY: both members are plain numbers. The structure is packed:
            // the value is copied out, not borrowed.
            unsafe { item.__bindgen_anon_1.value }.to_string()
        } else {
            // SAFETY: as above.
            let name = unsafe { item.__bindgen_anon_1.name };
            text(&name)
        })
    }

    /// The present value of a control; a bitmask's bits are those of the
    /// number.
    pub(crate) fn value(&self, id: u32) -> io::Result<i32> {
        let mut control = sys::v4l2_control { id, value: 0 };
        self.ask::<GetControl>(&mut control)?;
        Ok(control.value)
    }

    /// Sets a control and says what the driver made of the value.
    pub(crate) fn set_value(&self, id: u32, value: i32) -> io::Result<i32> {
        let mut control = sys::v4l2_control { id, value };
        self.ask::<SetControl>(&mut control)?;
        Ok(control.value)
    }
}

/// A call's number with the structure it takes.
trait Request {
    type Argument;
    const NUMBER: vidioc::_IOC_TYPE;
}

macro_rules! requests {
    ($($name:ident($argument:ty) = $number:expr;)*) => {$(
        struct $name;
        impl Request for $name {
            type Argument = $argument;
            const NUMBER: vidioc::_IOC_TYPE = {
                // The number carries the structure's size in 14 bits.
                assert!(($number >> 16) & 0x3fff == size_of::<$argument>() as vidioc::_IOC_TYPE);
                $number
            };
        }
    )*};
}

requests! {
    QueryCapability(sys::v4l2_capability) = vidioc::VIDIOC_QUERYCAP;
    EnumFormat(sys::v4l2_fmtdesc) = vidioc::VIDIOC_ENUM_FMT;
    TryFormat(sys::v4l2_format) = vidioc::VIDIOC_TRY_FMT;
    CurrentFormat(sys::v4l2_format) = vidioc::VIDIOC_G_FMT;
    Parameters(sys::v4l2_streamparm) = vidioc::VIDIOC_G_PARM;
    CurrentStandard(sys::v4l2_std_id) = vidioc::VIDIOC_G_STD;
    EnumSize(sys::v4l2_frmsizeenum) = vidioc::VIDIOC_ENUM_FRAMESIZES;
    EnumInterval(sys::v4l2_frmivalenum) = vidioc::VIDIOC_ENUM_FRAMEINTERVALS;
    GetInput(std::os::raw::c_int) = vidioc::VIDIOC_G_INPUT;
    EnumInput(sys::v4l2_input) = vidioc::VIDIOC_ENUMINPUT;
    QueryControl(sys::v4l2_query_ext_ctrl) = vidioc::VIDIOC_QUERY_EXT_CTRL;
    QueryMenu(sys::v4l2_querymenu) = vidioc::VIDIOC_QUERYMENU;
    GetControl(sys::v4l2_control) = vidioc::VIDIOC_G_CTRL;
    SetControl(sys::v4l2_control) = vidioc::VIDIOC_S_CTRL;
    QueryTimings(sys::v4l2_dv_timings) = QUERY_DV_TIMINGS;
    SetTimings(sys::v4l2_dv_timings) = SET_DV_TIMINGS;
    GetEdid(sys::v4l2_edid) = vidioc::VIDIOC_G_EDID;
}

/// Structures of the kernel's interface that are all numbers, and pointers that
/// may be null.
trait Plain {}

macro_rules! plain {
    ($($name:ident)*) => { $(impl Plain for sys::$name {})* };
}

plain! {
    v4l2_capability v4l2_fmtdesc v4l2_frmsizeenum v4l2_frmivalenum v4l2_input
    v4l2_query_ext_ctrl v4l2_querymenu v4l2_dv_timings v4l2_format v4l2_pix_format
    v4l2_pix_format_mplane v4l2_streamparm v4l2_edid
}

fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` holds only structures and unions of integers and raw pointers, for which
    // all zero is a value; reserved fields must be zero.
    unsafe { std::mem::zeroed() }
}

fn enumerate<T>(mut item: impl FnMut(u32) -> Option<T>) -> Vec<T> {
    (0..MOST).map_while(&mut item).collect()
}

/// A driver's text: up to the first NUL, whatever the bytes are, without what
/// could move a terminal's cursor.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the C preprocessor makes them of `linux/videodev2.h`.
    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
    fn requests_that_the_crate_lacks_are_the_kernel_s() {
        assert_eq!(QUERY_DV_TIMINGS, 0x8084_5663);
        assert_eq!(SET_DV_TIMINGS, 0xc084_5657);
    }

    #[test]
    fn text_of_a_driver_is_bytes_and_cannot_move_the_cursor() {
        assert_eq!(text(b"HD Webcam\0junk"), "HD Webcam");
        assert_eq!(text(b"no end"), "no end");
        assert_eq!(text(b"\xff\xfe\0"), "\u{fffd}\u{fffd}");
        assert_eq!(text(b"a\x1b[2Jb\0"), "a\u{fffd}[2Jb");
    }

    #[test]
    fn a_file_that_is_no_device_gives_an_error_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let node = Node::open(file.path()).expect("it opens");
        let error = node.capability().expect_err("no device");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        assert!(node.formats(1).is_empty() && node.sizes(1).is_empty());
        let error = node.controls().map(drop).expect_err("no controls");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        assert!(Node::open(Path::new("/dev/\0")).is_err());
        assert_eq!(node.signal(), None);
    }
}
