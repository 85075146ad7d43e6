// The screen "Cameras I was invited to": a list to watch from, to rename and to
// forget, and a form to add one by its link, its code or its QR code.
//
// Shows what it is told; what others wrote goes in as text.

import { closeDialog, openDialog } from "./elements.js";
import { titleOf } from "./keys.js";
import { Scanner, canScan } from "./scan.js";
import { seenWords, words } from "./words.js";

export const MAX_LABEL = 40;

export class InvitedScreen {
  #dialog;
  #list;
  #form;
  #text;
  #name;
  #problem;
  #scanner;
  #keys;
  #on;
  #users = [];
  #devices = new Set();
  /** The camera that is renamed or about to be forgotten: {camera, what}. */
  #open = null;

  /**
   * `keys` are the cameras; `on`: watch(camera), add(text, name), which gives a
   * promise of what is wrong with them, or of null.
   */
  constructor(dialog, keys, on) {
    this.#dialog = dialog;
    this.#list = dialog.querySelector("ul");
    this.#form = dialog.querySelector("form");
    [this.#text, this.#name] = dialog.querySelectorAll("form input");
    this.#problem = dialog.querySelector(".problem");
    this.#keys = keys;
    this.#on = on;
    this.#scanner = new Scanner(dialog.querySelector(".scanner"), (text) => this.problem(text));
    dialog.querySelector(".close").onclick = () => this.close();
    // Also by the key Escape.
    dialog.addEventListener("close", () => this.#closed());
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#add(this.#text.value, this.#name.value.trim());
    };
    const scan = dialog.querySelector(".scan");
    scan.onclick = () => this.#scanner.start(async (text) => {
      const problem = await this.#on.add(text, this.#name.value.trim());
      this.problem(problem && words.badScan);
      return problem === null;
    });
    canScan().then((can) => {
      scan.hidden = !can;
    });
    keys.addEventListener("change", () => this.#show());
    keys.ready.then(() => this.#show());
  }

  show() {
    this.#show();
    // Mostly there is one, and a code does not say which it is for.
    const strange = [...this.#devices].filter((name) => !this.#keys.of(name));
    if (!this.#name.value && strange.length === 1) this.#name.value = strange[0];
    openDialog(this.#dialog, this.#dialog.querySelector(".close"));
  }

  close() {
    closeDialog(this.#dialog);
    // Where a browser knows no dialogs nothing else says so.
    this.#closed();
  }

  /** The names in the chat, and which of them are cameras. */
  users(users, devices) {
    const before = this.#there();
    this.#users = users;
    this.#devices = devices;
    // Others come and go as they like: what is written here is not to suffer by it.
    if (this.#there() === before) this.#suggest();
    else this.#show();
  }

  /** Which of those that are listed here are there. */
  #there() {
    const is = ({ name }) => [this.#users.includes(name), this.#devices.has(name)];
    return JSON.stringify(this.#keys.all.map(is));
  }

  problem(text) {
    // It is read aloud: only what is new.
    if (this.#problem.textContent !== (text ?? "")) this.#problem.textContent = text ?? "";
  }

  #closed() {
    this.#scanner.stop();
    this.#open = null;
    this.#text.value = this.#name.value = "";
    this.problem(null);
    this.#show();
  }

  async #add(text, name) {
    this.problem(null);
    const problem = await this.#on.add(text, name);
    this.problem(problem);
    if (problem === null) this.#text.value = this.#name.value = "";
    else if (problem === words.noName) this.#name.focus();
    else this.#text.focus();
  }

  #show() {
    const focus = this.#focus();
    const all = this.#keys.all;
    this.#list.replaceChildren(...all.map((camera) => this.#item(camera)));
    this.#dialog.querySelector(".none").hidden = all.length > 0;
    this.#dialog.querySelector(".visit").hidden = this.#keys.lasting;
    this.#suggest();
    focus();
  }

  /** Names of cameras that are in the chat. */
  #suggest() {
    this.#dialog.querySelector("datalist").replaceChildren(...[...this.#devices].map((name) => {
      const option = document.createElement("option");
      option.value = name;
      return option;
    }));
  }

  /** Remembers where the focus is and what is written there; gives what puts it back. */
  #focus() {
    const { key, part } = document.activeElement?.dataset ?? {};
    const written = this.#list.querySelector("input");
    return () => {
      const input = this.#list.querySelector("input");
      if (input && input.dataset.key === written?.dataset.key) input.value = written.value;
      if (key === undefined || !this.#dialog.hasAttribute("open")) return;
      for (const each of this.#list.querySelectorAll("[data-key]")) {
        if (each.dataset.key === key && each.dataset.part === part) each.focus();
      }
    };
  }

  #item(camera) {
    const item = document.createElement("li");
    const about = document.createElement("div");
    about.className = "about";
    const title = document.createElement("strong");
    title.textContent = titleOf(camera);
    const facts = document.createElement("span");
    facts.className = "hint";
    const here = this.#users.includes(camera.name);
    facts.textContent = [
      camera.label && camera.label !== camera.name && camera.name,
      camera.as && words.invitedAs(camera.as),
      seenWords(camera.seen),
      here ? words.isHere : words.isAway,
    ].filter(Boolean).join(" · ");
    about.append(title, facts);
    item.append(about);
    const what = this.#open?.name === camera.name && this.#open.id === camera.id ? this.#open.what : null;
    if (what === "rename") item.append(this.#renaming(camera));
    else if (what === "forget") item.append(this.#forgetting(camera));
    else item.append(this.#actions(camera, here));
    return item;
  }

  #actions(camera, here) {
    const watch = this.#button(camera, "watch", words.watch, "", () => {
      this.close();
      this.#on.watch(camera);
    });
    watch.disabled = !here;
    return row(
      watch,
      this.#button(camera, "rename", words.rename, "quiet", () => this.#turn(camera, "rename", "input")),
      this.#button(camera, "forget", words.forget, "quiet", () => this.#turn(camera, "forget", "keep")),
    );
  }

