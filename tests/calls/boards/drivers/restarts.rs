//! Encoders that are opened and closed many times, run side by side and are given
//! other bitrates, in this very program: it runs once more, on the board.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use camera_agent::config::{AudioConfig, AudioSource, Config, TierConfig, VideoSource};
use camera_agent::media::element;
use camera_agent::media::encoder::Encoder;
use camera_agent::media::gst::GstSource;
use camera_agent::media::hub::{Hub, HubThread, Watch};
use camera_agent::media::probe::cache::Cache;
use camera_agent::media::probe::{Encoders, Prober};
use camera_agent::media::stream::{Encoding, Stream, VideoRate};
use camera_agent::sdp::VideoCodec;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use crate::support::codec::{Board, CodecCounts, FakeCodec};
use crate::support::{SOON, until};

/// Runs `inside` where the program runs on a board; else this test on a board of
/// its own, and gives what its encoder did and what was printed.
async fn on_board(
    board: Board,
    test: &str,
    inside: impl AsyncFnOnce(&Path),
) -> Option<(CodecCounts, String)> {
    if let Some(folder) = std::env::var_os("BOARD") {
        inside(Path::new(&folder)).await;
        return None;
    }
    let codec = FakeCodec::new(board);
    let program = std::env::current_exe().expect("it runs");
    let output = codec
        .program(program, &[])
        .args(["--exact", "--nocapture", test])
        // As src/environment.rs sets it: GStreamer 1.22 keeps a pool of buffers, and
        // with it the node, that it left to a driver.
        .env("GST_V4L2_FORCE_DRAIN", "1")
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let problems = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{problems}");
    assert!(said.contains("1 passed"), "{said}");
    Some((codec.counts(), said))
}

/// A configuration with the test picture in three sizes, and the encoders for it, of which
/// none was tried.
fn encoders(pattern: &str) -> (Config, Encoders) {
    element::init().expect("GStreamer is installed");
    let mut config = Config::default();
    (config.video.width, config.video.height) = (640, 352);
    config.video.source = VideoSource::Custom;
    config.video.pipeline = Some(format!(
        "videotestsrc is-live=true pattern={pattern} ! \
         video/x-raw,format=I420,width=640,height=352,framerate=30/1"
    ));
    let tier = |height| TierConfig {
        height,
        bitrate_kbps: 300,
    };
    config.video.tiers = vec![tier(176), tier(88)];
    let prober = Prober::Process {
        program: env!("CARGO_BIN_EXE_camera-agent").into(),
        limit: 2 * SOON,
    };
    let table = Encoders::new(&config, prober, Cache::none()).expect("the table");
    (config, table)
}

fn start(config: &Config, table: Encoders, first: Arc<Encoder>) -> (Hub, HubThread) {
    let audio = AudioConfig {
        source: AudioSource::None,
        ..AudioConfig::default()
    };
    let source = GstSource::new(config.video.clone(), audio, first, Arc::new(table));
    Hub::start(Box::new(source), None)
}

/// A source of the test picture whose first encoder is the board's.
fn hub(row: &str, pattern: &str) -> (Hub, HubThread) {
    let (config, table) = encoders(pattern);
    start(&config, table, Encoder::row(row).expect("a row"))
}

async fn gives_frames(watch: &Watch, frames: usize) {
    let mut all = watch.frames();
    for _ in 0..frames {
        let frame = timeout(SOON, all.recv()).await.expect("a frame in time");
        // Those that were missed came, too.
        assert!(!matches!(frame, Err(RecvError::Closed)), "it ended");
    }
}

/// What each descriptor is open on, with how many times.
fn descriptors() -> HashMap<PathBuf, usize> {
    let mut open = HashMap::new();
    for entry in std::fs::read_dir("/proc/self/fd")
        .expect("it runs")
        .flatten()
    {
        let to = std::fs::read_link(entry.path()).unwrap_or_default();
        // Sockets and pipes have a number of their own.
        let text = to.to_string_lossy();
        let kind = text.split_once(":[").map_or(&*text, |(kind, _)| kind);
        *open.entry(PathBuf::from(kind)).or_default() += 1;
    }
    open
}

/// Once the node is closed, which a thread of its own does.
async fn descriptors_left() -> HashMap<PathBuf, usize> {
    until("the node is closed", SOON, async || {
        let open = descriptors();
        let node = Path::new("/dev/video11");
        (!open.contains_key(node)).then_some(open)
    })
    .await
}

const RESTARTS: u64 = 200;
/// One picture that each restart left behind would be 47 MB from the fiftieth to the
/// last; over a thousand restarts the allocator's own ups and downs stayed within 8.
const MORE: u64 = 16 << 20;

