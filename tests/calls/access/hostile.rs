//! A chat server, a camera and a caller that mean harm.

use super::*;

#[tokio::test]
async fn what_a_server_replays_opens_no_camera() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("alice", |i| i.stage = Stage::Shared);
    let server = Meddler::before(chat.addr).await;
    let seen = Arc::<Mutex<Vec<Value>>>::default();
    let eyes = seen.clone();
    server.meddles(move |frame| {
        if frame["type"] == "video-offer" {
            eyes.lock().expect("no panic").push(frame.clone());
        }
        vec![frame]
    });
    let device = home.device(server.url());
    let mut alice = Viewer::join(&server.url(), "alice", "camera").await;
    alice.holds(Some(Held::of(&link)));
    alice.call().await;
    alice.watch(5).await;
    alice.hang_up().await;
    until("the camera closes", SOON, async || {
        let people = watching::look(home.folder.path());
        (people["alice"].now == 0).then_some(())
    })
    .await;
    let opened = device.opened();
    // The server sends the offer again: in their name, and from another's
    // connection with candidates of its own.
    let offer = seen.lock().expect("no panic")[0].clone();
    let puppet = Viewer::join(&server.url(), "puppet", "camera").await;
    for name in ["alice", "puppet"] {
        let mut again = offer.clone();
        again["name"] = json!(name);
        puppet.send(again);
        puppet.send(
            json!({"type": "new-ice-candidate", "name": name, "target": "camera",
            "candidate": {"candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host",
                "sdpMid": "0", "sdpMLineIndex": 0}}),
        );
    }
    assert!(puppet.refusal().await.contains("was made before"));
    assert_eq!(device.opened(), opened);
    assert_eq!(puppet.heard(|h| h.answers.len()), 0);
    drop(puppet);
    device.stop().await;
    chat.stop().await;
}

/// Puts its own certificate into what passes: what a server would do that
/// wants to stand between both ends.
fn with_another_certificate(mut frame: Value) -> Value {
    let sdp = frame["sdp"]["sdp"].as_str().expect("a description");
    let swapped: String = sdp
        .split_inclusive("\r\n")
        .map(|line| match line.starts_with("a=fingerprint:") {
            true => format!("a=fingerprint:sha-256 {}\r\n", ["AB"; 32].join(":")),
            false => line.to_owned(),
        })
        .collect();
    frame["sdp"]["sdp"] = swapped.into();
    frame
}

#[tokio::test]
async fn a_hostile_server_gets_neither_the_picture_nor_the_camera_opened() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("alice", |i| i.stage = Stage::Shared);
    let server = Meddler::before(chat.addr).await;
    let device = home.device(server.url());
    let mut alice = Viewer::join(&server.url(), "alice", "camera").await;
    alice.holds(Some(Held::of(&link)));
    let of = |kind: &'static str, change: fn(Value) -> Value| {
        move |frame: Value| match frame["type"] == kind {
            true => vec![change(frame)],
            false => vec![frame],
        }
    };
    // Towards the camera: it is refused.
    let offers: [fn(Value) -> Value; 4] = [
        with_another_certificate,
        |mut frame| {
            let sdp = frame["sdp"]["sdp"].as_str().expect("text").to_owned();
            frame["sdp"]["sdp"] = sdp.replace("a=ice-ufrag:", "a=ice-ufrag:x").into();
            frame
        },
        |mut frame| {
            frame.as_object_mut().expect("an object").remove("access");
            frame
        },
        |mut frame| {
            let sdp = frame["sdp"]["sdp"].as_str().expect("text").to_owned();
            let other = format!("a=fingerprint:sha-256 {}\r\na=mid:", ["AB"; 32].join(":"));
            frame["sdp"]["sdp"] = sdp.replacen("a=mid:", &other, 1).into();
            frame
        },
    ];
    for change in offers {
        server.meddles(of("video-offer", change));
        alice.call().await;
        alice.refusal().await;
        assert_eq!(alice.heard(|h| (h.answers.len(), h.impostors)), (0, 0));
        assert_eq!(device.opened(), 0, "the camera stays closed");
        // No more often than the device tells strangers.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    // Towards alice: they take none of these for the camera's answer.
    let answers: [fn(Value) -> Value; 4] = [
        with_another_certificate,
        |mut frame| {
            frame.as_object_mut().expect("an object").remove("access");
            frame
        },
        |mut frame| {
            let sdp = frame["sdp"]["sdp"].as_str().expect("text").to_owned();
            frame["sdp"]["sdp"] = sdp.replace("a=ice-ufrag:", "a=ice-ufrag:x").into();
            frame
        },
        // Their own proof comes back to them.
        |mut frame| {
            frame["access"]["proof"] = json!("A".repeat(43));
            frame
        },
    ];
    for change in answers {
        server.meddles(of("video-answer", change));
        alice.call().await;
        alice
            .wait("an impostor", |h, _| (h.impostors > 0).then_some(()))
            .await;
        assert_eq!(alice.heard(|h| h.answers.len()), 0);
        assert_eq!(alice.received(|r| r.video.packets), 0);
        assert_eq!(device.opened(), 0, "nobody came whom DTLS knows");
    }
    server.meddles(|frame| vec![frame]);
    gets_in(&mut alice).await;
    alice.watch(5).await;
    device.stop().await;
    chat.stop().await;
}

/// An answer of another camera to which they were invited, too.
#[tokio::test]
async fn one_camera_cannot_pass_for_another() {
    let chat = Chat::start().await;
    let (home, garden) = (Home::new(), Home::new());
    let link = home.invite("alice", |_| {});
    garden.invite("alice", |_| {});
    let server = Meddler::before(chat.addr).await;
    let folder = garden.folder.path().to_owned();
    let other = Device::configured(format!("ws://{}/", chat.addr), |config| {
        config.server.name = "garden".into();
        config.access.mode = Some(AccessMode::Open);
        config.access.folder = Some(folder);
    });
    let device = home.device(format!("ws://{}/", chat.addr));
    // They call the one, and the server has the other answer.
    let mut alice = Viewer::join(&server.url(), "alice", "garden").await;
    alice.holds(Some(Held::of(&link)));
    alice.call().await;
    alice
        .wait("an impostor", |h, _| (h.impostors > 0).then_some(()))
        .await;
    assert_eq!(alice.received(|r| r.video.packets), 0);
    device.stop().await;
    other.stop().await;
    chat.stop().await;
}

/// Whoever has an invited person's words may find a path; a path is no proof.
#[tokio::test]
async fn a_caller_without_the_certificate_that_was_proven_opens_no_camera() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("alice", |i| i.stage = Stage::Shared);
    let device = home.device(format!("ws://{}/", chat.addr));
    let mut other = device.viewer("other").await;
    other.holds(Some(Held::of(&link)));
    let swap = |sdp: &str| {
        let frame = with_another_certificate(json!({"sdp": {"sdp": sdp}}));
        frame["sdp"]["sdp"].as_str().expect("text").to_owned()
    };
    other.call_as(swap).await;
    // The handshake comes to nothing, and the device gives up after 30 s.
    let words = until("the device gives up", 2 * SOON, async || {
        assert_eq!(device.opened(), 0, "the camera was opened for a path alone");
        other.heard(|h| h.hung_up.clone())
    })
    .await;
    assert!(words.contains("no media path"), "{words}");
    assert_eq!(other.heard(|h| h.answers.len()), 1, "the proof was good");
    assert_eq!(device.opened(), 0);
    assert_eq!(other.received(|r| r.video.packets), 0);
    device.stop().await;
    chat.stop().await;
}
