//! Callers that are no browser: GStreamer's webrtcbin and Python's aiortc, with
//! the ways of offering that they have. Neither restarts ICE; webrtcbin (1.22)
//! offers again with the credentials that it had.

mod support;

use support::caller::Caller;
use support::device::{Device, TEST_MEDIA};
use support::picture::assert_bars;
use support::{Chat, SOON};

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
