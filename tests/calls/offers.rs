//! Offers of every kind, told a device over a chat server: how they are answered,
//! and that the call comes about. The device is in this process.

use std::time::Duration;

use crate::support::cpu::cpu;
use crate::support::desk;
use crate::support::inside::Device;
use crate::support::{Chat, SOON};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Kind, port and mid of each section of a description.
fn sections(sdp: &str) -> Vec<(String, String, Option<String>)> {
    let mut all = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split(' ').map(str::to_owned);
            let kind = words.next().expect("a kind");
            all.push((kind, words.next().expect("a port"), None));
        } else if let (Some(mid), Some(section)) = (line.strip_prefix("a=mid:"), all.last_mut()) {
            section.2 = Some(mid.to_owned());
        }
    }
    all
}

/// Callers of every kind, each recorded: what they are answered is in the table
/// of `src/sdp/tests/mod.rs`; here the crate makes the answer.
#[tokio::test]
async fn offers_of_the_field_are_answered_section_by_section() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 64);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the fixtures") {
        let path = file.expect("a file").path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let offer = std::fs::read_to_string(&path).expect("text");
        let viewer = device.viewer(&name).await;
        viewer.send_offer(&offer);
        let answer = viewer
            .wait("an answer or a refusal", |heard, _| {
                let answer = heard.answers.first().cloned().map(Ok);
                answer.or_else(|| heard.hung_up.clone().map(Err))
            })
            .await;
        if name == "video-rejected" {
            assert!(answer.expect_err("no picture").contains("no video section"));
            continue;
        }
        let answer = answer.unwrap_or_else(|reason| panic!("{name}: {reason}"));
        let (offered, answered) = (sections(&offer), sections(&answer));
        let same = |s: &[(String, String, Option<String>)]| -> Vec<(String, Option<String>)> {
            s.iter().map(|s| (s.0.clone(), s.2.clone())).collect()
        };
        assert_eq!(same(&answered), same(&offered), "{name}\n{answer}");
        let bundled = offer.contains("a=group:BUNDLE");
        for (kind, port, mid) in &answered {
            let other = ["image", "text", "message", "haptics"].contains(&kind.as_str())
                || mid.as_deref() == Some("floor");
            let accepted = (bundled && !other) || kind == "video";
            assert_eq!(
                port,
                if accepted { "9" } else { "0" },
                "{name} {mid:?}\n{answer}"
            );
        }
        assert!(answer.contains("a=sendonly"), "{name}\n{answer}");
        count += 1;
    }
    assert!(count >= 14, "{count} fixtures");
    device.stop().await;
    chat.stop().await;
}

/// Who begins the DTLS handshake is the offerer's to say (RFC 5763 §5); who says
/// nothing begins it (RFC 4145 §4.1).
#[tokio::test]
async fn a_caller_begins_the_handshake_or_waits_for_it_as_they_say() {
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    for (setup, ours) in [
        ("a=setup:active\r\n", "passive"),
        ("a=setup:passive\r\n", "active"),
        ("", "passive"),
    ] {
        let mut viewer = device.viewer(&format!("offers {setup:?}")).await;
        viewer
            .call_as(|sdp| {
                let offered = sdp.replace("a=setup:actpass\r\n", setup);
                assert_ne!(offered, sdp);
                offered
            })
            .await;
        viewer.watch(5).await;
        let answer = viewer.heard(|h| h.answers[0].clone());
        let mut roles = answer.lines().filter_map(|l| l.strip_prefix("a=setup:"));
        assert!(roles.all(|role| role == ours), "{setup}: {answer}");
    }
    device.stop().await;
    chat.stop().await;
}

