//! USB webcams with a microphone, in the virtual machine of `make
//! test-vm-boards`: the kernel's ehci-hcd, uvcvideo and snd-usb-audio, and udev,
//! on a device that is served to QEMU (tests/support/webcam). It is pulled out in
//! calls, comes back under another number, has a twin, resets itself, falls
//! silent, and finds no room on the bus.

use std::time::Duration;

use super::onlooker::{
    SEEN, calls, devices, hears_the_tone, sees_the_camera, sees_the_slate, small,
};
use crate::support::lab::Lab;
use crate::support::shims::Format;
use crate::support::webcam::{ALL, Make, Mode, Webcam};
use crate::support::{SOON, until};
use serde_json::Value;

/// What the agent logs.
const LOST: &str = "the camera is lost";
const AGAIN: &str = "the camera is back";

const BY_ID: &str = "/dev/v4l/by-id/usb-ACME_HD_Webcam_0001-video-index0";
const BY_PATH: &str = "/dev/v4l/by-path/*-usb-0:PORT:1.0-video-index0";

/// A webcam that is plugged into this port, when its node is there.
async fn plugged(lab: &Lab, port: u32, make: Make) -> Webcam {
    let mut webcam = Webcam::new(lab.usb_port(port), make);
    webcam.plug();
    node(lab, port).await;
    webcam
}

/// The node of what is plugged into a port, once udev has set it up.
async fn node(lab: &Lab, port: u32) -> String {
    let path = BY_PATH.replace("PORT", &port.to_string());
    until("the webcam's node", SOON, || async {
        let node = lab
            .vm(&format!("udevadm settle; readlink -e {path} || true"))
            .await;
        (!node.is_empty()).then_some(node)
    })
    .await
}

fn list<'a>(found: &'a Value, key: &str) -> &'a Vec<Value> {
    found[key].as_array().expect("a list")
}

