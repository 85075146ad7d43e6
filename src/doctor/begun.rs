//! How the last real calls began, as the device wrote it down.

use std::path::PathBuf;

use super::finding::{Check, Finding};
use crate::config::Config;
use crate::daemon::begun;
use crate::peer::stages::Report;
use crate::state;

/// `service` is the service's state folder, where the configuration is one's.
pub(super) fn check(config: &Config, service: Option<PathBuf>) -> Option<Finding> {
    let own = config.access.folder.clone();
    let folder = own.or(service).or_else(state::folder)?;
    begun::read(&folder).and_then(|report| judge(&report))
}

fn judge(report: &Report) -> Option<Finding> {
    let calls = match report.calls {
        0 => return None,
        1 => "the last call".to_owned(),
        n => format!("the last {n} calls"),
    };
    Some(Finding::ok(
        Check::Begun,
        format!("{calls}, in ms, half and 95 % of them: {report}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"{"calls":2,"stages":[{"stage":"answer","p50_ms":2.6,"p95_ms":3.0}],
        "whole":{"p50_ms":26.3,"p95_ms":41.0}}"#;

    #[test]
    fn what_the_device_wrote_is_said_and_what_it_did_not_is_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.access.folder = Some(folder.path().to_owned());
        assert_eq!(check(&config, None), None);
        let file = folder.path().join("begun.json");
        std::fs::write(&file, WRITTEN).expect("written");
        let finding = check(&config, None).expect("there were calls");
        assert_eq!(
            finding.what,
            "the last 2 calls, in ms, half and 95 % of them: offer → picture 26.3/41.0: \
             answer 2.6/3.0"
        );
        for other in [
            "",
            "[]",
            r#"{"calls":0,"stages":[],"whole":{"p50_ms":0,"p95_ms":0}}"#,
        ] {
            std::fs::write(&file, other).expect("written");
            assert_eq!(check(&config, None), None, "{other}");
        }
    }
}
