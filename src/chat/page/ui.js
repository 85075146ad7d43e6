// The page's elements. Shows what it is told; decides nothing. Text from other
// people goes in as text, never as markup.

import { CameraPanel } from "./camera.js";
import { MotionPanel } from "./motion.js";
import { closeDialog, isPressed, openDialog, press } from "./elements.js";
import { InvitedScreen } from "./invited.js";
import { inOrder, titleOf } from "./keys.js";
import { Frames } from "./pace.js";
import { savePicture, saveStill } from "./picture.js";
import { RecordingsPanel } from "./recordings.js";
import { StatsPanel } from "./stats.js";
import { TalkPanel } from "./talk.js";
import { reasonWords, words } from "./words.js";
import { ZonesPanel } from "./zones.js";

const MAX_CHAT_LINES = 200;
/**
 * Nobody reads what came under their finger or pointer so lately. What opens the
 * person's camera does not take a press that was meant for something else.
 */
const UNSEEN_MS = 300;
/** So long the list of users waits for who presses in it. */
const PRESS_MS = 1_500;
/** Who pressed a key so lately is typing. */
const TYPING_MS = 1_000;

const $ = (id) => document.getElementById(id);

export class Ui {
  #own = null;
  #notice = null;
  #said = "";
  #peer = null;
  #users = { users: [], devices: new Set(), me: null };
  /** What the page is called. */
  #title = document.title;
  #keys;
  /** What the person calls a camera that they are invited to; null for other names. */
  #invited = (_name) => null;

  /** Chat lines that are shown once the page is drawn, and whether one is the person's. */
  #lines = [];
  #ownLine = false;
  #drawn;

  /** When a key was pressed, the pointer was used, or was moved, and when it rang. */
  #typedAt = -Infinity;
  #pointedAt = -Infinity;
  #movedAt = -Infinity;
  /** A pointer is down in the list of users since then. */
  #pressedAt = -Infinity;
  #rangAt = -Infinity;
  /** The pointer was in use as it rang. */
  #surprised = false;

  /** The camera's controls, where the device lets us set them. */
  camera;

  /** Saves a picture as a camera has it. */
  #still = (_camera) => null;

  /** What moved before the camera, where the device looks for it. */
  motion;

  /** Where it looks for that, over the picture. */
  zones;
  /** What the camera has recorded, where the person may see it. */
  recordings;

  /** How the connection is, for whoever wants to know. */
  stats;

  /** To be heard at the device. */
  talk;

  /** The cameras that the person was invited to. */
  invited;

