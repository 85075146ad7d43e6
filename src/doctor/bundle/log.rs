//! Shell: what the service has logged of late, as far as this user may read it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Lines of a log that are taken.
const LINES: usize = 300;
/// Bytes of the journal that are read for them.
const MOST: u64 = 2 * 1024 * 1024;
/// A journal that takes longer is left.
const LIMIT: Duration = Duration::from_secs(5);

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Seconds before it was read.
    pub ago: f64,
    /// syslog(3)'s number.
    pub priority: u8,
    pub text: String,
}

/// What was read of a service's log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Log {
    /// systemd's name of the service.
    pub unit: String,
    /// The lines, the oldest first; or why there are none.
    pub lines: Result<Vec<Line>, String>,
}

/// The service that runs with this configuration, or the first there is.
pub(super) fn unit(config: Option<&Path>) -> String {
    let service = config.filter(|path| crate::state::of_service(path).is_some());
    match service.and_then(Path::file_stem).and_then(OsStr::to_str) {
        None | Some("camera-agent") => "camera-agent.service".to_owned(),
        Some(name) => format!("camera-agent@{name}.service"),
    }
}

/// Asks the journal. Blocks for no longer than [`LIMIT`].
pub(super) fn read(unit: String) -> Log {
    let lines = ask(&unit).and_then(|lines| match lines.is_empty() {
        true => Err(
            "no line of it can be read: it has not run since the machine started, or this \
                     user may not read it; run this with sudo, or as a member of the group \
                     systemd-journal"
                .to_owned(),
        ),
        false => Ok(lines),
    });
    Log { unit, lines }
}

fn ask(unit: &str) -> Result<Vec<Line>, String> {
    let mut child = Command::new("journalctl")
        .args([
            "--unit",
            unit,
            "--boot",
            "--output=json",
            "--no-pager",
            "--quiet",
        ])
        .arg(format!("--lines={LINES}"))
        .arg("--output-fields=MESSAGE,PRIORITY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("journalctl cannot be run: {error}"))?;
    let Some(output) = child.stdout.take() else {
        return Err("journalctl has no output".to_owned());
    };
    let (tell, told) = mpsc::sync_channel(1);
    let now = SystemTime::now();
    thread::spawn(move || {
        let lines = BufReader::new(output.take(MOST))
            .lines()
            .map_while(Result::ok);
        let lines: Vec<_> = lines.filter_map(|line| entry(&line, now)).collect();
        let _ = tell.send(lines);
    });
    let read = told.recv_timeout(LIMIT);
    // It may have more to say.
    let _ = child.kill();
    let _ = child.wait();
    read.map_err(|_| format!("journalctl took longer than {} s", LIMIT.as_secs()))
}

/// An entry of the journal in JSON (systemd.journal-fields(7)).
fn entry(line: &str, now: SystemTime) -> Option<Line> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let number = |key: &str| entry[key].as_str()?.parse::<u64>().ok();
    let text = match &entry["MESSAGE"] {
        Value::String(text) => text.clone(),
        // Of what is not UTF-8, the bytes.
        Value::Array(bytes) => {
            let bytes = bytes.iter().filter_map(|b| u8::try_from(b.as_u64()?).ok());
            String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
        }
        _ => return None,
    };
    let at = Duration::from_micros(number("__REALTIME_TIMESTAMP")?);
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH + at)
        .unwrap_or_default();
    Some(Line {
        ago: (since.as_secs_f64() * 10.0).round() / 10.0,
        priority: number("PRIORITY")
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(6),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_configuration_has_its_service() {
        for (config, name) in [
            (None, "camera-agent.service"),
            (Some("/tmp/x.toml"), "camera-agent.service"),
            (
                Some("/etc/camera-agent/camera-agent.toml"),
                "camera-agent.service",
            ),
            (
                Some("/etc/camera-agent/garden.toml"),
                "camera-agent@garden.service",
            ),
        ] {
            assert_eq!(unit(config.map(Path::new)), name);
        }
    }

    #[test]
    fn an_entry_is_text_or_bytes_and_what_is_none_is_passed_over() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let read = |line: &str| entry(line, now);
        let line = read(r#"{"MESSAGE":"call","PRIORITY":"4","__REALTIME_TIMESTAMP":"8500000"}"#);
        let line = line.expect("an entry");
        assert_eq!(
            (line.ago, line.priority, line.text.as_str()),
            (1.5, 4, "call")
        );
        let bytes = r#"{"MESSAGE":[99,255],"__REALTIME_TIMESTAMP":"99000000"}"#;
        let line = read(bytes).expect("an entry");
        assert_eq!(
            (line.ago, line.priority, line.text.as_str()),
            (0.0, 6, "c\u{fffd}")
        );
        for none in [
            "",
            "{}",
            "[1]",
            r#"{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1"}"#,
        ] {
            assert_eq!(read(none), None);
        }
    }
}
