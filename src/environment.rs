//! The process's environment, as GStreamer has to find it.
//!
//! This is the one module with `unsafe` in it: since the 2024 edition setting
//! an environment variable is, for another thread may be reading them. GStreamer
//! reads this one when it loads its V4L2 plug-in and offers no other way to set
//! it.
#![allow(unsafe_code, reason = "see above")]

/// Sets what GStreamer reads from the environment.
///
/// # Safety
///
/// Call it first in `main`, while the process has one thread.
pub unsafe fn prepare() {
    // With GStreamer 1.22 and the vivid driver the source's V4L2 buffer pool,
    // and with it the camera's open node, outlived the pipeline: the camera
    // stayed on when nobody watched. With this, which drains buffers where the
    // driver could orphan them, everything is freed. tests/vm_call.rs looks.
    //
    // SAFETY: the caller has only one thread.
    unsafe { std::env::set_var("GST_V4L2_FORCE_DRAIN", "1") };
}
