// A still of what a camera shows, as a file of this machine's.

/** Of the JPEG: what cannot be told from the picture. */
const QUALITY = 0.92;
/** Characters of a camera's name in that of the file. */
const MAX_NAME = 60;
/** A browser has read it by then. */
const KEPT_MS = 10_000;

/** Saves what the video shows now, in the stream's own size; false while it shows nothing. */
export async function savePicture(video, camera) {
  const { videoWidth: width, videoHeight: height } = video;
  if (!width || !height) return false;
  const at = new Date();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(video, 0, 0, width, height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  if (!blob) return false;
  saveAs(blob, camera, at.getTime(), "jpg");
  return true;
}

/** Saves a picture as the camera has it, over its channel for files. */
export async function saveStill(files, camera) {
  const { bytes } = await files.ask({ type: "picture" });
  saveAs(new Blob([bytes], { type: "image/jpeg" }), camera, Date.now(), "jpg");
}

/** Saves a file, named by the camera and by when it was, in ms since 1970. */
export function saveAs(blob, camera, at, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${fileName(camera)} ${new Date(at).toISOString().slice(0, 19).replaceAll(":", "-")}Z.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** A camera's name, without what a file system takes for something else. */
function fileName(camera) {
  const plain = [...camera.replace(/[\p{C}\p{Zl}\p{Zp}"*/:<>?\\|]/gu, "_")].slice(0, MAX_NAME).join("");
  return plain.replace(/^[.\s]+|[.\s]+$/g, "") || "camera";
}
