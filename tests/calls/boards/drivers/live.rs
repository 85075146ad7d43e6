//! What a viewer's wishes do to a board's encoder while it runs.

use super::{Call, PICTURE};
use crate::support::codec::{Board, FakeCodec};
use crate::support::{SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_frame_is_made_when_a_viewer_asks_for_one() {
    for board in [Board::RaspberryPi, Board::Venus, Board::Hantro] {
        let codec = FakeCodec::new(board);
        let call = Call::open(&codec, PICTURE, &[]).await;
        call.viewer.watch(30).await;
        let (forced, seen) = (
            codec.counts().keys_forced,
            call.viewer.received(|r| r.video.key_frames),
        );
        call.viewer.ask_for_key_frame().await;
        call.viewer
            .wait("a key frame", |_, r| {
                (r.video.key_frames > seen).then_some(())
            })
            .await;
        assert!(codec.counts().keys_forced > forced, "{board:?}");
    }
}

/// Its row asks for a distance of two seconds, and it is one of IDRs.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_ask_for_key_frames_they_come_by_themselves() {
    let codec = FakeCodec::new(Board::Wave5);
    let call = Call::open(&codec, PICTURE, &[]).await;
    call.viewer
        .wait("three key frames", |_, r| {
            (r.video.key_frames >= 3).then_some(())
        })
        .await;
    assert_eq!(codec.counts().keys_forced, 0);
    let frames = call.viewer.received(|r| r.video.frames);
    assert!(frames < 200, "{frames} frames for three key frames");
}

/// As with every camera, what nobody watches is closed. What a pool of buffers
/// held open would be held against the next encoder.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_nobody_watches_is_closed() {
    let codec = FakeCodec::new(Board::RaspberryPi);
    let call = Call::open(&codec, PICTURE, &[]).await;
    call.viewer.watch(30).await;
    let open = || {
        let files = call.device.open_files();
        files.iter().filter(|file| file.contains("video11")).count()
    };
    assert!(open() > 0);
    call.viewer.hang_up().await;
    until("the node is closed", SOON, async || {
        (open() == 0).then_some(())
    })
    .await;
}
