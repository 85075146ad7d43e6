//! What probes found, remembered from start to start.
//!
//! An entry holds for one row, picture, kernel, GStreamer, plug-in file and
//! device node; another of any of these is another entry. A file that cannot be
//! read or written costs a probe, never a start. That an encoder is unusable
//! is believed for a day only: it may have been busy, or its firmware late.
//!
//! Before a probe a mark is left. One of an earlier boot, without a report,
//! tells that the system went down in the probe (known of NVENC where there is
//! none), and keeps a board from doing so at every start. Where it cannot be
//! known which boot this is, a mark counts as one of an earlier boot: to leave
//! an encoder alone for a day costs less than a board that never comes up.
//!
//! The kernel tells its boot's id under `/proc/sys`, which a hardened service
//! does not see (`ProcSubset=pid`): the unit passes it on, in
//! `CAMERA_AGENT_BOOT_ID`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use tracing::debug;

use super::{Job, Report};
use crate::state;

/// How long it is believed that an encoder is unusable.
const UNUSABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// The unit's word for the boot (systemd.unit(5), `%b`).
const BOOT_ID: &str = "CAMERA_AGENT_BOOT_ID";
/// Entries kept, the newest.
const ENTRIES: usize = 64;

/// The file.
#[derive(Debug, Clone)]
pub struct Cache {
    path: Option<PathBuf>,
    /// The kernel's id of this boot, where it is known.
    boot: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Seconds since 1970.
    at: u64,
    /// The kernel's id of the boot; empty where it was not known.
    boot: String,
    /// `None` while the probe runs.
    report: Option<Report>,
}

impl Entry {
    /// What it is worth at `now`, in this boot.
    fn believed(self, boot: Option<&str>, now: SystemTime) -> Option<Report> {
        let age = seconds(now).checked_sub(self.at).map(Duration::from_secs);
        // A clock that was set back says nothing of the age.
        let fresh = age.is_none_or(|age| age < UNUSABLE);
        match self.report {
            Some(report) if report.is_usable() || fresh => Some(report),
            None if fresh && boot != Some(self.boot.as_str()) => Some(Report::unusable(
                "the system went down while it was tried; \
                 it will be tried again a day later, or when the cache is removed",
            )),
            _ => None,
        }
    }
}

/// All that a file of these bytes remembers, at `now` and in this boot.
#[cfg(any(test, fuzzing))]
pub(in crate::media) fn remembered(
    file: &[u8],
    boot: Option<&str>,
    now: SystemTime,
) -> Vec<Report> {
    let contents: Contents = serde_json::from_slice(file).unwrap_or_default();
    let entries = contents.entries.into_values();
    entries.filter_map(|e| e.believed(boot, now)).collect()
}

impl Cache {
    /// The one of this user: in systemd's `$CACHE_DIRECTORY`, else in
    /// `$XDG_CACHE_HOME/camera-agent`, else in `~/.cache/camera-agent`.
    pub(crate) fn standard() -> Self {
        Self {
            path: state::cache().map(|d| d.join("encoders.json")),
            boot: boot(),
        }
    }

    /// The one in this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            boot: boot(),
        }
    }

    /// Remembers nothing.
    pub fn none() -> Self {
        Self {
            path: None,
            boot: None,
        }
    }

    /// What is remembered under `key`.
    pub fn get(&self, key: &str, now: SystemTime) -> Option<Report> {
        let entry = self.read().entries.remove(key)?;
        entry.believed(self.boot.as_deref(), now)
    }

    /// Marks that a probe begins, or remembers what it found.
    pub(crate) fn put(&self, key: &str, report: Option<&Report>, now: SystemTime) {
        let Some(path) = &self.path else { return };
        let mut contents = self.read();
        let entry = Entry {
            at: seconds(now),
            boot: self.boot.clone().unwrap_or_default(),
            report: report.cloned(),
        };
        contents.entries.insert(key.to_owned(), entry);
        while contents.entries.len() > ENTRIES {
            let oldest = contents.entries.iter().min_by_key(|(_, e)| e.at);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            contents.entries.remove(&oldest);
        }
        if let Err(error) = write(path, &contents) {
            debug!(path = %path.display(), %error, "what encoders do is not remembered");
        }
    }

    fn read(&self) -> Contents {
        let Some(path) = &self.path else {
            return Contents::default();
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Contents::default(),
            Err(error) => {
                debug!(path = %path.display(), %error, "what encoders do cannot be read");
                return Contents::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            debug!(path = %path.display(), %error, "what encoders do is damaged");
            Contents::default()
        })
    }
}

