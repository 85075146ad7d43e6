//! Talking, looking and keeping on real devices: in the virtual machine of `make
//! test-vm` the agent looks for motion in vivid's picture, records it, and plays what a
//! viewer says on snd-aloop, where another program hears it.
//!
//! Times are the machine's own.

use std::path::{Path, PathBuf};

use crate::support::browser::{Browser, Person};
use crate::support::film::plays;
use crate::support::lab::{CAMERA, Clock, Lab};
use crate::support::speaker::{RATE, speech, wave};
use crate::support::{SOON, until};
use serde_json::json;

/// A picture that leaves the emulated processors time for what is tested.
const LIGHT: &[(&str, &str)] = &[("width", "320"), ("height", "180"), ("fps", "10")];
/// A bar ten pixels wide that walks across: of bars all over, a window has as much as
/// before.
const WALKS: &str = "test_pattern=19,horizontal_movement=4";
const FOLDER: &str = "/var/lib/keep";
/// What of a voice is to be heard of the latest five seconds: an emulated processor has no time for all.
const HEARD: f64 = 1.0;

/// What moves is recorded.
const KEEPS: &str = "[motion]\nenabled = true\ninitial_s = 2\nmaximum_s = 4\nblind_s = 10\n\
                     [recording]\nwhen = \"motion\"\nfolder = \"/var/lib/keep/recordings\"\nfree_mb = 0\n";
/// What is said is heard.
const SPEAKS: &str = "[speaker]\ndevice = \"plughw:Loopback,1,0\"\n";

/// Invited to all of it, at a camera whose picture moves.
async fn watched(lab: &Lab, configuration: &str, voice: &Path) -> Browser {
    lab.vm(&format!(
        "rm -rf {FOLDER}; mkdir {FOLDER}; v4l2-ctl -d {CAMERA} -c {WALKS}"
    ))
    .await;
    let access = format!("[access]\nmode = \"invited\"\nfolder = \"{FOLDER}\"\n");
    lab.configure(&(access + configuration)).await;
    let said = lab
        .vm(
            "camera-agent invite alice --may watch,listen,talk,control,recordings \
             --config /etc/camera-agent/camera-agent.toml",
        )
        .await;
    let link = said
        .split_whitespace()
        .find(|word| word.contains("&invite="));
    let link = link.unwrap_or_else(|| panic!("no link: {said}"));
    let alice = Browser::start(Person {
        flags: vec![
            format!(
                "--unsafely-treat-insecure-origin-as-secure={}",
                lab.origin()
            ),
            format!("--use-file-for-fake-audio-capture={}", voice.display()),
        ],
        ..Person::default()
    })
    .await;
    alice.client.goto(link).await.expect("the page");
    alice.state("connected").await;
    alice.frames_rise(5).await;
    alice
}

/// The latest two that have ended, the older first, by their names.
async fn recorded(lab: &Lab) -> Vec<String> {
    let names = until("two recordings", 4 * SOON, || async {
        let names = lab.vm(&format!("ls {FOLDER}/recordings || true")).await;
        let done = names.lines().filter(|name| name.ends_with("s.mp4"));
        let done: Vec<_> = done.map(str::to_owned).collect();
        (done.len() >= 2).then_some(done)
    })
    .await;
    names[names.len() - 2..].to_vec()
}

/// When a recording's first picture was taken, by its name.
fn began(name: &str) -> Clock {
    let at = name.split_once('_').expect("ours").0;
    let time = format!(
        "{}T{}:{}:{}Z",
        &at[..8],
        &at[9..11],
        &at[11..13],
        &at[13..15]
    );
    Clock::read(&time).expect("a time")
}

