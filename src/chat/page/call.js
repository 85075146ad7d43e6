// One call: an RTCPeerConnection and the frames that belong to it.
//
// It knows nothing of the page. `on` is told: state(state, words), end(words),
// impostor() and, by a device over its data channel, told(message). The caller
// offers; the callee answers with the offered media sections. It offers only to
// restart ICE with a person, who asks for it or is heard no more.
//
// A camera that we are invited to gets a proof with each offer, and of an answer
// nothing is taken before it has proven to be that camera's: until then our
// candidates stay here, too.

import { askForCaptureTimes } from "./latency.js";
import { LastWords } from "./pace.js";
import { belongs, fingerprint, ufrag, withSoundApart } from "./sdp.js";
import { words } from "./words.js";

/** A call that was never connected, and one that was, are given up then. */
const NEVER_CONNECTED_MS = 15_000;
const LOST_MS = 60_000;
/** From the answer on; a browser that finds no path says so earlier. */
const CONNECTS_MS = 25_000;
/** Waits before each restart of ICE, the last one for all that follow. */
const RESTART_MS = [1_000, 2_000, 4_000, 8_000];
/** So long without a packet of a device, and the server is asked whether it is there. */
const SILENCE_MS = 3_000;
/** So long without one of a person, and ICE is restarted; so often in a row. */
const PERSON_SILENCE_MS = 5_000;
const MAX_SILENCES = 3;
/**
 * Since the last offer of either. The callee's is longer than the caller waits for
 * another restart while the path is cut; the caller's leaves time for the callee's.
 */
const OFFERED_MS = { callee: 9_000, caller: 18_000 };
/** An offer that was not answered by then was lost. */
const ANSWER_MS = 6_000;
const MAX_PENDING_CANDIDATES = 100;
/** The data channel that devices serve; docs/protocol.md describes its messages. */
const CHANNEL = "camera-agent";
/** In characters; a device's longest message has half of it. */
const MAX_MESSAGE = 64 * 1024;
/** Of its messages so many are read at once, and in a second; of the rest the last of each state. */
const MESSAGES_AT_ONCE = 100;
const MESSAGES_A_SECOND = 30;
/** Messages that say how something is from then on, and are not said again. */
const STATES = new Set(["status", "controls", "floor", "privacy", "zones", "qualities", "invited", "key"]);

export class Call {
  #send;
  #ready;
  #on;
  #pending = [];
  #wasConnected = false;
  #giveUp = 0;
  #connecting = 0;
  #restarts = 0;
  #restart = 0;
  #offeredAt = 0;
  /** Until our last offer is applied here. */
  #applying = null;
  /** By what they wrote; a Chromium keeps that line to itself. */
  #isToFirefox = false;
  /** The answer to it is not applied yet. */
  #awaited = false;
  /** An answer is being applied. */
  #taking = false;
  #watching = 0;
  #received = 0;
  #receivedAt = 0;
  #silences = 0;
  #role;
  #prove;
  #apart;
  /** Of what the device says. */
  #told;
  /** The section of the sound, by which a device may hear the person. */
  #voice = null;
  /** Of our last offer, while its answer is waited for. */
  #proofs = null;
  /** Its ICE user. */
  #ufrag;
  /** Our candidates, until the answer is the camera's. */
  #held = null;
  pc;
  /** Only to a device; one that knows no channels never opens it. */
  channel = null;
  peer;
  me;
  device;
  closed = false;
  /** That we are invited to, with the key that it goes by now; or null. */
  camera;
  /** The peer's connection to the server, where that says so. */
  conn = null;
  remote = new MediaStream();

  /**
   * `role` is "caller" or "callee"; `send(frame)` gives a frame to the server,
   * and `ready()` resolves to whether it would arrive there. `camera` is the one that
   * we are invited to, or null, and `prove(camera, sdp)` resolves to the proofs of an
   * offer to it. `apart()` says whether a device's picture need not wait for its sound.
   */
  constructor({ peer, me, device, role, iceServers, send, ready, camera, prove, apart, on }) {
    this.peer = peer;
    this.me = me;
    this.device = device;
    this.#role = role;
    this.#send = send;
    this.#ready = ready;
    this.camera = camera;
    this.#prove = prove;
    this.#apart = apart;
    this.#on = on;
    this.#told = new LastWords(MESSAGES_AT_ONCE, MESSAGES_A_SECOND, stateOf, (text) => this.#read(text));
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.pc.ontrack = ({ receiver, track }) => {
      if (device && track.kind === "video" && "jitterBufferTarget" in receiver) {
        receiver.jitterBufferTarget = 0;
      }
      if (!this.remote.getTracks().includes(track)) this.remote.addTrack(track);
    };
    this.pc.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      if (this.#held) this.#held.push(candidate);
      else this.#frame({ type: "new-ice-candidate", candidate });
    };
    this.pc.onconnectionstatechange = () => this.#connectionChanged();
    if (device && role === "caller") {
      this.channel = this.pc.createDataChannel(CHANNEL);
      this.channel.onmessage = ({ data }) => {
        if (typeof data === "string" && data.length <= MAX_MESSAGE) this.#told.put(data, performance.now());
      };
    }
  }

