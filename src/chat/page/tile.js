// One camera of several on the page: a call of its own, and its picture. What goes
// wrong is said here, and nowhere else.

import { Proofs } from "./access.js";
import { Call } from "./call.js";
import { letIn, takeKey } from "./guest.js";
import { titleOf } from "./keys.js";
import { hangUpWords, statusWords, textOf, words } from "./words.js";

const ANSWERS_MS = 10_000;
/** Characters of what a camera's owner calls those whom they invite. */
const MAX_LABEL = 80;
/** More qualities than this no device has. */
const MOST_QUALITIES = 8;
/** Why a camera ends what nobody has ended. */
const LOST = new Set(["path-lost", "unreachable", "call-gone"]);

export class Tile {
  #page;
  #call = null;
  /** Raised by each call and each end: late results of an earlier one are void. */
  #turn = 0;
  #unanswered = 0;
  #isLarge = false;
  /** The camera's smallest quality; 0 is the whole picture. */
  #smallest = 0;
  /** What is wrong with the call, and with the camera's picture and sound. */
  #problem = null;
  #media = null;
  /** This call was connected. */
  #wasSeen = false;
  #on;
  #video;
  #said;
  #again;
  name;
  element;
  /** What is pressed to make it large. */
  button;
  /** "calling", "connecting", "connected", "interrupted" or "ended". */
  state = "calling";

