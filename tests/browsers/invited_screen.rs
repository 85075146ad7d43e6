//! The screen "Cameras I was invited to", and the page from elsewhere, with a
//! stand-in for the camera.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::browser::{Browser, Person};
use crate::support::invitee::{IMPOSTOR, KEPT, complains, focused, link, reload, watching};
use crate::support::nginx::Nginx;
use crate::support::standin::StandIn;
use crate::support::{Chat, User};
use camera_agent::access::{Invite, Link};
use serde_json::{Value, json};

/// The names of the screen's buttons and fields, as a screen reader says them.
async fn named(browser: &Browser) -> Value {
    browser
        .js("[...document.querySelectorAll('#invited :is(button, input)')].filter((e) => e.offsetParent)
            .map((e) => e.getAttribute('aria-label') ?? (e.labels?.[0] ?? e).innerText)")
        .await
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// By the keyboard alone, with what is wrong said where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_added_by_its_code_without_a_mouse() {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "Porch 1", &invite).await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice
        .js("(document.getElementById('invited-open').focus(), null)")
        .await;
    alice.keys(ENTER).await;
    assert_eq!(focused(&alice).await, "Close");
    assert_eq!(
        named(&alice).await,
        json!([
            "Close",
            "Link or code of the invitation",
            "Name of the camera, for a code",
            "Add"
        ]),
        "nothing to scan with, where the browser cannot"
    );
    // The only camera in the chat is meant.
    assert_eq!(
        alice.js("document.getElementById('add-name').value").await,
        "Porch 1"
    );
    alice.keys(TAB).await;
    let code = invite.code();
    alice.keys(&format!("{}{ENTER}", &code[..12])).await;
    complains(&alice, "There is a mistake in this code").await;
    assert_eq!(focused(&alice).await, "add-text");
    // Without a name it is for no camera; small letters are as good.
    alice
        .keys(&code[12..].to_lowercase().replace('0', "o"))
        .await;
    alice
        .js("(document.getElementById('add-name').value = '', null)")
        .await;
    alice.keys(ENTER).await;
    complains(&alice, "Which camera is this code for?").await;
    assert_eq!(focused(&alice).await, "add-name");
    alice.keys("porch 1").await;
    alice.keys(ENTER).await;
    porch.takes().await;
    alice.frames_rise(5).await;
    assert_eq!(
        alice.js("document.getElementById('invited').open").await,
        false
    );
    alice.click("#hangup").await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_renamed_and_forgotten_without_a_mouse() {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "Porch 1", &invite).await;
    let alice = Browser::start(Person::default()).await;
    watching(
        &alice,
        &mut porch,
        &link(&chat, "alice", "Porch 1", &invite),
    )
    .await;
    alice.click("#hangup").await;
    alice.click("#invited-open").await;
    assert_eq!(
        named(&alice).await,
        json!([
            "Close",
            "Watch Porch 1",
            "Rename Porch 1",
            "Forget Porch 1",
            "Link or code of the invitation",
            "Name of the camera, for a code",
            "Add"
        ])
    );
    alice.keys(&TAB.repeat(2)).await;
    assert_eq!(focused(&alice).await, "Rename Porch 1");
    alice.keys(ENTER).await;
    assert_eq!(focused(&alice).await, "New name for Porch 1");
    // What is written stays when somebody comes.
    alice.keys("Front <i>do").await;
    let _bob = User::join(chat.addr, "bob").await;
    alice
        .until_js("bob", "!!document.querySelector('#users [data-name=bob]')")
        .await;
    alice.keys(&format!("or{ENTER}")).await;
    let row = "document.querySelector('#users [data-name=\"Porch 1\"]')?.ariaLabel";
    alice
        .until_js(
            "the new name",
            &format!("{row} === 'Front <i>door (Porch 1) Watch, you are invited'"),
        )
        .await;
    assert_eq!(focused(&alice).await, "Rename Front <i>door");
    // After a reload, too.
    reload(&alice).await;
    // What the browser has kept is there some time after the camera's name.
    alice
        .until_js(
            "the row, by its new name",
            &format!("{row}?.startsWith('Front <i>door (Porch 1) ')"),
        )
        .await;
    alice.click("#invited-open").await;
    alice.keys(&TAB.repeat(3)).await;
    assert_eq!(focused(&alice).await, "Forget Front <i>door");
    alice.keys(ENTER).await;
    assert_eq!(focused(&alice).await, "Keep Front <i>door");
    alice.keys(ENTER).await;
    assert_eq!(focused(&alice).await, "Forget Front <i>door");
    alice.keys(ENTER).await;
    alice.keys(TAB).await;
    alice.keys(ENTER).await;
    alice
        .until_js(
            "nothing left",
            "!document.querySelector('#invited .none').hidden",
        )
        .await;
    assert_eq!(focused(&alice).await, "Close");
    assert_eq!(alice.promise(KEPT).await, json!([]));
    alice.keys(ESCAPE).await;
    assert_eq!(focused(&alice).await, "Cameras I was invited to");
    // It is called as any other now.
    alice.call("Porch 1").await;
    assert_eq!(porch.offered().await["access"], Value::Null);
    alice.clean_console().await;
}

/// A detector that finds the invitation in what the fake camera shows: this machine's
/// browsers have none. The camera is on while it is looked for, and not longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_qr_code_is_scanned_where_the_browser_can() {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let alice = Browser::start(Person::default()).await;
    alice
        .before_each_page(
            "globalThis.tracks = [];
            const ask = MediaDevices.prototype.getUserMedia;
            MediaDevices.prototype.getUserMedia = async function (wanted) {
                const stream = await ask.call(this, wanted);
                tracks.push(...stream.getTracks());
                return stream;
            };
            globalThis.seen = [];
            globalThis.BarcodeDetector = class {
                static async getSupportedFormats() { return ['ean_13', 'qr_code']; }
                async detect(video) {
                    if (!video.videoWidth) throw new DOMException('no picture', 'InvalidStateError');
                    return seen.map((rawValue) => ({ rawValue }));
                }
            };",
        )
        .await;
    alice.open(&chat.page("alice")).await;
    let on = "tracks.filter((each) => each.readyState === 'live').map((each) => each.kind)";
    alice.click("#invited-open").await;
    alice.click("#invited .scan").await;
    alice
        .until_js("the camera", &format!("String({on}) === 'video'"))
        .await;
    assert_eq!(focused(&alice).await, "Stop");
    alice.click("#invited .scanner button").await;
    assert_eq!(alice.js(on).await, json!([]));
    alice.click("#invited .scan").await;
    alice
        .until_js("the camera", &format!("String({on}) === 'video'"))
        .await;
    alice.keys(ESCAPE).await;
    alice
        .until_js("it is off", &format!("{on}.length === 0"))
        .await;
    alice.click("#invited-open").await;
    alice.click("#invited .scan").await;
    alice
        .js("(seen = ['https://elsewhere.example/'], null)")
        .await;
    complains(&alice, "This QR code is no invitation").await;
    assert_eq!(alice.js(on).await, json!(["video"]), "it goes on looking");
    let link = link(&chat, "alice", "porch", &invite);
    alice.js(&format!("(seen = [{}], null)", json!(link))).await;
    porch.takes().await;
    alice.frames_rise(5).await;
    assert_eq!(alice.js(on).await, json!([]));
    alice.clean_console().await;
}

