// Who may ring: a stranger who calls again and again does not take the page from the
// person who uses it.

/** Who was declined rings again after so long; who hangs up by themselves rings twice in it. */
const AGAIN_MS = 30_000;
const RINGS_OF_ONE = 2;
/** So long nobody rings where several calls came to nothing: four, or two that were declined. */
const QUIET_MS = 60_000;
const MOST_UNWANTED = 4;
/** Names that are remembered. */
const MOST_NAMES = 200;
/** That somebody called in vain is said so often. */
const TOLD_MS = 10_000;

export class Rings {
  /** By name: when it rang lately, and until when it does not. */
  #names = new Map();
  /** When calls came to nothing; twice for one that was declined. */
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
    this.#unwanted.push(now);
  }

  /** It stopped, and nobody had accepted it. */
  stopped(now) {
    this.#unwanted.push(now);
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

  #forget(now) {
    this.#unwanted = this.#unwanted.filter((at) => now - at < QUIET_MS);
    for (const [name, known] of this.#names) {
      known.rang = known.rang.filter((at) => now - at < AGAIN_MS);
      if (known.rang.length === 0 && now >= known.until) this.#names.delete(name);
    }
  }
}
