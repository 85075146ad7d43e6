//! Recordings, from a moving picture to files that can be played, whatever happens to
//! the process and to the disk.

mod disks;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::process::Command;

use crate::support::device::Device;
use crate::support::film::plays;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};

/// Moves all the time, and sounds.
fn configuration(folder: &Path, recording: &str) -> String {
    format!(
        "[video]\nsource = \"custom\"\npipeline = \"videotestsrc is-live=true pattern=ball\"\n\
         width = 320\nheight = 180\nbitrate_kbps = 300\n[audio]\nsource = \"test\"\n\
         [ice]\nloopback = true\n\
         [motion]\nenabled = true\ninitial_s = 1\nmaximum_s = 2\nblind_s = 4\n\
         [recording]\nfolder = \"{}\"\n{recording}\n",
        folder.display()
    )
}

/// What is there: names and paths, the oldest first.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = files
        .map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()))
        .collect();
    files.sort();
    files
}

/// Its length is behind what it was for.
fn is_over(name: &str) -> bool {
    name.matches('_').count() == 2
}

/// Seconds since 1970, out of a name.
fn began(name: &str) -> u64 {
    let at = name.split_once('_').expect("ours").0;
    let output = std::process::Command::new("date")
        .args(["--utc", "+%s", "--date"])
        .arg(format!(
            "{}-{}-{} {}:{}:{}",
            &at[..4],
            &at[4..6],
            &at[6..8],
            &at[9..11],
            &at[11..13],
            &at[13..15]
        ))
        .output();
    let output = String::from_utf8(output.expect("date").stdout).expect("a number");
    output.trim().parse().expect("a number")
}

/// In seconds, by its name.
fn length(path: &Path) -> u64 {
    let name = path.file_name().expect("a file").to_string_lossy();
    let length = name.rsplit_once('_').expect("ours").1;
    length.trim_end_matches("s.mp4").parse().expect("a length")
}

#[tokio::test]
async fn motion_is_recorded_from_before_it_and_a_kill_costs_the_last_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let toml = configuration(
        folder.path(),
        "when = \"motion\"\ntotal_mb = 0\nfree_mb = 0",
    );
    let mut device = Device::start(chat.addr, &toml).await;
    // The first may come before so much was seen.
    let done = || {
        files(folder.path())
            .into_iter()
            .filter(|(name, _)| is_over(name))
    };
    until("two recordings", 2 * SOON, async || {
        (done().count() >= 2).then_some(())
    })
    .await;
    let url = format!("ws://{}/", chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call_with(&["camera-agent"]).await;
    let is_past = |m: &Value| m["type"] == "motion" && m["past"] == true;
    let moved = viewer
        .wait("two that were before", |heard, _| {
            let past = heard.messages.iter().filter(|m| is_past(m));
            let began = past.map(|m| m["began_ms"].as_u64().expect("a time"));
            Some(began.collect::<Vec<_>>()).filter(|all| all.len() >= 2)
        })
        .await;
    let (name, path) = done().nth(1).expect("two");
    let before = moved[1] as f64 / 1000.0 - began(&name) as f64;
    assert!(
        (4.0..20.0).contains(&before),
        "{before} s before: {name} {moved:?}"
    );
    assert!(name.contains("_motion_"), "{name}");
    plays(&path).await;
    // Killed in the middle of one.
    let under_way = || {
        files(folder.path())
            .into_iter()
            .find(|(name, _)| !is_over(name))
    };
    let (cut, path) = until("one that goes on", 2 * SOON, async || {
        under_way().filter(|(_, path)| fs::metadata(path).is_ok_and(|known| known.len() > 0))
    })
    .await;
    device.signal("KILL").await;
    device.exits(SOON).await;
    let size = fs::metadata(&path).expect("it is there").len();
    plays(&path).await;
    let again = Device::start(chat.addr, &toml).await;
    let stem = cut.trim_end_matches(".mp4").to_owned();
    let (_, mended) = until("it has an end", SOON, async || {
        done().find(|(name, _)| name.starts_with(&stem))
    })
    .await;
    assert_eq!(fs::metadata(&mended).expect("there").len(), size);
    plays(&mended).await;
    drop(again);
    chat.stop().await;
}

