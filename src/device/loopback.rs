//! Tells when a program begins to feed a loopback camera (v4l2loopback).
//!
//! With `exclusive_caps` such a node is no camera until something is written to
//! it, and the driver announces neither that nor the end of it: no uevent comes.
//! It does tell in sysfs, by `state`, "output" or "capture"; before it had that
//! (0.12.7, which Debian 12 has), by `format`, which is empty until then. Reading
//! these opens nothing, but nothing wakes who waits for them either. So the kernel
//! is asked (inotify) to tell when a program opens or closes the node, and for a
//! while from then on they are read.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use tracing::debug;

/// A producer that opened the node begins to feed it, or never does.
const WHILE: Duration = Duration::from_secs(30);
/// Time between two looks meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// What is known of a node. Pure.
#[derive(Debug, Default)]
struct Feed {
    is_fed: bool,
    /// It is looked at until then.
    until: Option<Instant>,
}

impl Feed {
    /// A program opened or closed it.
    fn touched(&mut self, now: Instant) {
        self.until = Some(now + WHILE);
    }

    fn is_watched(&self) -> bool {
        self.until.is_some()
    }

    /// It is fed now, or not. True where that has begun.
    fn look(&mut self, now: Instant, is_fed: bool) -> bool {
        self.until = self.until.filter(|until| now < *until);
        let began = is_fed && !self.is_fed;
        self.is_fed = is_fed;
        began
    }
}

struct Node {
    /// "video9".
    name: String,
    watch: i32,
    feed: Feed,
}

/// The loopback nodes of this machine.
pub(super) struct Loopbacks {
    /// `/sys/class/video4linux` and `/dev`.
    sysfs: PathBuf,
    dev: PathBuf,
    inotify: OwnedFd,
    nodes: Vec<Node>,
}

impl Loopbacks {
    /// # Errors
    ///
    /// The kernel's, which has few of these.
    pub(super) fn new(sysfs: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let mut this = Self {
            sysfs: sysfs.into(),
            dev: dev.into(),
            inotify: inotify::init(flags)?,
            nodes: Vec::new(),
        };
        this.scan();
        Ok(this)
    }

    /// Readable when a program opened or closed one.
    pub(super) fn descriptor(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }

    /// Looks for nodes that came and went.
    pub(super) fn scan(&mut self) {
        let entries = fs::read_dir(&self.sysfs).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let names: Vec<_> = names.filter(|name| self.is_loopback(name)).collect();
        // The watch of a node that is gone is gone with it.
        self.nodes.retain(|node| names.contains(&node.name));
        for name in names {
            let path = self.dev.join(OsStr::new(&name));
            let flags = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE;
            let watch = match inotify::add_watch(&self.inotify, &path, flags) {
                Ok(watch) => watch,
                Err(error) => {
                    debug!(%error, node = %path.display(), "its producers are not heard");
                    continue;
                }
            };
            let feed = Feed {
                is_fed: self.is_fed(&name),
                until: None,
            };
            match self.nodes.iter_mut().find(|node| node.name == name) {
                Some(node) if node.watch == watch => {}
                // It was made anew.
                Some(node) => (node.watch, node.feed) = (watch, feed),
                None => self.nodes.push(Node { name, watch, feed }),
            }
        }
    }

    /// Takes what the kernel tells of opened and closed nodes.
    pub(super) fn listen(&mut self, now: Instant) {
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(&self.inotify, &mut space);
        while let Ok(event) = events.next() {
            let is_all = event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
            for node in &mut self.nodes {
                if is_all || node.watch == event.wd() {
                    node.feed.touched(now);
                }
            }
        }
    }

