// Puts the page together: signaling, calls and elements.

import { Calls } from "./calls.js";
import { keep, recall } from "./elements.js";
import { Invitations, takeFromAddress } from "./invitations.js";
import { Keys, inOrder, titleOf } from "./keys.js";
import { ask, server } from "./server.js";
import { Signaling } from "./signaling.js";
import { Ui } from "./ui.js";
import { refusalWords, textOf, words } from "./words.js";

/** Characters of a chat line that are shown; twice what the page's own has. */
const MAX_LINE = 4_000;
/** Who opened an invitation and does not see the camera by then is told so. */
const COMES_MS = 4_000;

// Before all else: nothing later may fail with a key in the address.
const opened = takeFromAddress();
const keys = new Keys();

const ui = new Ui({
  call: (name, watch) => {
    if (wall?.isOpen && watch) return wall.show(name);
    wall?.close();
    return calls.start(name, watch);
  },
  hangUp: () => calls.hangUp(),
  pc: () => calls.pc,
  accept: () => {
    wall?.close();
    calls.accept();
  },
  decline: () => calls.decline(),
  rename: (name) => {
    // A name does not change in a call.
    wall?.close();
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
  renew: () => calls.renew(),
  add: (text, name) => invite(text, here(name)),
}, keys);
const invitations = new Invitations(keys, (name) => ui.replaces(name));

const signaling = new Signaling(firstName());
const calls = new Calls(signaling, ui, keys);

/** Several cameras at once, once there are several. */
let wall = null;
let loadsWall = false;

async function lookForSeveral(users, devices) {
  const isCamera = (name) => devices.has(name) || keys.of(name) !== null;
  const cameras = inOrder(users.filter((name) => name !== signaling.name && isCamera(name)), isCamera, keys);
  if (wall) return wall.cameras(cameras);
  if (cameras.length < 2 || loadsWall) return;
  loadsWall = true;
  let Wall;
  try {
    ({ Wall } = await import("./wall.js"));
  } catch {
    // The server is away; the next list of names tries again.
    loadsWall = false;
    return;
  }
  const page = { signaling, keys, servers: () => calls.servers(), apart: () => ui.stats.apart };
  wall = new Wall(page, {
    say: (text, kind) => ui.say(text, kind),
    opened: () => {
      calls.hangUp();
      calls.refreshIceServers();
    },
    closed: () => ui.say(words.ended),
    alone: (name) => {
      wall.close();
      calls.start(name, true);
    },
  });
  lookForSeveral(wanted.users, wanted.devices);
}

/** What was said of an invitation before the server was there. */
let news = null;
/** Why the server lets nobody in, where that is known. */
let refusal = null;
const away = () => {
  // A call goes on without the server.
  if (calls.state !== "connected" && !wall?.isOpen) ui.say(refusal ?? words.offline, "problem");
};
signaling.addEventListener("open", () => {
  refusal = null;
  ui.online(true);
  if (calls.state === "idle" && !wall?.isOpen) ui.say(...(news ?? [words.online]));
  news = null;
  calls.refreshIceServers();
});
signaling.addEventListener("lost", () => {
  ui.online(false);
  away();
});
signaling.addEventListener("refused", async ({ detail: { why } }) => {
  const base = (await server)?.base;
  if (signaling.online) return;
  refusal = refusalWords(why, location.origin, base);
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
  wanted.users = users;
  wanted.devices = devices;
  lookForSeveral(users, devices);
  watchWanted();
});
signaling.addEventListener("frame", ({ detail: { frame } }) => {
  if (frame.type === "message") {
    ui.chat(textOf(frame.name), textOf(frame.text, MAX_LINE), frame.name === signaling.name);
  }
  else if (!wall?.receive(frame)) calls.receive(frame);
});
server.then((found) => ui.called(found?.name));
/** Whom the chat server has signed in, where it asks for that. */
const { user } = document.documentElement.dataset;
if (user !== undefined) {
  ui.signedIn(words.signedInAs(user), async () => {
    calls.leave();
    try {
      await ask("sign-out");
      location.reload();
    } catch {
      ui.say(words.notOnline, "problem");
    }
  });
}
addEventListener("pagehide", () => {
  wall?.close();
  calls.leave();
});

/** The camera of the invitation that was taken in just now, and who is in the chat. */
const wanted = { camera: null, timer: 0, users: [], devices: new Set() };

/** Takes an invitation in, and shows its camera. Resolves to what is wrong with it, or null. */
async function invite(text, name) {
  const { camera, problem } = await invitations.take(text, name);
  if (!camera) return problem ?? null;
  ui.invited.close();
  clearTimeout(wanted.timer);
  wanted.timer = 0;
  if (calls.state !== "idle" || wall?.isOpen) {
    ui.say(words.invitedInCall(titleOf(camera)));
    return null;
  }
  wanted.camera = camera;
  tell(words.invited(titleOf(camera)));
  watchWanted();
  return null;
}

/** A name that the server does not list as a camera's may be a person's: that one is not called without a click. */
function watchWanted() {
  const { camera, devices } = wanted;
  if (!camera || !signaling.online || calls.state !== "idle" || wall?.isOpen) return;
  if (devices.has(camera.name)) {
    wanted.camera = null;
    clearTimeout(wanted.timer);
    calls.start(camera.name, true);
  } else if (!wanted.timer) {
    wanted.timer = setTimeout(() => {
      const away = !wanted.users.includes(camera.name);
      wanted.camera = null;
      if (away && calls.state === "idle") ui.say(words.invitedAway(titleOf(camera)));
    }, COMES_MS);
  }
}

function tell(text, kind) {
  ui.say(text, kind);
  if (!signaling.online) news = [text, kind];
}

/** The name as it is in the chat: people who type do not mind large and small letters. */
function here(name) {
  const same = (each) => each.toLowerCase() === name.toLowerCase();
  return wanted.users.includes(name) ? name : wanted.users.find(same) ?? name;
}

async function inviteFromAddress(fragment) {
  const problem = await invite(fragment);
  if (problem) tell(problem, "problem");
}
if (opened) inviteFromAddress(opened);
addEventListener("hashchange", () => {
  const fragment = takeFromAddress();
  if (fragment) inviteFromAddress(fragment);
});

/** From the address (`?name=`), from the last visit, the one that was signed in with, or made up. */
function firstName() {
  const asked = new URLSearchParams(location.search).get("name")?.trim();
  if (asked) return asked;
  const known = recall("name");
  if (known) return known;
  const { user } = document.documentElement.dataset;
  const name = user || words.guest(100 + Math.floor(Math.random() * 900));
  remember(name);
  return name;
}

function remember(name) {
  keep("name", name);
}

// For tests and the curious.
globalThis.cameraAgent = {
  get pc() { return calls.pc; },
  get channel() { return calls.channel; },
  get state() { return calls.state; },
  get me() { return signaling.name; },
  get stats() { return ui.stats.measured; },
};
