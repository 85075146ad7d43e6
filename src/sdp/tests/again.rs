//! Offers within a call.

use super::*;

fn again(first: &Offer, sdp: &str) -> Result<Offer, OfferError> {
    let description = Description::read(sdp).expect("readable");
    assert!(description.is_of_same_peer(first));
    description.again(first)
}

/// What the caller takes of the call: its name, what stands in the offer, what is
/// there instead, and how the sections are answered.
const TAKEN: &[(&str, &str, &str, [&str; 3])] = &[
    (
        "the picture is on hold",
        "a=mid:1\r\na=recvonly",
        "a=mid:1\r\na=inactive",
        [
            "audio 9 #0 sendonly",
            "video 9 #1 inactive",
            "application 9 #2",
        ],
    ),
    (
        "the sound is on hold",
        "a=mid:0\r\na=recvonly",
        "a=mid:0\r\na=inactive",
        [
            "audio 9 #0 inactive",
            "video 9 #1 sendonly",
            "application 9 #2",
        ],
    ),
    (
        "all is on hold",
        "a=recvonly",
        "a=sendonly",
        [
            "audio 9 #0 inactive",
            "video 9 #1 inactive",
            "application 9 #2",
        ],
    ),
    (
        "the data channel is gone",
        "m=application 9",
        "m=application 0",
        [
            "audio 9 #0 sendonly",
            "video 9 #1 sendonly",
            "application 0 #2 inactive",
        ],
    ),
    (
        "the sound has other formats",
        "opus/48000/2",
        "PCMU/8000",
        [
            "audio 9 #0 inactive",
            "video 9 #1 sendonly",
            "application 9 #2",
        ],
    ),
    (
        "another format is liked better",
        "SAVPF 96 102",
        "SAVPF 102 96",
        [
            "audio 9 #0 sendonly",
            "video 9 #1 sendonly",
            "application 9 #2",
        ],
    ),
    (
        "and another one is there",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f",
        [
            "audio 9 #0 sendonly",
            "video 9 #1 sendonly",
            "application 9 #2",
        ],
    ),
    (
        "the other side would begin DTLS",
        "a=setup:actpass",
        "a=setup:active",
        [
            "audio 9 #0 sendonly",
            "video 9 #1 sendonly",
            "application 9 #2",
        ],
    ),
];

#[test]
fn the_crate_sees_the_same_call_whatever_the_caller_takes_of_it() {
    let whole = fixture("three-sections");
    let first = read(&whole);
    for &(name, change, to, expected) in TAKEN {
        let offer = again(&first, &whole.replace(change, to)).expect(name);
        assert_eq!(offer.for_crate(), first.for_crate(), "{name}");
        let answer = answer(&offer);
        let mut found = sections(&answer);
        for section in &mut found {
            if section.starts_with("application 9") {
                section.truncate("application 9 #2".len());
            }
        }
        assert_eq!(found, expected, "{name}\n{answer}");
        assert!(
            lines(&answer, "a=setup:").iter().all(|s| *s == "active"),
            "{name}"
        );
        assert_eq!(
            offer.takes_picture(),
            expected[1].ends_with("sendonly"),
            "{name}"
        );
        assert_eq!(
            offer.takes_sound(),
            expected[0].ends_with("sendonly"),
            "{name}"
        );
        // And back.
        let back = again(&offer, &whole).expect(name);
        assert_eq!(
            sections(&self::answer(&back)),
            sections(&self::answer(&first))
        );
    }
}

#[test]
fn a_section_that_comes_later_is_answered_in_its_place() {
    let whole = fixture("three-sections");
    let two = whole.split("m=application").next().expect("three sections");
    let first = read(&two.replace("BUNDLE 0 1 2", "BUNDLE 0 1"));
    assert!(!first.for_crate().contains("m=application"));
    let offer = again(&first, &whole).expect("one section more");
    assert!(offer.for_crate().starts_with(&first.for_crate().replace(
        "a=group:BUNDLE video sound",
        "a=group:BUNDLE video sound data"
    )));
    assert_eq!(sections(&answer(&offer)).len(), 3);
    // Sound that was not there at first has no track.
    let silent = read(&whole.replace("opus/48000/2", "PCMU/8000"));
    let offer = again(&silent, &whole).expect("the sound is new");
    assert_eq!(offer.for_crate(), silent.for_crate());
    assert!(!offer.takes_sound());
}

#[test]
fn an_ice_restart_is_the_crate_s_affair_and_no_more_changes() {
    let whole = fixture("three-sections");
    let first = read(&whole);
    let anew = whole.replace("a=ice-ufrag:Fx1t", "a=ice-ufrag:Anew");
    let offer = again(&first, &anew).expect("a restart");
    assert_eq!(offer.ufrags, ["Anew"]);
    let expected = first
        .for_crate()
        .replace("a=ice-ufrag:Fx1t", "a=ice-ufrag:Anew");
    assert_eq!(offer.for_crate(), expected);
}

#[test]
fn a_call_whose_formats_are_gone_is_ended_in_words() {
    let whole = fixture("three-sections");
    let first = read(&whole);
    for (change, to, error) in [
        ("H264/90000", "H265/90000", OfferError::OtherFormats),
        ("SAVPF 96 102", "SAVPF 96", OfferError::OtherFormats),
        ("m=video 9", "m=video 0", OfferError::NoVideo),
    ] {
        assert_eq!(
            again(&first, &whole.replace(change, to)),
            Err(error),
            "{to}"
        );
    }
}

#[test]
fn another_certificate_is_another_peer() {
    let whole = fixture("three-sections");
    let first = read(&whole);
    let other = whole.replace("sha-256 0B:", "sha-256 0C:");
    let description = Description::read(&other).expect("readable");
    assert!(!description.is_of_same_peer(&first));
}
