//! Floods, crowds and peers that do not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{get, raw};
use crate::support::{Chat, SOON, User, options};

#[tokio::test(flavor = "multi_thread")]
async fn junk_costs_its_sender_alone() {
    let chat = Chat::start().await;
    let mut alice = User::join(chat.addr, "alice").await;
    let handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: json\r\n\r\n";
    // A reserved opcode; an unmasked frame; a length of 2^63; text that is not UTF-8.
    let frames: [&[u8]; 4] = [
        b"\x8f\x80\0\0\0\0",
        b"\x81\x02{}",
        b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0",
        b"\x81\x82\0\0\0\0\xff\xfe",
    ];
    for frame in frames {
        let answer = raw(&chat, &[handshake.as_bytes(), frame].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }
    for request in [
        b"\0\xff\x16\x03\x01".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        [
            b"GET /".as_slice(),
            &vec![b'x'; 100_000],
            b" HTTP/1.1\r\n\r\n",
        ]
        .concat(),
        [
            b"GET / HTTP/1.1\r\nX: ".as_slice(),
            &vec![b'x'; 100_000],
            b"\r\n\r\n",
        ]
        .concat(),
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nabcd"
            .to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n"
            .to_vec(),
    ] {
        let answer = raw(&chat, &request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer:.200}"
        );
    }

    let mut eve = User::connect(chat.addr).await;
    for text in [
        "{",
        "[]",
        "\u{0}",
        r#"{"type":"username","id":1,"name":"x"}"#,
        r#"{"type":"message","id":null}"#,
    ] {
        eve.socket.send(Message::text(text)).await.unwrap();
    }
    eve.socket
        .send(Message::binary(vec![0; 100]))
        .await
        .unwrap();
    eve.claim("eve").await;
    eve.list_with("eve").await;

    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_ends_in_1008_and_others_are_served() {
    let chat = Chat::start().await;
    let mut alice = User::join(chat.addr, "alice").await;
    let eve = User::join(chat.addr, "eve").await;
    let (mut sink, mut stream) = eve.socket.split();
    let flood = tokio::spawn(async move {
        while sink
            .send(Message::text(r#"{"type":"x","target":"alice"}"#))
            .await
            .is_ok()
        {}
    });
    let closed = timeout(SOON, async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Close(close))) => return close.map(|c| u16::from(c.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    });
    assert_eq!(closed.await.expect("the flood ends"), Some(1008));
    flood.abort();
    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_reads_nothing_is_closed_and_others_are_served() {
    let mut options = options();
    options.limits.per_second = 1_000_000;
    options.limits.burst = 1_000_000;
    options.ping_every = Duration::from_secs(1);
    options.silence = Duration::from_secs(1);
    let chat = Chat::with(options).await;
    let mut alice = User::join(chat.addr, "alice").await;
    let _stuck = User::join(chat.addr, "stuck").await;
    alice.list_with("stuck").await;
    let block = "x".repeat(60_000);
    for round in 0..2000 {
        alice
            .send(json!({"type": "x", "target": "stuck", "block": block}))
            .await;
        alice
            .send(json!({"type": "round", "target": "alice", "round": round}))
            .await;
        // A list comes between when the stuck one is dropped.
        let next = alice.socket.next().await.unwrap().unwrap();
        if next.to_text().is_ok_and(|text| text.contains("userlist")) {
            return;
        }
    }
    panic!("120 MB are sent to a peer that reads nothing");
}

/// A camera whose system holds little for it, as on a thin line.
async fn thin(addr: SocketAddr, name: &str) -> User {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(32 * 1024).unwrap();
    let stream = tcp.connect(addr).await.unwrap();
    let mut request = format!("ws://{addr}/").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
    let stream = MaybeTlsStream::Plain(stream);
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    let mut user = User::on(socket).await;
    user.claim(name).await;
    user.list_with(name).await;
    user
}

/// What is read before the call is counted and not timed: of each sender who
/// has more one frame, and what the systems on both ends hold. All that waits
/// would be 64 frames and more.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_is_not_closed_for_what_others_send_and_a_caller_is_heard() {
    const SENDERS: usize = 12;
    const BLOCK: usize = 16_000;
    /// The server's system keeps 64 kB, which it doubles, and the camera's 32.
    const ON_THE_WAY: usize = 2 * (64 + 32) * 1024 / BLOCK;
    let mut options = options();
    options.ping_every = Duration::from_millis(500);
    options.silence = Duration::from_secs(5);
    // All that matters here is what waits.
    options.limits.burst = 1_000_000;
    options.limits.per_second = 1_000_000;
    let chat = Chat::with(options).await;
    let addr = chat.addr;
    let mut camera = thin(addr, "camera").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let crowd: Vec<_> = (0..SENDERS)
        .map(|number| {
            let sent = sent.clone();
            tokio::spawn(async move {
                let mut eve = User::join(addr, &format!("eve {number}")).await;
                let block = "x".repeat(BLOCK);
                let frame = json!({"type": "x", "target": "camera", "block": block}).to_string();
                while eve.socket.send(Message::text(frame.clone())).await.is_ok() {
                    sent.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    // Some 5 Mbit/s. How many others come first.
    let mut read = async |what: &str| {
        for others in 0.. {
            let next = timeout(SOON, camera.socket.next()).await;
            let next = next.expect("something comes").expect("still open");
            if let Message::Text(text) = next.unwrap() {
                tokio::time::sleep(Duration::from_micros(text.len() as u64 * 8 / 5)).await;
                if text.contains(what) {
                    return others;
                }
            }
        }
        unreachable!("it is read for ever")
    };
    // Until far more was sent than is read or waits.
    let mut blocks = 0;
    while sent.load(Relaxed) < blocks + 200 {
        blocks += 1 + read("block").await;
    }
    let mut alice = User::join(addr, "alice").await;
    for (kind, target) in [("video-offer", "camera"), ("seen", "alice")] {
        alice
            .send(json!({"type": kind, "target": target, "sdp": {"sdp": "v=0"}}))
            .await;
    }
    // From here on the call waits for the camera; so does all the rest.
    alice.frame("seen").await;
    let before = read("video-offer").await;
    assert!(before <= ON_THE_WAY + SENDERS + 2, "{before} came first");
    for _ in 0..10 {
        read("block").await;
    }
    for eve in crowd {
        assert!(!eve.is_finished(), "a sender was closed");
        eve.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pongs_or_of_fragments_is_closed() {
    let chat = Chat::start().await;
    let mut alice = User::join(chat.addr, "alice").await;
    let handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: json\r\n\r\n";
    let first = b"\x01\x81\0\0\0\0x".to_vec();
    for (start, frame) in [
        (vec![], b"\x8a\x80\0\0\0\0".to_vec()),
        (vec![], b"\x89\x80\0\0\0\0".to_vec()),
        (first.clone(), b"\x00\x81\0\0\0\0x".to_vec()),
        (first, b"\x00\x80\0\0\0\0".to_vec()),
    ] {
        let begun = Instant::now();
        // What comes right behind the handshake counts, too.
        let flood = [handshake.as_bytes(), &start, &frame.repeat(5_000)].concat();
        let answer = raw(&chat, &flood).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer:.200}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }
    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

/// Who was never in the chat holds no descriptor for a goodbye.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_away_is_closed_at_once() {
    let mut options = options();
    options.limits.connections = 1;
    options.limits.reserve = 0;
    let chat = Chat::with(options).await;
    let mut alice = User::join(chat.addr, "alice").await;
    let handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: json\r\n\r\n";
    // The close frame is not answered.
    let asked = Instant::now();
    let answer = raw(&chat, handshake.as_bytes()).await;
    assert!(answer.contains("the chat is full"), "{answer}");
    assert!(
        asked.elapsed() < Duration::from_millis(700),
        "{:?}",
        asked.elapsed()
    );
    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

/// Few enough that the frames' own limit lets them pass.
#[tokio::test(flavor = "multi_thread")]
async fn who_pings_without_end_and_reads_nothing_is_closed() {
    let chat = Chat::start().await;
    let mut eve = User::join(chat.addr, "eve").await;
    for _ in 0..200 {
        let ping = Message::Ping(vec![b'x'; 125].into());
        if eve.socket.send(ping).await.is_err() {
            break;
        }
    }
    assert_eq!(eve.closed().await, Some(1008));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_delay_nobody_and_connections_without_a_name_are_closed() {
    let mut options = options();
    // A busy machine takes a while to give alice hers.
    options.limits.nameless = Duration::from_secs(3);
    let chat = Chat::with(options).await;
    let mut idle = Vec::new();
    for _ in 0..384 {
        idle.push(TcpStream::connect(chat.addr).await.unwrap());
    }
    let asked = Instant::now();
    assert!(get(&chat, "/").await.starts_with("HTTP/1.1 200"));
    let mut alice = User::join(chat.addr, "alice").await;
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    let mut nameless = User::connect(chat.addr).await;
    assert_eq!(nameless.closed().await, Some(1008));
    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

/// Upgrades as somebody for whom a proxy asks.
async fn from(chat: &Chat, address: &str) -> User {
    let mut request = format!("ws://{}/", chat.addr)
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
    headers.insert("X-Forwarded-For", address.parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    User {
        socket,
        id: json!(null),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_by_address_as_a_trusted_proxy_tells_it() {
    let mut options = options();
    options.limits.per_source = 2;
    options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let chat = Chat::with(options).await;
    let join = async |address: &str, name: &str| {
        let mut user = from(&chat, address).await;
        user.id = user.frame("id").await["id"].clone();
        user.claim(name).await;
        user.list_with(name).await;
        user
    };
    let _first = join("203.0.113.9", "first").await;
    let _second = join("198.51.100.7, 203.0.113.9", "second").await;
    assert_eq!(
        from(&chat, "8.8.8.8, 203.0.113.9").await.closed().await,
        Some(1013)
    );
    let _third = join("203.0.113.10", "third").await;
    let _v6 = join("2001:db8::1", "v6").await;
    let _same = join("2001:db8::2", "same").await;
    assert_eq!(from(&chat, "2001:db8::3").await.closed().await, Some(1013));
}

/// One socket asked as fast as it was answered, for a minute, and then another did.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_without_end_is_closed_and_others_are_served() {
    let mut options = options();
    options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let chat = Chat::with(options).await;
    let asks = |address: &str| {
        format!("GET /status.json HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\n\r\n")
    };
    let eve = "203.0.113.9";
    let began = Instant::now();
    let socket = TcpStream::connect(chat.addr).await.expect("connected");
    let (mut reader, mut writer) = socket.into_split();
    let flood = asks(eve).repeat(3_000);
    // It fails as the socket is closed.
    let writes = tokio::spawn(async move { writer.write_all(flood.as_bytes()).await });
    let mut answers = Vec::new();
    let _ = timeout(Duration::from_secs(20), reader.read_to_end(&mut answers)).await;
    let _ = writes.await;
    let answers = String::from_utf8_lossy(&answers);
    let served = answers.matches("HTTP/1.1 200").count() as u64;
    let most = 600 + 60 * (began.elapsed().as_secs() + 1);
    assert!(
        (100..=most).contains(&served),
        "{served} of 3000: {answers:.300}"
    );
    let once = |address: &str| asks(address).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answer = raw(&chat, once("203.0.113.10").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
