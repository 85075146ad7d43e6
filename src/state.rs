//! The folders in which the device keeps what it has to remember, and what it can
//! make again; and how a file gets into the first: whole or not at all, and for
//! the device's eyes alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// That of the service which the package installs.
pub(crate) const SERVICE: &str = "/var/lib/camera-agent";
/// Who may sign in to the chat server that the package installs.
pub(crate) const CHAT_USERS: &str = "/var/lib/camera-agent-chat/users";
/// Where services have their configurations: the first is camera-agent.toml,
/// that of camera-agent@NAME is NAME.toml.
const CONFIGURATIONS: &str = "/etc/camera-agent";

/// That of this user: systemd's `$STATE_DIRECTORY`, else
/// `$XDG_STATE_HOME/camera-agent`, else `~/.local/state/camera-agent`.
pub(crate) fn folder() -> Option<PathBuf> {
    of_systemd("STATE_DIRECTORY").or_else(|| of_user("XDG_STATE_HOME", ".local/state"))
}

/// The same of what can be made again: `$CACHE_DIRECTORY`, else
/// `$XDG_CACHE_HOME/camera-agent`, else `~/.cache/camera-agent`.
pub(crate) fn cache() -> Option<PathBuf> {
    of_systemd("CACHE_DIRECTORY").or_else(|| of_user("XDG_CACHE_HOME", ".cache"))
}

/// For a command beside the service that runs with this configuration, which has
/// another user's environment: systemd's `$STATE_DIRECTORY`, else the service's
/// own. `None` where the configuration is no service's.
pub(crate) fn of_service(config: &Path) -> Option<PathBuf> {
    let service = own_of(config)?;
    Some(of_systemd("STATE_DIRECTORY").unwrap_or(service))
}

/// As the units say (StateDirectory=).
fn own_of(config: &Path) -> Option<PathBuf> {
    if config.parent() != Some(Path::new(CONFIGURATIONS)) || config.extension()? != "toml" {
        return None;
    }
    match config.file_stem()?.to_str()? {
        "camera-agent" => Some(PathBuf::from(SERVICE)),
        name => Some(PathBuf::from(format!("{SERVICE}-{name}"))),
    }
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|v| !v.is_empty())
}

fn of_user(own: &str, at_home: &str) -> Option<PathBuf> {
    let folder = variable(own)
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(at_home)))?;
    Some(folder.join("camera-agent"))
}

fn of_systemd(name: &str) -> Option<PathBuf> {
    variable(name).map(|directories| {
        // A list with colons where the unit has several.
        let first = std::env::split_paths(&directories).next();
        first.unwrap_or_else(|| directories.into())
    })
}

/// Puts `text` where `path` is, for this user's eyes; folders are made. Written
/// by root it belongs to whom the folder belongs to, which is the device.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
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
///
/// # Errors
///
/// It cannot be opened; or it is no file, or another's than the folder is: root opens
/// nothing for whoever has the folder that they could not open themselves.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let folder = make_folder(path)?;
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600).custom_flags(AS_IT_IS);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return kept(opened?, folder),
    }
    match options.create_new(true).open(path) {
        Ok(file) => {
            give_to_owner(&file, folder)?;
            Ok(file)
        }
        // Another program was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            kept(options.create_new(false).open(path)?, folder)
        }
        Err(error) => Err(error),
    }
}

/// Opens a file as [`open`] does, and locks it for this program alone while it is open:
/// who changes what lies beside it holds that for a moment. Blocks.
///
/// # Errors
///
/// As [`open`]; and another program has it for longer than a change takes: whoever has the
/// folder can, and root does not wait for them without end.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    lock_within(path, PATIENCE)
}

fn lock_within(path: &Path, patience: Duration) -> io::Result<File> {
    let file = open(path)?;
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "std has no waiting for a lock up to a limit"
                )]
                sleep(LOOK);
            }
            Err(TryLockError::WouldBlock) => {
                let words = "another program has it locked, and does not let go";
                return Err(io::Error::other(words));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Who waits for a lock waits so long: a change takes some writes to a slow card.
const PATIENCE: Duration = Duration::from_secs(10);
/// And looks so often.
const LOOK: Duration = Duration::from_millis(5);

/// Opens a file that is kept, to read it. A link is not followed.
///
/// # Errors
///
/// As [`open`]; and there is none.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(AS_IT_IS).open(path)?;
    kept(file, path.parent().unwrap_or(Path::new("/")))
}

