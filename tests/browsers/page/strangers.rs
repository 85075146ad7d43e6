//! Devices and people who mean harm.

use super::*;

/// How often a page asked for the person's camera and microphone.
const COUNTED: &str = "globalThis.opened = 0; const ask = MediaDevices.prototype.getUserMedia; \
    MediaDevices.prototype.getUserMedia = function (...all) { opened += 1; return ask.apply(this, all); }";

/// Once the test says so, a person presses whenever something comes, just before the page
/// hears of it.
const PRESSES: &str = "const Real = WebSocket; globalThis.WebSocket = class extends Real { \
    constructor(...all) { super(...all); this.addEventListener('message', () => \
        globalThis.presses && dispatchEvent(new PointerEvent('pointerdown'))); } }";

/// Whoever has a name that is listed as a device answers a click on "Watch" with
/// an offer of their own, before and after they answered.
#[tokio::test(flavor = "multi_thread")]
async fn who_watches_never_gives_their_own_camera() {
    // Also on a server that lets anybody have a device's name at once.
    let mut options = crate::support::options();
    options.limits.device_grace = Duration::ZERO;
    let chat = Chat::with(options).await;
    // Names that sort before and after the device's.
    let (alice, zoe) = tokio::join!(
        Browser::start(Person::default()),
        Browser::start(Person::default())
    );
    let mut mallory = User::connect(chat.addr).await;
    let id = mallory.id.clone();
    mallory
        .send(json!({"type": "username", "name": "mallory", "id": id, "device": true}))
        .await;
    for (browser, name) in [(&alice, "alice"), (&zoe, "zoe")] {
        browser.before_each_page(COUNTED).await;
        browser.open(&chat.page(name)).await;
        browser.call("mallory").await;
        let theirs = mallory.frame("video-offer").await;
        // A good offer: their own, as Chromium makes it, sent back.
        let sdp = theirs["sdp"]["sdp"].as_str().unwrap();
        let sdp = sdp.replace("a=recvonly", "a=sendrecv");
        let offer = json!({"type": "video-offer", "target": name,
            "sdp": {"type": "offer", "sdp": sdp}});
        mallory.send(offer.clone()).await;
        // Refused, and what the person asked for goes on.
        assert_eq!(mallory.frame("hang-up").await["reason"], "busy");
        assert_eq!(browser.js("cameraAgent.state").await, "calling");
        let media = "[cameraAgent.pc.getSenders().some((s) => s.track), opened]";
        assert_eq!(browser.js(media).await, json!([false, 0]));
        browser.click("#hangup").await;
    }
    // A click that was meant to watch does not call, whoever has the name then.
    mallory.socket.close(None).await.unwrap();
    let mut mallory = User::connect(chat.addr).await;
    loop {
        mallory.claim("mallory").await;
        let list = mallory.frame("userlist").await;
        if list["users"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == "mallory")
            && list["devices"] == json!([])
        {
            break;
        }
    }
    alice
        .until_js(
            "no device",
            "!!document.querySelector('[data-name=mallory][data-device=false]')",
        )
        .await;
    alice.click("[data-name=mallory]").await;
    mallory.frame("video-offer").await;
    assert_eq!(alice.js("opened").await, 0);
}

/// Somebody else may have the name of a person who has left the chat while the
/// call with them goes on.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_one_who_has_left_the_chat_ends_and_replaces_no_call() {
    let chat = Chat::start().await;
    let (alice, bob) = tokio::join!(
        Browser::start(Person::default()),
        Browser::start(Person::default())
    );
    alice
        .before_each_page(
            "const Real = WebSocket; globalThis.WebSocket = class extends Real { \
             constructor(...all) { super(...all); globalThis.socket = this; } }",
        )
        .await;
    alice.open(&chat.page("alice")).await;
    bob.open(&chat.page("bob")).await;
    bob.call("alice").await;
    alice.click("#accept").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    let hears = async |mut frame: serde_json::Value| {
        frame["name"] = "bob".into();
        frame["target"] = "alice".into();
        frame["conn"] = 1.into();
        let heard = json!(frame.to_string());
        let heard = format!("socket.onmessage({{data: {heard}}}), null");
        alice.js(&heard).await;
        let state = alice.js("cameraAgent.state").await;
        assert_eq!(state, "connected", "{frame}");
    };
    let candidate = "candidate:1 1 udp 1 127.0.0.1 9 typ host";
    for frame in [
        json!({"type": "hang-up", "reason": "declined"}),
        json!({"type": "restart-ice"}),
        json!({"type": "video-answer", "sdp": {"type": "answer", "sdp": "v=0"}}),
        json!({"type": "new-ice-candidate", "candidate": {"candidate": candidate, "sdpMid": "0"}}),
    ] {
        hears(frame).await;
    }
    tokio::join!(alice.frames_rise(10), bob.frames_rise(10));
    hears(json!({"type": "video-offer", "sdp": {"type": "offer", "sdp": "v=0"}})).await;
}

