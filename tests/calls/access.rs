//! Who was invited sees the camera, and nobody else: a device, a chat server
//! that is honest or is not, and viewers in Rust, over real sockets.

mod hostile;
mod privacy;
mod recordings;
mod zones;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::device::{Device as Process, TEST_MEDIA};
use crate::support::inside::Device;
use crate::support::meddler::Meddler;
use crate::support::viewer::{Held, Viewer};
use crate::support::{Chat, SOON, until};
use camera_agent::access::{Invitation, Invite, Link, May, Stage};
use camera_agent::config::AccessMode;
use camera_agent::guestbook::{Book, seconds, watching};
use camera_agent::wire::UserName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const CHANNEL: &str = "camera-agent";

/// A folder of invitations, and a device that lets in who has one.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn book(&self) -> Book {
        Book::in_folder(self.folder.path())
    }

    fn device(&self, url: String) -> Device {
        let folder = self.folder.path().to_owned();
        Device::configured(url, |config| {
            config.access.mode = Some(AccessMode::Invited);
            config.access.log = Some(folder.join("calls.log"));
            config.access.folder = Some(folder);
            config.video.viewer_controls = vec!["*".to_owned()];
        })
    }

    fn invite(&self, label: &str, change: impl FnOnce(&mut Invitation)) -> Link {
        let invite = Invite::random();
        let mut invitation = Invitation {
            label: UserName::parse(label).expect("a label"),
            may: May::watch_and_listen(),
            made: seconds(std::time::SystemTime::now()),
            until: None,
            stage: Stage::Link,
            key: (invite.id(), invite.key()),
            given: Vec::new(),
        };
        change(&mut invitation);
        let add = |list: &mut Vec<_>| {
            list.push(invitation);
            Ok(())
        };
        self.book().change(add).expect("written");
        Link {
            page: "http://localhost/".into(),
            camera: "camera".into(),
            invite,
        }
    }

    fn revoke(&self, label: &str) {
        let take = |list: &mut Vec<Invitation>| {
            list.retain(|i| i.label.as_str() != label);
            Ok(())
        };
        self.book().change(take).expect("written");
    }

    /// The lines of the log of calls.
    fn calls(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("calls.log"));
        let text = text.unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

