// A camera that means harm, to the page's modules alone: what it answers over its channel
// for files, and how often. Runs in the page; tests/browsers/page/paces.rs says what holds.

/** A channel for files, and what is asked over it. */
globalThis.fakeChannel = () => {
  const asked = [];
  const channel = {
    readyState: "open",
    asked,
    answer: () => {},
    send(text) {
      asked.push(JSON.parse(text));
      this.answer(asked.at(-1));
    },
    close() {},
    say(message) {
      this.onmessage({ data: JSON.stringify(message) });
    },
    bytes(length) {
      this.onmessage({ data: new ArrayBuffer(length) });
    },
  };
  channel.pc = Object.assign(new EventTarget(), { connectionState: "connected", createDataChannel: () => channel });
  return channel;
};

const turn = () => new Promise((on) => setTimeout(on));

/** What a list fetches when it is opened first: no turn waits for the server from here on. */
const listsParts = () => Promise.all([import("./thumbnails.js"), import("./timeline.js")]);

/** What becomes of a promise by the time that nothing is left to do. */
const fate = async (promise) => {
  let known = "waits";
  promise.then((value) => { known = value ?? "nothing"; }, (error) => { known = `no: ${error.why ?? error.message}`; });
  for (let i = 0; i < 5; i += 1) await turn();
  return known;
};

globalThis.endless = async () => {
  const { fetchAll } = await import("./player.js");
  const { PART } = await import("./files.js");
  let parts = 0;
  const files = (size) => ({
    part: async (id, at) => {
      parts += 1;
      if (parts > 50) throw new Error("it has no end");
      return { length: PART, size: size(at), bytes: new Uint8Array(PART) };
    },
  });
  const save = async (size, isOver = () => false) => {
    parts = 0;
    const saved = await fate(fetchAll(files(size), { id: "a" }, () => {}, isOver));
    return [saved.size ?? saved, parts];
  };
  return {
    grows: await save((at) => at + 10 * PART),
    lacks: await save(() => undefined),
    huge: await save(() => 2 ** 40),
    stopped: await save(() => 2 ** 30, () => parts > 3),
  };
};

globalThis.oddAnswers = async () => {
  const { Files } = await import("./files.js");
  const channel = fakeChannel();
  const files = new Files(channel.pc, { state() {}, refused() {}, gone() {} });
  channel.onopen();
  const made = {};
  const half = files.ask({ type: "get", id: "a", from: 0, length: 8 });
  await turn();
  for (const length of [0.5, -1, 1e9, "4", null]) channel.say({ type: "part", id: "a", from: 0, length, size: 8 });
  channel.onmessage({ data: `{"type":"list","before":null,"pad":"${"x".repeat(100_000)}"}` });
  channel.say({ type: "part", id: "a", from: 0, length: 4, size: 4 });
  channel.bytes(4);
  made.half = (await fate(half)).length;
  // Time goes on when it is told to.
  const real = globalThis.setTimeout;
  const timers = [];
  globalThis.setTimeout = (act, wait) => (wait >= 100 ? timers.push(act) : real(act, wait));
  const first = files.ask({ type: "thumbnail", id: "b" });
  const second = files.ask({ type: "thumbnail", id: "c" });
  first.catch(() => {});
  await turn();
  made.asked = channel.asked.length;
  timers.at(-1)();
  timers.at(-1)();
  made.first = await fate(first);
  // The late answer is not the next one's.
  channel.say({ type: "thumbnail", id: "b", length: 3 });
  channel.bytes(3);
  made.late = await fate(second);
  channel.say({ type: "thumbnail", id: "c", length: 5 });
  channel.bytes(5);
  made.second = (await fate(second)).bytes?.length ?? null;
  globalThis.setTimeout = real;
  return made;
};

