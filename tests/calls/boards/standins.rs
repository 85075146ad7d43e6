//! The rows of vendors' elements, run through what stands in for those
//! (tests/standins/): the probe's verdict on a good one and on each kind of bad
//! one, and the pipeline with rates and key frames while it runs.

use std::sync::Arc;

use camera_agent::config::{
    AudioConfig, AudioSource, Config, TierConfig, VideoConfig, VideoSource,
};
use camera_agent::media::frame::Frame;
use camera_agent::media::gst::GstSource;
use camera_agent::media::hub::Hub;
use camera_agent::media::probe::cache::Cache;
use camera_agent::media::probe::{Encoders, Prober};
use camera_agent::media::stream::{Encoding, Stream, VideoRate};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use crate::support::device::Device;
use crate::support::vendors::{Board, Fault};
use crate::support::{Chat, SOON};

/// Small enough that a probe takes a second.
fn video() -> VideoConfig {
    VideoConfig {
        source: VideoSource::Test,
        width: 320,
        height: 180,
        bitrate_kbps: 500,
        ..VideoConfig::default()
    }
}

/// What the probe says of a good one: nothing, but where the vendor's element
/// has a way of its own.
fn oddity(row: &str) -> Option<&'static str> {
    // gstvah264enc.c: "a force key frame, promote its type", to an I slice.
    matches!(row, "va" | "va-lp").then_some("it ignores key frame requests")
}

async fn is_taken_whole(row: &str) {
    let board = Board::of(row);
    let report = board.probe(&video(), Fault::None).await;
    let words = report.words();
    assert!(report.is_usable(), "{row}: {words}");
    assert_eq!(report.left_out, [""; 0], "{row}");
    assert_eq!(report.fitted.as_ref(), Some(&*board.encoder()), "{row}");
    assert!(report.obeys_bitrate(), "{row}: {words}");
    match oddity(row) {
        None => assert_eq!(report.warnings, [""; 0], "{row}"),
        Some(oddity) => {
            assert_eq!(report.warnings.len(), 1, "{row}: {words}");
            assert!(words.contains(oddity), "{row}: {words}");
        }
    }
    let profile = report.profile().expect("an SPS").to_string();
    assert!(profile.starts_with("42"), "{row}: {profile}");
}

/// As on the board: nothing says which encoder it has but its node.
async fn is_found_by_its_node(row: &str) {
    let chat = Chat::start().await;
    let board = Board::of(row);
    // Where two are in one plug-in, the configuration says which.
    let encoder = if row == "va-lp" { row } else { "auto" };
    let toml = format!(
        "[server]\nurl = \"ws://{}/\"\n[video]\nsource = \"test\"\nwidth = 320\n\
         height = 180\nbitrate_kbps = 500\nencoder = \"{encoder}\"\n[audio]\nsource = \"none\"\n",
        chat.addr
    );
    let device = Device::run(board.agent(Fault::None), &toml).await;
    device.registered().await;
    let log = device.log();
    let chosen = log.iter().find(|line| line["message"] == "encoder");
    let chosen = chosen.unwrap_or_else(|| panic!("{row}: none chosen"));
    assert_eq!(chosen["encoder"], row);
}

/// Each fault, the words for it, and whether viewers see such an encoder.
const FAULTS: [(Fault, &str, bool); 7] = [
    (Fault::Silent, "none came out", false),
    (Fault::Error, "broke down", false),
    (Fault::Fail, "Failed to start encoder", false),
    (Fault::BFrames, "another order", false),
    (Fault::NoHeaders, "none came out", false),
    (Fault::NoBitrate, "ignores a new bitrate", true),
    (Fault::NoKey, "ignores key frame requests", true),
];

async fn faults_are_found_out(row: &str) {
    let board = Board::of(row);
    for (fault, words, usable) in FAULTS {
        let report = board.probe(&video(), fault).await;
        let said = report.words();
        assert!(said.contains(words), "{row}, {fault:?}: {said}");
        assert_eq!(report.is_usable(), usable, "{row}, {fault:?}: {said}");
    }
}

