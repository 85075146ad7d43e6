//! The process's environment: what has to be set before anything else runs.
//!
//! Setting an environment variable is unsafe since the 2024 edition, for another thread may be reading them,
//! and GStreamer offers no other way to set this one. The C library's allocator
//! is set by a call into it, which Rust cannot check.
#![allow(unsafe_code, reason = "see above")]

/// Blocks from this size on are given back to the system when they are freed.
/// Raw pictures are larger, encoded ones smaller.
const LARGE_BLOCK: libc::c_int = 512 * 1024;
/// Heaps that threads share.
const HEAPS: libc::c_int = 2;

/// Sets up the process.
///
/// # Safety
///
/// Call it first in `main`, while the process has one thread.
pub unsafe fn prepare() {
    // With GStreamer 1.22 and the vivid driver the source's V4L2 buffer pool,
    // and with it the camera's open node, outlived the pipeline: the camera
    // stayed on when nobody watched. With this, which drains buffers where the
    // driver could orphan them, everything is freed. tests/machines/vm_call.rs looks.
    //
    // SAFETY: the caller has only one thread.
    unsafe { std::env::set_var("GST_V4L2_FORCE_DRAIN", "1") };

    // Each start of the encoder has new threads, and glibc a new heap for
    // each; left to itself it also moves the raw pictures into those heaps,
    // where they leave holes.
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only takes numbers, and no other thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}
