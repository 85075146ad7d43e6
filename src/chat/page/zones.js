// Where a camera looks for motion, over its picture; and a way to draw it for who
// was invited to control the camera: corners that are dragged, or moved by arrows.
//
// The device has the zones and its own rules for them. What it refuses it says, and
// what is drawn here stays until it is taken or given up.

import { textOf, words } from "./words.js";

/** As the device has it. */
const MOST_ZONES = 16;
const CORNERS = { least: 3, most: 32 };
const MAX_NAME = 32;
/** An arrow moves a corner by such a share of the picture; with Shift, by more. */
const STEP = 0.01;
const STRIDE = 0.05;
/** A zone that is begun. */
const BEGINNING = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
const SVG = "http://www.w3.org/2000/svg";

export class ZonesPanel {
  #panel;
  #view;
  #video;
  #tell;
  #list;
  #form;
  #name;
  #sensitivity;
  #problem;
  /** {zones, sensitivity, drawn, mayDraw}; null while nothing is known. */
  #known = null;
  /** What is drawn: {was, corners, at, sent}, `at` the corner that is chosen; or null. */
  #drawing = null;

  /** `view` lies over `video`; `tell(message)` says something to the device. */
  constructor(panel, view, video, tell) {
    this.#panel = panel;
    this.#view = view;
    this.#video = video;
    this.#tell = tell;
    this.#list = panel.querySelector("ul");
    this.#form = panel.querySelector("form");
    [this.#name, this.#sensitivity] = this.#form.querySelectorAll("input");
    this.#problem = panel.querySelector(".problem");
    const style = document.createElement("link");
    Object.assign(style, { rel: "stylesheet", href: "zones.css" });
    document.head.append(style);
    const [add, configured] = panel.querySelectorAll(".row.all button");
    add.onclick = () => this.#draw(null);
    configured.onclick = () => this.#say({ type: "zones", configured: true });
    const [more, less] = this.#form.querySelectorAll(".corners button");
    more.onclick = () => this.#addCorner();
    less.onclick = () => this.#removeCorner();
    this.#form.querySelector(".cancel").onclick = () => this.#end();
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#save();
    };
    this.#sensitivity.oninput = () => this.#showSensitivity();
    for (const element of [this.#form, view]) {
      element.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !this.#drawing) return;
        event.preventDefault();
        this.#end();
      });
    }
    view.addEventListener("pointerdown", (event) => this.#press(event));
    view.addEventListener("keydown", (event) => this.#key(event));
    view.addEventListener("focusin", ({ target }) => this.#choose(this.#corners().indexOf(target)));
    video.addEventListener("resize", () => this.#place());
    new ResizeObserver(() => this.#place()).observe(video);
    panel.closest("details").addEventListener("toggle", () => this.#show());
  }

  /** A `zones` message of the device. */
  told({ zones, sensitivity, drawn, may_draw: mayDraw }) {
    if (!Array.isArray(zones)) return;
    this.#known = {
      zones: zones.slice(0, MOST_ZONES).filter(isZone).map((zone) => ({ ...zone, name: textOf(zone.name, MAX_NAME) })),
      sensitivity: Number.isInteger(sensitivity) ? sensitivity : 5,
      drawn: drawn === true,
      mayDraw: mayDraw === true,
    };
    this.#panel.hidden = false;
    this.#panel.closest("details").hidden = false;
    const isTaken = this.#drawing?.sent;
    this.#show();
    if (isTaken) this.#end();
  }

  /** Why the device did not do what it was asked for. */
  problem(text) {
    if (this.#drawing) this.#drawing.sent = false;
    // It is read aloud: only what is new.
    if (this.#problem.textContent !== (text ?? "")) this.#problem.textContent = text ?? "";
  }

  hide() {
    this.#known = this.#drawing = null;
    this.problem(null);
    this.#panel.hidden = true;
    this.#show();
  }

  /** False where it does not arrive. */
  #say(message) {
    this.problem(null);
    const arrives = this.#tell(message);
    if (!arrives) this.problem(words.notOnline);
    return arrives;
  }

  /** Begins to draw one anew, or the one of this name. */
  #draw(name) {
    const zone = this.#known.zones.find((each) => each.name === name);
    this.#drawing = {
      was: zone?.name ?? null,
      corners: (zone?.corners ?? BEGINNING).map((corner) => [...corner]),
      at: 0,
      sent: false,
    };
    this.#name.value = zone?.name ?? this.#freeName();
    this.#sensitivity.value = zone?.sensitivity ?? this.#known.sensitivity;
    this.#showSensitivity();
    this.problem(null);
    this.#show();
    this.#name.focus();
    this.#video.parentElement.scrollIntoView({ block: "nearest" });
  }

  #freeName() {
    const names = this.#known.zones.map(({ name }) => name);
    for (let number = 1; ; number += 1) {
      const name = words.zoneNumbered(number);
      if (!names.includes(name)) return name;
    }
  }

  #save() {
    const { was, corners } = this.#drawing;
    this.#drawing.sent = this.#say({
      type: "zone",
      name: this.#name.value.trim(),
      corners: corners.map((corner) => corner.map((at) => Math.round(at * 1000) / 1000)),
      sensitivity: Number(this.#sensitivity.value),
      ...(was === null ? {} : { was }),
    });
  }

