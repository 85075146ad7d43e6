//! Encoders that go wrong are found out by the real program before a viewer
//! sees them, each with the right words, and the next one is taken.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::faults::{self, Row};
use crate::support::{SOON, until};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Small enough that a probe takes a second.
const VIDEO: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[video]\nsource = \"test\"\n\
                     width = 320\nheight = 180\nbitrate_kbps = 500\n[audio]\nsource = \"none\"\n";

/// What a start says up to the encoder that it chose.
struct Start {
    log: Vec<Value>,
    took: Duration,
}

impl Start {
    /// Starts the agent with these rows and this folder for its cache.
    async fn with(rows: &str, cache: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("camera-agent.toml");
        std::fs::write(&config, format!("{VIDEO}{rows}")).expect("written");
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .args(["run", "--log-format", "json", "--config"])
            .arg(&config)
            .envs(faults::environment())
            .env("CACHE_DIRECTORY", cache)
            .env("RUST_LOG", "camera_agent=debug")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut log: Vec<Value> = Vec::new();
        let chosen = async {
            while let Ok(Some(line)) = lines.next_line().await {
                let entry: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let last = entry["message"] == "encoder";
                log.push(entry);
                if last {
                    return;
                }
            }
            panic!("it ended without an encoder: {log:#?}");
        };
        timeout(2 * SOON, chosen).await.expect("an encoder in time");
        Self {
            log,
            took: started.elapsed(),
        }
    }

    fn chosen(&self) -> &str {
        self.field("encoder", "encoder")
    }

    /// The field of the line with this message.
    fn field(&self, message: &str, field: &str) -> &str {
        self.log
            .iter()
            .find(|line| line["message"] == message)
            .and_then(|line| line[field].as_str())
            .unwrap_or_else(|| panic!("no {message:?} with {field}: {:#?}", self.log))
    }

    fn tried(&self, id: &str) -> bool {
        self.log.iter().any(|line| {
            line["encoder"] == id
                && line["message"]
                    .as_str()
                    .is_some_and(|m| m.starts_with("tried in "))
        })
    }

    /// Warnings about this encoder.
    fn warnings(&self, id: &str) -> String {
        self.log
            .iter()
            .filter(|line| line["level"] == "WARN" && line["encoder"] == id)
            .map(|line| format!("{} {}\n", line["message"], line["why"]))
            .collect()
    }
}

fn cache() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The fault is named in these words, and x264 is taken.
async fn is_skipped(row: Row, id: &str, words: &str) -> Start {
    let cache = cache();
    let start = Start::with(&row.to_string(), cache.path()).await;
    assert_eq!(start.chosen(), "x264");
    assert_eq!(start.field("encoder is not used", "encoder"), id);
    let why = start.field("encoder is not used", "why");
    assert!(why.contains(words), "{id}: {why}");
    start
}

/// The fault is named in these words, and the encoder is taken all the same.
async fn is_taken_with_a_warning(row: Row, id: &str, words: &str) {
    let cache = cache();
    let start = Start::with(&row.to_string(), cache.path()).await;
    assert_eq!(start.chosen(), id);
    let warnings = start.warnings(id);
    assert!(warnings.contains(words), "{id}: {warnings}");
    assert_eq!(warnings.lines().count(), 1, "{id}: {warnings}");
}

#[tokio::test]
async fn one_that_does_all_is_taken_without_a_word() {
    let cache = cache();
    let start = Start::with(&Row::new("none").to_string(), cache.path()).await;
    assert_eq!(start.chosen(), "none");
    assert_eq!(start.warnings("none"), "");
    let profile = start.field("encoder", "profile");
    assert!(profile.starts_with("42c0"), "{profile}");
}

#[tokio::test]
async fn one_that_never_gives_a_frame_is_skipped() {
    is_skipped(Row::new("silent"), "silent", "none came out").await;
}

#[tokio::test]
async fn one_that_stalls_is_skipped() {
    is_skipped(
        Row::new("stall").after(20),
        "stall",
        "stopped after 20 frames",
    )
    .await;
}

#[tokio::test]
async fn one_that_fails_is_skipped_with_its_own_words() {
    is_skipped(Row::new("error").after(20), "error", "broke down").await;
}

#[tokio::test]
async fn one_that_gives_empty_frames_is_skipped() {
    is_skipped(Row::new("empty").after(20), "empty", "empty frames").await;
}

#[tokio::test]
async fn one_that_ends_by_itself_is_skipped() {
    is_skipped(Row::new("eos").after(20), "eos", "ended by itself").await;
}

#[tokio::test]
async fn one_that_no_browser_decodes_is_skipped() {
    is_skipped(Row::new("profile"), "profile", "high-4:2:2").await;
}

#[tokio::test]
async fn one_that_reorders_frames_is_skipped() {
    is_skipped(Row::new("bframes"), "bframes", "another order").await;
}

#[tokio::test]
async fn one_that_crashes_is_skipped_and_the_agent_lives() {
    is_skipped(Row::new("crash").after(20), "crash", "crashed (signal 11)").await;
}

