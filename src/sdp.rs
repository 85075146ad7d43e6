//! What the device reads in a caller's offer, and what it corrects in its own
//! answer. Text in, text out; no connection, no policy.
//!
//! The description is parsed by the `sdp` crate; this module only picks what
//! the agent decides on: who the caller is (DTLS fingerprint), which
//! candidates will be his (ICE ufrag), and which of the formats he takes the
//! device can send.

use std::fmt;
use std::io::Cursor;

use rtc::sdp::SessionDescription;
use rtc::sdp::description::media::MediaDescription;
use serde::{Deserialize, Serialize};

/// Longest description read, in bytes. A browser's offer has 5 to 15 kB.
pub const MAX_SDP_BYTES: usize = 60 * 1024;

/// Most media sections read; a browser offers two or three.
const MAX_SECTIONS: usize = 16;

/// Why an offer cannot be answered. Each says what the caller would have to
/// change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Longer than [`MAX_SDP_BYTES`].
    #[error("the offer has {0} bytes, the limit is {MAX_SDP_BYTES}")]
    TooLong(usize),
    /// More than the sections a call can need.
    #[error("the offer has {0} media sections, the limit is {MAX_SECTIONS}")]
    TooManySections(usize),
    /// Not SDP.
    #[error("the offer is not readable SDP: {0}")]
    Unreadable(String),
    /// No `m=video` section that wants to receive.
    #[error("the offer has no video section that receives (a=recvonly or a=sendrecv)")]
    NoVideo,
    /// A video section, but nothing in it that this device can encode.
    #[error("the offer has no video format this device can send (H.264 packetization-mode 1, VP8)")]
    NoFormat,
    /// ICE or DTLS parameters are missing.
    #[error("the offer has no {0}")]
    Missing(&'static str),
}

/// A video codec that viewers are served in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 7741), for browsers without H.264.
    Vp8,
}

impl VideoCodec {
    /// The codec's name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// H.264 `profile-level-id`: profile_idc, constraint flags and level_idc, the
/// three bytes that follow the NAL header of an SPS (RFC 6184 §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileLevelId(pub [u8; 3]);

impl ProfileLevelId {
    /// Reads six hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 6 || !text.is_ascii() {
            return None;
        }
        let value = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        Some(Self([value[1], value[2], value[3]]))
    }

    /// How well a stream of constrained baseline can be announced under this
    /// profile: 0 is best. Every profile here can decode constrained baseline.
    fn rank(self) -> Option<u8> {
        let [profile, constraints, _] = self.0;
        match (profile, constraints & 0x40 != 0) {
            (66, true) => Some(0),
            (66, false) => Some(1),
            (77, _) => Some(2),
            (100, _) => Some(3),
            _ => None,
        }
    }

    fn is_constrained_baseline(self) -> bool {
        self.rank() == Some(0)
    }
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

/// A format that the offer names and the device will send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFormat {
    /// The codec.
    pub codec: VideoCodec,
    /// The offerer's payload type for it.
    pub payload_type: u8,
    /// The offerer's payload type for its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// The offer's format parameters, as written.
    pub fmtp: String,
}

/// How the offer takes sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundFormat {
    /// The offerer's payload type for Opus (RFC 7587).
    pub opus: u8,
    /// The offer's format parameters of Opus, as written.
    pub fmtp: String,
    /// He can use Opus's in-band FEC (RFC 7587 §6.1, `useinbandfec`).
    pub inband_fec: bool,
    /// The offerer's payload type for packets that repeat earlier ones
    /// (`audio/red` of this Opus, RFC 2198 §5).
    pub red: Option<RedFormat>,
}

/// A format for packets of several blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedFormat {
    /// The offerer's payload type for it.
    pub payload_type: u8,
    /// The payload types of the blocks, as written.
    pub fmtp: String,
}

/// An offer, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The description as it came.
    pub sdp: String,
    /// Every ICE username fragment in it.
    pub ufrags: Vec<String>,
    /// Every DTLS fingerprint in it, in lower case and sorted: the caller's
    /// identity, as far as one exists.
    pub fingerprints: Vec<String>,
    /// The mid of each media section, in order.
    pub mids: Vec<String>,
    /// What the caller will be sent as video.
    pub video: VideoFormat,
    /// How he takes sound, where the offer takes Opus.
    pub sound: Option<SoundFormat>,
}

