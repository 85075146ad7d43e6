//! What a person sees over good and bad paths: a real Chromium, a real encoder,
//! 1280×720 at 30 frames a second and 2 Mbit/s, every frame with its number.
//!
//! `make test-paths`. Thresholds are those of the project; they mean something
//! only where the machine keeps up, so a test says whether it was the agent that
//! did not hold them, or the machine.

mod support;

use std::time::Duration;

use support::Chat;
use support::bare::Bare;
use support::device::Device;
use support::painter::Painter;
use support::relay::Conditions;
use support::screen::Screen;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn media(painter: &Painter) -> String {
    format!(
        "[video]\nsource = \"custom\"\npipeline = \"{}\"\nwidth = 1280\nheight = 720\nfps = 30\n\
         bitrate_kbps = 2000\n[audio]\nsource = \"test\"\n[ice]\nloopback = true\n",
        painter.source()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn clear() {
    let painter = Painter::start();
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, &media(&painter)).await;
    device.registered().await;
    let mut screen = Screen::open(&chat, "alice", Conditions::default(), &painter.diary).await;
    screen.call("camera").await;
    for _ in 0..1 {
        println!("{}", screen.watch(secs(3)).await);
    }
    screen.hang_up().await;
    let _bare = Bare::start(chat.addr, "bare", &painter.source(), 2_000_000).await;
    screen.call("bare").await;
    for _ in 0..1 {
        println!("{}", screen.watch(secs(3)).await);
    }
}
