//! Calls over bad networks: a device and viewers in Rust, with a relay between
//! them that loses, delays and caps.

use std::time::Duration;

use crate::support::bed::{Loopback, block_on};
use crate::support::encoding::Device;
use crate::support::meter::Said;
use crate::support::relay::Conditions;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn media_comes_through_the_relay_and_only_through_it() {
    let chat = Chat::start().await;
    let device = Device::replay(&chat);
    let delayed = Conditions {
        delay: Duration::from_millis(20),
        ..Conditions::default()
    };
    let (mut viewer, relay) = device.viewer("viewer", delayed).await;
    viewer.call().await;
    viewer.watch(30).await;
    let counts = relay.inward();
    let packets = viewer.received(|r| r.video.packets + r.audio.packets);
    assert!(counts.packets >= packets, "{counts:?}, {packets}");
    relay.set_inward(|c| c.loss = 1.0);
    // What was on its way comes; then nothing does, of as much as is lost.
    let mut last = (0, 0);
    until("nothing comes", SOON, || {
        let now = (viewer.received(|r| r.video.packets), relay.inward().lost);
        if now.0 != last.0 {
            last = now;
        }
        let calm = now.1 > last.1 + 20;
        async move { calm.then_some(()) }
    })
    .await;
    relay.set_inward(|c| c.loss = 0.0);
    viewer.watch(30).await;
    device.stop().await;
    chat.stop().await;
}

/// The viewer's connection takes nothing for a moment, as over a Wi-Fi that
/// stands still: what is sent waits in the socket, and then the connection's
/// task does. Sound goes on, and must not take the picture with it.
#[test]
fn after_a_connection_stood_still_the_picture_is_back_and_every_nack_is_answered() {
    Loopback::enter(|loopback| {
        block_on(async {
            let chat = Chat::start().await;
            let device = Device::noise_of(&chat, 8_000);
            let mut viewer = Viewer::join(&device.url, "viewer", "camera").await;
            viewer.call().await;
            viewer.watch(30).await;
            sleep(secs(3)).await;
            let key_frames = viewer.received(|r| {
                assert_eq!((r.video.missing, r.audio.missing), (0, 0));
                r.video.key_frames
            });
            loopback.stand_still(true);
            sleep(Duration::from_millis(1_500)).await;
            loopback.stand_still(false);
            let began = Instant::now();
            viewer
                .wait("a key frame", |_, r| {
                    (r.video.key_frames > key_frames).then_some(())
                })
                .await;
            let back = began.elapsed();
            let sound = viewer.received(|r| r.audio.last.map(|at| at.elapsed()));
            eprintln!("back after {back:?}");
            for _ in 0..20 {
                sleep(Duration::from_millis(50)).await;
                let (ssrc, newest) = viewer.received(|r| {
                    r.repeats.clear();
                    (r.video.ssrc, r.video.sequence.expect("it is sent"))
                });
                viewer.nack(newest).await;
                viewer
                    .wait("the answer to a NACK", |_, r| {
                        r.repeats.iter().any(|r| r.original == newest).then_some(())
                    })
                    .await;
                assert_eq!(viewer.received(|r| r.video.ssrc), ssrc);
            }
            assert!(back < Duration::from_millis(500), "{back:?}");
            assert!(sound.is_some_and(|age| age < secs(1)), "{sound:?}");
            // Both ends count; the kernel may drop some of what waited, where it
            // comes all at once, and counts too.
            let said = viewer.received(|r| r.both().map(|(track, _)| track.said));
            viewer
                .wait("the device's counts and ours agree", |_, r| {
                    let tracks = r.both().map(|(track, _)| track);
                    let agree = tracks.into_iter().zip(said).all(|(track, before)| {
                        track.said != before && track.said.is_some_and(Said::agrees)
                    });
                    agree.then_some(())
                })
                .await;
            let missing = viewer.received(|r| r.video.missing + r.audio.missing);
            let dropped = loopback.dropped();
            println!("{missing} missing, {dropped} dropped by the kernel");
            // It counts what was sent in one call, which takes up to 64, as one.
            assert!(
                missing <= dropped * 64,
                "{missing} missing, {dropped} dropped"
            );
            device.stop().await;
            chat.stop().await;
        });
    });
}