    /// True where a program has begun to feed one.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        let mut began = false;
        for at in 0..self.nodes.len() {
            if self.nodes[at].feed.is_watched() {
                let is_fed = self.is_fed(&self.nodes[at].name);
                if self.nodes[at].feed.look(now, is_fed) {
                    debug!(node = %self.nodes[at].name, "a program feeds it");
                    began = true;
                }
            }
        }
        began
    }

    /// When to [look](Self::look) again, if nothing is told before.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let is_watched = self.nodes.iter().any(|node| node.feed.is_watched());
        is_watched.then_some(LOOK)
    }

    fn attribute(&self, node: &str, attribute: &str) -> Option<String> {
        fs::read_to_string(self.sysfs.join(node).join(attribute)).ok()
    }

    /// Only this driver has these.
    fn is_loopback(&self, name: &str) -> bool {
        ["state", "max_openers"]
            .iter()
            .any(|attribute| self.attribute(name, attribute).is_some())
    }

    fn is_fed(&self, name: &str) -> bool {
        match self.attribute(name, "state") {
            Some(state) => state.trim() == "capture",
            None => self
                .attribute(name, "format")
                .is_some_and(|format| !format.trim().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_begins_while_it_is_looked_at_is_told_once() {
        let (mut feed, start) = (Feed::default(), Instant::now());
        assert!(!feed.is_watched());
        feed.touched(start);
        assert!(!feed.look(start, false));
        assert!(feed.look(start + LOOK, true));
        assert!(!feed.look(start + 2 * LOOK, true));
        // Its producer restarts.
        feed.touched(start + 3 * LOOK);
        assert!(!feed.look(start + 4 * LOOK, false));
        assert!(feed.look(start + 5 * LOOK, true));
        // It is not looked at for ever.
        assert!(!feed.look(start + 2 * WHILE, true));
        assert!(!feed.is_watched());
    }

    /// A folder in the place of sysfs, another in that of /dev.
    struct Machine {
        folder: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir_all(folder.path().join("dev")).expect("made");
            // A webcam has no state.
            fs::create_dir_all(folder.path().join("sys/video0")).expect("made");
            Self { folder }
        }

        fn state(&self, name: &str, state: &str) {
            self.attribute(name, "state", state);
        }

        fn attribute(&self, name: &str, attribute: &str, value: &str) {
            let node = self.folder.path().join("sys").join(name);
            fs::create_dir_all(&node).expect("made");
            fs::write(node.join(attribute), value).expect("written");
            fs::write(self.folder.path().join("dev").join(name), "").expect("written");
        }

        fn loopbacks(&self) -> Loopbacks {
            let path = |name: &str| self.folder.path().join(name);
            Loopbacks::new(path("sys"), path("dev")).expect("inotify")
        }

        fn open(&self, name: &str) -> fs::File {
            fs::File::open(self.folder.path().join("dev").join(name)).expect("opened")
        }
    }

    #[test]
    fn a_producer_that_opens_a_node_and_feeds_it_is_heard() {
        let machine = Machine::new();
        machine.state("video9", "output\n");
        let (mut loopbacks, now) = (machine.loopbacks(), Instant::now());
        assert_eq!(loopbacks.nodes.len(), 1, "the webcam is none");
        loopbacks.listen(now);
        assert_eq!(loopbacks.timeout(), None, "nothing to look at");

        let producer = machine.open("video9");
        loopbacks.listen(now);
        assert!(!loopbacks.look(now), "it has only opened it");
        assert_eq!(loopbacks.timeout(), Some(LOOK));
        machine.state("video9", "capture\n");
        assert!(loopbacks.look(now + LOOK));

        assert!(!loopbacks.look(now + WHILE));
        assert_eq!(loopbacks.timeout(), None);
        drop(producer);
        loopbacks.listen(now + WHILE);
        machine.state("video9", "output\n");
        assert!(!loopbacks.look(now + WHILE + LOOK));
        machine.state("video9", "capture\n");
        assert!(loopbacks.look(now + WHILE + 2 * LOOK), "it is back");
    }

    /// As in 0.12.7, which has no state.
    #[test]
    fn an_older_driver_is_heard_by_the_format_that_its_node_has() {
        let machine = Machine::new();
        machine.attribute("video9", "max_openers", "10\n");
        machine.attribute("video9", "format", "");
        let (mut loopbacks, now) = (machine.loopbacks(), Instant::now());
        let _producer = machine.open("video9");
        loopbacks.listen(now);
        assert!(!loopbacks.look(now));
        machine.attribute("video9", "format", "YUYV:320x180@15\n");
        assert!(loopbacks.look(now + LOOK));
        assert!(!loopbacks.look(now + 2 * LOOK), "it is told once");
        machine.attribute("video9", "format", "");
        assert!(!loopbacks.look(now + 3 * LOOK));
        machine.attribute("video9", "format", "YUYV:320x180@15\n");
        assert!(loopbacks.look(now + 4 * LOOK), "it is back");
    }

    #[test]
    fn nodes_come_and_go_and_one_that_is_fed_already_is_no_news() {
        let machine = Machine::new();
        let mut loopbacks = machine.loopbacks();
        assert!(loopbacks.nodes.is_empty());
        machine.state("video9", "capture\n");
        loopbacks.scan();
        let now = Instant::now();
        let _reader = machine.open("video9");
        loopbacks.listen(now);
        assert!(!loopbacks.look(now));
        assert!(loopbacks.timeout().is_some());
        fs::remove_dir_all(machine.folder.path().join("sys/video9")).expect("removed");
        loopbacks.scan();
        assert_eq!(loopbacks.timeout(), None);
    }
}
