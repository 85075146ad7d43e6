//! The main job: a real Chromium on our page and server, the device in its
//! own process, picture and sound.

use std::time::{Duration, Instant};

use crate::support::browser::{Browser, Person};
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

async fn freezes(browser: &Browser) -> f64 {
    browser.inbound("video", "freezeCount").await.unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_shows_the_picture_and_plays_the_sound_and_a_hang_up_ends_it() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    alice.hears().await;

    // The first second may hold the start of the decoder.
    tokio::time::sleep(SECOND).await;
    let (frames, frozen) = (alice.frames_decoded().await, freezes(&alice).await);
    let start = Instant::now();
    tokio::time::sleep(20 * SECOND).await;
    let rate = (alice.frames_decoded().await - frames) as f64 / start.elapsed().as_secs_f64();
    assert!(rate >= 25.0, "{rate} frames/s");
    assert_eq!(freezes(&alice).await, frozen);
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
    assert!(device.logged("/dev/no-such-camera: is not there; is it plugged in?") >= 1);
    alice
        .until_js(
            "the banner names the camera",
            "!document.getElementById('media').hidden && \
             document.getElementById('media').textContent.includes('/dev/no-such-camera')",
        )
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

/// Notes what comes over the data channel of the next call.
const LISTEN: &str = "(() => {
    globalThis.told = [];
    const create = RTCPeerConnection.prototype.createDataChannel;
    RTCPeerConnection.prototype.createDataChannel = function (...a) {
        const channel = create.apply(this, a);
        channel.addEventListener('message', ({ data }) => told.push(JSON.parse(data)));
        return channel;
    };
})()";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_told_that_all_is_well_and_shows_neither_banner_nor_panel() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.js(LISTEN).await;
    alice.call("camera").await;
    alice
        .until_js(
            "picture and sound are live",
            "told.some((m) => m.type === 'status' && m.video.state === 'live' && m.audio.state === 'live')",
        )
        .await;
    alice.frames_rise(5).await;
    let shown = "['media', 'camera'].filter((id) => !document.getElementById(id).hidden)";
    assert_eq!(alice.js(shown).await, serde_json::json!([]));
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_declines_the_data_channel_is_watched_all_the_same() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    // RFC 8829 §5.3.1: a section is rejected by port 0, and is in no bundle.
    alice
        .js("(() => {
            const apply = RTCPeerConnection.prototype.setRemoteDescription;
            RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
                globalThis.declined = sdp.includes('m=application 9');
                sdp = sdp.replace('m=application 9', 'm=application 0')
                    .replace('a=group:BUNDLE 0 1 2', 'a=group:BUNDLE 0 1');
                return apply.call(this, { type, sdp });
            };
        })()")
        .await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(30).await;
    assert_eq!(alice.js("declined").await, true);
    assert_ne!(alice.js("cameraAgent.channel.readyState").await, "open");
    alice.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overlay_says_how_the_connection_is_and_its_numbers_are_those_that_were_sent() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.js(LISTEN).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(30).await;
    let hidden = "document.getElementById('stats').hidden";
    assert_eq!(alice.js(hidden).await, true, "off until it is wanted");
    let nothing = "told.every((m) => m.type !== 'stats' && m.type !== 'pong')";
    assert_eq!(alice.js(nothing).await, true, "and the device is not asked");

    alice.click("#stats-toggle").await;
    alice
        .until_js(
            "every number is there",
            "['fps', 'bitrate', 'estimate', 'tier', 'loss', 'roundTrip', 'latency']
                .every((key) => Number.isFinite(cameraAgent.stats?.[key]))",
        )
        .await;
    alice
        .until_js(
            "the words for a clear path",
            "document.querySelector('#stats .words').textContent === 'Good connection'",
        )
        .await;
    // The time that what is shown was measured over, in one moment.
    let shown = alice
        .js("({
            measured: cameraAgent.stats,
            told: told.findLast((m) => m.type === 'stats'),
            rows: Object.fromEntries([...document.querySelectorAll('#stats dl div:not([hidden])')]
                .map((row) => [...row.children].map((each) => each.textContent))),
        })")
        .await;
    println!("{shown:#}");
    let (measured, told) = (&shown["measured"], &shown["told"]);
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    let (came, sent) = (number(&measured["bitrate"]), number(&told["sent_bps"]));
    assert!((0.7..1.4).contains(&(came / sent)), "{came} of {sent}");
    assert!((number(&measured["fps"]) - number(&told["fps"])).abs() < 8.0);
    assert_eq!(measured["tier"], told["tier"]);
    // One machine, one clock, which are compared to a millisecond or two.
    let latency = number(&measured["latency"]);
    assert!((0.1..500.0).contains(&latency), "{latency} ms");
    let rows = &shown["rows"];
    let picture = rows["Picture"].as_str().expect("a row");
    assert!(picture.starts_with("640 × 360, "), "{picture}");
    assert_eq!(rows["Quality"], "whole picture");
    let choice = "document.querySelector('#stats .choice').hidden";
    assert_eq!(alice.js(choice).await, true, "of one nothing is chosen");
    for row in [
        "Received",
        "Path carries",
        "Lost",
        "Round trip",
        "Camera to page",
    ] {
        assert!(rows[row].is_string(), "{row}: {rows}");
    }
    // What the log says of it.
    device.logs("\"message\":\"stream\"", 1, SOON).await;
    let line = device.log().into_iter().find(|l| l["message"] == "stream");
    let line = line.expect("it was there");
    assert_eq!(
        (&line["level"], &line["tier"]),
        (&"DEBUG".into(), &0.into())
    );
    assert!(
        line["sent_bps"].as_u64().is_some_and(|b| b > 50_000),
        "{line}"
    );

    // The key does what the button does, but not where text is written.
    alice.click("#chat-input").await;
    alice.keys("s").await;
    assert_eq!(alice.js(hidden).await, false);
    alice.click("#stats-toggle").await;
    assert_eq!(alice.js(hidden).await, true);
    let silent = "(globalThis.heard = told.length, true)";
    tokio::time::sleep(SECOND).await;
    alice.js(silent).await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(
        alice.js("told.length === heard").await,
        true,
        "no more news"
    );
    alice.keys("s").await;
    assert_eq!(alice.js(hidden).await, false);
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(alice.js(hidden).await, true, "the call is over");
    alice.clean_console().await;
}

