// The ticks of an axis of times: at round times of the day in the reader's zone.

/** @import { Zone } from "../types.js" */

import { dayAndTime, lineTime } from "./format.js";
import { keyOf } from "./line-key.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[10, 20, 50, 100, 200, 500], ...[1, 2, 5, 10, 15, 30].map((count) => count * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE), ...[1, 2, 3, 6, 12].map((count) => count * HOUR),
  ...[1, 2, 7, 14, 28].map((count) => count * DAY),
];

/**
 * @param {number} first in milliseconds
 * @param {number} last
 * @param {{most: number, zone: Zone}} options most: how many ticks there is room for
 * @returns {{at: number, label: string}[]}
 */
export function ticksOf(first, last, { most, zone }) {
  const span = last - first;
  if (span <= 0) return [];
  const step = STEPS.find((each) => span / each <= most) ?? STEPS[STEPS.length - 1];
  const offset = zone === "local" ? -new Date(first).getTimezoneOffset() * MINUTE : 0;
  const ticks = [];
  for (let at = Math.ceil((first + offset) / step) * step - offset; at < last; at += step) {
    ticks.push({ at, label: labelOf(at, step, zone) });
  }
  return ticks;
}

/**
 * @param {number} at
 * @param {number} step
 * @param {Zone} zone
 */
function labelOf(at, step, zone) {
  const key = keyOf(at);
  if (step >= DAY) return dayAndTime(key, zone).slice(5, 10);
  const time = lineTime(key, { mode: "absolute", zone });
  return step < SECOND ? time : step < MINUTE ? time.slice(0, 8) : time.slice(0, 5);
}
