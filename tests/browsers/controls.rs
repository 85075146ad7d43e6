//! A camera's controls, by real ioctls of a device process on a camera that no
//! kernel has (tests/shims/controls.c): from the configuration, and by viewers.

use std::time::Duration;

use crate::support::browser::{Browser, Person};
use crate::support::device::Device;
use crate::support::shims::{BRIGHTNESS, FakeCamera, Format, POWER_LINE_FREQUENCY};
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};
use serde_json::{Value, json};

const LABEL: &str = "camera-agent";
/// V4L2_CID_CONTRAST and V4L2_CID_AUTO_WHITE_BALANCE of the shim.
const CONTRAST: u32 = 0x0098_0901;
const WHITE_BALANCE_AUTOMATIC: u32 = 0x0098_090c;

/// A server, a device and its camera.
struct Bed {
    chat: Chat,
    device: Device,
    camera: FakeCamera,
}

impl Bed {
    /// With this in the `[video]` section.
    async fn start(video: &str) -> Self {
        let chat = Chat::start().await;
        let camera = FakeCamera::new(Format::Mjpg, 640, 360, 30);
        let toml = format!(
            "[video]\nsource = \"v4l2\"\ndevice = {:?}\nwidth = 640\nheight = 360\n\
             bitrate_kbps = 800\n{video}\n[audio]\nsource = \"none\"\n[ice]\nloopback = true\n",
            camera.node(),
        );
        let device = Device::start_with_env(chat.addr, &toml, &camera.env()).await;
        device.registered().await;
        Self {
            chat,
            device,
            camera,
        }
    }

    async fn viewer(&self, name: &str) -> Viewer {
        let url = format!("ws://{}/", self.chat.addr);
        let mut viewer = Viewer::join(&url, name, "camera").await;
        viewer.call_with(&[LABEL]).await;
        viewer.watch(5).await;
        viewer
    }

    async fn camera_has(&self, id: u32, value: i32) {
        until("the camera has the value", SOON, async || {
            (self.camera.control(id) == Some(value)).then_some(())
        })
        .await;
    }
}

fn control(name: &str, value: impl Into<Value>) -> String {
    json!({"type": "control", "name": name, "value": value.into()}).to_string()
}

/// The value of a control in a list.
fn value(message: &Value, name: &str) -> Option<i64> {
    let list = message["controls"].as_array()?;
    list.iter().find(|c| c["name"] == name)?["value"].as_i64()
}

