//! What a viewer offers: codecs, feedback and header extensions.

use super::*;

/// Payload types of the offer.
pub const H264: u8 = 102;
pub const RTX: u8 = 103;
pub const OPUS: u8 = 111;

pub(super) const ALL: &[RtpCodecKind] = &[RtpCodecKind::Audio, RtpCodecKind::Video];

/// What is offered: payload type, codec, kind.
pub fn codecs() -> [(u8, RTCRtpCodec, RtpCodecKind); 3] {
    let feedback = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(typ, parameter)| RTCPFeedback {
                typ: (*typ).to_owned(),
                parameter: (*parameter).to_owned(),
            })
            .collect()
    };
    let codec = |mime: &str, clock_rate, channels, fmtp: &str, rtcp_feedback| RTCRtpCodec {
        mime_type: mime.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: fmtp.to_owned(),
        rtcp_feedback,
    };
    let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let video = feedback(&[
        ("transport-cc", ""),
        ("ccm", "fir"),
        ("nack", ""),
        ("nack", "pli"),
    ]);
    let audio = feedback(&[("transport-cc", "")]);
    let rtx = format!("apt={H264}");
    let opus = "minptime=10;useinbandfec=1";
    [
        (
            H264,
            codec(MIME_TYPE_H264, 90_000, 0, h264, video),
            RtpCodecKind::Video,
        ),
        (
            RTX,
            codec(MIME_TYPE_RTX, 90_000, 0, &rtx, vec![]),
            RtpCodecKind::Video,
        ),
        (
            OPUS,
            codec(MIME_TYPE_OPUS, 48_000, 2, opus, audio),
            RtpCodecKind::Audio,
        ),
    ]
}

/// [`codecs`], with transport-wide congestion control.
pub fn media_engine() -> webrtc::error::Result<MediaEngine> {
    offered(ALL)
}

/// With transport-cc for these.
pub(super) fn offered(reported: &[RtpCodecKind]) -> webrtc::error::Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    for (payload_type, mut rtp_codec, kind) in codecs() {
        let feedback = &mut rtp_codec.rtcp_feedback;
        feedback.retain(|f| reported.contains(&kind) || f.typ != "transport-cc");
        let parameters = RTCRtpCodecParameters {
            rtp_codec,
            payload_type,
        };
        engine.register_codec(parameters, kind)?;
    }
    for kind in reported {
        let extension = RTCRtpHeaderExtensionCapability {
            uri: rtc::sdp::extmap::TRANSPORT_CC_URI.to_owned(),
        };
        engine.register_header_extension(extension, *kind, None)?;
    }
    Ok(engine)
}
