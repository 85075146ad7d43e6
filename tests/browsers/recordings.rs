//! Recordings on the page: made, listed, played while they come, saved and deleted.

mod day;
mod seek;

use std::path::Path;
use std::time::SystemTime;

use crate::support::Chat;
use crate::support::browser::{Browser, Engine, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::invitee::{focused, link};
use camera_agent::access::{Invitation, Invite, May, Stage};
use camera_agent::guestbook::{Book, seconds};
use camera_agent::wire::UserName;
use serde_json::json;
use tempfile::TempDir;

/// Two screens: a desk's, and a telephone's.
const DESK: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (390, 844);

/// A device that lets viewers record, and who may see that.
struct Bench {
    folder: TempDir,
    chat: Chat,
    device: Device,
    link: String,
}

impl Bench {
    async fn new(may: &str) -> Self {
        Self::with(may, "button = true").await
    }

    async fn with(may: &str, recording: &str) -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder"), may, recording).await
    }

    async fn in_folder(folder: TempDir, may: &str, recording: &str) -> Self {
        let invite = Invite::random();
        invited(folder.path(), &invite, may);
        let chat = Chat::start().await;
        let toml = format!(
            "{TEST_MEDIA}[access]\nmode = \"invited\"\nfolder = \"{}\"\n\
             [recording]\n{recording}\npre_roll_s = 1\nfree_mb = 0\n",
            folder.path().display()
        );
        Self {
            device: Device::start(chat.addr, &toml).await,
            link: link(&chat, "alice", "camera", &invite),
            folder,
            chat,
        }
    }

    /// Watches, and could open the list.
    async fn watching(&self, person: Person) -> Browser {
        self.device.registered().await;
        let alice = Browser::start(person).await;
        alice.client.goto(&self.link).await.expect("the page");
        alice.state("connected").await;
        alice.frames_rise(5).await;
        let is_there = "!document.getElementById('recordings').hidden";
        alice.until_js("the list", is_there).await;
        alice
    }

    /// Watches, and opens the list.
    async fn watched_by(&self, person: Person) -> Browser {
        let alice = self.watching(person).await;
        alice.click("#recordings summary").await;
        alice
    }

    /// Some seconds of it.
    async fn records(&self, alice: &Browser) {
        let button = "document.querySelector('#recordings .record')";
        alice.click("#recordings .record").await;
        alice
            .until_js(
                "it records",
                &format!("{button}.getAttribute('aria-pressed') === 'true'"),
            )
            .await;
        alice.frames_rise(100).await;
        alice.click("#recordings .record").await;
        let row = "/, \\d+ s, recorded by hand$/.test(document.querySelector('#recordings li span')?.textContent)";
        alice.until_js("its row", row).await;
    }
}

fn invited(folder: &Path, invite: &Invite, may: &str) {
    let invitation = Invitation {
        label: UserName::parse("alice").expect("a label"),
        may: May::parse(may).expect("words"),
        made: seconds(SystemTime::now()),
        until: None,
        stage: Stage::Shared,
        key: (invite.id(), invite.key()),
        given: Vec::new(),
    };
    let add = |list: &mut Vec<_>| {
        list.push(invitation);
        Ok(())
    };
    Book::in_folder(folder).change(add).expect("written");
}

/// The names of a row's buttons, as a screen reader says them, without the time.
const NAMED: &str = "[...document.querySelectorAll('#recordings li button')]
    .map((e) => e.getAttribute('aria-label').replace(/ [A-Z].*, /, ' … '))";

/// It begins before all of it is there, and can be sought in.
async fn plays(alice: &Browser) {
    alice
        .js("(window.sources = [], window.URL.createObjectURL = ((make) => (of) => {
                window.sources.push([of.constructor.name, of.size ?? 0]); return make.call(window.URL, of); })(window.URL.createObjectURL), null)")
        .await;
    alice.click("#recordings li button").await;
    let video = "document.querySelector('#player video')";
    alice
        .until_js(
            "it plays",
            &format!("{video}.currentTime > 1 && {video}.videoWidth === 640"),
        )
        .await;
    assert_eq!(
        alice.js("window.sources").await,
        json!([["MediaSource", 0]])
    );
    let length = alice.js(&format!("{video}.duration")).await;
    assert!(
        // As long as a busy browser took for a hundred pictures.
        length.as_f64().is_some_and(|s| (3.0..60.0).contains(&s)),
        "{length}"
    );
    alice
        .until_js(
            "all is there",
            "document.querySelector('#player progress').hidden",
        )
        .await;
    let problem = alice
        .js("document.querySelector('#player .problem').textContent")
        .await;
    assert_eq!(problem, "");
    // Sought in at once.
    alice
        .js(&format!("({video}.currentTime = 0.5, null)"))
        .await;
    alice
        .until_js(
            "it goes on",
            &format!("{video}.currentTime > 0.5 && {video}.readyState > 2"),
        )
        .await;
}