impl Offer {
    /// Reads an offer.
    pub fn parse(sdp: &str) -> Result<Self, OfferError> {
        if sdp.len() > MAX_SDP_BYTES {
            return Err(OfferError::TooLong(sdp.len()));
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(sdp.as_bytes()))
            .map_err(|e| OfferError::Unreadable(first_line(&e.to_string())))?;
        let media = &session.media_descriptions;
        if media.len() > MAX_SECTIONS {
            return Err(OfferError::TooManySections(media.len()));
        }

        let everywhere = |key: &str| {
            let mut values: Vec<String> = session
                .attributes
                .iter()
                .chain(media.iter().flat_map(|m| &m.attributes))
                .filter(|a| a.key == key)
                .filter_map(|a| a.value.clone())
                .collect();
            values.sort();
            values.dedup();
            values
        };
        let ufrags = everywhere("ice-ufrag");
        if ufrags.is_empty() {
            return Err(OfferError::Missing("ICE username (a=ice-ufrag)"));
        }
        let mut fingerprints = everywhere("fingerprint");
        if fingerprints.is_empty() {
            return Err(OfferError::Missing(
                "DTLS fingerprint (a=fingerprint): only encrypted calls are answered",
            ));
        }
        for fingerprint in &mut fingerprints {
            fingerprint.make_ascii_lowercase();
        }

        let receives = |kind: &str| {
            media
                .iter()
                .find(|m| m.media_name.media == kind && is_received(m))
        };
        let video = receives("video").ok_or(OfferError::NoVideo)?;
        let video = choose_video(video).ok_or(OfferError::NoFormat)?;
        let sound = receives("audio").and_then(choose_sound);
        let mids = media
            .iter()
            .enumerate()
            .map(|(i, m)| match m.attribute("mid") {
                Some(Some(mid)) => mid.to_owned(),
                _ => i.to_string(),
            })
            .collect();
        Ok(Self {
            sdp: sdp.to_owned(),
            ufrags,
            fingerprints,
            mids,
            video,
            sound,
        })
    }
}

/// The answer as it is sent: with the `profile-level-id` of the stream's own
/// SPS, since a mismatch is a black picture in Safari.
///
/// Where the caller offered another profile than constrained baseline, his
/// profile stays, for it must be symmetric, and only the level is ours
/// (RFC 6184 §8.2.2).
pub fn finish_answer(answer: &str, offer: &Offer, stream: Option<ProfileLevelId>) -> String {
    let VideoCodec::H264 = offer.video.codec else {
        return answer.to_owned();
    };
    let Some(stream) = stream else {
        return answer.to_owned();
    };
    let prefix = format!("a=fmtp:{} ", offer.video.payload_type);
    answer
        .split_inclusive("\r\n")
        .map(|line| match line.strip_prefix(&prefix) {
            Some(parameters) => {
                let parameters = parameters.trim_end();
                let offered = parameter(parameters, "profile-level-id");
                let Some(offered) = offered.and_then(ProfileLevelId::parse) else {
                    return line.to_owned();
                };
                // A level above the offered one needs leave.
                let level = match parameter(parameters, "level-asymmetry-allowed") {
                    Some("1") => stream.0[2],
                    _ => stream.0[2].min(offered.0[2]),
                };
                let ours = if offered.is_constrained_baseline() {
                    ProfileLevelId([stream.0[0], stream.0[1], level])
                } else {
                    ProfileLevelId([offered.0[0], offered.0[1], level])
                };
                let rest: Vec<String> = parameters
                    .split(';')
                    .map(|p| match p.trim().split_once('=') {
                        Some((key, _)) if key.eq_ignore_ascii_case("profile-level-id") => {
                            format!("{key}={ours}")
                        }
                        _ => p.trim().to_owned(),
                    })
                    .collect();
                format!("{prefix}{}\r\n", rest.join(";"))
            }
            None => line.to_owned(),
        })
        .collect()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// True where the offerer wants to receive on this section (RFC 8829 §5.2.1;
/// port 0 is a section that was rejected or removed).
fn is_received(media: &MediaDescription) -> bool {
    media.media_name.port.value != 0
        && !media.has_attribute("sendonly")
        && !media.has_attribute("inactive")
}

struct Format<'a> {
    payload_type: u8,
    name: &'a str,
    fmtp: &'a str,
}