#[tokio::test]
async fn one_that_does_not_start_is_skipped() {
    is_skipped(Row::new("fail"), "fail", "state").await;
}

#[tokio::test]
async fn one_that_hangs_is_killed_at_the_limit() {
    let start = is_skipped(Row::new("hang"), "hang", "hung for 12 s").await;
    assert!(start.took > Duration::from_secs(12), "{:?}", start.took);
    assert!(start.took < Duration::from_secs(30), "{:?}", start.took);
}

#[tokio::test]
async fn one_that_cannot_be_stopped_is_killed_at_the_limit() {
    let row = Row::new("hang-stop");
    is_skipped(row, "hang-stop", "hung for 12 s when it was stopped").await;
}

#[tokio::test]
async fn one_that_ignores_key_frame_requests_is_taken_with_a_warning() {
    is_taken_with_a_warning(Row::new("no-key"), "no-key", "every 2 s instead").await;
}

#[tokio::test]
async fn one_that_ignores_a_new_bitrate_is_taken_with_a_warning() {
    is_taken_with_a_warning(
        Row::new("no-bitrate"),
        "no-bitrate",
        "ignores a new bitrate",
    )
    .await;
}

#[tokio::test]
async fn one_that_cuts_frames_is_taken_with_a_warning() {
    is_taken_with_a_warning(Row::new("slices"), "slices", "into 4 slices").await;
}

#[tokio::test]
async fn one_whose_properties_are_not_there_is_taken_without_them() {
    let row = Row::new("none").with("key_frame = \"signal:force-IDR\"\ncontrols = { x = 1 }");
    is_taken_with_a_warning(row, "none", "no signal \\\"force-IDR\\\"").await;
}

#[tokio::test]
async fn one_that_is_not_installed_is_passed_over_in_silence() {
    let cache = cache();
    let row = Row::new("none").with("nodes = [\"/dev/no-such-encoder\"]");
    let start = Start::with(&row.to_string(), cache.path()).await;
    assert_eq!(start.chosen(), "x264");
    assert_eq!(start.warnings("none"), "");
    assert!(!start.tried("none"));
}

#[tokio::test]
async fn what_was_found_is_remembered_and_a_damaged_memory_is_no_error() {
    let cache = cache();
    let row = Row::new("silent").to_string();
    let first = Start::with(&row, cache.path()).await;
    assert!(first.tried("silent") && first.tried("x264"));

    let second = Start::with(&row, cache.path()).await;
    assert_eq!(second.chosen(), "x264");
    assert!(!second.tried("silent") && !second.tried("x264"));
    let why = second.field("encoder is not used", "why");
    assert!(why.contains("none came out"), "{why}");

    std::fs::write(cache.path().join("encoders.json"), "{").expect("written");
    let third = Start::with(&row, cache.path()).await;
    assert_eq!(third.chosen(), "x264");
    assert!(third.tried("silent") && third.tried("x264"));
}

#[tokio::test]
async fn a_fault_with_a_trigger_waits_for_it() {
    let files = cache();
    let trigger = files.path().join("now");
    let row = Row::new("error").trigger(&trigger).to_string();
    let start = Start::with(&row, cache().path()).await;
    assert_eq!(start.chosen(), "error");
    std::fs::write(&trigger, "").expect("written");
    let start = Start::with(&row, cache().path()).await;
    assert_eq!(start.chosen(), "x264");
}

/// As a board does that a trial brings down, in a service that does not see
/// /proc/sys.
#[tokio::test]
async fn one_that_brings_the_board_down_is_not_tried_at_the_next_boot() {
    let (cache, folder) = (cache(), tempfile::tempdir().expect("a folder"));
    let config = folder.path().join("camera-agent.toml");
    std::fs::write(&config, format!("{VIDEO}{}", Row::new("hang"))).expect("written");
    let boot = |id: char| {
        let mut board = Command::new("unshare");
        board
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
            .arg("mount -t proc -o subset=pid proc /proc && exec \"$@\"")
            .arg("sh")
            .arg(env!("CARGO_BIN_EXE_camera-agent"))
            .args(["run", "--check", "--config"])
            .arg(&config)
            .envs(faults::environment())
            .env("CACHE_DIRECTORY", cache.path())
            .env("CAMERA_AGENT_BOOT_ID", id.to_string().repeat(32))
            .env("RUST_LOG", "camera_agent=debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        board
    };
    let mut first = boot('1').spawn().expect("unshare is installed");
    until("the mark", SOON, || async {
        cache.path().join("encoders.json").exists().then_some(())
    })
    .await;
    first.kill().await.expect("down it goes");

    let second = timeout(2 * SOON, boot('2').output()).await;
    let second = second.expect("in time").expect("it ran");
    assert!(second.status.success(), "{second:?}");
    // A trial would have found that it hangs.
    let found = std::fs::read_to_string(cache.path().join("encoders.json")).expect("there");
    let as_wanted = found.contains("\"x264 ") && !found.contains("hung for");
    assert!(as_wanted, "{found}");
}
