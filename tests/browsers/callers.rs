//! Callers that are not our page: GStreamer's webrtcbin, Python's aiortc, and a
//! script in a browser, with the ways of offering that they have. The first two
//! restart no ICE; webrtcbin (1.22) offers again with the credentials that it had.

use crate::support::browser::{Browser, Engine, Person};
use crate::support::caller::Caller;
use crate::support::device::{Device, TEST_MEDIA};
use crate::support::picture::assert_bars;
use crate::support::{Chat, SOON};
use serde_json::json;

/// What `audiotestsrc` of the device plays.
const TONE: f64 = 440.0;

struct Bed {
    chat: Chat,
    device: Device,
}

impl Bed {
    async fn start() -> Self {
        let chat = Chat::start().await;
        let device = Device::start(chat.addr, TEST_MEDIA).await;
        device.registered().await;
        Self { chat, device }
    }

    /// Calls, and the picture is the device's own; so is the sound, where there
    /// is to be some.
    async fn watches(&self, caller: &Caller, listens: bool) {
        caller.call();
        caller.frames_rise(30).await;
        assert_bars(&caller.seen().row);
        if listens {
            let right = |(pitch, level): (f64, f64)| {
                (pitch - TONE).abs() < 5.0 && (0.02..0.5).contains(&level)
            };
            caller
                .until("the tone", |seen| seen.sound.is_some_and(right))
                .await;
        }
    }

    /// Two calls, one after the other, and an offer anew in the first where
    /// that can be had.
    async fn calls_twice(&self, caller: &Caller, listens: bool, offers_again: bool) {
        for round in 1..=2 {
            self.watches(caller, listens).await;
            if round == 1 && offers_again {
                caller.offer_again();
                caller
                    .until("an answer", |seen| seen.answers.len() == 2)
                    .await;
                caller.frames_rise(15).await;
                assert_eq!(self.device.said("call"), 1, "it is the same call");
            }
            caller.hang_up().await;
            self.device.logs("hung up", round, SOON).await;
        }
        assert_eq!(self.device.said("connected"), 2);
        self.device.logs("stopped: nobody watches", 1, SOON).await;
    }
}

/// Each section has its own transport then, of which the device makes one.
#[tokio::test(flavor = "multi_thread")]
async fn webrtcbin_as_it_is_without_settings_watches() {
    let bed = Bed::start().await;
    let caller = Caller::webrtcbin(bed.chat.addr, "caller", "none", "VP8").await;
    bed.calls_twice(&caller, false, true).await;
    assert!(!caller.seen().offers[0].contains("a=group:BUNDLE"));
}

/// All sections but the first are `bundle-only` then.
#[tokio::test(flavor = "multi_thread")]
async fn webrtcbin_with_all_in_one_bundle_watches_and_listens() {
    let bed = Bed::start().await;
    let caller = Caller::webrtcbin(bed.chat.addr, "caller", "max-bundle", "H264").await;
    bed.calls_twice(&caller, true, true).await;
    assert!(caller.seen().offers[0].contains("a=bundle-only"));
}

#[tokio::test(flavor = "multi_thread")]
async fn webrtcbin_that_can_do_with_or_without_a_bundle_watches_and_listens() {
    let bed = Bed::start().await;
    let caller = Caller::webrtcbin(bed.chat.addr, "caller", "max-compat", "VP8").await;
    bed.calls_twice(&caller, true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aiortc_watches_and_listens() {
    let bed = Bed::start().await;
    let caller = Caller::aiortc(bed.chat.addr, "caller", "balanced").await;
    bed.calls_twice(&caller, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aiortc_with_all_in_one_bundle_watches_and_listens() {
    let bed = Bed::start().await;
    let caller = Caller::aiortc(bed.chat.addr, "caller", "max-bundle").await;
    bed.calls_twice(&caller, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_kind_in_chromium_is_answered_section_by_section_and_plays() {
    // A page of which nothing was clicked may play sound.
    let flags = vec!["--autoplay-policy=no-user-gesture-required".into()];
    let person = Person::default();
    a_page_of_any_kind_plays(Person { flags, ..person }).await;
}

/// It makes all sections but the first `bundle-only` where it may.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_kind_in_firefox_is_answered_section_by_section_and_plays() {
    a_page_of_any_kind_plays(Person::with_firefox()).await;
}

/// Somebody's own page in a browser: each policy of bundling with each shape of
/// an offer.
async fn a_page_of_any_kind_plays(person: Person) {
    let writes_bundle_only = person.engine == Engine::Firefox;
    let bed = Bed::start().await;
    let browser = Browser::start(person).await;
    let page = format!("http://localhost:{}/", bed.chat.addr.port());
    browser.client.goto(&page).await.expect("the page");
    let script = include_str!("../support/odd_caller.js");
    browser
        .client
        .execute(script, vec![])
        .await
        .expect("it runs");
    let sections = |sdp: &str| -> Vec<String> {
        let of = |l: &str| {
            let media = l.strip_prefix("m=").and_then(|m| m.split(' ').next());
            let mid = l.strip_prefix("a=mid:");
            media.or(mid).map(str::to_owned)
        };
        sdp.lines().filter_map(of).collect()
    };
    let mut calls = 0;
    for policy in ["balanced", "max-compat", "max-bundle"] {
        for shape in [
            "sound and picture",
            "picture first",
            "picture alone",
            "two pictures",
            "data first",
            "both ways",
            "sound alone",
        ] {
            calls += 1;
            let name = json!(format!("caller {calls}"));
            let call = format!("oddCall({name}, {:?}, {:?})", policy, shape);
            let came = browser.promise(&call).await;
            let text = |key: &str| came[key].as_str().unwrap_or_default().to_owned();
            if shape == "sound alone" {
                assert!(
                    text("hungUp").contains("no video section"),
                    "{policy}: {came}"
                );
                continue;
            }
            assert_eq!(came["state"], "connected", "{policy}, {shape}: {came}");
            let (offered, answered) = (text("offered"), text("answered"));
            assert_eq!(sections(&answered), sections(&offered), "{policy}, {shape}");
            let several = sections(&offered).len() > 2;
            if writes_bundle_only && several && policy == "max-bundle" {
                assert!(offered.contains("a=bundle-only"), "{shape}: {offered}");
            }
        }
    }
}