fn shot(name: &str) -> String {
    format!("{}/invited-{name}.png", env!("CARGO_TARGET_TMPDIR"))
}

/// Whatever there is to click is in the window, which does not move sideways.
async fn fits(browser: &Browser) {
    let outside = "[...document.querySelectorAll('button, input, select, video')]
        .filter((each) => each.offsetParent !== null)
        .filter((each) => {
            const { left, right } = each.getBoundingClientRect();
            return left < 0 || right > innerWidth;
        })
        .map((each) => each.id || each.textContent)";
    assert_eq!(browser.js(outside).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_fits_a_desk_and_a_telephone_by_day_and_by_night() {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    for (name, dark, size) in [
        ("desk", false, (1280, 800)),
        ("desk-dark", true, (1280, 800)),
        ("phone", false, (390, 844)),
        ("phone-dark", true, (390, 844)),
    ] {
        let alice = Browser::start(Person {
            dark,
            size,
            ..Person::default()
        })
        .await;
        let away = Invite::random();
        alice
            .open(&link(
                &chat,
                "alice",
                "a camera with a long name in the garden",
                &away,
            ))
            .await;
        alice.says("You are invited to").await;
        porch.engine.anew().await;
        let link = link(&chat, "alice", "porch", &invite);
        alice.client.goto(&link).await.expect("the page");
        porch.takes().await;
        porch
            .tell(json!({"type": "invited", "label": "alice", "may": ["watch"]}))
            .await;
        alice.frames_rise(10).await;
        alice
            .until_js(
                "as whom",
                "document.getElementById('lock').innerText.startsWith('Invited as alice;')",
            )
            .await;
        fits(&alice).await;
        alice.screenshot(shot(&format!("{name}-call"))).await;
        alice.click("#hangup").await;
        alice.state("idle").await;
        alice.screenshot(shot(&format!("{name}-idle"))).await;
        alice.click("#invited-open").await;
        fits(&alice).await;
        alice.screenshot(shot(&format!("{name}-list"))).await;
        alice.click("[aria-label=\"Forget porch\"]").await;
        alice.click("#add-text").await;
        alice.keys("0000").await;
        alice.click("#invited > form [type=submit]").await;
        complains(&alice, "There is a mistake").await;
        fits(&alice).await;
        alice.screenshot(shot(&format!("{name}-forget"))).await;
        alice.keys(ESCAPE).await;
        porch.engine.anew().await;
        alice.call("porch").await;
        let offer = porch.offered().await;
        let mut answer = porch.answer(&offer).await;
        answer["access"].take();
        porch.user.send(answer).await;
        alice.says(IMPOSTOR).await;
        alice.screenshot(shot(&format!("{name}-impostor"))).await;
        alice.clean_console().await;
    }
}

/// Writes the page for the chat server at `addr` into this folder.
fn write_page(folder: &Path, addr: SocketAddr) {
    let written = std::process::Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .arg("page")
        .arg(folder)
        .args([
            "--server",
            &format!("ws://{addr}"),
            "--name",
            "Our <b>house",
        ])
        .output()
        .expect("it runs");
    assert!(written.status.success(), "{written:?}");
    let said = String::from_utf8(written.stdout).expect("text");
    assert!(
        said.contains("--allow-origin") && said.contains("wss://"),
        "{said}"
    );
}

/// A web server with the page of this folder; under /lost/ it has no config.json,
/// and under /odd/ one whose server has no scheme.
async fn web_server(page: &Path) -> Nginx {
    Nginx::start(&format!(
        "root {};
         types {{ text/html html; text/css css; text/javascript js; image/svg+xml svg;
                  application/json json; application/manifest+json webmanifest; }}
         location = /lost/config.json {{ return 404; }}
         location /lost/ {{ alias {}/; }}
         location = /odd/config.json {{ return 200 '{{\"server\": \"chat.example.org:6503\"}}'; }}
         location /odd/ {{ alias {}/; }}",
        page.display(),
        page.display(),
        page.display()
    ))
    .await
}

/// What is missing is named, and the chat server is that of config.json.
async fn finds_its_server(alice: &Browser, origin: &str, addr: SocketAddr) {
    for place in ["lost", "odd"] {
        let page = format!("{origin}/{place}/");
        alice.client.goto(&page).await.expect("a page");
        alice.says("config.json beside it is missing").await;
    }
    alice.console().await;
    alice.client.goto(origin).await.expect("a page");
    alice
        .says(&format!("Start it with --allow-origin {origin},"))
        .await;
    assert_eq!(
        alice
            .promise("fetch('config.json').then((r) => r.json())")
            .await["server"],
        format!("ws://{addr}/")
    );
}

/// A chat server at `addr` that takes pages of this origin.
async fn chat_for(origin: &str, addr: SocketAddr) -> Chat {
    let mut options = crate::support::options();
    options.listen = addr;
    options.allowed_origins = vec![origin.to_owned()];
    let servers = json!([{"urls": "stun:192.0.2.1:3478"}]);
    options.ice_servers = std::sync::Arc::new(move || servers.clone());
    Chat::with(options).await
}

/// Its names are the house's, and its STUN server is the chat server's.
async fn has_its_names_and_servers(alice: &Browser) {
    assert_eq!(
        alice
            .js("[document.title, document.querySelector('h1').innerText]")
            .await,
        json!(["Our <b>house", "Our <b>house"])
    );
    let told = "cameraAgent.pc.getConfiguration().iceServers.map((s) => s.urls).flat()";
    assert_eq!(alice.js(told).await, json!(["stun:192.0.2.1:3478"]));
    let manifest = "fetch(document.querySelector('link[rel=manifest]').href).then((r) => r.json())
        .then((m) => [m.name, m.display, m.icons[0].src])";
    assert_eq!(
        alice.promise(manifest).await,
        json!(["Our <b>house", "standalone", "icon.svg"])
    );
}

/// Nothing else is to be reached from the page.
async fn reaches_nothing_else(alice: &Browser) {
    let elsewhere = "fetch('http://127.0.0.1:9/').then(() => 'sent', (e) => e.name)";
    let refused = "new Promise((done) => { addEventListener('securitypolicyviolation',
        (e) => done(e.effectiveDirective), { once: true }); fetch('http://127.0.0.1:9/').catch(() => {}); })";
    assert_eq!(alice.promise(refused).await, "connect-src");
    assert_eq!(alice.promise(elsewhere).await, "TypeError");
}

