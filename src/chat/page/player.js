// Plays a recording while it comes, where the browser can (Media Source Extensions), else
// once it is there.

import { closeDialog, openDialog } from "./elements.js";
import { NO_ANSWER } from "./files.js";
import { fragments, locate, timescales } from "./seek.js";
import { reasonWords, recordingWords, words } from "./words.js";

/** Seconds that are fetched ahead of what is shown. */
const AHEAD = 60;
/** What is no further than so many seconds ahead of what has come, comes soon. */
const NEXT = 10;
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
    const scales = timescales(first.bytes);
    const get = (from) => files.part(recording.id, from);
    let part = first;
    // The next byte, and the second that it is of; a second that was looked for in vain.
    let [at, reached, vain] = [0, 0, null];
    for (;;) {
      await this.#append(buffer, part.bytes, isOver);
      if (isOver()) return;
      if (at === 0 && from > 0) video.currentTime = from;
      at += part.length;
      reached = fragments(part.bytes, scales).at(-1)?.seconds ?? reached;
      const isAll = part.length === 0 || at >= part.size;
      this.#progress.value = part.size ? at / part.size : 1;
      this.#progress.hidden = isAll;
      if (isAll && source.readyState === "open") source.endOfStream();
      /** A second that is to be shown, and does not come soon by itself. */
      const missing = () => {
        const second = lacks(buffer, video);
        const comes = !isAll && second >= reached && second < reached + NEXT;
        return !recording.seconds || second === null || comes || second === vain ? null : second;
      };
      while (!isOver() && missing() === null && (isAll || ahead(buffer, video.currentTime) > AHEAD)) {
        await next(video, "timeupdate", "seeking", "waiting", "emptied");
      }
      if (isOver()) return;
      const second = missing();
      const file = { size: part.size, length: recording.seconds, scales };
      const place = second === null ? null : await locate(get, file, second, isOver);
      if (isOver()) return;
      if (place) {
        // What is half there is of no use any more.
        if (source.readyState === "open") buffer.abort();
        [at, reached, part] = [place.at, second, place.part];
      } else {
        vain = second;
        part = isAll ? { ...part, bytes: new Uint8Array(0), length: 0 } : await get(at);
      }
      if (isOver()) return;
    }
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
      const now = this.#video.currentTime;
      const { buffered } = buffer;
      const last = buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
      if (buffered.length > 0 && buffered.start(0) < now - BEHIND) buffer.remove(0, now - BEHIND);
      else if (last > now + 2 * AHEAD) buffer.remove(now + 2 * AHEAD, last);
      else {
        await next(this.#video, "timeupdate", "seeking", "emptied");
        continue;
      }
      await next(buffer, "updateend");
    }
  }

  async #whole(files, recording, first, isOver) {
    const blob = await fetchAll(files, recording, (share) => {
      this.#progress.value = share;
    }, isOver, first);
    if (!blob) return;
    this.#progress.hidden = true;
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
    this.#video.onerror = null;
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

/** The second from which on something is to be shown and is not there; null where nothing lacks. */
function lacks({ buffered }, { currentTime, duration }) {
  const end = ends(buffered, currentTime);
  if (end === null) return currentTime;
  // A length is told in whole seconds.
  return end - currentTime > 0.5 || end > duration - 1.5 ? null : end;
}

/** For how many seconds there is something from this one on. */
function ahead({ buffered }, second) {
  return (ends(buffered, second) ?? second) - second;
}

/** When what has this second ends; null where it is not there. Frames are no points in time. */
function ends(buffered, second) {
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= second + 0.2 && second <= buffered.end(i) + 0.2) return buffered.end(i);
  }
  return null;
}
