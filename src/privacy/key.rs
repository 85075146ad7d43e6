//! A key or a switch on the device that the owner presses: a GPIO of the board, a
//! lens cover, a keyboard, whatever the kernel has an input device for
//! (Documentation/input/event-codes.rst).

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use evdev::{Device, EventSummary, KeyCode, SwitchCode};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{By, Holder, Privacy};
use crate::config::{ConfigError, PrivacyConfig};

/// A device that is not there is looked for this often.
const RETRY: Duration = Duration::from_secs(5);

/// How soon the thread that reads sees that nobody listens any more.
const LOOK: Duration = Duration::from_millis(500);
/// Presses that wait to be obeyed.
const WISHES: usize = 4;

/// Which key or switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    /// Each press changes what is wanted.
    Key(KeyCode),
    /// While it is closed privacy is wanted.
    Switch(SwitchCode),
}

/// What its state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Toggle,
    Hold(bool),
}

impl Code {
    fn parse(name: &str) -> Option<Self> {
        let key = || KeyCode::from_str(name).ok().map(Self::Key);
        let switch = || SwitchCode::from_str(name).ok().map(Self::Switch);
        key().or_else(switch)
    }

    fn is_on(self, device: &Device) -> bool {
        match self {
            Self::Key(key) => device.supported_keys().is_some_and(|has| has.contains(key)),
            Self::Switch(switch) => {
                let has = device.supported_switches();
                has.is_some_and(|has| has.contains(switch))
            }
        }
    }

    /// What an event asks for: 1 is pressed or closed, 2 a key that repeats.
    fn wish(self, event: EventSummary) -> Option<Wish> {
        match (self, event) {
            (Self::Key(wanted), EventSummary::Key(_, key, 1)) if key == wanted => {
                Some(Wish::Toggle)
            }
            (Self::Switch(wanted), EventSummary::Switch(_, switch, closed)) if switch == wanted => {
                Some(Wish::Hold(closed != 0))
            }
            _ => None,
        }
    }
}

/// The owner's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    device: PathBuf,
    name: String,
    code: Code,
}

impl Key {
    /// The one of the configuration, where it names one.
    ///
    /// # Errors
    ///
    /// The kernel knows no key of that name.
    pub(crate) fn of(config: &PrivacyConfig) -> Result<Option<Self>, ConfigError> {
        let (Some(device), Some(name)) = (&config.device, &config.key) else {
            return Ok(None);
        };
        let Some(code) = Code::parse(name) else {
            return Err(ConfigError::Value {
                key: "privacy.key",
                problem: format!(
                    "the kernel knows no \"{name}\": \"evtest {}\" shows what the device has",
                    device.display()
                ),
            });
        };
        Ok(Some(Self {
            device: device.clone(),
            name: name.clone(),
            code,
        }))
    }

