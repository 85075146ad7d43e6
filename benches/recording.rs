//! Half an hour of recording while four watch: what the device has in memory and open in
//! each minute, whether a viewer missed anything, and what recording costs.
//!
//! `cargo bench --bench recording`, or `-- MINUTES` for another time. The chat server is in
//! this process, the viewers are this program again; the device is the real program with
//! a generated picture and a tone, 720p30 at 2 Mbit/s. Cost is CPU time of the whole device
//! with recording against without, in turns, by reloads of one process.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../tests/support/cpu.rs"]
mod cpu;
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
use cpu::cpu_of;
use process::Child;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use viewer::Viewer;

/// Has detail and moves, so that the encoder makes use of all its 2 Mbit/s.
const PICTURE: &str = "videotestsrc is-live=true pattern=zone-plate kx2=20 ky2=20 kt=2";
const VIEWERS: usize = 4;
const MINUTES: u64 = 30;
/// So long after its start what a device has in memory is what it needs.
const WARM: u64 = 3;
/// More is growth, in MB.
const GROWTH: f64 = 3.0;
/// How long CPU time is counted with and without, and how often.
const WINDOW: Duration = Duration::from_secs(15);
const TURNS: usize = 6;
/// After a reload nothing is counted.
const SETTLE: Duration = Duration::from_secs(3);
/// Of a core, in percent.
const MOST_COST: f64 = 2.0;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    match arguments.get(1).map(String::as_str) {
        Some("viewers") => runtime.block_on(watch(&arguments[2])),
        minutes => {
            let minutes = minutes.and_then(|minutes| minutes.parse().ok());
            runtime.block_on(all(minutes.unwrap_or(MINUTES)));
        }
    }
}

/// A device that records, or not.
struct Device {
    child: Child,
    files: tempfile::TempDir,
    url: String,
}

/// What it has.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Has {
    memory_mb: f64,
    descriptors: usize,
    threads: usize,
}

