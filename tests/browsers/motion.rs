//! What moves before the camera, on the page.

use serde_json::json;

use crate::support::Chat;
use crate::support::browser::{Browser, Person};
use crate::support::device::Device;

/// A ball that bounces about on black.
const BALL: &str = "[video]\nsource = \"custom\"\npipeline = \"videotestsrc is-live=true pattern=ball\"\n\
                    width = 320\nheight = 180\nbitrate_kbps = 300\n[audio]\nsource = \"none\"\n\
                    [ice]\nloopback = true\n\
                    [motion]\nenabled = true\ninitial_s = 1\nmaximum_s = 2\nblind_s = 1\n\
                    [[motion.zones]]\nname = \"the <b>door</b>\"\n\
                    corners = [[0, 0], [1, 0], [1, 1], [0, 1]]\n";

/// A page that is not in sight, in a browser that shows notifications once it was
/// asked.
const UNSEEN: &str = "(window.shown = [], \
    window.Notification = class { \
        static permission = 'default'; \
        static async requestPermission() { this.permission = 'granted'; } \
        constructor(title, { body } = {}) { \
            if (window.Notification.permission === 'granted') window.shown.push(`${title}: ${body}`); \
        } \
        close() {} \
    }, \
    Object.defineProperty(document, 'hidden', { get: () => true }), true)";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_what_moves_and_what_moved_before_and_tells_who_is_not_looking() {
    let chat = Chat::start().await;
    let device = Device::start(chat.addr, BALL).await;
    // Before anybody watches.
    device
        .logs("motion has ended", 1, crate::support::SOON)
        .await;
    let alice = Browser::start(Person::default()).await;
    alice.open(&chat.page("alice")).await;
    assert_eq!(alice.js(UNSEEN).await, json!(true));
    alice.call("camera").await;
    alice.state("connected").await;
    let rows = |is: &str| format!("document.querySelectorAll('#motion li[data-over={is}]').length");
    alice
        .until_js("what was before", &format!("{} >= 1", rows("true")))
        .await;
    // Not a word of it outside of the page: it is over.
    assert_eq!(alice.js("window.shown.length").await, json!(0));
    alice.click("#motion summary").await;
    alice.click("#motion button").await;
    alice
        .until_js(
            "it is asked once",
            "document.querySelector('#motion button').hidden",
        )
        .await;
    alice
        .until_js("one that begins", &format!("{} === 1", rows("false")))
        .await;
    alice
        .until_js("a notification", "window.shown.length >= 1")
        .await;
    let shown = alice.js("window.shown[0]").await;
    assert_eq!(shown, json!("camera sees something move: the <b>door</b>"));
    // The latest first, and what the owner calls a zone is text.
    alice
        .until_js(
            "the first of the list is over",
            "/^[^<]*: the <b>door<.b>, for [2-4] s$/.test(document.querySelector('#motion li').textContent)",
        )
        .await;
    assert_eq!(
        alice.js("document.querySelector('#motion b')").await,
        json!(null)
    );
    alice.click("#hangup").await;
    alice
        .until_js(
            "nothing of it after the call",
            "document.getElementById('motion').hidden && document.querySelector('#motion li') === null",
        )
        .await;
    chat.stop().await;
}
