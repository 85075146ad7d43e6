//! Real GStreamer, with the test picture.

mod motion;
mod rates;
mod still;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::*;
use crate::config::{Config, TierConfig, VideoSource};
use crate::media::element::init;
use crate::media::frame::Frame;
use crate::media::hub::{Hub, Watch};
use crate::media::probe::Prober;
use crate::media::probe::cache::Cache;
use crate::media::status::State;
use crate::media::stream::{Encoding, VideoRate};
use crate::sdp::VideoCodec;

const LIMIT: Duration = Duration::from_secs(20);

fn config() -> (VideoConfig, AudioConfig) {
    let video = VideoConfig {
        source: VideoSource::Test,
        width: 320,
        height: 180,
        ..Default::default()
    };
    let audio = AudioConfig {
        source: AudioSource::Test,
        ..Default::default()
    };
    (video, audio)
}

fn hub() -> (Hub, crate::media::hub::HubThread) {
    init().expect("GStreamer is installed");
    let (video, audio) = config();
    Hub::start(source(video, audio, x264()), None)
}

fn source(video: VideoConfig, audio: AudioConfig, first: Arc<Encoder>) -> Box<GstSource> {
    let config = Config {
        video: video.clone(),
        ..Default::default()
    };
    let encoders = Encoders::new(&config, Prober::InProcess, Cache::none()).expect("the table");
    Box::new(GstSource::new(video, audio, first, Arc::new(encoders)))
}

fn x264() -> Arc<Encoder> {
    Encoder::row("x264").expect("a row")
}

