//! Calls over real sockets: a device, a chat server and viewers in Rust. No
//! camera, no GStreamer, no network.

use std::time::Duration;

use crate::support::inside::{CLIP, Device};
use crate::support::meter::Said;
use crate::support::viewer::Viewer;
use crate::support::{Chat, options};
use camera_agent::media::frame::profile_level_id;
use serde_json::json;
use tokio::time::timeout;

/// Calls, so far apart, until they are answered.
async fn gets_in(viewer: &mut Viewer, apart: Duration) {
    loop {
        viewer.call().await;
        let refused = viewer
            .wait("an answer or a refusal", |heard, _| {
                let answered = (!heard.answers.is_empty()).then_some(false);
                answered.or(heard.hung_up.as_ref().map(|_| true))
            })
            .await;
        if !refused {
            return;
        }
        tokio::time::sleep(apart).await;
    }
}

#[tokio::test]
async fn several_viewers_watch_at_once() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewers = Vec::new();
    for i in 0..3 {
        let mut viewer = device.viewer(&format!("viewer {i}")).await;
        viewer.call().await;
        viewers.push(viewer);
    }
    for viewer in &viewers {
        viewer.watch(30).await;
        viewer
            .wait("sound", |_, r| (r.audio.packets > 10).then_some(()))
            .await;
        viewer.received(|r| {
            assert_eq!((r.video.gaps, r.audio.gaps, r.strangers), (0, 0, 0));
        });
    }
    device.stop().await;
    for viewer in &viewers {
        assert!(viewer.refusal().await.contains("shutting down"));
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_viewer_who_vanishes_disturbs_nobody_and_frees_their_place() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 2);
    let (mut stays, mut goes) = (device.viewer("stays").await, device.viewer("goes").await);
    stays.call().await;
    goes.call().await;
    stays.watch(15).await;
    goes.watch(15).await;
    goes.vanish();
    let mut next = device.viewer("next").await;
    // No more often than the device takes offers of one name.
    let in_time = gets_in(&mut next, Duration::from_millis(600));
    timeout(Duration::from_secs(12), in_time)
        .await
        .expect("the place is free long before 15 s");
    next.watch(15).await;
    stays.watch(15).await;
    assert_eq!(stays.received(|r| (r.video.gaps, r.audio.gaps)), (0, 0));
    device.stop().await;
    chat.stop().await;
}

