//! Motion, from a moving picture to the log, to viewers and to a program that is
//! run.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};

/// A ball that bounces about on black, and a program that writes down what it is
/// told.
fn configuration(folder: &Path) -> String {
    let hook = folder.join("hook");
    let script = format!("#!/bin/sh\nenv >> {}/told\n", folder.display());
    std::fs::write(&hook, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).expect("it may run");
    format!(
        "[video]\nsource = \"custom\"\npipeline = \"videotestsrc is-live=true pattern=ball\"\n\
         width = 320\nheight = 180\nbitrate_kbps = 300\n[audio]\nsource = \"none\"\n\
         [ice]\nloopback = true\n\
         [motion]\nenabled = true\ninitial_s = 1\nmaximum_s = 2\nblind_s = 1\n\
         [[motion.zones]]\nname = \"door\"\ncorners = [[0, 0], [1, 0], [1, 1], [0, 1]]\n\
         [[hooks]]\non = [\"motion\", \"motion-ended\"]\ncommand = [\"{}\"]\n",
        hook.display()
    )
}

fn is_motion(message: &Value) -> bool {
    message["type"] == "motion"
}

#[tokio::test]
async fn motion_is_logged_told_to_viewers_and_runs_a_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, &configuration(folder.path())).await;
    // Before anybody watches.
    device.logs("motion has ended", 1, SOON).await;
    let told = || std::fs::read_to_string(folder.path().join("told")).unwrap_or_default();
    until("the program has run twice", SOON, async || {
        (told().matches("CAMERA_AGENT_EVENT=").count() >= 2).then_some(())
    })
    .await;
    // The second may be writing yet.
    for line in [
        "CAMERA_AGENT_EVENT=motion\n",
        "CAMERA_AGENT_EVENT=motion-ended\n",
        "CAMERA_AGENT_NAME=camera\n",
        "CAMERA_AGENT_ZONE=door\n",
        "CAMERA_AGENT_SECONDS=2\n",
    ] {
        until(line, SOON, async || told().contains(line).then_some(())).await;
    }
    let url = format!("ws://{}/", chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call_with(&["camera-agent"]).await;
    let past = viewer.told("what was before", is_motion).await;
    assert_eq!(
        (&past["zone"], &past["past"], &past["end"]),
        (&json!("door"), &json!(true), &json!("maximum"))
    );
    let began = viewer
        .told("one that begins", |m| {
            is_motion(m) && m["past"].is_null() && m["end"].is_null()
        })
        .await;
    let ended = viewer
        .told("the same one, over", |m| {
            is_motion(m) && m["began_ms"] == began["began_ms"] && !m["end"].is_null()
        })
        .await;
    let at = |message: &Value, name: &str| message[name].as_u64().expect("a number");
    let lasted = at(&ended, "ended_ms") - at(&began, "began_ms");
    assert!((2_000..4_000).contains(&lasted), "{lasted} ms");
    chat.stop().await;
}