/// The path loses everything for a moment, both ways.
#[tokio::test]
async fn after_a_path_was_cut_the_picture_is_back_with_the_first_nack() {
    let chat = Chat::start().await;
    let device = Device::noise(&chat);
    let (mut viewer, relay) = device.viewer("viewer", Conditions::default()).await;
    viewer.call().await;
    viewer.watch(90).await;
    let cut = |cut| {
        relay.set_inward(|c| c.cut = cut);
        relay.set_outward(|c| c.cut = cut);
    };
    cut(true);
    sleep(Duration::from_millis(1_500)).await;
    let (packets, key_frames, last) = viewer.received(|r| {
        let last = r.video.sequence.expect("it was sent");
        (r.video.packets, r.video.key_frames, last)
    });
    cut(false);
    let began = Instant::now();
    viewer
        .wait("a packet", |_, r| (r.video.packets > packets).then_some(()))
        .await;
    // As a browser does.
    viewer.nack(last.wrapping_add(1)).await;
    viewer
        .wait("a key frame", |_, r| {
            (r.video.key_frames > key_frames).then_some(())
        })
        .await;
    let back = began.elapsed();
    eprintln!("back after {back:?}");
    // A browser by itself asks for a key frame only after 3 s.
    assert!(back < Duration::from_millis(1_500), "{back:?}");
    device.stop().await;
    chat.stop().await;
}

/// What a viewer got in some time.
struct Got {
    fps: f64,
    /// bit/s of video.
    bits: f64,
    longest_gap: Duration,
}

