// How often something is done that others ask for.

/** So much at once, and so much of it again in a second. */
export class Pace {
  #burst;
  #perSecond;
  #left;
  #at = null;

  constructor(burst, perSecond) {
    this.#burst = this.#left = burst;
    this.#perSecond = perSecond;
  }

  /** Takes one at this time, in ms, where there is one. */
  take(now) {
    const since = this.#at === null ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#left = Math.min(this.#burst, this.#left + since / 1_000 * this.#perSecond);
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

/**
 * Does the last of what was asked for under each name, once the page is drawn: what
 * comes faster than that is not seen.
 */
export class Frames {
  #waiting = new Map();
  #asked = 0;
  #draw;

  /** `draw(call)` calls it once the page is drawn. */
  constructor(draw = (call) => requestAnimationFrame(call)) {
    this.#draw = draw;
  }

  put(name, act) {
    this.#waiting.set(name, act);
    this.#asked ||= this.#draw(() => this.flush()) ?? 1;
  }

  /** Does it now: something else comes behind it. */
  flush() {
    const acts = [...this.#waiting.values()];
    this.clear();
    for (const act of acts) act();
  }

  clear() {
    this.#waiting.clear();
    this.#asked = 0;
  }
}
