//! Several who want to talk, by buttons, keys, other browsers and other pages.

use serde_json::json;

use super::{camera, is_told, speaks, watches};
use crate::support::browser::{Browser, Person};
use crate::support::speaker::{RATE, speech, wave};
use crate::support::{Chat, SOON, until};

/// A file that browsers take for a microphone, and the folder that it is in.
fn voice() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("said.wav");
    wave(&speech(10), &file);
    (folder, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_want_to_talk_take_turns() {
    let (_folder, file) = voice();
    let chat = Chat::start().await;
    let (_device, _microphone, speaker) = camera(&chat).await;
    let alice = Browser::start(speaks(&file)).await;
    let bob = Browser::start(speaks(&file)).await;
    watches(&alice, &chat, "alice").await;
    watches(&bob, &chat, "bob").await;
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    is_told(&bob, "alice is talking.").await;
    bob.click("#talk").await;
    is_told(&bob, "alice is talking. It is your turn after that.").await;
    let sends = "cameraAgent.pc.getSenders().some((each) => each.track)";
    assert_eq!(bob.js(sends).await, json!(false), "nothing is sent");
    alice.click("#talk").await;
    is_told(&bob, "You are talking.").await;
    is_told(&alice, "bob is talking.").await;
    until("both were heard", SOON, || async {
        (speaker.starts().len() >= 2 && speaker.played().len() > RATE).then_some(())
    })
    .await;
    // The end of a call gives it back as well.
    bob.click("#hangup").await;
    alice
        .until_js("silence", "document.getElementById('talk-line').hidden")
        .await;
    alice.clean_console().await;
    bob.clean_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_space_bar_talks_while_it_is_held() {
    let (_folder, file) = voice();
    let chat = Chat::start().await;
    let (_device, _microphone, _speaker) = camera(&chat).await;
    let alice = Browser::start(speaks(&file)).await;
    watches(&alice, &chat, "alice").await;
    alice.js("document.activeElement.blur()").await;
    let key = |kind: &str| {
        format!(
            "!document.body.dispatchEvent(new KeyboardEvent('{kind}', {{ key: ' ', \
             bubbles: true, cancelable: true }}))"
        )
    };
    // Who calls themselves a camera is not to hear who only wants to scroll.
    assert_eq!(alice.js(&key("keydown")).await, false, "the page scrolls");
    assert_eq!(alice.js(&key("keyup")).await, false);
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    alice.click("#talk").await;
    alice
        .until_js("silence", "document.getElementById('talk-line').hidden")
        .await;
    alice.js("document.activeElement.blur()").await;
    assert_eq!(
        alice.js(&key("keydown")).await,
        true,
        "the page does not scroll"
    );
    is_told(&alice, "You are talking.").await;
    // Let go in a text, which has its own use for it.
    let elsewhere = "document.getElementById('chat-input').dispatchEvent(
        new KeyboardEvent('keyup', { key: ' ', bubbles: true }))";
    alice.js(elsewhere).await;
    alice
        .until_js("silence", "document.getElementById('talk-line').hidden")
        .await;
    // Nor is it taken from lists, or from what has used it.
    for place in ["#recordings ol", "#recordings .line", "#motion .log"] {
        let pressed = format!(
            "!document.querySelector('{place}').dispatchEvent(new KeyboardEvent('keydown', \
             {{ key: ' ', bubbles: true, cancelable: true }}))"
        );
        assert_eq!(alice.js(&pressed).await, false, "{place}");
    }
    let used =
        "addEventListener('keydown', (e) => e.preventDefault(), { once: true, capture: true })";
    alice.js(used).await;
    assert_eq!(alice.js(&key("keydown")).await, true, "somebody used it");
    let is_quiet = "document.getElementById('talk-line').hidden
        && document.getElementById('talk').getAttribute('aria-pressed') === 'false'";
    assert_eq!(alice.js(is_quiet).await, true);
    alice.js(&key("keyup")).await;
    // The enter key leaves it on.
    alice.js("document.getElementById('talk').focus()").await;
    alice.keys("\u{e007}").await;
    is_told(&alice, "You are talking.").await;
    alice.keys("\u{e007}").await;
    alice
        .until_js("silence", "document.getElementById('talk-line').hidden")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firefox_is_heard() {
    let chat = Chat::start().await;
    let (_device, _microphone, speaker) = camera(&chat).await;
    let alice = Browser::start(Person::with_firefox()).await;
    watches(&alice, &chat, "alice").await;
    alice.click("#talk").await;
    is_told(&alice, "You are talking.").await;
    until("its tone", SOON, || async {
        let played = speaker.played();
        let loud = played.iter().filter(|s| s.unsigned_abs() > 1_000);
        (loud.count() > RATE).then_some(())
    })
    .await;
    alice.click("#talk").await;
    alice
        .until_js("silence", "document.getElementById('talk-line').hidden")
        .await;
}

/// A page that knows no data channel and has its microphone open from the beginning,
/// as the original has.
const ORIGINAL: &str = "
    RTCPeerConnection.prototype.createDataChannel = () => ({});
    const offer = RTCPeerConnection.prototype.createOffer;
    RTCPeerConnection.prototype.createOffer = async function (...wanted) {
        const { sender } = this.getTransceivers()[0];
        if (!sender.track) {
            const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
            await sender.replaceTrack(stream.getAudioTracks()[0]);
        }
        return offer.apply(this, wanted);
    };
";

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_button_is_heard_while_nobody_else_talks() {
    let (_folder, file) = voice();
    let chat = Chat::start().await;
    let (_device, _microphone, speaker) = camera(&chat).await;
    let bob = Browser::start(speaks(&file)).await;
    watches(&bob, &chat, "bob").await;
    let old = Browser::start(speaks(&file)).await;
    old.before_each_page(ORIGINAL).await;
    old.open(&chat.page("old")).await;
    old.call("camera").await;
    old.state("connected").await;
    is_told(&bob, "old is talking.").await;
    until("speech", SOON, || async {
        (speaker.played().len() > RATE).then_some(())
    })
    .await;
    // They never pause, so whoever asks waits for the turn to end.
    bob.click("#talk").await;
    is_told(&bob, "old is talking. It is your turn after that.").await;
    old.click("#hangup").await;
    is_told(&bob, "You are talking.").await;
}