async fn got(viewer: &Viewer, time: Duration) -> Got {
    let look = || viewer.received(|r| (r.video.frames, r.video.bytes));
    viewer.received(|r| r.video.longest_gap = Duration::ZERO);
    let (began, before) = (Instant::now(), look());
    sleep(time).await;
    let (seconds, after) = (began.elapsed().as_secs_f64(), look());
    Got {
        fps: (after.0 - before.0) as f64 / seconds,
        bits: (after.1 - before.1) as f64 * 8.0 / seconds,
        longest_gap: viewer.received(|r| r.video.longest_gap),
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn a_megabit_is_used_without_filling_its_queue_and_left_when_there_is_more() {
    let chat = Chat::start().await;
    let device = Device::noise(&chat);
    let cap = Conditions {
        rate: Some(1_000_000),
        ..Conditions::default()
    };
    let (mut viewer, relay) = device.viewer("viewer", cap).await;
    viewer.call().await;
    viewer.watch(1).await;
    sleep(secs(3)).await;
    let before = relay.inward();
    let time = secs(8);
    let got_capped = got(&viewer, time).await;
    let bits = (relay.inward().bytes - before.bytes) * 8;
    let through = bits / time.as_secs();
    assert!(through >= 750_000, "{through} bit/s");
    assert!(got_capped.fps >= 25.0, "{} fps", got_capped.fps);
    assert!(got_capped.longest_gap <= Duration::from_millis(500));
    let dropped = relay.inward().dropped - before.dropped;
    assert!(dropped <= 5, "{dropped} packets found the queue full");

    relay.set_inward(|c| c.rate = None);
    sleep(secs(13)).await;
    let lifted = got(&viewer, secs(2)).await;
    assert!(lifted.bits >= 0.8 * 2e6, "{} bit/s", lifted.bits);
    device.stop().await;
    chat.stop().await;
}

/// As Firefox: nothing is told of the sound, which was taken for lost, and the
/// path for one that loses a third of everything.
#[tokio::test]
async fn sound_that_a_viewer_tells_nothing_of_is_not_taken_for_lost() {
    let chat = Chat::start().await;
    let device = Device::noise(&chat);
    let cap = Conditions {
        rate: Some(1_000_000),
        delay: Duration::from_millis(20),
        ..Conditions::default()
    };
    let (mut viewer, relay) = device.viewer("viewer", cap).await;
    viewer.give_feedback_of_the_picture_only();
    viewer.call_with(&["camera-agent"]).await;
    viewer
        .told("the channel is open", |m| m["type"] == "status")
        .await;
    viewer.watch(60).await;
    let before = relay.inward();
    viewer
        .tell(r#"{"type":"stats","on":true}"#)
        .await
        .expect("open");
    let losses = viewer
        .wait("five looks at the path", |h, _| {
            let stats = h.messages.iter().filter(|m| m["type"] == "stats");
            let losses: Vec<_> = stats.filter_map(|m| m["loss"].as_f64()).collect();
            (losses.len() >= 5).then_some(losses)
        })
        .await;
    let after = relay.inward();
    let dropped = after.dropped - before.dropped;
    let sent = after.packets - before.packets;
    println!("{dropped} of {sent} dropped; told: {losses:?}");
    assert!(losses.iter().all(|loss| *loss < 0.05), "{losses:?}");
    assert!(
        dropped * 20 < sent,
        "{dropped} of {sent} packets found the queue full"
    );
    let heard = viewer.received(|r| r.audio.packets);
    assert!(heard > 100, "{heard} packets of sound");
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_narrow_path_gets_the_smaller_picture_in_the_same_stream() {
    let chat = Chat::start().await;
    let device = Device::noise(&chat);
    let (mut strong, _clear) = device.viewer("strong", Conditions::default()).await;
    strong.call().await;
    strong.watch(90).await;
    let (mut weak, relay) = device.viewer("weak", Conditions::default()).await;
    weak.call().await;
    weak.watch(90).await;
    let before = got(&strong, secs(3)).await;
    let ssrc = weak.received(|r| r.video.ssrc);
    relay.set_inward(|c| c.rate = Some(400_000));
    weak.wait("the smaller picture", |_, r| {
        (r.video.sps.len() == 2).then_some(())
    })
    .await;
    sleep(secs(3)).await;
    let keys = strong.received(|r| r.video.key_frames);
    let (small, beside) = tokio::join!(got(&weak, secs(8)), got(&strong, secs(8)));
    assert!(small.fps >= 10.0, "{} fps", small.fps);
    assert!(small.bits >= 200_000.0, "{} bit/s", small.bits);
    assert!(
        beside.bits >= 0.95 * before.bits,
        "{} of {}",
        beside.bits,
        before.bits
    );
    assert!(beside.longest_gap <= Duration::from_millis(500));
    let forced = strong.received(|r| r.video.key_frames) - keys;
    assert!(forced <= 1, "{forced} key frames");
    weak.received(|r| {
        assert_eq!((r.video.ssrc, r.video.timeline.backwards), (ssrc, 0));
        assert_eq!(r.strangers, 0);
    });

    // And the whole one again when their path carries it.
    relay.set_inward(|c| c.rate = None);
    weak.wait("the whole picture", |_, r| {
        (r.video.sps.len() >= 3).then_some(())
    })
    .await;
    let again = got(&weak, secs(4)).await;
    assert!(again.bits >= 1_000_000.0, "{} bit/s", again.bits);
    device.stop().await;
    chat.stop().await;
}

/// Waits until the device says that the viewer is sent this tier.
async fn is_sent(viewer: &Viewer, tier: u64) {
    let before = viewer.heard(|h| h.messages.len());
    viewer
        .wait(&format!("tier {tier}"), |h, _| {
            let mut new = h.messages[before..].iter();
            new.any(|m| m["type"] == "stats" && m["tier"] == tier)
                .then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_picture_that_needs_little_does_not_hide_that_the_path_carries_more() {
    let chat = Chat::start().await;
    let device = Device::replay_as(&chat, 2_000);
    let (mut viewer, relay) = device.viewer("viewer", Conditions::default()).await;
    viewer.call_with(&["camera-agent"]).await;
    viewer
        .told("the channel is open", |m| m["type"] == "status")
        .await;
    viewer
        .tell(r#"{"type":"stats","on":true}"#)
        .await
        .expect("open");
    viewer.watch(30).await;
    // Less than the recording needs.
    relay.set_inward(|c| c.rate = Some(90_000));
    is_sent(&viewer, 1).await;
    relay.set_inward(|c| c.rate = None);
    let lifted = Instant::now();
    is_sent(&viewer, 0).await;
    println!("the whole picture {:?} after the cap", lifted.elapsed());
    let repeats = viewer.received(|r| r.repeats.len());
    assert!(repeats > 20, "they were tried with {repeats} packets");
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn trying_a_path_that_carries_no_more_disturbs_neither_picture_nor_sound() {
    let chat = Chat::start().await;
    let device = Device::noise(&chat);
    let (mut strong, _clear) = device.viewer("strong", Conditions::default()).await;
    strong.call().await;
    strong.watch(60).await;
    let (mut weak, relay) = device.viewer("weak", Conditions::default()).await;
    weak.call().await;
    weak.watch(60).await;
    relay.set_inward(|c| c.rate = Some(600_000));
    weak.wait("the smaller picture", |_, r| {
        (r.video.sps.len() == 2).then_some(())
    })
    .await;
    sleep(secs(3)).await;
    let dropped = relay.inward().dropped;
    let count = |v: &Viewer| v.received(|r| (r.repeats.len(), r.audio.gaps, r.video.missing));
    for viewer in [&weak, &strong] {
        viewer.received(|r| r.audio.timeline.longest_gap = Duration::ZERO);
    }
    let before = count(&weak);
    // What this machine does to both of them is not the trial's doing.
    let (got, beside) = tokio::join!(got(&weak, secs(20)), got(&strong, secs(20)));
    let after = count(&weak);
    let silence = |v: &Viewer| v.received(|r| r.audio.timeline.longest_gap);
    let (silence, silence_beside) = (silence(&weak), silence(&strong));
    println!(
        "{} packets tried it; {} dropped; {} fps, longest gap {:?} (beside {:?}), in sound {silence:?} ({silence_beside:?})",
        after.0 - before.0,
        relay.inward().dropped - dropped,
        got.fps,
        got.longest_gap,
        beside.longest_gap
    );
    // Nothing is lost for it, and they ask for no repairs.
    assert!(after.0 > before.0 + 5, "it was not tried");
    assert_eq!((after.1, after.2), (before.1, before.2));
    assert_eq!(relay.inward().dropped, dropped);
    assert!(got.fps >= 25.0, "{} fps", got.fps);
    let allowed = Duration::from_millis(120);
    assert!(got.longest_gap <= beside.longest_gap + allowed);
    assert!(silence <= silence_beside + allowed);
    assert_eq!(weak.received(|r| r.video.sps.len()), 2, "they did not move");
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn an_encoder_that_makes_too_much_is_given_fewer_frames() {
    let chat = Chat::start().await;
    let device = Device::stubborn(&chat);
    let (mut viewer, _relay) = device.viewer("viewer", Conditions::default()).await;
    viewer.call().await;
    viewer.watch(15).await;
    let before = got(&viewer, secs(1)).await;
    assert!(before.bits > 450_000.0, "{} bit/s", before.bits);
    // Three seconds are needed to see it, and it shows in the next.
    sleep(secs(5)).await;
    let after = got(&viewer, secs(3)).await;
    println!(
        "{} fps, {} bit/s; then {} fps, {} bit/s",
        before.fps, before.bits, after.fps, after.bits
    );
    assert!((9.0..=16.0).contains(&after.fps), "{} fps", after.fps);
    // It may have been seen by then: what all its frames would take counts.
    let whole = before.bits / before.fps * 30.0;
    assert!(after.bits < whole * 0.7, "{} of {whole} bit/s", after.bits);
    device.stop().await;
    chat.stop().await;
}

/// A quarter of the packets found the path's queue full, for a quarter of a
/// minute, in which hardly a picture came through.
#[tokio::test]
async fn an_encoder_that_makes_too_much_does_not_fill_a_narrow_path_for_long() {
    let chat = Chat::start().await;
    let device = Device::stubborn_of(&chat, (320, 180), 2_000);
    let cap = Conditions {
        rate: Some(1_000_000),
        delay: Duration::from_millis(10),
        ..Conditions::default()
    };
    let (mut viewer, relay) = device.viewer("viewer", cap).await;
    viewer.call().await;
    viewer.watch(1).await;
    sleep(secs(3)).await;
    let before = relay.inward();
    // Until more is tried again.
    let count = || viewer.received(|r| (r.video.frames, r.video.key_frames));
    let (frames, keys) = count();
    sleep(secs(9)).await;
    let (frames, keys) = (count().0 - frames, count().1 - keys);
    let dropped = relay.inward().dropped - before.dropped;
    println!("{frames} frames, {keys} of them key frames; {dropped} packets found the queue full");
    // However few a busy machine makes: they are no row of key frames.
    assert!(frames >= keys * 3, "{keys} key frames of {frames}");
    assert!(dropped <= 20, "{dropped} packets found the queue full");
    device.stop().await;
    chat.stop().await;
}
