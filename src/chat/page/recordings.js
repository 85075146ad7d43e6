// What a camera has recorded, for who was invited to see it: a list, the latest first,
// each to play, to save and, where they may, to delete; and a button to make one.

import { isPressed, press } from "./elements.js";
import { Files } from "./files.js";
import { saveAs } from "./picture.js";
import { Player, fetchAll } from "./player.js";
import { reasonWords, recordingWords, textOf, words } from "./words.js";

const MAX_ID = 40;
/** Rows that are shown: more are there by asking for older ones. */
const MOST = 10_000;
/** Recordings of one list. */
const MOST_LISTED = 100;

export class RecordingsPanel {
  #panel;
  #list;
  #problem;
  #button;
  #more;
  #none;
  #player;
  #files = null;
  #camera = "";
  #mayDelete = false;
  /** By id. */
  #rows = new Map();
  /** Which of them is being saved, by the button that stops it: {id}, of its own for each save. */
  #saving = new Map();
  /** The last that was listed. */
  #oldest = null;
  #loading = false;
  /** The list has changed while it was loaded. */
  #again = false;
  /** Thumbnails and the day's line, which come with the first list; null before, or where they cannot. */
  #thumbnails = null;
  #timeline = null;
  /** When something moved, as the page knows it: [began, ended]. */
  #moves;

  constructor(panel, dialog, moves) {
    this.#panel = panel;
    this.#moves = moves;
    this.#list = panel.querySelector("ol");
    this.#problem = panel.querySelector(".problem");
    this.#button = panel.querySelector(".record");
    this.#more = panel.querySelector(".more");
    this.#none = panel.querySelector(":scope > .none");
    this.#player = new Player(dialog, () => this.#camera);
    panel.addEventListener("toggle", () => panel.open && this.#load(null, true));
    this.#more.onclick = () => this.#load(this.#oldest);
    this.#button.onclick = () => {
      this.#problem.textContent = "";
      this.#files?.tell({ type: "record", on: !isPressed(this.#button) });
    };
  }

  /** A call to a camera that lets us see them; `may` is what its owner says. */
  offer(pc, may, camera) {
    if (!Array.isArray(may) || !may.includes("recordings")) return;
    this.#camera = camera;
    this.files(pc);
  }

  /** The channel for this call's files. */
  files(pc) {
    if (this.#files) return this.#files;
    const files = new Files(pc, {
      state: (message) => this.#state(message),
      refused: (message) => this.#refused(message),
      gone: () => files === this.#files && this.hide(),
    });
    this.#files = files;
    return files;
  }

  hide() {
    const files = this.#files;
    this.#files = null;
    files?.close();
    this.#player.close();
    this.#panel.hidden = true;
    this.#panel.open = false;
    this.#again = false;
    this.#saving.clear();
    this.#clear();
    this.#timeline?.clear();
    this.#thumbnails?.clear();
  }

  #clear() {
    this.#thumbnails?.drop(this.#list.querySelectorAll(".thumbnail"));
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#oldest = null;
    this.#more.hidden = this.#none.hidden = true;
    this.#problem.textContent = "";
  }

  #state({ now, button, may_delete: mayDelete }) {
    this.#mayDelete = mayDelete === true;
    this.#button.hidden = button !== true;
    press(this.#button, typeof now === "string");
    // What is recorded by itself no button ends.
    this.#button.disabled = typeof now === "string" && now !== "button";
    this.#button.textContent = typeof now === "string" ? words.recordingNow : words.record;
    this.#panel.hidden = false;
    if (this.#panel.open) this.#load(null);
  }

  #refused({ why, text }) {
    this.#problem.textContent = reasonWords(why, text);
  }

