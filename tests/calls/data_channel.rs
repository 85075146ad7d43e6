//! The data channel over real sockets: what viewers are told, and what they
//! cannot do with it.

use std::time::Duration;

use crate::support::inside::Device;
use crate::support::viewer::{Heard, Viewer};
use crate::support::{Chat, SOON, until};
use serde_json::{Value, json};

const LABEL: &str = "camera-agent";

fn is_live(message: &Value) -> bool {
    message["type"] == "status" && message["video"]["state"] == "live"
}

fn comes_unasked(message: &Value) -> bool {
    message["type"] == "status" || message["type"] == "qualities"
}

#[tokio::test]
async fn a_viewer_with_a_channel_is_told_the_status_and_one_without_is_answered_as_ever() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let (mut told, mut plain) = (device.viewer("told").await, device.viewer("plain").await);
    told.call_with(&[LABEL]).await;
    let status = told.told("the picture is live", is_live).await;
    assert_eq!(
        status["video"],
        json!({"state": "live", "text": "", "reason": ""})
    );
    told.told("the sound is live", |m| m["audio"]["state"] == "live")
        .await;
    told.watch(15).await;
    told.heard(|h| {
        let answer = &h.answers[0];
        assert_eq!(answer.matches("m=application 9 ").count(), 1, "{answer}");
        assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
        let bundle = answer.lines().find(|l| l.starts_with("a=group:BUNDLE"));
        assert_eq!(
            bundle.map(|l| l.split(' ').count()),
            Some(4),
            "three sections in one bundle: {answer}"
        );
        let types: Vec<_> = h.messages.iter().map(|m| &m["type"]).collect();
        assert!(
            h.messages.iter().all(comes_unasked),
            "nothing else: {types:?}"
        );
        let qualities = h.messages.iter().filter(|m| m["type"] == "qualities");
        let qualities: Vec<_> = qualities.map(|m| m["count"].as_u64()).collect();
        assert_eq!(
            qualities,
            [Some(2)],
            "the whole picture and the smaller one"
        );
    });

    plain.call().await;
    plain.watch(15).await;
    plain.heard(|h| assert!(!h.answers[0].contains("m=application"), "{}", h.answers[0]));
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn the_channel_outlives_renegotiation_and_ice_restart() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call_with(&[LABEL]).await;
    viewer.told("live", is_live).await;
    for round in 1..3 {
        match round {
            1 => viewer.renegotiate().await,
            _ => viewer.restart_ice().await,
        }
        viewer
            .wait("another answer", |h, _| {
                (h.answers.len() == round + 1).then_some(())
            })
            .await;
        viewer.watch(30).await;
        let before = viewer.heard(|h| h.messages.len());
        let message = json!({"type": "control", "name": format!("round {round}"), "value": 1});
        viewer.tell(&message.to_string()).await.expect("it is open");
        viewer
            .wait("an answer over the channel", |h, _| {
                h.messages[before..]
                    .iter()
                    .any(|m| m["type"] == "error" && m["about"] == "control")
                    .then_some(())
            })
            .await;
    }
    viewer.heard(|h| assert!(!h.channel_closed));
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn setting_controls_is_off_by_default_and_the_viewer_is_told_so() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call_with(&[LABEL]).await;
    viewer.told("live", is_live).await;
    let message = json!({"type": "control", "name": "brightness", "value": 12});
    viewer.tell(&message.to_string()).await.expect("it is open");
    let error = viewer.told("an error", |m| m["type"] == "error").await;
    assert_eq!(error["text"], "viewers may not set this camera's controls");
    viewer.heard(|h| assert!(h.messages.iter().all(|m| m["type"] != "controls")));
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_source_without_controls_says_so_where_viewers_may_set_them() {
    let chat = Chat::start().await;
    let device = Device::with(&chat, |config| {
        config.video.viewer_controls = vec!["*".into()];
    });
    let mut viewer = device.viewer("viewer").await;
    viewer.call_with(&[LABEL]).await;
    let list = viewer.told("a list", |m| m["type"] == "controls").await;
    assert_eq!(list["controls"], json!([]));
    let message = json!({"type": "control", "name": "brightness", "value": 12});
    viewer.tell(&message.to_string()).await.expect("it is open");
    let error = viewer.told("an error", |m| m["type"] == "error").await;
    let words = error["text"].as_str().expect("text");
    assert!(words.contains("no camera controls"), "{words}");
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn garbage_and_floods_disturb_nobody_and_the_channel_goes_on() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let (mut viewer, mut flooder) = (
        device.viewer("viewer").await,
        device.viewer("mallory").await,
    );
    viewer.call_with(&[LABEL]).await;
    flooder.call_with(&[LABEL]).await;
    viewer.told("live", is_live).await;
    flooder.told("live", is_live).await;
    viewer.watch(5).await;

    let long = "y".repeat(60_000);
    for text in [
        "",
        "hello",
        "[]",
        "{\"type\":7}",
        "{\"type\":\"tomorrow\"}",
        "{\"type\":\"control\"}",
        &long,
    ] {
        flooder.tell(text).await.expect("it is open");
    }
    let control = json!({"type": "control", "name": "x", "value": 1}).to_string();
    for _ in 0..5_000 {
        flooder.tell(&control).await.expect("it is open");
    }
    viewer.watch(30).await;
    viewer.received(|r| assert_eq!((r.video.gaps, r.audio.gaps), (0, 0)));

    // The flood was read at the rate; the rest fell on the floor.
    let errors = |h: &Heard| h.messages.iter().filter(|m| m["type"] == "error").count();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answered = flooder.heard(errors);
    assert!(
        (1..=200).contains(&answered),
        "{answered} of 5000 were answered"
    );
    // And they are listened to again.
    flooder.tell(&control).await.expect("it is open");
    flooder
        .wait("one more answer", |h, _| {
            (errors(h) > answered).then_some(())
        })
        .await;
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn channels_of_other_names_are_closed_and_too_many_end_the_call() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    viewer.call_with(&["chat", LABEL]).await;
    viewer.told("live, on the second", is_live).await;
    viewer
        .wait("the first is closed", |h, _| h.channel_closed.then_some(()))
        .await;
    for i in 0..20 {
        viewer.open_channel(&format!("more {i}")).await;
    }
    let reason = viewer.refusal().await;
    assert!(reason.contains("data channels"), "{reason}");
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_call_that_ended_leaves_no_task() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("viewer").await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    // The first call may start what stays.
    for round in 0..3 {
        let before = tasks();
        viewer.call_with(&[LABEL, "other"]).await;
        viewer.told("live", is_live).await;
        assert!(tasks() > before);
        viewer.hang_up().await;
        until("the call's tasks are gone", SOON, async || {
            (tasks() <= before).then_some(())
        })
        .await;
        println!("round {round}: {before} tasks before, {} after", tasks());
    }
    device.stop().await;
    chat.stop().await;
}

