//! Offers that no browser writes today, and some that one did.

use super::*;
use crate::wire;

/// The fixture of three sections, changed.
fn changed(changes: &[(&str, &str)]) -> String {
    let whole = fixture("three-sections");
    changes.iter().fold(whole, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn lines_end_as_they_like_and_odd_ones_are_passed_over() {
    let whole = fixture("three-sections");
    let expected = read(&whole);
    let odd = "\r\n\r\nhello\r\nm\r\na\r\na=\r\n=\r\na=:\r\nz=x\r\na=é:é\r\na=candidate:x\r\n\
        a=rtpmap:x\r\na=rtpmap:999 X/1\r\na=rtpmap:96\r\na=fmtp:\r\na=fmtp:96\r\na=rtcp-fb:\r\n\
        a=extmap:\r\na=extmap:3\r\na=ice-ufrag:\r\na=setup:later\r\na=fingerprint:md5 00\r\n\
        a=fingerprint:sha-256\r\na=fingerprint:sha-256 00:01\r\na=mid:\r\na=mid:longer-than-sixteen\r\n\
        a=sctp-port:x\r\na=group:BUNDLE 7\r\n";
    for text in [
        whole.replace("\r\n", "\n"),
        whole.replace("\r\n", "\r"),
        whole.trim_end().to_owned(),
        whole.replace("\r\n", " \r\n  "),
        whole.replace("c=IN IP4 0.0.0.0\r\n", odd),
        whole.replace("v=0\r\n", &format!("\u{feff}v=0{odd}")),
        format!("{whole}{odd}"),
        whole.replace("a=mid:", "a=mid: "),
        whole.replace("a=setup:actpass", "a=setup:actpass\r\na=setup:active"),
        whole.replace("opus/48000/2", "OPUS/48000/2"),
        whole.replace("H264", "h264"),
    ] {
        let offer = read(&text);
        assert_eq!(offer.for_crate(), expected.for_crate(), "{text}");
        assert_eq!(
            sections(&answer(&offer)),
            sections(&answer(&expected)),
            "{text}"
        );
    }
}

#[test]
fn a_section_whose_line_breaks_off_is_rejected_alone() {
    let whole = fixture("three-sections");
    let expected = answer(&read(&whole));
    for (odd, line) in [
        ("m=video", "video 0 UDP/TLS/RTP/SAVPF 0"),
        ("m=audio 9", "audio 0 UDP/TLS/RTP/SAVPF 0"),
        ("m=video 9 RTP/AVP", "video 0 RTP/AVP 0"),
    ] {
        let offer = read(&format!("{whole}{odd}\r\n"));
        let answer = answer(&offer);
        let [before @ .., last] = &lines(&answer, "m=")[..] else {
            panic!("no sections")
        };
        assert_eq!(before, lines(&expected, "m="), "{answer}");
        assert_eq!(*last, line);
    }
}

#[test]
fn what_is_said_for_the_session_holds_for_its_sections() {
    let whole = fixture("three-sections");
    let expected = read(&whole);
    let mut session = String::new();
    let mut sections = whole.clone();
    for key in [
        "a=ice-ufrag",
        "a=ice-pwd",
        "a=fingerprint",
        "a=setup",
        "a=recvonly",
        "a=rtcp-mux",
    ] {
        let line = whole.lines().find(|l| l.starts_with(key)).expect(key);
        session.push_str(&format!("{line}\r\n"));
        sections = sections.replace(&format!("{line}\r\n"), "");
    }
    let text = sections.replacen("t=0 0\r\n", &format!("t=0 0\r\n{session}"), 1);
    assert_eq!(read(&text).for_crate(), expected.for_crate(), "{text}");
}

#[test]
fn the_other_side_begins_where_it_says_so_or_says_nothing() {
    for (setup, ours) in [
        ("a=setup:actpass", "active"),
        ("a=setup:passive", "active"),
        ("a=setup:active", "passive"),
        ("a=setup:holdconn", "passive"),
        ("a=x", "passive"),
    ] {
        let offer = read(&changed(&[("a=setup:actpass", setup)]));
        let text = answer(&offer);
        assert!(
            lines(&text, "a=setup:").iter().all(|s| *s == ours),
            "{setup}\n{text}"
        );
        // What the crate is told leaves it no choice.
        let theirs = if ours == "active" {
            "passive"
        } else {
            "active"
        };
        let given = offer.for_crate();
        assert!(
            lines(&given, "a=setup:").iter().all(|s| *s == theirs),
            "{setup}\n{given}"
        );
    }
}

#[test]
fn one_picture_is_served_and_the_bundle_hangs_on_its_first_section() {
    let with = |changes: &[(&str, &str)]| sections(&answer(&read(&changed(changes))));
    // Nothing in the first section can be sent, but it cannot be rejected alone.
    let pcma = with(&[
        ("SAVPF 111", "SAVPF 8"),
        ("a=rtpmap:111 opus/48000/2\r\n", ""),
    ]);
    assert_eq!(pcma[0], "audio 9 #0 inactive");
    let sends = with(&[("a=mid:0\r\na=recvonly", "a=mid:0\r\na=sendonly")]);
    assert_eq!(sends[0], "audio 9 #0 inactive");
    // A section that is not the first can.
    let other = with(&[
        ("BUNDLE 0 1 2", "BUNDLE 1 0 2"),
        ("opus/48000/2", "PCMU/8000"),
    ]);
    assert_eq!(other[0], "audio 0 #0 inactive");
    // Two pictures: the first one that is taken.
    let whole = fixture("three-sections");
    let at = whole.find("m=video").expect("a picture");
    let end = whole.find("m=application").expect("data");
    let twice = format!(
        "{}{}{}",
        &whole[..end],
        whole[at..end].replace("a=mid:1", "a=mid:3"),
        &whole[end..]
    );
    let twice = twice.replace("BUNDLE 0 1 2", "BUNDLE 0 1 3 2");
    let found = sections(&answer(&read(&twice)));
    assert_eq!(found[1..3], ["video 9 #1 sendonly", "video 0 #3 inactive"]);
    let other = twice.replacen("a=mid:1\r\na=recvonly", "a=mid:1\r\na=sendonly", 1);
    let found = sections(&answer(&read(&other)));
    assert_eq!(found[1..3], ["video 0 #1 inactive", "video 9 #3 sendonly"]);
    let other = twice
        .replacen("96 VP8", "96 X", 1)
        .replacen("102 H264", "102 X", 1);
    let found = sections(&answer(&read(&other)));
    assert_eq!(found[1..3], ["video 0 #1 inactive", "video 9 #3 sendonly"]);
}

#[test]
fn who_is_not_in_the_picture_s_bundle_is_rejected() {
    for (group, expected) in [
        ("BUNDLE 1", [0, 9, 0]),
        ("BUNDLE 1 2", [0, 9, 9]),
        ("bundle 0 1 2", [9, 9, 9]),
        ("BUNDLE 0 2\r\na=group:BUNDLE 1", [0, 9, 0]),
        ("BUNDLE 0\r\na=group:BUNDLE 2 1 1 1 x", [0, 9, 9]),
        ("BUNDLE", [0, 9, 0]),
        ("LS 0 1 2", [0, 9, 0]),
    ] {
        let text = answer(&read(&changed(&[("BUNDLE 0 1 2", group)])));
        let found: Vec<_> = sections(&text)
            .iter()
            .map(|s| s.split(' ').nth(1).and_then(|port| port.parse().ok()))
            .collect();
        assert_eq!(found, expected.map(Some), "{group}\n{text}");
    }
}

#[test]
fn the_transport_is_that_of_the_bundle_s_first_section() {
    let whole = fixture("three-sections");
    let first = whole.replacen("a=ice-ufrag:Fx1t", "a=ice-ufrag:First", 1);
    let offer = read(&first);
    assert_eq!(offer.ufrags, ["First", "Fx1t"]);
    assert!(offer.for_crate().contains("a=ice-ufrag:First"));
    assert_eq!(offer.carrier(), (Some("0"), 0));
    // Without a bundle it is the picture's own.
    let alone = read(&first.replace("a=group:BUNDLE", "a=group:X"));
    assert!(alone.for_crate().contains("a=ice-ufrag:Fx1t"));
    assert_eq!(alone.carrier(), (Some("1"), 1));
    // A section that says nothing of it leaves it to the next.
    let silent = first.replacen("a=ice-pwd", "a=x", 1);
    assert!(read(&silent).for_crate().contains("a=ice-ufrag:Fx1t"));
}

#[test]
fn mids_and_protocols_are_repeated_as_they_came() {
    for mid in ["v", "audio-section_1", "0123456789abcdef"] {
        let text = changed(&[
            ("a=mid:1", &format!("a=mid:{mid}")),
            (" 0 1 2", &format!(" 0 {mid} 2")),
        ]);
        let answer = answer(&read(&text));
        assert_eq!(sections(&answer)[1], format!("video 9 #{mid} sendonly"));
        assert_eq!(lines(&answer, "a=group:BUNDLE "), [format!("0 {mid} 2")]);
    }
    // The second owner of a mid has none, and so no bundle.
    let text = answer(&read(&changed(&[("a=mid:0", "a=mid:1")])));
    let expected = ["audio 0 #1 inactive", "video 9 sendonly"];
    assert_eq!(sections(&text)[..2], expected);
}

#[test]
fn every_rtp_profile_is_taken_for_what_it_is_made_of() {
    for protocol in [
        "RTP/SAVPF",
        "RTP/SAVP",
        "UDP/TLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "RTP/AVPF",
        "RTP/AVP",
        "udp/tls/rtp/savpf",
    ] {
        let answer = answer(&read(&changed(&[("UDP/TLS/RTP/SAVPF", protocol)])));
        assert!(
            answer.contains(&format!("m=video 9 {protocol} 102\r\n")),
            "{answer}"
        );
    }
    // What is not encrypted says no fingerprint.
    let plain = changed(&[("UDP/TLS/RTP/SAVPF", "RTP/AVP"), ("a=fingerprint", "a=x")]);
    let error = Offer::parse(&plain).expect_err("not encrypted").to_string();
    assert!(error.contains("only encrypted calls"), "{error}");
}

#[test]
fn feedback_and_extensions_are_taken_where_they_can_be_used() {
    let given = |changes: &[(&str, &str)]| read(&changed(changes)).for_crate();
    let all = given(&[(
        "a=rtcp-fb:102 nack\r\n",
        "a=rtcp-fb:* nack\r\na=rtcp-fb:*  ccm  fir\r\n",
    )]);
    assert_eq!(
        lines(&all, "a=rtcp-fb:102 "),
        ["ccm fir", "nack", "nack pli"]
    );
    let odd = given(&[(
        "a=rtcp-fb:102 nack\r\n",
        "a=rtcp-fb:102 nack sli\r\na=rtcp-fb:102 x\r\n",
    )]);
    assert_eq!(lines(&odd, "a=rtcp-fb:102 "), ["nack pli"]);

    let cc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let delay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    for (extmaps, expected) in [
        (format!("a=extmap:3 {cc}"), vec![format!("3 {cc}")]),
        (format!("a=extmap:3/recvonly {cc}"), vec![format!("3 {cc}")]),
        (format!("a=extmap:3/sendonly {cc}"), vec![]),
        (format!("a=extmap:3/inactive {cc}"), vec![]),
        (format!("a=extmap:3/x {cc}"), vec![]),
        (format!("a=extmap:0 {cc}"), vec![]),
        (
            format!("a=extmap:14 {cc} and more"),
            vec![format!("14 {cc}")],
        ),
        (format!("a=extmap:15 {cc}"), vec![]),
        (format!("a=extmap:4096 {cc}"), vec![]),
        (
            format!("a=extmap:3 {cc}\r\na=extmap:3 {delay}"),
            vec![format!("3 {cc}")],
        ),
        (
            format!("a=extmap:3 {cc}\r\na=extmap:4 {cc}"),
            vec![format!("3 {cc}")],
        ),
    ] {
        let text = given(&[("a=mid:1\r\n", &format!("a=mid:1\r\n{extmaps}\r\n"))]);
        assert_eq!(lines(&text, "a=extmap:"), expected, "{extmaps}");
    }
    // The sound's is not in the way of the picture's.
    let text = given(&[
        ("a=mid:0\r\n", &format!("a=mid:0\r\na=extmap:3 {cc}\r\n")),
        ("a=mid:1\r\n", &format!("a=mid:1\r\na=extmap:3 {delay}\r\n")),
    ]);
    assert_eq!(lines(&text, "a=extmap:"), [format!("3 {delay}")]);
}

#[test]
fn a_device_without_sound_lets_that_section_stand_still() {
    let offer = read(&fixture("three-sections")).without_sound();
    assert!(offer.sound.is_none() && !offer.for_crate().contains("m=audio"));
    assert_eq!(sections(&answer(&offer))[0], "audio 9 #0 inactive");
}

#[test]
fn candidates_in_an_offer_are_those_of_its_transport_each_place_once() {
    let line =
        |host: u8, port: usize| format!("a=candidate:1 1 udp 1 192.0.2.{host} {port} typ host\r\n");
    let mut sound = line(1, 1) + &line(1, 1) + &line(1, 2);
    sound += "a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive\r\n";
    sound += "a=candidate:1 1 udp 1 224.0.0.1 9 typ host\r\n";
    let video: String = (1..=100).map(|port| line(2, port)).collect();
    let changes = [
        ("a=mid:0\r\n", format!("a=mid:0\r\n{sound}")),
        ("a=mid:1\r\n", format!("a=mid:1\r\n{}{video}", line(1, 1))),
    ];
    let text = changed(&changes.each_ref().map(|(from, to)| (*from, to.as_str())));
    let found = read(&text).candidates;
    assert_eq!(found.len(), 2 + MAX_CANDIDATES / 2, "{found:?}");
    assert_eq!(
        found[1].to_string(),
        "candidate:1 1 udp 1 192.0.2.1 2 typ host"
    );
    let alone = read(&text.replace("a=group:BUNDLE", "a=group:X")).candidates;
    assert_eq!(alone.len(), MAX_CANDIDATES, "{alone:?}");
}

#[test]
fn a_trickled_candidate_belongs_to_the_transport_that_it_names() {
    let whole = fixture("three-sections");
    let bundled = read(&whole);
    let alone = read(&whole.replace("a=group:BUNDLE", "a=group:X"));
    let apart = whole.replacen("a=ice-ufrag:Fx1t", "a=ice-ufrag:First", 1);
    let apart = read(&apart.replace("a=group:BUNDLE", "a=group:X"));
    let place = |offer: &Offer, mid: Option<&str>, index: Option<u16>, ufrag: Option<&str>| {
        offer.place(&wire::Candidate {
            candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(),
            sdp_mid: mid.map(str::to_owned),
            sdp_mline_index: index,
            username_fragment: ufrag.map(str::to_owned),
        })
    };
    use Place::*;
    for (offer, mid, index, ufrag, expected) in [
        (&bundled, Some("0"), Some(0), Some("Fx1t"), OnPath),
        (&bundled, Some("0"), None, None, OnPath),
        (&bundled, None, Some(0), None, OnPath),
        (&bundled, None, None, None, OnPath),
        (&bundled, Some(""), None, None, OnPath),
        (&bundled, Some("x"), None, Some("Fx1t"), OnPath),
        (&bundled, Some("1"), Some(1), Some("Fx1t"), Beside),
        (&bundled, Some("1"), Some(0), None, Beside),
        (&bundled, None, Some(2), None, Beside),
        (&bundled, None, Some(9), None, OnPath),
        // Of the generation before.
        (&bundled, Some("0"), None, Some("Past"), OnPath),
        (&alone, Some("1"), None, None, OnPath),
        (&alone, Some("0"), None, None, Elsewhere),
        (&alone, Some("0"), None, Some("Fx1t"), Beside),
        (&apart, Some("0"), None, Some("First"), Elsewhere),
        (&apart, Some("1"), None, Some("First"), Elsewhere),
        (&apart, Some("1"), None, Some("Fx1t"), OnPath),
    ] {
        let found = place(offer, mid, index, ufrag);
        assert_eq!(found, expected, "{mid:?} {index:?} {ufrag:?}");
    }
}

/// Chromium's formats: 42001f is 102, 42e01f 108, 4d001f 116, f4001f 41, VP8 96.
#[test]
fn a_camera_s_own_h264_gets_a_format_that_covers_it() {
    let chosen = |sdp: &str, own: &str, passes: bool| {
        let own = ProfileLevelId::parse(own).expect("six digits");
        read(sdp).suited(own, passes).video.payload_type
    };
    let high = CHROMIUM.replace(
        "packetization-mode=1;profile-level-id=f4001f",
        "packetization-mode=1;profile-level-id=640c1f",
    );
    for (sdp, own, passes, expected) in [
        (CHROMIUM, "42c028", true, 108),
        (CHROMIUM, "420028", true, 108),
        (CHROMIUM, "4d4028", true, 116),
        (CHROMIUM, "4d4028", false, 116),
        (CHROMIUM, "640028", true, 41),
        (&high, "640028", true, 41),
        // Nobody decodes that: VP8 where it is sent all the same, else it is
        // encoded.
        (CHROMIUM, "7a0028", true, 96),
        (CHROMIUM, "7a0028", false, 108),
        (FIREFOX, "640028", true, 120),
    ] {
        assert_eq!(chosen(sdp, own, passes), expected, "{own} {passes}");
    }
    // Without VP8 there is nothing better than what is first.
    let h264 = CHROMIUM.replace(" VP8/", " X/");
    assert_eq!(chosen(&h264, "7a0028", true), 108);
}

#[test]
fn a_later_offer_goes_on_with_the_format_that_was_chosen() {
    let own = ProfileLevelId::parse("4d4028").expect("six digits");
    let first = read(CHROMIUM).suited(own, true);
    let again = |sdp: &str| {
        let description = Description::read(sdp).expect("readable");
        description.again(&read(CHROMIUM)).expect("answered")
    };
    let later = again(CHROMIUM).sending(&first.video).expect("it is there");
    assert_eq!(later.for_crate(), first.for_crate());
    let gone = CHROMIUM.replace("a=rtpmap:116 H264", "a=rtpmap:116 H265");
    assert!(again(&gone).sending(&first.video).is_none());
}

#[test]
fn the_answer_to_a_format_of_another_profile_has_its_name_and_our_level() {
    let own = ProfileLevelId::parse("4d4028").expect("six digits");
    let offer = read(CHROMIUM).suited(own, true);
    let text = offer.answer(&echo(&offer), Some(own)).expect("an answer");
    assert!(
        text.contains("m=video 9 UDP/TLS/RTP/SAVPF 116 117\r\n"),
        "{text}"
    );
    assert_eq!(
        lines(&text, "a=fmtp:116 "),
        ["level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d0028"]
    );
}

/// A section of H.264 with these lines about it, as `webrtcbin` writes its own.
fn sparse(lines: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE\t0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
         a=setup:actpass\r\na=fingerprint:sha-256 {}\r\na=rtpmap:96 H264/90000\r\n{lines}",
        ["AB"; 32].join(":"),
    )
}

/// Who says nothing of their decoder takes what comes; what they say counts.
#[test]
fn h264_of_which_little_is_said_is_taken_and_what_is_said_counts() {
    for (lines, expected) in [
        ("", Some("packetization-mode=1;profile-level-id=42e01f")),
        (
            "a=fmtp:96 packetization-mode=1\r\n",
            Some("packetization-mode=1;profile-level-id=42e01f"),
        ),
        (
            "a=fmtp:96 packetization-mode=1\r\na=fmtp:96 profile-level-id=4d001f\r\n",
            Some("packetization-mode=1;profile-level-id=4d001f"),
        ),
        ("a=fmtp:96 packetization-mode=0\r\n", None),
        (
            "a=fmtp:96 packetization-mode=2;profile-level-id=42e01f\r\n",
            None,
        ),
        (
            "a=fmtp:96 packetization-mode=1;profile-level-id=f40\r\n",
            None,
        ),
    ] {
        let offer = Description::read(&sparse(lines)).and_then(|d| d.call());
        match expected {
            Some(fmtp) => assert_eq!(offer.expect(lines).video.fmtp, fmtp, "{lines}"),
            None => assert_eq!(offer, Err(OfferError::NoFormat), "{lines}"),
        }
    }
    // VP8, of which all is said, comes first.
    let both = sparse("a=rtpmap:97 VP8/90000\r\n").replace("SAVPF 96", "SAVPF 96 97");
    let offer = Description::read(&both).and_then(|d| d.call());
    assert_eq!(offer.expect("it has VP8").video.codec, VideoCodec::Vp8);
}

/// RFC 9143 §9.3.1.1: RTCP goes with the bundle's.
#[test]
fn a_section_that_is_only_part_of_a_bundle_need_not_multiplex_by_itself() {
    let sound = CHROMIUM.find("m=audio").expect("it has sound");
    let video = CHROMIUM.find("m=video").expect("it has a picture");
    let only = CHROMIUM[video..]
        .replacen("m=video 9 ", "m=video 0 ", 1)
        .replacen("a=rtcp-mux\r\n", "a=bundle-only\r\n", 1);
    let text = format!("{}{only}", &CHROMIUM[..video]);
    assert!(sound < video && text.contains("a=bundle-only"), "{text}");
    let offer = Description::read(&text).and_then(|d| d.call());
    assert!(offer.is_ok(), "{offer:?}");
}
