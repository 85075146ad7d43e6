//! The offer as the crate is given it: every word of it is ours.

use std::fmt::Write;

use super::Offer;
use super::attribute::{Extension, Feedback};
use super::choose::Path;
use super::format::{OPUS_CLOCK, SoundFormat, VIDEO_CLOCK, VideoFormat};

/// The mids that the crate knows sections under, whatever the caller calls them.
pub(super) const VIDEO: &str = "video";
/// The same of the sound.
pub(super) const SOUND: &str = "sound";
/// The same of data channels.
pub(super) const DATA: &str = "data";

/// Largest message over a data channel that the crate is told of, in bytes; it
/// makes room for as much.
const MAX_MESSAGE: u32 = 256 * 1024;

impl Offer {
    /// The offer for the crate. It takes what a call sends, for as long as the
    /// call lasts; whether the caller takes it at the moment is the answer's.
    pub(crate) fn for_crate(&self) -> String {
        let mut text = String::from("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
        let sound = self.sound.as_ref();
        let sound_mid = sound.map_or("", |_| " sound");
        let data_mid = self.data.map_or("", |_| " data");
        line(
            &mut text,
            format_args!("a=group:BUNDLE {VIDEO}{sound_mid}{data_mid}"),
        );
        if self.path.ice_lite {
            line(&mut text, format_args!("a=ice-lite"));
        }
        video(&mut text, &self.path, &self.video);
        if let Some(sound) = sound {
            opus(&mut text, &self.path, sound);
        }
        if let Some(data) = self.data {
            line(
                &mut text,
                format_args!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"),
            );
            transport(&mut text, &self.path, DATA);
            line(&mut text, format_args!("a=sctp-port:{}", data.sctp_port));
            let most = match data.max_message_size {
                0 => MAX_MESSAGE,
                size => size.min(MAX_MESSAGE),
            };
            line(&mut text, format_args!("a=max-message-size:{most}"));
        }
        text
    }
}

fn video(text: &mut String, path: &Path, video: &VideoFormat) {
    let pt = video.payload_type;
    let rtx = video.rtx.map(|rtx| format!(" {rtx}")).unwrap_or_default();
    line(text, format_args!("m=video 9 UDP/TLS/RTP/SAVPF {pt}{rtx}"));
    transport(text, path, VIDEO);
    rtp(text, &video.extensions);
    line(
        text,
        format_args!("a=rtpmap:{pt} {}/{VIDEO_CLOCK}", video.codec),
    );
    fmtp(text, pt, &video.fmtp);
    feedback(text, pt, video.feedback);
    if let Some(rtx) = video.rtx {
        line(text, format_args!("a=rtpmap:{rtx} rtx/{VIDEO_CLOCK}"));
        fmtp(text, rtx, &format!("apt={pt}"));
    }
}

fn opus(text: &mut String, path: &Path, sound: &SoundFormat) {
    let pt = sound.opus;
    let red = sound.red.as_ref();
    let red_pt = red.map(|red| format!(" {}", red.payload_type));
    let red_pt = red_pt.unwrap_or_default();
    line(
        text,
        format_args!("m=audio 9 UDP/TLS/RTP/SAVPF {pt}{red_pt}"),
    );
    transport(text, path, SOUND);
    rtp(text, &sound.extensions);
    line(text, format_args!("a=rtpmap:{pt} opus/{OPUS_CLOCK}/2"));
    fmtp(text, pt, &sound.fmtp);
    feedback(text, pt, sound.feedback);
    if let Some(red) = red {
        let pt = red.payload_type;
        line(text, format_args!("a=rtpmap:{pt} red/{OPUS_CLOCK}/2"));
        fmtp(text, pt, &red.fmtp);
    }
}

/// What all sections have in common.
fn transport(text: &mut String, path: &Path, mid: &str) {
    // Never actpass: who begins is decided here, and so once for a call.
    let setup = if path.we_begin { "passive" } else { "active" };
    line(text, format_args!("c=IN IP4 0.0.0.0"));
    line(text, format_args!("a=mid:{mid}"));
    line(text, format_args!("a=ice-ufrag:{}", path.ufrag));
    line(text, format_args!("a=ice-pwd:{}", path.pwd));
    line(text, format_args!("a=ice-options:trickle"));
    line(text, format_args!("a=fingerprint:{}", path.fingerprint));
    line(text, format_args!("a=setup:{setup}"));
}

fn rtp(text: &mut String, extensions: &[(u8, Extension)]) {
    for attribute in ["recvonly", "rtcp-mux", "rtcp-rsize"] {
        line(text, format_args!("a={attribute}"));
    }
    for (id, extension) in extensions {
        line(text, format_args!("a=extmap:{id} {}", extension.uri()));
    }
}

fn fmtp(text: &mut String, payload_type: u8, parameters: &str) {
    if !parameters.is_empty() {
        line(text, format_args!("a=fmtp:{payload_type} {parameters}"));
    }
}

fn feedback(text: &mut String, payload_type: u8, feedback: Feedback) {
    for (has, words) in [
        (feedback.remb, "goog-remb"),
        (feedback.transport_cc, "transport-cc"),
        (feedback.fir, "ccm fir"),
        (feedback.nack, "nack"),
        (feedback.pli, "nack pli"),
    ] {
        if has {
            line(text, format_args!("a=rtcp-fb:{payload_type} {words}"));
        }
    }
}

pub(super) fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = write!(text, "{line}\r\n");
}
