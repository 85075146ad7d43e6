//! Motion, as the running device tells of it: in the log, and to hooks.

use std::time::SystemTime;

use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use super::Running;
use crate::config::HookEvent;
use crate::guestbook::time::rfc3339;
use crate::hooks::Happened;
use crate::media::moved::Moved;
use crate::motion::trigger::End;

impl Running {
    /// Something moved, or has stopped to.
    pub(super) fn moved(&mut self, told: Result<Moved, RecvError>) {
        match told {
            Ok(moved) => {
                log(&moved);
                self.hooks.run(&happened(&moved, &self.config.server.name));
            }
            Err(RecvError::Lagged(missed)) => {
                warn!(missed, "there was more motion than can be told")
            }
            // The hub lives as long as this does.
            Err(RecvError::Closed) => {}
        }
    }
}

fn log(moved: &Moved) {
    let zone = &*moved.zone;
    match moved.ended {
        None => info!(zone, "motion"),
        Some((end, lasted)) => {
            let why = match end {
                End::Still => "nothing moves any more",
                End::Maximum => "it has lasted for motion.maximum_s",
                End::Unseen => "there is no picture any more",
            };
            info!(zone, seconds = lasted.as_secs(), why, "motion has ended");
        }
    }
}

/// For a hook's environment.
fn happened(moved: &Moved, name: &str) -> Happened {
    let began = moved.began.duration_since(SystemTime::UNIX_EPOCH);
    let began = rfc3339(began.unwrap_or_default().as_secs());
    let mut environment = vec![
        ("CAMERA_AGENT_NAME", name.to_owned()),
        ("CAMERA_AGENT_ZONE", moved.zone.to_string()),
        ("CAMERA_AGENT_BEGAN", began),
    ];
    if let Some((_, lasted)) = moved.ended {
        environment.push(("CAMERA_AGENT_SECONDS", lasted.as_secs().to_string()));
    }
    let event = match moved.ended {
        None => HookEvent::Motion,
        Some(_) => HookEvent::MotionEnded,
    };
    Happened { event, environment }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_hook_is_told_which_camera_where_and_when() {
        let mut moved = Moved {
            zone: "door".into(),
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            ended: None,
        };
        let begun = happened(&moved, "front");
        assert_eq!(begun.event, HookEvent::Motion);
        let environment = [
            ("CAMERA_AGENT_NAME", "front".to_owned()),
            ("CAMERA_AGENT_ZONE", "door".to_owned()),
            ("CAMERA_AGENT_BEGAN", "2027-01-15T08:00:00Z".to_owned()),
        ];
        assert_eq!(begun.environment, environment);
        moved.ended = Some((End::Still, Duration::from_millis(7_900)));
        let over = happened(&moved, "front");
        assert_eq!(over.event, HookEvent::MotionEnded);
        let seconds = ("CAMERA_AGENT_SECONDS", "7".to_owned());
        assert_eq!(over.environment.last(), Some(&seconds));
    }
}
