//! Attacks on the chat server, which the device and its viewers depend on.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{CAMERA, Ground, Stranger, again, crowd};

/// Every connection that one address gets, and each that is freed again.
pub async fn all_places(ground: Ground) {
    let one = |_| {
        let ground = ground.clone();
        async move {
            again(async || {
                if let Some(mut stranger) = Stranger::connect(&ground, 6).await {
                    stranger.listen(Duration::from_secs(60)).await;
                }
            })
            .await;
        }
    };
    crowd((0..300).map(one).collect()).await;
}

/// Sockets that begin a request and never end it.
pub async fn idle_sockets(ground: Ground) {
    let one = |_| {
        let ground = ground.clone();
        async move {
            again(async || {
                let Ok(tcp) = TcpSocket::new_v4() else { return };
                if tcp.bind((ground.address(7), 0).into()).is_err() {
                    return;
                }
                let Ok(mut stream) = tcp.connect(ground.chat).await else {
                    return;
                };
                for byte in b"GET / HTTP/1.1\r\nHost: x\r\n".iter().cycle() {
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            })
            .await;
        }
    };
    crowd((0..400).map(one).collect()).await;
}

/// Forty new names a second.
pub async fn renames(ground: Ground) {
    again(async || {
        let Some(mut stranger) = Stranger::connect(&ground, 8).await else {
            return;
        };
        let Some(frame) = stranger.frame("id").await else {
            return;
        };
        for n in 0.. {
            if stranger
                .claim(&format!("n{n}"), &frame["id"])
                .await
                .is_none()
            {
                return;
            }
            stranger.listen(Duration::from_millis(25)).await;
        }
    })
    .await;
}

/// Twelve senders of frames as large as they may be, to the camera and to all.
pub async fn large_frames(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("large{n}");
                let Some(mut stranger) = Stranger::join(&ground, 10 + n, &name).await else {
                    return;
                };
                loop {
                    let text = "x".repeat(60_000);
                    let frame = match n % 3 {
                        0 => json!({"type": "message", "text": text, "id": 0, "date": 0}),
                        _ => json!({"type": "anything", "name": name, "target": CAMERA, "text": text}),
                    };
                    if stranger.send(frame).await.is_none() {
                        return;
                    }
                    stranger.listen(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    };
    crowd((0..12).map(one).collect()).await;
}

/// Pongs nobody asked for, pings, and messages cut into crumbs.
pub async fn crumbs(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("crumbs{n}");
                let Some(mut stranger) = Stranger::join(&ground, 10 + n, &name).await else {
                    return;
                };
                loop {
                    let frame = match n {
                        0 => Message::Pong(vec![0; 8].into()),
                        1 => Message::Ping(vec![0; 8].into()),
                        2 => Message::Frame(Frame::message(
                            vec![b'x'],
                            OpCode::Data(Data::Continue),
                            false,
                        )),
                        _ => Message::text("x"),
                    };
                    if stranger.say(frame).await.is_none() {
                        return;
                    }
                }
            })
            .await;
        }
    };
    crowd((0..4).map(one).collect()).await;
}

/// Names that look like the camera's, and the camera's itself.
pub async fn names(ground: Ground) {
    again(async || {
        for name in [
            "camera",
            "Camera",
            "CAMERA ",
            "cam\u{200b}era",
            "cаmera",
            "camera\u{fe0f}",
            "ｃａｍｅｒａ",
            "camera\u{e0020}",
            "camera\u{3164}",
            "\u{202e}aremac",
        ] {
            if let Some(mut stranger) = Stranger::join(&ground, 9, name).await {
                stranger.listen(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
}

/// A thousand frames a second from fifty addresses, of all types.
pub async fn everything(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            again(async || {
                let name = format!("every{n}");
                let Some(mut stranger) = Stranger::join(&ground, 10 + n, &name).await else {
                    return;
                };
                for i in 0_u32.. {
                    let frame = match i % 6 {
                        0 => json!({"type": "video-offer", "name": name, "target": CAMERA,
                            "sdp": {"type": "offer", "sdp": super::offers::with_user("everyone")}}),
                        1 => json!({"type": "new-ice-candidate", "target": CAMERA,
                            "candidate": {"candidate": "candidate:1 1 udp 1 10.77.0.9 9 typ host"}}),
                        2 => json!({"type": "hang-up", "name": name, "target": null}),
                        3 => json!({"type": "message", "text": "hello", "id": 1, "date": 0}),
                        4 => json!({"type": "video-offer", "name": name, "target": CAMERA, "sdp": null}),
                        _ => json!([{"type": "?"}]),
                    };
                    if stranger.send(frame).await.is_none() {
                        return;
                    }
                    stranger.listen(Duration::from_millis(50)).await;
                }
            })
            .await;
        }
    };
    crowd((0..50).map(one).collect()).await;
}

/// A message of a stranger's, each of another kind.
fn hostile(number: u64, name: &str, id: &Value) -> Value {
    let to_camera = |kind: &str, more: Value| {
        let mut frame = json!({"type": kind, "name": name, "target": CAMERA});
        if let (Some(frame), Some(more)) = (frame.as_object_mut(), more.as_object()) {
            frame.extend(more.clone());
        }
        frame
    };
    let offer = |sdp: String| json!({"sdp": {"type": "offer", "sdp": sdp}});
    match number % 12 {
        0 => to_camera("video-offer", offer(super::offers::with_user("thousand"))),
        1 => to_camera("video-offer", offer("x".repeat(2_000))),
        2 => to_camera(
            "new-ice-candidate",
            json!({"candidate": {
            "candidate": format!("candidate:{number} 1 udp 1 10.77.0.9 9 typ host"),
            "sdpMLineIndex": 0, "usernameFragment": "thousand"}}),
        ),
        3 => json!({"type": "hang-up", "name": "alice", "target": CAMERA}),
        4 => json!({"type": "video-answer", "name": "alice", "target": CAMERA, "sdp": null}),
        5 => json!({"type": "message", "text": "\u{202e}hello", "id": id, "date": 0}),
        6 => json!({"type": "username", "name": format!("{name}-{number}"), "id": id, "date": 0}),
        7 => json!({"type": "username", "name": CAMERA, "id": 7, "device": true}),
        8 => json!({"type": "userlist", "users": []}),
        9 => to_camera("anything", json!({"text": "y".repeat(4_000)})),
        10 => json!([{"type": "?"}]),
        _ => json!({"type": "hang-up", "name": CAMERA, "target": "alice"}),
    }
}

/// A thousand messages a second in all, from fifty addresses; who is thrown out
/// comes again, which takes a part of their time. Each sends faster than that by as much,
/// and nothing at once: what was missed meanwhile would be many more than a thousand.
pub async fn thousand(ground: Ground) {
    let one = |n: u8| {
        let ground = ground.clone();
        async move {
            let mut due = interval(Duration::from_millis(30));
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut number = u64::from(n);
            again(async || {
                let name = format!("one{n}");
                let Some(mut stranger) = Stranger::connect(&ground, 10 + n).await else {
                    return;
                };
                let Some(frame) = stranger.frame("id").await else {
                    return;
                };
                let id = frame["id"].clone();
                if stranger.claim(&name, &id).await.is_none() {
                    return;
                }
                loop {
                    tokio::select! {
                        biased;
                        _ = due.tick() => {}
                        over = stranger.over() => return over,
                    }
                    number += 1;
                    if stranger.send(hostile(number, &name, &id)).await.is_none() {
                        return;
                    }
                }
            })
            .await;
        }
    };
    crowd((0..50).map(one).collect()).await;
}
