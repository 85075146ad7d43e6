//! Folders of this program's own.

use std::path::PathBuf;

/// What can be made again: what systemd gives the service, else the user's.
pub(crate) fn cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let systemd = variable("CACHE_DIRECTORY").map(|directories| {
        // A list with colons where the unit has several.
        let first = std::env::split_paths(&directories).next();
        first.unwrap_or_else(|| directories.into())
    });
    let of_user = || {
        let caches = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))?;
        Some(caches.join("camera-agent"))
    };
    systemd.or_else(of_user)
}
