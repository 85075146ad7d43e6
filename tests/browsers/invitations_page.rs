//! The page and cameras that it was invited to, with a stand-in for the camera:
//! links, keys, who passes for a camera. The screen is in tests/browsers/invited_screen.rs;
//! real cameras, and chat servers that mean harm, in tests/browsers/invited.rs.

use crate::support::browser::{Browser, Person};
use crate::support::invitee::{
    IMPOSTOR, KEPT, focused, link, lock, reload, sent_until_now, watching,
};
use crate::support::standin::{Engine, Held, StandIn, sdp_of, side};
use crate::support::{Chat, User};
use camera_agent::access::{Invite, Key, KeyId, ProofKey};
use serde_json::{Value, json};

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

/// What is sent in place of the `right` answer to an offer; `theirs` is another's, by
/// another connection.
fn forged(
    attack: &str,
    offer: &Value,
    right: &Value,
    theirs: &str,
    held: &Held,
    earlier: &Value,
) -> Value {
    let mut answer = right.clone();
    match attack {
        "no access" => {
            answer["access"].take();
        }
        "the offer's own proof" => answer["access"] = offer["access"].clone(),
        "a proof by another key" => {
            answer["sdp"]["sdp"] = theirs.into();
            answer["access"]["proof"] = Held::of(&Invite::random())
                .answer("porch", sdp_of(offer), theirs)
                .into();
        }
        "a proof for another name" => {
            answer["access"]["proof"] = held.answer("yard", sdp_of(offer), sdp_of(right)).into();
        }
        "a proof for another connection" => answer["sdp"]["sdp"] = theirs.into(),
        "another user" => {
            let (old, new) = (side(sdp_of(right)).1, side(theirs).1);
            answer["sdp"]["sdp"] = sdp_of(right).replace(&old, &new).into();
        }
        "a second fingerprint, of another hash" => {
            let sdp = format!("{}a=fingerprint:sha-1 AB:CD\r\n", sdp_of(right));
            answer["sdp"]["sdp"] = sdp.into();
        }
        "an earlier answer" => answer.clone_from(earlier),
        "an earlier answer that says it is for this offer" => {
            answer.clone_from(earlier);
            answer["ufrag"] = right["ufrag"].clone();
        }
        "an answer that is no answer" => answer["sdp"]["sdp"] = "v=0".into(),
        _ => unreachable!(),
    }
    answer
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
        let right = porch.answer(&offer).await;
        let theirs = mallory.answer(sdp_of(&offer)).await;
        let forged = forged(attack, &offer, &right, &theirs, &porch.held, &earlier);
        let says_so = attack != "an earlier answer";
        porch.user.send(forged).await;
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

/// Where many cameras live: no certificate, and so no `crypto.subtle`.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_shows_the_picture_too() {
    let mut options = crate::support::options();
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
