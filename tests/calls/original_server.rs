//! The device on a server that behaves as the original does, and that notes
//! every frame that would have killed the original.

use std::time::Duration;

use crate::support::desk::offer;
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::original::Original;
use crate::support::ports::Port;
use crate::support::{SOON, until};
use serde_json::{Value, json};

async fn named(server: &Original, names: &[&str]) {
    until(&format!("the names {names:?}"), SOON, async || {
        (server.names() == names).then_some(())
    })
    .await;
}

fn call(server: &Original, target: &str, caller: &str, sdp: &str) {
    server.relay(
        target,
        &json!({"type": "video-offer", "name": caller, "target": target,
            "sdp": {"type": "offer", "sdp": sdp}}),
    );
}

async fn frame(server: &Original, kind: &str, target: &str, count: usize) -> Value {
    until(
        &format!("{count} × {kind} to {target}"),
        SOON,
        async || {
            let mut frames = server.frames(kind);
            frames.retain(|f| f["target"] == target);
            frames.get(count - 1).cloned()
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn points_3_and_5_both_tracks_are_in_one_stream_and_the_caller_s_own_are_declined() {
    let server = Original::start().await;
    let device = Device::start(server.addr, TEST_MEDIA).await;
    named(&server, &["camera"]).await;

    // The original page offers its own camera and microphone.
    let sdp = offer("AAAA", 'a').replace("a=recvonly", "a=sendrecv");
    call(&server, "camera", "alice", &sdp);
    let answer = frame(&server, "video-answer", "alice", 1).await;
    assert_eq!(answer["name"], "camera");
    assert_eq!(answer["sdp"]["type"], "answer");
    let answer = answer["sdp"]["sdp"].as_str().expect("SDP text");
    let lines =
        |prefix: &str| -> Vec<&str> { answer.lines().filter(|l| l.starts_with(prefix)).collect() };
    // Point 3: both tracks in one stream; point 5: the caller's are declined.
    let streams: Vec<_> = lines("a=msid:camera ");
    assert_eq!(streams.len(), 2, "{answer}");
    assert_eq!(lines("a=sendonly").len(), 2, "{answer}");
    assert!(lines("a=sendrecv").is_empty() && lines("a=recvonly").is_empty());
    assert_eq!(lines("a=setup:active").len(), 2);
    for line in [
        "a=rtcp-fb:108 nack",
        "a=rtcp-fb:108 nack pli",
        "a=rtcp-fb:108 ccm fir",
        "a=rtcp-fb:108 transport-cc",
        "a=rtpmap:109 rtx/90000",
        "a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    ] {
        assert!(lines(line).contains(&line), "{line}: {answer}");
    }
    // 640×360 at 30 is level 3.0: the stream's own, not the offer's.
    assert!(answer.contains("profile-level-id=42c01e"), "{answer}");

    // Real mids, and the ufrag of the answer.
    let candidate = frame(&server, "new-ice-candidate", "alice", 1).await;
    assert_eq!(candidate["candidate"]["sdpMid"], "0");
    assert_eq!(candidate["candidate"]["sdpMLineIndex"], 0);
    let line = candidate["candidate"]["candidate"]
        .as_str()
        .expect("a line");
    assert!(line.starts_with("candidate:"), "{line}");
    assert_eq!(server.violations(), [] as [String; 0]);
    drop(device);
}

/// The original server lets a person be called anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_any_name_is_answered_under_exactly_it() {
    let server = Original::start().await;
    let _device = Device::start(server.addr, TEST_MEDIA).await;
    named(&server, &["camera"]).await;
    let thai = "\u{e01}".repeat(22);
    let long = "x".repeat(1_000);
    let names = [" alice ", "a\u{200d}b", "a\u{200c}b", &thai, &long];
    for (i, name) in names.into_iter().enumerate() {
        call(&server, "camera", name, &offer(&format!("AAA{i}"), 'a'));
        frame(&server, "video-answer", name, 1).await;
        frame(&server, "new-ice-candidate", name, 1).await;
    }
    assert_eq!(server.violations(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_sound_declines_the_audio_section() {
    let server = Original::start().await;
    let silent = TEST_MEDIA.replace("[audio]\nsource = \"test\"", "[audio]\nsource = \"none\"");
    let _device = Device::start(server.addr, &silent).await;
    named(&server, &["camera"]).await;
    let sdp = offer("AAAA", 'a').replace("a=recvonly", "a=sendrecv");
    call(&server, "camera", "alice", &sdp);
    let answer = frame(&server, "video-answer", "alice", 1).await;
    let answer = answer["sdp"]["sdp"].as_str().expect("SDP text");
    let audio = answer.split("m=").nth(1).expect("an audio section");
    assert!(
        audio.starts_with("audio") && audio.contains("a=inactive"),
        "{answer}"
    );
    assert!(!answer.contains("a=recvonly"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_the_server_the_device_works_under_another_name_and_takes_its_own_back() {
    let server = Original::start().await;
    let device = Device::start(server.addr, TEST_MEDIA).await;
    named(&server, &["camera"]).await;
    let addr = server.addr;
    drop(server);
    device.logs("no chat server", 1, SOON).await;
    // The dead connection's name, as a server that did not crash would have it.
    let server = Original::haunted(addr, "camera").await;
    named(&server, &["camera", "camera1"]).await;

    call(&server, "camera1", "alice", &offer("AAAA", 'a'));
    let answer = frame(&server, "video-answer", "alice", 1).await;
    assert_eq!(answer["name"], "camera1");

    server.leave();
    named(&server, &["camera"]).await;
    call(&server, "camera", "bob", &offer("BBBB", 'b'));
    frame(&server, "video-answer", "bob", 1).await;
    assert_eq!(server.violations(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_strangers_costs_one_line_each_and_the_rest_goes_on() {
    let server = Original::start().await;
    let device = Device::start(server.addr, TEST_MEDIA).await;
    named(&server, &["camera"]).await;
    let megabyte = format!("{}a=x:{}\r\n", offer("AAAA", 'a'), "y".repeat(900_000));
    call(&server, "camera", "mallory", &megabyte);
    let refusal = frame(&server, "hang-up", "mallory", 1).await;
    assert!(
        refusal["reason"]
            .as_str()
            .is_some_and(|r| r.contains("limit"))
    );
    for junk in [
        json!("text"),
        json!({"type": 7}),
        json!({"type": "video-offer"}),
        json!({"type": "video-offer", "name": "x".repeat(10_000), "sdp": {}}),
        json!({"type": "new-ice-candidate", "candidate": {"candidate": 5}}),
        json!({"type": "new-ice-candidate", "candidate": {"candidate": "candidate:junk ufrag AAAA"}}),
        json!({"type": "hang-up", "name": "nobody", "target": null}),
        json!({"type": "userlist", "users": "all"}),
        json!({"type": "id", "id": "x"}),
        json!({"type": "id", "id": 1}),
        json!({"type": "rejectusername", "id": 1, "name": "mallory"}),
    ] {
        server.relay("camera", &junk);
    }
    for _ in 0..500 {
        call(&server, "camera", "mallory", "v=0");
        let candidate = json!({"type": "new-ice-candidate", "target": "camera",
            "candidate": {"candidate": "candidate:1 1 udp 1 192.0.2.9 9 typ host ufrag ZZZZ"}});
        server.relay("camera", &candidate);
    }
    call(&server, "camera", "alice", &offer("AAAA", 'a'));
    frame(&server, "video-answer", "alice", 1).await;
    let warnings = device.warnings();
    // The megabyte, the first bad frame, nine unusable offers, the flood.
    assert!(warnings <= 14, "{warnings} lines: {:#?}", device.log());
    assert_eq!(server.violations(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_costs_one_line() {
    let held = Port::held();
    let addr = held.addr;
    let device = Device::start(addr, TEST_MEDIA).await;
    device.logs("the chat server is still away", 1, SOON).await;
    assert_eq!(device.logged("no chat server"), 1);
    let server = Original::on(addr).await;
    until("it comes by itself", Duration::from_secs(60), async || {
        (server.names() == ["camera"]).then_some(())
    })
    .await;
}

/// Its page has no invitations: it hears a hang-up, which ends its call.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_for_invited_people_hangs_up_on_the_original_page_and_an_open_one_answers() {
    let server = Original::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let access = |mode: &str| format!("[access]\nmode = {mode:?}\nfolder = {:?}\n", folder.path());
    let device = Device::start(server.addr, &format!("{TEST_MEDIA}{}", access("invited"))).await;
    named(&server, &["camera"]).await;
    call(&server, "camera", "alice", &offer("AAAA", 'a'));
    let refusal = frame(&server, "hang-up", "alice", 1).await;
    assert_eq!(
        (&refusal["name"], &refusal["code"]),
        (&json!("camera"), &json!("uninvited"))
    );
    let reason = refusal["reason"].as_str().expect("words");
    assert!(reason.contains("only invited people"), "{reason}");
    assert_eq!(server.frames("video-answer"), [] as [Value; 0]);
    assert_eq!(device.logged("nobody was invited yet"), 1);
    drop(device);
    named(&server, &[]).await;

    let device = Device::start(server.addr, &format!("{TEST_MEDIA}{}", access("open"))).await;
    named(&server, &["camera"]).await;
    call(&server, "camera", "alice", &offer("AAAA", 'a'));
    let answer = frame(&server, "video-answer", "alice", 1).await;
    assert_eq!(
        answer.get("access"),
        None,
        "nothing is said to who asks for nothing"
    );
    assert_eq!(device.logged("this camera is open"), 1);
    assert_eq!(server.violations(), [] as [String; 0]);
}
