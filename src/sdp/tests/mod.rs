//! Whole offers: what is chosen of them, what the crate is given, and how they
//! are answered. The crate is played by an echo; the real one is in
//! `tests/calls/offers.rs`.

mod again;
mod odd;
mod voice;

use super::*;

const CHROMIUM: &str = include_str!("../../../tests/fixtures/offer-chromium.sdp");
const FIREFOX: &str = include_str!("../../../tests/fixtures/offer-firefox-no-h264.sdp");

fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers");
    std::fs::read_to_string(format!("{folder}/{name}.sdp")).expect("a fixture of this name")
}

fn read(sdp: &str) -> Offer {
    Offer::parse(sdp).expect("a good offer")
}

/// The crate's answer, as far as it depends on what the crate is given.
fn echo(offer: &Offer) -> String {
    let mut text = String::from("v=0\r\no=- 7 8 IN IP4 0.0.0.0\r\na=fingerprint:sha-256 AA\r\n");
    for line in offer
        .for_crate()
        .lines()
        .skip_while(|l| !l.starts_with("m="))
    {
        let line = match line {
            "a=recvonly" => "a=sendonly",
            _ if line.starts_with("a=ice-ufrag") => "a=ice-ufrag:ours",
            _ if line.starts_with("a=ice-pwd") => "a=ice-pwd:ourpassword",
            _ if line.starts_with("a=setup") => "a=setup:active",
            _ if line.starts_with("a=fingerprint") => continue,
            _ => line,
        };
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

fn answer(offer: &Offer) -> String {
    offer.answer(&echo(offer), None).expect("an answer")
}

/// Of each section of an answer: its kind, its port, its mid, its direction.
fn sections(answer: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in answer.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let words: Vec<_> = media.split(' ').take(2).collect();
            all.push(words.join(" "));
        } else if let Some(section) = all.last_mut() {
            match line {
                "a=sendonly" | "a=inactive" | "a=sendrecv" | "a=recvonly" => {
                    section.push_str(&line.replace("a=", " "));
                }
                _ if line.starts_with("a=mid:") => section.push_str(&line.replace("a=mid:", " #")),
                _ => {}
            }
        }
    }
    all
}

fn lines<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|l| l.strip_prefix(prefix))
        .collect()
}

/// Every fixture, and how it is answered.
#[test]
fn offers_of_the_field_are_answered() {
    const SOUND: &str = "audio 9 #0 sendonly";
    const VIDEO: &str = "video 9 #1 sendonly";
    const DATA: &str = "application 9 #2";
    for (name, expected, bundle) in [
        ("three-sections", vec![SOUND, VIDEO, DATA], Some("0 1 2")),
        ("max-bundle-sound-first", vec![SOUND, VIDEO], Some("0 1")),
        (
            "max-bundle-data-first",
            vec![
                "application 9 #0",
                "audio 9 #1 sendonly",
                "video 9 #2 sendonly",
            ],
            Some("0 1 2"),
        ),
        (
            "bundle-unsaid",
            vec!["audio 0 #audio0 inactive", "video 9 #video1 sendonly"],
            None,
        ),
        (
            "mid-unsaid",
            vec!["audio 0 inactive", "video 9 sendonly"],
            None,
        ),
        ("group-ls-first", vec![SOUND, VIDEO], Some("0 1")),
        ("static-payload-types", vec![SOUND, VIDEO], Some("0 1")),
        ("direction-unsaid", vec![SOUND, VIDEO], Some("0 1")),
        ("setup-of-session", vec![SOUND, VIDEO], Some("0 1")),
        ("candidate-host-name", vec![SOUND, VIDEO], Some("0 1")),
        ("candidate-type-future", vec![SOUND, VIDEO], Some("0 1")),
        ("hash-sha1-of-session", vec![SOUND, VIDEO], Some("0 1")),
        ("data-dtls-sctp", vec![SOUND, VIDEO, DATA], Some("0 1 2")),
        (
            "other-kinds",
            vec![
                "image 0 inactive",
                SOUND,
                "text 0 #text inactive",
                "application 0 #floor inactive",
                VIDEO,
                "message 0 inactive",
                DATA,
                "haptics 0 #future inactive",
            ],
            Some("0 1 2"),
        ),
    ] {
        let answer = answer(&read(&fixture(name)));
        assert_eq!(sections(&answer), expected, "{name}\n{answer}");
        let group = lines(&answer, "a=group:BUNDLE ");
        assert_eq!(group.first().copied(), bundle, "{name}\n{answer}");
        let setup = match name {
            "setup-of-session" => "passive",
            _ => "active",
        };
        let in_each = vec![setup; expected.len()];
        assert_eq!(lines(&answer, "a=setup:"), in_each, "{name}");
        let credentials = lines(&answer, "a=ice-ufrag:").len();
        assert_eq!(credentials, expected.len(), "{name}");
    }
    let rejected = Offer::parse(&fixture("video-rejected"));
    assert_eq!(rejected, Err(OfferError::NoVideo));
}

