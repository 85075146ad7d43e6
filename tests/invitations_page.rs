//! The page and cameras that it was invited to, with a stand-in for the camera:
//! links, keys, the screen "Cameras I was invited to". Real cameras, and chat
//! servers that mean harm, are in tests/invited.rs.

mod support;

use camera_agent::access::{Invite, Key, KeyId, Link, ProofKey};
use serde_json::{Value, json};
use support::browser::{Browser, Person};
use support::nginx::Nginx;
use support::standin::{Engine, Held, StandIn, sdp_of, side};
use support::{Chat, User};

/// What the browser has in its database: a camera each, without its key.
const KEPT: &str = "new Promise((done) => {
    indexedDB.open('camera-agent').onsuccess = ({ target: { result: database } }) => {
        database.transaction('cameras').objectStore('cameras').getAll().onsuccess = ({ target: { result } }) => {
            database.close();
            done(result.map(({ key, added, seen, ...rest }) => ({
                ...rest, seen: seen > 0,
                key: key instanceof CryptoKey ? [key.type, key.extractable, key.algorithm.name]
                    : key.constructor.name + key.length,
            })));
        };
    };
})";

fn link(chat: &Chat, person: &str, camera: &str, invite: &Invite) -> String {
    Link {
        page: chat.page(person),
        camera: camera.into(),
        invite: invite.clone(),
    }
    .text()
}

/// Watches by a link.
async fn watching(browser: &Browser, camera: &mut StandIn, link: &str) {
    browser.client.goto(link).await.expect("the page");
    camera.takes().await;
    browser.state("connected").await;
    browser.frames_rise(5).await;
}

async fn lock(browser: &Browser) -> Value {
    browser
        .js("document.getElementById('lock').hidden ? null : document.getElementById('lock').innerText")
        .await
}

async fn reload(browser: &Browser) {
    browser.client.refresh().await.expect("it loads again");
    let online =
        "document.body?.dataset.online === 'true' && !!document.querySelector('#users .own')";
    browser.until_js("the page again", online).await;
}

