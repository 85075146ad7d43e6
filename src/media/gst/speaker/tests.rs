use super::*;
use crate::media::element::parse;

/// Packets of a tone, as a browser makes them: 20 ms each.
pub(super) fn tone(packets: u32) -> Vec<Vec<u8>> {
    let description = format!(
        "audiotestsrc num-buffers={packets} samplesperbuffer=960 ! \
         audio/x-raw,rate=48000,channels=1 ! opusenc ! appsink name=out sync=false"
    );
    let pipeline = parse(&description, "a tone").expect("a pipeline");
    let sink = crate::media::element::sink(&pipeline, "a tone").expect("a sink");
    pipeline.set_state(gst::State::Playing).expect("it runs");
    let mut all = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a packet");
        all.push(buffer.map_readable().expect("memory").to_vec());
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    all
}

/// One that came just now.
fn packet(number: usize, payload: &[u8]) -> Packet {
    Packet {
        stream: 1,
        timestamp: 960 * number as u32,
        payload: payload.to_vec().into(),
        came: Instant::now(),
    }
}

#[test]
fn while_it_plays_a_sound_the_microphone_is_silent() {
    crate::media::element::init().expect("GStreamer is installed");
    let config = SpeakerConfig {
        device: Some("null".to_owned()),
        ..SpeakerConfig::default()
    };
    let duck = Duck::default();
    let speaker = Speaker::new(&config, duck.clone(), Played::default()).expect("configured");
    let clock = gst::SystemClock::obtain();
    let is_silent = || duck.silences(clock.time().into());
    let packets = tone(150);
    assert!(packets.len() > 140, "{}", packets.len());
    speaker.begin();
    let mut heard = false;
    for (i, payload) in packets.iter().enumerate() {
        speaker.play(packet(i, payload));
        std::thread::sleep(Duration::from_millis(20));
        heard |= is_silent();
    }
    assert_eq!(*speaker.trouble().borrow(), None);
    assert!(heard, "nothing was played");
    speaker.end();
    let until = Instant::now() + Duration::from_secs(10);
    while is_silent() {
        assert!(Instant::now() < until, "it does not end");
        std::thread::yield_now();
    }
}

/// Whoever presses and lets go as fast as they can: the one who talks then is heard.
#[test]
fn turns_that_follow_each_other_at_once_cost_no_voice() {
    crate::media::element::init().expect("GStreamer is installed");
    let config = SpeakerConfig {
        device: Some("null".to_owned()),
        ..SpeakerConfig::default()
    };
    let duck = Duck::default();
    let speaker = Speaker::new(&config, duck.clone(), Played::default()).expect("configured");
    let packets = tone(150);
    for _ in 0..20 {
        speaker.begin();
        speaker.play(packet(0, &packets[0]));
        speaker.end();
    }
    speaker.begin();
    let clock = gst::SystemClock::obtain();
    let mut heard = false;
    for (i, payload) in packets.iter().enumerate() {
        speaker.play(packet(i, payload));
        std::thread::sleep(Duration::from_millis(20));
        heard |= duck.silences(clock.time().into());
    }
    assert_eq!(*speaker.trouble().borrow(), None);
    assert!(heard, "nothing was played");
}

/// A device that is not there is said to be missing, and the next turn tries anew.
#[test]
fn one_that_is_missing_is_told_of_and_costs_nothing() {
    crate::media::element::init().expect("GStreamer is installed");
    let config = SpeakerConfig {
        device: Some("no-such-speaker".to_owned()),
        ..SpeakerConfig::default()
    };
    let speaker = Speaker::new(&config, Duck::default(), Played::default()).expect("configured");
    let trouble = speaker.trouble();
    for _ in 0..2 {
        assert_eq!(*trouble.borrow(), None);
        speaker.begin();
        let until = Instant::now() + Duration::from_secs(20);
        while trouble.borrow().is_none() {
            assert!(Instant::now() < until, "it is not told of");
            std::thread::yield_now();
        }
        assert!(
            trouble
                .borrow()
                .as_ref()
                .expect("words")
                .contains("no-such-speaker")
        );
        for _ in 0..1_000 {
            speaker.play(packet(0, &[0x80; 100]));
        }
        speaker.end();
    }
}
