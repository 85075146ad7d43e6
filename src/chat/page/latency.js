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
 * The time from capture to playout in ms; undefined where it cannot be known.
 * The sender says when it captured: with each frame (abs-capture-time), else by
 * its sender reports. Both are NTP times of its clock; Firefox gives the latter
 * as Unix ones.
 * @param {RTCRtpReceiver} receiver of the track
 * @param {object} inbound its `inbound-rtp` report
 * @param {number} offset how far the sender's clock is ahead of ours, in ms
 */
export function latency(receiver, inbound, offset) {
  if (offset === undefined) return undefined;
  const source = receiver?.getSynchronizationSources?.()[0];
  const [captured, played] = source?.captureTimestamp
    ? [source.captureTimestamp, source.timestamp]
    : [inbound?.estimatedPlayoutTimestamp, inbound?.timestamp];
  if (!captured || !played) return undefined;
  const sinceUnix = captured - played > NTP_TO_UNIX_MS / 2 ? captured - NTP_TO_UNIX_MS : captured;
  const took = played + offset - sinceUnix;
  // A sender that counts from elsewhere, or does not know.
  return took > -1000 && took < 60_000 ? Math.max(took, 0) : undefined;
}
