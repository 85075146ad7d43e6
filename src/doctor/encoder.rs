//! Which encoder works here, as the [probe](crate::media::probe) has it.

use std::time::Duration;

use super::finding::{Check, Finding};
use super::remedies;
use crate::config::VideoConfig;
use crate::media::error::MediaError;
use crate::media::probe::{Checked, Encoders, Found, Report, child};
use crate::sdp::VideoCodec;

const CHECK: Check = Check::Encoder;
/// All that are here are tried, each within its child's limit: no board has more
/// than one of its own beside the three of software.
pub(super) const LIMIT: Duration = child::LIMIT.saturating_mul(4);

pub(super) fn check(video: &VideoConfig, encoders: Result<&Encoders, &MediaError>) -> Vec<Finding> {
    let best = match encoders {
        Ok(encoders) => encoders.best(VideoCodec::H264),
        Err(error) => Err(error.clone()),
    };
    let mut findings = match best {
        Ok(Found { encoder, report }) => judge(video, &encoder.id, encoder.hardware, &report),
        Err(error) => vec![Finding::error(
            CHECK,
            error.to_string(),
            remedies::of(&error),
        )],
    };
    if let Ok(encoders) = encoders {
        findings.extend(encoders.report().iter().filter_map(unusable));
    }
    findings
}

/// One that is on this machine and cannot be used. Hardware that does not work
/// costs the CPU time that it is there to save; the other rows only stand by.
fn unusable(checked: &Checked) -> Option<Finding> {
    let Checked {
        row,
        report,
        present,
    } = checked;
    let why = report.unusable.as_deref().filter(|_| *present)?;
    let what = format!("{} is on this machine and is not used: {why}", row.id);
    Some(if row.hardware {
        let remedy = format!(
            "update what ships {} ({}), or see what its driver says: `sudo dmesg | tail`; the next \
             row that works takes its place, with more CPU time",
            row.factory, row.package
        );
        Finding::warning(CHECK, what, remedy)
    } else {
        let remedy = format!("{}, if it is wanted", remedies::install(&row.package));
        Finding::hint(CHECK, what, remedy)
    })
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
    use crate::media::encoder::Encoder;

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
    fn what_is_here_and_cannot_be_used_is_told_in_the_probe_s_words() {
        let of = |hardware, present, report: Report| {
            let mut row = Encoder::clone(&Encoder::row("x264").expect("a row"));
            row.hardware = hardware;
            unusable(&Checked {
                row: row.into(),
                report: report.into(),
                present,
            })
        };
        let broken = || Report::unusable("it made no key frame");
        let board = of(true, true, broken()).expect("a finding");
        assert_eq!(board.severity, Severity::Warning);
        assert!(board.what.contains("x264") && board.what.contains("no key frame"));
        let remedy = board.remedy.unwrap_or_default();
        assert!(remedy.contains("gstreamer1.0-plugins-ugly"), "{remedy}");
        let software = of(false, true, broken()).expect("a finding");
        assert_eq!(software.severity, Severity::Hint);
        assert_eq!(of(true, false, broken()), None, "another board's");
        let mut fine = broken();
        fine.unusable = None;
        assert_eq!(of(true, true, fine), None);
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
