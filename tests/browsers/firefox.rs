//! People with a real Firefox on our page: it has no H.264 and no RED, writes
//! its offers in another way than Chromium, and counts some things otherwise.

use std::time::Duration;

use crate::support::bed::{Bed, block_on, run};
use crate::support::browser::{Browser, FAR, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::picture::{assert_bars, picture, recorded, row};
use crate::support::{Chat, SOON};
use serde_json::json;

/// What `audiotestsrc` of the device plays.
const TONE: f64 = 440.0;

/// Nothing passes by UDP any more, which is what calls go by.
const CUT: &str = "nft add table inet wall { \
    chain out { type filter hook output priority 0 ; meta l4proto udp drop ; } ; }";

/// Notes what comes over the data channel.
const LISTEN: &str = "
    globalThis.told = [];
    const create = RTCPeerConnection.prototype.createDataChannel;
    RTCPeerConnection.prototype.createDataChannel = function (...a) {
        const channel = create.apply(this, a);
        channel.addEventListener('message', ({ data }) => told.push(JSON.parse(data)));
        return channel;
    };
";

/// The picture moves and is the one that was sent; so is the sound.
async fn watches(bob: &Browser) {
    bob.state("connected").await;
    bob.frames_rise(30).await;
    assert_bars(&row(bob).await);
    let (pitch, level) = recorded(bob).await;
    assert!((pitch - TONE).abs() < 5.0, "{pitch} Hz");
    assert!((0.02..0.5).contains(&level), "level {level}");
    // Nothing has to be tapped for it.
    let plays = "(({ paused, muted }) => !paused && !muted)(document.getElementById('remote'))
        && document.getElementById('unmute').hidden";
    assert_eq!(bob.js(plays).await, true);
}

/// Whatever there is to click is in the window, which does not move sideways.
async fn fits(bob: &Browser) {
    let outside = "[...document.querySelectorAll('button, input, select, video')]
        .filter((each) => each.offsetParent !== null)
        .filter((each) => {
            const { left, right } = each.getBoundingClientRect();
            return left < 0 || right > innerWidth;
        })
        .map((each) => each.id || each.textContent)";
    assert_eq!(bob.js(outside).await, json!([]));
    let wide = "document.documentElement.scrollWidth - innerWidth";
    assert!(bob.js(wide).await.as_f64().expect("a number") <= 0.0);
}

fn shot(name: &str) -> String {
    format!("{}/firefox-{name}.png", env!("CARGO_TARGET_TMPDIR"))
}

/// As it is where a page is gone before it can hang up: DTLS's close_notify says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_a_firefox_closes_without_a_word_is_over_at_once() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    let bob = Browser::start(Person::with_firefox()).await;
    bob.open(&chat.page("bob")).await;
    bob.call("camera").await;
    bob.state("connected").await;
    bob.js("cameraAgent.pc.close()").await;
    // That nothing is heard would take four seconds.
    let closed = "closing the connection";
    device.logs(closed, 1, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_firefox_watches_listens_hangs_up_and_calls_again() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    let bob = Browser::start(Person::with_firefox()).await;
    bob.before_each_page(LISTEN).await;
    bob.open(&chat.page("bob")).await;
    bob.call("camera").await;
    watches(&bob).await;
    assert_eq!(device.logged("codec\":\"VP8"), 1);
    assert_eq!(device.logged("\"stream\":\"H264\""), 0);
    bob.until_js(
        "the device says over the data channel that all is well",
        "told.some((m) => m.type === 'status' && m.video.state === 'live' && m.audio.state === 'live')",
    )
    .await;
    bob.click("#stats-toggle").await;
    bob.until_js(
        "every number of the overlay",
        "['fps', 'bitrate', 'estimate', 'tier', 'loss', 'roundTrip', 'latency']
            .every((key) => Number.isFinite(cameraAgent.stats?.[key]))",
    )
    .await;
    // The first pings of a busy machine say little of the other's clock.
    bob.until_js(
        "a picture's age",
        "cameraAgent.stats.latency > 0.1 && cameraAgent.stats.latency < 1000",
    )
    .await;
    fits(&bob).await;
    bob.screenshot(shot("desk")).await;

    bob.restart_ice().await;
    device.logs("renegotiation", 1, SOON).await;
    bob.frames_rise(30).await;
    bob.state("connected").await;
    assert_eq!(device.said("call"), 1, "the same call");
    bob.click("#hangup").await;
    device.logs("hung up", 1, SOON).await;
    bob.state("idle").await;

    // A second call, on a telephone.
    bob.resize((390, 844)).await;
    bob.call("camera").await;
    watches(&bob).await;
    assert_eq!(device.said("call"), 2);
    fits(&bob).await;
    bob.screenshot(shot("phone")).await;
    bob.click("#hangup").await;
    bob.state("idle").await;
    fits(&bob).await;
    bob.screenshot(shot("phone-idle")).await;
    device.logs("stopped: nobody watches", 2, SOON).await;
    bob.clean_console().await;
}

#[test]
fn people_with_firefox_and_chromium_call_each_other() {
    Bed::enter(|_| block_on(call_each_other()));
}

async fn call_each_other() {
    let chat = Chat::start().await;
    let (alice, bob) = tokio::join!(
        Browser::start(Person::default()),
        Browser::start(Person::with_firefox())
    );
    let (first, second) = (chat.page("alice"), chat.page("bob"));
    tokio::join!(alice.open(&first), bob.open(&second));
    for (caller, callee, name) in [(&bob, &alice, "alice"), (&alice, &bob, "bob")] {
        caller.call(name).await;
        callee.state("ringing").await;
        callee.click("#accept").await;
        tokio::join!(caller.state("connected"), callee.state("connected"));
        tokio::join!(caller.frames_rise(20), callee.frames_rise(20));
        tokio::join!(caller.hears(), callee.hears());
        for person in [caller, callee] {
            // Both fake cameras are colourful.
            let bright = |pixel: &[f64; 3]| pixel.iter().any(|value| *value > 60.0);
            assert!(picture(person).await.iter().filter(|p| bright(p)).count() > 1_000);
            fits(person).await;
        }
        bob.screenshot(shot(&format!("calls-{name}"))).await;
        // The path goes, and comes back: ICE is restarted meanwhile.
        run(CUT);
        tokio::join!(caller.state("interrupted"), callee.state("interrupted"));
        run("nft delete table inet wall");
        tokio::join!(caller.state("connected"), callee.state("connected"));
        tokio::join!(caller.frames_rise(20), callee.frames_rise(20));
        callee.click("#hangup").await;
        tokio::join!(caller.state("idle"), callee.state("idle"));
    }
    alice.clean_console().await;
    bob.clean_console().await;
}

/// Chromium pairs its addresses of after a restart with the other's of before, and
/// where those still answer, it nominates such a pair and never one that the other
/// waits for.
#[test]
fn a_path_that_a_chromium_finds_in_the_past_is_left_for_one_of_now() {
    Bed::enter(|_| block_on(found_in_the_past()));
}

async fn found_in_the_past() {
    let chat = Chat::start().await;
    let (alice, bob) = tokio::join!(
        Browser::start(Person::default()),
        Browser::start(Person::with_firefox())
    );
    alice.before_each_page(FAR).await;
    let (first, second) = (chat.page("alice"), chat.page("bob"));
    tokio::join!(alice.open(&first), bob.open(&second));
    alice.call("bob").await;
    bob.state("ringing").await;
    bob.click("#accept").await;
    tokio::join!(alice.state("connected"), bob.state("connected"));
    tokio::join!(alice.frames_rise(20), bob.frames_rise(20));
    // Bob asks for it, as a callee may.
    let asked = json!({"type": "restart-ice", "name": "bob", "target": "alice"}).to_string();
    let ask = format!(
        "sockets[0].dispatchEvent(new MessageEvent('message', {{ data: {} }}))",
        json!(asked)
    );
    let user = "cameraAgent.pc.remoteDescription.sdp.match(/ice-ufrag:(.*)/)[1]";
    // The first may happen to find the right one.
    for _ in 0..3 {
        let before = bob.js(user).await;
        // One is not begun before the last has its answer, which is long on its way.
        let answered = "cameraAgent.pc.signalingState === 'stable'";
        alice.until_js("the answer to the last", answered).await;
        alice.js(&ask).await;
        bob.until_js("a restart", &format!("{user} !== {before}"))
            .await;
        bob.until_js(
            "a path that both know",
            "cameraAgent.pc.iceConnectionState === 'connected'",
        )
        .await;
        tokio::join!(alice.frames_rise(20), bob.frames_rise(20));
    }
    tokio::join!(alice.hears(), bob.hears());
    // Her own page does not go there: it has bob's offer the restart.
    alice.restart_ice().await;
    let offered = "cameraAgent.pc.localDescription.type === 'offer'
        && cameraAgent.pc.iceConnectionState === 'connected'";
    bob.until_js("bob offered it", offered).await;
    tokio::join!(alice.frames_rise(20), bob.frames_rise(20));
    alice.clean_console().await;
    bob.clean_console().await;
}