/// As of a room system: fax, text in real time, floor control, messages, and
/// what nobody has heard of.
#[tokio::test]
async fn sections_that_are_no_call_are_rejected_in_place_and_the_others_serve() {
    const FIRST: &str = "m=image 49170 udptl t38\r\nc=IN IP4 0.0.0.0\r\n";
    const BETWEEN: &str = "m=text 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\n\
        a=mid:text\r\na=rtcp-mux\r\na=rtpmap:98 t140/1000\r\n\
        m=application 9 TCP/DTLS/BFCP *\r\na=mid:floor\r\na=floorctrl:c-s\r\n";
    const LAST: &str = "m=message 7654 TCP/TLS/MSRP *\r\na=path:msrps://caller.invalid:7654/a;tcp\r\n\
        m=haptics 9 UDP/QUIC/RTP/AVPF 100\r\na=mid:future\r\n";
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let mut viewer = device.viewer("room system").await;
    viewer
        .call_as(|sdp| {
            let sdp = sdp.replacen("m=audio", &format!("{FIRST}m=audio"), 1);
            let sdp = sdp.replacen("m=video", &format!("{BETWEEN}m=video"), 1);
            let bundled = sdp.replacen("a=group:BUNDLE 0", "a=group:BUNDLE 0 text floor", 1);
            format!("{bundled}{LAST}")
        })
        .await;
    viewer.watch(5).await;
    viewer
        .wait("sound", |_, r| (r.audio.packets > 5).then_some(()))
        .await;
    let answer = viewer.heard(|h| h.answers[0].clone());
    let found: Vec<_> = sections(&answer)
        .into_iter()
        .map(|(kind, port, _)| format!("{kind} {port}"))
        .collect();
    let expected = [
        "image 0",
        "audio 9",
        "text 0",
        "application 0",
        "video 9",
        "message 0",
        "haptics 0",
    ];
    assert_eq!(found, expected, "{answer}");
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n"), "{answer}");
    device.stop().await;
    chat.stop().await;
}

/// A chat server that relays what our own would not.
#[tokio::test]
async fn offers_nobody_can_answer_are_refused_with_a_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let device = Device::start(format!("ws://{}/", listener.local_addr().unwrap()), 8);
    let (stream, _) = listener.accept().await.unwrap();
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is the crate's"
    )]
    let with_protocol = |_: &Request, mut response: Response| {
        let json = "json".parse().unwrap();
        response
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", json);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, with_protocol)
        .await
        .unwrap();
    let long = format!("v=0\r\na=x:{}\r\n", "y".repeat(1_000_000));
    let audio_only = include_str!("../fixtures/offer-chromium.sdp")
        .split("m=video")
        .next()
        .unwrap()
        .replace("BUNDLE 0 1", "BUNDLE 0");
    let offer = |name: &str, sdp: &str| {
        json!({"type": "video-offer", "name": name, "target": "camera",
            "sdp": {"type": "offer", "sdp": sdp}})
    };
    for frame in [
        json!({"type": "id", "id": 1}),
        json!({"type": "userlist", "users": ["camera", "a", "b"]}),
        offer("a", &long),
        offer("b", &audio_only),
    ] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    for (name, reason) in [("a", "limit"), ("b", "video")] {
        let hang_up = async {
            loop {
                let message = socket.next().await.expect("open").expect("open");
                let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                if frame["type"] == "hang-up" {
                    return frame;
                }
            }
        };
        let frame = timeout(SOON, hang_up).await.expect("a hang-up");
        assert_eq!(frame["target"], name);
        let given = frame["reason"].as_str().expect("a reason");
        assert!(given.contains(reason), "{given}");
    }
    device.stop().await;
}

/// Each was checked at each of our addresses, 25 times a second for six seconds; the guard
/// let few of those leave, but each had been built and signed.
#[tokio::test]
async fn addresses_where_nobody_answers_cost_little() {
    const CALLS: usize = 12;
    let chat = Chat::start().await;
    let device = Device::of(&chat, 8);
    let candidates: String = (1..=32)
        .map(|n| format!("a=candidate:{n} 1 udp 2122260223 192.0.2.{n} 4000 typ host\r\n"))
        .collect();
    let (before, mut viewers) = (cpu(), Vec::new());
    for n in 0..CALLS {
        let viewer = device.viewer(&format!("nobody {n}")).await;
        let sdp = desk::offer(&format!("user{n}"), 'a');
        let (head, rest) = sdp.split_once("a=ice-ufrag").expect("it has one");
        viewer.send_offer(&format!("{head}{candidates}a=ice-ufrag{rest}"));
        viewer
            .wait("an answer", |h, _| (!h.answers.is_empty()).then_some(()))
            .await;
        viewers.push(viewer);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let took = cpu() - before;
    println!("{CALLS} calls that are nowhere: {took:?} of CPU time");
    assert!(took < Duration::from_secs(1), "{took:?}");
    device.stop().await;
    chat.stop().await;
}
