// The overlay that says how the connection is: what comes, how fast, how late.
// Off until somebody wants it; then it looks once a second.
//
// Most of it the browser knows. A device adds what it sends and what it takes
// the path to carry, and tells the time, so that its capture times can be held
// against this machine's clock.

import { isPressed, keep, press, recall } from "./elements.js";
import { latency } from "./latency.js";
import {
  bitrateWords, connectionWords, pictureWords, qualityWords, shareWords, stillWords, tierWords, timeWords, words,
} from "./words.js";

const LOOK_MS = 1000;
/** A device that was asked and tells nothing for so long is asked again. */
const ASK_AGAIN_MS = 3000;
/** More qualities than this no device has. */
const MOST_QUALITIES = 8;
/** Where the browser keeps whether picture and sound come apart. */
const APART = "apart";
/** Pings of which the one with the shortest way counts. */
const PINGS = 10;

const ROWS = [
  ["picture", ({ width, height, fps }) => width && pictureWords(width, height, fps)],
  ["received", ({ bitrate }) => bitrateWords(bitrate)],
  ["carries", ({ estimate }) => estimate !== undefined && bitrateWords(estimate)],
  ["quality", ({ tier, thinned }) => tier !== undefined && tierWords(tier, thinned)],
  ["lostShare", ({ loss }) => loss !== undefined && shareWords(loss)],
  ["roundTrip", ({ roundTrip }) => roundTrip !== undefined && timeWords(roundTrip)],
  ["latency", ({ latency }) => latency !== undefined && timeWords(latency)],
  ["stoodStill", ({ freezes, freezeSeconds }) => freezes > 0 && stillWords(freezes, freezeSeconds)],
];

export class StatsPanel {
  #panel;
  #button;
  #tell;
  #pc = null;
  #rows;
  #choice;
  #apart;
  #timer = 0;
  #before = null;
  #device = null;
  #clock;
  #askedAt = -Infinity;
  /** What was measured last, in bit/s, ms and shares of 1. */
  measured = null;

