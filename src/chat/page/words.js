// What the page says, in one place.

export const words = {
  online: "Connected. Choose who to call.",
  offline: "The connection to the server was lost. Reconnecting…",
  notOnline: "Not connected to the server yet. Please try again in a moment.",
  calling: (name) => `Calling ${name}…`,
  opening: (name) => `Opening ${name}…`,
  asking: (name) => `Please allow the camera and microphone, to call ${name}.`,
  ringing: (name) => `${name} is calling you.`,
  connecting: (name) => `Connecting to ${name}…`,
  connected: (name) => `In a call with ${name}.`,
  watching: (name) => `Watching ${name}.`,
  interrupted: "The connection is interrupted. Trying to get it back…",
  failed: (name) => `The call to ${name} failed: no connection between you could be made. `
    + "A firewall may be in the way, or a TURN server is missing.",
  astray: (name) => `The call to ${name} failed: something on the way answers in its place and is not ${name}. `
    + "The chat server or the network leads you astray, or spoils what is sent.",
  lost: (name) => `The call ended: the connection to ${name} was lost.`,
  noAnswer: (name) => `${name} does not answer.`,
  gone: (name) => `${name} is not there any more.`,
  ended: "You hung up.",
  left: (name) => `${name} hung up.`,
  gaveUp: (name) => `${name} stopped calling.`,
  busy: (name) => `${name} is busy in another call.`,
  declined: (name) => `${name} declined the call.`,
  refused: (name, reason) => `${name} ended the call: ${reason}`,
  youDeclined: (name) => `You declined the call from ${name}.`,
  unusable: (name) => `The call to ${name} failed: the two sides do not understand each other.`,
  signedInAs: (user) => `Signed in as ${user}`,
  renamed: (name) => `That name was taken or cannot be used, so you are ${name}.`,
  noCamera: "No camera or microphone was found, so the other side cannot see or hear you.",
  noVideo: "No camera was found; the other side hears you only.",
  noAudio: "No microphone was found; the other side sees you only.",
  denied: "This page may not use your camera and microphone, so the other side cannot see or hear you. "
    + "You can allow it in the browser's site settings.",
  inUse: "Your camera or microphone is in use by another program, so the other side cannot see or hear you.",
  invitedAs: (as) => `invited as ${as}`,
  locked: (as) => (as ? `Invited as ${as}; verified: this is your camera.` : "Verified: this is the camera that invited you."),
  impostor: (name) => `This is not the camera that invited you. Somebody answered for ${name} who could not prove to be it, `
    + "so nothing was sent to them. If its owner has set it up anew, ask for a new invitation.",
  cameraCalls: (name) => `Somebody called under the name of your camera ${name}. Cameras do not call, so that was not taken.`,
  invited: (name) => `You are invited to ${name}. Choose it to watch.`,
  invitedAway: (name) => `You are invited to ${name}, but it is not here now. It is kept under “Cameras I was invited to”.`,
  invitedInCall: (name) => `You are invited to ${name}. You can watch it once this call has ended.`,
  badLink: "This is no whole invitation: something is missing or was mistyped. Please copy all of the link, or ask for it again.",
  badCode: "There is a mistake in this code. Please compare it with the one that you were given; it has 28 letters and digits.",
  noName: "Which camera is this code for? Please write its name.",
  badScan: "This QR code is no invitation, or not a whole one.",
  noScan: "This page may not use your camera, or there is none; type the code instead.",
  isHere: "here now",
  isAway: "not here now",
  watch: "Watch",
  rename: "Rename",
  forget: "Forget",
  keep: "Keep",
  save: "Save",
  cancel: "Cancel",
  newName: (name) => `New name for ${name}`,
  forgetting: (name) => `Forget ${name}? Its owner would have to invite you again.`,
  noPicture: "The camera is lost. Waiting for it…",
  noStill: "There is no picture yet that could be saved.",
  motionAt: (name) => `${name} sees something move`,
  noSound: "The microphone is lost. Waiting for it…",
  insecure: "Browsers allow the camera only on https pages and on localhost, so the other side cannot see or hear you.",
};

