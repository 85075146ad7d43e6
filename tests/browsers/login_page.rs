//! People who sign in to a chat server that asks for it, with real browsers.

use crate::support::browser::{Browser, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::users::{PASSWORD, remove, token, users};
use crate::support::{Chat, SOON, file, options, until};
use camera_agent::access::{Invite, Link};
use camera_agent::chat::UsersFile;
use fantoccini::Locator;
use tempfile::TempDir;

struct House {
    chat: Chat,
    users: UsersFile,
    _folder: TempDir,
}

impl House {
    async fn start() -> Self {
        let (folder, users) = users();
        let mut options = options();
        options.users = Some(users.clone());
        let chat = Chat::with(options).await;
        Self {
            chat,
            users,
            _folder: folder,
        }
    }
}

/// Waits for the sign-in page, and is on no other.
async fn is_asked(browser: &Browser) {
    browser
        .until_js(
            "the sign-in page",
            "document.body.className === 'sign-in' && document.readyState === 'complete'",
        )
        .await;
    assert_eq!(browser.js("document.scripts.length").await, 0);
}

async fn types(browser: &Browser, user: &str, password: &str) {
    // What says that something was wrong may be there before the form is.
    browser
        .until_js("all of the page", "document.readyState === 'complete'")
        .await;
    for (css, text) in [("#user", user), ("#password", password)] {
        let field = browser.client.find(Locator::Css(css)).await.expect(css);
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("it takes text");
    }
    browser.click("form button").await;
}

async fn is_in(browser: &Browser) {
    browser
        .until_js(
            "a name in the chat",
            "document.body.dataset.online === 'true'",
        )
        .await;
}

async fn a_person_signs_in_watches_comes_back_and_signs_out(person: Person) {
    let house = House::start().await;
    let secret = file(&token(&house.users, "the camera"));
    let device = Device::with(&format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\ntoken_file = {:?}\n{TEST_MEDIA}",
        house.chat.addr,
        secret.path()
    ))
    .await;
    device.registered().await;
    let alice = Browser::start(person).await;
    let page = house.chat.page("Alice");
    alice.client.goto(&page).await.expect("a page");
    is_asked(&alice).await;
    types(&alice, "alice", "south of the river").await;
    alice
        .until_js(
            "words",
            "document.querySelector('.problem')?.textContent.includes('do not go together')",
        )
        .await;
    types(&alice, "alice", PASSWORD).await;
    is_in(&alice).await;
    assert_eq!(alice.js("document.cookie").await, "", "no script sees it");
    assert_eq!(
        alice.js("cameraAgent.me").await,
        "Alice",
        "as the address says"
    );
    assert_eq!(
        alice.js("document.getElementById('sign-out').title").await,
        "Signed in as alice"
    );
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(10).await;

    alice.click("#hangup").await;
    alice.state("idle").await;
    alice.client.refresh().await.expect("a page");
    is_in(&alice).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(10).await;

    alice.click("#sign-out").await;
    is_asked(&alice).await;
    device.logs("hung up", 2, SOON).await;
    alice.client.goto(&page).await.expect("a page");
    is_asked(&alice).await;

    // Who is taken away meanwhile is told what to do.
    types(&alice, "alice", PASSWORD).await;
    is_in(&alice).await;
    remove(&house.users, "alice");
    alice.says("You are not signed in any more").await;
    alice.client.refresh().await.expect("a page");
    is_asked(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_chromium_signs_in_watches_comes_back_and_signs_out() {
    a_person_signs_in_watches_comes_back_and_signs_out(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_firefox_signs_in_watches_comes_back_and_signs_out() {
    a_person_signs_in_watches_comes_back_and_signs_out(Person::with_firefox()).await;
}

/// What stands behind the `#` never reaches the server, and is there after it.
async fn an_invitation_is_not_lost_by_signing_in(person: Person) {
    let house = House::start().await;
    let link = Link {
        page: house.chat.page("Alice"),
        camera: "front door".to_owned(),
        invite: Invite::random(),
    };
    let alice = Browser::start(person).await;
    alice.client.goto(&link.text()).await.expect("a page");
    is_asked(&alice).await;
    types(&alice, "alice", "south of the river").await;
    alice
        .until_js(
            "words",
            "document.querySelector('.problem')?.textContent.includes('do not go together')",
        )
        .await;
    types(&alice, "alice", PASSWORD).await;
    is_in(&alice).await;
    alice.says("front door").await;
    until("no key in the address", SOON, async || {
        (alice.js("location.hash").await == "").then_some(())
    })
    .await;
    alice.click("#invited-open").await;
    let listed = "document.querySelector('#invited ul').textContent.includes('front door')";
    alice.until_js("the camera in the list", listed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_not_lost_by_signing_in_with_chromium() {
    an_invitation_is_not_lost_by_signing_in(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_not_lost_by_signing_in_with_firefox() {
    an_invitation_is_not_lost_by_signing_in(Person::with_firefox()).await;
}

/// Without a script: the server looks at what the browser asks for.
#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_page_is_in_the_readers_language() {
    let house = House::start().await;
    for (languages, tag, title, problem) in [
        (
            "de-AT,de,en",
            "de",
            "Anmelden",
            "Name und Passwort passen nicht zusammen.",
        ),
        ("ja", "ja", "ログイン", "名前とパスワードが一致しません。"),
    ] {
        let alice = Browser::start(Person {
            languages,
            ..Person::default()
        })
        .await;
        let page = house.chat.page("Alice");
        alice.client.goto(&page).await.expect("a page");
        is_asked(&alice).await;
        let said = "[document.documentElement.lang, document.querySelector('h2').innerText]";
        assert_eq!(alice.js(said).await, serde_json::json!([tag, title]));
        types(&alice, "alice", "south of the river").await;
        let told = format!("document.querySelector('.problem')?.textContent === '{problem}'");
        alice.until_js("words", &told).await;
        types(&alice, "alice", PASSWORD).await;
        is_in(&alice).await;
    }
}
