//! The light that tells people in the room that the camera's device is open.
//!
//! An LED of the kernel's (kernel doc: leds/leds-class), a folder under
//! `/sys/class/leds` with the files `brightness`, `max_brightness` and
//! `trigger`. Whoever opens the device gets a [`Lit`] first and drops it when
//! the device is closed again: the light is on before the device is open and
//! goes off after it is closed, and a light that cannot be switched on keeps
//! the camera closed.
//!
//! The log says the same, with or without an LED.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tracing::{info, warn};

use super::MediaError;
use super::hub::lock;

/// The light; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Led(Arc<Light>);

#[derive(Debug, Default)]
struct Light {
    folder: Option<PathBuf>,
    /// How many devices are open. A camera that is opened again may overlap
    /// with the one that was given up.
    open: Mutex<u32>,
}

/// Keeps the light on while it lives.
#[derive(Debug)]
pub struct Lit(Arc<Light>);

impl Led {
    /// The LED in `folder`; without one there is only the log. It is switched
    /// off, for no device is open yet.
    ///
    /// # Errors
    ///
    /// The folder is no LED, or this user may not write to it.
    pub fn new(folder: Option<&Path>) -> Result<Self, MediaError> {
        let light = Light {
            folder: folder.map(Path::to_owned),
            open: Mutex::new(0),
        };
        light.switch(false)?;
        Ok(Self(Arc::new(light)))
    }

    /// Switches it on. Call this before the device is opened, and drop what it
    /// returns when the device is closed.
    ///
    /// # Errors
    ///
    /// It cannot be switched on; leave the device closed.
    pub fn light(&self) -> Result<Lit, MediaError> {
        let mut open = lock(&self.0.open);
        // Written each time: another program may have been at it.
        self.0.switch(true)?;
        if *open == 0 {
            info!("the camera is on");
        }
        *open += 1;
        Ok(Lit(self.0.clone()))
    }
}

impl Clone for Lit {
    fn clone(&self) -> Self {
        *lock(&self.0.open) += 1;
        Self(self.0.clone())
    }
}

impl Drop for Lit {
    fn drop(&mut self) {
        let mut open = lock(&self.0.open);
        *open -= 1;
        if *open > 0 {
            return;
        }
        info!("the camera is off");
        if let Err(error) = self.0.switch(false) {
            warn!(%error, "the light stays on though the camera is off");
        }
    }
}

impl Light {
    fn switch(&self, on: bool) -> Result<(), MediaError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        // A trigger, say "heartbeat", would go on switching it.
        let trigger = folder.join("trigger");
        if trigger.exists() {
            write(&trigger, "none")?;
        }
        let brightness = match on {
            // Most are 0 or 1, some dim up to 255.
            true => std::fs::read_to_string(folder.join("max_brightness"))
                .ok()
                .filter(|text| text.trim().parse().is_ok_and(|max: u32| max > 0)),
            false => Some("0".to_owned()),
        };
        write(
            &folder.join("brightness"),
            brightness.as_deref().unwrap_or("1").trim(),
        )
    }
}

/// Writes to a file that is there: where it is not, this is no LED.
fn write(file: &Path, text: &str) -> Result<(), MediaError> {
    use std::io::Write;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(file)
        .and_then(|mut f| f.write_all(text.as_bytes()));
    written.map_err(|error| MediaError::Led {
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

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
