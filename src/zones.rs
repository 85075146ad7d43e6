//! The zones in which motion counts, where they were drawn on the page: in place of
//! those of the configuration, and kept in the device's state folder, so that they
//! outlast a restart.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::{ConfigError, MotionConfig, ZoneConfig, ZoneWish, validate_zones};
use crate::lock::lock;
use crate::reason::{Code, Reason};
use crate::state;

/// The file's name.
const FILE: &str = "zones.toml";
/// In bytes. Sixteen zones of 32 corners have 20 kB.
const LONGEST: u64 = 64 * 1024;

/// The zones in force.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Known {
    /// Without any, motion counts everywhere.
    pub zones: Vec<ZoneConfig>,
    /// They were drawn, and are not the configuration's.
    pub drawn: bool,
    /// Of those that have none of their own.
    pub sensitivity: u8,
}

/// What is kept, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    zones: Vec<ZoneConfig>,
}

/// The zones; clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Zones(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Locked from before the file is touched until what came of it is told.
    kept: Mutex<Kept>,
    known: watch::Sender<Arc<Known>>,
}

#[derive(Debug)]
struct Kept {
    /// Without it what was drawn is forgotten with the process.
    file: Option<PathBuf>,
    configured: MotionConfig,
    drawn: Option<Vec<ZoneConfig>>,
}

impl Kept {
    fn known(&self) -> Arc<Known> {
        let zones = self.drawn.as_ref().unwrap_or(&self.configured.zones);
        Arc::new(Known {
            zones: zones.clone(),
            drawn: self.drawn.is_some(),
            sensitivity: self.configured.sensitivity,
        })
    }

    /// Another file is in place of the `old` one.
    fn follow(&mut self, old: Option<&Path>) {
        let Some(file) = &self.file else {
            return;
        };
        if let Some(drawn) = read(file) {
            self.drawn = Some(drawn);
            return;
        }
        let Some(drawn) = &self.drawn else {
            return;
        };
        match self.write(Some(drawn)) {
            Ok(()) => drop(old.map(fs::remove_file)),
            Err(error) => warn!(
                %error, file = %file.display(),
                "the zones that were drawn hold until the next start only: they cannot be kept \
                 there; mend access.folder"
            ),
        }
    }

    fn write(&self, drawn: Option<&[ZoneConfig]>) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let Some(zones) = drawn else {
            return match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        let zones = zones.to_vec();
        let text = toml::to_string(&Written { zones }).map_err(io::Error::other)?;
        state::replace(file, &text)
    }
}

impl Zones {
    /// Those that were drawn are in a file of this folder.
    pub(crate) fn in_folder(folder: Option<&Path>, configured: &MotionConfig) -> Self {
        let file = folder.map(|folder| folder.join(FILE));
        let kept = Kept {
            drawn: file.as_deref().and_then(read),
            file,
            configured: configured.clone(),
        };
        Self(Arc::new(Shared {
            known: watch::Sender::new(kept.known()),
            kept: Mutex::new(kept),
        }))
    }

    /// Another configuration; what was drawn stays, and follows to another folder, unless
    /// that has zones of its own.
    pub(crate) fn configure(&self, folder: Option<&Path>, configured: &MotionConfig) {
        let file = folder.map(|folder| folder.join(FILE));
        let mut kept = lock(&self.0.kept);
        if file != kept.file {
            let old = std::mem::replace(&mut kept.file, file);
            kept.follow(old.as_deref());
        }
        kept.configured = configured.clone();
        self.tell(&kept);
    }

