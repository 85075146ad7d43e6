//! The controls of one V4L2 node, by ioctl.
//!
//! The `v4l` crate's own walk (`Device::query_controls`) panics on what a
//! driver may say: a control type it does not know, a menu with step 0, a name
//! that is not UTF-8. A camera must not end the device, so the four ioctls are
//! made here and whatever they say is taken with care.
#![allow(
    unsafe_code,
    reason = "ioctls of V4L2, and the union in which one of them answers"
)]

use std::io;
use std::path::Path;
use std::ptr;

use v4l::v4l_sys::{
    V4L2_CTRL_FLAG_DISABLED, V4L2_CTRL_FLAG_INACTIVE, V4L2_CTRL_FLAG_NEXT_CTRL,
    V4L2_CTRL_FLAG_READ_ONLY, V4L2_CTRL_FLAG_WRITE_ONLY, v4l2_control, v4l2_query_ext_ctrl,
    v4l2_querymenu,
};
use v4l::v4l2::{ioctl, vidioc};

use super::{CameraControl, Kind, name_of};
use crate::media::discovery::Control;

/// More controls than any camera has; a driver that counts in circles is left.
const MOST_CONTROLS: usize = 256;
/// The same for the items of a menu.
const MOST_ITEMS: i64 = 64;

/// An open node.
pub(super) struct Node(v4l::Device);

impl Node {
    /// Opens it for reading and writing; whoever streams from it goes on.
    pub fn open(path: &str) -> io::Result<Self> {
        // The crate panics on this one.
        if path.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        v4l::Device::with_path(Path::new(path)).map(Self)
    }

    /// Every control that holds one number of 32 bits; buttons, texts and
    /// compound controls are left out.
    pub fn controls(&self) -> io::Result<Vec<CameraControl>> {
        let mut controls: Vec<CameraControl> = Vec::new();
        let mut last = 0;
        while controls.len() < MOST_CONTROLS {
            let query = match self.query(last | V4L2_CTRL_FLAG_NEXT_CTRL) {
                Ok(query) => query,
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
                Err(e) => return Err(e),
            };
            // Ids rise, or it would never end.
            if query.id <= last {
                break;
            }
            last = query.id;
            if query.flags & V4L2_CTRL_FLAG_DISABLED != 0 {
                continue;
            }
            let Some(control) = self.describe(&query) else {
                continue;
            };
            // Names are what people use; the first of a name has it.
            if controls
                .iter()
                .all(|c| c.control.name != control.control.name)
            {
                controls.push(control);
            }
        }
        Ok(controls)
    }

    fn describe(&self, query: &v4l2_query_ext_ctrl) -> Option<CameraControl> {
        // enum v4l2_ctrl_type, include/uapi/linux/videodev2.h
        let kind = match query.type_ {
            1 => Kind::Integer,
            2 => Kind::Boolean,
            3 => Kind::Menu,
            8 => Kind::Bitmask,
            9 => Kind::IntegerMenu,
            _ => return None,
        };
        let name = name_of(&text(&query.name));
        if name.is_empty() {
            return None;
        }
        let menu = match kind {
            Kind::Menu | Kind::IntegerMenu => self.menu(query, kind),
            Kind::Integer | Kind::Boolean | Kind::Bitmask => Vec::new(),
        };
        let value = match query.flags & V4L2_CTRL_FLAG_WRITE_ONLY {
            0 => self.get(query.id).ok()?,
            _ => query.default_value as i32,
        };
        Some(CameraControl {
            value: match kind {
                Kind::Bitmask => i64::from(value as u32),
                _ => value.into(),
            },
            kind,
            inactive: query.flags & V4L2_CTRL_FLAG_INACTIVE != 0,
            control: Control {
                id: query.id,
                name,
                minimum: query.minimum,
                maximum: query.maximum,
                step: query.step,
                default: query.default_value,
                menu,
                writable: query.flags & V4L2_CTRL_FLAG_READ_ONLY == 0,
            },
        })
    }

    fn query(&self, id: u32) -> io::Result<v4l2_query_ext_ctrl> {
        // SAFETY: all zero is a value of this C structure of numbers.
        let mut query: v4l2_query_ext_ctrl = unsafe { std::mem::zeroed() };
        query.id = id;
        self.call(vidioc::VIDIOC_QUERY_EXT_CTRL, &mut query)?;
        Ok(query)
    }

    /// A driver may leave out any item (the C920 does).
    fn menu(&self, query: &v4l2_query_ext_ctrl, kind: Kind) -> Vec<(i64, String)> {
        let last = query.maximum.min(query.minimum.saturating_add(MOST_ITEMS));
        (query.minimum..=last)
            .filter_map(|index| {
                // SAFETY: as in `query`.
                let mut item: v4l2_querymenu = unsafe { std::mem::zeroed() };
                item.id = query.id;
                item.index = u32::try_from(index).ok()?;
                self.call(vidioc::VIDIOC_QUERYMENU, &mut item).ok()?;
                let label = match kind {
                    // SAFETY: the kernel writes the number for menus of
                    // integers; every bit pattern is one.
                    Kind::IntegerMenu => unsafe { item.__bindgen_anon_1.value }.to_string(),
                    // SAFETY: the kernel writes the name for all others; it is
                    // copied out, since the structure is packed.
                    _ => bytes(&unsafe { item.__bindgen_anon_1.name }),
                };
                Some((index, label))
            })
            .collect()
    }

    fn get(&self, id: u32) -> io::Result<i32> {
        let mut control = v4l2_control { id, value: 0 };
        self.call(vidioc::VIDIOC_G_CTRL, &mut control)?;
        Ok(control.value)
    }

    /// Sets it and says what the driver made of it.
    pub fn set(&self, id: u32, value: i32) -> io::Result<i32> {
        let mut control = v4l2_control { id, value };
        self.call(vidioc::VIDIOC_S_CTRL, &mut control)?;
        Ok(control.value)
    }

    fn call<T>(&self, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        // SAFETY: each caller above passes the structure that its request
        // takes (the crate defines both from the kernel's header), and the
        // kernel does not keep the pointer.
        unsafe {
            ioctl(
                self.0.handle().fd(),
                request,
                ptr::from_mut(argument).cast(),
            )
        }
    }
}

#[allow(clippy::unnecessary_cast, reason = "C's char has no sign on Arm")]
fn text(name: &[std::ffi::c_char; 32]) -> String {
    bytes(&name.map(|c| c as u8))
}

/// Up to the first zero, or all of it where a driver forgot the zero.
fn bytes(name: &[u8; 32]) -> String {
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_end_or_that_is_no_text_is_read_as_far_as_it_goes() {
        assert_eq!(bytes(&[b'a'; 32]), "a".repeat(32));
        let mut name = [0; 32];
        name[..3].copy_from_slice(&[b'x', 0xff, b' ']);
        assert_eq!(bytes(&name), "x\u{fffd}");
    }

    #[test]
    fn what_is_no_camera_is_an_error() {
        let node = Node::open("/dev/null").expect("it can be opened");
        let error = node.controls().map(drop).expect_err("no V4L2");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        assert!(Node::open("/dev/\0").is_err());
    }
}
