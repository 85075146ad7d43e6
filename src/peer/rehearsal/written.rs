//! Offers as browsers write them, by chance. What a browser makes up of a
//! stranger's own is called "stranger" in them.

use proptest::prelude::*;
use proptest::sample::Index;

/// How a browser gathers its sections into one transport (W3C WebRTC §4.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Balanced,
    MaxBundle,
    /// A caller that does not bundle.
    None,
}

#[derive(Debug, Clone)]
struct Section {
    kind: &'static str,
    direction: &'static str,
    /// Names, clocks and parameters, in order of preference.
    formats: Vec<(&'static str, &'static str)>,
    first_payload_type: u8,
    first_extension: u8,
    candidates: Vec<String>,
    /// Attributes that say nothing to us.
    extras: Vec<&'static str>,
}

/// An offer.
#[derive(Debug, Clone)]
pub(super) struct Written {
    sections: Vec<Section>,
    policy: Policy,
    /// Firefox says some things once for all.
    session_level: bool,
    line_end: &'static str,
    last_line_ends: bool,
}

const VIDEO: [(&str, &str); 8] = [
    ("VP8/90000", ""),
    ("vp8/90000", "max-fs=12288;max-fr=60"),
    ("VP9/90000", "profile-id=0"),
    (
        "H264/90000",
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ),
    (
        "H264/90000",
        "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f",
    ),
    ("H264/90000", "profile-level-id=640c1f;packetization-mode=1"),
    ("AV1/90000", "level-idx=5;profile=0;tier=0"),
    ("ulpfec/90000", ""),
];
const AUDIO: [(&str, &str); 6] = [
    ("opus/48000/2", "minptime=10;useinbandfec=1"),
    (
        "OPUS/48000/2",
        "maxplaybackrate=48000;stereo=1;useinbandfec=1",
    ),
    ("G722/8000", ""),
    ("PCMU/8000", ""),
    ("", ""),
    ("telephone-event/8000", "0-15"),
];
const EXTENSIONS: [&str; 5] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "urn:3gpp:video-orientation",
];
const EXTRAS: [&str; 10] = [
    "a=ssrc:12345 cname:stranger",
    "a=ssrc-group:FID 12345 stranger",
    "a=msid:stranger stranger",
    "a=rid:stranger recv",
    "a=simulcast:recv stranger",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "b=AS:stranger",
    "a=extmap:14/sendonly urn:stranger",
    "a=x-google-flag:conference",
    "y",
];

fn section() -> impl Strategy<Value = Section> {
    let kind = prop_oneof![3 => Just("video"), 3 => Just("audio"), 2 => Just("application")];
    let direction = prop_oneof![
        4 => Just("recvonly"),
        3 => Just("sendrecv"),
        2 => Just(""),
        1 => Just("sendonly"),
        1 => Just("inactive"),
    ];
    let candidate = prop_oneof![
        (1_u16.., 1_u8..4).prop_map(|(port, host)| format!(
            "a=candidate:1 1 udp 2122260223 192.0.2.{host} {port} typ host generation 0 ufrag Us3r"
        )),
        Just("a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active".to_owned()),
        Just("a=candidate:0 1 UDP 2122252543 3f2504e0-4f89-11d3-9a0c-0305e82c3301.local 50000 typ host".to_owned()),
        Just("a=end-of-candidates".to_owned()),
    ];
    (kind, direction, 35_u8..60, 1_u8..10).prop_flat_map(
        move |(kind, direction, first_payload_type, first_extension)| {
            let all = if kind == "video" {
                VIDEO.to_vec()
            } else {
                AUDIO.to_vec()
            };
            let most = all.len();
            (
                proptest::sample::subsequence(all, 1..=most).prop_shuffle(),
                proptest::collection::vec(candidate.clone(), 0..6),
                proptest::sample::subsequence(EXTRAS.to_vec(), 0..4),
            )
                .prop_map(move |(formats, candidates, extras)| Section {
                    kind,
                    direction,
                    formats,
                    first_payload_type,
                    first_extension,
                    candidates,
                    extras,
                })
        },
    )
}

