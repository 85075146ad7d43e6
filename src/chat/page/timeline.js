// A day as a line: where something was recorded, and where something moved. It is one
// control, by the keyboard and for a screen reader: arrows go from recording to recording.

import { recordingWords, words } from "./words.js";

/** Lists that are asked for, a hundred recordings each. */
const MOST_LISTS = 100;
const MOST_LISTED = 100;
/** The line's own measure: a minute each. */
const WIDTH = 1440;
/** What is shorter is drawn as if it were so long, in minutes. */
const SHORTEST = 3;
/** What is drawn with so many pixels of the screen is pointed at by the minute. */
const POINTED_AT = 8;
const WHYS = ["always", "watched", "button", "motion"];

export class Timeline {
  #panel;
  #day;
  #line;
  #before;
  #after;
  #chosen;
  #about;
  #play;
  #on;
  /** Midnight, in ms since 1970, of this day and of the next; null before there is one. */
  #from = null;
  #to = null;
  /** Of this day, the earliest first. */
  #all = [];
  /** Which of them is chosen; -1 for none. */
  #at = -1;
  /** From which second of it. */
  #second = 0;
  /** Somebody has gone to this day. */
  #isPicked = false;
  /** The day that is shown changes with it. */
  #turn = 0;

  /** `on`: list(before), moves(), image(id), drop(images), play(recording, second). */
  constructor(panel, on) {
    this.#panel = panel;
    this.#on = on;
    this.#day = panel.querySelector("input");
    this.#line = panel.querySelector("[role=slider]");
    [this.#before, this.#after] = panel.querySelectorAll(".row button");
    this.#chosen = panel.querySelector(".chosen");
    this.#about = this.#chosen.querySelector("span");
    this.#play = this.#chosen.querySelector("button");
    this.#before.onclick = () => this.#go(-1);
    this.#after.onclick = () => this.#go(1);
    this.#day.onchange = () => {
      const [year, month, day] = this.#day.value.split("-").map(Number);
      if (year > 0) this.#pick(new Date(year, month - 1, day));
    };
    this.#play.onclick = () => this.#playChosen();
    this.#line.onclick = (event) => this.#point(event);
    this.#line.onkeydown = (event) => this.#key(event);
  }

  /** The list has changed; `latest` is when its last recording began. */
  changed(latest) {
    this.#panel.hidden = latest === null && this.#from === null;
    if (this.#panel.hidden) return;
    if (!this.#isPicked && latest !== null) this.#take(new Date(latest));
    this.#load();
  }

  clear() {
    this.#turn += 1;
    this.#from = this.#to = null;
    this.#isPicked = false;
    this.#all = [];
    this.#choose(-1);
    this.#panel.hidden = true;
  }

  #go(days) {
    const { day } = this;
    if (day) this.#pick(new Date(day.getFullYear(), day.getMonth(), day.getDate() + days));
  }

  get day() {
    return this.#from === null ? null : new Date(this.#from);
  }

  #pick(day) {
    this.#isPicked = true;
    this.#take(day);
    this.#load();
  }

  #take(day) {
    const from = new Date(day.getFullYear(), day.getMonth(), day.getDate());
    if (+from === this.#from) return;
    this.#from = +from;
    // A day has 23 hours, or 25, where clocks change.
    this.#to = +new Date(from.getFullYear(), from.getMonth(), from.getDate() + 1);
    const two = (number) => String(number).padStart(2, "0");
    this.#day.value = `${from.getFullYear()}-${two(from.getMonth() + 1)}-${two(from.getDate())}`;
    this.#all = [];
    this.#choose(-1);
  }