impl Device {
    async fn start(url: &str) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let mut program = Command::new(env!("CARGO_BIN_EXE_camera-agent"));
        let config = files.path().join("camera-agent.toml");
        configure(&config, url, "always");
        program.args(["run", "--config"]).arg(&config);
        program.env("RUST_LOG", "error");
        let child = Child::run(program);
        drop(Viewer::join(url, "guest", "camera").await);
        Self {
            child,
            files,
            url: url.to_owned(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.files.path().join("recordings")
    }

    fn has(&self) -> Has {
        let usage = self.child.usage();
        Has {
            memory_mb: usage.rss_mb,
            descriptors: self.child.descriptors(),
            threads: usage.threads,
        }
    }

    /// Recordings that are written, and those that have an end.
    fn recordings(&self) -> (usize, usize) {
        let files = std::fs::read_dir(self.folder()).into_iter().flatten();
        let names = files
            .flatten()
            .map(|file| file.file_name().to_string_lossy().into_owned());
        // Its length is behind what it was for.
        let (done, written): (Vec<_>, Vec<_>) =
            names.partition(|name| name.matches('_').count() == 2);
        (written.len(), done.len())
    }

    /// From now on it records, or does not.
    async fn records(&self, is_on: bool) {
        let when = if is_on { "always" } else { "off" };
        configure(
            &self.files.path().join("camera-agent.toml"),
            &self.url,
            when,
        );
        let hangs_up = Command::new("kill")
            .args(["-HUP", &self.child.id().to_string()])
            .status();
        assert!(hangs_up.await.expect("kill").success());
        let began = Instant::now();
        while (self.recordings().0 == 1) != is_on {
            assert!(began.elapsed() < Duration::from_secs(30), "{when}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn configure(config: &Path, url: &str, when: &str) {
    let folder = config.with_file_name("recordings");
    let toml = format!(
        "[server]\nurl = \"{url}\"\n[video]\nsource = \"custom\"\npipeline = \"{PICTURE}\"\n\
         [audio]\nsource = \"test\"\n[ice]\nloopback = true\n\
         [recording]\nwhen = \"{when}\"\nfolder = \"{}\"\ntotal_mb = 200\nfree_mb = 0\n",
        folder.display()
    );
    std::fs::write(config, toml).expect("written");
}

async fn all(minutes: u64) {
    let mut options = Options::new(([127, 0, 0, 1], 0).into());
    options.limits.burst = 100_000;
    let server = Server::bind(options).await.expect("a port is free");
    let url = format!("ws://{}/", server.local_addr());
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    tokio::spawn(server.run(stop));
    let device = Device::start(&url).await;
    let mut audience = Child::start(&["viewers", &url]);
    audience.line().await;
    flat(&device, minutes).await;
    missed(&mut audience, minutes).await;
    cost(&device).await;
    // Of reloads too.
    missed(&mut audience, 0).await;
}

/// What it has, minute by minute.
async fn flat(device: &Device, minutes: u64) {
    println!("minute  memory, MB  descriptors  threads  recordings, MB");
    let began = tokio::time::Instant::now();
    let mut seen = Vec::new();
    for minute in 1..=minutes {
        sleep_until(began + Duration::from_secs(60 * minute)).await;
        let (now, (written, done)) = (device.has(), device.recordings());
        let files = std::fs::read_dir(device.folder()).expect("a folder");
        let sizes = files
            .flatten()
            .filter_map(|file| Some(file.metadata().ok()?.len()));
        println!(
            "{minute:6}  {:10.1}  {:11}  {:7}  {}, {}",
            now.memory_mb,
            now.descriptors,
            now.threads,
            written + done,
            sizes.sum::<u64>() / 1_000_000
        );
        assert_eq!(written, 1, "it is recorded");
        seen.push(now);
    }
    let warm = seen[usize::try_from(WARM.min(minutes) - 1).expect("few")];
    let (last, most) = (seen[seen.len() - 1], |of: fn(&Has) -> f64| {
        let later = seen.iter().skip(usize::try_from(WARM).expect("few"));
        later.map(of).fold(f64::NEG_INFINITY, f64::max)
    });
    assert!(
        most(|has| has.memory_mb) <= warm.memory_mb + GROWTH,
        "{seen:?}"
    );
    assert!(last.descriptors <= warm.descriptors, "{seen:?}");
    assert!(last.threads <= warm.threads, "{seen:?}");
}

/// Nobody missed anything.
async fn missed(audience: &mut Child, minutes: u64) {
    audience.say("look");
    let seen = audience.line().await;
    for viewer in seen.as_array().expect("viewers") {
        println!("a viewer: {viewer}");
        let number = |key: &str| viewer[key].as_f64().expect("a number");
        assert_eq!(number("missing"), 0.0, "{viewer}");
        assert!(
            number("frames") >= 30.0 * 60.0 * minutes as f64 * 0.99,
            "{viewer}"
        );
    }
}

/// CPU time of a core, in percent, with recording and without.
async fn cost(device: &Device) {
    let id = device.child.id().to_string();
    let mut shares = [Vec::new(), Vec::new()];
    for turn in 0..2 * TURNS {
        // On, off, off, on: what drifts is in both.
        let is_on = matches!(turn % 4, 0 | 3);
        device.records(is_on).await;
        sleep(SETTLE).await;
        let (before, began) = (cpu_of(&id), Instant::now());
        sleep(WINDOW).await;
        let spent = (cpu_of(&id) - before).as_secs_f64() / began.elapsed().as_secs_f64();
        shares[usize::from(is_on)].push(spent * 100.0);
    }
    let [off, on] = shares.map(|mut of| {
        of.sort_by(f64::total_cmp);
        println!("{of:.2?}");
        of.iter().sum::<f64>() / of.len() as f64
    });
    println!(
        "without recording {off:.2} % of a core, with it {on:.2} %: it costs {:.2} %",
        on - off
    );
    assert!(on - off < MOST_COST, "{on} {off}");
}

/// The audience: calls, says when all see the picture, and what they have seen whenever
/// it is asked.
async fn watch(url: &str) {
    let mut viewers = Vec::new();
    for i in 0..VIEWERS {
        let mut viewer = Viewer::join(url, &format!("viewer {i}"), "camera").await;
        viewer.call().await;
        viewer.watch(1).await;
        viewers.push(viewer);
    }
    println!("{}", json!({ "watching": VIEWERS }));
    loop {
        // On a thread of its own: the viewers go on meanwhile.
        let asked = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.is_ok_and(|bytes| bytes > 0)
        });
        if !asked.await.unwrap_or(false) {
            return;
        }
        let seen: Vec<Value> = viewers.iter().map(seen).collect();
        println!("{}", json!(seen));
    }
}

fn seen(viewer: &Viewer) -> Value {
    viewer.received(|received| {
        let video = &received.video;
        json!({
            "frames": video.frames,
            "missing": video.missing,
            "packets": video.packets,
            "longest_ms": video.longest_gap.as_millis() as u64,
            "sound_missing": received.audio.missing,
        })
    })
}
