//! Which data channels of a call are served.

use std::sync::{Arc, Mutex};

use tracing::debug;
use webrtc::data_channel::DataChannel;

use crate::lock::lock;
use crate::peer::{files, messages};

/// What is served, each over a channel of this label.
const SERVED: [&str; 2] = [messages::LABEL, files::messages::LABEL];

/// The channels of one call that are served: one of each kind at a time, so that what
/// may be asked for over one is not asked for over several.
#[derive(Debug, Clone, Default)]
pub(super) struct Doors {
    served: Arc<Mutex<Vec<&'static str>>>,
    /// How many channels were opened, of whatever kind.
    pub(super) opened: usize,
}

/// A channel that is served, for as long as this lives.
pub(super) struct Entered {
    /// Its kind.
    pub(super) label: &'static str,
    doors: Doors,
}

impl Doors {
    /// Lets a channel in that is served here and the only one of its kind; any other
    /// is closed.
    pub(super) async fn enter(&self, channel: &Arc<dyn DataChannel>) -> Option<Entered> {
        let label = channel.label().await.ok()?;
        let entered = self.enters(&label);
        if entered.is_none() {
            debug!(label, "a data channel that nobody serves here, or one more");
            let _ = channel.close().await;
            // Read to its end: what is not read would be kept.
            while channel.poll().await.is_some() {}
        }
        entered
    }

    fn enters(&self, label: &str) -> Option<Entered> {
        let label = *SERVED.iter().find(|served| **served == label)?;
        let mut open = lock(&self.served);
        if open.contains(&label) {
            return None;
        }
        open.push(label);
        Some(Entered {
            label,
            doors: self.clone(),
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.doors.served).retain(|open| *open != self.label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_kind_one_is_open_at_a_time() {
        let doors = Doors::default();
        let words = doors.enters("camera-agent");
        assert!(words.is_some());
        assert!(doors.enters("camera-agent").is_none());
        assert!(doors.enters("camera-agent-files").is_some());
        assert!(doors.enters("anything").is_none());
        drop(words);
        assert!(doors.enters("camera-agent").is_some());
    }
}