  /**
   * `page` has `signaling`, `keys`, `servers()`, which resolves to STUN and TURN servers,
   * and `apart()`; `on`: enlarge(), remove(), and lost() where a call that was
   * connected has ended though nobody ended it.
   */
  constructor(name, page, on) {
    this.name = name;
    this.#page = page;
    this.#on = on;
    const camera = page.keys.of(name);
    const title = camera ? titleOf(camera) : name;
    const make = (tag, className) => {
      const element = document.createElement(tag);
      element.className = className;
      if (tag === "button") element.type = "button";
      return element;
    };
    this.element = make("li", "tile");
    this.element.dataset.name = name;
    this.button = make("button", "show");
    this.button.setAttribute("aria-label", words.wallLarge(title));
    this.button.onclick = on.enlarge;
    this.#video = document.createElement("video");
    // A Firefox would give it the focus in place of the button that it is in.
    Object.assign(this.#video, { muted: true, playsInline: true, autoplay: true, tabIndex: -1 });
    this.button.append(this.#video);
    const label = make("p", "label");
    label.textContent = title;
    this.#said = make("p", "said");
    this.#said.setAttribute("role", "status");
    this.#again = make("button", "again");
    this.#again.textContent = words.tryAgain;
    this.#again.onclick = () => {
      this.button.focus();
      this.call();
    };
    const away = make("button", "away");
    away.setAttribute("aria-label", words.wallAway(title));
    away.textContent = "×";
    away.onclick = on.remove;
    this.element.append(this.button, label, this.#said, this.#again, away);
    this.large(false);
  }

  /** The name that the page has in this call; null without one. */
  get me() {
    return this.#call?.me ?? null;
  }

  /** Calls the camera, also once more. */
  async call() {
    this.#drop();
    this.#problem = this.#media = null;
    this.#wasSeen = false;
    this.#smallest = 0;
    this.#enter("calling", words.opening(this.#title));
    const turn = this.#turn;
    const { keys, servers, signaling, apart } = this.#page;
    await keys.ready;
    const iceServers = await servers();
    if (turn !== this.#turn) return;
    const call = new Call({
      peer: this.name,
      me: signaling.name,
      device: true,
      role: "caller",
      iceServers,
      send: (frame) => signaling.send(frame),
      ready: async () => await signaling.probe() && signaling.name === call.me,
      camera: keys.of(this.name),
      prove: async (camera, sdp) => new Proofs(await keys.current(camera) ?? camera, sdp),
      apart,
      on: {
        state: (state, text) => this.#enter(state, state === "connected" ? null : text),
        impostor: () => this.#fail(words.impostor(this.#title)),
        told: (message) => this.#told(message),
        end: (text) => {
          call.hangUp();
          this.#lose(text);
        },
      },
    });
    this.#call = call;
    this.#video.srcObject = call.remote;
    this.#video.play().catch(() => {});
    this.#unanswered = setTimeout(() => {
      call.hangUp();
      this.#fail(words.noAnswer(this.#title));
    }, ANSWERS_MS);
    await call.offer(null);
  }

  /** A frame of this camera's, or one of which nobody knows who sent it. */
  receive(frame) {
    const call = this.#call;
    // A camera that has started anew does not know a call that we try to mend.
    const isGone = frame.type === "hang-up" && frame.why === "call-gone" && this.state === "interrupted";
    if (!call || call.isOfAnother(frame) && !call.isFrom(frame.sdp) && !isGone) return;
    switch (frame.type) {
      case "video-answer":
        if (frame.sdp) this.#answered(call, frame);
        break;
      // No offer is answered: a camera makes none.
      case "new-ice-candidate":
        call.candidate(frame.candidate);
        break;
      case "restart-ice":
        call.restart();
        break;
      case "hang-up":
        call.close();
        this.#lose(hangUpWords(this.#title, frame.reason, frame.why), frame.why);
        break;
    }
  }

  async #answered(call, frame) {
    if (!await call.isProven(frame)) return;
    call.isAt(frame);
    clearTimeout(this.#unanswered);
    call.answered(frame.sdp, frame.ufrag);
  }

  /** Large, with its sound and the best quality that gets through; or small and silent. */
  large(on) {
    this.#isLarge = on;
    this.#video.muted = !on;
    this.element.toggleAttribute("data-large", on);
    this.button.setAttribute("aria-pressed", String(on));
    this.#choose();
    // A browser that lets nothing sound yet shows it silently.
    if (on) this.#video.play().catch(() => { this.#video.muted = true; });
  }

  /** Ends the call, for good. */
  close() {
    this.#call?.hangUp();
    this.#drop();
    this.element.remove();
  }

  /** What a device says; types that are not known here are passed over. */
  #told(message) {
    const call = this.#call;
    const { keys } = this.#page;
    switch (message.type) {
      case "status": {
        const { text, reason } = statusWords(message);
        this.#media = [text, reason].filter(Boolean).join(" ") || null;
        this.#show();
        break;
      }
      case "qualities":
        if (!Number.isInteger(message.count)) break;
        this.#smallest = Math.min(Math.max(message.count, 1), MOST_QUALITIES) - 1;
        this.#choose();
        break;
      case "invited":
        letIn(keys, call, textOf(message.label, MAX_LABEL));
        break;
      case "key":
        takeKey(keys, call, message);
        break;
    }
  }

  #choose() {
    if (this.#smallest === 0) return;
    this.#call?.tell({ type: "quality", tier: this.#isLarge ? null : this.#smallest });
  }

  #enter(state, text) {
    this.state = state;
    this.element.dataset.state = state;
    this.#problem = text;
    this.#wasSeen ||= state === "connected";
    const camera = this.#call?.camera;
    if (state === "connected" && camera) this.#page.keys.change(camera, { seen: Date.now() });
    this.#show();
  }

  /** `why` is what a camera says of an end that it made. */
  #lose(text, why = "path-lost") {
    this.#fail(text);
    if (this.#wasSeen && LOST.has(why)) this.#on.lost();
  }

  #fail(text) {
    this.#drop();
    this.#enter("ended", text);
  }

  #drop() {
    this.#turn += 1;
    clearTimeout(this.#unanswered);
    this.#call?.close();
    this.#call = null;
    this.#video.srcObject = null;
  }

  #show() {
    const text = this.#problem ?? this.#media ?? "";
    // It is read aloud: only what is new.
    if (this.#said.textContent !== text) this.#said.textContent = text;
    this.#again.hidden = this.state !== "ended";
  }

  get #title() {
    const camera = this.#page.keys.of(this.name);
    return camera ? titleOf(camera) : this.name;
  }
}