  /** `anew` forgets what is not in the newest list: nobody looks at it yet. */
  async #load(before, anew = false) {
    if (this.#loading) {
      this.#again ||= before === null;
      return;
    }
    this.#loading = true;
    try {
      await this.#parts();
      const answer = await this.#files.ask({ type: "list", before });
      if (!Array.isArray(answer.recordings)) return;
      const recordings = answer.recordings.slice(0, MOST_LISTED);
      const { more } = answer;
      const focused = this.#focused();
      if (before === null) {
        this.#renew(recordings, more === true, anew);
        this.#thumbnails?.again();
      } else {
        for (const one of recordings) {
          const row = this.#put(one, null);
          // One that stayed for its save comes to its place.
          if (row) this.#list.append(row);
        }
        this.#more.hidden = more !== true || this.#rows.size >= MOST;
      }
      this.#none.hidden = this.#rows.size > 0;
      focused?.();
      if (before === null) this.#timeline?.changed(recordings[0]?.began_ms ?? null);
    } catch (error) {
      if (error?.why) this.#refused(error);
    } finally {
      this.#loading = false;
    }
    if (this.#again && this.#files) {
      this.#again = false;
      this.#load(null);
    }
  }

  /**
   * The newest anew: rows of older ones stay, and so does what is done with a row. One
   * that is being saved stays in any case: what stops that is in it.
   */
  #renew(recordings, more, anew) {
    const ids = recordings.map((one) => textOf(one?.id, MAX_ID));
    const saved = new Set([...this.#saving.values()].map(({ id }) => id));
    const goes = (id) => !ids.includes(id) && !saved.has(id);
    // So much is new that nobody knows what lies between.
    const isApart = more && !ids.some((id) => this.#rows.has(id));
    let had = [...this.#rows.keys()];
    if (anew || isApart) {
      for (const id of had.filter(goes)) this.#remove(id);
      // What lies between one that is only saved and the others is yet to be asked for.
      had = had.filter((id) => ids.includes(id));
      this.#oldest = [...had].sort()[0] ?? null;
    }
    const last = more ? ids.at(-1) ?? "" : "";
    for (const id of had.filter((id) => id >= last && goes(id))) this.#remove(id);
    if (!had.some((id) => id < last)) this.#more.hidden = !more;
    let before = this.#list.firstElementChild;
    for (const one of recordings) before = this.#put(one, before)?.nextElementSibling ?? null;
    if (this.#rows.size <= MOST) return;
    const oldest = [...this.#rows.keys()].sort();
    for (const id of oldest.splice(0, this.#rows.size - MOST)) if (!saved.has(id)) this.#remove(id);
    [this.#oldest] = oldest;
  }

  /** What a page that has no recordings does without. */
  async #parts() {
    if (this.#timeline) return;
    try {
      const [{ Thumbnails }, { Timeline }] = await Promise.all([import("./thumbnails.js"), import("./timeline.js")]);
      const style = document.createElement("link");
      Object.assign(style, { rel: "stylesheet", href: "recordings.css" });
      document.head.append(style);
      const thumbnails = new Thumbnails(async (id) => (await this.#files.ask({ type: "thumbnail", id })).bytes);
      this.#thumbnails = thumbnails;
      this.#timeline = new Timeline(this.#panel.querySelector(".day"), {
        list: (before) => this.#files.ask({ type: "list", before }),
        moves: this.#moves,
        image: (id) => thumbnails.of(id),
        drop: (images) => thumbnails.drop(images),
        play: (one, from) => this.#player.play(this.#files, one, from),
      });
    } catch {
      // A list without them is better than none.
    }
  }

  /** Whoever uses the keyboard stays where they are; null for who is elsewhere. */
  #focused() {
    const row = document.activeElement?.closest("#recordings li");
    const place = row ? [...row.children].indexOf(document.activeElement) : -1;
    const [id] = [...this.#rows].find(([, each]) => each === row) ?? [];
    return place < 0 ? null : () => (this.#rows.get(id)?.children[place] ?? this.#list).focus();
  }

  /** A row, new where there is none or another is said of it now; it comes before this one. */
  #put(one, before) {
    const id = textOf(one?.id, MAX_ID);
    if (!id || !Number.isFinite(one.began_ms)) return before?.previousElementSibling;
    const known = this.#rows.get(id);
    if (known && (known.dataset.seconds === String(one.seconds) || !known.querySelector("progress").hidden)) {
      return known;
    }
    const row = document.createElement("li");
    row.dataset.seconds = String(one.seconds);
    const what = recordingWords(one);
    const about = document.createElement("span");
    about.textContent = what;
    const progress = document.createElement("progress");
    progress.hidden = true;
    progress.setAttribute("aria-label", words.loading);
    const acts = [
      this.#act(words.play, what, () => this.#player.play(this.#files, one)),
      this.#act(words.save, what, ({ target }) => this.#save(one, target, progress)),
    ];
    if (this.#mayDelete && one.seconds !== null) {
      acts.push(this.#act(words.delete, what, () => this.#delete(one)));
    }
    if (this.#thumbnails) row.append(this.#thumbnails.of(id));
    row.append(about, ...acts, progress);
    if (known) {
      this.#thumbnails?.drop(known.querySelectorAll(".thumbnail"));
      known.replaceWith(row);
    } else this.#list.insertBefore(row, before);
    this.#rows.set(id, row);
    if (!this.#oldest || id < this.#oldest) this.#oldest = id;
    return row;
  }

  #remove(id) {
    const row = this.#rows.get(id);
    this.#thumbnails?.drop(row.querySelectorAll(".thumbnail"));
    row.remove();
    this.#rows.delete(id);
  }

  #act(name, what, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = name;
    button.setAttribute("aria-label", words.actOn(name, what));
    button.onclick = act;
    return button;
  }

  /** Saves one; the button stops it again. */
  async #save(one, button, progress) {
    const say = (name) => {
      button.textContent = name;
      button.setAttribute("aria-label", words.actOn(name, recordingWords(one)));
      progress.hidden = name === words.save;
    };
    if (this.#saving.delete(button)) return say(words.save);
    const files = this.#files;
    const own = { id: one.id };
    this.#saving.set(button, own);
    say(words.stop);
    progress.value = 0;
    // Stopped, and perhaps begun again.
    const isOver = () => files !== this.#files || this.#saving.get(button) !== own;
    try {
      const blob = await fetchAll(files, one, (share) => {
        if (!isOver()) progress.value = share;
      }, isOver);
      if (blob && !isOver()) saveAs(blob, this.#camera, one.began_ms, "mp4");
    } catch (error) {
      if (!isOver()) this.#problem.textContent = error?.why ? reasonWords(error.why, error.text) : words.notSaved;
    } finally {
      if (this.#saving.get(button) === own) {
        this.#saving.delete(button);
        say(words.save);
      }
    }
  }

  async #delete(one) {
    if (!confirm(words.deleteSure(recordingWords(one)))) return;
    try {
      await this.#files.ask({ type: "delete", id: one.id });
      const row = this.#rows.get(one.id);
      const next = row?.nextElementSibling ?? row?.previousElementSibling;
      if (row) this.#remove(one.id);
      (next?.querySelector("button") ?? this.#panel.querySelector("summary")).focus();
    } catch (error) {
      if (error?.why) this.#refused(error);
    }
  }
}
