// Reads a QR code with the phone's own camera, where the browser can
// (`BarcodeDetector`: Chromium on Android and macOS, and others by a setting).
//
// The camera is opened by the person's click on "Scan", and closed once a code
// was read, by a click on "Stop", and with the dialog that it stands in.

import { close } from "./media.js";
import { words } from "./words.js";

const FORMAT = "qr_code";
const LOOK_MS = 200;

/** Whether a browser like this one can read QR codes here. */
export async function canScan() {
  if (!navigator.mediaDevices || typeof BarcodeDetector === "undefined") return false;
  try {
    return (await BarcodeDetector.getSupportedFormats()).includes(FORMAT);
  } catch {
    return false;
  }
}

export class Scanner {
  #panel;
  #video;
  #problem;
  /** Raised by each start and stop: what an earlier one finds is void. */
  #turn = 0;
  #stream = null;

  /** `problem(text)` says why there is no picture. */
  constructor(panel, problem) {
    this.#panel = panel;
    this.#video = panel.querySelector("video");
    this.#problem = problem;
    panel.querySelector("button").onclick = () => this.stop();
  }

  /** Calls `found(text)` for codes until that resolves to true, or until it is stopped. */
  async start(found) {
    this.stop();
    const turn = this.#turn;
    let stream = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      if (turn === this.#turn) this.#problem(words.noScan);
      return;
    }
    if (turn !== this.#turn) return close(stream);
    this.#stream = stream;
    this.#panel.hidden = false;
    this.#video.srcObject = stream;
    this.#panel.querySelector("button").focus();
    const detector = new BarcodeDetector({ formats: [FORMAT] });
    while (turn === this.#turn) {
      try {
        await this.#video.play();
        for (const { rawValue } of await detector.detect(this.#video)) {
          if (turn !== this.#turn) return;
          if (await found(rawValue)) return this.stop();
        }
      } catch {
        // A picture that is not there yet.
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  stop() {
    this.#turn += 1;
    this.#panel.hidden = true;
    this.#video.srcObject = null;
    close(this.#stream);
    this.#stream = null;
  }
}