/// The picture by a link, and again after a reload, by a key of this browser's own.
async fn is_kept(person: Person) {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let alice = Browser::start(person).await;
    let link = link(&chat, "alice", "porch", &invite);
    watching(&alice, &mut porch, &link).await;
    let address = alice.js("[location.href, history.length]").await;
    assert_eq!(address[0], chat.page("alice"));
    alice
        .until_js("the lock", "!document.getElementById('lock').hidden")
        .await;
    porch
        .tell(json!({"type": "invited", "label": "alice <b>", "may": ["watch"]}))
        .await;
    let words = "Invited as alice <b>; verified: this is your camera.";
    alice
        .until_js(
            "as whom",
            &format!("document.getElementById('lock').innerText === '{words}'"),
        )
        .await;
    let (id, key) = (KeyId::random(), Key::random());
    porch
        .tell(json!({"type": "key", "id": id.to_string(), "key": key.expose()}))
        .await;
    assert_eq!(porch.told("key-kept").await["id"], id.to_string());
    let kept = alice.promise(KEPT).await;
    let expected = json!([{
        "name": "porch", "id": id.to_string(), "from": invite.id().to_string(),
        "as": "alice <b>", "label": "", "seen": true, "key": ["secret", false, "HMAC"],
    }]);
    assert_eq!(kept, expected);
    // The call goes on, and what it sends from now on is by the new key.
    porch.held = Held {
        id,
        key: ProofKey::of(&key),
    };
    let restarted = async {
        let offer = porch.offered().await;
        porch.user.send(porch.answer(&offer).await).await;
    };
    tokio::join!(alice.restart_ice(), restarted);
    alice.frames_rise(5).await;
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(lock(&alice).await, Value::Null);

    reload(&alice).await;
    porch.engine.anew().await;
    alice.call("porch").await;
    porch.takes().await;
    alice.frames_rise(5).await;
    assert_eq!(lock(&alice).await, words);
    alice.click("#hangup").await;
    alice.state("idle").await;

    // The same link again is no other camera.
    porch.engine.anew().await;
    watching(&alice, &mut porch, &link).await;
    assert_eq!(alice.promise(KEPT).await, expected);
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_picture_and_so_does_a_reload_with_a_key_that_no_script_can_read() {
    is_kept(Person::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_picture_in_firefox_too() {
    is_kept(Person::with_firefox()).await;
}

const IMPOSTOR: &str = "This is not the camera that invited you";

/// All that `alice` sent to this user until now.
async fn sent_until_now(alice: &Browser, user: &mut User) -> Vec<Value> {
    alice.click("#chat-input").await;
    alice.keys("so far\u{e007}").await;
    let mut sent = Vec::new();
    loop {
        let frame = user.any().await;
        if frame["type"] == "message" {
            return sent;
        }
        if frame["name"] == "alice" {
            sent.push(frame);
        }
    }
}

/// Whoever answers without being able to prove to be the camera is told nothing
/// more, and shows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_answers_for_the_camera_without_its_key_gets_nothing_and_shows_nothing() {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let mallory = Engine::start().await;
    let alice = Browser::start(Person::default()).await;
    watching(&alice, &mut porch, &link(&chat, "alice", "porch", &invite)).await;
    alice.click("#hangup").await;
    let other = Held::of(&Invite::random());
    let mut earlier = Value::Null;
    for attack in [
        "no access",
        "the offer's own proof",
        "a proof by another key",
        "a proof for another name",
        "a proof for another connection",
        "another user",
        "a second fingerprint, of another hash",
        "an earlier answer",
        "an earlier answer that says it is for this offer",
        "an answer that is no answer",
    ] {
        porch.engine.anew().await;
        mallory.anew().await;
        alice.call("porch").await;
        let offer = porch.offered().await;
        let mut answer = porch.answer(&offer).await;
        let right = answer.clone();
        let theirs = mallory.answer(sdp_of(&offer)).await;
        let mut says_so = true;
        match attack {
            "no access" => {
                answer["access"].take();
            }
            "the offer's own proof" => answer["access"] = offer["access"].clone(),
            "a proof by another key" => {
                answer["sdp"]["sdp"] = theirs.clone().into();
                answer["access"]["proof"] = other.answer("porch", sdp_of(&offer), &theirs).into();
            }
            "a proof for another name" => {
                answer["access"]["proof"] = porch
                    .held
                    .answer("yard", sdp_of(&offer), sdp_of(&right))
                    .into();
            }
            "a proof for another connection" => answer["sdp"]["sdp"] = theirs.into(),
            "another user" => {
                let (old, new) = (side(sdp_of(&right)).1, side(&theirs).1);
                answer["sdp"]["sdp"] = sdp_of(&right).replace(&old, &new).into();
            }
            "a second fingerprint, of another hash" => {
                let sdp = format!("{}a=fingerprint:sha-1 AB:CD\r\n", sdp_of(&right));
                answer["sdp"]["sdp"] = sdp.into();
            }
            "an earlier answer" => {
                answer.clone_from(&earlier);
                says_so = false;
            }
            "an earlier answer that says it is for this offer" => {
                answer.clone_from(&earlier);
                answer["ufrag"] = right["ufrag"].clone();
            }
            "an answer that is no answer" => answer["sdp"]["sdp"] = "v=0".into(),
            _ => unreachable!(),
        }
        porch.user.send(answer).await;
        if says_so {
            alice.says(IMPOSTOR).await;
            alice.state("idle").await;
            assert_eq!(alice.js("cameraAgent.pc").await, Value::Null, "{attack}");
        } else {
            // It is late, which may be, and is passed over.
            assert_eq!(
                sent_until_now(&alice, &mut porch.user).await,
                Vec::<Value>::new()
            );
            assert_eq!(alice.js("cameraAgent.state").await, "calling");
            alice.click("#hangup").await;
            porch.user.frame("hang-up").await;
        }
        assert_eq!(lock(&alice).await, Value::Null, "{attack}");
        let sent = sent_until_now(&alice, &mut porch.user).await;
        assert_eq!(sent, Vec::<Value>::new(), "{attack}");
        for engine in [&mallory, &porch.engine] {
            assert_eq!(engine.received().await, (0, 0), "{attack}");
        }
        earlier = right;
    }
    // And the camera itself is as good as before.
    porch.engine.anew().await;
    alice.call("porch").await;
    porch.takes().await;
    alice.frames_rise(5).await;
    alice.clean_console().await;
}

/// A camera calls nobody: what calls under its name is not it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_the_cameras_name_is_not_taken() {
    let chat = Chat::start().await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let alice = Browser::start(Person::default()).await;
    watching(&alice, &mut porch, &link(&chat, "alice", "porch", &invite)).await;
    let mallory = Engine::start().await;
    let offer = json!({"type": "video-offer", "target": "alice",
        "sdp": {"type": "offer", "sdp": mallory.offer().await}});
    sent_until_now(&alice, &mut porch.user).await;
    porch.user.send(offer.clone()).await;
    alice.frames_rise(5).await;
    assert_eq!(
        sent_until_now(&alice, &mut porch.user).await,
        Vec::<Value>::new()
    );
    assert_eq!(alice.js("cameraAgent.state").await, "connected");
    alice.click("#hangup").await;
    alice.state("idle").await;
    sent_until_now(&alice, &mut porch.user).await;
    porch.user.send(offer).await;
    alice.says("Cameras do not call").await;
    assert_eq!(alice.js("cameraAgent.state").await, "idle");
    assert_eq!(
        sent_until_now(&alice, &mut porch.user).await,
        Vec::<Value>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_is_not_whole_is_said_so_and_nothing_is_kept() {
    let chat = Chat::start().await;
    let alice = Browser::start(Person::default()).await;
    let code = Invite::random().code();
    for fragment in [
        format!("#camera=porch&invite={}", &code[..20]),
        format!("#invite={code}"),
        "#camera=porch".to_owned(),
    ] {
        let page = chat.page("alice");
        alice.client.goto("about:blank").await.expect("a page");
        alice
            .client
            .goto(&format!("{page}{fragment}"))
            .await
            .expect("the page");
        alice.says("This is no whole invitation").await;
        // The server comes later, and what it has to say less.
        alice
            .until_js("online", "document.body.dataset.online === 'true'")
            .await;
        alice.says("This is no whole invitation").await;
        assert_eq!(alice.js("location.href").await, page);
        assert_eq!(alice.promise(KEPT).await, json!([]));
    }
    // What is no invitation is none of ours.
    let other = format!("{}#part", chat.page("alice"));
    alice.client.goto("about:blank").await.expect("a page");
    alice.open(&other).await;
    assert_eq!(alice.js("location.href").await, other);
    alice.clean_console().await;
}

/// A private window, a full disk: the key is there for this visit. The one that the
/// camera makes for this browser is not taken, or the link would be used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_nothing_is_told_so_and_uses_up_no_link() {
    let refused =
        "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); }";
    let missing = "Object.defineProperty(globalThis, 'indexedDB', { value: undefined })";
    // Opens, and keeps no keys: some private windows.
    let half =
        "IDBObjectStore.prototype.put = () => { throw new DOMException('no', 'DataCloneError'); }";
    let silent = "IDBFactory.prototype.open = () => ({})";
    for without in [refused, missing, half, silent] {
        let chat = Chat::start().await;
        let invite = Invite::random();
        let mut porch = StandIn::join(&chat, "porch", &invite).await;
        let alice = Browser::start(Person::default()).await;
        alice.before_each_page(without).await;
        watching(&alice, &mut porch, &link(&chat, "alice", "porch", &invite)).await;
        let key = json!({"type": "key", "id": KeyId::random().to_string(), "key": Key::random().expose()});
        porch.tell(key).await;
        porch
            .tell(json!({"type": "invited", "label": "alice"}))
            .await;
        alice
            .until_js(
                "as whom",
                "document.getElementById('lock').innerText.startsWith('Invited as alice;')",
            )
            .await;
        alice.click("#hangup").await;
        alice.state("idle").await;
        porch.engine.anew().await;
        // By the link's key again.
        alice.call("porch").await;
        porch.takes().await;
        alice.frames_rise(5).await;
        let kept = "told.some((m) => m.type === 'key-kept')";
        assert_eq!(porch.engine.0.js(kept).await, false);
        alice.click("#hangup").await;
        alice.click("#invited-open").await;
        let visit =
            "getComputedStyle(document.querySelector('#invited .visit')).display !== 'none'";
        assert_eq!(alice.js(visit).await, true, "{without}");
        alice.clean_console().await;
    }
}

/// What is wrong, as the screen says it.
async fn complains(browser: &Browser, words: &str) {
    let problem = "document.querySelector('#invited .problem').innerText";
    browser
        .until_js(words, &format!("{problem}.includes({})", json!(words)))
        .await;
}

/// The names of the screen's buttons and fields, as a screen reader says them.
async fn named(browser: &Browser) -> Value {
    browser
        .js("[...document.querySelectorAll('#invited :is(button, input)')].filter((e) => e.offsetParent)
            .map((e) => e.getAttribute('aria-label') ?? (e.labels?.[0] ?? e).innerText)")
        .await
}

async fn focused(browser: &Browser) -> Value {
    browser
        .js("(({ id, ariaLabel, innerText }) => ariaLabel || innerText || id)(document.activeElement)")
        .await
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// By the keyboard alone: a code is typed, the camera watched, renamed, forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_added_by_its_code_renamed_and_forgotten_without_a_mouse() {
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
    let row = "document.querySelector('#users [data-name=\"Porch 1\"]').ariaLabel";
    alice
        .until_js(
            "the new name",
            &format!("{row} === 'Watch camera Front <i>door, which you are invited to'"),
        )
        .await;
    assert_eq!(focused(&alice).await, "Rename Front <i>door");
    // After a reload, too.
    reload(&alice).await;
    alice
        .until_js(
            "the row",
            "!!document.querySelector('#users [data-name=\"Porch 1\"]')",
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

/// Else anybody could have their link take the place of a camera that is trusted,
/// and pass for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_invitation_of_a_known_camera_takes_its_place_only_when_the_person_says_so() {
    let chat = Chat::start().await;
    let (first, second) = (Invite::random(), Invite::random());
    let mut porch = StandIn::join(&chat, "porch", &first).await;
    let alice = Browser::start(Person::default()).await;
    watching(&alice, &mut porch, &link(&chat, "alice", "porch", &first)).await;
    // In a call nothing is called; a link may still be opened.
    let new = link(&chat, "alice", "porch", &second);
    let asks = "document.getElementById('replace').open";
    for answer in ["\u{e00c}", "\u{e007}"] {
        alice.client.goto(&new).await.expect("the page");
        alice.until_js("the question", asks).await;
        assert_eq!(alice.js("location.hash").await, "");
        assert_eq!(focused(&alice).await, "Keep the old one");
        alice.keys(answer).await;
        alice.until_js("no question", &format!("!{asks}")).await;
        assert_eq!(alice.promise(KEPT).await[0]["id"], first.id().to_string());
    }
    alice.client.goto(&new).await.expect("the page");
    alice.click("#replace .take").await;
    alice
        .says("You can watch it once this call has ended")
        .await;
    alice.frames_rise(5).await;
    let kept = alice.promise(KEPT).await;
    assert_eq!(
        (kept.as_array().map(Vec::len), &kept[0]["id"]),
        (Some(1), &json!(second.id().to_string()))
    );
    alice.click("#hangup").await;
    alice.state("idle").await;
    porch.engine.anew().await;
    porch.held = Held::of(&second);
    alice.call("porch").await;
    porch.takes().await;
    alice.frames_rise(5).await;
    alice.clean_console().await;
}

/// A person's name in a link: nobody is called without a click. And a camera that
/// is not there is not called when it comes, hours later.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_calls_nobody_but_a_camera_that_is_there() {
    let chat = Chat::start().await;
    let mut bob = User::join(chat.addr, "bob").await;
    let alice = Browser::start(Person::default()).await;
    alice
        .open(&link(&chat, "alice", "bob", &Invite::random()))
        .await;
    alice.says("You are invited to bob").await;
    assert_eq!(sent_until_now(&alice, &mut bob).await, Vec::<Value>::new());
    let invite = Invite::random();
    alice
        .client
        .goto(&link(&chat, "alice", "porch", &invite))
        .await
        .expect("the page");
    alice.says("it is not here now").await;
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    alice
        .until_js(
            "the camera",
            "!!document.querySelector('#users [data-name=porch]')",
        )
        .await;
    assert_eq!(
        sent_until_now(&alice, &mut porch.user).await,
        Vec::<Value>::new()
    );
    alice.call("porch").await;
    porch.takes().await;
    alice.frames_rise(5).await;
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

/// Where many cameras live: no certificate, and so no `crypto.subtle`.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_shows_the_picture_too() {
    let mut options = support::options();
    options.allowed_origins = vec!["*".into()];
    let chat = Chat::with(options).await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let far = Person {
        flags: vec!["--host-resolver-rules=MAP camera.lan 127.0.0.1".into()],
        ..Person::default()
    };
    let alice = Browser::start(far).await;
    let link = link(&chat, "alice", "porch", &invite).replace("localhost", "camera.lan");
    watching(&alice, &mut porch, &link).await;
    assert_eq!(alice.js("typeof crypto.subtle").await, "undefined");
    let (id, key) = (KeyId::random(), Key::random());
    porch
        .tell(json!({"type": "key", "id": id.to_string(), "key": key.expose()}))
        .await;
    porch.told("key-kept").await;
    alice.click("#hangup").await;
    alice.state("idle").await;
    reload(&alice).await;
    porch.engine.anew().await;
    porch.held = Held {
        id,
        key: ProofKey::of(&key),
    };
    alice.call("porch").await;
    porch.takes().await;
    alice.frames_rise(5).await;
    let bytes =
        "new Promise((done) => { indexedDB.open('camera-agent').onsuccess = ({ target }) => {
        target.result.transaction('cameras').objectStore('cameras').getAll().onsuccess =
            (e) => done(e.target.result.map(({ key }) => key.length)); }; })";
    assert_eq!(alice.promise(bytes).await, json!([32]));
    alice.click("#hangup").await;
    // Nobody without the key passes for it here either.
    alice.state("idle").await;
    porch.engine.anew().await;
    alice.call("porch").await;
    let offer = porch.offered().await;
    let mut answer = porch.answer(&offer).await;
    answer["access"]["proof"] = Held::of(&invite)
        .answer("porch", sdp_of(&offer), sdp_of(&answer))
        .into();
    porch.user.send(answer).await;
    alice.says(IMPOSTOR).await;
    alice.clean_console().await;
}