/** Why the server, whose page is at `base`, lets this page not in; `null` where nothing is known of it. */
export function refusalWords(why, origin, base) {
  switch (why) {
    case "signed-out":
      return base && base.origin !== origin
        ? `The chat server asks for a login. Sign in at ${base.href}, then load this page again. `
          + "Where that does not help, browsers keep the sign-in to the server's own site: watch there."
        : "You are not signed in any more. Please load this page again, to sign in.";
    case "origin":
      return `The chat server does not let pages of this address in. Start it with --allow-origin ${origin}, `
        + "or open the page under the server's own address.";
    case "login":
      return "The way to the chat server asks for a login. Please load this page again.";
    case "socket":
      return "The chat server is there, but no connection to it stays open: "
        + "does something on the way, such as a proxy, not pass WebSockets on?";
    case "config":
      return "This page does not know its chat server: the file config.json beside it is missing or names none. "
        + "Write the page again with: camera-agent page";
    case "mixed":
      return "This page came by https, and its chat server has no certificate: browsers connect no such page to it. "
        + "Give the server a certificate, or open the page by http.";
    case "full":
      return "The chat is full. Trying again…";
    default:
      return null;
  }
}

/** A hang-up's reason, said to a person. */
export function hangUpWords(name, reason) {
  if (reason === "busy") return words.busy(name);
  if (reason === "no answer") return words.noAnswer(name);
  if (reason === "declined") return words.declined(name);
  if (typeof reason === "string" && reason) return words.refused(name, reason.slice(0, 200));
  return words.left(name);
}

/** When a camera was last seen, in ms since 1970; 0 for never. */
export function seenWords(at) {
  if (!at) return "not watched yet";
  return `last watched ${new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`;
}

/** Another's text, as much of it as is shown; "" for what is none. */
export function textOf(value, most = 500) {
  return typeof value === "string" ? value.slice(0, most) : "";
}

/** What a device says is wrong with its picture and sound, and why, as it puts it; both "" when nothing is. */
export function statusWords({ video, audio }) {
  const of = (stream, otherwise) => textOf(stream?.text) || (stream?.state === "lost" ? otherwise : "");
  return {
    text: [of(video, words.noPicture), of(audio, words.noSound)].filter(Boolean).join(" "),
    reason: [textOf(video?.reason), textOf(audio?.reason)].filter(Boolean).join(" "),
  };
}

const POOR = { loss: 0.03, roundTrip: 400, fps: 12, latency: 800 };

/** How the connection is, from what was measured in the last second; `null` where nothing comes yet. */
export function connectionWords({ loss, roundTrip, fps, latency, frozen, tier, thinned, chosen }) {
  if (fps === undefined) return null;
  const why = [];
  if (frozen) why.push("the picture stood still");
  else if (fps < POOR.fps) why.push("few pictures come");
  if (loss > POOR.loss) why.push("packets get lost");
  if (roundTrip > POOR.roundTrip || latency > POOR.latency) why.push("the way is slow");
  if (thinned || (tier > 0 && !chosen)) why.push("it does not carry the whole picture");
  if (why.length === 0) return { kind: "good", text: "Good connection" };
  return { kind: "poor", text: `Poor connection: ${why.join(", ")}` };
}

/** Bits a second, for people. */
export function bitrateWords(bits) {
  return bits < 1e6 ? `${Math.round(bits / 1e3)} kbit/s` : `${(bits / 1e6).toFixed(2)} Mbit/s`;
}

/** A quality of a device: 0 is the whole picture. */
export function tierWords(tier, thinned) {
  const what = tier === 0 ? "whole picture" : `smaller picture (${tier})`;
  return thinned ? `${what}, as much as gets through` : what;
}

/** A quality that can be chosen; `null` is the device's choice. */
export function qualityWords(tier) {
  if (tier === null) return "what the connection carries";
  return `always the ${tierWords(tier, false)}`;
}

/** What moved, in which zone; times are the device's, in ms since 1970, `ended` undefined while it goes on. */
export function motionWords(zone, began, ended) {
  const at = new Date(began);
  const isToday = at.toDateString() === new Date().toDateString();
  const when = at.toLocaleString(undefined, { ...(isToday ? {} : { dateStyle: "medium" }), timeStyle: "medium" });
  if (ended === undefined) return `${when}: ${zone}, moving now`;
  return `${when}: ${zone}, for ${Math.max(1, Math.round((ended - began) / 1000))} s`;
}

/** A control's name, for people: "White balance automatic". */
export function controlWords(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
