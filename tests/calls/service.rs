//! The device as a service: what it tells a service manager, and what it does
//! with another configuration while it runs. The manager here is a socket of
//! the test's; systemd itself is in tests/machines/vm_service.rs.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::device::TEST_MEDIA;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// A manager that stops waiting after this time.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A device under a service manager.
struct Service {
    child: Child,
    folder: TempDir,
    socket: UnixDatagram,
    /// What came, with its time.
    said: Vec<(Instant, String)>,
}

impl Service {
    async fn start(server: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        socket.set_nonblocking(true).expect("set");
        let config = folder.path().join("camera-agent.toml");
        std::fs::write(&config, configuration(server, "camera", more)).expect("written");
        let log = std::fs::File::create(folder.path().join("log")).expect("created");
        let child = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .args(["run", "--config"])
            .arg(&config)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .env("RUNTIME_DIRECTORY", folder.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        Self {
            child,
            folder,
            socket,
            said: Vec::new(),
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("camera-agent.toml")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("there")
    }

    /// Takes what has come.
    fn hear(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    let lines = text.lines().map(|line| (Instant::now(), line.to_owned()));
                    self.said.extend(lines);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// How often something like that was said so far.
    fn count(&mut self, begin: &str) -> usize {
        self.hear();
        let like = |(_, line): &&(Instant, String)| line.starts_with(begin);
        self.said.iter().filter(like).count()
    }

    /// Waits until something like that is said for the `count`th time.
    async fn says(&mut self, begin: &str, count: usize) {
        let deadline = Instant::now() + SOON;
        while self.count(begin) < count {
            assert!(
                Instant::now() < deadline,
                "not said: {begin}; but {:?}; the log: {}",
                self.said,
                self.log()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn logs(&self, text: &str) {
        until(&format!("{text:?} in the log"), SOON, || async {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .await
            .expect("kill is there");
        assert!(status.success());
    }

    async fn reload(&self, configuration: &str) {
        std::fs::write(self.config(), configuration).expect("written");
        self.signal("HUP").await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let end = self.child.try_wait();
            eprintln!("the device's end: {end:?}; its log:\n{}", self.log());
        }
    }
}

fn configuration(server: &str, name: &str, more: &str) -> String {
    format!("[server]\nurl = \"{server}\"\nname = \"{name}\"\n{more}")
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_means_registered_and_the_status_says_who_watches() {
    let chat = Chat::start().await;
    let url = format!("ws://{}/", chat.addr);
    let mut service = Service::start(&url, TEST_MEDIA).await;
    service.says("READY=1", 1).await;
    service
        .says("STATUS=registered as \"camera\", nobody watches", 1)
        .await;

    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    viewer.watch(30).await;
    // The size comes first, the rate when it was measured.
    service.says("STATUS=1 viewer, 640×360", 1).await;
    service.says("STATUS=1 viewer, 640×360, ", 1).await;
    let (_, status) = service
        .said
        .iter()
        .rfind(|(_, line)| line.contains("640×360, "))
        .expect("said above");
    let rate: u32 = status
        .strip_suffix(" kbit/s")
        .and_then(|s| s.rsplit(' ').next())
        .and_then(|rate| rate.parse().ok())
        .unwrap_or_else(|| panic!("{status}"));
    // 800 kbit/s are asked for; a test card that stands still needs less.
    assert!((1..1000).contains(&rate), "{status}");
    viewer.hang_up().await;
    service
        .says("STATUS=registered as \"camera\", nobody watches", 2)
        .await;

    service.signal("TERM").await;
    service.says("STOPPING=1", 1).await;
    let status = service.child.wait().await.expect("waited for");
    assert_eq!(status.code(), Some(0));
    let bad_runs = service.folder.path().join("bad-runs");
    assert!(!bad_runs.exists(), "a good end counts as a bad run");
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_without_a_chat_server_since_that_is_known() {
    let mut service = Service::start("ws://127.0.0.1:9/", TEST_MEDIA).await;
    service.says("READY=1", 1).await;
    service
        .says("STATUS=nobody watches; no chat server: ", 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_while_it_works_and_not_while_it_stands_still() {
    let mut service = Service::start("ws://127.0.0.1:9/", TEST_MEDIA).await;
    service.says("WATCHDOG=1", 4).await;
    let fed: Vec<Instant> = service
        .said
        .iter()
        .filter(|(_, line)| line == "WATCHDOG=1")
        .map(|(at, _)| *at)
        .collect();
    let gaps = fed.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.max().expect("four of them");
    assert!(longest < WATCHDOG, "{longest:?}");
    assert!(!service.log().contains("ERROR"), "{}", service.log());

    service.signal("STOP").await;
    let status = format!("/proc/{}/status", service.child.id().expect("it runs"));
    until("it stands still", SOON, || async {
        let status = std::fs::read_to_string(&status).expect("it runs");
        status.contains("State:\tT").then_some(())
    })
    .await;
    let before = service.count("WATCHDOG=1");
    sleep(WATCHDOG).await;
    assert_eq!(service.count("WATCHDOG=1"), before);
    service.signal("CONT").await;
    service.says("WATCHDOG=1", before + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_server_and_limit_are_taken_over_and_the_call_goes_on() {
    let chat = Chat::start().await;
    let url = format!("ws://{}/", chat.addr);
    let mut service = Service::start(&url, TEST_MEDIA).await;
    service.says("READY=1", 1).await;
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    viewer.watch(30).await;

    // A name and a limit.
    let limit = format!("{TEST_MEDIA}[viewers]\nmax = 1\n");
    service.reload(&configuration(&url, "door", &limit)).await;
    service.says("RELOADING=1", 1).await;
    service.says("MONOTONIC_USEC=", 1).await;
    service.says("READY=1", 2).await;
    let mut second = Viewer::join(&url, "second", "door").await;
    second.call().await;
    let refusal = second.refusal().await;
    assert!(refusal.contains("as many viewers"), "{refusal}");
    viewer.watch(30).await;

    // A file that cannot be used changes nothing.
    let bad = configuration(&url, "porch", "[video]\nfps = 0\n");
    service.reload(&bad).await;
    service.logs("video.fps").await;
    service.logs("the old one stays in force").await;
    service.says("READY=1", 3).await;
    viewer.watch(30).await;
    assert_eq!(service.count("STATUS=registered as \"porch\""), 0);

    // Another server; the call lives on its own path.
    let other = Chat::start().await;
    let there = format!("ws://{}/", other.addr);
    service.reload(&configuration(&there, "door", &limit)).await;
    Viewer::join(&there, "third", "door").await;
    viewer.watch(30).await;
    chat.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_another_in_the_same_file_is_used_from_the_next_call_on() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), "first\n").expect("written");
    let chat = Chat::start().await;
    let server = format!("ws://{}/", chat.addr);
    let more = format!(
        "{TEST_MEDIA}[[ice.servers]]\nurls = [\"turn:127.0.0.1:9\"]\nsecret_file = {:?}\n",
        secret.path()
    );
    let mut service = Service::start(&server, &more).await;
    service.says("READY=1", 1).await;
    service.signal("HUP").await;
    service.logs("nothing has changed").await;
    std::fs::write(secret.path(), "second\n").expect("written");
    service.signal("HUP").await;
    service
        .logs("another way to viewers, for calls to come")
        .await;
    let log = service.log();
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
    std::fs::write(secret.path(), "").expect("written");
    service.signal("HUP").await;
    service.logs("the old one stays in force").await;
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_picture_waits_until_nobody_watches() {
    let chat = Chat::start().await;
    let url = format!("ws://{}/", chat.addr);
    let mut service = Service::start(&url, TEST_MEDIA).await;
    service.says("READY=1", 1).await;
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    viewer.watch(30).await;
    service.says("STATUS=1 viewer, 640×360", 1).await;

    let smaller = TEST_MEDIA.replace("640", "320").replace("360", "180");
    assert_ne!(smaller, TEST_MEDIA);
    service
        .reload(&configuration(&url, "camera", &smaller))
        .await;
    service.logs("as soon as nobody watches").await;
    viewer.watch(60).await;
    assert_eq!(service.count("STATUS=1 viewer, 320×180"), 0);

    viewer.hang_up().await;
    service
        .logs("picture and sound follow the new configuration")
        .await;
    viewer.call().await;
    viewer.watch(30).await;
    service.says("STATUS=1 viewer, 320×180", 1).await;
    chat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_crash_one_after_the_other_begin_later_and_later() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("bad-runs"), "3").expect("written");
    let config = folder.path().join("camera-agent.toml");
    std::fs::write(&config, configuration("ws://127.0.0.1:9/", "x", TEST_MEDIA)).expect("written");
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["run", "--config"])
        .arg(&config)
        .env("RUNTIME_DIRECTORY", folder.path())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("log")).expect("created"))
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts");
    let log = || std::fs::read_to_string(folder.path().join("log")).expect("there");
    until("the first try to connect", SOON, || async {
        log().contains("no chat server").then_some(())
    })
    .await;
    // Two seconds for the second, four for the third.
    assert!(begun.elapsed() >= Duration::from_secs(4), "{}", log());
    assert!(log().contains("3 runs in a row did not last"), "{}", log());
    child.kill().await.expect("killed");
    let count = std::fs::read_to_string(folder.path().join("bad-runs"));
    assert_eq!(count.expect("there"), "4");
}
