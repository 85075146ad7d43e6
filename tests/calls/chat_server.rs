//! The chat server over real sockets.

pub mod certificates;
mod hostile;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Chat, SOON, User, certificate, options};
use camera_agent::chat::{Error, Options, Server, Tls};
use camera_agent::wire::MAX_FRAME_BYTES;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::{self, pki_types::pem::PemObject};
use tokio_tungstenite::MaybeTlsStream;
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
    let port = chat.addr.port();
    for (host, origin, status) in [
        (None, "https://friend.example".into(), 101),
        (None, format!("http://127.0.0.1:{port}"), 101),
        // Another program of this machine.
        (None, "http://127.0.0.1:8080".into(), 403),
        // A proxy that passes the page's host on, with a certificate.
        (Some("cam.example"), "https://cam.example".into(), 101),
        // Names that may be pointed here after the page was loaded.
        (Some("x.lan:6503"), "http://x.lan:6503".into(), 403),
        (Some("router:6503"), "http://router:6503".into(), 403),
    ] {
        let mut headers = vec![json, ("Origin", origin.as_str())];
        headers.extend(host.map(|host| ("Host", host)));
        assert_eq!(refused(&chat, &headers).await, status, "{origin}");
    }
}

#[tokio::test]
async fn credentials_are_for_pages_that_may_connect() {
    let mut options = options();
    options.ice_servers = Arc::new(|| json!([{"urls": "turn:t.example", "credential": "north"}]));
    options.allowed_origins = vec!["https://friend.example".into()];
    let chat = Chat::with(options).await;
    let ask = async |method: &str, path: &str, headers: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n\r\n"
        );
        raw(&chat, request.as_bytes()).await
    };
    for (method, headers, given) in [
        ("GET", "Host: 127.0.0.1", true),
        ("GET", "Host: localhost:6503", true),
        ("GET", "Host: friend.example", true),
        ("GET", "Host: evil.example", false),
        ("GET", "Host: x.lan:6503", false),
        (
            "GET",
            "Host: 127.0.0.1\r\nOrigin: https://evil.example",
            false,
        ),
        (
            "POST",
            "Host: cam.example\r\nOrigin: https://cam.example",
            true,
        ),
        ("POST", "Host: x.lan\r\nOrigin: http://x.lan", false),
        (
            "POST",
            "Host: 127.0.0.1\r\nOrigin: https://friend.example\r\nOrigin: http://x",
            false,
        ),
    ] {
        let answer = ask(method, "/cam/ice-servers.json", headers).await;
        assert_eq!(
            answer.contains("north"),
            given,
            "{method} {headers}: {answer}"
        );
        let status = if given {
            "HTTP/1.1 200"
        } else {
            "HTTP/1.1 403"
        };
        assert!(answer.starts_with(status), "{method} {headers}: {answer}");
    }
    for (headers, allowed) in [
        ("Host: cam.example\r\nOrigin: https://cam.example", "true"),
        ("Host: cam.example\r\nOrigin: http://cam.example", "false"),
        ("Host: cam.example", "null"),
    ] {
        let answer = ask("POST", "/status.json", headers).await;
        assert!(
            answer.ends_with(&format!("{{\"allowed\":{allowed}}}")),
            "{answer}"
        );
    }
    assert!(
        ask("POST", "/main.js", "Host: x")
            .await
            .starts_with("HTTP/1.1 405")
    );
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

/// A camera on a slow line, and a crowd that sends it all it can: it is not
/// closed for it, and who calls does not wait behind them.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_is_dropped_and_a_quiet_one_is_not() {
    let mut options = options();
    options.ping_every = Duration::from_millis(500);
    // As long as a busy machine may keep the living from their answer.
    options.silence = Duration::from_secs(3);
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
    let is_file = |part: &&str| {
        [".js", ".css", ".svg"]
            .iter()
            .any(|end| part.ends_with(end))
    };
    let parts: Vec<_> = page.split(['"', '\'']).filter(is_file).collect();
    assert!(parts.len() > 5, "{parts:?}");
    for part in parts {
        for folder in ["/", "/cam/"] {
            let answer = get(&chat, &format!("{folder}{part}")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{folder}{part}");
        }
    }
    let folder = get(&chat, "/cam?name=bob").await;
    assert!(folder.starts_with("HTTP/1.1 301"), "{folder}");
    assert!(folder.contains("location: ./cam/?name=bob\r\n"), "{folder}");
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
async fn nobody_frames_the_page_but_those_who_are_named() {
    let page = get(&Chat::start().await, "/").await;
    assert!(page.contains("frame-ancestors 'none'"), "{page:.900}");
    assert!(page.contains("x-frame-options: DENY"), "{page:.900}");
    let mut options = options();
    options.frame_ancestors = vec!["'self'".into(), "https://ha.example:8123".into()];
    let page = get(&Chat::with(options).await, "/").await;
    let named = "frame-ancestors 'self' https://ha.example:8123\r\n";
    assert!(page.contains(named), "{page:.900}");
    assert!(!page.contains("x-frame-options"), "{page:.900}");
}
