//! The folder in which the device keeps what it has to remember, and how a file
//! gets into it: whole or not at all, and for the device's eyes alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// That of the service which the package installs.
pub const SERVICE: &str = "/var/lib/camera-agent";

/// That of this user: systemd's `$STATE_DIRECTORY`, else
/// `$XDG_STATE_HOME/camera-agent`, else `~/.local/state/camera-agent`.
pub fn folder() -> Option<PathBuf> {
    let of_user = || {
        let state = variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/state")))?;
        Some(state.join("camera-agent"))
    };
    systemd().or_else(of_user)
}

/// For a command beside the service, which has another user's environment:
/// systemd's `$STATE_DIRECTORY`, else the service's own.
pub fn of_service() -> PathBuf {
    systemd().unwrap_or_else(|| PathBuf::from(SERVICE))
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|v| !v.is_empty())
}

fn systemd() -> Option<PathBuf> {
    variable("STATE_DIRECTORY").map(|directories| {
        // A list with colons where the unit has several.
        let first = std::env::split_paths(&directories).next();
        first.unwrap_or_else(|| directories.into())
    })
}

/// Puts `text` where `path` is, for this user's eyes; folders are made. Written
/// by root it belongs to whom the folder belongs to, which is the device.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = make_folder(path)?;
    let unique = format!("{}.{:x}.tmp", std::process::id(), fastrand::u64(..));
    let fresh = path.with_extension(unique);
    let open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh);
    let written = open.and_then(|mut file| {
        give_to_owner(&file, folder)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    });
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Opens a file that is kept, to append to it or to lock it; one that is made is
/// as [`replace`] makes it. A link is not followed.
pub fn open(path: &Path) -> io::Result<File> {
    let folder = make_folder(path)?;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    give_to_owner(&file, folder)?;
    Ok(file)
}

fn make_folder(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    Ok(folder)
}

fn give_to_owner(file: &File, folder: &Path) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}
