//! The device as a service of systemd: what it tells the service manager.
//!
//! * `READY=1` when it is registered, or knows that there is no chat server, or
//!   after [some seconds](PATIENCE) at the latest: a device without a network
//!   is up all the same, and calls come when the network does.
//! * `STATUS=` in words, for `systemctl status`.
//! * `WATCHDOG=1` for work done, as the [`watchdog`](crate::watchdog) decides.
//!
//! Without systemd all of it is silence. Nothing here waits: a manager that does
//! not read its socket, which holds about ten messages, must not stop calls, so
//! what it does not take is said again later.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::{debug, error, warn};

use crate::media::hub::progress::Progress;
use crate::media::status::{State, StreamStatus};
use crate::watchdog::{Fault, Feeding, Watchdog, Work};

/// The device is up after this time even when it knows nothing of its chat
/// server.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The status's rate is measured over so long.
const STATUS: Duration = Duration::from_secs(5);

/// What a manager did not take is said again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// How the device is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The name in force on the chat server.
    pub name: Option<String>,
    /// Why there is no chat server, once that is known.
    pub away: Option<String>,
    /// Calls.
    pub viewers: usize,
    /// Those of them that have a media path.
    pub connected: usize,
    /// The picture's state.
    pub picture: StreamStatus,
    /// What the media thread has done.
    pub progress: Progress,
}

impl Snapshot {
    /// In words: `3 viewers, 1280×720, 1.8 Mbit/s`. `rate` is the picture's, in
    /// bit/s.
    pub fn words(&self, rate: Option<u64>) -> String {
        let mut words = match (self.viewers, &self.name) {
            (0, Some(name)) => format!("registered as \"{name}\", nobody watches"),
            (0, None) => "nobody watches".to_owned(),
            (1, _) => "1 viewer".to_owned(),
            (n, _) => format!("{n} viewers"),
        };
        if self.viewers > 0 {
            if self.picture.state == State::Lost {
                let _ = write!(words, ", {}", self.picture.text.trim_end_matches('.'));
            }
            if let Some((width, height)) = self.progress.size {
                let _ = write!(words, ", {width}×{height}");
            }
            if let Some(rate) = rate {
                let _ = match rate {
                    1_000_000.. => write!(words, ", {:.1} Mbit/s", rate as f64 / 1e6),
                    _ => write!(words, ", {} kbit/s", rate / 1000),
                };
            }
        }
        match (&self.name, &self.away) {
            (None, Some(reason)) => {
                let _ = write!(words, "; no chat server: {reason}");
            }
            (None, None) => words.push_str("; connecting to the chat server"),
            (Some(_), _) => {}
        }
        words
    }

    /// It is known how the start went.
    fn is_settled(&self) -> bool {
        self.name.is_some() || self.away.is_some()
    }
}

/// What systemd is told.
#[derive(Debug)]
pub struct Service {
    manager: Option<Manager>,
    watchdog: Option<Watchdog>,
    /// The media thread was asked for its first turn.
    nudged: bool,
    /// When it is up at the latest; `None` once it is.
    ready_by: Option<Instant>,
    said: String,
    /// While somebody watches: the picture's bytes at a time, from which the
    /// rate is measured.
    measured: Option<(u64, Instant)>,
    /// Bit/s.
    rate: Option<u64>,
    fault: Option<Fault>,
}

