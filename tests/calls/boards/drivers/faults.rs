//! Encoders that go wrong below the element are found out before a viewer sees
//! them, each with the right words; x264 takes their place where it must.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;

use super::{PICTURE, alone};
use crate::support::codec::{Board, CodecFault, FakeCodec};
use crate::support::{SOON, until};

/// Why the row is not used.
async fn is_skipped(codec: &FakeCodec, words: &str) {
    of_board_is_skipped(Board::RaspberryPi, codec, words).await;
}

async fn of_board_is_skipped(board: Board, codec: &FakeCodec, words: &str) {
    let device = codec.start(&alone(PICTURE), &[]).await;
    assert_eq!(codec.chosen(&device).await, "x264", "{board:?}: {words}");
    let why = unusable(codec, board);
    assert!(why.contains(words), "{board:?}: {words}: {why}");
}

fn unusable(codec: &FakeCodec, board: Board) -> String {
    let report = codec.report(board.row());
    report["unusable"]
        .as_str()
        .expect("it is not used")
        .to_owned()
}

/// It is used all the same, with this one warning, or none.
async fn is_taken(codec: &FakeCodec, words: &str) {
    let device = codec.start(&alone(PICTURE), &[]).await;
    assert_eq!(codec.chosen(&device).await, "raspberry-pi", "{words}");
    let report = codec.report(Board::RaspberryPi.row());
    let warnings = report["warnings"].as_array().expect("a list");
    assert_eq!(warnings.len(), usize::from(!words.is_empty()), "{report}");
    assert!(report["warnings"].to_string().contains(words), "{report}");
}

fn pi(fault: CodecFault) -> FakeCodec {
    FakeCodec::new(Board::RaspberryPi).with(fault)
}

#[tokio::test]
async fn one_that_gives_no_frame_is_skipped() {
    is_skipped(&pi(CodecFault::Silent), "none came out").await;
}

#[tokio::test]
async fn one_whose_first_frame_is_late_is_taken() {
    is_taken(&pi(CodecFault::LateMs(1500)), "").await;
}

#[tokio::test]
async fn one_whose_first_frame_is_too_late_is_skipped() {
    is_skipped(&pi(CodecFault::LateMs(8000)), "none came out").await;
}

#[tokio::test]
async fn one_whose_device_fails_is_skipped() {
    is_skipped(&pi(CodecFault::BrokenAfter(20)), "Could not read").await;
}

#[tokio::test]
async fn one_whose_frames_become_empty_is_skipped() {
    // GStreamer takes the first for the end, and stops without a word. Rarely it (1.22)
    // falls over a buffer that is on its way to the driver then, and the probe's child
    // with it.
    let codec = pi(CodecFault::EmptyAfter(20));
    let device = codec.start(&alone(PICTURE), &[]).await;
    assert_eq!(codec.chosen(&device).await, "x264");
    let why = unusable(&codec, Board::RaspberryPi);
    let words = [
        "stopped after 20 frames without a word",
        "it crashed (signal 11)",
    ];
    assert!(words.iter().any(|each| why.contains(each)), "{why}");
}

#[tokio::test]
async fn one_that_this_size_takes_down_is_skipped_and_a_smaller_one_is_not() {
    is_skipped(&pi(CodecFault::ResetsAt(640, 352)), "its driver starts no").await;
    is_taken(&pi(CodecFault::ResetsAt(1280, 720)), "").await;
}

#[tokio::test]
async fn one_that_hangs_when_it_starts_is_killed_at_the_limit() {
    is_skipped(&pi(CodecFault::StartHangs), "none came out").await;
}

#[tokio::test]
async fn one_that_ignores_key_frame_requests_is_taken_with_a_warning() {
    is_taken(&pi(CodecFault::IgnoresKeyFrames), "every 2 s instead").await;
}

#[tokio::test]
async fn one_that_ignores_a_new_bitrate_is_taken_with_a_warning() {
    is_taken(&pi(CodecFault::IgnoresBitrate), "ignores a new bitrate").await;
}

#[tokio::test]
async fn one_that_runs_once_is_taken_with_a_warning() {
    is_taken(&pi(CodecFault::Contexts(1)), "a second one cannot run").await;
}