/// Of one that has gone on for a while; names and lengths are in whole seconds.
#[tokio::test]
async fn a_kill_costs_no_more_than_the_last_fragment() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let toml = configuration(
        folder.path(),
        "when = \"always\"\ntotal_mb = 0\nfree_mb = 0",
    );
    let mut device = Device::start(chat.addr, &toml).await;
    let now = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("it is later").as_secs_f64()
    };
    let (cut, _) = until("some seconds of one", SOON, async || {
        let one = files(folder.path()).into_iter().next();
        one.filter(|(name, _)| now() - began(name) as f64 > 6.0)
    })
    .await;
    let killed = now();
    device.signal("KILL").await;
    device.exits(SOON).await;
    let again = Device::start(chat.addr, &toml).await;
    let stem = cut.trim_end_matches(".mp4").to_owned();
    let mended = until("it has an end", SOON, async || {
        let all = files(folder.path()).into_iter();
        let mut done = all.filter(|(name, _)| is_over(name) && name.starts_with(&stem));
        done.next().map(|(_, path)| path)
    })
    .await;
    plays(&mended).await;
    let missing = killed - (began(&cut) + length(&mended)) as f64;
    println!("{missing:.1} s are missing of {mended:?}");
    assert!(missing < 2.5, "{missing} s are missing: {mended:?}");
    drop(again);
    chat.stop().await;
}

/// As somebody sets it who finds it wrong, while something is recorded.
#[tokio::test]
async fn a_clock_that_is_set_back_an_hour_costs_no_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let server = format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n",
        chat.addr
    );
    // Were its age taken by the clock alone, something would be too old.
    let recording = "when = \"motion\"\npre_roll_s = 1\ntotal_mb = 0\nfree_mb = 0\nage_days = 1";
    let toml = format!("{server}{}", configuration(folder.path(), recording));
    let clock = tempfile::tempdir().expect("a folder");
    let set = |time: &str| {
        let (new, file) = (clock.path().join("new"), clock.path().join("clock"));
        fs::write(&new, time).expect("written");
        fs::rename(new, file).expect("renamed");
    };
    set("+0");
    let mut program = Command::new(env!("CARGO_BIN_EXE_camera-agent"));
    program
        .env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1")
        .env("FAKETIME_TIMESTAMP_FILE", clock.path().join("clock"))
        .env("FAKETIME_CACHE_DURATION", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    let device = Device::run(program, &toml).await;
    let names = || files(folder.path()).into_iter().map(|(name, _)| name);
    let is_under_way = || names().any(|name| !is_over(&name));
    until("one, and another that goes on", 2 * SOON, async || {
        (names().any(|name| is_over(&name)) && is_under_way()).then_some(())
    })
    .await;
    let before: Vec<_> = names().filter(|name| is_over(name)).collect();
    let latest = before.iter().map(|name| began(name)).max().expect("one");
    set("-1h");
    let is_earlier = |name: &String| is_over(name) && began(name) + 3000 < latest;
    until("two of an hour ago", 2 * SOON, async || {
        (names().filter(is_earlier).count() >= 2).then_some(())
    })
    .await;
    device.signal("TERM").await;
    let all = files(folder.path());
    for name in before {
        assert!(
            all.iter().any(|(other, _)| *other == name),
            "{name} is gone"
        );
    }
    for (name, path) in all.iter().filter(|(name, _)| is_over(name)) {
        // Its length is no matter of the clock.
        assert!((1..30).contains(&length(path)), "{name}");
        plays(path).await;
    }
    chat.stop().await;
}
