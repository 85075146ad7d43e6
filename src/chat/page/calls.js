// Who is in a call with whom: at most one call, made or taken, and everything
// that can come across it.
//
// `ui` shows; `signaling` carries. The state is one of idle, calling, ringing,
// connecting, connected, interrupted.
//
// For a call the person's camera and microphone are opened in two places: where
// they call a person, and where they accept a call. Nothing that others send opens
// them, and a device that is watched never gets them.
//
// A name that is a camera's which this browser was invited to is watched, never
// called otherwise, and nothing that calls under it is taken for the camera.

import { Proofs } from "./access.js";
import { Call } from "./call.js";
import { letIn, takeKey } from "./guest.js";
import { close, openOwnMedia } from "./media.js";
import { Frames } from "./pace.js";
import { Rings } from "./rings.js";
import { ask } from "./server.js";
import { hangUpWords, lockWords, reasonWords, statusWords, textOf, words } from "./words.js";

const DEVICE_ANSWERS_MS = 10_000;
const PERSON_ANSWERS_MS = 60_000;
const ABSENT_MS = 3_000;
/** A call that is made as the page connects waits so long for STUN and TURN servers. */
const SERVERS_MS = 1_000;
/** Who was a device so lately is still watched by a click, not called. */
const KIND_CHANGES_MS = 5_000;
const MAX_HELD_CANDIDATES = 100;
/** Characters of what a camera's owner calls those whom they invite. */
const MAX_LABEL = 80;

export class Calls {
  #signaling;
  #ui;
  #keys;
  #iceServers = [];
  /** Resolves once the newest question for them is answered, or cannot be. */
  #asked;
  #devices = new Set();
  /** Names that were a device's until just now, and when that ended. */
  #deviceAt = new Map();
  /** Raised by each call and each end: late results of an earlier one are void. */
  #turn = 0;
  #call = null;
  /** An incoming call that rings: {peer, frame, candidates}. */
  #incoming = null;
  #own = null;
  /** The person called a person, or accepted: their own media are for this call. */
  #gives = false;
  #unanswered = 0;
  #absent = 0;
  /** Whom we are about to call, while the person is asked for the camera. */
  #peer = null;
  /** What a device says that only its last word counts of. */
  #shown;
  /** Who may ring. */
  #rings;
  state = "idle";

  /** `keys` are the cameras that this browser was invited to. */
  constructor(signaling, ui, keys) {
    this.#signaling = signaling;
    this.#ui = ui;
    this.#keys = keys;
    this.#shown = new Frames();
    this.#rings = new Rings();
    signaling.mayRename = (wanted) => this.state === "idle" || this.#call?.me === wanted;
    this.refreshIceServers();
  }

  get pc() {
    return this.#call?.pc ?? null;
  }

  get channel() {
    return this.#call?.channel ?? null;
  }

  /** Says something to the device that is watched; false where it does not arrive. */
  tell(message) {
    return this.#call?.tell(message) ?? false;
  }

  /**
   * Watches the device anew, as it was chosen on the page: a browser that has held
   * pictures back for their sound goes on to in the same call. Where nobody could be
   * called now, the choice is for the next call.
   */
  async renew() {
    const call = this.#call;
    if (!call?.device || this.#gives || this.#incoming || !this.#signaling.online) return;
    call.hangUp();
    this.#finish(words.opening(call.peer));
    await this.start(call.peer, true);
  }

  /** Ahead of the call, so that the click need not wait for them. */
  refreshIceServers() {
    this.#asked = this.#askIceServers();
  }

  async #askIceServers() {
    try {
      const answer = await ask("ice-servers.json", { credentials: "include" });
      const servers = answer.ok ? await answer.json() : [];
      if (Array.isArray(servers)) this.#iceServers = servers;
    } catch {
      // The server is away; the ones of before still serve.
    }
  }

