//! What is said of the H.264 stream: the encoder's, or the camera's own.

use std::time::Duration;

use super::source::Output;
use super::*;
use crate::media::error::MediaError;
use crate::media::frame::AccessUnit;
use crate::media::status::State as Told;
use crate::media::stream::Encoding;

fn id(text: &str) -> ProfileLevelId {
    ProfileLevelId::parse(text).expect("six digits")
}

#[derive(Default)]
struct State {
    own: Option<OwnH264>,
    decoders: Vec<ProfileLevelId>,
    output: Option<Output>,
    forced: usize,
}

/// A source that is led by hand.
#[derive(Clone, Default)]
struct Led(Arc<Mutex<State>>);

impl Source for Led {
    fn start(&mut self, _: Stream, output: Output) -> Result<(), MediaError> {
        lock(&self.0).output = Some(output);
        Ok(())
    }

    fn stop(&mut self, _: Stream) {
        lock(&self.0).output = None;
    }

    fn force_key_frame(&mut self, _: Stream) {
        lock(&self.0).forced += 1;
    }

    fn set_decoders(&mut self, decoders: Vec<ProfileLevelId>) {
        lock(&self.0).decoders = decoders;
    }

    fn own_h264(&self) -> Option<OwnH264> {
        lock(&self.0).own
    }
}

/// Waits for the hub's thread, which has only this to do.
fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

impl Led {
    fn has(&self, hub: &Hub, own: Option<OwnH264>) {
        lock(&self.0).own = own;
        hub.nudge();
        until("the hub knows", || hub.own_h264() == own);
    }

    fn key_frame(&self, profile: ProfileLevelId) {
        let [a, b, c] = profile.0;
        let now = Instant::now();
        let mut state = lock(&self.0);
        let output = state.output.as_mut().expect("it was started");
        output.access_unit(AccessUnit {
            data: bytes::Bytes::copy_from_slice(&[0, 0, 0, 1, 0x67, a, b, c, 0, 0, 0, 1, 0x65, 1]),
            key: true,
            running_time: Duration::ZERO,
            captured_at: now,
            encoder_in: None,
            encoded_at: now,
        });
    }
}

#[test]
fn what_passes_through_is_named_to_those_who_have_a_decoder_of_it() {
    let led = Led::default();
    let (hub, thread) = Hub::start(Box::new(led.clone()), Some(id("42c01e")));
    assert_eq!(
        hub.profile_level_id(None),
        Some(id("42c01e")),
        "as the probe saw"
    );

    // Known, and encoded here all the same: it may follow within a call.
    let own = |passes| OwnH264 {
        profile: id("640028"),
        passes,
        is_open: passes,
    };
    led.has(&hub, Some(own(false)));
    assert_eq!(hub.profile_level_id(None), Some(id("42c028")));
    led.has(&hub, Some(own(true)));
    assert_eq!(hub.profile_level_id(None), Some(id("640028")));
    // Who asks is not there yet, and will keep it from passing once they are.
    let asks = |text| hub.profile_level_id(Some(id(text)));
    assert_eq!(asks("640c1f"), Some(id("640028")));
    assert_eq!(asks("42e01f"), Some(id("42c01e")));

    let covers = hub.decoder(id("640c1f"));
    until("the source is told", || {
        lock(&led.0).decoders == [id("640c1f")]
    });
    assert_eq!(hub.profile_level_id(None), Some(id("640028")));
    let less = hub.decoder(id("42e01f"));
    until("the source is told", || lock(&led.0).decoders.len() == 2);
    assert_eq!(
        hub.profile_level_id(None),
        Some(id("42c01e")),
        "it will not pass"
    );
    drop(less);
    until("the source is told", || {
        lock(&led.0).decoders == [id("640c1f")]
    });
    assert_eq!(hub.profile_level_id(None), Some(id("640028")));
    drop(covers);
    until("the source is told", || lock(&led.0).decoders.is_empty());
    thread.stop();
}

#[test]
fn the_profile_of_what_passed_through_is_not_taken_for_the_encoder_s() {
    let led = Led::default();
    let (hub, thread) = Hub::start(Box::new(led.clone()), None);
    assert_eq!(hub.profile_level_id(None), None);
    let _watch = hub.watch(Stream::Video(Encoding::H264));
    until("it is started", || lock(&led.0).output.is_some());
    led.key_frame(id("42c01f"));
    assert_eq!(hub.profile_level_id(None), Some(id("42c01f")));
    led.has(
        &hub,
        Some(OwnH264 {
            profile: id("4d4029"),
            passes: true,
            is_open: true,
        }),
    );
    led.key_frame(id("4d4029"));
    assert_eq!(hub.profile_level_id(None), Some(id("4d4029")));
    led.has(&hub, None);
    assert_eq!(hub.profile_level_id(None), Some(id("42c01f")));
    thread.stop();
}

/// Who came second waited for the encoder's next key frame, and cost the first
/// one, too.
#[test]
fn who_comes_finds_the_key_frame_that_was_made_when_they_rang() {
    let led = Led::default();
    let (hub, thread) = Hub::start(Box::new(led.clone()), None);
    let video = Stream::Video(Encoding::H264);
    hub.expect_viewer(video, false);
    let first = hub.watch(video);
    until("it is started", || lock(&led.0).output.is_some());
    assert_eq!(lock(&led.0).forced, 0, "nothing runs that could make one");

    hub.expect_viewer(video, false);
    until("one is forced", || lock(&led.0).forced == 1);
    led.key_frame(id("42c01f"));
    let second = hub.watch(video);
    let (recent, mut coming) = second.frames_with_recent();
    assert!(recent.len() == 1 && recent[0].key);
    assert!(coming.try_recv().is_err(), "it comes once");
    // Strangers who ring and do not come cost no more.
    for _ in 0..100 {
        hub.expect_viewer(video, false);
    }
    hub.nudge();
    let turns = hub.progress().turns;
    hub.nudge();
    until("the hub has looked", || hub.progress().turns > turns + 1);
    assert_eq!(lock(&led.0).forced, 1);
    drop((first, second));
    thread.stop();
}

#[test]
fn a_hub_that_starts_with_privacy_opens_nothing_until_it_may() {
    let led = Led::default();
    let (hub, thread) = Hub::start_so(Box::new(led.clone()), None, true);
    let is_open = || lock(&led.0).output.is_some();
    let status = hub.status();
    let picture = || status.borrow().video.state;
    let sound = || status.borrow().audio.state;
    let video = hub.watch(Stream::Video(Encoding::H264));
    let audio = hub.watch(Stream::Audio);
    until("viewers are told", || {
        picture() == Told::Private && sound() == Told::Private
    });
    assert!(!is_open());
    // Neither what is plugged in nor another source opens anything.
    hub.device_appeared();
    hub.nudge();
    assert!(!is_open());
    hub.set_private(false);
    until("it is opened", is_open);
    hub.set_private(true);
    until("it is closed", || !is_open());
    until("viewers are told again", || sound() == Told::Private);
    // Who goes while there is privacy leaves nothing behind that would open later.
    drop((video, audio));
    hub.set_private(false);
    hub.nudge();
    let _again = hub.watch(Stream::Audio);
    until("it is opened for who comes", is_open);
    drop(hub);
    thread.stop();
}
