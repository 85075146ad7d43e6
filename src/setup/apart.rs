//! The parts of the set-up that open devices, run GStreamer or take a call: in a
//! process of their own, which is never root's.
//!
//! `sudo camera-agent setup` has to be root to write the configuration. What
//! strangers and devices send is not read as root: the child is the service's user
//! in the service's groups (systemd/sysusers.d), or `nobody` where the package
//! is not installed. setpriv(1), of util-linux, drops the rest.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Group, User};
use rustix::io::FdFlags;
use rustix::process::geteuid;

use super::{Hardware, SetupError};
use crate::cli::{LOOK, TEST_CALL};

/// The user of systemd/camera-agent.service.
const SERVICE: &str = "camera-agent";
/// Who owns cameras, encoders and sound cards.
const GROUPS: [&str; 3] = ["video", "render", "audio"];

/// What this machine has to choose from.
pub(crate) fn look() -> Result<Hardware, SetupError> {
    let failed = |error: String| SetupError::Apart { what: LOOK, error };
    let (mut command, _program) = command(LOOK).map_err(|e| failed(e.to_string()))?;
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))
}

/// Makes the test call with the configuration in this file; it says itself how it
/// goes.
pub(crate) fn test_call(config: &Path) -> Result<(), SetupError> {
    let failed = |error: io::Error| SetupError::Apart {
        what: TEST_CALL,
        error: error.to_string(),
    };
    // Read as who set-up is: the service's user need not see the folder.
    let text = std::fs::read(config).map_err(failed)?;
    let (mut command, _program) = command(TEST_CALL).map_err(failed)?;
    let mut child = command
        .arg(config)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&text).map_err(failed)?;
    }
    match child.wait().map_err(failed)?.success() {
        true => Ok(()),
        false => Err(SetupError::TestCall("it did not come about".to_owned())),
    }
}

/// This program as somebody who is not root, with its own open file, which has
/// to outlive the start.
fn command(what: &str) -> io::Result<(Command, File)> {
    let program = File::open("/proc/self/exe")?;
    if !geteuid().is_root() {
        let mut command = Command::new("/proc/self/exe");
        command.arg(what);
        return Ok((command, program));
    }
    // By its descriptor: its folder may be root's alone.
    rustix::io::fcntl_setfd(&program, FdFlags::empty())?;
    let mut command = Command::new("setpriv");
    command
        .args(who())
        .args(["--no-new-privs", "--reset-env", "--"]);
    command.arg(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg(what);
    Ok((command, program))
}

/// setpriv's words for whom it becomes.
fn who() -> Vec<String> {
    let is_installed = User::from_name(SERVICE).is_ok_and(|user| user.is_some());
    let name = if is_installed { SERVICE } else { "nobody" };
    let there = |group: &&&str| Group::from_name(group).is_ok_and(|g| g.is_some());
    let groups: Vec<_> = GROUPS.iter().filter(there).copied().collect();
    let group = if is_installed { SERVICE } else { "nogroup" };
    let groups = match groups.is_empty() {
        true => "--clear-groups".to_owned(),
        false => format!("--groups={}", groups.join(",")),
    };
    vec![
        format!("--reuid={name}"),
        format!("--regid={group}"),
        groups,
    ]
}