  #renaming(camera) {
    const form = document.createElement("form");
    form.className = "row";
    const input = document.createElement("input");
    input.maxLength = MAX_LABEL;
    input.value = titleOf(camera);
    input.dataset.key = key(camera);
    input.dataset.part = "input";
    input.setAttribute("aria-label", words.newName(titleOf(camera)));
    form.onsubmit = (event) => {
      event.preventDefault();
      const label = input.value.trim().slice(0, MAX_LABEL);
      this.#keys.change(camera, { label: label === camera.name ? "" : label });
      this.#turn(camera, null, "rename");
    };
    const save = this.#button(camera, "save", words.save, "", () => {});
    save.type = "submit";
    form.append(input, save, this.#button(camera, "cancel", words.cancel, "quiet", () => {
      this.#turn(camera, null, "rename");
    }));
    return form;
  }

  #forgetting(camera) {
    const question = document.createElement("p");
    question.className = "hint";
    question.textContent = words.forgetting(titleOf(camera));
    const both = document.createElement("div");
    both.append(question, row(
      this.#button(camera, "keep", words.keep, "", () => this.#turn(camera, null, "forget")),
      this.#button(camera, "gone", words.forget, "danger", () => {
        this.#open = null;
        this.#keys.forget(camera);
        this.#dialog.querySelector(".close").focus();
      }),
    ));
    return both;
  }

  #button(camera, part, text, className, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = className;
    button.textContent = text;
    button.dataset.key = key(camera);
    button.dataset.part = part;
    button.setAttribute("aria-label", words.actOn(text, titleOf(camera)));
    button.onclick = act;
    return button;
  }

  /** Shows a camera in another way, with the focus on one of its parts. */
  #turn(camera, what, part) {
    this.#open = what && { name: camera.name, id: camera.id, what };
    this.#show();
    for (const each of this.#list.querySelectorAll(`[data-part="${part}"]`)) {
      if (each.dataset.key !== key(camera)) continue;
      each.focus();
      each.select?.();
    }
  }
}

function key({ name, id }) {
  return JSON.stringify([name, id]);
}

function row(...parts) {
  const row = document.createElement("div");
  row.className = "row";
  row.append(...parts);
  return row;
}
