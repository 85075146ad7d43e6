//! One V4L2 node and the questions that the `v4l` crate cannot ask it.
//!
//! That crate reads only the capabilities of a whole driver, not those of one
//! node (`device_caps`), enumerates only single-planar formats, knows no DV
//! timings, and panics on names that are not UTF-8. So the calls are made
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

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::{Control, Signal};

/// `_IOR('V', 99, struct v4l2_dv_timings)` of `linux/videodev2.h`, which the
/// crate leaves out.
const QUERY_DV_TIMINGS: vidioc::_IOC_TYPE = {
    // The direction, in the highest two bits.
    let read = vidioc::VIDIOC_QUERYCAP & !((1 << 30) - 1);
    let size = size_of::<sys::v4l2_dv_timings>() as vidioc::_IOC_TYPE;
    read | size << 16 | (b'V' as vidioc::_IOC_TYPE) << 8 | 99
};

/// No enumeration of an honest driver is longer; vivid lists some 80 formats.
const MOST: u32 = 512;

/// What a node says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Capability {
    pub driver: String,
    pub card: String,
    pub bus: String,
    /// `V4L2_CAP_*` of this node.
    pub caps: u32,
}

/// Sizes of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Discrete(u32, u32),
    /// Lowest, highest, step, of width and height.
    Range {
        width: (u32, u32, u32),
        height: (u32, u32, u32),
    },
}

/// Frame intervals of a size, in seconds as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interval {
    Discrete(u32, u32),
    /// Shortest and longest.
    Range((u32, u32), (u32, u32)),
}

/// An open node. Opening one starts nothing.
pub(super) struct Node(File);

