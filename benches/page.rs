//! Click to first frame, as a person has it: a real Chromium on the page, the
//! device in a process of its own, 1280×720 at 30 frames a second.
//!
//! `cargo bench --bench page`. From idle means that nobody has watched for so
//! long that the encoder was stopped; streaming, that somebody else watches.
//!
//! And how old a picture is when Chromium hands it to the screen, by the capture times
//! that its packets carry: with sound, and where the viewer wants it as fast as it
//! comes.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::browser::{Browser, Person};
use support::device::Device;
use support::{Chat, SOON};

const MEDIA: &str =
    "[video]\nsource = \"test\"\n[audio]\nsource = \"test\"\n[ice]\nloopback = true\n";
/// Lip-sync is found in so long.
const SETTLES: Duration = Duration::from_secs(15);
const FROM_IDLE: usize = 6;
const STREAMING: usize = 15;
/// Pictures whose age is taken: less than a driver waits for.
const PICTURES: usize = 300;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, MEDIA).await;
    device.registered().await;
    let alice = person(&chat, "alice").await;

    let first = click(&alice).await;
    let mut from_idle = Vec::new();
    for round in 1..=FROM_IDLE {
        hang_up(&alice).await;
        device
            .logs("stopped: nobody watches", 2 * round, SOON)
            .await;
        from_idle.push(click(&alice).await);
    }
    hang_up(&alice).await;

    let bob = person(&chat, "bob").await;
    click(&bob).await;
    let mut streaming = Vec::new();
    for _ in 0..STREAMING {
        streaming.push(click(&alice).await);
        hang_up(&alice).await;
        // Under the limit of two calls a second from one name.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }

    click(&alice).await;
    let with_sound = ages(&alice).await;
    alice.click("#stats-toggle").await;
    alice.click("#apart").await;
    alice.state("connected").await;
    let apart = ages(&alice).await;

    println!("click → first frame on the page, ms (Chromium, 1280×720)");
    println!("  the browser's very first call   {first:6.0}");
    report("  from idle", from_idle);
    report("  while somebody watches", streaming);
    println!("age of a picture when it is shown, ms, median and 95th percentile");
    for (what, mut ages) in [("with sound", with_sound), ("as fast as it comes", apart)] {
        ages.sort_by(f64::total_cmp);
        let at = |share: f64| ages[(ages.len() as f64 * share) as usize];
        println!("  {what:<31} {:6.0} {:6.0}", at(0.5), at(0.95));
    }
}

/// How old each of the next pictures is, once the call has settled.
async fn ages(browser: &Browser) -> Vec<f64> {
    tokio::time::sleep(SETTLES).await;
    let ages = browser
        .promise(&format!(
            "import('/latency.js').then(({{ latency }}) => new Promise((resolve) => {{
                const video = document.querySelector('#remote');
                const receiver = cameraAgent.pc.getReceivers()
                    .find(({{ track }}) => track.kind === 'video');
                const ages = [];
                const look = () => {{
                    // Both clocks are this machine's.
                    const age = latency(receiver, undefined, 0);
                    if (age !== undefined) ages.push(age);
                    if (ages.length === {PICTURES}) resolve(ages);
                    else video.requestVideoFrameCallback(look);
                }};
                video.requestVideoFrameCallback(look);
            }}))"
        ))
        .await;
    let ages = ages.as_array().expect("a list");
    ages.iter().filter_map(|age| age.as_f64()).collect()
}

async fn person(chat: &Chat, name: &str) -> Browser {
    let browser = Browser::start(Person::default()).await;
    browser.open(&chat.page(name)).await;
    browser
        .until_js(
            "the camera in the list",
            "document.querySelector('#users button[data-name=camera]:enabled') !== null",
        )
        .await;
    browser
}

/// Clicks the camera and waits for its first frame, all in the page itself.
async fn click(browser: &Browser) -> f64 {
    browser
        .promise(
            "new Promise((resolve) => {
                const video = document.querySelector('#remote');
                const button = document.querySelector('#users button[data-name=camera]');
                const start = performance.now();
                video.requestVideoFrameCallback(() => resolve(performance.now() - start));
                button.click();
            })",
        )
        .await
        .as_f64()
        .expect("milliseconds")
}

async fn hang_up(browser: &Browser) {
    browser.click("#hangup").await;
    browser.state("idle").await;
}

fn report(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let (low, middle, high) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what:<33} {middle:6.0}   ({low:.0} to {high:.0}, {} calls)",
        times.len()
    );
}