/// A page that was closed without a word kept its place for 45 s: it says so by DTLS alone.
#[tokio::test]
async fn who_closes_the_connection_frees_their_place_at_once() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 1);
    let (mut first, mut second) = (device.viewer("first").await, device.viewer("second").await);
    first.call().await;
    first.watch(5).await;
    first.leave().await;
    let in_time = gets_in(&mut second, Duration::from_millis(100));
    // Silence alone would take four.
    let served = timeout(Duration::from_secs(2), in_time).await;
    served.expect("the place is free at once");
    second.watch(5).await;
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn the_newest_is_refused_over_the_limit_and_a_reload_is_not_one_more() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 1);
    let (mut first, mut second) = (device.viewer("first").await, device.viewer("second").await);
    first.call().await;
    first.watch(5).await;
    second.call().await;
    assert!(second.refusal().await.contains("as many viewers"));
    let ssrc = first.received(|r| r.video.ssrc);
    first.call().await;
    first.watch(15).await;
    assert_ne!(first.received(|r| r.video.ssrc), ssrc, "a new call");
    assert_eq!(first.heard(|h| h.hung_up.clone()), None);
    first.hang_up().await;
    // The two ways to the device are not one: the call may overtake the hang-up.
    let in_time = gets_in(&mut second, Duration::from_millis(600));
    // Silence alone would take four.
    let served = timeout(Duration::from_secs(3), in_time).await;
    served.expect("the place is free at once");
    second.watch(5).await;
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn renegotiation_loses_no_packet_and_ice_restart_hardly_any() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call().await;
    viewer.watch(15).await;
    let ssrc = viewer.received(|r| r.video.ssrc);
    viewer.renegotiate().await;
    viewer
        .wait("a second answer", |h, _| {
            (h.answers.len() == 2).then_some(())
        })
        .await;
    viewer.watch(15).await;
    viewer.received(|r| assert_eq!((r.video.missing, r.audio.missing), (0, 0)));
    viewer.restart_ice().await;
    viewer
        .wait("a third answer", |h, _| {
            (h.answers.len() == 3).then_some(())
        })
        .await;
    viewer.watch(60).await;
    let ufrag = |sdp: &String| {
        let line = sdp.lines().find(|l| l.starts_with("a=ice-ufrag"));
        line.map(str::to_owned)
    };
    viewer.heard(|h| assert_ne!(ufrag(&h.answers[1]), ufrag(&h.answers[2])));
    assert_eq!(viewer.received(|r| r.video.ssrc), ssrc, "the same stream");
    // Both ends count. What the device says to have sent came or is missing; what
    // came to the viewer's socket came through, but for what their own connection
    // dropped, and that is all that is missing, but for one gap in each stream:
    // while a restarted agent has no pair `rtc` drops what is to be sent, and
    // what comes (its ICE handler).
    let said = viewer.received(|r| r.both().map(|(track, _)| track.said));
    viewer
        .wait("the device's counts and ours agree", |_, r| {
            let agree = r
                .both()
                .into_iter()
                .zip(said)
                .all(|((track, wire), before)| {
                    let dropped = wire.packets - track.packets;
                    track.said != before
                        && track.said.is_some_and(Said::agrees)
                        && track.missing == wire.missing + dropped
                });
            agree.then_some(())
        })
        .await;
    viewer.received(|r| {
        for (_, wire) in r.both() {
            assert!(wire.gaps <= 1, "{wire:?}");
        }
    });
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_picture_on_hold_stands_still_and_begins_again_with_a_key_frame() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call().await;
    viewer.watch(5).await;
    let answers = |n: usize| move |h: &_, _: &_| answered(h, n);
    viewer
        .renegotiate_as(|sdp| {
            let (sound, picture) = sdp.split_once("m=video").expect("a picture");
            format!(
                "{sound}m=video{}",
                picture.replace("a=recvonly", "a=inactive")
            )
        })
        .await;
    let answer = viewer.wait("a second answer", answers(2)).await;
    assert!(
        answer.contains("a=inactive") && answer.contains("a=sendonly"),
        "{answer}"
    );
    // What was on its way has come when the sound has gone on for a while.
    let sound = |more: u64| {
        let viewer = &viewer;
        async move {
            let so_far = viewer.received(|r| r.audio.packets);
            viewer
                .wait("sound", move |_, r| {
                    (r.audio.packets > so_far + more).then_some(())
                })
                .await;
        }
    };
    sound(10).await;
    let (frames, keys) = viewer.received(|r| (r.video.frames, r.video.key_frames));
    sound(50).await;
    assert_eq!(viewer.received(|r| r.video.frames), frames, "on hold");
    viewer.renegotiate().await;
    viewer.wait("a third answer", answers(3)).await;
    viewer.watch(15).await;
    viewer.received(|r| {
        assert!(r.video.key_frames > keys);
        assert_eq!((r.video.gaps, r.audio.gaps), (0, 0));
    });
    device.stop().await;
    chat.stop().await;
}

/// The `n`th answer.
fn answered(heard: &crate::support::viewer::Heard, n: usize) -> Option<String> {
    (heard.answers.len() == n).then(|| heard.answers[n - 1].clone())
}

