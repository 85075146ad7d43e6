//! Click to first frame, as a person has it: a real Chromium on the page, the
//! device in a process of its own, 1280×720 at 30 frames a second.
//!
//! `cargo bench --bench page`. From idle means that nobody has watched for so
//! long that the encoder was stopped; warm, that somebody else watches.
//!
//! Of each call the stages are printed as the device logs them: the median of 20.
//!
//! And how old a picture is when Chromium hands it to the screen, by the capture times
//! that its packets carry: with sound, and where the viewer wants it as fast as it
//! comes.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::Value;
use support::browser::{Browser, Person};
use support::device::Device;
use support::{Chat, SOON};

const MEDIA: &str =
    "[video]\nsource = \"test\"\n[audio]\nsource = \"test\"\n[ice]\nloopback = true\n";
/// Lip-sync is found in so long.
const SETTLES: Duration = Duration::from_secs(15);
/// From one warm call to the next: newcomers are granted a key frame in less.
const BETWEEN: Duration = Duration::from_millis(1_500);
/// Calls of which a median is made.
const CALLS: usize = 20;
/// Pictures whose age is taken: less than a driver waits for.
const PICTURES: usize = 300;
/// The device's word for a call that came to a picture.
const BEGUN: &str = "the call has begun";
/// What it says of it, and what that is.
const STAGES: [(&str, &str); 6] = [
    ("answer_ms", "offer → answer"),
    ("path_ms", "→ ICE has a pair"),
    ("dtls_ms", "→ DTLS done"),
    ("packet_ms", "→ first packet of the picture"),
    ("picture_ms", "→ its last packet"),
    ("all_ms", "offer → picture sent"),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    print(&runtime.block_on(measure()));
}

/// The calls of one column: what the device logged of each, and ms from the click
/// to the first frame.
struct Column {
    name: &'static str,
    logged: Vec<Value>,
    clicks: Vec<f64>,
}

impl Column {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            logged: Vec::new(),
            clicks: Vec::new(),
        }
    }

    /// One call more.
    async fn click(&mut self, browser: &Browser, device: &Device) {
        let before = device.said(BEGUN);
        self.clicks.push(click(browser).await);
        device.logs(BEGUN, before + 1, SOON).await;
        let newest = device.log().into_iter().rfind(|l| l["message"] == BEGUN);
        self.logged.push(newest.expect("it was logged"));
    }

    fn stage(&self, key: &str) -> f64 {
        median(self.logged.iter().filter_map(|l| l[key].as_f64()).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn measure() -> [Column; 2] {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, MEDIA).await;
    device.registered().await;
    let alice = person(&chat, "alice").await;

    let first = click(&alice).await;
    println!("click → first frame, the browser's very first call: {first:.0} ms");
    let mut idle = Column::new("idle");
    for round in 1..=CALLS {
        hang_up(&alice).await;
        device
            .logs("stopped: nobody watches", 2 * round, SOON)
            .await;
        idle.click(&alice, &device).await;
    }
    hang_up(&alice).await;
    let warm = warm(&chat, &device, &alice).await;

    click(&alice).await;
    let with_sound = ages(&alice).await;
    alice.click("#stats-toggle").await;
    alice.click("#apart").await;
    alice.state("connected").await;
    let apart = ages(&alice).await;
    println!("age of a picture when it is shown, ms, median and 95th percentile");
    for (what, mut ages) in [("with sound", with_sound), ("as fast as it comes", apart)] {
        ages.sort_by(f64::total_cmp);
        let at = |share: f64| ages[(ages.len() as f64 * share) as usize];
        println!("  {what:<31} {:6.0} {:6.0}", at(0.5), at(0.95));
    }
    [idle, warm]
}

/// Calls while somebody else watches.
async fn warm(chat: &Chat, device: &Device, alice: &Browser) -> Column {
    let bob = person(chat, "bob").await;
    click(&bob).await;
    let mut column = Column::new("warm");
    for _ in 0..CALLS {
        column.click(alice, device).await;
        hang_up(alice).await;
        tokio::time::sleep(BETWEEN).await;
    }
    column
}

fn print(columns: &[Column]) {
    let names: String = columns.iter().map(|c| format!("{:>8}", c.name)).collect();
    println!(
        "{:<55}{names}",
        format!("how a call begins, ms, median of {CALLS}")
    );
    let row = |what: &str, of: &dyn Fn(&Column) -> f64| {
        let cells: String = columns.iter().map(|c| format!("{:>8.1}", of(c))).collect();
        println!("  {what:<53}{cells}");
    };
    for (key, what) in STAGES {
        row(what, &|column| column.stage(key));
    }
    row("click → first frame on the page", &|column| {
        median(column.clicks.clone())
    });
    let json: Vec<_> = columns
        .iter()
        .map(|column| {
            let mut json = serde_json::json!({
                "column": column.name, "click_ms": median(column.clicks.clone()),
            });
            for (key, _) in STAGES {
                json[key] = column.stage(key).into();
            }
            json
        })
        .collect();
    println!("{}", serde_json::json!({"bench": "page", "columns": json}));
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
