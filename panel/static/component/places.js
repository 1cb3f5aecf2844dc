// Places in a log as people write them: a line number, a time of day, a date, seconds since the start.

import { element } from "./dom.js";
import { milliseconds } from "./keys.js";

/**
 * The place that a text means: {number}, {key} (a time in nanoseconds), or null. origin and last are ids of the first and
 * the last line; zone is local or utc.
 */
export function placeOf(text, { origin, last, zone }) {
  if (/^\d+$/.test(text)) return { number: Number(text) };
  const since = /^\+(?:(\d+):)?(\d+(?:\.\d+)?)s?$/.exec(text);
  if (since && origin) {
    const seconds = Number(since[1] ?? 0) * 60 + Number(since[2]);
    return { key: `${Math.floor(milliseconds(origin) + seconds * 1000)}000000` };
  }
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/.exec(text);
  if (clock && origin) {
    const date = new Date(milliseconds(last ?? origin));
    const parts = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0), Number((clock[4] ?? "0").padEnd(3, "0"))];
    if (zone === "utc") date.setUTCHours(...parts);
    else date.setHours(...parts);
    return { key: `${date.getTime()}000000` };
  }
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : { key: `${date}000000` };
}

/** The field that asks for a place. go(text) says whether it was found; close() takes the field away. */
export function placeElement(t, { go, close }) {
  const problem = element("small", { role: "alert" });
  const input = element("input", { placeholder: t.goto, "aria-label": t.goto });
  input.addEventListener("keydown", async (event) => {
    event.stopPropagation();
    if (event.key === "Escape") close();
    if (event.key !== "Enter") return;
    if (await go(input.value.trim())) close();
    else problem.textContent = t.gotoUnknown;
  });
  return element("div", { class: "goto layer" }, input, problem);
}
