//! What somebody with a board would send, of the virtual machine of `make
//! test-vm-boards`: a webcam with a microphone, an HDMI bridge without a signal, a
//! loopback camera and a sensor behind libcamera, all on the kernel's own drivers.

use super::onlooker::small;
use crate::support::lab::Lab;
use crate::support::webcam::{Make, Webcam};
use crate::support::{SOON, until};
use serde_json::Value;

/// The doctor tries the camera, the microphone, each encoder and a call.
const PATIENCE: std::time::Duration = SOON.saturating_mul(6);

const SERIAL: &str = "SN47190388";
const DEVICE: &str = "/dev/v4l/by-id/usb-ACME_HD_Webcam_SN47190388-video-index0";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-boards"]
async fn a_report_of_the_machine_becomes_a_fixture_that_is_answered_as_the_machine_did() {
    let lab = Lab::bare().await;
    let mut webcam = Webcam::new(lab.usb_port(1), Make::usual(SERIAL));
    webcam.plug();
    until("the webcam's node", SOON, || async {
        let node = lab
            .vm(&format!("udevadm settle; readlink -e {DEVICE} || true"))
            .await;
        (!node.is_empty()).then_some(())
    })
    .await;
    lab.vm(
        "modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x3 && \
         modprobe v4l2loopback devices=1 video_nr=9 exclusive_caps=1 && modprobe vimc && \
         udevadm settle && \
         v4l2-ctl -d $(readlink -e /dev/v4l/by-path/platform-vivid.0-video-index0) \
         -c dv_timings_signal_mode=1",
    )
    .await;
    let configuration = small(DEVICE).replace("source = \"none\"", "device = \"auto\"");
    // Its usual name is that of a driver, and would be taken out of the file.
    // Nothing says that all is well with a machine of so many kinds; what counts is the file.
    lab.vm_within(
        PATIENCE,
        &format!(
            "rm -rf /root/report.json /root/fixture && mkdir /root/fixture && \
             {{ sed 's/^name = .*/name = \"porch\"/' /etc/camera-agent/server.toml; cat; }} >/root/report.toml <<'EOF'\n{configuration}\nEOF\n\
             GST_REGISTRY=/var/cache/gst/registry.bin LD_PRELOAD=/usr/local/lib/sequence.so \
             camera-agent doctor --config /root/report.toml --report /root/report.json || true"
        ),
    )
    .await;
    let report = lab.out.join("report.json");
    lab.fetch("/root/report.json", &report).await;
    let text = std::fs::read_to_string(report).expect("it was fetched");
    assert!(!text.contains(SERIAL), "{text}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let list = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_array);
        value
            .unwrap_or_else(|| panic!("no {pointer}: {text}"))
            .clone()
    };
    let drivers: Vec<_> = list("/devices/cameras")
        .iter()
        .map(|camera| camera["driver"].to_string())
        .collect();
    for driver in ["uvcvideo", "vivid", "libcamera"] {
        let one = drivers.iter().filter(|d| d.contains(driver)).count();
        assert_eq!(one, 1, "{driver}: {drivers:?}");
    }
    let whats: Vec<_> = list("/devices/nodes")
        .iter()
        .map(|node| format!("{} {}", node["driver"], node["is"]))
        .collect();
    println!("{whats:#?}");
    assert_eq!(
        report["plan"]["picture"]["mode"]["fourcc"], "YUYV",
        "{text}"
    );
    assert!(!report["plan"]["sound"].is_null(), "{text}");
    let findings = list("/findings");
    println!("{findings:#?}");
    let seen = |check: &str| findings.iter().any(|f| f["check"] == check);
    assert!(seen("camera") && seen("microphone"), "{findings:#?}");

    // The path of the fixture, and not a word of an answer that differs.
    let made = lab
        .vm("camera-agent fixture /root/report.json /root/fixture 2>&1")
        .await;
    assert_eq!(made.lines().count(), 1, "{made}");
    let fixture = lab.vm(&format!("cat {made}")).await;
    let fixture: Value = serde_json::from_str(&fixture).expect("JSON");
    assert_eq!(fixture["reported"]["picture"], report["plan"]["picture"]);
    assert_eq!(fixture["encoders"][0], report["plan"]["encoder"]);
}
