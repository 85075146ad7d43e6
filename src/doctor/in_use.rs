//! Who else has the devices open.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Check, Finding};
use super::permissions;
use crate::config::Config;

const CHECK: Check = Check::InUse;

/// A process with one of the nodes open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    node: String,
    pid: u32,
    command: String,
}

/// What `/proc` shows.
#[derive(Debug, Default)]
struct Seen {
    holders: BTreeSet<Holder>,
    /// Processes of other users, which do not show what they have open.
    hidden: usize,
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let nodes: Vec<_> = permissions::nodes(config)
        .into_iter()
        .filter_map(|node| {
            // Names such as by-id's are links; processes show what is opened.
            let device = std::fs::metadata(&node.path).ok()?.rdev();
            Some((device, node.path.display().to_string()))
        })
        .collect();
    judge(&look(Path::new("/proc"), &nodes), nodes.len())
}

/// Looks through every process but this one for the devices of these numbers.
fn look(proc: &Path, nodes: &[(u64, String)]) -> Seen {
    let mut seen = Seen::default();
    let own = std::process::id();
    for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if pid == own {
            continue;
        }
        let files = match std::fs::read_dir(entry.path().join("fd")) {
            Ok(files) => files,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                seen.hidden += 1;
                continue;
            }
            // It has ended.
            Err(_) => continue,
        };
        for file in files.flatten() {
            let path = file.path();
            let is_device = std::fs::read_link(&path).is_ok_and(|to| to.starts_with("/dev"));
            if !is_device {
                continue;
            }
            let Ok(device) = std::fs::metadata(&path).map(|m| m.rdev()) else {
                continue;
            };
            for (_, node) in nodes.iter().filter(|(number, _)| *number == device) {
                let command = std::fs::read_to_string(entry.path().join("comm"));
                seen.holders.insert(Holder {
                    node: node.clone(),
                    pid,
                    command: command.unwrap_or_default().trim().to_owned(),
                });
            }
        }
    }
    seen
}

fn judge(seen: &Seen, nodes: usize) -> Vec<Finding> {
    if nodes == 0 {
        return vec![Finding::ok(CHECK, "there is no device to be in use")];
    }
    if seen.holders.is_empty() {
        let hidden = match seen.hidden {
            0 => String::new(),
            n => format!(
                "; {n} processes of other users do not show what they have open (root sees them)"
            ),
        };
        let what = format!("no other program has a device open{hidden}");
        return vec![Finding::ok(CHECK, what)];
    }
    seen.holders
        .iter()
        .map(|Holder { node, pid, command }| {
            let what = format!("{node} is open in {command} (process {pid})");
            let remedy = if command.starts_with("camera-agent") {
                "the service itself is in a call; stop it while the doctor tries the device"
                    .to_owned()
            } else {
                format!(
                    "if the device fails below, end {command} or keep it from this device; having \
                     it open does no harm, streaming from it does"
                )
            };
            Finding::hint(CHECK, what, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;
    use std::process::{Command, Stdio};

    fn seen(commands: &[&str], hidden: usize) -> Seen {
        let holders = commands.iter().enumerate().map(|(i, command)| Holder {
            node: "/dev/video0".into(),
            pid: i as u32 + 10,
            command: (*command).to_owned(),
        });
        Seen {
            holders: holders.collect(),
            hidden,
        }
    }

    #[test]
    fn holders_are_named_and_the_service_is_told_apart() {
        let findings = judge(&seen(&["cheese", "camera-agent"], 0), 1);
        assert_eq!(
            findings[0].what,
            "/dev/video0 is open in cheese (process 10)"
        );
        assert_eq!(findings[0].severity, Severity::Hint);
        let service = findings[1].remedy.as_deref().expect("a remedy");
        assert!(service.contains("service"), "{service}");
    }

    #[test]
    fn processes_that_do_not_show_themselves_are_counted() {
        let findings = judge(&seen(&[], 12), 3);
        assert_eq!(findings[0].severity, Severity::Ok);
        assert!(findings[0].what.contains("12 processes"), "{findings:?}");
        assert!(!judge(&seen(&[], 0), 3)[0].what.contains("processes"));
    }

    /// A real process with a real device open.
    #[test]
    fn a_process_that_has_the_node_open_is_found() {
        let number = std::fs::metadata("/dev/zero").expect("it is there").rdev();
        let mut child = Command::new("sleep")
            .arg("30")
            .stdin(std::fs::File::open("/dev/zero").expect("readable"))
            .stdout(Stdio::null())
            .spawn()
            .expect("sleep is there");
        let seen = look(Path::new("/proc"), &[(number, "/dev/zero".into())]);
        let found = seen.holders.iter().any(|holder| holder.pid == child.id());
        let _ = child.kill();
        let _ = child.wait();
        assert!(found, "{seen:?}");
    }
}
