//! The page in real browsers: people call each other.

use std::time::Duration;

use crate::support::browser::{Browser, Person};
use crate::support::nginx::Nginx;
use crate::support::{Chat, SOON, User};
use serde_json::json;

async fn two(chat: &Chat, first: Person, second: Person) -> (Browser, Browser) {
    let (alice, bob) = tokio::join!(Browser::start(first), Browser::start(second));
    tokio::join!(async { alice.open(&chat.page("alice")).await }, async {
        bob.open(&chat.page("bob")).await
    });
    (alice, bob)
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
    assert_eq!(alice.js("cameraAgent.me").await, "alice");
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
        (Some("alice"), 2)
    );
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
    tokio::join!(alice.call("bob"), bob.call("alice"));
    // Mostly the calls cross; when one was late it rings instead.
    crate::support::until("one call", SOON, || async {
        for person in [&alice, &bob] {
            if person.js("cameraAgent.state").await == "ringing" {
                person.click("#accept").await;
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

/// Takes away what Chromium has and Safari 15.0 or Firefox 115 has not, but for
/// `Object.hasOwn`: chromedriver's own scripts need it.
const OLDER: &str = "
    const without = (object, ...names) => { for (const name of names) delete object[name]; };
    without(HTMLDialogElement.prototype, 'show', 'showModal', 'close', 'open');
    without(Element.prototype, 'requestFullscreen', 'ariaPressed', 'ariaLabel', 'ariaHidden');
    without(Document.prototype, 'fullscreenElement', 'exitFullscreen');
    without(Array.prototype, 'at', 'findLast', 'findLastIndex', 'toSorted', 'toReversed', 'with');
    without(String.prototype, 'at', 'isWellFormed', 'toWellFormed');
    without(Object, 'groupBy');
    without(Promise, 'withResolvers', 'try');
    without(AbortSignal, 'timeout', 'any');
    without(Crypto.prototype, 'randomUUID');
    without(globalThis, 'structuredClone', 'navigation', 'scheduler');
    without(RTCRtpReceiver.prototype, 'jitterBufferTarget', 'playoutDelayHint');
    without(RTCRtpTransceiver.prototype, 'getHeaderExtensionsToNegotiate', 'setHeaderExtensionsToNegotiate');
";

#[tokio::test(flavor = "multi_thread")]
async fn what_older_browsers_lack_is_done_without() {
    let chat = Chat::start().await;
    let (alice, bob) = tokio::join!(
        Browser::start(Person::default()),
        Browser::start(Person::default())
    );
    alice.before_each_page(OLDER).await;
    alice.open(&chat.page("alice")).await;
    bob.open(&chat.page("bob")).await;
    let ring = "getComputedStyle(document.getElementById('ring')).display";
    assert_eq!(alice.js(ring).await, "none");
    bob.call("alice").await;
    alice.state("ringing").await;
    assert_eq!(alice.js("document.activeElement.id").await, "accept");
    // It is in the middle of the window, and nothing is over it.
    let above =
        "document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('#ring') !== null";
    assert_eq!(alice.js(above).await, true);
    alice.click("#accept").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    assert_eq!(alice.js(ring).await, "none");
    tokio::join!(alice.frames_rise(5), bob.frames_rise(5));
    alice.click("#mic").await;
    let pressed = "document.getElementById('mic').getAttribute('aria-pressed')";
    assert_eq!(alice.js(pressed).await, "true");
    alice.click("#stats-toggle").await;
    alice
        .until_js("numbers", "cameraAgent.stats?.fps > 0")
        .await;
    alice.click("#hangup").await;
    tokio::join!(alice.state("idle"), bob.state("idle"));
    alice.call("bob").await;
    bob.click("#decline").await;
    alice.says("bob declined the call").await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_in_a_folder_whether_the_proxy_takes_its_name_away_or_not() {
    let chat = Chat::start().await;
    let at = chat.addr;
    let nginx = Nginx::start(&format!(
        "location /cam/ {{ proxy_pass http://{at}/; PASS; HOST; }}
         location /kept {{ proxy_pass http://{at}; PASS; HOST; }}"
    ))
    .await;
    let alice = Browser::start(Person::default()).await;
    let mut bob = User::join(at, "bob").await;
    // Without its slash the folder leads to itself, by way of nginx or of us.
    for (number, folder) in ["cam/", "cam", "kept/", "kept"].into_iter().enumerate() {
        let page = format!("http://localhost:{}/{folder}", nginx.port);
        let name = format!("visitor {number}");
        alice.open(&format!("{page}?name={name}")).await;
        bob.send(json!({"type": "video-offer", "target": name,
            "sdp": {"type": "offer", "sdp": "v=0"}}))
            .await;
        alice.click("#decline").await;
        assert_eq!(bob.frame("hang-up").await["reason"], "declined");
        alice.clean_console().await;
    }
}

/// Opens a page that does not get into the chat, and waits for its words.
async fn is_told(browser: &Browser, address: &str, words: &str) {
    browser.client.goto(address).await.unwrap();
    browser.says(words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_address_is_not_allowed_says_what_to_do_and_works_once_it_is_done() {
    let chat = Chat::start().await;
    let addr = chat.addr;
    let far = Person {
        flags: vec!["--host-resolver-rules=MAP cam.example 127.0.0.1".into()],
        ..Person::default()
    };
    let alice = Browser::start(far).await;
    let origin = format!("http://cam.example:{}", addr.port());
    is_told(
        &alice,
        &origin,
        &format!("Start it with --allow-origin {origin},"),
    )
    .await;
    // And keeps saying so while it tries again.
    alice.says("--allow-origin").await;
    let refused = alice
        .promise("fetch('ice-servers.json', {method: 'POST'}).then((r) => r.status)")
        .await;
    assert_eq!(refused, 403);

    // A proxy that puts its own idea of a Host in.
    let nginx = Nginx::start(&format!("location / {{ proxy_pass http://{addr}; PASS; }}")).await;
    let behind = format!("http://localhost:{}", nginx.port);
    is_told(&alice, &behind, &format!("--allow-origin {behind},")).await;

    chat.stop().await;
    let mut options = crate::support::options();
    options.listen = addr;
    options.allowed_origins = vec![origin.clone(), behind.clone()];
    let _chat = Chat::with(options).await;
    for (page, name) in [(behind, "alice"), (origin, "ann")] {
        alice.open(&format!("{page}/?name={name}")).await;
        assert_eq!(alice.js("cameraAgent.me").await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_between_page_and_server_is_named() {
    let chat = Chat::start().await;
    let at = chat.addr;
    // No Upgrade passes; then a login that has run out.
    let nginx = Nginx::start(&format!(
        "location / {{ proxy_pass http://{at}; HOST; }}
         location = /login/status.json {{ return 401; }}
         location = /login/ {{ if ($http_upgrade) {{ return 401; }} proxy_pass http://{at}/; }}"
    ))
    .await;
    let alice = Browser::start(Person::default()).await;
    let page = format!("http://localhost:{}/", nginx.port);
    is_told(&alice, &page, "not pass WebSockets on").await;
    is_told(&alice, &format!("{page}login/"), "asks for a login").await;
    let mut options = crate::support::options();
    options.limits.connections = 1;
    let full = Chat::with(options).await;
    let _bob = User::join(full.addr, "bob").await;
    is_told(&alice, &full.page("alice"), "The chat is full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_too_old_is_told_so_in_words() {
    let chat = Chat::start().await;
    let at = chat.addr;
    let nginx = Nginx::start(&format!(
        "location / {{ proxy_pass http://{at}; PASS; HOST; }}
         location = /new/main.js {{ default_type text/javascript; return 200 'class New {{ #'; }}
         location = /gone/main.js {{ return 404; }}"
    ))
    .await;
    let told = async |alice: &Browser, folder: &str, words: &str| {
        let page = format!("http://localhost:{}/{folder}", nginx.port);
        alice.client.goto(&page).await.unwrap();
        let words = json!(words);
        alice
            .until_js(
                "words",
                &format!("document.getElementById('trouble').innerText.includes({words})"),
            )
            .await;
    };
    let alice = Browser::start(Person::default()).await;
    // That it does not know how the page is written.
    told(&alice, "new/", "too old for this page. It works with").await;
    told(&alice, "gone/", "could not be loaded").await;
    alice.open(&chat.page("alice")).await;
    let shown = "document.getElementById('trouble').getClientRects().length";
    assert_eq!(alice.js(shown).await, 0);
    alice
        .before_each_page("delete window.RTCPeerConnection")
        .await;
    told(&alice, "", "cannot make calls").await;
    alice.before_each_page("delete window.fetch").await;
    told(&alice, "", "too old for this page").await;
}

/// How often a page asked for the person's camera and microphone.
const COUNTED: &str = "globalThis.opened = 0; const ask = MediaDevices.prototype.getUserMedia; \
    MediaDevices.prototype.getUserMedia = function (...all) { opened += 1; return ask.apply(this, all); }";

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
    alice.open(&chat.page("alice")).await;
    let mut bob = User::join(chat.addr, "bob").await;
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
        dispatchEvent(new PointerEvent('pointerdown')); \
        new MutationObserver(() => accept.click()).observe(document.getElementById('ring'), {attributes: true}); \
        })(), null";
    alice.js(pressed).await;
    alice
        .js("setTimeout(() => dispatchEvent(new PointerEvent('pointerdown')), 0), null")
        .await;
    alice
        .until_js(
            "more time",
            "setInterval(() => dispatchEvent(new PointerEvent('pointerdown')), 50) > 0",
        )
        .await;
    bob.send(offer).await;
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
        .before_each_page(include_str!("../support/hostile.js"))
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
