//! The chat server's login over real sockets: people, programs, cameras, and
//! those who guess.

mod programs;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camera_agent::chat::{Network, Options, Server, UsersFile};
use camera_agent::login;
use camera_agent::secret::Secret;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self};

use programs::Process;

use crate::chat_server::certificates::trusting;
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::nginx::Nginx;
use crate::support::users::{PASSWORD, password, remove, token, users};
use crate::support::{Chat, SOON, User, certificate, options, until};

/// A users file with alice and her password, and a chat server that asks for it.
/// What comes from this machine is what a proxy says it is.
struct House {
    chat: Chat,
    users: UsersFile,
    _folder: TempDir,
}

impl House {
    async fn start() -> Self {
        Self::with(options()).await
    }

    async fn with(mut options: Options) -> Self {
        let (folder, users) = users();
        options.users = Some(users.clone());
        options.trusted_proxies = vec!["127.0.0.1".parse::<Network>().unwrap()];
        let chat = Chat::with(options).await;
        Self {
            chat,
            users,
            _folder: folder,
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.chat.addr, method, path, headers, "").await
    }

    async fn sign_in(&self, user: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
        sign_in(self.chat.addr, user, password, headers).await
    }

    fn token(&self, name: &str) -> String {
        token(&self.users, name)
    }

    fn remove(&self, name: &str) {
        remove(&self.users, name);
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(each, _)| each.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// What a browser sends back.
    fn cookie(&self) -> String {
        let cookie = self.header("set-cookie").expect("a cookie");
        cookie.split(';').next().unwrap().to_owned()
    }
}

async fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let stream = TcpStream::connect(addr).await.unwrap();
    ask_on(stream, method, path, headers, body).await
}

async fn ask_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn form(user: &str, password: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("user", user)
        .append_pair("password", password);
    form.finish()
}

async fn sign_in(addr: SocketAddr, user: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let headers = [&kind, headers].concat();
    ask(
        addr,
        "POST",
        "/?name=alice",
        &headers,
        &form(user, password),
    )
    .await
}