    /// Those in force, now and after each change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Known>> {
        self.0.known.subscribe()
    }

    /// Motion is looked for.
    pub(crate) fn are_watched(&self) -> bool {
        lock(&self.0.kept).configured.enabled
    }

    /// Does what somebody wants: `who`, in words.
    ///
    /// # Errors
    ///
    /// There can be no such zone, or it cannot be kept. Nothing has changed then.
    pub(crate) async fn change(&self, wish: ZoneWish, who: &str) -> Result<(), Reason> {
        let this = self.clone();
        let changed = tokio::task::spawn_blocking(move || this.set(wish)).await;
        let changed = changed.unwrap_or_else(|ended| {
            let words = format!("it could not be kept: {ended}");
            Err(Reason::new(Code::ZoneRefused, words))
        });
        if changed.is_ok() {
            info!(by = who, "zones of motion were drawn");
        }
        changed
    }

    fn set(&self, wish: ZoneWish) -> Result<(), Reason> {
        let refused = |words: String| Reason::new(Code::ZoneRefused, words);
        let mut kept = lock(&self.0.kept);
        if !kept.configured.enabled {
            return Err(refused(
                "motion is not looked for (motion.enabled)".to_owned(),
            ));
        }
        let drawn = match wish {
            ZoneWish::Configured => None,
            wish => {
                let now = kept.drawn.as_ref().unwrap_or(&kept.configured.zones);
                let changed = wish.applied_to(now);
                let changed = changed.map_err(|error: ConfigError| refused(error.to_string()))?;
                Some(changed)
            }
        };
        if let Err(error) = kept.write(drawn.as_deref()) {
            warn!(%error, file = ?kept.file, "zones cannot be kept; mend access.folder");
            return Err(refused(format!("it cannot be kept: {error}")));
        }
        kept.drawn = drawn;
        self.tell(&kept);
        Ok(())
    }

    fn tell(&self, kept: &Kept) {
        let known = kept.known();
        self.0.known.send_if_modified(|old| {
            let changed = *old != known;
            *old = known;
            changed
        });
    }
}

