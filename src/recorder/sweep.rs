//! Deletes what is too much. It blocks.

use std::io;
use std::time::UNIX_EPOCH;

use rustix::fs::{Mode, OFlags, open, syncfs};
use tracing::info;

use super::catalogue::Limits;
use super::clock::Clock;
use super::folder::Folder;
use crate::lock::lock;

/// Nothing is left to delete.
#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("less is free there than recording.free_mb says")
    }
}

impl std::error::Error for Full {}

/// Deletes what is too much, where the disk has as many bytes left as `free` says: no
/// more than is missing, for some file systems count as free later what was deleted.
pub(super) fn sweep(
    folder: &Folder,
    limits: &Limits,
    clock: &Clock,
    mut free: impl FnMut() -> io::Result<u64>,
) -> io::Result<()> {
    let mut before = free()?;
    if before < limits.free {
        // What was deleted at the last look counts now.
        settle(folder);
        before = free()?;
    }
    let mut deleted = 0;
    loop {
        let left = free()?.max(before.saturating_add(deleted));
        let now = clock.now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let surplus = {
            let catalogue = lock(&folder.catalogue);
            let id = catalogue.surplus(limits, now, left);
            id.and_then(|id| Some((id, catalogue.get(id)?.bytes)))
        };
        match surplus {
            Some((id, bytes)) => {
                folder.delete(id)?;
                deleted += bytes;
                info!(%id, "the oldest recording was deleted to make room");
            }
            None if left < limits.free => {
                return Err(io::Error::new(io::ErrorKind::StorageFull, Full));
            }
            None => return Ok(()),
        }
    }
}

/// Waits until its file system has done what it was told. One that cannot says what
/// is free as it is.
fn settle(folder: &Folder) {
    let opened = open(
        &folder.path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    if let Ok(opened) = opened {
        let _ = syncfs(opened);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use super::*;
    use crate::recorder::catalogue::Entry;
    use crate::recorder::names::{Id, Why};

    /// Recordings of a megabyte each, a second apart.
    fn recorded(count: u64) -> (tempfile::TempDir, Arc<Folder>) {
        let place = tempfile::tempdir().expect("a folder");
        let entry = Entry {
            why: Why::Always,
            seconds: Some(1),
            bytes: 1_000_000,
        };
        for second in 0..count {
            let id = Id::free(1_800_000_000 + second, |_| true).expect("a name");
            let file = File::create(place.path().join(entry.file(id))).expect("created");
            file.set_len(entry.bytes).expect("that long");
        }
        let folder = Folder::new(place.path().to_owned());
        assert!(folder.scan().is_empty());
        (place, folder)
    }

    fn left(folder: &Folder) -> usize {
        lock(&folder.catalogue).page(None, 100).0.len()
    }

    #[test]
    fn where_the_disk_frees_late_what_is_missing_is_deleted_and_no_more() {
        let limits = Limits {
            bytes: 0,
            age: 0,
            free: 10_000_000,
            strangers: 25,
        };
        let (_place, folder) = recorded(9);
        sweep(&folder, &limits, &Clock::default(), || Ok(7_500_000)).expect("there is enough");
        assert_eq!(left(&folder), 6);
        // One that counts at once, while others fill it.
        let free = std::cell::Cell::new(8_000_000);
        let asked = || {
            free.set(free.get() + 1_000_000);
            Ok(free.get())
        };
        sweep(&folder, &limits, &Clock::default(), asked).expect("there is enough");
        assert_eq!(left(&folder), 6);
        sweep(&folder, &limits, &Clock::default(), || Ok(0))
            .expect_err("more is missing than there is");
        assert_eq!(left(&folder), 0);
    }

    #[test]
    fn a_disk_that_is_mounted_later_is_looked_through_and_one_that_is_gone_forgotten() {
        let (place, folder) = recorded(3);
        assert!(!folder.is_another());
        let aside = place.path().with_extension("unmounted");
        std::fs::rename(place.path(), &aside).expect("moved");
        std::fs::create_dir(place.path()).expect("a bare mount point");
        assert!(folder.is_another());
        folder.scan();
        assert_eq!((left(&folder), folder.is_another()), (0, false));
        std::fs::remove_dir(place.path()).expect("removed");
        std::fs::rename(&aside, place.path()).expect("moved back");
        assert!(folder.is_another());
        folder.scan();
        assert_eq!(left(&folder), 3);
    }
}
