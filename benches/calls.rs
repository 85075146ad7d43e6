//! The whole process under 1, 4 and 16 viewers, and a bare `webrtc` sender
//! under the same, in one run: `cargo bench --bench calls`.
//!
//! The chat server is in this process; the sender and the viewers are two
//! more, which are this program again with a role as its argument. Clip:
//! 720p30 at 2 Mbit/s, encoded ahead, so that what is measured is the way to
//! the viewers; "live" is the device with a real encoder. On a busy machine the
//! 95th percentile of one run can be ten times that of the next: to compare
//! two builds, run them in turn, and look at the ratios to the bare sender.
//! "unadapted" is the device for viewers who give no feedback and say once that
//! their paths carry everything: there is nothing to follow.
//! What one more viewer costs is reckoned between 8 and 64 of them, the sender
//! on one core and the viewers on another: `cargo bench --bench calls -- crowd`
//! measures that alone.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "calls/bare.rs"]
mod bare;
#[path = "calls/clip.rs"]
mod clip;
#[path = "calls/crowd.rs"]
mod crowd;
#[path = "../tests/support/cuttable.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod cuttable;
#[path = "calls/device.rs"]
mod device;
#[path = "../tests/support/meter.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod meter;
#[path = "calls/process.rs"]
#[allow(dead_code, reason = "shared with the bench of recordings")]
mod process;
#[path = "../tests/support/relay.rs"]
mod relay;
#[path = "../tests/support/viewer.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod viewer;
#[path = "calls/viewers.rs"]
mod viewers;

use std::path::Path;
use std::time::Duration;

use camera_agent::chat::{Options, Server};
use camera_agent::media::probe::child;
use process::{Child, Usage};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const VIEWERS: [usize; 3] = [1, 4, 16];
/// Calls of which a median is made.
const CALLS: usize = 11;
/// How long CPU time is counted.
const WINDOW: Duration = Duration::from_secs(10);

fn main() {
    // As the device's own main does; the memory figures depend on it.
    //
    // SAFETY: nothing has started a thread yet.
    #[allow(unsafe_code, reason = "the module explains itself")]
    unsafe {
        camera_agent::environment::prepare();
    }
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match arguments.get(1).map(String::as_str) {
        Some("device") => runtime.block_on(device::clip(&arguments[2], &arguments[3])),
        Some("live") => runtime.block_on(device::live(&arguments[2])),
        Some("watch") => device::watch(&arguments[2]),
        Some("bare") => runtime.block_on(bare::run(&arguments[2], &arguments[3])),
        // The device tries its encoder out in a child of this program.
        Some(child::COMMAND) => {
            child::serve(std::io::stdin(), std::io::stdout()).expect("a probe");
        }
        Some("viewers") => runtime.block_on(viewers::run(&arguments[2], &arguments[3])),
        Some("crowd") => runtime.block_on(crowds()),
        _ => runtime.block_on(all()),
    }
}

async fn crowds() {
    let clip = tempfile::NamedTempFile::new().expect("a file");
    clip::make(clip.path());
    println!(
        "{}",
        json!({"bench": "calls", "crowd": crowd::run(clip.path()).await})
    );
}

async fn all() {
    let clip = tempfile::NamedTempFile::new().expect("a file");
    clip::make(clip.path());
    let watch = watch(clip.path()).await;
    println!(
        "playing the clip to nobody: {:.3} CPU-s a minute, RSS {:.1} MB\n",
        watch.cpu_a_minute, watch.after.rss_mb
    );
    println!(
        "{:8} {:>7} | {:>10} {:>7} {:>7} | {:>9} {:>9} | {:>8} {:>8} | gaps",
        "sender",
        "viewers",
        "CPU-s/v-min",
        "RSS MB",
        "PSS MB",
        "answer",
        "1st frame",
        "sent p50",
        "p95"
    );
    let mut rows = Vec::new();
    for viewers in VIEWERS {
        // Side by side, so that both find the machine alike.
        for sender in ["device", "unadapted"] {
            let row = measure(sender, viewers, Some(clip.path()), watch.cpu_a_minute).await;
            print(&row);
            rows.push(row);
        }
    }
    let adaptation = adaptation(&rows);
    rows.retain(|row| row["sender"] == "device");
    for sender in ["bare"] {
        for viewers in VIEWERS {
            let row = measure(sender, viewers, Some(clip.path()), watch.cpu_a_minute).await;
            print(&row);
            rows.push(row);
        }
    }
    println!("live: the picture encoded by x264 meanwhile; its CPU holds the encode");
    for viewers in [1, 4] {
        let row = measure("live", viewers, None, 0.0).await;
        print(&row);
        rows.push(row);
    }
    println!("\ndevice / bare:");
    let mut ratios = Vec::new();
    for (ours, theirs) in rows[..3].iter().zip(&rows[3..6]) {
        let ratio = |key: &str| number(ours, key) / number(theirs, key).max(1e-9);
        let line = json!({"viewers": ours["viewers"], "cpu": ratio("cpu"), "rss": ratio("rss_mb"),
            "answer": ratio("answer_ms"), "first_frame": ratio("first_frame_ms"),
            "sent_p95": ratio("sent_p95_ms")});
        println!(
            "{:>16} | CPU {:.2}  RSS {:.2}  answer {:.2}  first frame {:.2}  sent p95 {:.2}",
            line["viewers"],
            number(&line, "cpu"),
            number(&line, "rss"),
            number(&line, "answer"),
            number(&line, "first_frame"),
            number(&line, "sent_p95"),
        );
        ratios.push(line);
    }
    let crowd = crowd::run(clip.path()).await;
    println!(
        "{}",
        json!({"bench": "calls", "rows": rows, "ratios": ratios, "adaptation": adaptation,
            "crowd": crowd})
    );
}