/** A part that is asked for while the path changes, and while the page stands still. */
globalThis.pauses = async () => {
  const { Files } = await import("./files.js");
  const channel = fakeChannel();
  const files = new Files(channel.pc, { state() {}, refused() {}, gone() {} });
  channel.onopen();
  // Time goes on when it is told to.
  const [real, cancel] = [globalThis.setTimeout, globalThis.clearTimeout];
  const timers = new Map();
  let last = 1e9;
  globalThis.setTimeout = (act, wait) => {
    if (wait !== 15_000 && wait !== 100) return real(act, wait);
    timers.set(last += 1, [act, wait]);
    return last;
  };
  globalThis.clearTimeout = (id) => timers.delete(id) || cancel(id);
  const overdue = () => {
    const [[id, [act, wait]]] = timers;
    timers.delete(id);
    act();
    return wait;
  };
  const path = (state) => {
    channel.pc.connectionState = state;
    channel.pc.dispatchEvent(new Event("connectionstatechange"));
  };
  const answers = (from) => {
    channel.say({ type: "part", id: "a", from, length: 4, size: 8 });
    channel.bytes(4);
  };
  const made = {};
  // A minute without a path, and one at last.
  let part = files.part("a", 0);
  await turn();
  path("disconnected");
  made.away = [overdue(), overdue(), overdue(), await fate(part)];
  path("connected");
  made.back = [timers.size, [...timers.values()][0]?.[1], await fate(part)];
  answers(0);
  made.came = (await fate(part)).length;
  // The page stood still: what came meanwhile is read behind the timer.
  part = files.part("a", 4);
  await turn();
  made.still = overdue();
  answers(4);
  made.read = [(await fate(part)).length, timers.size];
  // Nothing came: it is asked for once more, and not for ever.
  const asked = channel.asked.length;
  part = files.part("a", 8);
  for (let i = 0; i < 2; i += 1) {
    await fate(part);
    overdue();
    overdue();
  }
  made.silent = [await fate(part), channel.asked.length - asked];
  part = files.part("a", 8);
  await fate(part);
  overdue();
  overdue();
  await fate(part);
  answers(8);
  made.again = (await fate(part)).length;
  // A film says so, too, and not that this browser cannot play it.
  const { Player } = await import("./player.js");
  const dialog = document.getElementById("player");
  new Player(dialog, () => "yard").play(files, { id: "a", began_ms: 0, seconds: 1, why: "motion" });
  for (let i = 0; i < 2; i += 1) {
    await fate(part);
    overdue();
    overdue();
  }
  await fate(part);
  made.film = dialog.querySelector(".problem").textContent;
  [globalThis.setTimeout, globalThis.clearTimeout] = [real, cancel];
  dialog.close();
  return made;
};

globalThis.thumbnailsBesideOneThatIsRefused = async () => {
  const { Thumbnails } = await import("./thumbnails.js");
  const at = [];
  const thumbnails = new Thumbnails(async (id) => {
    at.push(performance.now());
    if (id === "bad") throw { why: "recording-gone" };
    return new Uint8Array([1]);
  });
  const images = ["bad", "one", "two", "three"].map((id) => thumbnails.of(id));
  const place = document.createElement("div");
  place.style = "position:fixed;inset:0;z-index:99";
  place.append(...images);
  document.body.append(place);
  for (let i = 0; i < 500 && images.filter((image) => image.src).length < 3; i += 1) {
    await new Promise((on) => setTimeout(on, 20));
  }
  place.remove();
  const gaps = at.slice(1).map((time, i) => time - at[i]);
  return [images.filter((image) => image.src).length, Math.min(...gaps) >= 50];
};

/** Saves that go on while the list changes, are stopped and begun again. */
globalThis.saves = async () => {
  const { RecordingsPanel } = await import("./recordings.js");
  await listsParts();
  const [panel, dialog] = ["recordings", "player"].map((id) => document.getElementById(id).cloneNode(true));
  document.body.append(panel, dialog);
  const one = (i) => {
    const time = Date.UTC(2026, 10, 30, 1) + i * 1000;
    return { id: new Date(time).toISOString().replace(/[-:]|\.\d+/g, ""), began_ms: time, seconds: 1, bytes: 12, why: "motion" };
  };
  const channel = fakeChannel();
  const gets = [];
  const lists = [];
  let newest = [3, 2, 1];
  channel.answer = ({ type, before, id, from }) => {
    if (type === "get") gets.push({ id, from });
    else if (type === "list") {
      lists.push(before);
      channel.say({ type, before, recordings: before === null ? newest.map(one) : [one(99), one(1), one(0)], more: before === null });
    } else channel.say({ type, id, length: 0 });
  };
  const settled = async () => {
    for (let i = 0; i < 20; i += 1) await new Promise((on) => setTimeout(on, 10));
  };
  // Lists stand in line behind the part that is on its way.
  const part = async () => {
    channel.say({ type: "part", ...gets.at(-1), length: 4, size: 24 });
    channel.bytes(4);
    await settled();
  };
  const saved = [];
  const { click } = HTMLAnchorElement.prototype;
  HTMLAnchorElement.prototype.click = function () {
    saved.push(this.download);
  };
  const recordings = new RecordingsPanel(panel, dialog, () => []);
  recordings.offer(channel.pc, ["recordings"], "camera");
  channel.onopen();
  const state = () => channel.say({ type: "recording", now: null, button: false, may_delete: false });
  const rows = () => [...panel.querySelectorAll("ol > li")];
  const made = {};
  state();
  panel.open = true;
  await settled();
  const row = rows().at(-1);
  const button = row.querySelectorAll("button")[1];
  const shown = () => [rows().length, rows().indexOf(row), button.textContent, row.querySelector("progress").hidden];
  button.click();
  await settled();
  newest = [102, 101, 100];
  panel.open = false;
  await settled();
  panel.open = true;
  await settled();
  await part();
  made.reopened = shown();
  newest = [202, 201, 200];
  state();
  await part();
  made.apart = shown();
  made.more = !panel.querySelector(".more").hidden;
  const known = lists.length;
  panel.querySelector(".more").click();
  await part();
  made.older = shown();
  made.asked = [200, 1].map((i) => lists.slice(known).includes(one(i).id));
  // Stopped, and begun again before the part that is on its way has come.
  button.click();
  made.stopped = shown().slice(2);
  button.click();
  made.begun = shown().slice(2);
  await part();
  made.goesOn = shown().slice(2);
  for (let i = 0; i < 6; i += 1) await part();
  made.ended = shown().slice(2);
  made.gets = gets.map(({ from }) => from);
  made.saved = saved.length;
  HTMLAnchorElement.prototype.click = click;
  for (const each of [panel, dialog]) each.remove();
  return made;
};

