// Files of a camera's, over a data channel of their own (docs/protocol.md): one thing is
// asked for at a time, and of a file one part, so that no more is on its way than that.

import { LastWords } from "./pace.js";

const CHANNEL = "camera-agent-files";
/** Bytes of one part: what a device hands over at once is 1 MiB. */
export const PART = 512 * 1024;
/** Bytes of a picture. */
const MOST_OF_PICTURE = 8 * 1024 * 1024;
/** Bytes that may follow an answer of this kind. */
const MOST = { part: PART, picture: MOST_OF_PICTURE, thumbnail: 64 * 1024 };

/** What an answer of this kind was asked for by. */
const ASKED = { list: "list", part: "get", picture: "picture", thumbnail: "thumbnail", deleted: "delete" };
/** Characters of a text: a list of a hundred recordings has a quarter of it. */
const MOST_OF_TEXT = 64 * 1024;
/** Of texts that nobody waits for so many are read at once, and in a second; of the rest the last state. */
const TEXTS_AT_ONCE = 100;
const TEXTS_A_SECOND = 30;
/** And so many while an answer is waited for. */
const TEXTS_OF_ANSWER = 20;
/** Who is connected and says nothing for so long does not answer any more. */
const SILENCE_MS = 15_000;
/** Where the page itself stood still for so long (a question was open), what came is read first. */
const LATE_MS = 100;
/** The message of an error: a device that is connected does not answer. */
export const NO_ANSWER = "no answer";

export class Files {
  #pc;
  #channel;
  #open;
  /** What is waited for: {message, resolve, reject, answer, left, bytes, at}. */
  #asked = null;
  #silence = 0;
  #turn;
  #on;
  #refuse;
  #closed = false;
  #texts;

  /** `on`: state(message), refused(message), gone(). */
  constructor(pc, on) {
    this.#on = on;
    this.#pc = pc;
    this.#turn = Promise.resolve();
    const kindOf = (text) => /"type"\s*:\s*"recording"/.test(text) ? "recording" : null;
    this.#texts = new LastWords(TEXTS_AT_ONCE, TEXTS_A_SECOND, kindOf, (text) => this.#read(text));
    this.#channel = pc.createDataChannel(CHANNEL);
    this.#channel.binaryType = "arraybuffer";
    this.#channel.onmessage = ({ data }) => this.#told(data);
    this.#open = new Promise((resolve, reject) => {
      this.#channel.onopen = resolve;
      this.#refuse = reject;
    });
    // On another path it has all the time again.
    pc.addEventListener("connectionstatechange", () => this.#asked && this.#listen());
    this.#channel.onclose = () => {
      this.#end();
      this.#on.gone();
    };
    this.#open.catch(() => {});
  }

  close() {
    // Where the call was closed first, not every browser says that the channel was, too.
    this.#end();
    this.#channel.close();
  }

  /** Nothing comes any more of what is waited for. */
  #end() {
    this.#texts.clear();
    const gone = new Error("closed");
    this.#closed = true;
    this.#refuse(gone);
    this.#settle("reject", gone);
  }

  /** Resolves to the answer, with `bytes` where some followed; rejects with {why, text}. */
  ask(message) {
    const answer = this.#turn.then(() => this.#ask(message));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  /** Says something that has no answer of its own. */
  tell(message) {
    if (this.#channel.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  /** A part of a file, from this byte on; asked for once more where no answer came. */
  async part(id, from) {
    const message = { type: "get", id, from, length: PART };
    try {
      return await this.ask(message);
    } catch (error) {
      if (error.message !== NO_ANSWER) throw error;
      return this.ask(message);
    }
  }

  async #ask(message) {
    await this.#open;
    if (this.#closed) throw new Error("closed");
    return new Promise((resolve, reject) => {
      this.#asked = { message, resolve, reject, answer: null, left: 0, bytes: null, at: 0, texts: 0 };
      this.#listen();
      this.tell(message);
    });
  }

  /** What does not come is not waited for: others stand in line behind it. */
  #listen() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#overdue(), SILENCE_MS);
  }

  #overdue() {
    // Nothing is lost then: it comes once there is a path again, or the call ends.
    if (this.#pc.connectionState !== "connected") return this.#listen();
    this.#silence = setTimeout(() => this.#settle("reject", new Error(NO_ANSWER)), LATE_MS);
  }

  #told(data) {
    if (typeof data !== "string") return this.#took(new Uint8Array(data));
    if (data.length > MOST_OF_TEXT) return;
    if (this.#asked && this.#asked.texts < TEXTS_OF_ANSWER) {
      this.#asked.texts += 1;
      this.#read(data);
    } else this.#texts.put(data, performance.now());
  }

  #read(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    switch (message?.type) {
      case "recording":
        this.#on.state(message);
        break;
      case "error":
        if (message.about === "record" || !this.#asked) this.#on.refused(message);
        else if (this.#isAsked(message)) this.#settle("reject", message);
        break;
      case "part":
      case "picture":
      case "thumbnail":
        if (this.#asked?.answer || !this.#isAsked(message)) return;
        if (!Number.isInteger(message.length) || message.length < 0 || message.length > MOST[message.type]) return;
        this.#asked.answer = message;
        this.#asked.left = message.length;
        this.#asked.bytes = new Uint8Array(message.length);
        this.#took(new Uint8Array(0));
        break;
      case "list":
      case "deleted":
        if (this.#isAsked(message)) this.#settle("resolve", message);
        break;
    }
  }

  /** Whether this answers what is waited for, and not what is not waited for any more. */
  #isAsked(answer) {
    const asked = this.#asked?.message;
    const { type, about, id, from, before } = answer;
    if (!asked || (type === "error" ? about : ASKED[type]) !== asked.type) return false;
    if (type === "error") return (id ?? null) === null || id === asked.id;
    return (asked.id === undefined || id === asked.id)
      && (asked.from === undefined || from === asked.from)
      && (asked.before === undefined || (before ?? null) === asked.before);
  }

  #took(bytes) {
    const asked = this.#asked;
    if (!asked?.answer || bytes.length > asked.left) return;
    this.#listen();
    asked.bytes.set(bytes, asked.at);
    asked.at += bytes.length;
    asked.left -= bytes.length;
    if (asked.left === 0) this.#settle("resolve", { ...asked.answer, bytes: asked.bytes });
  }

  #settle(how, answer) {
    const asked = this.#asked;
    this.#asked = null;
    clearTimeout(this.#silence);
    asked?.[how](answer);
  }
}
