//! Figures of the whole device, for docs/figures.md: how large it is, what it takes
//! when nobody watches and when one or four do, how fast it is there. `make
//! figures` prints them as they stand there.
//!
//! The chat server is in this process, the viewers are this program again. The
//! device is the real program with the generated picture and tone, 720p30 at
//! 2 Mbit/s; what its CPU time is, is mostly the encoder. Sizes of what `make
//! cross` and `make deb` made are listed when it is there, and so is the start
//! of the emulated ARM binary (`make test-arm64`); memory and CPU time of an
//! emulated processor would be those of the emulator.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../tests/support/cuttable.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod cuttable;
#[path = "../tests/support/meter.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod meter;
#[path = "calls/process.rs"]
#[allow(dead_code, reason = "shared with the bench of calls")]
mod process;
#[path = "../tests/support/relay.rs"]
mod relay;
#[path = "../tests/support/viewer.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod viewer;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use camera_agent::chat::{Options, Server};
use process::Child;
use serde_json::json;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use viewer::Viewer;

const TARGETS: [&str; 3] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
];
const MEDIA: &str = "[video]\nsource = \"test\"\n[audio]\nsource = \"test\"\n\
                     [ice]\nloopback = true\n";
/// Starts of which a median is made.
const STARTS: usize = 5;
/// How long CPU time is counted.
const WINDOW: Duration = Duration::from_secs(20);
/// The encoder's and the jitter buffers' first seconds are not counted.
const SETTLE: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match arguments.get(1).map(String::as_str) {
        Some("viewers") => runtime.block_on(watch(&arguments[2], &arguments[3])),
        _ => runtime.block_on(all()),
    }
}

async fn all() {
    println!("| what | figure |\n|---|---|");
    sizes();
    let host = Path::new(env!("CARGO_BIN_EXE_camera-agent"));
    let arch = std::env::consts::ARCH;
    let start = median_start(|| Command::new(host)).await;
    row(&format!("{arch}: start → registered"), &milliseconds(start));
    for viewers in [0, 1, 4] {
        let what = match viewers {
            0 => "nobody has called yet",
            1 => "1 viewer",
            _ => "4 viewers",
        };
        let (memory, cpu) = load(host, viewers).await;
        row(
            &format!("{arch}, {what}: memory (VmRSS), CPU"),
            &format!("{memory:.0} MB, {cpu:.3} % of a core"),
        );
    }
    let root = target().join("cross/root-arm64");
    if root.join("usr/bin/camera-agent").exists() {
        let start = median_start(|| emulated(&root)).await;
        row(
            "aarch64, emulated on this machine: start → registered",
            &milliseconds(start),
        );
    } else {
        row("aarch64, emulated", "not there: make test-arm64");
    }
    row("on a board", "not measured on a board");
}

fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// Where cargo and the scripts put what they make.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    )
}

fn sizes() {
    let size = |path: &Path| {
        let bytes = std::fs::metadata(path).ok()?.len();
        Some(format!("{:.1} MB", bytes as f64 / 1e6))
    };
    for name in TARGETS {
        let binary = target().join("cross").join(name).join("camera-agent");
        let missing = || format!("not built: make cross TARGET={name}");
        row(
            &format!("binary, {name}"),
            &size(&binary).unwrap_or_else(missing),
        );
    }
    let packages = std::fs::read_dir(target().join("debian"));
    for package in packages.into_iter().flatten().flatten() {
        let name = package.file_name().to_string_lossy().into_owned();
        if let Some(size) = size(&package.path()).filter(|_| name.ends_with(".deb")) {
            row(&format!("package, {name}"), &size);
        }
    }
}

/// A chat server for a device and its viewers.
struct Chat {
    url: String,
    stop: CancellationToken,
}

impl Chat {
    async fn start() -> Self {
        let mut options = Options::new(([127, 0, 0, 1], 0).into());
        options.limits.burst = 100_000;
        let server = Server::bind(options).await.expect("a port is free");
        let url = format!("ws://{}/", server.local_addr());
        let stop = CancellationToken::new();
        tokio::spawn(server.run(stop.clone()));
        Self { url, stop }
    }

    /// Starts the device and waits until it is in the user list; how long that
    /// took.
    async fn device(&self, mut program: Command) -> (Child, tempfile::TempDir, Duration) {
        let files = tempfile::tempdir().expect("a folder");
        let config = files.path().join("camera-agent.toml");
        let server = format!("[server]\nurl = \"{}\"\n", self.url);
        std::fs::write(&config, server + MEDIA).expect("written");
        program.args(["run", "--config"]).arg(&config);
        program.env("RUST_LOG", "error");
        let started = Instant::now();
        let device = Child::run(program);
        drop(Viewer::join(&self.url, "guest", "camera").await);
        (device, files, started.elapsed())
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The median of some starts.
async fn median_start(program: impl Fn() -> Command) -> Duration {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let chat = Chat::start().await;
        took.push(chat.device(program()).await.2);
    }
    took.sort();
    took[STARTS / 2]
}

/// Memory in MB and CPU time in percent of a core, while so many watch.
async fn load(program: &Path, viewers: usize) -> (f64, f64) {
    let chat = Chat::start().await;
    let (device, _files, _) = chat.device(Command::new(program)).await;
    let mut audience = Child::start(&["viewers", &chat.url, &viewers.to_string()]);
    // All of them see the picture.
    audience.line().await;
    tokio::time::sleep(SETTLE).await;
    let (before, began) = (device.usage(), Instant::now());
    tokio::time::sleep(WINDOW).await;
    let (after, window) = (device.usage(), began.elapsed());
    let cpu = (after.cpu - before.cpu).as_secs_f64() / window.as_secs_f64();
    (after.rss_mb, cpu * 100.0)
}

/// The ARM binary, emulated as tests/arm/run.sh does it.
fn emulated(root: &Path) -> Command {
    let enter = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/arm/enter.sh");
    let mut command = Command::new(enter);
    command.arg(root).arg("/usr/bin/camera-agent");
    command.env("GST_REGISTRY", "/var/cache/gst-registry.bin");
    command
}

/// The audience: calls, says when all see the picture, and watches until it is
/// killed.
async fn watch(url: &str, count: &str) {
    let count: usize = count.parse().expect("a number");
    let mut viewers = Vec::new();
    for i in 0..count {
        let mut viewer = Viewer::join(url, &format!("viewer {i}"), "camera").await;
        viewer.call().await;
        viewer.watch(1).await;
        viewers.push(viewer);
    }
    println!("{}", json!({ "watching": count }));
    // On a thread of its own: the viewers go on meanwhile.
    let ended =
        tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()));
    let _ = ended.await;
}