globalThis.longLists = async () => {
  const { RecordingsPanel } = await import("./recordings.js");
  await listsParts();
  const { Timeline } = await import("./timeline.js");
  const clone = (id) => {
    const copy = document.getElementById(id).cloneNode(true);
    document.body.append(copy);
    return copy;
  };
  const [panel, dialog] = [clone("recordings"), clone("player")];
  const began = new Date(2026, 10, 30, 1).getTime();
  const one = (i) => {
    const time = began + i * 1000;
    return { id: new Date(time).toISOString().replace(/[-:]|\.\d+/g, ""), began_ms: time, seconds: 1, bytes: 1, why: "motion" };
  };
  const lists = (newest, length) => Array.from({ length }, (_, i) => one(newest - i));
  const channel = fakeChannel();
  let newest = 5_000;
  let length = 600;
  channel.answer = ({ type, before, id }) => {
    if (type === "list" && before === null) channel.say({ type: "list", before, recordings: lists(newest, length), more: true });
    else if (type === "list") channel.say({ type: "list", before, recordings: [], more: false });
    else channel.say({ type: "thumbnail", id, length: 0 });
  };
  const recordings = new RecordingsPanel(panel, dialog, () => []);
  recordings.offer(channel.pc, ["recordings"], "camera");
  channel.onopen();
  const listed = async () => {
    for (let i = 0; i < 30; i += 1) await new Promise((on) => setTimeout(on, 10));
    const rows = [...panel.querySelectorAll("ol > li")];
    return rows.length;
  };
  const state = () => channel.say({ type: "recording", now: null, button: false, may_delete: false });
  const made = {};
  state();
  panel.open = true;
  made.long = await listed();
  // More have come than a list has, while it is open.
  [newest, length] = [5_150, 100];
  state();
  made.apart = await listed();
  // And some, of which none is known to lie between; the oldest were rotated away.
  newest = 5_190;
  state();
  made.more = await listed();
  panel.open = false;
  await listed();
  [newest, length] = [5_200, 50];
  panel.open = true;
  made.opened = await listed();
  const day = document.querySelector("#recordings .day").cloneNode(true);
  document.body.append(day);
  let asked = 0;
  const timeline = new Timeline(day, {
    list: async () => {
      asked += 1;
      return { recordings: lists(9_000 - asked, 1_000), more: asked < 3 };
    },
    moves: () => [], image: () => document.createElement("img"), drop() {}, play() {},
  });
  timeline.changed(one(9_000).began_ms);
  await listed();
  made.day = Number(day.querySelector("[role=slider]").getAttribute("aria-valuemax"));
  for (const each of [panel, dialog, day]) each.remove();
  return made;
};

/** Thousands of messages at once over the channel of the call, and what is made of them. */
globalThis.floodOfControls = async () => {
  const list = document.querySelector("#camera .list");
  let built = 0;
  const real = list.replaceChildren;
  list.replaceChildren = (...all) => {
    built += 1;
    real.apply(list, all);
  };
  const menu = Array.from({ length: 1_000 }, (_, value) => ({ value, label: "l".repeat(40) }));
  const say = (message) => cameraAgent.channel.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
  for (let i = 0; i < 1_000; i += 1) {
    const name = `${"n".repeat(200)}${i}`;
    const zoom = { name: "zoom", minimum: 0, maximum: 999, step: 1, value: i };
    say({ type: "controls", controls: [{ name, minimum: 0, maximum: 999, step: 1, value: 0, menu: menu.slice(0, 300 + i % 2) }, zoom] });
    say({ type: "privacy", on: i === 999 });
    say({ type: "pong", id: i });
  }
  const privacy = document.getElementById("privacy");
  const last = () => list.querySelector("input[type=range]")?.value;
  for (let i = 0; i < 500 && (last() !== "999" || privacy.ariaPressed !== "true"); i += 1) await new Promise((on) => setTimeout(on, 20));
  await new Promise((on) => requestAnimationFrame(() => requestAnimationFrame(on)));
  delete list.replaceChildren;
  return {
    built,
    last: last(),
    privacy: privacy.getAttribute("aria-pressed"),
    choices: list.querySelectorAll("option").length,
    name: list.querySelector("label")?.textContent.length ?? 0,
  };
};

