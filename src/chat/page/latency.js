// How old what a device sends is when it is played: from the instant of capture,
// which its packets carry (abs-capture-time), to the loudspeaker or the screen.

const CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
/** From NTP's epoch to that of Unix, in milliseconds. */
const NTP_TO_UNIX_MS = 2_208_988_800_000;

/** Has the next offer ask for capture times, where the browser can. */
export function askForCaptureTimes(pc) {
  for (const transceiver of pc.getTransceivers()) {
    try {
      const extensions = transceiver.getHeaderExtensionsToNegotiate();
      for (const each of extensions) {
        if (each.uri === CAPTURE_TIME) each.direction = "sendrecv";
      }
      transceiver.setHeaderExtensionsToNegotiate(extensions);
    } catch {
      // A browser without them, or one that may not: there is no latency then.
    }
  }
}

/**
 * The latency of the kind ("audio" or "video") that is played now, in
 * milliseconds; null where it cannot be known. It costs a `getStats`, so a few
 * times a second is enough.
 *
 * The clocks of the two machines are compared by the sender reports: one was
 * sent half a round trip before it came.
 * @returns {Promise<number|null>}
 */
export async function latency(pc, kind) {
  const receiver = pc.getReceivers().find((each) => each.track.kind === kind);
  const source = receiver?.getSynchronizationSources?.()[0];
  if (!source?.captureTimestamp) return null;
  const stats = [...(await pc.getStats()).values()];
  const report = stats.find((each) => each.type === "remote-outbound-rtp" && each.kind === kind);
  const transport = stats.find((each) => each.type === "transport");
  const pair = stats.find((each) => each.id === transport?.selectedCandidatePairId);
  if (!report?.remoteTimestamp || pair?.currentRoundTripTime === undefined) return null;
  const sent = report.timestamp - (pair.currentRoundTripTime * 1_000) / 2;
  const behind = sent - report.remoteTimestamp;
  const captured = source.captureTimestamp - NTP_TO_UNIX_MS + behind;
  return source.timestamp - captured;
}
