//! The zones in which motion counts, where they were drawn on the page: in place of
//! those of the configuration, and kept in the device's state folder, so that they
//! outlast a restart.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::bucket::{Bucket, Rate};
use crate::config::{ConfigError, MotionConfig, ZoneConfig, ZoneWish, validate_zones};
use crate::lock::lock;
use crate::reason::{Code, Reason};
use crate::state;

/// The file's name.
const FILE: &str = "zones.toml";
/// In bytes. Sixteen zones of 32 corners have 20 kB.
const LONGEST: u64 = 64 * 1024;

/// How often they may be drawn, by all together: each is written to the disk.
const CHANGES: Rate = Rate {
    burst: 3.0,
    per_second: 1.0,
};
/// Of which so many have a line in the log.
const LINES: Rate = Rate {
    burst: 5.0,
    per_second: 0.05,
};

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

/// Writes what was drawn, or that nothing is, into this file.
type Keep = dyn Fn(Option<&Path>, Option<&[ZoneConfig]>) -> io::Result<()> + Send + Sync;

struct Shared {
    /// Never locked while a disk is waited for.
    kept: Mutex<Kept>,
    /// One is drawn after the other: locked from before the file is touched until what
    /// came of it is told.
    drawing: Mutex<()>,
    keep: Box<Keep>,
    pace: Mutex<Pace>,
    known: watch::Sender<Arc<Known>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zones").field("kept", &self.kept).finish()
    }
}

#[derive(Debug)]
struct Pace {
    changes: Bucket,
    lines: Bucket,
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
}