/// The section's formats in the offerer's order of preference.
fn formats(media: &MediaDescription) -> impl Iterator<Item = Format<'_>> {
    let value_for = move |key: &'static str, format: &str| {
        media
            .attributes
            .iter()
            .filter(move |a| a.key == key)
            .filter_map(|a| a.value.as_deref()?.split_once(' '))
            .find(|(pt, _)| *pt == format)
            .map(|(_, rest)| rest.trim())
    };
    media.media_name.formats.iter().filter_map(move |format| {
        let name = value_for("rtpmap", format)?;
        Some(Format {
            payload_type: format.parse().ok().filter(|pt| *pt < 128)?,
            name: name.split('/').next().unwrap_or_default(),
            fmtp: value_for("fmtp", format).unwrap_or_default(),
        })
    })
}

fn parameter<'a>(fmtp: &'a str, key: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|p| {
        let (k, v) = p.trim().split_once('=')?;
        k.eq_ignore_ascii_case(key).then_some(v)
    })
}

/// Opus, and what the offerer can do about loss.
fn choose_sound(media: &MediaDescription) -> Option<SoundFormat> {
    let opus = formats(media).find(|f| f.name.eq_ignore_ascii_case("opus"))?;
    // All blocks of a packet are to be this Opus; how many there are is ours.
    let is_of_opus = |fmtp: &str| {
        let mut blocks = fmtp.split('/').map(|pt| pt.trim().parse::<u8>().ok());
        blocks.clone().count() > 1 && blocks.all(|pt| pt == Some(opus.payload_type))
    };
    let red = formats(media).find(|f| f.name.eq_ignore_ascii_case("red") && is_of_opus(f.fmtp));
    Some(SoundFormat {
        opus: opus.payload_type,
        fmtp: opus.fmtp.to_owned(),
        inband_fec: parameter(opus.fmtp, "useinbandfec") == Some("1"),
        red: red.map(|f| RedFormat {
            payload_type: f.payload_type,
            fmtp: f.fmtp.to_owned(),
        }),
    })
}

