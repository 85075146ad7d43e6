// The chat server's WebSocket: connects, reconnects, keeps the name.
//
// Events: "open", "lost", "users" {users, devices}, "name" {name, rejected},
// and "frame" {frame} for all else.

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

export class Signaling extends EventTarget {
  #url;
  #socket = null;
  #id = null;
  #retries = 0;
  #timer = 0;
  /** The name this page is to have, also after a reconnect. */
  #wanted;
  /** A name that was given instead of one the person just typed is kept. */
  #asked = null;

  /** Says whether the name may change now; not in the middle of a call. */
  mayRename = (_wanted) => true;
  name = null;
  users = [];

  constructor(url, name) {
    super();
    this.#url = url;
    this.#wanted = name;
    addEventListener("online", () => this.#connectNow());
    addEventListener("pageshow", () => this.#connectNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#connectNow();
    });
    this.#connect();
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
    this.send({ type: "username", name: this.#wanted, id: this.#id, date: Date.now() });
  }

  #connectNow() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.#url, "json");
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      let frame;
      try {
        frame = JSON.parse(data);
      } catch {
        return;
      }
      if (frame && typeof frame === "object") this.#receive(frame);
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#id = null;
      this.#emit("lost");
      const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#retries++);
      this.#timer = setTimeout(() => this.#connect(), ceiling * (0.5 + Math.random() / 2));
    };
  }

  #receive(frame) {
    switch (frame.type) {
      case "id":
        this.#id = frame.id;
        this.#retries = 0;
        this.#claim();
        this.#emit("open");
        break;
      case "rejectusername": {
        this.name = String(frame.name);
        // A number was appended: the name may become free. Otherwise it is one
        // that the server will never take, and to ask again would be in vain.
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
      default:
        this.#emit("frame", { frame });
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
