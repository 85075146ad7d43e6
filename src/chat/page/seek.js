// Where in a recording a second is: a fragmented MP4 without an index (ISO/IEC 14496-12),
// of which one part at a time is looked at. It knows nothing of the page.

/** Key frames are no further apart, in seconds: what is shown begins with one. */
const KEYS_APART = 5;
/** What is found may be so many seconds before what was wanted. */
const NEAR = 5;
/** So many parts are looked at for one place. */
const LOOKS = 8;
/** Bytes of the boxes that say what a fragment has. */
const MOST_OF_MOOF = 256 * 1024;
/** What "moof" begins with. */
const M = 0x6d;

/** The boxes between two places: [kind, where its content begins, where it ends]. */
function* boxes(bytes, from, to) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = from; at + 8 <= to;) {
    const size = view.getUint32(at);
    if (size < 8) return;
    yield [String.fromCharCode(...bytes.subarray(at + 4, at + 8)), at + 8, Math.min(at + size, to)];
    at += size;
  }
}

/** The first box on this way, likewise; null where there is none. */
function box(bytes, from, to, [kind, ...rest]) {
  for (const each of boxes(bytes, from, to)) {
    if (each[0] === kind) return rest.length === 0 ? each : box(bytes, each[1], each[2], rest);
  }
  return null;
}

/** Ticks a second by track, as a file's beginning says. */
export function timescales(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scales = new Map();
  const moov = box(bytes, 0, bytes.length, ["moov"]);
  for (const [kind, from, to] of moov ? boxes(bytes, moov[1], moov[2]) : []) {
    const tkhd = kind === "trak" ? box(bytes, from, to, ["tkhd"]) : null;
    const mdhd = tkhd && box(bytes, from, to, ["mdia", "mdhd"]);
    if (!mdhd || mdhd[2] - mdhd[1] < 24 || tkhd[2] - tkhd[1] < 24) continue;
    // The first version has times of 32 bits.
    const wide = (at) => bytes[at] === 1 ? 8 : 0;
    const track = view.getUint32(tkhd[1] + 12 + wide(tkhd[1]));
    const scale = view.getUint32(mdhd[1] + 12 + wide(mdhd[1]));
    if (scale > 0) scales.set(track, scale);
  }
  return scales;
}

/** The fragments that begin in these bytes of a file: {at, seconds}, in their order. */
export function fragments(bytes, scales) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = [];
  for (let m = bytes.indexOf(M, 4); m >= 0 && m + 20 <= bytes.length; m = bytes.indexOf(M, m + 1)) {
    const at = m - 4;
    // "moof" that begins with "mfhd"; in a picture's bytes that is not to be met.
    if (view.getUint32(at + 4) !== 0x6d6f6f66 || view.getUint32(at + 12) !== 0x6d666864) continue;
    const size = view.getUint32(at);
    if (size < 24 || size > MOST_OF_MOOF) continue;
    const seconds = begins(bytes, at + 8, Math.min(at + size, bytes.length), view, scales);
    if (seconds === null) continue;
    found.push({ at, seconds });
  }
  return found;
}

function begins(bytes, from, to, view, scales) {
  for (const [kind, begin, end] of boxes(bytes, from, to)) {
    if (kind !== "traf") continue;
    const tfhd = box(bytes, begin, end, ["tfhd"]);
    const tfdt = box(bytes, begin, end, ["tfdt"]);
    if (!tfhd || !tfdt || tfhd[2] - tfhd[1] < 8 || tfdt[2] - tfdt[1] < (bytes[tfdt[1]] === 1 ? 12 : 8)) continue;
    const scale = scales.get(view.getUint32(tfhd[1] + 4));
    if (!scale) continue;
    const time = bytes[tfdt[1]] === 1 ? Number(view.getBigUint64(tfdt[1] + 4)) : view.getUint32(tfdt[1] + 4);
    return time / scale;
  }
  return null;
}

/**
 * Resolves to {at, part}: where in a file of this `size` the fragment begins from which
 * second `wanted` of `length` can be shown, and what was fetched from there on; null
 * where it is not found, or `isOver`. `get(at)` resolves to a part: {bytes, length}.
 */
export async function locate(get, { size, length, scales }, wanted, isOver) {
  const target = Math.max(0, wanted - KEYS_APART);
  let low = { at: 0, seconds: 0 };
  let high = { at: size, seconds: length };
  let best = null;
  for (let look = 0; look < LOOKS && high.at > low.at && high.seconds > low.seconds; look += 1) {
    const share = (target - low.seconds) / (high.seconds - low.seconds);
    // A little before it, where the bytes are even; in the middle, where they are not.
    const even = low.at + (high.at - low.at) * Math.min(Math.max(share, 0), 1) - (high.at - low.at) * 0.02;
    const at = Math.floor(Math.max(low.at, look < LOOKS / 2 ? even : (low.at + high.at) / 2));
    const part = await get(at);
    if (isOver()) return null;
    const here = fragments(part.bytes, scales);
    const before = here.filter(({ seconds }) => seconds <= target).at(-1);
    if (before) {
      best = { at: at + before.at, part: { ...part, bytes: part.bytes.subarray(before.at), length: part.length - before.at } };
      // Nothing lies between, or nothing that would be worth another look.
      if (target - before.seconds <= NEAR || here.at(-1) !== before) return best;
      low = { at: at + before.at + 1, seconds: before.seconds };
    } else if (here.length > 0) high = { at, seconds: here[0].seconds };
    else high = { ...high, at };
  }
  return best;
}