/// Another process that writes at the same time may lose its entry, but
/// nobody reads half a file. The mark has to outlast a crash of the system.
fn write(path: &Path, contents: &Contents) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let unique = format!("{}.{:x}.tmp", std::process::id(), fastrand::u64(..));
    let fresh = path.with_extension(unique);
    let written = serde_json::to_vec(contents)
        .map_err(io::Error::other)
        .and_then(|text| {
            use std::io::Write;
            let mut file = fs::File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_data()
        })
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Under what a job on this machine is remembered. `node` is the device.
pub fn key(job: &Job, node: Option<&Path>) -> String {
    let mut hash = Sha1::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&serde_json::to_string(job).unwrap_or_default());
    // uname(2): what /proc/sys says may be hidden.
    let kernel = rustix::system::uname();
    add(&kernel.release().to_string_lossy());
    add(&kernel.version().to_string_lossy());
    add(&gst::version_string());
    let plugin = gst::ElementFactory::find(&job.encoder.factory)
        .and_then(|factory| factory.plugin())
        .and_then(|plugin| plugin.filename());
    for path in plugin.as_deref().into_iter().chain(node) {
        add(&path.to_string_lossy());
        if let Ok(meta) = fs::metadata(path) {
            // A file is known by its size and age, a device by its number:
            // devtmpfs makes the node anew at each boot.
            let identity = match meta.rdev() {
                0 => format!("{} {}", meta.size(), meta.mtime()),
                device => format!("{device}"),
            };
            add(&identity);
        }
    }
    format!("{} {:x}", job.encoder.id, hash.finalize())
}

/// The kernel's id of this boot, or what the unit says of it.
fn boot() -> Option<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let id = kernel.or_else(|_| std::env::var(BOOT_ID)).ok()?;
    boot_id(&id)
}