/// For people to look at (`PICTURES=FOLDER`), and by the keyboard out of it.
async fn shows(alice: &Browser, engine: Engine) {
    if engine == Engine::Chromium
        && let Ok(folder) = std::env::var("PICTURES")
    {
        for (name, (width, height)) in [("desk", DESK), ("phone", PHONE)] {
            let resized = alice.client.set_window_size(width, height).await;
            resized.expect("a size");
            alice
                .screenshot(format!("{folder}/player-{name}.png"))
                .await;
        }
        alice.keys("\u{e00c}").await;
        alice
            .screenshot(format!("{folder}/recordings-phone.png"))
            .await;
        let resized = alice.client.set_window_size(DESK.0, DESK.1).await;
        resized.expect("a size");
        alice
            .screenshot(format!("{folder}/recordings-desk.png"))
            .await;
    } else {
        alice.keys("\u{e00c}").await;
    }
}

/// The file is the device's.
async fn saves(alice: &Browser, bench: &Bench) {
    alice
        .js(
            "(window.saved = null, window.HTMLAnchorElement.prototype.click = function () {
                window.saved = this.download; }, null)",
        )
        .await;
    alice.click("#recordings li button:nth-of-type(2)").await;
    let name = r"/^camera \d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.mp4$/.test(window.saved)";
    alice.until_js("it is offered", name).await;
    let files = std::fs::read_dir(bench.folder.path().join("recordings"));
    let mut files = files.expect("a folder").map(|file| file.expect("one"));
    let size = files.next().expect("one").metadata().expect("one").len();
    assert_eq!(
        alice.js("window.sources.at(-1)").await,
        json!(["Blob", size])
    );
    // And what the camera sees now, as it sees it.
    alice.click("#still").await;
    let still = "/^camera .*Z\\.jpg$/.test(window.saved) && window.sources.at(-1)[1] > 5000";
    alice.until_js("a picture is offered", still).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_made_played_while_it_comes_saved_and_deleted() {
    from_first_to_last(Person::default()).await;
}

/// It is sent VP8, and what is recorded is H.264.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_firefox_too_a_recording_is_made_played_saved_and_deleted() {
    from_first_to_last(Person::with_firefox()).await;
}

async fn from_first_to_last(person: Person) {
    let bench = Bench::new("watch,listen,control,recordings").await;
    let engine = person.engine;
    let alice = bench.watched_by(person).await;
    if engine == Engine::Firefox {
        assert_eq!(bench.device.logged("codec\":\"VP8"), 1);
    }
    let none = "!document.querySelector('#recordings .none').hidden";
    alice.until_js("nothing yet", none).await;
    bench.records(&alice).await;
    let thumbnail = "document.querySelector('#recordings li img').naturalWidth === 192
        && document.querySelector('#recordings li img').naturalHeight === 108";
    alice.until_js("its thumbnail", thumbnail).await;
    let names = alice.js(NAMED).await;
    let by_hand = |act: &str| format!("{act} … recorded by hand");
    assert_eq!(
        names,
        json!([by_hand("Play"), by_hand("Save"), by_hand("Delete")])
    );
    plays(&alice).await;
    assert_eq!(
        alice
            .js("document.querySelector('#recordings .line').getAttribute('aria-valuetext')")
            .await,
        "Recordings: 1"
    );
    shows(&alice, engine).await;
    alice
        .until_js("it is closed", "!document.getElementById('player').open")
        .await;
    assert_eq!(
        focused(&alice)
            .await
            .as_str()
            .map(|f| f.starts_with("Play")),
        Some(true)
    );

    saves(&alice, &bench).await;
    alice.js("(window.confirm = () => true, null)").await;
    alice.click("#recordings li button:nth-of-type(3)").await;
    alice
        .until_js(
            "it is gone",
            "document.querySelector('#recordings li') === null",
        )
        .await;
    let left = std::fs::read_dir(bench.folder.path().join("recordings"));
    assert_eq!(left.expect("a folder").count(), 0);
    alice.click("#hangup").await;
    alice
        .until_js(
            "nothing of it after the call",
            "document.getElementById('recordings').hidden",
        )
        .await;
    alice.clean_console().await;
    bench.chat.stop().await;
}

/// Nobody else has a list.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_invited_to_recordings_sees_nothing_of_them() {
    let bench = Bench::new("watch,listen,control").await;
    bench.device.registered().await;
    let alice = Browser::start(Person::default()).await;
    alice.client.goto(&bench.link).await.expect("the page");
    alice.state("connected").await;
    alice.frames_rise(20).await;
    let hidden = alice
        .js("document.getElementById('recordings').hidden")
        .await;
    assert_eq!(hidden, true);
    alice.clean_console().await;
    bench.chat.stop().await;
}
