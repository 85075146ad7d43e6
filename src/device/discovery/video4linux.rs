//! The nodes under `/dev`, and which of them are cameras.
//!
//! A webcam alone has two nodes, a Raspberry Pi has a dozen that belong to its
//! codecs and its image processor. What a node is decides its own
//! `device_caps`; the few drivers that do not say enough there are listed by
//! name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::class::{Class, classify};
use super::frames::{self, MOST_MODES};
use crate::device::formats::characters;
use crate::device::v4l2::{Capability, Node};
use crate::device::{Camera, CameraKind, Cameras, Mode, OtherNode, Signal, Wish};

/// Where nodes and their descriptions are; another root in tests.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// `/dev`
    pub dev: PathBuf,
    /// `/sys/class/video4linux`
    pub sys: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self {
            dev: "/dev".into(),
            sys: "/sys/class/video4linux".into(),
        }
    }
}

/// Every `videoN`, by number.
pub(crate) fn list(folders: &Folders, wish: Wish) -> Cameras {
    let links = links(&folders.dev);
    let mut found = Cameras::default();
    for number in numbers(&folders.dev) {
        let name = format!("video{number}");
        let mut paths = links.get(&name).cloned().unwrap_or_default();
        paths.push(folders.dev.join(&name).to_string_lossy().into_owned());
        add(&mut found, paths, &folders.sys.join(&name), wish);
    }
    distrust_shared_names(&mut found.cameras);
    found
}

/// Two cameras that give the same serial number have one name under `by-id`
/// between them, which leads to whichever was set up last: then the one under
/// `by-path`, of the socket, is the stable one.
fn distrust_shared_names(cameras: &mut [Camera]) {
    let has_id = |camera: &Camera| camera.paths().any(|path| path.contains("/by-id/"));
    let without: Vec<_> = cameras
        .iter()
        .filter(|camera| camera.paths().any(|path| path.contains("/by-path/")) && !has_id(camera))
        .map(|camera| (camera.name.clone(), camera.driver.clone()))
        .collect();
    for camera in cameras.iter_mut().filter(|camera| has_id(camera)) {
        let is_twin = |(name, driver): &(String, String)| {
            (name, driver) == (&camera.name, &camera.driver) && !driver.is_empty()
        };
        let by_path = camera.aliases.iter().position(|p| p.contains("/by-path/"));
        if let Some(at) = by_path
            && without.iter().any(is_twin)
            && camera.device.contains("/by-id/")
        {
            let path = camera.aliases.remove(at);
            let id = std::mem::replace(&mut camera.device, path);
            camera.aliases.push(id);
        }
    }
}

/// Adds the node that a person named, which [`list`] did not find under that
/// name. Whatever is wrong with it becomes its trouble.
pub(crate) fn add_named(found: &mut Cameras, device: &str, wish: Wish) {
    let path = Path::new(device);
    // A link of somebody's own udev rule.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let real = real.to_string_lossy().into_owned();
    if let Some(camera) = found.cameras.iter_mut().find(|c| c.is(&real)) {
        camera.aliases.push(device.to_owned());
        return;
    }
    let mut paths = vec![device.to_owned()];
    if real != device {
        paths.push(real.clone());
    }
    let known = found.others.iter().find(|o| o.device == real);
    let trouble = known.map(|o| format!("is no camera but {}: {}", o.what, o.reason));
    if let Some(trouble) = trouble {
        found.cameras.push(unusable(paths, String::new(), trouble));
        return;
    }
    let sys = Folders::default().sys;
    let name = Path::new(&real).file_name().unwrap_or_default().to_owned();
    let mut this = Cameras::default();
    add(&mut this, paths.clone(), &sys.join(name), wish);
    for other in &this.others {
        let trouble = format!("is no camera but {}: {}", other.what, other.reason);
        found
            .cameras
            .push(unusable(paths.clone(), other.name.clone(), trouble));
    }
    found.cameras.append(&mut this.cameras);
}