/// What was drawn; `None` where nothing was, or nothing that can be used.
fn read(path: &Path) -> Option<Vec<ZoneConfig>> {
    let read = || -> Result<Vec<ZoneConfig>, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let mut text = String::new();
        let mut file = file.take(LONGEST);
        file.read_to_string(&mut text).map_err(|e| e.to_string())?;
        let Written { zones } = toml::from_str(&text).map_err(|e| e.to_string())?;
        validate_zones(&zones).map_err(|e| e.to_string())?;
        Ok(zones)
    };
    if !path.exists() {
        return None;
    }
    match read() {
        Ok(zones) => Some(zones),
        Err(error) => {
            warn!(
                error, file = %path.display(),
                "the zones that were drawn cannot be used; those of the configuration are"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, at: f32) -> ZoneConfig {
        ZoneConfig {
            name: name.to_owned(),
            corners: vec![[at, 0.0], [1.0, 0.0], [1.0, 1.0]],
            sensitivity: None,
        }
    }

    fn put(name: &str, at: f32) -> ZoneWish {
        ZoneWish::Put {
            was: None,
            zone: zone(name, at),
        }
    }

    fn on(zones: Vec<ZoneConfig>) -> MotionConfig {
        MotionConfig {
            enabled: true,
            zones,
            ..MotionConfig::default()
        }
    }

    fn names(zones: &Zones) -> (Vec<String>, bool) {
        let known = zones.subscribe().borrow().clone();
        let names = known.zones.iter().map(|zone| zone.name.clone());
        (names.collect(), known.drawn)
    }

    fn named(names: &[&str], drawn: bool) -> (Vec<String>, bool) {
        (names.iter().map(|&name| name.to_owned()).collect(), drawn)
    }

    #[tokio::test]
    async fn what_is_drawn_outlasts_a_restart_until_it_is_as_configured_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |config: &MotionConfig| Zones::in_folder(Some(folder.path()), config);
        let config = on(vec![zone("door", 0.0)]);
        let zones = at(&config);
        assert_eq!(names(&zones), named(&["door"], false));
        zones
            .change(put("path", 0.35), "alice")
            .await
            .expect("drawn");
        assert_eq!(names(&zones), named(&["door", "path"], true));
        let again = at(&config);
        assert_eq!(again.subscribe().borrow().zones[1], zone("path", 0.35));
        assert_eq!(names(&again), named(&["door", "path"], true));
        // Another configuration does not draw over them.
        again.configure(Some(folder.path()), &on(vec![zone("gate", 0.0)]));
        assert_eq!(names(&again), named(&["door", "path"], true));
        let away = ZoneWish::Away("door".to_owned());
        again.change(away, "alice").await.expect("taken away");
        assert_eq!(names(&at(&config)), named(&["path"], true));
        again
            .change(ZoneWish::Configured, "alice")
            .await
            .expect("as it was");
        assert_eq!(names(&again), named(&["gate"], false));
        assert_eq!(names(&at(&config)), named(&["door"], false));
    }

    #[tokio::test]
    async fn what_is_drawn_follows_to_another_folder_that_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let config = on(vec![zone("door", 0.0)]);
        let of = |name: &str| names(&Zones::in_folder(Some(&at(name)), &config));
        let zones = Zones::in_folder(Some(&at("one")), &config);
        let drawn = zones.change(put("path", 0.3), "alice").await;
        drawn.expect("kept");
        zones.configure(Some(&at("two")), &config);
        assert_eq!(names(&zones), named(&["door", "path"], true));
        assert_eq!(of("two"), named(&["door", "path"], true));
        assert_eq!(of("one"), named(&["door"], false));
        // What is drawn from now on is kept there, too.
        let drawn = zones.change(put("gate", 0.3), "alice").await;
        drawn.expect("kept");
        assert_eq!(of("two"), named(&["door", "path", "gate"], true));
        // A folder that has its own keeps them.
        let third = Zones::in_folder(Some(&at("three")), &config);
        let drawn = third.change(put("yard", 0.3), "bob").await;
        drawn.expect("kept");
        zones.configure(Some(&at("three")), &config);
        assert_eq!(names(&zones), named(&["door", "yard"], true));
        assert_eq!(of("two"), named(&["door", "path", "gate"], true));
        // Where they cannot be kept they hold all the same.
        let file = at("file");
        fs::write(&file, "").expect("written");
        zones.configure(Some(&file.join("four")), &config);
        assert_eq!(names(&zones), named(&["door", "yard"], true));
        assert_eq!(of("three"), named(&["door", "yard"], true));
    }

    #[tokio::test]
    async fn what_breaks_a_rule_or_cannot_be_kept_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let zones = Zones::in_folder(Some(folder.path()), &on(vec![zone("door", 0.0)]));
        let refused = zones.change(put("path", 1.5), "alice").await;
        let reason = refused.expect_err("it is outside");
        assert_eq!(reason.code, Code::ZoneRefused);
        assert!(
            reason.words.contains("1.5 is not in the picture"),
            "{reason:?}"
        );
        assert_eq!(names(&zones), named(&["door"], false));
        // No folder can be where a file is.
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let zones = Zones::in_folder(Some(&file.join("state")), &on(Vec::new()));
        zones
            .change(put("path", 0.0), "alice")
            .await
            .expect_err("it cannot be kept");
        assert_eq!(names(&zones), named(&[], false));
        let off = Zones::in_folder(None, &MotionConfig::default());
        off.change(put("path", 0.0), "alice")
            .await
            .expect_err("motion is off");
        // Without a folder they are kept in mind.
        off.configure(None, &on(Vec::new()));
        off.change(put("path", 0.0), "alice").await.expect("drawn");
        assert_eq!(names(&off), named(&["path"], true));
    }

    #[test]
    fn a_damaged_file_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = on(vec![zone("door", 0.0)]);
        for text in [
            "[[zones]]\nname = \"a\"",
            "zones = 1",
            "[[zones]]\nname = \"a\"\ncorners = [[9, 9]]",
        ] {
            fs::write(folder.path().join(FILE), text).expect("written");
            let zones = Zones::in_folder(Some(folder.path()), &config);
            assert_eq!(names(&zones), named(&["door"], false), "{text}");
        }
    }
}