/// Any offer that takes a picture in one of its sections.
pub(super) fn written() -> impl Strategy<Value = Written> {
    (
        proptest::collection::vec(section(), 1..7),
        any::<Index>(),
        prop_oneof![
            Just(Policy::Balanced),
            Just(Policy::MaxBundle),
            Just(Policy::None)
        ],
        any::<bool>(),
        prop_oneof![Just("\r\n"), Just("\n")],
        any::<bool>(),
    )
        .prop_map(
            |(mut sections, at, policy, session_level, line_end, last_line_ends)| {
                // Somebody who watches a camera takes a picture.
                let watched = at.index(sections.len());
                sections[watched].kind = "video";
                sections[watched].direction = "recvonly";
                sections[watched].formats = vec![VIDEO[3], VIDEO[0]];
                Written {
                    sections,
                    policy,
                    session_level,
                    line_end,
                    last_line_ends,
                }
            },
        )
}

const TRANSPORT: [&str; 4] = [
    "a=ice-ufrag:Us3r",
    "a=ice-pwd:password+password/passwo",
    "a=fingerprint:sha-256 A7:F1:58:35:37:E9:36:D1:F8:87:4A:2A:99:81:46:06:1F:38:41:11:1F:47:E7:0E:40:FC:35:A9:DE:67:D4:C1",
    "a=setup:actpass",
];

impl Written {
    pub(super) fn text(&self) -> String {
        let mut lines: Vec<String> = ["v=0", "o=stranger 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
            .map(str::to_owned)
            .to_vec();
        if self.policy != Policy::None {
            let mids: Vec<_> = (0..self.sections.len()).map(|i| i.to_string()).collect();
            lines.push(format!("a=group:LS {}", mids.join(" ")));
            lines.push(format!("a=group:BUNDLE {}", mids.join(" ")));
        }
        if self.session_level {
            lines.extend(TRANSPORT.map(str::to_owned));
        }
        for (i, section) in self.sections.iter().enumerate() {
            let bundle_only = self.policy == Policy::MaxBundle && i > 0;
            let port = if bundle_only { 0 } else { 9 };
            if section.kind == "application" {
                lines.push(format!(
                    "m=application {port} UDP/DTLS/SCTP webrtc-datachannel"
                ));
                lines.push("a=sctp-port:5000".to_owned());
            } else {
                self.rtp(section, port, &mut lines);
            }
            lines.push("c=IN IP4 0.0.0.0".to_owned());
            lines.push(format!("a=mid:{i}"));
            if bundle_only {
                lines.push("a=bundle-only".to_owned());
            }
            if !self.session_level {
                lines.extend(TRANSPORT.map(str::to_owned));
            }
            lines.extend(section.candidates.iter().cloned());
            lines.extend(section.extras.iter().map(|e| (*e).to_owned()));
        }
        let mut text = lines.join(self.line_end);
        if self.last_line_ends {
            text.push_str(self.line_end);
        }
        text
    }

    fn rtp(&self, section: &Section, port: u16, lines: &mut Vec<String>) {
        let mut formats = Vec::new();
        let mut about = Vec::new();
        for (i, (name, fmtp)) in section.formats.iter().enumerate() {
            let pt = usize::from(section.first_payload_type) + 2 * i;
            formats.push(pt.to_string());
            if name.is_empty() {
                continue;
            }
            about.push(format!("a=rtpmap:{pt} {name}"));
            if !fmtp.is_empty() {
                about.push(format!("a=fmtp:{pt} {fmtp}"));
            }
            about.push(format!("a=rtcp-fb:{pt} nack pli"));
            if section.kind == "video" {
                formats.push((pt + 1).to_string());
                about.push(format!("a=rtpmap:{} rtx/90000", pt + 1));
                about.push(format!("a=fmtp:{} apt={pt}", pt + 1));
            }
        }
        if self.session_level {
            // Firefox sorts attributes by their names.
            about.sort();
        }
        let (kind, formats) = (section.kind, formats.join(" "));
        lines.push(format!("m={kind} {port} UDP/TLS/RTP/SAVPF {formats}"));
        lines.push("a=rtcp-fb:* transport-cc".to_owned());
        for (i, extension) in EXTENSIONS.iter().enumerate() {
            lines.push(format!(
                "a=extmap:{} {extension}",
                usize::from(section.first_extension) + i
            ));
        }
        if !section.direction.is_empty() {
            lines.push(format!("a={}", section.direction));
        }
        lines.push("a=rtcp-mux".to_owned());
        lines.extend(about);
    }
}
