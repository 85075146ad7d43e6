//! The main job: a real Chromium on our page and server, the device in its
//! own process, picture and sound.

mod apart;
mod overlay;
mod short_frames;
mod still;

use std::time::{Duration, Instant};

use crate::support::browser::{Browser, FAR, Person};
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::{Chat, SOON, until};

const SECOND: Duration = Duration::from_secs(1);

async fn device(chat: &Chat) -> Device {
    let device = Device::start(chat.addr, TEST_MEDIA).await;
    device.registered().await;
    device
}

async fn viewer(chat: &Chat, name: &str) -> Browser {
    let browser = Browser::start(Person::default()).await;
    browser.open(&chat.page(name)).await;
    browser.call("camera").await;
    browser.state("connected").await;
    browser.frames_rise(1).await;
    browser
}

/// A page on which this was run before it calls anybody.
async fn visitor(chat: &Chat, script: &str) -> Browser {
    let browser = Browser::start(Person::default()).await;
    browser.open(&chat.page("alice")).await;
    browser.js(script).await;
    browser
}

async fn freezes(browser: &Browser) -> f64 {
    browser.inbound("video", "freezeCount").await.unwrap_or(0.0)
}

/// Keeps what the device says of the stream it sends, a message a second.
const KEEPS_STATS: &str = "(() => {
    window.told = [];
    const add = RTCDataChannel.prototype.send;
    RTCDataChannel.prototype.send = function (text) {
        if (!this.isKept) {
            this.isKept = true;
            this.addEventListener('message', ({ data }) => {
                const message = JSON.parse(data);
                if (message.type === 'stats') window.told.push(message);
            });
        }
        add.call(this, text);
    };
})()";

/// Counters of both ends.
struct Counted {
    /// Messages of the device.
    messages: usize,
    /// Pictures that it sent, and those that it left out.
    sent: f64,
    left_out: f64,
    /// Pictures that came to the browser, and those that it decoded.
    received: f64,
    decoded: f64,
    /// Packets that never came.
    lost: f64,
}

