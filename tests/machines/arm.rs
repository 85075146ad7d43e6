//! The agent as it is built for boards: an ARM binary with Debian's GStreamer
//! for that processor, emulated by qemu-user, answers a browser's call. `make
//! test-arm64` and `make test-armhf` make all that (tests/arm/run.sh) and run
//! this; without it these tests fail.
//!
//! What is proven is that the binary, its libraries and its pixels are right,
//! not how fast a board is: an emulated processor that shares two real ones
//! with the browser is slower than any. Numbers seen are printed.

mod pi;

use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::picture::{assert_bars, difference, picture, row};
use crate::support::{Chat, User, file, until};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// Anything that an emulated processor does, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Runs a program in the ARM machine's file system.
const ENTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/arm/enter.sh");
/// A picture that it can encode while it encrypts: bars that move.
const MEDIA: &str = r#"
[video]
source = "custom"
pipeline = "videotestsrc is-live=true pattern=smpte75 horizontal-speed=4"
width = 320
height = 180
fps = 10
bitrate_kbps = 300
[audio]
source = "test"
[ice]
loopback = true
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulated processor: make test-arm64 or test-armhf"]
async fn it_is_an_arm_program_and_checks_its_configuration() {
    let board = Board::new();
    let program = std::fs::read(board.root.join("usr/bin/camera-agent")).expect("it is installed");
    // ELF, little-endian; ELFCLASS64 and EM_AARCH64, or ELFCLASS32 and EM_ARM.
    let (class, machine) = match board.arch.as_str() {
        "arm64" => (2, 183_u16),
        "armhf" => (1, 40),
        other => panic!("{other} is no ARM"),
    };
    assert_eq!(program[..6], [0x7f, b'E', b'L', b'F', class, 1]);
    assert_eq!(program[18..20], machine.to_le_bytes());

    let version = board.says(&["--version"]).await;
    assert_eq!(
        version.trim(),
        format!("camera-agent {}", env!("CARGO_PKG_VERSION"))
    );
    assert!(board.says(&["--help"]).await.contains("Usage:"));
    let config = file(include_str!("../../systemd/camera-agent.toml"));
    let valid = board
        .says(&["run", "--check", "--config", path(&config)])
        .await;
    assert_eq!(valid, "the configuration is valid\n");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulated processor: make test-arm64 or test-armhf"]
async fn devices_tells_what_is_there_and_which_encoder_works() {
    let board = Board::new();
    let config = file(MEDIA);
    let told = board
        .says(&["devices", "--json", "--config", path(&config)])
        .await;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let pipeline = told["picture"]["pipeline"].as_str().unwrap_or_default();
    assert!(pipeline.contains("width=320,height=180"), "{told:#}");
    let encoders = told["encoders"].as_array().expect("a list");
    let x264 = encoders.iter().find(|row| row["id"] == "x264");
    let x264 = x264.unwrap_or_else(|| panic!("no x264: {told:#}"));
    // Tried out in a child process, on the emulated processor.
    println!("x264: {}", x264["probe"]);
    assert_eq!(x264["usable"], true, "{x264}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulated processor: make test-arm64 or test-armhf"]
async fn the_doctor_finds_everything_there_and_its_call_to_itself_comes_about() {
    let board = Board::new();
    let chat = Chat::start().await;
    let config = file(&configuration(&chat));
    let output = board
        .output(&["doctor", "--json", "--config", path(&config)])
        .await;
    // 0: fit; 3: warnings, such as that this processor is slow.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    for check in [
        "configuration",
        "elements",
        "encoder",
        "chat-server",
        "call",
    ] {
        let about: Vec<_> = findings.iter().filter(|f| f["check"] == check).collect();
        assert!(!about.is_empty(), "nothing about {check}: {report:#}");
        for finding in about {
            println!("{check}: {} ({})", finding["what"], finding["severity"]);
            assert!(finding["severity"] != "error", "{finding:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulated processor: make test-arm64 or test-armhf"]
async fn a_browser_sees_and_hears_it_and_hangs_up() {
    let board = Board::new();
    let chat = Chat::start().await;
    let started = Instant::now();
    let mut device = Device::run(board.command(), &configuration(&chat)).await;
    let mut user = User::connect(chat.addr).await;
    user.claim("user").await;
    timeout(PATIENCE, user.list_with("board"))
        .await
        .expect("it registers in time");
    println!("start to registered: {:?}", started.elapsed());
    assert_emulated(&device);

    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    let clicked = Instant::now();
    alice.call("board").await;
    until("a decoded frame", PATIENCE, || async {
        (alice.frames_decoded().await >= 1.0).then_some(())
    })
    .await;
    println!("click to first frame: {:?}", clicked.elapsed());
    assert_eq!(alice.inbound("video", "frameWidth").await, Some(320.0));
    assert_eq!(alice.inbound("video", "frameHeight").await, Some(180.0));

    let (before, frames, begun) = (
        picture(&alice).await,
        alice.frames_decoded().await,
        Instant::now(),
    );
    until("thirty more", PATIENCE, || async {
        (alice.frames_decoded().await >= frames + 30.0).then_some(())
    })
    .await;
    println!("30 frames decoded in {:?}", begun.elapsed());
    assert_bars(&row(&alice).await);
    let moved = difference(&before, &picture(&alice).await);
    println!("mean change of a colour value: {moved:.2} of 255");
    assert!(moved > 5.0, "a still picture: {moved}");
    until("sound", PATIENCE, || async {
        (alice.audio_energy().await > 0.0).then_some(())
    })
    .await;

    alice.click("#hangup").await;
    alice.state("idle").await;
    device.logs("hung up", 1, PATIENCE).await;
    assert_eq!(device.warnings(), 0, "{:?}", device.log());
    device.signal("TERM").await;
    assert_eq!(device.exits(PATIENCE).await.code(), Some(0));
    chat.stop().await;
}

/// A board without a battery starts in the past and jumps when it hears the
/// time, and it runs for months: its certificate is good at any time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulated processor: make test-arm64 or test-armhf"]
async fn calls_are_answered_after_the_clock_has_jumped_by_three_days() {
    let board = Board::new();
    let chat = Chat::start().await;
    let clock = file("0\n");
    let state = tempfile::tempdir().expect("a folder");
    // tests/arm/clock.c
    let mut command = board.program("/usr/bin/env");
    command
        .arg("LD_PRELOAD=/usr/lib/clock.so")
        .arg(format!("CLOCK_FILE={}", path(&clock)))
        .arg(format!("STATE_DIRECTORY={}", state.path().display()))
        .arg("/usr/bin/camera-agent");
    let device = Device::run(command, &configuration(&chat)).await;
    let mut user = User::connect(chat.addr).await;
    user.claim("user").await;
    timeout(PATIENCE, user.list_with("board"))
        .await
        .expect("it registers in time");
    let began = device.log();
    let days = 3 * 24 * 3_600;
    std::fs::write(clock.path(), format!("{days}\n")).expect("written");

    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.call("board").await;
    until("a decoded frame", PATIENCE, || async {
        (alice.frames_decoded().await >= 1.0).then_some(())
    })
    .await;
    // Its clock did jump.
    let day = |line: &Value| line["timestamp"].as_str().map(|t| t[..10].to_owned());
    let days = |log: Vec<Value>| log.iter().filter_map(day).next_back().expect("a time");
    assert_ne!(days(began), days(device.log()));
    chat.stop().await;
}

/// For the device called "board" on this server.
fn configuration(chat: &Chat) -> String {
    format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"board\"\n{MEDIA}",
        chat.addr
    )
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("text")
}

/// The ARM machine's file system, with the agent in it.
struct Board {
    /// Debian's name of its processor.
    arch: String,
    root: PathBuf,
}

impl Board {
    fn new() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: run make test-arm64 or test-armhf"))
        };
        Self {
            arch: variable("CAMERA_AGENT_ARM"),
            root: variable("CAMERA_AGENT_ARM_ROOT").into(),
        }
    }

    /// The agent on the ARM machine, without arguments.
    fn command(&self) -> Command {
        self.program("/usr/bin/camera-agent")
    }

    /// Any program there.
    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(ENTER);
        command.arg(&self.root).arg(program);
        command.kill_on_drop(true);
        command
    }

    /// Runs it with these arguments to its end.
    async fn output(&self, arguments: &[&str]) -> Output {
        timeout(PATIENCE, self.command().args(arguments).output())
            .await
            .unwrap_or_else(|_| panic!("no end in {PATIENCE:?}: {arguments:?}"))
            .expect("it starts")
    }

    /// What it prints with these arguments, when it ends well.
    async fn says(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// What runs is the emulator, not a binary for this machine.
fn assert_emulated(device: &Device) {
    let program = std::fs::read_link(format!("/proc/{}/exe", device.pid())).expect("it runs");
    assert!(
        ["qemu-aarch64", "qemu-arm"]
            .iter()
            .any(|emulator| program.to_string_lossy().contains(emulator)),
        "{program:?}"
    );
}