/** Chat lines by the server, as fast as they come. */
globalThis.floodOfLines = async (count) => {
  const log = document.getElementById("chat-log");
  let layouts = 0;
  const { get } = Object.getOwnPropertyDescriptor(Element.prototype, "scrollHeight");
  Object.defineProperty(log, "scrollHeight", { configurable: true, get() {
    layouts += 1;
    return get.call(log);
  } });
  for (let i = 0; i < count; i += 1) {
    const data = JSON.stringify({ type: "message", name: "eve", text: `line ${i}`, id: 1 });
    sockets.at(-1).dispatchEvent(new MessageEvent("message", { data }));
  }
  await new Promise((on) => requestAnimationFrame(() => requestAnimationFrame(on)));
  delete log.scrollHeight;
  return { layouts, lines: log.children.length, last: log.lastChild.textContent };
};

globalThis.simulated = async () => {
  const [{ Pace, Frames, LastWords }, { Rings }, { inOrder }] =
    await Promise.all([import("./pace.js"), import("./rings.js"), import("./keys.js")]);
  const made = {};
  const pace = new Pace(100, 30);
  made.atOnce = Array.from({ length: 1_000 }, () => pace.take(0)).filter(Boolean).length;
  made.inASecond = Array.from({ length: 1_000 }, (_, i) => pace.take(i)).filter(Boolean).length;
  const drawn = [];
  let draw = null;
  const frames = new Frames((call) => { draw = call; return 1; });
  for (let i = 0; i < 9; i += 1) frames.put("a", () => drawn.push(i));
  frames.put("b", () => drawn.push("b"));
  draw();
  frames.put("a", () => drawn.push("gone"));
  frames.clear();
  draw();
  made.drawn = drawn;
  const given = [];
  const lastWords = new LastWords(2, 10, (text) => (text[0] === "x" ? null : text[0]), (text) => given.push(text));
  for (const text of ["x1", "a1", "b1", "x2", "a2", "b2", "a3"]) lastWords.put(text, 0);
  // What waits is said before what comes with the next room for one.
  lastWords.put("c1", 100);
  lastWords.put("x3", 400);
  lastWords.put("d1", 400);
  lastWords.clear();
  lastWords.put("x4", 600);
  made.given = given;
  const s = (seconds) => seconds * 1_000;
  const rings = new Rings();
  const decline = (name, at) => {
    rings.declined(name, at);
    rings.stopped(name, at);
  };
  made.first = rings.ring("bob", 0);
  decline("bob", s(1));
  made.again = [rings.ring("bob", s(2)), rings.ring("bob", s(30)), rings.ring("bob", s(32))];
  // Twice, which no other name is to pay for.
  decline("bob", s(33));
  made.other = rings.ring("carol", s(34));
  decline("carol", s(34));
  made.quiet = [rings.ring("dave", s(35)), rings.ring("dave", s(92)), rings.ring("dave", s(93))];
  rings.stopped("dave", s(94));
  made.hungUp = [rings.ring("dave", s(95)), rings.ring("dave", s(96))];
  // One name that rings and hangs up for minutes shuts nobody else out.
  const one = new Rings();
  made.shutOut = 0;
  for (let i = 0; i < 300; i += 1) {
    if (one.ring("eve", s(i))) one.stopped("eve", s(i));
    if (!one.ring(`person ${i}`, s(i))) made.shutOut += 1;
  }
  // Ever new names that ring and hang up.
  const many = new Rings();
  let rang = 0;
  for (let i = 0; i < 600; i += 1) {
    if (!many.ring(`eve ${i}`, s(i / 10))) continue;
    rang += 1;
    many.stopped(`eve ${i}`, s(i / 10));
  }
  made.many = rang;
  many.wanted("bob");
  made.wanted = many.ring("bob", s(60));
  made.tells = [many.tells(0), many.tells(s(9)), many.tells(s(10))];
  const keys = { of: (name) => (name === "yard" ? {} : null) };
  made.order = inOrder(["zoe", "0 eve", "yard", "!cam", "bob"], (name) => name === "!cam" || name === "yard", keys);
  return made;
};
