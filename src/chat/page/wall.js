// Several cameras at once: up to nine pictures, each a call of its own. One of them
// can be large, with its sound; the others are small, silent, and in the smallest
// quality that their camera has.
//
// It is there for who has more than one camera, and is loaded when the second appears.

import { Tile } from "./tile.js";
import { words } from "./words.js";

/** What a browser decodes and a person looks at. */
export const MOST = 9;
/** From the end of a lost call to the next: a camera that has just begun is ready by then. */
const AGAIN_MS = 2_000;

const $ = (id) => document.getElementById(id);

export class Wall {
  #page;
  #on;
  #section;
  #open;
  /** By name, in their order. */
  #tiles = new Map();
  /** Its name; null while all are small. */
  #large = null;
  /** The cameras that are in the chat. */
  #here = [];

  /**
   * `page` is what a [Tile] needs. `on`: say(text, kind), opened(), closed(), and
   * alone(name), for who wants one of them and all that it can do.
   */
  constructor(page, on) {
    this.#page = page;
    this.#on = on;
    this.#section = $("wall");
    this.#open = $("wall-open");
    const mayRename = page.signaling.mayRename;
    // Calls count under the name that they began with.
    page.signaling.mayRename = (wanted) => mayRename(wanted)
      && [...this.#tiles.values()].every(({ me }) => me === null || me === wanted);
    this.#open.onclick = () => this.open();
    const [back, alone, end] = this.#section.querySelectorAll(".bar button");
    back.onclick = () => this.enlarge(null);
    alone.onclick = () => this.#on.alone(this.#large);
    end.onclick = () => this.close();
    this.#section.addEventListener("keydown", (event) => this.#arrow(event));
    addEventListener("keydown", (event) => this.#escape(event));
    const style = document.createElement("link");
    Object.assign(style, { rel: "stylesheet", href: "wall.css" });
    document.head.append(style);
  }

  get isOpen() {
    return this.#tiles.size > 0;
  }

  has(name) {
    return this.#tiles.has(name);
  }

  /** The cameras that are in the chat: they can be shown, and one that is back is called again. */
  cameras(names) {
    const back = names.filter((name) => !this.#here.includes(name));
    this.#here = names;
    for (const name of back) {
      const tile = this.#tiles.get(name);
      if (tile?.state === "ended") tile.call();
    }
    this.#offer();
  }

  /** Shows all that are there, as far as there is room. */
  open() {
    if (this.isOpen) return;
    const names = this.#here.slice(0, MOST);
    if (names.length === 0) return;
    this.#on.opened();
    for (const name of names) this.#put(name);
    this.#arrange();
    this.#on.say(words.wallWatching(names.length));
    // What began it is away.
    this.#buttons()[0].focus();
  }

  /** One more, or the one that is there, large. */
  show(name) {
    if (this.has(name)) return this.enlarge(name);
    if (this.#tiles.size === MOST) return this.#on.say(words.wallFull(MOST), "problem");
    this.#put(name);
    this.#arrange();
    this.#on.say(words.wallWatching(this.#tiles.size));
  }

  /** Makes one large, or all small. */
  enlarge(name) {
    const before = this.#large;
    this.#large = name;
    for (const [each, tile] of this.#tiles) {
      if (each === name || each === before) tile.large(each === name);
    }
    this.#arrange();
    // The button that did it may be away.
    if (before !== null && name === null) this.#tiles.get(before)?.button.focus();
  }

  /** True where a frame was one of its cameras'. */
  receive(frame) {
    if (!this.isOpen || frame.type === "message") return false;
    const tile = this.#tiles.get(frame.name);
    if (tile) tile.receive(frame);
    else if (frame.name === undefined && frame.type === "new-ice-candidate") {
      // Original servers do not say who sent it; a call knows its own.
      for (const each of this.#tiles.values()) each.receive(frame);
    }
    return tile !== undefined;
  }

  close() {
    if (!this.isOpen) return;
    for (const tile of this.#tiles.values()) tile.close();
    this.#tiles.clear();
    this.#large = null;
    this.#arrange();
    this.#on.closed();
    if (!this.#open.hidden) this.#open.focus();
    this.#page.signaling.reclaim();
  }

  #put(name) {
    const tile = new Tile(name, this.#page, {
      enlarge: () => this.enlarge(this.#large === name ? null : name),
      remove: () => this.#remove(name),
      lost: () => setTimeout(() => this.#again(tile), AGAIN_MS),
    });
    this.#tiles.set(name, tile);
    this.#section.querySelector("ul").append(tile.element);
    tile.call();
  }

  /**
   * One that was away for so short that the list of names has not shown it. Once: a call
   * that does not connect is not made again.
   */
  #again(tile) {
    const { name } = tile;
    if (this.#tiles.get(name) === tile && tile.state === "ended" && this.#here.includes(name)) tile.call();
  }

  #remove(name) {
    if (this.#tiles.size === 1) return this.close();
    const at = [...this.#tiles.keys()].indexOf(name);
    this.#tiles.get(name).close();
    this.#tiles.delete(name);
    if (this.#large === name) this.#large = null;
    this.#arrange();
    const buttons = this.#buttons();
    buttons[Math.min(at, buttons.length - 1)].focus();
  }

  #buttons() {
    return [...this.#tiles.values()].map(({ button }) => button);
  }

  #arrange() {
    const { isOpen } = this;
    const isLarge = this.#large !== null;
    document.body.toggleAttribute("data-wall", isOpen);
    this.#section.hidden = !isOpen;
    this.#section.toggleAttribute("data-large", isLarge);
    const count = this.#tiles.size;
    const columns = isLarge ? Math.max(count - 1, 1) : Math.ceil(Math.sqrt(count));
    this.#section.style.setProperty("--columns", columns);
    const [back, alone] = this.#section.querySelectorAll(".bar button");
    back.hidden = alone.hidden = !isLarge;
    this.#offer();
  }

  /** A person with one camera has nothing to choose. */
  #offer() {
    this.#open.hidden = this.isOpen || this.#here.length < 2;
  }

  /** From picture to picture, as they stand. */
  #arrow(event) {
    const buttons = this.#buttons();
    const at = buttons.indexOf(event.target.closest(".show"));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const places = buttons.map((button) => button.getBoundingClientRect());
    const to = next(places, at, event.key);
    if (to === null) return;
    event.preventDefault();
    buttons[to].focus();
  }

  #escape(event) {
    const elsewhere = event.target.closest?.("dialog, input, textarea, select");
    if (event.key !== "Escape" || this.#large === null || elsewhere || document.fullscreenElement) return;
    event.preventDefault();
    this.enlarge(null);
  }
}

/** Of pictures at these places the one that an arrow leads to; null for none, or another key. */
export function next(places, at, key) {
  const from = places[at];
  if (key === "ArrowLeft") return at > 0 ? at - 1 : null;
  if (key === "ArrowRight") return at + 1 < places.length ? at + 1 : null;
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const middle = ({ left, right }) => (left + right) / 2;
  let best = null;
  let least = Infinity;
  places.forEach((place, i) => {
    const down = key === "ArrowDown" ? place.top - from.bottom : from.top - place.bottom;
    if (i === at || down < -1) return;
    // The next row before the nearest column.
    const far = down * 1000 + Math.abs(middle(place) - middle(from));
    if (far < least) [best, least] = [i, far];
  });
  return best;
}
