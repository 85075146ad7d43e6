//! Which encoder works here, as the [probe](crate::media::probe) has it.

use std::time::Duration;

use super::{Check, Finding, remedies};
use crate::config::VideoConfig;
use crate::media::MediaError;
use crate::media::probe::{Encoders, Found, Report, child};
use crate::sdp::VideoCodec;

const CHECK: Check = Check::Encoder;
/// The best one is found within its child's limit, or the next is tried too.
pub(super) const LIMIT: Duration = child::LIMIT.saturating_add(Duration::from_secs(3));

pub(super) fn check(video: &VideoConfig, encoders: Result<&Encoders, &MediaError>) -> Vec<Finding> {
    let best = match encoders {
        Ok(encoders) => encoders.best(VideoCodec::H264),
        Err(error) => Err(error.clone()),
    };
    match best {
        Ok(Found { encoder, report }) => judge(video, &encoder.id, encoder.hardware, &report),
        Err(error) => vec![Finding::error(
            CHECK,
            error.to_string(),
            remedies::of(&error),
        )],
    }
}

fn judge(video: &VideoConfig, id: &str, hardware: bool, report: &Report) -> Vec<Finding> {
    let made_of = if hardware { "hardware" } else { "software" };
    let profile = report.measured.profile.as_deref().unwrap_or("unknown");
    let mut findings = vec![Finding::ok(
        CHECK,
        format!(
            "{id} ({made_of}) encodes {}×{} at {} frames/s, profile {profile}",
            video.width, video.height, video.fps
        ),
    )];
    let another = "the picture is good otherwise; another row in video.encoder may do better";
    findings.extend(
        report
            .warnings
            .iter()
            .map(|warning| Finding::hint(CHECK, format!("{id}: {warning}"), another)),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn the_encoder_is_named_with_what_it_makes_and_what_is_odd_about_it() {
        let mut report = Report::unusable("");
        report.unusable = None;
        report.measured.profile = Some("42c01f".into());
        let judged = |report: &Report| judge(&VideoConfig::default(), "x264", false, report);
        let good = judged(&report);
        assert_eq!(good.len(), 1);
        assert_eq!(
            good[0].what,
            "x264 (software) encodes 1280×720 at 30 frames/s, profile 42c01f"
        );
        report.warnings = vec!["ignores a new bitrate".into()];
        let odd = judged(&report);
        assert_eq!(odd[1].severity, Severity::Hint);
        assert!(odd[1].what.contains("ignores a new bitrate"));
    }

    #[test]
    fn no_encoder_is_an_error_with_a_remedy() {
        let error = MediaError::UnknownEncoder {
            wanted: "magic".into(),
            known: "x264".into(),
        };
        let finding = &check(&VideoConfig::default(), Err(&error))[0];
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.what.contains("magic"));
        assert!(
            finding
                .remedy
                .as_deref()
                .is_some_and(|r| r.contains("auto"))
        );
    }
}