/// `paths`: the most stable first.
fn add(found: &mut Cameras, paths: Vec<String>, sys: &Path, wish: Wish) {
    let Some(device) = paths.first().cloned() else {
        return;
    };
    let in_sysfs = || {
        let name = std::fs::read(sys.join("name")).unwrap_or_default();
        String::from_utf8_lossy(&name).trim().to_owned()
    };
    let node = match Node::open(Path::new(&device)) {
        Ok(node) => node,
        Err(error) => {
            let trouble = cannot_open(&device, &error);
            found.cameras.push(unusable(paths, in_sysfs(), trouble));
            return;
        }
    };
    let capability = match node.capability() {
        Ok(capability) => capability,
        Err(error) => {
            found.others.push(OtherNode {
                device,
                name: in_sysfs(),
                driver: String::new(),
                what: "no V4L2 device".into(),
                reason: format!("it does not answer VIDIOC_QUERYCAP: {error}"),
            });
            return;
        }
    };
    match classify(&capability) {
        Class::Capture { buffer_type } => {
            found
                .cameras
                .push(camera(&node, capability, buffer_type, paths, sys, wish));
        }
        Class::Other { what, reason } => found.others.push(OtherNode {
            device: paths.last().cloned().unwrap_or(device),
            name: capability.card,
            driver: capability.driver,
            what: what.into(),
            reason: reason.into(),
        }),
    }
}

fn camera(
    node: &Node,
    capability: Capability,
    buffer_type: u32,
    mut paths: Vec<String>,
    sys: &Path,
    wish: Wish,
) -> Camera {
    let signal = node.signal();
    let mut modes = Vec::new();
    for format in node.formats(buffer_type) {
        match signal {
            // What comes in is what goes out.
            Some(Signal::Present {
                width,
                height,
                rate,
            }) => modes.push(Mode {
                fourcc: characters(format),
                width,
                height,
                rate,
                ..Mode::default()
            }),
            Some(_) => {}
            None => modes.extend(frames::modes(
                (node, &capability.driver),
                buffer_type,
                format,
                wish,
            )),
        }
        if modes.len() >= MOST_MODES {
            break;
        }
    }
    let usb_mbit = capability
        .bus
        .starts_with("usb-")
        .then(|| usb_mbit(sys))
        .flatten();
    let controls = node.controls().unwrap_or_default();
    let trouble = signal.and_then(|signal| no_signal(node, &paths[0], signal));
    Camera {
        device: paths.remove(0),
        aliases: paths,
        kind: match signal {
            Some(_) => CameraKind::Hdmi,
            None => CameraKind::V4l2,
        },
        name: capability.card,
        driver: capability.driver,
        bus: capability.bus,
        usb_mbit,
        trouble,
        signal,
        modes,
        controls: controls.into_iter().map(|c| c.control).collect(),
    }
}

/// How every trouble with what a digital input receives begins.
pub(crate) const NO_SIGNAL: &str = "receives ";

/// What is wrong with what a digital input receives, and what to do; `None`
/// where it is a picture.
fn no_signal(node: &Node, device: &str, signal: Signal) -> Option<String> {
    let words = match signal {
        Signal::Present { .. } => return None,
        Signal::Missing if node.lacks_edid() => {
            return Some(format!(
                "receives no signal, for it has no EDID that would ask for one; \
                 \"v4l2-ctl -d {device} --set-edid=type=hdmi\" gives it one until the next boot"
            ));
        }
        Signal::Missing => "receives no signal; is the HDMI cable in, and the other end awake?",
        Signal::Unstable => "receives a signal that it cannot lock to; try another cable",
        Signal::Unsupported => {
            "receives a signal that cannot be captured; set the other end to a progressive mode \
             of 1080p or less"
        }
    };
    Some(words.to_owned())
}

/// What has become of the signal of the digital input at `device`; `None` where
/// it is a picture, or no such input.
pub(crate) fn lost_signal(device: &str) -> Option<String> {
    let node = Node::open(Path::new(device)).ok()?;
    no_signal(&node, device, node.signal()?)
}