/// What it costs to follow each viewer's path: the device whose viewers give
/// feedback against the same device whose viewers give none.
fn adaptation(rows: &[Value]) -> Vec<Value> {
    println!("adapting / not adapting:");
    let ratios = rows.chunks(2).map(|pair| {
        let ratio = number(&pair[0], "cpu") / number(&pair[1], "cpu").max(1e-9);
        println!("{:>16} | CPU {ratio:.2}", pair[0]["viewers"]);
        json!({"viewers": pair[0]["viewers"], "cpu": ratio})
    });
    ratios.collect()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or(f64::NAN)
}

/// For the table; what was not measured is a dash.
fn cell(row: &Value, key: &str, digits: usize) -> String {
    row[key]
        .as_f64()
        .map_or("–".into(), |n| format!("{n:.digits$}"))
}

fn print(row: &Value) {
    println!(
        "{:8} {:>7} | {:>11} {:>7} {:>7} | {:>6} ms {:>6} ms | {:>5} ms {:>5} ms | {}",
        row["sender"].as_str().unwrap_or_default(),
        row["viewers"],
        cell(row, "cpu", 3),
        cell(row, "rss_mb", 1),
        cell(row, "pss_mb", 1),
        cell(row, "answer_ms", 1),
        cell(row, "first_frame_ms", 1),
        cell(row, "sent_p50_ms", 2),
        cell(row, "sent_p95_ms", 2),
        row["gaps"],
    );
    if let Some(idle) = row["idle_first_frame_ms"].as_f64() {
        println!(
            "{:>16} | from idle: first frame {idle:.0} ms after the offer",
            ""
        );
    }
}

struct Watched {
    cpu_a_minute: f64,
    after: Usage,
}

/// CPU over [`WINDOW`], as seconds a minute.
async fn count(child: &Child) -> Watched {
    let before = child.usage();
    tokio::time::sleep(WINDOW).await;
    let after = child.usage();
    Watched {
        cpu_a_minute: (after.cpu - before.cpu).as_secs_f64() * 60.0 / WINDOW.as_secs_f64(),
        after,
    }
}

async fn watch(clip: &Path) -> Watched {
    let child = Child::start(&["watch", &clip.display().to_string()]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    count(&child).await
}

/// A chat server for as many as want to call; its address, and how it ends.
async fn chat() -> (String, CancellationToken, JoinHandle<()>) {
    let mut options = Options::new(([127, 0, 0, 1], 0).into());
    options.limits.burst = 100_000;
    let server = Server::bind(options).await.expect("a port is free");
    let url = format!("ws://{}/", server.local_addr());
    let stop = CancellationToken::new();
    let server = tokio::spawn(server.run(stop.clone()));
    (url, stop, server)
}

async fn measure(sender: &str, viewers: usize, clip: Option<&Path>, encode: f64) -> Value {
    let (url, stop, server) = chat().await;

    let clip = clip.map(|c| c.display().to_string());
    let role = match sender {
        "unadapted" => "device",
        other => other,
    };
    let mut arguments = vec![role, &url];
    arguments.extend(clip.as_deref());
    let device = Child::start(&arguments);
    let mut audience = Child::start(&["viewers", &url, &viewers.to_string()]);
    audience.say(match sender {
        "live" if viewers == 1 => "from idle",
        "unadapted" => "silent",
        _ => "go",
    });
    // All are connected and see the picture.
    let times = audience.line().await;
    let watched = count(&device).await;
    audience.say("stop");
    let sent = audience.line().await;
    drop((audience, device));
    stop.cancel();
    server.await.expect("the server ends");
    let cpu = (watched.cpu_a_minute - encode) / viewers as f64;
    json!({
        "sender": sender, "viewers": viewers, "cpu": cpu,
        "rss_mb": watched.after.rss_mb, "pss_mb": watched.after.pss_mb,
        "threads": watched.after.threads,
        "answer_ms": times["answer_ms"], "first_frame_ms": times["first_frame_ms"],
        "idle_first_frame_ms": times["idle_first_frame_ms"],
        "sent_p50_ms": sent["p50_ms"], "sent_p95_ms": sent["p95_ms"], "gaps": sent["gaps"],
    })
}
