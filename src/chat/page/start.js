// Begins the page: first its language, then all the rest, so that nobody sees a
// word of another one.

import { sayAll, speak, words } from "./words.js";

async function begin() {
  await speak();
  sayAll(document);
  document.body.dataset.said = "";
  await import("./main.js");
}

/** For check.js: what there is to say, and whether all of the page is there. */
globalThis.cameraStarts = { words, begun: begin() };
