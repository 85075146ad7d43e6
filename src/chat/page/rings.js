// Who may ring: a stranger who calls again and again does not take the page from the
// person who uses it.

/** Who was declined rings again after so long; who hangs up by themselves rings twice in it. */
const AGAIN_MS = 30_000;
const RINGS_OF_ONE = 2;
/**
 * So long nobody rings where several calls came to nothing: four, or two that were declined.
 * One name counts for two at most: for more it is kept from ringing itself.
 */
const QUIET_MS = 60_000;
const MOST_UNWANTED = 4;
const MOST_OF_ONE = 2;
/** Names that are remembered. */
const MOST_NAMES = 200;
/** That somebody called in vain is said so often. */
const TOLD_MS = 10_000;

export class Rings {
  /** By name: when it rang lately, and until when it does not. */
  #names = new Map();
  /** Whose calls came to nothing, and when: {name, at}; twice for one that was declined. */
  #unwanted = [];
  #toldAt = -Infinity;

  /** Whether this name may ring at this time, in ms; it is remembered that it does. */
  ring(name, now) {
    this.#forget(now);
    const known = this.#names.get(name) ?? { rang: [], until: -Infinity };
    if (this.#unwanted.length >= MOST_UNWANTED || now < known.until || known.rang.length >= RINGS_OF_ONE) return false;
    known.rang.push(now);
    this.#names.set(name, known);
    if (this.#names.size > MOST_NAMES) this.#names.delete(this.#names.keys().next().value);
    return true;
  }

  /** The person did not want it, or did not come; it stops then, too. */
  declined(name, now) {
    this.#names.set(name, { rang: [], until: now + AGAIN_MS });
    this.#count(name, now);
  }

  /** It stopped, and nobody had accepted it. */
  stopped(name, now) {
    this.#count(name, now);
  }

  /** The person talks to somebody, or means to: calls are wanted. */
  wanted(name) {
    this.#names.delete(name);
    this.#unwanted = [];
  }

  /** Whether it is to be said now that somebody called in vain. */
  tells(now) {
    if (now - this.#toldAt < TOLD_MS) return false;
    this.#toldAt = now;
    return true;
  }

  #count(name, at) {
    const own = this.#unwanted.filter((each) => each.name === name);
    if (own.length >= MOST_OF_ONE) this.#unwanted.splice(this.#unwanted.indexOf(own[0]), 1);
    this.#unwanted.push({ name, at });
  }

  #forget(now) {
    this.#unwanted = this.#unwanted.filter(({ at }) => now - at < QUIET_MS);
    for (const [name, known] of this.#names) {
      known.rang = known.rang.filter((at) => now - at < AGAIN_MS);
      if (known.rang.length === 0 && now >= known.until) this.#names.delete(name);
    }
  }
}
