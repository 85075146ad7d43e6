//! The audience: some viewers in one process, and one more who calls again and
//! again to see how long that takes.

use std::io::BufRead;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::CALLS;
use crate::viewer::Viewer;

fn told() {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .expect("a word");
}

async fn told_soon() -> String {
    tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .expect("a word");
        line
    })
    .await
    .expect("a word")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * q).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Calls and waits for the picture; offer → answer and offer → first frame.
async fn call(viewer: &mut Viewer) -> (f64, f64) {
    viewer.call().await;
    viewer
        .wait("a key frame", |heard, received| {
            let offered = heard.times.offered?;
            let since = |at: Instant| milliseconds(at.duration_since(offered));
            Some((
                since(heard.times.answered?),
                since(received.video.first_key?),
            ))
        })
        .await
}

/// What a viewer who gives no feedback says that their path carries, in bit/s.
const EVERYTHING: f32 = 100e6;

pub async fn run(url: &str, count: &str) {
    let count: usize = count.parse().expect("a number");
    let word = told_soon().await;
    let from_idle = word.trim() == "from idle";
    let silent = word.trim() == "silent";
    let guests = match word.trim() {
        "crowd" => 0,
        _ => CALLS,
    };
    let (mut answers, mut firsts, mut idle) = (vec![], vec![], vec![]);
    if from_idle {
        for i in 0..CALLS {
            let mut viewer = Viewer::join(url, &format!("first {i}"), "camera").await;
            idle.push(call(&mut viewer).await.1);
            viewer.hang_up().await;
            // Longer than the source goes on for nobody.
            tokio::time::sleep(Duration::from_millis(5_600)).await;
        }
    }
    let mut viewers = Vec::new();
    for i in 0..count {
        let mut viewer = Viewer::join(url, &format!("viewer {i}"), "camera").await;
        if silent {
            viewer.give_no_feedback();
        }
        call(&mut viewer).await;
        if silent {
            viewer.carries(EVERYTHING).await;
        }
        viewers.push(viewer);
    }
    for i in 0..guests {
        // At most two key frames a second are forced, and a person who calls
        // does not come right after another.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let mut viewer = Viewer::join(url, &format!("guest {i}"), "camera").await;
        let (answer, first) = call(&mut viewer).await;
        answers.push(answer);
        firsts.push(first);
        viewer.hang_up().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for viewer in &viewers {
        viewer.received(|r| {
            r.delays.clear();
            (r.video.gaps, r.video.frames) = (0, 0);
        });
    }
    let began = Instant::now();
    println!(
        "{}",
        json!({"answer_ms": quantile(&mut answers, 0.5),
            "first_frame_ms": quantile(&mut firsts, 0.5),
            "idle_first_frame_ms": from_idle.then(|| quantile(&mut idle, 0.5))})
    );
    told_soon().await;
    let mut delays = Vec::new();
    let (mut gaps, mut rates) = (0, Vec::new());
    let seconds = began.elapsed().as_secs_f64();
    for viewer in &viewers {
        viewer.received(|r| {
            delays.extend(r.delays.drain(..).map(milliseconds));
            gaps += r.video.gaps;
            rates.push(r.video.frames as f64 / seconds);
        });
    }
    println!(
        "{}",
        json!({"p50_ms": quantile(&mut delays, 0.5), "p95_ms": quantile(&mut delays, 0.95),
            "gaps": gaps, "least_fps": quantile(&mut rates, 0.0)})
    );
    told();
}
