//! The format of a node: what its driver makes of one, and its pace.

use std::io;

use v4l::v4l_sys as sys;

use super::{CurrentFormat, CurrentStandard, Node, Parameters, TryFormat, reduced, zeroed};

/// What a driver gives, or would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub fourcc: u32,
    pub width: u32,
    pub height: u32,
    /// Two fields are woven into each picture.
    pub interlaced: bool,
}

/// `V4L2_STD_525_60` of `linux/videodev2.h`: 30000/1001 pictures a second.
const STANDARDS_525_60: u64 = 0xf900;
/// `V4L2_STD_625_50`: 25 pictures a second.
const STANDARDS_625_50: u64 = 0xff_06ff;

const MULTI_PLANAR: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;

impl Node {
    /// What the driver would make of a format. Changes nothing. A driver that
    /// cannot say so has only the one that is set (kernel doc:
    /// userspace-api/media/v4l/vidioc-g-fmt).
    pub(crate) fn try_format(
        &self,
        buffer_type: u32,
        fourcc: u32,
        (width, height): (u32, u32),
    ) -> io::Result<Format> {
        let mut f = zeroed::<sys::v4l2_format>();
        f.type_ = buffer_type;
        if buffer_type == MULTI_PLANAR {
            let mut pix = zeroed::<sys::v4l2_pix_format_mplane>();
            (pix.width, pix.height, pix.pixelformat) = (width, height, fourcc);
            f.fmt.pix_mp = pix;
        } else {
            let mut pix = zeroed::<sys::v4l2_pix_format>();
            (pix.width, pix.height, pix.pixelformat) = (width, height, fourcc);
            f.fmt.pix = pix;
        }
        match self.ask::<TryFormat>(&mut f) {
            Ok(()) => Ok(read(&f)),
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => {
                self.current_format(buffer_type)
            }
            Err(error) => Err(error),
        }
    }

    /// The format that is set.
    pub(crate) fn current_format(&self, buffer_type: u32) -> io::Result<Format> {
        let mut f = zeroed::<sys::v4l2_format>();
        f.type_ = buffer_type;
        self.ask::<CurrentFormat>(&mut f)?;
        Ok(read(&f))
    }

    /// Frames a second at which it runs now, or would; `None` where the driver
    /// does not say. Of an analogue input, what its television standard has.
    pub(crate) fn rate(&self, buffer_type: u32) -> Option<(u32, u32)> {
        let mut p = zeroed::<sys::v4l2_streamparm>();
        p.type_ = buffer_type;
        if self.ask::<Parameters>(&mut p).is_ok() {
            // SAFETY: all members are plain numbers; the buffer type names this
            // one.
            let capture = unsafe { p.parm.capture };
            let interval = capture.timeperframe;
            // Some drivers fill in the interval, but not the flag.
            if interval.numerator > 0 && interval.denominator > 0 {
                return Some(reduced(interval.denominator, interval.numerator));
            }
        }
        let mut standard = 0;
        self.ask::<CurrentStandard>(&mut standard).ok()?;
        match standard {
            s if s & STANDARDS_525_60 != 0 => Some((30_000, 1001)),
            s if s & STANDARDS_625_50 != 0 => Some((25, 1)),
            _ => None,
        }
    }
}

fn read(f: &sys::v4l2_format) -> Format {
    let (fourcc, width, height, field) = if f.type_ == MULTI_PLANAR {
        // SAFETY: all members are plain numbers; the buffer type names this
        // one. It is packed: the numbers are copied out, not borrowed.
        let pix = unsafe { f.fmt.pix_mp };
        (pix.pixelformat, pix.width, pix.height, pix.field)
    } else {
        // SAFETY: as above.
        let pix = unsafe { f.fmt.pix };
        (pix.pixelformat, pix.width, pix.height, pix.field)
    };
    Format {
        fourcc,
        width,
        height,
        interlaced: [
            sys::v4l2_field_V4L2_FIELD_INTERLACED,
            sys::v4l2_field_V4L2_FIELD_INTERLACED_TB,
            sys::v4l2_field_V4L2_FIELD_INTERLACED_BT,
        ]
        .contains(&field),
    }
}
