//! The owner's privacy, as the running device obeys it.

use std::path::PathBuf;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::info;

use super::Running;
use crate::config::{Config, ConfigError};
use crate::privacy::{Holder, Key, Privacy};
use crate::state;

/// The switch, and who listens to the key on the device.
pub(super) struct Shutter {
    privacy: Privacy,
    changes: watch::Receiver<bool>,
    key: Option<Key>,
    listening: Option<AbortHandle>,
}

impl Shutter {
    /// As the owner left it, and as the configuration says.
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let key = Key::of(&config.privacy)?;
        let privacy = Privacy::in_folder(folder(config));
        privacy.hold(Holder::Configuration, config.privacy.always);
        privacy.hold(Holder::Cover, key.as_ref().is_some_and(Key::is_closed));
        Ok(Self {
            changes: privacy.subscribe(),
            key,
            privacy,
            listening: None,
        })
    }

    /// For connections.
    pub(super) fn privacy(&self) -> Privacy {
        self.privacy.clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.privacy.is_on()
    }

    pub(super) async fn changed(&mut self) -> bool {
        match self.changes.changed().await {
            Ok(()) => *self.changes.borrow_and_update(),
            // The switch is kept here: it does not go.
            Err(_) => std::future::pending().await,
        }
    }

    /// Looks whether a command beside the device has switched it.
    pub(super) fn look(&self) {
        self.privacy.look();
    }

    /// Listens to the key from now on, in place of another one.
    pub(super) fn listen(&mut self) {
        self.deafen();
        if let Some(key) = self.key.clone() {
            let task = tokio::spawn(key.watch(self.privacy.clone()));
            self.listening = Some(task.abort_handle());
        }
    }

    /// Another configuration.
    pub(super) fn take(&mut self, config: &Config, key: Option<Key>) {
        self.privacy.move_to(folder(config));
        self.privacy
            .hold(Holder::Configuration, config.privacy.always);
        if key == self.key {
            return;
        }
        self.deafen();
        // A switch that is no longer asked keeps nothing closed.
        self.privacy
            .hold(Holder::Cover, key.as_ref().is_some_and(Key::is_closed));
        self.key = key;
        self.listen();
    }

    fn deafen(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

/// Where it is kept what the owner wants, and what was recorded.
pub(super) fn folder(config: &Config) -> Option<PathBuf> {
    config.access.folder.clone().or_else(state::folder)
}

impl Drop for Shutter {
    fn drop(&mut self) {
        self.deafen();
    }
}

impl Running {
    /// Closes camera and microphone, or lets them be opened again.
    pub(super) fn set_private(&self, private: bool) {
        match private {
            true => info!("privacy is on: camera and microphone stay closed"),
            false => info!("privacy is off"),
        }
        self.hub.set_private(private);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_switch_holds_from_the_start_and_over_another_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.access.folder = Some(folder.path().to_owned());
        // It cannot be read, so it counts as closed.
        config.privacy.device = Some("/dev/input/by-path/none".into());
        config.privacy.key = Some("SW_CAMERA_LENS_COVER".to_owned());
        let mut shutter = Shutter::new(&config).expect("a known switch");
        assert!(shutter.is_closed());
        shutter.listen();
        let changes = shutter.privacy().subscribe();
        config.privacy.always = true;
        shutter.take(&config, Key::of(&config.privacy).expect("known"));
        config.privacy.always = false;
        shutter.take(&config, Key::of(&config.privacy).expect("known"));
        assert!(shutter.is_closed());
        assert!(!changes.has_changed().expect("it is there"), "it opened");
        // A key in its place keeps nothing closed.
        config.privacy.key = Some("KEY_CAMERA".to_owned());
        shutter.take(&config, Key::of(&config.privacy).expect("known"));
        assert!(!shutter.is_closed());
        // The file is looked for where the new configuration says.
        let other = folder.path().join("other");
        Privacy::in_folder(Some(other.clone()))
            .set(true, crate::privacy::By::Owner)
            .expect("written");
        config.access.folder = Some(other);
        shutter.take(&config, Key::of(&config.privacy).expect("known"));
        assert!(shutter.is_closed());
    }
}
