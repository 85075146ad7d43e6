// Plays a recording while it comes, where the browser can (Media Source Extensions), else
// once it is there.

import { closeDialog, openDialog } from "./elements.js";
import { NO_ANSWER } from "./files.js";
import { reasonWords, recordingWords, words } from "./words.js";

/** Seconds that are fetched ahead of what is shown. */
const AHEAD = 60;
/** Seconds behind it that are kept where a browser has no room for all. */
const BEHIND = 20;
/** Bytes of a file that are fetched whole; how many parts of it are folded into one. */
const MOST_BYTES = 2 ** 31;
const FOLDED = 32;

const next = (target, ...events) => new Promise((resolve) => {
  // The others go with the first: a long film waits often.
  const come = new AbortController();
  const came = (event) => {
    come.abort();
    resolve(event);
  };
  for (const event of events) target.addEventListener(event, came, { signal: come.signal });
});

export class Player {
  #dialog;
  #video;
  #progress;
  #status;
  /** What is played changes with it. */
  #turn = 0;
  #address = null;
  #camera;

  /** `camera()` is the name of the one whose recordings are played. */
  constructor(dialog, camera) {
    this.#dialog = dialog;
    this.#camera = camera;
    this.#video = dialog.querySelector("video");
    this.#progress = dialog.querySelector("progress");
    this.#status = dialog.querySelector(".problem");
    dialog.querySelector(".close").onclick = () => this.close();
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
  }

  close() {
    this.#stop();
    closeDialog(this.#dialog);
  }

  /** Shows a recording of this channel's, from this second on. */
  async play(files, recording, from = 0) {
    this.#stop();
    const turn = this.#turn;
    const isOver = () => turn !== this.#turn;
    this.#dialog.querySelector("h2").textContent = recordingWords(recording);
    this.#status.textContent = "";
    this.#progress.value = 0;
    this.#progress.hidden = false;
    openDialog(this.#dialog, this.#video);
    try {
      const first = await files.part(recording.id, 0);
      if (isOver()) return;
      const type = typeOf(first.bytes);
      if (type === null) return this.#say(words.cannotPlay);
      const show = "MediaSource" in window && MediaSource.isTypeSupported(type)
        ? this.#stream(files, recording, first, type, from, isOver)
        : this.#whole(files, recording, first, isOver);
      await show;
      if (!isOver()) this.#progress.hidden = true;
    } catch (error) {
      if (!isOver()) this.#say(this.#problem(error));
    }
  }

  async #stream(files, recording, first, type, from, isOver) {
    const source = new MediaSource();
    const video = this.#video;
    this.#show(URL.createObjectURL(source));
    await next(source, "sourceopen");
    if (isOver()) return;
    const buffer = source.addSourceBuffer(type);
    if (recording.seconds) source.duration = recording.seconds;
    video.onseeking = () => {
      const [start] = range(buffer);
      // What was forgotten comes anew.
      if (!isOver() && start > 0.5 && video.currentTime < start) this.play(files, recording, video.currentTime);
    };
    let part = first;
    for (let at = 0; ;) {
      await this.#append(buffer, part.bytes, isOver);
      if (isOver()) return;
      if (at === 0 && from > 0) video.currentTime = from;
      at += part.length;
      this.#progress.value = part.size ? at / part.size : 1;
      if (part.length === 0 || at >= part.size) break;
      while (!isOver() && range(buffer)[1] - video.currentTime > AHEAD) {
        await next(video, "timeupdate", "seeking", "emptied");
      }
      if (isOver()) return;
      part = await files.part(recording.id, at);
      if (isOver()) return;
    }
    if (source.readyState === "open") source.endOfStream();
  }

  async #append(buffer, bytes, isOver) {
    while (!isOver()) {
      try {
        buffer.appendBuffer(bytes);
        await next(buffer, "updateend");
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
      }
      const until = this.#video.currentTime - BEHIND;
      if (range(buffer)[0] < until) {
        buffer.remove(0, until);
        await next(buffer, "updateend");
      } else await next(this.#video, "timeupdate", "seeking", "emptied");
    }
  }

  async #whole(files, recording, first, isOver) {
    const blob = await fetchAll(files, recording, (share) => {
      this.#progress.value = share;
    }, isOver, first);
    if (!blob) return;
    this.#video.onerror = () => this.#say(words.cannotPlay);
    this.#show(URL.createObjectURL(blob));
  }

  #show(address) {
    this.#address = address;
    this.#video.src = address;
    this.#video.play().catch(() => {});
  }

  #problem(error) {
    if (error?.why) return reasonWords(error.why, error.text);
    return error?.message === NO_ANSWER ? words.noAnswer(this.#camera()) : words.cannotPlay;
  }

  #say(text) {
    this.#status.textContent = text;
    this.#progress.hidden = true;
  }

  #stop() {
    this.#turn += 1;
    this.#video.onseeking = this.#video.onerror = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = null;
  }
}

/**
 * All of a recording, as it is at first: one that is being written may go on for ever.
 * Null where `isOver` came before. `progress(share)` is told how much is there.
 */
export async function fetchAll(files, recording, progress, isOver, first = null) {
  let part = first ?? await files.part(recording.id, 0);
  const { size } = part;
  if (!Number.isInteger(size) || size < 0 || size > MOST_BYTES) throw new Error("no size");
  const blobs = [];
  let parts = [];
  for (let at = 0; ;) {
    if (isOver()) return null;
    parts.push(part.bytes);
    at += part.length;
    const isAll = part.length === 0 || at >= size;
    // A browser keeps blobs elsewhere than in the page's memory.
    if (isAll || parts.length === FOLDED) {
      blobs.push(new Blob(parts));
      parts = [];
    }
    progress(size ? Math.min(1, at / size) : 1);
    if (isAll) return new Blob(blobs, { type: "video/mp4" });
    part = await files.part(recording.id, at);
  }
}

/** What is in it, as browsers ask; null where that is not to be seen. */
function typeOf(bytes) {
  const at = find(bytes, "avcC");
  if (at < 0 || at + 8 > bytes.length) return null;
  const profile = [...bytes.subarray(at + 5, at + 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  const sound = find(bytes, "dOps") < 0 ? "" : ",opus";
  return `video/mp4; codecs="avc1.${profile.join("")}${sound}"`;
}

/** Where a box of this kind is, in the beginning. */
function find(bytes, kind) {
  const codes = [...kind].map((letter) => letter.charCodeAt(0));
  const end = Math.min(bytes.length, 4096) - codes.length;
  for (let at = 0; at <= end; at += 1) {
    if (codes.every((code, i) => bytes[at + i] === code)) return at;
  }
  return -1;
}

/** From when to when there is something. */
function range(buffer) {
  const { buffered } = buffer;
  return buffered.length === 0 ? [0, 0] : [buffered.start(0), buffered.end(buffered.length - 1)];
}