/// The page from a web server of one's own: what it does is not for the chat
/// server to decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_elsewhere_finds_its_server_and_shows_the_camera() {
    let chat = Chat::start().await;
    let addr = chat.addr;
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("new/page");
    write_page(&page, addr);
    let nginx = web_server(&page).await;
    let origin = format!("http://localhost:{}", nginx.port);
    let alice = Browser::start(Person::default()).await;
    finds_its_server(&alice, &origin, addr).await;
    chat.stop().await;
    alice.console().await;

    let chat = chat_for(&origin, addr).await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let link = Link {
        page: format!("{origin}/?name=alice"),
        camera: "porch".into(),
        invite,
    };
    watching(&alice, &mut porch, &link.text()).await;
    has_its_names_and_servers(&alice).await;
    reaches_nothing_else(&alice).await;
    alice.frames_rise(5).await;
}

/// A browser throws then (the WebSockets standard, its constructor, step for mixed
/// content); here it does so for no reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_may_not_connect_says_why() {
    let chat = Chat::start().await;
    let alice = Browser::start(Person::default()).await;
    let throws =
        "WebSocket = class { constructor() { throw new DOMException('no', 'SecurityError'); } }";
    alice.before_each_page(throws).await;
    let page = chat.page("alice");
    alice.client.goto(&page).await.expect("a page");
    alice.says("its chat server has no certificate").await;
}