async fn next(frames: &mut Receiver<Arc<Frame>>) -> Arc<Frame> {
    loop {
        match timeout(LIMIT, frames.recv())
            .await
            .expect("a frame in time")
        {
            Ok(frame) => return frame,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

async fn next_key(frames: &mut Receiver<Arc<Frame>>) -> Arc<Frame> {
    loop {
        let frame = next(frames).await;
        if frame.key {
            return frame;
        }
    }
}

#[tokio::test]
async fn picture_and_sound_run_on_one_clock() {
    let (hub, thread) = hub();
    let video = hub.watch(Stream::Video(Encoding::H264));
    let audio = hub.watch(Stream::Audio);
    let (mut pictures, mut sounds) = (video.frames(), audio.frames());
    assert!(
        next(&mut pictures).await.key,
        "the first frame is a key frame"
    );
    for _ in 0..20 {
        next(&mut pictures).await;
        next(&mut sounds).await;
    }
    let picture = f64::from(next(&mut pictures).await.rtp_time) / 90_000.0;
    let sound = f64::from(next(&mut sounds).await.rtp_time) / 48_000.0;
    assert!((picture - sound).abs() < 1.0, "{picture} {sound}");
    thread.stop();
}

#[tokio::test]
async fn a_key_frame_comes_when_it_is_asked_for() {
    let (hub, thread) = hub();
    let stream = Stream::Video(Encoding::H264);
    let watch = hub.watch(stream);
    let mut frames = watch.frames();
    next(&mut frames).await;
    hub.request_key_frame(stream);
    // Ten seconds is the distance without a request; it comes in three frames.
    let mut waited = 0;
    while !next(&mut frames).await.key {
        waited += 1;
        assert!(waited < 30, "no key frame");
    }
    thread.stop();
}

#[tokio::test]
async fn vp8_is_encoded_beside_h264_only_while_it_is_watched() {
    let (hub, thread) = hub();
    let h264 = hub.watch(Stream::Video(Encoding::H264));
    let mut h264 = h264.frames();
    next(&mut h264).await;
    let vp8_watch = hub.watch(Stream::Video(Encoding::full(VideoCodec::Vp8)));
    let mut vp8 = vp8_watch.frames();
    next_key(&mut vp8).await;
    drop(vp8_watch);
    // The grace ends the VP8 branch; H.264 goes on through it.
    let ended = async { while timeout(Duration::from_secs(1), vp8.recv()).await.is_ok() {} };
    timeout(LIMIT, ended).await.expect("VP8 ends");
    let mut fresh = h264.resubscribe();
    for _ in 0..5 {
        next(&mut fresh).await;
    }
    thread.stop();
}

#[tokio::test]
async fn custom_descriptions_are_scaled_and_encoded_like_any_other_source() {
    init().expect("GStreamer is installed");
    let (mut video, mut audio) = config();
    video.source = VideoSource::Custom;
    video.pipeline = Some(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=YUY2,width=640,height=480"
            .into(),
    );
    audio.source = AudioSource::Custom;
    audio.pipeline = Some("audiotestsrc is-live=true wave=ticks".into());
    check_descriptions(&video, &audio).expect("they parse");
    let (hub, thread) = Hub::start(source(video, audio, x264()), None);
    let watches = [
        hub.watch(Stream::Video(Encoding::H264)),
        hub.watch(Stream::Audio),
    ];
    let [mut pictures, mut sounds] = watches.each_ref().map(Watch::frames);
    next_key(&mut pictures).await;
    next(&mut sounds).await;
    // 320×180 at 30 frames/s and 2 Mbit/s is level 2.0, 640×480 would be 3.0.
    let profile = hub.profile_level_id(None).expect("an SPS");
    assert_eq!(profile.0[2], 20, "{profile}");
    thread.stop();
}

/// The camera fails, the viewer does not see it: one stream of frames, one
/// timeline.
#[tokio::test]
async fn a_camera_that_is_missing_is_a_slate_and_does_not_stop_the_sound() {
    init().expect("GStreamer is installed");
    let (mut video, audio) = config();
    video.source = VideoSource::V4l2;
    video.device = "/dev/no-such-camera".into();
    let (hub, thread) = Hub::start(source(video, audio, x264()), None);
    let video = hub.watch(Stream::Video(Encoding::H264));
    let audio = hub.watch(Stream::Audio);
    let (mut pictures, mut sounds) = (video.frames(), audio.frames());
    assert!(next(&mut pictures).await.key);
    for _ in 0..10 {
        next(&mut sounds).await;
        next(&mut pictures).await;
    }
    let status = hub.status().borrow().clone();
    assert_eq!(status.video.state, State::Lost);
    assert!(
        status.video.reason.contains("/dev/no-such-camera"),
        "{status:?}"
    );
    assert_eq!(status.audio.state, State::Live);
    thread.stop();
}

/// A camera that ends by itself after some frames, again and again.
#[tokio::test]
async fn a_camera_that_ends_becomes_a_slate_and_comes_back_on_one_timeline() {
    init().expect("GStreamer is installed");
    let (mut video, audio) = config();
    video.source = VideoSource::Custom;
    video.pipeline = Some("videotestsrc is-live=true num-buffers=40".into());
    let (hub, thread) = Hub::start(source(video, audio, x264()), None);
    let mut status = hub.status();
    let watch = hub.watch(Stream::Video(Encoding::H264));
    let mut frames = watch.frames();
    let (mut last, mut received) = (next(&mut frames).await, 0);
    let mut seen = Vec::new();
    while received < 150 {
        let frame = next(&mut frames).await;
        let step = frame.rtp_time.wrapping_sub(last.rtp_time);
        assert!(step > 0 && step < 90_000, "{step} ticks after a frame");
        last = frame;
        received += 1;
        if status.has_changed().expect("the hub lives") {
            seen.push(status.borrow_and_update().video.state);
        }
    }
    let lost = seen.iter().filter(|s| **s == State::Lost).count();
    let live = seen.iter().filter(|s| **s == State::Live).count();
    assert!(lost >= 2 && live >= 2, "{seen:?}");
    thread.stop();
}

/// Both fail from different threads while encoders come and go.
#[tokio::test]
async fn an_encoder_that_fails_costs_the_camera_nothing() {
    init().expect("GStreamer is installed");
    let (video, audio) = config();
    let broken = Arc::new(Encoder {
        id: "broken".into(),
        // Fails after 20 frames; the row is otherwise x264's.
        factory: "identity error-after=20 ! x264enc".into(),
        ..(*x264()).clone()
    });
    let (hub, thread) = Hub::start(source(video, audio, broken), None);
    let mut status = hub.status();
    let watch = hub.watch(Stream::Video(Encoding::H264));
    let mut frames = watch.frames();
    let (mut received, mut keys) = (0, 0);
    while received < 60 {
        let frame = next(&mut frames).await;
        received += 1;
        keys += u32::from(frame.key);
        let status = status.borrow_and_update();
        assert!(!status.video.text.contains("camera"), "{status:?}");
    }
    assert_eq!(
        keys, 3,
        "two that failed, and the next in rank, which works"
    );
    thread.stop();
}

/// Who comes for another format has the camera's thread ask all encoders what they
/// take, and the answer of one that hangs does not come.
#[tokio::test]
async fn an_encoder_that_hangs_while_another_begins_is_no_fault_of_the_camera() {
    init().expect("GStreamer is installed");
    let (video, audio) = config();
    let hangs = Arc::new(Encoder {
        id: "hangs".into(),
        factory: "identity sync=true ts-offset=30000000000 ! x264enc".into(),
        ..(*x264()).clone()
    });
    let (hub, thread) = Hub::start(source(video, audio, hangs), None);
    let mut status = hub.status();
    let watch = hub.watch(Stream::Video(Encoding::H264));
    let mut frames = watch.frames();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let vp8 = Encoding {
        codec: VideoCodec::Vp8,
        tier: 0,
    };
    let other = hub.watch(Stream::Video(vp8));
    next_key(&mut other.frames()).await;
    // The next in rank.
    let first = next_key(&mut frames);
    tokio::pin!(first);
    loop {
        tokio::select! {
            _ = &mut first => break,
            changed = status.changed() => changed.expect("the hub lives"),
        }
        let status = status.borrow_and_update();
        assert!(!status.video.text.contains("camera"), "{status:?}");
    }
    thread.stop();
}

#[test]
fn a_bad_description_is_named() {
    init().expect("GStreamer is installed");
    let (video, mut audio) = config();
    audio.pipeline = Some("nosuchelement".into());
    let error = check_descriptions(&video, &audio)
        .expect_err("unknown")
        .to_string();
    assert!(error.contains("audio.pipeline") && error.contains("nosuchelement"));
}

/// What tries encoders out, and hangs there for some seconds.
fn prober_that_hangs(folder: &std::path::Path) -> Prober {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("hangs");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 30\n").expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("it may run");
    // Three times as long for software.
    let limit = Duration::from_secs(2);
    Prober::Process { program, limit }
}

#[tokio::test]
async fn while_an_encoder_is_tried_that_hangs_who_watches_notices_nothing() {
    init().expect("GStreamer is installed");
    let folder = tempfile::tempdir().expect("a folder");
    let (video, audio) = config();
    let table = Config {
        video: video.clone(),
        ..Default::default()
    };
    let prober = prober_that_hangs(folder.path());
    let encoders = Encoders::new(&table, prober, Cache::none()).expect("the table");
    let source = GstSource::new(video, audio, x264(), Arc::new(encoders));
    let (hub, thread) = Hub::start(Box::new(source), None);
    let stream = Stream::Video(Encoding::H264);
    let watch = hub.watch(stream);
    let mut frames = watch.frames();
    next_key(&mut frames).await;
    // For a browser without H.264.
    let vp8 = Encoding {
        codec: VideoCodec::Vp8,
        tier: 0,
    };
    let _other = hub.watch(Stream::Video(vp8));
    let begun = Instant::now();
    let mut keys = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        hub.request_key_frame(stream);
        let asked = Instant::now();
        next_key(&mut frames).await;
        assert!(asked.elapsed() < Duration::from_secs(2), "{keys} came");
        keys += 1;
    }
    assert!(keys >= 3, "{keys} key frames");
    // It comes to an end, and is told.
    let mut status = hub.status();
    let told = status.wait_for(|status| status.video.reason.contains("vp8: it hung"));
    timeout(LIMIT, told).await.expect("in time").expect("told");
    next(&mut frames).await;
    thread.stop();
}

/// What is different about a source, its bitrates for one, holds from there on
/// and not before.
#[tokio::test]
async fn a_successor_takes_over_when_nobody_watches_and_then_says_so() {
    let (hub, thread) = hub();
    let stream = Stream::Video(Encoding::H264);
    let watch = hub.watch(stream);
    let mut frames = watch.frames();
    next(&mut frames).await;
    let (video, audio) = config();
    let (tell, took_over) = std::sync::mpsc::channel();
    let then = move || {
        let _ = tell.send(());
    };
    hub.replace_source(source(video, audio, x264()), None, then);
    for _ in 0..20 {
        next(&mut frames).await;
        assert!(took_over.try_recv().is_err(), "somebody watches");
    }
    drop(watch);
    let took_over = tokio::task::spawn_blocking(move || took_over.recv_timeout(LIMIT));
    took_over.await.expect("no panic").expect("in time");
    let watch = hub.watch(stream);
    next(&mut watch.frames()).await;
    thread.stop();
}
