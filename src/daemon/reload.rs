//! Taking over another configuration while the device runs.
//!
//! Everything that can be wrong with it is found before anything changes: the
//! encoder is tried, certificates and secrets are read. Then each part takes
//! what concerns it, and calls that it does not concern go on.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;
use tracing::{info, warn};

use super::changes::Changes;
use super::{Media, Running, StartError, access};
use crate::config::{AudioSource, Config, ConfigError};
use crate::device::led::Led;
use crate::media::error::MediaError;
use crate::media::gst;
use crate::peer::{Peers, TalkBack};
use crate::privacy::{Key, Privacy};
use crate::servers::Servers;
use crate::signaling::Server;

/// A configuration that was found good, and what was made for it.
pub(super) struct Prepared {
    config: Config,
    changes: Changes,
    server: Server,
    servers: Servers,
    led: Led,
    /// The key on the device that is for privacy.
    key: Option<Key>,
    media: Option<Media>,
}

impl Prepared {
    /// Blocks for as long as it takes to try an encoder.
    fn new(config: Config, old: &Config, led: Led, privacy: &Privacy) -> Result<Self, StartError> {
        config.validate()?;
        let key = Key::of(&config.privacy)?;
        // A new one begins by switching it off, and the camera may be open.
        let led = if config.led == old.led {
            led
        } else {
            Led::new(config.led.path.as_deref()).map_err(MediaError::from)?
        };
        let changes = Changes::between(old, &config);
        let media = if changes.media {
            gst::check_descriptions(&config.video, &config.audio)?;
            // By what is in force and by what will be.
            let is_private = || {
                let closed = key.as_ref().is_some_and(Key::is_closed);
                privacy.is_on() || config.privacy.always || closed
            };
            Some(super::media(&config, &led, &is_private)?)
        } else {
            None
        };
        Ok(Self {
            server: Server::new(&config.server)?,
            servers: Servers::load(&config.ice)?,
            changes,
            led,
            key,
            media,
            config,
        })
    }
}

impl Running {
    /// Begins to take over a configuration as it was read.
    pub(super) fn reload(&mut self, read: Result<Config, ConfigError>) {
        self.service.reloading();
        match read {
            Ok(config) => {
                let (old, led) = (self.config.clone(), self.led.clone());
                let privacy = self.shutter.privacy();
                self.preparing.spawn_blocking(move || {
                    Prepared::new(config, &old, led, &privacy).map(Box::new)
                });
            }
            Err(error) => self.refused(&error),
        }
    }

    /// Takes over what was prepared.
    pub(super) fn reloaded(
        &mut self,
        prepared: Result<Result<Box<Prepared>, StartError>, JoinError>,
    ) {
        let result = match prepared {
            Ok(Ok(prepared)) => self.take(*prepared),
            Ok(Err(error)) => Err(error),
            Err(error) => return self.refused(&error),
        };
        match result {
            Ok(changes) => {
                info!("configuration reloaded: {}", changes.words());
                self.service.reloaded(Instant::now());
            }
            Err(error) => self.refused(&error),
        }
    }

    fn refused(&mut self, error: &dyn std::fmt::Display) {
        warn!(%error, "the new configuration cannot be used; the old one stays in force");
        self.service.reloaded(Instant::now());
    }

    /// The speaker of another configuration. Where it is the same, whoever talks goes
    /// on.
    fn talk_back(&self, config: &Config) -> Option<Arc<TalkBack>> {
        let old = self.peers.talk();
        if let Some(same) = old.filter(|old| old.is_of(&config.speaker)) {
            return Some(same.clone());
        }
        if let Some(old) = old {
            old.close();
        }
        TalkBack::new(&config.speaker, &self.hub, self.shutter.privacy())
    }

    /// For connections to come: those that are there keep what they were made with.
    fn renew_peers(&mut self, config: &Config, servers: Servers) {
        let peers = Peers::new(
            self.hub.clone(),
            self.peers.quality(),
            config.audio.source != AudioSource::None,
            config.video.viewer_controls.clone(),
            servers,
            self.peers.identity().clone(),
            self.tell.clone(),
        );
        let peers = peers
            .on(self.network.clone())
            .giving_keys(self.door.desk())
            .with_privacy(self.shutter.privacy())
            .with_zones(self.drawing.zones())
            .counting(self.peers.begun().clone())
            .with_speaker(self.talk_back(config))
            .with_recordings(self.recorder.recordings());
        self.peers = Arc::new(peers);
    }

    fn take(&mut self, new: Prepared) -> Result<Changes, StartError> {
        let Prepared {
            config,
            mut changes,
            server,
            servers,
            led,
            key,
            media,
        } = new;
        let name = config.name()?;
        // What can fail comes before anything changes.
        if changes.log_level
            && let Some(logging) = &self.logging
        {
            logging.set_level(&config.log)?;
        }
        // Before another source can open anything.
        if changes.privacy || changes.access {
            self.shutter.take(&config, key);
        }
        self.hub.set_private(self.shutter.is_closed());
        self.drawing.take(&config);
        // Files of the same names may hold other secrets, and another authority
        // to trust: what is there now is used from the next connection on.
        changes.peers |= servers.ice() != self.peers.servers().ice();
        self.server = server;
        if changes.peers {
            self.renew_peers(&config, servers);
        }
        if let Some(media) = media {
            // Its tiers, its bitrates and its sound are its own: until it takes
            // over, who calls gets what the present one has.
            let quality = self.peers.quality();
            let back = self.recorder.step_aside();
            let then = move || {
                quality.replace(media.qualities);
                back();
            };
            self.hub.replace_source(media.source, media.profile, then);
        }
        let now = Instant::now();
        if changes.name || changes.viewers {
            self.agent.reconfigure(name, config.viewers.max, now);
        }
        if changes.access {
            let mode = access::mode(&config);
            self.door.take(&config);
            self.door.say(mode);
            self.agent.lets_in(mode, now);
        }
        if changes.hooks {
            self.hooks.replace(config.hooks.clone());
        }
        if changes.server {
            self.away = None;
            self.agent.reconnect(now);
        }
        let folder = super::privacy::folder(&config);
        self.recorder.take(&config, folder);
        self.led = led;
        self.config = config;
        Ok(changes)
    }
}
