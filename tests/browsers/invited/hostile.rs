//! A chat server that means harm: what it changes is found out, and it gets
//! nothing.

use std::time::Duration;

use super::{is_unlocked, locked, watching};
use crate::attackers::stun;
use crate::support::browser::{Browser, Person};
use crate::support::guarded::Guarded;
use crate::support::keeper::{Keeper, Trap};
use crate::support::standin::{Engine, sdp_of, side};
use crate::support::{Chat, SOON, until};
use serde_json::{Value, json};

const IMPOSTOR: &str = "This is not the camera that invited you";
const OFFER: &str = "video-offer";
const ANSWER: &str = "video-answer";
const CANDIDATE: &str = "new-ice-candidate";
const SECOND: Duration = Duration::from_secs(1);

/// A chat server that means harm, a camera, alice whom it invited, and two WebRTC
/// ends of the server's own: one calls the camera, one answers alice.
struct Place {
    server: Keeper,
    camera: Guarded,
    alice: Browser,
    caller: Engine,
    answerer: Engine,
    _chat: Chat,
}

impl Place {
    async fn new() -> Self {
        let chat = Chat::start().await;
        let server = Keeper::before(chat.addr).await;
        let camera = Guarded::start(server.addr, "porch", &server.page("alice")).await;
        let (alice, caller, answerer) = tokio::join!(
            Browser::start(Person::default()),
            Engine::start(),
            Engine::start()
        );
        // Once as it should be: what the tests do is what goes wrong.
        watching(&alice, &camera.invites("alice", &[]).await).await;
        camera
            .device
            .logs("has a key of their own now", 1, SOON)
            .await;
        alice.click("#hangup").await;
        alice.state("idle").await;
        camera.closes().await;
        Self {
            server,
            camera,
            alice,
            caller,
            answerer,
            _chat: chat,
        }
    }

    /// Nothing came to the server's own ends, there is nothing to see, and the
    /// camera is closed.
    async fn shows_nothing(&self, attack: &str, opened: usize) {
        self.alice.state("idle").await;
        assert_eq!(
            self.alice.js("cameraAgent.pc").await,
            Value::Null,
            "{attack}"
        );
        assert!(is_unlocked(&self.alice).await, "{attack}");
        for engine in [&self.caller, &self.answerer] {
            assert_eq!(engine.received().await, (0, 0), "{attack}");
        }
        assert_eq!(self.camera.opened(), opened, "{attack}");
    }
}

