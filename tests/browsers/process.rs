//! The process: what it says to bad input, how it ends, and real TLS and TURN
//! around it.

use std::process::{Output, Stdio};
use std::time::Duration;

use crate::support::browser::{Browser, Person};
use crate::support::coturn::Coturn;
use crate::support::desk::offer;
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::original::Original;
use crate::support::ports::Port;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, User, certificate, file, options, until};
use serde_json::{Value, json};
use tokio::process::Command;

async fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(arguments)
        .output()
        .await
        .expect("the agent starts")
}

/// What the unit does not start again for (systemd/camera-agent.service).
const CONFIGURATION: i32 = 78;

/// The one line on standard error of a run that fails with this status.
async fn refusal(status: i32, arguments: &[&str]) -> String {
    let output = agent(arguments).await;
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[tokio::test]
async fn check_says_that_a_good_configuration_is_valid_and_what_is_wrong_with_a_bad_one() {
    let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/camera-agent.toml");
    let output = agent(&["run", "--check", "--config", documented]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"the configuration is valid\n");

    for (text, words) in [
        ("[video]\nsorce = \"test\"", &["line 2", "sorce"][..]),
        (
            "[video]\nencoder = \"magic\"",
            &["video.encoder", "magic", "x264"],
        ),
        (
            "[video]\nsource = \"custom\"\npipeline = \"nosuchelement\"",
            &["video.pipeline", "nosuchelement"],
        ),
        (
            "[[ice.servers]]\nurls = [\"turn:t\"]\nsecret_file = \"/no/such\"",
            &["ice.servers.secret_file", "/no/such"],
        ),
        (
            "[server]\nurl = \"ws://bad host/\"",
            &["server.url", "bad host"],
        ),
        (
            "[server]\nurl = \"wss://x/\"\nca_file = \"/no/such.pem\"",
            &["server.ca_file", "/no/such.pem"],
        ),
    ] {
        let config = file(text);
        let path = config.path().to_str().expect("text");
        let line = refusal(CONFIGURATION, &["run", "--check", "--config", path]).await;
        for word in words {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    assert!(
        refusal(CONFIGURATION, &["run", "--config", "/no/such"])
            .await
            .contains("/no/such")
    );
}

#[tokio::test]
async fn a_port_in_use_and_a_bad_certificate_are_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("bound").to_string();
    let line = refusal(1, &["chat", "--listen", &taken]).await;
    assert!(line.contains("in use"), "{line}");
    let junk = file("junk");
    let path = junk.path().to_str().expect("text");
    let free = [
        "chat",
        "--listen",
        "127.0.0.1:0",
        "--cert",
        path,
        "--key",
        path,
    ];
    let line = refusal(1, &free).await;
    assert!(line.contains(path), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_ends_it_cleanly_and_the_second_at_once() {
    let server = Original::start().await;
    let mut device = Device::start(server.addr, TEST_MEDIA).await;
    device.registered().await;
    device.signal("INT").await;
    assert_eq!(device.exits(Duration::from_secs(2)).await.code(), Some(0));

    // Stopped, it finds both signals at once: the second does not wait for the
    // goodbyes of the first.
    let mut device = Device::start(server.addr, TEST_MEDIA).await;
    device.registered().await;
    device.signal("STOP").await;
    device.signal("TERM").await;
    device.signal("INT").await;
    device.signal("CONT").await;
    assert_eq!(device.exits(Duration::from_secs(2)).await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_wss_the_device_trusts_the_configured_authority_and_nothing_else() {
    let (cert, key) = certificate();
    let (cert, key) = (file(&cert), file(&key));
    let mut secure = options();
    secure.tls = Some(camera_agent::chat::Tls {
        cert: cert.path().to_owned(),
        key: key.path().to_owned(),
    });
    let chat = Chat::with(secure).await;
    let server = format!(
        "[server]\nurl = \"wss://localhost:{}/\"\nname = \"camera\"\n",
        chat.addr.port()
    );
    let stranger = Device::with(&format!("{server}{TEST_MEDIA}")).await;
    stranger.logs("no chat server", 1, SOON).await;
    assert!(stranger.logged("certificate") >= 1, "{:?}", stranger.log());
    drop(stranger);

    let trusted = format!("{server}ca_file = {:?}\n{TEST_MEDIA}", cert.path());
    let device = Device::with(&trusted).await;
    device.registered().await;

    let alice = Browser::start(Person {
        insecure_tls: true,
        ..Person::default()
    })
    .await;
    let page = format!("https://localhost:{}/?name=alice", chat.addr.port());
    alice.open(&page).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(10).await;
}

/// Waits for a relayed candidate of a device with this configuration.
async fn relays(coturn: &Coturn, credentials: &str) {
    let server = Original::start().await;
    let toml = format!(
        "{TEST_MEDIA}[[ice.servers]]\nurls = [\"turn:127.0.0.1:{}?transport=udp\"]\n{credentials}",
        coturn.port
    );
    let device = Device::start(server.addr, &toml).await;
    until("the device's name", SOON, async || {
        (server.names() == ["camera"]).then_some(())
    })
    .await;
    // coturn may still be starting: each call asks it anew.
    let calls = std::sync::atomic::AtomicUsize::new(0);
    until("a relayed candidate", SOON, async || {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let ufrag = format!("AAAA{call}");
        server.relay(
            "camera",
            &json!({"type": "video-offer", "name": format!("alice{}", call % 4), "target": "camera",
                "sdp": {"type": "offer", "sdp": offer(&ufrag, ['a', 'b', 'c', 'd'][call % 4])}}),
        );
        tokio::time::sleep(Duration::from_millis(700)).await;
        server
            .frames("new-ice-candidate")
            .iter()
            .any(|f: &Value| {
                f["candidate"]["candidate"]
                    .as_str()
                    .is_some_and(|c| c.contains("typ relay"))
            })
            .then_some(())
    })
    .await;
    drop(device);
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_relays_with_a_shared_secret_and_with_a_password() {
    let secret = file("north\n");
    let coturn = Coturn::start(&["--use-auth-secret", "--static-auth-secret=north"]).await;
    relays(&coturn, &format!("secret_file = {:?}\n", secret.path())).await;

    let password = file("hush\n");
    let coturn = Coturn::start(&["--lt-cred-mech", "--user=cam:hush"]).await;
    relays(
        &coturn,
        &format!(
            "username = \"cam\"\ncredential_file = {:?}\n",
            password.path()
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_told_of_turn_servers_with_fresh_credentials() {
    let secret = file("north\n");
    let path = secret.path().to_str().expect("text").to_owned();
    let port = Port::held();
    let addr = port.addr;
    let _chat = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["chat", "--listen", &addr.to_string()])
        .args([
            "--stun",
            "stun:s.example:3478",
            "--turn",
            "turn:t.example:3478",
        ])
        .args(["--turn-secret-file", &path])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let alice = Browser::start(Person::default()).await;
    until("the server listens", SOON, async || {
        tokio::net::TcpStream::connect(addr).await.ok()
    })
    .await;
    alice
        .open(&format!("http://localhost:{}/?name=alice", addr.port()))
        .await;
    let servers = alice
        .promise("fetch('/ice-servers.json').then((r) => r.json())")
        .await;
    assert_eq!(servers[0], json!({"urls": ["stun:s.example:3478"]}));
    assert_eq!(servers[1]["urls"][0], "turn:t.example:3478");
    let user = servers[1]["username"].as_str().expect("a user");
    assert!(user.ends_with(":page"), "{user}");
    let _ = User::join(addr, "somebody").await;
}

/// Before a path is up an offer is anybody's words.
#[tokio::test]
async fn an_offer_alone_starts_no_camera_and_no_encoder() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    let mut stranger = User::join(chat.addr, "stranger").await;
    // A browser without H.264, so that the encoder would be another one.
    let sdp = offer("strange1", 'A').replace(" H264/", " X264/");
    stranger
        .send(
            json!({"type": "video-offer", "name": "stranger", "target": "camera",
            "sdp": {"type": "offer", "sdp": sdp}}),
        )
        .await;
    stranger.frame("video-answer").await;
    assert_eq!(device.said("started"), 0);
    // Streams are started one after the other: had the stranger's been asked
    // for, it would be there before this one.
    let url = format!("ws://{}/", chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    viewer.watch(30).await;
    let started = |stream: &str| {
        let log = device.log();
        log.iter()
            .any(|l| l["message"] == "started" && l["stream"] == stream)
    };
    assert!(started("H264"), "{:?}", device.log());
    assert!(!started("VP8"));
}
