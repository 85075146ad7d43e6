//! How calls begin: a line of each in the log, and `doctor` that tells of the
//! last ones.

use std::process::Command;

use serde_json::Value;

use crate::support::device::{Device, TEST_MEDIA};
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};

const BEGUN: &str = "the call has begun";

#[tokio::test]
async fn each_call_is_logged_stage_by_stage_and_doctor_tells_of_the_last_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let toml = format!(
        "{TEST_MEDIA}[access]\nmode = \"open\"\nfolder = {:?}\n",
        folder.path()
    );
    let device = Device::start(chat.addr, &toml).await;
    let url = format!("ws://{}/", chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call_with(&["camera-agent"]).await;
    device.logs(BEGUN, 1, SOON).await;
    let line = device
        .log()
        .into_iter()
        .find(|l| l["message"] == BEGUN)
        .expect("it was logged");
    let ms = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {line}"))
    };
    let stages = ["answer_ms", "path_ms", "dtls_ms", "packet_ms", "picture_ms"];
    let sum: f64 = stages.iter().map(|stage| ms(stage)).sum();
    assert!((sum - ms("all_ms")).abs() < 0.01, "{line}");
    assert!(ms("answer_ms") > 0.0 && ms("dtls_ms") > 0.0, "{line}");
    assert_eq!(line["level"], "DEBUG");

    let written = folder.path().join("begun.json");
    until("it is written down", SOON, async || {
        written.exists().then_some(())
    })
    .await;
    let output = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["doctor", "--quick", "--json", "--config"])
        .arg(device.config())
        .output()
        .expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let of = |check: &str, text: &str| {
        let is = |f: &&Value| f["check"] == check && f["what"].to_string().contains(text);
        findings
            .iter()
            .find(is)
            .unwrap_or_else(|| panic!("{check}: {report:#}"))
    };
    let begun = of("begun", "the last call, in ms");
    assert!(
        begun["what"].to_string().contains("offer → picture"),
        "{begun}"
    );
    // The one to itself, too.
    of("call", "how it began, in ms from the offer: answer ");
    chat.stop().await;
}
