//! A picture as the camera has it, for a viewer who asks for one.

use std::time::Duration;

use camera_agent::media::bitstream::jpeg;
use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::shims::{FakeCamera, Format};
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};

/// A comment (ITU-T T.81 B.2.4.5), by which a camera's own JPEG is known.
const OWN: &[u8] = b"\xff\xfe\x00\x0bown frame";

fn mark(_: usize, frame: &mut Vec<u8>) {
    if frame.starts_with(&[0xff, 0xd8]) {
        frame.splice(2..2, OWN.iter().copied());
    }
}

/// Asks, and gets a JPEG.
async fn picture(viewer: &Viewer) -> Vec<u8> {
    let pictures = |m: &&Value| m["type"] == "picture";
    let before = viewer.heard(|h| (h.messages.iter().filter(pictures).count(), h.bytes.len()));
    // They get one in two seconds.
    let said = until("a picture", SOON, async || {
        let errors = viewer.heard(|h| h.messages.iter().filter(|m| m["type"] == "error").count());
        let ask = json!({"type": "picture"}).to_string();
        viewer.tell(&ask).await.expect("a channel");
        let (said, why) = viewer
            .wait("an answer", |h, _| {
                let error = h
                    .messages
                    .iter()
                    .filter(|m| m["type"] == "error")
                    .nth(errors);
                let said = h.messages.iter().filter(pictures).nth(before.0);
                (said.is_some() || error.is_some()).then(|| (said.cloned(), error.cloned()))
            })
            .await;
        if let Some(error) = why {
            assert_eq!(error["why"], "still-too-often", "{error}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        said
    })
    .await;
    let length = said["length"].as_u64().expect("a length") as usize;
    let bytes = viewer
        .wait("its bytes", |h, _| {
            (h.bytes.len() == before.1 + length).then(|| h.bytes[before.1..].to_vec())
        })
        .await;
    jpeg::check(&bytes).expect("it is whole");
    bytes
}

#[tokio::test]
async fn a_picture_is_the_camera_s_own_jpeg_and_else_one_is_made() {
    let h264 = Format::H264 {
        gop: 15,
        high: false,
    };
    for (format, is_own) in [(Format::Mjpg, true), (Format::Yuyv, false), (h264, false)] {
        let camera = FakeCamera::new(format, 640, 360, 30);
        let camera = match is_own {
            true => camera.damaged(mark),
            false => camera,
        };
        let chat = Chat::start().await;
        let toml = format!(
            "[video]\ndevice = \"{}\"\nwidth = 640\nheight = 360\n[audio]\nsource = \"none\"\n\
             [ice]\nloopback = true\n",
            camera.node().display()
        );
        let device = Device::start_with_env(chat.addr, &toml, &camera.env()).await;
        device.registered().await;
        let url = format!("ws://{}/", chat.addr);
        let mut viewer = Viewer::join(&url, "viewer", "camera").await;
        viewer.call_with(&["camera-agent-files"]).await;
        viewer.watch(10).await;
        for _ in 0..3 {
            let bytes = picture(&viewer).await;
            let has_mark = bytes.windows(OWN.len()).any(|w| w == OWN);
            assert_eq!(has_mark, is_own, "{format:?}");
        }
        // Recordings are for who was invited to them.
        let list = json!({"type": "list"}).to_string();
        viewer.tell(&list).await.expect("a channel");
        let refused = viewer.told("a refusal", |m| m["about"] == "list").await;
        assert_eq!(refused["why"], "recordings-not-invited");
        // The light of a camera, and its picture, went on.
        viewer.watch(30).await;
        drop(device);
        chat.stop().await;
    }
}

/// As a list's thumbnails are, one when the last has come: what is asked for too fast
/// waits, and is not lost.
#[tokio::test]
async fn whatever_is_asked_for_has_an_answer_however_fast() {
    const ASKED: usize = 60;
    let chat = Chat::start().await;
    let toml = "[video]\nsource = \"test\"\n[audio]\nsource = \"none\"\n[ice]\nloopback = true\n";
    let device = Device::start(chat.addr, toml).await;
    device.registered().await;
    let mut viewer = Viewer::join(&format!("ws://{}/", chat.addr), "viewer", "camera").await;
    viewer.call_with(&["camera-agent-files"]).await;
    for asked in 0..ASKED {
        let id = format!("20261130T1035{asked:02}Z");
        let ask = json!({"type": "thumbnail", "id": id}).to_string();
        viewer.tell(&ask).await.expect("a channel");
        let answer = viewer.told("an answer", |m| m["id"] == json!(id)).await;
        assert_eq!(answer["about"], "thumbnail", "{answer}");
    }
    drop(device);
    chat.stop().await;
}
