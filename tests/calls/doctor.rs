//! The doctor: the real binary, against servers and sources that work and that
//! do not.

mod privacy;
mod speaker;

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::coturn::Coturn;
use crate::support::original::Original;
use crate::support::ports::Port;
use crate::support::shims::{FakeCamera, FakeMicrophone, Fault, Format};
use crate::support::{Chat, certificate, file, options};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Small, so that it fits beside other tests.
const MEDIA: &str = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n\
                     [audio]\nsource = \"test\"\n";

async fn run(toml: &str, arguments: &[&str]) -> Output {
    run_in(toml, arguments, &[]).await
}

async fn run_in(toml: &str, arguments: &[&str], env: &[(String, String)]) -> Output {
    let config = file(toml);
    Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .arg("doctor")
        .arg("--config")
        .arg(config.path())
        .args(arguments)
        .envs(env.iter().cloned())
        .output()
        .await
        .expect("the agent starts")
}

/// What a run found, as JSON, and its exit code.
struct Found {
    code: i32,
    report: Value,
}

async fn examine(toml: &str, arguments: &[&str]) -> Found {
    examine_in(toml, arguments, &[]).await
}

async fn examine_in(toml: &str, arguments: &[&str], env: &[(String, String)]) -> Found {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let output = run_in(toml, &all, env).await;
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("no JSON: {e}: {output:?}"));
    Found {
        code: output.status.code().expect("it ends by itself"),
        report,
    }
}

impl Found {
    fn findings(&self) -> &Vec<Value> {
        self.report["findings"].as_array().expect("a list")
    }

    fn of(&self, check: &str) -> Vec<&Value> {
        self.findings()
            .iter()
            .filter(|f| f["check"] == check)
            .collect()
    }

    /// The worst finding of a check: severity, what, remedy.
    fn worst(&self, check: &str) -> (String, String, String) {
        let found = self.of(check);
        let finding = found
            .first()
            .unwrap_or_else(|| panic!("nothing about {check}: {:#}", self.report));
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        (text("severity"), text("what"), text("remedy"))
    }

    /// The test call came about. How fast it was depends on what else this
    /// machine does.
    fn called_itself(&self) -> String {
        let (severity, _, _) = self.worst("call");
        assert!(severity == "ok" || severity == "hint", "{:#}", self.report);
        let calls = self.of("call");
        let what = calls.iter().filter_map(|f| f["what"].as_str());
        what.filter(|what| what.starts_with("called itself"))
            .collect()
    }

    /// Every finding has the documented fields, and a remedy if it needs one.
    fn is_well_formed(&self) {
        assert_eq!(self.report["version"], env!("CARGO_PKG_VERSION"));
        for finding in self.findings() {
            let severity = finding["severity"].as_str().expect("a severity");
            assert!(["ok", "hint", "warning", "error"].contains(&severity));
            assert!(finding["check"].is_string() && finding["what"].is_string());
            assert_eq!(finding["remedy"].is_null(), severity == "ok", "{finding}");
        }
    }
}

