//! The light that tells people in the room that the camera's device is open.
//!
//! An LED of the kernel's (kernel doc: leds/leds-class), a folder under
//! `/sys/class/leds` with the files `brightness`, `max_brightness` and
//! `trigger`. Whoever opens the device gets a [`Lit`] first and drops it when
//! the device is closed again: the light is on before the device is open and
//! goes off after it is closed, and a light that cannot be switched on keeps
//! the camera closed.
//!
//! Programs share it: the service, and `doctor` or `devices` beside it. Each
//! keeps a lock while it has a camera open (flock(2), shared), and whoever is
//! the last switches it off. The lock is a file in the service's own folder,
//! which is nobody else's to open: one on the LED itself would let anybody on
//! the machine keep the camera closed, since all may read an LED.
//!
//! A driver may take its time to close a device, or never come back. The light
//! stays on as long, and goes off when the program [ends](off_at_exit): then
//! the kernel closes whatever is open.
//!
//! The log says the same, with or without an LED.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::thread::sleep;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::lock::lock;
use crate::state;

/// The light that tells people that the camera is on cannot be switched on.
/// Then the camera is not opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the camera stays closed, for its light cannot be switched on: led.path: {file}: {problem}"
)]
pub struct LedError {
    /// The file that was to be written.
    pub file: String,
    /// Why not, and what to do.
    pub problem: String,
}

/// Another program has the LED to itself while it switches it off, which takes
/// a moment. So often it is asked again.
const TRIES: u32 = 20;
/// The wait before it is asked again.
const RETRY: Duration = Duration::from_millis(5);
/// The service's folder that outlasts its stop, as the package makes it.
const SERVICE: &str = "/var/cache/camera-agent";

/// Every light of this process, for its end.
static LIGHTS: Mutex<Vec<Weak<Light>>> = Mutex::new(Vec::new());

/// The light; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Led(Arc<Light>);

#[derive(Debug, Default)]
struct Light {
    folder: Option<PathBuf>,
    /// What programs lock that share it.
    shared: Option<PathBuf>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// How many devices are open. A camera that is opened again may overlap
    /// with the one that was given up.
    devices: u32,
    /// Locked while a device is open.
    lock: Option<File>,
    /// The program ends: it stays off.
    over: bool,
}

/// Keeps the light on while it lives.
#[derive(Debug)]
pub struct Lit(Arc<Light>);

impl Led {
    /// The LED in `folder`; without one there is only the log. It is switched
    /// off, unless another program has a camera open.
    ///
    /// # Errors
    ///
    /// The folder is no LED, or this user may not write to it.
    pub fn new(folder: Option<&Path>) -> Result<Self, LedError> {
        let shared = folder.and_then(|folder| Some(lock_folder()?.join(lock_name(folder))));
        Self::shared_by(folder, shared)
    }

    /// The same with this file to lock.
    fn shared_by(folder: Option<&Path>, shared: Option<PathBuf>) -> Result<Self, LedError> {
        let light = Arc::new(Light {
            folder: folder.map(Path::to_owned),
            shared,
            open: Mutex::default(),
        });
        light.turn_off(None)?;
        let mut lights = lock(&LIGHTS);
        lights.retain(|light| light.strong_count() > 0);
        lights.push(Arc::downgrade(&light));
        Ok(Self(light))
    }

    /// Switches it on. Call this before the device is opened, and drop what it
    /// returns when the device is closed.
    ///
    /// # Errors
    ///
    /// It cannot be switched on; leave the device closed.
    pub fn light(&self) -> Result<Lit, LedError> {
        let mut open = lock(&self.0.open);
        if open.over {
            return Err(LedError {
                file: "the light".to_owned(),
                problem: "this program is ending".to_owned(),
            });
        }
        // Written each time: another program may have been at it.
        let locked = self.0.turn_on()?;
        if open.devices == 0 {
            info!("the camera is on");
        }
        open.devices += 1;
        open.lock = locked;
        Ok(Lit(self.0.clone()))
    }

    /// The same where it is on already, for one more who opens the device;
    /// `None` where the device has been closed.
    pub(crate) fn while_lit(&self) -> Option<Lit> {
        let mut open = lock(&self.0.open);
        if open.devices == 0 {
            return None;
        }
        open.devices += 1;
        Some(Lit(self.0.clone()))
    }
}

impl Clone for Lit {
    fn clone(&self) -> Self {
        lock(&self.0.open).devices += 1;
        Self(self.0.clone())
    }
}

impl Drop for Lit {
    fn drop(&mut self) {
        let mut open = lock(&self.0.open);
        open.devices -= 1;
        if open.devices > 0 || open.over {
            return;
        }
        info!("the camera is off");
        let locked = open.lock.take();
        if let Err(error) = self.0.turn_off(locked) {
            warn!(%error, "the light stays on though the camera is off");
        }
    }
}

