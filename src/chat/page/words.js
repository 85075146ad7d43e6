// What the page says, in the language of who reads it: one file of texts for each
// language, words-….js, which no test lets lack what another one has.
//
// A text is a string here; one with places to fill in is a function, which takes
// them in the order that they have in English.

import english from "./words-en.js";

/** Beside English, which stands in where a file could not be loaded. */
const OTHERS = ["zh", "de", "ja", "es"];
/** Characters of what others write that are shown. */
const MAX_TEXT = 500;
const MAX_REASON = 200;
/** Attributes with words in them. */
const SAID = ["aria-label", "title", "placeholder", "data-empty"];

let texts = english;
/** For numbers and times: as the browser's person writes them. */
let locale = "en";

export const words = {};
fillIn();

/**
 * The first of these languages (BCP 47) that the page speaks, and how it is asked for.
 * @param {readonly string[]} wanted
 */
export function choose(wanted) {
  for (const tag of wanted) {
    const language = tag.toLowerCase().split("-", 1)[0];
    if (language === "en" || OTHERS.includes(language)) return { language, tag };
  }
  return { language: "en", tag: "en" };
}

/** Speaks as the address (`?lang=`) and then the browser ask for. Resolves once it does. */
export async function speak() {
  const asked = new URLSearchParams(location.search).get("lang");
  const { language, tag } = choose([...(asked ? [asked] : []), ...navigator.languages]);
  if (language !== "en") {
    try {
      texts = (await import(`./words-${language}.js`)).default;
    } catch {
      return; // Better in English than not at all.
    }
  }
  try {
    [locale] = Intl.getCanonicalLocales(tag);
  } catch {
    locale = language;
  }
  fillIn();
  const root = document.documentElement;
  [root.lang, root.dir] = [texts.language, texts.direction];
}

/**
 * Writes the words into the page's own elements. What one is to say stands in its
 * `data-say`: the name of its text, and `attribute:name` for that of an attribute.
 * Elements inside come to stand where their text has its places.
 */
export function sayAll(root) {
  for (const element of root.querySelectorAll("[data-say]")) {
    for (const part of element.dataset.say.split(" ")) {
      const [attribute, name] = part.split(":");
      if (name === undefined) say(element, rawText(part));
      else if (SAID.includes(attribute)) element.setAttribute(attribute, rawText(name));
    }
  }
}

function say(element, text) {
  const inside = [...element.children];
  const parts = text.split(/\{\w+\}/);
  element.replaceChildren(...parts.flatMap((part, i) => (i === 0 ? [part] : [inside[i - 1] ?? "", part])));
}

/** A text as it stands in its file. */
function rawText(name) {
  return texts[name] ?? english[name];
}

function fillIn() {
  for (const [name, text] of Object.entries(english)) {
    if (typeof text !== "string") continue;
    const places = [...new Set(text.match(/\{\w+\}/g))];
    words[name] = places.length === 0 ? rawText(name) : (...values) => fill(rawText(name), places, values);
  }
}

function fill(text, places, values) {
  return text.replace(/\{\w+\}/g, (place) => String(values[places.indexOf(place)] ?? ""));
}

/** A text of a group, such as that of a device's reason; undefined for what is not known. */
function ofGroup(group, name) {
  const of = (from) => (Object.hasOwnProperty.call(from[group] ?? {}, name) ? from[group][name] : undefined);
  return of(texts) ?? of(english);
}

/** A number with so many digits behind the point. */
function number(value, digits = 0) {
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
  return new Intl.NumberFormat(locale, format).format(value);
}

/** Why the server, whose page is at `base`, lets this page not in; `null` where nothing is known of it. */
export function refusalWords(why, origin, base) {
  switch (why) {
    case "signed-out":
      return base && base.origin !== origin ? words.signedOutElsewhere(base.href) : words.signedOut;
    case "origin":
      return words.originRefused(origin);
    case "login":
      return words.loginOnTheWay;
    case "socket":
      return words.noSocket;
    case "config":
      return words.noConfig;
    case "mixed":
      return words.mixed;
    case "full":
      return words.chatFull;
    default:
      return null;
  }
}

/**
 * What a device says, in the page's own words where it knows them: by the code `why`
 * (docs/protocol.md), else as the device puts it.
 */
export function reasonWords(why, text, control) {
  const known = typeof why === "string" ? ofGroup("reasons", why) : undefined;
  const detail = textOf(text);
  if (known === undefined) return detail;
  return fill(known, ["{detail}", "{control}"], [detail, controlWords(textOf(control))]);
}

