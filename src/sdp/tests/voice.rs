//! What a caller says, as offers and answers have it.

use super::*;

const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// An offer whose sound goes both ways; the first section is the sound.
fn both_ways() -> String {
    let text = fixture("three-sections");
    let (before, rest) = text.split_once("m=audio").expect("it has sound");
    let (sound, after) = rest.split_once("m=video").expect("it has a picture");
    let sound = sound.replace("a=recvonly", "a=sendrecv");
    let sound = sound.replacen(
        "a=mid:0\r\n",
        &format!("a=mid:0\r\na=extmap:9 {LEVEL}\r\n"),
        1,
    );
    format!("{before}m=audio{sound}m=video{after}")
}

#[test]
fn without_a_speaker_the_answer_is_what_it_was() {
    let offer = read(&both_ways());
    assert_eq!(offer.voice(), None);
    let text = answer(&offer);
    assert!(sections(&text)[0].ends_with("sendonly"), "{text}");
    assert!(!text.contains(LEVEL));
    // Where nothing is said nothing is heard.
    let silent = read(&fixture("three-sections"));
    assert_eq!(answer(&silent), answer(&silent.clone().hearing()));
}

#[test]
fn what_is_said_is_taken_in_the_callers_own_format_with_its_level() {
    let offer = read(&both_ways()).hearing();
    let voice = offer.voice().expect("it is heard");
    assert_eq!(Some(voice.opus), offer.sound.as_ref().map(|s| s.opus));
    assert_eq!(voice.level, Some(9));
    let text = answer(&offer);
    assert!(sections(&text)[0].ends_with("sendrecv"), "{text}");
    assert_eq!(text.matches(&format!("a=extmap:9 {LEVEL}\r\n")).count(), 1);
    // The crate knows nothing of it.
    assert_eq!(offer.for_crate(), read(&both_ways()).for_crate());
}

#[test]
fn who_gets_no_sound_may_be_heard_all_the_same_and_in_a_later_offer_too() {
    let offer = read(&both_ways()).without_sound();
    let heard = offer.clone().hearing();
    assert!(sections(&answer(&heard))[0].ends_with("recvonly"));
    let again = Description::read(&both_ways()).expect("readable");
    let again = again.again(&offer).expect("it goes on").hearing();
    assert!(sections(&answer(&again))[0].ends_with("recvonly"));
    assert_eq!(again.voice(), heard.voice());
}

#[test]
fn a_caller_on_hold_says_nothing() {
    let first = read(&both_ways());
    let held = both_ways().replace("a=sendrecv", "a=recvonly");
    let again = Description::read(&held).expect("readable");
    let again = again.again(&first).expect("it goes on").hearing();
    assert_eq!(again.voice(), None);
    assert!(sections(&answer(&again))[0].ends_with("sendonly"));
}

#[test]
fn a_level_under_the_number_of_another_extension_is_none() {
    let cc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let mid = "a=mid:1\r\n";
    let text = both_ways().replace(mid, &format!("{mid}a=extmap:9 {cc}\r\n"));
    let offer = read(&text).hearing();
    assert_eq!(offer.voice().expect("heard").level, None);
    assert!(!answer(&offer).contains(LEVEL));
}