/// Not through a link, and not waiting for a pipe's other end.
const AS_IT_IS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// What was opened, where it is what the owner of the folder may have put there.
fn kept(file: File, folder: &Path) -> io::Result<File> {
    let known = file.metadata()?;
    if !known.is_file() {
        let words = "it is no file: look what it is, and take it away";
        return Err(io::Error::other(words));
    }
    // Another name of somebody else's file can be put into one's own folder.
    let is_root = rustix::process::geteuid().is_root();
    if is_root && known.uid() != fs::metadata(folder)?.uid() {
        let words = "it belongs to another user than its folder: chown it, or take it away";
        return Err(io::Error::other(words));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `invite` hung on it, as root.
    #[test]
    fn a_pipe_in_place_of_a_file_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.lock");
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("a pipe");
        open(&path).expect_err("nobody reads it");
        let reader = OpenOptions::new().read(true).write(true).open(&path);
        for opened in [open(&path), read(&path)] {
            let error = opened.expect_err("a pipe").to_string();
            assert!(error.contains("no file"), "{error}");
        }
        drop(reader);
    }

    /// It hung on that, too.
    #[test]
    fn a_lock_that_another_keeps_is_waited_for_and_not_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.lock");
        let held = lock(&path).expect("nobody has it");
        let error = lock_within(&path, LOOK).expect_err("it is held");
        assert!(error.to_string().contains("let go"), "{error}");
        let waits = {
            let path = path.clone();
            std::thread::spawn(move || lock(&path).map(drop))
        };
        drop(held);
        waits.join().expect("no panic").expect("it was let go");
    }

    /// Root gave it away.
    #[test]
    fn what_belongs_to_another_than_the_folder_is_not_given_to_its_owner() {
        // Who is not root gives nothing away.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let of_root = folder.path().join("root's");
        fs::write(&of_root, "secret").expect("written");
        let service = folder.path().join("service");
        fs::create_dir(&service).expect("made");
        std::os::unix::fs::chown(&service, Some(4711), Some(4711)).expect("root may");
        let path = service.join("access.lock");
        fs::hard_link(&of_root, &path).expect("linked");
        for opened in [open(&path), read(&path)] {
            let error = opened.expect_err("another's").to_string();
            assert!(error.contains("another user"), "{error}");
        }
        assert_eq!(fs::metadata(&of_root).expect("there").uid(), 0);
        fs::remove_file(&path).expect("removed");
        open(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").uid(), 4711);
        open(&path).and(read(&path)).expect("the owner's");
    }

    #[test]
    fn each_service_has_the_folder_that_its_unit_gives_it() {
        for (config, folder) in [
            ("/etc/camera-agent/camera-agent.toml", Some(SERVICE)),
            (
                "/etc/camera-agent/garden.toml",
                Some("/var/lib/camera-agent-garden"),
            ),
            ("/etc/camera-agent/garden.toml.old", None),
            ("/etc/camera-agent/x/garden.toml", None),
            ("camera-agent.toml", None),
        ] {
            assert_eq!(
                own_of(Path::new(config)).as_deref(),
                folder.map(Path::new),
                "{config}"
            );
        }
        let units = [
            include_str!("../systemd/camera-agent.service"),
            include_str!("../systemd/camera-agent@.service"),
        ];
        assert!(units[0].contains("StateDirectory=camera-agent\n"));
        assert!(units[1].contains("StateDirectory=camera-agent-%i\n"));
        // Else both are the same but for who they are.
        let lines = units.map(|unit| {
            let of_all = |l: &&str| !l.starts_with('#') && !l.is_empty();
            unit.lines()
                .filter(of_all)
                .map(|l| l.replace("-%i", "").replace(" (%i)", ""))
                .map(|l| l.replace("%i.toml", "camera-agent.toml"))
                .collect::<Vec<_>>()
        });
        assert_eq!(lines[0], lines[1]);
    }
}
