//! Where motion counts, drawn on the page over the picture.

use camera_agent::access::{Invitation, Invite, May, Stage};
use camera_agent::guestbook::{Book, seconds};
use camera_agent::wire::UserName;
use serde_json::{Value, json};

use crate::languages::{fits, is_accessible};
use crate::support::browser::{Browser, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::invitee::link;
use crate::support::{Chat, SOON, until};

/// What the device logs of a list of invitations that has changed.
const READ: &str = "read who was invited";
/// The configuration's zone.
const GATE: &str = "the <i>gate</i>";

struct Scene {
    chat: Chat,
    folder: tempfile::TempDir,
    device: Device,
}

impl Scene {
    async fn new() -> Self {
        let (chat, folder) = (Chat::start().await, tempfile::tempdir().expect("a folder"));
        let toml = format!(
            "{TEST_MEDIA}[access]\nmode = \"invited\"\nfolder = {:?}\n[motion]\nenabled = true\n\
             [[motion.zones]]\nname = \"the <i>gate</i>\"\n\
             corners = [[0.05, 0.1], [0.4, 0.1], [0.4, 0.6]]\n",
            folder.path()
        );
        let device = Device::start(chat.addr, &toml).await;
        device.registered().await;
        Self {
            chat,
            folder,
            device,
        }
    }

    /// Somebody who opens an invitation and watches.
    async fn visitor(&self, label: &str, may: May, person: Person) -> Browser {
        let invite = Invite::random();
        let invitation = Invitation {
            label: UserName::parse(label).expect("a label"),
            may,
            made: seconds(std::time::SystemTime::now()),
            until: None,
            stage: Stage::Link,
            key: (invite.id(), invite.key()),
            given: Vec::new(),
        };
        let add = |list: &mut Vec<_>| {
            list.push(invitation);
            Ok(())
        };
        let before = self.device.said(READ);
        Book::in_folder(self.folder.path())
            .change(add)
            .expect("written");
        let browser = Browser::start(person).await;
        self.device.logs(READ, before + 1, SOON).await;
        let link = link(&self.chat, label, "camera", &invite);
        browser.client.goto(&link).await.expect("the page");
        browser.state("connected").await;
        browser.frames_rise(2).await;
        browser.click("#motion:not([hidden]) summary").await;
        browser
    }

    fn kept(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("zones.toml")).unwrap_or_default()
    }
}

async fn zones(browser: &Browser) -> Value {
    browser
        .js("[...document.querySelectorAll('#zones li')].map((li) => li.dataset.name)")
        .await
}

/// Waits until these are listed: the page draws them with its next frame.
async fn lists(browser: &Browser, wanted: &Value) {
    until(&format!("zones {wanted}"), SOON, async || {
        (zones(browser).await == *wanted).then_some(())
    })
    .await;
}

