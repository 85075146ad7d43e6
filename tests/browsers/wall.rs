//! Several cameras on one page: each in a call of its own, one of them large.

use camera_agent::access::Invite;
use serde_json::{Value, json};

use crate::languages::{fits, is_accessible};
use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::invitee::sent_until_now;
use crate::support::standin::{StandIn, sdp_of, side};
use crate::support::{Chat, SOON, until};

/// With a smaller quality and sound, and so cheap that a busy machine's path carries
/// both.
fn toml(chat: &Chat, name: &str) -> String {
    format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"{name}\"\n[video]\nsource = \"test\"\nwidth = 320\n\
         height = 180\nfps = 15\nbitrate_kbps = 150\n[[video.tiers]]\nheight = 90\n\
         bitrate_kbps = 100\n[audio]\nsource = \"test\"\n[ice]\nloopback = true\n",
        chat.addr
    )
}

async fn device(chat: &Chat, name: &str) -> Device {
    let device = Device::with(&toml(chat, name)).await;
    device.registered().await;
    device
}

async fn devices(chat: &Chat, names: &[&str]) -> Vec<Device> {
    let mut devices = Vec::new();
    for name in names {
        devices.push(device(chat, name).await);
    }
    devices
}

/// What is pressed to make a camera large.
fn show(name: &str) -> String {
    format!("#wall [data-name=\"{name}\"] .show")
}

/// Waits until so many pictures of this height move.
async fn moves(browser: &Browser, count: usize, height: u32) {
    let videos = format!(
        "[...document.querySelectorAll('#wall .tile[data-state=connected] video')]
            .filter((v) => v.currentTime > 0 && v.videoHeight === {height}).length === {count}"
    );
    browser
        .until_js(&format!("{count} pictures of {height} lines"), &videos)
        .await;
}

