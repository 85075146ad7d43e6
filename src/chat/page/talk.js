// Talking at a camera: a button that is held, or pressed briefly to stay on, and
// the space bar. One talks at a time; the device says who (docs/protocol.md).
//
// The person's microphone is opened by that press and by nothing else, and closed
// when they are done. What it hears is sent only while it is their turn.

import { press } from "./elements.js";
import { reasonWords, textOf, words } from "./words.js";

/** A press that is shorter stays on. */
const SHORT_MS = 300;
/** How often the level is shown. */
const LOOK_MS = 100;
/** Not a sound since it was opened: a microphone that is switched off hears just that. */
const MUTED_MS = 3_000;
/** The same of one that was heard: people pause. */
const PAUSE_MS = 10_000;
/** No sound is what stays 60 dB under full scale: a canceller of echo puts noise in place of nothing. */
const SILENT = 0.001;
const MAX_NAME = 80;
/** The level's meter begins so many dB under full scale. */
const LOWEST_DB = 60;
/** What is done with a voice before it is sent. */
const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class TalkPanel {
  #button;
  #line;
  #text;
  #meter;
  /** The call that is watched, or null. */
  #call = null;
  /** What the device said last. */
  #floor = { may: false, you: "listens" };
  /** The person holds the button, or has pressed it. */
  #wants = false;
  /** It stays on when they let go. */
  #locked = false;
  #pressedAt = null;
  /** Raised by each press and each end: late results of an earlier one are void. */
  #turn = 0;
  #stream = null;
  #context = null;
  #looking = 0;
  #heardAt = 0;
  /** Its microphone has given a sound. */
  #heard = false;
  /** The person knows that they can talk here. */
  #meant = false;
  /** The browser has let us before. */
  #allowed = false;
  /** Why the person is not heard; "" when nothing is wrong. */
  #problem = "";
  #muted = false;

  /** `line` has the words and the meter. */
  constructor(button, line) {
    this.#button = button;
    this.#line = line;
    this.#text = line.querySelector("span");
    this.#meter = line.querySelector("meter");
    button.onpointerdown = (event) => this.#down(event);
    for (const type of ["pointerup", "pointercancel"]) button.addEventListener(type, () => this.#up());
    button.oncontextmenu = (event) => event.preventDefault();
    button.onclick = ({ detail }) => {
      // Without a pointer: the enter key, a screen reader.
      if (detail === 0) this.#toggle();
    };
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    // What is let go elsewhere is not seen here.
    addEventListener("blur", () => this.#up());
  }

  /** The call to a device that begins, or null: nobody is heard any more. */
  watch(call) {
    this.#end(false);
    this.#call = call;
    this.#meant = Boolean(call?.camera);
    this.#floor = { may: false, you: "listens" };
    this.#problem = "";
    this.#show();
  }

  /** What the device says of the floor. */
  told(message) {
    const before = this.#floor.you;
    const { you, speaker } = message;
    this.#floor = {
      may: message.may === true,
      you: ["talks", "waits"].includes(you) ? you : "listens",
      talks: textOf(message.talks, MAX_NAME),
      speaker: speaker && reasonWords(speaker.why, speaker.text),
    };
    if (message.why) {
      this.#end(false);
      this.#problem = reasonWords(message.why, message.text);
    } else if (before !== "listens" && this.#floor.you === "listens" && this.#wants) {
      // Or it is the end of an earlier turn, and the device gives them this one, too.
      this.#end(true);
    }
    this.#send();
    this.#show();
  }

  /** The device does not let the person talk. */
  refused(text) {
    this.#end(false);
    this.#problem = text;
    this.#show();
  }

  #down(event) {
    if (event.button !== 0) return;
    this.#meant = true;
    if (this.#wants) return this.#end(true);
    this.#pressedAt = performance.now();
    // So that it is known when the finger leaves the button's place.
    try {
      this.#button.setPointerCapture(event.pointerId);
    } catch {
      // A pointer that a script made up.
    }
    this.#begin();
  }

  #up() {
    if (this.#pressedAt === null) return;
    const short = performance.now() - this.#pressedAt < SHORT_MS;
    this.#pressedAt = null;
    if (short && this.#wants) this.#locked = true;
    else if (!this.#locked) this.#end(true);
  }

  #toggle() {
    this.#meant = true;
    if (this.#wants) return this.#end(true);
    this.#locked = true;
    this.#begin();
  }

  /**
   * The space bar, where nothing else has it: text, other buttons, lists. At a camera that
   * the person was invited to, and elsewhere once they have used the button: somebody who
   * only calls themselves a camera is not to hear who wanted to scroll.
   */
  #key(event, down) {
    if (event.key !== " ") return;
    // Wherever it is let go.
    if (!down && this.#pressedAt !== null) return this.#up();
    if (event.defaultPrevented) return;
    if (this.#button.hidden || !this.#meant || event.ctrlKey || event.metaKey || event.altKey) return;
    const own = event.target === this.#button;
    const other = event.target.closest?.("input, textarea, select, button, a, summary, dialog, [tabindex='0']");
    if (other && !own) return;
    event.preventDefault();
    if (!down || event.repeat) return;
    if (this.#locked) return this.#end(true);
    if (this.#wants) return;
    this.#pressedAt = performance.now() - SHORT_MS;
    this.#begin();
  }

  async #begin() {
    const turn = ++this.#turn;
    this.#wants = true;
    this.#problem = "";
    if (this.#allowed) this.#ask();
    this.#show();
    const { stream, problem } = await microphone();
    if (turn !== this.#turn) return stop(stream);
    if (!stream) {
      this.#end(true);
      this.#problem = problem;
      return this.#show();
    }
    this.#stream = stream;
    const [track] = stream.getAudioTracks();
    track.onended = () => {
      if (this.#stream !== stream) return;
      this.#end(true);
      this.#problem = words.micEnded;
      this.#show();
    };
    this.#listen(stream);
    if (!this.#allowed) this.#ask();
    this.#allowed = true;
    this.#send();
    this.#show();
  }

  #ask() {
    this.#call?.tell({ type: "talk", on: true, wait: true });
  }

  /** The person is done; `say` it to the device. */
  #end(say) {
    if (say && this.#wants) this.#call?.tell({ type: "talk", on: false });
    this.#turn += 1;
    this.#wants = this.#locked = this.#muted = false;
    this.#pressedAt = null;
    clearInterval(this.#looking);
    this.#context?.close();
    this.#context = null;
    stop(this.#stream);
    this.#stream = null;
    this.#send();
    this.#show();
  }

  /** What the microphone hears goes out while it is the person's turn. */
  #send() {
    const track = this.#floor.you === "talks" ? this.#stream?.getAudioTracks()[0] : null;
    this.#call?.say(track ?? null);
  }

  /** Shows how loud it is, and that there is nothing. */
  #listen(stream) {
    this.#heardAt = performance.now();
    this.#heard = false;
    let analyser;
    try {
      this.#context = new AudioContext();
      analyser = this.#context.createAnalyser();
      this.#context.createMediaStreamSource(stream).connect(analyser);
    } catch {
      return; // Then without a level.
    }
    const samples = new Float32Array(analyser.fftSize);
    this.#looking = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
      const now = performance.now();
      const [track] = stream.getAudioTracks();
      if (peak > SILENT && !track.muted) {
        this.#heardAt = now;
        this.#heard = true;
      }
      const level = 1 + 20 * Math.log10(Math.max(peak, 1e-6)) / LOWEST_DB;
      this.#meter.value = Math.min(1, Math.max(0, level));
      const most = this.#heard ? PAUSE_MS : MUTED_MS;
      const muted = this.#context?.state === "running" && now - this.#heardAt > most;
      if (muted !== this.#muted) {
        this.#muted = muted;
        this.#show();
      }
    }, LOOK_MS);
  }

  #words() {
    const { you, talks, speaker } = this.#floor;
    if (this.#problem) return this.#problem;
    if (this.#muted) return words.micMuted;
    if (speaker) return speaker;
    if (you === "talks") return words.youTalk;
    if (you === "waits") return words.youWait(talks);
    return talks ? words.talks(talks) : "";
  }

  #show() {
    this.#button.hidden = !this.#call || !this.#floor.may;
    press(this.#button, this.#wants);
    this.#button.dataset.you = this.#floor.you;
    const text = this.#words();
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#meter.hidden = !this.#context;
    this.#line.hidden = !text && !this.#context;
  }
}

/** The person's microphone, or what to say without it. */
async function microphone() {
  if (!navigator.mediaDevices) return { stream: null, problem: words.micInsecure };
  try {
    return { stream: await navigator.mediaDevices.getUserMedia({ audio: VOICE }), problem: null };
  } catch (error) {
    return { stream: null, problem: problemWords(error) };
  }
}

function problemWords({ name }) {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return words.micDenied;
    case "NotReadableError":
    case "AbortError":
      return words.micInUse;
    default:
      return words.micMissing;
  }
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
}
