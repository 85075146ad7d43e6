//! The chat server over real sockets.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use camera_agent::chat::{Error, Options, Server, Tls};
use camera_agent::wire::MAX_FRAME_BYTES;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use support::{Chat, SOON, User, options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::{self, pki_types::pem::PemObject};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

/// Sends bytes and reads until the server closes.
async fn raw(chat: &Chat, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(chat.addr).await.unwrap();
    // The server may have refused and closed before it is all written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(chat: &Chat, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    raw(chat, request.as_bytes()).await
}

/// The answer's status to a WebSocket request with these header changes.
async fn refused(chat: &Chat, headers: &[(&'static str, &str)]) -> u16 {
    let mut request = format!("ws://{}/", chat.addr)
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    }
}

#[tokio::test]
async fn people_join_rename_talk_and_leave() {
    let chat = Chat::start().await;
    let mut alice = User::join(chat.addr, "alice").await;
    let mut bob = User::join(chat.addr, "alice").await;
    assert_eq!(
        alice.list_with("alice1").await["users"],
        json!(["alice", "alice1"])
    );
    bob.claim("bob").await;
    alice.list_with("bob").await;
    bob.send(json!({"type": "message", "text": "<i>hi</i>", "id": bob.id.clone()}))
        .await;
    let line = alice.frame("message").await;
    assert_eq!(
        (&line["text"], &line["name"]),
        (&json!("hi"), &json!("bob"))
    );
    alice
        .send(json!({"type": "video-offer", "name": "forged", "target": "bob", "sdp": {"type": "offer", "sdp": "v=0\r\n"}}))
        .await;
    assert_eq!(
        bob.frame("video-offer").await,
        json!({"type": "video-offer", "name": "alice", "target": "bob", "sdp": {"type": "offer", "sdp": "v=0\r\n"}})
    );
    bob.socket.close(None).await.unwrap();
    loop {
        let list = alice.frame("userlist").await;
        if list["users"] == json!(["alice"]) {
            break;
        }
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_websocket_without_the_subprotocol_or_of_another_site_is_refused() {
    let mut options = options();
    options.allowed_origins = vec!["https://friend.example".into()];
    let chat = Chat::with(options).await;
    let json = ("Sec-WebSocket-Protocol", "json");
    assert_eq!(refused(&chat, &[]).await, 400);
    assert_eq!(
        refused(&chat, &[("Sec-WebSocket-Protocol", "xml")]).await,
        400
    );
    assert_eq!(
        refused(&chat, &[json, ("Origin", "https://evil.example")]).await,
        403
    );
    assert_eq!(refused(&chat, &[json, ("Origin", "null")]).await, 403);
    for origin in [
        "https://friend.example",
        "http://127.0.0.1",
        "http://127.0.0.1:8080",
    ] {
        assert_eq!(
            refused(&chat, &[json, ("Origin", origin)]).await,
            101,
            "{origin}"
        );
    }
}

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
async fn a_frame_over_the_limit_closes_with_1009() {
    let chat = Chat::start().await;
    let mut alice = User::join(chat.addr, "alice").await;
    for size in [MAX_FRAME_BYTES + 1, 1_000_000] {
        let user = User::join(chat.addr, "eve").await;
        let (mut sink, mut stream) = user.socket.split();
        let sending = tokio::spawn(async move {
            // Fails when the server closes first.
            let _ = sink.send(Message::text("x".repeat(size))).await;
            sink
        });
        let code = timeout(SOON, async {
            loop {
                match stream.next().await {
                    Some(Ok(Message::Close(close))) => return close.map(|c| u16::from(c.code)),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        });
        assert_eq!(code.await.expect("closes"), Some(1009));
        sending.abort();
    }
    let limit = "x".repeat(MAX_FRAME_BYTES - 100);
    // Up to the limit to one, but not to everyone.
    alice.send(json!({"type": "loud", "x": limit})).await;
    alice
        .send(json!({"type": "big", "x": limit, "target": "alice"}))
        .await;
    alice.frame("big").await;
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
        if next.to_text().unwrap().contains("userlist") {
            return;
        }
    }
    panic!("120 MB are queued for a peer that reads nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_is_dropped_and_a_quiet_one_is_not() {
    let mut options = options();
    options.ping_every = Duration::from_millis(200);
    options.silence = Duration::from_millis(300);
    let chat = Chat::with(options).await;
    let mut alice = User::join(chat.addr, "alice").await;
    // Never polled again, so it answers no ping.
    let _dead = User::join(chat.addr, "dead").await;
    alice.list_with("dead").await;
    let list = alice.frame("userlist").await;
    assert_eq!(list["users"], json!(["alice"]));
}

/// A device or page that comes back over another network, before the server
/// misses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_dead_peer_has_is_free_soon_after_another_asks_for_it() {
    let chat = Chat::start().await;
    let mut alice = User::join(chat.addr, "alice").await;
    // Never polled again, so it answers no ping.
    let _dead = User::join(chat.addr, "cam").await;
    alice.list_with("cam").await;
    let asked = Instant::now();
    alice.claim("cam").await;
    assert_eq!(alice.frame("rejectusername").await["name"], "cam1");
    loop {
        let list = alice.frame("userlist").await;
        if list["users"] == json!(["cam1"]) {
            break;
        }
    }
    assert!(asked.elapsed() < Duration::from_secs(5));
    chat.stop().await;
}

#[tokio::test]
async fn a_full_chat_says_so() {
    let mut options = options();
    options.limits.connections = 1;
    let chat = Chat::with(options).await;
    let _alice = User::join(chat.addr, "alice").await;
    let mut request = format!("ws://{}/", chat.addr)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else {
        panic!("not closed")
    };
    assert_eq!(u16::from(close.code), 1013);
}

#[tokio::test]
async fn slow_headers_are_not_waited_for() {
    let mut options = options();
    options.header_timeout = Duration::from_millis(200);
    let chat = Chat::with(options).await;
    let answer = raw(&chat, b"GET / HTTP/1.1\r\nHo").await;
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn shutdown_says_goodbye_and_the_port_is_free_again() {
    let chat = Chat::start().await;
    let addr = chat.addr;
    let mut alice = User::join(addr, "alice").await;
    let (code, ()) = tokio::join!(alice.closed(), chat.stop());
    assert_eq!(code, Some(1001));
    Server::bind(Options::new(addr)).await.unwrap();
}

#[tokio::test]
async fn the_page_and_its_headers() {
    let mut options = options();
    options.ice_servers = Arc::new(|| json!([{"urls": "stun:stun.example"}]));
    let chat = Chat::with(options).await;
    let page = get(&chat, "/").await;
    assert!(page.starts_with("HTTP/1.1 200"));
    let lower = page.to_ascii_lowercase();
    for header in [
        "content-type: text/html",
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "permissions-policy: camera=(self), microphone=(self)",
        "cache-control: no-cache",
    ] {
        assert!(lower.contains(header), "{header} in {page:.900}");
    }
    // All that the page refers to is there.
    for part in page
        .split(['"', '\''])
        .filter(|p| p.starts_with('/') && p.contains('.'))
    {
        assert!(get(&chat, part).await.starts_with("HTTP/1.1 200"), "{part}");
    }
    let etag = lower
        .split("etag: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let again =
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-None-Match: {etag}\r\n\r\n");
    assert!(
        raw(&chat, again.as_bytes())
            .await
            .starts_with("HTTP/1.1 304")
    );
    let ice = get(&chat, "/ice-servers.json").await;
    assert!(ice.ends_with(r#"[{"urls":"stun:stun.example"}]"#), "{ice}");
    assert!(ice.to_ascii_lowercase().contains("cache-control: no-store"));
    assert!(
        get(&chat, "/../Cargo.toml")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

#[tokio::test]
async fn with_a_certificate_it_speaks_wss() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut options = options();
    options.tls = Some(Tls {
        cert: cert.clone(),
        key,
    });
    let chat = Chat::with(options).await;

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_file(&cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut request = format!("wss://localhost:{}/", chat.addr.port())
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
    let stream = TcpStream::connect(chat.addr).await.unwrap();
    let connector = tokio_tungstenite::Connector::Rustls(Arc::new(config));
    let (socket, _) =
        tokio_tungstenite::client_async_tls_with_config(request, stream, None, Some(connector))
            .await
            .unwrap();
    let mut alice = User::on(socket).await;
    alice.claim("alice").await;
    alice.list_with("alice").await;
    // Plain HTTP on the TLS port harms nothing.
    get(&chat, "/").await;
    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_named_with_the_remedy() {
    let chat = Chat::start().await;
    let error = Server::bind(Options::new(chat.addr)).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse(_)));
    assert!(error.to_string().contains(&chat.addr.port().to_string()));

    let with = |cert: &std::path::Path, key: &std::path::Path| {
        let mut options = options();
        options.tls = Some(Tls {
            cert: cert.into(),
            key: key.into(),
        });
        Server::bind(options)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a", "b"] {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(
            path(&format!("{name}.key")),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
    }
    std::fs::write(path("empty"), "").unwrap();
    let missing = with(&path("none.pem"), &path("a.key")).await.unwrap_err();
    assert!(matches!(&missing, Error::Certificate { path, .. } if path.ends_with("none.pem")));
    let empty = with(&path("empty"), &path("a.key")).await.unwrap_err();
    assert!(matches!(empty, Error::Certificate { .. }));
    let no_key = with(&path("a.pem"), &path("empty")).await.unwrap_err();
    assert!(matches!(no_key, Error::Key { .. }));
    let strangers = with(&path("a.pem"), &path("b.key")).await.unwrap_err();
    assert!(matches!(strangers, Error::Pair { .. }), "{strangers}");
}
