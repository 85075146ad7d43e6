//! The owner's privacy, as the running device obeys it.

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
        let folder = config.access.folder.clone().or_else(state::folder);
        let privacy = Privacy::in_folder(folder);
        privacy.hold(Holder::Configuration, config.privacy.always);
        Ok(Self {
            changes: privacy.subscribe(),
            key: Key::of(&config.privacy)?,
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
        self.privacy
            .hold(Holder::Configuration, config.privacy.always);
        self.key = key;
        // A switch that is no longer asked keeps nothing closed.
        self.privacy.hold(Holder::Cover, false);
        self.listen();
    }

    fn deafen(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
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
