//! A picture for who asks for one.

use super::*;
use crate::media::bitstream::jpeg;

/// Of its frame header (ITU-T T.81 B.2.2): width and height.
fn size(jpeg: &[u8]) -> (u16, u16) {
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]);
    let at = at.expect("a frame header");
    let number = |i: usize| u16::from_be_bytes([jpeg[at + i], jpeg[at + i + 1]]);
    (number(7), number(5))
}

#[tokio::test]
async fn a_picture_is_whole_whatever_viewers_are_sent_and_nothing_is_opened_for_it() {
    let (hub, thread) = hub();
    assert!(hub.still().await.is_err(), "nobody watches");
    assert_eq!(hub.status().borrow().video.state, State::Idle);
    let small = Stream::Video(Encoding {
        tier: 1,
        ..Encoding::H264
    });
    let watch = hub.watch(small);
    next_key(&mut watch.frames()).await;
    for _ in 0..3 {
        let picture = timeout(LIMIT, hub.still()).await.expect("in time");
        let picture = picture.expect("one comes").expect("it is encoded");
        jpeg::check(&picture).expect("it is whole");
        assert_eq!(size(&picture), (320, 180));
    }
    // Small ones keep the shape, and are a few KB.
    let small = timeout(LIMIT, hub.thumbnail(160)).await.expect("in time");
    let small = small.expect("one comes").expect("it is encoded");
    jpeg::check(&small).expect("it is whole");
    assert_eq!(size(&small), (160, 90));
    assert!(small.len() < 10_000, "{} bytes", small.len());
    // Of who does not wait nothing is left.
    drop(hub.still());
    hub.set_private(true);
    let mut status = hub.status();
    let is_private = |s: &crate::media::status::MediaStatus| s.video.state == State::Private;
    timeout(LIMIT, status.wait_for(is_private))
        .await
        .expect("in time")
        .expect("the hub lives");
    assert!(hub.still().await.is_err(), "a slate is no picture");
    drop(watch);
    thread.stop();
}