/// Who asks is told the time of the device, which is that of this machine.
async fn tells_the_time(viewer: &Viewer) {
    viewer
        .tell(r#"{"type":"ping","id":7}"#)
        .await
        .expect("open");
    let pong = viewer.told("a pong", |m| m["type"] == "pong").await;
    assert_eq!(pong["id"], 7);
    let since_1970 = std::time::UNIX_EPOCH.elapsed().expect("the clock is set");
    let difference = since_1970.as_secs_f64() * 1e3 - pong["now_ms"].as_f64().expect("a number");
    assert!((0.0..5_000.0).contains(&difference), "{difference} ms");
}

/// What they were told of their stream so far.
fn stats_of(heard: &Heard) -> Vec<Value> {
    let stats = heard.messages.iter().filter(|m| m["type"] == "stats");
    stats.cloned().collect()
}

/// The frames, bytes and packets that came so far.
fn came(viewer: &Viewer) -> (u64, u64, u64) {
    viewer.received(|r| {
        let packets = r.video.packets + r.audio.packets;
        (r.video.frames, r.video.bytes + r.audio.bytes, packets)
    })
}

/// What they are told of their stream fits what comes in the same time.
async fn numbers_fit_what_comes(viewer: &Viewer, asked: std::time::Instant) {
    let first = viewer
        .wait("stats", |h, _| match stats_of(h).len() {
            0 => None,
            number => Some(number),
        })
        .await;
    let (before, began) = (came(viewer), std::time::Instant::now());
    viewer
        .wait("three more", |h, _| {
            (stats_of(h).len() >= first + 3).then_some(())
        })
        .await;
    let (after, seconds) = (came(viewer), began.elapsed().as_secs_f64());
    // A second each, not more often, since they asked: what is seen late makes it no less.
    let number = (first + 3) as f64;
    let since = asked.elapsed().as_secs_f64();
    assert!(since > 0.9 * (number - 1.0), "{number} in {since} s");
    let stats = viewer.heard(|h| stats_of(h)[first..first + 3].to_vec());
    let mean = |key: &str| {
        let sum: f64 = stats.iter().filter_map(|m| m[key].as_f64()).sum();
        sum / stats.len() as f64
    };
    let fps = (after.0 - before.0) as f64 / seconds;
    assert!(
        (mean("fps") - fps).abs() < 4.0,
        "{fps} frames/s came: {stats:?}"
    );
    // RTP headers with their extensions are 12 to 32 bytes.
    let payload = (after.1 - before.1) as f64 * 8.0 / seconds;
    let packets = (after.2 - before.2) as f64 * 8.0 / seconds;
    let (least, most) = (payload + packets * 12.0, payload + packets * 32.0);
    let sent = mean("sent_bps");
    assert!(
        (least * 0.85..most * 1.15).contains(&sent),
        "{least} to {most} bit/s came: {stats:?}"
    );
    for told in &stats {
        tells_of_a_clear_path(told);
    }
}

/// Nothing is lost between two ends on one machine.
fn tells_of_a_clear_path(told: &Value) {
    assert_eq!(
        (&told["tier"], &told["thinned"]),
        (&json!(0), &json!(false))
    );
    assert!(told["loss"].as_f64().is_some_and(|l| l < 0.05), "{told}");
    assert!(told["estimate_bps"].as_u64().is_some_and(|e| e >= 100_000));
    assert!(
        told["rtt_ms"].as_f64().is_some_and(|ms| ms < 500.0),
        "{told}"
    );
}

#[tokio::test]
async fn who_asks_is_told_how_their_stream_goes_and_what_time_it_is_there() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let (mut viewer, mut other) = (device.viewer("viewer").await, device.viewer("other").await);
    viewer.call_with(&[LABEL]).await;
    other.call_with(&[LABEL]).await;
    viewer.told("live", is_live).await;
    other.told("live", is_live).await;
    viewer.watch(15).await;
    viewer.heard(|h| assert!(h.messages.iter().all(comes_unasked)));

    tells_the_time(&viewer).await;
    let asked = std::time::Instant::now();
    viewer
        .tell(r#"{"type":"stats","on":true}"#)
        .await
        .expect("open");
    numbers_fit_what_comes(&viewer, asked).await;

    viewer
        .tell(r#"{"type":"stats","on":false}"#)
        .await
        .expect("open");
    viewer.tell(r#"{"type":"stats"}"#).await.expect("open");
    viewer
        .told("what is wrong", |m| {
            m["type"] == "error" && m["about"] == "stats"
        })
        .await;
    // That was said behind the last of them.
    let told_so_far = viewer.heard(|h| stats_of(h).len());
    tokio::time::sleep(Duration::from_secs(2)).await;
    viewer.heard(|h| assert_eq!(stats_of(h).len(), told_so_far, "they asked for no more"));
    other.heard(|h| assert!(h.messages.iter().all(comes_unasked)));
    device.stop().await;
    chat.stop().await;
}