/// The list is the test's, for this machine has no camera; what the panel does
/// with it goes to the device, which answers that it has no camera either.
#[tokio::test(flavor = "multi_thread")]
async fn the_panel_has_an_element_for_each_control_and_what_is_moved_is_sent() {
    let chat = Chat::start().await;
    let toml = TEST_MEDIA.replace("[audio]", "viewer_controls = [\"*\"]\n[audio]");
    let device = Device::start(chat.addr, &toml).await;
    device.registered().await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    alice.js(LISTEN).await;
    alice.call("camera").await;
    // The test picture has no controls, and then there is no panel.
    alice
        .until_js(
            "an empty list",
            "told.some((m) => m.type === 'controls' && m.controls.length === 0)",
        )
        .await;
    let panel = "document.getElementById('camera')";
    assert_eq!(alice.js(&format!("{panel}.hidden")).await, true);

    let show = |controls: &str| {
        format!(
            "cameraAgent.channel.dispatchEvent(new MessageEvent('message', \
             {{data: JSON.stringify({{type: 'controls', controls: {controls}}})}}))"
        )
    };
    let list = "[
        {name: 'brightness', minimum: 0, maximum: 255, step: 1, default: 128, value: 100},
        {name: '<b>bold</b>', minimum: 0, maximum: 1, step: 1, default: 0, value: 1},
        {name: 'auto_exposure', minimum: 0, maximum: 3, step: 1, default: 3, value: 3,
            menu: [{value: 1, label: 'Manual <i>'}, {value: 3, label: 'Auto'}]},
        {name: 'gain', minimum: 0, maximum: 9, step: 1, default: 0, value: 4, inactive: true},
        {name: 7}, null,
    ]";
    alice.js(&show(list)).await;
    let state = "[...document.querySelectorAll('#camera .list [data-name]')].map((e) =>
        [e.dataset.name, e.type, e.type === 'checkbox' ? e.checked : e.value, e.disabled])";
    assert_eq!(
        alice.js(state).await,
        serde_json::json!([
            ["brightness", "range", "100", false],
            ["<b>bold</b>", "checkbox", true, false],
            ["auto_exposure", "select-one", "3", false],
            ["gain", "range", "4", true]
        ])
    );
    assert_eq!(
        alice
            .js("document.querySelectorAll('#camera b, #camera i').length")
            .await,
        0,
        "text, not markup"
    );
    assert_eq!(alice.js(&format!("{panel}.hidden")).await, false);

    alice.click("#camera summary").await;
    alice.click("#camera [data-name=brightness]").await;
    alice
        .until_js(
            "the device's refusal in the panel",
            "document.querySelector('#camera .problem').textContent.includes('no camera controls')",
        )
        .await;
    alice
        .until_js(
            "the slider is back where the camera is",
            "document.querySelector('#camera [data-name=brightness]').value === '100'",
        )
        .await;
    // Another viewer moved it.
    alice
        .js(&show(&list.replace("value: 100", "value: 30")))
        .await;
    assert_eq!(
        alice
            .js(
                "[document.querySelector('#camera [data-name=brightness]').value, \
                  document.querySelector('#camera .problem').hidden]"
            )
            .await,
        serde_json::json!(["30", true])
    );
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(alice.js(&format!("{panel}.hidden")).await, true);
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
