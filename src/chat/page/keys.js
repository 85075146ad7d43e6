// The cameras that this browser was invited to, with the keys that prove it:
// kept in IndexedDB, else, where the browser keeps nothing, for this visit.
//
// A camera is {name, id, from, key, as, label, added, seen}. `id` names the key,
// `from` the one of the link that it came with; `as` is what its owner calls the
// invited one, `label` what this person calls it; `added` and `seen` are ms since
// 1970, `seen` 0 before the first verified call. `key` is what access.js made of
// the key; on https and localhost no script can read it.
//
// Event: "change".

const DATABASE = "camera-agent";
const STORE = "cameras";
/** A browser that has not opened its database by then never will. */
const OPENS_MS = 3_000;

export class Keys extends EventTarget {
  #database = null;
  #known = new Map();
  /** False where the browser keeps nothing beyond this visit; known after `ready`. */
  lasting = true;
  /** Resolves once the cameras are known. */
  ready;

  constructor() {
    super();
    this.ready = this.#start();
    // Another tab may have changed them.
    addEventListener("focus", () => this.#load());
  }

  /** All of them, by what the person calls them. */
  get all() {
    return [...this.#known.values()].sort((a, b) => titleOf(a).localeCompare(titleOf(b)) || b.added - a.added);
  }

  /** The newest invitation of a camera of this name, or null. */
  of(name) {
    let found = null;
    for (const each of this.#known.values()) {
      if (each.name === name && (!found || each.added > found.added)) found = each;
    }
    return found;
  }

  /** As another tab may have left it; null where it was forgotten. */
  async current({ name, id }) {
    try {
      if (this.#database) return await this.#run("readonly", (store) => store.get([name, id])) ?? null;
    } catch {
      this.#lose();
    }
    return this.#known.get(keyOf({ name, id })) ?? null;
  }

  /** Adds one, or puts it in its own place. Gives whether it is kept beyond this visit. */
  async put(camera) {
    this.#known.set(keyOf(camera), camera);
    const kept = await this.#keep((store) => store.put(camera));
    this.#changed();
    return kept;
  }

  /** Changes some of a camera, unless it was forgotten. Gives whether that is kept beyond this visit. */
  async change({ name, id }, changes) {
    let changed = this.#known.get(keyOf({ name, id }));
    if (!changed) return false;
    changed = { ...changed, ...changes };
    let found = true;
    // Read and written in one transaction: another tab may change it, too.
    const kept = await this.#keep((store) => {
      store.get([name, id]).onsuccess = ({ target: { result } }) => {
        if (!result) found = false;
        else store.put(changed = { ...result, ...changes });
      };
    });
    if (kept && !found) this.#known.delete(keyOf({ name, id }));
    else this.#known.set(keyOf(changed), changed);
    this.#changed();
    return kept && found;
  }

  /**
   * Puts one in place of another, in one go. Gives whether it is kept beyond this
   * visit: if not, nothing has changed.
   */
  async replace(old, camera) {
    let found = false;
    const kept = await this.#keep((store) => {
      store.get([old.name, old.id]).onsuccess = ({ target: { result } }) => {
        if (!result) return;
        found = true;
        store.delete([old.name, old.id]);
        store.put(camera);
      };
    });
    if (!kept || !found) return false;
    this.#known.delete(keyOf(old));
    this.#known.set(keyOf(camera), camera);
    this.#changed();
    return true;
  }

  async forget({ name, id }) {
    this.#known.delete(keyOf({ name, id }));
    await this.#keep((store) => store.delete([name, id]));
    this.#changed();
  }

  async #start() {
    try {
      this.#database = await open();
    } catch {
      this.lasting = false;
    }
    await this.#load();
  }

  async #load() {
    if (!this.#database) return;
    try {
      const all = await this.#run("readonly", (store) => store.getAll());
      this.#known = new Map(all.map((each) => [keyOf(each), each]));
      this.#changed();
    } catch {
      this.#lose();
    }
  }

  /** Whether a change was written. */
  async #keep(change) {
    if (!this.#database) return false;
    try {
      await this.#run("readwrite", change);
      return true;
    } catch {
      this.#lose();
      return false;
    }
  }

  /** Resolves to the result of what `work` asks for, once it is written. */
  #run(mode, work) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }

  /** The browser does not keep what it is given: a private window may not, and a full disk. */
  #lose() {
    this.#database = null;
    this.lasting = false;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * Names as they are listed: cameras before people, and those that the person was
 * invited to before all: a stranger's name that sorts first takes nothing from them.
 */
export function inOrder(names, isCamera, keys) {
  const worth = (name) => (keys.of(name) ? 2 : Number(isCamera(name)));
  return [...names].sort((a, b) => worth(b) - worth(a) || a.localeCompare(b));
}

/** What a camera is called: by this person, else by itself. */
export function titleOf({ label, name }) {
  return label || name;
}

function keyOf({ name, id }) {
  return JSON.stringify([name, id]);
}

function open() {
  return new Promise((resolve, reject) => {
    setTimeout(reject, OPENS_MS);
    // Throws, or is not there at all, where the browser's settings forbid it.
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["name", "id"] });
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const database = request.result;
      // A later version of the page in another tab takes it over.
      database.onversionchange = () => database.close();
      resolve(database);
    };
  });
}
