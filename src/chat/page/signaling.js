// The chat server's WebSocket: connects, reconnects, keeps the name.
//
// Events: "open", "lost", "refused" {why}, "users" {users, devices}, "name"
// {name, rejected}, and "frame" {frame} for all else.

import { ask, server } from "./server.js";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;
/** Who gave a place to others comes back after so long, or up to twice that. */
const GAVE_WAY_MS = 10_000;
/** A server that does not answer in this time is not there. */
const PROBE_MS = 2_000;
const CONNECT_MS = 5_000;
/** The close code of a server that takes nobody more (IANA registry). */
const TRY_AGAIN_LATER = 1013;

export class Signaling extends EventTarget {
  #url = null;
  #socket = null;
  #id = null;
  /** Our own server's key of this connection, and of the one before: by that the name is ours. */
  #key = null;
  #proof = null;
  #retries = 0;
  #timer = 0;
  /** An answer of the server that is waited for: {promise, end, timer}. */
  #probed = null;
  /** The name this page is to have, also after a reconnect. */
  #wanted;
  /** A name that was given instead of one the person just typed is kept. */
  #asked = null;

  /** Says whether the name may change now; not in the middle of a call. */
  mayRename = (_wanted) => true;
  name = null;
  users = [];

  constructor(name) {
    super();
    this.#wanted = name;
    addEventListener("online", () => this.probe());
    addEventListener("pageshow", () => this.#connectNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#connectNow();
    });
    server.then((found) => {
      if (!found) return this.#emit("refused", { why: "config" });
      this.#url = found.socket;
      this.#connect();
    });
  }

  get id() {
    return this.#id;
  }

  get online() {
    return this.#id !== null;
  }

  /** False when the server is away; nothing is kept for later. */
  send(frame) {
    if (!this.online || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /**
   * Resolves to whether the server is there. A connection that carries nothing
   * any more is replaced: without this, that would show after minutes.
   */
  probe() {
    if (!this.online) {
      this.#connectNow();
      return Promise.resolve(false);
    }
    if (!this.#probed) {
      const probed = {};
      probed.promise = new Promise((resolve) => {
        probed.end = resolve;
      });
      const socket = this.#socket;
      probed.timer = setTimeout(() => this.#lose(socket), PROBE_MS);
      this.#probed = probed;
      // Any server gives a frame to whom it is for; this one comes back.
      this.send({ type: "echo", name: this.name, target: this.name });
    }
    return this.#probed.promise;
  }

  #answerProbe(alive) {
    if (!this.#probed) return;
    clearTimeout(this.#probed.timer);
    this.#probed.end(alive);
    this.#probed = null;
  }

  rename(name) {
    this.#wanted = name;
    this.#asked = name;
    this.#claim();
  }

  /** Takes the wanted name back when it is free again. */
  reclaim() {
    if (this.online && this.name !== this.#wanted && !this.users.includes(this.#wanted)
      && this.mayRename(this.#wanted)) this.#claim();
  }

  #claim() {
    this.name = this.#wanted;
    const claim = { type: "username", name: this.#wanted, id: this.#id, date: Date.now(), stamped: true };
    if (this.#proof) claim.key = this.#proof;
    this.send(claim);
  }

  #connectNow() {
    if (this.#socket || !this.#url) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #connect() {
    let socket;
    try {
      socket = new WebSocket(this.#url, "json");
    } catch {
      // A page of https, and a server without a certificate.
      this.#emit("refused", { why: "mixed" });
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lose(socket), CONNECT_MS);
    socket.onmessage = ({ data }) => {
      this.#answerProbe(true);
      let frame;
      try {
        frame = JSON.parse(data);
      } catch {
        return;
      }
      if (frame && typeof frame === "object") this.#receive(frame);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket === socket && !this.online) this.#askWhy(code);
      this.#lose(socket, this.online && code === TRY_AGAIN_LATER);
    };
  }

  /** It is closed, or as good as that. */
  #lose(socket, gaveWay = false) {
    if (this.#socket !== socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    this.#id = null;
    this.#answerProbe(false);
    this.#emit("lost");
    const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#retries++);
    clearTimeout(this.#timer);
    const wait = gaveWay ? 2 * GAVE_WAY_MS : ceiling;
    this.#timer = setTimeout(() => this.#connect(), wait * (0.5 + Math.random() / 2));
  }

  /**
   * A WebSocket that was refused does not say why, so the server is asked in
   * another way. Tells "origin", "login", "signed-out", "socket", "full", or `null`.
   */
  async #askWhy(code) {
    let why = null;
    if (code === TRY_AGAIN_LATER) why = "full";
    else {
      try {
        const answer = await ask("status.json", { cache: "no-store", redirect: "manual" });
        if (answer.status === 401 || answer.type === "opaqueredirect") why = "login";
        else if (answer.ok) {
          const { allowed, signed_in } = await answer.json();
          if (allowed === false) why = "origin";
          else if (signed_in === false) why = "signed-out";
          // Once may be chance: a server that was just starting.
          else if (allowed === true && this.#retries > 1) why = "socket";
        }
      } catch {
        // The server is away, or is another one.
      }
    }
    if (!this.online) this.#emit("refused", { why });
  }

  #receive(frame) {
    switch (frame.type) {
      case "id":
        clearTimeout(this.#timer);
        this.#id = frame.id;
        this.#proof = this.#key;
        this.#key = typeof frame.key === "string" ? frame.key : null;
        this.#retries = 0;
        this.#claim();
        this.#emit("open");
        break;
      case "rejectusername": {
        if (typeof frame.name !== "string") break;
        this.name = frame.name;
        // A number was appended: the name may become free. Otherwise it is one
        // that the server will never take, and to ask again would change nothing.
        const taken = this.name.startsWith(this.#wanted)
          && /^\d+$/.test(this.name.slice(this.#wanted.length));
        const rejected = this.#asked !== null || !taken;
        if (rejected) this.#wanted = this.name;
        this.#asked = null;
        this.#emit("name", { name: this.name, rejected });
        break;
      }
      case "userlist": {
        const names = (list) => (Array.isArray(list) ? list : [])
          .filter((name) => typeof name === "string" && name);
        this.users = [...new Set(names(frame.users))];
        if (this.users.includes(this.name)) {
          this.#asked = null;
          this.#emit("name", { name: this.name, rejected: false });
        }
        this.#emit("users", { users: this.users, devices: new Set(names(frame.devices)) });
        this.reclaim();
        break;
      }
      case "echo":
        break;
      default:
        this.#emit("frame", { frame });
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
