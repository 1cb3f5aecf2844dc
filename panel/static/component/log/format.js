// Times, durations and sizes as people read them. A time is a key: nanoseconds since the epoch, or the id of a line.

/** @import { Settings, Zone } from "../types.js" */

import { keyOf, milliseconds } from "./line-key.js";

/**
 * @param {number} value
 * @param {number} [width]
 */
function pad(value, width = 2) {
  return String(value).padStart(width, "0");
}

/**
 * The time beside a line; empty if times are off.
 * @param {string} key
 * @param {object} options
 * @param {Settings["times"]} options.mode relative: to the origin
 * @param {Zone} options.zone
 * @param {string} [options.origin] a key
 */
export function lineTime(key, { mode, zone, origin }) {
  if (mode === "off") return "";
  const at = milliseconds(key);
  if (mode === "relative" && origin) return relative((at - milliseconds(origin)) / 1000);
  const date = new Date(at);
  return zone === "utc"
    ? `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}.${pad(date.getUTCMilliseconds(), 3)}`
    : `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/** @param {number} seconds */
function relative(seconds) {
  const sign = seconds < 0 ? "-" : "+";
  const value = Math.abs(seconds);
  const minutes = Math.floor(value / 60);
  const rest = (value - minutes * 60).toFixed(3).padStart(6, "0");
  if (minutes < 60) return `${sign}${pad(minutes)}:${rest}`;
  return `${sign}${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${rest}`;
}

/**
 * Date and time with nanoseconds, in ISO 8601.
 * @param {string} key
 * @param {Zone} zone
 */
export function fullTime(key, zone) {
  const date = new Date(milliseconds(key));
  const text = zone === "utc" ? date.toISOString().slice(0, 19) + "Z" : localIso(date);
  const nanos = key.split("-")[0].slice(-9);
  return text.replace(/(\d\d:\d\d:\d\d)/, `$1.${nanos}`);
}

/** @param {Date} date */
function localIso(date) {
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? "-" : "+";
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day}T${time}${sign}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
}

/**
 * @param {string} key
 * @param {Zone} zone
 */
export function dayAndTime(key, zone) {
  const text = fullTime(key, zone);
  return `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}

/**
 * A time as a field of the type datetime-local has it, to the minute; "" for none.
 * @param {string} key
 * @param {Zone} zone
 */
export function fieldTime(key, zone) {
  return key ? fullTime(key, zone).slice(0, 16) : "";
}

/**
 * The key of what stands in a field of the type datetime-local; "" for nothing.
 * @param {string} value
 * @param {Zone} zone
 */
export function timeOfField(value, zone) {
  const time = Date.parse(zone === "utc" ? `${value}Z` : value);
  return Number.isNaN(time) ? "" : keyOf(time);
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/**
 * How long ago something was, in its largest unit.
 * @param {number} seconds
 * @param {string[]} units of seconds, minutes, hours and days, with the space before
 */
export function age(seconds, ...units) {
  const [second, minute, hour, day] = units.length ? units : [" s", " min", " h", " d"];
  if (seconds < 60) return `${Math.floor(seconds)}${second}`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${minute}`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}${hour}`;
  return `${Math.floor(seconds / 86_400)}${day}`;
}

/** @param {number} count */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(0)} kB`;
  return `${(count / 1_000_000).toFixed(1)} MB`;
}