#[tokio::test]
async fn a_request_gives_a_key_frame_and_a_storm_of_them_two_a_second() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewers = Vec::new();
    for i in 0..3 {
        let mut viewer = device.viewer(&format!("viewer {i}")).await;
        viewer.call().await;
        viewer.watch(1).await;
        viewers.push(viewer);
    }
    // Past the second in which joining had its key frames forced, and far from
    // the clip's own.
    viewers[0].watch(40).await;
    let seen = viewers[0].received(|r| r.video.key_frames);
    let key = |n: u64| {
        move |_: &_, r: &crate::support::meter::Received| {
            (r.video.key_frames >= n).then_some(r.video.frames)
        }
    };
    let at = viewers[0].wait("a key frame", key(seen + 1)).await;
    viewers[0].watch(3).await;
    viewers[0].ask_for_key_frame().await;
    let forced = viewers[0].wait("one more", key(seen + 2)).await;
    assert!(forced - at < 25, "{} frames later", forced - at);

    let before = viewers[0].received(|r| r.video.key_frames);
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        for viewer in &viewers {
            viewer.ask_for_key_frame().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let came = viewers[0].received(|r| r.video.key_frames) - before;
    let most = 2 * started.elapsed().as_secs() + 2;
    // Each of them has a voice every two seconds, and one key frame serves all who ask
    // before it comes.
    assert!((3..=most).contains(&came), "{came} key frames");
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_lost_packet_is_repeated_as_rtx() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call().await;
    viewer.watch(10).await;
    viewer.received(|r| r.lose = 1);
    let lost = viewer.wait("a loss", |_, r| r.lost.first().copied()).await;
    viewer.nack(lost).await;
    let repeat = viewer
        .wait("its repetition", |_, r| r.repeats.first().cloned())
        .await;
    assert_eq!(repeat.original, lost);
    assert_eq!(repeat.payload_type, crate::support::viewer::RTX);
    assert_ne!(repeat.ssrc, viewer.received(|r| r.video.ssrc));
    viewer
        .wait("the gap", |_, r| (r.video.gaps == 1).then_some(()))
        .await;
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn media_flows_while_the_chat_server_is_away_and_the_name_comes_back() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call().await;
    viewer.watch(10).await;
    let listen = chat.addr;
    chat.stop().await;
    viewer.watch(30).await;
    let chat = Chat::with(camera_agent::chat::Options::new(listen)).await;
    // Joining waits until the device is in the list under its own name.
    let mut another = device.viewer("another").await;
    another.call().await;
    another.watch(10).await;
    viewer.watch(10).await;
    viewer.received(|r| assert_eq!((r.video.gaps, r.audio.gaps), (0, 0)));
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn floods_of_candidates_and_offers_disturb_nobody() {
    // The original server has no limits either.
    let mut options = options();
    options.limits.burst = 10_000;
    let chat = Chat::with(options).await;
    let device = Device::of(&chat, 8);
    let (mut viewer, mut flooder) = (
        device.viewer("viewer").await,
        device.viewer("mallory").await,
    );
    viewer.call().await;
    flooder.call().await;
    viewer.watch(5).await;
    flooder.watch(5).await;
    for port in 1..500 {
        flooder.send(json!({
            "type": "new-ice-candidate", "name": "mallory", "target": "camera",
            "candidate": {"candidate": format!("candidate:1 1 udp 1 192.0.2.1 {port} typ host"),
                "sdpMid": "0", "sdpMLineIndex": 0},
        }));
    }
    for _ in 0..100 {
        flooder.send_offer("v=0\r\n");
    }
    flooder.refusal().await;
    viewer.watch(30).await;
    viewer.received(|r| assert_eq!((r.video.gaps, r.audio.gaps), (0, 0)));
    let mut another = device.viewer("another").await;
    another.call().await;
    another.watch(5).await;
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn the_answer_and_the_candidates_are_what_a_browser_needs() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call().await;
    viewer.watch(2).await;
    viewer.heard(|heard| {
        let answer = &heard.answers[0];
        let of = |prefix: &str| -> Vec<&str> {
            answer
                .lines()
                .filter_map(|l| l.strip_prefix(prefix))
                .collect()
        };
        let streams: Vec<_> = of("a=msid:")
            .iter()
            .map(|m| m.split(' ').next().unwrap())
            .collect();
        assert_eq!(streams.len(), 2, "{answer}");
        assert_eq!(streams[0], streams[1]);
        assert_eq!(of("a=sendonly").len(), 2, "{answer}");
        assert_eq!(of("a=sendrecv").len() + of("a=recvonly").len(), 0);
        let mids = of("a=mid:");
        let sps = profile_level_id(CLIP).expect("the clip has an SPS");
        let fmtp = of(&format!("a=fmtp:{} ", crate::support::viewer::H264));
        assert!(
            fmtp[0].contains(&format!("profile-level-id={sps}")),
            "{fmtp:?}"
        );
        assert!(!heard.candidates.is_empty());
        for candidate in &heard.candidates {
            let mid = candidate["sdpMid"].as_str().expect("a mid");
            assert!(mids.contains(&mid), "{candidate}");
            assert_eq!(candidate["usernameFragment"], of("a=ice-ufrag:")[0]);
        }
    });
    device.stop().await;
    chat.stop().await;
}
