// The person's own camera and microphone. Nothing here throws: without them a
// call is made all the same, and `problem` says in words what is missing.

import { words } from "./words.js";

/** @returns {Promise<{stream: MediaStream|null, problem: string|null}>} */
export async function openOwnMedia() {
  if (!navigator.mediaDevices) return { stream: null, problem: words.insecure };
  const both = await open({ audio: true, video: true });
  if (both.stream || both.error.name !== "NotFoundError") return described(both, null);
  // One of the two is missing: take the other.
  const audio = await open({ audio: true });
  if (audio.stream) return described(audio, words.noVideo);
  return described(await open({ video: true }), words.noAudio);
}

async function open(constraints) {
  try {
    return { stream: await navigator.mediaDevices.getUserMedia(constraints), error: null };
  } catch (error) {
    return { stream: null, error };
  }
}

function described({ stream, error }, missing) {
  if (stream) return { stream, problem: missing };
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return { stream, problem: words.denied };
    case "NotReadableError":
    case "AbortError":
      return { stream, problem: words.inUse };
    default:
      return { stream, problem: words.noCamera };
  }
}

export function close(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