  /** STUN and TURN servers, as far as they are known in a moment. */
  async servers() {
    await Promise.race([this.#asked, new Promise((resolve) => setTimeout(resolve, SERVERS_MS))]);
    return this.#iceServers;
  }

  /** `watch` is true where the person chose to watch, whatever the name is now. */
  async start(peer, watch) {
    if (this.state !== "idle") return;
    if (!this.#signaling.online) return this.#ui.say(words.notOnline, "problem");
    await this.#keys.ready;
    await this.servers();
    if (this.state !== "idle") return;
    const device = watch || this.#devices.has(peer) || this.#keys.of(peer) !== null
      || performance.now() - (this.#deviceAt.get(peer) ?? -Infinity) < KIND_CHANGES_MS;
    this.#begin(peer);
    this.#gives = !device;
    if (this.#gives) this.#rings.wanted(peer);
    if (device) {
      // No question, no wait: the picture is to come at once.
      const call = this.#open(peer, "caller", device);
      this.#enter("calling", words.opening(peer));
      this.#answerWithin(DEVICE_ANSWERS_MS);
      await call.offer(null);
      return;
    }
    const turn = this.#turn;
    this.#enter("calling", words.asking(peer));
    const stream = await this.#openOwn(turn);
    if (turn !== this.#turn) return;
    const call = this.#open(peer, "caller", device);
    this.#enter("calling", words.calling(peer));
    this.#answerWithin(PERSON_ANSWERS_MS);
    await call.offer(stream);
  }

  async accept() {
    const incoming = this.#incoming;
    if (!incoming) return;
    const turn = this.#turn;
    this.#incoming = null;
    clearTimeout(this.#unanswered);
    this.#ui.ring(null);
    const { peer } = incoming;
    this.#rings.wanted(peer);
    this.#gives = true;
    // The connection exists from here on, so that nothing of the peer is lost
    // while the person is asked for the camera.
    const call = this.#open(peer, "callee", this.#devices.has(peer));
    call.isAt(incoming.frame);
    this.#enter("connecting", words.connecting(peer));
    const stream = await this.#openOwn(turn);
    if (turn !== this.#turn) return;
    await call.answer(incoming.frame.sdp, stream);
    for (const candidate of incoming.candidates) call.candidate(candidate);
  }

  decline() {
    if (!this.#incoming) return;
    const { peer } = this.#incoming;
    this.#rings.declined(peer, performance.now());
    this.#refuse(peer, "declined");
    this.#finish(words.youDeclined(peer));
  }

  hangUp() {
    if (this.#incoming) return this.decline();
    if (this.state === "idle") return;
    this.#call?.hangUp();
    this.#finish(words.ended);
  }

  /** The page goes away. */
  leave() {
    if (this.#incoming) this.#refuse(this.#incoming.peer, "declined");
    this.#call?.hangUp();
    if (this.state !== "idle") this.#finish(words.ended);
  }

  users(users, devices) {
    const now = performance.now();
    for (const name of this.#devices) {
      if (!devices.has(name)) this.#deviceAt.set(name, now);
    }
    for (const [name, at] of this.#deviceAt) {
      if (now - at > KIND_CHANGES_MS) this.#deviceAt.delete(name);
    }
    this.#devices = devices;
    // A server that just restarted lists people one by one; so wait a little.
    // Media that flows needs no server and is left alone.
    const waiting = this.state === "calling" || this.state === "ringing";
    if (!waiting || users.includes(this.#peer)) {
      clearTimeout(this.#absent);
      this.#absent = 0;
    } else if (!this.#absent) {
      const peer = this.#peer;
      this.#absent = setTimeout(() => {
        this.#call?.close();
        this.#finish(words.gone(peer), "problem");
      }, ABSENT_MS);
    }
  }

  receive(frame) {
    const from = frame.name;
    switch (frame.type) {
      case "video-offer":
        if (typeof from === "string" && typeof frame.sdp?.sdp === "string") this.#offered(from, frame);
        break;
      case "video-answer":
        if (this.#call?.peer === from && frame.sdp) this.#answered(this.#call, frame);
        break;
      case "new-ice-candidate":
        // Original servers do not say who sent it.
        if (from !== undefined && from !== this.#peer || this.#call?.isOfAnother(frame)) break;
        if (this.#call) this.#call.candidate(frame.candidate);
        else if (this.#incoming && this.#incoming.candidates.length < MAX_HELD_CANDIDATES) {
          this.#incoming.candidates.push(frame.candidate);
        }
        break;
      case "restart-ice":
        if (from === this.#peer && !this.#call?.isOfAnother(frame)) this.#call?.restart();
        break;
      case "hang-up":
        // Original pages send it to everyone: only the peer's own counts.
        if (this.state !== "idle" && from === this.#peer
          && (!this.#call?.isOfAnother(frame) || this.#isGone(frame))) {
          this.#hungUp(frame);
        }
        break;
    }
  }

  async #answered(call, frame) {
    if (call.isOfAnother(frame) && !call.isFrom(frame.sdp)) return;
    if (!await call.isProven(frame)) return;
    call.isAt(frame);
    clearTimeout(this.#unanswered);
    call.answered(frame.sdp, frame.ufrag);
  }

  #offered(from, frame) {
    const offer = frame.sdp;
    if (from === this.#signaling.name) return;
    if (this.#keys.of(from)) {
      if (this.state === "idle") this.#ui.say(words.cameraCalls(from), "problem");
      return;
    }
    if (from !== this.#peer || this.state === "idle") {
      if (this.state === "idle") this.#ring(from, frame);
      else this.#refuse(from, "busy");
      return;
    }
    const watches = this.state !== "ringing" && !this.#gives;
    if (this.#incoming) {
      // The caller reloaded the page and calls again.
      this.#incoming = { peer: from, frame, candidates: [] };
    } else if (this.#call?.isFrom(offer)) {
      this.#call.isAt(frame);
      this.#call.answer(offer, null);
    } else if (watches) {
      // An offer of what the person only watches is no call of theirs that
      // crosses it, and would be answered with their own camera.
      this.#refuse(from, "busy");
    } else if (this.state === "calling") {
      // Both call each other at once: the one whose name sorts first calls.
      if (this.#signaling.name < from) return;
      this.#call?.close();
      this.#rings.wanted(from);
      this.#ring(from, frame);
      this.accept();
    } else if (this.state === "connected" && this.#call.isOfAnother(frame)) {
      this.#refuse(from, "busy");
    } else {
      this.#call?.close();
      this.#finish(words.left(from));
      this.#ring(from, frame);
    }
  }

  #ring(peer, frame) {
    const now = performance.now();
    if (!this.#rings.ring(peer, now)) {
      // The person is in no call, and nobody asks them.
      this.#refuse(peer, "no answer");
      if (this.#rings.tells(now)) this.#ui.say(words.missed(peer));
      return;
    }
    this.#begin(peer);
    this.#incoming = { peer, frame, candidates: [] };
    this.#ui.ring(peer);
    this.#enter("ringing", words.ringing(peer));
    this.#unanswered = setTimeout(() => {
      this.#rings.declined(peer, performance.now());
      this.#refuse(peer, "no answer");
      this.#finish(words.gaveUp(peer));
    }, PERSON_ANSWERS_MS);
  }

  /** A camera that has started anew does not know a call that we try to mend. */
  #isGone({ why }) {
    return why === "call-gone" && this.state === "interrupted" && this.#call?.device === true;
  }

  #hungUp({ reason, why }) {
    const again = this.#isGone({ why }) ? this.#peer : null;
    const text = this.#incoming ? words.gaveUp(this.#peer) : hangUpWords(this.#peer, reason, why);
    this.#call?.close();
    this.#finish(text, reason ? "problem" : "plain");
    if (again !== null) this.start(again, true);
  }

  #begin(peer) {
    this.#turn += 1;
    this.#peer = peer;
    this.#call = null;
    this.#ui.notice(null);
    clearTimeout(this.#unanswered);
  }

  #open(peer, role, device) {
    const call = new Call({
      peer,
      me: this.#signaling.name,
      device,
      role,
      iceServers: this.#iceServers,
      send: (frame) => this.#signaling.send(frame),
      // Frames of this call count under the name that it began with.
      ready: async () => await this.#signaling.probe() && this.#signaling.name === call.me,
      camera: role === "caller" ? this.#keys.of(peer) : null,
      apart: () => this.#ui.stats.apart,
      // Another tab may have got another key for it.
      prove: async (camera, sdp) => new Proofs(await this.#keys.current(camera) ?? camera, sdp),
      on: {
        state: (state, text) => this.#enter(state, text),
        impostor: () => {
          call.close();
          this.#finish(words.impostor(peer), "problem");
        },
        told: (message) => {
          if (call === this.#call) this.#told(message);
        },
        end: (text) => {
          call.hangUp();
          this.#finish(text, "problem");
        },
      },
    });
    this.#call = call;
    this.#ui.remote(call.remote, device ? peer : null);
    this.#ui.stats.watch(call.pc, device);
    this.#ui.talk.watch(device && role === "caller" ? call : null);
    return call;
  }

  /** What a device says; types that are not known here are passed over. */
  #told(message) {
    switch (message.type) {
      case "status":
        this.#shown.put("status", () => this.#ui.media(statusWords(message)));
        break;
      case "controls":
        if (!Array.isArray(message.controls)) break;
        this.#shown.put("controls", () => this.#ui.camera.show(message.controls));
        break;
      case "floor":
        this.#ui.talk.told(message);
        break;
      case "motion":
        this.#ui.motion.told(message, this.#peer);
        break;
      case "zones":
        this.#shown.put("zones", () => this.#ui.zones.told(message));
        break;
      case "stats":
      case "pong":
        this.#ui.stats.told(message);
        break;
      case "privacy":
        this.#ui.privacy(message.on === true);
        break;
      case "qualities":
        this.#ui.stats.qualities(message.count);
        break;
      case "error":
        // What it is about was said before.
        this.#shown.flush();
        if (message.about === "privacy") this.#ui.say(reasonWords(message.why, message.text), "problem");
        if (message.about === "zones") this.#ui.zones.problem(reasonWords(message.why, message.text));
        if (message.about === "talk") this.#ui.talk.refused(reasonWords(message.why, message.text));
        if (message.about === "control") this.#ui.camera.problem(reasonWords(message.why, message.text, message.control));
        break;
      case "invited":
        this.#invited(textOf(message.label, MAX_LABEL));
        // To who was not invited by its owner no camera opens another channel.
        if (this.#call?.camera) this.#ui.recordings.offer(this.#call.pc, message.may, this.#peer);
        break;
      case "key":
        takeKey(this.#keys, this.#call, message);
        break;
    }
  }

  /** By the camera's own word: it says so to whom it let in. */
  async #invited(as) {
    if (!this.#call.camera) return;
    this.#ui.lock(lockWords(as));
    await letIn(this.#keys, this.#call, as);
  }

  async #openOwn(turn) {
    if (!this.#gives) return null;
    // A call that crossed ours may have opened it already.
    if (this.#own) return this.#own;
    const { stream, problem } = await openOwnMedia();
    if (turn !== this.#turn) {
      close(stream);
      return null;
    }
    this.#own = stream;
    this.#ui.own(stream);
    this.#ui.notice(problem);
    return stream;
  }

  #answerWithin(limit) {
    const peer = this.#peer;
    this.#unanswered = setTimeout(() => {
      this.#call?.hangUp();
      this.#finish(words.noAnswer(peer), "problem");
    }, limit);
  }

  #refuse(target, reason) {
    this.#signaling.send({ type: "hang-up", name: this.#signaling.name, target, reason });
  }

  #enter(state, text) {
    this.state = state;
    const camera = this.#call?.camera;
    if (state === "connected" && camera) {
      this.#ui.lock(lockWords(camera.as));
      this.#keys.change(camera, { seen: Date.now() });
    }
    this.#ui.state(state, this.#peer);
    this.#ui.say(text, state === "interrupted" ? "problem" : "plain");
  }

  #finish(text, kind = "plain") {
    this.#turn += 1;
    this.#gives = false;
    if (this.#incoming) this.#rings.stopped(this.#peer, performance.now());
    clearTimeout(this.#unanswered);
    clearTimeout(this.#absent);
    this.#absent = 0;
    this.#call = null;
    this.#incoming = null;
    this.#peer = null;
    this.#shown.clear();
    this.#ui.lock(null);
    close(this.#own);
    this.#own = null;
    this.#ui.ring(null);
    this.#ui.media(null);
    this.#ui.camera.hide();
    this.#ui.zones.hide();
    this.#ui.motion.hide();
    this.#ui.recordings.hide();
    this.#ui.remote(null);
    this.#ui.stats.watch(null);
    this.#ui.talk.watch(null);
    this.#ui.own(null);
    this.#ui.notice(null);
    this.#enter("idle", text);
    this.#ui.say(text, kind);
    this.#signaling.reclaim();
    this.refreshIceServers();
  }
}
