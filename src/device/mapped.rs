//! Memory of a device that stays in this process after its node was closed.
//!
//! A mapping keeps the device open in the kernel, and no list of open descriptors
//! shows it. GStreamer's `v4l2src` (1.22) leaves its buffers mapped for good where
//! STREAMON fails, as it does where a USB bus has no room (ENOSPC): the camera
//! then answers EBUSY to each other mode until this process ends.
//!
//! Replacing a mapping is a system call that no crate here wraps.
#![allow(unsafe_code, reason = "see above")]

use std::ops::Range;
use std::path::Path;

/// Buffers of a device, and some.
const MOST: usize = 256;

/// Puts empty memory in the place of all that is mapped of `node`, as long as it
/// `has_no_owner`: nobody has it open, or will read, write or unmap any of it. How many
/// mappings those were. The addresses stay taken: whoever unmaps them late all the same
/// hits nobody else's.
pub(crate) fn let_go(node: &Path, has_no_owner: impl Fn() -> bool) -> usize {
    let mut count = 0;
    // Looked for anew each time, right before: what was replaced is not of it any more.
    while count < MOST && has_no_owner() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let first = maps.lines().find_map(|line| mapping(line, node));
        if !first.is_some_and(|range| replace(&range)) {
            break;
        }
        count += 1;
    }
    count
}

/// The addresses of a line of `/proc/PID/maps` (proc(5)), where it is of this file.
fn mapping(line: &str, file: &Path) -> Option<Range<usize>> {
    // Addresses, rights, offset, device, inode; the path may have spaces.
    let mut rest = line;
    let mut addresses = "";
    for column in 0..5 {
        let (word, after) = rest.trim_start().split_once(' ')?;
        if column == 0 {
            addresses = word;
        }
        rest = after;
    }
    let path = rest.trim_start();
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let (from, to) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    (Path::new(path) == file).then_some(number(from)?..number(to)?)
}

fn replace(range: &Range<usize>) -> bool {
    // SAFETY: a moment ago the range was a mapping of a device that nothing in this
    // process has open (`has_no_owner`). This assumes of GStreamer 1.22 that whoever
    // still knows the address of a buffer holds a descriptor of its device, which is
    // closed after the buffer is unmapped: then nobody unmaps it between that look and
    // this call, and no other mapping can have come in its place. What replaces it can
    // be read and written as it could.
    let at = unsafe {
        libc::mmap(
            range.start as *mut libc::c_void,
            range.len(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    at != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    const SIZE: usize = 8192;

    #[test]
    fn a_line_is_read_with_spaces_in_its_path_and_without_its_file() {
        let line = "7f00-7f80 rw-s 00001000 00:05 123                        /dev/my video";
        assert_eq!(
            mapping(line, Path::new("/dev/my video")),
            Some(0x7f00..0x7f80)
        );
        assert_eq!(mapping(line, Path::new("/dev/my")), None);
        let gone = format!("{line} (deleted)");
        assert_eq!(
            mapping(&gone, Path::new("/dev/my video")),
            Some(0x7f00..0x7f80)
        );
        for line in [
            "",
            "7f00-7f80 rw-p 00000000 00:00 0 ",
            "x-y r 0 0 0 /dev/my video",
        ] {
            assert_eq!(mapping(line, Path::new("/dev/my video")), None, "{line:?}");
        }
    }

    #[test]
    fn what_is_mapped_of_a_closed_file_is_let_go_and_its_addresses_stay() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let other = tempfile::NamedTempFile::new().expect("a file");
        let maps = [&file, &file, &other].map(|file| {
            file.as_file().set_len(SIZE as u64).expect("room");
            std::fs::write(file.path(), [7; SIZE]).expect("written");
            // SAFETY: new memory, of a file of this test's.
            unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    SIZE,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    file.as_file().as_raw_fd(),
                    0,
                )
                .cast::<u8>()
            }
        });
        assert_eq!(let_go(file.path(), || false), 0, "somebody has it open");
        assert_eq!(let_go(file.path(), || true), 2);
        assert_eq!(let_go(file.path(), || true), 0);
        // SAFETY: all are mapped, and nobody else knows them.
        let first = maps.map(|at| unsafe { at.read() });
        assert_eq!(first, [0, 0, 7]);
        let_go(other.path(), || true);
    }
}
