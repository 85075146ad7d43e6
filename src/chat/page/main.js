// Puts the page together: signaling, calls and elements.

import { Calls } from "./calls.js";
import { Signaling } from "./signaling.js";
import { Ui } from "./ui.js";
import { refusalWords, textOf, words } from "./words.js";

/** Characters of a chat line that are shown; twice what the page's own has. */
const MAX_LINE = 4_000;

const ui = new Ui({
  call: (name, watch) => calls.start(name, watch),
  hangUp: () => calls.hangUp(),
  accept: () => calls.accept(),
  decline: () => calls.decline(),
  rename: (name) => {
    signaling.rename(name);
    remember(name);
  },
  chat: (text) => {
    const sent = signaling.send({
      type: "message", text, name: signaling.name, id: signaling.id, date: Date.now(),
    });
    if (!sent) ui.say(words.notOnline, "problem");
    return sent;
  },
  tell: (message) => calls.tell(message),
});

// Beside the page, wherever a proxy has put that.
const url = new URL("./", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const signaling = new Signaling(url, firstName());
const calls = new Calls(signaling, ui);

/** Why the server lets nobody in, where that is known. */
let refusal = null;
const away = () => {
  // A call goes on without the server.
  if (calls.state !== "connected") ui.say(refusal ?? words.offline, "problem");
};
signaling.addEventListener("open", () => {
  refusal = null;
  ui.online(true);
  if (calls.state === "idle") ui.say(words.online);
  calls.refreshIceServers();
});
signaling.addEventListener("lost", () => {
  ui.online(false);
  away();
});
signaling.addEventListener("refused", ({ detail: { why } }) => {
  refusal = refusalWords(why, location.origin);
  away();
});
signaling.addEventListener("name", ({ detail: { name, rejected } }) => {
  ui.me(name);
  if (rejected) {
    ui.say(words.renamed(name));
    remember(name);
  }
});
signaling.addEventListener("users", ({ detail: { users, devices } }) => {
  calls.users(users, devices);
  ui.users(users, devices, signaling.name);
});
signaling.addEventListener("frame", ({ detail: { frame } }) => {
  if (frame.type === "message") {
    ui.chat(textOf(frame.name), textOf(frame.text, MAX_LINE), frame.name === signaling.name);
  }
  else calls.receive(frame);
});
addEventListener("pagehide", () => calls.leave());

/** From the address (`?name=`), from the last visit, or made up. */
function firstName() {
  const asked = new URLSearchParams(location.search).get("name")?.trim();
  if (asked) return asked;
  try {
    const known = localStorage.getItem("name");
    if (known) return known;
  } catch {
    // Storage may be forbidden.
  }
  const name = `guest ${100 + Math.floor(Math.random() * 900)}`;
  remember(name);
  return name;
}

function remember(name) {
  try {
    localStorage.setItem("name", name);
  } catch {
    // Then the name is for this visit alone.
  }
}

// For tests and the curious.
globalThis.cameraAgent = {
  get pc() { return calls.pc; },
  get channel() { return calls.channel; },
  get state() { return calls.state; },
  get me() { return signaling.name; },
  get stats() { return ui.stats.measured; },
};