  #end() {
    const { was } = this.#drawing;
    this.#drawing = null;
    this.problem(null);
    this.#show();
    const row = was === null ? null : this.#list.querySelector(`[data-name="${CSS.escape(was)}"] button`);
    (row ?? this.#panel.querySelector(".row.all button")).focus();
  }

  /** A corner more, in the middle of the edge behind the chosen one. */
  #addCorner() {
    const { corners, at } = this.#drawing;
    if (corners.length === CORNERS.most) return;
    const [[ax, ay], [bx, by]] = [corners[at], corners[(at + 1) % corners.length]];
    corners.splice(at + 1, 0, [(ax + bx) / 2, (ay + by) / 2]);
    this.#show();
    this.#corners()[at + 1].focus();
  }

  #removeCorner() {
    const { corners, at } = this.#drawing;
    if (corners.length === CORNERS.least) return;
    corners.splice(at, 1);
    this.#drawing.at = Math.min(at, corners.length - 1);
    this.#show();
    this.#corners()[this.#drawing.at].focus();
  }

  #corners() {
    return [...this.#view.querySelectorAll(".corner")];
  }

  #choose(at) {
    if (at < 0 || !this.#drawing) return;
    this.#drawing.at = at;
    this.#corners().forEach((corner, i) => corner.toggleAttribute("data-chosen", i === at));
  }

  #move(at, x, y) {
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    this.#drawing.corners[at] = [inside(x), inside(y)];
    this.#paint();
  }

  #press(event) {
    const at = this.#corners().indexOf(event.target);
    if (at < 0) return;
    event.preventDefault();
    const corner = event.target;
    corner.focus();
    corner.setPointerCapture(event.pointerId);
    corner.onpointermove = ({ clientX, clientY }) => {
      if (!this.#drawing) return;
      const { left, top, width, height } = this.#view.getBoundingClientRect();
      this.#move(at, (clientX - left) / width, (clientY - top) / height);
    };
    corner.onpointerup = corner.onpointercancel = () => {
      corner.onpointermove = corner.onpointerup = corner.onpointercancel = null;
    };
  }

  #key(event) {
    const at = this.#corners().indexOf(event.target);
    if (at < 0) return;
    if (event.key === "Delete") return this.#removeCorner();
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const step = event.shiftKey ? STRIDE : STEP;
    const [x, y] = this.#drawing.corners[at];
    this.#move(at, x + way[0] * step, y + way[1] * step);
  }

  #showSensitivity() {
    this.#form.querySelector("output").textContent = this.#sensitivity.value;
  }

  /** Shows the list, the form and what is over the picture. */
  #show() {
    const known = this.#known;
    const drawing = this.#drawing;
    const isOpen = this.#panel.closest("details").open;
    const zones = known?.zones ?? [];
    this.#panel.querySelector(".everywhere").hidden = !known || zones.length > 0;
    this.#list.hidden = drawing !== null;
    const focused = document.activeElement?.closest?.("#zones li")?.dataset.name;
    this.#list.replaceChildren(...zones.map((zone) => this.#row(zone)));
    if (focused) this.#list.querySelector(`[data-name="${CSS.escape(focused)}"] button`)?.focus();
    const all = this.#panel.querySelector(".row.all");
    all.hidden = !known?.mayDraw || drawing !== null;
    const [add, configured] = all.querySelectorAll("button");
    add.disabled = zones.length >= MOST_ZONES;
    configured.hidden = !known?.drawn;
    this.#form.hidden = drawing === null;
    this.#video.parentElement.toggleAttribute("data-drawing", drawing !== null);
    this.#view.hidden = !known || (!isOpen && !drawing);
    if (drawing) {
      const [more, less] = this.#form.querySelectorAll(".corners button");
      more.disabled = drawing.corners.length >= CORNERS.most;
      less.disabled = drawing.corners.length <= CORNERS.least;
    }
    this.#shapes();
    this.#place();
  }

  #row({ name }) {
    const row = document.createElement("li");
    row.dataset.name = name;
    const title = document.createElement("span");
    title.textContent = name;
    row.append(title);
    if (!this.#known.mayDraw) return row;
    const button = (text, label, act) => {
      const made = document.createElement("button");
      Object.assign(made, { type: "button", className: "quiet", textContent: text, onclick: act });
      made.setAttribute("aria-label", label);
      row.append(made);
    };
    button(words.zoneChange, words.zoneChangeOf(name), () => this.#draw(name));
    button(words.zoneRemove, words.zoneRemoveOf(name), () => {
      this.#say({ type: "zone", name, corners: null });
      this.#panel.querySelector(".row.all button").focus();
    });
    return row;
  }

  /** Makes what is over the picture anew: a shape for each zone, and the corners of the one that is drawn. */
  #shapes() {
    const drawing = this.#drawing;
    const svg = this.#view.querySelector("svg");
    const others = (this.#known?.zones ?? []).filter(({ name }) => name !== drawing?.was);
    const shape = (corners) => {
      const polygon = document.createElementNS(SVG, "polygon");
      polygon.setAttribute("points", points(corners));
      return polygon;
    };
    svg.replaceChildren(...others.map(({ corners }) => shape(corners)));
    for (const old of this.#corners()) old.remove();
    if (!drawing) return;
    const own = shape(drawing.corners);
    own.classList.add("own");
    svg.append(own);
    this.#view.append(...drawing.corners.map(() => {
      const corner = document.createElement("button");
      Object.assign(corner, { type: "button", className: "corner" });
      return corner;
    }));
    this.#choose(drawing.at);
    this.#paint();
  }

  /** Puts what is drawn where it is now. */
  #paint() {
    const { corners } = this.#drawing;
    this.#view.querySelector(".own").setAttribute("points", points(corners));
    this.#corners().forEach((corner, i) => {
      const [x, y] = corners[i];
      const [across, down] = [Math.round(x * 100), Math.round(y * 100)];
      corner.style.left = `${x * 100}%`;
      corner.style.top = `${y * 100}%`;
      corner.setAttribute("aria-label", words.zoneCorner(i + 1, across, down));
    });
  }

  /** Lays the view over the picture, which need not fill its element. */
  #place() {
    const { videoWidth, videoHeight, offsetWidth, offsetHeight, offsetLeft, offsetTop } = this.#video;
    if (this.#view.hidden || !videoWidth || !videoHeight) return;
    const scale = Math.min(offsetWidth / videoWidth, offsetHeight / videoHeight);
    const [width, height] = [videoWidth * scale, videoHeight * scale];
    const { style } = this.#view;
    style.left = `${offsetLeft + (offsetWidth - width) / 2}px`;
    style.top = `${offsetTop + (offsetHeight - height) / 2}px`;
    style.width = `${width}px`;
    style.height = `${height}px`;
  }
}

function points(corners) {
  return corners.map(([x, y]) => `${x * 100},${y * 100}`).join(" ");
}

function isZone(zone) {
  const isPlace = (place) => Array.isArray(place) && place.length === 2 && place.every(Number.isFinite);
  return typeof zone?.name === "string" && Array.isArray(zone.corners)
    && zone.corners.length <= CORNERS.most && zone.corners.every(isPlace);
}
