//! Real GStreamer, with the test picture.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::*;
use crate::config::{Config, TierConfig, VideoSource};
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
    let vp8_watch = hub.watch(Stream::Video(Encoding::VP8));
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
    let profile = hub.profile_level_id().expect("an SPS");
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

/// What came of `count` frames: bits a frame, and the usual distance of two,
/// in ticks of 90 kHz. A busy machine may leave some out.
async fn made(frames: &mut Receiver<Arc<Frame>>, count: usize) -> (f64, u32) {
    let first = next(frames).await.rtp_time;
    let (mut bytes, mut times) = (0, vec![first]);
    for _ in 0..count {
        let frame = next(frames).await;
        bytes += frame.payloads.iter().map(|p| p.len()).sum::<usize>();
        times.push(frame.rtp_time);
    }
    let mut steps: Vec<_> = times.windows(2).map(|t| t[1] - t[0]).collect();
    steps.sort_unstable();
    (bytes as f64 * 8.0 / count as f64, steps[count / 2])
}

#[tokio::test]
async fn tiers_differ_in_size_and_bitrates_change_while_they_run() {
    init().expect("GStreamer is installed");
    let (mut video, audio) = config();
    video.source = VideoSource::Custom;
    // Noise is as large as the encoder is allowed to make it.
    video.pipeline = Some(
        "videotestsrc is-live=true pattern=snow ! \
         video/x-raw,width=320,height=180,framerate=30/1"
            .into(),
    );
    video.tiers = vec![TierConfig {
        height: 90,
        bitrate_kbps: 300,
    }];
    let (hub, thread) = Hub::start(source(video, audio, x264()), None);
    let whole = Stream::Video(Encoding::H264);
    let small = Stream::Video(Encoding {
        codec: VideoCodec::H264,
        tier: 1,
    });
    let rate = |bits_per_second, every| VideoRate {
        bits_per_second,
        every,
        percent: 100,
    };
    hub.set_rate(whole, rate(1_000_000, 1));
    hub.set_rate(small, rate(200_000, 1));
    let watches = [hub.watch(whole), hub.watch(small)];
    let [mut whole_frames, small_frames] = [watches[0].frames(), watches[1].frames()];
    let near = |made: f64, asked: f64, fps: f64| (0.75..1.25).contains(&(made * fps / asked));

    made(&mut whole_frames, 30).await;
    let (bits, step) = made(&mut whole_frames, 30).await;
    assert!(near(bits, 1e6, 30.0), "{bits}");
    assert!((2_900..3_100).contains(&step), "{step}");
    hub.set_rate(whole, rate(400_000, 1));
    made(&mut whole_frames, 30).await;
    let (bits, _) = made(&mut whole_frames, 30).await;
    assert!(near(bits, 4e5, 30.0), "{bits}");

    let mut small_frames = small_frames.resubscribe();
    let (bits, step) = made(&mut small_frames, 30).await;
    assert!(near(bits, 2e5, 30.0), "{bits}");
    assert!((2_900..3_100).contains(&step), "{step}");
    hub.set_rate(small, rate(200_000, 2));
    made(&mut small_frames, 20).await;
    let (bits, step) = made(&mut small_frames, 20).await;
    assert!(near(bits, 2e5, 15.0), "{bits}");
    assert!((5_900..6_100).contains(&step), "{step}");
    hub.set_rate(small, rate(200_000, 3));
    made(&mut small_frames, 20).await;
    let (bits, step) = made(&mut small_frames, 20).await;
    assert!(near(bits, 2e5, 10.0), "{bits}");
    assert!((8_900..9_100).contains(&step), "{step}");

    let mut sps = Vec::new();
    for (stream, watch) in [(whole, &watches[0]), (small, &watches[1])] {
        let mut frames = watch.frames();
        hub.request_key_frame(stream);
        sps.push(next_key(&mut frames).await.payloads[0].clone());
    }
    assert_ne!(sps[0], sps[1], "two sizes, two SPS");
    thread.stop();
}

