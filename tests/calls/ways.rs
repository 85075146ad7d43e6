//! Ways to the chat server, with what stands in front of it in the field: a
//! login, a path, a proxy, a certificate of one's own making, a dead address.
//! And no secret in anything that is written on the way.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::coturn::Coturn;
use crate::support::desk::offer;
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::nginx::Nginx;
use crate::support::original::Original;
use crate::support::ports::Port;
use crate::support::tinyproxy::Tinyproxy;
use crate::support::{Chat, SOON, User, file, options, until};
use base64::Engine as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

/// The `[server]` section.
fn server(url: &str, rest: &str) -> String {
    format!("[server]\nurl = {url:?}\nname = \"camera\"\n{rest}")
}

/// What the doctor finds at the chat server: what, and what to do.
async fn doctor(toml: &str, env: &[(&str, &str)]) -> (String, String) {
    let config = file(toml);
    let output = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["doctor", "--json", "--quick", "--config"])
        .arg(config.path())
        .envs(env.iter().copied())
        .output()
        .await
        .expect("the agent starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let finding = findings
        .iter()
        .find(|f| f["check"] == "chat-server")
        .unwrap_or_else(|| panic!("nothing about the chat server: {report:#}"));
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (text("what"), text("remedy"))
}

/// The reasons that a device gave for having no chat server.
fn reasons(device: &Device) -> String {
    let log = device.log();
    let reasons = log.iter().filter_map(|l| l["reason"].as_str());
    reasons.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_front_is_called_one_and_a_corrected_password_is_taken() {
    let chat = Chat::start().await;
    let users = file("camera:{PLAIN}north\n");
    let nginx = Nginx::start(&format!(
        "auth_basic camera; auth_basic_user_file {};
         location / {{ proxy_pass http://{}; PASS; HOST; }}",
        users.path().display(),
        chat.addr
    ))
    .await;
    let url = format!("ws://127.0.0.1:{}/", nginx.port);
    let media = TEST_MEDIA;

    let (what, remedy) = doctor(&format!("{}{media}", server(&url, "")), &[]).await;
    assert!(what.contains("asks for a login (401)"), "{what}");
    assert!(
        remedy.contains("server.username and server.password_file"),
        "{remedy}"
    );

    let password = file("south\n");
    let login = format!(
        "username = \"camera\"\npassword_file = {:?}\n",
        password.path()
    );
    let device = Device::with(&format!("{}{media}", server(&url, &login))).await;
    device.logs("refuses the login", 1, SOON).await;
    assert!(reasons(&device).contains("server.password_file"));
    std::fs::write(password.path(), "north\n").expect("written");
    device.registered().await;
    let mut alice = User::join(chat.addr, "alice").await;
    alice.claim("alice").await;
    alice.list_with("camera").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_under_a_path_is_reached_and_one_that_moved_is_named() {
    let chat = Chat::start().await;
    let nobody = Port::held();
    let nginx = Nginx::start(&format!(
        "location /cam/ {{ proxy_pass http://{}/; PASS; HOST; }}
         location = /cam {{ return 301 /cam/?key=north; }}
         location = /away {{ return 307 https://login.example/start; }}
         location = /gone {{ proxy_pass http://{}; }}",
        chat.addr, nobody.addr,
    ))
    .await;
    let front = format!("127.0.0.1:{}", nginx.port);
    for (path, words) in [
        ("cam", format!("set server.url to ws://{front}/cam/?…")),
        ("away", "a page to log in at".to_owned()),
        ("gone", "start the chat server".to_owned()),
    ] {
        let url = format!("ws://{front}/{path}");
        let (what, remedy) = doctor(&format!("{}{TEST_MEDIA}", server(&url, "")), &[]).await;
        let all = format!("{what} → {remedy}");
        assert!(all.contains(&words), "{path}: {all}");
    }
    let url = format!("ws://{front}/cam");
    let moved = Device::with(&format!("{}{TEST_MEDIA}", server(&url, ""))).await;
    moved.logs("says that it moved to", 1, SOON).await;
    assert_eq!(moved.logged("north"), 0, "{:?}", moved.log());
    drop(moved);
    let device = Device::with(&format!("{}{TEST_MEDIA}", server(&format!("{url}/"), ""))).await;
    device.registered().await;
}

/// The usual `openssl req -x509`, which calls its certificate an authority, and
/// gives it names only where it is told to.
fn openssl(folder: &Path, more: &[&str]) {
    let done = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .args(more)
        .current_dir(folder)
        .stderr(Stdio::null())
        .status()
        .expect("openssl is installed");
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_certificate_of_one_s_own_making_is_enough_and_a_proxy_too() {
    let tinyproxy = Tinyproxy::start("camera", "north").await;
    for more in [&[][..], &["-addext", "subjectAltName=DNS:localhost"]] {
        let folder = tempfile::tempdir().expect("a folder");
        openssl(folder.path(), more);
        let cert = folder.path().join("cert.pem");
        let mut secure = options();
        secure.tls = Some(camera_agent::chat::Tls {
            cert: cert.clone(),
            key: folder.path().join("key.pem"),
        });
        let chat = Chat::with(secure).await;
        let password = file("north\n");
        let way = format!(
            "ca_file = {cert:?}\nproxy = \"http://camera@{}\"\nproxy_password_file = {:?}\n",
            tinyproxy.addr,
            password.path()
        );
        let url = format!("wss://localhost:{}/", chat.addr.port());
        let device = Device::with(&format!("{}{TEST_MEDIA}", server(&url, &way))).await;
        device.registered().await;
        let asked = format!("CONNECT localhost:{}", chat.addr.port());
        assert!(tinyproxy.log().contains(&asked), "{}", tinyproxy.log());
    }
    let way = format!("proxy = \"http://{}\"\n", tinyproxy.addr);
    let toml = format!("{}{TEST_MEDIA}", server("wss://localhost:9/", &way));
    let (what, remedy) = doctor(&toml, &[]).await;
    let named = format!(
        "the proxy http://{} (server.proxy), which asks for a login",
        tinyproxy.addr
    );
    assert!(what.contains(&named), "{what}");
    assert!(remedy.contains("server.proxy_password_file"), "{remedy}");
}

/// A port whose queue is full, so that the kernel drops who knocks.
async fn swallower() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().expect("a socket");
    let any = ([127, 0, 0, 1], 0).into();
    socket.bind(any).expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let listener = socket.listen(0).expect("it listens");
    let mut waiting = Vec::new();
    while let Ok(tcp) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(tcp.expect("connected"));
        assert!(waiting.len() < 10, "the queue has no end");
    }
    (address, (listener, waiting))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_registers_within_a_second_where_the_first_of_two_addresses_is_dead() {
    let (dead, _queue) = swallower().await;
    let mut here = options();
    // Nobody else is at this address.
    here.listen = ([127, 0, 0, 2], dead.port()).into();
    let chat = Chat::with(here).await;
    // The system sorts them so, whatever their order here.
    let hosts = file("127.0.0.1 localhost\n127.0.0.1 two.test\n127.0.0.2 two.test\n");
    let mut program = Command::new("unshare");
    program
        .args(["--mount", "sh", "-c"])
        .arg(format!(
            "mount --bind {} /etc/hosts && exec {} \"$@\"",
            hosts.path().display(),
            env!("CARGO_BIN_EXE_camera-agent")
        ))
        .arg("camera-agent");
    let url = format!("ws://two.test:{}/", chat.addr.port());
    let toml = format!("{}{TEST_MEDIA}", server(&url, "proxy = \"none\"\n"));
    let device = Device::run(program, &toml).await;
    device.registered().await;
    let log = device.log();
    let at = |words: &str| {
        let line = log.iter().find(|l| l.to_string().contains(words));
        let line = line.unwrap_or_else(|| panic!("{words}: {log:#?}"));
        humantime(line["timestamp"].as_str().expect("a time"))
    };
    let tried = at(&dead.to_string());
    let took = at("connected to the chat server") - tried;
    assert!(took < 1.0, "{took} s");
    assert_eq!(device.logged("no chat server"), 0, "{log:#?}");
}

/// Seconds of the day in a time such as 2026-01-02T03:04:05.678901Z.
fn humantime(time: &str) -> f64 {
    let (_, clock) = time.trim_end_matches('Z').split_once('T').expect("a time");
    let parts = clock
        .split(':')
        .map(|p| p.parse::<f64>().expect("a number"));
    parts.fold(0.0, |seconds, part| seconds * 60.0 + part)
}

/// What is kept quiet by default, too.
const EVERYTHING: &str = "trace,rtc=trace,rtc_ice=trace,rtc_turn=trace,webrtc=trace,\
                          tungstenite=trace,tungstenite::handshake::client=trace";

/// Secrets that a run is given, and everything that it wrote.
#[derive(Default)]
struct Leaks {
    secrets: Vec<(NamedTempFile, String)>,
    written: Vec<(String, String)>,
}

impl Leaks {
    /// A file with a secret of this name.
    fn secret(&mut self, name: &str) -> String {
        let secret = format!("geheim-{name}-4711");
        let kept = file(&format!("{secret}\n"));
        let path = kept.path().display().to_string();
        self.secrets.push((kept, secret));
        path
    }

    /// Runs each of these to its end, side by side; true for those that were
    /// content.
    async fn run(&mut self, runs: &[Vec<&str>], env: &[(&str, &str)]) -> Vec<bool> {
        let outputs = runs.iter().map(|arguments| {
            Command::new(env!("CARGO_BIN_EXE_camera-agent"))
                .args(arguments)
                .env("RUST_LOG", EVERYTHING)
                .envs(env.iter().copied())
                .output()
        });
        let outputs = join_all(outputs).await;
        let mut content = Vec::new();
        for (arguments, output) in runs.iter().zip(outputs) {
            let output = output.expect("the agent starts");
            let both = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&both).into_owned();
            assert!(!text.is_empty(), "{arguments:?}");
            self.written.push((arguments.join(" "), text));
            content.push(output.status.success());
        }
        content
    }

    /// Lets it run as the device until it has said all of these.
    async fn device(&mut self, config: &str, env: &[(&str, &str)], until_said: &[&str]) {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let stdout = log.reopen().expect("it is there");
        let stderr = stdout.try_clone().expect("a second descriptor");
        let mut device = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .args(["run", "--config", config])
            .env(
                "RUST_LOG",
                "trace,rtc=trace,rtc_ice=trace,rtc_turn=trace,webrtc=trace",
            )
            .envs(env.iter().copied())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let read =
            || String::from_utf8_lossy(&std::fs::read(log.path()).expect("there")).into_owned();
        until(&format!("{until_said:?}"), SOON, async || {
            let text = read();
            until_said
                .iter()
                .all(|said| text.contains(said))
                .then_some(())
        })
        .await;
        device.kill().await.expect("it ran");
        self.written.push((format!("run {until_said:?}"), read()));
    }

    /// No secret is in anything, in whatever form it was sent.
    fn none(&self) {
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        for (_, secret) in &self.secrets {
            let forms = [
                secret.clone(),
                secret.replace('-', "%2D"),
                encode(format!("camera:{secret}")),
            ];
            for (run, text) in &self.written {
                for form in &forms {
                    let line = text.lines().find(|line| line.contains(form.as_str()));
                    assert!(line.is_none(), "{run}: {form}: {line:?}");
                }
            }
        }
    }
}

/// What a file of one line says.
fn text_of(path: &str) -> String {
    std::fs::read_to_string(path)
        .expect("there")
        .trim()
        .to_owned()
}

fn path_of(file: &NamedTempFile) -> String {
    file.path().display().to_string()
}

/// Reports on a chat server that refuses the login, on a proxy that refuses its
/// user, and on a camera that is not there.
async fn writes_reports(leaks: &mut Leaks, refused: &str, proxied: &str, custom: &str) {
    let reports = [
        vec!["doctor", "--quick", "--config", refused],
        vec!["doctor", "--quick", "--json", "--config", proxied],
        vec!["doctor", "--json", "--config", custom],
        vec!["devices", "--config", custom],
        vec!["devices", "--json", "--config", custom],
    ];
    leaks.run(&reports, &[]).await;
}

/// A password in the server's address is refused at once, in the file and on the
/// command line.
async fn refuses_at_once(leaks: &mut Leaks, password: &str) {
    let inside = format!("wss://camera:{password}@h/");
    let kept = file(&server(&inside, ""));
    let wrong = path_of(&kept);
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder
        .path()
        .join("camera-agent.toml")
        .display()
        .to_string();
    let refusals = [
        vec!["run", "--config", &wrong],
        vec!["run", "--check", "--config", &wrong],
        vec!["run", "--server", &inside],
        vec!["setup", "--check", "--config", &wrong],
        vec!["doctor", "--quick", "--config", &wrong],
        vec![
            "setup", "--config", &written, "--name", "a", "--server", &inside,
        ],
    ];
    let content = leaks.run(&refusals, &[]).await;
    assert_eq!(content, [false; 6]);
    let (_, last) = leaks.written.last().expect("there is one");
    assert!(last.contains("server.password_file"), "{last}");
}

/// Calls the camera, once it is there.
async fn call(server: &Original) {
    until("the device's name", SOON, async || {
        (server.names() == ["camera"]).then_some(())
    })
    .await;
    server.relay(
        "camera",
        &json!({"type": "video-offer", "name": "alice", "target": "camera",
            "sdp": {"type": "offer", "sdp": offer("AAAA", 'a')}}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_log_line_or_report() {
    let mut leaks = Leaks::default();
    let [password, token, proxy, turn, shared, rtsp] =
        ["password", "token", "proxy", "turn", "shared", "rtsp"].map(|name| leaks.secret(name));
    let user = format!("cam:{}", text_of(&turn));
    let coturn = Coturn::start(&["--lt-cred-mech", &format!("--user={user}")]).await;
    let refusing = Nginx::start("auth_basic camera; auth_basic_user_file /dev/null;").await;
    let tinyproxy = Tinyproxy::start("camera", "another").await;
    let ice = format!(
        "[[ice.servers]]\nurls = [\"turn:127.0.0.1:{0}\"]\nusername = \"cam\"\n\
         credential_file = {turn:?}\n[[ice.servers]]\nurls = [\"turn:127.0.0.1:{0}\"]\n\
         secret_file = {shared:?}\n",
        coturn.port
    );
    let login = format!("username = \"camera\"\npassword_file = {password:?}\n");
    let proxy = format!("http://camera:{}@{}", text_of(&proxy), tinyproxy.addr);
    let with_url_proxy = format!("{login}proxy = \"{proxy}\"\n");
    let to_nginx = format!("ws://127.0.0.1:{}/", refusing.port);
    let config = |section: String| file(&format!("{section}{TEST_MEDIA}{ice}"));

    // Refused by the server, by the proxy of the file and of the environment.
    let basic = config(server(&to_nginx, &login));
    let bearer = config(server(&to_nginx, &format!("token_file = {token:?}\n")));
    let proxied = config(server("wss://cam.test/", &with_url_proxy));
    let plain = config(server("wss://cam.test/", &login));
    let env = [("HTTPS_PROXY", proxy.as_str())];
    for (config, env, said) in [
        (&basic, &[][..], "refuses the login"),
        (&bearer, &[], "refuses the token"),
        (&proxied, &[], "refuses the user that it is told (401)"),
        (&plain, &env, "refuses the user that it is told (401)"),
    ] {
        let path = path_of(config);
        leaks.device(&path, env, &[said]).await;
        leaks
            .run(&[vec!["run", "--check", "--config", &path]], env)
            .await;
    }

    // A camera with a password in its address, which is not there.
    let rtsp = format!("rtsp://camera:{}@127.0.0.1:9/door", text_of(&rtsp));
    let custom = file(&format!(
        "{}[video]\nsource = \"custom\"\npipeline = {:?}\n[audio]\nsource = \"none\"\n",
        server(&to_nginx, &login),
        format!("rtspsrc location={rtsp} ! decodebin"),
    ));
    let [refused, proxied, custom] = [&basic, &proxied, &custom].map(path_of);
    writes_reports(&mut leaks, &refused, &proxied, &custom).await;
    refuses_at_once(&mut leaks, &text_of(&password)).await;

    // Taken, and a call over TURN.
    let server_there = Original::start().await;
    let open = config(server(&format!("ws://{}/", server_there.addr), &login));
    let path = path_of(&open);
    let device = leaks.device(&path, &[], &["connected to the chat server", "typ relay"]);
    tokio::join!(call(&server_there), device);

    leaks.none();
    let said = leaks
        .written
        .iter()
        .map(|(_, text)| text.len())
        .sum::<usize>();
    assert!(said > 20_000, "TRACE says more than {said} bytes");
}