/// The best H.264 format, else VP8.
fn choose_video(media: &MediaDescription) -> Option<VideoFormat> {
    let h264 = formats(media)
        .filter(|f| f.name.eq_ignore_ascii_case("H264"))
        .filter(|f| parameter(f.fmtp, "packetization-mode") == Some("1"))
        .filter_map(|f| {
            // Without the parameter it is baseline level 1 (RFC 6184 §8.1),
            // too small for any picture here.
            let id = ProfileLevelId::parse(parameter(f.fmtp, "profile-level-id")?)?;
            Some((id.rank()?, f))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, f)| (VideoCodec::H264, f));
    let (codec, format) = h264.or_else(|| {
        formats(media)
            .find(|f| f.name.eq_ignore_ascii_case("VP8"))
            .map(|f| (VideoCodec::Vp8, f))
    })?;
    let apt = format.payload_type.to_string();
    let rtx = formats(media)
        .find(|f| {
            f.name.eq_ignore_ascii_case("rtx") && parameter(f.fmtp, "apt") == Some(apt.as_str())
        })
        .map(|f| f.payload_type);
    Some(VideoFormat {
        codec,
        payload_type: format.payload_type,
        rtx,
        fmtp: format.fmtp.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROMIUM: &str = include_str!("../tests/fixtures/offer-chromium.sdp");
    const FIREFOX: &str = include_str!("../tests/fixtures/offer-firefox-no-h264.sdp");

    #[test]
    fn reads_what_chromium_offers() {
        let offer = Offer::parse(CHROMIUM).expect("a good offer");
        assert_eq!(offer.ufrags, ["Kx3f"]);
        assert_eq!(offer.mids, ["0", "1"]);
        let sound = SoundFormat {
            opus: 111,
            fmtp: "minptime=10;useinbandfec=1".into(),
            inband_fec: true,
            red: Some(RedFormat {
                payload_type: 63,
                fmtp: "111/111".into(),
            }),
        };
        assert_eq!(offer.sound, Some(sound));
        assert_eq!(
            (
                offer.video.codec,
                offer.video.payload_type,
                offer.video.rtx,
                parameter(&offer.video.fmtp, "profile-level-id")
            ),
            (VideoCodec::H264, 108, Some(109), Some("42e01f"))
        );
    }

    #[test]
    fn a_browser_without_h264_is_served_vp8() {
        let offer = Offer::parse(FIREFOX).expect("a good offer");
        assert_eq!(
            (offer.video.codec, offer.video.payload_type, offer.video.rtx),
            (VideoCodec::Vp8, 120, Some(124))
        );
        assert_eq!(offer.sound.map(|s| s.opus), Some(109));
    }

    #[test]
    fn what_is_offered_against_loss_is_read() {
        let sound = |offer: &str| Offer::parse(offer).expect("a good offer").sound;
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
    fn an_offer_without_video_or_with_a_sending_only_one_is_refused_in_words() {
        let cut = CHROMIUM.split("m=video").next().expect("audio first");
        assert_eq!(Offer::parse(cut), Err(OfferError::NoVideo));
        let sendonly = CHROMIUM.replace("a=recvonly", "a=sendonly");
        assert_eq!(Offer::parse(&sendonly), Err(OfferError::NoVideo));
        let nothing = CHROMIUM.replace(" H264/", " H265/").replace(" VP8/", " X/");
        assert_eq!(Offer::parse(&nothing), Err(OfferError::NoFormat));
    }

    #[test]
    fn an_sdp_of_a_megabyte_is_refused_by_its_size() {
        let long = format!("{CHROMIUM}a=x:{}\r\n", "y".repeat(1 << 20));
        let error = Offer::parse(&long).expect_err("too long").to_string();
        assert!(error.contains("limit is 61440"), "{error}");
    }

    #[test]
    fn garbage_is_refused() {
        assert!(matches!(
            Offer::parse("hello"),
            Err(OfferError::Unreadable(_))
        ));
        let plain = CHROMIUM.replace("a=fingerprint", "a=nothing");
        assert!(matches!(Offer::parse(&plain), Err(OfferError::Missing(_))));
    }

    #[test]
    fn the_answer_carries_the_level_of_the_stream() {
        let offer = Offer::parse(CHROMIUM).expect("a good offer");
        let answer = "v=0\r\na=fmtp:111 minptime=10\r\na=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";
        let stream = ProfileLevelId::parse("42c028");
        let finished = finish_answer(answer, &offer, stream);
        assert!(
            finished.contains(
                "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c028\r\n"
            ),
            "{finished}"
        );
        assert!(finished.contains("a=fmtp:111 minptime=10\r\n"));
    }

    #[test]
    fn another_profile_keeps_its_name_and_takes_our_level() {
        let mut offer = Offer::parse(CHROMIUM).expect("a good offer");
        offer.video.payload_type = 102;
        let answer =
            "a=fmtp:102 level-asymmetry-allowed=1;profile-level-id=640c1f;packetization-mode=1\r\n";
        let finished = finish_answer(answer, &offer, ProfileLevelId::parse("42c028"));
        assert!(finished.contains("profile-level-id=640c28"), "{finished}");
    }

    #[test]
    fn without_leave_the_level_is_not_above_the_offered_one() {
        let offer = Offer::parse(CHROMIUM).expect("a good offer");
        let answer = "a=fmtp:108 packetization-mode=1;profile-level-id=42e01f\r\n";
        for (stream, level) in [("42c028", "42c01f"), ("42c01e", "42c01e")] {
            let finished = finish_answer(answer, &offer, ProfileLevelId::parse(stream));
            assert!(finished.contains(level), "{finished}");
        }
    }
}