/// Makes a megabit a second of fewer frames.
async fn makes_as_much_of_fewer_frames(id: &str, codec: VideoCodec) {
    let (mut video, audio) = config();
    video.source = VideoSource::Custom;
    // Noise, but not so fine that an encoder comes to the end of its scale.
    video.pipeline = Some(
        "videotestsrc is-live=true pattern=snow ! \
         video/x-raw,width=40,height=24,framerate=30/1 ! videoscale ! \
         video/x-raw,width=320,height=180"
            .into(),
    );
    let first = Encoder::row(id).expect("a row");
    let (hub, thread) = Hub::start(source(video, audio, first), None);
    let stream = Stream::Video(Encoding { codec, tier: 0 });
    let watch = hub.watch(stream);
    let mut frames = watch.frames();
    for every in [2, 3] {
        hub.set_rate(
            stream,
            VideoRate {
                bits_per_second: 1_000_000,
                every,
                percent: 100,
            },
        );
        made(&mut frames, 15).await;
        let first = next(&mut frames).await.rtp_time;
        let (mut bytes, mut last) = (0, first);
        for _ in 0..15 {
            let frame = next(&mut frames).await;
            bytes += frame.payloads.iter().map(|p| p.len()).sum::<usize>();
            last = frame.rtp_time;
        }
        let megabits = bytes as f64 * 8.0 / 1e6;
        // A busy machine leaves out some more, which the one makes up for and
        // the other does not.
        let by_frames = megabits / 15.0 * 30.0 / f64::from(every);
        let by_time = megabits / (f64::from(last - first) / 90_000.0);
        println!("{id}, {every}: {by_frames:.2}, {by_time:.2}");
        let is_near = [by_frames, by_time].iter().any(|s| (0.7..1.3).contains(s));
        assert!(is_near, "{id}, {every}: {by_frames} or {by_time} Mbit/s");
    }
    thread.stop();
}

/// VP8 and OpenH264 go by time, not by frames: of a half and a third of them they
/// made twice and three times what they were to make.
#[tokio::test]
async fn fewer_frames_are_as_many_bits_whatever_encodes_them() {
    init().expect("GStreamer is installed");
    tokio::join!(
        makes_as_much_of_fewer_frames("x264", VideoCodec::H264),
        makes_as_much_of_fewer_frames("openh264", VideoCodec::H264),
        makes_as_much_of_fewer_frames("vp8", VideoCodec::Vp8),
    );
}

#[tokio::test]
async fn a_stream_becomes_smaller_and_larger_without_a_gap() {
    init().expect("GStreamer is installed");
    let (mut video, audio) = config();
    video.source = VideoSource::Test;
    (video.width, video.height) = (640, 360);
    let (hub, thread) = Hub::start(source(video, audio, x264()), None);
    let stream = Stream::Video(Encoding::H264);
    let watch = hub.watch(stream);
    let mut frames = watch.frames();
    let mut last = None;
    let mut sizes = Vec::new();
    for percent in [100, 50, 50, 100] {
        let rate = VideoRate {
            bits_per_second: 500_000,
            every: 1,
            percent,
        };
        hub.set_rate(stream, rate);
        // So many frames later the change is long done.
        for _ in 0..20 {
            let frame = next(&mut frames).await;
            let time = frame.rtp_time;
            if let Some(last) = last.replace(time) {
                let step = time.wrapping_sub(last);
                // A frame or two are lost with the encoder.
                assert!((90..30_000).contains(&step), "{step} ticks");
            }
        }
        hub.request_key_frame(stream);
        let sps = next_key(&mut frames).await.payloads[0].clone();
        last = None;
        sizes.push(sps);
    }
    assert_ne!(sizes[0], sizes[1], "another size, another SPS");
    assert_eq!(sizes[1], sizes[2]);
    assert_eq!(sizes[0], sizes[3]);
    thread.stop();
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
