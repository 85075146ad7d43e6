// What moved before the camera, the latest first: as the device tells of it, with
// what it tells of the time before somebody came. Zones are the owner's words
// and go in as text.
//
// Whoever wants to is told outside of the page, while it is not in sight.

import { motionWords, textOf, words } from "./words.js";

const MOST = 50;
const MAX_ZONE = 32;
/** Notifications come so far apart: one takes the place of the last. */
const NOTIFY_MS = 2_000;
/** What `Date` takes for a time, in ms. */
const MAX_TIME = 8.64e15;

export class MotionPanel {
  #panel;
  #list;
  #button;
  /** By zone and beginning. */
  #rows = new Map();
  #notifiedAt = -Infinity;

  constructor(panel) {
    this.#panel = panel;
    this.#list = panel.querySelector("ol");
    this.#button = panel.querySelector("button");
    this.#button.onclick = async () => {
      await Notification.requestPermission();
      this.#offer();
    };
  }

  /** Shows one, or that it is over; `camera` is what the person calls the device. */
  told({ zone, began_ms: began, ended_ms: ended, past }, camera) {
    const name = textOf(zone, MAX_ZONE);
    if (!name || !isTime(began) || (ended !== undefined && !isTime(ended))) return;
    const key = `${began} ${name}`;
    let row = this.#rows.get(key);
    const isNew = !row;
    if (isNew) {
      row = document.createElement("li");
      this.#rows.set(key, row);
      this.#list.prepend(row);
      while (this.#list.childElementCount > MOST) this.#forgetLast();
    }
    row.textContent = motionWords(name, began, ended);
    row.dataset.over = String(ended !== undefined);
    [row.dataset.began, row.dataset.ended] = [began, ended ?? Date.now()];
    this.#panel.hidden = false;
    this.#offer();
    if (isNew && past !== true) this.#notify(name, camera);
  }

  /** When something moved that is in the list: [began, ended], in ms since 1970. */
  times() {
    return [...this.#rows.values()].map(({ dataset }) => [Number(dataset.began), Number(dataset.ended)]);
  }

  hide() {
    this.#panel.hidden = true;
    this.#panel.open = false;
    this.#rows.clear();
    this.#list.replaceChildren();
  }

  #forgetLast() {
    const last = this.#list.lastElementChild;
    for (const [key, row] of this.#rows) if (row === last) this.#rows.delete(key);
    last.remove();
  }

  /** The button is there while it is of use: browsers have no notifications on pages without https. */
  #offer() {
    this.#button.hidden = !couldNotify();
  }

  #notify(zone, camera) {
    if (!document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
    const now = performance.now();
    if (now - this.#notifiedAt < NOTIFY_MS) return;
    this.#notifiedAt = now;
    try {
      const notification = new Notification(words.motionAt(camera), { body: zone, tag: `motion ${camera}` });
      notification.onclick = () => {
        window.focus();
        notification.close();
      };
    } catch {
      // Was allowed where a service worker alone may do it.
    }
  }
}

let could = null;

/**
 * Whether it is of use to ask for it: Chromium on Android lets a service worker alone
 * notify. Tried where nobody has been asked yet, which shows nothing.
 */
function couldNotify() {
  if (!("Notification" in window && isSecureContext && Notification.permission === "default")) return false;
  if (could === null) {
    try {
      new Notification("").close();
      could = true;
    } catch {
      could = false;
    }
  }
  return could;
}

function isTime(value) {
  return Number.isFinite(value) && Math.abs(value) <= MAX_TIME;
}