/// By a proxy that says so.
fn from(address: &str) -> [(&'static str, &str); 1] {
    [("X-Forwarded-For", address)]
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A WebSocket with these headers, or the status that it is refused with.
async fn socket(addr: SocketAddr, headers: &[(&'static str, &str)]) -> Result<User, u16> {
    let mut request = format!("ws://{addr}/").into_client_request().unwrap();
    let json = ("Sec-WebSocket-Protocol", "json");
    for (name, value) in [&[json], headers].concat() {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(User::on(socket).await),
        Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_there_is_the_sign_in_page_and_nothing_else() {
    let house = House::start().await;
    for path in ["/", "/index.html", "/cam/", "/?name=x"] {
        let page = house.ask("GET", path, &[]).await;
        assert_eq!(page.status, 401, "{path}");
        assert!(page.body.contains("<form method=\"post\">"), "{path}");
        assert!(!page.body.contains("main.js"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        // With another, a form would say that it comes from nowhere.
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("form-action 'self'"), "{policy}");
    }
    for path in [
        "/main.js",
        "/cam/signaling.js",
        "/ice-servers.json",
        "/words.js",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let answer = house.ask(method, path, &[]).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            // A browser would show a window of its own.
            assert!(!answer.head.contains("Basic"), "{}", answer.head);
        }
    }
    for path in ["/style.css", "/icon.svg", "/status.json"] {
        assert_eq!(house.ask("GET", path, &[]).await.status, 200, "{path}");
    }
    let status = house.ask("POST", "/status.json", &[]).await;
    assert_eq!(status.body, r#"{"allowed":null,"signed_in":false}"#);
    assert_eq!(socket(house.chat.addr, &[]).await.err(), Some(401));
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let program = house.ask("GET", "/", &upgrade).await;
    assert!(program.head.contains("Basic realm="), "{}", program.head);
    for bad in ["Basic x", "Bearer x", "Digest x", ""] {
        let refused = socket(house.chat.addr, &[("Authorization", bad)]).await;
        assert_eq!(refused.err(), Some(401), "{bad}");
    }
    for bad in ["camera_chat_session=", "camera_chat_session=x", "x=y"] {
        let refused = socket(house.chat.addr, &[("Cookie", bad)]).await;
        assert_eq!(refused.err(), Some(401), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_has_everything_until_they_sign_out() {
    let house = House::start().await;
    let signed_in = house.sign_in("alice", PASSWORD, &[]).await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.body);
    assert_eq!(signed_in.header("location"), Some("./?name=alice"));
    let cookie = signed_in.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    // This is no https; and the folder is the browser's to know.
    assert!(
        !cookie.contains("Secure") && !cookie.contains("Path"),
        "{cookie}"
    );
    let cookie = signed_in.cookie();
    let with = [("Cookie", cookie.as_str())];
    let page = house.ask("GET", "/", &with).await;
    assert!(page.body.contains("<html lang=\"en\" data-user=\"alice\">"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for path in ["/main.js", "/ice-servers.json", "/cam/call.js"] {
        assert_eq!(house.ask("GET", path, &with).await.status, 200, "{path}");
    }
    let status = house.ask("GET", "/status.json", &with).await;
    assert_eq!(status.body, r#"{"allowed":null,"signed_in":true}"#);
    let mut alice = socket(house.chat.addr, &with).await.expect("she is in");
    let other = house.sign_in("alice", PASSWORD, &[]).await.cookie();
    assert_ne!(other, cookie);
    let mut elsewhere = socket(house.chat.addr, &[("Cookie", &other)])
        .await
        .unwrap();

    assert_eq!(house.ask("GET", "/sign-out", &with).await.status, 404);
    let foreign = [with[0], ("Origin", "https://evil.example")];
    assert_eq!(house.ask("POST", "/sign-out", &foreign).await.status, 403);
    let out = house.ask("POST", "/sign-out", &with).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(alice.closed().await, Some(1008));
    assert_eq!(socket(house.chat.addr, &with).await.err(), Some(401));
    assert_eq!(house.ask("GET", "/main.js", &with).await.status, 401);
    // The other browser of hers is where it was.
    elsewhere.claim("alice").await;
    elsewhere.list_with("alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_and_what_is_no_form_signs_nobody_in() {
    let house = House::start().await;
    let port = house.chat.addr.port();
    let own = format!("http://127.0.0.1:{port}");
    let host = format!("127.0.0.1:{port}");
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        (own.as_str(), 303),
    ] {
        let headers = [("Origin", origin), ("Host", host.as_str())];
        let answer = house.sign_in("alice", PASSWORD, &headers).await;
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(
            answer.header("set-cookie").is_some(),
            status == 303,
            "{origin}"
        );
    }
    let https = [("Origin", "https://cam.example"), ("Host", "cam.example")];
    let answer = house.sign_in("alice", PASSWORD, &https).await;
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));
    let by_proxy = [("X-Forwarded-Proto", "https")];
    let answer = house.sign_in("alice", PASSWORD, &by_proxy).await;
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let addr = house.chat.addr;
    for (kind, body) in [
        (("Content-Type", "text/plain"), form("alice", PASSWORD)),
        (kind, "user=alice".to_owned()),
        (kind, form("alice", &"x".repeat(10_000))),
        (kind, String::new()),
    ] {
        let answer = ask(addr, "POST", "/", &[kind], &body).await;
        assert_eq!(answer.status, 400, "{:.80}", body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_slowed_where_they_come_from_and_the_real_user_is_not() {
    let house = House::start().await;
    let home = from("203.0.113.1");
    assert_eq!(house.sign_in("alice", PASSWORD, &home).await.status, 303);
    let mut told = Vec::new();
    for each in 0..8 {
        let guess = format!("guess {each}");
        let answer = house.sign_in("alice", &guess, &from("203.0.113.2")).await;
        match answer.status {
            401 => {
                let words = "This name and password do not go together.";
                assert!(answer.body.contains(words), "{}", answer.body);
            }
            429 => {
                let wait = answer.header("retry-after").expect("a time");
                assert!(wait.parse::<u64>().is_ok_and(|s| (1..=300).contains(&s)));
                assert!(answer.body.contains("too many attempts"), "{}", answer.body);
            }
            other => panic!("{other}"),
        }
        assert!(answer.header("set-cookie").is_none());
        told.push(answer.status);
    }
    assert!(told.starts_with(&[401; 5]), "{told:?}");
    assert!(told[5..].contains(&429), "{told:?}");
    // From there not with the right one either; the same wrong one is no guess.
    let again = house
        .sign_in("alice", "guess 0", &from("203.0.113.2"))
        .await;
    assert_eq!(again.status, 401);
    let guess = basic("alice", "guess x");
    let program = [("Authorization", guess.as_str()), from("203.0.113.2")[0]];
    let answer = socket(house.chat.addr, &program).await;
    assert!(matches!(answer, Err(401 | 429)));
    // An unknown name is told and slowed like a known one.
    let unknown = house.sign_in("nobody", "guess", &from("203.0.113.3")).await;
    assert_eq!(unknown.status, 401);
    // From many addresses: then the name is slowed, but not where she has been.
    for each in 0..8 {
        let address = format!("198.51.100.{each}");
        let _ = house.sign_in("alice", "guess", &from(&address)).await;
    }
    let stranger = house
        .sign_in("alice", PASSWORD, &from("198.51.100.99"))
        .await;
    assert_eq!(stranger.status, 429);
    assert_eq!(house.sign_in("alice", PASSWORD, &home).await.status, 303);
    // And a token meets no brakes, in place of the password.
    let token = house.token("alice");
    until("the token is known", SOON, async || {
        let answer = house.sign_in("alice", &token, &from("198.51.100.98")).await;
        (answer.status == 303).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_out_within_a_moment_with_password_session_and_token() {
    let house = House::start().await;
    let token = house.token("camera");
    let bearer = format!("Bearer {token}");
    let camera = [("Authorization", bearer.as_str())];
    until("the token is known", SOON, async || {
        socket(house.chat.addr, &camera).await.ok()
    })
    .await;
    let cookie = house.sign_in("alice", PASSWORD, &[]).await.cookie();
    let session = [("Cookie", cookie.as_str())];
    let basic = basic("alice", PASSWORD);
    let password = [("Authorization", basic.as_str())];
    let mut open = Vec::new();
    for headers in [&session, &password] {
        open.push(socket(house.chat.addr, headers).await.expect("in"));
    }
    let mut other = socket(house.chat.addr, &camera).await.expect("in");
    house.remove("alice");
    let removed = Instant::now();
    for mut user in open {
        assert_eq!(user.closed().await, Some(1008));
    }
    // The file is looked at each 0.4 s; the rest is a loaded machine's.
    assert!(
        removed.elapsed() < Duration::from_secs(5),
        "{:?}",
        removed.elapsed()
    );
    for headers in [&session, &password] {
        assert_eq!(socket(house.chat.addr, headers).await.err(), Some(401));
    }
    other.claim("camera").await;
    other.list_with("camera").await;
    house.remove("camera");
    assert_eq!(other.closed().await, Some(1008));
    // Another password of the same user ends what went by the old one.
    password_of_bob_changes(&house).await;
}

async fn password_of_bob_changes(house: &House) {
    password(&house.users, "bob", PASSWORD);
    let cookie = until("bob is known", SOON, async || {
        // Another address each time would be slowed as well.
        let answer = house.sign_in("bob", PASSWORD, &[]).await;
        (answer.status == 303).then(|| answer.cookie())
    })
    .await;
    let session = [("Cookie", cookie.as_str())];
    let mut bob = socket(house.chat.addr, &session).await.expect("in");
    password(&house.users, "bob", "south of the river");
    assert_eq!(bob.closed().await, Some(1008));
    assert_eq!(
        house.sign_in("bob", "south of the river", &[]).await.status,
        303
    );
}

/// Guesses from a thousand addresses at once: so many are tried as memory and CPU
/// have been given them, and no more, and who talks does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_guesses_takes_neither_memory_nor_the_honest_users_places() {
    const GUESSES: u32 = 2_000;
    let (_folder, users) = users();
    let server = Process::start(&users).await;
    let addr = server.addr;
    let home = [("X-Forwarded-For", "203.0.113.1")];
    let cookie = sign_in(addr, "alice", PASSWORD, &home).await.cookie();
    let session = [("Cookie", cookie.as_str())];
    let mut alice = socket(addr, &session).await.expect("in");
    let mut again = socket(addr, &session).await.expect("in");
    alice.claim("alice").await;
    again.claim("again").await;
    alice.list_with("again").await;
    let before = server.peak();

    let began = Instant::now();
    let flood: Vec<_> = (0..16u32)
        .map(|lane| {
            tokio::spawn(async move {
                let mut tried = 0;
                for each in (lane..GUESSES).step_by(16) {
                    let address = format!("198.18.{}.{}", each / 250, each % 250);
                    let from = [("X-Forwarded-For", address.as_str())];
                    let guess = format!("guess {each}");
                    let answer = sign_in(addr, "alice", &guess, &from).await;
                    assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
                    tried += u32::from(answer.status == 401);
                }
                tried
            })
        })
        .collect();
    let mut said = 0;
    while !flood.iter().all(tokio::task::JoinHandle::is_finished) || said < 20 {
        alice
            .send(json!({"type": "message", "text": said.to_string(), "id": alice.id.clone()}))
            .await;
        // Each arrives, and none is lost or overtaken.
        assert_eq!(again.frame("message").await["text"], said.to_string());
        said += 1;
        if said == 5 {
            // She signs in from home amid all of it, at the first try.
            assert_eq!(sign_in(addr, "alice", PASSWORD, &home).await.status, 303);
        }
        // As much as the room lets anybody say.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut tried = 0;
    for lane in flood {
        tried += lane.await.unwrap();
    }
    // Eight at once and two a second; of one name fewer.
    let most = 8.0 + 2.0 * began.elapsed().as_secs_f64() + 1.0;
    assert!(f64::from(tried) <= most, "{tried} tried, {most} allowed");
    // Two trials at once of 19 MiB each, and what 16 connections take.
    let grown = server.peak() - before;
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more");
}
