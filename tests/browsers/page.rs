//! The page in real browsers: people call each other.

mod paces;
mod places;
mod strangers;

use std::time::Duration;

use crate::support::browser::{Browser, Person};
use crate::support::nginx::Nginx;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, User};
use fantoccini::Locator;
use serde_json::json;

/// Of the page's own end.
const UFRAG: &str = "/ice-ufrag:(\\S+)/.exec(cameraAgent.pc.localDescription.sdp)[1]";

async fn two(chat: &Chat, first: Person, second: Person) -> (Browser, Browser) {
    let (alice, bob) = tokio::join!(Browser::start(first), Browser::start(second));
    tokio::join!(async { alice.open(&chat.page("alice")).await }, async {
        bob.open(&chat.page("bob")).await
    });
    (alice, bob)
}

/// A button that is replaced while it is pressed is not clicked, and strangers come and
/// go as they like.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_users_stay_while_others_come_and_go() {
    let chat = Chat::start().await;
    let (alice, _bob) = two(&chat, Person::default(), Person::default()).await;
    let rows = "document.querySelectorAll('#users li').length";
    alice.until_js("bob", &format!("{rows} === 2")).await;
    let row = "document.querySelector('#users button[data-name=bob]')";
    alice.js(&format!("(window.row = {row}, null)")).await;
    let url = format!("ws://{}/", chat.addr);
    for (name, count) in [("aaron", 3), ("zoe", 3)] {
        let other = Viewer::join(&url, name, "bob").await;
        alice.until_js(name, &format!("{rows} === {count}")).await;
        assert_eq!(alice.js("window.row.isConnected").await, true, "{name}");
        drop(other);
        alice.until_js("they left", &format!("{rows} === 2")).await;
        assert_eq!(alice.js(&format!("window.row === {row}")).await, true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_see_and_hear_each_other_and_either_hangs_up() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice.call("bob").await;
    bob.state("ringing").await;
    bob.click("#accept").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    tokio::join!(alice.frames_rise(10), bob.frames_rise(10));
    tokio::join!(alice.hears(), bob.hears());
    alice.click("#hangup").await;
    alice.says("You hung up").await;
    bob.says("alice hung up").await;

    bob.call("alice").await;
    alice.click("#accept").await;
    tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
    alice.click("#hangup").await;
    bob.says("alice hung up").await;
    tokio::join!(alice.state("idle"), bob.state("idle"));
    alice.clean_console().await;
    bob.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_call_is_said_in_words() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice.call("bob").await;
    bob.click("#decline").await;
    alice.says("bob declined the call").await;
    bob.says("You declined").await;
    tokio::join!(alice.state("idle"), bob.state("idle"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_camera_one_calls_to_see() {
    let chat = Chat::start().await;
    let blind = Person {
        camera: false,
        ..Person::default()
    };
    let (alice, bob) = two(&chat, blind, Person::default()).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    alice.state("connected").await;
    alice.says("No camera was found").await;
    alice.frames_rise(10).await;
    alice.clean_console().await;
    bob.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_camera_is_explained_and_the_call_goes_on() {
    let chat = Chat::start().await;
    let shy = Person {
        allows: false,
        ..Person::default()
    };
    let (alice, bob) = two(&chat, Person::default(), shy).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    bob.says("may not use your camera").await;
    bob.state("connected").await;
    bob.frames_rise(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insecure_origin_is_explained_and_the_call_goes_on() {
    let mut options = crate::support::options();
    options.allowed_origins = vec!["*".into()];
    let chat = Chat::with(options).await;
    let far = Person {
        flags: vec!["--host-resolver-rules=MAP camera.lan 127.0.0.1".into()],
        ..Person::default()
    };
    let (alice, bob) = tokio::join!(Browser::start(far), Browser::start(Person::default()));
    alice
        .open(&chat.page("alice").replace("localhost", "camera.lan"))
        .await;
    bob.open(&chat.page("bob")).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    alice.state("connected").await;
    alice.says("only on https pages").await;
    alice.frames_rise(5).await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_the_call_and_the_next_one_works() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    bob.state("connected").await;
    alice.open(&chat.page("alice")).await;
    bob.says("alice hung up").await;
    // The page of before may have had it for a moment longer.
    alice
        .until_js("her name", "cameraAgent.me === 'alice'")
        .await;
    alice.call("bob").await;
    bob.click("#accept").await;
    tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ice_restart_keeps_the_call() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    let ufrag = "cameraAgent.pc.remoteDescription.sdp.match(/ice-ufrag:(.*)/)[1]";
    let before = bob.js(ufrag).await;
    // What the page does by itself when it finds the connection failed.
    alice
        .js("Object.defineProperty(cameraAgent.pc, 'connectionState', {value: 'failed', configurable: true}) && cameraAgent.pc.onconnectionstatechange()")
        .await;
    assert_eq!(alice.js("cameraAgent.state").await, "interrupted");
    alice.js("delete cameraAgent.pc.connectionState").await;
    bob.until_js("a new ICE generation", &format!("{ufrag} !== {before}"))
        .await;
    tokio::join!(alice.frames_rise(20), bob.frames_rise(20));
    alice.clean_console().await;
}

/// Both find their path good, and one of them hears nothing by it.
#[tokio::test(flavor = "multi_thread")]
async fn where_one_hears_nothing_ice_is_restarted() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
    for deaf in [&bob, &alice] {
        let before = alice.js(UFRAG).await;
        deaf.promise(
            "cameraAgent.pc.getStats().then((now) => { cameraAgent.pc.getStats = async () => now; })",
        )
        .await;
        let renewed = format!("{UFRAG} !== {before} && cameraAgent.pc.signalingState === 'stable'");
        alice.until_js("a new ICE generation", &renewed).await;
        deaf.js("delete cameraAgent.pc.getStats").await;
        tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
        tokio::join!(alice.state("connected"), bob.state("connected"));
    }
    alice.clean_console().await;
    bob.clean_console().await;
}

/// A restart may leave one end checking, which browsers do without an end.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_checking_tries_again_and_then_ends_the_call() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice.call("bob").await;
    bob.click("#accept").await;
    tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
    let before = alice.js(UFRAG).await;
    alice
        .promise(
            "cameraAgent.pc.getStats().then((now) => {
                 cameraAgent.pc.getStats = async () => now;
                 Object.defineProperty(cameraAgent.pc, 'connectionState', { get: () => 'connecting' });
             })",
        )
        .await;
    alice
        .until_js("a new ICE generation", &format!("{UFRAG} !== {before}"))
        .await;
    // A minute is a second now.
    alice
        .js("globalThis.setTimeout = ((real) => (f, ms, ...all) => real(f, ms / 60, ...all))(setTimeout),
             cameraAgent.pc.onconnectionstatechange()")
        .await;
    alice.says("connection to bob was lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_the_server_never_takes_is_not_asked_for_again() {
    let chat = Chat::start().await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page(&"x".repeat(80))).await;
    assert_eq!(alice.js("cameraAgent.me").await, "guest1");
    alice.says("you are guest1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_server_restart_the_page_is_back_under_its_name() {
    let chat = Chat::start().await;
    let addr = chat.addr;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    chat.stop().await;
    alice.says("connection to the server was lost").await;
    let mut options = crate::support::options();
    options.listen = addr;
    let chat = Chat::with(options).await;
    // Whoever of the two is there first.
    let mut bob = User::connect(chat.addr).await;
    bob.claim("bob").await;
    bob.list_with("alice").await;
    alice
        .until_js("online", "document.body.dataset.online === 'true'")
        .await;
    assert_eq!(alice.js("cameraAgent.me").await, "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_needs_no_mouse() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    alice
        .until_js("bob", "!!document.querySelector('button[data-name=bob]')")
        .await;
    for _ in 0..8 {
        if alice
            .js("document.activeElement.dataset.name ?? null")
            .await
            == "bob"
        {
            break;
        }
        alice.keys("\u{e004}").await; // Tab
    }
    alice.keys("\u{e007}").await; // Enter
    bob.state("ringing").await;
    assert_eq!(bob.js("document.activeElement.id").await, "accept");
    bob.keys("\u{e007}").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    assert_eq!(alice.js("document.activeElement.id").await, "hangup");
    alice.keys(" ").await;
    tokio::join!(alice.state("idle"), bob.state("idle"));
    assert_eq!(
        alice
            .js("document.activeElement.dataset.name ?? null")
            .await,
        "bob"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_called_without_asking_for_the_camera() {
    let chat = Chat::start().await;
    let mut camera = User::connect(chat.addr).await;
    let id = camera.id.clone();
    camera
        .send(json!({"type": "username", "name": "porch", "id": id, "device": true}))
        .await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.call("porch").await;
    let offer = camera.frame("video-offer").await;
    let sdp = offer["sdp"]["sdp"].as_str().unwrap();
    assert_eq!(
        (offer["name"].as_str(), sdp.matches("a=recvonly").count()),
        (Some("alice"), 1)
    );
    // Of the sound: room for a voice, which is not there until they talk.
    assert_eq!(sdp.matches("a=sendrecv").count(), 1, "{sdp}");
    let sends = "cameraAgent.pc.getSenders().some((each) => each.track)";
    assert_eq!(alice.js(sends).await, false);
    assert!(camera.frame("new-ice-candidate").await["candidate"].is_object());
    assert_eq!(
        alice.js("document.getElementById('local').hidden").await,
        true
    );
    camera
        .send(json!({"type": "hang-up", "target": "alice", "reason": "too many viewers"}))
        .await;
    alice.says("porch ended the call: too many viewers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_peers_hang_up_ends_a_call_and_a_second_caller_is_told_busy() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    let mut eve = User::join(chat.addr, "eve").await;
    alice.call("bob").await;
    bob.click("#accept").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    eve.send(json!({"type": "hang-up", "name": "bob", "target": null}))
        .await;
    eve.send(
        json!({"type": "video-offer", "target": "alice", "sdp": {"type": "offer", "sdp": "v=0"}}),
    )
    .await;
    let refusal = loop {
        let frame = eve.frame("hang-up").await;
        if frame["name"] == "alice" {
            break frame;
        }
    };
    assert_eq!(refusal["reason"], "busy");
    alice.frames_rise(5).await;
    assert_eq!(alice.js("cameraAgent.state").await, "connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_lines_and_names_are_shown_as_text() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    let mut eve = User::join(chat.addr, "<img src=x>").await;
    eve.send(json!({"type": "message", "text": "a < b && c"}))
        .await;
    alice
        .until_js(
            "the line and the name",
            "document.getElementById('chat-log').textContent.includes('<img src=x>a < b && c')",
        )
        .await;
    bob.click("#rename").await;
    bob.keys("Bobby").await;
    bob.keys("\u{e007}").await;
    alice
        .until_js(
            "the new name",
            "!!document.querySelector('button[data-name=Bobby]')",
        )
        .await;
    alice.click("#chat-input").await;
    alice.keys("hello").await;
    alice.keys("\u{e007}").await;
    bob.until_js(
        "the line",
        "document.getElementById('chat-log').textContent.includes('alicehello')",
    )
    .await;
    alice.clean_console().await;
    bob.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_calling_is_missed() {
    let chat = Chat::start().await;
    let alice = Browser::start(Person::default()).await;
    let bob = User::join(chat.addr, "bob").await;
    alice.open(&chat.page("alice")).await;
    alice.call("bob").await;
    alice.state("calling").await;
    drop(bob);
    alice.says("bob is not there any more").await;
    alice.state("idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_call_each_other_at_once_end_up_in_one_call() {
    let chat = Chat::start().await;
    let (alice, bob) = two(&chat, Person::default(), Person::default()).await;
    let row = |name: &str| format!("#users button[data-name={name}]:enabled");
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        let there = format!("!!document.querySelector('{}')", row(other));
        person.until_js(other, &there).await;
    }
    // Mostly the calls cross; when one was late it rings instead, and there is nothing
    // to press any more.
    let calls = async |person: &Browser, other: &str| {
        if let Ok(row) = person.client.find(Locator::Css(&row(other))).await {
            let _ = row.click().await;
        }
    };
    tokio::join!(calls(&alice, "bob"), calls(&bob, "alice"));
    crate::support::until("one call", SOON, || async {
        for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
            match person.js("cameraAgent.state").await.as_str() {
                Some("ringing") => person.click("#accept").await,
                Some("idle") => calls(person, other).await,
                _ => {}
            }
        }
        let connected = alice.js("cameraAgent.state").await == "connected"
            && bob.js("cameraAgent.state").await == "connected";
        connected.then_some(())
    })
    .await;
    tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
    alice.click("#hangup").await;
    tokio::join!(alice.state("idle"), bob.state("idle"));
}