/// Memory of this process that is no file's, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib = line.and_then(|l| l.split_whitespace().next());
    kib.and_then(|n| n.parse::<u64>().ok()).expect("a number") << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_restarts_leave_no_descriptor_and_no_memory_behind() {
    let test =
        "boards::drivers::restarts::two_hundred_restarts_leave_no_descriptor_and_no_memory_behind";
    let counts = on_board(Board::RaspberryPi, test, async |_| {
        let mut before: Option<HashMap<_, _>> = None;
        let mut held = Vec::new();
        for restart in 0..RESTARTS {
            let (hub, thread) = hub("raspberry-pi", "smpte75");
            gives_frames(&hub.watch(Stream::Video(Encoding::H264)), 1).await;
            thread.stop();
            let left = descriptors_left().await;
            held.push(memory());
            // What GStreamer keeps for good is there by then. A bus may be on its way
            // out whenever one looks: the fewest of ten looks are what stays.
            let count = |open: &HashMap<_, usize>| open.values().sum::<usize>();
            if (10..20).contains(&restart)
                && before.as_ref().is_none_or(|all| count(&left) < count(all))
            {
                before = Some(left);
            }
        }
        let before = before.expect("ten looks");
        until("no more is open than before", SOON, async || {
            let was = |kind| before.get(kind).copied().unwrap_or(0);
            let open = descriptors();
            open.iter().all(|(kind, n)| *n <= was(kind)).then_some(())
        })
        .await;
        // The allocator keeps some for itself, as much as it ever needed.
        let (early, late) = (held[40..60].iter().min(), held[180..].iter().min());
        let grown = late
            .zip(early)
            .map(|(late, early)| late.saturating_sub(*early));
        assert!(grown.is_some_and(|grown| grown < MORE), "{held:?}");
    });
    if let Some((counts, _)) = counts.await {
        // One that is asked for while the source opens is hung again when it is
        // open; never a third time.
        let each = RESTARTS..=2 * RESTARTS;
        assert!(each.contains(&counts.contexts), "{counts:?}");
    }
}

/// The driver starts two; the third picture is another encoder's.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_size_where_two_encoders_run_is_encoded_in_software() {
    let test =
        "boards::drivers::restarts::a_third_size_where_two_encoders_run_is_encoded_in_software";
    let done = on_board(Board::RaspberryPi, test, async |folder| {
        tracing_subscriber::fmt().with_ansi(false).init();
        let (config, table) = encoders("smpte75");
        // As the agent does when it starts: two ran beside each other.
        let best = table.best(VideoCodec::H264).expect("one works");
        assert_eq!(best.encoder.id, "raspberry-pi");
        let before = CodecCounts::of(folder);
        let (hub, thread) = start(&config, table, best.encoder);
        let watches: Vec<_> = (0..3)
            .map(|tier| {
                let codec = VideoCodec::H264;
                hub.watch(Stream::Video(Encoding { codec, tier }))
            })
            .collect();
        for watch in &watches {
            gives_frames(watch, 30).await;
        }
        let then = CodecCounts::of(folder);
        thread.stop();
        // Each is hung once, or again when the source is open.
        let begun = then.contexts - before.contexts;
        assert!((2..=4).contains(&begun), "{before:?} {then:?}");
        assert!(then.frames_coded >= before.frames_coded + 60, "{then:?}");
    });
    if let Some((_, said)) = done.await {
        let over = |line: &&str| line.contains("another encoder takes over");
        let over: Vec<_> = said.lines().filter(over).collect();
        let [third] = over.as_slice() else {
            panic!("not one of three: {said}");
        };
        assert!(third.contains("next=x264"), "{third}");
    }
}

/// Noise, which is as large as it is allowed to be.
async fn follow_a_bitrate(board: Board, test: &str) {
    on_board(board, test, async |folder| {
        let stream = Stream::Video(Encoding::H264);
        let (hub, thread) = hub(board.row(), "snow");
        let watch = hub.watch(stream);
        for bits_per_second in [2_000_000, 600_000, 1_500_000] {
            let rate = VideoRate {
                bits_per_second,
                every: 1,
                percent: 100,
            };
            hub.set_rate(stream, rate);
            // A second of frames, and then the next one is measured.
            gives_frames(&watch, 30).await;
            let first = CodecCounts::of(folder);
            gives_frames(&watch, 30).await;
            let then = CodecCounts::of(folder);
            let frames = then.frames_coded - first.frames_coded;
            let made = (then.bytes_coded - first.bytes_coded) * 8 * 30 / frames;
            let asked = u64::from(bits_per_second);
            assert_eq!(then.bitrate, asked, "{board:?}");
            let follows = made * 4 <= asked * 5 && made * 4 >= asked * 3;
            assert!(follows, "{board:?}: {made} bit/s for {asked}");
        }
        thread.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_raspberry_pi_follows_a_bitrate_within_a_second() {
    let test = "boards::drivers::restarts::the_raspberry_pi_follows_a_bitrate_within_a_second";
    follow_a_bitrate(Board::RaspberryPi, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn venus_follows_a_bitrate_within_a_second() {
    let test = "boards::drivers::restarts::venus_follows_a_bitrate_within_a_second";
    follow_a_bitrate(Board::Venus, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hantro_follows_a_bitrate_within_a_second() {
    let test = "boards::drivers::restarts::the_hantro_follows_a_bitrate_within_a_second";
    follow_a_bitrate(Board::Hantro, test).await;
}
