// What a call reads and changes in session descriptions (RFC 8866) and candidates.

/**
 * An answer whose sound is a stream of its own (RFC 8830): browsers have tracks wait for
 * those of the same stream alone.
 */
export function withSoundApart(sdp) {
  return sdp.split(/^(?=m=)/m)
    .map((section) => (section.startsWith("m=audio ")
      ? section.replace(/^(a=(?:ssrc:\d+ )?msid:\S+)/gm, "$1-sound")
      : section))
    .join("");
}

/** Of the other end's certificate: all that are named, since a browser may go by any. */
export function fingerprint(sdp) {
  const all = [...(sdp ?? "").matchAll(/^a=fingerprint:(.*)$/gim)].map(([, each]) => each.trim().toLowerCase());
  return all.length > 0 ? [...new Set(all)].sort().join() : null;
}

export function ufrag(sdp) {
  return /^a=ice-ufrag:(\S+)/m.exec(sdp ?? "")?.[1];
}

/** Whether a candidate is of the generation that `sdp` describes; `unnamed` if it says none. */
export function belongs(init, sdp, unnamed) {
  const named = typeof init.usernameFragment === "string" && init.usernameFragment;
  const ufrag = named || / ufrag (\S+)/.exec(init.candidate)?.[1];
  if (!ufrag) return unnamed;
  return sdp.includes(`a=ice-ufrag:${ufrag}\r\n`) || sdp.includes(`a=ice-ufrag:${ufrag}\n`);
}
