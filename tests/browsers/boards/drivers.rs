//! The picture of each board's encoder, behind GStreamer's own V4L2 element, as
//! Chromium shows it.

use crate::support::browser::{Browser, Person};
use crate::support::codec::{Board, FakeCodec};
use crate::support::picture::{assert_bars, row};
use crate::support::shims::{FakeCamera, Format};
use crate::support::{Chat, SOON, options};

/// A camera's bars go through the encoder of this board, and it alone.
async fn are_shown(board: Board, format: Format, (width, height): (u32, u32)) {
    let camera = FakeCamera::new(format, width, height, 30);
    let codec = FakeCodec::new(board);
    let chat = Chat::with(options()).await;
    let toml = format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n[video]\nsource = \"v4l2\"\n\
         device = {:?}\nwidth = {width}\nheight = {height}\n[audio]\nsource = \"none\"\n\
         [ice]\nloopback = true\n",
        chat.addr,
        camera.node()
    );
    let device = codec.start(&toml, &camera.env()).await;
    device
        .logs("connected to the chat server", 1, 2 * SOON)
        .await;
    assert_eq!(codec.chosen(&device).await, board.row());
    let viewer = Browser::start(Person::default()).await;
    viewer.open(&chat.page("viewer")).await;
    viewer.call("camera").await;
    viewer.frames_rise(30).await;
    assert_bars(&row(&viewer).await);
    assert_eq!(device.logged("another encoder takes over"), 0);
    assert!(codec.counts().frames_coded >= 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_raspberry_pi_s_picture_is_shown() {
    // Its lines are padded to 64 bytes: 424 is no multiple.
    are_shown(Board::RaspberryPi, Format::Mjpg, (424, 240)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wave5_s_picture_is_shown() {
    // Its pictures are padded to 32 by 16 pixels.
    are_shown(Board::Wave5, Format::Nv12, (424, 240)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn venus_s_picture_is_shown() {
    // Its pictures are padded to 128 by 32 pixels.
    are_shown(Board::Venus, Format::Yuyv, (480, 272)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hantro_s_picture_is_shown() {
    // Its lines are padded to 16 bytes.
    are_shown(Board::Hantro, Format::Yuyv, (424, 240)).await;
}
