//! Who signs in without a page: cameras, proxies, the owner at a terminal; and what
//! the server as a process says of it.

use super::*;
use crate::support::ports::Port;

/// The chat server as a process, and its log.
pub(super) struct Process {
    child: Child,
    pub(super) addr: SocketAddr,
    log: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Process {
    pub(super) async fn start(users: &UsersFile) -> Self {
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
    pub(super) fn peak(&self) -> u64 {
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
    let held = Port::held();
    let port = held.addr.port();
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
