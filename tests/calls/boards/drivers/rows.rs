//! Rows of the configuration that ask a Raspberry Pi's driver for what it refuses.

use super::{PICTURE, alone};
use crate::support::codec::{Board, FakeCodec};

/// Somebody's own row for it, which says nothing of sizes, with this level.
fn row(level: &str) -> String {
    format!(
        "[[encoders]]\nid = \"mine\"\nfactory = \"v4l2h264enc\"\n\
         nodes = [\"v4l2:bcm2835-codec-encode\"]\nformats = [\"I420\", \"NV12\"]\n\
         controls = {{ video_bitrate_mode = 1, repeat_sequence_header = 1 }}\n\
         gop = \"control:h264_i_frame_period\"\nrate = \"control:video_bitrate\"\n\
         rate_unit = \"bit/s\"\nrate_step_kbps = 25\nkey_frame = \"control:force_key_frame\"\n\
         caps = \"video/x-h264,profile=constrained-baseline,level=(string){level},\
         stream-format=byte-stream\"\n"
    )
}

/// Which encoder is used for this picture, and why that row is not.
async fn chosen(video: &str, level: &str) -> (String, Option<String>) {
    let codec = FakeCodec::new(Board::RaspberryPi);
    let toml = format!("{}{}", alone(video), row(level));
    let device = codec.start(&toml, &[]).await;
    let id = codec.chosen(&device).await;
    let why = codec.report("mine")["unusable"].as_str().map(str::to_owned);
    (id, why)
}

#[tokio::test]
async fn a_picture_within_the_level_is_encoded() {
    let (id, why) = chosen(PICTURE, "3").await;
    assert_eq!((&*id, why), ("mine", None));
}

/// The driver starts none (STREAMON fails); the agent's own row asks for level 4.
#[tokio::test]
async fn a_picture_above_the_level_is_refused_in_words() {
    let video = "source = \"test\"\nwidth = 1280\nheight = 720\n";
    let (id, why) = chosen(video, "3").await;
    assert_eq!(id, "raspberry-pi");
    let why = why.expect("it is not used");
    let words = "Failed to process frame. (Maybe be due to not enough memory or failing driver)";
    assert!(why.contains(words), "{why}");
}

/// No size of the driver's is wider than 1920; the level would allow it.
#[tokio::test]
async fn a_picture_above_the_driver_s_largest_is_refused_in_words() {
    let video = "source = \"test\"\nwidth = 1936\nheight = 1088\nfps = 10\n";
    let (id, why) = chosen(video, "5.1").await;
    assert_eq!(id, "x264");
    let why = why.expect("it is not used");
    assert!(why.contains("may not take pictures of this size"), "{why}");
}