impl Light {
    /// Returns what is locked meanwhile.
    fn turn_on(&self) -> Result<Option<File>, LedError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let path = folder.join("brightness");
        let mut file = open(&path)?;
        let locked = self.lock_file();
        if let Some(locked) = &locked {
            share(locked).map_err(|e| broken(&path, &e))?;
        }
        release(folder)?;
        // Most are 0 or 1, some dim up to 255.
        let most = std::fs::read_to_string(folder.join("max_brightness"))
            .ok()
            .filter(|text| text.trim().parse().is_ok_and(|max: u32| max > 0));
        let most = most.as_deref().unwrap_or("1").trim();
        write(&mut file, most).map_err(|e| broken(&path, &e))?;
        Ok(locked)
    }

    /// `locked`: as [`Light::turn_on`] returned it.
    fn turn_off(&self, locked: Option<File>) -> Result<(), LedError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let path = folder.join("brightness");
        let mut file = open(&path)?;
        // Until it is off.
        let locked = locked.or_else(|| self.lock_file());
        // In place of the shared lock.
        match locked.as_ref().map_or(Ok(()), File::try_lock) {
            Ok(()) => {}
            // Another program has a camera open, and will switch it off.
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(broken(&path, &error)),
        }
        release(folder)?;
        write(&mut file, "0").map_err(|e| broken(&path, &e))
    }

    /// Without the file nothing is shared, and the light works all the same.
    fn lock_file(&self) -> Option<File> {
        let path = self.shared.as_deref()?;
        match open_lock(path) {
            Ok(file) => Some(file),
            Err(error) => {
                debug!(path = %path.display(), %error, "the light is not shared with other programs");
                None
            }
        }
    }
}

/// Switches every light off for good: call it last, when the process ends and
/// with it whatever a driver did not close.
pub(crate) fn off_at_exit() {
    let lights = std::mem::take(&mut *lock(&LIGHTS));
    for light in lights.iter().filter_map(Weak::upgrade) {
        let mut open = lock(&light.open);
        open.over = true;
        if open.devices > 0
            && let Err(error) = light.turn_off(open.lock.take())
        {
            warn!(%error, "the light stays on though the camera is off");
        }
    }
}

/// The first of these that is there: what systemd gives the service, the same
/// for who runs `doctor` beside it, and what a user has.
fn lock_folder() -> Option<PathBuf> {
    let service = Path::new(SERVICE);
    let is_service = std::env::var_os("CACHE_DIRECTORY").is_some_and(|v| !v.is_empty());
    // Others may not look into it.
    if !is_service && std::fs::read_dir(service).is_ok() {
        return Some(service.to_owned());
    }
    state::cache()
}

fn lock_name(led: &Path) -> String {
    let name = led.to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("led{name}.lock")
}

/// Opens it, and makes it where it is not there, for whom the folder belongs to
/// and for no others: root may be here before the service is.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    // Not through a link, and not waiting for a pipe's other end.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let owner = std::fs::metadata(folder)?;
    match options.create_new(true).open(path) {
        Ok(file) => {
            let (uid, gid) = (Some(owner.uid()), Some(owner.gid()));
            if file.metadata()?.uid() != owner.uid() {
                std::os::unix::fs::fchown(file.as_fd(), uid, gid)?;
            }
            Ok(file)
        }
        // Another program was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create_new(false).open(path)
        }
        Err(error) => Err(error),
    }
}