  /** Says something to the device; false where its data channel is not open. */
  tell(message) {
    if (this.channel?.readyState !== "open") return false;
    this.channel.send(JSON.stringify(message));
    return true;
  }

  /** Sends what this track hears to the device, or nothing. */
  say(track) {
    const sender = this.#voice?.sender;
    if (sender && !this.closed && sender.track !== track) sender.replaceTrack(track).catch(() => {});
  }

  /** Calls: with the person's own tracks, or to receive only. */
  async offer(stream) {
    for (const kind of ["audio", "video"]) {
      const track = stream?.getTracks().find((each) => each.kind === kind);
      if (track) this.pc.addTransceiver(track, { direction: "sendrecv", streams: [stream] });
      else if (this.device && kind === "audio") {
        // With room for the person's voice, which is not there: talking takes no new offer.
        this.#voice = this.pc.addTransceiver(kind, { direction: "sendrecv" });
      } else this.pc.addTransceiver(kind, { direction: "recvonly" });
    }
    if (this.device) askForCaptureTimes(this.pc);
    await this.#sendOffer();
  }

  async #sendOffer(options) {
    try {
      const offer = await this.pc.createOffer(options);
      this.#ufrag = ufrag(offer.sdp);
      this.#awaited = true;
      if (this.camera) this.#held = [];
      // Sent before it is applied, to gain those milliseconds; the answer waits.
      const applied = this.pc.setLocalDescription(offer);
      // Whether it could be applied is looked at below.
      this.#applying = applied.catch(() => {});
      const frame = { type: "video-offer", sdp: { type: offer.type, sdp: offer.sdp }, again: options?.iceRestart };
      if (this.camera) {
        frame.access = await this.#access(offer.sdp);
      }
      this.#frame(frame);
      this.#offeredAt = performance.now();
      await applied;
    } catch {
      this.#failed();
    }
  }

  /** A call that media flows by goes on: offers may cross, and another comes. */
  #failed() {
    if (!this.#wasConnected) this.#end(words.unusable(this.peer));
  }

  async #access(sdp) {
    this.#proofs = null;
    const proofs = await this.#prove(this.camera, sdp);
    const access = await proofs.offer();
    this.#proofs = proofs;
    return access;
  }

  /**
   * Whether a frame with an answer is to be taken: from a camera that we are invited
   * to only with the right proof. It is asked before anything of it is taken.
   */
  async isProven({ sdp, access, ufrag: to }) {
    if (!this.camera) return true;
    const proofs = this.#proofs;
    if (!proofs || this.#isLate(to)) return false;
    const right = await proofs.isOfAnswer(sdp.sdp, access);
    if (this.closed || proofs !== this.#proofs) return false;
    if (!right) {
      this.#on.impostor();
      return false;
    }
    this.#proofs = null;
    const held = this.#held;
    this.#held = null;
    for (const candidate of held) this.#frame({ type: "new-ice-candidate", candidate });
    return true;
  }

  /** Answers an offer: the first one, a renegotiation or an ICE restart. */
  async answer(offer, stream) {
    const now = performance.now();
    // Both want to restart ICE: the callee's offer counts, and the caller takes theirs
    // back.
    if (this.#role === "callee" && this.pc.signalingState === "have-local-offer" && now - this.#offeredAt < ANSWER_MS) return;
    this.#offeredAt = now;
    try {
      await this.pc.setRemoteDescription(offer);
      this.#awaited = false;
      for (const track of stream?.getTracks() ?? []) {
        const offered = this.pc.getTransceivers()
          .some((each) => each.receiver.track.kind === track.kind && !each.sender.track);
        // Takes the offered transceiver, so nothing is to be offered back.
        if (offered) this.pc.addTrack(track, stream);
      }
      const answer = await this.pc.createAnswer();
      const applied = this.pc.setLocalDescription(answer);
      this.#frame({
        type: "video-answer",
        sdp: { type: answer.type, sdp: answer.sdp },
        ufrag: ufrag(offer.sdp),
      });
      await applied;
      await this.#addPending();
    } catch {
      this.#failed();
    }
  }

  /**
   * `to` is the ufrag of the offer that is answered, where the peer says it: the
   * answer to an earlier one would name the wrong ICE generation.
   */
  async answered(answer, to) {
    // A camera may answer faster than a busy browser applies what it offered.
    await this.#applying;
    if (this.closed || this.#taking || this.#isLate(to)) return;
    if (this.pc.signalingState !== "have-local-offer") return;
    this.#taking = true;
    try {
      const sdp = this.device && this.#apart() ? withSoundApart(answer.sdp) : answer.sdp;
      // What is proven is its text, not what else it claims to be.
      const type = this.camera ? "answer" : answer.type;
      this.#isToFirefox = /^o=mozilla/m.test(sdp);
      await this.pc.setRemoteDescription({ type, sdp });
      this.#awaited = false;
      if (this.closed) return;
      if (!this.#wasConnected) {
        this.#on.state("connecting", words.connecting(this.peer));
        this.#connecting ||= setTimeout(() => this.#neverConnected(), CONNECTS_MS);
      }
      await this.#addPending();
    } catch {
      this.#failed();
    } finally {
      this.#taking = false;
    }
  }

  #isLate(to) {
    return typeof to === "string" && to !== this.#ufrag;
  }

  /** A candidate of the peer; it may come before its description. */
  async candidate(init) {
    if (this.closed || typeof init?.candidate !== "string" || !init.candidate) return;
    if (this.#pending.length >= MAX_PENDING_CANDIDATES) this.#pending.shift();
    this.#pending.push(init);
    await this.#addPending();
  }

  /** True when the offer or answer comes from the connection this call already has. */
  isFrom(description) {
    const known = fingerprint(this.pc.remoteDescription?.sdp);
    return known !== null && known === fingerprint(description?.sdp);
  }

  /**
   * True where the server says that a frame comes from another than the peer:
   * somebody else may have the name of one who has left the chat.
   */
  isOfAnother(frame) {
    return typeof frame.conn === "number" && this.conn !== null && this.conn !== frame.conn;
  }

  /** The peer is at the connection that this frame came from. */
  isAt(frame) {
    this.conn = typeof frame.conn === "number" ? frame.conn : null;
  }

  hangUp(reason) {
    this.#frame(reason ? { type: "hang-up", reason } : { type: "hang-up" });
    this.close();
  }

  close() {
    this.closed = true;
    clearTimeout(this.#giveUp);
    clearTimeout(this.#connecting);
    clearTimeout(this.#restart);
    clearInterval(this.#watching);
    this.#told.clear();
    this.pc.onconnectionstatechange = this.pc.onicecandidate = this.pc.ontrack = null;
    if (this.channel) this.channel.onmessage = null;
    this.pc.close();
  }

  #read(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (!this.closed && message && typeof message === "object") this.#on.told(message);
  }

  #frame(frame) {
    if (!this.closed) this.#send({ name: this.me, target: this.peer, ...frame });
  }

  #end(text) {
    if (!this.closed) this.#on.end(text);
  }

  async #addPending() {
    const sdp = this.pc.remoteDescription?.sdp;
    if (!sdp) return;
    // One that does not say of which generation it is may be of the answer to come.
    const ready = this.#pending.filter((each) => belongs(each, sdp, !this.#awaited));
    this.#pending = this.#pending.filter((each) => !ready.includes(each));
    for (const each of ready) {
      try {
        await this.pc.addIceCandidate(each);
      } catch {
        // One unusable candidate does not make the call unusable.
      }
    }
  }

  /**
   * Browsers wait for ever for the handshake of whoever answered their checks, and
   * that anybody can who read the descriptions on the way.
   */
  #neverConnected() {
    const found = ["connected", "completed"].includes(this.pc.iceConnectionState);
    this.#end(found ? words.astray(this.peer) : words.failed(this.peer));
  }

  #connectionChanged() {
    switch (this.pc.connectionState) {
      case "connected":
        this.#wasConnected = true;
        clearTimeout(this.#connecting);
        this.#restarts = 0;
        clearTimeout(this.#giveUp);
        clearTimeout(this.#restart);
        this.#giveUp = this.#restart = 0;
        this.#watching ||= setInterval(() => this.#watch(), 1_000);
        this.#on.state("connected", this.device ? words.watching(this.peer) : words.connected(this.peer));
        break;
      case "connecting":
        // A restart that finds no path stays here: browsers do not call that failed.
        if (this.#wasConnected) this.#giveUp ||= setTimeout(() => this.#end(words.lost(this.peer)), LOST_MS);
        break;
      case "disconnected":
      case "failed":
        clearTimeout(this.#connecting);
        this.#on.state("interrupted", words.interrupted);
        this.#giveUp ||= setTimeout(() => {
          this.#end(this.#wasConnected ? words.lost(this.peer) : words.failed(this.peer));
        }, this.#wasConnected ? LOST_MS : NEVER_CONNECTED_MS);
        // Both ends see it; the caller mends it.
        if (this.#role === "caller" && !this.#restart) this.#restartLater();
        break;
      case "closed":
        this.#end(words.left(this.peer));
        break;
    }
  }

  /**
   * A browser with another address may find its path good while the device sends
   * to the old one. The device asks for a restart then; but the way to the server
   * may be lost too, and nothing else shows it.
   *
   * Two browsers may each find a path good that the other has left. A Chromium that
   * restarts ICE pairs its new addresses with those that a Firefox had before, which
   * still answer for a while; where the answer takes 30 ms, it nominates such a pair
   * and drops the one that Firefox waits for, at each restart anew. One that the
   * callee offers has no such pairs. Only who hears nothing can tell.
   */
  async #watch() {
    const received = packets([...(await this.pc.getStats()).values()]);
    const now = performance.now();
    if (received !== this.#received) {
      this.#received = received;
      this.#receivedAt = now;
      this.#silences = 0;
      return;
    }
    const silent = now - this.#receivedAt;
    if (this.closed) return;
    if (!this.device) this.#heardNobody(now, silent);
    else if (silent > SILENCE_MS && this.pc.connectionState === "connected") {
      this.#receivedAt = now;
      this.#ready();
    }
  }

  /** Connected, or checking after a restart. */
  #isUp() {
    return this.#wasConnected && ["connected", "connecting"].includes(this.pc.connectionState);
  }

  /** Two offers on the way at once are of no use; one that is not answered was lost. */
  #isAnswered(now) {
    return this.pc.signalingState === "stable" || now - this.#offeredAt > ANSWER_MS;
  }

  #heardNobody(now, silent) {
    if (!this.#wasConnected || silent < PERSON_SILENCE_MS || this.#received === 0 || this.#silences === MAX_SILENCES) return;
    if (now - this.#offeredAt < OFFERED_MS[this.#role]) return;
    // Only what is sent counts.
    if (!this.#isAnswered(now) || this.#role === "caller" && !this.#isUp()) return;
    this.#silences += 1;
    if (this.#role === "callee") this.#sendOffer({ iceRestart: true });
    else this.#renew(this.#silences);
  }

  /**
   * The other end does not hear this page any more, though this browser may find
   * another path good: one that only a restart makes the other use. Or this browser
   * is left checking after the last one. Or the caller asks a person for an offer.
   */
  restart() {
    if (this.closed || !this.#isAnswered(performance.now())) return;
    const offers = this.#role === "caller" ? this.#isUp() : this.#wasConnected && !this.device;
    if (offers) this.#sendOffer({ iceRestart: true });
  }

  /**
   * The caller restarts ICE, or has who answers as a Firefox offer that (see `#watch`):
   * at every other try, for pages of before do not.
   */
  async #renew(tries) {
    if (this.#isToFirefox && !this.device && tries % 2 === 1) this.#frame({ type: "restart-ice" });
    else await this.#sendOffer({ iceRestart: true });
  }

  /** The path may come back by itself; if not, another is looked for. */
  #restartLater() {
    const wait = RESTART_MS[Math.min(this.#restarts, RESTART_MS.length - 1)];
    this.#restart = setTimeout(() => this.#restartIce(), wait);
  }

  async #restartIce() {
    const answered = this.#isAnswered(performance.now());
    const ready = await this.#ready();
    // Connected in the meantime, or over.
    if (!this.#restart || this.closed) return;
    if (ready && answered) {
      this.#restarts += 1;
      await this.#renew(this.#restarts);
      if (!this.#restart || this.closed) return;
    }
    this.#restartLater();
  }
}

/** Of which state a message is, or null; without reading what may be too much. */
function stateOf(text) {
  const type = /"type"\s*:\s*"([a-z]+)"/.exec(text)?.[1];
  return STATES.has(type) ? type : null;
}

/** All that came; Firefox counts it by stream only. */
function packets(stats) {
  const all = stats.find((each) => each.type === "transport")?.packetsReceived;
  return all ?? stats.filter((each) => each.type === "inbound-rtp")
    .reduce((sum, each) => sum + (each.packetsReceived ?? 0), 0);
}