/// Which pictures sound, by their cameras' names.
async fn sound(browser: &Browser) -> Value {
    browser
        .js("[...document.querySelectorAll('#wall .tile')]
            .filter((t) => !t.querySelector('video').muted).map((t) => t.dataset.name)")
        .await
}

/// Waits until the focus is there: on a camera's picture, or an element. A Firefox is
/// told of keys before the page is.
async fn focus_is(browser: &Browser, place: &str) {
    let focus = format!(
        "(({{ activeElement: focus }}) => (focus.closest('.tile')?.dataset.name ?? focus.id) === {})(document)",
        json!(place)
    );
    browser.until_js(&format!("focus on {place}"), &focus).await;
}

const HIDDEN: &str = "document.getElementById('wall-open').hidden";

async fn opened(person: Person, chat: &Chat) -> Browser {
    let alice = Browser::start(person).await;
    alice.open(&chat.page("alice")).await;
    alice.click("#wall-open:not([hidden])").await;
    alice
}

/// Looks at it small and large, in the window that the person has.
async fn goes_large_and_small(person: Person) {
    let chat = Chat::start().await;
    let all = devices(&chat, &["attic", "door", "garden"]).await;
    let what = format!("wall-{:?}-{}", person.engine, person.size.0);
    let alice = opened(person, &chat).await;
    moves(&alice, 3, 90).await;
    assert_eq!(sound(&alice).await, json!([]));
    alice.says("Watching 3 cameras.").await;
    for device in &all {
        assert_eq!(device.said("call"), 1);
    }
    is_seen(&alice, &what).await;

    alice.click(&show("door")).await;
    moves(&alice, 1, 180).await;
    moves(&alice, 2, 90).await;
    assert_eq!(sound(&alice).await, json!(["door"]));
    is_seen(&alice, &format!("{what}-large")).await;

    // Another one, by keys: from the large one to the next, and in.
    focus_is(&alice, "door").await;
    alice.keys("\u{e014}").await;
    focus_is(&alice, "garden").await;
    alice.keys("\u{e007}").await;
    alice
        .until_js(
            "the next one is large",
            "document.querySelector('#wall [data-large]').dataset.name === 'garden'",
        )
        .await;
    assert_eq!(sound(&alice).await, json!(["garden"]));
    alice.keys("\u{e00c}").await;
    // Its picture may be a small one yet.
    let small = "document.querySelector('#wall[data-large], #wall [data-large]') === null";
    alice.until_js("none is large", small).await;
    moves(&alice, 3, 90).await;
    assert_eq!(sound(&alice).await, json!([]));
    focus_is(&alice, "garden").await;

    alice.click("#wall .bar .danger").await;
    for device in &all {
        device.logs("hung up", 1, SOON).await;
    }
    focus_is(&alice, "wall-open").await;
    alice.clean_console().await;
}

/// A picture of it, in which everything fits and which keeps nobody out.
async fn is_seen(browser: &Browser, what: &str) {
    let shot = format!("{}/{what}.png", env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(shot).await;
    fits(browser, what).await;
    is_accessible(browser, what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chromium_shows_three_cameras_and_one_of_them_large_with_its_sound() {
    goes_large_and_small(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_shows_three_cameras_and_one_of_them_large_with_its_sound() {
    goes_large_and_small(Person::with_firefox()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_in_the_dark_shows_three_cameras_too() {
    let person = Person {
        size: (390, 844),
        dark: true,
        ..Person::default()
    };
    goes_large_and_small(person).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_cameras_are_shown_and_a_tenth_says_that_there_is_no_room() {
    let chat = Chat::start().await;
    let names: Vec<_> = (1..=10).map(|n| format!("camera {n:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let _devices = devices(&chat, &names).await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    let listed = "document.querySelectorAll('#users [data-device=true]').length === 10";
    alice.until_js("ten cameras", listed).await;
    alice.click("#wall-open:not([hidden])").await;
    moves(&alice, 9, 90).await;
    is_seen(&alice, "wall-nine").await;
    alice.call("camera 10").await;
    alice.says("There is room for 9 pictures.").await;
    // One that is not wanted makes room for it.
    alice.click("#wall [data-name=\"camera 04\"] .away").await;
    focus_is(&alice, "camera 05").await;
    alice.call("camera 10").await;
    moves(&alice, 9, 90).await;
    alice.call("camera 10").await;
    moves(&alice, 1, 180).await;
    is_seen(&alice, "wall-nine-large").await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_says_so_in_its_own_place_and_is_called_again_when_it_is_back() {
    let chat = Chat::start().await;
    let _door = device(&chat, "door").await;
    let mut garden = device(&chat, "garden").await;
    let alice = opened(Person::default(), &chat).await;
    moves(&alice, 2, 90).await;
    garden.signal("TERM").await;
    garden.exits(SOON).await;
    let said = "document.querySelector('#wall [data-name=garden] .said').textContent";
    alice
        .until_js(
            "why it is away",
            &format!("{said}.includes('shutting down')"),
        )
        .await;
    moves(&alice, 1, 90).await;
    is_seen(&alice, "wall-failed").await;
    let _garden = device(&chat, "garden").await;
    moves(&alice, 2, 90).await;
    alice
        .until_js("it is well again", &format!("{said} === ''"))
        .await;

    // One that is called alone leaves the others.
    alice.click(&show("garden")).await;
    alice.click("#wall .bar button:nth-child(2)").await;
    alice.state("connected").await;
    alice.frames_rise(5).await;
    assert_eq!(
        alice.js("document.getElementById('wall').hidden").await,
        true
    );
    alice.clean_console().await;
}

/// A cut of the power so short that the call is not lost by it: the camera says that it
/// knows none, and is called again.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_away_for_a_moment_is_called_again() {
    let chat = Chat::start().await;
    let _door = device(&chat, "door").await;
    let mut garden = device(&chat, "garden").await;
    let alice = opened(Person::default(), &chat).await;
    moves(&alice, 2, 90).await;
    garden.signal("KILL").await;
    garden.exits(SOON).await;
    let mut garden = device(&chat, "garden").await;
    let state = "document.querySelector('#wall [data-name=garden]').dataset.state";
    garden.logs("the call has begun", 1, SOON).await;
    let connected = format!("{state} === 'connected'");
    alice.until_js("it is back", &connected).await;
    moves(&alice, 2, 90).await;

    // One that is watched alone, too.
    alice.click("#wall .bar button:nth-child(3)").await;
    alice.call("garden").await;
    alice.state("connected").await;
    alice.frames_rise(5).await;
    garden.signal("KILL").await;
    garden.exits(SOON).await;
    let garden = device(&chat, "garden").await;
    garden.logs("the call has begun", 1, SOON).await;
    alice.state("connected").await;
    alice.frames_rise(5).await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_camera_the_page_is_as_it_was() {
    let chat = Chat::start().await;
    let _door = device(&chat, "door").await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    let listed = "document.querySelectorAll('#users [data-device=true]').length === 1";
    alice.until_js("its camera", listed).await;
    assert_eq!(alice.js(HIDDEN).await, true);
    let loaded =
        "performance.getEntriesByType('resource').some(({ name }) => name.includes('wall'))";
    assert_eq!(alice.js(loaded).await, false, "nothing of it is loaded");
    let _garden = device(&chat, "garden").await;
    until("the second one", SOON, async || {
        (alice.js(HIDDEN).await == false).then_some(())
    })
    .await;
}

/// A camera makes no offers. One that was answered would be anybody's who runs the
/// server, with a certificate of theirs beside the camera's.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_to_one_of_several_is_not_answered() {
    let chat = Chat::start().await;
    let _attic = device(&chat, "attic").await;
    let mut porch = StandIn::join(&chat, "porch", &Invite::random()).await;
    let alice = opened(Person::default(), &chat).await;
    let offer = porch.offered().await;
    let answer = porch.engine.answer(sdp_of(&offer)).await;
    porch
        .user
        .send(json!({
            "type": "video-answer", "target": "alice",
            "sdp": {"type": "answer", "sdp": answer}, "ufrag": side(sdp_of(&offer)).1,
        }))
        .await;
    let state = "document.querySelector('#wall [data-name=porch]').dataset.state === 'connected'";
    alice.until_js("the porch", state).await;
    let renewed = answer.replace("a=setup:active", "a=setup:actpass");
    porch
        .user
        .send(json!({
            "type": "video-offer", "target": "alice", "sdp": {"type": "offer", "sdp": renewed},
        }))
        .await;
    let sent = sent_until_now(&alice, &mut porch.user).await;
    let answers = sent.iter().filter(|frame| frame["type"] == "video-answer");
    assert_eq!(answers.count(), 0, "{sent:?}");
    alice.until_js("it goes on", state).await;
    alice.clean_console().await;
}
