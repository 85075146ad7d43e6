// What an invited person is given: a link or a code. Both hold 16 secret bytes,
// from which the key and its id follow (docs/protocol.md).

import { derive, hash } from "./access.js";

/** Crockford's base32: no I, L, O and U. */
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** 140 bits: the secret's 128 and 12 by which a mistake is found. */
const CHARACTERS = 28;
const SECRET = 16;
/** Characters of a link, and of a camera's name, that are looked at. */
const MAX_TEXT = 4096;

const bytesOf = (text) => new TextEncoder().encode(text);

/** Whether the address of a page, or of a part of it, is meant for an invitation. */
export function isInvitation(fragment) {
  const parts = partsOf(fragment);
  return parts.has("invite") || parts.has("camera");
}

/** Text that a person typed, pasted or scanned holds a link, not a code. */
export function isLink(text) {
  return text.includes("#");
}

/**
 * The camera and the secret that a link, or what follows its "#", names; null for
 * one that is not whole. Its page is of no interest: only this page's server is asked.
 * @returns {Promise<{camera: string, secret: Uint8Array} | null>}
 */
export async function ofLink(text) {
  const parts = partsOf(text.slice(text.indexOf("#") + 1));
  const secret = await ofCode(parts.get("invite") ?? "");
  let camera = null;
  try {
    camera = decodeURIComponent(parts.get("camera") ?? "");
  } catch {
    // Not UTF-8: cut, or changed on the way.
  }
  return camera && secret ? { camera, secret } : null;
}

/**
 * The secret of a code: small letters, spaces and hyphens anywhere or nowhere, O for
 * 0, I and L for 1. Null for one with a mistake in it.
 */
export async function ofCode(text) {
  const digits = [...text.slice(0, MAX_TEXT).toUpperCase().replace(/[\s-]/g, "")
    .replaceAll("O", "0").replace(/[IL]/g, "1")].map((each) => DIGITS.indexOf(each));
  if (digits.length !== CHARACTERS || digits.includes(-1)) return null;
  const bits = digits.map((each) => each.toString(2).padStart(5, "0")).join("");
  const bytes = Uint8Array.from({ length: SECRET }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8), 2));
  const [first, second] = await hash(Uint8Array.of(...bytesOf("camera-agent invite check v1"), ...bytes));
  const check = parseInt(bits.slice(SECRET * 8), 2);
  return check === ((first << 4) | (second >> 4)) ? bytes : null;
}

/** What the id and the key of an invitation are. */
export async function ofSecret(secret) {
  return {
    id: await derive(secret, "camera-agent invite id v1", 8),
    key: await derive(secret, "camera-agent invite key v1", 32),
  };
}

/** As in the address of a page: `key=value`, joined by "&"; the first of each counts. */
function partsOf(text) {
  const parts = new Map();
  for (const part of text.slice(0, MAX_TEXT).replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    if (at > 0 && !parts.has(part.slice(0, at))) parts.set(part.slice(0, at), part.slice(at + 1));
  }
  return parts;
}