/// In this file; without one what was drawn is forgotten with the process.
fn write(file: Option<&Path>, drawn: Option<&[ZoneConfig]>) -> io::Result<()> {
    let Some(file) = file else {
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

impl Zones {
    /// Those that were drawn are in a file of this folder.
    pub(crate) fn in_folder(folder: Option<&Path>, configured: &MotionConfig) -> Self {
        let file: Option<PathBuf> = folder.map(|folder| folder.join(FILE));
        Self::kept_by(Box::new(write), file, configured)
    }

    fn kept_by(keep: Box<Keep>, file: Option<PathBuf>, configured: &MotionConfig) -> Self {
        let kept = Kept {
            drawn: file.as_deref().and_then(read),
            file,
            configured: configured.clone(),
        };
        let now = Instant::now();
        Self(Arc::new(Shared {
            known: watch::Sender::new(kept.known()),
            kept: Mutex::new(kept),
            drawing: Mutex::default(),
            keep,
            pace: Mutex::new(Pace {
                changes: Bucket::full(CHANGES, now),
                lines: Bucket::full(LINES, now),
            }),
        }))
    }

    /// Another configuration; what was drawn stays, and follows to another folder, unless
    /// that has zones of its own.
    pub(crate) fn configure(&self, folder: Option<&Path>, configured: &MotionConfig) {
        let file = folder.map(|folder| folder.join(FILE));
        let (old, drawn) = {
            let kept = lock(&self.0.kept);
            (kept.file.clone(), kept.drawn.clone())
        };
        let moved = (file != old).then(|| self.follow(old.as_deref(), file.as_deref(), drawn));
        let mut kept = lock(&self.0.kept);
        if let Some(drawn) = moved {
            (kept.file, kept.drawn) = (file, drawn);
        }
        kept.configured = configured.clone();
        let known = kept.known();
        self.0.known.send_if_modified(|old| {
            let changed = *old != known;
            *old = known;
            changed
        });
    }

    /// What was drawn, where another file is in place of the `old` one.
    fn follow(
        &self,
        old: Option<&Path>,
        file: Option<&Path>,
        drawn: Option<Vec<ZoneConfig>>,
    ) -> Option<Vec<ZoneConfig>> {
        if let Some(there) = file.and_then(read) {
            return Some(there);
        }
        if drawn.is_some() {
            match (self.0.keep)(file, drawn.as_deref()) {
                Ok(()) => drop(old.filter(|_| file.is_some()).map(fs::remove_file)),
                Err(error) => warn!(
                    %error, ?file,
                    "the zones that were drawn hold until the next start only: they cannot be \
                     kept there; mend access.folder"
                ),
            }
        }
        drawn
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
    /// There can be no such zone, it cannot be kept, or others were drawn just now.
    /// Nothing has changed then.
    pub(crate) async fn change(
        &self,
        wish: ZoneWish,
        who: &str,
        now: Instant,
    ) -> Result<(), Reason> {
        if !lock(&self.0.pace).changes.take(1.0, now) {
            return Err(refused(
                "zones are drawn too often; try again in a second".to_owned(),
            ));
        }
        let this = self.clone();
        let changed = tokio::task::spawn_blocking(move || this.set(wish)).await;
        changed.unwrap_or_else(|ended| Err(refused(format!("it could not be kept: {ended}"))))?;
        // Whoever draws all day fills no log.
        match lock(&self.0.pace).lines.take(1.0, now) {
            true => info!(by = who, "zones of motion were drawn"),
            false => debug!(by = who, "zones of motion were drawn"),
        }
        Ok(())
    }

    fn set(&self, wish: ZoneWish) -> Result<(), Reason> {
        let _drawing = lock(&self.0.drawing);
        let (file, drawn) = {
            let kept = lock(&self.0.kept);
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
                    Some(changed.map_err(|error: ConfigError| refused(error.to_string()))?)
                }
            };
            (kept.file.clone(), drawn)
        };
        if let Err(error) = (self.0.keep)(file.as_deref(), drawn.as_deref()) {
            warn!(%error, ?file, "zones cannot be kept; mend access.folder");
            return Err(refused(format!("it cannot be kept: {error}")));
        }
        let mut kept = lock(&self.0.kept);
        // They may be kept elsewhere by now, where others were drawn.
        if kept.file == file {
            kept.drawn = drawn;
        }
        // Also where it is what it was: who drew it waits for that.
        self.0.known.send_replace(kept.known());
        Ok(())
    }
}

fn refused(words: String) -> Reason {
    Reason::new(Code::ZoneRefused, words)
}

/// What was drawn; `None` where nothing was, or nothing that can be used.
fn read(path: &Path) -> Option<Vec<ZoneConfig>> {
    let read = || -> Result<Vec<ZoneConfig>, String> {
        let file = state::read(path).map_err(|e| e.to_string())?;
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
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

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

    /// As the next one who comes after a while.
    async fn change(zones: &Zones, wish: ZoneWish) -> Result<(), Reason> {
        static LATER: AtomicU64 = AtomicU64::new(1);
        let later = Duration::from_secs(LATER.fetch_add(60, Ordering::Relaxed));
        zones.change(wish, "alice", Instant::now() + later).await
    }

    #[tokio::test]
    async fn what_is_drawn_outlasts_a_restart_until_it_is_as_configured_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |config: &MotionConfig| Zones::in_folder(Some(folder.path()), config);
        let config = on(vec![zone("door", 0.0)]);
        let zones = at(&config);
        assert_eq!(names(&zones), named(&["door"], false));
        change(&zones, put("path", 0.35)).await.expect("drawn");
        assert_eq!(names(&zones), named(&["door", "path"], true));
        let again = at(&config);
        assert_eq!(again.subscribe().borrow().zones[1], zone("path", 0.35));
        assert_eq!(names(&again), named(&["door", "path"], true));
        // Another configuration does not draw over them.
        again.configure(Some(folder.path()), &on(vec![zone("gate", 0.0)]));
        assert_eq!(names(&again), named(&["door", "path"], true));
        let away = ZoneWish::Away("door".to_owned());
        change(&again, away).await.expect("taken away");
        assert_eq!(names(&at(&config)), named(&["path"], true));
        let configured = change(&again, ZoneWish::Configured).await;
        configured.expect("as it was");
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
        change(&zones, put("path", 0.3)).await.expect("kept");
        zones.configure(Some(&at("two")), &config);
        assert_eq!(names(&zones), named(&["door", "path"], true));
        assert_eq!(of("two"), named(&["door", "path"], true));
        assert_eq!(of("one"), named(&["door"], false));
        // What is drawn from now on is kept there, too.
        change(&zones, put("gate", 0.3)).await.expect("kept");
        assert_eq!(of("two"), named(&["door", "path", "gate"], true));
        // A folder that has its own keeps them.
        let third = Zones::in_folder(Some(&at("three")), &config);
        change(&third, put("yard", 0.3)).await.expect("kept");
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
        let refused = change(&zones, put("path", 1.5)).await;
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
        let kept = change(&zones, put("path", 0.0)).await;
        kept.expect_err("it cannot be kept");
        assert_eq!(names(&zones), named(&[], false));
        let off = Zones::in_folder(None, &MotionConfig::default());
        let drawn = change(&off, put("path", 0.0)).await;
        drawn.expect_err("motion is off");
        // Without a folder they are kept in mind.
        off.configure(None, &on(Vec::new()));
        change(&off, put("path", 0.0)).await.expect("drawn");
        assert_eq!(names(&off), named(&["path"], true));
    }

    #[tokio::test]
    async fn who_draws_what_there_is_is_told_and_nobody_draws_more_than_once_a_second() {
        let zones = Zones::in_folder(None, &on(vec![zone("door", 0.0)]));
        let mut known = zones.subscribe();
        for _ in 0..2 {
            change(&zones, put("path", 0.5)).await.expect("drawn");
            assert!(known.has_changed().expect("there"), "the form waits for it");
            known.mark_unchanged();
        }
        zones.configure(None, &on(vec![zone("door", 0.0)]));
        assert!(!known.has_changed().expect("there"), "nothing is new");
        let start = Instant::now() + Duration::from_secs(1_000_000);
        let mut drawn = 0;
        for ms in (0..10_000).step_by(50) {
            let now = start + Duration::from_millis(ms);
            match zones.change(put("path", 0.5), "alice", now).await {
                Ok(()) => drawn += 1,
                Err(reason) => {
                    assert_eq!(reason.code, Code::ZoneRefused);
                    assert!(reason.words.contains("too often"), "{reason:?}");
                }
            }
        }
        assert!((10..=13).contains(&drawn), "{drawn}");
    }

    /// A disk that takes its time holds up who draws, and nobody else.
    #[tokio::test]
    async fn what_is_watched_is_known_while_zones_are_written() {
        let (writes, is_written) = mpsc::channel();
        let (go_on, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let keep = move |_: Option<&Path>, _: Option<&[ZoneConfig]>| {
            let _ = writes.send(());
            let _ = lock(&held).recv();
            Ok(())
        };
        let zones = Zones::kept_by(Box::new(keep), None, &on(Vec::new()));
        let drawing = tokio::spawn({
            let zones = zones.clone();
            async move { change(&zones, put("path", 0.0)).await }
        });
        tokio::task::spawn_blocking(move || is_written.recv())
            .await
            .expect("it runs")
            .expect("it is written");
        let (looked, at_once) = mpsc::channel();
        std::thread::spawn({
            let zones = zones.clone();
            move || {
                zones.configure(None, &on(vec![zone("gate", 0.0)]));
                let _ = looked.send(zones.are_watched());
            }
        });
        let at_once = at_once.recv_timeout(Duration::from_secs(30));
        assert!(at_once.expect("nobody waits for the disk"));
        go_on.send(()).expect("it waits");
        drawing.await.expect("it runs").expect("drawn");
        assert_eq!(names(&zones), named(&["path"], true));
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