impl Node {
    pub fn open(path: &Path) -> io::Result<Self> {
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

    pub fn capability(&self) -> io::Result<Capability> {
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
    pub fn formats(&self, buffer_type: u32) -> Vec<u32> {
        enumerate(|index| {
            let mut f = zeroed::<sys::v4l2_fmtdesc>();
            (f.index, f.type_) = (index, buffer_type);
            self.ask::<EnumFormat>(&mut f).ok()?;
            Some(f.pixelformat)
        })
    }

    pub fn sizes(&self, format: u32) -> Vec<Size> {
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

    pub fn intervals(&self, format: u32, (width, height): (u32, u32)) -> Vec<Interval> {
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
    pub fn signal(&self) -> Option<Signal> {
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
        Some(signal(&bt))
    }

    /// Controls with a number for a value, in the driver's order.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls = Vec::new();
        let mut id = 0;
        for _ in 0..MOST {
            let mut c = zeroed::<sys::v4l2_query_ext_ctrl>();
            c.id = id | sys::V4L2_CTRL_FLAG_NEXT_CTRL;
            // An answer that does not move on would never end.
            if self.ask::<QueryControl>(&mut c).is_err() || c.id <= id {
                break;
            }
            id = c.id;
            if let Some(control) = self.control(&c) {
                controls.push(control);
            }
        }
        controls
    }

    fn control(&self, c: &sys::v4l2_query_ext_ctrl) -> Option<Control> {
        let is_menu = match c.type_ {
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU
            | sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => true,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER
            | sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN
            | sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64
            | sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => false,
            // Buttons, headings, strings and matrices have no number.
            _ => return None,
        };
        // Arrays have many.
        if c.flags & sys::V4L2_CTRL_FLAG_DISABLED != 0 || c.nr_of_dims != 0 {
            return None;
        }
        let name: Vec<u8> = c.name.iter().map(|b| b.to_ne_bytes()[0]).collect();
        let menu = if is_menu { self.menu(c) } else { Vec::new() };
        Some(Control {
            id: c.id,
            name: control_name(&text(&name)),
            minimum: c.minimum,
            maximum: c.maximum,
            step: c.step.max(1),
            default: c.default_value,
            menu,
            writable: c.flags & sys::V4L2_CTRL_FLAG_READ_ONLY == 0,
        })
    }

    fn menu(&self, c: &sys::v4l2_query_ext_ctrl) -> Vec<(i64, String)> {
        let first = c.minimum.max(0);
        let last = c.maximum.min(first.saturating_add(i64::from(MOST)));
        (first..=last)
            .filter_map(|value| {
                let mut item = zeroed::<sys::v4l2_querymenu>();
                item.id = c.id;
                item.index = u32::try_from(value).ok()?;
                // Gaps are allowed.
                self.ask::<QueryMenu>(&mut item).ok()?;
                let words = if c.type_ == sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU {
                    // SAFETY: both members are plain numbers. The structure is
                    // packed: the value is copied out, not borrowed.
                    unsafe { item.__bindgen_anon_1.value }.to_string()
                } else {
                    // SAFETY: as above.
                    let name = unsafe { item.__bindgen_anon_1.name };
                    text(&name)
                };
                Some((value, words))
            })
            .collect()
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
    EnumSize(sys::v4l2_frmsizeenum) = vidioc::VIDIOC_ENUM_FRAMESIZES;
    EnumInterval(sys::v4l2_frmivalenum) = vidioc::VIDIOC_ENUM_FRAMEINTERVALS;
    GetInput(std::os::raw::c_int) = vidioc::VIDIOC_G_INPUT;
    EnumInput(sys::v4l2_input) = vidioc::VIDIOC_ENUMINPUT;
    QueryControl(sys::v4l2_query_ext_ctrl) = vidioc::VIDIOC_QUERY_EXT_CTRL;
    QueryMenu(sys::v4l2_querymenu) = vidioc::VIDIOC_QUERYMENU;
    QueryTimings(sys::v4l2_dv_timings) = QUERY_DV_TIMINGS;
}

/// Structures of the kernel's interface that are all numbers.
trait Plain {}

macro_rules! plain {
    ($($name:ident)*) => { $(impl Plain for sys::$name {})* };
}

plain! {
    v4l2_capability v4l2_fmtdesc v4l2_frmsizeenum v4l2_frmivalenum v4l2_input
    v4l2_query_ext_ctrl v4l2_querymenu v4l2_dv_timings
}

fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` holds only structures and unions of integers, for which
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

/// `Exposure Time, Absolute` becomes `exposure_time_absolute`, as in
/// `v4l2-ctl`.
fn control_name(name: &str) -> String {
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

/// The picture of BT.656/1120 timings.
fn signal(bt: &sys::v4l2_bt_timings) -> Signal {
    // The structure is packed: its fields are copied, not borrowed.
    let (width, height, interlaced) = (bt.width, bt.height, bt.interlaced);
    let sum = |parts: [u32; 4]| parts.iter().map(|p| u64::from(*p)).sum::<u64>();
    let total = sum([width, bt.hfrontporch, bt.hsync, bt.hbackporch]).saturating_mul(sum([
        height,
        bt.vfrontporch,
        bt.vsync,
        bt.vbackporch,
    ]));
    let clock = bt.pixelclock;
    // Combed pictures would have to be deinterlaced.
    if interlaced != sys::V4L2_DV_PROGRESSIVE || width == 0 || height == 0 || total == 0 {
        return Signal::Unsupported;
    }
    let thousandths = clock.saturating_mul(1000) / total;
    match u32::try_from(thousandths) {
        Ok(rate) if rate > 0 => Signal::Present {
            width,
            height,
            rate: reduced(rate, 1000),
        },
        _ => Signal::Unsupported,
    }
}

/// The fraction in lowest terms.
pub(super) fn reduced(numerator: u32, denominator: u32) -> (u32, u32) {
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1);
    (numerator / divisor, denominator / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_driver_is_bytes_and_cannot_move_the_cursor() {
        assert_eq!(text(b"HD Webcam\0junk"), "HD Webcam");
        assert_eq!(text(b"no end"), "no end");
        assert_eq!(text(b"\xff\xfe\0"), "\u{fffd}\u{fffd}");
        assert_eq!(text(b"a\x1b[2Jb\0"), "a\u{fffd}[2Jb");
    }

    #[test]
    fn controls_are_named_as_v4l2_ctl_names_them() {
        assert_eq!(control_name("Brightness"), "brightness");
        assert_eq!(
            control_name("White Balance, Automatic"),
            "white_balance_automatic"
        );
        assert_eq!(control_name("Pan (Absolute)"), "pan_absolute");
    }

    /// CEA-861 1920×1080p60: 148.5 MHz, 2200×1125 in all.
    fn timings() -> sys::v4l2_bt_timings {
        let mut timings = zeroed::<sys::v4l2_dv_timings>();
        // SAFETY: plain numbers.
        let bt = unsafe { &mut timings.__bindgen_anon_1.bt };
        (bt.width, bt.height, bt.pixelclock) = (1920, 1080, 148_500_000);
        (bt.hfrontporch, bt.hsync, bt.hbackporch) = (88, 44, 148);
        (bt.vfrontporch, bt.vsync, bt.vbackporch) = (4, 5, 36);
        *bt
    }

    #[test]
    fn timings_give_the_mode() {
        let mut bt = timings();
        let rate = |bt: &sys::v4l2_bt_timings| match signal(bt) {
            Signal::Present { rate, .. } => rate,
            other => panic!("{other:?}"),
        };
        assert_eq!(rate(&bt), (60, 1));
        bt.pixelclock = 148_351_648;
        assert_eq!(rate(&bt), (2997, 50), "59.94");
    }

    #[test]
    fn timings_that_are_no_picture_are_not_one() {
        let mut bt = timings();
        bt.interlaced = sys::V4L2_DV_INTERLACED;
        assert_eq!(signal(&bt), Signal::Unsupported);
        for empty in [
            sys::v4l2_bt_timings {
                width: 0,
                ..timings()
            },
            sys::v4l2_bt_timings {
                pixelclock: 0,
                ..timings()
            },
            sys::v4l2_bt_timings {
                pixelclock: u64::MAX,
                hsync: 0,
                ..timings()
            },
        ] {
            // No panic, and no rate of nothing.
            assert!(!matches!(
                signal(&empty),
                Signal::Present { rate: (0, _), .. }
            ));
        }
    }

    #[test]
    fn a_file_that_is_no_device_gives_an_error_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let node = Node::open(file.path()).expect("it opens");
        let error = node.capability().expect_err("no device");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        assert!(node.formats(1).is_empty() && node.sizes(1).is_empty());
        assert!(node.controls().is_empty());
        assert_eq!(node.signal(), None);
    }

    #[test]
    fn fractions_are_reduced() {
        assert_eq!(reduced(60_000, 1000), (60, 1));
        assert_eq!(reduced(0, 0), (0, 0));
    }
}
