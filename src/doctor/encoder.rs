//! Which encoder works here.

use std::time::Duration;

use super::{Check, Finding, remedies};
use crate::config::{Config, VideoConfig};
use crate::media::{MediaError, gst};

const CHECK: Check = Check::Encoder;
pub(super) const LIMIT: Duration = Duration::from_secs(6);

/// The encoder that a call would get.
#[derive(Debug)]
struct Found {
    id: &'static str,
    hardware: bool,
    profile: Option<String>,
}

fn probe(config: &VideoConfig) -> Result<Found, MediaError> {
    let check = gst::check_encoder(config)?;
    Ok(Found {
        id: check.encoder.id,
        hardware: check.encoder.hardware,
        profile: check.profile.map(|p| p.to_string()),
    })
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![judge(&config.video, probe(&config.video))]
}

fn judge(config: &VideoConfig, found: Result<Found, MediaError>) -> Finding {
    let found = match found {
        Ok(found) => found,
        Err(error) => return Finding::error(CHECK, error.to_string(), remedies::of(&error)),
    };
    let id = found.id;
    let made_of = if found.hardware {
        "hardware"
    } else {
        "software"
    };
    match found.profile {
        Some(profile) => Finding::ok(
            CHECK,
            format!(
                "{id} ({made_of}) encodes {}×{} at {} frames/s, profile {profile}",
                config.width, config.height, config.fps
            ),
        ),
        None => Finding::warning(
            CHECK,
            format!("{id} ({made_of}) puts no headers (SPS) into its stream"),
            "set video.encoder to another row: a viewer who joins later sees nothing",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn the_encoder_is_named_with_what_it_makes() {
        let found = |profile: Option<&str>| {
            judge(
                &VideoConfig::default(),
                Ok(Found {
                    id: "x264",
                    hardware: false,
                    profile: profile.map(str::to_owned),
                }),
            )
        };
        let good = found(Some("42c01f"));
        assert_eq!(good.severity, Severity::Ok);
        assert_eq!(
            good.what,
            "x264 (software) encodes 1280×720 at 30 frames/s, profile 42c01f"
        );
        assert_eq!(found(None).severity, Severity::Warning);
    }

    #[test]
    fn no_encoder_is_an_error_with_a_remedy() {
        let finding = judge(
            &VideoConfig::default(),
            Err(MediaError::UnknownEncoder {
                wanted: "magic".into(),
                known: "x264".into(),
            }),
        );
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.what.contains("magic"));
        assert!(finding.remedy.is_some_and(|r| r.contains("auto")));
    }
}