  /**
   * `tell(message)` says something to a device; false where it cannot yet. `renew()`
   * watches it anew, where it was chosen whether its picture waits for the sound.
   */
  constructor(panel, button, { tell, renew }) {
    this.#panel = panel;
    this.#button = button;
    this.#tell = tell;
    // Here, since a field with parentheses finds nothing of its module in
    // Safari 15 (webkit.org/b/236843).
    this.#clock = new Clock();
    this.#rows = ROWS.map(([name, of]) => {
      const row = document.createElement("div");
      const value = document.createElement("dd");
      const title = document.createElement("dt");
      title.textContent = words[name];
      row.append(title, value);
      row.hidden = true;
      return { row, value, of };
    });
    panel.querySelector("dl").append(...this.#rows.map(({ row }) => row));
    this.#choice = panel.querySelector("select");
    this.#apart = panel.querySelector("#apart");
    this.#apart.checked = recall(APART) === "yes";
    this.#apart.onchange = async () => {
      keep(APART, this.#apart.checked ? "yes" : "no");
      await renew();
      // The panel was away for a moment.
      this.#apart.focus();
    };
    this.#choice.onchange = () => {
      const tier = this.#choice.value === "" ? null : Number(this.#choice.value);
      this.#tell({ type: "quality", tier });
    };
  }

  /** The picture is to come as fast as it can, without waiting for its sound. */
  get apart() {
    return this.#apart.checked;
  }

  /** The connection to look at, or null; whether a device is at its other end. */
  watch(pc, device = false) {
    this.#pc = pc;
    this.#apart.parentElement.hidden = !device;
    this.#before = this.#device = this.measured = null;
    this.#clock = new Clock();
    this.#askedAt = -Infinity;
    this.#panel.querySelector(".words").textContent = "";
    for (const { row } of this.#rows) row.hidden = true;
    this.qualities(0);
    this.#run();
  }

  toggle() {
    const on = !isPressed(this.#button);
    press(this.#button, on);
    if (!on) this.#tell({ type: "stats", on: false });
    this.#askedAt = -Infinity;
    this.#device = null;
    this.#run();
  }

  /** The device has so many qualities, and leaves none chosen. */
  qualities(count) {
    const known = Number.isInteger(count) ? Math.min(Math.max(count, 0), MOST_QUALITIES) : 0;
    const tiers = [null, ...Array(known).keys()];
    this.#choice.replaceChildren(...tiers.map((tier) => {
      const option = document.createElement("option");
      option.value = tier ?? "";
      option.textContent = qualityWords(tier);
      return option;
    }));
    this.#choice.parentElement.hidden = known < 2;
  }

  /** A `stats` or `pong` message of the device. */
  told(message) {
    if (message.type === "pong") this.#clock.pong(message);
    else if (isUsable(message)) this.#device = { ...message, at: performance.now() };
  }

  #run() {
    const on = this.#pc !== null && isPressed(this.#button);
    this.#panel.hidden = !on;
    clearInterval(this.#timer);
    if (!on) return;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  async #look() {
    const pc = this.#pc;
    const now = performance.now();
    if (this.#device && now - this.#device.at > ASK_AGAIN_MS) this.#device = null;
    if (!this.#device && now - this.#askedAt > ASK_AGAIN_MS) {
      if (this.#tell({ type: "stats", on: true })) this.#askedAt = now;
    }
    this.#tell(this.#clock.ping());
    let report;
    try {
      report = await pc.getStats();
    } catch {
      return; // It was closed meanwhile.
    }
    if (pc !== this.#pc || this.#panel.hidden) return;
    const present = read(report);
    const receiver = pc.getReceivers().find(({ track }) => track.kind === "video");
    const before = this.#before;
    this.#before = present;
    this.measured = before && {
      ...between(before, present),
      ...ofDevice(this.#device),
      chosen: this.#choice.value !== "",
      latency: latency(receiver, present.video, this.#clock.offset),
    };
    this.#show();
  }

  #show() {
    const measured = this.measured;
    if (!measured) return;
    const said = connectionWords(measured);
    const line = this.#panel.querySelector(".words");
    // It is read aloud: only what is new.
    if (line.textContent !== (said?.text ?? "")) line.textContent = said?.text ?? "";
    line.dataset.kind = said?.kind ?? "";
    for (const { row, value, of } of this.#rows) {
      const text = of(measured);
      row.hidden = !text;
      if (text) value.textContent = text;
    }
  }
}

/** How far a device's clock is ahead of ours, by the pings that took least. */
class Clock {
  #id = 0;
  #sent = new Map();
  #known = [];

  ping() {
    this.#id += 1;
    this.#sent.set(this.#id, wallClock());
    this.#sent.delete(this.#id - PINGS);
    return { type: "ping", id: this.#id };
  }

  pong({ id, now_ms: there }) {
    const sent = this.#sent.get(id);
    if (sent === undefined || !Number.isFinite(there)) return;
    this.#sent.delete(id);
    const back = wallClock();
    this.#known.push({ took: back - sent, offset: there - (sent + back) / 2 });
    if (this.#known.length > PINGS) this.#known.shift();
  }

  /** In ms; undefined while nothing is known. */
  get offset() {
    return this.#known.reduce((a, b) => (b.took < a.took ? b : a), this.#known[0])?.offset;
  }
}

/** ms since 1970; it does not step. */
function wallClock() {
  return performance.timeOrigin + performance.now();
}

function isUsable(message) {
  return ["tier", "estimate_bps", "loss"].every((each) => Number.isFinite(message[each]));
}

function ofDevice(told) {
  if (!told) return {};
  const { tier, thinned, estimate_bps: estimate, sent_bps: sent, rtt_ms } = told;
  const known = { tier, thinned: thinned === true, estimate, sent };
  return Number.isFinite(rtt_ms) ? { ...known, roundTrip: rtt_ms } : known;
}

/** What counts of a report of the browser's. */
function read(report) {
  const found = { at: 0, bytes: 0, video: null, packets: 0, lost: 0, roundTrip: undefined };
  for (const each of report.values()) {
    if (each.type === "inbound-rtp") {
      found.at = each.timestamp;
      found.bytes += each.bytesReceived + (each.headerBytesReceived ?? 0);
      found.packets += each.packetsReceived;
      found.lost += each.packetsLost;
      if (each.kind === "video") found.video = each;
    } else if (each.type === "transport" && each.selectedCandidatePairId) {
      const seconds = report.get(each.selectedCandidatePairId)?.currentRoundTripTime;
      if (seconds !== undefined) found.roundTrip = seconds * 1000;
    }
  }
  return found;
}

function between(before, present) {
  const seconds = Math.max((present.at - before.at) / 1000, 0.001);
  const since = (key) => Math.max((present.video?.[key] ?? 0) - (before.video?.[key] ?? 0), 0);
  const lost = Math.max(present.lost - before.lost, 0);
  const came = Math.max(present.packets - before.packets, 0);
  const { video } = present;
  return {
    bitrate: (Math.max(present.bytes - before.bytes, 0) * 8) / seconds,
    loss: came + lost > 0 ? lost / (came + lost) : undefined,
    roundTrip: present.roundTrip,
    ...(video && {
      width: video.frameWidth,
      height: video.frameHeight,
      fps: since("framesDecoded") / seconds,
      freezes: video.freezeCount ?? 0,
      freezeSeconds: video.totalFreezesDuration ?? 0,
      frozen: since("freezeCount") > 0 || since("framesDecoded") === 0,
    }),
  };
}
