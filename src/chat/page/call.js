// One call: an RTCPeerConnection and the frames that belong to it.
//
// It knows nothing of the page. `on` is told: state(state, words), end(words)
// and, by a device over its data channel, told(message). The caller offers; the
// callee answers once with the offered media sections and offers nothing itself.

import { words } from "./words.js";

const GIVE_UP_MS = 15_000;
const MAX_PENDING_CANDIDATES = 100;
/** The data channel that devices serve; README describes its messages. */
const CHANNEL = "camera-agent";

export class Call {
  #send;
  #on;
  #pending = [];
  #restarted = false;
  #wasConnected = false;
  #giveUp = 0;
  #role;
  pc;
  /** Only to a device; one that knows no channels never opens it. */
  channel = null;
  peer;
  me;
  device;
  closed = false;
  remote = new MediaStream();

  /** `role` is "caller" or "callee"; `send(frame)` gives a frame to the server. */
  constructor({ peer, me, device, role, iceServers, send, on }) {
    this.peer = peer;
    this.me = me;
    this.device = device;
    this.#role = role;
    this.#send = send;
    this.#on = on;
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.pc.ontrack = ({ receiver, track }) => {
      if (device && track.kind === "video" && "jitterBufferTarget" in receiver) {
        receiver.jitterBufferTarget = 0;
      }
      if (!this.remote.getTracks().includes(track)) this.remote.addTrack(track);
    };
    this.pc.onicecandidate = ({ candidate }) => {
      if (candidate) this.#frame({ type: "new-ice-candidate", candidate });
    };
    this.pc.onconnectionstatechange = () => this.#connectionChanged();
    if (device && role === "caller") {
      this.channel = this.pc.createDataChannel(CHANNEL);
      this.channel.onmessage = ({ data }) => this.#told(data);
    }
  }

  /** Says something to the device, over its data channel where that is open. */
  tell(message) {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  /** Calls: with the person's own tracks, or to receive only. */
  async offer(stream) {
    for (const kind of ["audio", "video"]) {
      const track = stream?.getTracks().find((each) => each.kind === kind);
      if (track) this.pc.addTransceiver(track, { direction: "sendrecv", streams: [stream] });
      else this.pc.addTransceiver(kind, { direction: "recvonly" });
    }
    await this.#sendOffer();
  }

  async #sendOffer(options) {
    try {
      const offer = await this.pc.createOffer(options);
      // Sent before it is applied, to gain those milliseconds: the answer is
      // applied after it in any case, since operations are chained.
      const applied = this.pc.setLocalDescription(offer);
      this.#frame({ type: "video-offer", sdp: { type: offer.type, sdp: offer.sdp } });
      await applied;
    } catch {
      this.#end(words.unusable(this.peer));
    }
  }

  /** Answers an offer: the first one, a renegotiation or an ICE restart. */
  async answer(offer, stream) {
    try {
      await this.pc.setRemoteDescription(offer);
      for (const track of stream?.getTracks() ?? []) {
        const offered = this.pc.getTransceivers()
          .some((each) => each.receiver.track.kind === track.kind && !each.sender.track);
        // Takes the offered transceiver, so nothing is to be offered back.
        if (offered) this.pc.addTrack(track, stream);
      }
      const answer = await this.pc.createAnswer();
      const applied = this.pc.setLocalDescription(answer);
      this.#frame({ type: "video-answer", sdp: { type: answer.type, sdp: answer.sdp } });
      await applied;
      await this.#addPending();
    } catch {
      this.#end(words.unusable(this.peer));
    }
  }

  async answered(answer) {
    if (this.pc.signalingState !== "have-local-offer") return;
    try {
      await this.pc.setRemoteDescription(answer);
      if (this.closed) return;
      if (!this.#wasConnected) this.#on.state("connecting", words.connecting(this.peer));
      await this.#addPending();
    } catch {
      this.#end(words.unusable(this.peer));
    }
  }

  /** A candidate of the peer; it may come before its description. */
  async candidate(init) {
    if (this.closed || !init?.candidate) return;
    if (this.#pending.length >= MAX_PENDING_CANDIDATES) this.#pending.shift();
    this.#pending.push(init);
    await this.#addPending();
  }

  /** True when the offer comes from the connection this call already has. */
  isFrom(offer) {
    const known = fingerprint(this.pc.remoteDescription?.sdp);
    return known !== null && known === fingerprint(offer?.sdp);
  }

  hangUp(reason) {
    this.#frame(reason ? { type: "hang-up", reason } : { type: "hang-up" });
    this.close();
  }

  close() {
    this.closed = true;
    clearTimeout(this.#giveUp);
    this.pc.onconnectionstatechange = this.pc.onicecandidate = this.pc.ontrack = null;
    if (this.channel) this.channel.onmessage = null;
    this.pc.close();
  }

  #told(data) {
    let message;
    try {
      message = JSON.parse(data);
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
    const ready = this.#pending.filter((each) => belongs(each, sdp));
    this.#pending = this.#pending.filter((each) => !ready.includes(each));
    for (const each of ready) {
      try {
        await this.pc.addIceCandidate(each);
      } catch {
        // One unusable candidate does not make the call unusable.
      }
    }
  }

  #connectionChanged() {
    switch (this.pc.connectionState) {
      case "connected":
        this.#wasConnected = true;
        this.#restarted = false;
        clearTimeout(this.#giveUp);
        this.#giveUp = 0;
        this.#on.state("connected", this.device ? words.watching(this.peer) : words.connected(this.peer));
        break;
      case "disconnected":
        this.#on.state("interrupted", words.interrupted);
        break;
      case "failed":
        this.#on.state("interrupted", words.interrupted);
        this.#giveUp ||= setTimeout(() => {
          this.#end(this.#wasConnected ? words.lost(this.peer) : words.failed(this.peer));
        }, GIVE_UP_MS);
        // Both ends see the failure; the caller mends it.
        if (this.#role === "caller" && !this.#restarted) {
          this.#restarted = true;
          this.#sendOffer({ iceRestart: true });
        }
        break;
      case "closed":
        this.#end(words.left(this.peer));
        break;
    }
  }
}

function fingerprint(sdp) {
  return /^a=fingerprint:(.*)$/m.exec(sdp ?? "")?.[1].trim().toLowerCase() ?? null;
}

/** Whether a candidate is of the generation that `sdp` describes. */
function belongs(init, sdp) {
  const ufrag = init.usernameFragment || / ufrag (\S+)/.exec(init.candidate)?.[1];
  return !ufrag || sdp.includes(`a=ice-ufrag:${ufrag}\r\n`) || sdp.includes(`a=ice-ufrag:${ufrag}\n`);
}
