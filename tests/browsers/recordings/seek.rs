//! A long recording: what is sought is shown at once, wherever it is in the file.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Bench;
use crate::support::browser::Person;

const SECONDS: u32 = 300;
/// Asked for a place, beside what is shown from there on.
const LOOKS: u64 = 12;

/// Five minutes of which each has other pictures, so that bytes tell no time: some 60 MB.
fn long(folder: &Path) {
    let folder = folder.join("recordings");
    fs::create_dir(&folder).expect("a new folder");
    let file = folder.join(format!("20261129T103515Z_always_{SECONDS}s.mp4"));
    let size = "video/x-raw,format=I420,width=320,height=180,framerate=30/1";
    let part = |pattern: &str, seconds: u32| {
        format!(
            "videotestsrc pattern={pattern} num-buffers={} ! {size} ! joined.",
            30 * seconds
        )
    };
    let pipeline = format!(
        "concat name=joined ! x264enc bitrate=2000 speed-preset=ultrafast tune=zerolatency \
         key-int-max=90 ! video/x-h264,profile=baseline ! h264parse ! \
         mp4mux fragment-duration=1000 ! filesink location={} {} {} {}",
        file.display(),
        part("black", 100),
        part("snow", 120),
        part("ball", 80),
    );
    let made = Command::new("gst-launch-1.0")
        .arg("--quiet")
        .args(pipeline.split_whitespace())
        .status();
    assert!(made.expect("gst-launch-1.0").success());
}

/// How often the page has asked for a part.
const COUNT: &str =
    "(window.asked = 0, window.RTCDataChannel.prototype.send = ((send) => function (text) {
    if (String(text).includes('\"get\"')) window.asked += 1;
    return send.call(this, text);
})(window.RTCDataChannel.prototype.send), null)";
const VIDEO: &str = "document.querySelector('#player video')";

async fn seeks(person: Person) {
    let folder = tempfile::tempdir().expect("a folder");
    long(folder.path());
    let bench = Bench::in_folder(folder, "watch,recordings", "button = true\nage_days = 0").await;
    let alice = bench.watched_by(person).await;
    alice.js(COUNT).await;
    alice.click("#recordings li button").await;
    let plays = |from: f64| format!("{VIDEO}.currentTime > {from} && {VIDEO}.readyState > 2");
    alice.until_js("it plays", &plays(0.5)).await;
    let length = alice.js(&format!("Math.round({VIDEO}.duration)")).await;
    assert_eq!(length, json!(SECONDS));
    // Far ahead, back, between the two, and where the file ends.
    for to in [270.0, 130.0, 20.0, 215.0, 296.0, 3.0] {
        // More is asked for as soon as it is shown, ahead of it.
        let seek = format!(
            "(([video, before]) => {{
                window.looks = null;
                video.onseeked = () => window.looks ??= window.asked - before;
                video.currentTime = {to};
            }})([{VIDEO}, window.asked])"
        );
        alice.js(&seek).await;
        let shown = format!("window.looks !== null && {}", plays(to + 0.5));
        alice.until_js("it goes on", &shown).await;
        let looks = alice.js("window.looks").await.as_u64().expect("a number");
        println!("{to} s: {looks} parts");
        // Black and a ball have 60 seconds in a part or two.
        assert!(looks <= LOOKS, "{to}: {looks} parts");
    }
    let problem = "document.querySelector('#player .problem').textContent";
    assert_eq!(alice.js(problem).await, "");
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sought_in_a_long_recording_is_shown_without_what_lies_before_it() {
    seeks(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_firefox_too_what_is_sought_is_shown_without_what_lies_before_it() {
    seeks(Person::with_firefox()).await;
}
