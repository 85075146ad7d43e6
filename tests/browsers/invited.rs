//! Only invited people see the camera: real browsers, and the device in its own
//! process.

mod hostile;

use std::time::{Duration, Instant};

use crate::support::browser::{Browser, Person};
use crate::support::guarded::Guarded;
use crate::support::{Chat, SOON};
use serde_json::json;

/// For scripts of pages.
const TOMORROW: &str = "(() => {
    const now = Date.now;
    Date.now = () => now() + 86_400_000;
})()";
const SECOND: Duration = Duration::from_secs(1);

/// The words beside the lock.
async fn locked(browser: &Browser, label: &str) {
    let words = format!("Invited as {label}; verified: this is your camera.");
    browser
        .until_js(
            "the lock",
            &format!(
                "document.getElementById('lock').checkVisibility()
                    && document.getElementById('lock').innerText === {}",
                json!(words)
            ),
        )
        .await;
}

async fn is_unlocked(browser: &Browser) -> bool {
    browser.js("document.getElementById('lock').hidden").await == json!(true)
}

/// Opens a link, and waits for the picture.
async fn watching(browser: &Browser, link: &str) {
    browser.client.goto(link).await.expect("the page");
    browser.state("connected").await;
    browser.frames_rise(10).await;
}

async fn reload(browser: &Browser) {
    browser.client.refresh().await.expect("it loads again");
    let online = "document.body?.dataset.online === 'true'";
    browser.until_js("the page again", online).await;
}

/// A link shows the picture and is used up by it; the browser's own key shows it
/// after a reload, and is good until the owner takes it back.
async fn is_invited_and_is_not(person: Person) {
    let chat = Chat::start().await;
    let mut camera = Guarded::start(chat.addr, "front door", &chat.page("alice")).await;
    let link = camera.invites("alice", &[]).await;
    let alice = Browser::start(person.clone()).await;
    watching(&alice, &link).await;
    locked(&alice, "alice").await;
    assert_eq!(alice.js("location.href").await, chat.page("alice"));
    camera
        .device
        .logs("has a key of their own now", 1, SOON)
        .await;
    // A restart of ICE carries a proof, too.
    alice.restart_ice().await;
    alice.frames_rise(10).await;
    assert_eq!(camera.device.said("call"), 1, "the same call");

    reload(&alice).await;
    alice.call("front door").await;
    alice.frames_rise(10).await;
    locked(&alice, "alice").await;
    let viewers = camera.owner(&["viewers"]);
    assert!(viewers.contains("alice"), "{viewers}");

    // A day later, for both.
    camera.sleeps_for_a_day().await;
    alice.before_each_page(TOMORROW).await;
    reload(&alice).await;
    assert_eq!(
        alice
            .js("window.Date.now() > performance.timeOrigin + 8e7")
            .await,
        true
    );
    alice.call("front door").await;
    alice.frames_rise(10).await;
    locked(&alice, "alice").await;

    // The link is of use to nobody any more.
    let eve = Browser::start(Person::default()).await;
    let opened = camera.opened();
    let hers = link.replace("name=alice", "name=eve");
    eve.client.goto(&hers).await.expect("the page");
    eve.says("this camera does not know your invitation (any more); ask its owner for a new link")
        .await;
    assert!(is_unlocked(&eve).await);
    assert_eq!(camera.opened(), opened);

    camera.owner(&["revoke", "alice"]);
    let revoked = Instant::now();
    alice.says("your invitation was taken back").await;
    let took = revoked.elapsed();
    assert!(took < SECOND, "{took:?}");
    alice.state("idle").await;
    assert!(is_unlocked(&alice).await);
    camera.closes().await;
    let opened = camera.opened();
    alice.call("front door").await;
    alice
        .says("this camera does not know your invitation")
        .await;
    alice.state("idle").await;
    assert_eq!(camera.opened(), opened);
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_picture_until_it_is_taken_back() {
    is_invited_and_is_not(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_picture_until_it_is_taken_back_in_firefox() {
    is_invited_and_is_not(Person::with_firefox()).await;
}

/// A link for several, on plain http, and somebody who was not invited.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_is_good_for_many_and_a_stranger_is_told_how_to_be_invited() {
    let mut options = crate::support::options();
    options.allowed_origins = vec!["*".into()];
    let chat = Chat::with(options).await;
    let camera = Guarded::start(chat.addr, "camera", &chat.page("alice")).await;
    let link = camera.invites("friends", &["--shared"]).await;
    let far = Person {
        flags: vec!["--host-resolver-rules=MAP camera.lan 127.0.0.1".into()],
        ..Person::default()
    };
    let (alice, bob) = tokio::join!(Browser::start(far), Browser::start(Person::default()));
    watching(&alice, &link.replace("localhost", "camera.lan")).await;
    assert_eq!(alice.js("typeof crypto.subtle").await, "undefined");
    watching(&bob, &link.replace("name=alice", "name=bob")).await;
    for browser in [&alice, &bob] {
        locked(browser, "friends").await;
    }
    bob.click("#hangup").await;
    bob.click("#invited-open").await;
    bob.click("[aria-label=\"Forget camera\"]").await;
    bob.click("#invited .danger").await;
    bob.click("#invited .close").await;
    let opened = camera.opened();
    bob.call("camera").await;
    bob.says("only invited people see this camera; ask its owner for an invitation")
        .await;
    assert_eq!(camera.opened(), opened);
    alice.frames_rise(10).await;
    alice.clean_console().await;
    bob.clean_console().await;
}
