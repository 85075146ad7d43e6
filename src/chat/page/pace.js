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
 * Gives on texts at a pace. Of what is too fast for it the last of each kind waits until
 * there is room again; what has no kind is dropped.
 */
export class LastWords {
  #pace;
  #kindOf;
  #give;
  #retryMs;
  /** By kind, the longest-waiting first. */
  #waiting = new Map();
  #timer = 0;

  /** `kindOf(text)` is null for what is not waited for; `give(text)` takes what is in time. */
  constructor(burst, perSecond, kindOf, give) {
    this.#pace = new Pace(burst, perSecond);
    this.#retryMs = 1_000 / perSecond;
    this.#kindOf = kindOf;
    this.#give = give;
  }

  put(text, now) {
    // What waits was said before it.
    this.#giveWaiting(now);
    if (this.#waiting.size === 0 && this.#pace.take(now)) {
      this.#give(text);
      return;
    }
    const kind = this.#kindOf(text);
    if (kind === null) return;
    this.#waiting.delete(kind);
    this.#waiting.set(kind, text);
    this.#retry();
  }

  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#waiting.clear();
  }

  #giveWaiting(now) {
    for (const [kind, text] of this.#waiting) {
      if (!this.#pace.take(now)) return;
      this.#waiting.delete(kind);
      this.#give(text);
    }
  }

  #retry() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#giveWaiting(performance.now());
      if (this.#waiting.size > 0) this.#retry();
    }, this.#retryMs);
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