impl Service {
    /// As the environment has it: `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub(crate) fn from_environment(now: Instant) -> Self {
        let manager = Manager::from_environment();
        let limit = sd_notify::watchdog_enabled().filter(|_| manager.is_some());
        Self {
            watchdog: limit.map(|limit| Watchdog::new(limit, now)),
            manager,
            ..Self::none(now)
        }
    }

    /// One that nobody supervises.
    pub fn none(now: Instant) -> Self {
        Self {
            manager: None,
            watchdog: None,
            nudged: false,
            ready_by: Some(now + PATIENCE),
            said: String::new(),
            measured: None,
            rate: None,
            fault: None,
        }
    }

    /// There is a service manager that listens.
    pub(crate) fn is_supervised(&self) -> bool {
        self.manager.is_some()
    }

    /// When to call [`turn`](Self::turn) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.manager.as_ref()?;
        let status = self.measured.map(|(_, since)| since + STATUS);
        let watchdog = self.watchdog.as_ref().map(Watchdog::poll_timeout);
        [self.ready_by, status, watchdog]
            .into_iter()
            .flatten()
            .min()
    }

    /// Tells systemd what is new. To be called each time that the device's loop
    /// comes round; `nudge` has the media thread take a turn.
    pub fn turn(&mut self, now: Instant, snapshot: &Snapshot, nudge: impl FnOnce()) {
        self.measure(now, snapshot);
        let Some(manager) = &self.manager else {
            return;
        };
        if self
            .ready_by
            .is_some_and(|by| now >= by || snapshot.is_settled())
        {
            // Not taken, it is said again soon.
            let taken = manager.tell(&[NotifyState::Ready]);
            self.ready_by = (!taken).then_some(now + AGAIN);
        }
        let words = snapshot.words(self.rate);
        if words != self.said && manager.tell(&[NotifyState::Status(&words)]) {
            self.said = words;
        }
        let Some(watchdog) = &mut self.watchdog else {
            return;
        };
        if !std::mem::replace(&mut self.nudged, true) {
            // Or there would be no turn to see at the first look.
            return nudge();
        }
        let work = Work {
            turns: snapshot.progress.turns,
            pictures: snapshot.progress.pictures,
            owed: snapshot.progress.owed,
        };
        match watchdog.look(now, work) {
            None => return,
            Some(Feeding::Feed) => {
                self.fault = None;
                manager.tell(&[NotifyState::Watchdog]);
            }
            Some(Feeding::Withhold(fault)) => {
                // Once: it may be the last that this process says.
                if self.fault.is_none() {
                    error!(%fault, "the service manager will restart this process if this goes on");
                }
                self.fault = Some(fault);
            }
        }
        nudge();
    }

    /// The configuration is being read again.
    pub(crate) fn reloading(&self) {
        let Some(manager) = &self.manager else {
            return;
        };
        match NotifyState::monotonic_usec_now() {
            Ok(time) => {
                manager.tell(&[NotifyState::Reloading, time]);
            }
            Err(error) => debug!(%error, "no monotonic clock"),
        }
    }

    /// It was read, or refused; either way the device is up.
    pub(crate) fn reloaded(&mut self, now: Instant) {
        self.ready_by.get_or_insert(now);
    }

    /// The device says goodbye.
    pub(crate) fn stopping(&self) {
        if let Some(manager) = &self.manager {
            manager.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        }
    }

    /// Measures the picture's rate while somebody watches.
    fn measure(&mut self, now: Instant, snapshot: &Snapshot) {
        let bytes = snapshot.progress.bytes;
        match self.measured {
            _ if snapshot.viewers == 0 => {
                self.measured = None;
                self.rate = None;
            }
            None => self.measured = Some((bytes, now)),
            Some((before, since)) => {
                let elapsed = now.saturating_duration_since(since);
                if elapsed >= STATUS {
                    let bits = bytes.saturating_sub(before) * 8;
                    self.rate = Some((bits as f64 / elapsed.as_secs_f64()) as u64);
                    self.measured = Some((bytes, now));
                }
            }
        }
    }
}

/// Says that the start takes `time` longer, and why.
pub(crate) fn waiting(time: Duration, why: &str) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    if let Some(manager) = Manager::from_environment() {
        manager.tell(&[
            NotifyState::ExtendTimeoutUsec(micros),
            NotifyState::Status(why),
        ]);
    }
}

/// Says that a server, which is nothing but that, takes connections.
pub(crate) fn serving(words: &str) {
    if let Some(manager) = Manager::from_environment() {
        manager.tell(&[NotifyState::Ready, NotifyState::Status(words)]);
    }
}