/// The page from a web server of one's own: what it does is not for the chat
/// server to decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_elsewhere_finds_its_server_and_shows_the_camera() {
    let chat = Chat::start().await;
    let addr = chat.addr;
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("new/page");
    let written = std::process::Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .arg("page")
        .arg(&page)
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
    let nginx = Nginx::start(&format!(
        "root {};
         types {{ text/html html; text/css css; text/javascript js; image/svg+xml svg;
                  application/json json; application/manifest+json webmanifest; }}
         location = /lost/config.json {{ return 404; }}
         location /lost/ {{ alias {}/; }}",
        page.display(),
        page.display()
    ))
    .await;
    let origin = format!("http://localhost:{}", nginx.port);
    let alice = Browser::start(Person::default()).await;
    alice
        .client
        .goto(&format!("{origin}/lost/"))
        .await
        .expect("a page");
    alice.says("config.json beside it is missing").await;
    alice.console().await;
    alice.client.goto(&origin).await.expect("a page");
    alice
        .says(&format!("Start it with --allow-origin {origin},"))
        .await;
    assert_eq!(
        alice
            .promise("fetch('config.json').then((r) => r.json())")
            .await["server"],
        format!("ws://{addr}/")
    );
    chat.stop().await;
    alice.console().await;

    let mut options = support::options();
    options.listen = addr;
    options.allowed_origins = vec![origin.clone()];
    let servers = json!([{"urls": "stun:192.0.2.1:3478"}]);
    let known = servers.clone();
    options.ice_servers = std::sync::Arc::new(move || known.clone());
    let chat = Chat::with(options).await;
    let invite = Invite::random();
    let mut porch = StandIn::join(&chat, "porch", &invite).await;
    let link = Link {
        page: format!("{origin}/?name=alice"),
        camera: "porch".into(),
        invite,
    };
    watching(&alice, &mut porch, &link.text()).await;
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
    // Nothing else is to be reached from it.
    let elsewhere = "fetch('http://127.0.0.1:9/').then(() => 'sent', (e) => e.name)";
    let refused = "new Promise((done) => { addEventListener('securitypolicyviolation',
        (e) => done(e.effectiveDirective), { once: true }); fetch('http://127.0.0.1:9/').catch(() => {}); })";
    assert_eq!(alice.promise(refused).await, "connect-src");
    assert_eq!(alice.promise(elsewhere).await, "TypeError");
    alice.frames_rise(5).await;
}
