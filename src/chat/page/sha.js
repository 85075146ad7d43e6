// SHA-256, HMAC and HKDF, for pages on plain http alone: browsers have
// `crypto.subtle` on https and localhost only. docs/protocol.md says what for.
//
// Not for anything long, and not constant in time: what is compared here came
// over the network already.

/** FIPS 180-4 §4.2.2: the first bits of the cube roots of the first 64 primes. */
const ROUNDS = new Uint32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);
/** FIPS 180-4 §5.3.3. */
const START = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const BLOCK = 64;
const HASH = 32;

const turn = (word, by) => (word >>> by) | (word << (32 - by));

/** The hash of some bytes. */
export function sha256(bytes) {
  // §5.1.1: a one, zeros, and the length in bits.
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK) * BLOCK);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const state = new Uint32Array(START);
  for (let at = 0; at < padded.length; at += BLOCK) block(state, view, at);
  const hash = new DataView(new ArrayBuffer(HASH));
  state.forEach((word, i) => hash.setUint32(i * 4, word));
  return new Uint8Array(hash.buffer);
}

/** FIPS 180-4 §6.2.2. */
function block(state, view, at) {
  const w = new Uint32Array(BLOCK);
  for (let i = 0; i < 16; i += 1) w[i] = view.getUint32(at + i * 4);
  for (let i = 16; i < BLOCK; i += 1) {
    const [before, after] = [w[i - 15], w[i - 2]];
    w[i] = w[i - 16] + (turn(before, 7) ^ turn(before, 18) ^ (before >>> 3))
      + w[i - 7] + (turn(after, 17) ^ turn(after, 19) ^ (after >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < BLOCK; i += 1) {
    const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i];
    const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] += word; });
}

/** RFC 2104. */
export function hmac(key, bytes) {
  const short = key.length > BLOCK ? sha256(key) : key;
  const inner = new Uint8Array(BLOCK + bytes.length).fill(0x36, 0, BLOCK);
  const outer = new Uint8Array(BLOCK + HASH).fill(0x5c, 0, BLOCK);
  short.forEach((byte, i) => {
    inner[i] ^= byte;
    outer[i] ^= byte;
  });
  inner.set(bytes, BLOCK);
  outer.set(sha256(inner), BLOCK);
  return sha256(outer);
}

/** RFC 5869, of up to 255 × 32 bytes. An empty salt is as none (§2.2). */
export function hkdf(key, salt, info, length) {
  const extracted = hmac(salt, key);
  const made = new Uint8Array(Math.ceil(length / HASH) * HASH);
  let last = new Uint8Array(0);
  for (let i = 0; i * HASH < length; i += 1) {
    last = hmac(extracted, Uint8Array.of(...last, ...info, i + 1));
    made.set(last, i * HASH);
  }
  return made.slice(0, length);
}