/// The faults of another board's driver, each with its words. One that is slow to begin
/// has the warnings of a good one. `ignored` says what is new where a bitrate is ignored;
/// nothing, where a good one ignores it, too.
async fn faults_are_found_out(board: Board, ignored: Option<&str>) {
    for (fault, words) in [
        (CodecFault::Silent, "none came out"),
        (CodecFault::LateMs(8000), "none came out"),
        (CodecFault::BrokenAfter(20), "Could not read"),
        (CodecFault::ResetsAt(640, 352), "its driver starts no"),
    ] {
        let codec = FakeCodec::new(board).with(fault);
        of_board_is_skipped(board, &codec, words).await;
    }
    let good = kinds_of_warnings(board, None).await;
    for (fault, words) in [
        (CodecFault::LateMs(1500), None),
        (CodecFault::ResetsAt(1280, 720), None),
        (CodecFault::IgnoresBitrate, ignored),
        (CodecFault::Contexts(1), Some("a second one cannot run")),
    ] {
        let warnings = kinds_of_warnings(board, Some(fault)).await;
        let new: Vec<_> = warnings.iter().filter(|w| !good.contains(w)).collect();
        let many = usize::from(words.is_some());
        assert_eq!(new.len(), many, "{fault:?}: {warnings:?}");
        let says = |words: &str| new.iter().any(|w| w.contains(words));
        assert!(words.is_none_or(says), "{fault:?}: {warnings:?}");
    }
}

/// The board's row is used; what the probe warns of, without numbers that are measured
/// and others each time.
async fn kinds_of_warnings(board: Board, fault: Option<CodecFault>) -> Vec<String> {
    let codec = FakeCodec::new(board);
    if let Some(fault) = fault {
        codec.begin(fault);
    }
    let device = codec.start(&alone(PICTURE), &[]).await;
    assert_eq!(codec.chosen(&device).await, board.row(), "{fault:?}");
    let report = codec.report(board.row());
    let warnings = report["warnings"].as_array().expect("a list");
    let kind = |w: &Value| w.to_string().split(':').next().map(str::to_owned);
    warnings.iter().filter_map(kind).collect()
}

#[tokio::test]
async fn faults_of_a_venus_are_found_out() {
    faults_are_found_out(Board::Venus, Some("ignores a new bitrate")).await;
}

#[tokio::test]
async fn faults_of_a_hantro_are_found_out() {
    faults_are_found_out(Board::Hantro, Some("ignores a new bitrate")).await;
}

/// It ignores new bitrates where it is good.
#[tokio::test]
async fn faults_of_a_wave5_are_found_out() {
    faults_are_found_out(Board::Wave5, None).await;
}

/// GStreamer's plug-in has no element for a node that it could not open.
const NOT_OPENED: &str =
    "finds no device that it can open: its driver may be in use by another program";
/// Where STREAMON fails at the first frame it says no more, nor does the agent.
const NOT_STARTED: &str =
    "Failed to process frame. (Maybe be due to not enough memory or failing driver)";

/// Another program on the board, which records in two sizes.
async fn records_twice(codec: &FakeCodec) -> Child {
    let before = codec.counts();
    let encode = "! queue ! v4l2h264enc ! video/x-h264,level=(string)4 ! fakesink async=false";
    // NV12 is what all these drivers take.
    let line = format!(
        "-q videotestsrc is-live=true ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1 \
         ! tee name=t t. {encode} t. {encode}"
    );
    let other = codec
        .program("/usr/bin/gst-launch-1.0", &[])
        .args(line.split_ascii_whitespace())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("gstreamer1.0-tools is installed");
    until("two contexts", SOON, async || {
        let now = codec.counts();
        let both = now.contexts == before.contexts + 2;
        (both && now.frames_coded > before.frames_coded + 10).then_some(())
    })
    .await;
    other
}

#[tokio::test]
async fn a_third_encoder_where_two_run_is_refused_in_words() {
    let codec = FakeCodec::new(Board::RaspberryPi);
    let mut other = records_twice(&codec).await;
    is_skipped(&codec, "in use by another program").await;
    assert_eq!(codec.counts().contexts, 2);
    other.kill().await.expect("it ran");
}

