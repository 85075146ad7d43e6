//! What the page shows beside the picture: numbers and controls.

use super::*;
use serde_json::{Value, json};

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

/// Whether the numbers are hidden.
const HIDDEN: &str = "document.getElementById('stats').hidden";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_told_that_all_is_well_and_shows_neither_banner_nor_panel() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let alice = visitor(&chat, LISTEN).await;
    alice.call("camera").await;
    alice
        .until_js(
            "picture and sound are live",
            "told.some((m) => m.type === 'status' && m.video.state === 'live' && m.audio.state === 'live')",
        )
        .await;
    alice.frames_rise(5).await;
    alice.drawn().await;
    let shown = "['media', 'camera'].filter((id) => !document.getElementById(id).hidden)";
    assert_eq!(alice.js(shown).await, json!([]));
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

/// The numbers of one moment: what the page measured, what the device said last, and what
/// is shown.
const NUMBERS: &str = "({
    measured: cameraAgent.stats,
    told: told.findLast((m) => m.type === 'stats'),
    rows: Object.fromEntries([...document.querySelectorAll('#stats dl div:not([hidden])')]
        .map((row) => [...row.children].map((each) => each.textContent))),
})";

/// Whether what the page measured and what the device said agree. Each looks once a
/// second, not at the same moment: where the machine was busy, not at the same second.
fn agrees_with_what_was_sent(shown: &Value) -> bool {
    let (measured, told) = (&shown["measured"], &shown["told"]);
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let (came, sent) = (number(&measured["bitrate"]), number(&told["sent_bps"]));
    let apart = number(&measured["fps"]) - number(&told["fps"]);
    // One machine, one clock, which are compared to half a round trip: more than it takes
    // at times, and then it is said to take no time.
    let latency = number(&measured["latency"]);
    (0.7..1.4).contains(&(came / sent))
        && apart.abs() < 8.0
        && measured["tier"] == told["tier"]
        && (0.0..500.0).contains(&latency)
}

/// A row for each number, in words.
fn says_it_in_words(rows: &Value) {
    let picture = rows["Picture"].as_str().expect("a row");
    assert!(picture.starts_with("640 × 360, "), "{picture}");
    assert_eq!(rows["Quality"], "whole picture");
    for row in [
        "Received",
        "Path carries",
        "Lost",
        "Round trip",
        "Camera to page",
    ] {
        assert!(rows[row].is_string(), "{row}: {rows}");
    }
}

/// The log says it, too, to who looks for it.
async fn logs_it(device: &Device) {
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
}

/// The key does what the button does, but not where text is written; what is not
/// shown is not asked for.
async fn shows_and_hides(alice: &Browser) {
    alice.click("#chat-input").await;
    alice.keys("s").await;
    assert_eq!(alice.js(HIDDEN).await, false);
    alice.click("#stats-toggle").await;
    assert_eq!(alice.js(HIDDEN).await, true);
    // With this answer all is there that it said before it was to be silent.
    alice
        .js("cameraAgent.channel.send(JSON.stringify({ type: 'ping', id: 1e9 }))")
        .await;
    let last = "told.some((m) => m.type === 'pong' && m.id === 1e9)";
    alice.until_js("its last word", last).await;
    let silent = "(globalThis.heard = told.length, true)";
    alice.js(silent).await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(
        alice.js("told.length === heard").await,
        true,
        "no more news"
    );
    alice.keys("s").await;
    assert_eq!(alice.js(HIDDEN).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overlay_says_how_the_connection_is_and_its_numbers_are_those_that_were_sent() {
    let chat = Chat::start().await;
    let device = device(&chat).await;
    let alice = visitor(&chat, LISTEN).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(30).await;
    assert_eq!(alice.js(HIDDEN).await, true, "off until it is wanted");
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
    let shown = until("what was measured is what was sent", SOON, async || {
        let shown = alice.js(NUMBERS).await;
        println!("{} of {}", shown["measured"], shown["told"]);
        agrees_with_what_was_sent(&shown).then_some(shown)
    })
    .await;
    says_it_in_words(&shown["rows"]);
    let choice = "document.querySelector('#stats .choice').hidden";
    assert_eq!(alice.js(choice).await, true, "of one nothing is chosen");
    logs_it(&device).await;

    shows_and_hides(&alice).await;
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(alice.js(HIDDEN).await, true, "the call is over");
    alice.clean_console().await;
}

/// Controls of a camera, some with markup in their names, and two that are none.
const CONTROLS: &str = "[
    {name: 'brightness', minimum: 0, maximum: 255, step: 1, default: 128, value: 100},
    {name: '<b>bold</b>', minimum: 0, maximum: 1, step: 1, default: 0, value: 1},
    {name: 'auto_exposure', minimum: 0, maximum: 3, step: 1, default: 3, value: 3,
        menu: [{value: 1, label: 'Manual <i>'}, {value: 3, label: 'Auto'}]},
    {name: 'gain', minimum: 0, maximum: 9, step: 1, default: 0, value: 4, inactive: true},
    {name: 7}, null,
]";

/// Tells the page of these controls, as the device would.
async fn tell_of(alice: &Browser, controls: &str) {
    let told = format!(
        "cameraAgent.channel.dispatchEvent(new MessageEvent('message', \
         {{data: JSON.stringify({{type: 'controls', controls: {controls}}})}}))"
    );
    alice.js(&told).await;
}

/// An element of its kind for each of [`CONTROLS`], and no markup of theirs.
async fn has_an_element_for_each(alice: &Browser) {
    let state = "[...document.querySelectorAll('#camera .list [data-name]')].map((e) =>
        [e.dataset.name, e.type, e.type === 'checkbox' ? e.checked : e.value, e.disabled])";
    assert_eq!(
        alice.js(state).await,
        json!([
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
}

/// A slider that is moved goes back where the camera refuses, and where another
/// viewer moves it.
async fn moves_and_goes_back(alice: &Browser) {
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
    tell_of(alice, &CONTROLS.replace("value: 100", "value: 30")).await;
    alice
        .until_js(
            "the slider is where the other one put it, and the refusal is gone",
            "document.querySelector('#camera [data-name=brightness]').value === '30' \
             && document.querySelector('#camera .problem').hidden",
        )
        .await;
}

/// The list is the test's, for this machine has no camera; what the panel does
/// with it goes to the device, which answers that it has no camera either.
#[tokio::test(flavor = "multi_thread")]
async fn the_panel_has_an_element_for_each_control_and_what_is_moved_is_sent() {
    let chat = Chat::start().await;
    let toml = TEST_MEDIA.replace("[audio]", "viewer_controls = [\"*\"]\n[audio]");
    let device = Device::start(chat.addr, &toml).await;
    device.registered().await;
    let alice = visitor(&chat, LISTEN).await;
    alice.call("camera").await;
    // The test picture has no controls, and then there is no panel.
    alice
        .until_js(
            "an empty list",
            "told.some((m) => m.type === 'controls' && m.controls.length === 0)",
        )
        .await;
    alice.drawn().await;
    let panel = "document.getElementById('camera')";
    assert_eq!(alice.js(&format!("{panel}.hidden")).await, true);

    tell_of(&alice, CONTROLS).await;
    // It is drawn with the next frame.
    alice
        .until_js("the panel", &format!("!{panel}.hidden"))
        .await;
    has_an_element_for_each(&alice).await;

    moves_and_goes_back(&alice).await;
    alice.click("#hangup").await;
    alice.state("idle").await;
    assert_eq!(alice.js(&format!("{panel}.hidden")).await, true);
    alice.clean_console().await;
}