/// Waits until nobody is about to switch it off.
fn share(file: &File) -> io::Result<()> {
    for _ in 0..TRIES {
        match file.try_lock_shared() {
            Ok(()) => return Ok(()),
            #[expect(
                clippy::disallowed_methods,
                reason = "std has no waiting for a lock up to a limit"
            )]
            Err(TryLockError::WouldBlock) => sleep(RETRY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another program keeps it locked"))
}

/// A trigger, say "heartbeat", would go on switching it.
fn release(folder: &Path) -> Result<(), LedError> {
    let trigger = folder.join("trigger");
    if !trigger.exists() {
        return Ok(());
    }
    let mut file = open(&trigger)?;
    write(&mut file, "none").map_err(|e| broken(&trigger, &e))
}

/// Opens a file that is there: where it is not, this is no LED.
fn open(file: &Path) -> Result<File, LedError> {
    let opened = OpenOptions::new().write(true).open(file);
    opened.map_err(|error| broken(file, &error))
}

/// Not before it is locked: to cut it off is to change it.
fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn broken(file: &Path, error: &io::Error) -> LedError {
    LedError {
        file: file.display().to_string(),
        problem: match error.kind() {
            io::ErrorKind::NotFound => {
                "there is no such LED; \"ls /sys/class/leds\" shows those of this board".to_owned()
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "this user may not switch it; the service needs the drop-in led.conf".to_owned()
            }
            _ => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// One with a lock of its own.
    fn with_lock(folder: &TempDir) -> Led {
        let shared = Some(folder.path().join("service/led.lock"));
        Led::shared_by(Some(folder.path()), shared).expect("an LED")
    }

    /// A folder as the kernel has one.
    fn led() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("brightness", "7"),
            ("max_brightness", "255\n"),
            ("trigger", "none [heartbeat] timer"),
        ] {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    fn read(folder: &TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).expect("readable")
    }

    #[test]
    fn it_is_off_at_the_start_and_no_trigger_drives_it() {
        let folder = led();
        Led::new(Some(folder.path())).expect("an LED");
        assert_eq!(read(&folder, "brightness"), "0");
        assert_eq!(read(&folder, "trigger"), "none");
    }

    #[test]
    fn it_is_on_as_long_as_any_device_is_open() {
        let folder = led();
        let led = Led::new(Some(folder.path())).expect("an LED");
        let first = led.light().expect("lit");
        assert_eq!(read(&folder, "brightness"), "255");
        let second = led.clone().light().expect("lit");
        let third = second.clone();
        drop(first);
        drop(third);
        assert_eq!(read(&folder, "brightness"), "255");
        drop(second);
        assert_eq!(read(&folder, "brightness"), "0");
    }

    #[test]
    fn programs_share_it_and_the_last_one_switches_it_off() {
        let folder = led();
        let service = with_lock(&folder);
        let on = service.light().expect("lit");
        // Another program's: locks are those of an opened file.
        let doctor = with_lock(&folder);
        assert_eq!(read(&folder, "brightness"), "255");
        let beside = doctor.light().expect("lit");
        drop(beside);
        assert_eq!(read(&folder, "brightness"), "255");
        let beside = doctor.light().expect("lit");
        drop(on);
        assert_eq!(read(&folder, "brightness"), "255");
        drop(beside);
        assert_eq!(read(&folder, "brightness"), "0");
    }

    #[test]
    fn who_may_read_the_led_cannot_keep_the_camera_closed() {
        let folder = led();
        let stranger = File::open(folder.path().join("brightness")).expect("all may read it");
        stranger.try_lock().expect("and lock it");
        let led = Led::new(Some(folder.path())).expect("an LED");
        let lit = led.light().expect("lit");
        assert_eq!(read(&folder, "brightness"), "255");
        drop(lit);
        assert_eq!(read(&folder, "brightness"), "0");
    }

    #[test]
    fn what_is_locked_is_for_the_service_alone() {
        let folder = led();
        let lit = with_lock(&folder).light().expect("lit");
        let path = folder.path().join("service/led.lock");
        let file = fs::metadata(&path).expect("it is there");
        assert_eq!(file.mode() & 0o777, 0o600);
        drop(lit);
        // A link leads nowhere, and costs the sharing only.
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(folder.path().join("trigger"), &path).expect("linked");
        let lit = with_lock(&folder).light().expect("lit");
        assert_eq!(read(&folder, "brightness"), "255");
        drop(lit);
        assert_eq!(read(&folder, "brightness"), "0");
    }

    #[test]
    fn one_s_own_file_name_for_each_led() {
        let name = lock_name(Path::new("/sys/class/leds/input0::capslock"));
        assert_eq!(name, "led-sys-class-leds-input0--capslock.lock");
    }

    #[test]
    fn who_only_joins_does_not_switch_it_on() {
        let folder = led();
        let led = Led::new(Some(folder.path())).expect("an LED");
        assert!(led.while_lit().is_none());
        assert_eq!(read(&folder, "brightness"), "0");
        let first = led.light().expect("lit");
        let second = led.while_lit().expect("it is on");
        drop(first);
        assert_eq!(read(&folder, "brightness"), "255");
        drop(second);
        assert_eq!(read(&folder, "brightness"), "0");
    }

    #[test]
    fn one_that_knows_no_maximum_gets_1() {
        let folder = led();
        fs::remove_file(folder.path().join("max_brightness")).expect("removed");
        let led = Led::new(Some(folder.path())).expect("an LED");
        let _lit = led.light().expect("lit");
        assert_eq!(read(&folder, "brightness"), "1");
    }

    #[test]
    fn without_it_there_is_no_device() {
        let error = Led::new(Some(Path::new("/no/such/led"))).expect_err("none there");
        assert!(error.to_string().contains("/no/such/led"), "{error}");

        let folder = led();
        let led = Led::new(Some(folder.path())).expect("an LED");
        fs::remove_file(folder.path().join("brightness")).expect("removed");
        let error = led.light().expect_err("it is gone").to_string();
        assert!(
            error.contains("stays closed") && error.contains("brightness"),
            "{error}"
        );
        // Nobody counts as open after that.
        fs::write(folder.path().join("brightness"), "0").expect("written");
        drop(led.light().expect("lit"));
        assert_eq!(read(&folder, "brightness"), "0");
    }

    #[test]
    fn none_is_fine_too() {
        let led = Led::new(None).expect("nothing to do");
        drop(led.light().expect("lit"));
    }
}
