//! The pipeline of the loudspeaker, from samples to the card.

use super::quoted;

/// The name of its input, which takes samples: in 16 bits, one channel, at 48 kHz.
pub(crate) const SPEAKER_INPUT: &str = "in";
/// What makes them of Opus, and makes up what is lost.
pub(crate) const SPEAKER_DECODER: &str = "opusdec";
pub(crate) const SPEAKER_DECODER_PACKAGE: &str = "gstreamer1.0-plugins-base";

/// In the card, in µs: what GStreamer writes at a time, and five of these: where others
/// work, threads are late by more than 30 ms now and then, and each time the card is empty
/// the echo canceller has to find its way again.
const PERIOD_US: u32 = 10_000;
const BUFFER_US: u32 = 50_000;
/// What may be late on its way to the card, in ns: our thread, and GStreamer's (whose
/// own value is 20 ms, for sinks that draw).
const PROCESSING_NS: u32 = 10_000_000;
/// In front of the card, in bytes and in ns: a fifth of a second.
const MOST_WAITING: u32 = 19_200;
const MOST_WAITING_NS: u32 = 200_000_000;

/// The pipeline for the ALSA PCM `device`.
pub(crate) fn speaker(device: &str) -> String {
    format!(
        "appsrc name={SPEAKER_INPUT} format=time is-live=true max-bytes={MOST_WAITING} \
         leaky-type=downstream min-latency=0 max-latency={MOST_WAITING_NS} \
         caps=\"audio/x-raw,format=S16LE,layout=interleaved,channels=1,rate=48000\" ! {}",
        speaker_sink(device)
    )
}

/// From raw sound to the card.
pub(crate) fn speaker_sink(device: &str) -> String {
    format!(
        "audioconvert ! audioresample ! alsasink name=device device={} provide-clock=false \
         buffer-time={BUFFER_US} latency-time={PERIOD_US} processing-deadline={PROCESSING_NS}",
        quoted(device)
    )
}
