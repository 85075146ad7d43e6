// Reads the number of every frame that the page shows, and keeps all of the
// call's media on one way. Runs before the page's own scripts.
//
// LAYOUT and FRONT ("address port") are put in by the test.

(() => {
  const layout = LAYOUT;
  const front = FRONT;

  // The device is told the relay's address for ours, and we are not told its
  // own: it is seen only as the peer from which its checks come.
  const without = (sdp) => sdp.replace(/^a=candidate:.*\r?\n/gm, "");
  const leadTo = [];
  const through = (candidate) => {
    const fields = candidate.split(" ");
    if (fields[2]?.toLowerCase() !== "udp" || fields[4] !== "127.0.0.1") return null;
    leadTo.push(`${fields[4]}:${fields[5]}`);
    [fields[4], fields[5]] = front.split(" ");
    return fields.join(" ");
  };
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const frame = JSON.parse(data);
    if (frame.sdp?.sdp) frame.sdp.sdp = without(frame.sdp.sdp);
    if (frame.type === "new-ice-candidate") {
      const candidate = through(frame.candidate.candidate);
      if (candidate === null) return;
      frame.candidate = {
        candidate, sdpMid: frame.candidate.sdpMid,
        sdpMLineIndex: frame.candidate.sdpMLineIndex,
        usernameFragment: frame.candidate.usernameFragment,
      };
    }
    send.call(this, JSON.stringify(frame));
  };
  RTCPeerConnection.prototype.addIceCandidate = async () => {};
  const apply = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    return apply.call(this, { type: description.type, sdp: without(description.sdp) });
  };

  // The average of a cell's middle.
  const light = (luma, width, x, y, w, h) => {
    let sum = 0, count = 0;
    for (let row = Math.round(y + h / 4); row < y + (h * 3) / 4; row++) {
      for (let column = Math.round(x + w / 4); column < x + (w * 3) / 4; column++) {
        sum += luma[row * width + column];
        count++;
      }
    }
    return sum / count;
  };
  // Null where a cell is neither black nor white, or the check is wrong.
  const number = (luma, stride, width, height, [left, top]) => {
    const [w, h] = [layout.cell[0] * width, layout.cell[1] * height];
    let code = 0;
    for (let row = 0; row < layout.rows; row++) {
      for (let column = 0; column < layout.columns; column++) {
        const seen = light(luma, stride, left * width + column * w, top * height + row * h, w, h);
        if (seen > 85 && seen < 165) return null;
        code = code * 2 + (seen > 125 ? 1 : 0);
      }
    }
    const value = code >>> 8;
    return ((value * 40503) >>> 8 & 255) === (code & 255) ? value : null;
  };

  let shown = [], errors = [], presented = null, missed = 0;
  let buffer = new Uint8Array(0);
  let chain = Promise.resolve();
  const read = async (frame, at) => {
    try {
      if (frame.format !== "I420" && frame.format !== "NV12") throw Error(`format ${frame.format}`);
      if (buffer.length < frame.allocationSize()) buffer = new Uint8Array(frame.allocationSize());
      const [{ offset, stride }] = await frame.copyTo(buffer);
      const { width, height } = frame.visibleRect;
      const luma = buffer.subarray(offset, offset + stride * height);
      const numbers = layout.places.map((place) => number(luma, stride, width, height, place));
      shown.push([at, height, numbers]);
    } finally {
      frame.close();
    }
  };
  const begin = (video) => {
    const look = (_, { presentationTime, presentedFrames }) => {
      video.requestVideoFrameCallback(look);
      if (presented !== null) missed += presentedFrames - presented - 1;
      presented = presentedFrames;
      const at = Date.now() - (performance.now() - presentationTime);
      const frame = new VideoFrame(video);
      chain = chain.then(() => read(frame, at)).catch((error) => errors.push(String(error)));
    };
    video.requestVideoFrameCallback(look);
  };
  addEventListener("DOMContentLoaded", () => begin(document.querySelector("#remote")));

  const statistics = async () => {
    const all = [...(await cameraAgent.pc.getStats()).values()];
    const of = (kind) => all.find((each) => each.type === "inbound-rtp" && each.kind === kind) ?? {};
    const by = (id) => all.find((each) => each.id === id);
    const transport = all.find((each) => each.type === "transport");
    const remote = by(by(transport?.selectedCandidatePairId)?.remoteCandidateId);
    const { droppedVideoFrames } = document.querySelector("#remote").getVideoPlaybackQuality();
    return { video: of("video"), audio: of("audio"), remote: remote?.port ?? null, droppedVideoFrames };
  };

  globalThis.watching = {
    leadTo,
    // The port of the other end, once a way is chosen.
    peer: async () => (await statistics()).remote,
    // What was shown since the last time, and the connection's counts so far.
    async take() {
      await chain;
      const taken = { shown, errors, missed, statistics: await statistics() };
      [shown, errors, missed] = [[], [], 0];
      return taken;
    },
  };
})();
