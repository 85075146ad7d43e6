//! What the probe finds of each row over its driver, where all is well.

use serde_json::Value;

use super::{PICTURE, alone};
use crate::support::codec::{Board, FakeCodec};

/// The board's row is chosen; what the probe found of it.
async fn report(board: Board) -> Value {
    let codec = FakeCodec::new(board);
    let device = codec.start(&alone(PICTURE), &[]).await;
    assert_eq!(codec.chosen(&device).await, board.row());
    let report = codec.report(board.row());
    assert_eq!(report["left_out"].to_string(), "[]", "{report}");
    let measured = &report["measured"];
    assert_eq!(measured["size"].to_string(), "[640,352]", "{report}");
    // Constrained baseline, level 4: as the row's caps say.
    assert_eq!(measured["profile"], "42c028", "{report}");
    assert_eq!(measured["slices"], 1, "{report}");
    assert_eq!(measured["second"], true, "{report}");
    let counts = codec.counts();
    assert!(counts.contexts >= 2 && counts.frames_imported == 0);
    assert_eq!(counts.frames_written, counts.frames_coded);
    report
}

/// Both requests were answered, with the frame that was on its way or the next.
fn keys_come_within_a_frame(report: &Value) {
    let keys = report["measured"]["key_frames"].as_array().expect("a list");
    assert_eq!(keys.len(), 2, "{report}");
    let all = keys.iter().all(|key| key.as_u64().is_some_and(|n| n <= 1));
    assert!(all, "{report}");
}

/// What was made is no more than a quarter above what was asked for: at the
/// start, and a second after half of it was asked for.
fn bitrates_are_followed(report: &Value, names: &[(&str, &str)]) {
    for (asked, made) in names {
        let number = |name: &str| report["measured"]["rate"][name].as_f64().expect("a rate");
        assert!(number(made) <= 1.25 * number(asked), "{report}");
    }
}

const START: (&str, &str) = ("asked", "made");
const CHANGE: (&str, &str) = ("then_asked", "then_made");

#[tokio::test]
async fn the_raspberry_pi_does_all_without_a_word() {
    let report = report(Board::RaspberryPi).await;
    assert_eq!(report["warnings"].to_string(), "[]", "{report}");
    keys_come_within_a_frame(&report);
    bitrates_are_followed(&report, &[START, CHANGE]);
}

#[tokio::test]
async fn venus_does_all_without_a_word() {
    let report = report(Board::Venus).await;
    assert_eq!(report["warnings"].to_string(), "[]", "{report}");
    keys_come_within_a_frame(&report);
    bitrates_are_followed(&report, &[START, CHANGE]);
}

#[tokio::test]
async fn the_hantro_of_nxp_s_kernel_does_all_without_a_word() {
    let report = report(Board::Hantro).await;
    assert_eq!(report["warnings"].to_string(), "[]", "{report}");
    keys_come_within_a_frame(&report);
    bitrates_are_followed(&report, &[START, CHANGE]);
}

#[tokio::test]
async fn wave5_is_taken_with_what_its_driver_cannot_do() {
    let report = report(Board::Wave5).await;
    // Its driver has no control to force a key frame, and writes the bitrate to
    // the device when it starts, and never again.
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("ignores key frame requests"), "{report}");
    assert!(warnings.contains("ignores a new bitrate"), "{report}");
    bitrates_are_followed(&report, &[START]);
}

#[tokio::test]
async fn a_size_that_the_driver_has_not_is_refused_in_words() {
    let codec = FakeCodec::new(Board::Venus);
    // 360 is no multiple of 16.
    let video = PICTURE.replace("352", "360");
    let device = codec.start(&alone(&video), &[]).await;
    assert_eq!(codec.chosen(&device).await, "x264");
    let report = codec.report(Board::Venus.row());
    let why = report["unusable"].as_str().expect("it is not used");
    assert!(why.contains("may not take pictures of this size"), "{why}");
}

#[tokio::test]
async fn upright_pictures_are_for_the_raspberry_pi_too() {
    let codec = FakeCodec::new(Board::RaspberryPi);
    let video = "source = \"test\"\nwidth = 1080\nheight = 1920\nfps = 10\n";
    let device = codec.start(&alone(video), &[]).await;
    assert_eq!(codec.chosen(&device).await, "raspberry-pi");
}