/// systemd writes it without dashes.
fn boot_id(text: &str) -> Option<String> {
    let id = text.trim().replace('-', "").to_ascii_lowercase();
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VideoConfig;
    use crate::media::encoder::Encoder;
    use crate::media::probe::Stage;

    const HOUR: Duration = Duration::from_secs(3600);

    fn usable() -> Report {
        Report {
            stage: Stage::Stopped,
            unusable: None,
            ..Report::unusable("")
        }
    }

    #[test]
    fn what_was_found_is_remembered_and_that_it_was_bad_for_a_day() {
        let folder = tempfile::tempdir().expect("a folder");
        // A folder that is not there yet is made.
        let cache = Cache::at(folder.path().join("new/encoders.json"));
        let now = SystemTime::now();
        assert_eq!(cache.get("a", now), None);
        cache.put("a", Some(&usable()), now);
        cache.put("b", Some(&Report::unusable("bad")), now);
        assert_eq!(cache.get("a", now), Some(usable()));
        assert_eq!(cache.get("a", now + HOUR * 24 * 365), Some(usable()));
        assert_eq!(cache.get("b", now + HOUR), Some(Report::unusable("bad")));
        assert_eq!(cache.get("b", now + HOUR * 25), None);
        // The clock starts in 1970 on a board without a battery.
        assert_eq!(cache.get("a", UNIX_EPOCH), Some(usable()));
        let left: Vec<_> = fs::read_dir(folder.path().join("new"))
            .expect("there")
            .collect();
        assert_eq!(left.len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_mark_of_an_earlier_boot_says_that_the_system_went_down() {
        let folder = tempfile::tempdir().expect("a folder");
        let in_boot = |boot: Option<&str>| Cache {
            path: Some(folder.path().join("encoders.json")),
            boot: boot.map(str::to_owned),
        };
        let now = SystemTime::now();
        let (this, other) = (Some("1d"), Some("2e"));
        for (marked, asked, went_down) in [
            (this, this, false),
            (this, other, true),
            // What is not known is never the same.
            (None, this, true),
            (this, None, true),
            (None, None, true),
        ] {
            in_boot(marked).put("a", None, now);
            let report = in_boot(asked).get("a", now + HOUR);
            let words = report.map(|report| report.words().to_owned());
            let said = words.as_ref().is_some_and(|w| w.contains("went down"));
            assert_eq!(said, went_down, "{marked:?} {asked:?}: {words:?}");
            let later = in_boot(asked).get("a", now + HOUR * 25);
            assert_eq!(later, None, "tried again");
        }
    }

    #[test]
    fn the_boot_s_id_is_the_same_however_it_is_written() {
        let kernel = boot_id("b9F1a9a0-8b4a-4f8e-9a53-0d6a9d1c2e3f\n");
        let unit = boot_id("b9f1a9a08b4a4f8e9a530d6a9d1c2e3f");
        assert!(kernel.is_some() && kernel == unit);
        for bad in ["", "%b", "b9f1a9a08b4a4f8e9a530d6a9d1c2e3", &"x".repeat(32)] {
            assert_eq!(boot_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_damaged_or_unwritable_file_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("encoders.json");
        let now = SystemTime::now();
        for damage in ["", "{", "[]", "{\"entries\":{\"a\":7}}", "\u{0}"] {
            fs::write(&path, damage).expect("written");
            let cache = Cache::at(&path);
            assert_eq!(cache.get("a", now), None, "{damage}");
            cache.put("a", Some(&usable()), now);
            assert_eq!(cache.get("a", now), Some(usable()), "{damage}");
        }
        // A file where a folder should be.
        let cache = Cache::at(path.join("encoders.json"));
        cache.put("a", Some(&usable()), now);
        assert_eq!(cache.get("a", now), None);
        let cache = Cache::none();
        cache.put("a", Some(&usable()), now);
        assert_eq!(cache.get("a", now), None);
    }

    #[test]
    fn the_oldest_entries_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path().join("encoders.json"));
        let now = SystemTime::now();
        for i in 0..=ENTRIES as u64 {
            let at = now + Duration::from_secs(i);
            cache.put(&format!("{i}"), Some(&usable()), at);
        }
        assert_eq!(cache.get("0", now), None);
        assert_eq!(cache.get("1", now), Some(usable()));
    }

    #[test]
    fn many_who_write_leave_a_whole_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path().join("encoders.json"));
        let now = SystemTime::now();
        std::thread::scope(|scope| {
            for i in 0..8 {
                let cache = &cache;
                scope.spawn(move || {
                    for _ in 0..20 {
                        cache.put(&format!("{i}"), Some(&usable()), now);
                    }
                });
            }
        });
        let path = cache.path.as_ref().expect("a path");
        let contents: Contents =
            serde_json::from_slice(&fs::read(path).expect("there")).expect("whole");
        assert!(!contents.entries.is_empty());
    }

    #[test]
    fn another_row_picture_or_node_is_another_key() {
        crate::media::element::init().expect("GStreamer is installed");
        let row = Encoder::row("x264").expect("a row");
        let job = Job::new(&row, &VideoConfig::default());
        let mut keys = vec![key(&job, None), key(&job, Some(Path::new("/dev/null")))];
        assert_eq!(key(&job, None), keys[0]);
        let mut other = job.clone();
        other.width = 640;
        keys.push(key(&other, None));
        let mut other = job;
        other.encoder.properties.pop();
        keys.push(key(&other, None));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }
}