#[test]
fn reads_what_chromium_offers() {
    let offer = read(CHROMIUM);
    assert_eq!(offer.ufrags, ["Kx3f"]);
    let sound = offer.sound.as_ref().expect("it takes Opus");
    assert_eq!(
        (sound.opus, sound.fmtp.as_str(), sound.inband_fec),
        (111, "minptime=10;useinbandfec=1", true)
    );
    let red = RedFormat {
        payload_type: 63,
        fmtp: "111/111".into(),
    };
    assert_eq!(sound.red, Some(red));
    let video = &offer.video;
    assert_eq!(
        (
            video.codec,
            video.payload_type,
            video.rtx,
            video.fmtp.as_str()
        ),
        (
            VideoCodec::H264,
            108,
            Some(109),
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
        )
    );
}

#[test]
fn the_crate_is_given_what_is_used_and_nothing_else() {
    let given = read(CHROMIUM).for_crate();
    let expected = "\
v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE video sound
m=video 9 UDP/TLS/RTP/SAVPF 108 109
c=IN IP4 0.0.0.0
a=mid:video
a=ice-ufrag:Kx3f
a=ice-pwd:0123456789abcdefghijklmn
a=ice-options:trickle
a=fingerprint:sha-256 A7:F1:58:35:37:E9:36:D1:F8:87:4A:2A:99:81:46:06:1F:38:41:11:1F:47:E7:0E:40:FC:35:A9:DE:67:D4:C1
a=setup:passive
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=rtpmap:108 H264/90000
a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtcp-fb:108 goog-remb
a=rtcp-fb:108 transport-cc
a=rtcp-fb:108 ccm fir
a=rtcp-fb:108 nack
a=rtcp-fb:108 nack pli
a=rtpmap:109 rtx/90000
a=fmtp:109 apt=108
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
c=IN IP4 0.0.0.0
a=mid:sound
a=ice-ufrag:Kx3f
a=ice-pwd:0123456789abcdefghijklmn
a=ice-options:trickle
a=fingerprint:sha-256 A7:F1:58:35:37:E9:36:D1:F8:87:4A:2A:99:81:46:06:1F:38:41:11:1F:47:E7:0E:40:FC:35:A9:DE:67:D4:C1
a=setup:passive
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtcp-fb:111 transport-cc
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
";
    assert_eq!(given.replace("\r\n", "\n"), expected);
}

#[test]
fn a_browser_without_h264_is_served_vp8() {
    let offer = read(FIREFOX);
    assert_eq!(
        (offer.video.codec, offer.video.payload_type, offer.video.rtx),
        (VideoCodec::Vp8, 120, Some(124))
    );
    let sound = offer.sound.expect("it takes Opus");
    assert_eq!(
        (sound.opus, sound.fmtp.as_str()),
        (109, "maxplaybackrate=48000;stereo=1;useinbandfec=1")
    );
}

#[test]
fn what_is_offered_against_loss_is_read() {
    let sound = |offer: &str| read(offer).sound;
    let without = CHROMIUM.replace("useinbandfec=1", "useinbandfec=0");
    assert!(sound(&without).is_some_and(|s| !s.inband_fec));
    let without = CHROMIUM.replace("a=fmtp:111 minptime=10;useinbandfec=1\r\n", "");
    assert!(sound(&without).is_some_and(|s| !s.inband_fec));
    // RED of something else, or of nothing.
    for other in ["111/9", "9/9", "111", "x/111", ""] {
        let offer = CHROMIUM.replace("a=fmtp:63 111/111", &format!("a=fmtp:63 {other}"));
        assert!(sound(&offer).is_some_and(|s| s.red.is_none()), "{other}");
    }
    let thrice = CHROMIUM.replace("a=fmtp:63 111/111", "a=fmtp:63 111/111/111");
    assert!(sound(&thrice).is_some_and(|s| s.red.is_some()));
}

