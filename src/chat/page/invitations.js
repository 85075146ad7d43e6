// Takes invitations in: from the page's address, or as a person types, pastes or
// scans them. What becomes of them is in keys.js.

import { proofKey, toBase64 } from "./access.js";
import { isInvitation, isLink, ofCode, ofLink, ofSecret } from "./invite.js";
import { words } from "./words.js";

/**
 * The invitation that stands behind the "#" of the page's address, or null. It is
 * out of the address bar, the history and the reach of a reload from here on.
 */
export function takeFromAddress() {
  const { hash, pathname, search } = location;
  if (!isInvitation(hash)) return null;
  history.replaceState(history.state, "", pathname + search);
  return hash;
}

export class Invitations {
  #keys;
  #ask;

  /** `ask(name)` gives a promise of whether a new invitation of a known camera is to replace the old one. */
  constructor(keys, ask) {
    this.#keys = keys;
    this.#ask = ask;
  }

  /**
   * Takes in a link, or a code of the camera called `name`.
   * @returns {Promise<{camera?: object, problem?: string}>} neither where the person
   * keeps an older one
   */
  async take(text, name) {
    const link = isLink(text);
    const found = link ? await ofLink(text) : await ofCode(text);
    if (!found) return { problem: link ? words.badLink : words.badCode };
    if (!link && !name) return { problem: words.noName };
    return this.#keep(link ? found : { camera: name, secret: found });
  }

  async #keep({ camera: name, secret }) {
    const { id: bytes, key } = await ofSecret(secret);
    const id = toBase64(bytes);
    await this.#keys.ready;
    // A link that is opened again: its key may long be one of this browser's own.
    const same = this.#keys.all.find((each) => each.name === name && (each.id === id || each.from === id));
    if (same) return { camera: same };
    const old = this.#keys.of(name);
    // A camera that was never seen has nothing to lose. Else anybody could have
    // their link take the place of a camera that this person trusts.
    if (old?.seen && !await this.#ask(name)) return {};
    const camera = {
      name, id, from: id, key: await proofKey(key), as: "", label: old?.label ?? "", added: Date.now(), seen: 0,
    };
    await this.#keys.put(camera);
    if (old) await this.#keys.forget(old);
    return { camera };
  }
}