fn server(url: &str, rest: &str) -> String {
    format!("[server]\nurl = \"{url}\"\n{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_device_is_ready_and_its_latency_is_measured() {
    let chat = Chat::start().await;
    let coturn = Coturn::start(&["--use-auth-secret", "--static-auth-secret=north"]).await;
    let secret = file("north\n");
    let servers = format!(
        "[[ice.servers]]\nurls = [\"stun:127.0.0.1:{port}\"]\n\
         [[ice.servers]]\nurls = [\"turn:127.0.0.1:{port}?transport=udp\"]\nsecret_file = {path:?}\n",
        port = coturn.port,
        path = secret.path(),
    );
    let toml = server(
        &format!("ws://{}/", chat.addr),
        &format!("{MEDIA}{servers}"),
    );
    let started = Instant::now();
    let found = examine(&toml, &[]).await;
    let took = started.elapsed();
    found.is_well_formed();
    assert_eq!(found.code, 0, "{:#}", found.report);
    for check in [
        "configuration",
        "permissions",
        "in-use",
        "camera",
        "microphone",
        "encoder",
        "chat-server",
        "ice-server",
    ] {
        let (severity, what, _) = found.worst(check);
        assert_eq!(severity, "ok", "{check}: {what}");
    }
    // Elements of devices that are not here may be missing.
    let elements = found.of("elements");
    assert!(elements.iter().any(|f| f["severity"] == "ok"));
    let (severity, what, _) = found.worst("elements");
    assert!(["ok", "hint"].contains(&&*severity), "{what}");
    assert!(found.called_itself().contains("frames/s arrive"));
    let ice = found.of("ice-server");
    assert_eq!(ice.len(), 2);
    assert!(ice.iter().any(|f| {
        f["what"]
            .as_str()
            .is_some_and(|w| w.contains("sees this device"))
    }));
    assert!(
        ice.iter()
            .any(|f| f["what"].as_str().is_some_and(|w| w.contains("relays at")))
    );
    let (_, what, _) = found.worst("candidates");
    assert!(what.contains("relay"), "{what}");

    // The stages add up.
    let stages = found.report["latency"].as_array().expect("a list");
    let names: Vec<_> = stages.iter().map(|s| s["stage"].clone()).collect();
    assert_eq!(
        names,
        ["to-encoder", "encode", "send", "total"].map(|s| json!(s))
    );
    let p50 = |i: usize| stages[i]["p50_ms"].as_f64().expect("a number");
    for (i, stage) in stages.iter().enumerate() {
        assert!(stage["samples"].as_u64().is_some_and(|n| n > 20), "{stage}");
        let p95 = stage["p95_ms"].as_f64().expect("a number");
        assert!(p50(i) >= 0.0 && p50(i) <= p95, "{stage}");
    }
    assert!(p50(1) > 0.0, "an encoder takes time: {stages:?}");
    assert!(p50(3) >= p50(1), "{stages:?}");
    assert!(took < Duration::from_secs(25), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_server_is_not_disturbed() {
    let original = Original::start().await;
    let toml = server(&format!("ws://{}/", original.addr), MEDIA);
    let found = examine(&toml, &["--quick"]).await;
    let (severity, what, _) = found.worst("chat-server");
    assert_eq!(severity, "ok", "{what}");
    assert_eq!(original.violations(), [] as [String; 0]);
    for kind in ["username", "message", "hang-up", "video-offer"] {
        assert_eq!(original.frames(kind), [] as [Value; 0]);
    }
    assert_eq!(original.names(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_opens_no_device_and_still_calls_itself() {
    let chat = Chat::start().await;
    let toml = server(
        &format!("ws://{}/", chat.addr),
        "[video]\nsource = \"v4l2\"\ndevice = \"/dev/no-such-camera\"\nwidth = 320\nheight = 180\n",
    );
    let found = examine(&toml, &["--quick"]).await;
    assert!(found.of("camera").is_empty() && found.of("microphone").is_empty());
    assert!(found.called_itself().contains("the test picture"));
}

/// A server whose handshakes end in `first`: with or without the subprotocol,
/// then perhaps a frame.
async fn websocket(subprotocol: bool, first: Option<&'static str>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[allow(clippy::result_large_err, reason = "the crate's signature")]
            let handshake = move |_: &Request, mut response: Response| {
                if subprotocol {
                    let json = "json".parse().expect("a header");
                    response
                        .headers_mut()
                        .insert("Sec-WebSocket-Protocol", json);
                }
                Ok(response)
            };
            let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, handshake).await
            else {
                continue;
            };
            if let Some(first) = first {
                let _ = socket.send(Message::text(first)).await;
            }
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    (addr, task)
}

/// What the doctor says of a server.
async fn meets(url: &str, more: &str) -> (i32, String, String) {
    let found = examine(&server(url, &format!("{more}{MEDIA}")), &["--quick"]).await;
    found.is_well_formed();
    let (_, what, remedy) = found.worst("chat-server");
    // The rest was tried nevertheless.
    found.called_itself();
    (found.code, what, remedy)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_chat_server_is_told_apart() {
    let held = Port::held();
    let nobody = held.addr;
    // Accepts, and reads no further.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mute_addr = mute.local_addr().expect("bound");
    let (other, _a) = websocket(false, None).await;
    let (silent, _b) = websocket(true, None).await;
    let (strange, _c) = websocket(true, Some("{\"type\":\"message\",\"text\":\"hi\"}")).await;
    let (cert, key) = certificate();
    let (cert, key) = (file(&cert), file(&key));
    let mut secure = options();
    secure.tls = Some(camera_agent::chat::Tls {
        cert: cert.path().to_owned(),
        key: key.path().to_owned(),
    });
    let tls = Chat::with(secure).await;
    let plain = Chat::start().await;

    for (url, words) in [
        (format!("ws://{nobody}/"), "nobody listens"),
        (format!("ws://{mute_addr}/"), "says nothing"),
        (format!("ws://{other}/"), "without the subprotocol"),
        (format!("ws://{silent}/"), "sends no \"id\""),
        (format!("ws://{strange}/"), "begins with something else"),
        (
            format!("wss://localhost:{}/", tls.addr.port()),
            "certificate that is not trusted",
        ),
        (
            format!("wss://localhost:{}/", plain.addr.port()),
            "does not speak TLS",
        ),
        (
            "ws://no-such-host.invalid/".to_owned(),
            "host that is not found",
        ),
    ] {
        let (code, what, remedy) = meets(&url, "").await;
        assert_eq!(code, 4, "{url}: {what}");
        assert!(what.contains(words), "{words}: {what}");
        assert!(!remedy.is_empty());
    }

    let trusted = format!("ca_file = {:?}\n", cert.path());
    let url = format!("wss://localhost:{}/", tls.addr.port());
    let (code, what, _) = meets(&url, &trusted).await;
    assert_eq!(code, 0, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_server_takes_the_right_secret_and_not_the_wrong_one() {
    let chat = Chat::start().await;
    let coturn = Coturn::start(&["--use-auth-secret", "--static-auth-secret=north"]).await;
    let password = Coturn::start(&["--lt-cred-mech", "--user=cam:hush"]).await;
    let (north, south, hush) = (file("north\n"), file("south\n"), file("hush\n"));
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("bound").port();
    drop(free);
    let turn = |port: u16, rest: String| {
        format!("[[ice.servers]]\nurls = [\"turn:127.0.0.1:{port}?transport=udp\"]\n{rest}")
    };
    let secret = |path: &std::path::Path| format!("secret_file = {path:?}\n");
    let says = async |servers: String| {
        let toml = server(
            &format!("ws://{}/", chat.addr),
            &format!("{MEDIA}{servers}"),
        );
        let found = examine(&toml, &["--quick"]).await;
        let (_, what, _) = found.worst("ice-server");
        (found.code, what)
    };
    let (code, what) = says(turn(coturn.port, secret(north.path()))).await;
    assert!(code == 0 && what.contains("relays at"), "{what}");
    let (code, what) = says(turn(coturn.port, secret(south.path()))).await;
    assert_eq!(code, 3, "{what}");
    assert!(what.contains("does not take the credentials"), "{what}");

    let user = |file: &std::path::Path| format!("username = \"cam\"\ncredential_file = {file:?}\n");
    let (code, what) = says(turn(password.port, user(hush.path()))).await;
    assert!(code == 0 && what.contains("relays at"), "{what}");
    let (code, what) = says(turn(password.port, user(south.path()))).await;
    assert!(
        code == 3 && what.contains("does not take the credentials"),
        "{what}"
    );

    // The same over TCP; no TLS is spoken there.
    let tcp = turn(coturn.port, secret(north.path())).replace("=udp", "=tcp");
    let (code, what) = says(tcp.clone()).await;
    assert!(code == 0 && what.contains("relays at"), "{what}");
    let (code, what) = says(tcp.replace("turn:", "turns:")).await;
    // coturn says nothing, or closes the connection.
    let is_told = what.contains("does not answer") || what.contains("not over TLS");
    assert!(code == 3 && is_told, "{what}");

    let (code, what) = says(turn(nobody, secret(north.path()))).await;
    assert_eq!(code, 3, "{what}");
    assert!(what.contains("is not reached"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_camera_and_a_silent_microphone_are_told_and_the_call_goes_on() {
    let chat = Chat::start().await;
    let toml = server(
        &format!("ws://{}/", chat.addr),
        "[video]\nsource = \"v4l2\"\ndevice = \"/dev/no-such-camera\"\nwidth = 320\nheight = 180\n\
         [audio]\nsource = \"custom\"\npipeline = \"audiotestsrc is-live=true wave=silence\"\n",
    );
    let found = examine(&toml, &[]).await;
    found.is_well_formed();
    assert_eq!(found.code, 4);
    let (severity, what, _) = found.worst("camera");
    assert_eq!(severity, "error");
    assert!(what.contains("/dev/no-such-camera"), "{what}");
    let (severity, what, remedy) = found.worst("microphone");
    assert_eq!(severity, "warning");
    assert!(
        what.contains("silence") && remedy.contains("alsamixer"),
        "{what} {remedy}"
    );
    assert!(found.called_itself().contains("the test picture"));
}

/// A camera through Video4Linux and a microphone through ALSA, which no kernel
/// has: tests/shims.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_and_a_microphone_are_measured_and_their_silence_is_told() {
    let chat = Chat::start().await;
    let camera = FakeCamera::new(Format::Mjpg, 640, 360, 30);
    let microphone = FakeMicrophone::tone(440);
    let toml = server(
        &format!("ws://{}/", chat.addr),
        &format!(
            "[video]\nsource = \"v4l2\"\ndevice = {:?}\nwidth = 640\nheight = 360\n\
             [audio]\nsource = \"alsa\"\ndevice = {:?}\n",
            camera.node(),
            FakeMicrophone::NAME
        ),
    );
    let env = [camera.env(), microphone.env()].concat();
    let found = examine_in(&toml, &[], &env).await;
    found.is_well_formed();
    let (severity, what, _) = found.worst("camera");
    assert_eq!(severity, "ok", "{what}");
    assert!(what.contains("of 30.0 promised"), "{what}");
    let (severity, what, _) = found.worst("microphone");
    assert_eq!(severity, "ok", "{what}");
    assert!(found.called_itself().contains("the camera"));
    assert_eq!(found.code, 0, "{:#}", found.report);

    camera.begin(Fault::Silent);
    microphone.mute();
    let found = examine_in(&toml, &[], &env).await;
    let (severity, what, _) = found.worst("camera");
    assert_eq!(severity, "error", "{what}");
    assert!(what.contains("no picture came"), "{what}");
    let (severity, what, _) = found.worst("microphone");
    assert_eq!(severity, "warning", "{what}");
    assert!(what.contains("silen"), "{what}");
    assert!(found.called_itself().contains("the test picture"));
    assert_eq!(found.code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_microphone_that_is_passed_over_is_named_with_its_trouble() {
    let chat = Chat::start().await;
    let microphone = FakeMicrophone::beside_a_silent_default(440);
    let no_server = ("XDG_RUNTIME_DIR".into(), "/nonexistent".into());
    let env = [microphone.env(), vec![no_server]].concat();
    let media = "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\n";
    let found = examine_in(&server(&format!("ws://{}/", chat.addr), media), &[], &env).await;
    let (severity, what, _) = found.worst("microphone");
    let why = "not default: only digital silence comes from it: is it muted, see `alsamixer`";
    assert!(what.contains(&format!("testmic ({why})")), "{what}");
    assert_eq!(severity, "ok", "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_slower_than_promised_or_stops_is_told() {
    let chat = Chat::start().await;
    let says = async |pipeline: &str| {
        let toml = server(
            &format!("ws://{}/", chat.addr),
            &format!(
                "[video]\nsource = \"custom\"\npipeline = {pipeline:?}\nwidth = 320\nheight = 180\n\
                 [audio]\nsource = \"none\"\n"
            ),
        );
        let found = examine(&toml, &[]).await;
        let (severity, what, _) = found.worst("camera");
        // Another check's finding would show in the exit code alone.
        (found.code, severity, format!("{what}: {:#}", found.report))
    };
    // Says 30, and gives 10.
    let slow = "videotestsrc is-live=true ! video/x-raw,framerate=10/1 ! \
                capssetter join=true replace=false caps=video/x-raw,framerate=30/1";
    let (code, severity, what) = says(slow).await;
    assert_eq!((code, severity.as_str()), (3, "warning"), "{what}");
    assert!(what.contains("of 30.0 promised"), "{what}");
    let (code, severity, what) = says("videotestsrc num-buffers=0").await;
    assert_eq!((code, severity.as_str()), (4, "error"), "{what}");
}

#[tokio::test]
async fn a_bad_configuration_is_one_error_and_what_needs_none_is_tried() {
    let found = examine("[video]\nsorce = \"test\"", &[]).await;
    found.is_well_formed();
    assert_eq!(found.code, 4);
    let (severity, what, _) = found.worst("configuration");
    assert_eq!(severity, "error");
    assert!(what.contains("line 2") && what.contains("sorce"), "{what}");
    assert!(!found.of("elements").is_empty() && !found.of("clock").is_empty());
    assert!(found.of("camera").is_empty());

    let secret = "[[ice.servers]]\nurls = [\"turn:127.0.0.1:9\"]\nsecret_file = \"/no/such\"\n";
    let found = examine(&format!("{MEDIA}{secret}"), &["--quick"]).await;
    let (severity, what, _) = found.worst("configuration");
    assert_eq!(severity, "error");
    assert!(what.contains("/no/such"), "{what}");
}

#[tokio::test]
async fn the_text_is_for_people_and_says_what_to_do() {
    let held = Port::held();
    let nobody = held.addr;
    let output = run(&server(&format!("ws://{nobody}/"), MEDIA), &["--quick"]).await;
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("✗ chat server     ws://"), "{text}");
    assert!(
        text.contains("\n                  → start the chat server"),
        "{text}"
    );
    assert!(text.contains("✓ test call       called itself"), "{text}");
    assert!(text.contains("latency in ms"), "{text}");
    assert!(!text.contains('\x1b'), "no escapes: {text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert_eq!(output.stderr, b"", "nothing beside the report");
    assert_eq!(output.status.code(), Some(4));
}