  /**
   * `on`: call(name, watch), hangUp(), accept(), decline(), rename(name), chat(text),
   * tell(message), pc(), renew(), add(text, name); `keys` are the cameras that the person was invited to.
   */
  constructor(on, keys) {
    this.#drawn = new Frames();
    this.invited = new InvitedScreen($("invited"), keys, {
      watch: ({ name }) => on.call(name, true),
      add: on.add,
    });
    $("invited-open").onclick = () => this.invited.show();
    this.#keys = keys;
    this.#invited = (name) => {
      const camera = keys.of(name);
      return camera && titleOf(camera);
    };
    keys.addEventListener("change", () => this.users(this.#users.users, this.#users.devices, this.#users.me));
    this.camera = new CameraPanel($("camera"), (name, value) => on.tell({ type: "control", name, value }));
    this.motion = new MotionPanel($("motion"));
    this.zones = new ZonesPanel($("zones"), $("zone-view"), $("remote"), (message) => on.tell(message));
    this.talk = new TalkPanel($("talk"), $("talk-line"));
    this.recordings = new RecordingsPanel($("recordings"), $("player"), () => this.motion.times());
    this.stats = new StatsPanel($("stats"), $("stats-toggle"), on);
    $("stats-toggle").onclick = () => this.stats.toggle();
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("keydown", () => {
      this.#typedAt = performance.now();
    }, true);
    for (const type of ["pointermove", "pointerdown"]) {
      addEventListener(type, ({ movementX, movementY }) => {
        // A browser says that the pointer moved where the page did.
        const moved = type === "pointermove" && (movementX || movementY);
        if (moved) this.#movedAt = performance.now();
        if (moved || type === "pointerdown") this.#pointedAt = performance.now();
      }, { capture: true, passive: true });
    }
    $("users").addEventListener("pointerdown", () => {
      this.#pressedAt = performance.now();
    });
    for (const type of ["pointerup", "pointercancel"]) {
      // Behind the click.
      addEventListener(type, () => this.#pressedAt > 0 && setTimeout(() => this.#released()));
    }
    $("users").addEventListener("click", ({ target }) => {
      const row = target.closest("button");
      if (!row) return;
      const watch = row.dataset.device === "true";
      if (watch || !this.#isUnseen(row)) on.call(row.dataset.name, watch);
    });
    $("hangup").onclick = () => on.hangUp();
    $("accept").onclick = () => {
      const unseen = performance.now() - this.#rangAt < UNSEEN_MS && this.#movedAt < this.#rangAt;
      if (!(this.#surprised && unseen)) on.accept();
    };
    $("decline").onclick = () => on.decline();
    $("ring").oncancel = (event) => {
      event.preventDefault();
      on.decline();
    };
    $("rename").onclick = () => this.#renaming(true);
    $("rename-cancel").onclick = () => this.#renaming(false);
    $("rename-form").onsubmit = (event) => {
      event.preventDefault();
      const name = $("rename-input").value.trim();
      this.#renaming(false);
      if (name) on.rename(name);
    };
    $("chat-form").onsubmit = (event) => {
      event.preventDefault();
      const text = $("chat-input").value.trim();
      if (text && on.chat(text)) $("chat-input").value = "";
    };
    $("mic").onclick = () => this.#toggle("mic", "audio");
    $("cam").onclick = () => this.#toggle("cam", "video");
    $("privacy").onclick = () => on.tell({ type: "privacy", on: !isPressed($("privacy")) });
    this.#still = (camera) => saveStill(this.recordings.files(on.pc()), camera);
    $("fullscreen").onclick = () => this.#fullScreen();
    $("unmute").onclick = () => {
      $("remote").muted = false;
      $("unmute").hidden = true;
    };
  }

  /** What the page is called, where that is not as it was written. */
  called(name) {
    if (!name) return;
    document.title = this.#title = name;
    $("title").textContent = name;
  }

  /** One sentence about what goes on; kind "problem" stands out. */
  say(text, kind = "plain") {
    this.#said = text;
    $("status").dataset.kind = kind;
    this.#showStatus();
  }

  /** What is wrong with the person's own camera, beside what goes on. */
  notice(text) {
    this.#notice = text;
    this.#showStatus();
  }

  /** What the device says of its picture and sound, over the picture; null when all is well. */
  media(said) {
    $("media-text").textContent = said?.text ?? "";
    $("media-reason").textContent = said?.reason ?? "";
    $("media").hidden = !said?.text;
    // What lies over the picture, too, makes room for it.
    $("stage").toggleAttribute("data-told", Boolean(said?.text));
  }

  /** Who the other end has proved to be; null where nothing is proven. */
  lock(text) {
    $("lock-text").textContent = text ?? "";
    $("lock").hidden = !text;
  }

  /** Asks whether a new invitation of a camera of this name is to replace the old one. */
  replaces(name) {
    const dialog = $("replace");
    dialog.querySelector("strong").textContent = name;
    const [keep, take] = dialog.querySelectorAll("button");
    openDialog(dialog, keep, "alertdialog");
    return new Promise((resolve) => {
      const end = (answer) => {
        closeDialog(dialog);
        resolve(answer);
      };
      keep.onclick = () => end(false);
      take.onclick = () => end(true);
      dialog.oncancel = () => resolve(false);
    });
  }

  online(online) {
    document.body.dataset.online = online;
  }

  /** The chat server knows this person; `title` says as whom. */
  signedIn(title, signOut) {
    $("sign-out").title = title;
    $("sign-out").onclick = signOut;
    $("sign-out").hidden = false;
  }

  me(name) {
    $("me-name").textContent = name;
    this.users(this.#users.users, this.#users.devices, name);
  }

  users(users, devices, me) {
    this.#users = { users, devices, me };
    this.invited.users(users, devices);
    // Nothing moves under who presses it.
    if (performance.now() - this.#pressedAt > PRESS_MS) this.#showUsers();
  }

  #released() {
    this.#pressedAt = -Infinity;
    this.#showUsers();
  }

  #showUsers() {
    const { users, devices, me } = this.#users;
    const focused = document.activeElement?.dataset?.name;
    const before = [...$("users").children].map((item) => item.firstChild.dataset);
    const isDevice = (name) => devices.has(name) || this.#invited(name) !== null;
    const sorted = inOrder(users, isDevice, this.#keys);
    this.#list(sorted.map((name) => [name, isDevice(name), name === me, this.#invited(name), this.#peer]));
    const now = performance.now();
    [...$("users").children].forEach(({ firstChild: row }, i) => {
      // It has the place of another, or keeps the time at which it came there.
      const same = before[i]?.name === row.dataset.name && before[i]?.device === row.dataset.device;
      if (before[i] && !same) row.dataset.since = now;
      else if (before[i]?.since) row.dataset.since = before[i].since;
    });
    $("nobody").hidden = users.some((name) => name !== me);
    if (focused !== undefined) {
      $("users").querySelector(`button[data-name="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  /**
   * Rows that are as they were stay: a button that is replaced while it is pressed is
   * not clicked, and others come and go as they like.
   */
  #list(rows) {
    const list = $("users");
    const wanted = new Map(rows.map((row) => [JSON.stringify(row), row]));
    const known = new Map();
    for (const item of [...list.children]) {
      const { of } = item.dataset;
      if (wanted.has(of)) known.set(of, item);
      else item.remove();
    }
    let at = list.firstElementChild;
    for (const [of, row] of wanted) {
      const item = known.get(of) ?? this.#user(...row);
      item.dataset.of = of;
      if (item === at) at = at.nextElementSibling;
      else list.insertBefore(item, at);
    }
  }

  #user(name, device, own) {
    const item = document.createElement("li");
    const row = document.createElement(own ? "div" : "button");
    const text = (className, content) => {
      const span = document.createElement("span");
      span.className = className;
      span.textContent = content;
      return span;
    };
    const glyph = text(`glyph ${device ? "camera" : "person"}`, "");
    glyph.setAttribute("aria-hidden", "true");
    const title = own ? null : this.#invited(name);
    const shown = title === null || title === name ? name : `${title} (${name})`;
    row.append(glyph, text("name", shown));
    if (own) {
      row.className = "own";
      row.append(text("hint", words.you));
    } else {
      row.type = "button";
      row.dataset.name = name;
      row.dataset.device = device;
      if (title !== null) {
        const lock = text("glyph lock", "");
        lock.setAttribute("aria-hidden", "true");
        row.append(lock);
      }
      row.disabled = this.#peer !== null;
      const current = this.#peer === name;
      if (current) row.setAttribute("aria-current", "true");
      const act = current ? words.thisCall : device ? words.watch : words.call;
      const label = [`${shown} ${act}`, title !== null && words.youAreInvited];
      row.setAttribute("aria-label", label.filter(Boolean).join(words.comma));
      row.append(" ", text("do", act));
    }
    item.append(row);
    return item;
  }

  /** A row that took another's place just now, and the pointer has not moved since. */
  #isUnseen(row) {
    const since = Number(row.dataset.since ?? -Infinity);
    return performance.now() - since < UNSEEN_MS && this.#movedAt < since;
  }

  state(state, peer) {
    const before = document.body.dataset.state;
    document.body.dataset.state = state;
    const idle = state === "idle";
    const called = idle ? null : peer;
    const changed = called !== this.#peer;
    const old = this.#peer;
    this.#peer = called;
    if (changed) this.users(this.#users.users, this.#users.devices, this.#users.me);
    document.title = state === "ringing" ? words.isCalling(peer) : this.#title;
    $("controls").hidden = idle || state === "ringing";
    $("rename").disabled = !idle;
    $("placeholder").hidden = state === "connected" || state === "interrupted";
    $("placeholder").textContent = idle ? words.chooseWhom : `${peer}…`;
    // Whoever uses the keyboard stays where the next step is.
    if (before === "idle" && state === "calling") $("hangup").focus();
    if (idle && before !== "idle") {
      if (document.fullscreenElement) document.exitFullscreen();
      if (old) $("users").querySelector(`button[data-name="${CSS.escape(old)}"]`)?.focus();
    }
  }

  /** Whether the camera is closed for privacy, which the person may change. */
  privacy(on) {
    press($("privacy"), on);
    $("privacy").hidden = false;
  }

  /** `camera` is what the device that is watched is called; null for people. */
  remote(stream, camera = null) {
    const video = $("remote");
    $("save").hidden = camera === null;
    $("privacy").hidden = true;
    $("still").hidden = camera === null;
    $("still").disabled = false;
    $("still").onclick = async () => {
      $("still").disabled = true;
      try {
        await this.#still(camera);
      } catch (error) {
        // What became of an ended call is said already.
        if (video.srcObject !== stream) return;
        this.say(error?.why ? reasonWords(error.why, error.text) : words.noStill, "problem");
      }
      $("still").disabled = false;
    };
    $("save").onclick = async () => {
      if (!await savePicture(video, camera)) this.say(words.noStill, "problem");
    };
    video.srcObject = stream;
    video.muted = false;
    $("unmute").hidden = true;
    if (!stream) return;
    video.play().catch((error) => {
      if (error.name !== "NotAllowedError" || video.srcObject !== stream) return;
      video.muted = true;
      $("unmute").hidden = false;
      video.play().catch(() => {});
    });
  }

  own(stream) {
    this.#own = stream;
    const has = (kind) => stream?.getTracks().some((track) => track.kind === kind) ?? false;
    $("local").srcObject = stream;
    $("local").hidden = !has("video");
    $("mic").hidden = !has("audio");
    $("cam").hidden = !has("video");
    for (const id of ["mic", "cam"]) press($(id), false);
  }

  ring(name) {
    const dialog = $("ring");
    if (name === null) return closeDialog(dialog);
    $("ring-who").textContent = name;
    if (dialog.hasAttribute("open")) return;
    this.#rangAt = performance.now();
    this.#surprised = this.#rangAt - this.#pointedAt < UNSEEN_MS;
    // A key that was meant for a text does not accept.
    const first = this.#rangAt - this.#typedAt < TYPING_MS ? dialog : $("accept");
    openDialog(dialog, first, "alertdialog");
    first.focus();
  }

  chat(name, text, own) {
    const line = document.createElement("div");
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = own ? words.saidByYou : name;
    line.append(who, text);
    this.#lines.push(line);
    this.#ownLine ||= own;
    if (this.#lines.length > MAX_CHAT_LINES) this.#lines.shift();
    this.#drawn.put("chat", () => this.#showLines());
  }

  /** To see how far somebody has read takes a layout: once for all lines that came. */
  #showLines() {
    const log = $("chat-log");
    const goesOn = this.#ownLine || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(...this.#lines);
    this.#lines = [];
    this.#ownLine = false;
    while (log.children.length > MAX_CHAT_LINES) log.firstChild.remove();
    if (goesOn) log.scrollTop = log.scrollHeight;
  }

  /** S, where no text is written and nothing else is open. */
  #key(event) {
    const writes = event.target.closest?.("input, textarea, select, dialog");
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
    if (event.key.toLowerCase() === "s" && plain && !writes && !$("controls").hidden) this.stats.toggle();
  }

  #showStatus() {
    const text = [this.#said, this.#notice].filter(Boolean).join(" ");
    if ($("status").textContent !== text) $("status").textContent = text;
  }

  #renaming(open) {
    $("rename-form").hidden = !open;
    $("rename").hidden = open;
    if (open) {
      $("rename-input").value = $("me-name").textContent;
      $("rename-input").select();
    } else $("rename").focus();
  }

  #toggle(id, kind) {
    const off = !isPressed($(id));
    press($(id), off);
    for (const track of this.#own?.getTracks() ?? []) {
      if (track.kind === kind) track.enabled = !off;
    }
  }

  #fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if ($("stage").requestFullscreen) $("stage").requestFullscreen().catch(() => {});
    // Safari on phones knows full screen for the video alone.
    else $("remote").webkitEnterFullscreen?.();
  }
}
