// Places in a log as people write them: a line number, a time of day, a date, seconds since the start.

/** @import { Zone } from "../types.js" */

import { keyOf, milliseconds } from "./line-key.js";

/**
 * The place that a text means: a line number, or a time as a key; null if it means none.
 * @param {string} text
 * @param {object} log
 * @param {string | undefined} log.origin the key that "+90" counts from
 * @param {string | undefined} log.last the last line's id: its day is the one of "13:05"
 * @param {Zone} log.zone
 * @returns {{number: number} | {key: string} | null}
 */
export function placeOf(text, { origin, last, zone }) {
  if (/^\d+$/.test(text)) return { number: Number(text) };
  const since = /^\+(?:(\d+):)?(\d+(?:\.\d+)?)s?$/.exec(text);
  if (since && origin) {
    const seconds = Number(since[1] ?? 0) * 60 + Number(since[2]);
    return { key: keyOf(milliseconds(origin) + seconds * 1000) };
  }
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/.exec(text);
  if (clock && origin) {
    const date = new Date(milliseconds(last ?? origin));
    const [hours, minutes, seconds] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)];
    const thousandths = Number((clock[4] ?? "0").padEnd(3, "0"));
    if (zone === "utc") date.setUTCHours(hours, minutes, seconds, thousandths);
    else date.setHours(hours, minutes, seconds, thousandths);
    return { key: keyOf(date.getTime()) };
  }
  // Browsers parse much else as a date too: "+90" is a year to Chromium.
  const date = /^\d{4}[-/]\d/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? null : { key: keyOf(date) };
}