    /// Whether it keeps camera and microphone closed now: a switch that is closed.
    /// One that cannot be read counts as closed; a key keeps nothing closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed_by(|switch| is_closed(&self.open()?, switch))
    }

    fn is_closed_by(&self, read: impl FnOnce(SwitchCode) -> io::Result<bool>) -> bool {
        let Code::Switch(switch) = self.code else {
            return false;
        };
        read(switch).unwrap_or_else(|error| {
            warn!(
                device = %self.device.display(), key = self.name, %error,
                "the privacy switch cannot be read: it counts as closed until it can"
            );
            true
        })
    }

    /// Switches `privacy` as the owner presses it, for ever. A device that goes
    /// is waited for.
    pub(crate) async fn watch(self, privacy: Privacy) {
        let mut is_missed = false;
        loop {
            let device = self.open();
            let is_there = device.is_ok();
            let ended = match device {
                Ok(device) => {
                    info!(device = %self.device.display(), key = self.name, "the privacy key is ready");
                    self.listen(device, &privacy).await
                }
                Err(error) => Err(error),
            };
            // Once: each further try would only say it again.
            if let Err(error) = ended
                && (is_there || !is_missed)
            {
                warn!(
                    device = %self.device.display(), key = self.name, %error,
                    "the privacy key cannot be read; it is looked for until it is there, and a \
                     switch counts as closed"
                );
            }
            is_missed = true;
            if let Code::Switch(_) = self.code {
                privacy.hold(Holder::Cover, true);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn open(&self) -> io::Result<Device> {
        let device = open(&self.device)?;
        if !self.code.is_on(&device) {
            let problem = format!(
                "it has no {}: \"evtest\" shows what each device has",
                self.name
            );
            return Err(io::Error::other(problem));
        }
        device.set_nonblocking(true)?;
        Ok(device)
    }

    /// Obeys what comes from the device until it goes.
    async fn listen(&self, device: Device, privacy: &Privacy) -> io::Result<()> {
        // A switch may have been moved while nobody looked.
        if let Code::Switch(switch) = self.code {
            self.obey(Wish::Hold(is_closed(&device, switch)?), privacy)
                .await;
        }
        let (tell, mut wishes) = mpsc::channel(WISHES);
        let code = self.code;
        let thread = std::thread::Builder::new().name("privacy-key".into());
        let reading = thread.spawn(move || read(device, code, &tell))?;
        while let Some(wish) = wishes.recv().await {
            self.obey(wish, privacy).await;
        }
        // Nobody tells any more: it has ended.
        reading
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    }

    async fn obey(&self, wish: Wish, privacy: &Privacy) {
        match wish {
            Wish::Toggle => {
                let on = !privacy.is_on();
                // What went wrong is in the log.
                let _ = privacy
                    .switch(on, By::Owner, "the key on the device", Instant::now())
                    .await;
            }
            Wish::Hold(on) => {
                info!(closed = on, "the privacy switch on the device");
                privacy.hold(Holder::Cover, on);
            }
        }
    }
}

/// Tells what comes from the device until it goes, or until nobody listens.
fn read(mut device: Device, code: Code, tell: &mpsc::Sender<Wish>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let fd = device.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    while !tell.is_closed() {
        match poll.poll(&mut events, Some(LOOK)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        // Until there is nothing left, for it is said once.
        while !events.is_empty() {
            match device.fetch_events() {
                Ok(read) => {
                    for wish in read.filter_map(|event| code.wish(event.destructure())) {
                        let _ = tell.blocking_send(wish);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn is_closed(device: &Device, switch: SwitchCode) -> io::Result<bool> {
    Ok(device.get_switch_state()?.contains(switch))
}

/// With words for who may not.
fn open(path: &Path) -> io::Result<Device> {
    Device::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::other(
            "this user may not read it; the service needs the drop-in privacy-key.conf",
        ),
        io::ErrorKind::NotFound => io::Error::other(
            "there is no such device; \"ls /dev/input/by-path\" shows those of this board",
        ),
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evdev::{EventType, InputEvent};

    fn wish(code: &str, kind: EventType, number: u16, value: i32) -> Option<Wish> {
        let code = Code::parse(code).expect("the kernel knows it");
        code.wish(InputEvent::new(kind.0, number, value).destructure())
    }

    #[test]
    fn a_key_toggles_as_it_is_pressed_and_a_switch_says_what_it_is() {
        let camera = KeyCode::KEY_CAMERA.0;
        assert_eq!(
            wish("KEY_CAMERA", EventType::KEY, camera, 1),
            Some(Wish::Toggle)
        );
        for (number, value) in [(camera, 0), (camera, 2), (camera + 1, 1)] {
            assert_eq!(wish("KEY_CAMERA", EventType::KEY, number, value), None);
        }
        let cover = SwitchCode::SW_CAMERA_LENS_COVER.0;
        for closed in [false, true] {
            let name = "SW_CAMERA_LENS_COVER";
            let moved = wish(name, EventType::SWITCH, cover, i32::from(closed));
            assert_eq!(moved, Some(Wish::Hold(closed)));
        }
        // The numbers of keys and of switches are not the same.
        assert_eq!(wish("SW_CAMERA_LENS_COVER", EventType::KEY, cover, 1), None);
    }

    #[test]
    fn a_switch_that_cannot_be_read_counts_as_closed() {
        let of = |key: &str| {
            let config = PrivacyConfig {
                device: Some("/dev/input/by-path/none".into()),
                key: Some(key.to_owned()),
                ..PrivacyConfig::default()
            };
            Key::of(&config).expect("known").expect("there")
        };
        let cover = of("SW_CAMERA_LENS_COVER");
        assert!(cover.is_closed_by(|_| Ok(true)));
        assert!(!cover.is_closed_by(|_| Ok(false)));
        assert!(cover.is_closed(), "there is no such device");
        assert!(!of("KEY_CAMERA").is_closed());
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused() {
        let mut config = PrivacyConfig {
            device: Some("/dev/input/event0".into()),
            key: Some("KEY_NO_SUCH".to_owned()),
            ..PrivacyConfig::default()
        };
        let error = Key::of(&config).expect_err("unknown").to_string();
        assert!(error.contains("KEY_NO_SUCH"), "{error}");
        config.key = Some("BTN_0".to_owned());
        assert!(Key::of(&config).expect("known").is_some());
        config.key = None;
        assert!(Key::of(&config).expect("none").is_none());
    }
}
