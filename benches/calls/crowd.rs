//! What one more viewer costs: between 8 and 64 of them, of the device and of the
//! bare sender, and how late the 64th has a picture.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::Child;
use crate::{chat, count, number};

const FEW: usize = 8;
const MANY: usize = 64;
/// The sender's core, and that of all its viewers.
const CORES: (usize, usize) = (0, 1);

/// Prints the table, and gives it as JSON.
pub async fn run(clip: &Path) -> Value {
    println!("\none more viewer, between {FEW} and {MANY}:");
    let device = margin("device", clip).await;
    let bare = margin("bare", clip).await;
    let ratio = |key: &str| number(&device, key) / number(&bare, key).max(1e-9);
    let ratios = json!({"core": ratio("core"), "mb": ratio("mb"), "p95": ratio("p95_ms")});
    println!(
        "   device / bare | CPU {:.2}  memory {:.2}  sent p95 {:.2}",
        number(&ratios, "core"),
        number(&ratios, "mb"),
        number(&ratios, "p95"),
    );
    json!({"device": device, "bare": bare, "ratios": ratios})
}

async fn margin(sender: &str, clip: &Path) -> Value {
    let few = measure(sender, FEW, clip).await;
    let many = measure(sender, MANY, clip).await;
    let a_viewer = |key: &str| (number(&many, key) - number(&few, key)) / (MANY - FEW) as f64;
    let row = json!({"sender": sender, "core": a_viewer("core"), "mb": a_viewer("pss_mb"),
        "p50_ms": many["p50_ms"], "p95_ms": many["p95_ms"], "least_fps": many["least_fps"],
        "gaps": many["gaps"], "few": few, "many": many});
    println!(
        "{sender:>16} | {:.3} % of a core, {:.3} MB | at {MANY}: {:.1} fps and more, sent p50 \
         {:.2} ms, p95 {:.2} ms, {} gaps",
        number(&row, "core") * 100.0,
        number(&row, "mb"),
        number(&row, "least_fps"),
        number(&row, "p50_ms"),
        number(&row, "p95_ms"),
        row["gaps"],
    );
    row
}

/// Cores and memory that so many viewers take.
async fn measure(sender: &str, viewers: usize, clip: &Path) -> Value {
    let (url, stop, server) = chat().await;
    let device = Child::start_on(CORES.0, &[sender, &url, &clip.display().to_string()]);
    let mut audience = Child::start_on(CORES.1, &["viewers", &url, &viewers.to_string()]);
    audience.say("crowd");
    audience.line().await;
    let watched = count(&device).await;
    audience.say("stop");
    let mut row = audience.line().await;
    drop((audience, device));
    stop.cancel();
    server.await.expect("the server ends");
    row["core"] = (watched.cpu_a_minute / 60.0).into();
    row["pss_mb"] = watched.after.pss_mb.into();
    row["rss_mb"] = watched.after.rss_mb.into();
    row
}
