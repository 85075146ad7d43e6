// What a camera says to who was invited to it, and what the page keeps of that.

import { fromBase64, proofKey } from "./access.js";

/** As whom they were invited: kept with the camera. */
export async function letIn(keys, call, as) {
  const { camera } = call;
  if (!camera || camera.as === as) return;
  call.camera = { ...camera, as };
  await keys.change(camera, { as });
}

/**
 * A key of this browser's own, in place of that of a link that is good once. It is
 * said to be kept when it is, and only then does the link's end.
 */
export async function takeKey(keys, call, { id, key }) {
  const { camera } = call;
  const bytes = fromBase64(key, 32);
  if (!camera || camera.id !== camera.from || !bytes || !fromBase64(id, 8)) return;
  const known = await keys.current(camera);
  if (!known) return;
  const own = { ...known, id, key: await proofKey(bytes) };
  if (!await keys.replace(camera, own)) return;
  call.camera = own;
  call.tell({ type: "key-kept", id });
}