/// What is said of the row where another program has the two that its driver lets run.
async fn is_skipped_beside_two(board: Board, words: &str) {
    let codec = FakeCodec::new(board).with(CodecFault::Contexts(2));
    let mut other = records_twice(&codec).await;
    of_board_is_skipped(board, &codec, words).await;
    assert_eq!(codec.counts().contexts, 2, "{board:?}");
    other.kill().await.expect("it ran");
}

/// This driver counts who has its node open, and refuses one more there (EBUSY).
#[tokio::test]
async fn a_hantro_that_may_be_opened_no_more_when_it_is_probed_is_skipped_in_words() {
    is_skipped_beside_two(Board::Hantro, NOT_OPENED).await;
}

/// So does this one (EAGAIN).
#[tokio::test]
async fn a_venus_that_may_be_opened_no_more_when_it_is_probed_is_skipped_in_words() {
    is_skipped_beside_two(Board::Venus, NOT_OPENED).await;
}

/// This one lets everybody in, and refuses who starts (EBUSY).
#[tokio::test]
async fn a_wave5_that_starts_no_more_when_it_is_probed_is_skipped_in_words() {
    is_skipped_beside_two(Board::Wave5, NOT_STARTED).await;
}

/// It was free when it was probed.
async fn another_encoder_takes_over_beside_two(board: Board, words: &str) {
    let codec = FakeCodec::new(board).with(CodecFault::Contexts(2));
    let mut call = super::Call::before(&codec, PICTURE, &[]).await;
    assert_eq!(codec.chosen(&call.device).await, board.row());
    let mut other = records_twice(&codec).await;
    call.viewer.call().await;
    call.viewer.watch(30).await;
    let log = call.device.log();
    let line = log
        .iter()
        .find(|line| line["message"] == "another encoder takes over")
        .unwrap_or_else(|| panic!("it was not logged: {log:#?}"));
    assert_eq!(
        (line["failed"].as_str(), line["next"].as_str()),
        (Some(board.row()), Some("x264"))
    );
    let reason = |line: &Value| line["reason"].as_str().map(str::to_owned);
    let reasons: Vec<_> = log.iter().filter_map(reason).collect();
    let named = |why: &String| why.contains(words);
    assert!(reasons.iter().any(named), "{reasons:?}");
    other.kill().await.expect("it ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_hantro_may_be_opened_no_more_in_a_call_another_encoder_takes_over() {
    another_encoder_takes_over_beside_two(Board::Hantro, NOT_OPENED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_venus_may_be_opened_no_more_in_a_call_another_encoder_takes_over() {
    another_encoder_takes_over_beside_two(Board::Venus, NOT_OPENED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_wave5_starts_no_more_in_a_call_another_encoder_takes_over() {
    another_encoder_takes_over_beside_two(Board::Wave5, NOT_STARTED).await;
}

/// What a viewer sees of an encoder that is pulled out: nothing but a pause.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_codec_is_unplugged_in_a_call_another_encoder_takes_over() {
    let codec = FakeCodec::new(Board::RaspberryPi);
    let call = super::Call::open(&codec, PICTURE, &[]).await;
    call.viewer.watch(30).await;
    assert!(codec.counts().frames_coded > 30);
    codec.unplug();
    let limit = Duration::from_secs(60);
    call.device
        .logs("another encoder takes over", 1, limit)
        .await;
    call.viewer.watch(30).await;
    let log = call.device.log();
    let line = log
        .iter()
        .find(|line| line["message"] == "another encoder takes over")
        .expect("it was logged");
    assert_eq!(
        (line["failed"].as_str(), line["next"].as_str()),
        (Some("raspberry-pi"), Some("x264"))
    );
}

/// The same of a device that fails under load.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_codec_fails_in_a_call_another_encoder_takes_over() {
    let codec = FakeCodec::new(Board::RaspberryPi);
    let call = super::Call::open(&codec, PICTURE, &[]).await;
    call.viewer.watch(10).await;
    codec.begin(CodecFault::BrokenAfter(0));
    let limit = Duration::from_secs(60);
    call.device
        .logs("another encoder takes over", 1, limit)
        .await;
    call.viewer.watch(30).await;
}