async fn refusal(viewer: &Viewer, words: &str) -> Value {
    let text = |m: &Value| m["text"].as_str().is_some_and(|text| text.contains(words));
    viewer
        .told(words, |m| m["type"] == "error" && text(m))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_set_when_the_camera_opens_and_what_cannot_be_is_named_once() {
    let bed = Bed::start(
        "controls.brightness = -20\ncontrols.power_line_frequency = \"60 Hz\"\n\
         controls.white_balance_automatic = false\ncontrols.contrast = 33\n\
         controls.gama = 1\n",
    )
    .await;
    assert_eq!(bed.camera.control(BRIGHTNESS), None, "nobody watches yet");
    let viewer = bed.viewer("viewer").await;
    bed.camera_has(BRIGHTNESS, -20).await;
    bed.camera_has(POWER_LINE_FREQUENCY, 2).await;
    bed.camera_has(WHITE_BALANCE_AUTOMATIC, 0).await;
    bed.device
        .logs(
            "contrast cannot be 33: it goes from 0 to 100 in steps of 5",
            1,
            SOON,
        )
        .await;
    bed.device
        .logs(
            "no control \\\"gama\\\"; it has brightness, contrast, white_balance_automatic, \
             power_line_frequency",
            1,
            SOON,
        )
        .await;
    assert_eq!(bed.camera.control(CONTRAST), None, "it was not touched");
    assert_eq!(bed.device.warnings(), 2, "{:?}", bed.device.log());
    viewer.heard(|h| assert!(h.messages.iter().all(|m| m["type"] != "controls")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sets_what_is_allowed_within_the_range_and_all_viewers_are_told() {
    let bed = Bed::start("viewer_controls = [\"brightness\", \"power_line_frequency\"]").await;
    let (alice, bob) = (bed.viewer("alice").await, bed.viewer("bob").await);
    let is_list = |m: &Value| value(m, "brightness") == Some(0);
    let list = alice.told("the list", is_list).await;
    bob.told("the list", is_list).await;
    assert_eq!(
        list["controls"],
        json!([
            {"name": "brightness", "minimum": -64, "maximum": 64, "step": 1, "default": 0, "value": 0},
            {"name": "power_line_frequency", "minimum": 0, "maximum": 2, "step": 1, "default": 1,
                "value": 1, "menu": [{"value": 0, "label": "Disabled"},
                    {"value": 1, "label": "50 Hz"}, {"value": 2, "label": "60 Hz"}]},
        ])
    );

    alice.tell(&control("brightness", 33)).await.expect("open");
    for viewer in [&alice, &bob] {
        viewer
            .told("the new value", |m| value(m, "brightness") == Some(33))
            .await;
    }
    assert_eq!(bed.camera.control(BRIGHTNESS), Some(33));
    bob.tell(&control("power_line_frequency", "60 hz"))
        .await
        .expect("open");
    bed.camera_has(POWER_LINE_FREQUENCY, 2).await;

    for (name, wanted, words) in [
        (
            "brightness",
            65,
            "brightness cannot be 65: it goes from -64 to 64",
        ),
        (
            "power_line_frequency",
            3,
            "it is one of 0 (Disabled), 1 (50 Hz), 2 (60 Hz)",
        ),
        ("contrast", 50, "viewers may not set contrast"),
    ] {
        alice.tell(&control(name, wanted)).await.expect("open");
        refusal(&alice, words).await;
    }
    assert_eq!(bed.camera.control(BRIGHTNESS), Some(33));
    assert_eq!(bed.camera.control(CONTRAST), None);
    bob.heard(|h| assert!(h.messages.iter().all(|m| m["type"] != "error")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_camera_a_viewer_is_told_so_and_gets_the_list_anew_when_it_is_back() {
    let bed = Bed::start("viewer_controls = [\"*\"]").await;
    let viewer = bed.viewer("viewer").await;
    viewer
        .told("the list", |m| value(m, "contrast") == Some(50))
        .await;
    bed.camera.unplug();
    let lost = viewer
        .told("the loss", |m| m["video"]["state"] == "lost")
        .await;
    let words = lost["video"]["text"].as_str().expect("words");
    assert!(!words.is_empty());
    viewer.tell(&control("contrast", 5)).await.expect("open");
    refusal(&viewer, "no camera controls").await;
    let told = viewer.heard(|h| h.messages.len());
    bed.camera.replug();
    viewer
        .wait("live, and then the list", |h, _| {
            let mut news = h.messages[told..].iter();
            news.find(|m| m["video"]["state"] == "live")?;
            news.find(|m| value(m, "contrast") == Some(50)).map(drop)
        })
        .await;
    viewer.tell(&control("contrast", 5)).await.expect("open");
    bed.camera_has(CONTRAST, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_s_slider_moves_the_camera_and_follows_other_viewers() {
    let bed = Bed::start("viewer_controls = [\"*\"]").await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&bed.chat.page("alice")).await;
    alice.call("camera").await;
    alice.frames_rise(5).await;
    alice
        .until_js(
            "a panel with all four",
            "document.querySelectorAll('#camera:not([hidden]) .list [data-name]').length === 4",
        )
        .await;
    alice.click("#camera summary").await;
    // A click at the middle of -64 to 64, then one key to the right.
    alice.click("#camera [data-name=brightness]").await;
    alice.keys("\u{e014}").await;
    until("the camera is brighter", SOON, async || {
        let set = bed.camera.control(BRIGHTNESS)?;
        (1..=3).contains(&set).then_some(())
    })
    .await;
    alice
        .client
        .find(fantoccini::Locator::Css("#camera select"))
        .await
        .expect("the menu")
        .select_by_label("60 Hz")
        .await
        .expect("an item");
    bed.camera_has(POWER_LINE_FREQUENCY, 2).await;
    alice
        .click("#camera [data-name=white_balance_automatic]")
        .await;
    bed.camera_has(WHITE_BALANCE_AUTOMATIC, 0).await;

    let bob = bed.viewer("bob").await;
    bob.tell(&control("brightness", -50)).await.expect("open");
    alice
        .until_js(
            "the slider follows",
            "document.querySelector('#camera [data-name=brightness]').value === '-50'",
        )
        .await;
    // A slider that is dragged sends ten a second, not each of its steps.
    let moves = "(() => {
        const slider = document.querySelector('#camera [data-name=contrast]');
        const send = cameraAgent.channel.send;
        globalThis.sent = 0;
        cameraAgent.channel.send = function (text) { sent += 1; send.call(this, text); };
        for (let i = 0; i <= 200; i += 1) setTimeout(() => {
            slider.value = i / 2;
            slider.dispatchEvent(new Event('input'));
        }, 5 * i);
    })()";
    alice.js(moves).await;
    bed.camera_has(CONTRAST, 100).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = alice.js("sent").await.as_u64().expect("a number");
    assert!((3..=14).contains(&sent), "{sent} messages in a second");
    alice.clean_console().await;
}
