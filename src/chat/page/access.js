// The proofs of an invitation, as docs/protocol.md has them: that an offer is of
// somebody who holds the key, and that its answer is of the camera.
//
// DTLS proves that the other end holds the certificate whose fingerprint stands in
// its description; what is proven here is that this very fingerprint belongs to the
// camera. Whoever carries the descriptions can change neither.

/** Plain http: then, and only then, by our own module. */
const subtle = globalThis.crypto?.subtle;
const plain = () => import("./sha.js");
const HMAC = { name: "HMAC", hash: "SHA-256", length: 256 };
const NO_SALT = new Uint8Array(0);
const PROOF_BYTES = 32;

const bytesOf = (text) => new TextEncoder().encode(text);

/** SHA-256. */
export async function hash(bytes) {
  if (subtle) return new Uint8Array(await subtle.digest("SHA-256", bytes));
  return (await plain()).sha256(bytes);
}

/** HKDF-SHA256 without a salt: so many bytes that follow from a secret. */
export async function derive(secret, info, length) {
  if (!subtle) return (await plain()).hkdf(secret, NO_SALT, bytesOf(info), length);
  const base = await subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  return new Uint8Array(await subtle.deriveBits(hkdf(info), base, length * 8));
}

/** What proofs are made with. No script can read it where the page came by https. */
export async function proofKey(key) {
  const info = "camera-agent access v1";
  if (!subtle) return derive(key, info, 32);
  const base = await subtle.importKey("raw", key, "HKDF", false, ["deriveKey"]);
  return subtle.deriveKey(hkdf(info), base, HMAC, false, ["sign", "verify"]);
}

/**
 * The two proofs of one offer and its answer.
 */
export class Proofs {
  #camera;
  #fields;

  /** `camera` is a camera that we are invited to, `sdp` the text of our offer. */
  constructor(camera, sdp) {
    const side = sideOf(sdp);
    if (!side) throw new Error("our own offer has not one fingerprint");
    this.#camera = camera;
    this.#fields = { name: bytesOf(camera.name), side: [side.fingerprint, bytesOf(side.ufrag)], id: bytesOf(camera.id) };
  }

  /** What the offer carries. */
  async offer() {
    const { name, side, id } = this.#fields;
    return { id: this.#camera.id, proof: toBase64(await sign(this.#camera.key, fields(["offer", name, ...side, id]))) };
  }

  /** Whether an answer, with what it carries as its `access`, is that of the camera. */
  async isOfAnswer(sdp, access) {
    const answerer = typeof sdp === "string" ? sideOf(sdp) : null;
    const proof = fromBase64(access?.proof, PROOF_BYTES);
    if (!answerer || !proof) return false;
    const { name, side, id } = this.#fields;
    const told = ["answer", name, answerer.fingerprint, bytesOf(answerer.ufrag), ...side, id];
    return verify(this.#camera.key, proof, fields(told));
  }
}

/**
 * The SHA-256 fingerprint and the ICE user of a description; null unless it has
 * exactly one of each, however often. A browser that was given a second one, of
 * another hash for instance, might go by that.
 */
export function sideOf(sdp) {
  const found = (name) => [...sdp.matchAll(new RegExp(`^a=${name}:(.*)$`, "gm"))].map(([, value]) => value.trim());
  // Whatever a browser might take for such a line is one of those that were read.
  const all = (name, values) => values.length > 0 && values.length === sdp.toLowerCase().split(name).length - 1;
  const prints = found("fingerprint");
  const users = found("ice-ufrag");
  if (!all("fingerprint", prints) || !all("ice-ufrag", users)) return null;
  const hex = prints.map((each) => /^sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$/.exec(each.toLowerCase())?.[1]);
  if (!hex[0] || hex.some((each) => each !== hex[0]) || users.some((each) => each !== users[0])) return null;
  if (!/^[\w+/-]{4,256}$/.test(users[0])) return null;
  return { fingerprint: Uint8Array.from(hex[0].split(":"), (each) => parseInt(each, 16)), ufrag: users[0] };
}

/** Each with its length before it, so that no two lists have the same bytes. */
function fields(all) {
  const bytes = [];
  for (const each of all) {
    const field = typeof each === "string" ? bytesOf(each) : each;
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, field.length);
    bytes.push(...new Uint8Array(length.buffer), ...field);
  }
  return Uint8Array.from(bytes);
}

/** A key of https may have come to lie beside ones of plain http: each is used as what it is. */
async function sign(key, bytes) {
  if (key instanceof Uint8Array) return (await plain()).hmac(key, bytes);
  return new Uint8Array(await subtle.sign("HMAC", key, bytes));
}

async function verify(key, proof, bytes) {
  if (!(key instanceof Uint8Array)) return subtle.verify("HMAC", key, proof, bytes);
  const right = (await plain()).hmac(key, bytes);
  return right.reduce((differs, byte, i) => differs | (byte ^ proof[i]), 0) === 0;
}

function hkdf(info) {
  return { name: "HKDF", hash: "SHA-256", salt: NO_SALT, info: bytesOf(info) };
}

/** base64url without padding (RFC 4648 §5). */
export function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** So many bytes; null for what is none. */
export function fromBase64(text, length) {
  if (typeof text !== "string" || text.length !== Math.ceil(length * 4 / 3) || !/^[\w-]+$/.test(text)) return null;
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
}
