//! Whether this user may open the devices, and which group is missing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::finding::{Check, Finding, Severity};
use crate::config::{AudioSource, Config, VideoSource};
use crate::media::encoder::Encoder;

const CHECK: Check = Check::Permissions;

/// A device node that a call may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub path: PathBuf,
    /// What becomes of a call without it.
    pub without: Severity,
    /// For people.
    pub purpose: &'static str,
}

/// The nodes that `config` needs, as far as they are there.
pub(super) fn nodes(config: &Config) -> Vec<Node> {
    let node = |path, without, purpose| Node {
        path,
        without,
        purpose,
    };
    let mut nodes = Vec::new();
    if config.video.source == VideoSource::V4l2 {
        let cameras = match config.video.device.as_str() {
            "auto" => listed("/dev", "video", ""),
            device => vec![PathBuf::from(device)],
        };
        let cameras = cameras.into_iter().filter(|path| path.exists());
        nodes.extend(cameras.map(|path| node(path, Severity::Error, "the camera")));
    }
    if config.audio.source == AudioSource::Alsa {
        let pcms = listed("/dev/snd", "pcm", "c").into_iter();
        nodes.extend(pcms.map(|path| node(path, Severity::Warning, "the microphone")));
    }
    // Those that the encoder table names by path; V4L2 codecs, which it names
    // otherwise, are among the video nodes.
    let rows = Encoder::all(&config.encoders);
    let patterns = rows.iter().flat_map(|row| &row.nodes);
    let mut encoders: Vec<_> = patterns
        .filter(|pattern| !pattern.starts_with("/dev/video"))
        .filter_map(|pattern| pattern.rsplit_once('/'))
        .filter(|(folder, _)| folder.starts_with("/dev"))
        .flat_map(|(folder, name)| match name.strip_suffix('*') {
            Some(begins) => listed(folder, begins, ""),
            None => vec![Path::new(folder).join(name)],
        })
        .filter(|path| path.exists())
        .collect();
    encoders.sort();
    encoders.dedup();
    let encoders = encoders.into_iter();
    nodes.extend(encoders.map(|path| node(path, Severity::Hint, "the hardware encoder")));
    nodes
}

/// The files of a folder whose names begin and end so.
fn listed(folder: &str, begins: &str, ends: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(begins) && name.ends_with(ends)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// A node and whether it can be opened.
#[derive(Debug)]
struct Tried {
    node: Node,
    openable: bool,
    /// The group that owns it, where it has a name.
    group: Option<String>,
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let tried: Vec<_> = nodes(config)
        .into_iter()
        .map(|node| Tried {
            openable: rustix::fs::access(&node.path, Access::READ_OK | Access::WRITE_OK).is_ok(),
            group: owner(&node.path, &groups),
            node,
        })
        .collect();
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = name_of(uid, &passwd).unwrap_or_else(|| uid.to_string());
    judge(&user, &tried)
}

fn owner(path: &Path, groups: &str) -> Option<String> {
    let gid = std::fs::metadata(path).ok()?.gid();
    name_of(gid, groups)
}

/// The name of a number in `/etc/passwd` or `/etc/group`, where both have it in
/// the third field (passwd(5), group(5)).
fn name_of(number: u32, file: &str) -> Option<String> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    })
}

fn judge(user: &str, tried: &[Tried]) -> Vec<Finding> {
    let closed: Vec<_> = tried.iter().filter(|t| !t.openable).collect();
    if closed.is_empty() {
        let count = tried.len();
        return vec![Finding::ok(
            CHECK,
            match count {
                0 => "there is no device node that this configuration needs".to_owned(),
                _ => format!("user {user} may open the {count} device nodes there are"),
            },
        )];
    }
    closed
        .into_iter()
        .map(|Tried { node, group, .. }| {
            let what = format!(
                "user {user} may not open {}: {}",
                node.path.display(),
                node.purpose
            );
            let remedy = match group.as_deref() {
                Some(group) if group != "root" => format!(
                    "sudo usermod -aG {group} {user}, then log in again (for the service: \
                     SupplementaryGroups={group})"
                ),
                _ => format!(
                    "it belongs to no group that {user} could join; a udev rule must give it one: \
                     GROUP=\"video\", MODE=\"0660\""
                ),
            };
            Finding::with(CHECK, node.without, what, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(openable: bool, group: Option<&str>, without: Severity) -> Tried {
        Tried {
            node: Node {
                path: "/dev/video0".into(),
                without,
                purpose: "the camera",
            },
            openable,
            group: group.map(str::to_owned),
        }
    }

    #[test]
    fn a_closed_node_names_user_node_and_group() {
        let closed = [tried(false, Some("video"), Severity::Error)];
        let finding = &judge("camera", &closed)[0];
        assert_eq!(finding.severity, Severity::Error);
        assert!(
            finding
                .what
                .contains("user camera may not open /dev/video0")
        );
        let remedy = finding.remedy.as_deref().expect("a remedy");
        assert!(remedy.contains("usermod -aG video camera"), "{remedy}");
    }

    #[test]
    fn nobody_is_told_to_join_root() {
        for group in [Some("root"), None] {
            let finding = &judge("camera", &[tried(false, group, Severity::Hint)])[0];
            let remedy = finding.remedy.as_deref().expect("a remedy");
            assert!(remedy.contains("udev"), "{remedy}");
        }
    }

    #[test]
    fn open_nodes_are_one_line() {
        let open = [
            tried(true, None, Severity::Error),
            tried(true, None, Severity::Error),
        ];
        let findings = judge("camera", &open);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Ok);
        assert_eq!(judge("camera", &[])[0].severity, Severity::Ok);
    }

    #[test]
    fn numbers_have_names() {
        let file = "root:x:0:\nvideo:x:44:camera,other\nbroken\nrender:x:106:\n";
        assert_eq!(name_of(44, file).as_deref(), Some("video"));
        assert_eq!(name_of(106, file).as_deref(), Some("render"));
        assert_eq!(name_of(4, file), None);
    }
}