/// A call that comes while a person types or clicks is not taken by a key or a
/// click that was meant for something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_under_a_finger_is_not_taken_by_it() {
    let chat = Chat::start().await;
    let alice = Browser::start(Person::default()).await;
    alice.before_each_page(COUNTED).await;
    alice.before_each_page(PRESSES).await;
    alice.open(&chat.page("alice")).await;
    let mut bob = User::join(chat.addr, "bob").await;
    let mut carol = User::join(chat.addr, "carol").await;
    let offer = json!({"type": "video-offer", "target": "alice",
        "sdp": {"type": "offer", "sdp": "v=0"}});
    alice.click("#chat-input").await;
    alice.keys("hello").await;
    bob.send(offer.clone()).await;
    alice.state("ringing").await;
    alice.keys("\u{e007}").await; // Enter
    assert_eq!(
        alice.js("[cameraAgent.state, opened]").await,
        json!(["ringing", 0])
    );
    alice.click("#decline").await;
    // The press comes as the question does.
    let pressed = "(() => { \
        const accept = document.getElementById('accept'); \
        globalThis.presses = true; \
        new MutationObserver(() => accept.click()).observe(document.getElementById('ring'), {attributes: true}); \
        })(), null";
    alice.js(pressed).await;
    carol.send(offer).await;
    alice.state("ringing").await;
    assert_eq!(alice.js("opened").await, 0);
}

/// Two thousand frames of a device that means harm, each made up anew, of the
/// page's own kinds and almost right: over the data channel and by the server.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_hostile_device_says_breaks_the_page_or_gets_into_it() {
    throws_frames("").await;
}

/// The same of one that invited its viewer, or means to pass for one that did.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_hostile_camera_says_to_whom_it_invited_breaks_the_page() {
    let code = camera_agent::access::Invite::random().code();
    throws_frames(&format!("#camera=mallory&invite={code}")).await;
}

async fn throws_frames(fragment: &str) {
    const FRAMES: u64 = 2_000;
    let chat = Chat::start().await;
    let alice = Browser::start(Person::default()).await;
    alice.before_each_page(COUNTED).await;
    alice
        .before_each_page(include_str!("../../support/hostile.js"))
        .await;
    alice
        .open(&format!("{}{fragment}", chat.page("alice")))
        .await;
    let mut mallory = User::connect(chat.addr).await;
    let id = mallory.id.clone();
    mallory
        .send(json!({"type": "username", "name": "mallory", "id": id, "device": true}))
        .await;
    let row = "#users button[data-name=mallory][data-device=true]";
    alice
        .until_js("the device", &format!("!!document.querySelector('{row}')"))
        .await;
    let scripts = "document.querySelectorAll('script, img, svg, iframe').length";
    let before = alice.js(scripts).await;
    let thrown = alice
        .promise(&format!("throwFrames('mallory', {FRAMES}, 20260101)"))
        .await;
    println!("{thrown}");
    assert_eq!(alice.js("errors").await, json!([]));
    let number = |key: &str| thrown[key].as_u64().expect("all were thrown");
    assert_eq!(number("messages") + number("frames"), FRAMES);
    assert!(number("messages") > FRAMES / 2 && number("calls") > 5);
    assert!((250..8_000).contains(&number("elements")), "{thrown}");
    assert!(number("characters") < 1_500_000, "{thrown}");
    assert_eq!(alice.js(scripts).await, before);
    assert_eq!(
        alice.js("[typeof injected, opened]").await,
        json!(["undefined", 0])
    );
    // The page does what it did before.
    alice
        .js(
            "(cameraAgent.state === 'ringing' ? document.getElementById('decline')
            : cameraAgent.state === 'idle' ? null : document.getElementById('hangup'))?.click()",
        )
        .await;
    alice.state("idle").await;
    alice.call("mallory").await;
    alice.state("calling").await;
}
