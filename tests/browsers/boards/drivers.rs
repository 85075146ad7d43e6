//! The picture of each board's encoder, behind GStreamer's own V4L2 element, as
//! Chromium shows it.

use crate::support::browser::{Browser, Person};
use crate::support::codec::{Board, CodecCounts, FakeCodec};
use crate::support::picture::{assert_bars, row};
use crate::support::shims::{FakeCamera, Format};
use crate::support::{Chat, SOON, options};

/// A camera's bars go through the encoder of this board, and it alone.
async fn are_shown(board: Board, format: Format, size: (u32, u32)) {
    shown(
        board,
        &FakeCamera::new(format, size.0, size.1, 30),
        size,
        30,
    )
    .await;
}

/// The same of a camera with this mode; what the encoder's driver counted before the
/// call, and then.
async fn shown(
    board: Board,
    camera: &FakeCamera,
    (width, height): (u32, u32),
    fps: u32,
) -> (CodecCounts, CodecCounts) {
    let codec = FakeCodec::new(board);
    let chat = Chat::with(options()).await;
    let toml = format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n[video]\nsource = \"v4l2\"\n\
         device = {:?}\nwidth = {width}\nheight = {height}\nfps = {fps}\n\
         [audio]\nsource = \"none\"\n[ice]\nloopback = true\n",
        chat.addr,
        camera.node()
    );
    let device = codec.start(&toml, &camera.env()).await;
    device
        .logs("connected to the chat server", 1, 2 * SOON)
        .await;
    assert_eq!(codec.chosen(&device).await, board.row());
    let before = codec.counts();
    let viewer = Browser::start(Person::default()).await;
    viewer.open(&chat.page("viewer")).await;
    viewer.call("camera").await;
    viewer.frames_rise(30).await;
    assert_bars(&row(&viewer).await);
    assert_eq!(device.logged("another encoder takes over"), 0);
    let then = codec.counts();
    assert!(then.frames_coded >= before.frames_coded + 30, "{then:?}");
    (before, then)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_raspberry_pi_s_picture_is_shown() {
    // Its lines are padded to 64 bytes: 424 is no multiple.
    are_shown(Board::RaspberryPi, Format::Mjpg, (424, 240)).await;
}

/// The picture that nobody copies: the encoder reads the camera's memory, and finds lines
/// and colours where they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_raspberry_pi_s_picture_is_shown_that_nobody_copied() {
    // Slowly: where its buffers run low v4l2src copies by itself.
    let camera = FakeCamera::new(Format::Nv12, 320, 256, 10);
    let (before, then) = shown(Board::RaspberryPi, &camera, (320, 256), 10).await;
    // Those of the probe.
    assert_eq!(then.frames_written, before.frames_written, "{then:?}");
    assert!(then.frames_imported >= 30, "{then:?}");
}

/// Its lines are a multiple of 32 bytes, the camera's are not.
#[tokio::test(flavor = "multi_thread")]
async fn the_raspberry_pi_s_picture_is_copied_and_shown_where_lines_differ() {
    let camera = FakeCamera::new(Format::Nv12, 336, 256, 10);
    let (before, then) = shown(Board::RaspberryPi, &camera, (336, 256), 10).await;
    let copied = then.frames_written - before.frames_written;
    assert!(copied >= 30, "{then:?}");
    assert_eq!(then.frames_imported, 0, "{then:?}");
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