async fn next(frames: &mut Receiver<Arc<Frame>>) -> Arc<Frame> {
    loop {
        match timeout(SOON, frames.recv()).await.expect("a frame in time") {
            Ok(frame) => return frame,
            Err(RecvError::Lagged(_)) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

/// Bits a second of `count` frames, of which there are 30 a second.
async fn made(frames: &mut Receiver<Arc<Frame>>, count: usize) -> f64 {
    let mut bytes = 0;
    for _ in 0..count {
        let frame = next(frames).await;
        bytes += frame.payloads.iter().map(|p| p.len()).sum::<usize>();
    }
    bytes as f64 * 8.0 * 30.0 / count as f64
}

/// A picture in two qualities, each through an encoder of its own.
async fn follows_while_it_runs(row: &str) {
    let board = Board::of(row);
    board.install();
    let video = VideoConfig {
        source: VideoSource::Custom,
        // Noise is as large as the encoder is allowed to make it.
        pipeline: Some(
            "videotestsrc is-live=true pattern=snow ! \
             video/x-raw,width=320,height=180,framerate=30/1"
                .into(),
        ),
        tiers: vec![TierConfig {
            height: 110,
            bitrate_kbps: 300,
        }],
        // No other one takes over where it fails.
        encoder: row.to_owned(),
        ..video()
    };
    let audio = AudioConfig {
        source: AudioSource::None,
        ..AudioConfig::default()
    };
    let config = Config {
        video: video.clone(),
        ..Config::default()
    };
    let encoders = Encoders::new(&config, Prober::InProcess, Cache::none()).expect("the table");
    let source = GstSource::new(video, audio, board.encoder(), Arc::new(encoders));
    let (hub, thread) = Hub::start(Box::new(source), None);
    let rate = |bits_per_second| VideoRate {
        bits_per_second,
        every: 1,
        percent: 100,
    };
    let stream = Stream::Video(Encoding::H264);
    hub.set_rate(stream, rate(1_000_000));
    let watch = hub.watch(stream);
    let mut frames = watch.frames();
    assert!(next(&mut frames).await.key, "{row}: it begins with a key");
    made(&mut frames, 30).await;
    let high = made(&mut frames, 30).await;
    assert!((0.75e6..1.25e6).contains(&high), "{row}: {high}");
    hub.set_rate(stream, rate(400_000));
    made(&mut frames, 30).await;
    let low = made(&mut frames, 30).await;
    assert!((0.3e6..0.5e6).contains(&low), "{row}: {low}");

    if oddity(row).is_none() {
        next(&mut frames).await;
        hub.request_key_frame(stream);
        let mut waited = 0;
        while !next(&mut frames).await.key {
            waited += 1;
            assert!(waited < 30, "{row}: no key frame");
        }
    }
    thread.stop();
}

macro_rules! boards {
    ($($name:ident: $row:literal,)*) => {$(
        mod $name {
            #[tokio::test]
            async fn a_good_one_is_taken_with_all_of_its_row() {
                super::is_taken_whole($row).await;
            }

            #[tokio::test]
            async fn it_is_found_by_its_node() {
                super::is_found_by_its_node($row).await;
            }

            #[tokio::test]
            async fn faults_are_found_out() {
                super::faults_are_found_out($row).await;
            }

            #[tokio::test]
            async fn rates_and_key_frames_are_followed_while_it_runs() {
                super::follows_while_it_runs($row).await;
            }
        }
    )*};
}

boards! {
    rockchip_mpp: "rockchip-mpp",
    jetson: "jetson",
    nxp_vpu: "nxp-vpu",
    qualcomm_c2: "qualcomm-c2",
    stm32mp2: "stm32mp2",
    va: "va",
    va_lp: "va-lp",
    qsv: "qsv",
    vaapi: "vaapi",
}
