//! The codecs, header extensions and interceptors of one viewer's connection,
//! made for the formats of their offer.

use rtc::interceptor::Slot;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sdp::extmap::TRANSPORT_CC_URI;
use webrtc::error::Result;
use webrtc::peer_connection::{MediaEngine, Registry};

use super::convoy::Convoy;
use super::interceptor::burst::{Burst, Waiting};
use super::interceptor::clock::{Captured, Clock};
use super::interceptor::feedback::Feedback;
use super::interceptor::line::{Between, Line};
use super::interceptor::numbers::Numbers;
use super::interceptor::pacer::{Pace, Pacer};
use super::interceptor::passing::Passing;
use super::interceptor::repair::Repair;
use super::interceptor::row::Row;
use super::interceptor::screen::Screen;
use super::path::estimate::Estimator;
use super::path::known::{Bounds, Path};
use super::rtp::capture_time;
use super::stats::Tally;
use crate::sdp::{Offer, SoundFormat, VideoCodec};

/// Asks the receiver for a jitter buffer of no more than it needs
/// (<http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>).
pub(super) const PLAYOUT_DELAY_URI: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// The codec of the video track, as the offer writes it.
pub(super) fn video_codec(offer: &Offer) -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    RTCRtpCodec {
        mime_type: match offer.video.codec {
            VideoCodec::H264 => MIME_TYPE_H264,
            VideoCodec::Vp8 => MIME_TYPE_VP8,
        }
        .to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: offer.video.fmtp.clone(),
        rtcp_feedback: vec![
            feedback("ccm", "fir"),
            feedback("nack", ""),
            feedback("nack", "pli"),
            feedback("transport-cc", ""),
            feedback("goog-remb", ""),
        ],
    }
}

/// In the answer, beside Opus; the crate has no name for it.
pub(super) const MIME_TYPE_RED: &str = "audio/red";

/// The codec of the audio track, as the offer writes it.
pub(super) fn audio_codec(sound: &SoundFormat) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        // Another spelling is a worse match than that of RED, and the crate
        // keeps only the best ones.
        sdp_fmtp_line: sound.fmtp.clone(),
        rtcp_feedback: vec![RTCPFeedback {
            typ: "transport-cc".to_owned(),
            parameter: String::new(),
        }],
    }
}

/// Codecs and header extensions, with the offerer's payload types.
pub(super) fn media_engine(offer: &Offer) -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    engine.register_codec(
        RTCRtpCodecParameters {
            rtp_codec: video_codec(offer),
            payload_type: offer.video.payload_type,
        },
        RtpCodecKind::Video,
    )?;
    if let Some(rtx) = offer.video.rtx {
        engine.register_codec(
            RTCRtpCodecParameters {
                rtp_codec: RTCRtpCodec {
                    mime_type: MIME_TYPE_RTX.to_owned(),
                    clock_rate: 90_000,
                    channels: 0,
                    sdp_fmtp_line: format!("apt={}", offer.video.payload_type),
                    rtcp_feedback: vec![],
                },
                payload_type: rtx,
            },
            RtpCodecKind::Video,
        )?;
    }
    if let Some(sound) = &offer.sound {
        engine.register_codec(
            RTCRtpCodecParameters {
                rtp_codec: audio_codec(sound),
                payload_type: sound.opus,
            },
            RtpCodecKind::Audio,
        )?;
        if let Some(red) = &sound.red {
            engine.register_codec(
                RTCRtpCodecParameters {
                    rtp_codec: RTCRtpCodec {
                        mime_type: MIME_TYPE_RED.to_owned(),
                        clock_rate: 48_000,
                        channels: 2,
                        sdp_fmtp_line: red.fmtp.clone(),
                        rtcp_feedback: vec![],
                    },
                    payload_type: red.payload_type,
                },
                RtpCodecKind::Audio,
            )?;
        }
    }
    for (uri, kind) in [
        (TRANSPORT_CC_URI, RtpCodecKind::Video),
        (TRANSPORT_CC_URI, RtpCodecKind::Audio),
        (PLAYOUT_DELAY_URI, RtpCodecKind::Video),
        (capture_time::URI, RtpCodecKind::Video),
        (capture_time::URI, RtpCodecKind::Audio),
    ] {
        let extension = RTCRtpHeaderExtensionCapability {
            uri: uri.to_owned(),
        };
        engine.register_header_extension(extension, kind, None)?;
    }
    Ok(engine)
}

/// What stands between the tracks and the wire. The crate's own pacer is not
/// among them: it starts at 1 Mbit/s and freezes a picture under loss.
pub(super) fn interceptors(
    (screen, feedback, convoy): (Screen, Feedback, Convoy),
    waiting: Waiting,
    bounds: Bounds,
    path: &Path,
    pace: Pace,
    captured: Captured,
    tally: &Tally,
) -> Registry {
    let line = Line {
        burst: Burst(waiting),
        clock: Clock::new(captured),
        repair: Repair::new(path.clone()),
        pacer: Pacer::new(pace, tally.clone()),
        numbers: Numbers::new(Estimator::new(bounds, path.clone())),
        row: Row::new(convoy),
        screen,
        feedback,
        between: Between::default(),
    };
    Registry::new().with(Slot::Pacer, Passing::new(line))
}
