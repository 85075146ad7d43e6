//! The device as a service of systemd: what it tells the service manager.
//!
//! * `READY=1` when it is registered, or knows that there is no chat server, or
//!   after [some seconds](PATIENCE) at the latest: a device without a network
//!   is up all the same, and calls come when the network does.
//! * `STATUS=` in words, for `systemctl status`.
//! * `WATCHDOG=1` for work done, as the [`watchdog`](crate::watchdog) decides.
//!
//! Without systemd all of it is silence (sd_notify(3)).

use std::fmt::Write;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::{debug, error};

use crate::media::progress::Progress;
use crate::media::status::{State, StreamStatus};
use crate::watchdog::{Fault, Verdict, Watchdog, Work};

/// The device is up after this time even when it knows nothing of its chat
/// server.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The status's rate is measured over so long at the least.
const STATUS: Duration = Duration::from_secs(5);

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
                let _ = write!(words, ", {:.1} Mbit/s", rate as f64 / 1e6);
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
    supervised: bool,
    watchdog: Option<Watchdog>,
    /// When it is up at the latest; `None` once it is.
    ready_by: Option<Instant>,
    said: String,
    /// When the status is looked at again, while somebody watches.
    next_status: Instant,
    /// The picture's bytes at a time.
    bytes: (u64, Instant),
    rate: Option<u64>,
    fault: Option<Fault>,
}

impl Service {
    /// As the environment has it: `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment(now: Instant) -> Self {
        let supervised = std::env::var_os("NOTIFY_SOCKET").is_some();
        let limit = sd_notify::watchdog_enabled().filter(|_| supervised);
        Self {
            watchdog: limit.map(|limit| Watchdog::new(limit, now)),
            supervised,
            ..Self::none(now)
        }
    }

    /// One that nobody supervises.
    pub fn none(now: Instant) -> Self {
        Self {
            supervised: false,
            watchdog: None,
            ready_by: Some(now + PATIENCE),
            said: String::new(),
            next_status: now,
            bytes: (0, now),
            rate: None,
            fault: None,
        }
    }

    /// There is a service manager that listens.
    pub fn is_supervised(&self) -> bool {
        self.supervised
    }

    /// When to call [`turn`](Self::turn) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.supervised {
            return None;
        }
        let status = (!self.said.is_empty()).then_some(self.next_status);
        let watchdog = self.watchdog.as_ref().map(Watchdog::poll_timeout);
        [
            self.ready_by,
            status.filter(|_| self.rate.is_some()),
            watchdog,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Tells systemd what is new. To be called each time that the device's loop
    /// comes round; `nudge` has the media thread take a turn.
    pub fn turn(&mut self, now: Instant, snapshot: &Snapshot, nudge: impl FnOnce()) {
        if !self.supervised {
            return;
        }
        if self
            .ready_by
            .is_some_and(|by| now >= by || snapshot.is_settled())
        {
            self.ready_by = None;
            tell(&[NotifyState::Ready]);
        }
        self.status(now, snapshot);
        let Some(watchdog) = &mut self.watchdog else {
            return;
        };
        let work = Work {
            turns: snapshot.progress.turns,
            pictures: snapshot.progress.pictures,
            owed: snapshot.progress.owed,
        };
        match watchdog.look(now, work) {
            None => return,
            Some(Verdict::Feed) => {
                self.fault = None;
                tell(&[NotifyState::Watchdog]);
            }
            Some(Verdict::Withhold(fault)) => {
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
    pub fn reloading(&self) {
        if !self.supervised {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(time) => tell(&[NotifyState::Reloading, time]),
            Err(error) => debug!(%error, "no monotonic clock"),
        }
    }

    /// It was read; the status says how that went until there is other news.
    pub fn reloaded(&self) {
        if self.supervised && self.ready_by.is_none() {
            tell(&[NotifyState::Ready]);
        }
    }

    /// The device says goodbye.
    pub fn stopping(&self) {
        if self.supervised {
            tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        }
    }

    fn status(&mut self, now: Instant, snapshot: &Snapshot) {
        let (bytes, since) = self.bytes;
        if snapshot.viewers == 0 {
            self.rate = None;
            self.bytes = (snapshot.progress.bytes, now);
        } else if now >= self.next_status {
            let elapsed = now.saturating_duration_since(since).as_secs_f64();
            if elapsed >= STATUS.as_secs_f64() / 2.0 {
                let bits = snapshot.progress.bytes.saturating_sub(bytes) * 8;
                self.rate = Some((bits as f64 / elapsed) as u64);
                self.bytes = (snapshot.progress.bytes, now);
            } else {
                self.rate = Some(self.rate.unwrap_or(0));
            }
            self.next_status = now + STATUS;
        }
        let words = snapshot.words(self.rate.filter(|rate| *rate > 0));
        if words != self.said {
            tell(&[NotifyState::Status(&words)]);
            self.said = words;
        }
    }
}

/// Says that the start takes `time` longer, and why.
pub fn waiting(time: Duration, why: &str) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::ExtendTimeoutUsec(micros),
        NotifyState::Status(why),
    ]);
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager could not be told");
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
        };
        let words = lost.words(None);
        assert!(words.starts_with("3 viewers, The camera is being waited for: unplugged, 1280"));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let begun = Instant::now();
        let mut service = Service {
            supervised: true,
            ..Service::none(begun)
        };
        let mut snapshot = watched();
        let mut said = Vec::new();
        for second in 0..=20 {
            snapshot.progress.bytes = match second {
                // 2 Mbit/s for ten seconds, 1 Mbit/s after them.
                0..=10 => second * 250_000,
                _ => 2_500_000 + (second - 10) * 125_000,
            };
            let now = begun + Duration::from_secs(second);
            service.status(now, &snapshot);
            said.push(service.said.clone());
        }
        assert!(said[10].ends_with("2.0 Mbit/s"), "{said:?}");
        assert!(said[20].ends_with("1.0 Mbit/s"), "{said:?}");
        // Nobody watches: no rate, and nothing to come round for.
        snapshot.viewers = 0;
        service.ready_by = None;
        service.status(begun + Duration::from_secs(21), &snapshot);
        assert!(service.said.contains("nobody watches"));
        assert_eq!(service.poll_timeout(), None);
    }

    #[test]
    fn one_that_nobody_supervises_wants_nothing() {
        let service = Service::none(Instant::now());
        assert_eq!(service.poll_timeout(), None);
    }
}
