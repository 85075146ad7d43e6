//! Older browsers, other folders, and what stands between page and server.

use super::*;

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
