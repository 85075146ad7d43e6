//! Whose memory a picture is in between a camera and a board's encoder. The
//! encoder's driver counts the frames that somebody wrote into its own, and
//! those that it read from the camera's.

use super::Call;
use crate::support::codec::{Board, CodecFault, FakeCodec};
use crate::support::shims::{FakeCamera, Format};

fn video(camera: &FakeCamera, width: u32, height: u32) -> String {
    format!(
        "source = \"v4l2\"\ndevice = {:?}\nwidth = {width}\nheight = {height}\n",
        camera.node()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_picture_goes_from_camera_to_encoder_without_a_copy() {
    // Slowly: where its buffers run low v4l2src copies by itself.
    let camera = FakeCamera::new(Format::Nv12, 320, 256, 10);
    let codec = FakeCodec::new(Board::RaspberryPi);
    let video = format!("{}fps = 10\n", video(&camera, 320, 256));
    let call = Call::open(&codec, &video, &camera.env()).await;
    // Those of the probe.
    let written = codec.counts().frames_written;
    call.viewer.watch(40).await;
    let counts = codec.counts();
    assert_eq!(counts.frames_written, written, "{counts:?}");
    assert!(counts.frames_imported >= 40, "{counts:?}");
    let said = call.device.logged("no copy: the encoder reads");
    assert!(said > 0, "{:?}", call.device.log());
}

/// A USB camera's memory is in pieces, which a device without an IOMMU cannot
/// read.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_encoder_cannot_read_the_cameras_memory_it_gets_copies() {
    let camera = FakeCamera::new(Format::Nv12, 640, 352, 30);
    let codec = FakeCodec::new(Board::RaspberryPi).with(CodecFault::Scattered);
    let call = Call::open(&codec, &video(&camera, 640, 352), &camera.env()).await;
    call.viewer.watch(60).await;
    let counts = codec.counts();
    assert_eq!(counts.frames_imported, 0, "{counts:?}");
    assert!(counts.frames_written >= 60, "{counts:?}");
    // And it is still the board's.
    assert_eq!(call.device.logged("another encoder takes over"), 0);
}

/// The Pi's webcam of every day. GStreamer's own log says of each converter whether it has
/// anything to do; the agent's, what else is done: the range is limited where the decoded
/// picture lies (src/media/gst/range.rs).
#[tokio::test(flavor = "multi_thread")]
async fn a_webcam_s_jpeg_is_decoded_and_limited_in_range_and_nothing_else() {
    for format in [Format::Mjpg, Format::Mjpg422] {
        let camera = FakeCamera::new(format, 1280, 720, 30);
        let codec = FakeCodec::new(Board::RaspberryPi);
        let mut env = camera.env();
        env.push(("GST_DEBUG".into(), "basetransform:5".into()));
        env.push(("GST_DEBUG_NO_COLOR".into(), "1".into()));
        let call = Call::open(&codec, &video(&camera, 1280, 720), &env).await;
        call.viewer.watch(30).await;
        let log = call.device.log();
        let said = |message: &str, words: &str| {
            log.iter()
                .filter(|line| line["message"] == message)
                .any(|line| line["description"].to_string().contains(words))
        };
        assert!(said("pipeline", "jpegdec ! videoconvert !"), "{log:?}");
        assert!(said("encoder", "! v4l2h264enc name=encoder"), "{log:?}");
        for work in ["videoscale", "videoflip", "videorate"] {
            assert!(!said("pipeline", work) && !said("encoder", work), "{work}");
        }
        assert!(!said("encoder", "videoconvert"), "{log:?}");
        let converter = |state: &str| {
            let idle = |line: &str| line.contains("<videoconvert") && line.contains(state);
            log.iter().filter_map(|l| l.as_str()).any(idle)
        };
        assert!(converter("set passthrough 1"), "{format:?} is converted");
        assert!(!converter("set passthrough 0"), "{format:?} is converted");
        let words = "its JPEG is decoded, and its range made television's; one copy, into";
        assert!(call.device.logged(words) > 0, "{log:?}");
        assert!(codec.counts().frames_written >= 30);
    }
}