/// With what a description says of itself taken from another one.
fn with_side_of(sdp: &str, other: &str) -> String {
    let line = |sdp: &str, name: &str| {
        let (_, rest) = sdp.split_once(name).expect(name);
        format!("{name}{}", rest.lines().next().expect("a line"))
    };
    let mut changed = sdp.to_owned();
    for name in ["a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:"] {
        changed = changed.replace(&line(sdp, name), &line(other, name));
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_changes_offers_does_not_open_the_camera() {
    let mut place = Place::new().await;
    let opened = place.camera.opened();
    let mut earlier = Value::Null;
    for attack in [
        "no access",
        "its own fingerprint",
        "its own user",
        "its own offer",
        "a proof of another name",
        "a second fingerprint",
        "an earlier offer",
    ] {
        place.server.keeps(&[OFFER, CANDIDATE]);
        place.alice.call("porch").await;
        let mut offer = place.server.kept(OFFER).await;
        let sdp = sdp_of(&offer).to_owned();
        let theirs = place.caller.offer().await;
        let right = offer.clone();
        match attack {
            "no access" => {
                offer["access"].take();
            }
            "its own fingerprint" => {
                let (mine, own) = (side(&sdp), side(&theirs));
                let print =
                    |side: &([u8; 32], String)| side.0.map(|b| format!("{b:02X}")).join(":");
                offer["sdp"]["sdp"] = sdp.replace(&print(&mine), &print(&own)).into();
            }
            "its own user" => {
                offer["sdp"]["sdp"] = sdp.replace(&side(&sdp).1, &side(&theirs).1).into();
            }
            "its own offer" => offer["sdp"]["sdp"] = theirs.into(),
            "a proof of another name" => offer["access"]["id"] = "AAAAAAAAAAA".into(),
            "a second fingerprint" => {
                offer["sdp"]["sdp"] = format!("{sdp}a=fingerprint:sha-1 AB:CD\r\n").into();
            }
            // Taken once, in the call below.
            "an earlier offer" => offer.clone_from(&earlier),
            _ => unreachable!(),
        }
        place.server.keeps(&[]);
        place.server.give("porch", &offer);
        let words = match attack {
            "no access" => "only invited people see this camera",
            "an earlier offer" => "this call was made before",
            _ => "this camera does not know your invitation",
        };
        place
            .alice
            .says(&format!("porch ended the call: {words}"))
            .await;
        place.shows_nothing(attack, opened).await;
        if attack == "a second fingerprint" {
            // As it was written it is good, once; its sender is gone.
            place.server.keeps(&[ANSWER]);
            place.server.give("porch", &right);
            place.server.kept(ANSWER).await;
            let over = json!({"type": "hang-up", "name": "alice", "target": "porch"});
            place.server.give("porch", &over);
            place.camera.device.logs("hung up", 2, SOON).await;
            earlier = right;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_changes_answers_is_found_out_and_gets_nothing() {
    let mut place = Place::new().await;
    let opened = place.camera.opened();
    let mut earlier = Value::Null;
    for attack in [
        "no access",
        "its own answer",
        "its own fingerprint",
        "its own user",
        "the offer's proof",
        "a second fingerprint",
        "an earlier answer",
    ] {
        place.answerer.anew().await;
        place.server.keeps(&[OFFER, ANSWER]);
        place.alice.call("porch").await;
        let offer = place.server.kept(OFFER).await;
        place.server.give("porch", &offer);
        let right = place.server.kept(ANSWER).await;
        let mut answer = right.clone();
        let sdp = sdp_of(&right).to_owned();
        let theirs = place.answerer.answer(sdp_of(&offer)).await;
        match attack {
            "no access" => {
                answer["access"].take();
            }
            "its own answer" => answer["sdp"]["sdp"] = theirs.into(),
            "its own fingerprint" => answer["sdp"]["sdp"] = with_side_of(&sdp, &theirs).into(),
            "its own user" => {
                answer["sdp"]["sdp"] = sdp.replace(&side(&sdp).1, &side(&theirs).1).into();
            }
            "the offer's proof" => answer["access"] = offer["access"].clone(),
            "a second fingerprint" => {
                answer["sdp"]["sdp"] = format!("{sdp}a=fingerprint:sha-1 AB:CD\r\n").into();
            }
            "an earlier answer" => {
                answer.clone_from(&earlier);
                answer["ufrag"] = right["ufrag"].clone();
            }
            _ => unreachable!(),
        }
        place.server.forget();
        place.server.keeps(&[]);
        place.server.give("alice", &answer);
        place.alice.says(IMPOSTOR).await;
        place.shows_nothing(attack, opened).await;
        // Not even where it could be reached: its candidates stayed with it.
        assert_eq!(place.server.sent("alice"), Vec::<String>::new(), "{attack}");
        earlier = right;
    }
    // With nothing changed it is the camera again.
    place.alice.call("porch").await;
    place.alice.frames_rise(5).await;
}

/// The candidates of both ends lead to the server, which plays ICE with them as
/// well as anybody who read their descriptions can.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leads_both_ends_to_itself_gets_no_media() {
    let mut place = Place::new().await;
    let opened = place.camera.opened();
    let writes = (stun::answer as _, stun::check as _);
    let (to_alice, to_camera) = tokio::join!(Trap::start(writes), Trap::start(writes));
    place.server.keeps(&[OFFER, ANSWER, CANDIDATE]);
    place.alice.call("porch").await;
    let offer = place.server.kept(OFFER).await;
    to_camera.plays(sdp_of(&offer));
    place.server.give("porch", &offer);
    let answer = place.server.kept(ANSWER).await;
    to_alice.plays(sdp_of(&answer));
    to_camera.leads(sdp_of(&offer), sdp_of(&answer));
    place.server.give("alice", &answer);
    for (from, to, trap) in [
        ("alice", "porch", &to_camera),
        ("porch", "alice", &to_alice),
    ] {
        let candidate = json!({"candidate": trap.candidate(), "sdpMid": "0", "sdpMLineIndex": 0});
        let frame = json!({"type": CANDIDATE, "name": from, "target": to, "candidate": candidate});
        place.server.give(to, &frame);
    }
    let path = "['connected', 'completed'].includes(cameraAgent.pc?.iceConnectionState)";
    place.alice.until_js("a path", path).await;
    until("the camera begins a handshake", SOON, async || {
        (to_camera.caught().dtls > 0).then_some(())
    })
    .await;
    // It ends with nobody; with the right one it takes milliseconds.
    tokio::time::sleep(5 * SECOND).await;
    for trap in [&to_alice, &to_camera] {
        assert_eq!(trap.caught().media, 0, "{:?}", trap.caught());
    }
    assert_eq!(place.alice.frames_decoded().await, 0.0);
    assert!(is_unlocked(&place.alice).await);
    assert_eq!(place.camera.opened(), opened);
    place.alice.says("Connecting to porch").await;
    place
        .alice
        .says("something on the way answers in its place and is not porch")
        .await;
    place.alice.state("idle").await;
}

/// What the tests above try, where nothing is proven: it works.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_server_sees_the_picture_of_an_open_camera() {
    let chat = Chat::start().await;
    let mut server = Keeper::before(chat.addr).await;
    let page = server.page("alice");
    let camera = Guarded::with_mode(server.addr, "porch", &page, "open").await;
    let (alice, caller, answerer) = tokio::join!(
        Browser::start(Person::default()),
        Engine::start(),
        Engine::start()
    );
    alice.open(&page).await;
    server.keeps(&[OFFER, ANSWER, CANDIDATE]);
    alice.call("porch").await;
    let offer = server.kept(OFFER).await;
    let mut own = offer.clone();
    own["sdp"]["sdp"] = caller.offer().await.into();
    server.give("porch", &own);
    let mut answer = server.kept(ANSWER).await;
    assert!(caller.answered(sdp_of(&answer)).await);
    caller.takes(&server.kept(CANDIDATE).await).await;
    let theirs = answerer.answer(sdp_of(&offer)).await;
    answer["sdp"]["sdp"] = theirs.into();
    answer["ufrag"] = side(sdp_of(&offer)).1.into();
    server.give("alice", &answer);
    alice.state("connected").await;
    alice.frames_rise(5).await;
    until("it decodes the camera's picture", SOON, async || {
        (caller.received().await.1 > 5).then_some(())
    })
    .await;
    camera.device.logs("\"message\":\"started\"", 2, SOON).await;
    assert_eq!(camera.opened(), 2, "picture and sound");
}

/// Two cameras that both invited alice and bob: neither passes for the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_swaps_two_cameras_is_found_out_at_both() {
    let chat = Chat::start().await;
    let mut server = Keeper::before(chat.addr).await;
    let page = server.page("alice");
    let (porch, yard) = tokio::join!(
        Guarded::start(server.addr, "porch", &page),
        Guarded::start(server.addr, "yard", &page)
    );
    let (alice, bob) = tokio::join!(
        Browser::start(Person::default()),
        Browser::start(Person::default())
    );
    for (browser, name) in [(&alice, "alice"), (&bob, "bob")] {
        for camera in [&porch, &yard] {
            let link = camera.invites(name, &[]).await;
            let link = link.replace("name=alice", &format!("name={name}"));
            watching(browser, &link).await;
            locked(browser, name).await;
            browser.click("#hangup").await;
            browser.state("idle").await;
        }
    }
    tokio::join!(porch.closes(), yard.closes());
    let opened = (porch.opened(), yard.opened());
    // The offers change places.
    server.keeps(&[OFFER]);
    alice.call("porch").await;
    let offer = server.kept(OFFER).await;
    server.keeps(&["hang-up"]);
    server.give("yard", &offer);
    let refused = server.kept("hang-up").await;
    assert_eq!(
        (&refused["name"], &refused["code"]),
        (&json!("yard"), &json!("uninvited"))
    );
    alice.click("#hangup").await;
    alice.state("idle").await;
    // The answers do.
    server.keeps(&[OFFER, ANSWER]);
    let mut answers = Vec::new();
    let mut ufrags = Vec::new();
    for (browser, camera) in [(&alice, "porch"), (&bob, "yard")] {
        browser.call(camera).await;
        let offer = server.kept(OFFER).await;
        server.give(camera, &offer);
        ufrags.push(side(sdp_of(&offer)).1);
        answers.push(server.kept(ANSWER).await);
    }
    answers.reverse();
    let ends = [(&alice, "alice", "porch"), (&bob, "bob", "yard")];
    for (((browser, name, camera), answer), ufrag) in ends.iter().zip(&mut answers).zip(&ufrags) {
        answer["name"] = (*camera).into();
        answer["target"] = (*name).into();
        answer["ufrag"] = ufrag.as_str().into();
        server.give(name, answer);
        browser.says(IMPOSTOR).await;
        browser.state("idle").await;
        assert!(is_unlocked(browser).await);
    }
    assert_eq!((porch.opened(), yard.opened()), opened);
}
