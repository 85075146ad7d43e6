//! Whether what a row needs is there.

use std::path::{Path, PathBuf};

/// The first of `nodes` that is there: a path, with `*` in its last part for
/// any text, or `v4l2:NAME` for a video node whose name in sysfs begins so.
/// `root` stands before all, `/` outside of tests.
pub(super) fn first(nodes: &[impl AsRef<str>], root: &Path) -> Option<PathBuf> {
    nodes.iter().find_map(|node| {
        let node = node.as_ref();
        match node.strip_prefix("v4l2:") {
            Some(name) => video_node(name, root),
            None => path(node, root),
        }
    })
}

fn path(pattern: &str, root: &Path) -> Option<PathBuf> {
    let pattern = root.join(pattern.trim_start_matches('/'));
    let name = pattern.file_name()?.to_str()?;
    let Some((before, after)) = name.split_once('*') else {
        return pattern.exists().then_some(pattern);
    };
    entries(pattern.parent()?).into_iter().find(|entry| {
        entry
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_prefix(before))
            .is_some_and(|n| n.ends_with(after))
    })
}

fn video_node(wanted: &str, root: &Path) -> Option<PathBuf> {
    entries(&root.join("sys/class/video4linux"))
        .into_iter()
        .find(|entry| {
            std::fs::read_to_string(entry.join("name"))
                .is_ok_and(|name| name.trim().starts_with(wanted))
        })
        .and_then(|entry| Some(root.join("dev").join(entry.file_name()?)))
}

/// In a steady order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nodes_are_found_by_path_by_pattern_and_by_driver() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let found = |node: &str| first(&["/dev/no-such", node], root);
        fs::create_dir_all(root.join("dev/dri")).expect("made");
        fs::create_dir_all(root.join("sys/class/video4linux/video11")).expect("made");
        fs::create_dir_all(root.join("sys/class/video4linux/video0")).expect("made");
        fs::write(root.join("dev/mpp_service"), "").expect("written");
        fs::write(root.join("dev/dri/renderD129"), "").expect("written");
        fs::write(root.join("dev/dri/renderD128"), "").expect("written");
        let name = "sys/class/video4linux/video11/name";
        fs::write(root.join(name), "bcm2835-codec-encode\n").expect("written");
        let name = "sys/class/video4linux/video0/name";
        fs::write(root.join(name), "HD Webcam\n").expect("written");

        assert_eq!(
            found("/dev/mpp_service"),
            Some(root.join("dev/mpp_service"))
        );
        assert_eq!(
            found("/dev/dri/renderD*"),
            Some(root.join("dev/dri/renderD128"))
        );
        assert_eq!(found("/dev/dri/card*"), None);
        assert_eq!(found("/dev/none/x*"), None);
        let encoder = found("v4l2:bcm2835-codec-encode");
        assert_eq!(encoder, Some(root.join("dev/video11")));
        assert_eq!(found("v4l2:wave5-enc"), None);
        assert_eq!(first(&[] as &[&str], root), None);
    }
}
