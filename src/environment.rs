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
    // GStreamer 1.22 leaks a V4L2 buffer pool that it orphans, and with it the
    // camera's open node: the camera would stay on when nobody watches. Drivers
    // that can orphan buffers (uvcvideo, vivid) are drained instead with this.
    //
    // SAFETY: the caller has only one thread.
    unsafe { std::env::set_var("GST_V4L2_FORCE_DRAIN", "1") };
}
