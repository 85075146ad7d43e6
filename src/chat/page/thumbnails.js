// Thumbnails of recordings: fetched for what is in sight, and for nothing else, so that
// a list of ten thousand costs what the screen shows of it.

/** So many are kept: those that were in sight last. */
const MOST = 200;
/** Between one and the next: a device hands over twenty a second. */
const APART_MS = 60;

export class Thumbnails {
  #ask;
  #observer;
  /** Of which recording each image is. */
  #ids = new WeakMap();
  #sight = new Set();
  /** In sight, and without its picture. */
  #wanted = new Set();
  /** Addresses by id, the one that was not looked at for longest first. */
  #kept = new Map();
  #busy = false;
  /** The camera changes with it. */
  #turn = 0;

  /** `ask(id)` resolves to a JPEG's bytes, none where there is no thumbnail. */
  constructor(ask) {
    this.#ask = ask;
    this.#observer = new IntersectionObserver((entries) => this.#look(entries));
  }

  /** The image of this recording. What it shows is said beside it. */
  of(id) {
    const image = document.createElement("img");
    image.className = "thumbnail";
    image.alt = "";
    this.#ids.set(image, id);
    this.#observer.observe(image);
    return image;
  }

  /** Nothing of these images is in use any more. */
  drop(images) {
    for (const image of images) {
      this.#observer.unobserve(image);
      this.#sight.delete(image);
      this.#wanted.delete(image);
    }
  }

  /** The list has changed: of what had none there may be one now. */
  again() {
    for (const image of this.#sight) if (!this.#show(image)) this.#wanted.add(image);
    this.#fetch();
  }

  /** Another camera's recordings may be called the same. */
  clear() {
    this.#turn += 1;
    this.#sight.clear();
    this.#wanted.clear();
    this.#kept.clear();
  }

  #look(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) {
        this.#sight.delete(target);
        this.#wanted.delete(target);
        target.removeAttribute("src");
        continue;
      }
      this.#sight.add(target);
      if (!this.#show(target)) this.#wanted.add(target);
    }
    this.#fetch();
  }

  #show(image) {
    const id = this.#ids.get(image);
    const address = this.#kept.get(id);
    if (!address) return false;
    this.#kept.delete(id);
    this.#kept.set(id, address);
    image.src = address;
    return true;
  }

  async #fetch() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#wanted.size > 0) {
      const [image] = this.#wanted;
      this.#wanted.delete(image);
      if (this.#show(image)) continue;
      await this.#fetchOne(image);
      await new Promise((resolve) => setTimeout(resolve, APART_MS));
    }
    this.#busy = false;
  }

  async #fetchOne(image) {
    const id = this.#ids.get(image);
    const turn = this.#turn;
    try {
      const bytes = await this.#ask(id);
      // One that is being written may have it later: nothing is remembered of that.
      if (bytes.length === 0 || turn !== this.#turn) return;
      this.#kept.set(id, `data:image/jpeg;base64,${btoa(String.fromCharCode(...bytes))}`);
      if (this.#kept.size > MOST) this.#kept.delete(this.#kept.keys().next().value);
      this.#show(image);
    } catch {
      // The call is over, or this recording is gone: the list says so. Others are there.
    }
  }
}
