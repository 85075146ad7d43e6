//! The picture as fast as it comes, which does not wait for its sound.

use super::*;

/// Half the frames of a second or two.
const SOME: f64 = 30.0;

/// How long the browser held pictures back, in ms, over the next ones.
async fn held_back(browser: &Browser) -> f64 {
    let sums = async || {
        let held = browser.inbound("video", "jitterBufferDelay").await;
        held.zip(browser.inbound("video", "jitterBufferEmittedCount").await)
    };
    let (before, counted) = until("pictures", SOON, sums).await;
    until("more pictures", SOON, async || {
        let (held, count) = sums().await?;
        // Another call counts anew.
        let count = count - counted;
        (count >= SOME).then(|| (held - before) / count * 1e3)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_need_not_wait_for_its_sound_does_not() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    alice.hears().await;
    let together = until("the picture waits for the sound", SOON, async || {
        let held = held_back(&alice).await;
        (held > 8.0).then_some(held)
    })
    .await;

    alice.click("#stats-toggle").await;
    alice.click("#apart").await;
    let apart = until("it does not wait", SOON, async || {
        let held = held_back(&alice).await;
        (held < together / 2.0).then_some(held)
    })
    .await;
    let focused = "document.activeElement.id === 'apart'";
    alice
        .until_js("the keyboard is where it was", focused)
        .await;
    println!("held back by {together:.0} ms for the sound, by {apart:.0} ms without it");
    alice.hears().await;
    // It holds for the next visit, too.
    alice.open(&chat.page("alice")).await;
    alice.call("camera").await;
    alice.state("connected").await;
    alice.frames_rise(30).await;
    let kept = "document.getElementById('apart').checked";
    assert_eq!(alice.js(kept).await, true);
    until("it does not wait now either", SOON, async || {
        (held_back(&alice).await < together / 2.0).then_some(())
    })
    .await;

    alice.click("#stats-toggle").await;
    alice.click("#apart").await;
    until("the picture waits for the sound", SOON, async || {
        (held_back(&alice).await > together / 2.0).then_some(())
    })
    .await;
    alice.clean_console().await;
}

/// The call was hung up, and nobody could be called.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_choice_is_for_the_next_call() {
    let chat = Chat::start().await;
    let _device = device(&chat).await;
    let alice = viewer(&chat, "alice").await;
    alice.remember_call().await;
    chat.stop().await;
    let offline = "document.body.dataset.online === 'false'";
    alice.until_js("the server is missed", offline).await;
    alice.click("#stats-toggle").await;
    alice.click("#apart").await;
    alice.frames_rise(30).await;
    assert!(alice.is_same_call().await);
    let kept = "localStorage.getItem('apart')";
    assert_eq!(alice.js(kept).await, "yes");
}
