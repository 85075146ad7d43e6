// Frames that a hostile device makes up, thrown at the page: over its data
// channel and by way of the server. Runs in the page; tests/browsers/page.rs says what
// has to hold. Everything follows from `seed`.

globalThis.errors = [];
addEventListener("error", ({ message }) => errors.push(String(message)));
addEventListener("unhandledrejection", ({ reason }) => errors.push(String(reason?.stack ?? reason)));

// The page's sockets, for frames that come by the server.
globalThis.sockets = [];
globalThis.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    sockets.push(this);
  }
};

// What is read is so much in a second: time goes on with what is thrown.
const realNow = performance.now.bind(performance);
let ahead = 0;
performance.now = () => realNow() + ahead;

globalThis.throwFrames = async (name, count, seed) => {
  const random = () => {
    // xorshift32
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) / 2 ** 32;
  };
  const one = (list) => list[Math.floor(random() * list.length)];
  const times = (most, make) => Array.from({ length: Math.floor(random() * most) }, make);
  const MARKUP = "<img src=x onerror='globalThis.injected = true'><script>injected = true</script>";
  const odd = () => one([
    null, true, false, 0, -1, 0.5, 1e308, -1e308, "", "x", MARKUP, "\u0000\u202e\ud800", "__proto__", "constructor",
    "y".repeat(2_000), [], {}, [null], [[]], { toString: null }, { toString: 1, valueOf: 2 }, { length: 1e9 },
    "javascript:injected=true", "\"'><svg onload=injected=true>",
  ]);
  // What it should be, most often.
  const or = (good) => (random() < 0.9 ? good() : odd());
  const word = () => one(["brightness", "Low", MARKUP, "lost", "live", "z".repeat(300)]);
  const number = () => one([0, 1, -1, 7, 255, 65_536, -(2 ** 31), 2 ** 53, 0.1]);
  const item = () => or(() => ({ value: or(number), label: or(word) }));
  const control = (items) => or(() => ({
    name: or(() => word() + Math.floor(random() * 9)), minimum: or(number), maximum: or(number),
    step: or(number), value: or(number), inactive: or(() => random() < 0.5),
    ...(random() < 0.4 && { menu: or(() => times(items, item)) }),
  }));
  const stream = () => or(() => ({ state: or(word), text: or(word), reason: or(word) }));
  const sdp = () => or(() => ({ type: or(() => one(["offer", "answer", "rollback"])), sdp: or(() => one([
    "v=0\r\n", cameraAgent.pc?.localDescription?.sdp ?? "", `a=ice-ufrag:${word()}\r\n`, word()])) }));
  const candidate = () => or(() => ({ candidate: or(() => `candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag ${word()}`),
    sdpMid: or(word), sdpMLineIndex: or(number), usernameFragment: or(word) }));

  // Controls, and items of a menu: some that can be shown, some far too many.
  const sizes = () => (random() < 0.15 ? one([[300, 2], [2, 1_500], [20_000, 1], [2, 20_000]]) : [6, 6]);
  const controls = ([many, items]) => ({ type: "controls", controls: or(() => times(many, () => control(items))) });
  const message = () => one([
    () => ({ type: "status", video: stream(), audio: stream() }),
    () => controls(sizes()),
    () => ({ type: "stats", tier: or(number), estimate_bps: or(number), loss: or(number), rtt_ms: or(number),
      thinned: or(() => true), sent_bps: or(number) }),
    () => ({ type: "pong", id: or(number), now_ms: or(number) }),
    () => ({ type: "qualities", count: or(number) }),
    () => ({ type: "invited", label: or(word), may: or(() => times(9, word)) }),
    () => ({ type: "key", id: or(() => one(["AAAAAAAAAAA", "BBBBBBBBBBB"])), key: or(() => one(["A".repeat(43), word()])) }),
    () => ({ type: "error", about: or(() => "control"), text: or(word) }),
    () => ({ type: or(word) }),
    () => ({ type: "error", about: "control", text: "w".repeat(random() * 200_000) }),
    odd,
  ])();
  const frame = () => one([
    () => ({ type: "video-answer", name, sdp: sdp(), ufrag: or(word),
      access: or(() => ({ proof: or(() => one(["A".repeat(43), word()])) })) }),
    () => ({ type: "video-offer", name: or(() => name), sdp: sdp() }),
    () => ({ type: "hang-up", name: or(() => name), reason: or(word), code: or(() => "uninvited") }),
    () => ({ type: "restart-ice", name: or(() => name) }),
    () => ({ type: "message", name: or(() => name), text: or(word) }),
    () => ({ type: "rejectusername", name: odd() }),
    ...Array(12).fill(() => ({ type: "new-ice-candidate", name: one([name, undefined]), candidate: candidate() })),
    odd,
  ])();
  const text = (value) => {
    const whole = JSON.stringify(value) ?? "";
    return random() < 0.05 ? whole.slice(0, random() * whole.length) : whole;
  };

  const most = { elements: 0, characters: 0 };
  const look = () => {
    most.elements = Math.max(most.elements, document.querySelectorAll("*").length);
    most.characters = Math.max(most.characters, document.body.textContent.length);
  };
  const counted = { messages: 0, frames: 0, calls: 0 };
  for (let i = 0; i < count; i += 1) {
    if (cameraAgent.state === "idle") {
      const row = document.querySelector(`#users button[data-name="${name}"]`);
      counted.calls += 1;
      row.click();
    } else if (cameraAgent.state === "ringing") document.getElementById("decline").click();
    if (i % 400 === 0) document.getElementById("stats-toggle").click();
    if (i % 4 !== 0 && cameraAgent.channel) {
      counted.messages += 1;
      ahead += 40;
      const data = random() < 0.01 ? new Blob([text(message())]) : text(message());
      cameraAgent.channel.dispatchEvent(new MessageEvent("message", { data }));
    } else {
      counted.frames += 1;
      sockets.at(-1).dispatchEvent(new MessageEvent("message", { data: text(frame()) }));
    }
    look();
    // What waits for a promise goes on.
    if (i % 5 === 0) await new Promise((on) => setTimeout(on));
    // And what waits for the page to be drawn.
    if (i % 10 === 0) await new Promise((on) => requestAnimationFrame(on));
  }
  return { ...most, ...counted };
};