/** A hang-up's reason, said to a person. */
export function hangUpWords(name, reason, why) {
  if (reason === "busy") return words.busy(name);
  if (reason === "no answer") return words.noAnswer(name);
  if (reason === "declined") return words.declined(name);
  const said = reasonWords(why, textOf(reason, MAX_REASON));
  return said ? words.refused(name, said) : words.left(name);
}

/** That a camera is the right one; `as` is what its owner calls the person, where they do. */
export function lockWords(as) {
  return as ? words.lockedAs(as) : words.locked;
}

/** When a camera was last seen, in ms since 1970; 0 for never. */
export function seenWords(at) {
  if (!at) return words.notWatched;
  const time = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(at);
  return words.lastWatched(time);
}

/** Another's text, as much of it as is shown; "" for what is none. */
export function textOf(value, most = MAX_TEXT) {
  return typeof value === "string" ? value.slice(0, most) : "";
}

/** What a device says is wrong with its picture and sound, and why, as it puts it; both "" when nothing is. */
export function statusWords({ video, audio }) {
  const of = (stream, otherwise) => reasonWords(stream?.why, stream?.text)
    || (stream?.state === "lost" ? otherwise : "");
  return {
    text: [...new Set([of(video, words.noPicture), of(audio, words.noSound)])].filter(Boolean).join(" "),
    reason: [textOf(video?.reason), textOf(audio?.reason)].filter(Boolean).join(" "),
  };
}

const POOR = { loss: 0.03, roundTrip: 400, fps: 12, latency: 800 };

/** How the connection is, from what was measured in the last second; `null` where nothing comes yet. */
export function connectionWords({ loss, roundTrip, fps, latency, frozen, tier, thinned, chosen }) {
  if (fps === undefined) return null;
  const why = [];
  if (frozen) why.push(words.poorStill);
  else if (fps < POOR.fps) why.push(words.poorFew);
  if (loss > POOR.loss) why.push(words.poorLoss);
  if (roundTrip > POOR.roundTrip || latency > POOR.latency) why.push(words.poorSlow);
  if (thinned || (tier > 0 && !chosen)) why.push(words.poorThin);
  if (why.length === 0) return { kind: "good", text: words.good };
  return { kind: "poor", text: words.poor(why.join(words.comma)) };
}

/** A picture's size, and pictures a second. */
export function pictureWords(width, height, fps) {
  return words.pictureOf(number(width), number(height), number(fps));
}

/** Bits a second, for people. */
export function bitrateWords(bits) {
  return bits < 1e6 ? words.kilobits(number(bits / 1e3)) : words.megabits(number(bits / 1e6, 2));
}

/** A share of 1. */
export function shareWords(share) {
  const format = { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return new Intl.NumberFormat(locale, format).format(share);
}

/** A time in ms. */
export function timeWords(milliseconds) {
  return words.milliseconds(number(milliseconds));
}

/** How often, and for how long in all, the picture stood still. */
export function stillWords(count, seconds) {
  return words.stoodStillFor(number(count), number(seconds, 1));
}

/** A quality of a device: 0 is the whole picture. */
export function tierWords(tier, thinned) {
  const what = tier === 0 ? words.tierWhole : words.tierSmaller(number(tier));
  return thinned ? words.tierThinned(what) : what;
}

/** A quality that can be chosen; `null` is the device's choice. */
export function qualityWords(tier) {
  if (tier === null) return words.qualityAny;
  return tier === 0 ? words.qualityWhole : words.qualitySmaller(number(tier));
}

/** What moved, in which zone; times are the device's, in ms since 1970, `ended` undefined while it goes on. */
export function motionWords(zone, began, ended) {
  const isToday = new Date(began).toDateString() === new Date().toDateString();
  const format = { ...(isToday ? {} : { dateStyle: "medium" }), timeStyle: "medium" };
  const when = new Intl.DateTimeFormat(locale, format).format(began);
  if (ended === undefined) return words.motionNow(when, zone);
  return words.motionFor(when, zone, number(Math.max(1, Math.round((ended - began) / 1000))));
}

/** A recording, as a device lists it: when, how long, why. */
export function recordingWords({ began_ms: began, seconds, why }) {
  const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" }).format(began);
  const reason = ofGroup("whys", why) ?? textOf(why, MAX_REASON);
  if (!Number.isFinite(seconds)) return words.recordingOpen(when, reason);
  return words.recordingOf(when, number(seconds), reason);
}

/** A control's name, for people: "White balance automatic". */
export function controlWords(name) {
  const known = ofGroup("controls", name);
  if (known !== undefined) return known;
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a control can be set to, by the driver's label of it. */
export function choiceWords(label) {
  return ofGroup("choices", label) ?? label;
}
