//! How much is made: tiers, bitrates and frames, changed while they run.

use super::*;

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

/// It ended the process, where the length was changed in the middle of a frame.
#[test]
fn the_length_of_sound_s_frames_changes_at_any_time() {
    init().expect("GStreamer is installed");
    let description = format!(
        "audiotestsrc samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=1 ! \
         opusenc name={} ! fakesink sync=false",
        plan::SOUND_ENCODER
    );
    let pipeline = gstreamer::parse::launch(&description).expect("it parses");
    let pipeline: gstreamer::Pipeline = pipeline.downcast().expect("a pipeline");
    pipeline
        .set_state(gstreamer::State::Playing)
        .expect("it plays");
    for change in 0..3_000 {
        let coding = SoundCoding {
            loss_percent: 0,
            short_frames: change % 2 == 0,
        };
        encode_sound(&pipeline, coding);
        std::thread::sleep(Duration::from_micros(300));
    }
    let bus = pipeline.bus().expect("a bus");
    assert!(bus.pop_filtered(&[gstreamer::MessageType::Error]).is_none());
    pipeline
        .set_state(gstreamer::State::Null)
        .expect("it stops");
}
