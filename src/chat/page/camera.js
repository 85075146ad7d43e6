// The panel with the camera's controls: sliders, switches and menus, made from
// the device's own list. Names and labels come from the device and go in as
// text.
//
// A slider that is being moved sends no more than ten values a second, and
// stays where the finger is: the device's list is shown on it afterwards.

import { choiceWords, controlWords, textOf } from "./words.js";

const SEND_MS = 100;
const TOUCHED_MS = 600;
const MAX_CONTROLS = 256;
const MAX_CHOICES = 256;
/** Characters of a name or a label that are shown. */
const MAX_SHOWN = 80;

export class CameraPanel {
  #panel;
  #list;
  #problem;
  #set;
  /** By name: {show(control), …}. */
  #rows = new Map();
  #known = [];

  /** `set(name, value)` asks the device. */
  constructor(panel, set) {
    this.#panel = panel;
    this.#list = panel.querySelector(".list");
    this.#problem = panel.querySelector(".problem");
    this.#set = set;
  }

  /** Shows the device's list: all of it, each time. */
  show(controls) {
    const usable = controls.filter(isUsable).slice(0, MAX_CONTROLS);
    const same = usable.length === this.#known.length
      && usable.every((control, i) => shape(control) === shape(this.#known[i]));
    this.#known = usable;
    if (!same) this.#build();
    this.problem("");
    this.#panel.hidden = usable.length === 0;
  }

  /** What the device did not do, and why; "" takes it away. */
  problem(text) {
    this.#problem.textContent = text;
    this.#problem.hidden = !text;
    for (const control of this.#known) this.#rows.get(control.name)?.show(control);
  }

  hide() {
    this.#panel.hidden = true;
    this.#panel.open = false;
    this.#known = [];
    this.#build();
  }

  #build() {
    for (const row of this.#rows.values()) row.end();
    this.#rows = new Map();
    const elements = this.#known.map((control, i) => {
      const row = new Row(control, `camera-${i}`, this.#set);
      this.#rows.set(control.name, row);
      return row.element;
    });
    this.#list.replaceChildren(...elements);
  }
}

/** One control. */
class Row {
  element = document.createElement("div");
  #input;
  #value = document.createElement("output");
  #control;
  #set;
  #touched = -Infinity;
  #sending = 0;
  #showing = 0;

  constructor(control, id, set) {
    this.#control = control;
    this.#set = set;
    this.#input = input(control);
    this.#input.id = id;
    this.#input.dataset.name = control.name;
    this.#input[this.#input.type === "range" ? "oninput" : "onchange"] = () => this.#moved();
    const label = document.createElement("label");
    label.htmlFor = id;
    label.textContent = controlWords(textOf(control.name, MAX_SHOWN));
    this.element.append(label, this.#input);
    if (this.#input.type === "range") {
      this.#value.htmlFor = id;
      this.element.append(this.#value);
    }
    this.show(control);
  }

  show(control) {
    this.#control = control;
    clearTimeout(this.#showing);
    const left = this.#touched + TOUCHED_MS - performance.now();
    if (left > 0) {
      this.#showing = setTimeout(() => this.show(this.#control), left);
      return;
    }
    if (this.#input.type === "checkbox") this.#input.checked = control.value !== 0;
    else this.#input.value = control.value;
    this.#input.disabled = control.inactive === true;
    this.#value.value = control.value;
  }

  end() {
    clearTimeout(this.#sending);
    clearTimeout(this.#showing);
  }

  #moved() {
    this.#touched = performance.now();
    this.#value.value = this.#input.value;
    this.#sending ||= setTimeout(() => {
      this.#sending = 0;
      const value = this.#input.type === "checkbox" ? Number(this.#input.checked) : Number(this.#input.value);
      this.#set(this.#control.name, value);
    }, SEND_MS);
  }
}

function input(control) {
  if (control.menu) {
    const select = document.createElement("select");
    for (const { value, label } of control.menu.slice(0, MAX_CHOICES)) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = choiceWords(textOf(label, MAX_SHOWN));
      select.append(option);
    }
    return select;
  }
  const element = document.createElement("input");
  if (control.minimum === 0 && control.maximum === 1) {
    element.type = "checkbox";
  } else {
    element.type = "range";
    element.min = control.minimum;
    element.max = control.maximum;
    element.step = control.step;
  }
  return element;
}

function isUsable(control) {
  const numbers = ["minimum", "maximum", "step", "value"];
  return typeof control?.name === "string"
    && numbers.every((each) => Number.isFinite(control[each]))
    && (control.menu === undefined || isMenu(control.menu));
}

function isMenu(menu) {
  return Array.isArray(menu)
    && menu.every((item) => Number.isFinite(item?.value) && typeof item.label === "string");
}

/** What its elements are made from; the rest can be shown on them. */
function shape({ name, minimum, maximum, step, menu }) {
  return JSON.stringify([name, minimum, maximum, step, menu?.slice(0, MAX_CHOICES)]);
}