#[test]
fn an_offer_that_cannot_be_answered_is_refused_in_words() {
    let cut = CHROMIUM.split("m=video").next().expect("audio first");
    assert_eq!(Offer::parse(cut), Err(OfferError::NoVideo));
    let long = format!("{CHROMIUM}a=x:{}\r\n", "y".repeat(1 << 20));
    let error = Offer::parse(&long).expect_err("too long").to_string();
    assert!(error.contains("limit is 61440"), "{error}");
    let many = CHROMIUM.to_owned() + &"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(31);
    assert_eq!(Offer::parse(&many), Err(OfferError::TooManySections));
    assert_eq!(Offer::parse("hello"), Err(OfferError::NoSections));
    for odd in ["m=", "m=\u{e9} 9 X 1"] {
        let offer = CHROMIUM.to_owned() + odd;
        assert_eq!(
            Offer::parse(&offer),
            Err(OfferError::BadSection(3)),
            "{odd}"
        );
    }
    for (change, to, error) in [
        ("a=recvonly", "a=sendonly", OfferError::NoVideo),
        ("a=recvonly", "a=inactive", OfferError::NoVideo),
        ("m=video 9", "m=video 0", OfferError::NoVideo),
        ("m=video 9", "m=video nine", OfferError::NoVideo),
        (" 102 103", " 102", OfferError::NoFormat),
        ("a=rtcp-mux", "a=x", OfferError::NoRtcpMux),
        ("UDP/TLS/RTP/SAVPF", "UDP/TLS/MP2T", OfferError::NoFormat),
    ] {
        let mut offer = CHROMIUM.replace(change, to);
        if error == OfferError::NoFormat {
            offer = offer.replace(" H264/", " H265/").replace(" VP8/", " X/");
        }
        assert_eq!(Offer::parse(&offer), Err(error), "{to}");
    }
    for (change, to) in [
        ("a=ice-ufrag", "a=x"),
        ("a=ice-pwd", "a=x"),
        ("a=fingerprint", "a=x"),
        ("sha-256", "sha-1"),
        ("Kx3f", "Kx3"),
        ("Kx3f", "Kx 3f"),
        ("0123456789abcdefghijklmn", "0123456789abcdefghijk"),
        ("0123456789abcdefghijklmn", "0123456789abcdefghijkl-n"),
        (":D4:C1", ":D4:C1:00"),
        (":D4:C1", ":D4"),
        (":D4:C1", ":D4:+1"),
    ] {
        let found = Offer::parse(&CHROMIUM.replace(change, to));
        assert!(
            matches!(found, Err(OfferError::Missing(_))),
            "{to}: {found:?}"
        );
    }
}

#[test]
fn the_answer_carries_the_level_of_the_stream() {
    let offer = read(CHROMIUM);
    let finished = |offer: &Offer, stream| {
        let stream = ProfileLevelId::parse(stream);
        offer.answer(&echo(offer), stream).expect("an answer")
    };
    let text = finished(&offer, "42c028");
    assert_eq!(
        lines(&text, "a=fmtp:108 "),
        ["level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c028"]
    );
    assert_eq!(lines(&text, "a=fmtp:111 "), ["minptime=10;useinbandfec=1"]);
    // Another profile keeps its name and takes our level.
    let high = CHROMIUM.replace(
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f",
    );
    let high = high.replace("profile-level-id=42001f", "profile-level-id=ffffff");
    let high = high.replace("profile-level-id=4d001f", "profile-level-id=ffffff");
    let text = finished(&read(&high), "42c028");
    assert!(text.contains("profile-level-id=640c28"), "{text}");
    // Without leave the level is not above the offered one.
    let strict = read(&CHROMIUM.replace("level-asymmetry-allowed=1;", ""));
    for (stream, level) in [("42c028", "42c01f"), ("42c01e", "42c01e")] {
        let text = finished(&strict, stream);
        let fmtp = format!("packetization-mode=1;profile-level-id={level}");
        assert_eq!(lines(&text, "a=fmtp:108 "), [fmtp.as_str()]);
    }
}

/// What is seen at a glance is what is read, of browsers' offers; and where there
/// is more than one certificate, or none, neither says who wrote it.
#[test]
fn a_glance_sees_the_author_that_a_reading_finds() {
    for sdp in [CHROMIUM, FIREFOX] {
        let read = Description::read(sdp).expect("a browser's");
        let seen = glance(sdp).expect("it has both");
        assert_eq!(Some(seen.author()), read.author());
    }
    let line = CHROMIUM.lines().find(|l| l.starts_with("a=fingerprint"));
    let line = line.expect("one");
    for odd in [
        CHROMIUM.replace("a=fingerprint", "a=other"),
        CHROMIUM.replace("a=ice-ufrag", "a=other"),
        CHROMIUM.replacen(line, "a=fingerprint:sha-256 AA:BB", 1),
        CHROMIUM.replacen(line, &format!("{line}\r\n{}", line.replace("A7", "A8")), 1),
        format!("{CHROMIUM}{}", "x".repeat(MAX_SDP_BYTES)),
    ] {
        assert!(glance(&odd).is_none());
        assert!(Description::read(&odd).map_or(true, |d| d.author().is_none()));
    }
}