/// Calls until the device knows the invitation: the owner's change takes it up
/// to half a second.
async fn gets_in(viewer: &mut Viewer) {
    let limit = Instant::now() + SOON;
    loop {
        viewer.call_with(&[CHANNEL]).await;
        let refused = viewer
            .wait("an answer or a refusal", |heard, _| {
                let answered = (!heard.answers.is_empty()).then_some(None);
                answered.or(heard.hung_up.clone().map(Some))
            })
            .await;
        match refused {
            None => return,
            Some(words) => assert!(Instant::now() < limit, "{words}"),
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
}

/// The key that the browser is given for its own.
async fn given_key(viewer: &Viewer) -> Value {
    viewer.told("a key", |m| m["type"] == "key").await
}

/// The browser has the key that it was given, and says so.
async fn keeps(viewer: &Viewer, given: &Value) {
    let kept = json!({"type": "key-kept", "id": given["id"]});
    viewer
        .tell(&kept.to_string())
        .await
        .expect("the channel is open");
}

/// Who found the link in the mail of somebody who has a key is nobody.
async fn finds_a_used_link(thief: &mut Viewer, link: &Link) {
    thief.holds(Some(Held::of(link)));
    thief.call().await;
    assert!(
        thief
            .refusal()
            .await
            .contains("does not know your invitation")
    );
    assert_eq!(
        thief.heard(|h| h.code.clone()).as_deref(),
        Some("uninvited")
    );
}

/// The two calls of alice, who is called al in the chat, are in the log of calls,
/// with the name of the key and none of the secrets.
async fn both_calls_are_written_down(home: &Home, id: &Value, secrets: &[String]) {
    let ended = until("all of it is written down", SOON, async || {
        let calls = home.calls();
        let ended = calls.iter().filter(|c| c["call"] == "ended");
        (ended.count() == 2).then_some(calls)
    })
    .await;
    let words: Vec<_> = ended.iter().map(|c| c["call"].as_str()).collect();
    for word in ["answered", "refused", "ended"] {
        assert!(words.contains(&Some(word)), "{word}: {ended:?}");
    }
    let last = ended.last().expect("a line");
    assert_eq!(
        (&last["label"], &last["name"]),
        (&json!("alice"), &json!("al"))
    );
    assert_eq!((&last["invitation"], &last["why"]), (id, &json!("hung up")));
    assert!(last["seconds"].as_f64().is_some_and(|s| s > 0.1), "{last}");
    let text = std::fs::read_to_string(home.folder.path().join("calls.log")).expect("there");
    for secret in secrets {
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn an_invited_person_sees_and_their_browser_gets_a_key_of_its_own() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("alice", |_| {});
    let device = home.device(format!("ws://{}/", chat.addr));
    let mut alice = device.viewer("al").await;
    alice.holds(Some(Held::of(&link)));
    alice.call_with(&[CHANNEL]).await;
    alice.watch(15).await;
    let invited = alice.told("as whom", |m| m["type"] == "invited").await;
    assert_eq!(
        invited,
        json!({"type": "invited", "label": "alice", "may": ["watch", "listen"]})
    );
    let given = given_key(&alice).await;
    let (id, key) = (given["id"].as_str(), given["key"].as_str());
    let own = Held {
        camera: link.camera.clone(),
        id: id.expect("text").parse().expect("a key's name"),
        key: camera_agent::access::Key::parse(key.expect("text")).expect("a key"),
    };
    // The link is good until the browser has said that it has the key.
    assert_eq!(home.book().read().expect("a list")[0].stage, Stage::Link);
    keeps(&alice, &given).await;
    until("the key is the browser's", SOON, async || {
        let list = home.book().read().expect("a list");
        (list[0].stage == Stage::Kept && list[0].key.0 == own.id).then_some(())
    })
    .await;
    // Their call goes on, also with a restart that the new key proves.
    alice.holds(Some(own.clone()));
    alice.restart_ice().await;
    alice
        .wait("a second answer", |h, _| {
            (h.answers.len() == 2).then_some(())
        })
        .await;
    alice.watch(15).await;
    let mut thief = device.viewer("thief").await;
    finds_a_used_link(&mut thief, &link).await;
    let people = watching::look(home.folder.path());
    assert_eq!(people["alice"].now, 1, "{people:?}");
    // A reload of their page.
    alice.call_with(&[CHANNEL]).await;
    alice.watch(15).await;
    assert_eq!(alice.heard(|h| h.impostors), 0);
    alice.hang_up().await;
    let secrets = [
        link.invite.code(),
        link.invite.key().expose(),
        own.key.expose(),
    ];
    both_calls_are_written_down(&home, &given["id"], &secrets).await;
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_stranger_is_told_how_to_be_invited_and_the_camera_stays_closed() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("alice", |_| {});
    let device = home.device(format!("ws://{}/", chat.addr));
    let mut stranger = device.viewer("stranger").await;
    stranger.call().await;
    assert!(
        stranger
            .refusal()
            .await
            .contains("ask its owner for an invitation")
    );
    // With the name of their key, and a key of the stranger's own making.
    stranger.holds(Some(Held {
        key: Invite::random().key(),
        ..Held::of(&link)
    }));
    stranger.call().await;
    assert!(
        stranger
            .refusal()
            .await
            .contains("does not know your invitation")
    );
    // With their very words, for the stranger's own certificate.
    let mut alice = device.viewer("alice").await;
    alice.holds(Some(Held::of(&link)));
    alice.call().await;
    alice.watch(5).await;
    assert_eq!(stranger.heard(|h| h.answers.len()), 0);
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn an_invitation_that_is_taken_back_ends_its_call_within_a_second() {
    let (chat, home) = (Chat::start().await, Home::new());
    let (alice_s, bob_s) = (home.invite("alice", |_| {}), home.invite("bob", |_| {}));
    let device = home.device(format!("ws://{}/", chat.addr));
    let (mut alice, mut bob) = (device.viewer("alice").await, device.viewer("bob").await);
    alice.holds(Some(Held::of(&alice_s)));
    bob.holds(Some(Held::of(&bob_s)));
    alice.call().await;
    bob.call().await;
    alice.watch(10).await;
    bob.watch(10).await;
    let taken_back = Instant::now();
    home.revoke("alice");
    let words = alice.refusal().await;
    let took = taken_back.elapsed();
    assert!(words.contains("taken back"), "{words}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(
        alice.heard(|h| h.code.clone()).as_deref(),
        Some("uninvited")
    );
    alice.call().await;
    assert!(
        alice
            .refusal()
            .await
            .contains("ask its owner for a new link")
    );
    // Invited while the device runs, and for a short time.
    let carol_s = home.invite("carol", |i| i.until = Some(i.made + 12));
    let mut carol = device.viewer("carol").await;
    carol.holds(Some(Held::of(&carol_s)));
    gets_in(&mut carol).await;
    carol.watch(5).await;
    assert!(carol.refusal().await.contains("has ended"));
    carol.call().await;
    assert!(carol.refusal().await.contains("has ended"));
    bob.watch(10).await;
    assert_eq!(bob.received(|r| (r.video.gaps, r.audio.gaps)), (0, 0));
    device.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_shared_link_is_several_people_s_and_what_one_may_not_one_gets_not() {
    let (chat, home) = (Chat::start().await, Home::new());
    let link = home.invite("family", |i| {
        i.stage = Stage::Shared;
        i.may = May::parse("watch").expect("rights");
    });
    let listener_s = home.invite("listener", |i| {
        i.may = May::parse("listen").expect("rights")
    });
    let device = home.device(format!("ws://{}/", chat.addr));
    let (mut one, mut two) = (device.viewer("one").await, device.viewer("two").await);
    for viewer in [&mut one, &mut two] {
        viewer.holds(Some(Held::of(&link)));
        viewer.call_with(&[CHANNEL]).await;
        viewer.watch(10).await;
        let sound = |sdp: &str| {
            let section = sdp.split("m=audio").nth(1).expect("a section");
            let section = section.split("m=").next().expect("its lines").to_owned();
            section.contains("a=sendonly") || section.contains("a=sendrecv")
        };
        assert!(!viewer.heard(|h| sound(&h.answers[0])), "no sound by right");
        assert_eq!(viewer.received(|r| r.audio.packets), 0);
        let control = json!({"type": "control", "name": "brightness", "value": 1});
        viewer.tell(&control.to_string()).await.expect("a channel");
        let refused = viewer.told("a refusal", |m| m["type"] == "error").await;
        assert_eq!(refused["about"], "control");
        let words = refused["text"].as_str().expect("words");
        assert!(words.contains("your invitation"), "{words}");
        viewer.heard(|h| {
            assert!(
                h.messages
                    .iter()
                    .all(|m| m["type"] != "key" && m["type"] != "controls")
            )
        });
    }
    let mut listener = device.viewer("listener").await;
    listener.holds(Some(Held::of(&listener_s)));
    listener.call().await;
    assert!(listener.refusal().await.contains("not for watching"));
    device.stop().await;
    chat.stop().await;
}

/// Runs the owner's command about alice.
async fn owner(command: &str, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args([command, "alice", "--config"])
        .arg(config)
        .output()
        .await
        .expect("it runs")
}

/// Nobody but the owner of this file or folder may do anything with it.
fn keeps_others_out(path: &Path) {
    let mode = std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{}", path.display());
}

/// The one file that has to hold it is the device's alone, and is looked for by
/// what is in it.
fn one_file_holds(state: &Path, key: &str) {
    let mut holds = 0;
    for entry in std::fs::read_dir(state).expect("there") {
        let path = entry.expect("a file").path();
        keeps_others_out(&path);
        let text = std::fs::read(&path).expect("this user's");
        holds += usize::from(String::from_utf8_lossy(&text).contains(key));
    }
    assert_eq!(holds, 1);
    keeps_others_out(state);
}

/// The secrets are in no log, in no log of calls and on no command line.
fn nothing_shows(secrets: &[String], device: &Process, calls: &Path) {
    let log = Value::Array(device.log()).to_string();
    assert!(
        log.contains("has a key of their own now"),
        "it says what happened"
    );
    let command_line = std::fs::read(format!("/proc/{}/cmdline", device.pid())).expect("it runs");
    let command_line = String::from_utf8_lossy(&command_line).into_owned();
    let calls = std::fs::read_to_string(calls).expect("there");
    for secret in secrets {
        for (what, text) in [
            ("log", &log),
            ("command line", &command_line),
            ("calls", &calls),
        ] {
            assert!(!text.contains(secret), "a secret is in the {what}");
        }
    }
}

/// Everything that another user of this machine, or a reader of the log, sees.
#[tokio::test]
async fn keys_are_in_no_log_no_command_line_and_no_file_of_others() {
    let chat = Chat::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let calls = folder.path().join("logs/calls.log");
    let access = format!(
        "[access]\nmode = \"invited\"\nfolder = {state:?}\nlog = \"{}\"\n",
        calls.display()
    );
    let device = Process::start(chat.addr, &format!("{TEST_MEDIA}{access}")).await;
    let config = folder.path().join("camera.toml");
    let server = format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n",
        chat.addr
    );
    std::fs::write(&config, format!("{server}{access}")).expect("written");
    let printed = owner("invite", &config).await;
    let printed = String::from_utf8(printed.stdout).expect("text");
    let link = printed.lines().find(|l| l.contains("#camera="));
    let link = Link::parse(link.expect("a link")).expect("an invitation");
    let mut alice = Viewer::join(&format!("ws://{}/", chat.addr), "alice", "camera").await;
    alice.holds(Some(Held::of(&link)));
    gets_in(&mut alice).await;
    alice.watch(10).await;
    let given = given_key(&alice).await;
    keeps(&alice, &given).await;
    let book = Book::in_folder(&state);
    until("the key is kept", SOON, async || {
        (book.read().expect("a list")[0].stage == Stage::Kept).then_some(())
    })
    .await;
    let own = given["key"].as_str().expect("text").to_owned();
    let secrets = [
        link.invite.code(),
        link.invite.code().replace('-', ""),
        link.invite.key().expose(),
        own.clone(),
    ];
    device.logs("has a key of their own now", 1, SOON).await;
    nothing_shows(&secrets, &device, &calls);
    one_file_holds(&state, &own);
    // Taken back on the command line, with the device beside it.
    let out = owner("revoke", &config).await;
    assert!(out.status.success(), "{out:?}");
    assert!(alice.refusal().await.contains("taken back"));
    drop(device);
    chat.stop().await;
}
