//! The chat server's login over real sockets: people, programs, cameras, and
//! those who guess.

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

/// The chat server as a process, and its log.
struct Process {
    child: Child,
    addr: SocketAddr,
    log: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Process {
    async fn start(users: &UsersFile) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .args([
                "chat",
                "--listen",
                "127.0.0.1:0",
                "--trusted-proxy",
                "127.0.0.1",
            ])
            .arg("--users-file")
            .arg(users.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (said, log) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = said.send(line);
            }
        });
        let mut process = Self {
            child,
            addr: ([127, 0, 0, 1], 0).into(),
            log,
        };
        let line = process.says("the page is at").await;
        let port = line.split("localhost:").nth(1).unwrap();
        process
            .addr
            .set_port(port.split('/').next().unwrap().parse().unwrap());
        process
    }

    async fn says(&mut self, words: &str) -> String {
        loop {
            let line = timeout(SOON, self.log.recv()).await;
            let line = line.unwrap_or_else(|_| panic!("it did not say {words:?}"));
            let line = line.unwrap_or_else(|| panic!("it ended before it said {words:?}"));
            assert!(!line.contains("north") && !line.contains("$v=19"), "{line}");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn hang_up(&self) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// The most memory that it had, in bytes.
    fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_signed_in_and_who_failed_and_a_bad_file_changes_nothing() {
    let (_folder, users) = users();
    let mut server = Process::start(&users).await;
    assert_eq!(
        sign_in(server.addr, "alice", PASSWORD, &[]).await.status,
        303
    );
    let line = server.says("signed in").await;
    assert!(line.contains("alice"), "{line}");
    let wrong = sign_in(server.addr, "alice", "northern lights", &[]).await;
    assert_eq!(wrong.status, 401);
    let line = server.says("a wrong password").await;
    assert!(
        line.contains("alice") && line.contains("127.0.0.1"),
        "{line}"
    );
    // People type passwords where the name belongs.
    let _ = sign_in(server.addr, PASSWORD, "x", &[]).await;
    server.says("a name that nobody has").await;

    let good = std::fs::read_to_string(users.path()).unwrap();
    std::fs::write(users.path(), "alice:north").unwrap();
    let line = server.says("The users read before stay in force").await;
    assert!(line.contains("line 1") && line.contains("ERROR"), "{line}");
    assert_eq!(
        sign_in(server.addr, "alice", PASSWORD, &[]).await.status,
        303
    );
    std::fs::write(users.path(), good).unwrap();
    server.hang_up();
    server.says("took the users anew").await;
    assert!(server.child.try_wait().unwrap().is_none());
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

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_signs_in_with_a_password_or_a_token_and_is_told_what_to_do() {
    let house = House::start().await;
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = |name: &str, login: &str| {
        let addr = house.chat.addr;
        format!("[server]\nurl = \"ws://{addr}/\"\nname = \"{name}\"\n{login}\n{TEST_MEDIA}")
    };
    let without = Device::with(&config("one", "")).await;
    without.logs("asks for a login (401)", 1, SOON).await;
    without.logs("server.password_file", 1, SOON).await;
    without.logs("server.token_file", 1, SOON).await;
    drop(without);

    let path = file("password", "south");
    let login = format!("username = \"alice\"\npassword_file = {path:?}");
    let device = Device::with(&config("two", &login)).await;
    device.logs("refuses the login of", 1, SOON).await;
    // No restart is needed.
    file("password", PASSWORD);
    device.registered().await;

    let token = file("token", &house.token("three"));
    let login = format!("token_file = {token:?}");
    let by_token = Device::with(&config("three", &login)).await;
    by_token.registered().await;
    let cookie = house.sign_in("alice", PASSWORD, &[]).await.cookie();
    let mut alice = socket(house.chat.addr, &[("Cookie", &cookie)])
        .await
        .unwrap();
    alice.claim("alice").await;
    let list = alice.list_with("two").await;
    assert_eq!(list["devices"], json!(["two", "three"]), "{list}");
    house.remove("three");
    by_token.logs("refuses the token (401)", 1, SOON).await;
}

/// In a folder of a proxy that has the certificate and takes the folder's name
/// away.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_with_tls_the_cookie_is_secure_and_for_the_folder() {
    let house = House::start().await;
    let (cert, key) = certificate();
    let files = (crate::support::file(&cert), crate::support::file(&key));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let _nginx = Nginx::start(&format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
         location /cam/ {{
           proxy_pass http://{}/; PASS; HOST;
           proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
           proxy_set_header X-Forwarded-Proto $scheme;
         }}",
        files.0.path().display(),
        files.1.path().display(),
        house.chat.addr
    ))
    .await;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let host = format!("localhost:{port}");
        let headers = [&[("Host", host.as_str())], headers].concat();
        ask_on(
            trusting(addr, &cert).await.unwrap(),
            method,
            path,
            &headers,
            body,
        )
        .await
    };
    let page = ask("GET", "/cam/", &[], "").await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("<form method=\"post\">"));
    let origin = format!("https://localhost:{port}");
    let headers = [
        ("Origin", origin.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let signed_in = ask("POST", "/cam/", &headers, &form("alice", PASSWORD)).await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.body);
    // Relative, so it leads to /cam/; without a path the cookie is for /cam.
    assert_eq!(signed_in.header("location"), Some("./"));
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let cookie = signed_in.cookie();
    let page = ask("GET", "/cam/", &[("Cookie", &cookie)], "").await;
    assert!(page.body.contains("data-user=\"alice\""));
    let mut request = format!("wss://localhost:{port}/cam/")
        .into_client_request()
        .unwrap();
    for (name, value) in [
        ("Sec-WebSocket-Protocol", "json"),
        ("Cookie", &*cookie),
        ("Origin", &*origin),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let stream = trusting(addr, &cert).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    let mut alice = User::on(socket).await;
    alice.claim("alice").await;
    alice.list_with("alice").await;
}

#[tokio::test]
async fn a_users_file_that_cannot_be_used_is_named_with_the_remedy() {
    let (folder, users) = users();
    let with = |users: UsersFile| {
        let mut options = options();
        options.users = Some(users);
        Server::bind(options)
    };
    let missing = with(UsersFile::new(folder.path().join("none")))
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("chat-user add NAME --file"),
        "{missing}"
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(users.path(), mode).unwrap();
    let open = with(users).await.unwrap_err();
    assert!(open.to_string().contains("chmod 600"), "{open}");
}

/// On a terminal of its own (script, of Debian's bsdutils), and without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_twice_and_not_shown() {
    let (folder, users) = users();
    let terminal = folder.path().join("terminal");
    let command = format!(
        "tty >{}; exec {} chat-user add bob --file {}",
        terminal.display(),
        env!("CARGO_BIN_EXE_camera-agent"),
        users.path().display()
    );
    let hides = async || {
        let name = std::fs::read_to_string(&terminal).ok()?;
        let stty = Command::new("stty")
            .args(["-a", "-F", name.trim()])
            .output();
        let told = stty.await.expect("stty is there").stdout;
        String::from_utf8_lossy(&told)
            .contains(" -echo ")
            .then_some(())
    };
    let typed = async |first: &str, second: &str| {
        let mut script = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let mut seen = String::new();
        for (asks, answer) in [("Password for bob", first), ("The same again", second)] {
            while !seen.contains(asks) {
                let mut some = [0; 256];
                let read = timeout(SOON, screen.read(&mut some))
                    .await
                    .expect("it asks")
                    .unwrap();
                assert_ne!(read, 0, "{seen}");
                seen.push_str(&String::from_utf8_lossy(&some[..read]));
            }
            until("the terminal shows nothing", SOON, &hides).await;
            keys.write_all(format!("{answer}\n").as_bytes())
                .await
                .unwrap();
        }
        let mut rest = String::new();
        let _ = timeout(SOON, screen.read_to_string(&mut rest))
            .await
            .expect("it ends");
        drop(keys);
        (
            timeout(SOON, script.wait()).await.unwrap().unwrap(),
            seen + &rest,
        )
    };
    let bob = login::name("bob").unwrap();
    let (status, seen) = typed("east of the river", "west of the river").await;
    assert!(!status.success(), "{seen}");
    assert!(seen.contains("two different passwords"), "{seen}");
    assert!(users.read().unwrap().get(&bob).is_none());
    let (status, seen) = typed("east of the river", "east of the river").await;
    assert!(status.success(), "{seen}");
    assert!(
        seen.contains("bob may sign in") && !seen.contains("river"),
        "{seen}"
    );
    let (hash, of) = users.read().unwrap().to_try(&bob, 0).unwrap();
    assert!(of.is_some() && hash.is_of(&Secret::new("east of the river")));
    drop(folder);
}
