//! The picture of each vendor's encoder, as Chromium shows it: in the encoder's place is
//! its stand-in, which has x264 inside (tests/standins/).

use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::picture::{assert_bars, row};
use crate::support::vendors::{Board, Fault, ROWS};
use crate::support::{Chat, options};

/// The configuration names the row; the agent sees that its node is there, tries it and
/// shows what it makes. That it finds the row by its node alone is a test of calls
/// (tests/calls/boards/standins.rs).
#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_a_picture() {
    let browser = Browser::start(Person::default()).await;
    for (id, _) in ROWS {
        let chat = Chat::with(options()).await;
        let board = Board::of(id);
        let toml = format!(
            "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n[video]\nsource = \"test\"\n\
             width = 320\nheight = 180\nbitrate_kbps = 500\nencoder = \"{id}\"\n\
             [audio]\nsource = \"none\"\n[ice]\nloopback = true\n",
            chat.addr
        );
        let device = Device::run(board.agent(Fault::None), &toml).await;
        device.registered().await;
        browser.open(&chat.page("viewer")).await;
        browser.call("camera").await;
        browser.frames_rise(20).await;
        assert_bars(&row(&browser).await);
        let log = device.log();
        let used = log.iter().find(|line| line["message"] == "encoder");
        assert_eq!(used.expect("one was chosen")["encoder"], id);
        assert_eq!(device.logged("takes over"), 0, "{id}: {log:?}");
    }
}
