//! Where motion is looked for, as it was drawn, and who obeys that.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::media::hub::Hub;
use crate::motion::Zone;
use crate::state;
use crate::zones::{Known, Zones};

/// What was drawn, and whether it is another.
pub(super) struct Drawing {
    zones: Zones,
    changes: watch::Receiver<Arc<Known>>,
}

/// Where they are kept.
fn folder(config: &Config) -> Option<PathBuf> {
    config.access.folder.clone().or_else(state::folder)
}

impl Drawing {
    pub(super) fn new(config: &Config) -> Self {
        let zones = Zones::in_folder(folder(config).as_deref(), &config.motion);
        Self {
            changes: zones.subscribe(),
            zones,
        }
    }

    /// For connections.
    pub(super) fn zones(&self) -> Zones {
        self.zones.clone()
    }

    /// Another configuration.
    pub(super) fn take(&self, config: &Config) {
        self.zones
            .configure(folder(config).as_deref(), &config.motion);
    }

    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // They are kept here: they do not go.
            std::future::pending().await
        }
    }

    /// Has the hub look where it is to: also where the configuration says it anew while
    /// somebody watches, and the picture stays as it is.
    pub(super) fn obey(&self, hub: &Hub) {
        let known = self.changes.borrow().clone();
        hub.moves()
            .draw(Some(Zone::all(&known.zones, known.sensitivity)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::replay::Replay;

    #[test]
    fn another_configuration_holds_though_the_picture_goes_on() {
        let clip = include_bytes!("../../tests/fixtures/clip.h264");
        let (hub, thread) = Hub::start(Box::new(Replay::new(clip, 30)), None);
        let place = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.access.folder = Some(place.path().to_owned());
        let drawing = Drawing::new(&config);
        config.motion.sensitivity += 1;
        drawing.take(&config);
        drawing.obey(&hub);
        let wanted = Zone::all(&[], config.motion.sensitivity);
        assert_eq!(hub.moves().drawn().as_deref(), Some(&wanted[..]));
        thread.stop();
    }
}