  async #load() {
    const turn = ++this.#turn;
    const all = [];
    let before = idOf(this.#to);
    let older = false;
    for (let lists = 0; lists < MOST_LISTS; lists += 1) {
      let answer;
      try {
        answer = await this.#on.list(before);
      } catch {
        return; // The list says it.
      }
      if (turn !== this.#turn) return;
      const listed = Array.isArray(answer.recordings) ? answer.recordings.slice(0, MOST_LISTED) : [];
      for (const one of listed) if (this.#isOfDay(one)) all.push(one);
      const last = listed.at(-1);
      older = answer.more === true || (last && last.began_ms < this.#from);
      if (answer.more !== true || !last || endOf(last) < this.#from) break;
      before = last.id;
    }
    all.reverse();
    this.#before.disabled = !older;
    this.#after.disabled = this.#to > Date.now();
    const id = this.#all[this.#at]?.id;
    this.#all = all;
    this.#choose(all.findIndex((one) => one.id === id));
  }

  #isOfDay(one) {
    return Number.isFinite(one?.began_ms) && one.began_ms < this.#to && endOf(one) >= this.#from;
  }

  #key(event) {
    const last = this.#all.length - 1;
    if (last < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowLeft: Math.max(0, this.#at - 1),
      ArrowDown: Math.max(0, this.#at - 1),
      ArrowRight: Math.min(last, this.#at + 1),
      ArrowUp: Math.min(last, this.#at + 1),
      PageUp: Math.min(last, this.#at + 10),
      PageDown: Math.max(0, this.#at - 10),
      Home: 0,
      End: last,
    }[event.key];
    if (to !== undefined) this.#choose(to);
    else if (event.key === "Enter" || event.key === " ") this.#playChosen();
    else return;
    event.preventDefault();
  }

  /** What is nearest to where somebody points is chosen. */
  #point({ clientX }) {
    const { left, width } = this.#line.getBoundingClientRect();
    const at = this.#from + (clientX - left) / width * (this.#to - this.#from);
    const distance = (one) => Math.max(one.began_ms - at, at - endOf(one), 0);
    let nearest = -1;
    for (const [i, one] of this.#all.entries()) {
      if (nearest < 0 || distance(one) < distance(this.#all[nearest])) nearest = i;
    }
    this.#choose(nearest);
    // Of a long one the minute that was meant.
    const one = this.#all[nearest];
    const isLong = one && (endOf(one) - one.began_ms) / (this.#to - this.#from) * width > POINTED_AT;
    if (isLong) this.#second = Math.max(0, (Math.min(at, endOf(one)) - one.began_ms) / 1000);
  }

  #playChosen() {
    const one = this.#all[this.#at];
    if (one) this.#on.play(one, this.#second);
  }

  #choose(at) {
    this.#at = at;
    this.#second = 0;
    const one = this.#all[at];
    const image = this.#chosen.querySelector("img");
    if (image) {
      this.#on.drop([image]);
      image.remove();
    }
    this.#chosen.hidden = !one;
    if (one) {
      const what = recordingWords(one);
      this.#about.textContent = what;
      this.#play.setAttribute("aria-label", words.actOn(words.play, what));
      this.#chosen.prepend(this.#on.image(one.id));
    }
    const count = this.#all.length;
    this.#line.setAttribute("aria-valuemax", String(count));
    this.#line.setAttribute("aria-valuenow", String(at + 1));
    const text = one ? recordingWords(one) : count > 0 ? words.dayCount(count) : words.dayNone;
    this.#line.setAttribute("aria-valuetext", text);
    this.#panel.querySelector(".none").hidden = count > 0;
    this.#draw();
  }

  #draw() {
    for (const why of WHYS) {
      const boxes = this.#all.filter((one) => one.why === why);
      this.#path(why, boxes.map((one) => this.#box(one.began_ms, endOf(one), 14, 36)));
    }
    const moves = this.#on.moves().filter(([began, ended]) => began < this.#to && ended >= this.#from);
    this.#path("moved", moves.map(([began, ended]) => this.#box(began, ended, 4, 10)));
    const one = this.#all[this.#at];
    this.#path("at", one ? [this.#box(one.began_ms, endOf(one), 0, 40)] : []);
  }

  #path(name, boxes) {
    // What falls on the same place is drawn once.
    this.#line.querySelector(`.${name}`).setAttribute("d", [...new Set(boxes)].join(""));
  }

  #box(began, ended, top, bottom) {
    const scale = WIDTH / (this.#to - this.#from);
    const left = Math.max(0, Math.round((began - this.#from) * scale));
    const right = Math.min(WIDTH, Math.max(Math.round((ended - this.#from) * scale), left + SHORTEST));
    return `M${left} ${top}H${right}V${bottom}H${left}z`;
  }
}

/** When a recording ends; one that goes on, now. */
function endOf({ began_ms: began, seconds }) {
  return Number.isFinite(seconds) ? began + seconds * 1000 : Math.max(began, Date.now());
}

/** What a recording of this time is called: all before it are listed by that. */
function idOf(time) {
  return new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");
}