fn unusable(mut paths: Vec<String>, name: String, trouble: String) -> Camera {
    Camera {
        device: paths.remove(0),
        aliases: paths,
        kind: CameraKind::V4l2,
        name,
        driver: String::new(),
        bus: String::new(),
        usb_mbit: None,
        trouble: Some(trouble),
        signal: None,
        modes: Vec::new(),
        controls: Vec::new(),
    }
}

fn cannot_open(device: &str, error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) | (_, Some(libc::ENODEV | libc::ENXIO)) => {
            "is not there; is it plugged in?".into()
        }
        (io::ErrorKind::PermissionDenied, _) => {
            "permission denied; add this user to the group \"video\"".into()
        }
        (_, Some(libc::EBUSY)) => {
            format!("is in use by another program; \"fuser -v {device}\" names it")
        }
        _ => format!("cannot be opened: {error}"),
    }
}

/// The numbers of `videoN` in `dev`, ascending.
pub(super) fn numbers(dev: &Path) -> Vec<u32> {
    let mut numbers: Vec<_> = names(dev)
        .filter_map(|name| name.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Paths that stay the same after a replug, by the name of the node they lead
/// to, the most stable first.
fn links(dev: &Path) -> BTreeMap<String, Vec<String>> {
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["v4l/by-id", "v4l/by-path"] {
        let folder = dev.join(folder);
        let mut names: Vec<_> = names(&folder).collect();
        names.sort();
        for name in names {
            let path = folder.join(name);
            let target = std::fs::read_link(&path).unwrap_or_default();
            let Some(node) = target.file_name() else {
                continue;
            };
            links
                .entry(node.to_string_lossy().into_owned())
                .or_default()
                .push(path.to_string_lossy().into_owned());
        }
    }
    links
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
}

/// The link speed of the USB device that `sys` (`…/videoN`) is an interface
/// of. The kernel gives "1.5" for low speed.
fn usb_mbit(sys: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(sys.join("device/../speed")).ok()?;
    let speed: f64 = text.trim().parse().ok()?;
    (1.0..=1e6).contains(&speed).then_some(speed as u32)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const WISH: Wish = Wish {
        width: 1024,
        height: 576,
        fps: 25,
    };

    /// A `/dev` and a `/sys` with one webcam of two nodes.
    fn folders() -> (tempfile::TempDir, Folders) {
        let root = tempfile::tempdir().expect("a folder");
        let dev = root.path().join("dev");
        let sys = root.path().join("sys");
        std::fs::create_dir_all(dev.join("v4l/by-id")).expect("made");
        std::fs::create_dir_all(dev.join("v4l/by-path")).expect("made");
        for node in ["video10", "video2", "videography", "vbi0"] {
            std::fs::write(dev.join(node), "").expect("written");
        }
        let link = |name: &str| symlink("../../video2", dev.join("v4l").join(name)).expect("made");
        link("by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0");
        link("by-id/usb-ACME_HD-video-index0");
        let device = root.path().join("devices/usb1/1-1/1-1:1.0");
        std::fs::create_dir_all(device.join("video4linux/video2")).expect("made");
        std::fs::write(device.join("../speed"), "480\n").expect("written");
        std::fs::create_dir_all(sys.join("video2")).expect("made");
        symlink(&device, sys.join("video2/device")).expect("made");
        std::fs::write(sys.join("video2/name"), "ACME HD\n").expect("written");
        (root, Folders { dev, sys })
    }

    #[test]
    fn nodes_are_found_by_number_and_by_their_stable_names() {
        let (_root, folders) = folders();
        assert_eq!(numbers(&folders.dev), [2, 10]);
        let links = links(&folders.dev);
        let paths = &links["video2"];
        assert!(paths[0].ends_with("by-id/usb-ACME_HD-video-index0"));
        assert!(paths[1].contains("by-path/"));
        assert_eq!(usb_mbit(&folders.sys.join("video2")), Some(480));
        assert_eq!(usb_mbit(&folders.sys.join("video10")), None);
    }

    #[test]
    fn twins_of_one_serial_number_are_named_by_their_sockets() {
        let twin = |paths: &[&str], name: &str| Camera {
            driver: "uvcvideo".into(),
            trouble: None,
            ..unusable(
                paths.iter().map(|p| (*p).to_owned()).collect(),
                name.into(),
                String::new(),
            )
        };
        let (id, first) = ("/dev/v4l/by-id/usb-ACME", "/dev/v4l/by-path/usb-1");
        let (second, other) = ("/dev/v4l/by-path/usb-2", "/dev/v4l/by-id/usb-Other");
        let mut cameras = [
            twin(&[id, first, "/dev/video0"], "ACME"),
            twin(&[second, "/dev/video2"], "ACME"),
            twin(&[other, "/dev/v4l/by-path/usb-3", "/dev/video4"], "Other"),
        ];
        distrust_shared_names(&mut cameras);
        assert_eq!(cameras[0].device, first);
        assert!(cameras[0].is(id) && cameras[0].shares_its_name());
        assert_eq!(cameras[1].device, second);
        assert_eq!(cameras[2].device, other);
        assert!(!cameras[1].shares_its_name() && !cameras[2].shares_its_name());
    }

    #[test]
    fn a_file_that_is_no_device_is_listed_as_such() {
        let (_root, folders) = folders();
        let found = list(&folders, WISH);
        assert_eq!(found.cameras, []);
        let whats: Vec<_> = found.others.iter().map(|o| o.what.as_str()).collect();
        assert_eq!(whats, ["no V4L2 device"; 2]);
        assert_eq!(found.others[0].name, "ACME HD");
    }

    #[test]
    fn a_node_that_is_gone_or_forbidden_is_listed_with_the_remedy() {
        let (_root, folders) = folders();
        let node = folders.dev.join("video2");
        std::fs::remove_file(&node).expect("removed");
        // A socket cannot be opened: ENXIO, as a node without its driver.
        let _socket = std::os::unix::net::UnixListener::bind(&node).expect("bound");
        let found = list(&folders, WISH);
        let camera = &found.cameras[0];
        assert!(camera.device.ends_with("by-id/usb-ACME_HD-video-index0"));
        assert_eq!(camera.name, "ACME HD");
        let trouble = camera.trouble.as_deref().expect("trouble");
        assert!(trouble.contains("plugged in"), "{trouble}");
        for (error, words) in [
            (libc::EACCES, "group \"video\""),
            (libc::EBUSY, "fuser -v /dev/video2"),
            (libc::ENODEV, "plugged in"),
            (libc::EIO, "cannot be opened"),
        ] {
            let error = io::Error::from_raw_os_error(error);
            let text = cannot_open("/dev/video2", &error);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_device_that_a_person_names_is_asked_directly() {
        let mut found = Cameras::default();
        add_named(&mut found, "/dev/no-such-camera", WISH);
        let camera = &found.cameras[0];
        assert!(camera.is("/dev/no-such-camera"));
        let trouble = camera.trouble.as_deref().unwrap_or_default();
        assert!(trouble.contains("plugged in"), "{trouble}");
        let mut found = Cameras::default();
        add_named(&mut found, "/dev/null", WISH);
        let trouble = found.cameras[0].trouble.as_deref().unwrap_or_default();
        assert!(trouble.contains("no V4L2 device"), "{trouble}");
    }

    #[test]
    fn somebody_s_own_link_is_another_name_of_the_camera() {
        let (root, folders) = folders();
        let node = folders.dev.join("video2").canonicalize().expect("there");
        let link = root.path().join("door");
        symlink(&node, &link).expect("made");
        let paths = vec![node.to_string_lossy().into_owned()];
        let mut found = Cameras {
            cameras: vec![unusable(paths, String::new(), String::new())],
            others: Vec::new(),
        };
        let link = link.to_string_lossy();
        add_named(&mut found, &link, WISH);
        assert_eq!(found.cameras.len(), 1);
        assert!(found.cameras[0].is(&link));
    }
}