async fn is_seen(browser: &Browser, what: &str) {
    let shot = format!("{}/{what}.png", env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(shot).await;
    fits(browser, what).await;
    is_accessible(browser, what).await;
}

/// Changes one and gives that up, takes one away, and has them as they were.
async fn takes_away(scene: &Scene, alice: &Browser, guest: &Browser) {
    alice.click("#zones li:nth-child(2) button").await;
    alice.keys("\u{e00c}").await;
    alice
        .until_js(
            "it is given up",
            "document.querySelector('#zones form').hidden",
        )
        .await;
    alice
        .click("#zones li:nth-child(1) button:nth-of-type(2)")
        .await;
    lists(guest, &json!(["Zone 1"])).await;
    alice.click("#zones .row.all button:nth-child(2)").await;
    until("as configured", SOON, async || {
        (zones(guest).await == json!([GATE]) && scene.kept().is_empty()).then_some(())
    })
    .await;
}

/// Draws one by keys and pointer, changes it, and takes it away again.
async fn draws(person: Person) {
    let scene = Scene::new().await;
    let what = format!("zones-{:?}-{}", person.engine, person.size.0);
    let guest = scene
        .visitor("guest", May::watch_and_listen(), Person::default())
        .await;
    let alice = scene.visitor("alice", May::everything(), person).await;
    let gate = json!([GATE]);
    lists(&alice, &gate).await;
    lists(&guest, &gate).await;
    assert_eq!(
        guest
            .js("document.querySelectorAll('#zones button:not([hidden] *)').length")
            .await,
        0
    );
    assert_eq!(
        alice
            .js("document.querySelectorAll('#zone-view polygon').length")
            .await,
        1
    );

    alice.click("#zones .row.all button").await;
    let named = "(({ id, value }) => id === 'zone-name' && value === 'Zone 1')";
    alice
        .until_js("its name", &format!("{named}(document.activeElement)"))
        .await;
    // From 30 %, 30 %: three to the right, two down.
    alice
        .js("(document.querySelector('#zone-view .corner').focus(), null)")
        .await;
    alice.keys("\u{e014}\u{e014}\u{e014}\u{e015}\u{e015}").await;
    alice.click("#zones .corners button").await;
    let is_at = async |label: &str| {
        let at = "document.activeElement.getAttribute('aria-label')";
        let is = format!("{at} === {}", json!(label));
        alice.until_js(label, &is).await;
    };
    is_at("Corner 2: 52 % across, 31 % down").await;
    alice.keys("\u{e017}").await;
    is_at("Corner 2: 70 % across, 30 % down").await;
    is_seen(&alice, &what).await;
    alice.click("#zones form [type=submit]").await;
    alice
        .until_js(
            "it is taken",
            "document.querySelector('#zones form').hidden",
        )
        .await;
    let both = json!([GATE, "Zone 1"]);
    assert_eq!(zones(&alice).await, both);
    lists(&guest, &both).await;
    assert!(scene.kept().contains("0.33"), "{}", scene.kept());

    takes_away(&scene, &alice, &guest).await;
    is_seen(&alice, &format!("{what}-list")).await;
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(
        alice
            .js("document.getElementById('zone-view').hidden")
            .await,
        true
    );
    alice.clean_console().await;
    guest.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_chromium_zones_are_drawn_seen_by_others_and_taken_away() {
    draws(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_firefox_zones_are_drawn_seen_by_others_and_taken_away() {
    draws(Person::with_firefox()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_telephone_zones_are_drawn_seen_by_others_and_taken_away() {
    let person = Person {
        size: (390, 844),
        dark: true,
        ..Person::default()
    };
    draws(person).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corner_is_dragged_and_a_device_that_refuses_is_heard() {
    let scene = Scene::new().await;
    let alice = scene
        .visitor("alice", May::everything(), Person::default())
        .await;
    alice.click("#zones .row.all button").await;
    // As a finger does it: down, over the picture's edge, up.
    let drag = "(() => {
        const corner = document.querySelectorAll('#zone-view .corner')[2];
        const { right, bottom } = document.getElementById('zone-view').getBoundingClientRect();
        const act = (type, x, y) => corner.dispatchEvent(new PointerEvent(type,
            { pointerId: 1, isPrimary: true, bubbles: true, clientX: x, clientY: y }));
        corner.setPointerCapture = () => {};
        act('pointerdown', right - 50, bottom - 50);
        act('pointermove', right + 90, bottom + 90);
        act('pointerup', right + 90, bottom + 90);
        return corner.getAttribute('aria-label');
    })()";
    assert_eq!(alice.js(drag).await, "Corner 3: 100 % across, 100 % down");
    // A name that another zone has.
    alice
        .js("(document.getElementById('zone-name').value = 'the <i>gate</i>', null)")
        .await;
    alice.click("#zones form [type=submit]").await;
    alice
        .until_js(
            "it takes the other's place",
            "document.querySelector('#zones form').hidden",
        )
        .await;
    assert_eq!(zones(&alice).await, json!([GATE]));
    assert!(scene.kept().contains("1.0"), "{}", scene.kept());
    // No folder is left to keep it in.
    let file = scene.folder.path().join("zones.toml");
    std::fs::remove_file(&file).expect("it was there");
    std::fs::create_dir(&file).expect("made");
    alice.click("#zones .row.all button").await;
    alice.click("#zones form [type=submit]").await;
    alice
        .until_js(
            "why it is not kept",
            "/^The zone was not taken: it cannot be kept: /.test(document.querySelector('#zones .problem').textContent)",
        )
        .await;
    assert_eq!(
        alice
            .js("document.querySelector('#zones form').hidden")
            .await,
        false
    );
    alice.clean_console().await;
}
