//! How a hook is started, and how all of it is ended.
//!
//! GStreamer and drivers open devices without `O_CLOEXEC`. A program that has the
//! camera's descriptor keeps the camera open for as long as it lives, with the
//! light off. So everything but the three standard descriptors is closed in the
//! new process, before the program runs there, which is between fork and exec;
//! what runs there may call nothing but what is safe in a signal handler
//! (signal-safety(7)), and makes two kinds of system calls.
#![allow(unsafe_code, reason = "see above")]

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::Happened;
use crate::config::HookConfig;

/// What a program is told of this one's environment. The rest is nobody's
/// business: sockets of the service manager, folders with credentials.
const KEPT: &[&str] = &[
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
];
/// Where there is no `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Descriptors beyond these are rare, where close_range(2) is missing (before
/// Linux 5.11).
const DESCRIPTORS: std::ffi::c_int = 4096;

/// A hook, ready to run.
pub(super) fn command(hook: &HookConfig, happened: &Happened) -> Command {
    let mut command = Command::new(hook.program());
    command
        .args(hook.command.iter().skip(1))
        .current_dir("/")
        .env_clear()
        .env("PATH", PATH)
        .envs(
            KEPT.iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .env("CAMERA_AGENT_EVENT", happened.event.word())
        .envs(
            happened
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What it starts goes with it.
        .process_group(0)
        .kill_on_drop(true);
    // SAFETY: between fork and exec; see the module. Neither allocates, nor
    // takes a lock, nor unwinds.
    unsafe {
        command.pre_exec(|| {
            close_on_exec();
            Ok(())
        });
    }
    command
}

/// Has everything closed by exec but the standard descriptors. Rust's own pipe,
/// by which it hears of a failed exec, is to be closed then as well.
fn close_on_exec() {
    let first: std::ffi::c_uint = 3;
    // SAFETY: no memory is touched.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            std::ffi::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        return;
    }
    for descriptor in 3..DESCRIPTORS {
        // SAFETY: no memory is touched; one that is not open is refused.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// The processes of a hook; ended when dropped.
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already, mostly.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