async fn streams(webcam: &Webcam, wanted: impl Fn(Option<Mode>) -> bool) {
    until("what the webcam sends", SOON, || async {
        wanted(webcam.streams()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_webcam_is_listed_by_its_serial_number_and_its_second_node_as_what_it_is() {
    let lab = Lab::bare().await;
    let _webcam = plugged(&lab, 1, Make::usual("0001")).await;
    let found = devices(&lab, &small("auto")).await;
    println!("{found:#}");

    let cameras = list(&found, "cameras");
    assert_eq!(cameras.len(), 1);
    let camera = &cameras[0];
    assert_eq!(camera["device"], BY_ID);
    assert_eq!(camera["driver"], "uvcvideo");
    assert_eq!(camera["trouble"], Value::Null);
    assert_eq!(camera["usb_mbit"], 480);
    let modes = list(camera, "modes").iter().map(|mode| &mode["fourcc"]);
    assert_eq!(modes.collect::<Vec<_>>(), ["MJPG", "YUYV"]);
    let controls = list(camera, "controls").iter().map(|c| &c["name"]);
    assert_eq!(controls.collect::<Vec<_>>(), ["brightness"]);

    let others = list(&found, "other_nodes");
    assert_eq!(others.len(), 1);
    assert_eq!(others[0]["what"], "metadata");

    let microphones = list(&found, "microphones");
    let of_webcam = |m: &&Value| m["device"].to_string().contains("CARD=Webcam");
    assert!(microphones.iter().any(|m| of_webcam(&m)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn jpeg_and_raw_pictures_of_a_webcam_are_shown_and_it_stops_when_nobody_watches() {
    let lab = Lab::bare().await;
    let webcam = plugged(&lab, 1, Make::usual("0001")).await;
    for (name, format) in [("MJPG", Format::Mjpg422), ("YUYV", Format::Yuyv)] {
        let configuration =
            small(BY_ID).replace("[video]", &format!("[video]\nformat = \"{name}\""));
        lab.start_agent(&configuration).await;
        assert_eq!(webcam.streams(), None, "before anybody calls");
        let viewer = calls(&lab).await;
        assert_eq!(webcam.streams().map(|mode| mode.format), Some(format));
        viewer
            .screenshot(lab.out.join(format!("usb-{name}.png")))
            .await;
        viewer.click("#hangup").await;
        streams(&webcam, |mode| mode.is_none()).await;
        lab.vm("systemctl stop camera-agent").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_call_survives_a_webcam_that_is_pulled_out_and_comes_back_under_another_number() {
    let lab = Lab::bare().await;
    let mut webcam = plugged(&lab, 1, Make::usual("0001")).await;
    let first = node(&lab, 1).await;
    lab.start_agent(&small(BY_ID)).await;
    let viewer = calls(&lab).await;

    let pulled = lab.at("true").await;
    webcam.unplug();
    let seen = lab.logged_after(pulled, LOST).await;
    let shown = sees_the_slate(&viewer).await;
    println!("pulled out: {seen:?} to the agent's word, then {shown:?}");
    assert!(seen < SEEN, "{seen:?}");
    let gone = lab.vm("ls /dev/video* 2>/dev/null || true").await;
    assert_eq!(gone, "", "its nodes");

    // Another one gets its number, which is free once nobody has it open.
    until("the agent lets go of it", SOON, || async {
        (!lab.camera_is_open().await).then_some(())
    })
    .await;
    let mut other = Make::usual("0002");
    other.product = "Other Webcam";
    let other = plugged(&lab, 2, other).await;
    assert_eq!(node(&lab, 2).await, first);
    webcam.plug();
    let second = node(&lab, 1).await;
    assert_ne!(first, second);
    let shown = sees_the_camera(&viewer).await;
    println!("{first} is back as {second}, shown after {shown:?}");
    assert!(webcam.streams().is_some() && other.streams().is_none());
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn picture_and_sound_of_a_webcam_go_and_come_back_together() {
    let lab = Lab::bare().await;
    let mut webcam = plugged(&lab, 1, Make::usual("0001")).await;
    let configuration = small(BY_ID).replace("source = \"none\"", "device = \"auto\"");
    lab.start_agent(&configuration).await;
    let viewer = calls(&lab).await;
    hears_the_tone(&viewer, 1000.0).await;

    webcam.unplug();
    sees_the_slate(&viewer).await;
    let quiet = async || {
        let before = viewer.audio_energy().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        viewer.audio_energy().await - before
    };
    until("silence", SOON, || async {
        (quiet().await < 0.0005).then_some(())
    })
    .await;

    webcam.plug();
    sees_the_camera(&viewer).await;
    hears_the_tone(&viewer, 1000.0).await;
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn of_two_webcams_with_one_serial_number_the_one_in_its_socket_is_shown() {
    let lab = Lab::bare().await;
    let first = plugged(&lab, 1, Make::usual("0001")).await;
    let mut second = plugged(&lab, 2, Make::usual("0001")).await;
    let found = devices(&lab, &small("auto")).await;
    let names: Vec<_> = list(&found, "cameras")
        .iter()
        .map(|camera| camera["device"].as_str().unwrap_or_default().to_owned())
        .collect();
    println!("{names:?}");
    for port in [":1:1.0", ":2:1.0"] {
        let of_port = |name: &&String| name.contains("/by-path/") && name.contains(port);
        assert_eq!(names.iter().filter(of_port).count(), 1, "{names:?}");
    }

    let in_second = names.iter().find(|name| name.contains(":2:1.0"));
    lab.start_agent(&small(in_second.expect("listed"))).await;
    let viewer = calls(&lab).await;
    assert!(second.streams().is_some() && first.streams().is_none());
    // Its twin does not stand in for it.
    second.unplug();
    sees_the_slate(&viewer).await;
    assert!(first.streams().is_none());
    second.plug();
    sees_the_camera(&viewer).await;
    assert!(second.streams().is_some() && first.streams().is_none());
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_call_survives_a_webcam_that_resets_itself_or_falls_silent() {
    let lab = Lab::bare().await;
    let webcam = plugged(&lab, 1, Make::usual("0001")).await;
    lab.start_agent(&small(BY_ID)).await;
    let viewer = calls(&lab).await;

    let reset = lab.at("true").await;
    webcam.reset_itself();
    let seen = lab.logged_after(reset, LOST).await;
    let back = lab.logged_after(reset, AGAIN).await;
    let shown = sees_the_camera(&viewer).await;
    println!("reset: {seen:?} to the agent's word, {back:?} to its second, then {shown:?}");
    assert!(seen < SEEN, "{seen:?}");

    let fell = lab.at("true").await;
    webcam.go_silent();
    let seen = lab.logged_after(fell, LOST).await;
    assert!(lab.log().await.contains("gave no picture"));
    let shown = sees_the_slate(&viewer).await;
    println!("silent: {seen:?} to the agent's word, then {shown:?}");
    assert!(seen < SEEN, "{seen:?}");
    webcam.send_again();
    // Nobody announces that: it is tried again and again.
    sees_the_camera(&viewer).await;
    assert!(viewer.is_same_call().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn where_the_bus_has_no_room_for_raw_pictures_the_webcam_s_jpegs_are_shown() {
    let lab = Lab::bare().await;
    let greedy = || Make::usual("0001").with_raw(ALL);
    let hog = plugged(&lab, 2, greedy()).await;
    let webcam = plugged(
        &lab,
        1,
        Make {
            serial: "0002",
            ..greedy()
        },
    )
    .await;
    let (mine, theirs) = (node(&lab, 1).await, node(&lab, 2).await);
    // Another program takes all that the bus has for pictures.
    hog.go_silent();
    lab.vm(&format!(
        "systemd-run --quiet --unit=other v4l2-ctl -d {theirs} -v pixelformat=YUYV \
         --stream-mmap --stream-count=0"
    ))
    .await;
    streams(&hog, |mode| mode.is_some_and(|m| m.format == Format::Yuyv)).await;
    let refused = lab
        .vm(&format!(
            "v4l2-ctl -d {mine} -v pixelformat=YUYV --stream-mmap --stream-count=1 2>&1 || true"
        ))
        .await;
    assert!(refused.contains("No space left on device"), "{refused}");

    let device = BY_ID.replace("0001", "0002");
    lab.start_agent(&small(&device)).await;
    let viewer = calls(&lab).await;
    let mode = webcam.streams().expect("it is watched");
    assert_eq!(mode.format, Format::Mjpg422);
    println!("{}", lab.log().await);
    viewer.click("#hangup").await;
    lab.vm("systemctl stop other").await;
}

/// Why the webcam is none of the kernel's own gadgets: they need what `dummy_hcd`
/// has not got (see tests/support/webcam).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn the_kernel_s_gadgets_of_sound_find_no_isochronous_endpoint_at_dummy_hcd() {
    let lab = Lab::bare().await;
    let refused = lab
        .vm("modprobe -a dummy_hcd libcomposite; \
             mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config; \
             mkdir /sys/kernel/config/usb_gadget/sound; cd /sys/kernel/config/usb_gadget/sound; \
             echo 0x1d6b >idVendor; echo 0x0104 >idProduct; \
             mkdir configs/c.1 functions/uac2.0; ln -s functions/uac2.0 configs/c.1/; \
             echo dummy_udc.0 2>&1 >UDC; \
             dmesg | tail -n 5; \
             rm configs/c.1/uac2.0; rmdir configs/c.1 functions/uac2.0; cd ..; rmdir sound; \
             modprobe -r dummy_hcd")
        .await;
    assert!(refused.contains("failed to start sound: -19"), "{refused}");
}