/// The service manager's socket (sd_notify(3)).
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    fn from_environment() -> Option<Self> {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        let made = Self::new(name.as_bytes());
        made.inspect_err(|error| warn!(%error, "the service manager cannot be told how it goes"))
            .ok()
    }

    fn new(name: &[u8]) -> io::Result<Self> {
        let address = match name {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// True if it was taken.
    fn tell(&self, state: &[NotifyState]) -> bool {
        let lines: Vec<_> = state.iter().map(ToString::to_string).collect();
        let message = lines.join("\n");
        match self.socket.send_to_addr(message.as_bytes(), &self.address) {
            Ok(_) => true,
            Err(error) => {
                debug!(%error, %message, "the service manager does not listen");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Snapshot {
        Snapshot {
            name: Some("door".into()),
            viewers: 3,
            progress: Progress {
                size: Some((1280, 720)),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    #[test]
    fn the_status_is_words() {
        assert_eq!(
            watched().words(Some(1_830_000)),
            "3 viewers, 1280×720, 1.8 Mbit/s"
        );
        let idle = Snapshot {
            viewers: 0,
            ..watched()
        };
        assert_eq!(idle.words(None), "registered as \"door\", nobody watches");
        let alone = Snapshot {
            name: None,
            away: Some("Connection refused".into()),
            viewers: 1,
            ..watched()
        };
        assert_eq!(
            alone.words(Some(2_000_000)),
            "1 viewer, 1280×720, 2.0 Mbit/s; no chat server: Connection refused"
        );
        assert_eq!(
            Snapshot::default().words(None),
            "nobody watches; connecting to the chat server"
        );
    }

    #[test]
    fn a_lost_camera_is_in_it() {
        let mut lost = watched();
        lost.picture = StreamStatus {
            state: State::Lost,
            text: "The camera is being waited for: unplugged.".into(),
            ..Default::default()
        };
        let words = lost.words(None);
        assert!(words.starts_with("3 viewers, The camera is being waited for: unplugged, 1280"));
    }

    /// A service and the socket of its manager.
    fn supervised(now: Instant) -> (Service, UnixDatagram, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_nonblocking(true).expect("set");
        let manager = Manager::new(path.as_os_str().as_bytes()).expect("a path");
        let service = Service {
            manager: Some(manager),
            ..Service::none(now)
        };
        (service, socket, folder)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()))
            .map(|bytes| String::from_utf8(bytes).expect("text"))
            .collect()
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let begun = Instant::now();
        let (mut service, socket, _folder) = supervised(begun);
        let mut snapshot = watched();
        let mut said = Vec::new();
        for second in 0..=20 {
            snapshot.progress.bytes = match second {
                // 2 Mbit/s for ten seconds, 80 kbit/s after them.
                0..=10 => second * 250_000,
                _ => 2_500_000 + (second - 10) * 10_000,
            };
            let now = begun + Duration::from_secs(second);
            service.turn(now, &snapshot, || ());
            said.extend(heard(&socket));
        }
        let rates = said.iter().map(|s| s.rsplit(", ").next());
        let rates: Vec<_> = rates.flatten().collect();
        assert_eq!(rates, ["READY=1", "1280×720", "2.0 Mbit/s", "80 kbit/s"]);
        // Nobody watches: no rate, and nothing to come round for.
        snapshot.viewers = 0;
        service.turn(begun + Duration::from_secs(21), &snapshot, || ());
        assert!(service.said.contains("nobody watches"));
        assert_eq!(service.poll_timeout(), None);
    }

    #[test]
    fn a_manager_that_does_not_read_is_told_again_and_never_waited_for() {
        let begun = Instant::now();
        let (mut service, socket, _folder) = supervised(begun);
        let full = service.manager.as_ref().expect("there is one");
        while full.tell(&[NotifyState::Watchdog]) {}
        service.turn(begun, &watched(), || ());
        assert_eq!(service.poll_timeout(), Some(begun + AGAIN));
        let stuffed = heard(&socket);
        assert!(
            stuffed.iter().all(|text| text == "WATCHDOG=1"),
            "{stuffed:?}"
        );
        service.turn(begun + AGAIN, &watched(), || ());
        assert_eq!(heard(&socket), ["READY=1", "STATUS=3 viewers, 1280×720"]);
    }

    #[test]
    fn an_idle_device_is_fed_from_the_first_look_on() {
        let begun = Instant::now();
        let (mut service, socket, _folder) = supervised(begun);
        let limit = Duration::from_secs(4);
        service.watchdog = Some(Watchdog::new(limit, begun));
        let mut snapshot = watched();
        snapshot.viewers = 0;
        let mut now = begun;
        for _ in 0..10 {
            let mut turns = 0;
            service.turn(now, &snapshot, || turns += 1);
            snapshot.progress.turns += turns;
            let fed = heard(&socket).contains(&"WATCHDOG=1".to_owned());
            assert_eq!(fed, now > begun, "{:?}", now - begun);
            now = service.poll_timeout().expect("the next look");
        }
    }

    #[test]
    fn one_that_nobody_supervises_wants_nothing() {
        let service = Service::none(Instant::now());
        assert_eq!(service.poll_timeout(), None);
    }
}
