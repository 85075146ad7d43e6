//! People with a real Firefox on our page: it has no H.264 and no RED, writes
//! its offers in another way than Chromium, and counts some things otherwise.

mod support;

use serde_json::json;
use support::Chat;
use support::browser::{Browser, Person};
use support::picture::picture;

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

#[tokio::test(flavor = "multi_thread")]
async fn people_with_firefox_and_chromium_call_each_other() {
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
        caller.restart_ice().await;
        tokio::join!(caller.frames_rise(20), callee.frames_rise(20));
        callee.click("#hangup").await;
        tokio::join!(caller.state("idle"), callee.state("idle"));
    }
    alice.clean_console().await;
    bob.clean_console().await;
}