/// How long before its event a recording begins, in seconds.
async fn before(lab: &Lab, name: &str) -> f64 {
    let log = lab.log().await;
    let events = log
        .lines()
        .filter(|line| line.contains("motion") && line.contains("zone=") && !line.contains("ended"))
        .filter_map(Clock::read);
    let after = events.filter_map(|event| event.since(began(name)));
    let first = after.min().unwrap_or_else(|| panic!("{name}: {log}"));
    first.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn what_moves_is_recorded_from_before_it_listed_played_and_a_good_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::with_agent(LIGHT).await;
    let silence = folder.path().join("silence.wav");
    wave(&vec![0; RATE], &silence);
    let alice = watched(&lab, KEEPS, &silence).await;
    let names = recorded(&lab).await;
    let name = names.last().expect("two");
    let before = before(&lab, name).await;
    println!("{name} begins {before:.1} s before its event");
    assert!((4.0..20.0).contains(&before), "{before} s: {name}");

    alice.click("#recordings summary").await;
    let rows = "document.querySelectorAll('#recordings li').length >= 2";
    alice.until_js("it is listed", rows).await;
    let moved =
        "/, \\d+ s, .*mov/.test(document.querySelector('#recordings li span')?.textContent)";
    alice.until_js("as motion", moved).await;
    // The first row may be one that has begun just now.
    alice.click("#recordings li:nth-of-type(2) button").await;
    let video = "document.querySelector('#player video')";
    let is_played = format!("{video}.currentTime > 1 && {video}.videoWidth === 320");
    alice.until_js("it plays", &is_played).await;
    let whole = format!("{video}.ended || {video}.currentTime > 6");
    alice.until_js("on and on", &whole).await;
    let problem = alice
        .js("document.querySelector('#player .problem').textContent")
        .await;
    assert_eq!(problem, json!(""));
    alice.screenshot(lab.out.join("recording.png")).await;

    for name in names {
        let file: PathBuf = folder.path().join(&name);
        lab.fetch(&format!("{FOLDER}/recordings/{name}"), &file)
            .await;
        plays(&file).await;
    }
    let log = lab.log().await;
    assert!(!log.contains("nothing is recorded"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm"]
async fn what_a_viewer_says_is_heard_on_the_sound_card() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::with_agent(LIGHT).await;
    // A browser takes an even tone for noise, and keeps it to itself.
    let voice = folder.path().join("voice.wav");
    wave(&speech(10), &voice);
    let alice = watched(&lab, SPEAKS, &voice).await;
    // What is played on one end of the card comes in at the other.
    lab.vm(
        "systemctl reset-failed hears 2>/dev/null; systemd-run --quiet --unit=hears \
         arecord --quiet -D hw:Loopback,0,0 -f S16_LE -r 48000 -c 2 -t raw /root/heard",
    )
    .await;
    // Of the latest five seconds: to copy more takes an emulated processor's time.
    let heard = || async {
        let file = folder.path().join("heard");
        lab.vm("tail -c 960000 /root/heard >/root/copy").await;
        lab.fetch("/root/copy", &file).await;
        let bytes = std::fs::read(file).expect("it was copied");
        let left = bytes.chunks_exact(4);
        let left: Vec<_> = left.map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
        let is_loud = |packet: &&[i16]| packet.iter().any(|s| s.unsigned_abs() > 1_000);
        left.chunks(RATE / 50).filter(is_loud).count() as f64 / 50.0
    };
    assert_eq!(heard().await, 0.0, "nobody talks");
    alice
        .until_js("a button", "!document.getElementById('talk').hidden")
        .await;
    alice.click("#talk").await;
    let told = "document.querySelector('#talk-line span').textContent === 'You are talking.'";
    alice.until_js("it is their turn", told).await;
    let seconds = until("the voice", 3 * SOON, || async {
        let seconds = heard().await;
        println!("{seconds} s of the voice so far");
        (seconds >= HEARD).then_some(seconds)
    })
    .await;
    println!("{seconds} s of the voice were heard");
    alice.click("#talk").await;
    let over = "document.getElementById('talk-line').hidden";
    alice.until_js("nobody talks", over).await;
    lab.vm("systemctl stop hears").await;
    let log = lab.log().await;
    assert!(!log.contains("the speaker is silent"), "{log}");
}