async fn counted(browser: &Browser) -> Counted {
    let sum = |key: &str| format!("window.told.reduce((sum, m) => sum + m.{key}, 0)");
    let told = format!("[window.told.length, {}, {}]", sum("fps"), sum("left_out"));
    let told = browser.js(&told).await;
    let at = |index: usize| told[index].as_f64().expect("a number");
    let inbound = async |field| browser.inbound("video", field).await.expect("a counter");
    Counted {
        messages: at(0) as usize,
        sent: at(1),
        left_out: at(2),
        received: inbound("framesReceived").await,
        decoded: inbound("framesDecoded").await,
        lost: inbound("packetsLost").await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_shows_the_picture_and_plays_the_sound_and_a_hang_up_ends_it() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = visitor(&chat, KEEPS_STATS).await;
    alice.call("camera").await;
    alice.hears().await;
    alice.click("#stats-toggle").await;

    // Twenty seconds, by the counters of both ends: what was sent is what is shown.
    alice.until_js("stats", "window.told?.length >= 2").await;
    let before = counted(&alice).await;
    let behind = format!("window.told.length >= {}", before.messages + 20);
    alice.until_js("twenty more", &behind).await;
    let after = counted(&alice).await;
    let sent = after.sent - before.sent;
    assert!(
        sent >= 300.0,
        "{sent} pictures in 20 s of a source of 30 a second"
    );
    // A second's pictures at most lie between a message and a look at the counters.
    for (what, shown) in [
        ("arrived", after.received - before.received),
        ("were decoded", after.decoded - before.decoded),
    ] {
        assert!(
            (shown - sent).abs() <= 30.0,
            "{sent} were sent, {shown} {what}"
        );
    }
    assert_eq!((after.left_out - before.left_out, after.lost), (0.0, 0.0));
    assert_eq!(alice.inbound("video", "frameWidth").await, Some(640.0));

    alice.click("#hangup").await;
    let clicked = Instant::now();
    device.logs("hung up", 1, SECOND).await;
    alice.state("idle").await;
    assert!(clicked.elapsed() < SECOND);
    // The camera's grace, and then nothing runs.
    device.logs("stopped: nobody watches", 2, SOON).await;
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_pages_watch_one_encode_and_a_killed_one_disturbs_nobody() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let mut viewers = Vec::new();
    for i in 0..5 {
        viewers.push(viewer(&chat, &format!("viewer{i}")).await);
    }
    assert_eq!(device.said("started"), 2, "one picture, one sound");

    let killed = viewers.pop().expect("there are five");
    let mut before = Vec::new();
    for v in &viewers {
        before.push((
            freezes(v).await,
            v.inbound("video", "keyFramesDecoded").await,
        ));
    }
    drop(killed);
    tokio::time::sleep(5 * SECOND).await;
    for (v, (frozen, _)) in viewers.iter().zip(before) {
        v.frames_rise(20).await;
        assert_eq!(freezes(v).await, frozen);
        assert_eq!(v.js("cameraAgent.state").await, "connected");
    }
    assert_eq!(device.said("started"), 2, "nothing was started again");
    // The killed page said nothing; its session ends by itself.
    device.logs("call ended", 1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_stopped_says_goodbye_and_exits_within_two_seconds() {
    let chat = Chat::start().await;
    let mut device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    device.signal("TERM").await;
    let status = device.exits(2 * SECOND).await;
    assert_eq!(status.code(), Some(0));
    alice.says("the camera is shutting down").await;
    alice.state("idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_without_h264_is_served_vp8() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let bob = Browser::start(Person::default()).await;
    bob.open(&chat.page("bob")).await;
    bob.js("(() => {
            const add = RTCPeerConnection.prototype.addTransceiver;
            RTCPeerConnection.prototype.addTransceiver = function (...a) {
                const t = add.apply(this, a);
                if (t.receiver.track.kind === 'video') {
                    const all = RTCRtpReceiver.getCapabilities('video').codecs;
                    t.setCodecPreferences(all.filter((c) => /VP8|rtx/.test(c.mimeType)));
                }
                return t;
            };
        })()")
        .await;
    bob.call("camera").await;
    bob.state("connected").await;
    bob.frames_rise(50).await;
    assert_eq!(device.logged("codec\":\"VP8"), 1);
    assert_eq!(
        device.logged("\"stream\":\"H264\""),
        0,
        "no encode for nobody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ice_restarts_and_the_call_goes_on() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    alice.restart_ice().await;
    device.logs("renegotiation", 1, SOON).await;
    alice.frames_rise(60).await;
    alice.state("connected").await;
    assert_eq!(device.said("call"), 1, "the same call");
}

/// Between the offer and its answer a Chromium pairs its new addresses with the device's
/// of before.
#[tokio::test(flavor = "multi_thread")]
async fn ice_restarts_far_from_the_server_and_the_call_goes_on() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = Browser::start(Person::default()).await;
    alice.before_each_page(FAR).await;
    alice.open(&chat.page("alice")).await;
    alice.call("camera").await;
    alice.frames_rise(30).await;
    for restarts in 1..4 {
        alice.restart_ice().await;
        device.logs("renegotiation", restarts, SOON).await;
        alice.frames_rise(60).await;
        alice.state("connected").await;
    }
    assert_eq!(device.said("call"), 1, "the same call");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_camera_there_is_sound_and_one_line_that_says_why() {
    let chat = Chat::start().await;
    let toml = TEST_MEDIA.replace(
        "source = \"test\"\nwidth",
        "source = \"v4l2\"\ndevice = \"/dev/no-such-camera\"\nwidth",
    );
    let device = Device::start(chat.addr, &toml).await;
    device.registered().await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.hears().await;
    let named = "/dev/no-such-camera: is not there; is it plugged in?";
    device.logs(named, 1, SOON).await;
    alice
        .until_js(
            "the banner names the camera",
            "!document.getElementById('media').hidden && \
             document.getElementById('media').textContent.includes('/dev/no-such-camera')",
        )
        .await;
    until("two warnings", SOON, async || {
        (device.warnings() >= 2).then_some(())
    })
    .await;
    assert_eq!(
        device.warnings(),
        2,
        "at the start and at the first call: {:?}",
        device.log()
    );
    alice.click("#hangup").await;
    alice.state("idle").await;
    let hidden = "document.getElementById('media').hidden";
    assert_eq!(alice.js(hidden).await, true, "the call is over");
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_the_page_makes_a_new_call_and_leaves_no_old_one() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    for round in 2..5 {
        alice.open(&chat.page("alice")).await;
        alice.call("camera").await;
        alice.state("connected").await;
        alice.frames_rise(5).await;
        let connected = "\"message\":\"connected\"";
        device.logs(connected, round, SOON).await;
        assert_eq!(device.said("connected"), round);
    }
    until("only the last call is left", SOON, async || {
        let over = device.said("hung up") + device.logged("replaced by a new call");
        (over == 3).then_some(())
    })
    .await;
    assert_eq!(
        device.logged("\"started\""),
        2,
        "the grace kept the encoder"
    );
}

/// As it is where a page is gone before it can hang up: DTLS's close_notify says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_a_page_closes_without_a_word_is_over_at_once() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    alice.js("cameraAgent.pc.close()").await;
    // That nothing is heard would take four.
    let closed = "closing the connection";
    device.logs(closed, 1, 2 * SECOND).await;
}

/// Chromium hides a viewer's addresses behind names of multicast DNS until they
/// have given it their camera.
#[tokio::test(flavor = "multi_thread")]
async fn point_11_candidates_whose_names_end_in_local_are_resolved() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    let candidates = alice
        .js("cameraAgent.pc.localDescription.sdp.match(/a=candidate.*/g).join(' ')")
        .await;
    let candidates = candidates.as_str().expect("text");
    if candidates.contains(".local ") {
        device.logs("with resolved_addr", 1, SOON).await;
    } else {
        // A machine without any network: nothing to hide.
        assert!(candidates.contains("127.0.0.1"), "{candidates}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_chooses_a_quality_in_the_overlay_where_there_is_more_than_one() {
    let chat = Chat::start().await;
    let media = format!("{TEST_MEDIA}[[video.tiers]]\nheight = 180\nbitrate_kbps = 200\n");
    let device = Device::start(chat.addr, &media).await;
    device.registered().await;
    let alice = viewer(&chat, "alice").await;
    alice.click("#stats-toggle").await;
    alice
        .until_js(
            "the choices",
            "!document.querySelector('#stats .choice').hidden
                && document.getElementById('quality').options.length === 3",
        )
        .await;
    for (choice, height, words) in [
        ("1", 180.0, "smaller picture (1)"),
        ("0", 360.0, "whole picture"),
    ] {
        // A list that a browser draws itself cannot be clicked by a driver.
        alice
            .js(&format!(
                "(() => {{
                    const list = document.getElementById('quality');
                    list.value = '{choice}';
                    list.dispatchEvent(new Event('change'));
                }})()"
            ))
            .await;
        until("a picture of this height", SOON, async || {
            (alice.inbound("video", "frameHeight").await == Some(height)).then_some(())
        })
        .await;
        alice
            .until_js(
                "the overlay says so",
                &format!(
                    "[...document.querySelectorAll('#stats dd')].some((d) => d.textContent === '{words}')"
                ),
            )
            .await;
        alice
            .until_js(
                "a choice is no fault of the connection",
                "document.querySelector('#stats .words').textContent === 'Good connection'",
            )
            .await;
    }
    alice.clean_console().await;
}

/// The page passed it over, and the call came to nothing; seen once in forty on a
/// busy machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_answers_faster_than_the_browser_applies_its_offer_is_watched() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let slow = "(() => {
        const apply = RTCPeerConnection.prototype.setLocalDescription;
        RTCPeerConnection.prototype.setLocalDescription = async function (description) {
            await new Promise((resolve) => setTimeout(resolve, 1_000));
            return apply.call(this, description);
        };
        const receive = RTCPeerConnection.prototype.setRemoteDescription;
        globalThis.answers = 0;
        RTCPeerConnection.prototype.setRemoteDescription = function (description) {
            answers += 1;
            return receive.call(this, description);
        };
    })()";
    let alice = visitor(&chat, slow).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(30).await;
    assert_eq!(alice.js("answers").await, 1);
    alice.clean_console().await;
}
