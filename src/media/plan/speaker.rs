//! The pipeline of the loudspeaker, from RTP to the card.

use super::quoted;

/// The name of its input, which takes RTP.
pub(crate) const SPEAKER_INPUT: &str = "in";
/// And that of the element whose output are the samples as they were decoded: in
/// 16 bits, one channel, at 48 kHz.
pub(crate) const SPEAKER_VOICE: &str = "voice";
/// The payload type of what goes in (RFC 3551 §6 leaves it free).
pub(crate) const SPEAKER_PAYLOAD_TYPE: u8 = 96;

/// What the network may do to the time of a packet, in ms: more than a LAN does,
/// and what a wireless one seldom exceeds.
const JITTER_MS: u32 = 40;
/// In the card, in µs: what GStreamer writes at a time, and four of these.
const PERIOD_US: u32 = 10_000;
const BUFFER_US: u32 = 40_000;
/// In front of the jitter buffer, in bytes: a second of speech.
const MOST_WAITING: u32 = 8_000;

/// The pipeline for the ALSA PCM `device`.
///
/// Opus makes up for what is lost, with what the next packet says of it where that
/// came (in-band FEC).
pub(crate) fn speaker(device: &str) -> String {
    format!(
        "appsrc name={SPEAKER_INPUT} format=time is-live=true max-bytes={MOST_WAITING} \
         leaky-type=downstream \
         caps=\"application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,\
         payload={SPEAKER_PAYLOAD_TYPE}\" ! \
         rtpjitterbuffer latency={JITTER_MS} do-lost=true ! rtpopusdepay ! \
         opusdec plc=true use-inband-fec=true ! audioconvert name={SPEAKER_VOICE} ! \
         audio/x-raw,format=S16LE,channels=1,rate=48000 ! {}",
        speaker_sink(device)
    )
}

/// From raw sound to the card.
pub(crate) fn speaker_sink(device: &str) -> String {
    format!(
        "audioconvert ! audioresample ! alsasink name=device device={} provide-clock=false \
         buffer-time={BUFFER_US} latency-time={PERIOD_US}",
        quoted(device)
    )
}
